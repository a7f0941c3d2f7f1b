//! What the call's machine decides, carried out.

use std::collections::VecDeque;

use tokio::time::Instant;
use tracing::debug;

use super::{AMI_TIME, HANGUP_TIME, Leg};
use crate::{
    asterisk::{ami::message::Action, message::Command},
    call::{
        Extension, RingId, RingKey,
        ending::Ending,
        hunt::Offered,
        machine::{Input, Output},
    },
    exchange::line::Stopped,
    net::tcp::Seatable,
};

impl<S: Seatable> Leg<S> {
    /// Gives the call an input and carries out all that follows.
    pub(super) fn drive(&mut self, input: Input) {
        let now = Instant::now();
        let mut outputs = Vec::new();
        self.call.input(input, now.into_std(), &mut outputs);
        let mut todo = VecDeque::from(outputs);
        while let Some(output) = todo.pop_front() {
            match output {
                Output::Ring(ring, ext) => {
                    let offered = self.ring(ring, &ext);
                    let mut more = Vec::new();
                    self.call.input(Input::Offered(ring, offered), now.into_std(), &mut more);
                    todo.extend(more);
                }
                Output::Stop(ring, why) => {
                    if let Some(ringing) = self.rings.remove(&ring) {
                        ringing.stop(self.stopped(why));
                    }
                }
                Output::Answer(ring) => {
                    self.command(Command::Answer);
                    self.join(ring, now);
                }
                Output::Join(ring) => self.join(ring, now),
                Output::HangUpAsterisk(ending) => self.hang_up_asterisk(ending, now),
                Output::Ended(ending) => self.ended(ending, now),
            }
        }
    }

    fn ring(&mut self, ring: RingId, ext: &Extension) -> Offered {
        let Some(facts) = &self.facts else { return Offered::Away }; // made before it rings
        let key = RingKey { call: self.report.id(), ring };
        match self.context.exchange.ring(ext, key, facts, &self.events.0) {
            Ok(handle) => {
                self.report.rings(ext, Instant::now().into_std());
                self.rings.insert(ring, handle);
                Offered::Ringing
            }
            Err(why) => {
                debug!(call = %self.report.id(), %ext, ?why, "not rung");
                why
            }
        }
    }

    /// What a phone is told that is out of it.
    fn stopped(&self, why: Ending) -> Stopped {
        let by = match why {
            Ending::AnsweredElsewhere => self.report.record.answered_by.clone(),
            _ => None,
        };
        let cause = self.far.closes_for.filter(|(known, _)| *known == why);
        Stopped { why, by, cause: cause.and_then(|(_, cause)| cause) }
    }

    /// Before the answer a cause can be given, by the manager alone; where that doesn't end the
    /// call at once, and after the answer, HANGUP does.
    fn hang_up_asterisk(&mut self, ending: Ending, now: Instant) {
        let answered = self.media.is_some();
        let channel = &self.report.record.channel;
        if !answered
            && !channel.is_empty()
            && let Ok(action) = Action::hangup(channel, ending.cause())
            && self.context.exchange.ami.send(action)
        {
            self.hangup_command_at = Some(now + AMI_TIME);
        } else {
            self.command(Command::Hangup);
        }
        self.hangup_by = Some(now + HANGUP_TIME);
    }

    fn ended(&mut self, ending: Ending, now: Instant) {
        self.rings.clear();
        self.place = None;
        self.hunting = None;
        self.first_message = None;
        if let Some(media) = self.media.take() {
            self.report.record.audio = media.counts();
        }
        self.report.ended(ending, now.into_std());
    }
}
