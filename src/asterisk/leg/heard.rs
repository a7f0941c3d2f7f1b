//! What Asterisk says, from `MEDIA_START` to its close.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;
use tracing::{debug, info, warn};

use super::{HANGUP_TIME, Leg};
use crate::{
    asterisk::{
        message::{Command, ControlFormat, Event, MediaStart, format_of, parse},
        route,
    },
    call::{
        CallId, Extension, ForLog, RingId,
        ending::Ending,
        hunt::Plan,
        info::Progress,
        machine::{Closing, Input},
        record::{Caller, Direction},
    },
    exchange::{
        calls::{CALL_VARIABLE, CallEntry},
        line::CallFacts,
        ring::Ringing,
    },
    media::{
        align::Lane,
        frame::{self, FORMAT},
    },
    net::{liveness::PING_EVERY, tcp::Seatable, wire::Closed},
    report::time::Utc,
    tap::channel,
};

impl<S: Seatable> Leg<S> {
    pub(super) fn text(&mut self, text: &str) {
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
                if self.media.is_some() {
                    self.report.asterisk_queue(queue_length);
                }
                self.pace(|media, actions| media.status(queue_length, now, actions));
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

    /// Whether it is an outgoing call that the far end has not answered.
    fn is_unanswered(&self) -> bool {
        self.far.direction == Direction::Out && self.far.progress != Progress::Answered
    }

    pub(super) fn asterisk_closed(&mut self, closed: Closed) {
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

    /// Waits until the manager has said why a dialled call was not answered: its word goes another
    /// way than the close.
    pub(super) async fn reason(&mut self) {
        while self.is_unanswered()
            && self.far.closes_for.is_none()
            && !self.call.is_over()
            && self.context.exchange.ami.is_up()
        {
            let Some(event) = self.events.1.recv().await else { return };
            self.phone(event);
        }
    }
}
