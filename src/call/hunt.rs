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
mod tests {
    use std::collections::{HashMap, HashSet};

    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn exts(names: &[&str]) -> Vec<Extension> {
        names.iter().map(|n| Extension::from(*n)).collect()
    }

    /// A hunt whose phones answer requests from a table; it records what rings.
    struct Rig {
        hunt: Hunt,
        now: Instant,
        states: HashMap<Extension, Offered>,
        ringing: Vec<(RingId, Extension)>,
        log: Vec<String>,
        over: Option<Ending>,
        steps: usize,
    }

    impl Rig {
        fn new(plan: Plan) -> Self {
            Self {
                hunt: Hunt::new(plan),
                now: Instant::now(),
                states: HashMap::new(),
                ringing: Vec::new(),
                log: Vec::new(),
                over: None,
                steps: 0,
            }
        }

        fn state(mut self, ext: &str, state: Offered) -> Self {
            self.states.insert(ext.into(), state);
            self
        }

        fn run(&mut self, first: impl FnOnce(&mut Hunt, Instant, &mut Vec<Step>)) {
            let mut todo = Vec::new();
            first(&mut self.hunt, self.now, &mut todo);
            while !todo.is_empty() {
                for step in std::mem::take(&mut todo) {
                    self.steps += 1;
                    match step {
                        Step::Ring(ring, ext) => {
                            let what = self.states.get(&ext).copied().unwrap_or(Offered::Ringing);
                            if what == Offered::Ringing {
                                assert!(
                                    !self.ringing.iter().any(|(_, e)| *e == ext),
                                    "{ext} rings twice"
                                );
                                self.log.push(format!("+{ext}"));
                                self.ringing.push((ring, ext));
                            }
                            self.hunt.offered(ring, what, self.now, &mut todo);
                        }
                        Step::Stop(ring, _) => {
                            let at = self.ringing.iter().position(|(r, _)| *r == ring).unwrap();
                            let (_, ext) = self.ringing.remove(at);
                            self.log.push(format!("-{ext}"));
                        }
                        Step::Over(ending) => {
                            assert!(self.over.is_none(), "over twice");
                            self.over = Some(ending);
                        }
                    }
                }
            }
        }

        fn start(mut self) -> Self {
            self.run(|h, now, s| h.start(now, s));
            self
        }

        fn pass(&mut self, time: Duration) {
            self.now += time;
            self.run(|h, now, s| h.expire(now, s));
        }

        fn fall(&mut self, ext: &str, how: Fell) {
            let at = self.ringing.iter().position(|(_, e)| e.as_str() == ext).unwrap();
            let (ring, _) = self.ringing.remove(at);
            self.run(|h, _, s| h.fell(ring, how, s));
        }
    }

    fn in_turn(names: &[&str], rounds: Option<u32>) -> Rig {
        Rig::new(Plan::InTurn { members: exts(names), timeout: 10 * SECOND, rounds })
    }

    fn together(names: &[&str]) -> Rig {
        Rig::new(Plan::Together { members: exts(names), timeout: 10 * SECOND })
    }

    #[test]
    fn sequential_with_nobody_to_ring_ends_at_once() {
        let rig =
            in_turn(&["1", "2"], None).state("1", Offered::Away).state("2", Offered::Away).start();
        assert_eq!(rig.over, Some(Ending::Away));
        assert!(rig.steps <= 3, "one pass over the members");
    }

    #[test]
    fn sequential_with_everybody_in_a_call_is_busy() {
        let rig =
            in_turn(&["1", "2"], None).state("1", Offered::Away).state("2", Offered::Busy).start();
        assert_eq!(rig.over, Some(Ending::Busy));
    }

    #[test]
    fn sequential_goes_round_until_the_caller_gives_up() {
        let mut rig = in_turn(&["1", "2"], None).start();
        for _ in 0..5 {
            rig.pass(10 * SECOND);
        }
        assert_eq!(rig.log.join(" "), "+1 -1 +2 -2 +1 -1 +2 -2 +1 -1 +2");
        rig.run(|h, _, s| h.cancel(Ending::CallerGaveUp, s));
        assert!(rig.ringing.is_empty());
        assert_eq!(rig.over, None, "the caller ended it, not the hunt");
    }

    #[test]
    fn sequential_ends_after_its_rounds() {
        let mut rig = in_turn(&["1", "2"], Some(2)).start();
        for _ in 0..4 {
            rig.pass(10 * SECOND);
        }
        assert_eq!(rig.log.join(" "), "+1 -1 +2 -2 +1 -1 +2 -2");
        assert_eq!(rig.over, Some(Ending::NoAnswer));
    }

    #[test]
    fn a_member_is_on_the_next_round_what_he_is_then() {
        let mut rig = in_turn(&["1", "2"], None).state("1", Offered::Away).start();
        rig.states.insert("1".into(), Offered::Ringing);
        rig.pass(10 * SECOND);
        assert_eq!(rig.log.join(" "), "+2 -2 +1");
        rig.states.insert("2".into(), Offered::Busy);
        rig.states.insert("1".into(), Offered::Away);
        rig.pass(10 * SECOND);
        // 2 is busy, so the round (in which 1 rang) is over; in the next nobody rings.
        assert_eq!(rig.over, Some(Ending::NoAnswer));
    }

    #[test]
    fn a_decline_goes_to_the_next_member_and_the_decliner_is_left_alone() {
        let mut rig = in_turn(&["1", "2"], None).start();
        rig.fall("1", Fell::Declined);
        rig.pass(10 * SECOND);
        rig.pass(10 * SECOND);
        assert_eq!(rig.log.join(" "), "+1 +2 -2 +2 -2 +2");
        rig.fall("2", Fell::Declined);
        assert!(rig.over.is_some());
    }

    #[test]
    fn ringall_leaves_out_who_is_busy_or_away() {
        let rig =
            together(&["1", "2", "3"]).state("1", Offered::Busy).state("3", Offered::Away).start();
        assert_eq!(rig.log, ["+2"]);
        assert_eq!(rig.over, None);
    }

    #[test]
    fn ringall_with_all_busy_or_away_ends_at_once() {
        let rig = together(&["1", "2"]).state("1", Offered::Busy).state("2", Offered::Away).start();
        assert_eq!(rig.over, Some(Ending::Busy));
    }

    #[test]
    fn ringall_first_answer_wins_and_all_others_stop() {
        let mut rig = together(&["1", "2", "3"]).start();
        let (ring, _) = rig.ringing.remove(1);
        let mut won = false;
        rig.run(|h, _, s| won = h.answered(ring, s));
        assert!(won);
        assert_eq!(rig.log[3..], ["-1", "-3"]);
        let mut late = true;
        rig.run(|h, _, s| late = h.answered(RingId(0), s));
        assert!(!late, "a second answer comes too late");
    }

    #[test]
    fn ringall_ends_when_the_last_ringing_phone_declines() {
        let mut rig = together(&["1", "2"]).start();
        rig.fall("1", Fell::Declined);
        assert_eq!(rig.over, None);
        rig.fall("2", Fell::Gone);
        assert_eq!(rig.over, Some(Ending::Declined));
    }

    proptest! {
        /// Whatever phones do, no member rings twice at once, each ringing is ended once, every
        /// input costs at most one pass, and after a finite number of rounds the hunt is over.
        #[test]
        fn hunting_always_ends(
            n in 1usize..6,
            sequential: bool,
            rounds in 1u32..4,
            moves in proptest::collection::vec((0usize..6, 0u8..6), 0..60),
        ) {
            let members: Vec<Extension> = (0..n).map(|i| i.to_string().into()).collect();
            let timeout = 10 * SECOND;
            let mut rig = Rig::new(if sequential {
                Plan::InTurn { members, timeout, rounds: Some(rounds) }
            } else {
                Plan::Together { members, timeout }
            }).start();
            for (who, what) in moves {
                let before = rig.steps;
                match what {
                    0 => { rig.states.insert(who.to_string().into(), Offered::Busy); }
                    1 => { rig.states.insert(who.to_string().into(), Offered::Away); }
                    2 => { rig.states.insert(who.to_string().into(), Offered::Ringing); }
                    3 | 4 if !rig.ringing.is_empty() => {
                        let ext = rig.ringing[who % rig.ringing.len()].1.clone();
                        let how = if what == 3 { Fell::Declined } else { Fell::Gone };
                        rig.fall(ext.as_str(), how);
                    }
                    _ => rig.pass(10 * SECOND),
                }
                prop_assert!(rig.steps - before <= 2 * n + 2);
                let rings: HashSet<_> = rig.ringing.iter().map(|(r, _)| *r).collect();
                prop_assert_eq!(rings.len(), rig.ringing.len());
                prop_assert_eq!(rig.hunt.ringing_count(), rig.ringing.len());
            }
            for _ in 0..(n as u32 * rounds + 1) {
                rig.pass(10 * SECOND);
            }
            prop_assert!(rig.over.is_some());
            prop_assert!(rig.ringing.is_empty());
        }
    }
}
