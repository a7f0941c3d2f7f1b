//! How often a thread of the runtime goes to sleep and is woken.
//!
//! Under load each sleep is cut short by one more frame of audio, and going to sleep and waking for
//! it costs as much as the frame itself. So a thread that wants to sleep right after it was woken
//! waits out [`BEAT`] first, and then finds the frames of several calls at once. What comes to a
//! thread that has slept is served at once.

use std::{
    cell::Cell,
    time::{Duration, Instant},
};

use tokio::runtime::Builder;

/// From one waking of a thread to its next: the most that this adds to the delay of a frame, an
/// eightieth of what it sounds.
const BEAT: Duration = Duration::from_micros(250);

/// Whoever was woken less often than this has no load that would pay for waiting: a thousand idle
/// phones, or two calls.
const BUSY: Duration = Duration::from_micros(500);

thread_local! {
    static WOKEN: Cell<Option<Woken>> = const { Cell::new(None) };
}

/// When a thread was woken last, and whether it had slept for less than [`BUSY`] since the time before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Woken {
    at: Instant,
    busy: bool,
}

/// Gives the threads of a runtime their rhythm.
#[expect(clippy::disallowed_methods, reason = "a thread that would sleep anyway")]
pub fn keep(builder: &mut Builder) {
    builder.on_thread_unpark(|| WOKEN.set(Some(woken(WOKEN.get(), Instant::now()))));
    builder.on_thread_park(|| {
        if let Some(rest) = WOKEN.get().and_then(|woken| woken.rest(woken.at.elapsed())) {
            std::thread::sleep(rest);
        }
    });
}

fn woken(before: Option<Woken>, at: Instant) -> Woken {
    let busy = before.is_some_and(|before| at.saturating_duration_since(before.at) < BUSY);
    Woken { at, busy }
}

impl Woken {
    /// How long to wait before sleeping, if at all.
    fn rest(self, since: Duration) -> Option<Duration> {
        BEAT.checked_sub(since).filter(|rest| self.busy && !rest.is_zero())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_worked_for_a_beat_sleeps_at_once() {
        let woken = Woken { at: Instant::now(), busy: true };
        assert_eq!(woken.rest(Duration::ZERO), Some(BEAT));
        assert_eq!(woken.rest(BEAT / 5), Some(BEAT / 5 * 4));
        assert_eq!(woken.rest(BEAT), None);
        assert_eq!(woken.rest(BEAT * 100), None);
    }

    #[test]
    fn who_is_woken_now_and_then_sleeps_at_once() {
        let first = woken(None, Instant::now());
        assert_eq!(first.rest(Duration::ZERO), None);
        let later = woken(Some(first), first.at + BUSY);
        assert_eq!(later.rest(Duration::ZERO), None);
        let soon = woken(Some(later), later.at + BUSY / 2);
        assert_eq!(soon.rest(Duration::ZERO), Some(BEAT));
    }
}
