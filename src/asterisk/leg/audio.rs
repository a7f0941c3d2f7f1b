//! The audio of a call, between its two hops and Asterisk's socket.

use std::{
    cell::RefCell,
    sync::Arc,
    task::{Context, Poll},
};

use tokio::time::Instant;
use tracing::debug;

use super::{FRAMES_WAITING, Leg};
use crate::{
    asterisk::{media::Media, message::Command, tapped},
    call::{Extension, RingId, record::Direction},
    media::pacer,
    net::{
        reactor::Reactor,
        tcp::Seatable,
        wire::{Message, Turn},
    },
    tap::TapLine,
};

thread_local! {
    /// What the pacer decides, of whatever call it is just about: in the processor's cache, where a
    /// list of each call's own isn't.
    static ACTIONS: RefCell<Vec<pacer::Action>> = const { RefCell::new(Vec::new()) };
}

impl<S: Seatable> Leg<S> {
    /// The socket has audio from now on, and is told of by the shortest way.
    fn sit(&mut self) -> Option<Arc<Reactor>> {
        let reactor = self.context.exchange.reactors.emptiest()?;
        self.wire.sit(reactor, self.bells.who()?);
        Some(reactor.clone())
    }

    /// Passes Asterisk's audio on; what isn't audio is returned.
    pub(super) fn poll_audio_to_phone(&mut self) -> Poll<Turn> {
        let mut socket = Context::from_waker(self.bells.socket());
        loop {
            match self.wire.poll_turn(&mut socket) {
                Poll::Ready(Turn::Binary(audio)) => {
                    self.liveness.heard();
                    if let Some(media) = &mut self.media {
                        media.pass_to_phone(audio);
                        self.step.asterisk_sent();
                    }
                }
                turn => return turn,
            }
        }
    }

    /// What was passed on is all that came.
    pub(super) fn ring_phone(&mut self) {
        if let Some(media) = &mut self.media {
            media.ring_phone();
        }
    }

    /// Passes the phone's audio on; tells when, if there was any.
    pub(super) fn audio_from_phone(&mut self) -> Option<Instant> {
        let clock = || Instant::now().into_std();
        let media = self.media.as_mut()?;
        let mut actions = ACTIONS.take();
        let came = media.take_from_phone(&self.bells, clock, &mut actions);
        self.carry_out(actions);
        came.map(|came| {
            self.step.phone_sent();
            Instant::from_std(came)
        })
    }

    /// Has something done with the audio, and carries out what the pacer decides.
    pub(super) fn pace<T>(
        &mut self,
        what: impl FnOnce(&mut Media, &mut Vec<pacer::Action>) -> T,
    ) -> Option<T> {
        let media = self.media.as_mut()?;
        let mut actions = ACTIONS.take();
        let result = what(media, &mut actions);
        self.carry_out(actions);
        Some(result)
    }

    fn carry_out(&mut self, mut actions: Vec<pacer::Action>) {
        for action in actions.drain(..) {
            self.act(action);
        }
        ACTIONS.set(actions);
    }

    fn act(&mut self, action: pacer::Action) {
        let action = match (action, &mut self.media) {
            (pacer::Action::Fill(silence), Some(media)) => {
                pacer::Action::Fill(media.fill(silence, Instant::now().into_std()))
            }
            (action, _) => action,
        };
        match action {
            pacer::Action::Send(frame) | pacer::Action::Fill(frame)
                if self.wire.waiting() < FRAMES_WAITING =>
            {
                if let Some(tap) = self.media.as_ref().and_then(|media| media.tap.as_ref()) {
                    tap.left(&frame);
                }
                let _ = self.wire.send_now(Message::Binary(frame));
            }
            pacer::Action::Send(_) | pacer::Action::Fill(_) => {
                if let Some(media) = &mut self.media {
                    media.pacer.not_sent(&action);
                }
            }
            pacer::Action::AskStatus => self.command(Command::GetStatus),
            pacer::Action::Flush => {
                debug!(call = %self.report.id(), "Asterisk's queue is long: flushed");
                self.command(Command::FlushMedia);
            }
        }
    }

    pub(super) fn join(&mut self, ring: RingId, now: Instant) {
        self.hunting = None;
        let reactor = self.sit();
        let Some(ringing) = self.rings.get_mut(&ring) else { return };
        if let Some(login) = self.answering.take() {
            ringing.keep(login);
        }
        let music = self.context.config.calls.hold_music.clone();
        let (mut media, mut line) = Media::new(self.frame_bytes, music, now.into_std());
        line.reactor = reactor;
        ringing.connect(line);
        let ext = ringing.ext.clone();
        if self.far.direction == Direction::In {
            self.report.answered(&ext, now.into_std());
        }
        if self.far.direction == Direction::In {
            media.tap = Some(self.tap(&ext, now));
        }
        self.media = Some(media);
    }

    /// Whoever listens hears a call from its answer on: a dialled one from the far end's.
    pub(super) fn tap(&self, ext: &Extension, now: Instant) -> TapLine {
        let far = &self.far;
        let facts =
            tapped::facts(&self.report.record, far.direction, &far.caller, ext, &far.variables);
        let wanted = &self.context.config.taps;
        self.context.exchange.taps.open(facts, wanted, now.into_std())
    }
}
