//! Puts the two sides of a call onto one grid of 20 ms, from the answer on.
//!
//! Promises: every slot from the answer to the end is given once and in order, whatever comes or
//! doesn't; what wasn't sent is silence; a side that sends in step keeps every sample, through
//! jitter and stalls of up to [`HOLD`]; what two sides send at the same time is at most one slot
//! apart, also when their clocks drift; memory is bounded by [`HOLD`] and [`AHEAD`].
//!
//! Frames that are late show when they should have come by those that follow: a frame can't have
//! been spoken later than the next one, less its own length.

mod track;

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::{
    frame::{FRAME_TIME, SAMPLE_RATE},
    slot::{SLOT, Slot},
};
use track::Track;

/// How long a slot waits for a side that is late. As long as a frame may wait in a hop: what is
/// later than that has been given up everywhere else, too.
pub const HOLD: Duration = Duration::from_millis(200);
/// How far a side may run ahead of the time; what goes beyond is what a stall left over, and old.
pub const AHEAD: Duration = Duration::from_millis(60);
/// Frames of a side that are looked at together. More come only if the caller was away, and then
/// they came one after the other.
pub const TOGETHER: usize = 64;

/// Which side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    Left,
    Right,
}

/// What happened to frames, in samples.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Corrections {
    /// Dropped because it was too old.
    pub late: u64,
    /// Taken out, or put in as silence, to follow a clock.
    pub taken: u64,
    pub put: u64,
}

/// The grid of one call.
#[derive(Debug)]
pub struct Aligner {
    start: Instant,
    /// The next slot that is given.
    next: u64,
    left: Track,
    right: Track,
}

impl Aligner {
    pub fn new(start: Instant) -> Self {
        let track = || Track::apart(Corrections::default());
        Self { start, next: 0, left: track(), right: track() }
    }

    /// Takes a frame that came at `at`: slin16, whole samples.
    pub fn push(&mut self, lane: Lane, at: Instant, frame: Bytes) {
        let (at, next) = (self.samples(at), self.next);
        let track = match lane {
            Lane::Left => &mut self.left,
            Lane::Right => &mut self.right,
        };
        track.coming.push_back((at, frame));
        if track.coming.len() > TOGETHER {
            track.place(next);
        }
    }

    /// The next slot if it is complete, or has waited long enough at `now`.
    pub fn next(&mut self, now: Instant) -> Option<Slot> {
        self.left.place(self.next);
        self.right.place(self.next);
        let complete = self.left.audio.len() >= SLOT && self.right.audio.len() >= SLOT;
        let waited = now.saturating_duration_since(self.start) >= self.end_of_next() + HOLD;
        (complete || waited).then(|| self.give())
    }

    /// The next slot of what is left when the call is over at `end`.
    pub fn rest(&mut self, end: Instant) -> Option<Slot> {
        self.left.place(self.next);
        self.right.place(self.next);
        let audio = !self.left.audio.is_empty() || !self.right.audio.is_empty();
        let time = end.saturating_duration_since(self.start) >= self.end_of_next();
        (audio || time).then(|| self.give())
    }

    /// Gives up what nobody wants to hear: the next slot is the one at `now`.
    pub fn skip_to(&mut self, now: Instant) {
        let at = self.slot_at(now);
        if at > self.next {
            self.next = at;
            for track in [&mut self.left, &mut self.right] {
                *track = Track::apart(track.corrections);
            }
        }
    }

    /// The slot that a moment falls into.
    pub fn slot_at(&self, at: Instant) -> u64 {
        let since = at.saturating_duration_since(self.start);
        (since.as_micros() / FRAME_TIME.as_micros()) as u64
    }

    pub fn corrections(&self, lane: Lane) -> Corrections {
        match lane {
            Lane::Left => self.left.corrections,
            Lane::Right => self.right.corrections,
        }
    }

    fn give(&mut self) -> Slot {
        let mut slot = Slot::silent(self.next);
        self.left.give(&mut slot.left);
        self.right.give(&mut slot.right);
        self.next += 1;
        slot
    }

    fn end_of_next(&self) -> Duration {
        FRAME_TIME * u32::try_from(self.next + 1).unwrap_or(u32::MAX)
    }

    fn samples(&self, at: Instant) -> i64 {
        let since = at.saturating_duration_since(self.start);
        (since.as_micros() as i64) * i64::from(SAMPLE_RATE) / 1_000_000
    }
}

#[cfg(test)]
mod tests;
