//! The only shared state: who is logged in, who is in a call, and how many calls there are.
//!
//! One lock, never held across a wait. `line` is what a call and a phone hold of each other,
//! `calls` the calls that are up or to come, `desk` and `ask` what phones want of Asterisk's
//! manager.

pub mod ask;
pub mod calls;
pub mod desk;
pub mod line;

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::{
    asterisk::{ami::client::Ami, message::ControlFormat},
    call::{
        CallId, Extension, LoginId, RingId, RingKey,
        hunt::Offered,
        registry::{Claim, Registry},
    },
    config::FormatSetting,
    exchange::{
        ask::{Refused, Why},
        calls::{Calls, ToCome},
        desk::{Desk, Features},
        line::{CallEvent, PhoneCommand, RingHandle},
    },
    report::{feed::Feed, metrics::Metrics, time::Utc},
    tap::Taps,
};

/// Commands that may wait for a phone's task. A call reserves its own beforehand, so none of a
/// call's is ever lost; a task that has fallen this far behind counts as away.
pub const PHONE_MAILBOX: usize = 32;

/// How a login's task is reached.
#[derive(Debug, Clone)]
pub struct PhoneHandle {
    pub login: LoginId,
    pub commands: mpsc::Sender<PhoneCommand>,
    /// Cancelled when another login has taken the extension.
    pub kicked: CancellationToken,
    /// When it logged in.
    pub since: Utc,
}

/// A login, for those who look on.
#[derive(Debug, Clone)]
pub struct Login {
    pub ext: Extension,
    pub since: Utc,
    /// The call that it rings or talks in.
    pub call: Option<CallId>,
}

/// The switchboard. Shared by every task, for as long as the gateway runs.
#[derive(Debug)]
pub struct Exchange {
    registry: Mutex<Registry<PhoneHandle>>,
    next_login: AtomicU64,
    /// Cancelled when the gateway begins to stop: no call and no login is taken any more.
    pub draining: CancellationToken,
    /// Cancelled when phones that are in no call are to leave: when the gateway stops and no call
    /// hunts any more, which may still want them.
    pub leaving: CancellationToken,
    /// Calls that hunt.
    hunts: AtomicUsize,
    /// Whether it was said that Asterisk speaks another format than the configuration expects.
    format_warned: AtomicBool,
    pub metrics: Arc<Metrics>,
    /// What happens to calls, for whoever wants to know.
    pub feed: Arc<Feed>,
    /// Asterisk's manager, which may not be there.
    pub ami: Ami,
    /// The calls that are up, and those that phones have asked for.
    pub calls: Calls,
    /// Where phones hand in what only call control can do.
    pub desk: Desk,
    /// Whoever listens to calls.
    pub taps: Arc<Taps>,
}

/// A login, for as long as it holds its extension; dropping it logs out.
#[derive(Debug)]
pub struct Registration {
    exchange: Arc<Exchange>,
    pub ext: Extension,
    pub login: LoginId,
}

impl Exchange {
    /// Without a manager.
    pub fn new(metrics: Arc<Metrics>) -> Arc<Self> {
        Self::with_ami(metrics, Ami::absent())
    }

    pub fn with_ami(metrics: Arc<Metrics>, ami: Ami) -> Arc<Self> {
        Arc::new(Self {
            registry: Mutex::default(),
            next_login: AtomicU64::new(1),
            draining: CancellationToken::new(),
            leaving: CancellationToken::new(),
            hunts: AtomicUsize::new(0),
            format_warned: AtomicBool::new(false),
            metrics,
            feed: Arc::default(),
            ami,
            calls: Calls::default(),
            desk: Desk::default(),
            taps: Taps::new(),
        })
    }

    fn registry(&self) -> MutexGuard<'_, Registry<PhoneHandle>> {
        // The table is consistent between any two of its methods, so a panic elsewhere while it
        // was locked is no reason to stop serving.
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A number for a new login.
    pub fn next_login(&self) -> LoginId {
        LoginId(self.next_login.fetch_add(1, Ordering::Relaxed))
    }

    /// Logs a phone in, or gives the one that holds the extension.
    pub fn log_in(
        self: &Arc<Self>,
        ext: &Extension,
        handle: PhoneHandle,
    ) -> Result<Registration, PhoneHandle> {
        let login = handle.login;
        let mut registry = self.registry();
        match registry.register(ext, login, handle) {
            Ok(()) => {
                self.metrics.phones.set(registry.len() as i64);
                Ok(Registration { exchange: self.clone(), ext: ext.clone(), login })
            }
            Err((_, holder)) => Err(holder.clone()),
        }
    }

    /// Takes an extension away from a login that is dead or replaced, and ends its task.
    /// False if it held it no more.
    pub fn evict(&self, ext: &Extension, login: LoginId) -> bool {
        let Some(phone) = self.log_out(ext, login) else { return false };
        phone.kicked.cancel();
        true
    }

    fn log_out(&self, ext: &Extension, login: LoginId) -> Option<PhoneHandle> {
        let mut registry = self.registry();
        let phone = registry.unregister(ext, login);
        self.metrics.phones.set(registry.len() as i64);
        self.metrics.phones_busy.set(registry.taken() as i64);
        phone
    }

    /// Rings a phone for a call: it is this call's until the handle is dropped.
    pub fn ring(
        self: &Arc<Self>,
        ext: &Extension,
        call: CallId,
        ring: RingId,
        events: &mpsc::Sender<CallEvent>,
    ) -> Result<RingHandle, Offered> {
        let mut registry = self.registry();
        let phone = match registry.claim(ext, call, ring) {
            Claim::Away => return Err(Offered::Away),
            Claim::Busy => return Err(Offered::Busy),
            Claim::Taken(phone) => phone.clone(),
        };
        self.metrics.phones_busy.set(registry.taken() as i64);
        drop(registry);
        let key = RingKey { call, ring };
        let mut handle = RingHandle::new(self.clone(), ext.clone(), phone.login, key);
        if !handle.reserve(&phone.commands) || !handle.offer(false, events) {
            return Err(Offered::Away);
        }
        Ok(handle)
    }

    /// Takes a place at this phone for a call that it wants to make. Until the call's leg comes
    /// ([`Calls::adopt`]) the place waits in the table of calls.
    pub fn dial(
        self: &Arc<Self>,
        ext: &Extension,
        login: LoginId,
        call: CallId,
        to: &str,
    ) -> Result<(), Refused> {
        let refused = |why, text: &str| Err(Refused::new(why, text));
        if self.is_draining() {
            return refused(Why::Draining, "the gateway is stopping");
        }
        let ring = RingId(0);
        let mut registry = self.registry();
        let phone = match registry.claim(ext, call, ring) {
            Claim::Taken(phone) if phone.login == login => phone.clone(),
            Claim::Taken(_) | Claim::Away => {
                registry.release(ext, call, ring);
                return refused(Why::WrongState, "this login has been replaced");
            }
            Claim::Busy => return refused(Why::Busy, "this phone has as many calls as it may"),
        };
        self.metrics.phones_busy.set(registry.taken() as i64);
        drop(registry);
        let mut handle = RingHandle::new(self.clone(), ext.clone(), login, RingKey { call, ring });
        if !handle.reserve(&phone.commands) {
            return refused(Why::RateLimited, "this phone has fallen behind");
        }
        self.calls.expect(call, ToCome { place: handle, to: to.to_owned() });
        Ok(())
    }

    /// Call control says what it can do now; every phone learns it, if that is news.
    pub fn set_features(&self, features: Features) {
        if self.desk.set_features(features) {
            for phone in self.registry().handles() {
                // One that is behind reads it later.
                let _ = phone.commands.try_send(PhoneCommand::FeaturesChanged);
            }
        }
    }

    fn release(&self, ext: &Extension, call: CallId, ring: RingId) {
        let mut registry = self.registry();
        registry.release(ext, call, ring);
        self.metrics.phones_busy.set(registry.taken() as i64);
    }

    /// Who is logged in.
    pub fn logins(&self) -> Vec<Login> {
        let registry = self.registry();
        let login = |(ext, handle, call): (&Extension, &PhoneHandle, _)| Login {
            ext: ext.clone(),
            since: handle.since,
            call,
        };
        registry.each().map(login).collect()
    }

    /// How many phones are logged in.
    pub fn phones(&self) -> usize {
        self.registry().len()
    }

    /// A call speaks this format. Warns once where the configuration expects the other one.
    pub fn format_seen(&self, format: ControlFormat, expected: FormatSetting) {
        let said = match (format, expected) {
            (ControlFormat::Json, FormatSetting::Text) => "json",
            (ControlFormat::Text, FormatSetting::Json) => "text",
            _ => return,
        };
        if !self.format_warned.swap(true, Ordering::Relaxed) {
            warn!(
                "Asterisk speaks {said}, asterisk_format says otherwise; each call is served in \
                 its own format. Remove asterisk_format, or set it to \"auto\"."
            );
        }
    }

    /// Begins to stop.
    pub fn drain(&self) {
        self.draining.cancel();
        self.leave_if_no_call_hunts();
    }

    /// A call begins to hunt, until the guard is dropped.
    pub fn hunt(self: &Arc<Self>) -> Hunting {
        self.hunts.fetch_add(1, Ordering::AcqRel);
        Hunting(self.clone())
    }

    fn leave_if_no_call_hunts(&self) {
        if self.is_draining() && self.hunts.load(Ordering::Acquire) == 0 {
            self.leaving.cancel();
        }
    }

    /// Whether the gateway stops: no call and no login is taken any more.
    pub fn is_draining(&self) -> bool {
        self.draining.is_cancelled()
    }
}

/// A call that hunts.
#[derive(Debug)]
pub struct Hunting(Arc<Exchange>);

impl Drop for Hunting {
    fn drop(&mut self) {
        self.0.hunts.fetch_sub(1, Ordering::AcqRel);
        self.0.leave_if_no_call_hunts();
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.exchange.log_out(&self.ext, self.login);
    }
}
