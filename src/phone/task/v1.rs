//! What a phone's task does in the dialect `goastgateway.v1`: reads requests, carries them out,
//! answers each exactly once. What call control has to do is in `asks`.

mod asks;

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use tokio::time::Instant;
use tracing::debug;

use self::asks::Pending;
use super::{Dialect, LoginEnd, PhoneTask, slot::Slot};
use crate::{
    call::{
        CallId,
        presence::{Presence, Readiness},
        registry::Standing,
    },
    config::Config,
    exchange::{ask::What, resume::ResumeId},
    phone::{
        session::{Input, Wrong},
        v1::{
            MAX_TEXT,
            errors::{Code, Error},
            life::{Life, Turn},
            memory::{Id, Known, Memory},
            message::{self, MAX_WRAPUP, Message, PresenceWord, Request},
            rate::Bucket,
            says::{Done, ToPhone, millis},
        },
    },
    report::time::Utc,
};

/// How long before a token's end its phone is told, and how often from then on.
const TOKEN_WARNING: Duration = Duration::from_secs(300);
const TOKEN_WARNING_EVERY: Duration = Duration::from_secs(60);
/// A second call for this phone, beside the one that it is in.
const ROOM_WAITING: u8 = 2;

/// What only this dialect needs. In a box: an idle phone of the other one has none of it.
pub struct V1 {
    config: Arc<ArcSwap<Config>>,
    pub(super) resume: ResumeId,
    /// When its token ends, in seconds since 1970.
    pub(super) token_expires: u64,
    call_waiting: bool,
    warn_at: Option<Instant>,
    life: Life,
    bucket: Bucket,
    memory: Memory,
    pending: Vec<Pending>,
    next_request: u64,
    /// Until when a page that is lost is waited for.
    back_by: Option<Instant>,
    /// What the page knows of its extension's presence.
    presence_said: Option<(Presence, bool)>,
    /// When the extension's presence ends by itself.
    presence_until: Option<Instant>,
}

/// What became of a request.
enum Outcome {
    Done(Done),
    Wrong(Error),
    /// Its answer comes later.
    Later,
    End(LoginEnd),
}

impl V1 {
    pub fn new(
        config: Arc<ArcSwap<Config>>,
        resume: ResumeId,
        token_expires: u64,
        call_waiting: bool,
    ) -> Self {
        let now = Instant::now();
        Self {
            config,
            resume,
            token_expires,
            call_waiting,
            warn_at: warn_at(token_expires, now),
            life: Life::new(now.into_std()),
            bucket: Bucket::new(now.into_std()),
            memory: Memory::default(),
            pending: Vec::new(),
            next_request: 0,
            back_by: None,
            presence_said: None,
            presence_until: None,
        }
    }

    pub(super) fn config(&self) -> arc_swap::Guard<Arc<Config>> {
        self.config.load()
    }

    pub fn wants_call_waiting(&self) -> bool {
        self.call_waiting
    }

    pub fn resume_time(&self) -> Duration {
        self.config.load().calls.resume_timeout
    }

    pub fn is_reachable(&self) -> bool {
        self.life.is_reachable()
    }

    pub(super) fn rtt(&self) -> Option<Duration> {
        self.life.rtt()
    }

    /// Audio is a sign of life.
    pub fn heard_audio(&mut self) {
        self.life.heard();
    }

    pub fn detached(&mut self, back_by: Instant) {
        self.back_by = Some(back_by);
    }

    pub fn attached(&mut self, token_expires: u64, now: Instant) {
        self.back_by = None;
        self.life = Life::new(now.into_std());
        self.set_token(token_expires, now);
    }

    fn set_token(&mut self, token_expires: u64, now: Instant) {
        self.token_expires = token_expires;
        self.warn_at = warn_at(token_expires, now);
    }

    pub fn deadline(&self) -> Instant {
        let life = match self.back_by {
            Some(at) => at,
            None => Instant::from_std(self.life.deadline()),
        };
        let others = [self.warn_at, self.presence_until];
        others.into_iter().flatten().fold(life, Instant::min)
    }
}

/// When a phone is told that its token ends; at once if that is soon.
fn warn_at(token_expires: u64, now: Instant) -> Option<Instant> {
    let left = i64::try_from(token_expires).ok()?.checked_mul(1000)? - Utc::now().millis();
    let left = Duration::from_millis(u64::try_from(left).unwrap_or_default());
    now.checked_add(left.saturating_sub(TOKEN_WARNING))
}

impl PhoneTask {
    pub(super) fn v1_mut(&mut self) -> Option<&mut V1> {
        match &mut self.dialect {
            Dialect::V1(v1) => Some(v1),
            Dialect::Plain(_) => None,
        }
    }

    pub(super) fn set_call_waiting(&mut self, wanted: bool) {
        let Some(v1) = self.v1_mut() else { return };
        v1.call_waiting = wanted;
        let room = if wanted && v1.config().calls.call_waiting { ROOM_WAITING } else { 1 };
        let registration = &self.registration;
        registration.exchange().set_room(&registration.ext, registration.login, room);
    }

    /// Something came from the page.
    pub(super) fn heard(&mut self) {
        if let Some(v1) = self.v1_mut()
            && v1.life.heard()
        {
            debug!(ext = %self.registration.ext, "the page answers again");
            self.set_standing(Standing::Reachable);
        }
    }

    pub(super) fn v1_ping_now(&mut self) -> u64 {
        let Some(v1) = self.v1_mut() else { return 0 };
        let n = v1.life.ask_now(Instant::now().into_std());
        self.send(ToPhone::Ping { n }.json());
        n
    }

    /// Deadlines.
    pub(super) fn v1_time(&mut self, now: Instant) -> Option<LoginEnd> {
        let std_now = now.into_std();
        loop {
            let v1 = self.v1_mut()?;
            if let Some(back_by) = v1.back_by {
                if back_by <= now {
                    return Some(LoginEnd::NotBack);
                }
                break;
            }
            match v1.life.tick(std_now) {
                None => break,
                Some(Turn::Ping(n)) => self.send(ToPhone::Ping { n }.json()),
                Some(Turn::Unreachable) => {
                    debug!(ext = %self.registration.ext, "the page doesn't answer");
                    self.set_standing(Standing::Silent);
                }
                Some(Turn::Dead) => return self.lost(LoginEnd::Silent),
            }
        }
        let v1 = self.v1_mut()?;
        if v1.warn_at.is_some_and(|at| at <= now) {
            let expires = i64::try_from(v1.token_expires).unwrap_or(i64::MAX / 1000) * 1000;
            let left = u64::try_from(expires - Utc::now().millis()).unwrap_or_default();
            v1.warn_at = Some(now + TOKEN_WARNING_EVERY);
            self.send(ToPhone::TokenExpiring { ms: left }.json());
        }
        let v1 = self.v1_mut()?;
        if v1.presence_until.is_some_and(|at| at <= now) {
            v1.presence_until = None;
            self.registration.exchange().expire_presence(&self.registration.ext);
        }
        let late = |slot: &&Slot| slot.deadline().is_some_and(|at| at <= now);
        let late: Vec<CallId> = self.slots.iter().filter(late).map(Slot::call).collect();
        for call in late {
            self.late(call);
        }
        None
    }

    /// The page has not shown that it rings, or the leg of a call has not come.
    fn late(&mut self, call: CallId) {
        let Some(slot) = self.slot_mut(call) else { return };
        slot.waits_for_nothing();
        if slot.waits_for_leg() {
            let why = crate::call::ending::Ending::Failed;
            self.registration.exchange().calls.failed(call, why.into());
        } else {
            self.input(Input::Unconfirmed(call));
        }
    }

    /// What there is to know of the extension's presence; true if the page doesn't know it yet.
    pub(super) fn learn_presence(&mut self, presence: &Presence, reachable: bool) -> bool {
        let Some(v1) = self.v1_mut() else { return false };
        v1.presence_until = presence.until.map(Instant::from_std);
        let now = Some((presence.clone(), reachable));
        std::mem::replace(&mut v1.presence_said, now.clone()) != now
    }

    /// One text message.
    pub(super) fn v1_text(&mut self, text: &str) -> Option<LoginEnd> {
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
    fn answer(&mut self, id: Option<Id>, result: Result<Done, Error>) {
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

    fn session_asked(&mut self, input: Input) -> Outcome {
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

    /// How long the call has been talked in.
    pub(super) fn talk_ms(slot: &Slot, now: Instant) -> u64 {
        slot.answered.map_or(0, |(at, _)| millis(now.saturating_duration_since(at)))
    }
}

fn done() -> Outcome {
    Outcome::Done(Done::default())
}

fn wrong(code: Code, message: &str) -> Outcome {
    Outcome::Wrong(Error::new(code, message))
}

fn no_such_call() -> Outcome {
    wrong(Code::NoSuchCall, "this phone has no such call")
}
