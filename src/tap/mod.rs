//! Whoever may listen to a call: live streams and recordings.
//!
//! The law of this room: **a tap never touches the call**. A call's task does one push a frame into
//! a bounded queue that never waits and wakes nobody (`line`); everything else runs on a thread of
//! its own, which yields to the media's threads. A consumer that is slow, dead or lying costs its own
//! bounded queue and nothing else.
//!
//! [`Taps`] is what others use: the call's task opens a line, the operator's HTTP and the manager's
//! events list, start, stop, pause and resume, and whoever delivers events reads them from
//! [`event::Events`].

pub mod event;
pub mod facts;
pub mod products;
pub mod spec;
pub mod template;
pub mod view;

use std::sync::{Arc, Mutex, PoisonError};

use crate::call::CallId;
use event::{EventSink, Events};
use facts::{StreamId, Whom};
use spec::StreamSpec;
use view::{CallView, Fetched, RecordingView};

/// All taps of the gateway. One an exchange, shared by every task.
#[derive(Debug)]
pub struct Taps {
    #[allow(dead_code)]
    events: EventSink,
    out: Mutex<Option<Events>>,
    /// RingCentral's streaming profiles.
    pub products: products::Products,
}

/// Why nothing was started.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StartError {
    /// It isn't up, or isn't answered yet.
    #[error("no such call")]
    NoSuchCall,
    /// For a channel that isn't a call of the gateway, and `ari` is not configured.
    #[error("no call of the gateway has this channel, and the configuration has no \"ari\"")]
    NoAri,
    #[error("Asterisk refused: {0}")]
    Asterisk(String),
    /// It records already.
    #[error("the call is being recorded")]
    Recording,
    #[error("the configuration has no \"recording\"")]
    NoRecording,
    #[error("no recording can begin: {0}")]
    Disk(String),
    #[error("the call has {0} streams, and may not have more")]
    TooMany(usize),
    /// The gateway is stopping.
    #[error("the gateway is stopping")]
    Stopping,
}

/// What was named isn't there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no such call, stream or recording")]
pub struct NotThere;

/// Why a recording can't be fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    #[error("no such recording")]
    NotThere,
    #[error("the store can't be read: {0}")]
    Store(String),
}

impl Taps {
    /// Taps that nothing has been asked of yet.
    pub fn new() -> Arc<Self> {
        let (events, out) = event::channel();
        Arc::new(Self { events, out: Mutex::new(Some(out)), products: Default::default() })
    }

    /// The one place where events come out: for the first who asks.
    pub fn take_events(&self) -> Option<Events> {
        self.out.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Every call that can be tapped now: answered, and not over.
    pub fn list(&self) -> Vec<CallView> {
        Vec::new()
    }

    /// One of them.
    pub fn get(&self, _call: CallId) -> Option<CallView> {
        None
    }

    /// Starts a stream. It connects in its own time: what comes of it are events and the stream's
    /// state in [`Taps::list`]. `by` says who wanted it, for the record: `"api"`, `"ami"`.
    pub async fn start_stream(
        &self,
        _whom: &Whom,
        _spec: StreamSpec,
        _by: &str,
    ) -> Result<StreamId, StartError> {
        Err(StartError::NoSuchCall)
    }

    /// Stops a stream in order: its consumer is told, and what it was owed is sent first.
    pub fn stop_stream(&self, _id: StreamId) -> Result<(), NotThere> {
        Err(NotThere)
    }

    /// Begins to record a call that isn't recorded.
    pub async fn start_recording(&self, _whom: &Whom, _by: &str) -> Result<(), StartError> {
        Err(StartError::NoRecording)
    }

    /// Ends a call's recording; it is stored like any other.
    pub fn stop_recording(&self, _whom: &Whom) -> Result<(), NotThere> {
        Err(NotThere)
    }

    /// Silences every stream and recording of a call from this instant on. Pausing what is paused
    /// is no error, and changes nothing.
    pub fn pause(&self, _whom: &Whom, _by: &str) -> Result<(), NotThere> {
        Err(NotThere)
    }

    /// Ends the silence.
    pub fn resume(&self, _whom: &Whom, _by: &str) -> Result<(), NotThere> {
        Err(NotThere)
    }

    /// Recordings that grow or wait in the spool. Those that have reached their place are in the
    /// call table.
    pub fn recordings(&self) -> Vec<RecordingView> {
        Vec::new()
    }

    /// A recording's bytes, from wherever it is: growing, in the spool, or in its store.
    pub async fn fetch(&self, _call: CallId) -> Result<Fetched, FetchError> {
        Err(FetchError::NotThere)
    }
}
