//! What a call and a phone hold of each other while the one rings the other.
//!
//! Nothing that matters can be lost here: whoever will have to say something later holds a place
//! in the other's mailbox from the beginning, and whoever vanishes says so by being dropped.

use std::sync::Arc;

use tokio::sync::{
    mpsc::{self, OwnedPermit},
    oneshot,
};

use super::{Exchange, ask::Answered};
use crate::{
    call::{
        CallId, Extension, LoginId, RingId, RingKey,
        ending::Ending,
        info::{News, Progress},
        record::Caller,
    },
    net::{
        hop::{HopReceiver, HopSender},
        latest::{Reader, Writer, latest},
    },
};

/// What a call learns from a phone, and from call control.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CallEvent {
    Answered(RingId),
    /// Declined, or hung up.
    HungUp(RingId),
    /// The connection is gone.
    Gone(RingId),

    /// Call control: this is the other end. What is `None` in it is as before.
    Caller(Caller),
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
    /// What can work has changed; the exchange says what.
    FeaturesChanged,
    /// Is the phone alive? Answered by the pong of a ping that is sent now.
    Probe(oneshot::Sender<()>),
}

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
    pub reporter: Reporter,
    pub news: Reader<News>,
}

/// Both directions of a call's audio, the phone's ends.
#[derive(Debug)]
pub struct AudioLine {
    pub to_phone: HopReceiver,
    pub from_phone: HopSender,
}

/// The phone's way to tell its call: two places in the call's mailbox, reserved before it rang.
/// Dropped without having said the end, it says that the phone is gone.
#[derive(Debug)]
pub struct Reporter {
    ring: RingId,
    answer: Option<OwnedPermit<CallEvent>>,
    end: Option<OwnedPermit<CallEvent>>,
}

impl Reporter {
    /// `None` if the call's mailbox is full, which it is sized never to be.
    pub(super) fn new(ring: RingId, events: &mpsc::Sender<CallEvent>) -> Option<Self> {
        let answer = events.clone().try_reserve_owned().ok()?;
        let end = events.clone().try_reserve_owned().ok()?;
        Some(Self { ring, answer: Some(answer), end: Some(end) })
    }

    /// The phone answered. The first time counts.
    pub fn answered(&mut self) {
        if let Some(permit) = self.answer.take() {
            permit.send(CallEvent::Answered(self.ring));
        }
    }

    /// The phone declined or hung up. The first time counts.
    pub fn hung_up(&mut self) {
        if let Some(permit) = self.end.take() {
            permit.send(CallEvent::HungUp(self.ring));
        }
    }
}

impl Drop for Reporter {
    fn drop(&mut self) {
        if let Some(permit) = self.end.take() {
            permit.send(CallEvent::Gone(self.ring));
        }
    }
}

/// A call's hold on a phone. Dropping it tells the phone that it is over and then frees it for
/// the next call, in this order, so that the next call's ring comes behind.
#[derive(Debug)]
pub struct RingHandle {
    exchange: Arc<Exchange>,
    pub ext: Extension,
    login: LoginId,
    key: RingKey,
    /// Three places in the phone's mailbox.
    offer: Option<OwnedPermit<PhoneCommand>>,
    connected: Option<OwnedPermit<PhoneCommand>>,
    over: Option<OwnedPermit<PhoneCommand>>,
    news: Option<Writer<News>>,
}

impl RingHandle {
    /// From here on, dropping it releases the phone.
    pub(super) fn new(
        exchange: Arc<Exchange>,
        ext: Extension,
        login: LoginId,
        key: RingKey,
    ) -> Self {
        Self { exchange, ext, login, key, offer: None, connected: None, over: None, news: None }
    }

    /// Takes the places; false if the phone's task has fallen behind, and so counts as away.
    pub(super) fn reserve(&mut self, commands: &mpsc::Sender<PhoneCommand>) -> bool {
        self.offer = commands.clone().try_reserve_owned().ok();
        self.connected = commands.clone().try_reserve_owned().ok();
        self.over = commands.clone().try_reserve_owned().ok();
        self.offer.is_some() && self.connected.is_some() && self.over.is_some()
    }

    pub fn login(&self) -> LoginId {
        self.login
    }

    /// Offers the call to the phone; false if the call's own mailbox is full, which it is sized
    /// never to be. `direct` is for the leg of a call that the phone itself has dialled.
    pub fn offer(&mut self, direct: bool, events: &mpsc::Sender<CallEvent>) -> bool {
        let RingKey { call, ring } = self.key;
        let Some(reporter) = Reporter::new(ring, events) else { return false };
        let (writer, news) = latest();
        self.news = Some(writer);
        let offer = Offer { call, ring, direct, reporter, news };
        if let Some(place) = self.offer.take() {
            place.send(PhoneCommand::Ring(Box::new(offer)));
        }
        true
    }

    /// The phone's answer was in time: here is its audio.
    pub fn connect(&mut self, line: AudioLine) {
        if let Some(permit) = self.connected.take() {
            permit.send(PhoneCommand::Connected(Box::new((self.key, line))));
        }
    }

    /// Lets the phone know something of its call.
    pub fn tell(&self, change: impl FnOnce(&mut News)) {
        if let Some(news) = &self.news {
            news.change(change);
        }
    }

    /// It is over for this phone, and why.
    pub fn stop(mut self, why: Stopped) {
        self.say_over(why);
    }

    fn say_over(&mut self, why: Stopped) {
        if let Some(permit) = self.over.take() {
            permit.send(PhoneCommand::Over(Box::new((self.key, why))));
        }
    }
}

impl Drop for RingHandle {
    fn drop(&mut self) {
        // Whoever knows why has said so before.
        self.say_over(Ending::Fault.into());
        self.exchange.release(&self.ext, self.key.call, self.key.ring);
    }
}
