//! A call's hold on phones: on one, and on all devices of an extension that ring together.

use std::sync::Arc;

use super::{
    Exchange,
    line::{AudioLine, CallEvent, CallFacts, Offer, PhoneCommand, Reporter, Stopped},
};
use crate::{
    call::{Extension, LoginId, RingKey, ending::Ending, info::News},
    net::{
        latest::{Writer, latest},
        mailbox,
    },
};

/// All devices of an extension that ring under one number. The first answer wins; one that is gone
/// leaves the others ringing.
#[derive(Debug)]
pub struct Ringing {
    pub ext: Extension,
    phones: Vec<RingHandle>,
}

impl Ringing {
    pub(super) fn new(ext: Extension, phones: Vec<RingHandle>) -> Self {
        Self { ext, phones }
    }

    /// One phone, which is joined without ringing.
    pub fn one(phone: RingHandle) -> Self {
        Self { ext: phone.ext.clone(), phones: vec![phone] }
    }

    pub fn holds(&self, login: LoginId) -> bool {
        self.phones.iter().any(|phone| phone.login == login)
    }

    /// This one has answered: the others learn it.
    pub fn keep(&mut self, login: LoginId) {
        let phones = std::mem::take(&mut self.phones).into_iter();
        let (kept, others): (Vec<_>, Vec<_>) = phones.partition(|phone| phone.login == login);
        self.phones = kept;
        self.phones.shrink_to_fit(); // for as long as the call is up
        let why =
            Stopped { why: Ending::AnsweredElsewhere, by: Some(self.ext.clone()), cause: None };
        for phone in others {
            phone.stop(why.clone());
        }
    }

    /// This one doesn't ring any more; false if nobody is left.
    pub fn lose(&mut self, login: LoginId, why: Ending) -> bool {
        if let Some(at) = self.phones.iter().position(|phone| phone.login == login) {
            self.phones.remove(at).stop(why.into());
        }
        !self.phones.is_empty()
    }

    /// The answer was in time: here is its audio.
    pub fn connect(&mut self, line: AudioLine) {
        if let Some(phone) = self.phones.first_mut() {
            phone.connect(line);
        }
    }

    /// Lets all of them know something of the call.
    pub fn tell(&self, change: impl Fn(&mut News)) {
        for phone in &self.phones {
            phone.tell(&change);
        }
    }

    /// It is over for all of them, and why.
    pub fn stop(self, why: Stopped) {
        for phone in self.phones {
            phone.stop(why.clone());
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
    offer: Option<mailbox::Place<PhoneCommand>>,
    connected: Option<mailbox::Place<PhoneCommand>>,
    over: Option<mailbox::Place<PhoneCommand>>,
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
    pub(super) fn reserve(&mut self, commands: &mailbox::Sender<PhoneCommand>) -> bool {
        self.offer = commands.reserve();
        self.connected = commands.reserve();
        self.over = commands.reserve();
        self.offer.is_some() && self.connected.is_some() && self.over.is_some()
    }

    pub fn login(&self) -> LoginId {
        self.login
    }

    /// Offers the call to the phone; false if the call's own mailbox is full, which it is sized
    /// never to be. `direct` is for the leg of a call that the phone itself has dialled.
    pub fn offer(
        &mut self,
        direct: bool,
        facts: Arc<CallFacts>,
        events: &mailbox::Sender<CallEvent>,
    ) -> bool {
        let RingKey { call, ring } = self.key;
        let Some(reporter) = Reporter::new(ring, self.login, events) else { return false };
        let (writer, news) = latest();
        self.news = Some(writer);
        let offer = Offer { call, ring, direct, facts, reporter, news };
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
        self.exchange.release(&self.ext, self.login, self.key);
    }
}
