//! What a call and a phone hold of each other while the one rings the other.
//!
//! Nothing that matters can be lost here: whoever will have to say something later holds a place
//! in the other's mailbox from the beginning, and whoever vanishes says so by being dropped.

use std::sync::Arc;

use tokio::sync::{
    mpsc::{self, OwnedPermit},
    oneshot,
};

use super::Exchange;
use crate::{
    call::{CallId, Extension, RingId, RingKey},
    net::hop::{HopReceiver, HopSender},
};

/// What a call learns from a phone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallEvent {
    Answered(RingId),
    /// Declined, or hung up.
    HungUp(RingId),
    /// The connection is gone.
    Gone(RingId),
}

/// What a phone's task is told.
#[derive(Debug)]
pub enum PhoneCommand {
    /// A call rings.
    Ring(Box<Offer>),
    /// The answer was in time; this is the audio.
    Connected(RingKey, AudioLine),
    /// The ringing or the call is over.
    Over(RingKey),
    /// Is the phone alive? Answered by the pong of a ping that is sent now.
    Probe(oneshot::Sender<()>),
}

/// A call at a phone's door.
#[derive(Debug)]
pub struct Offer {
    pub call: CallId,
    pub ring: RingId,
    pub reporter: Reporter,
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
    key: RingKey,
    connected: Option<OwnedPermit<PhoneCommand>>,
    over: Option<OwnedPermit<PhoneCommand>>,
}

impl RingHandle {
    pub(super) fn new(exchange: Arc<Exchange>, ext: Extension, call: CallId, ring: RingId) -> Self {
        Self { exchange, ext, key: RingKey { call, ring }, connected: None, over: None }
    }

    pub(super) fn reserve(&mut self, commands: &mpsc::Sender<PhoneCommand>) -> bool {
        self.connected = commands.clone().try_reserve_owned().ok();
        self.over = commands.clone().try_reserve_owned().ok();
        self.connected.is_some() && self.over.is_some()
    }

    /// The phone's answer was in time: here is its audio.
    pub fn connect(&mut self, line: AudioLine) {
        if let Some(permit) = self.connected.take() {
            permit.send(PhoneCommand::Connected(self.key, line));
        }
    }
}

impl Drop for RingHandle {
    fn drop(&mut self) {
        if let Some(permit) = self.over.take() {
            permit.send(PhoneCommand::Over(self.key));
        }
        self.exchange.release(&self.ext, self.key.call, self.key.ring);
    }
}
