//! One sleep for all deadlines of a task.
//!
//! Most deadlines are put off before they come, so the sleep is moved forwards only when it has
//! fired, and moved at once only when a deadline comes nearer.

use std::{
    future::Future,
    pin::Pin,
    sync::OnceLock,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::time::{Instant, Sleep, sleep_until};

/// What thousands of idle connections do now and then, each for itself, is done in turns this far
/// apart, so that a thread is woken 20 times a second for it and not once for each. Of 10,000
/// phones 33 are pinged in a turn, which takes a third of a millisecond.
const TURN: Duration = Duration::from_millis(50);

/// The first turn at or after this.
pub fn next_turn(at: Instant) -> Instant {
    static FIRST: OnceLock<Instant> = OnceLock::new();
    let since = at.saturating_duration_since(*FIRST.get_or_init(Instant::now)).as_nanos();
    let late = since % TURN.as_nanos();
    let wait = (TURN.as_nanos() - late) % TURN.as_nanos();
    at + Duration::from_nanos(u64::try_from(wait).unwrap_or_default())
}

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

    /// Whether it has fired and nobody has heard it yet.
    pub fn has_fired(&self) -> bool {
        !self.spent && self.sleep.is_elapsed()
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
    use std::future::poll_fn;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn turns_are_shared_and_never_early() {
        let begin = next_turn(Instant::now()) + TURN;
        let turns: Vec<_> =
            (0..200).map(|ms| next_turn(begin + Duration::from_millis(ms))).collect();
        for (ms, turn) in turns.iter().enumerate() {
            let late = turn.saturating_duration_since(begin + Duration::from_millis(ms as u64));
            assert!(late < TURN + Duration::from_millis(1), "{late:?}");
        }
        let mut different = turns.clone();
        different.dedup();
        assert!(different.len() <= 5, "{different:?}");
    }

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
