//! One call, from MEDIA_START to its one ending.
//!
//! The rule of use: give it an [`Input`], carry out every [`Output`] in order, and give it back
//! what an output asks for (a `Ring` is answered by `Offered`) before anything else happens.
//!
//! Promises: exactly one `Ended`, and nothing after it; every `Ring` that became `Ringing` is
//! matched by one `Answer` or one `Stop`; whoever loses learns it. A call reads no clock: `now`
//! comes with the input, and [`Call::deadline`] says when it wants to be woken.

use std::time::Instant;

use super::{
    Extension, RingId,
    ending::Ending,
    hunt::{Fell, Hunt, Offered, Plan, Step},
};

/// What happens to a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// MEDIA_START came and this is whom it asks for.
    Start(Plan),
    /// MEDIA_START came, and it is the leg of a call that this phone dials.
    Dialled(RingId),
    /// MEDIA_START came and the call can't be served.
    Refuse(Ending),
    /// What became of a [`Output::Ring`].
    Offered(RingId, Offered),
    /// A phone answered.
    PhoneAnswered(RingId),
    /// A phone declined, or hung up.
    PhoneHungUp(RingId),
    /// A phone's connection is gone.
    PhoneGone(RingId),
    /// A phone's page doesn't show that it rings.
    PhoneUnreachable(RingId),
    /// Asterisk closed the call.
    AsteriskClosed(Closing),
    /// The time of [`Call::deadline`] may have come.
    Tick,
    /// The gateway ends the call.
    End(Ending),
}

/// How Asterisk closed a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closing {
    /// In order, which alone says that the far end is gone.
    InOrder,
    /// By a broken connection.
    Lost,
    /// In order, and the manager has said why.
    For(Ending),
}

impl Closing {
    fn ending(self, in_order: Ending) -> Ending {
        match self {
            Closing::InOrder => in_order,
            Closing::Lost => Ending::AsteriskLost,
            Closing::For(ending) => ending,
        }
    }
}

/// What a call asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Ring this phone; answer with [`Input::Offered`].
    Ring(RingId, Extension),
    /// This phone is to stop ringing, or the call that it talks in is over, and why.
    Stop(RingId, Ending),
    /// Send ANSWER to Asterisk and join its audio with this phone's.
    Answer(RingId),
    /// Join Asterisk's audio, which is up already, with that of the phone that dials.
    Join(RingId),
    /// Hang up Asterisk's side, which is to learn why.
    HangUpAsterisk(Ending),
    /// The call is over. Comes once and last.
    Ended(Ending),
}

/// The state of one call.
#[derive(Debug)]
pub struct Call {
    state: State,
}

#[derive(Debug)]
enum State {
    Waiting,
    Ringing(Box<Hunt>),
    Talking { ring: RingId },
    Ended,
}

impl Default for Call {
    fn default() -> Self {
        Self { state: State::Waiting }
    }
}

impl Call {
    /// When the call wants a [`Input::Tick`].
    pub fn deadline(&self) -> Option<Instant> {
        match &self.state {
            State::Ringing(hunt) => hunt.deadline(),
            _ => None,
        }
    }

    /// Whether `Ended` has been given.
    pub fn is_over(&self) -> bool {
        matches!(self.state, State::Ended)
    }

    /// Whether a phone has answered and the call is up.
    pub fn is_talking(&self) -> bool {
        matches!(self.state, State::Talking { .. })
    }

    /// Who rings under this number.
    pub fn ringing(&self, ring: RingId) -> Option<&Extension> {
        match &self.state {
            State::Ringing(hunt) => hunt.ringing(ring),
            _ => None,
        }
    }

    /// Takes one input and appends what is to be done.
    pub fn input(&mut self, input: Input, now: Instant, outputs: &mut Vec<Output>) {
        match &mut self.state {
            State::Waiting => self.while_waiting(input, now, outputs),
            State::Ringing(_) => self.while_ringing(input, now, outputs),
            State::Talking { ring } => {
                let ring = *ring;
                self.while_talking(ring, input, outputs);
            }
            State::Ended => {}
        }
    }

    fn while_waiting(&mut self, input: Input, now: Instant, outputs: &mut Vec<Output>) {
        match input {
            Input::Start(plan) => {
                let mut hunt = Box::new(Hunt::new(plan));
                let mut steps = Vec::new();
                hunt.start(now, &mut steps);
                self.state = State::Ringing(hunt);
                self.carry_out(steps, outputs);
            }
            Input::Dialled(ring) => {
                outputs.push(Output::Join(ring));
                self.state = State::Talking { ring };
            }
            Input::Refuse(ending) | Input::End(ending) => {
                outputs.push(Output::HangUpAsterisk(ending));
                self.end(ending, outputs);
            }
            Input::AsteriskClosed(_) => self.end(Ending::NoMediaStart, outputs),
            _ => {}
        }
    }

    fn while_ringing(&mut self, input: Input, now: Instant, outputs: &mut Vec<Output>) {
        let State::Ringing(hunt) = &mut self.state else { return };
        let mut steps = Vec::new();
        match input {
            Input::Offered(ring, what) => hunt.offered(ring, what, now, &mut steps),
            Input::PhoneHungUp(ring) => hunt.fell(ring, Fell::Declined, &mut steps),
            Input::PhoneGone(ring) => hunt.fell(ring, Fell::Gone, &mut steps),
            Input::PhoneUnreachable(ring) => hunt.fell(ring, Fell::Unreachable, &mut steps),
            Input::Tick => hunt.expire(now, &mut steps),
            Input::PhoneAnswered(ring) => {
                if hunt.answered(ring, &mut steps) {
                    // The caller waits for this one; the losers can wait a microsecond.
                    outputs.push(Output::Answer(ring));
                    self.carry_out(steps, outputs);
                    self.state = State::Talking { ring };
                }
                return;
            }
            Input::AsteriskClosed(how) => {
                let ending = how.ending(Ending::CallerGaveUp);
                hunt.cancel(ending, &mut steps);
                self.carry_out(steps, outputs);
                return self.end(ending, outputs);
            }
            Input::End(ending) | Input::Refuse(ending) => {
                hunt.cancel(ending, &mut steps);
                self.carry_out(steps, outputs);
                outputs.push(Output::HangUpAsterisk(ending));
                return self.end(ending, outputs);
            }
            Input::Start(_) | Input::Dialled(_) => {}
        }
        self.carry_out(steps, outputs);
    }

    fn while_talking(&mut self, ring: RingId, input: Input, outputs: &mut Vec<Output>) {
        let (ending, asterisk_is_up) = match input {
            Input::PhoneHungUp(r) if r == ring => (Ending::PhoneHungUp, true),
            Input::PhoneGone(r) if r == ring => (Ending::PhoneLost, true),
            Input::AsteriskClosed(how) => (how.ending(Ending::CallerHungUp), false),
            Input::End(ending) => (ending, true),
            _ => return,
        };
        if asterisk_is_up {
            outputs.push(Output::HangUpAsterisk(ending));
        }
        outputs.push(Output::Stop(ring, ending));
        self.end(ending, outputs);
    }

    fn carry_out(&mut self, steps: Vec<Step>, outputs: &mut Vec<Output>) {
        for step in steps {
            match step {
                Step::Ring(ring, ext) => outputs.push(Output::Ring(ring, ext)),
                Step::Stop(ring, why) => outputs.push(Output::Stop(ring, why)),
                Step::Over(ending) => {
                    outputs.push(Output::HangUpAsterisk(ending));
                    self.end(ending, outputs);
                }
            }
        }
    }

    fn end(&mut self, ending: Ending, outputs: &mut Vec<Output>) {
        self.state = State::Ended;
        outputs.push(Output::Ended(ending));
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::HashSet, time::Duration};

    use proptest::prelude::*;

    use super::*;

    fn plan(members: &[&str]) -> Plan {
        let members = members.iter().map(|m| Extension::from(*m)).collect();
        Plan::Together { members, timeout: Duration::from_secs(60) }
    }

    fn feed(call: &mut Call, input: Input) -> Vec<Output> {
        let mut out = Vec::new();
        call.input(input, Instant::now(), &mut out);
        out
    }

    fn ringing(members: &[&str]) -> Call {
        let mut call = Call::default();
        for output in feed(&mut call, Input::Start(plan(members))) {
            let Output::Ring(ring, _) = output else { panic!("{output:?}") };
            assert_eq!(feed(&mut call, Input::Offered(ring, Offered::Ringing)), []);
        }
        call
    }

    #[test]
    fn an_answer_answers_asterisk_and_a_hang_up_of_the_phone_hangs_up_asterisk() {
        let mut call = ringing(&["2001"]);
        assert_eq!(feed(&mut call, Input::PhoneAnswered(RingId(0))), [Output::Answer(RingId(0))]);
        assert!(call.is_talking());
        assert_eq!(
            feed(&mut call, Input::PhoneHungUp(RingId(0))),
            [
                Output::HangUpAsterisk(Ending::PhoneHungUp),
                Output::Stop(RingId(0), Ending::PhoneHungUp),
                Output::Ended(Ending::PhoneHungUp)
            ]
        );
        assert_eq!(feed(&mut call, Input::AsteriskClosed(Closing::InOrder)), []);
    }

    #[test]
    fn a_caller_who_gives_up_stops_every_phone() {
        let mut call = ringing(&["1", "2", "3"]);
        assert_eq!(
            feed(&mut call, Input::AsteriskClosed(Closing::InOrder)),
            [
                Output::Stop(RingId(0), Ending::CallerGaveUp),
                Output::Stop(RingId(1), Ending::CallerGaveUp),
                Output::Stop(RingId(2), Ending::CallerGaveUp),
                Output::Ended(Ending::CallerGaveUp)
            ]
        );
    }

    #[test]
    fn an_absent_extension_is_hung_up_at_once() {
        let mut call = Call::default();
        let out = feed(&mut call, Input::Start(plan(&["2001"])));
        assert_eq!(out, [Output::Ring(RingId(0), "2001".into())]);
        assert_eq!(
            feed(&mut call, Input::Offered(RingId(0), Offered::Away)),
            [Output::HangUpAsterisk(Ending::Away), Output::Ended(Ending::Away)]
        );
    }

    #[test]
    fn an_unknown_extension_is_refused_with_hangup() {
        let mut call = Call::default();
        assert_eq!(
            feed(&mut call, Input::Refuse(Ending::NoExtension)),
            [Output::HangUpAsterisk(Ending::NoExtension), Output::Ended(Ending::NoExtension)]
        );
    }

    #[test]
    fn ringing_ends_after_the_timeout() {
        let mut call = ringing(&["2001"]);
        let at = call.deadline().unwrap();
        let mut out = Vec::new();
        call.input(Input::Tick, at - Duration::from_millis(1), &mut out);
        assert_eq!(out, []);
        call.input(Input::Tick, at, &mut out);
        assert_eq!(
            out,
            [
                Output::Stop(RingId(0), Ending::NoAnswer),
                Output::HangUpAsterisk(Ending::NoAnswer),
                Output::Ended(Ending::NoAnswer)
            ]
        );
    }

    fn arbitrary_input() -> impl Strategy<Value = Input> {
        let ring = (0u32..8).prop_map(RingId);
        prop_oneof![
            1 => Just(Input::Start(plan(&["a", "b", "c"]))),
            1 => Just(Input::Start(Plan::InTurn {
                members: vec!["a".into(), "b".into()],
                timeout: Duration::from_secs(5),
                rounds: None
            })),
            1 => Just(Input::Refuse(Ending::NoExtension)),
            2 => ring.clone().prop_map(Input::PhoneAnswered),
            2 => ring.clone().prop_map(Input::PhoneHungUp),
            2 => ring.clone().prop_map(Input::PhoneGone),
            2 => ring.prop_map(Input::PhoneUnreachable),
            1 => Just(Input::Dialled(RingId(0))),
            1 => Just(Input::AsteriskClosed(Closing::InOrder)),
            1 => Just(Input::AsteriskClosed(Closing::Lost)),
            1 => Just(Input::AsteriskClosed(Closing::For(Ending::Transferred))),
            4 => Just(Input::Tick),
            1 => Just(Input::End(Ending::DrainTimeout)),
        ]
    }

    proptest! {
        /// Whatever happens in whatever order: one ending at most and nothing after it, no
        /// ringing is left over, an answer only for a phone that rings.
        #[test]
        fn a_call_ends_once_and_leaves_nobody_ringing(
            inputs in proptest::collection::vec((arbitrary_input(), 0u64..20, 0u8..3), 1..40),
        ) {
            let mut call = Call::default();
            let mut now = Instant::now();
            let mut rings: HashSet<RingId> = HashSet::new();
            let mut ended = 0;
            let mut all = inputs;
            all.push((Input::End(Ending::DrainTimeout), 0, 0));
            for (input, seconds, luck) in all {
                now += Duration::from_secs(seconds);
                if let Input::PhoneHungUp(r) | Input::PhoneGone(r) | Input::PhoneUnreachable(r) =
                    input
                {
                    // The phone itself is quiet from here on, if it rang and no more is said.
                    if call.ringing(r).is_some() { rings.remove(&r); }
                }
                let mut todo = vec![input];
                while let Some(input) = todo.pop() {
                    let mut out = Vec::new();
                    call.input(input, now, &mut out);
                    for output in out {
                        prop_assert_eq!(ended, 0, "nothing after the end");
                        match output {
                            Output::Ring(ring, _) => {
                                let what = match luck {
                                    0 => Offered::Ringing,
                                    1 => Offered::Busy,
                                    _ => Offered::Away,
                                };
                                if what == Offered::Ringing { rings.insert(ring); }
                                todo.insert(0, Input::Offered(ring, what));
                            }
                            Output::Stop(ring, _) => prop_assert!(rings.remove(&ring)),
                            Output::Answer(ring) => prop_assert!(rings.contains(&ring)),
                            Output::Join(ring) => prop_assert!(rings.insert(ring)),
                            Output::HangUpAsterisk(_) => {}
                            Output::Ended(_) => ended += 1,
                        }
                    }
                }
                prop_assert_eq!(call.is_over(), ended == 1);
            }
            prop_assert_eq!(ended, 1);
            prop_assert!(rings.is_empty(), "left ringing: {:?}", rings);
        }
    }
}
