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
