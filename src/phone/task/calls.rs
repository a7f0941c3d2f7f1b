//! The calls of one phone: what the exchange tells of them goes to the session, and what that
//! decides is carried out on their slots.

use tokio::time::Instant;
use tracing::debug;

use super::{Dialect, PhoneTask, slot::Slot};
use crate::{
    call::{CallId, ending::Ending, info::Progress, record::Direction},
    exchange::line::{Offer, PhoneCommand, Stopped},
    phone::session::{Input, Output, Wrong},
};

impl PhoneTask {
    pub(super) fn command(&mut self, command: PhoneCommand) {
        match command {
            PhoneCommand::Ring(offer) => self.ring(*offer),
            PhoneCommand::Connected(connected) => {
                let (key, line) = *connected;
                if let Some(slot) = self.slots.iter_mut().find(|slot| slot.key() == key) {
                    slot.join(line, self.wire.is_none());
                    self.sit_or_stand();
                    self.input(Input::Joined(key));
                    self.said_joined(key.call);
                }
            }
            PhoneCommand::Over(over) => {
                let (key, stopped) = *over;
                if let Some(slot) = self.slots.iter_mut().find(|slot| slot.key() == key) {
                    slot.over(stopped);
                    self.input(Input::Over(key));
                    self.slots.retain(|slot| slot.key() != key);
                    self.find_active();
                    self.sit_or_stand();
                }
            }
            PhoneCommand::Probe(reply) => self.probe(reply),
            PhoneCommand::Answered(answered) => self.answered(*answered),
            PhoneCommand::PassedOn(passed) => self.passed_on(*passed),
            PhoneCommand::DevicesChanged => self.say_devices(),
            PhoneCommand::FeaturesChanged => self.say_features(),
            PhoneCommand::PresenceChanged => self.say_presence(),
            PhoneCommand::Attach(attach) => self.attach(*attach),
        }
    }

    pub(super) fn ring(&mut self, offer: Offer) {
        let (key, direct) = (offer.key(), offer.direct);
        match self.slots.iter_mut().find(|slot| slot.call() == key.call) {
            Some(slot) if direct => {
                slot.leg_came(offer);
                self.dial_is_taken(key.call); // whoever asked hears of it before the call
            }
            Some(_) => {} // the session turns it away
            None => {
                // Room for one: a vector would begin with four, and most phones never have two.
                self.slots.reserve_exact(1);
                self.slots.push(Slot::ringing(offer));
            }
        }
        self.input(Input::Ring { key, direct });
    }

    /// Gives the session an input and carries out all that follows.
    pub(super) fn input(&mut self, input: Input) -> Option<Wrong> {
        let mut outputs = Vec::new();
        let now = Instant::now();
        let result = self.session.input(input, now.into_std(), &mut outputs);
        for output in outputs {
            self.carry_out(output, now);
        }
        result.err()
    }

    pub(super) fn carry_out(&mut self, output: Output, now: Instant) {
        match output {
            Output::TellAnswered(call) => self.tell(call, Slot::tell_answered),
            Output::TellHungUp(call) => self.tell(call, Slot::tell_hung_up),
            Output::TellUnreachable(call) => self.tell(call, Slot::tell_unreachable),
            Output::CancelDial(call) => {
                let why: Stopped = Ending::PhoneHungUp.into();
                self.registration.exchange().calls.failed(call, why);
            }
            Output::Hold(call, on) => self.tell(call, |slot| slot.set_held(on)),
            Output::Mute(call, on) => self.tell(call, |slot| slot.set_muted(on)),
            Output::Audio(_) => self.find_active(),
            Output::TurnAway(key) => {
                debug!(ext = %self.registration.ext, "a call that has no place here is turned away");
                self.slots.retain(|slot| {
                    slot.key() != key || self.session.get(key.call).is_some_and(|l| l.key == key)
                });
                self.find_active();
            }
            said => match &self.dialect {
                Dialect::Plain(_) => self.plain_says(said),
                Dialect::V1(_) => self.v1_says(said, now),
            },
        }
    }

    pub(super) fn tell(&mut self, call: CallId, tell: impl FnOnce(&mut Slot)) {
        if let Some(slot) = self.slot_mut(call) {
            tell(slot);
        }
    }

    pub(super) fn slot(&self, call: CallId) -> Option<&Slot> {
        self.slots.iter().find(|slot| slot.call() == call)
    }

    pub(super) fn slot_mut(&mut self, call: CallId) -> Option<&mut Slot> {
        self.slots.iter_mut().find(|slot| slot.call() == call)
    }

    pub(super) fn find_active(&mut self) {
        let active = self.session.active();
        self.active = active.and_then(|call| self.slots.iter().position(|s| s.call() == call));
    }

    /// A call has news.
    pub(super) fn news(&mut self, at: usize) {
        let Some(slot) = self.slots.get_mut(at) else { return };
        let call = slot.call();
        let news = slot.take_news();
        if let Dialect::V1(_) = self.dialect {
            self.say_news(call, &news);
        }
        if news.progress == Some(Progress::Answered)
            && self.slot(call).is_some_and(|slot| slot.direction() == Direction::Out)
        {
            self.tell(call, |slot| slot.answered_now(Instant::now()));
            self.input(Input::FarAnswered(call));
        }
    }
}
