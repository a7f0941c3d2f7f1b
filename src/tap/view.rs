//! What an operator sees of taps. Serialised as it is by the HTTP API; holds no secret.

use std::{io, pin::Pin, time::SystemTime};

use bytes::Bytes;
use futures_util::Stream;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    event::{Pause, stamp},
    facts::{CallFacts, Side, StreamId},
};

/// A call that can be tapped.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct CallView {
    #[serde(flatten)]
    pub facts: CallFacts,
    #[serde(with = "stamp")]
    #[schema(value_type = String, format = DateTime)]
    pub answered: SystemTime,
    pub paused: bool,
    pub streams: Vec<StreamView>,
    pub recording: Option<RecordingView>,
    /// Frames that the tap's thread was too slow for.
    pub dropped: u64,
}

/// A stream of a call.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct StreamView {
    #[schema(value_type = String, format = "uuid")]
    pub id: StreamId,
    pub name: String,
    pub format: String,
    pub by: String,
    pub connections: Vec<ConnectionView>,
}

/// One connection of a stream.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ConnectionView {
    /// Where a stream has a connection for each side.
    pub side: Option<Side>,
    /// Without what may be a secret.
    pub url: String,
    pub state: StreamState,
    /// Slots of 20 ms.
    pub sent: u64,
    pub dropped: u64,
    pub connects: u32,
    /// What went wrong last; empty if nothing did.
    pub error: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum StreamState {
    Connecting,
    Streaming,
    /// Lost; it will be tried again.
    Waiting,
    Stopped,
    Failed,
}

/// A recording that grows, or waits to be stored.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct RecordingView {
    #[schema(value_type = String, format = "uuid")]
    pub recording: Uuid,
    #[schema(value_type = String, format = "uuid")]
    pub call_id: Uuid,
    #[serde(with = "stamp")]
    #[schema(value_type = String, format = DateTime)]
    pub started: SystemTime,
    pub milliseconds: u64,
    pub state: RecordingState,
    pub pauses: Vec<Pause>,
    /// What went wrong last; empty if nothing did.
    pub error: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum RecordingState {
    Recording,
    /// Whole, and on its way to its place.
    Storing,
}

/// A recording's bytes, a WAV file.
pub struct Fetched {
    /// How many there are.
    pub bytes: u64,
    pub body: Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>,
}
