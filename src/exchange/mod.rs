//! The only shared state: who is logged in, who is in a call, and how many calls there are.
//!
//! One lock, never held across a wait. `line` is what a call and a phone hold of each other,
//! `calls` the calls that are up or to come, `desk` and `ask` what phones want of Asterisk's
//! manager, `drain` how the gateway stops.

pub mod ask;
pub mod calls;
pub mod desk;
pub mod drain;
pub mod line;
pub mod resume;
pub mod ring;

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
};

use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::{
    asterisk::{ami::client::Ami, message::ControlFormat},
    call::{
        CallId, Extension, LoginId, RingId, RingKey,
        hunt::Offered,
        presence::{Presence, Presences, Readiness},
        registry::{Claim, Device, Registry, Standing},
    },
    config::FormatSetting,
    exchange::{
        ask::{OutcomePlace, Refused, Why},
        calls::{Calls, ToCome},
        desk::{Desk, Features},
        line::{CallEvent, CallFacts, PhoneCommand},
        resume::ResumeId,
        ring::{RingHandle, Ringing},
    },
    net::{mailbox, reactor::Reactors},
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
    pub commands: mailbox::Sender<PhoneCommand>,
    /// Cancelled when another login has taken the extension.
    pub kicked: CancellationToken,
    /// When it logged in.
    pub since: Utc,
    /// By which its page may come back; `None` for a dialect that can't.
    pub resume: Option<ResumeId>,
    /// What it calls itself, for people; `None` where it didn't say.
    pub device: Option<Arc<str>>,
}

/// A login, for those who look on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    pub ext: Extension,
    pub login: LoginId,
    pub device: Option<Arc<str>>,
    pub since: Utc,
    /// The call that it rings or talks in.
    pub call: Option<CallId>,
    /// Whether its page answers.
    pub reachable: bool,
}

/// A login that holds an extension which another wants.
#[derive(Debug, Clone)]
pub struct Holder {
    pub phone: PhoneHandle,
    pub in_call: bool,
    pub standing: Standing,
}

/// The switchboard. Shared by every task, for as long as the gateway runs.
#[derive(Debug)]
pub struct Exchange {
    registry: Mutex<Registry<PhoneHandle>>,
    presences: Mutex<Presences>,
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
    /// Who tells calls of their sockets.
    pub reactors: Reactors,
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
            presences: Mutex::default(),
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
            reactors: Reactors::default(),
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

    /// Logs a phone in, `beside` others of its extension if that is allowed, or gives those that
    /// hold it.
    pub fn log_in(
        self: &Arc<Self>,
        ext: &Extension,
        handle: PhoneHandle,
        beside: bool,
    ) -> Result<Registration, Vec<Holder>> {
        let login = handle.login;
        let mut registry = self.registry();
        if !registry.register(ext, login, handle, beside) {
            return Err(holders(&registry, ext));
        }
        self.metrics.phones.set(registry.len() as i64);
        tell_devices(&registry, ext, login);
        Ok(Registration { exchange: self.clone(), ext: ext.clone(), login })
    }

    /// Who is logged in as this extension.
    pub fn holders(&self, ext: &Extension) -> Vec<Holder> {
        holders(&self.registry(), ext)
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
        if phone.is_some() {
            tell_devices(&registry, ext, login);
        }
        self.metrics.phones.set(registry.len() as i64);
        self.metrics.phones_busy.set(registry.taken() as i64);
        phone
    }

    /// Rings an extension's phones for a call: they are this call's until the handle is dropped.
    pub fn ring(
        self: &Arc<Self>,
        ext: &Extension,
        key: RingKey,
        facts: &Arc<CallFacts>,
        events: &mailbox::Sender<CallEvent>,
    ) -> Result<Ringing, Offered> {
        match self.readiness(ext) {
            Readiness::Ready => {}
            Readiness::Dnd => return Err(Offered::Busy),
            Readiness::Away | Readiness::Wrapup => return Err(Offered::Away),
        }
        let mut registry = self.registry();
        let phones = match registry.claim(ext, key) {
            Claim::Away => return Err(Offered::Away),
            Claim::Unreachable => return Err(Offered::Unreachable),
            Claim::Busy => return Err(Offered::Busy),
            Claim::Taken(phones) => phones,
        };
        self.metrics.phones_busy.set(registry.taken() as i64);
        drop(registry);
        let mut ringing = Vec::with_capacity(phones.len());
        for (login, phone) in phones {
            let mut handle = RingHandle::new(self.clone(), ext.clone(), login, key);
            if handle.reserve(&phone.commands) && handle.offer(false, facts.clone(), events) {
                ringing.push(handle);
            }
        }
        if ringing.is_empty() {
            return Err(Offered::Away);
        }
        Ok(Ringing::new(ext.clone(), ringing))
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
        let key = RingKey { call, ring: RingId(0) };
        let mut registry = self.registry();
        let Some(phone) = registry.claim_own(ext, login, key) else {
            return refused(Why::Busy, "this phone has as many calls as it may");
        };
        self.metrics.phones_busy.set(registry.taken() as i64);
        drop(registry);
        let mut handle = RingHandle::new(self.clone(), ext.clone(), login, key);
        if !handle.reserve(&phone.commands) {
            return refused(Why::RateLimited, "this phone has fallen behind");
        }
        self.calls.expect(call, ToCome { place: handle, to: to.to_owned() });
        Ok(())
    }

    /// How many calls may ring this phone at once.
    pub fn set_room(&self, ext: &Extension, login: LoginId, room: u8) {
        self.registry().set_room(ext, login, room);
    }

    /// Whether this phone can be rung. The extension's phones learn it, if it is news for them.
    pub fn set_standing(&self, ext: &Extension, login: LoginId, standing: Standing) {
        let mut registry = self.registry();
        if registry.set_standing(ext, login, standing) {
            tell_presence(&registry, ext);
        }
    }

    /// Whether a page of this extension answers.
    pub fn is_reachable(&self, ext: &Extension) -> bool {
        self.registry().is_reachable(ext)
    }

    fn presences(&self) -> MutexGuard<'_, Presences> {
        self.presences.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn readiness(&self, ext: &Extension) -> Readiness {
        self.presences().readiness(ext, tokio::time::Instant::now().into_std())
    }

    pub fn presence(&self, ext: &Extension) -> Presence {
        self.presences().get(ext, tokio::time::Instant::now().into_std())
    }

    /// A person says how an extension is to be called; all its phones learn it. False if there is
    /// no room for one more.
    pub fn set_presence(&self, ext: &Extension, presence: Presence) -> bool {
        if !self.presences().set(ext, presence) {
            return false;
        }
        tell_presence(&self.registry(), ext);
        true
    }

    /// A presence's time may be over.
    pub fn expire_presence(&self, ext: &Extension) {
        if self.presences().expire(ext, tokio::time::Instant::now().into_std()) {
            tell_presence(&self.registry(), ext);
        }
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

    /// A place at this phone for what becomes of a caller whom it is about to pass on; `None` if it
    /// has left, or has no room for one more.
    pub fn outcome_place(&self, ext: &Extension, login: LoginId) -> Option<OutcomePlace> {
        let registry = self.registry();
        let phone = registry.of(ext).iter().find(|device| device.login == login)?;
        OutcomePlace::reserve(&phone.handle.commands)
    }

    fn release(&self, ext: &Extension, login: LoginId, key: RingKey) {
        let mut registry = self.registry();
        registry.release(ext, login, key);
        self.metrics.phones_busy.set(registry.taken() as i64);
    }

    /// Who is logged in.
    pub fn logins(&self) -> Vec<Login> {
        self.registry().each().map(|(ext, device)| shown(ext, device)).collect()
    }

    /// Who is logged in as this extension, oldest first.
    pub fn devices(&self, ext: &Extension) -> Vec<Login> {
        self.registry().of(ext).iter().map(|device| shown(ext, device)).collect()
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
}

fn holders(registry: &Registry<PhoneHandle>, ext: &Extension) -> Vec<Holder> {
    let holder = |device: &Device<PhoneHandle>| Holder {
        phone: device.handle.clone(),
        in_call: device.is_taken(),
        standing: device.standing(),
    };
    registry.of(ext).iter().map(holder).collect()
}

fn shown(ext: &Extension, device: &Device<PhoneHandle>) -> Login {
    Login {
        ext: ext.clone(),
        login: device.login,
        device: device.handle.device.clone(),
        since: device.handle.since,
        call: device.calls().next().map(|key| key.call),
        reachable: device.standing() == Standing::Reachable,
    }
}

/// Another device of this extension has come or gone.
fn tell_devices(registry: &Registry<PhoneHandle>, ext: &Extension, which: LoginId) {
    for device in registry.of(ext).iter().filter(|device| device.login != which) {
        // One that is behind reads it with the next change.
        let _ = device.handle.commands.try_send(PhoneCommand::DevicesChanged);
    }
}

fn tell_presence(registry: &Registry<PhoneHandle>, ext: &Extension) {
    for device in registry.of(ext) {
        // One that is behind reads it later.
        let _ = device.handle.commands.try_send(PhoneCommand::PresenceChanged);
    }
}

impl Registration {
    pub fn exchange(&self) -> &Arc<Exchange> {
        &self.exchange
    }

    /// The way into this login's own mailbox, for answers; `None` if it has been taken away.
    pub fn commands(&self) -> Option<mailbox::Sender<PhoneCommand>> {
        let registry = self.exchange.registry();
        let device = registry.of(&self.ext).iter().find(|device| device.login == self.login)?;
        Some(device.handle.commands.clone())
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.exchange.log_out(&self.ext, self.login);
    }
}
