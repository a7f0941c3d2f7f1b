//! Whom to ring next: one phone, a group together, or a group in turn.
//!
//! Promises: a member is never rung twice at the same moment; every `Ring` that was accepted is
//! ended by exactly one `Stop` or by the answer; one step costs at most one pass over the members,
//! so nobody to ring ends the hunt at once and burns nothing; a member who declined is not rung
//! again by this call.

use std::time::{Duration, Instant};

use super::{Extension, RingId, ending::Ending};

/// What was dialled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Plan {
    /// All members together for `timeout`; a single phone is a plan of one.
    Together { members: Vec<Extension>, timeout: Duration },
    /// One after the other, each for `timeout`, going round `rounds` times (`None`: until the
    /// caller gives up).
    InTurn { members: Vec<Extension>, timeout: Duration, rounds: Option<u32> },
}

impl Plan {
    /// How long one phone rings, at most.
    pub fn ring_time(&self) -> Duration {
        match self {
            Plan::Together { timeout, .. } | Plan::InTurn { timeout, .. } => *timeout,
        }
    }
}

/// What became of a request to ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offered {
    /// The phone is taken by this call and rings.
    Ringing,
    /// In a call, or not to be disturbed.
    Busy,
    /// Logged in, and no page answers.
    Unreachable,
    /// Nobody is logged in, or nobody is there.
    Away,
}

/// Why a phone stopped ringing without our asking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fell {
    /// Its user declined.
    Declined,
    /// Its connection is gone.
    Gone,
    /// Its page shows nothing.
    Unreachable,
}

/// What the hunt asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Ring this phone and say what became of it with [`Hunt::offered`].
    Ring(RingId, Extension),
    /// Stop ringing, and why.
    Stop(RingId, Ending),
    /// Nobody is left to ring.
    Over(Ending),
}

/// The hunt of one call.
#[derive(Debug)]
pub struct Hunt {
    members: Vec<Member>,
    timeout: Duration,
    turns: Option<Turns>,
    /// Number of the next ringing.
    next_ring: u32,
    deadline: Option<Instant>,
    over: bool,
    seen: Seen,
}

/// Where a hunt in turn stands.
#[derive(Debug)]
struct Turns {
    rounds: Option<u32>,
    /// Rounds that are finished.
    round: u32,
    next: usize,
    /// Whether somebody rang in this round.
    rang: bool,
}

#[derive(Debug)]
struct Member {
    ext: Extension,
    state: MemberState,
    declined: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum MemberState {
    Quiet,
    Asked(RingId),
    Ringing(RingId),
}

/// What has been met so far; it decides what the end is called.
#[derive(Debug, Default)]
struct Seen {
    timed_out: bool,
    declined: bool,
    busy: bool,
    gone: bool,
    unreachable: bool,
}

impl Hunt {
    pub fn new(plan: Plan) -> Self {
        let (members, timeout, turns) = match plan {
            Plan::Together { members, timeout } => (members, timeout, None),
            Plan::InTurn { members, timeout, rounds } => {
                let turns = Turns { rounds, round: 0, next: 0, rang: false };
                (members, timeout, Some(turns))
            }
        };
        let members = members
            .into_iter()
            .map(|ext| Member { ext, state: MemberState::Quiet, declined: false })
            .collect();
        Self {
            members,
            timeout,
            turns,
            next_ring: 0,
            deadline: None,
            over: false,
            seen: Seen::default(),
        }
    }

    /// Begins to ring.
    pub fn start(&mut self, now: Instant, steps: &mut Vec<Step>) {
        if self.turns.is_some() {
            self.ask_next(steps);
        } else {
            self.deadline = Some(now + self.timeout);
            for index in 0..self.members.len() {
                self.ask(index, steps);
            }
            self.end_if_all_quiet(steps);
        }
    }

    /// When [`Hunt::expire`] wants to be called.
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Who rings under this number.
    pub fn ringing(&self, ring: RingId) -> Option<&Extension> {
        let member = self.members.iter().find(|m| m.state == MemberState::Ringing(ring))?;
        Some(&member.ext)
    }

    /// How many phones ring now.
    pub fn ringing_count(&self) -> usize {
        self.members.iter().filter(|m| matches!(m.state, MemberState::Ringing(_))).count()
    }

    /// What became of a [`Step::Ring`].
    pub fn offered(&mut self, ring: RingId, what: Offered, now: Instant, steps: &mut Vec<Step>) {
        let Some(index) = self.find(MemberState::Asked(ring)) else { return };
        match what {
            Offered::Ringing => {
                self.members[index].state = MemberState::Ringing(ring);
                if let Some(turns) = &mut self.turns {
                    turns.rang = true;
                    self.deadline = Some(now + self.timeout);
                }
            }
            Offered::Busy | Offered::Unreachable | Offered::Away => {
                self.members[index].state = MemberState::Quiet;
                self.seen.busy |= what == Offered::Busy;
                self.seen.unreachable |= what == Offered::Unreachable;
                self.go_on(steps);
            }
        }
    }

    /// A phone stopped ringing by itself.
    pub fn fell(&mut self, ring: RingId, how: Fell, steps: &mut Vec<Step>) {
        let Some(index) = self.find(MemberState::Ringing(ring)) else { return };
        let member = &mut self.members[index];
        member.state = MemberState::Quiet;
        match how {
            Fell::Declined => {
                member.declined = true;
                self.seen.declined = true;
            }
            Fell::Gone => self.seen.gone = true,
            Fell::Unreachable => self.seen.unreachable = true,
        }
        self.go_on(steps);
    }

    /// A phone answered: everybody else stops. False if it doesn't ring (any more).
    pub fn answered(&mut self, ring: RingId, steps: &mut Vec<Step>) -> bool {
        let Some(index) = self.find(MemberState::Ringing(ring)) else { return false };
        self.members[index].state = MemberState::Quiet;
        self.stop_all(Ending::AnsweredElsewhere, steps);
        self.close();
        true
    }

    /// The caller is gone or the call ends for another reason: everybody stops.
    pub fn cancel(&mut self, why: Ending, steps: &mut Vec<Step>) {
        self.stop_all(why, steps);
        self.close();
    }

    /// The deadline has passed.
    pub fn expire(&mut self, now: Instant, steps: &mut Vec<Step>) {
        if self.deadline.is_none_or(|at| now < at) {
            return;
        }
        self.deadline = None;
        self.seen.timed_out = true;
        self.stop_all(Ending::NoAnswer, steps);
        if self.turns.is_some() {
            self.ask_next(steps);
        } else {
            self.finish(steps);
        }
    }

    fn find(&self, state: MemberState) -> Option<usize> {
        self.members.iter().position(|m| m.state == state)
    }

    fn ask(&mut self, index: usize, steps: &mut Vec<Step>) {
        let ring = RingId(self.next_ring);
        self.next_ring = self.next_ring.wrapping_add(1);
        let member = &mut self.members[index];
        member.state = MemberState::Asked(ring);
        steps.push(Step::Ring(ring, member.ext.clone()));
    }

    fn stop_all(&mut self, why: Ending, steps: &mut Vec<Step>) {
        for member in &mut self.members {
            if let MemberState::Ringing(ring) = member.state {
                steps.push(Step::Stop(ring, why));
            }
            member.state = MemberState::Quiet;
        }
    }

    /// Somebody who was asked or rang does not any more.
    fn go_on(&mut self, steps: &mut Vec<Step>) {
        if self.turns.is_some() {
            self.deadline = None;
            self.ask_next(steps);
        } else {
            self.end_if_all_quiet(steps);
        }
    }

    fn end_if_all_quiet(&mut self, steps: &mut Vec<Step>) {
        if self.members.iter().all(|m| m.state == MemberState::Quiet) {
            self.finish(steps);
        }
    }

    /// In turn: the next member who has not declined, over the end of the round if need be.
    fn ask_next(&mut self, steps: &mut Vec<Step>) {
        loop {
            let Some(turns) = &mut self.turns else { return };
            if turns.next == self.members.len() {
                turns.round += 1;
                let more = turns.rounds.is_none_or(|rounds| turns.round < rounds);
                // A round in which nobody rang would be followed by the same round, for ever.
                if !turns.rang || !more {
                    return self.finish(steps);
                }
                turns.next = 0;
                turns.rang = false;
            }
            let index = turns.next;
            turns.next += 1;
            if !self.members[index].declined {
                return self.ask(index, steps);
            }
        }
    }

    fn close(&mut self) {
        self.deadline = None;
        self.over = true;
    }

    fn finish(&mut self, steps: &mut Vec<Step>) {
        if self.over {
            return;
        }
        self.close();
        let ending = match self.seen {
            Seen { timed_out: true, .. } => Ending::NoAnswer,
            Seen { declined: true, .. } => Ending::Declined,
            Seen { busy: true, .. } => Ending::Busy,
            Seen { gone: true, .. } => Ending::PhoneLost,
            Seen { unreachable: true, .. } => Ending::Unreachable,
            Seen { .. } => Ending::Away,
        };
        steps.push(Step::Over(ending));
    }
}

#[cfg(test)]
mod tests;
