//! The only shared state: who is logged in, who is in a call, and how many calls there are.
//!
//! One lock, never held across a wait. `line` is what a call and a phone hold of each other.

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
        CallId, Extension, LoginId, RingId,
        hunt::Offered,
        registry::{Claim, Registry},
    },
    config::FormatSetting,
    exchange::line::{CallEvent, Offer, PhoneCommand, Reporter, RingHandle},
    report::{feed::Feed, metrics::Metrics},
    tap::Taps,
};

/// Commands that may wait for a phone's task. A call reserves its own beforehand, so none of a
/// call's is ever lost; a task that has fallen this far behind counts as away.
pub const PHONE_MAILBOX: usize = 16;

/// How a login's task is reached.
#[derive(Debug, Clone)]
pub struct PhoneHandle {
    pub login: LoginId,
    pub commands: mpsc::Sender<PhoneCommand>,
    /// Cancelled when another login has taken the extension.
    pub kicked: CancellationToken,
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
        // From here on, dropping the handle releases the phone.
        let mut handle = RingHandle::new(self.clone(), ext.clone(), call, ring);
        let reporter = Reporter::new(ring, events).ok_or(Offered::Away)?;
        let offer = Offer { call, ring, reporter };
        if !handle.reserve(&phone.commands)
            || phone.commands.try_send(PhoneCommand::Ring(Box::new(offer))).is_err()
        {
            return Err(Offered::Away);
        }
        Ok(handle)
    }

    fn release(&self, ext: &Extension, call: CallId, ring: RingId) {
        let mut registry = self.registry();
        registry.release(ext, call, ring);
        self.metrics.phones_busy.set(registry.taken() as i64);
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
