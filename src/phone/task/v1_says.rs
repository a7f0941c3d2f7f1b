//! What a phone of `goastgateway.v1` is told: the session's words, and the news of its calls.

use tokio::time::Instant;

use super::{Dialect, PhoneTask, slot::Slot};
use crate::{
    call::{
        CallId,
        ending::Ending,
        info::{News, Progress},
        record::Direction,
    },
    exchange::line::PassedOn,
    phone::{
        session::{MAX_CALLS, Output, State},
        v1::{
            life::PING_EVERY,
            message::{MAX_DIGITS, Stats},
            says::{
                CallObject, CallState, DeviceShown, Limits, PartyShown, Passed, PresenceShown,
                Quality, Server, ToPhone, Welcome, Who, direction, millis,
            },
        },
    },
    report::time::Utc,
};

impl PhoneTask {
    /// The first word after a login, or after a return.
    pub(super) fn welcome(&mut self, resumed: bool) {
        let exchange = self.registration.exchange().clone();
        let ext = self.registration.ext.clone();
        let login = self.registration.login.0;
        let presence = exchange.presence(&ext);
        self.learn_presence(&presence, true);
        let Some(v1) = self.v1_mut() else { return };
        let (message_bytes, resume_ms) = {
            let config = v1.config();
            (config.limits.phone_message, millis(config.calls.resume_timeout))
        };
        let (resume, expires) = (v1.resume.text(), v1.token_expires);
        let calls = self.slots.iter().filter(|slot| self.is_told(slot));
        let devices = exchange.devices(&ext);
        let welcome = Welcome {
            extension: &ext,
            login,
            resume,
            resumed,
            server: Server { version: env!("CARGO_PKG_VERSION"), time: Utc::now().millis() },
            token_expires: i64::try_from(expires).unwrap_or_default().saturating_mul(1000),
            limits: Limits { message_bytes, calls: MAX_CALLS, digits: MAX_DIGITS },
            features: exchange.desk.features().into(),
            ping_every_ms: millis(PING_EVERY),
            resume_ms,
            presence: shown(&presence, true),
            devices: DeviceShown::all(&devices),
            calls: calls.map(|slot| self.call_object(slot)).collect(),
        };
        let text = ToPhone::Welcome(Box::new(welcome)).json();
        self.send(text);
    }

    /// Whether the phone knows of this call.
    fn is_told(&self, slot: &Slot) -> bool {
        let line = self.session.get(slot.call());
        line.is_some_and(|line| !matches!(line.state, State::Wanted | State::Ending))
    }

    fn call_object<'a>(&self, slot: &'a Slot) -> CallObject<'a> {
        let line = self.session.get(slot.call());
        let state = line.map_or(State::Ending, |line| line.state);
        let facts = &slot.facts;
        CallObject {
            call: slot.call(),
            direction: direction(facts.direction),
            state: CallState::new(state, slot.progress),
            from: PartyShown::of(&slot.caller),
            to: &facts.to,
            group: facts.is_group.then_some(facts.to.as_str()),
            variables: &facts.variables,
            held: line.is_some_and(|line| line.held),
            held_by_far: slot.held_by_far,
            muted: line.is_some_and(|line| line.muted),
            since: facts.since.millis(),
            answered: slot.answered.map(|(_, at)| at.millis()),
            consults_for: slot.consults_for,
        }
    }

    /// The session's words.
    pub(super) fn v1_says(&mut self, output: Output, now: Instant) {
        let waiting = self.slots.len() > 1;
        let text = match output {
            Output::SayIncoming(call) => {
                let Some(slot) = self.slot_mut(call) else { return };
                slot.wants_confirmation(now);
                let Some(slot) = self.slot(call) else { return };
                let call = self.call_object(slot);
                let ring_ms = millis(slot.facts.ring_time);
                ToPhone::Incoming { call, ring_ms, waiting }.json()
            }
            Output::SayOutgoing(call) => {
                let Some(slot) = self.slot(call) else { return };
                ToPhone::Outgoing(self.call_object(slot)).json()
            }
            Output::SayConnected(call) => {
                let Some(slot) = self.slot(call) else { return };
                let answered = slot.answered.map_or_else(Utc::now, |(_, at)| at).millis();
                ToPhone::Connected { call, answered }.json()
            }
            Output::SayHeld(call, on) => ToPhone::Held { call, on, by: Who::Phone }.json(),
            Output::SayEnded(call) => {
                let Some(slot) = self.slot(call) else { return };
                let Some(stopped) = &slot.stopped else { return };
                ToPhone::Ended {
                    call,
                    reason: stopped.why.as_str(),
                    side: stopped.why.side(),
                    by: stopped.by.as_ref(),
                    cause: stopped.cause.unwrap_or(stopped.why.cause()),
                    talk_ms: Self::talk_ms(slot, now),
                }
                .json()
            }
            _ => return,
        };
        self.send(text);
        if let Output::SayEnded(call) = output
            && let Some(passed) = self.slot_mut(call).and_then(|slot| slot.passed.take())
        {
            self.passed_on(passed);
        }
    }

    /// What became of a transfer. The call's own end comes first, whichever is known sooner.
    pub(super) fn passed_on(&mut self, passed: PassedOn) {
        let Dialect::V1(_) = self.dialect else { return };
        if let Some(slot) = self.slot_mut(passed.call)
            && slot.stopped.is_none()
        {
            slot.passed = Some(passed);
            return;
        }
        let PassedOn { call, result } = passed;
        let state = if result.is_ok() { Passed::Completed } else { Passed::Failed };
        let reason = result.err().map(Ending::as_str);
        self.send(ToPhone::Transfer { call, state, reason }.json());
    }

    /// A call has audio: of an outgoing one the phone is told, for it hears the far end ring.
    pub(super) fn said_joined(&mut self, call: CallId) {
        let out = self.slot(call).is_some_and(|slot| slot.direction() == Direction::Out);
        if out && self.session.get(call).is_some_and(|line| line.joined) {
            let state = CallState::Dialling;
            self.send(ToPhone::Progress { call, state, audio: true }.json());
        }
    }

    /// What became known of a call.
    pub(super) fn say_news(&mut self, call: CallId, news: &News) {
        if !self.slot(call).is_some_and(|slot| self.is_told(slot)) {
            return;
        }
        let audio = self.session.get(call).is_some_and(|line| line.joined);
        if news.caller.is_some()
            && let Some(slot) = self.slot(call)
        {
            self.send(ToPhone::Update(self.call_object(slot)).json());
        }
        if news.progress == Some(Progress::Alerting) {
            let state = CallState::Alerting;
            self.send(ToPhone::Progress { call, state, audio }.json());
        }
        if let Some(on) = news.held_by_far {
            self.send(ToPhone::Held { call, on, by: Who::Far }.json());
        }
        for digit in news.digits.chars() {
            self.send(ToPhone::Dtmf { call, digit }.json());
        }
    }

    pub(super) fn say_features(&mut self) {
        if self.v1_mut().is_some() {
            let features = self.registration.exchange().desk.features();
            self.send(ToPhone::Features(features.into()).json());
        }
    }

    /// Who is logged in as this extension has changed.
    pub(super) fn say_devices(&mut self) {
        if self.v1_mut().is_some() {
            let devices = self.registration.exchange().devices(&self.registration.ext);
            self.send(ToPhone::Devices { devices: DeviceShown::all(&devices) }.json());
        }
    }

    pub(super) fn say_presence(&mut self) {
        let exchange = self.registration.exchange().clone();
        let presence = exchange.presence(&self.registration.ext);
        let reachable = exchange.is_reachable(&self.registration.ext);
        if self.learn_presence(&presence, reachable) {
            self.send(ToPhone::Presence(shown(&presence, reachable)).json());
        }
    }

    /// The page measured this; it is told what the gateway knows.
    pub(super) fn stats(&mut self, stats: &Stats) {
        self.registration.exchange().metrics.phone_stats(&[
            ("e2e", stats.e2e_ms),
            ("playout", stats.playout_ms),
            ("rtt", stats.rtt_ms),
        ]);
        let rtt_ms = self.v1_mut().and_then(|v1| v1.rtt()).map(millis);
        let Some(call) = stats.call else { return };
        let Some(line) = self.slot(call).and_then(Slot::line) else { return };
        let figures = line.state.figures();
        let waiting = u32::try_from(line.to_phone.waiting()).unwrap_or(u32::MAX);
        let quality = Quality {
            call: Some(call),
            asterisk_queue_ms: figures.asterisk_queue_ms,
            to_phone_queue_ms: waiting.saturating_mul(20),
            dropped_to_phone: line.to_phone.dropped(),
            dropped_to_asterisk: u64::from(figures.dropped),
            filled: u64::from(figures.filled),
            rtt_ms,
        };
        self.send(ToPhone::Quality(Box::new(quality)).json());
    }
}

fn shown(presence: &crate::call::presence::Presence, reachable: bool) -> PresenceShown<'_> {
    let now = Instant::now().into_std();
    let until = presence.until.map(|at| Utc::now().plus(at.saturating_duration_since(now)));
    PresenceShown {
        state: presence.readiness.as_str(),
        until: until.map(Utc::millis),
        reason: presence.reason.as_deref(),
        reachable,
    }
}
