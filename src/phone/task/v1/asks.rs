//! What a phone asks of call control: dialling, transfers, keys.
//!
//! Promises: at most [`MAX_PENDING`] requests wait; each is answered once, by call control or by the
//! leg of the call that it opens, whichever is first.

use tokio::time::Instant;

use super::{
    super::{PhoneTask, slot::Slot},
    requests::{Outcome, done, no_such_call, wrong},
};
use crate::{
    call::{CallId, RingId, RingKey},
    exchange::ask::{Answer, Answered, Ask, Dial, What},
    phone::{
        session::Input,
        v1::{
            errors::{Code, Error},
            memory::Id,
            message::Transfer,
            says::Done,
        },
    },
};

/// Requests that wait for call control. A page waits for one before it sends the next.
const MAX_PENDING: usize = 8;

/// A request that call control has.
pub(super) struct Pending {
    request: u64,
    id: Option<Id>,
    /// The call that it opens.
    dials: Option<CallId>,
}

impl PhoneTask {
    pub(super) fn transfer(&mut self, call: CallId, mode: Transfer, id: &Option<Id>) -> Outcome {
        match mode {
            Transfer::Blind { to } => {
                self.ask_of_call(call, id, |call| What::Transfer { call, to: to.0.clone() })
            }
            Transfer::Attended { to } => {
                if self.session.get(call).is_none() {
                    return no_such_call();
                }
                self.dial(&to.0, Vec::new(), Some(call), id)
            }
            Transfer::Complete => match self.consults_for(call) {
                Some(with) => self.ask_of_call(call, id, |call| What::Join { call, with }),
                None => wrong(Code::WrongState, "no transfer of this call is prepared"),
            },
            Transfer::Cancel => match self.consults_for(call) {
                Some(second) => {
                    self.input(Input::Hangup(second));
                    self.session_asked(Input::Hold(call, false))
                }
                None => wrong(Code::WrongState, "no transfer of this call is prepared"),
            },
        }
    }

    /// The call that prepares the transfer of this one.
    fn consults_for(&self, call: CallId) -> Option<CallId> {
        self.slots.iter().find(|slot| slot.consults_for == Some(call)).map(Slot::call)
    }

    pub(super) fn dial(
        &mut self,
        to: &str,
        variables: Vec<(String, String)>,
        consults_for: Option<CallId>,
        id: &Option<Id>,
    ) -> Outcome {
        let call = CallId::from_uuid(uuid::Uuid::new_v4());
        let exchange = self.registration.exchange().clone();
        if !exchange.desk.features().dial {
            let error = Error::new(Code::Unavailable, exchange.desk.why_not());
            return Outcome::Wrong(error);
        }
        if let Err(refused) =
            exchange.dial(&self.registration.ext, self.registration.login, call, to)
        {
            return Outcome::Wrong(refused.into());
        }
        self.slots.push(Slot::dialled(call, to, consults_for, Instant::now()));
        self.input(Input::Dial(RingKey { call, ring: RingId(0) }));
        let what = What::Dial(Dial { call, to: to.to_owned(), variables, consults_for });
        let outcome = self.ask(what, id, Some(call));
        if let Outcome::Wrong(_) = &outcome {
            self.dial_is_refused(call);
        }
        outcome
    }

    /// Asks call control something of a call that is up here.
    pub(super) fn ask_of_call(
        &mut self,
        call: CallId,
        id: &Option<Id>,
        what: impl FnOnce(CallId) -> What,
    ) -> Outcome {
        match self.session.get(call) {
            None => no_such_call(),
            Some(line) if !line.joined => {
                wrong(Code::WrongState, "the call is not in a state for that")
            }
            Some(_) => self.ask(what(call), id, None),
        }
    }

    fn ask(&mut self, what: What, id: &Option<Id>, dials: Option<CallId>) -> Outcome {
        let Some(v1) = self.v1_mut() else { return done() };
        if v1.pending.len() >= MAX_PENDING {
            return wrong(Code::RateLimited, "too many requests wait for an answer");
        }
        v1.next_request += 1;
        let request = v1.next_request;
        let registration = &self.registration;
        let Some(answer) = registration.commands().and_then(|c| Answer::reserve(request, &c))
        else {
            return wrong(Code::RateLimited, "too many requests wait for an answer");
        };
        let (ext, login) = (registration.ext.clone(), registration.login);
        let exchange = registration.exchange().clone();
        if let Some(v1) = self.v1_mut() {
            v1.pending.push(Pending { request, id: id.clone(), dials });
        }
        exchange.desk.ask(Ask { ext, login, what, answer });
        Outcome::Later
    }

    /// Call control has answered.
    pub(in super::super) fn answered(&mut self, answered: Answered) {
        let Some(v1) = self.v1_mut() else { return };
        let Some(at) = v1.pending.iter().position(|p| p.request == answered.request) else {
            return; // a call's leg was quicker, and said so
        };
        let Pending { id, dials, .. } = v1.pending.remove(at);
        let result = match (answered.result, dials) {
            (Ok(()), Some(call)) if self.session.get(call).is_none() => {
                Err(Error::new(Code::Failed, "the call has ended already"))
            }
            (Ok(()), call) => Ok(Done { call, ..Done::default() }),
            (Err(refused), call) => {
                if let Some(call) = call {
                    self.dial_is_refused(call);
                }
                Err(refused.into())
            }
        };
        let taken = result.is_ok();
        self.answer(id, result);
        if let (true, Some(call)) = (taken, dials) {
            self.input(Input::DialTaken(call));
        }
    }

    /// The leg of this call is there before call control's answer was.
    pub(in super::super) fn dial_is_taken(&mut self, call: CallId) {
        let Some(v1) = self.v1_mut() else { return };
        if let Some(at) = v1.pending.iter().position(|p| p.dials == Some(call)) {
            let Pending { id, .. } = v1.pending.remove(at);
            self.answer(id, Ok(Done { call: Some(call), ..Done::default() }));
        }
    }

    fn dial_is_refused(&mut self, call: CallId) {
        self.input(Input::DialRefused(call));
        self.slots.retain(|slot| slot.call() != call);
        self.find_active();
        let why = crate::call::ending::Ending::Failed;
        self.registration.exchange().calls.failed(call, why.into());
    }
}
