//! What the phones that ring or talk say, and what they are told.

use std::sync::Arc;

use tokio::time::Instant;
use tracing::debug;

use super::Leg;
use crate::{
    call::{
        LoginId, RingId,
        ending::Ending,
        info::{News, Progress},
        machine::Input,
    },
    exchange::line::CallEvent,
    net::tcp::Seatable,
};

impl<S: Seatable> Leg<S> {
    pub(super) fn phone(&mut self, event: CallEvent) {
        match event {
            CallEvent::Answered(ring, login) => {
                if self.holds(ring, login) {
                    self.answering = Some(login);
                    self.drive(Input::PhoneAnswered(ring));
                }
            }
            CallEvent::HungUp(ring, login) => {
                if self.holds(ring, login) {
                    let why = match self.call.is_talking() {
                        true => Ending::PhoneHungUp,
                        false => Ending::Declined, // by one device for the extension
                    };
                    // Freed first: the hunt may want to ring it again.
                    if let Some(ringing) = self.rings.remove(&ring) {
                        ringing.stop(why.into());
                    }
                    self.drive(Input::PhoneHungUp(ring));
                }
            }
            CallEvent::Gone(ring, login) => {
                if self.lost(ring, login, Ending::PhoneLost) {
                    self.drive(Input::PhoneGone(ring));
                }
            }
            CallEvent::Unreachable(ring, login) => {
                debug!(call = %self.report.id(), "a page doesn't show that it rings");
                if self.lost(ring, login, Ending::Unreachable) {
                    self.drive(Input::PhoneUnreachable(ring));
                }
            }
            CallEvent::Caller(caller) => {
                if self.far.caller.learn(&caller) {
                    let caller = self.far.caller.clone();
                    self.report.parties(self.far.direction, caller.clone());
                    if let Some(facts) = &mut self.facts {
                        Arc::make_mut(facts).caller = caller.clone(); // for whoever rings next
                    }
                    self.tell_phones(|news| news.caller = Some(caller.clone()));
                }
            }
            CallEvent::HeldByFar(held) => {
                if std::mem::replace(&mut self.far.held, held) != held {
                    self.tell_phones(|news| news.held_by_far = Some(held));
                }
            }
            CallEvent::Progress(progress) => {
                if progress > self.far.progress {
                    self.far.progress = progress;
                    if progress == Progress::Answered
                        && let Some(ringing) = self.rings.values().next()
                    {
                        let (ext, now) = (ringing.ext.clone(), Instant::now());
                        self.report.answered(&ext, now.into_std());
                        let tap = self.media.is_some().then(|| self.tap(&ext, now));
                        if let Some(media) = &mut self.media {
                            media.tap = tap;
                        }
                    }
                    self.tell_phones(|news| news.progress = Some(progress));
                }
            }
            CallEvent::ClosesFor(why, cause) => self.far.closes_for = Some((why, cause)),
            CallEvent::End(ending) => self.drive(Input::End(ending)),
        }
    }

    /// Whether this phone rings or talks under this number.
    fn holds(&self, ring: RingId, login: LoginId) -> bool {
        self.rings.get(&ring).is_some_and(|ringing| ringing.holds(login))
    }

    /// A phone is lost to a ringing; true if it was the last.
    fn lost(&mut self, ring: RingId, login: LoginId, why: Ending) -> bool {
        if !self.holds(ring, login) {
            return false;
        }
        let left = self.rings.get_mut(&ring).is_some_and(|ringing| ringing.lose(login, why));
        if !left {
            self.rings.remove(&ring);
        }
        !left
    }

    /// Tells whoever rings or talks.
    pub(super) fn tell_phones(&self, change: impl Fn(&mut News)) {
        for ringing in self.rings.values() {
            ringing.tell(&change);
        }
    }
}
