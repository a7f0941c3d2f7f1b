//! The task of one call: it owns Asterisk's socket, runs the call's machine, and paces the audio.
//!
//! Promises: Asterisk's socket is always read; what is sent to it is whole frames of exactly
//! `optimal_frame_size`, one a message, and commands in its own format; the call is reported once,
//! also when this task fails.

use std::{
    collections::{HashMap, VecDeque},
    future::{Future, poll_fn},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::mpsc,
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::{
    ami::message::Action,
    media::Media,
    message::{Command, ControlFormat, Event, MediaStart, format_of, parse},
    route, tapped,
};
use crate::{
    call::{
        CallId, Extension, ForLog, LoginId, RingId, RingKey,
        ending::Ending,
        hunt::{Offered, Plan},
        info::{News, Progress},
        machine::{Call, Closing, Input, Output},
        record::{Caller, Direction},
        registry::MAX_DEVICES,
    },
    config::Config,
    exchange::{
        Exchange, Hunting,
        calls::{CALL_VARIABLE, CallEntry, CallPlace},
        line::{CallEvent, CallFacts, Stopped},
        ring::Ringing,
    },
    media::{
        align::Lane,
        frame::{self, FORMAT, FRAME_BYTES},
        pacer,
    },
    net::{
        bell::Bell,
        liveness::{Liveness, PING_EVERY},
        timer::Timer,
        wire::{Closed, Message, Turn, Wire},
    },
    report::{Report, time::Utc},
    tap::{
        TapLine,
        channel::{self, Ear},
    },
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
const REASON_TIME: Duration = Duration::from_millis(300);
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
    rings: HashMap<RingId, Ringing>,
    /// Whose answer is just being taken.
    answering: Option<LoginId>,
    /// What phones are shown when they ring.
    facts: Option<Arc<CallFacts>>,
    format: Option<ControlFormat>,
    frame_bytes: usize,
    media: Option<Media>,
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
    liveness: Liveness,
    timer: Timer,
    /// Rings for everything that isn't audio.
    bell: Bell,
    actions: Vec<pacer::Action>,
    /// It is no call: it brings one side of a channel that is listened to.
    ear: Option<Arc<Ear>>,
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
            answering: None,
            facts: None,
            format: None,
            frame_bytes: FRAME_BYTES,
            media: None,
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
            liveness: Liveness::default(),
            timer: Timer::new(first_message),
            bell: Bell::default(),
            actions: Vec::new(),
            ear: None,
            context,
        }
    }

    /// Serves the call to its end, and Asterisk's socket to its close. A leg that turns out to be no
    /// call is handed back.
    pub async fn run(mut self) -> Option<Overheard<S>> {
        let stop = self.context.stop.clone();
        let mut stop = Box::pin(stop.cancelled_owned());
        let mut stopped = false;
        loop {
            // Whatever has happened may have moved a deadline.
            let mut moved = true;
            let happening = poll_fn(|cx| {
                if self.bell.has_rung(cx) {
                    let waker = self.bell.waker().clone();
                    let cx = &mut Context::from_waker(&waker);
                    let rare = if !stopped && stop.as_mut().poll(cx).is_ready() {
                        stopped = true;
                        Poll::Ready(Happening::Stop)
                    } else {
                        self.poll_rare(cx)
                    };
                    if rare.is_ready() {
                        self.bell.stays_rung();
                        return rare;
                    }
                }
                moved |= self.poll_audio_from_phone(cx);
                if let Poll::Ready(turn) = self.poll_audio_to_phone(cx) {
                    return Poll::Ready(Happening::Turn(turn));
                }
                if !std::mem::take(&mut moved) {
                    return Poll::Pending;
                }
                self.poll_nearer_deadline()
            })
            .await;
            match happening {
                Happening::Turn(Turn::Text(text)) => {
                    self.text(&text);
                    if let Some(ear) = self.ear.take() {
                        return Some((self.wire, ear));
                    }
                }
                Happening::Turn(Turn::Closed(closed)) => {
                    let _ = timeout(REASON_TIME, self.reason()).await;
                    self.asterisk_closed(closed);
                    break;
                }
                Happening::Turn(_) => self.liveness.heard(),
                Happening::Phone(event) => self.phone(event),
                Happening::Time => {
                    let now = Instant::now();
                    if self.hangup_by.is_some_and(|at| at <= now) {
                        break;
                    }
                    if !self.ping(now) {
                        warn!(call = %self.report.id(), "Asterisk gives no sign of life");
                        self.drive(Input::AsteriskClosed(Closing::Lost));
                        break;
                    }
                    self.time(now);
                }
                Happening::Stop => self.drive(Input::End(Ending::DrainTimeout)),
            }
        }
        Box::pin(self.wire.close(1000, "")).await;
        None
    }

    /// What is no audio. Before the wire is asked: whoever floods it uses up what the runtime lets
    /// one task do in a turn.
    fn poll_rare(&mut self, cx: &mut Context<'_>) -> Poll<Happening> {
        if let Poll::Ready(Some(event)) = self.events.1.poll_recv(cx) {
            return Poll::Ready(Happening::Phone(event));
        }
        match self.deadline() {
            Some(at) => self.timer.poll(at, cx).map(|()| Happening::Time),
            None => self.timer.rest(),
        }
    }

    /// Audio may have moved a deadline nearer than what the timer is set to.
    fn poll_nearer_deadline(&mut self) -> Poll<Happening> {
        match self.deadline() {
            Some(at) if self.timer.is_later_than(at) => {
                let mut cx = Context::from_waker(self.bell.waker());
                self.timer.poll(at, &mut cx).map(|()| Happening::Time)
            }
            _ => Poll::Pending,
        }
    }

    /// Passes Asterisk's audio on; what isn't audio is returned.
    fn poll_audio_to_phone(&mut self, cx: &mut Context<'_>) -> Poll<Turn> {
        loop {
            match self.wire.poll_turn(cx) {
                Poll::Ready(Turn::Binary(audio)) => {
                    self.liveness.heard();
                    if let Some(media) = &mut self.media {
                        media.pass_to_phone(audio);
                    }
                }
                turn => return turn,
            }
        }
    }

    /// Passes the phone's audio on; true if there was any.
    fn poll_audio_from_phone(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(media) = &mut self.media else { return false };
        let clock = || Instant::now().into_std();
        let came = media.take_from_phone(cx, clock, &mut self.actions);
        if came {
            self.act();
        }
        came
    }

    fn deadline(&self) -> Option<Instant> {
        let call = self.call.deadline().map(Instant::from_std);
        let pacer = self.media.as_ref().map(|m| Instant::from_std(m.pacer.deadline()));
        let own = [self.first_message, self.hangup_command_at, self.hangup_by, self.ping_at];
        own.into_iter().chain([call, pacer]).flatten().min()
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
        if let Some(media) = &mut self.media {
            media.pacer.tick(now.into_std(), &mut self.actions);
            self.act();
        }
    }

    /// Carries out what the pacer decided.
    fn act(&mut self) {
        let mut actions = std::mem::take(&mut self.actions);
        for action in actions.drain(..) {
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
                    let _ = self.wire.send(Message::Binary(frame));
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
        self.actions = actions;
    }

    fn command(&mut self, command: Command) {
        let format = self.format.unwrap_or(ControlFormat::Text);
        let _ = self.wire.send(Message::text(command.encode(format)));
    }

    fn text(&mut self, text: &str) {
        self.liveness.heard();
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
                    if self.format == Some(ControlFormat::Json) {
                        self.ping_at = Some(Instant::now() + PING_EVERY);
                    }
                    self.start(*start);
                }
            }
            Event::Status { queue_length } => {
                if let Some(media) = &mut self.media {
                    self.report.asterisk_queue(queue_length);
                    media.status(queue_length, now, &mut self.actions);
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
            Event::Error { text } => {
                warn!(call = %self.report.id(), text = %ForLog(&text), "Asterisk reports")
            }
            Event::DtmfEnd { digit } => {
                if let Some(tap) = self.media.as_ref().and_then(|media| media.tap.as_ref()) {
                    tap.digit(Lane::Right, digit);
                }
                self.tell_phones(|news| news.digit(digit));
            }
            Event::QueueDrained | Event::Other => {}
        }
    }

    fn start(&mut self, start: MediaStart) {
        let (config, exchange) = (self.context.config.clone(), self.context.exchange.clone());
        let format = self.format.unwrap_or(ControlFormat::Text);
        match exchange.taps.channels.leg(&start.channel_id) {
            channel::Leg::Call => {}
            channel::Leg::Ear(ear) => {
                self.report.retract();
                self.ear = Some(ear);
                return;
            }
            channel::Leg::Late => {
                self.report.retract();
                debug!(channel = %ForLog(&start.channel), "nobody listens to it any more: hung up");
                self.command(Command::Hangup);
                self.hangup_by = Some(Instant::now() + HANGUP_TIME);
                return;
            }
        }
        exchange.format_seen(format, config.asterisk.format);
        if let Some(dialled) = start.variables.get(CALL_VARIABLE) {
            return self.start_dialled(dialled, &start);
        }
        let call = self.report.id();
        let asked = route::asked_for(&start, format, &config);
        let dialled = asked.extension;
        self.report.start(&start, dialled.as_ref());
        let connection = ForLog(&start.connection_id);
        let variable = &config.asterisk.extension_variable;
        if asked.by_fallback
            && let Some(ext) = &dialled
        {
            // Often it is a forgotten underscore in Set(_WS_EXTEN=…).
            info!(%call, %connection, "{variable} is not set: {ext} taken from the connection's name");
        }
        let frame_bytes = frame::size(start.optimal_frame_size);
        let input = if exchange.is_draining() {
            info!(%call, "refused: the gateway is shutting down");
            Input::Refuse(Ending::Draining)
        } else if start.format != FORMAT || frame_bytes.is_none() {
            warn!(
                %call, format = %ForLog(&start.format), bytes = start.optimal_frame_size,
                "refused: the gateway speaks slin16; dial Dial(WebSocket/{connection}/{}c(slin16)n,60,r)",
                if format == ControlFormat::Json { "f(json)" } else { "" },
            );
            Input::Refuse(Ending::FormatRefused)
        } else if let (Some(ext), Some(bytes)) = (dialled, frame_bytes) {
            self.frame_bytes = bytes;
            self.hunting = Some(exchange.hunt());
            let (plan, is_group) = route::plan(&ext, &config);
            self.far.caller = route::caller(&start, &config);
            self.enter(&start, Some(ext.clone()));
            self.report.parties(Direction::In, self.far.caller.clone());
            self.report.dialled_group(is_group);
            self.facts = Some(Arc::new(self.facts(&start, &ext, is_group, &plan)));
            info!(%call, %ext, group = is_group, "call");
            Input::Start(plan)
        } else {
            warn!(
                %call, %connection,
                "refused: MEDIA_START names no extension; set the channel variable {variable} \
                 (JSON) or name the section so that exten_search_pattern finds the extension in it",
            );
            Input::Refuse(Ending::NoExtension)
        };
        self.drive(input);
    }

    /// The leg of a call that a phone dials: it takes the call's number and the phone's place.
    fn start_dialled(&mut self, dialled: &str, start: &MediaStart) {
        let exchange = self.context.exchange.clone();
        let frame_bytes = frame::size(start.optimal_frame_size);
        let wanted = CallId::parse(dialled).and_then(|id| Some((id, exchange.calls.adopt(id)?)));
        let (Some((id, to_come)), Some(bytes)) = (wanted, frame_bytes) else {
            info!(call = %self.report.id(), "a dialled call that nobody waits for any more: hung up");
            return self.drive(Input::Refuse(Ending::CallerGaveUp));
        };
        let mut handle = to_come.place;
        if start.format != FORMAT {
            warn!(call = %id, format = %ForLog(&start.format), "refused: the gateway speaks slin16");
            handle.stop(Ending::FormatRefused.into());
            return self.drive(Input::Refuse(Ending::FormatRefused));
        }
        self.frame_bytes = bytes;
        let ext = handle.ext.clone();
        self.far.direction = Direction::Out;
        self.report.adopt(id, start, &ext, Extension::parse(&to_come.to).as_ref());
        info!(call = %id, %ext, "dials");
        self.enter(start, Some(ext));
        let facts = CallFacts {
            direction: Direction::Out,
            caller: Caller::default(),
            to: to_come.to,
            is_group: false,
            variables: Default::default(),
            since: Utc::now(),
            ring_time: Duration::ZERO,
        };
        let ring = RingId(0);
        if !handle.offer(true, Arc::new(facts), &self.events.0) {
            return self.drive(Input::Refuse(Ending::Fault)); // a mailbox that is empty has room
        }
        self.rings.insert(ring, Ringing::one(handle));
        // Until now Asterisk has not begun its dialplan, so a leg that nobody wants any more calls
        // nobody.
        self.command(Command::Answer);
        self.drive(Input::Dialled(ring));
    }

    /// What phones are shown of an incoming call.
    fn facts(&self, start: &MediaStart, to: &Extension, is_group: bool, plan: &Plan) -> CallFacts {
        CallFacts {
            direction: Direction::In,
            caller: self.far.caller.clone(),
            to: to.as_str().to_owned(),
            is_group,
            variables: route::shown(start, &self.context.config),
            since: Utc::now(),
            ring_time: plan.ring_time(),
        }
    }

    /// Puts the call into the table of those that are up.
    fn enter(&mut self, start: &MediaStart, ext: Option<Extension>) {
        let names = [&start.channel, &start.channel_id, &start.connection_id];
        let entry = CallEntry::new(
            names.map(String::as_str),
            self.far.direction,
            ext,
            self.events.0.clone(),
        );
        self.place = Some(self.context.exchange.call_began(self.report.id(), entry));
        self.far.variables.clone_from(&start.variables);
    }

    fn phone(&mut self, event: CallEvent) {
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
    fn tell_phones(&self, change: impl Fn(&mut News)) {
        for ringing in self.rings.values() {
            ringing.tell(&change);
        }
    }

    /// Waits until the manager has said why a dialled call was not answered: its word goes another
    /// way than the close.
    async fn reason(&mut self) {
        while self.is_unanswered()
            && self.far.closes_for.is_none()
            && !self.call.is_over()
            && self.context.exchange.ami.is_up()
        {
            let Some(event) = self.events.1.recv().await else { return };
            self.phone(event);
        }
    }

    /// Whether it is an outgoing call that the far end has not answered.
    fn is_unanswered(&self) -> bool {
        self.far.direction == Direction::Out && self.far.progress != Progress::Answered
    }

    fn asterisk_closed(&mut self, closed: Closed) {
        let unanswered = self.is_unanswered();
        let how = match (closed, self.far.closes_for) {
            (Closed::InOrder, Some((why, _))) => Closing::For(why),
            // An outgoing call's leg is up before anybody answers.
            (Closed::InOrder, None) if unanswered => Closing::For(Ending::Failed),
            (Closed::InOrder, None) => Closing::InOrder,
            _ => Closing::Lost,
        };
        self.drive(Input::AsteriskClosed(how));
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

    fn join(&mut self, ring: RingId, now: Instant) {
        self.hunting = None;
        let Some(ringing) = self.rings.get_mut(&ring) else { return };
        if let Some(login) = self.answering.take() {
            ringing.keep(login);
        }
        let music = self.context.config.calls.hold_music.clone();
        let (mut media, line) = Media::new(self.frame_bytes, music, now.into_std());
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
    fn tap(&self, ext: &Extension, now: Instant) -> TapLine {
        let far = &self.far;
        let facts =
            tapped::facts(&self.report.record, far.direction, &far.caller, ext, &far.variables);
        let wanted = &self.context.config.taps;
        self.context.exchange.taps.open(facts, wanted, now.into_std())
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

#[cfg(test)]
mod tests {
    use futures_util::{SinkExt, StreamExt};
    use tokio::{io::DuplexStream, task::JoinHandle};
    use tokio_tungstenite::{
        WebSocketStream,
        tungstenite::{Message, protocol::Role},
    };

    use super::*;
    use crate::{config, phone::task::rung_phone};

    const START: &str = r#"{"event":"MEDIA_START","connection_id":"c","channel":"WebSocket/c/0x1",
        "channel_id":"1.1","format":"slin16","optimal_frame_size":640,"ptime":20,
        "channel_variables":{"WS_EXTEN":"2001"}}"#;

    /// A call that rings at a phone, with a ring time that doesn't end it.
    async fn ringing() -> (WebSocketStream<DuplexStream>, JoinHandle<()>, Arc<Exchange>) {
        let folder = tempfile::tempdir().unwrap();
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let [cert, key] = ["cert.pem", "key.pem"].map(|name| folder.path().join(name));
        std::fs::write(&cert, made.cert.pem()).unwrap();
        std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        let text = serde_json::json!({
            "cert_file": cert, "key_file": key, "ring_timeout": 600,
            "jwt_secret": "a secret of the tests, long enough for HS256",
        });
        let config = config::read_texts(&text.to_string(), "{}").unwrap().config;
        let exchange = Exchange::new(Arc::default());
        rung_phone(&exchange, "2001");
        let (near, far) = tokio::io::duplex(64 * 1024);
        let wire = Wire::server(near, Bytes::new(), 65_536);
        let context = LegContext {
            config: Arc::new(config),
            exchange: exchange.clone(),
            stop: CancellationToken::new(),
        };
        let leg = Leg::new(wire, CallId::from_uuid(uuid::Uuid::nil()), context);
        let task = tokio::spawn(async { assert!(leg.run().await.is_none()) });
        let mut asterisk = WebSocketStream::from_raw_socket(far, Role::Client, None).await;
        asterisk.send(Message::text(START)).await.unwrap();
        (asterisk, task, exchange)
    }

    #[tokio::test(start_paused = true)]
    async fn an_asterisk_that_gives_no_sign_of_life_is_lost_after_two_silent_rounds() {
        let (_silent, task, exchange) = ringing().await;
        let began = Instant::now();
        task.await.unwrap();
        let took = began.elapsed();
        assert!(took >= PING_EVERY * 3 && took < PING_EVERY * 4 + HANGUP_TIME, "{took:?}");
        assert!(exchange.metrics.text().contains("ending=\"asterisk_lost\""));
    }

    #[tokio::test(start_paused = true)]
    async fn an_asterisk_that_answers_its_pings_rings_on() {
        let (mut asterisk, task, _exchange) = ringing().await;
        let mut pings = 0;
        while pings < 10 {
            // Reading answers the ping.
            if let Some(Ok(Message::Ping(_))) = asterisk.next().await {
                pings += 1;
            }
        }
        assert!(!task.is_finished());
    }
}
