//! Where what only Asterisk's manager can do is handed in, and what it can do at the moment.
//!
//! Call control opens the desk once and works off its queue. While it is closed, or the queue is
//! full, requests are refused, and a call is served without what the manager knows of it.

use std::sync::{
    OnceLock,
    atomic::{AtomicU8, Ordering},
};

use tokio::sync::mpsc;

use super::ask::{Ask, Refused, Why};
use crate::call::CallId;

/// What may wait for call control. It answers within milliseconds, so a queue that is full is one
/// that hangs.
pub const DESK_QUEUE: usize = 256;

/// What call control is told.
#[derive(Debug)]
pub enum ToDesk {
    Ask(Box<Ask>),
    /// A call has begun: its channel is in [`Calls`](super::calls::Calls) now. What the manager
    /// knows of it (who calls) may be told to it.
    Began(CallId),
    /// A call is over.
    Ended(CallId),
}

/// What can work now. Hold and mute always do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Features {
    pub dial: bool,
    pub dtmf: bool,
    pub transfer: bool,
}

/// The desk.
#[derive(Debug, Default)]
pub struct Desk {
    queue: OnceLock<mpsc::Sender<ToDesk>>,
    features: AtomicU8,
}

impl Desk {
    /// Opens it; `None` if somebody has already.
    pub fn open(&self) -> Option<mpsc::Receiver<ToDesk>> {
        let (sender, receiver) = mpsc::channel(DESK_QUEUE);
        self.queue.set(sender).ok()?;
        Some(receiver)
    }

    /// Hands a request in. If it can't be, its answer says so.
    pub fn ask(&self, ask: Ask) {
        let Some(queue) = self.queue.get() else {
            return ask.answer.give(Err(Refused::new(Why::Unavailable, self.why_not())));
        };
        let refused = match queue.try_send(ToDesk::Ask(Box::new(ask))) {
            Ok(()) => return,
            Err(refused) => refused,
        };
        if let ToDesk::Ask(ask) = refused.into_inner() {
            let why = "too much waits for Asterisk's manager";
            ask.answer.give(Err(Refused::new(Why::Unavailable, why)));
        }
    }

    pub(super) fn began(&self, call: CallId) {
        self.tell(ToDesk::Began(call));
    }

    pub(super) fn ended(&self, call: CallId) {
        self.tell(ToDesk::Ended(call));
    }

    fn tell(&self, what: ToDesk) {
        if let Some(queue) = self.queue.get() {
            let _ = queue.try_send(what);
        }
    }

    /// Why something that only the manager can do can't be done now; for a person.
    pub fn why_not(&self) -> &'static str {
        match self.queue.get() {
            None => "Asterisk's manager is not configured (\"ami\")",
            Some(_) => "Asterisk's manager is not there, or can't do that",
        }
    }

    pub fn features(&self) -> Features {
        let bits = self.features.load(Ordering::Acquire);
        Features { dial: bits & 1 != 0, dtmf: bits & 2 != 0, transfer: bits & 4 != 0 }
    }

    /// True if that changes anything.
    pub(super) fn set_features(&self, features: Features) -> bool {
        let Features { dial, dtmf, transfer } = features;
        let bits = u8::from(dial) | u8::from(dtmf) << 1 | u8::from(transfer) << 2;
        self.features.swap(bits, Ordering::AcqRel) != bits
    }
}
