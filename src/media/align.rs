//! Puts the two sides of a call onto one grid of 20 ms, from the answer on.
//!
//! Promises: every slot from the answer to the end is given once and in order, whatever comes or
//! doesn't; what wasn't sent is silence; a side that sends in step keeps every sample, through
//! jitter and stalls of up to [`HOLD`]; what two sides send at the same time is at most one slot
//! apart, also when their clocks drift; memory is bounded by [`HOLD`] and [`AHEAD`].
//!
//! Frames that are late show when they should have come by those that follow: a frame can't have
//! been spoken later than the next one, less its own length.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use bytes::Bytes;

use super::{
    frame::{FRAME_TIME, SAMPLE_RATE, is_silence},
    slot::{SLOT, Slot},
};

/// How long a slot waits for a side that is late. As long as a frame may wait in a hop: what is
/// later than that has been given up everywhere else, too.
pub const HOLD: Duration = Duration::from_millis(200);
/// How far a side may run ahead of the time; what goes beyond is what a stall left over, and old.
pub const AHEAD: Duration = Duration::from_millis(60);
/// Frames of a side that are looked at together. More come only if the caller was away, and then
/// they came one after the other.
pub const TOGETHER: usize = 64;

/// From how many samples on a lasting difference is put right: more than half a slot, so that
/// putting it right doesn't make it wrong the other way.
const DRIFT: i64 = (SLOT as i64) * 3 / 4;
/// Frames over which a difference has to last: a second.
const WINDOW: u32 = 50;
/// Frames that a correction waits for silence: another second.
const PATIENCE: u32 = 50;

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

#[derive(Debug, Default)]
struct Track {
    /// From the next slot's beginning on, without a hole.
    audio: VecDeque<i16>,
    coming: VecDeque<(i64, Bytes)>,
    /// A slot was given that this side had nothing for: the next frame is where time says.
    apart: bool,
    /// The least lateness of a window, and how many frames it has seen.
    least: i64,
    seen: u32,
    /// Samples to take out (below zero) or put in, and for how many frames it has waited.
    wanted: i64,
    waited: u32,
    corrections: Corrections,
}

impl Aligner {
    pub fn new(start: Instant) -> Self {
        let track = || Track { apart: true, ..Track::default() };
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
                let corrections = track.corrections;
                *track = Track { apart: true, corrections, ..Track::default() };
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

impl Track {
    /// Puts what has come to its place; `next` is the slot that `audio` begins with.
    fn place(&mut self, next: u64) {
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

    fn give(&mut self, out: &mut [i16; SLOT]) {
        if self.audio.len() < SLOT {
            self.apart = true;
        }
        let there = self.audio.len().min(SLOT);
        for (out, sample) in out.iter_mut().zip(self.audio.drain(..there)) {
            *out = sample;
        }
    }
}

fn samples_of(time: Duration) -> i64 {
    (time.as_millis() as i64) * i64::from(SAMPLE_RATE) / 1000
}

/// Most samples of a side that a grid in use holds.
fn limit() -> usize {
    (samples_of(HOLD) + samples_of(AHEAD)) as usize + TOGETHER * SLOT
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn frame(value: i16) -> Bytes {
        Bytes::from(value.to_le_bytes().repeat(SLOT))
    }

    /// What each side sends and when it comes, in ms since the answer, in order of coming; asked
    /// every `tick` ms. Gives every slot with the time when it was given.
    fn run(
        left: &[(u64, i16)],
        right: &[(u64, i16)],
        tick: u64,
        end: u64,
    ) -> (Vec<(u64, Slot)>, Aligner) {
        let start = Instant::now();
        let mut aligner = Aligner::new(start);
        let mut slots = Vec::new();
        let (mut l, mut r) = (left.iter().peekable(), right.iter().peekable());
        let mut ms = 0;
        while ms <= end {
            let now = start + MS * ms as u32;
            while let Some((at, value)) = l.next_if(|(at, _)| *at <= ms) {
                aligner.push(Lane::Left, start + MS * *at as u32, frame(*value));
            }
            while let Some((at, value)) = r.next_if(|(at, _)| *at <= ms) {
                aligner.push(Lane::Right, start + MS * *at as u32, frame(*value));
            }
            while let Some(slot) = aligner.next(now) {
                slots.push((ms, slot));
            }
            ms += tick;
        }
        let end_at = start + MS * end as u32;
        while let Some(slot) = aligner.rest(end_at) {
            slots.push((end, slot));
        }
        (slots, aligner)
    }

    fn steady(frames: u64) -> Vec<(u64, i16)> {
        (0..frames).map(|n| (n * 20 + 3, (n + 1) as i16)).collect()
    }

    #[test]
    fn sides_in_step_come_out_as_they_went_in_and_at_once() {
        let (slots, aligner) = run(&steady(500), &steady(500), 20, 10_000);
        for (n, (at, slot)) in slots.iter().enumerate() {
            assert_eq!(slot.index, n as u64);
            assert_eq!(slot.left, slot.right);
            assert!(slot.left.iter().all(|s| *s == (n + 1) as i16), "{n}: {:?}", slot.left[0]);
            assert!(*at <= (n as u64) * 20 + 3 + 20, "slot {n} was given at {at} ms");
        }
        assert_eq!(slots.len(), 500);
        assert_eq!(aligner.corrections(Lane::Left), Corrections::default());
    }

    #[test]
    fn a_side_that_says_nothing_is_silent_and_the_other_waits_no_longer_than_hold() {
        let (slots, _) = run(&steady(200), &[], 20, 4_000);
        assert_eq!(slots.len(), 200);
        for (n, (at, slot)) in slots.iter().enumerate() {
            assert!(slot.right.iter().all(|s| *s == 0));
            assert!(slot.left.iter().all(|s| *s == (n + 1) as i16));
            assert!(*at <= (n as u64 + 1) * 20 + HOLD.as_millis() as u64 + 20);
        }
    }

    #[test]
    fn a_side_that_begins_later_is_where_it_began() {
        let late: Vec<_> = steady(100).into_iter().map(|(at, v)| (at + 1_000, v)).collect();
        let (slots, _) = run(&steady(200), &late, 20, 4_000);
        let first = slots.iter().find(|(_, slot)| slot.right[0] == 1).expect("heard");
        assert_eq!(first.1.index, 50);
        assert_eq!(first.1.left[0], 51);
    }

    #[test]
    fn a_stall_within_hold_loses_nothing_and_moves_nothing() {
        let stalled: Vec<_> = steady(300)
            .into_iter()
            .map(|(at, v)| (if (1_000..1_180).contains(&at) { 1_180 } else { at }, v))
            .collect();
        let (slots, aligner) = run(&steady(300), &stalled, 20, 6_000);
        assert!(slots.iter().all(|(_, slot)| slot.left == slot.right));
        assert_eq!(aligner.corrections(Lane::Right), Corrections::default());
    }

    #[test]
    fn after_a_long_stall_the_newest_is_where_it_belongs_and_the_rest_is_silence() {
        let stalled: Vec<_> = steady(300)
            .into_iter()
            .map(|(at, v)| (if (1_000..2_000).contains(&at) { 2_000 } else { at }, v))
            .collect();
        let (slots, aligner) = run(&steady(300), &stalled, 20, 6_000);
        assert_eq!(slots.len(), 300);
        for (_, slot) in &slots {
            // The burst came up to a slot after its last frame was sent, which can't be known.
            let apart = slot.left[0] - slot.right[0];
            assert!(slot.right[0] == 0 || (0..=1).contains(&apart), "slot {}: {apart}", slot.index);
            assert!(slot.index < 230 || apart == 0, "slot {}: {apart}", slot.index);
        }
        let silent = slots.iter().filter(|(_, slot)| slot.right[0] == 0).count();
        assert!((35..=45).contains(&silent), "{silent}");
        assert!(aligner.corrections(Lane::Right).late >= 35 * SLOT as u64);
    }

    #[test]
    fn a_caller_that_is_away_for_seconds_finds_every_slot() {
        let (slots, _) = run(&steady(300), &steady(300), 900, 6_000);
        assert_eq!(slots.len(), 300);
        assert!(slots.iter().all(|(_, slot)| slot.left == slot.right));
    }

    #[test]
    fn what_nobody_wants_to_hear_is_skipped() {
        let start = Instant::now();
        let mut aligner = Aligner::new(start);
        aligner.skip_to(start + 1_005 * MS);
        aligner.push(Lane::Left, start + 1_010 * MS, frame(7));
        aligner.push(Lane::Right, start + 1_011 * MS, frame(8));
        // 1,010 is as near to slot 51 as to 50.
        let first = aligner.next(start + 1_011 * MS).or_else(|| aligner.next(start + 1_300 * MS));
        assert_eq!(first.expect("a slot").index, 50);
        let second = aligner.next(start + 1_300 * MS).expect("a slot");
        assert_eq!((second.left[0], second.right[0]), (7, 8));
    }

    /// Where each frame of a side came out, in ms after it was sent.
    fn delays(sent: &[(u64, i16)], slots: &[(u64, Slot)]) -> Vec<i64> {
        let mut places = std::collections::HashMap::new();
        for (_, slot) in slots {
            places.entry(slot.right[SLOT / 2]).or_insert(slot.index as i64 * 20);
        }
        let place = |(at, value): &(u64, i16)| Some(places.get(value)? - *at as i64);
        sent.iter().filter_map(place).collect()
    }

    #[test]
    fn clocks_that_drift_by_half_a_percent_are_followed_within_a_slot() {
        for micros in [19_900u64, 20_100] {
            let sent: Vec<_> =
                (0..6_000).map(|n| (n * micros / 1000, (n % 30_000 + 1) as i16)).collect();
            let end = sent.last().map_or(0, |(at, _)| *at);
            let (slots, aligner) = run(&steady(end / 20), &sent, 20, end);
            let delays = delays(&sent, &slots);
            assert!(delays.len() > 5_900, "{}", delays.len());
            let (least, most) = (delays.iter().min(), delays.iter().max());
            assert!(*least.expect("one") >= -45 && *most.expect("one") <= 45, "{least:?} {most:?}");
            let corrections = aligner.corrections(Lane::Right);
            assert_eq!(corrections.late, 0, "{corrections:?}");
        }
    }

    proptest! {
        #[test]
        fn with_jitter_of_60_ms_no_frame_is_lost_and_none_is_a_slot_away(
            late in proptest::collection::vec(0u64..60, 400),
            tick in 5u64..40,
        ) {
            let mut before = 0;
            let sent: Vec<(u64, i16)> = late
                .iter()
                .enumerate()
                .map(|(n, late)| {
                    before = before.max(n as u64 * 20 + late);
                    (before, n as i16 + 1)
                })
                .collect();
            let (slots, aligner) = run(&steady(400), &sent, tick, 8_060);
            prop_assert_eq!(aligner.corrections(Lane::Right).late, 0);
            for (_, slot) in slots.iter().filter(|(_, slot)| slot.right[0] != 0) {
                let apart = i64::from(slot.right[0]) - 1 - slot.index as i64;
                prop_assert!(apart.abs() <= 3, "slot {} has {}", slot.index, slot.right[0] - 1);
            }
            // The first frame's own lateness is all that can't be known, and only for a while.
            for (_, slot) in slots.iter().skip(200).filter(|(_, slot)| slot.right[0] != 0) {
                let apart = i64::from(slot.right[0]) - 1 - slot.index as i64;
                prop_assert!(apart.abs() <= 1, "slot {} has {}", slot.index, slot.right[0] - 1);
            }
        }

        #[test]
        fn whatever_comes_every_slot_is_given_once_in_order_and_memory_is_bounded(
            pushes in proptest::collection::vec((any::<bool>(), 0u64..200, 0usize..2_000), 0..300),
        ) {
            let start = Instant::now();
            let mut aligner = Aligner::new(start);
            let mut now = start;
            let mut expected = 0;
            for (left, wait, bytes) in pushes {
                now += MS * wait as u32;
                let lane = if left { Lane::Left } else { Lane::Right };
                aligner.push(lane, now, Bytes::from(vec![1; bytes]));
                while let Some(slot) = aligner.next(now) {
                    prop_assert_eq!(slot.index, expected);
                    expected += 1;
                }
                let due = now.saturating_duration_since(start).saturating_sub(HOLD).as_millis() / 20;
                prop_assert!(u128::from(expected) >= due);
                prop_assert!(aligner.left.audio.len() <= 2 * limit());
                prop_assert!(aligner.right.audio.len() <= 2 * limit());
            }
            while aligner.rest(now).is_some() {
                expected += 1;
            }
            let whole = now.saturating_duration_since(start).as_millis() / 20;
            prop_assert!(u128::from(expected) >= whole);
            prop_assert!(u128::from(expected) <= whole + 2 * limit() as u128 / SLOT as u128 + 1);
        }
    }
}
