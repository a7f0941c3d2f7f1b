//! The wire between the manager's `AudioFork` events and the taps: each event is acted on and
//! answered by one of ours, `AudioForkResult`.
//!
//! Promises: every event that was heard is answered once, a refusal too, as long as the manager is
//! there; nothing is connected to that the configuration's list doesn't admit; no event waits for
//! another one's channel; at most [`STARTING`] are under way.

use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::ami::{
    client::Ami,
    event::Event,
    message::{Action, LineBreak},
    subscribe::{Heard, Subscription},
};
use crate::{
    config::Config,
    exchange::Exchange,
    tap::{
        Taps,
        audiofork::{Asked, Direction, NAMES, Request, Settings, Start},
        facts::{StreamId, Whom},
    },
};

/// Who wanted these streams, in lists and events.
pub const BY: &str = "audiofork";
/// Streams that are being started. One on a call takes no time; on another channel Asterisk is
/// asked first.
pub const STARTING: usize = 64;

/// Listens until `stop`.
pub fn start(exchange: &Arc<Exchange>, config: Arc<ArcSwap<Config>>, stop: CancellationToken) {
    let names = NAMES.map(|name| format!("UserEvent/{name}"));
    let events = exchange.ami.subscribe(names.iter().map(String::as_str));
    let forks = Forks {
        taps: exchange.taps.clone(),
        ami: exchange.ami.clone(),
        config,
        starting: JoinSet::new(),
    };
    tokio::spawn(forks.run(events, stop));
}

struct Forks {
    taps: Arc<Taps>,
    ami: Ami,
    config: Arc<ArcSwap<Config>>,
    starting: JoinSet<()>,
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
                    Some(Heard::Event(Event::User { name, fields })) => self.heard(name, &fields),
                    Some(Heard::Missed) => warn!("AudioFork events of the manager were missed"),
                    Some(_) => {}
                    None => return, // the manager is shut down
                },
                Some(_) = self.starting.join_next() => {}
            }
        }
    }

    fn heard(&mut self, name: String, fields: &[(String, String)]) {
        let Some(asked) = Asked::of(&name, fields) else { return };
        let Asked { channel, request_id, request } = asked;
        let reply = Reply { ami: self.ami.clone(), name, channel, request_id };
        let wanted = self.config.load().taps.audiofork.clone();
        let (request, settings) = match (request, wanted) {
            (_, None) => {
                return reply.refuse("AudioFork is off: the configuration has no \"audiofork\"");
            }
            (Err(bad), _) => return reply.refuse(&bad.to_string()),
            (Ok(request), Some(settings)) => (request, settings),
        };
        let whom = Whom::Channel(reply.channel.clone());
        match request {
            Request::Start(start) => self.start(start, &settings, whom, reply),
            Request::Stop(id) => {
                let stop = |id| self.taps.stop_stream(id).is_ok();
                reply.each("Could not stop monitoring channel", self.meant(&whom, id), stop);
            }
            Request::Mute { id, direction, on } => {
                // Left is what comes from the channel.
                let (left, right) = (direction != Direction::Out, direction != Direction::In);
                let mute = |id| self.taps.mute_stream(id, left, right, on).is_ok();
                reply.each("Cannot set mute flag", self.meant(&whom, id), mute);
            }
        }
    }

    fn start(&mut self, start: Start, settings: &Settings, whom: Whom, reply: Reply) {
        let Start { url, options } = start;
        if !settings.servers.admit(&url) {
            warn!(channel = %reply.channel.escape_debug(), "AudioFork: WsServer is not in audiofork's \"servers\"");
            return reply.refuse("WsServer is not in audiofork's \"servers\"");
        }
        let form = options.form(&url);
        let spec = match form.read(settings.tls.clone()) {
            Ok(spec) => spec,
            Err(faults) => {
                let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
                return reply.refuse(&faults.join("; "));
            }
        };
        if self.starting.len() >= STARTING {
            return reply.refuse("too many streams are being started");
        }
        let taps = self.taps.clone();
        self.starting.spawn(async move {
            match taps.start_stream(&whom, spec, BY).await {
                Ok(id) => {
                    if let Some(variable) = &options.id_variable {
                        reply.set(variable, id);
                    }
                    reply.done(&[id]);
                }
                Err(error) => reply.refuse(&error.to_string()),
            }
        });
    }

    /// The streams that are meant: one, if it is the channel's, or all; `None` where there is no
    /// such channel.
    fn meant(&self, whom: &Whom, id: Option<StreamId>) -> Option<Vec<StreamId>> {
        let all = self.taps.streams_of(whom, BY)?;
        Some(all.into_iter().filter(|one| id.is_none_or(|id| id == *one)).collect())
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
