//! How much of the delay is needless: what was never used, for a while, may be taken out.

use std::time::{Duration, Instant};

use crate::media::frame::FRAME_TIME;

/// The delay is too long when it was never less than this for a [`WINDOW`].
const EXCESS: Duration = FRAME_TIME;
/// How long one looks before calling delay needless.
const WINDOW: Duration = Duration::from_millis(1_500);
/// How long needless delay waits for silence to be taken out in; then it goes anyway.
const PATIENCE: Duration = Duration::from_millis(2_000);
/// Speech that goes that way goes one frame at a time, this far apart.
const FORCED_EVERY: Duration = Duration::from_millis(200);

/// The least delay of the current and the last window, and since when it has been needless.
#[derive(Debug)]
pub struct Floor {
    frame_time: Duration,
    window_began: Instant,
    current: Duration,
    needless_since: Option<Instant>,
    /// How much is to be taken out.
    excess: Duration,
    /// Before this, only silence is taken out.
    forced_after: Instant,
}

impl Floor {
    pub fn new(frame_time: Duration, now: Instant) -> Self {
        Self {
            frame_time,
            window_began: now,
            current: Duration::MAX,
            needless_since: None,
            excess: Duration::ZERO,
            forced_after: now,
        }
    }

    /// A frame came, and this much of the delay was of no use.
    pub fn see(&mut self, needless: Duration, now: Instant) {
        self.current = self.current.min(needless);
        // What is used after all stays.
        self.excess = self.excess.min(needless);
        if now.saturating_duration_since(self.window_began) < WINDOW {
            return;
        }
        if self.current >= EXCESS.max(self.frame_time) {
            self.needless_since.get_or_insert(self.window_began);
            self.excess = self.current;
        } else {
            self.needless_since = None;
            self.excess = Duration::ZERO;
        }
        self.window_began = now;
        self.current = Duration::MAX;
    }

    /// Whether a frame may be taken out to shorten the delay.
    pub fn would_take(&self, now: Instant, is_silence: impl FnOnce() -> bool) -> bool {
        let Some(since) = self.needless_since else { return false };
        let forced = now.saturating_duration_since(since) >= PATIENCE && now >= self.forced_after;
        self.excess >= self.frame_time && (forced || is_silence())
    }

    pub fn took_one(&mut self, now: Instant) {
        self.forced_after = now + FORCED_EVERY;
        self.excess = self.excess.saturating_sub(self.frame_time);
        self.current = self.current.saturating_sub(self.frame_time);
        if self.excess < self.frame_time {
            self.needless_since = None;
        }
    }

    pub fn wants_out(&mut self, now: Instant, is_silence: impl FnOnce() -> bool) -> bool {
        let take = self.would_take(now, is_silence);
        if take {
            self.took_one(now);
        }
        take
    }
}
