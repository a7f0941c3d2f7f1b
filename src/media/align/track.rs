//! One side on the grid: frames as they come, put where they were spoken, in step with a clock that
//! isn't ours.

use std::{collections::VecDeque, time::Duration};

use bytes::Bytes;

use super::{
    super::{
        frame::{SAMPLE_RATE, is_silence},
        slot::SLOT,
    },
    AHEAD, Corrections, HOLD, TOGETHER,
};

/// From how many samples on a lasting difference is put right: more than half a slot, so that
/// putting it right doesn't make it wrong the other way.
const DRIFT: i64 = (SLOT as i64) * 3 / 4;
/// Frames over which a difference has to last: a second.
const WINDOW: u32 = 50;
/// Frames that a correction waits for silence: another second.
const PATIENCE: u32 = 50;

#[derive(Debug, Default)]
pub struct Track {
    /// From the next slot's beginning on, without a hole.
    pub audio: VecDeque<i16>,
    pub coming: VecDeque<(i64, Bytes)>,
    /// A slot was given that this side had nothing for: the next frame is where time says.
    apart: bool,
    /// The least lateness of a window, and how many frames it has seen.
    least: i64,
    seen: u32,
    /// Samples to take out (below zero) or put in, and for how many frames it has waited.
    wanted: i64,
    waited: u32,
    pub corrections: Corrections,
}

impl Track {
    /// An empty one, whose first frame is where time says.
    pub fn apart(corrections: Corrections) -> Self {
        Self { apart: true, corrections, ..Self::default() }
    }

    /// Puts what has come to its place; `next` is the slot that `audio` begins with.
    pub fn place(&mut self, next: u64) {
        if self.coming.is_empty() {
            return;
        }
        // From the last to the first: none is later than the next one, less its length. A frame
        // that came at a time was spoken in the 20 ms before, so its place begins with its coming
        // as much as anybody can tell; both sides are taken alike.
        let mut not_after = i64::MAX;
        for (at, frame) in self.coming.iter_mut().rev() {
            let length = (frame.len() / 2) as i64;
            *at = (*at).min(not_after.saturating_sub(length));
            not_after = *at;
        }
        let begin = (next * SLOT as u64) as i64;
        while let Some((at, frame)) = self.coming.pop_front() {
            self.place_one(begin, at, &frame);
        }
    }

    fn place_one(&mut self, begin: i64, at: i64, frame: &Bytes) {
        if self.apart {
            // To the nearest slot, so that frames and slots are the same.
            let slot = SLOT as i64;
            let to = (at + slot / 2).div_euclid(slot) * slot;
            if to < begin {
                self.corrections.late += (frame.len() / 2) as u64;
                return;
            }
            let gap = (to - begin) as usize;
            if gap <= limit() {
                self.audio.resize(gap.max(self.audio.len()), 0);
            }
            self.apart = false;
            self.forget();
        }
        let late = at - (begin + self.audio.len() as i64);
        if -late > samples_of(AHEAD) || self.audio.len() + frame.len() / 2 > 2 * limit() {
            self.corrections.late += (frame.len() / 2) as u64;
            return;
        }
        self.watch(late);
        let mut skip = 0;
        if self.wanted != 0 {
            self.waited += 1;
            if self.waited > PATIENCE || is_silence(frame) {
                skip = self.correct(frame.len() / 2);
            }
        }
        let samples = frame.chunks_exact(2).map(|s| i16::from_le_bytes([s[0], s[1]]));
        self.audio.extend(samples.skip(skip));
    }

    /// Whether this side has been off for as long as a window.
    fn watch(&mut self, late: i64) {
        self.least = if self.seen == 0 { late } else { self.least.min(late) };
        self.seen += 1;
        if self.seen >= WINDOW {
            let slots = (self.least + self.least.signum() * (SLOT as i64 - DRIFT)) / SLOT as i64;
            if self.wanted == 0 && self.least.abs() > DRIFT {
                (self.wanted, self.waited) = (slots * SLOT as i64, 0);
            }
            self.seen = 0;
        }
    }

    /// Puts right what can be put right with this frame; gives how many of its samples to skip.
    fn correct(&mut self, length: usize) -> usize {
        let mut skip = 0;
        if self.wanted > 0 {
            self.corrections.put += self.wanted.unsigned_abs();
            self.audio.extend(std::iter::repeat_n(0, self.wanted as usize));
            self.wanted = 0;
        } else {
            skip = length.min(self.wanted.unsigned_abs() as usize);
            self.corrections.taken += skip as u64;
            self.wanted += skip as i64;
        }
        self.seen = 0;
        skip
    }

    fn forget(&mut self) {
        (self.seen, self.wanted, self.waited) = (0, 0, 0);
    }

    pub fn give(&mut self, out: &mut [i16; SLOT]) {
        if self.audio.len() < SLOT {
            self.apart = true;
        }
        let there = self.audio.len().min(SLOT);
        for (out, sample) in out.iter_mut().zip(self.audio.drain(..there)) {
            *out = sample;
        }
    }
}

pub fn samples_of(time: Duration) -> i64 {
    (time.as_millis() as i64) * i64::from(SAMPLE_RATE) / 1000
}

/// Most samples of a side that a grid in use holds.
pub fn limit() -> usize {
    (samples_of(HOLD) + samples_of(AHEAD)) as usize + TOGETHER * SLOT
}
