//! When the socket of a phone in a call is lost: the call goes on without it for a while, and the
//! page that comes back finds it.

use tokio::time::Instant;
use tracing::{info, warn};

use super::{CLOSE_NORMAL, CLOSE_POLICY, CLOSE_RESTART, Dialect, LoginEnd, PhoneTask};
use crate::{
    call::registry::Standing,
    exchange::line::Attach,
    phone::{
        plain::ToPhone as Word,
        v1::{close, says::ToPhone},
    },
};

/// When a page that is told to go may knock again. They all come at once.
const RETRY_AFTER_MS: u64 = 1_500;

impl PhoneTask {
    /// The connection is gone. Whether the login is, too.
    pub(super) fn lost(&mut self, end: LoginEnd) -> Option<LoginEnd> {
        let Dialect::V1(v1) = &mut self.dialect else { return Some(end) };
        let time = v1.resume_time();
        if self.session.is_idle() || time.is_zero() {
            return Some(end);
        }
        v1.detached(Instant::now() + time);
        info!(
            ext = %self.registration.ext, login = self.registration.login.0, reason = end.as_str(),
            "phone lost in a call: waiting for it"
        );
        self.wire = None;
        self.places = None;
        for (_, reply) in self.probes.drain(..) {
            let _ = reply.send(false);
        }
        for slot in &mut self.slots {
            slot.set_detached(true);
            if !slot.waits_for_leg() {
                slot.waits_for_nothing(); // a page that comes back has shown that it lives
            }
        }
        self.set_standing(Standing::Detached);
        None
    }

    /// The page is back, on another connection. The one before may not know that it is dead.
    pub(super) fn attach(&mut self, attach: Attach) {
        let Dialect::V1(v1) = &mut self.dialect else { return };
        let Attach { wire, places, token_expires, call_waiting } = attach;
        let now = Instant::now();
        v1.attached(token_expires, now);
        let before = self.wire.replace(wire);
        let places_before = self.places.replace(places);
        info!(ext = %self.registration.ext, login = self.registration.login.0, "phone is back");
        if let Some(mut before) = before {
            before.stand();
            // A goodbye may take a second; audio doesn't wait for it.
            tokio::spawn(async move {
                before.close(close::REPLACED, "resumed on another connection").await;
                drop(places_before);
            });
        }
        self.probes.clear();
        for slot in &mut self.slots {
            slot.set_detached(false);
            if !slot.waits_for_leg() {
                slot.waits_for_nothing();
            }
        }
        self.sit_or_stand();
        self.set_standing(Standing::Reachable);
        self.set_call_waiting(call_waiting);
        self.welcome(true);
    }

    pub(super) fn set_standing(&self, standing: Standing) {
        let Self { registration, .. } = self;
        registration.exchange().set_standing(&registration.ext, registration.login, standing);
    }

    /// What is said before the connection is closed.
    pub(super) fn say_goodbye(&mut self, end: LoginEnd) {
        if end == LoginEnd::NotBack {
            warn!(ext = %self.registration.ext, login = self.registration.login.0,
                "the phone did not come back in time: its calls are over");
        }
        match (&self.dialect, end) {
            (Dialect::Plain(_), LoginEnd::Replaced) => self.send(Word::Kicked.as_str()),
            (Dialect::V1(_), LoginEnd::Drained) => {
                let bye = ToPhone::Bye { reason: "restart", retry_after_ms: RETRY_AFTER_MS };
                self.send(bye.json());
            }
            _ => {}
        }
    }
}

/// The words for a page that is turned away because the gateway stops.
pub fn bye() -> String {
    ToPhone::Bye { reason: "restart", retry_after_ms: RETRY_AFTER_MS }.json()
}

/// How the connection is closed; `None` where it is closed already.
pub(super) fn close_code(end: LoginEnd, is_v1: bool) -> Option<(u16, &'static str)> {
    Some(match end {
        LoginEnd::Left(_) | LoginEnd::NotBack => return None,
        LoginEnd::LoggedOut => (CLOSE_NORMAL, ""),
        LoginEnd::Replaced if is_v1 => (close::REPLACED, "replaced by a newer login"),
        LoginEnd::Replaced => (CLOSE_POLICY, "replaced by a newer login"),
        LoginEnd::Drained => (CLOSE_RESTART, "the gateway restarts"),
        LoginEnd::Silent => (CLOSE_POLICY, "no sign of life"),
        LoginEnd::BadMessage => (close::BAD_MESSAGE, "not a message of the protocol"),
    })
}
