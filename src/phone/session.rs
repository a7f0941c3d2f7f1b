//! PURE: what a phone is doing, as the gateway knows it.
//!
//! Promises: a phone has one call at most; every `RINGING` that it was told is ended by exactly
//! one `HANGUP`, whoever hung up (the Go gateway says it to the phone that hung up, too), for as
//! long as it is logged in; an answer that comes too late is answered by `HANGUP`.

use super::plain::{FromPhone, ToPhone};
use crate::call::RingKey;

/// What a phone is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Session {
    #[default]
    Idle,
    Ringing(RingKey),
    /// It answered; whether it was in time isn't known yet.
    Answering(RingKey),
    Talking(RingKey),
    /// It hung up; the call doesn't know yet.
    Ending(RingKey),
}

/// What happens to a phone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input {
    /// Its user did something.
    Said(FromPhone),
    /// A call rings it.
    Ring(RingKey),
    /// Its answer was in time.
    Connected(RingKey),
    /// The call is over for this phone.
    Over(RingKey),
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// Say this to the phone.
    Say(ToPhone),
    /// Tell the call that this phone answered.
    TellAnswered,
    /// Tell the call that this phone declined or hung up.
    TellHungUp,
    /// Audio flows from here on.
    AudioOn,
    /// Audio has ended.
    AudioOff,
    /// Turn this second call away; it can only be a fault of ours.
    TurnAway(RingKey),
}

impl Session {
    /// Takes one input and appends what is to be done.
    pub fn input(&mut self, input: Input, outputs: &mut Vec<Output>) {
        use Session::{Answering, Ending, Idle, Ringing, Talking};
        let (next, output): (Session, &[Output]) = match (*self, input) {
            (Idle, Input::Ring(key)) => (Ringing(key), &[Output::Say(ToPhone::Ringing)]),
            (Idle, Input::Said(FromPhone::Answer)) => (Idle, &[Output::Say(ToPhone::Hangup)]),

            (Ringing(key), Input::Said(FromPhone::Answer)) => {
                (Answering(key), &[Output::TellAnswered])
            }
            (Ringing(key) | Answering(key), Input::Said(FromPhone::Hangup)) => {
                (Ending(key), &[Output::TellHungUp])
            }
            (Answering(key), Input::Connected(k)) if k == key => (Talking(key), &[Output::AudioOn]),
            (Talking(key), Input::Said(FromPhone::Hangup)) => {
                (Ending(key), &[Output::AudioOff, Output::TellHungUp])
            }
            (Talking(key), Input::Over(k)) if k == key => {
                (Idle, &[Output::AudioOff, Output::Say(ToPhone::Hangup)])
            }
            (Ringing(key) | Answering(key) | Ending(key), Input::Over(k)) if k == key => {
                (Idle, &[Output::Say(ToPhone::Hangup)])
            }
            (state, Input::Ring(key)) => (state, &[Output::TurnAway(key)]),
            (state, _) => (state, &[]),
        };
        *self = next;
        outputs.extend_from_slice(output);
    }

    /// The ringing or call that the phone is in.
    pub fn key(&self) -> Option<RingKey> {
        match *self {
            Session::Idle => None,
            Session::Ringing(key)
            | Session::Answering(key)
            | Session::Talking(key)
            | Session::Ending(key) => Some(key),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    use crate::call::{CallId, RingId};

    fn key(call: u128, ring: u32) -> RingKey {
        RingKey { call: CallId::from_uuid(uuid::Uuid::from_u128(call)), ring: RingId(ring) }
    }

    fn feed(session: &mut Session, input: Input) -> Vec<Output> {
        let mut out = Vec::new();
        session.input(input, &mut out);
        out
    }

    #[test]
    fn a_call_rings_is_answered_and_ends() {
        let mut s = Session::default();
        let k = key(1, 0);
        assert_eq!(feed(&mut s, Input::Ring(k)), [Output::Say(ToPhone::Ringing)]);
        assert_eq!(feed(&mut s, Input::Said(FromPhone::Answer)), [Output::TellAnswered]);
        assert_eq!(feed(&mut s, Input::Connected(k)), [Output::AudioOn]);
        assert_eq!(feed(&mut s, Input::Said(FromPhone::Answer)), []);
        assert_eq!(feed(&mut s, Input::Over(k)), [Output::AudioOff, Output::Say(ToPhone::Hangup)]);
        assert_eq!(s, Session::Idle);
    }

    #[test]
    fn an_answer_that_comes_too_late_gets_hangup() {
        let mut s = Session::default();
        feed(&mut s, Input::Ring(key(1, 0)));
        feed(&mut s, Input::Said(FromPhone::Answer));
        assert_eq!(feed(&mut s, Input::Over(key(1, 0))), [Output::Say(ToPhone::Hangup)]);
        assert_eq!(
            feed(&mut s, Input::Said(FromPhone::Answer)),
            [Output::Say(ToPhone::Hangup)],
            "and so does one to no call at all"
        );
    }

    #[test]
    fn an_answer_to_the_first_ringing_is_not_one_to_the_second() {
        let mut s = Session::default();
        feed(&mut s, Input::Ring(key(1, 0)));
        feed(&mut s, Input::Said(FromPhone::Answer));
        feed(&mut s, Input::Over(key(1, 0)));
        feed(&mut s, Input::Ring(key(1, 1)));
        assert_eq!(feed(&mut s, Input::Connected(key(1, 0))), []);
        assert_eq!(s, Session::Ringing(key(1, 1)));
    }

    fn arbitrary_input() -> impl Strategy<Value = Input> {
        let key = (0u128..2, 0u32..2).prop_map(|(c, r)| key(c, r));
        prop_oneof![
            Just(Input::Said(FromPhone::Answer)),
            Just(Input::Said(FromPhone::Hangup)),
            key.clone().prop_map(Input::Ring),
            key.clone().prop_map(Input::Connected),
            key.prop_map(Input::Over),
        ]
    }

    proptest! {
        /// In any order of events: RINGING and HANGUP alternate (apart from late answers while
        /// idle), audio goes on and off in pairs, and a call is told of one ending at most.
        #[test]
        fn what_the_phone_is_told_makes_sense(inputs in proptest::collection::vec(arbitrary_input(), 0..60)) {
            let mut s = Session::default();
            let (mut rings, mut audio, mut told) = (0i32, 0i32, 0i32);
            for input in inputs {
                let was_idle = s == Session::Idle;
                for output in feed(&mut s, input) {
                    match output {
                        Output::Say(ToPhone::Ringing) => { rings += 1; told = 0; }
                        Output::Say(ToPhone::Hangup) if !was_idle => rings -= 1,
                        Output::AudioOn => audio += 1,
                        Output::AudioOff => audio -= 1,
                        Output::TellHungUp => { told += 1; prop_assert_eq!(told, 1); }
                        _ => {}
                    }
                }
                prop_assert_eq!(rings, i32::from(s != Session::Idle));
                prop_assert_eq!(audio, i32::from(matches!(s, Session::Talking(_))));
            }
        }
    }
}
