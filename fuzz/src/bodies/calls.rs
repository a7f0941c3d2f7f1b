//! Calls, hunts and sessions under any order of events.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    time::{Duration, Instant},
};

use goastgateway::{
    call::{
        CallId, Extension, RingId, RingKey,
        ending::Ending,
        hunt::{Fell, Hunt, Offered, Plan, Step},
        machine::{Call, Closing, Input, Output},
    },
    phone::session::{self, Session},
};

use super::Tape;

fn members(tape: &mut Tape, least: usize) -> Vec<Extension> {
    let count = least + tape.below(6);
    (0..count).map(|n| Extension::from(format!("20{n:02}"))).collect()
}

fn plan(tape: &mut Tape) -> Plan {
    let kind = tape.byte();
    let timeout = Duration::from_millis(500 + 100 * u64::from(tape.byte()));
    let members = members(tape, 0);
    match kind % 4 {
        0 | 1 => Plan::Together { members, timeout },
        2 => Plan::InTurn { members, timeout, rounds: Some(1 + u32::from(kind >> 2) % 4) },
        _ => Plan::InTurn { members, timeout, rounds: None },
    }
}

fn luck(tape: &mut Tape) -> Offered {
    [Offered::Ringing, Offered::Busy, Offered::Away][tape.below(3)]
}

/// A call with its phones, kept as the tasks keep them.
#[derive(Default)]
struct Rig {
    call: Call,
    /// Who rings or talks for this call.
    taken: HashMap<RingId, Extension>,
    used: HashSet<RingId>,
    answered: Option<RingId>,
    hung_up: bool,
    ended: Option<Ending>,
}

impl Rig {
    fn drive(&mut self, input: Input, now: Instant, tape: &mut Tape) {
        let mut todo = VecDeque::new();
        let mut out = Vec::new();
        self.call.input(input, now, &mut out);
        todo.extend(out.drain(..));
        let mut outputs = 0;
        while let Some(output) = todo.pop_front() {
            outputs += 1;
            assert!(outputs <= 64, "an input that never ends");
            assert_eq!(self.ended, None, "{output:?} after the end");
            match output {
                Output::Ring(ring, ext) => {
                    assert!(self.used.insert(ring), "a number is used twice");
                    assert!(self.answered.is_none(), "rings after the answer");
                    let twice = self.taken.values().any(|e| *e == ext);
                    // A phone that is this call's already is busy.
                    let what = if twice { Offered::Busy } else { luck(tape) };
                    if what == Offered::Ringing {
                        self.taken.insert(ring, ext);
                    }
                    self.call.input(Input::Offered(ring, what), now, &mut out);
                    todo.extend(out.drain(..));
                }
                Output::Stop(ring, _) => {
                    assert!(self.taken.remove(&ring).is_some(), "stops who doesn't ring");
                }
                Output::Answer(ring) => {
                    assert!(self.taken.contains_key(&ring), "answers who doesn't ring");
                    assert_eq!(self.answered.replace(ring), None, "answered twice");
                }
                Output::Join(ring) => {
                    // The leg of a dialled call, whose phone is this call's from the beginning.
                    assert!(self.used.insert(ring) && self.taken.is_empty(), "joins what rings");
                    self.taken.insert(ring, "2001".into());
                    self.answered = Some(ring);
                }
                Output::HangUpAsterisk(_) => {
                    assert!(!std::mem::replace(&mut self.hung_up, true), "hung up twice");
                }
                Output::Ended(ending) => {
                    self.ended = Some(ending);
                    let left: Vec<_> = self.taken.keys().collect();
                    assert!(left.is_empty(), "left ringing: {left:?}");
                }
            }
        }
        assert_eq!(self.call.is_over(), self.ended.is_some());
        if let Some(at) = self.call.deadline() {
            assert!(!self.call.is_over() && !self.call.is_talking());
            assert!(at <= now + Duration::from_secs(27), "a deadline beyond every timeout");
        }
        for (ring, ext) in &self.taken {
            if Some(*ring) != self.answered {
                assert_eq!(self.call.ringing(*ring), Some(ext), "rings, and the call forgot it");
            }
        }
    }
}

/// Any inputs in any order: one ending, nobody left ringing, nobody answered who doesn't ring, and
/// a deadline that comes is done with.
pub fn call(data: &[u8]) {
    let mut tape = Tape(data);
    let mut now = Instant::now();
    let mut rig = Rig::default();
    let mut next = 0;
    while !tape.is_over() && rig.ended.is_none() {
        let what = tape.byte();
        let ring = RingId(u32::from(tape.byte()) % (next + 2));
        now += Duration::from_millis(u64::from(what >> 4) * 250);
        let input = match what & 15 {
            0..=2 => Input::Start(plan(&mut tape)),
            3 => Input::Refuse(Ending::FormatRefused),
            4 | 5 => Input::PhoneAnswered(ring),
            6 | 7 => Input::PhoneHungUp(ring),
            8 | 9 => Input::PhoneGone(ring),
            10 => {
                Input::AsteriskClosed(if what >> 7 == 1 { Closing::Lost } else { Closing::InOrder })
            }
            11 => Input::End(Ending::DrainTimeout),
            12 => Input::Offered(ring, luck(&mut tape)),
            _ => {
                if let Some(at) = rig.call.deadline() {
                    now = now.max(at);
                }
                Input::Tick
            }
        };
        if let Input::PhoneHungUp(r) | Input::PhoneGone(r) = input
            && rig.answered != Some(r)
        {
            rig.taken.remove(&r); // it has stopped by itself
        }
        let ticked = input == Input::Tick;
        rig.drive(input, now, &mut tape);
        if ticked {
            assert!(rig.call.deadline().is_none_or(|at| at > now), "a deadline that stays");
        }
        next = rig.used.len() as u32;
    }
    if rig.ended.is_none() {
        rig.drive(Input::End(Ending::DrainTimeout), now, &mut tape);
    }
    assert!(rig.ended.is_some() && rig.taken.is_empty());
}

/// A hunt alone: no member twice at a time, every ringing ended once, an end that comes.
pub fn hunt(data: &[u8]) {
    let mut tape = Tape(data);
    let mut now = Instant::now();
    let plan = plan(&mut tape);
    let (members, ends) = match &plan {
        Plan::Together { members, .. } => (members.len(), true),
        Plan::InTurn { members, rounds, .. } => (members.len(), rounds.is_some()),
    };
    let mut hunt = Hunt::new(plan);
    let mut ringing: HashMap<RingId, Extension> = HashMap::new();
    let mut over = false;
    let mut steps = Vec::new();
    hunt.start(now, &mut steps);
    let mut settle = |hunt: &mut Hunt,
                      steps: &mut Vec<Step>,
                      ringing: &mut HashMap<RingId, Extension>,
                      now: Instant,
                      tape: &mut Tape| {
        let mut cost = 0;
        let mut todo: VecDeque<Step> = steps.drain(..).collect();
        while let Some(step) = todo.pop_front() {
            cost += 1;
            assert!(cost <= 3 * members + 3, "more than a pass over the members");
            assert!(!over, "{step:?} after the end");
            match step {
                Step::Ring(ring, ext) => {
                    let what = luck(tape);
                    if what == Offered::Ringing {
                        assert!(!ringing.values().any(|e| *e == ext), "{ext} rings twice");
                        ringing.insert(ring, ext);
                    }
                    hunt.offered(ring, what, now, steps);
                    todo.extend(steps.drain(..));
                }
                Step::Stop(ring, _) => assert!(ringing.remove(&ring).is_some()),
                Step::Over(_) => over = true,
            }
        }
        assert_eq!(hunt.ringing_count(), ringing.len());
        over
    };
    let mut is_over = settle(&mut hunt, &mut steps, &mut ringing, now, &mut tape);
    let mut answered = false;
    while !tape.is_over() && !is_over && !answered {
        let what = tape.byte();
        let mut numbers: Vec<RingId> = ringing.keys().copied().collect();
        numbers.sort_unstable();
        let ring = match numbers.len() {
            0 => RingId(u32::from(what >> 4)),
            n => numbers[usize::from(what >> 4) % n],
        };
        match what & 7 {
            0 => {
                let rings = ringing.remove(&ring).is_some();
                answered = hunt.answered(ring, &mut steps);
                assert_eq!(answered, rings);
            }
            1 | 2 => {
                let how = if what & 7 == 1 { Fell::Declined } else { Fell::Gone };
                ringing.remove(&ring);
                hunt.fell(ring, how, &mut steps);
            }
            3 => hunt.offered(ring, luck(&mut tape), now, &mut steps),
            _ => {
                now = hunt.deadline().unwrap_or(now);
                hunt.expire(now, &mut steps);
            }
        }
        is_over = settle(&mut hunt, &mut steps, &mut ringing, now, &mut tape);
        assert_eq!(hunt.deadline().is_some(), !is_over && !answered, "waits for what?");
    }
    if ends && !is_over && !answered {
        for _ in 0..5 * members {
            now = hunt.deadline().unwrap_or(now);
            hunt.expire(now, &mut steps);
            is_over = settle(&mut hunt, &mut steps, &mut ringing, now, &mut tape);
            if is_over {
                break;
            }
        }
        assert!(is_over, "goes on for ever");
    }
    hunt.cancel(Ending::CallerGaveUp, &mut steps);
    settle(&mut hunt, &mut steps, &mut ringing, now, &mut tape);
    assert!(ringing.is_empty() && hunt.deadline().is_none());
}

/// A phone is told the end of exactly the calls that it was told of, in any order of events; audio
/// belongs to one call, which is up; a call is told of one answer and one end.
pub fn session(data: &[u8]) {
    let mut tape = Tape(data);
    let mut session = Session::default();
    let now = Instant::now();
    let call = |n: usize| CallId::from_uuid(uuid::Uuid::from_u128(n as u128));
    let mut told: Vec<CallId> = Vec::new();
    let mut ends: Vec<CallId> = Vec::new();
    let mut audio = None;
    while !tape.is_over() {
        use session::{Input as I, Output as O};
        let (id, what) = (call(tape.below(3)), tape.byte());
        let key = RingKey { call: id, ring: RingId(u32::from(what >> 7)) };
        let on = what & 0x40 != 0;
        let input = match what & 0xf {
            0 | 1 => I::Ring { key, direct: on },
            2 => I::Answer(id),
            3 => I::Hangup(id),
            4 => I::Hold(id, on),
            5 => I::Mute(id, on),
            6 if session.get(id).is_none() => I::Dial(key),
            7 => I::DialTaken(id),
            8 => I::DialRefused(id),
            9 | 10 => I::Joined(key),
            11 => I::FarAnswered(id),
            12 => I::Confirm(id),
            13 => I::Unconfirmed(id),
            _ => I::Over(key),
        };
        let mut outputs = Vec::new();
        let _ = session.input(input, now, &mut outputs);
        assert!(outputs.len() <= 8);
        for output in outputs {
            match output {
                O::SayIncoming(id) | O::SayOutgoing(id) => {
                    assert!(!told.contains(&id), "told twice");
                    told.push(id);
                    ends.retain(|ended| *ended != id);
                }
                O::SayEnded(id) => {
                    let at = told.iter().position(|known| *known == id);
                    told.remove(at.expect("the end of what it wasn't told of"));
                }
                O::TellHungUp(id) | O::TellUnreachable(id) => {
                    assert!(!ends.contains(&id), "hung up twice");
                    ends.push(id);
                }
                O::Audio(id) => audio = id,
                _ => {}
            }
        }
        assert!(session.lines().len() <= session::MAX_CALLS);
        assert_eq!(audio, session.active());
        if let Some(line) = audio.map(|id| session.get(id).expect("audio of no call")) {
            assert!(line.joined && !line.held);
        }
    }
    for line in session.lines().to_vec() {
        let _ = session.input(session::Input::Over(line.key), now, &mut Vec::new());
    }
    assert!(session.is_idle());
}
