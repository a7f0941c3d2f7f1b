//! Calls that somebody pushes to us, side by side.

use std::{
    sync::{
        Arc, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use uuid::Uuid;

use super::{
    Settings, TapLine, Taps,
    facts::{CallFacts, Side},
};

/// A call that is pushed to us.
#[derive(Debug)]
pub struct Fork {
    line: TapLine,
    /// One of its sides comes by itself.
    sides: AtomicBool,
}

impl Fork {
    pub fn line(&self) -> &TapLine {
        &self.line
    }

    /// Whether the mix has nothing to add.
    pub fn has_sides(&self) -> bool {
        self.sides.load(Ordering::Relaxed)
    }
}

impl Taps {
    /// A side of a call that is pushed to us: the call of this id, which begins with its first side
    /// and ends when the last is let go of.
    pub fn fork(
        self: &Arc<Self>,
        id: &str,
        side: Side,
        settings: &Settings,
        now: Instant,
    ) -> Arc<Fork> {
        let mut forks = self.forks.lock().unwrap_or_else(PoisonError::into_inner);
        forks.retain(|_, fork| fork.strong_count() > 0);
        let fork = forks.get(id).and_then(Weak::upgrade).unwrap_or_else(|| {
            let facts = CallFacts {
                call_id: id.parse().unwrap_or_else(|_| Uuid::new_v4()),
                channel_id: id.to_owned(),
                ..CallFacts::default()
            };
            let line = self.open(facts, settings, now);
            let fork = Arc::new(Fork { line, sides: AtomicBool::new(false) });
            forks.insert(id.to_owned(), Arc::downgrade(&fork));
            fork
        });
        if side != Side::Mix {
            fork.sides.store(true, Ordering::Relaxed);
        }
        fork
    }
}
