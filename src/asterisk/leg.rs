//! The task of one call: it owns Asterisk's socket, runs the call's machine, and paces the audio.
//!
//! Promises: Asterisk's socket is always read; what is sent to it is whole frames of exactly
//! `optimal_frame_size`, one a message, and commands in its own format; the call is reported once,
//! also when this task fails.

use std::{
    collections::{HashMap, VecDeque},
    future::{Future, poll_fn},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::mpsc,
    time::{Instant, Sleep},
};
use tokio_tungstenite::tungstenite::Message;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::message::{Command, ControlFormat, Event, MediaStart, format_of, parse};
use crate::{
    call::{
        CallId, Extension, RingId,
        ending::Ending,
        hunt::{Offered, Plan},
        machine::{Call, Input, Output},
    },
    config::{Config, Strategy},
    exchange::{
        Exchange,
        line::{AudioLine, CallEvent, RingHandle},
    },
    media::{
        frame::{FORMAT, FRAME_BYTES},
        framer::Framer,
        pacer::{Action, Pacer},
    },
    net::{
        bell::Bell,
        hop::{HopReceiver, HopSender, hop},
        wire::{Closed, Turn, Wire},
    },
    report::Report,
};

/// Events of phones that may wait for a call. Each ringing reserves two, so a group may have half
/// as many members as this; the configuration allows fewer.
const CALL_MAILBOX: usize = 2 * crate::config::MAX_GROUP_MEMBERS;
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

/// One call.
pub struct Leg<S> {
    context: LegContext,
    wire: Wire<S>,
    call: Call,
    events: (mpsc::Sender<CallEvent>, mpsc::Receiver<CallEvent>),
    rings: HashMap<RingId, RingHandle>,
    format: Option<ControlFormat>,
    frame_bytes: usize,
    media: Option<Media>,
    report: Report,
    first_message: Option<Instant>,
    hangup_by: Option<Instant>,
    timer: Timer,
    /// Rings for everything that isn't audio.
    bell: Bell,
    actions: Vec<Action>,
}

/// The audio of an answered call.
struct Media {
    pacer: Pacer,
    from_phone: HopReceiver,
    to_phone: HopSender,
    /// The phone's audio in frames for Asterisk.
    upward: Framer,
    /// Asterisk's audio in frames for the phone.
    downward: Framer,
    passed_down: u64,
}

/// One sleep for all deadlines of a call. It is moved forwards only when it has fired, because
/// most deadlines are put off before they come.
struct Timer {
    sleep: Pin<Box<Sleep>>,
    set_to: Instant,
}

enum Happening {
    Turn(Turn),
    Phone(CallEvent),
    Time,
    Stop,
}

impl<S> Leg<S>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    pub fn new(wire: Wire<S>, id: CallId, context: LegContext) -> Self {
        let now = Instant::now();
        let first_message = now + context.config.limits.first_message_timeout;
        Self {
            wire,
            call: Call::default(),
            events: mpsc::channel(CALL_MAILBOX),
            rings: HashMap::new(),
            format: None,
            frame_bytes: FRAME_BYTES,
            media: None,
            report: Report::new(id, now.into_std(), context.exchange.metrics.clone()),
            first_message: Some(first_message),
            hangup_by: None,
            timer: Timer {
                sleep: Box::pin(tokio::time::sleep_until(first_message)),
                set_to: first_message,
            },
            bell: Bell::default(),
            actions: Vec::new(),
            context,
        }
    }

    /// Serves the call to its end, and Asterisk's socket to its close.
    pub async fn run(mut self) {
        let stop = self.context.stop.clone();
        let mut stop = Box::pin(stop.cancelled_owned());
        let mut stopped = false;
        loop {
            let happening = poll_fn(|cx| {
                let rang = self.bell.has_rung(cx);
                if rang {
                    let waker = self.bell.waker().clone();
                    let cx = &mut Context::from_waker(&waker);
                    if !stopped && stop.as_mut().poll(cx).is_ready() {
                        stopped = true;
                        self.bell.stays_rung();
                        return Poll::Ready(Happening::Stop);
                    }
                    if let Poll::Ready(Some(event)) = self.events.1.poll_recv(cx) {
                        self.bell.stays_rung();
                        return Poll::Ready(Happening::Phone(event));
                    }
                }
                if let Poll::Ready(turn) = self.poll_audio(cx) {
                    if rang {
                        self.bell.stays_rung(); // the timer was not asked
                    }
                    return Poll::Ready(Happening::Turn(turn));
                }
                self.poll_timer(rang).map(|()| Happening::Time)
            })
            .await;
            match happening {
                Happening::Turn(Turn::Text(text)) => self.text(&text),
                Happening::Turn(Turn::Closed(closed)) => {
                    let lost = closed != Closed::InOrder;
                    self.drive(Input::AsteriskClosed { lost });
                    break;
                }
                Happening::Turn(_) => {}
                Happening::Phone(event) => self.phone(event),
                Happening::Time => {
                    let now = Instant::now();
                    if self.hangup_by.is_some_and(|at| at <= now) {
                        break;
                    }
                    self.time(now);
                }
                Happening::Stop => self.drive(Input::End(Ending::DrainTimeout)),
            }
        }
        Box::pin(self.wire.close(1000, "")).await;
    }

    /// Moves audio both ways; what isn't audio is returned.
    fn poll_audio(&mut self, cx: &mut Context<'_>) -> Poll<Turn> {
        self.poll_audio_from_phone(cx);
        loop {
            match self.wire.poll_turn(cx) {
                Poll::Ready(Turn::Binary(audio)) => {
                    if let Some(media) = &mut self.media {
                        let (to_phone, passed) = (&media.to_phone, &mut media.passed_down);
                        media.downward.push(audio, |frame| {
                            *passed += 1;
                            to_phone.push(frame);
                        });
                    }
                }
                Poll::Ready(turn) => return Poll::Ready(turn),
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    fn poll_audio_from_phone(&mut self, cx: &mut Context<'_>) {
        let Some(media) = &mut self.media else { return };
        let mut came = false;
        while let Poll::Ready(Some(audio)) = media.from_phone.poll_recv(cx) {
            came = true;
            let now = Instant::now().into_std();
            let (pacer, actions) = (&mut media.pacer, &mut self.actions);
            media.upward.push(audio, |frame| pacer.push(frame, now, actions));
        }
        if came {
            self.act();
        }
    }

    fn poll_timer(&mut self, rang: bool) -> Poll<()> {
        let Some(at) = self.deadline() else {
            if rang {
                self.bell.stays_rung(); // the timer was not asked
            }
            return Poll::Pending;
        };
        if at < self.timer.set_to {
            self.timer.set(at);
        } else if !rang {
            return Poll::Pending;
        }
        let cx = &mut Context::from_waker(self.bell.waker());
        while self.timer.sleep.as_mut().poll(cx).is_ready() {
            if at <= Instant::now() {
                // To be set anew by the next deadline, whatever it is.
                self.timer.set_to = Instant::now() + Duration::from_secs(86_400);
                return Poll::Ready(());
            }
            self.timer.set(at);
        }
        Poll::Pending
    }

    fn deadline(&self) -> Option<Instant> {
        let call = self.call.deadline().map(Instant::from_std);
        let pacer = self.media.as_ref().map(|m| Instant::from_std(m.pacer.deadline()));
        [self.first_message, self.hangup_by, call, pacer].into_iter().flatten().min()
    }

    fn time(&mut self, now: Instant) {
        if self.first_message.is_some_and(|at| at <= now) {
            self.first_message = None;
            warn!(call = %self.report.id(), "Asterisk connected and sent no MEDIA_START in time");
            self.drive(Input::End(Ending::NoMediaStart));
        }
        if self.call.deadline().is_some() {
            self.drive(Input::Tick);
        }
        if let Some(media) = &mut self.media {
            media.pacer.tick(now.into_std(), &mut self.actions);
            self.act();
        }
    }

    /// Carries out what the pacer decided.
    fn act(&mut self) {
        let mut actions = std::mem::take(&mut self.actions);
        for action in actions.drain(..) {
            match action {
                Action::Send(frame) | Action::Fill(frame)
                    if self.wire.waiting() < FRAMES_WAITING =>
                {
                    let _ = self.wire.send(Message::Binary(frame));
                }
                Action::Send(_) | Action::Fill(_) => {
                    if let Some(media) = &mut self.media {
                        media.pacer.not_sent(&action);
                    }
                }
                Action::AskStatus => self.command(Command::GetStatus),
                Action::Flush => {
                    debug!(call = %self.report.id(), "Asterisk's queue is long: flushed");
                    self.command(Command::FlushMedia);
                }
            }
        }
        self.actions = actions;
    }

    fn command(&mut self, command: Command) {
        let format = self.format.unwrap_or(ControlFormat::Text);
        let _ = self.wire.send(Message::text(command.encode(format)));
    }

    fn text(&mut self, text: &str) {
        let event = match parse(text) {
            Ok(event) => event,
            Err(error) => {
                warn!(call = %self.report.id(), %error, "message of Asterisk ignored");
                return;
            }
        };
        let now = Instant::now().into_std();
        match event {
            Event::MediaStart(start) => {
                if self.first_message.take().is_some() {
                    self.format = Some(format_of(text));
                    self.start(*start);
                }
            }
            Event::Status { queue_length } => {
                if let Some(media) = &mut self.media {
                    self.context.exchange.metrics.asterisk_queue.observe(f64::from(queue_length));
                    media.pacer.status(queue_length, now, &mut self.actions);
                    self.act();
                }
            }
            Event::MediaXoff | Event::MediaXon => {
                let xoff = event == Event::MediaXoff;
                if xoff {
                    self.context.exchange.metrics.asterisk_xoff.inc();
                    warn!(call = %self.report.id(), "Asterisk has no room for audio (MEDIA_XOFF)");
                }
                if let Some(media) = &mut self.media {
                    media.pacer.flow(xoff, now);
                }
            }
            Event::Error { text } => warn!(call = %self.report.id(), ?text, "Asterisk reports"),
            Event::DtmfEnd { .. } | Event::QueueDrained | Event::Other => {}
        }
    }

    fn start(&mut self, start: MediaStart) {
        let (config, exchange) = (self.context.config.clone(), self.context.exchange.clone());
        let format = self.format.unwrap_or(ControlFormat::Text);
        exchange.format_seen(format, config.asterisk.format);
        let dialled = dialled(&start, format, &config);
        self.report.start(&start, dialled.as_ref());
        let call = self.report.id();
        let connection = &start.connection_id;
        let input = if exchange.is_draining() {
            info!(%call, "refused: the gateway is shutting down");
            Input::Refuse(Ending::Draining)
        } else if start.format != FORMAT {
            warn!(
                %call, ?connection, format = ?start.format,
                "refused: the gateway speaks slin16; dial Dial(WebSocket/{}/{}c(slin16)n,60,r)",
                connection.escape_debug(),
                if format == ControlFormat::Json { "f(json)" } else { "" },
            );
            Input::Refuse(Ending::FormatRefused)
        } else if let Some(ext) = dialled {
            let (plan, is_group) = plan(&ext, &config);
            self.report.dialled_group(is_group);
            info!(%call, %ext, group = is_group, "call");
            Input::Start(plan)
        } else {
            warn!(
                %call, ?connection,
                "refused: MEDIA_START names no extension; set the channel variable {} (JSON) or \
                 name the section so that exten_search_pattern finds the extension in it",
                config.asterisk.extension_variable,
            );
            Input::Refuse(Ending::NoExtension)
        };
        if start.optimal_frame_size >= 2 {
            self.frame_bytes = start.optimal_frame_size.min(crate::phone::login::MAX_MESSAGE);
        }
        self.drive(input);
    }

    fn phone(&mut self, event: CallEvent) {
        match event {
            CallEvent::Answered(ring) => self.drive(Input::PhoneAnswered(ring)),
            CallEvent::HungUp(ring) => {
                // Freed first: the hunt may want to ring it again.
                self.rings.remove(&ring);
                self.drive(Input::PhoneHungUp(ring));
            }
            CallEvent::Gone(ring) => {
                self.rings.remove(&ring);
                self.drive(Input::PhoneGone(ring));
            }
        }
    }

    /// Gives the call an input and carries out all that follows.
    fn drive(&mut self, input: Input) {
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
                Output::Stop(ring) => {
                    self.rings.remove(&ring);
                }
                Output::Answer(ring) => self.answer(ring, now),
                Output::HangUpAsterisk => {
                    self.command(Command::Hangup);
                    self.hangup_by = Some(now + HANGUP_TIME);
                }
                Output::Ended(ending) => self.ended(ending, now),
            }
        }
    }

    fn ring(&mut self, ring: RingId, ext: &Extension) -> Offered {
        match self.context.exchange.ring(ext, self.report.id(), ring, &self.events.0) {
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

    fn answer(&mut self, ring: RingId, now: Instant) {
        self.command(Command::Answer);
        let Some(handle) = self.rings.get_mut(&ring) else { return };
        let (to_phone, phone_in) = hop();
        let (phone_out, from_phone) = hop();
        handle.connect(AudioLine { to_phone: phone_in, from_phone: phone_out });
        self.report.answered(&handle.ext, now.into_std());
        self.media = Some(Media {
            pacer: Pacer::new(self.frame_bytes, now.into_std()),
            from_phone,
            to_phone,
            upward: Framer::new(self.frame_bytes),
            downward: Framer::new(FRAME_BYTES),
            passed_down: 0,
        });
    }

    fn ended(&mut self, ending: Ending, now: Instant) {
        self.rings.clear();
        if let Some(media) = self.media.take() {
            let counts = media.pacer.counts();
            let audio = &mut self.report.record.audio;
            audio.from_phone = counts.sent;
            audio.filled = counts.filled;
            // What came in one lump after a stall of ours was dropped on the way here.
            audio.dropped_late = counts.late + media.from_phone.dropped();
            audio.dropped_ahead = counts.ahead;
            audio.dropped_asterisk_full = counts.full;
            audio.dropped_phone_slow = media.to_phone.dropped();
            audio.to_phone = media.passed_down - audio.dropped_phone_slow.min(media.passed_down);
        }
        self.report.ended(ending, now.into_std());
    }
}

/// The extension that MEDIA_START asks for: the variable in JSON, else from the connection's name.
fn dialled(start: &MediaStart, format: ControlFormat, config: &Config) -> Option<Extension> {
    let asterisk = &config.asterisk;
    let pattern = &asterisk.exten_search_pattern;
    let text = match format {
        ControlFormat::Json => start
            .variables
            .get(&asterisk.extension_variable)
            .filter(|value| !value.is_empty())
            .cloned()
            .or_else(|| pattern.in_json(&start.connection_id)),
        ControlFormat::Text => pattern.in_text(&start.connection_id),
    };
    Extension::parse(&text?)
}

/// Whom to ring for what was dialled.
fn plan(ext: &Extension, config: &Config) -> (Plan, bool) {
    let Some(group) = config.groups.get(ext.as_str()) else {
        let timeout = config.calls.ring_timeout;
        return (Plan::Together { members: vec![ext.clone()], timeout }, false);
    };
    let members = group.members.iter().map(|m| Extension::from(m.as_str())).collect();
    let timeout = group.timeout;
    let plan = match group.strategy {
        Strategy::RingAll => Plan::Together { members, timeout },
        Strategy::Sequential => Plan::InTurn { members, timeout, rounds: group.rounds },
    };
    (plan, true)
}

impl Timer {
    fn set(&mut self, at: Instant) {
        self.sleep.as_mut().reset(at);
        self.set_to = at;
    }
}
