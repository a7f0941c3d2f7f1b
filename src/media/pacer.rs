//! Keeps account of how far ahead of its playout Asterisk's queue is, and keeps that small.
//!
//! Asterisk plays exactly one frame every 20 ms and never catches up: whatever is sent too early
//! is delay for the rest of the call. The pacer knows what was sent and when it will have been
//! played, corrects itself by the queue that Asterisk reports, and decides for each frame of the
//! phone: send it now, hold it for a moment, or drop it.
//!
//! * In step, a frame is sent the moment it comes.
//! * A burst after a short stall (a lost packet) is whole: what is more than [`AHEAD`] is held
//!   here instead of in Asterisk, which delays nothing. The delay that the stall left bridges the
//!   next one as long as stalls recur; then it is taken out again, in silence first.
//! * A burst after a long stall is old: when more than [`BACKLOG`] waits, all but the newest is
//!   dropped, at once.
//! * Where the phone sends nothing, Asterisk gets silence, 50 frames a second.
//!
//! No clock is read here; `now` is an argument and [`Pacer::deadline`] says when to come back.

use std::{
    collections::VecDeque,
    hint::cold_path,
    time::{Duration, Instant},
};

use bytes::Bytes;

use self::{floor::Floor, join::cross_fade, nanos::Nanos, stalls::Stalls};
use super::frame::{self, is_silence, silence};

mod floor;
mod join;
mod nanos;
mod stalls;

/// How far Asterisk may be ahead when a frame is handed to it. Two frames bridge our own lateness;
/// more would be out of our hands.
pub const AHEAD: Duration = Duration::from_millis(40);
/// What may wait for Asterisk, here and there together: the longest stall of which speech is kept.
pub const BACKLOG: Duration = Duration::from_millis(260);
/// The same for a moment after a backlog was dropped: the burst that follows is as old.
const BACKLOG_AFTER_DROP: Nanos = Nanos::millis(60);
/// How long that moment is. A thawed connection delivers its backlog faster than this.
const RECOVERY: Nanos = Nanos::millis(500);
/// Without a frame for this long, the phone counts as sending nothing. Not sooner than the longest
/// stall of which speech is kept: silence in front of late speech makes it later still, while an ear
/// that gets nothing bridges that from its own buffer.
const GAP: Nanos = Nanos::of(BACKLOG);
/// No more than this is kept for stalls that recur: a burst at its end has room below [`BACKLOG`].
const MOST_KEPT: Nanos = Nanos::millis(160);
/// How often Asterisk is asked for its queue.
const ASK_EVERY: Nanos = Nanos::millis(2_000);
/// A reported queue of this many frames is beyond dropping: it is flushed.
const FLUSH_FRAMES: u32 = 25;

/// What the pacer wants done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Send this frame of the phone's to Asterisk.
    Send(Bytes),
    /// Send this silence, where the phone sends nothing.
    Fill(Bytes),
    /// Ask Asterisk for its queue (`GET_STATUS`).
    AskStatus,
    /// Have Asterisk drop its queue (`FLUSH_MEDIA`).
    Flush,
}

/// Frames that were not the phone's, or did not reach Asterisk.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PacerCounts {
    /// The phone's frames that were sent.
    pub sent: u64,
    /// Frames of silence that were sent in the phone's place.
    pub filled: u64,
    /// Dropped because they were too old.
    pub late: u64,
    /// Dropped to catch up.
    pub ahead: u64,
    /// Dropped because Asterisk had no room.
    pub full: u64,
}

/// The account of one call's audio towards Asterisk.
///
/// Its turn comes 50 times a second, and where there are many calls none of it is in the processor's
/// cache then. So what a frame in step touches lies together, from the end of `floor` to the
/// beginning of `stalls`; a test has the figure.
#[derive(Debug)]
#[repr(C)]
pub struct Pacer {
    floor: Floor,
    /// What all moments are counted from.
    began: Instant,
    frame_time: Nanos,
    /// When Asterisk will have played all that it was sent.
    played_out: Nanos,
    ask_at: Nanos,
    /// The phone's frames that were sent.
    sent: u64,
    /// Asterisk has no room.
    xoff: bool,
    /// Nothing is held or taken out; otherwise that may be so again, and the next frame that is sent
    /// finds out.
    in_step: bool,
    stalls: Stalls,
    held: VecDeque<Bytes>,
    /// Taken out; the next frame fades in from it.
    taken: Option<Bytes>,
    recovering_until: Nanos,
    /// How far ahead Asterisk was believed to be when it was asked, while the answer is outstanding.
    asked: Option<Nanos>,
    frame_bytes: usize,
    /// All but those that were sent.
    others: PacerCounts,
}

impl Pacer {
    /// An account that begins empty, at the answer. Frames have `frame_bytes` bytes.
    pub fn new(frame_bytes: usize, now: Instant) -> Self {
        let frame_time = Nanos::of(frame::time(frame_bytes));
        Self {
            floor: Floor::new(frame_time, Nanos::ZERO),
            began: now,
            frame_time,
            played_out: Nanos::ZERO,
            ask_at: ASK_EVERY,
            sent: 0,
            xoff: false,
            in_step: true,
            stalls: Stalls::new(Nanos::ZERO),
            held: VecDeque::new(),
            taken: None,
            recovering_until: Nanos::ZERO,
            asked: None,
            frame_bytes,
            others: PacerCounts::default(),
        }
    }

    /// A whole frame came from the phone.
    pub fn push(&mut self, frame: Bytes, now: Instant, actions: &mut Vec<Action>) {
        let now = Nanos::since(self.began, now);
        self.stalls.see(self.frame_time, now);
        if self.xoff {
            self.others.full += 1;
            return;
        }
        self.floor.see(self.needless(now), now);
        if self.waiting() == 0 {
            if self.floor.wants_out(now, || is_silence(&frame)) {
                self.others.ahead += 1;
                self.taken.get_or_insert(frame);
                self.in_step = false;
                return;
            }
            if self.played_out - now < Nanos::of(AHEAD) {
                self.send(frame, now, actions);
                return;
            }
        }
        self.hold(frame, now);
        self.release(now, actions);
    }

    /// Asterisk could not take what an action said: it was dropped on the way.
    ///
    /// The account keeps its 20 ms. Were they given back, the next frame of silence would be due at
    /// once, and so would the one after it, for as long as Asterisk reads nothing.
    pub fn not_sent(&mut self, action: &Action) {
        match action {
            Action::Send(_) => {
                self.others.full += 1;
                self.sent = self.sent.saturating_sub(1);
            }
            Action::Fill(_) => self.others.filled = self.others.filled.saturating_sub(1),
            Action::AskStatus | Action::Flush => {}
        }
    }

    /// The time of [`Pacer::deadline`] may have come.
    pub fn tick(&mut self, now: Instant, actions: &mut Vec<Action>) {
        let now = Nanos::since(self.began, now);
        self.release(now, actions);
        if self.fill_at().is_some_and(|at| at <= now) {
            let frame = silence(self.frame_bytes);
            self.taken = None;
            self.account(now);
            self.others.filled += 1;
            actions.push(Action::Fill(frame));
        }
        if self.ask_at <= now {
            self.ask_at = now + ASK_EVERY;
            self.asked = Some(self.played_out - now);
            actions.push(Action::AskStatus);
        }
    }

    /// When [`Pacer::tick`] wants to be called.
    pub fn deadline(&self) -> Instant {
        let mut at = self.ask_at;
        if self.waiting() > 0 {
            at = at.min(self.release_at());
        }
        if let Some(fill) = self.fill_at() {
            at = at.min(fill);
        }
        self.began + at
    }

    /// Asterisk reported its queue (`STATUS`).
    pub fn status(&mut self, queue_length: u32, now: Instant, actions: &mut Vec<Action>) {
        let Some(believed) = self.asked.take() else { return };
        let now = Nanos::since(self.began, now);
        if queue_length >= FLUSH_FRAMES {
            self.played_out = now;
            self.others.late += self.held.len() as u64;
            self.held.clear();
            self.recovering_until = now + RECOVERY;
            self.floor = Floor::new(self.frame_time, now);
            actions.push(Action::Flush);
            return;
        }
        // The question travels behind the frames that were sent before it, so the answer is about
        // them and no others, however long the way is: it is held against the belief of that moment.
        // A frame that waits for its tick may be reported or not: one frame is no difference.
        let reported = self.frame_time.times(queue_length as usize);
        if reported.abs_diff(believed) > self.frame_time {
            let ahead = self.played_out - now + reported - believed;
            self.played_out = now + ahead;
        }
    }

    /// Asterisk has no room (`MEDIA_XOFF`) or has room again (`MEDIA_XON`).
    pub fn flow(&mut self, xoff: bool, now: Instant) {
        self.xoff = xoff;
        if xoff {
            self.others.full += self.held.len() as u64;
            self.held.clear();
            self.ask_at = Nanos::since(self.began, now);
        }
    }

    /// What Asterisk has and has not played yet, by our account.
    pub fn ahead(&self, now: Instant) -> Duration {
        (self.played_out - Nanos::since(self.began, now)).into()
    }

    pub fn counts(&self) -> PacerCounts {
        PacerCounts { sent: self.sent, ..self.others }
    }

    /// How many frames are held.
    fn waiting(&self) -> usize {
        if self.in_step {
            return 0;
        }
        // Or the compiler looks at both and chooses then.
        cold_path();
        self.held.len()
    }

    /// When Asterisk will have played what is held, too.
    fn end(&self) -> Nanos {
        self.played_out + self.frame_time.times(self.waiting())
    }

    fn backlog(&self, now: Nanos) -> Nanos {
        self.played_out - now + self.frame_time.times(self.waiting())
    }

    /// The delay that neither this frame has used nor stalls that recur would use.
    fn needless(&self, now: Nanos) -> Nanos {
        let kept = self.stalls.recurring().min(MOST_KEPT);
        let used = self.stalls.due() + kept;
        self.backlog(now).min(self.end() - used)
    }

    /// Keeps a frame back, and of a backlog only the newest.
    #[cold]
    fn hold(&mut self, frame: Bytes, now: Nanos) {
        self.held.push_back(frame);
        self.in_step = false;
        self.trim_held(now);
        let limit =
            if now < self.recovering_until { BACKLOG_AFTER_DROP } else { Nanos::of(BACKLOG) };
        if self.backlog(now) > limit {
            self.others.late += self.held.len() as u64 - 1;
            let first = self.held.drain(..self.held.len() - 1).next();
            self.taken = self.taken.take().or(first);
            self.recovering_until = now + RECOVERY;
            self.floor = Floor::new(self.frame_time, now);
        }
    }

    /// Takes needless delay out of what is held.
    fn trim_held(&mut self, now: Nanos) {
        while self.held.len() > 1 {
            let Some(at) = (0..self.held.len())
                .find(|&i| self.floor.would_take(now, || is_silence(&self.held[i])))
            else {
                return;
            };
            // It is joined with the one behind it, or before it.
            let at = at.min(self.held.len() - 2);
            if let (Some(from), Some(to)) = (self.held.remove(at), self.held.get_mut(at)) {
                *to = cross_fade(&from, std::mem::take(to));
            }
            self.floor.took_one(now);
            self.others.ahead += 1;
        }
    }

    fn release_at(&self) -> Nanos {
        self.played_out - (Nanos::of(AHEAD) - self.frame_time)
    }

    fn release(&mut self, now: Nanos, actions: &mut Vec<Action>) {
        while !self.xoff && self.release_at() <= now {
            let Some(frame) = self.held.pop_front() else { return };
            self.send(frame, now, actions);
        }
    }

    fn fill_at(&self) -> Option<Nanos> {
        if self.xoff || self.waiting() > 0 {
            return None;
        }
        match self.stalls.came() {
            Some(last) => Some(self.played_out.max(last + GAP)),
            None => Some(self.played_out),
        }
    }

    fn send(&mut self, frame: Bytes, now: Nanos, actions: &mut Vec<Action>) {
        self.account(now);
        self.sent += 1;
        let frame = if self.in_step { frame } else { self.step_in(frame) };
        actions.push(Action::Send(frame));
    }

    /// A frame is sent that may be the first in step again.
    #[cold]
    fn step_in(&mut self, frame: Bytes) -> Bytes {
        self.in_step = self.held.is_empty();
        match self.taken.take() {
            Some(taken) => cross_fade(&taken, frame),
            None => frame,
        }
    }

    fn account(&mut self, now: Nanos) {
        self.played_out = self.played_out.max(now) + self.frame_time;
    }
}

#[cfg(test)]
mod tests;
