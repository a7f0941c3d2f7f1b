//! The one task that holds together what listens to channels: takes wishes in, carries out what
//! [`steps`](super::steps) decides, and sweeps away what is left.
//!
//! Promises: every wish is answered once, within seconds; it waits for no request; what Asterisk
//! reports of a part that nobody remembers is deleted.

mod sweep;
mod tap;

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{MissedTickBehavior, interval, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};
use uuid::Uuid;

use tap::Tap;

use super::{
    client::Api,
    events::{self, Heard},
    message::{self, Bridge, Channel, Event, Request, Variable, Words},
    part::{self, Part, Way},
    steps::{Input, Order, Outcome, Output, Steps, Why},
};
use crate::{
    call::{CallId, ForLog},
    config::{AriSettings, Config, MAX_TAPPED_CHANNELS},
    exchange::Exchange,
    tap::{
        StartError,
        channel::{Ear, EarNews, Wanted},
    },
};

/// How long nobody may listen before a channel is let go of: whoever stops one stream to start
/// another keeps it.
const LINGER: Duration = Duration::from_secs(1);
/// How often that is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How long ARI may be away before nothing is believed to be heard any more. A restart of the
/// WebSocket takes a second; without it the end of a channel isn't told.
const LOST_TIME: Duration = Duration::from_secs(10);
/// What a stop waits for Asterisk to let go of everything.
const STOP_TIME: Duration = Duration::from_secs(2);
/// Events that may wait. They come in dozens, and the task never waits.
const EVENTS: usize = 256;
/// Each channel has two legs, and each leg two news; those of taps that are just being closed, too.
const NEWS: usize = 8 * MAX_TAPPED_CHANNELS as usize;

/// Opens the desk for channels and works it off for as long as the gateway runs. Nothing, if it is
/// open already.
pub fn start(exchange: Arc<Exchange>, config: Arc<ArcSwap<Config>>, settings: AriSettings) {
    let words = Words::new(&settings.app, &settings.connection);
    let api = match Api::new(settings.clone()) {
        Ok(api) => api,
        Err(error) => return error!("ARI can't be used: {error}"),
    };
    let Some(desk) = exchange.taps.channels.open(&words.mark) else { return };
    let taps = exchange.taps.clone();
    let keeper = Keeper {
        exchange,
        config,
        words,
        api,
        settings,
        taps: HashMap::new(),
        news: mpsc::channel(NEWS),
        requests: JoinSet::new(),
        is_up: false,
        lost_at: None,
        sweep_due: false,
    };
    let stop = taps.stopping();
    taps.spawn(keeper.run(desk, stop));
}

struct Keeper {
    exchange: Arc<Exchange>,
    config: Arc<ArcSwap<Config>>,
    words: Words,
    api: Api,
    settings: AriSettings,
    taps: HashMap<Uuid, Tap>,
    news: (mpsc::Sender<EarNews>, mpsc::Receiver<EarNews>),
    requests: JoinSet<Came>,
    is_up: bool,
    /// Since when ARI has been away.
    lost_at: Option<Instant>,
    /// A part could not be deleted.
    sweep_due: bool,
}

/// What came of a request.
enum Came {
    Found(Uuid, Result<Option<Channel>, String>),
    Of(Uuid, Order, Outcome),
    Swept { up: Vec<Uuid>, channels: Vec<Channel>, bridges: Vec<Bridge> },
    Nothing,
}

impl Keeper {
    async fn run(mut self, mut desk: mpsc::Receiver<Wanted>, stop: CancellationToken) {
        let (tell, mut heard) = mpsc::channel(EVENTS);
        let url = self.settings.url.clone();
        let events = tokio::spawn(events::keep_up(self.api.clone(), url, tell, stop.clone()));
        let mut look = interval(LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                wanted = desk.recv() => match wanted {
                    Some(wanted) => self.wanted(wanted),
                    None => break,
                },
                heard = heard.recv() => if let Some(heard) = heard { self.heard(heard) },
                () = self.happens() => {}
                _ = look.tick() => self.look(),
            }
        }
        drop(desk);
        self.end_all(Why::Stopping);
        let over = async {
            while !self.taps.is_empty() {
                self.happens().await;
            }
        };
        if timeout(STOP_TIME, over).await.is_err() {
            warn!(
                left = self.taps.len(),
                "ARI: channels could not be let go of; the next start does"
            );
        }
        self.set_up(false);
        events.abort();
    }

    /// What is under way: an answer, a leg, a deadline.
    async fn happens(&mut self) {
        let deadline = self.taps.values().filter_map(|tap| tap.steps.as_ref()?.deadline()).min();
        let tick = async {
            match deadline {
                Some(at) => sleep_until(at.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            Some(came) = self.requests.join_next() => {
                if let Ok(came) = came {
                    self.came(came);
                }
            }
            Some(news) = self.news.1.recv() => match news {
                EarNews::Here(tap, lane) => self.input(tap, Input::Here(Way::of(lane))),
                EarNews::Gone(tap, lane) => self.input(tap, Input::Gone(Way::of(lane))),
            },
            () = tick => {
                let all: Vec<Uuid> = self.taps.keys().copied().collect();
                all.into_iter().for_each(|tap| self.input(tap, Input::Tick));
            }
        }
    }

    /// Somebody wants to hear a channel.
    fn wanted(&mut self, Wanted { channel, answer }: Wanted) {
        let refused = if self.exchange.calls.has_channel(&channel) {
            StartError::NoSuchCall // it isn't answered, or has just ended
        } else if part::parse(&self.words.mark, &channel).is_some() {
            StartError::NoSuchChannel
        } else if let Some((id, tap)) = self.taps.iter_mut().find(|(_, tap)| tap.is_of(&channel)) {
            if tap.line.is_some() {
                let _ = answer.send(Ok(*id));
            } else {
                tap.waiting.push(answer);
            }
            return;
        } else if !self.is_up {
            StartError::Asterisk("ARI is not there".to_owned())
        } else if self.taps.len() >= self.settings.max_channels {
            StartError::TooManyChannels(self.settings.max_channels)
        } else {
            let id = Uuid::new_v4();
            let api = self.api.clone();
            let variables = self.config.load().taps.variables_of_channels();
            self.taps.insert(id, Tap::new(channel.clone(), answer));
            self.requests
                .spawn(async move { Came::Found(id, find(&api, &channel, &variables).await) });
            return;
        };
        let _ = answer.send(Err(refused));
    }

    /// Asterisk was asked for the channel.
    fn found(&mut self, id: Uuid, found: Result<Option<Channel>, String>) {
        let channel = match found {
            Ok(Some(channel)) if self.exchange.calls.has_channel(&channel.id) => {
                return self.give_up(id, &StartError::NoSuchCall);
            }
            Ok(Some(channel)) => channel,
            Ok(None) => return self.give_up(id, &StartError::NoSuchChannel),
            Err(why) => return self.give_up(id, &StartError::Asterisk(why)),
        };
        // It may have been asked for by its name and by its id at the same time.
        let other = self.taps.iter().find(|(other, tap)| **other != id && tap.is_of(&channel.id));
        if let Some(other) = other.map(|(other, _)| *other) {
            let Some(tap) = self.taps.remove(&id) else { return };
            for answer in tap.waiting {
                self.wanted(Wanted { channel: channel.id.clone(), answer });
            }
            debug!(%other, "the same channel under two names");
            return;
        }
        let Some(tap) = self.taps.get_mut(&id) else { return };
        for way in Way::BOTH {
            let ear = Ear::new(id, way.lane(), self.news.0.clone());
            tap.ears.push(ear.clone());
            self.exchange.taps.channels.expect(self.words.name(id, Part::Media(way)), ear);
        }
        tap.channel = Some(channel);
        let mut out = Vec::new();
        tap.steps = Some(Steps::new(now(), &mut out));
        self.carry_out(id, out);
    }

    /// It comes to nothing, before anything was made.
    fn give_up(&mut self, id: Uuid, why: &StartError) {
        if let Some(mut tap) = self.taps.remove(&id) {
            tap.answer(&Err(why.clone()));
        }
    }

    fn input(&mut self, id: Uuid, input: Input) {
        let mut out = Vec::new();
        if let Some(steps) = self.taps.get_mut(&id).and_then(|tap| tap.steps.as_mut()) {
            steps.input(input, now(), &mut out);
        }
        self.carry_out(id, out);
    }

    fn carry_out(&mut self, id: Uuid, outputs: Vec<Output>) {
        for output in outputs {
            let Some(tap) = self.taps.get_mut(&id) else { return };
            let channel = tap.channel.as_ref().map_or("", |channel| channel.name.as_str());
            match output {
                Output::Ask(order) => self.ask(id, order),
                Output::Ready => {
                    info!(call = %id, channel = %ForLog(channel), "a channel is listened to");
                    self.ready(id);
                }
                Output::Failed(failure) => {
                    let error = self.words.explain(&failure);
                    info!(call = %id, channel = %ForLog(channel), %error, "a channel can't be listened to");
                    tap.answer(&Err(error));
                    self.forget_legs(id);
                }
                Output::Ended(why) => {
                    info!(call = %id, channel = %ForLog(channel), ?why, "a channel is let go of");
                    tap.line = None;
                    self.forget_legs(id);
                    self.exchange.metrics.channels_tapped.dec();
                }
                Output::Over(left) => {
                    self.sweep_due |= left;
                    self.taps.remove(&id);
                }
            }
        }
    }

    /// Both sides are heard: from now on it is a call to those who listen.
    fn ready(&mut self, id: Uuid) {
        let Some(tap) = self.taps.get_mut(&id) else { return };
        let facts = message::facts(id, tap.channel.as_ref().unwrap_or(&Channel::default()));
        let settings = &self.config.load().taps;
        let line = Arc::new(self.exchange.taps.open(facts, settings, now()));
        for ear in &tap.ears {
            ear.connect(&line);
        }
        tap.line = Some(line);
        self.exchange.metrics.channels_tapped.inc();
        tap.answer(&Ok(id));
    }

    fn ask(&mut self, id: Uuid, order: Order) {
        let Some(tap) = self.taps.get(&id) else { return };
        let target = tap.channel.as_ref().map_or("", |channel| channel.id.as_str());
        let request = match order {
            Order::Make(part) => self.words.make(id, part, target),
            Order::Join(way) => self.words.join(id, way),
            Order::Delete(part) => self.words.delete(id, part),
        };
        let api = self.api.clone();
        self.requests.spawn(async move { Came::Of(id, order, api.order(&request).await) });
    }

    fn forget_legs(&self, id: Uuid) {
        for way in Way::BOTH {
            self.exchange.taps.channels.forget(&self.words.name(id, Part::Media(way)));
        }
    }

    fn came(&mut self, came: Came) {
        match came {
            Came::Found(id, found) => self.found(id, found),
            Came::Of(id, order, outcome) => {
                debug!(call = %id, ?order, ?outcome, "ARI");
                self.input(id, Input::Outcome(order, outcome));
            }
            Came::Swept { up, channels, bridges } => self.swept(&up, &channels, &bridges),
            Came::Nothing => {}
        }
    }

    fn heard(&mut self, heard: Heard) {
        match heard {
            Heard::Up => {
                self.set_up(true);
                self.sweep();
            }
            Heard::Lost => self.set_up(false),
            Heard::Event(Event::Entered(name)) => match part::parse(&self.words.mark, &name) {
                Some((tap, part)) if self.taps.contains_key(&tap) => {
                    self.input(tap, Input::Entered(part));
                }
                // Made after it was given up.
                Some(_) => self.delete(Request::delete_channel(&name)),
                None => {}
            },
            Heard::Event(Event::Left(name) | Event::BridgeGone(name)) => {
                if let Some((tap, part)) = part::parse(&self.words.mark, &name) {
                    self.input(tap, Input::Left(part));
                }
            }
            Heard::Event(Event::Replaced | Event::Other) => {}
        }
    }

    fn set_up(&mut self, is_up: bool) {
        self.is_up = is_up;
        self.exchange.metrics.ari_up.set(i64::from(is_up));
        self.lost_at = (!is_up).then(|| self.lost_at.unwrap_or_else(now));
    }

    /// What has no event of its own.
    fn look(&mut self) {
        let now = now();
        if self.lost_at.is_some_and(|at| now.saturating_duration_since(at) >= LOST_TIME) {
            self.end_all(Why::AsteriskGone);
        }
        let mut unwanted = Vec::new();
        for (id, tap) in self.taps.iter_mut().filter(|(_, tap)| tap.line.is_some()) {
            if self.exchange.taps.is_wanted(CallId::from_uuid(*id)) {
                tap.unwanted_since = None;
            } else if now.saturating_duration_since(*tap.unwanted_since.get_or_insert(now))
                >= LINGER
            {
                unwanted.push(*id);
            }
        }
        unwanted.into_iter().for_each(|tap| self.input(tap, Input::End(Why::Unwanted)));
        if self.is_up && std::mem::take(&mut self.sweep_due) {
            self.sweep();
        }
    }

    fn end_all(&mut self, why: Why) {
        let all: Vec<Uuid> = self.taps.keys().copied().collect();
        for id in all {
            match self.taps.get(&id).is_some_and(|tap| tap.steps.is_some()) {
                true => self.input(id, Input::End(why)),
                false => self.give_up(id, &StartError::Stopping),
            }
        }
    }
}

/// A channel by its unique id, or by its name, which holds a slash; with these variables.
async fn find(api: &Api, channel: &str, variables: &[String]) -> Result<Option<Channel>, String> {
    let found = if channel.contains('/') {
        let all: Option<Vec<Channel>> = api.get(&Request::channels()).await?;
        all.unwrap_or_default().into_iter().find(|one| one.name == channel)
    } else {
        api.get(&Request::channel(channel)).await?
    };
    let Some(mut found) = found else { return Ok(None) };
    for name in variables {
        // What can't be read isn't set.
        let variable: Result<Option<Variable>, _> =
            api.get(&Request::variable(&found.id, name)).await;
        if let Ok(Some(variable)) = variable {
            found.channelvars.insert(name.clone(), variable.value.into());
        }
    }
    Ok(Some(found))
}

fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
