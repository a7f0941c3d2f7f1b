//! One recording, as its call, the recorder and whoever looks at lists see it.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::SystemTime,
};

use uuid::Uuid;

use super::{
    super::{
        queue::Queue,
        spool::Page,
        view::{RecordingState, RecordingView},
    },
    QUEUE,
};

/// One recording.
#[derive(Debug)]
pub struct Recording {
    pub id: Uuid,
    pub call: Uuid,
    pub started: SystemTime,
    pub queue: Queue,
    pub slots: AtomicU64,
    inner: Mutex<Inner>,
}

/// What of it changes.
#[derive(Debug)]
pub struct Inner {
    pub page: Page,
    pub growing: bool,
    pub error: String,
}

impl Recording {
    pub fn new(page: Page, growing: bool) -> Arc<Self> {
        Arc::new(Self {
            id: page.recording,
            call: page.call.call_id,
            started: page.started,
            queue: Queue::new(QUEUE),
            slots: AtomicU64::new(page.milliseconds / 20),
            inner: Mutex::new(Inner { page, growing, error: String::new() }),
        })
    }

    pub fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn queue(&self) -> &Queue {
        &self.queue
    }

    /// Whether it takes no more audio.
    pub fn is_over(&self) -> bool {
        self.queue.is_closed()
    }

    pub fn page(&self) -> Page {
        self.inner().page.clone()
    }

    pub fn view(&self) -> RecordingView {
        let inner = self.inner();
        RecordingView {
            recording: self.id,
            call_id: self.call,
            started: self.started,
            milliseconds: self.slots.load(Ordering::Relaxed) * 20,
            state: if inner.growing { RecordingState::Recording } else { RecordingState::Storing },
            pauses: inner.page.pauses.clone(),
            error: inner.error.clone(),
        }
    }
}
