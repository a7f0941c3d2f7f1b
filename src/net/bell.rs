//! A waker of its own for a part of a task.
//!
//! A task that is woken for a frame of audio need not ask its mailbox, its timer and its tokens
//! whether it was them: each such part is polled with a bell's waker, and only when that has rung.
//! A bell wakes the task as the task's own waker would; nothing that rings is ever missed.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Wake, Waker},
};

/// The owner's side. It has rung from the beginning, so everything is asked once.
#[derive(Debug)]
pub struct Bell {
    shared: Arc<Shared>,
    waker: Waker,
    /// What `shared.task` is, so that the lock is taken only when that changes.
    task: Waker,
}

#[derive(Debug)]
struct Shared {
    rung: AtomicBool,
    task: Mutex<Waker>,
}

impl Default for Bell {
    fn default() -> Self {
        let task = Waker::noop().clone();
        let shared =
            Arc::new(Shared { rung: AtomicBool::new(true), task: Mutex::new(task.clone()) });
        Self { waker: Waker::from(shared.clone()), shared, task }
    }
}

impl Bell {
    /// Whether it has rung since it was last asked. From now on it wakes this task.
    pub fn has_rung(&mut self, cx: &Context<'_>) -> bool {
        if !self.task.will_wake(cx.waker()) {
            self.task.clone_from(cx.waker());
            let mut task = self.shared.task.lock().unwrap_or_else(PoisonError::into_inner);
            task.clone_from(cx.waker());
        }
        self.shared.rung.load(Ordering::Relaxed) && self.shared.rung.swap(false, Ordering::Acquire)
    }

    /// To be polled with by whatever rings it.
    pub fn waker(&self) -> &Waker {
        &self.waker
    }

    /// Whoever was asked had something, and may have more: it counts as rung.
    pub fn stays_rung(&self) {
        self.shared.rung.store(true, Ordering::Relaxed);
    }
}

impl Wake for Shared {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.rung.store(true, Ordering::Release);
        self.task.lock().unwrap_or_else(PoisonError::into_inner).wake_by_ref();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[derive(Default)]
    struct Task(AtomicUsize);

    impl Wake for Task {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_ring_is_seen_once_and_wakes_the_task_that_asked_last() {
        let (first, second) = (Arc::new(Task::default()), Arc::new(Task::default()));
        let (a, b) = (Waker::from(first.clone()), Waker::from(second.clone()));
        let mut bell = Bell::default();
        assert!(bell.has_rung(&Context::from_waker(&a)), "from the beginning");
        assert!(!bell.has_rung(&Context::from_waker(&a)));
        let ringer = bell.waker().clone();
        ringer.wake_by_ref();
        assert_eq!(first.0.load(Ordering::Relaxed), 1);
        assert!(bell.has_rung(&Context::from_waker(&b)));
        assert!(!bell.has_rung(&Context::from_waker(&b)));
        ringer.wake();
        assert_eq!((first.0.load(Ordering::Relaxed), second.0.load(Ordering::Relaxed)), (1, 1));
        bell.stays_rung();
        assert!(bell.has_rung(&Context::from_waker(&b)));
    }
}
