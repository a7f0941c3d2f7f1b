//! What happens to taps, told to whoever delivers it.
//!
//! A bounded queue: events of streams are dropped and counted when nobody reads them; those of
//! recordings wait for room on the tap's own thread and are told again after a restart, under the
//! same id, so that none is lost.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::SystemTime,
};

use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use utoipa::ToSchema;
use uuid::Uuid;

use super::facts::{CallFacts, Side, StreamId};

/// Events that may wait for whoever delivers them. A call has about ten.
pub const EVENTS: usize = 4096;

/// One event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TapEvent {
    /// The same when it is told again.
    pub id: Uuid,
    #[serde(with = "stamp")]
    pub at: SystemTime,
    pub call: CallFacts,
    #[serde(flatten)]
    pub what: What,
}

impl TapEvent {
    /// An event of this moment, under a new id.
    pub fn now(facts: &CallFacts, what: What) -> Self {
        Self { id: Uuid::new_v4(), at: now(), call: facts.clone(), what }
    }
}

/// The calendar's time.
#[allow(clippy::disallowed_methods, reason = "an event's date is the calendar's")]
pub fn now() -> SystemTime {
    SystemTime::now()
}

/// What happened. In JSON it is told by `"event"`, as in `"event": "stream_started"`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum What {
    /// A consumer is connected and gets audio.
    StreamStarted {
        stream: StreamId,
        name: String,
        format: String,
        /// Where a stream has a connection for each side.
        side: Option<Side>,
        /// Without what may be a secret: scheme, host and path.
        url: String,
        by: String,
        /// How much the consumer has missed, if it was connected before.
        #[serde(skip_serializing_if = "Option::is_none")]
        gap_ms: Option<u64>,
    },
    /// It is over in order: the call ended, or somebody stopped it.
    StreamStopped {
        stream: StreamId,
        name: String,
        side: Option<Side>,
        reason: StopReason,
        /// Slots of 20 ms that were sent, and that were dropped because the consumer was slow.
        sent: u64,
        dropped: u64,
    },
    /// It can't be had: refused, or lost and not reached again.
    StreamFailed {
        stream: StreamId,
        name: String,
        side: Option<Side>,
        reason: String,
        sent: u64,
        dropped: u64,
    },
    RecordingStarted {
        recording: Uuid,
        #[serde(with = "stamp")]
        started: SystemTime,
        by: String,
    },
    /// The file is whole. It is on its way to its place.
    RecordingEnded {
        recording: Uuid,
        #[serde(with = "stamp")]
        started: SystemTime,
        #[serde(with = "stamp")]
        ended: SystemTime,
        milliseconds: u64,
        /// Found after a crash and put in order.
        repaired: bool,
        /// Slots of 20 ms that the disk was too slow for; they are silent.
        lost: u64,
        pauses: Vec<Pause>,
    },
    /// The file is where it belongs, for good: `file:///…` or `s3://bucket/key`.
    RecordingStored {
        recording: Uuid,
        place: String,
        bytes: u64,
    },
    /// It stopped early or never began: the disk.
    RecordingFailed {
        recording: Uuid,
        reason: String,
    },
    Paused {
        by: String,
    },
    Resumed {
        by: String,
    },
}

/// Why a stream stopped in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopReason {
    CallEnded,
    Stopped,
    /// The consumer closed its connection with an ordinary CLOSE.
    ConsumerClosed,
    GatewayStopping,
}

/// A time of silence in all streams and recordings of a call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Pause {
    #[serde(with = "stamp")]
    #[schema(value_type = String, format = DateTime)]
    pub from: SystemTime,
    pub by: String,
    /// Absent while it lasts, and where the call ended in it.
    #[serde(with = "stamp::maybe", default)]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub until: Option<SystemTime>,
    #[serde(default)]
    pub resumed_by: String,
}

/// Where events are handed in.
#[derive(Debug, Clone)]
pub struct EventSink {
    queue: mpsc::Sender<TapEvent>,
    dropped: Arc<AtomicU64>,
}

/// Where they come out. There is one; while nobody reads, the newest are dropped.
#[derive(Debug)]
pub struct Events(pub mpsc::Receiver<TapEvent>);

/// A sink and its end.
pub fn channel() -> (EventSink, Events) {
    let (queue, out) = mpsc::channel(EVENTS);
    (EventSink { queue, dropped: Arc::default() }, Events(out))
}

impl EventSink {
    /// Hands an event over, or drops and counts it. Never waits.
    pub fn tell(&self, event: TapEvent) {
        if self.queue.try_send(event).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Hands an event over, and waits for room. Only where nothing else waits for the caller.
    /// False if nobody will ever read it.
    pub async fn tell_surely(&self, event: TapEvent) -> bool {
        self.queue.send(event).await.is_ok()
    }

    /// How many were dropped.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

/// Times as RFC 3339 with milliseconds.
pub mod stamp {
    use std::time::SystemTime;

    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(at: &SystemTime, out: S) -> Result<S::Ok, S::Error> {
        out.collect_str(&humantime::format_rfc3339_millis(*at))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<SystemTime, D::Error> {
        let text = String::deserialize(from)?;
        humantime::parse_rfc3339(&text).map_err(D::Error::custom)
    }

    pub mod maybe {
        use super::*;

        pub fn serialize<S: Serializer>(
            at: &Option<SystemTime>,
            out: S,
        ) -> Result<S::Ok, S::Error> {
            match at {
                Some(at) => super::serialize(at, out),
                None => out.serialize_none(),
            }
        }

        pub fn deserialize<'de, D: Deserializer<'de>>(
            from: D,
        ) -> Result<Option<SystemTime>, D::Error> {
            match Option::<String>::deserialize(from)? {
                Some(text) => humantime::parse_rfc3339(&text).map(Some).map_err(D::Error::custom),
                None => Ok(None),
            }
        }
    }
}
