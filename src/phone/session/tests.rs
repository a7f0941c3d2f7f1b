//! The session in every order of events.

use proptest::prelude::*;

use super::*;
use crate::call::RingId;

fn call(n: u128) -> CallId {
    CallId::from_uuid(uuid::Uuid::from_u128(n))
}

fn key(n: u128, ring: u32) -> RingKey {
    RingKey { call: call(n), ring: RingId(ring) }
}

fn feed(session: &mut Session, input: Input) -> Vec<Output> {
    let mut outputs = Vec::new();
    session
        .input(input, Instant::now(), &mut outputs)
        .unwrap_or_else(|e| panic!("{input:?}: {e:?}"));
    outputs
}

fn refused(session: &mut Session, input: Input) -> Wrong {
    session.input(input, Instant::now(), &mut Vec::new()).unwrap_err()
}

fn ring(n: u128) -> Input {
    Input::Ring { key: key(n, 0), direct: false }
}

/// A phone that talks in this call.
fn talking(session: &mut Session, n: u128) {
    feed(session, ring(n));
    feed(session, Input::Answer(call(n)));
    feed(session, Input::Joined(key(n, 0)));
}

#[test]
fn a_call_rings_is_answered_and_ends() {
    let mut s = Session::default();
    assert_eq!(feed(&mut s, ring(1)), [Output::SayIncoming(call(1))]);
    assert_eq!(feed(&mut s, Input::Answer(call(1))), [Output::TellAnswered(call(1))]);
    assert_eq!(
        feed(&mut s, Input::Joined(key(1, 0))),
        [Output::Audio(Some(call(1))), Output::SayConnected(call(1))]
    );
    assert_eq!(feed(&mut s, Input::Answer(call(1))), [], "what is so already is no error");
    assert_eq!(
        feed(&mut s, Input::Over(key(1, 0))),
        [Output::Audio(None), Output::SayEnded(call(1))]
    );
    assert!(s.is_idle());
    assert_eq!(feed(&mut s, Input::Hangup(call(1))), [], "it has just ended");
    assert_eq!(refused(&mut s, Input::Answer(call(1))), Wrong::NoSuchCall);
}

#[test]
fn an_answer_that_comes_too_late_is_told_the_end() {
    let mut s = Session::default();
    feed(&mut s, ring(1));
    feed(&mut s, Input::Answer(call(1)));
    assert_eq!(feed(&mut s, Input::Over(key(1, 0))), [Output::SayEnded(call(1))]);
    assert_eq!(feed(&mut s, Input::Joined(key(1, 0))), []);
}

#[test]
fn an_answer_to_the_first_ringing_is_not_one_to_the_second() {
    let mut s = Session::default();
    feed(&mut s, ring(1));
    feed(&mut s, Input::Answer(call(1)));
    feed(&mut s, Input::Over(key(1, 0)));
    feed(&mut s, Input::Ring { key: key(1, 1), direct: false });
    assert_eq!(feed(&mut s, Input::Joined(key(1, 0))), []);
    assert_eq!(s.lines()[0].state, State::Ringing);
}

#[test]
fn to_answer_a_second_call_holds_the_first_when_it_is_up_and_not_before() {
    let mut s = Session::default();
    talking(&mut s, 1);
    feed(&mut s, ring(2));
    assert_eq!(feed(&mut s, Input::Answer(call(2))), [Output::TellAnswered(call(2))]);
    assert_eq!(s.active(), Some(call(1)), "somebody else may have been first");
    assert_eq!(
        feed(&mut s, Input::Joined(key(2, 0))),
        [
            Output::Audio(None),
            Output::Hold(call(1), true),
            Output::SayHeld(call(1), true),
            Output::Audio(Some(call(2))),
            Output::SayConnected(call(2)),
        ]
    );
    assert_eq!(s.active(), Some(call(2)));
}

#[test]
fn to_take_a_held_call_back_holds_the_other() {
    let mut s = Session::default();
    talking(&mut s, 1);
    talking(&mut s, 2);
    assert_eq!(
        feed(&mut s, Input::Hold(call(1), false)),
        [
            Output::Audio(None),
            Output::Hold(call(2), true),
            Output::SayHeld(call(2), true),
            Output::Hold(call(1), false),
            Output::SayHeld(call(1), false),
            Output::Audio(Some(call(1))),
        ]
    );
    assert_eq!(feed(&mut s, Input::Hold(call(1), false)), []);
    feed(&mut s, Input::Hold(call(1), true));
    assert_eq!(s.active(), None, "both are held");
    feed(&mut s, Input::Over(key(1, 0)));
    assert!(s.get(call(2)).unwrap().held, "a person takes it back");
}

#[test]
fn what_rings_can_neither_be_held_nor_muted() {
    let mut s = Session::default();
    feed(&mut s, ring(1));
    assert_eq!(refused(&mut s, Input::Hold(call(1), true)), Wrong::State);
    assert_eq!(refused(&mut s, Input::Mute(call(1), true)), Wrong::State);
    assert_eq!(refused(&mut s, Input::Mute(call(9), true)), Wrong::NoSuchCall);
}

#[test]
fn a_phone_dials_hears_the_far_end_ring_and_talks() {
    let mut s = Session::default();
    assert_eq!(feed(&mut s, Input::Dial(key(1, 0))), []);
    assert_eq!(feed(&mut s, Input::DialTaken(call(1))), [Output::SayOutgoing(call(1))]);
    assert_eq!(feed(&mut s, Input::Ring { key: key(1, 0), direct: true }), []);
    assert_eq!(feed(&mut s, Input::Joined(key(1, 0))), [Output::Audio(Some(call(1)))]);
    assert_eq!(refused(&mut s, Input::Answer(call(1))), Wrong::State);
    assert_eq!(feed(&mut s, Input::FarAnswered(call(1))), [Output::SayConnected(call(1))]);
    assert_eq!(feed(&mut s, Input::FarAnswered(call(1))), []);
}

#[test]
fn a_leg_that_is_quicker_than_the_answer_to_dial_is_taken_all_the_same() {
    let mut s = Session::default();
    feed(&mut s, Input::Dial(key(1, 0)));
    assert_eq!(
        feed(&mut s, Input::Ring { key: key(1, 0), direct: true }),
        [Output::SayOutgoing(call(1))]
    );
    assert_eq!(feed(&mut s, Input::DialTaken(call(1))), []);
}

#[test]
fn a_dialled_call_that_was_refused_was_never_told_of() {
    let mut s = Session::default();
    feed(&mut s, Input::Dial(key(1, 0)));
    assert_eq!(feed(&mut s, Input::DialRefused(call(1))), []);
    assert!(s.is_idle());
    feed(&mut s, Input::Dial(key(2, 0)));
    assert_eq!(feed(&mut s, Input::Over(key(2, 0))), []);
    assert!(s.is_idle());
}

#[test]
fn a_phone_that_gives_up_before_the_leg_comes_cancels_it() {
    let mut s = Session::default();
    feed(&mut s, Input::Dial(key(1, 0)));
    feed(&mut s, Input::DialTaken(call(1)));
    assert_eq!(feed(&mut s, Input::Hangup(call(1))), [Output::CancelDial(call(1))]);
    assert_eq!(feed(&mut s, Input::Hangup(call(1))), []);
    assert_eq!(
        feed(&mut s, Input::Ring { key: key(1, 0), direct: true }),
        [Output::TurnAway(key(1, 0))]
    );
    assert_eq!(feed(&mut s, Input::Over(key(1, 0))), [Output::SayEnded(call(1))]);
}

#[test]
fn a_page_that_does_not_show_the_ringing_is_told_of_once_and_one_that_does_is_not() {
    let mut s = Session::default();
    feed(&mut s, ring(1));
    assert_eq!(feed(&mut s, Input::Unconfirmed(call(1))), [Output::TellUnreachable(call(1))]);
    assert_eq!(feed(&mut s, Input::Unconfirmed(call(1))), []);
    assert_eq!(refused(&mut s, Input::Answer(call(1))), Wrong::State);
    assert_eq!(feed(&mut s, Input::Over(key(1, 0))), [Output::SayEnded(call(1))]);
    feed(&mut s, ring(2));
    feed(&mut s, Input::Confirm(call(2)));
    assert_eq!(feed(&mut s, Input::Unconfirmed(call(2))), []);
}

#[test]
fn a_third_call_is_turned_away() {
    let mut s = Session::default();
    feed(&mut s, ring(1));
    feed(&mut s, ring(2));
    assert_eq!(feed(&mut s, ring(3)), [Output::TurnAway(key(3, 0))]);
    assert_eq!(s.lines().len(), MAX_CALLS);
}

#[test]
fn calls_that_are_over_are_remembered_for_a_minute_and_in_bounded_memory() {
    let mut s = Session::default();
    let now = Instant::now();
    let mut outputs = Vec::new();
    for n in 0..1000 {
        s.input(ring(n), now, &mut outputs).unwrap();
        s.input(Input::Over(key(n, 0)), now, &mut outputs).unwrap();
    }
    assert_eq!(s.gone.len(), MAX_GONE);
    let last = Input::Hangup(call(999));
    assert_eq!(s.input(last, now + GONE_TIME / 2, &mut outputs), Ok(()));
    assert_eq!(s.input(last, now + GONE_TIME, &mut outputs), Err(Wrong::NoSuchCall));
}

fn arbitrary_input() -> impl Strategy<Value = Input> {
    let call = (0u128..3).prop_map(call);
    let key = (0u128..3, 0u32..2).prop_map(|(c, r)| key(c, r));
    prop_oneof![
        3 => (key.clone(), any::<bool>()).prop_map(|(key, direct)| Input::Ring { key, direct }),
        2 => call.clone().prop_map(Input::Answer),
        2 => call.clone().prop_map(Input::Hangup),
        1 => call.clone().prop_map(Input::Confirm),
        1 => call.clone().prop_map(Input::Unconfirmed),
        2 => (call.clone(), any::<bool>()).prop_map(|(c, on)| Input::Hold(c, on)),
        1 => (call.clone(), any::<bool>()).prop_map(|(c, on)| Input::Mute(c, on)),
        2 => (0u128..3).prop_map(|n| Input::Dial(self::key(n, 0))),
        2 => call.clone().prop_map(Input::DialTaken),
        1 => call.clone().prop_map(Input::DialRefused),
        1 => call.prop_map(Input::FarAnswered),
        3 => key.clone().prop_map(Input::Joined),
        2 => key.prop_map(Input::Over),
    ]
}

proptest! {
    /// In any order of events: a call that the phone was told of ends for it exactly once, audio
    /// belongs to one call that is up and not held, and a call is told of one answer and one end.
    #[test]
    fn what_the_phone_is_told_makes_sense(
        inputs in proptest::collection::vec(arbitrary_input(), 0..80),
    ) {
        let mut s = Session::default();
        let mut told: Vec<CallId> = Vec::new();
        let (mut answers, mut ends) = (Vec::new(), Vec::new());
        let mut audio = None;
        for input in inputs {
            // The exchange gives no phone a call that it has already.
            if let Input::Dial(key) = input && s.get(key.call).is_some() { continue; }
            let mut outputs = Vec::new();
            let _ = s.input(input, Instant::now(), &mut outputs);
            for output in outputs {
                match output {
                    Output::SayIncoming(call) | Output::SayOutgoing(call) => {
                        prop_assert!(!told.contains(&call), "told twice of {call}");
                        told.push(call);
                        answers.retain(|c| *c != call);
                        ends.retain(|c| *c != call);
                    }
                    Output::SayEnded(call) => {
                        let at = told.iter().position(|c| *c == call);
                        prop_assert!(at.is_some(), "the end of what it wasn't told of");
                        told.remove(at.unwrap());
                    }
                    Output::SayConnected(call) | Output::SayHeld(call, _) => {
                        prop_assert!(told.contains(&call));
                    }
                    Output::TellAnswered(call) => {
                        prop_assert!(!answers.contains(&call));
                        answers.push(call);
                    }
                    Output::TellHungUp(call) | Output::TellUnreachable(call) => {
                        prop_assert!(!ends.contains(&call));
                        ends.push(call);
                    }
                    Output::Audio(call) => audio = call,
                    _ => {}
                }
            }
            prop_assert!(s.lines().len() <= MAX_CALLS);
            prop_assert_eq!(audio, s.active());
            if let Some(call) = s.active() {
                let line = s.get(call).expect("audio of a call that is there");
                prop_assert!(line.joined && !line.held && line.state != State::Ending);
            }
            for line in s.lines() {
                prop_assert!(line.told == told.contains(&line.call()));
                let others = line.joined && !line.held && line.state != State::Ending;
                prop_assert!(!others || s.active() == Some(line.call()), "talks, and nobody hears");
            }
        }
        for line in s.lines().to_vec() {
            let mut outputs = Vec::new();
            let _ = s.input(Input::Over(line.key), Instant::now(), &mut outputs);
            prop_assert_eq!(outputs.contains(&Output::SayEnded(line.call())), line.told);
        }
        prop_assert!(s.is_idle());
    }
}
