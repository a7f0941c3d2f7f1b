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

thread_local! {
    static WOKEN: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// Gives the threads of a runtime their rhythm.
#[expect(clippy::disallowed_methods, reason = "a thread that would sleep anyway")]
pub fn keep(builder: &mut Builder) {
    builder.on_thread_unpark(|| WOKEN.set(Some(Instant::now())));
    builder.on_thread_park(|| {
        if let Some(rest) = WOKEN.get().and_then(|woken| rest(woken.elapsed())) {
            std::thread::sleep(rest);
        }
    });
}

/// How long to wait before sleeping, if at all.
fn rest(since_woken: Duration) -> Option<Duration> {
    BEAT.checked_sub(since_woken).filter(|rest| !rest.is_zero())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_worked_for_a_beat_sleeps_at_once() {
        assert_eq!(rest(Duration::ZERO), Some(BEAT));
        assert_eq!(rest(BEAT / 5), Some(BEAT / 5 * 4));
        assert_eq!(rest(BEAT), None);
        assert_eq!(rest(BEAT * 100), None);
    }
}
