//! The task of one call: it owns Asterisk's socket, runs the call's machine, and paces the audio.
//!
//! Promises: Asterisk's socket is always read; what is sent to it is whole frames of exactly
//! `optimal_frame_size`, one a message, and commands in its own format; the call is reported once,
//! also when this task fails.

mod audio;
mod drive;
mod heard;
mod phones;
mod step;

use std::{
    collections::HashMap,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use tokio::time::{Instant, timeout};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tracing::warn;

use self::step::Step;
use super::{
    media::Media,
    message::{Command, ControlFormat},
};
use crate::{
    call::{
        CallId, LoginId, RingId,
        ending::Ending,
        info::Progress,
        machine::{Call, Closing, Input},
        record::{Caller, Direction},
        registry::MAX_DEVICES,
    },
    config::Config,
    exchange::{
        Exchange,
        calls::CallPlace,
        drain::Hunting,
        line::{CallEvent, CallFacts},
        ring::Ringing,
    },
    media::frame::FRAME_BYTES,
    net::{
        bell::Bells,
        life::Serve,
        liveness::{Liveness, PING_EVERY},
        mailbox,
        tcp::{Ask, Seatable},
        timer::Timer,
        wire::{Closed, Message, Turn, Wire},
    },
    report::Report,
    tap::channel::Ear,
};

/// Events of phones that may wait for a call: each phone that rings reserves two. It is a number
/// only; room is made as it is needed.
const CALL_MAILBOX: usize = 2 * MAX_DEVICES * crate::config::MAX_GROUP_MEMBERS + CONTROL_EVENTS;
/// What may wait of call control's: a handful of news for each call.
const CONTROL_EVENTS: usize = 32;
/// How long the manager has to end a call before HANGUP does it without a cause.
const AMI_TIME: Duration = Duration::from_millis(300);
/// How long the manager has to say why Asterisk has closed a dialled call. It says so within a
/// millisecond or two.
const REASON_TIME: Duration = Duration::from_secs(1);
/// How long Asterisk has to close after HANGUP before the gateway does.
const HANGUP_TIME: Duration = Duration::from_secs(1);
/// Frames that may wait for Asterisk's socket. It has an empty kernel buffer of a minute's audio
/// before the first has to, so one that waits is one too many; the rest of the queue is for commands.
const FRAMES_WAITING: usize = 5;

/// What a call's task shares with the gateway.
pub struct LegContext {
    pub config: Arc<Config>,
    pub exchange: Arc<Exchange>,
    /// Cancelled when the time for calls to finish is over.
    pub stop: CancellationToken,
}

/// One call. What a frame of audio touches is in front, in few lines of memory.
#[repr(C)]
pub struct Leg<S> {
    bells: Bells,
    wire: Wire<S>,
    step: Step,
    /// What came from the socket is for the task itself, which asks the socket for more afterwards.
    turn: Option<Box<Turn>>,
    liveness: Liveness,
    media: Option<Media>,
    timer: Timer,
    call: Call,
    events: (mailbox::Sender<CallEvent>, mailbox::Receiver<CallEvent>),
    stop: Pin<Box<WaitForCancellationFutureOwned>>,
    stopped: bool,
    rings: HashMap<RingId, Ringing>,
    /// Whose answer is just being taken.
    answering: Option<LoginId>,
    /// What phones are shown when they ring.
    facts: Option<Arc<CallFacts>>,
    format: Option<ControlFormat>,
    frame_bytes: usize,
    report: Report,
    /// The call's line in the table of calls.
    place: Option<CallPlace>,
    /// What the manager says of the far end.
    far: Far,
    /// While phones are rung; a gateway that stops lets no phone go meanwhile.
    hunting: Option<Hunting>,
    first_message: Option<Instant>,
    /// When HANGUP is sent because the manager has not ended the call.
    hangup_command_at: Option<Instant>,
    hangup_by: Option<Instant>,
    /// When Asterisk is pinged next. Only where it speaks JSON: what doesn't may be older than
    /// 22.8, which mishandles pings; there the kernel has to find out.
    ping_at: Option<Instant>,
    /// It is no call: it brings one side of a channel that is listened to.
    ear: Option<Arc<Ear>>,
    context: LegContext,
}

/// A leg that brings audio to whoever listens.
pub type Overheard<S> = (Wire<S>, Arc<Ear>);

/// The far end, as far as Asterisk and its manager tell.
#[derive(Default)]
struct Far {
    caller: Caller,
    direction: Direction,
    held: bool,
    progress: Progress,
    /// Why Asterisk will close the call.
    closes_for: Option<(Ending, Option<u8>)>,
    /// The channel's variables, by which those who listen choose.
    variables: HashMap<String, String>,
}

enum Happening {
    Turn(Turn),
    Phone(CallEvent),
    Time,
    Stop,
}

/// Why a leg serves no longer.
pub enum LegEnd {
    /// Asterisk's socket is closed.
    Closed(Closed),
    /// The call is over, and the socket not yet closed.
    Over,
    /// It is no call.
    Ear(Arc<Ear>),
}

impl<S: Seatable> Leg<S> {
    pub fn new(wire: Wire<S>, id: CallId, context: LegContext) -> Self {
        let now = Instant::now();
        let first_message = now + context.config.limits.first_message_timeout;
        Self {
            bells: Bells::default(),
            wire,
            step: Step::default(),
            turn: None,
            liveness: Liveness::default(),
            media: None,
            timer: Timer::new(first_message),
            call: Call::default(),
            events: mailbox::mailbox(CALL_MAILBOX),
            stop: Box::pin(context.stop.clone().cancelled_owned()),
            stopped: false,
            rings: HashMap::new(),
            answering: None,
            facts: None,
            format: None,
            frame_bytes: FRAME_BYTES,
            report: Report::new(
                id,
                now.into_std(),
                context.exchange.metrics.clone(),
                context.exchange.feed.clone(),
            ),
            place: None,
            far: Far::default(),
            hunting: None,
            first_message: Some(first_message),
            hangup_command_at: None,
            hangup_by: None,
            ping_at: None,
            ear: None,
            context,
        }
    }

    /// What happens next. The socket is asked only when it has rung: it is polled in vain once after
    /// all that it had was taken, and from then on it rings.
    fn poll_happening(&mut self, cx: &Context<'_>) -> Poll<Happening> {
        let rung = self.bells.rung(cx);
        if rung.told() {
            self.wire.ask(Ask::UntilEmpty);
        }
        if rung.rare() {
            if let Poll::Ready(happening) = self.poll_rare() {
                return Poll::Ready(happening);
            }
            if let Some(turn) = self.turn.take() {
                return Poll::Ready(Happening::Turn(*turn));
            }
        }
        if rung.audio() {
            self.pass_audio_from_phone();
        }
        if rung.socket() || self.wire.has_failed() {
            let turn = self.poll_audio_to_phone();
            self.ring_phone();
            if let Poll::Ready(turn) = turn {
                return Poll::Ready(Happening::Turn(turn));
            }
        }
        if self.step.ends_now() { self.poll_nearer_deadline(Instant::now()) } else { Poll::Pending }
    }

    /// What the phone has brought goes through the pacer to Asterisk. What the socket doesn't take at
    /// once is written when it rings, a failure shows in its next turn, and the time that the pacer
    /// wants, if it has come, is what is rare.
    fn pass_audio_from_phone(&mut self) {
        let Some(now) = self.audio_from_phone() else { return };
        let _ = self.wire.poll_write(&mut Context::from_waker(self.bells.socket()));
        if self.wire.has_failed() {
            self.bells.socket().wake_by_ref();
        }
        if self.poll_nearer_deadline(now).is_ready() {
            self.bells.rare().wake_by_ref();
        }
    }

    /// Acts on what happened; tells why the leg ends, if it does.
    fn happened(&mut self, happening: Happening) -> Option<LegEnd> {
        match happening {
            Happening::Turn(Turn::Text(text)) => {
                self.text(&text);
                return self.ear.take().map(LegEnd::Ear);
            }
            Happening::Turn(Turn::Closed(closed)) => return Some(LegEnd::Closed(closed)),
            Happening::Turn(_) => self.liveness.heard(),
            Happening::Phone(event) => self.phone(event),
            Happening::Time => {
                let now = Instant::now();
                if self.hangup_by.is_some_and(|at| at <= now) {
                    return Some(LegEnd::Over);
                }
                if !self.ping(now) {
                    warn!(call = %self.report.id(), "Asterisk gives no sign of life");
                    self.drive(Input::AsteriskClosed(Closing::Lost));
                    return Some(LegEnd::Over);
                }
                self.time(now);
            }
            Happening::Stop => self.drive(Input::End(Ending::DrainTimeout)),
        }
        None
    }

    /// What is no audio. Before the wire is asked: whoever floods it uses up what the runtime lets
    /// one task do in a turn.
    fn poll_rare(&mut self) -> Poll<Happening> {
        let mut cx = Context::from_waker(self.bells.rare());
        let cx = &mut cx;
        if !self.stopped && self.stop.as_mut().poll(cx).is_ready() {
            self.stopped = true;
            return Poll::Ready(Happening::Stop);
        }
        if let Poll::Ready(Some(event)) = self.events.1.poll_recv(cx) {
            return Poll::Ready(Happening::Phone(event));
        }
        let own = [self.first_message, self.hangup_command_at, self.hangup_by, self.ping_at];
        let call = self.call.deadline().map(Instant::from_std);
        let audio = self.media.as_ref().map(|media| Instant::from_std(media.pacer.deadline()));
        let audio = audio.map(|at| self.step.look_at(at, Instant::now()));
        let Some(at) = own.into_iter().chain([call, audio]).flatten().min() else {
            return self.timer.rest();
        };
        self.step.asterisk_sends &= !self.timer.has_fired();
        self.timer.poll(at, cx).map(|()| Happening::Time)
    }

    /// Audio may have moved a deadline nearer than what the timer is set to.
    fn poll_nearer_deadline(&mut self, now: Instant) -> Poll<Happening> {
        let Some(media) = &self.media else { return Poll::Pending };
        let at = self.step.look_at(Instant::from_std(media.pacer.deadline()), now);
        if !self.timer.is_later_than(at) {
            return Poll::Pending;
        }
        let mut cx = Context::from_waker(self.bells.rare());
        self.timer.poll(at, &mut cx).map(|()| Happening::Time)
    }

    /// Pings Asterisk if it is time to; false when it is dead.
    fn ping(&mut self, now: Instant) -> bool {
        if self.ping_at.is_none_or(|at| now < at) {
            return true;
        }
        self.ping_at = Some(now + PING_EVERY);
        let _ = self.wire.send(Message::Ping(Bytes::new()));
        self.liveness.round()
    }

    fn time(&mut self, now: Instant) {
        if self.first_message.is_some_and(|at| at <= now) {
            self.first_message = None;
            warn!(call = %self.report.id(), "Asterisk connected and sent no MEDIA_START in time");
            self.drive(Input::End(Ending::NoMediaStart));
        }
        if self.hangup_command_at.is_some_and(|at| at <= now) {
            self.hangup_command_at = None;
            self.command(Command::Hangup);
        }
        if self.call.deadline().is_some() {
            self.drive(Input::Tick);
        }
        self.pace(|media, actions| media.pacer.tick(now.into_std(), actions));
    }

    pub(super) fn command(&mut self, command: Command) {
        let format = self.format.unwrap_or(ControlFormat::Text);
        let _ = self.wire.send(Message::text(command.encode(format)));
    }
}

impl<S: Seatable> Serve for Leg<S> {
    type End = LegEnd;
    /// A leg that turned out to be no call.
    type Left = Option<Overheard<S>>;

    fn bells(&mut self) -> &mut Bells {
        &mut self.bells
    }

    fn take_audio(&mut self) {
        self.pass_audio_from_phone();
    }

    fn touch(&self) {
        if let Some(media) = &self.media {
            media.touch();
        }
        self.wire.touch();
    }

    fn take_socket(&mut self) {
        if self.turn.is_some() {
            return self.wire.ask(Ask::UntilEmpty);
        }
        if self.wire.has_failed() {
            return self.bells.socket().wake_by_ref();
        }
        self.wire.ask(Ask::told());
        let turn = self.poll_audio_to_phone();
        // What is left comes with the task's own turn, and is rung for together with this.
        if turn.is_ready() || !self.wire.leaves_some() {
            self.ring_phone();
        }
        if let Poll::Ready(turn) = turn {
            self.turn = Some(Box::new(turn));
            self.bells.rare().wake_by_ref();
        }
        if self.step.ends_now() && self.poll_nearer_deadline(Instant::now()).is_ready() {
            self.bells.rare().wake_by_ref();
        }
    }

    /// Serves the call to its end.
    fn poll_serve(&mut self, cx: &mut Context<'_>) -> Poll<LegEnd> {
        loop {
            let happening = ready!(self.poll_happening(cx));
            if let Some(end) = self.happened(happening) {
                return Poll::Ready(end);
            }
            // What happened may have moved a deadline, or have something to say; and who was asked may
            // have more.
            self.bells.all_rung();
        }
    }

    /// Serves Asterisk's socket to its close.
    async fn finish(mut self, end: LegEnd) -> Option<Overheard<S>> {
        match end {
            LegEnd::Ear(ear) => {
                self.wire.stand();
                return Some((self.wire, ear));
            }
            LegEnd::Closed(closed) => {
                let _ = timeout(REASON_TIME, self.reason()).await;
                self.asterisk_closed(closed);
            }
            LegEnd::Over => {}
        }
        self.wire.stand();
        self.wire.close(1000, "").await;
        None
    }
}

#[cfg(test)]
mod tests;
