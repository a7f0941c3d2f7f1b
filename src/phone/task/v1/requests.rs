//! What a page of `goastgateway.v1` says, one message after the other, and what it is answered.
//!
//! Promises: a request with an id is carried out once and answered once; whoever asks too much is
//! told so.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::super::{LoginEnd, PhoneTask, slot::Slot};
use crate::{
    call::{
        CallId,
        presence::{Presence, Readiness},
    },
    exchange::ask::What,
    phone::{
        session::{Input, Wrong},
        v1::{
            MAX_TEXT,
            errors::{Code, Error},
            memory::{Id, Known},
            message::{self, MAX_WRAPUP, Message, PresenceWord, Request},
            says::{Done, ToPhone},
        },
    },
    report::time::Utc,
};

/// What became of a request.
pub(super) enum Outcome {
    Done(Done),
    Wrong(Error),
    /// Its answer comes later.
    Later,
    End(LoginEnd),
}

impl PhoneTask {
    /// One text message.
    pub(in super::super) fn v1_text(&mut self, text: &str) -> Option<LoginEnd> {
        self.heard();
        let now = Instant::now();
        let message = match message::parse(text) {
            Ok(message) if text.len() <= MAX_TEXT => message,
            _ => return Some(LoginEnd::BadMessage),
        };
        let Message { id, request } = message;
        let v1 = self.v1_mut()?;
        if let Err(wait) = v1.bucket.take(now.into_std()) {
            let mut error = Error::new(Code::RateLimited, "too many messages");
            error.retry_after = Some(wait);
            self.send(ToPhone::error(id.as_ref(), &error).json());
            return None;
        }
        if let Some(id) = &id {
            match v1.memory.ask(id) {
                Known::New => {}
                Known::UnderWay => return None,
                Known::Answered(answer) => {
                    self.send(&*answer);
                    return None;
                }
            }
        }
        let outcome = match request {
            Ok(request) => self.request(request, &id, now),
            Err(fault) => Outcome::Wrong(Error::new(Code::Malformed, fault.0)),
        };
        match outcome {
            Outcome::Later => {}
            Outcome::Done(done) => self.answer(id, Ok(done)),
            Outcome::Wrong(error) => self.answer(id, Err(error)),
            Outcome::End(end) => {
                self.answer(id, Ok(Done::default()));
                return Some(end);
            }
        }
        None
    }

    /// Answers a request, if it has an id; what is wrong is said in any case.
    pub(super) fn answer(&mut self, id: Option<Id>, result: Result<Done, Error>) {
        let said = match (&id, &result) {
            (Some(id), Ok(done)) => ToPhone::Ok { id, result: done.clone() },
            (id, Err(error)) => ToPhone::error(id.as_ref(), error),
            (None, Ok(_)) => return,
        };
        let text: Arc<str> = said.json().into();
        if let (Some(id), Some(v1)) = (&id, self.v1_mut()) {
            v1.memory.answer(id, text.clone());
        }
        self.send(&*text);
    }

    fn request(&mut self, request: Request, id: &Option<Id>, now: Instant) -> Outcome {
        match request {
            Request::Login(_) => wrong(Code::WrongState, "this phone is logged in"),
            Request::Ringing { call } => {
                self.tell(call, Slot::waits_for_nothing_if_ringing);
                self.session_asked(Input::Confirm(call))
            }
            Request::Answer { call } => self.session_asked(Input::Answer(call)),
            Request::Reject { call } => self.reject(call),
            Request::Hangup { call } => self.session_asked(Input::Hangup(call)),
            Request::Hold { call, on } => self.session_asked(Input::Hold(call, on)),
            Request::Mute { call, on } => self.session_asked(Input::Mute(call, on)),
            Request::Dtmf { call, digits } => {
                self.ask_of_call(call, id, |call| What::Dtmf { call, digits: digits.0.clone() })
            }
            Request::Transfer { call, mode } => self.transfer(call, mode, id),
            Request::Dial { to, variables } => self.dial(&to.0, variables.0, None, id),
            Request::Presence { state, seconds, reason } => {
                let seconds = seconds.unwrap_or_default();
                if seconds > MAX_WRAPUP {
                    return wrong(Code::Malformed, "seconds: at most 3600");
                }
                let readiness = match state {
                    PresenceWord::Ready => Readiness::Ready,
                    PresenceWord::Away => Readiness::Away,
                    PresenceWord::Dnd => Readiness::Dnd,
                    PresenceWord::Wrapup => Readiness::Wrapup,
                };
                let time = Duration::from_secs(seconds.into());
                let reason = reason.as_ref().map(|reason| reason.0.as_str());
                let presence = Presence::new(readiness, time, reason, now.into_std());
                match self.registration.exchange().set_presence(&self.registration.ext, presence) {
                    true => done(),
                    false => wrong(Code::Failed, "too many extensions have a presence"),
                }
            }
            Request::Ping { n } => {
                self.send(ToPhone::Pong { n, time: Utc::now().millis() }.json());
                done()
            }
            Request::Pong { n } => {
                if let Some(v1) = self.v1_mut() {
                    v1.life.pong(n, now.into_std());
                }
                self.probed(n);
                done()
            }
            Request::Token { token } => self.new_token(token.expose(), now),
            Request::Stats(stats) => {
                self.stats(&stats);
                done()
            }
            Request::Feedback { score, issue, .. } => {
                let metrics = &self.registration.exchange().metrics;
                metrics.phone_feedback(score.0, issue.map(|issue| issue.as_str()));
                done()
            }
            Request::Logout => Outcome::End(LoginEnd::LoggedOut),
        }
    }

    pub(super) fn session_asked(&mut self, input: Input) -> Outcome {
        match self.input(input) {
            None => done(),
            Some(Wrong::NoSuchCall) => no_such_call(),
            Some(Wrong::State) => wrong(Code::WrongState, "the call is not in a state for that"),
        }
    }

    fn reject(&mut self, call: CallId) -> Outcome {
        use crate::phone::session::State;
        match self.session.get(call).map(|line| line.state) {
            Some(State::Wanted | State::Dialling | State::Open) => {
                wrong(Code::WrongState, "the call doesn't ring")
            }
            Some(State::Ringing | State::Answering | State::Ending) | None => {
                self.session_asked(Input::Hangup(call))
            }
        }
    }

    fn new_token(&mut self, token: &str, now: Instant) -> Outcome {
        let ext = self.registration.ext.clone();
        let Some(v1) = self.v1_mut() else { return done() };
        let claims = match v1.config().tokens.verifier.verify(token) {
            Ok(claims) => claims,
            Err(error) => return Outcome::Wrong(error.into()),
        };
        if claims.ext != ext.as_str() {
            return wrong(Code::OtherExtension, "the token is for another extension");
        }
        v1.set_token(claims.exp, now);
        let expires = i64::try_from(claims.exp).unwrap_or_default().saturating_mul(1000);
        Outcome::Done(Done { expires: Some(expires), ..Done::default() })
    }
}

pub(super) fn done() -> Outcome {
    Outcome::Done(Done::default())
}

pub(super) fn wrong(code: Code, message: &str) -> Outcome {
    Outcome::Wrong(Error::new(code, message))
}

pub(super) fn no_such_call() -> Outcome {
    wrong(Code::NoSuchCall, "this phone has no such call")
}
