//! What others see and hear of a connection: its state in lists, its events, its lines in the log.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use tracing::{info, warn};

use super::{
    super::{
        event::{EventSink, StopReason, TapEvent, What},
        facts::{CallFacts, Side},
        queue::Queue,
        template::{Template, shown},
        view::{ConnectionView, StreamState},
    },
    Consumer, QUEUE,
};

/// What others see of a connection while it lives.
#[derive(Debug)]
pub struct Status {
    pub side: Option<Side>,
    shown: String,
    pub queue: Queue,
    pub sent: AtomicU64,
    inner: Mutex<Inner>,
}

/// What of it changes.
#[derive(Debug)]
pub struct Inner {
    pub state: StreamState,
    pub connects: u32,
    pub error: String,
}

impl Status {
    pub fn new(side: Option<Side>, url: &Template) -> Arc<Self> {
        Arc::new(Self {
            side,
            shown: url.to_string(),
            queue: Queue::new(QUEUE),
            sent: AtomicU64::new(0),
            inner: Mutex::new(Inner {
                state: StreamState::Connecting,
                connects: 0,
                error: String::new(),
            }),
        })
    }

    pub fn queue(&self) -> &Queue {
        &self.queue
    }

    pub fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn set(&self, state: StreamState) {
        self.inner().state = state;
    }

    pub fn is_over(&self) -> bool {
        matches!(self.inner().state, StreamState::Stopped | StreamState::Failed)
    }

    pub fn view(&self) -> ConnectionView {
        let inner = self.inner();
        ConnectionView {
            side: self.side,
            url: self.shown.clone(),
            state: inner.state,
            sent: self.sent.load(Ordering::Relaxed),
            dropped: self.queue.dropped(),
            connects: inner.connects,
            error: inner.error.clone(),
        }
    }
}

/// Tells events of one call.
#[derive(Debug, Clone)]
pub struct Teller {
    pub sink: EventSink,
    pub facts: Arc<CallFacts>,
}

impl Teller {
    pub fn tell(&self, what: What) {
        self.sink.tell(TapEvent::now(&self.facts, what));
    }
}

impl Consumer {
    pub fn connected(&self, gap_ms: Option<u64>) {
        {
            let mut inner = self.status.inner();
            inner.state = StreamState::Streaming;
            inner.connects += 1;
            inner.error = String::new();
        }
        let (stream, name, side) = (self.stream, self.spec.name.clone(), self.status.side);
        info!(call = %self.facts.call_id, %stream, %name, ?side, gap_ms, "stream connected");
        self.events.tell(What::StreamStarted {
            stream,
            name,
            format: self.spec.dialect.name().to_owned(),
            side,
            url: self.shown(),
            by: self.by.clone(),
            gap_ms,
        });
    }

    fn shown(&self) -> String {
        let uri = self.url.fill(&self.facts, self.status.side);
        uri.map_or_else(|_| self.url.to_string(), |uri| shown(&uri))
    }

    pub fn stopped(&self) {
        let reason = *self.ending.lock().unwrap_or_else(PoisonError::into_inner);
        self.over(reason);
    }

    pub fn over(&self, reason: StopReason) {
        self.status.set(StreamState::Stopped);
        self.status.queue.close();
        let (stream, name, side) = (self.stream, self.spec.name.clone(), self.status.side);
        let (sent, dropped) = self.counts();
        info!(call = %self.facts.call_id, %stream, %name, ?side, ?reason, sent, dropped, "stream over");
        self.events.tell(What::StreamStopped { stream, name, side, reason, sent, dropped });
    }

    pub fn failed(&self, reason: String) {
        {
            let mut inner = self.status.inner();
            inner.state = StreamState::Failed;
            inner.error.clone_from(&reason);
        }
        self.status.queue.close();
        self.status.queue.clear();
        let (stream, name, side) = (self.stream, self.spec.name.clone(), self.status.side);
        let (sent, dropped) = self.counts();
        warn!(call = %self.facts.call_id, %stream, %name, ?side, %reason, sent, dropped, "stream failed");
        self.events.tell(What::StreamFailed { stream, name, side, reason, sent, dropped });
    }

    fn counts(&self) -> (u64, u64) {
        (self.status.sent.load(Ordering::Relaxed), self.status.queue.dropped())
    }
}
