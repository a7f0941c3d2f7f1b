//! What a call and a phone hold of each other while the one rings the other.
//!
//! Nothing that matters can be lost here: whoever will have to say something later holds a place
//! in the other's mailbox from the beginning, and whoever vanishes says so by being dropped.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use tokio::sync::oneshot;

use super::ask::Answered;
use crate::{
    call::{
        CallId, Extension, LoginId, RingId, RingKey,
        ending::Ending,
        info::{News, Progress},
        record::{Caller, Direction},
    },
    net::{
        hop::{HopReceiver, HopSender},
        io::Io,
        latest::Reader,
        mailbox,
        reactor::Reactor,
        wire::Wire,
    },
    report::time::Utc,
};

/// What a call learns from a phone, and from call control. Small, for a mailbox keeps room for 32 of
/// them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CallEvent {
    Answered(RingId, LoginId),
    /// Declined, or hung up.
    HungUp(RingId, LoginId),
    /// It is connected, and its page shows nothing.
    Unreachable(RingId, LoginId),
    /// The connection is gone.
    Gone(RingId, LoginId),

    /// Call control: this is the other end. What is `None` in it is as before.
    Caller(Box<Caller>),
    /// Call control: the far end has put us on hold, or taken us back.
    HeldByFar(bool),
    /// Call control: an outgoing call came further.
    Progress(Progress),
    /// Call control: when Asterisk closes this call, that is why: the far end is busy, the number
    /// is unknown, the call was passed on. With the Q.850 cause, if there was one.
    ClosesFor(Ending, Option<u8>),
    /// Call control: end the call.
    End(Ending),
}

/// What a phone's task is told. Small, for a mailbox keeps room for 32 of them.
#[derive(Debug)]
pub enum PhoneCommand {
    /// A call rings, or the leg of an outgoing one is there.
    Ring(Box<Offer>),
    /// The answer was in time; this is the audio.
    Connected(Box<(RingKey, AudioLine)>),
    /// The ringing or the call is over.
    Over(Box<(RingKey, Stopped)>),
    /// The answer to what this phone has asked of call control.
    Answered(Box<Answered>),
    /// What became of a caller whom this phone has passed on.
    PassedOn(Box<PassedOn>),
    /// What can work has changed; the exchange says what.
    FeaturesChanged,
    /// Another device of the extension has come or gone; the exchange says who is here.
    DevicesChanged,
    /// The extension's presence has changed; the exchange says how.
    PresenceChanged,
    /// The page is back: this is its new connection.
    Attach(Box<Attach>),
    /// Is the phone alive? Answered by the pong of a ping that is sent now, or with no where its
    /// connection is lost.
    Probe(oneshot::Sender<bool>),
}

/// What became of a caller who was passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PassedOn {
    /// The call that was passed on; for its phone it is over, or is about to be.
    pub call: CallId,
    /// `Err`: nobody took the caller, and why.
    pub result: Result<(), Ending>,
}

/// A page that comes back to its phone.
#[derive(Debug)]
pub struct Attach {
    pub wire: Wire<Io>,
    /// What its connection holds of the limits, for as long as it is open.
    pub places: Places,
    /// When its token ends, in seconds since 1970.
    pub token_expires: u64,
    pub call_waiting: bool,
}

/// Places among the connections; dropping them makes room.
pub type Places = Box<dyn std::any::Any + Send + Sync>;

/// Why a phone stops ringing, or its call is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stopped {
    pub why: Ending,
    /// Who has taken the call, where [`Ending::AnsweredElsewhere`] says that somebody did.
    pub by: Option<Extension>,
    /// The far end's Q.850 cause, where it is known; else the ending's own counts.
    pub cause: Option<u8>,
}

impl From<Ending> for Stopped {
    fn from(why: Ending) -> Self {
        Self { why, by: None, cause: None }
    }
}

/// A call at a phone's door.
#[derive(Debug)]
pub struct Offer {
    pub call: CallId,
    pub ring: RingId,
    /// It is the leg of a call that this phone itself has dialled: answered without being asked.
    pub direct: bool,
    pub facts: Arc<CallFacts>,
    pub reporter: Reporter,
    pub news: Reader<News>,
}

/// Both directions of a call's audio, the phone's ends.
#[derive(Debug)]
pub struct AudioLine {
    pub to_phone: HopReceiver,
    pub from_phone: HopSender,
    pub state: Arc<LineState>,
    /// Who tells the call of its socket, and had better tell the phone of its own, too.
    pub reactor: Option<Arc<Reactor>>,
}

impl AudioLine {
    pub fn set_held(&self, on: bool) {
        self.state.held.store(on, Ordering::Release);
        self.shut();
    }

    pub fn set_muted(&self, on: bool) {
        self.state.muted.store(on, Ordering::Release);
        self.shut();
    }

    pub fn set_detached(&self, on: bool) {
        self.state.detached.store(on, Ordering::Release);
        self.shut();
    }

    /// Whether anything goes through, where each frame sees it.
    fn shut(&self) {
        let silent = self.state.is_held() || self.state.is_detached();
        self.to_phone.shut(silent);
        self.from_phone.shut(silent || self.state.is_muted());
    }
}

/// How a call's audio stands: states, not events, so each is simply looked at, and none can be lost.
#[derive(Debug, Default)]
pub struct LineState {
    /// The phone's side: the far end hears music.
    held: AtomicBool,
    /// The phone's side: the far end hears silence, whatever the phone sends.
    muted: AtomicBool,
    /// The phone's side: its connection is lost.
    detached: AtomicBool,
    /// The call's side: Asterisk's queue, and what was dropped and filled since the answer.
    figures: [AtomicU32; 3],
}

/// What the call's side knows of its audio.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Figures {
    pub asterisk_queue_ms: u32,
    pub dropped: u32,
    pub filled: u32,
}

impl LineState {
    pub fn is_held(&self) -> bool {
        self.held.load(Ordering::Acquire)
    }

    fn is_muted(&self) -> bool {
        self.muted.load(Ordering::Acquire)
    }

    pub fn is_detached(&self) -> bool {
        self.detached.load(Ordering::Acquire)
    }

    pub fn set_figures(&self, figures: Figures) {
        let Figures { asterisk_queue_ms, dropped, filled } = figures;
        for (cell, value) in self.figures.iter().zip([asterisk_queue_ms, dropped, filled]) {
            cell.store(value, Ordering::Relaxed);
        }
    }

    pub fn figures(&self) -> Figures {
        let [asterisk_queue_ms, dropped, filled] =
            [0, 1, 2].map(|n: usize| self.figures[n].load(Ordering::Relaxed));
        Figures { asterisk_queue_ms, dropped, filled }
    }
}

impl Offer {
    pub fn key(&self) -> RingKey {
        RingKey { call: self.call, ring: self.ring }
    }
}

/// What is known of a call when it rings. Everything that changes later is [`News`].
#[derive(Debug, Clone)]
pub struct CallFacts {
    pub direction: Direction,
    pub caller: Caller,
    /// What was dialled: the extension, or a group's name.
    pub to: String,
    pub is_group: bool,
    /// The channel variables that the configuration shows to phones.
    pub variables: BTreeMap<String, String>,
    pub since: Utc,
    /// How long it rings here.
    pub ring_time: Duration,
}

/// The phone's way to tell its call: two places in the call's mailbox, reserved before it rang.
/// Dropped without having said the end, it says that the phone is gone.
#[derive(Debug)]
pub struct Reporter {
    ring: RingId,
    login: LoginId,
    answer: Option<mailbox::Place<CallEvent>>,
    end: Option<mailbox::Place<CallEvent>>,
}

impl Reporter {
    /// `None` if the call's mailbox is full, which it is sized never to be.
    pub(super) fn new(
        ring: RingId,
        login: LoginId,
        events: &mailbox::Sender<CallEvent>,
    ) -> Option<Self> {
        let answer = events.reserve()?;
        let end = events.reserve()?;
        Some(Self { ring, login, answer: Some(answer), end: Some(end) })
    }

    /// The phone answered. The first time counts.
    pub fn answered(&mut self) {
        if let Some(permit) = self.answer.take() {
            permit.send(CallEvent::Answered(self.ring, self.login));
        }
    }

    /// The phone declined or hung up. The first time counts.
    pub fn hung_up(&mut self) {
        if let Some(permit) = self.end.take() {
            permit.send(CallEvent::HungUp(self.ring, self.login));
        }
    }

    /// The phone's page shows nothing. The first end counts.
    pub fn unreachable(&mut self) {
        if let Some(permit) = self.end.take() {
            permit.send(CallEvent::Unreachable(self.ring, self.login));
        }
    }
}

impl Drop for Reporter {
    fn drop(&mut self) {
        if let Some(permit) = self.end.take() {
            permit.send(CallEvent::Gone(self.ring, self.login));
        }
    }
}
