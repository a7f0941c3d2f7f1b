//! The wire between the manager's `AudioFork` events and the taps: each event is acted on and
//! answered by one of ours, `AudioForkResult`.
//!
//! A stream of a gateway's call that isn't answered yet begins with the answer. One with the option `b`
//! is sent something only while its channel is in a bridge ([`bridged`]).
//!
//! Promises: every event that was heard is answered once, a refusal too, as long as the manager is
//! there; nothing is connected to that the configuration's list doesn't admit; no event waits for
//! another one's channel; at most [`STARTING`] are under way, and at most [`WAITING`] wait for an
//! answer, each no longer than its call rings.

mod bridged;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use arc_swap::ArcSwap;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{
    ami::{
        client::Ami,
        event::Event,
        message::{Action, LineBreak},
        subscribe::{Heard, Subscription},
    },
    control::order,
};
use bridged::Bridged;

use crate::{
    config::Config,
    exchange::Exchange,
    tap::{
        Taps,
        audiofork::{Asked, Direction, NAMES, Request, Settings, Start},
        facts::{StreamId, Whom},
        spec::StreamSpec,
    },
};

/// Who wanted these streams, in lists and events.
pub const BY: &str = "audiofork";
/// Streams that are being started. One on a call takes no time; on another channel Asterisk is
/// asked first.
pub const STARTING: usize = 64;

/// Streams that wait for their call's answer: a group that rings a hundred phones, and some.
pub const WAITING: usize = 256;
/// How often it is looked whether a call that is waited for is still there.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How long Asterisk may take to say whether a channel is in a bridge.
const ANSWER_TIME: Duration = Duration::from_secs(5);

/// Listens until `stop`.
pub fn start(exchange: &Arc<Exchange>, config: Arc<ArcSwap<Config>>, stop: CancellationToken) {
    let names = NAMES.map(|name| format!("UserEvent/{name}"));
    let bridges = ["BridgeEnter", "BridgeLeave"];
    let events = exchange.ami.subscribe(names.iter().map(String::as_str).chain(bridges));
    let forks = Forks {
        exchange: exchange.clone(),
        config,
        starter: Arc::new(Starter {
            exchange: exchange.clone(),
            starting: Arc::new(Semaphore::new(STARTING)),
            waiting: Arc::new(Semaphore::new(WAITING)),
            unanswered: Mutex::default(),
        }),
        tasks: JoinSet::new(),
        bridged: Bridged::default(),
    };
    tokio::spawn(forks.run(events, stop));
}

struct Forks {
    exchange: Arc<Exchange>,
    config: Arc<ArcSwap<Config>>,
    starter: Arc<Starter>,
    tasks: JoinSet<Learned>,
    bridged: Bridged,
}

/// What a task comes back with.
enum Learned {
    Nothing,
    /// A stream that is wanted only while the channel of this unique id is in a bridge.
    OnlyBridged(String, StreamId),
    /// Whether it is, when it was asked for.
    IsBridged(String, bool),
}

/// Starts streams, each in a task of its own.
struct Starter {
    exchange: Arc<Exchange>,
    starting: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
    /// Channels whose answer is waited for, as they were named. Cancelled by `StopAudioFork`.
    unanswered: Mutex<HashMap<String, CancellationToken>>,
}

/// Whom an answer is for.
struct Reply {
    ami: Ami,
    name: String,
    channel: String,
    request_id: String,
}

impl Forks {
    async fn run(mut self, mut events: Subscription, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                heard = events.next() => match heard {
                    Some(Heard::Event(event)) => self.event(event),
                    Some(Heard::Missed) => {
                        warn!("AudioFork events of the manager were missed");
                        self.ask_again();
                    }
                    Some(Heard::Up) => self.ask_again(),
                    Some(Heard::Lost) => {}
                    None => return, // the manager is shut down
                },
                Some(Ok(learned)) = self.tasks.join_next() => self.learned(learned),
            }
        }
    }

    fn event(&mut self, event: Event) {
        let (channel, is_in) = match event {
            Event::User { name, fields } => return self.heard(name, &fields),
            Event::BridgeEnter { id, .. } => (id, true),
            Event::BridgeLeave { id, .. } => (id, false),
            _ => return,
        };
        for stream in self.bridged.reported(&channel, is_in) {
            let _ = self.exchange.taps.set_apart(*stream, !is_in);
        }
    }

    fn learned(&mut self, learned: Learned) {
        match learned {
            Learned::Nothing => {}
            Learned::OnlyBridged(channel, stream) => {
                let taps = &self.exchange.taps;
                self.bridged.keep(|stream| taps.is_up(stream));
                match self.bridged.add(&channel, stream) {
                    Some(is_in) => drop(taps.set_apart(stream, !is_in)),
                    None => self.ask(channel),
                }
            }
            Learned::IsBridged(channel, is_in) => {
                for stream in self.bridged.answered(&channel, is_in) {
                    let _ = self.exchange.taps.set_apart(*stream, !is_in);
                }
            }
        }
    }

    fn ask_again(&mut self) {
        let taps = &self.exchange.taps;
        self.bridged.keep(|stream| taps.is_up(stream));
        for channel in self.bridged.missed() {
            self.ask(channel);
        }
    }

    /// Asks whether a channel is in a bridge with anybody.
    fn ask(&mut self, channel: String) {
        let ami = self.exchange.ami.clone();
        self.tasks.spawn(async move {
            let Ok(action) = order::peer(&channel) else { return Learned::Nothing };
            match ami.ask(action, ANSWER_TIME).await {
                Ok(answer) => Learned::IsBridged(channel, !answer.get("Value").is_empty()),
                Err(_) => Learned::Nothing, // it stays as it was until something is reported
            }
        });
    }

    fn heard(&mut self, name: String, fields: &[(String, String)]) {
        let Some(asked) = Asked::of(&name, fields) else { return };
        let Asked { channel, request_id, request } = asked;
        let reply = Reply { ami: self.exchange.ami.clone(), name, channel, request_id };
        let wanted = self.config.load().taps.audiofork.clone();
        let (request, settings) = match (request, wanted) {
            (_, None) => {
                return reply.refuse("AudioFork is off: the configuration has no \"audiofork\"");
            }
            (Err(bad), _) => return reply.refuse(&bad.to_string()),
            (Ok(request), Some(settings)) => (request, settings),
        };
        let taps = &self.exchange.taps;
        let whom = Whom::Channel(reply.channel.clone());
        match request {
            Request::Start(start) => self.start(start, &settings, reply),
            Request::Stop(None) if self.starter.give_up(&reply.channel) => reply.done(&[]),
            Request::Stop(id) => {
                let stop = |id| taps.stop_stream(id).is_ok();
                let meant = meant(taps, &whom, id);
                reply.each("Could not stop monitoring channel", meant, stop);
            }
            Request::Mute { id, direction, on } => {
                // Left is what comes from the channel.
                let (left, right) = (direction != Direction::Out, direction != Direction::In);
                let mute = |id| taps.mute_stream(id, left, right, on).is_ok();
                reply.each("Cannot set mute flag", meant(taps, &whom, id), mute);
            }
        }
    }

    fn start(&mut self, start: Start, settings: &Settings, reply: Reply) {
        let Start { url, options } = start;
        if !settings.servers.admit(&url) {
            warn!(channel = %reply.channel.escape_debug(), "AudioFork: WsServer is not in audiofork's \"servers\"");
            return reply.refuse("WsServer is not in audiofork's \"servers\"");
        }
        let form = options.form(&url);
        let spec = match form.read(settings.tls.clone()) {
            Ok(spec) => StreamSpec { apart: options.bridged, ..spec },
            Err(faults) => {
                let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
                return reply.refuse(&faults.join("; "));
            }
        };
        let Some(place) = self.starter.place(&reply.channel) else {
            return reply.refuse("too many streams are being started");
        };
        let starter = self.starter.clone();
        self.tasks.spawn(async move {
            let only_bridged = spec.apart;
            let id = match starter.begin(spec, place, &reply.channel).await {
                Ok(id) => id,
                Err(why) => {
                    reply.refuse(&why);
                    return Learned::Nothing;
                }
            };
            if let Some(variable) = &options.id_variable {
                reply.set(variable, id);
            }
            reply.done(&[id]);
            let channel = starter.exchange.taps.channel_id(&Whom::Channel(reply.channel));
            match channel {
                Some(channel) if only_bridged => Learned::OnlyBridged(channel, id),
                _ => Learned::Nothing,
            }
        });
    }
}

/// The streams that are meant: one, if it is the channel's, or all; `None` where there is no such
/// channel.
fn meant(taps: &Taps, whom: &Whom, id: Option<StreamId>) -> Option<Vec<StreamId>> {
    let all = taps.streams_of(whom, BY)?;
    Some(all.into_iter().filter(|one| id.is_none_or(|id| id == *one)).collect())
}

/// A place among those that are started; of a call that isn't answered, among those that wait for it.
struct Place {
    _permit: OwnedSemaphorePermit,
    until: Option<CancellationToken>,
}

impl Starter {
    fn unanswered(&self) -> MutexGuard<'_, HashMap<String, CancellationToken>> {
        self.unanswered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it is the channel of a call of ours that nobody can listen to yet.
    fn is_unanswered(&self, channel: &str) -> bool {
        let taps = &self.exchange.taps;
        self.exchange.calls.has_channel(channel)
            && taps.channel_id(&Whom::Channel(channel.to_owned())).is_none()
    }

    fn place(&self, channel: &str) -> Option<Place> {
        if !self.is_unanswered(channel) {
            let permit = self.starting.clone().try_acquire_owned().ok()?;
            return Some(Place { _permit: permit, until: None });
        }
        let permit = self.waiting.clone().try_acquire_owned().ok()?;
        let mut unanswered = self.unanswered();
        unanswered.retain(|channel, _| self.is_unanswered(channel));
        let until = unanswered.entry(channel.to_owned()).or_default().clone();
        Some(Place { _permit: permit, until: Some(until) })
    }

    /// Nobody waits for this channel's answer any more; false if nobody did.
    fn give_up(&self, channel: &str) -> bool {
        let waited = self.unanswered().remove(channel);
        waited.filter(|_| self.is_unanswered(channel)).inspect(CancellationToken::cancel).is_some()
    }

    async fn begin(
        &self,
        spec: StreamSpec,
        place: Place,
        channel: &str,
    ) -> Result<StreamId, String> {
        let (taps, whom) = (&self.exchange.taps, Whom::Channel(channel.to_owned()));
        if let Some(until) = &place.until {
            loop {
                let opened = taps.opened();
                if until.is_cancelled() {
                    return Err("stopped before the call was answered".to_owned());
                }
                if taps.channel_id(&whom).is_some() {
                    break;
                }
                if !self.exchange.calls.has_channel(channel) {
                    return Err("the call ended before it was answered".to_owned());
                }
                tokio::select! {
                    () = until.cancelled() => {}
                    _ = timeout(LOOK_EVERY, opened) => {}
                }
            }
        }
        taps.start_stream(&whom, spec, BY).await.map_err(|error| error.to_string())
    }
}

impl Reply {
    /// Does something to each stream, and answers.
    fn each(self, failed: &str, ids: Option<Vec<StreamId>>, act: impl Fn(StreamId) -> bool) {
        let Some(ids) = ids else { return self.refuse("No such channel") };
        let done: Vec<StreamId> = ids.into_iter().filter(|id| act(*id)).collect();
        if done.is_empty() { self.refuse(failed) } else { self.done(&done) }
    }

    fn done(&self, ids: &[StreamId]) {
        info!(channel = %self.channel.escape_debug(), ?ids, "{}", self.name);
        self.say("Success", |mut action| {
            for id in ids {
                action = action.with("AudioForkID", &id.to_string())?;
            }
            Ok(action)
        });
    }

    fn refuse(&self, why: &str) {
        info!(channel = %self.channel.escape_debug(), why, "{} refused", self.name);
        self.say("Error", |action| action.with("Message", &one_line(why)));
    }

    fn say(&self, result: &str, more: impl FnOnce(Action) -> Result<Action, LineBreak>) {
        let action = Action::new("UserEvent")
            .with("UserEvent", "AudioForkResult")
            .and_then(|action| action.with("Request", &self.name))
            .and_then(|action| action.with("Channel", &self.channel))
            .and_then(|action| action.with("RequestID", &self.request_id))
            .and_then(|action| action.with("Result", result))
            .and_then(more);
        if !action.is_ok_and(|action| self.ami.send(action)) {
            warn!(channel = %self.channel.escape_debug(), "AudioFork: no answer could be sent");
        }
    }

    /// `i(variable)`: the id, where the dialplan finds it.
    fn set(&self, variable: &str, id: StreamId) {
        let action = Action::new("Setvar")
            .with("Channel", &self.channel)
            .and_then(|action| action.with("Variable", variable))
            .and_then(|action| action.with("Value", &id.to_string()));
        if let Ok(action) = action {
            self.ami.send(action);
        }
    }
}

fn one_line(text: &str) -> String {
    text.replace(char::is_control, " ").chars().take(500).collect()
}
