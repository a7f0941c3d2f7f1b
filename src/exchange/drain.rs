//! How the gateway stops: calls that are up go on, those that hunt may still find a phone, and then
//! the phones leave.

use std::sync::{Arc, atomic::Ordering};

use super::Exchange;

/// A call that hunts, for as long as it does.
#[derive(Debug)]
pub struct Hunting(Arc<Exchange>);

impl Exchange {
    /// Begins to stop.
    pub fn drain(&self) {
        self.draining.cancel();
        self.leave_if_no_call_hunts();
    }

    /// A call begins to hunt, until the guard is dropped.
    pub fn hunt(self: &Arc<Self>) -> Hunting {
        self.hunts.fetch_add(1, Ordering::AcqRel);
        Hunting(self.clone())
    }

    fn leave_if_no_call_hunts(&self) {
        if self.is_draining() && self.hunts.load(Ordering::Acquire) == 0 {
            self.leaving.cancel();
        }
    }

    /// Whether the gateway stops: no call and no login is taken any more.
    pub fn is_draining(&self) -> bool {
        self.draining.is_cancelled()
    }
}

impl Drop for Hunting {
    fn drop(&mut self) {
        self.0.hunts.fetch_sub(1, Ordering::AcqRel);
        self.0.leave_if_no_call_hunts();
    }
}
