//! How much of the delay is needless: what was never used, for a while, may be taken out.

use super::nanos::Nanos;
use crate::media::frame::FRAME_TIME;

/// The delay is too long when it was never less than this for a [`WINDOW`].
const EXCESS: Nanos = Nanos::of(FRAME_TIME);
/// How long one looks before calling delay needless.
const WINDOW: Nanos = Nanos::millis(1_500);
/// How long needless delay waits for silence to be taken out in; then it goes anyway.
const PATIENCE: Nanos = Nanos::millis(2_000);
/// Speech that goes that way goes one frame at a time, this far apart.
const FORCED_EVERY: Nanos = Nanos::millis(200);

/// The least delay of the current and the last window, and since when it has been needless.
#[derive(Debug)]
#[repr(C)] // what a frame in step touches comes last, beside what it touches of the pacer
pub struct Floor {
    frame_time: Nanos,
    needless_since: Option<Nanos>,
    /// Before this, only silence is taken out.
    forced_after: Nanos,
    window_began: Nanos,
    current: Nanos,
    /// How much is to be taken out.
    excess: Nanos,
}

impl Floor {
    pub fn new(frame_time: Nanos, now: Nanos) -> Self {
        Self {
            frame_time,
            needless_since: None,
            forced_after: now,
            window_began: now,
            current: Nanos::MAX,
            excess: Nanos::ZERO,
        }
    }

    /// A frame came, and this much of the delay was of no use.
    pub fn see(&mut self, needless: Nanos, now: Nanos) {
        self.current = self.current.min(needless);
        // What is used after all stays.
        self.excess = self.excess.min(needless);
        if now - self.window_began < WINDOW {
            return;
        }
        if self.current >= EXCESS.max(self.frame_time) {
            self.needless_since.get_or_insert(self.window_began);
            self.excess = self.current;
        } else {
            self.needless_since = None;
            self.excess = Nanos::ZERO;
        }
        self.window_began = now;
        self.current = Nanos::MAX;
    }

    /// Whether a frame may be taken out to shorten the delay.
    pub fn would_take(&self, now: Nanos, is_silence: impl FnOnce() -> bool) -> bool {
        if self.excess == Nanos::ZERO {
            return false;
        }
        let Some(since) = self.needless_since else { return false };
        let forced = now - since >= PATIENCE && now >= self.forced_after;
        self.excess >= self.frame_time && (forced || is_silence())
    }

    pub fn took_one(&mut self, now: Nanos) {
        self.forced_after = now + FORCED_EVERY;
        self.excess -= self.frame_time;
        self.current -= self.frame_time;
        if self.excess < self.frame_time {
            self.needless_since = None;
        }
    }

    pub fn wants_out(&mut self, now: Nanos, is_silence: impl FnOnce() -> bool) -> bool {
        let take = self.would_take(now, is_silence);
        if take {
            self.took_one(now);
        }
        take
    }
}

/// Where what a frame in step touches lies.
#[cfg(test)]
pub const IN_STEP: std::ops::Range<usize> = std::mem::offset_of!(Floor, window_began)
    ..std::mem::offset_of!(Floor, excess) + size_of::<Nanos>();
