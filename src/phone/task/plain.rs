//! What a phone's task does in the plain-text dialect: one call, six words, WebSocket pings.
//!
//! Promises, as the Go gateway does: every `RINGING` is ended by exactly one `HANGUP`, whoever hung
//! up; an answer to nothing is answered by `HANGUP`.

use bytes::Bytes;
use tokio::time::Instant;
use tracing::debug;

use super::{Dialect, PhoneTask};
use crate::{
    net::{
        liveness::{Liveness, PING_EVERY},
        wire::Message,
    },
    phone::{
        plain::{self, FromPhone, ToPhone},
        session::{Input, Output},
    },
};

/// Signs of life, by WebSocket pings: this dialect has no others.
pub struct Plain {
    liveness: Liveness,
    pings: u64,
    ping_at: Instant,
}

impl Plain {
    pub fn new(now: Instant) -> Self {
        Self { liveness: Liveness::default(), pings: 0, ping_at: now + PING_EVERY }
    }

    pub fn heard(&mut self) {
        self.liveness.heard();
    }

    pub fn ping_at(&self) -> Instant {
        self.ping_at
    }
}

impl PhoneTask {
    pub(super) fn plain_text(&mut self, text: &str) {
        if let Dialect::Plain(plain) = &mut self.dialect {
            plain.heard();
        }
        let call = self.session.lines().first().map(|line| line.call());
        match (plain::parse(text), call) {
            (Some(FromPhone::Answer), Some(call)) => {
                self.input(Input::Answer(call));
            }
            (Some(FromPhone::Hangup), Some(call)) => {
                self.input(Input::Hangup(call));
            }
            (Some(FromPhone::Answer), None) => self.send(ToPhone::Hangup.as_str()),
            (Some(FromPhone::Hangup), None) => {}
            (None, _) => {
                debug!(ext = %self.registration.ext, bytes = text.len(), "unknown text ignored");
            }
        }
    }

    pub(super) fn plain_says(&mut self, output: Output) {
        match output {
            Output::SayIncoming(_) => self.send(ToPhone::Ringing.as_str()),
            Output::SayEnded(_) => self.send(ToPhone::Hangup.as_str()),
            _ => {}
        }
    }

    /// Sends a ping if it is time to; false when the phone has been silent for too long.
    pub(super) fn plain_time(&mut self, now: Instant) -> bool {
        let Dialect::Plain(plain) = &mut self.dialect else { return true };
        if now < plain.ping_at {
            return true;
        }
        if !plain.liveness.round() {
            return false;
        }
        plain.ping_at = now + PING_EVERY;
        self.plain_ping();
        true
    }

    pub(super) fn plain_ping(&mut self) -> u64 {
        let Dialect::Plain(plain) = &mut self.dialect else { return 0 };
        plain.pings += 1;
        let number = plain.pings;
        if let Some(wire) = &mut self.wire {
            let payload = Bytes::copy_from_slice(&number.to_be_bytes());
            let _ = wire.send(Message::Ping(payload));
        }
        number
    }

    pub(super) fn plain_pong(&mut self, payload: &[u8]) {
        if let Dialect::Plain(plain) = &mut self.dialect {
            plain.heard();
        }
        if let Ok(payload) = payload.try_into() {
            self.probed(u64::from_be_bytes(payload));
        }
    }
}
