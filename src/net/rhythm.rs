//! How often a thread of the runtime goes to sleep and is woken.
//!
//! Under load each sleep is cut short by one more frame of audio, and going to sleep and waking for
//! it costs as much as the frame itself. So a thread with many frames to serve waits out [`BEAT`]
//! between one waking and its next sleep, and then finds those of several calls at once. What comes
//! to a thread that has slept is served at once.

use std::{
    cell::Cell,
    time::{Duration, Instant},
};

use tokio::runtime::Builder;

/// From one waking of a thread to its next: the most that this adds to the delay of a frame, an
/// eightieth of what it sounds.
const BEAT: Duration = Duration::from_micros(250);

/// How long frames are counted before it is judged whether the beat pays: each call has one frame
/// in each direction in it.
const SPAN: Duration = Duration::from_millis(20);

/// Frames in a [`SPAN`] from which on the beat pays: two in each beat, which is what 80 calls bring.
/// One alone would have cost no more where it woke the thread.
const PAYS: u32 = 2 * (SPAN.as_micros() / BEAT.as_micros()) as u32;

thread_local! {
    static RHYTHM: Cell<Option<Rhythm>> = const { Cell::new(None) };
}

/// What a thread remembers of its wakings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Rhythm {
    woken: Instant,
    /// Since when frames are counted.
    since: Instant,
    frames: u32,
    /// Whether the beat paid in the span before.
    pays: bool,
}

/// Gives the threads of a runtime their rhythm.
#[expect(clippy::disallowed_methods, reason = "a thread that would sleep anyway")]
pub fn keep(builder: &mut Builder) {
    builder.on_thread_unpark(|| {
        let now = Instant::now();
        RHYTHM.set(Some(RHYTHM.get().map_or(Rhythm::new(now), |rhythm| rhythm.woken(now))));
    });
    builder.on_thread_park(|| {
        if let Some(rest) = RHYTHM.get().and_then(|rhythm| rhythm.rest(rhythm.woken.elapsed())) {
            std::thread::sleep(rest);
        }
    });
}

/// So many frames have come to this thread.
pub fn count(frames: usize) {
    RHYTHM.set(RHYTHM.get().map(|rhythm| rhythm.counted(frames)));
}

impl Rhythm {
    fn new(now: Instant) -> Self {
        Self { woken: now, since: now, frames: 0, pays: false }
    }

    fn woken(self, now: Instant) -> Self {
        let span = now.saturating_duration_since(self.since);
        if span < SPAN {
            return Self { woken: now, ..self };
        }
        // As many as come in one span, where this one took longer.
        let pays = u128::from(self.frames) * SPAN.as_nanos() >= u128::from(PAYS) * span.as_nanos();
        Self { pays, ..Self::new(now) }
    }

    fn counted(self, frames: usize) -> Self {
        let frames = u32::try_from(frames).unwrap_or(u32::MAX);
        Self { frames: self.frames.saturating_add(frames), ..self }
    }

    /// How long to wait before sleeping, if at all.
    fn rest(self, since: Duration) -> Option<Duration> {
        BEAT.checked_sub(since).filter(|rest| self.pays && !rest.is_zero())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Woken each so many microseconds, for as many frames; whether the beat pays after each waking.
    fn wakings(every: u64, frames: usize, count: usize) -> Vec<bool> {
        let start = Instant::now();
        let mut rhythm = Rhythm::new(start);
        (1..=count as u64)
            .map(|n| {
                rhythm = rhythm.woken(start + Duration::from_micros(every * n));
                rhythm = rhythm.counted(frames);
                rhythm.pays
            })
            .collect()
    }

    #[test]
    fn who_has_worked_for_a_beat_sleeps_at_once() {
        let now = Instant::now();
        let rhythm = Rhythm { pays: true, ..Rhythm::new(now) };
        assert_eq!(rhythm.rest(Duration::ZERO), Some(BEAT));
        assert_eq!(rhythm.rest(BEAT / 5), Some(BEAT / 5 * 4));
        assert_eq!(rhythm.rest(BEAT), None);
        assert_eq!(rhythm.rest(BEAT * 100), None);
    }

    #[test]
    fn who_has_few_frames_sleeps_at_once() {
        assert_eq!(Rhythm::new(Instant::now()).rest(Duration::ZERO), None);
        // 50 calls, one frame each time; then as many wakings for nothing.
        assert!(!wakings(200, 1, 1000).contains(&true));
        assert!(!wakings(10, 0, 1000).contains(&true));
    }

    #[test]
    fn who_has_many_frames_keeps_the_beat_after_one_span_and_for_as_long() {
        // 400 calls, ten frames each beat.
        let pays = wakings(250, 10, 1000);
        assert_eq!(pays.iter().position(|pays| *pays), Some(79));
        assert!(pays[79..].iter().all(|pays| *pays));
    }

    proptest! {
        /// Whether it pays is a matter of the frames, not of how often the thread was woken for them.
        #[test]
        fn as_many_frames_have_the_same_rhythm_however_they_come(together in 1_usize..40) {
            let each = |calls: u64| 10_000 * together as u64 / calls;
            prop_assert!(wakings(each(90), together, 1000).last() == Some(&true));
            prop_assert!(wakings(each(70), together, 1000).last() == Some(&false));
        }
    }
}
