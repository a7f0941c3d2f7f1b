//! One sleep for all deadlines of a task.
//!
//! Most deadlines are put off before they come, so the sleep is moved forwards only when it has
//! fired, and moved at once only when a deadline comes nearer.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::time::{Instant, Sleep, sleep_until};

/// The sleep, and when it fires.
#[derive(Debug)]
pub struct Timer {
    sleep: Pin<Box<Sleep>>,
    fires_at: Instant,
    /// It has fired and stands still until it is set anew.
    spent: bool,
}

impl Timer {
    pub fn new(at: Instant) -> Self {
        Self { sleep: Box::pin(sleep_until(at)), fires_at: at, spent: false }
    }

    /// Ready when the nearest deadline, which is this, has come.
    pub fn poll(&mut self, deadline: Instant, cx: &mut Context<'_>) -> Poll<()> {
        if self.is_later_than(deadline) {
            self.set(deadline);
        }
        loop {
            ready!(self.sleep.as_mut().poll(cx));
            if deadline <= self.fires_at {
                self.spent = true;
                return Poll::Ready(());
            }
            self.set(deadline);
        }
    }

    /// Whether a deadline would come before the sleep fires.
    pub fn is_later_than(&self, deadline: Instant) -> bool {
        self.spent || deadline < self.fires_at
    }

    /// There is no deadline: the sleep may fire unheard, and the next deadline sets it anew.
    pub fn rest<T>(&mut self) -> Poll<T> {
        self.spent = true;
        Poll::Pending
    }

    fn set(&mut self, at: Instant) {
        self.sleep.as_mut().reset(at);
        self.fires_at = at;
        self.spent = false;
    }
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, time::Duration};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn a_deadline_that_is_put_off_or_comes_nearer_is_met() {
        let start = Instant::now();
        let mut timer = Timer::new(start + SECOND);
        for deadline in [3, 5, 4, 9, 6, 7, 7, 20] {
            let at = start + SECOND * deadline;
            // Looked at once before, as a task does that is woken by something else.
            let _ = poll_fn(|cx| Poll::Ready(timer.poll(at + SECOND, cx))).await;
            poll_fn(|cx| timer.poll(at, cx)).await;
            assert!(Instant::now() >= at);
            assert!(Instant::now() <= at.max(start + SECOND * 9) + Duration::from_millis(2));
        }
    }
}
