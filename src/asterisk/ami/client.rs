//! The manager, kept connected: carries actions there, answers back, and events to who wants them.
//!
//! Promises: it connects again for as long as it runs, with growing pauses, and says once when it
//! is lost and once when it is back; its secret is in no log; an action that can't be sent is
//! refused at once, and one whose answer is lost is *unknown* and never sent again by itself;
//! whatever Asterisk sends or doesn't send, memory is bounded.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use prometheus_client::metrics::gauge::Gauge;
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, interval_at, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{
    connection::{AmiError, Connection},
    event::Event,
    message::{Action, Packet},
    subscribe::{Heard, Shared, Subscription},
};
use crate::config::AmiSettings;

/// Actions that may wait for the connection.
const QUEUE: usize = 64;
/// Actions that may wait for their answers. Asterisk does one after the other, each within
/// milliseconds, so more of them mean that it hangs.
const IN_FLIGHT: usize = 256;
/// How often a quiet connection is asked whether it is there, and how long it has to answer.
const PING_EVERY: Duration = Duration::from_secs(15);
/// Pauses between attempts: the first, and the longest.
const PAUSE: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(20));
/// The classes of events that are asked for; within them [`Subscription`]s choose by name.
const EVENTS: &str = "call,user";

/// Where actions are handed in. Cheap to clone; works, by refusing, without a manager.
#[derive(Debug, Clone)]
pub struct Ami {
    requests: mpsc::Sender<Request>,
    up: Arc<AtomicBool>,
    subscribers: Shared,
}

/// Why an action has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoAnswer {
    /// Nothing was sent.
    #[error("Asterisk's manager is not there")]
    NotSent,
    /// It was sent. Whether Asterisk has done it isn't known.
    #[error("Asterisk's manager did not answer")]
    Unknown,
}

#[derive(Debug)]
struct Request {
    action: Action,
    /// Nobody waits for the answer where this is absent.
    answer: Option<oneshot::Sender<Result<Packet, NoAnswer>>>,
}

impl Ami {
    /// A manager that is never there.
    pub fn absent() -> Self {
        Self { requests: mpsc::channel(1).0, up: Arc::default(), subscribers: Shared::default() }
    }

    /// Keeps a connection up until `stop`.
    pub fn start(settings: AmiSettings, gauge: Gauge, stop: CancellationToken) -> Self {
        let (requests, receiver) = mpsc::channel(QUEUE);
        let ami = Self { requests, up: Arc::default(), subscribers: Shared::default() };
        let keeper = Keeper {
            settings,
            requests: receiver,
            up: ami.up.clone(),
            subscribers: ami.subscribers.clone(),
            gauge,
        };
        tokio::spawn(keeper.keep_up(stop));
        ami
    }

    /// Whether the manager is there.
    pub fn is_up(&self) -> bool {
        self.up.load(Ordering::Acquire)
    }

    /// Hands an action over without waiting for anything; false if it can't be sent now.
    pub fn send(&self, action: Action) -> bool {
        self.is_up() && self.requests.try_send(Request { action, answer: None }).is_ok()
    }

    /// Sends an action and gives its answer, which may be a refusal. Whatever happens, it returns
    /// within `time`.
    pub async fn ask(&self, action: Action, time: Duration) -> Result<Packet, NoAnswer> {
        if !self.is_up() {
            return Err(NoAnswer::NotSent);
        }
        let (answer, coming) = oneshot::channel();
        let request = Request { action, answer: Some(answer) };
        self.requests.try_send(request).map_err(|_| NoAnswer::NotSent)?;
        match timeout(time, coming).await {
            Ok(Ok(answer)) => answer,
            _ => Err(NoAnswer::Unknown),
        }
    }

    /// Events by Asterisk's names (`Hangup`; `UserEvent/AudioFork` is one of the dialplan's), from
    /// now on, and each loss and return of the connection. Names have to be known to
    /// [`event`](super::event).
    pub fn subscribe<'a>(&self, names: impl IntoIterator<Item = &'a str>) -> Subscription {
        self.subscribers.add(names)
    }
}

/// What the connection's task owns.
struct Keeper {
    settings: AmiSettings,
    requests: mpsc::Receiver<Request>,
    up: Arc<AtomicBool>,
    subscribers: Shared,
    gauge: Gauge,
}

impl Keeper {
    async fn keep_up(mut self, stop: CancellationToken) {
        let mut pause = PAUSE.0;
        let mut said_lost = false;
        loop {
            let began = Instant::now();
            let result = tokio::select! {
                () = stop.cancelled() => return,
                result = self.one_connection() => result,
            };
            let was_up = self.up.swap(false, Ordering::AcqRel);
            self.gauge.set(0);
            // What waited was meant for a moment that has passed.
            while let Ok(request) = self.requests.try_recv() {
                request.give(Err(NoAnswer::NotSent));
            }
            if was_up {
                self.subscribers.tell(&Heard::Lost);
            }
            if was_up || !said_lost {
                if let Err(error) = result {
                    let (host, port) = (&self.settings.host, self.settings.port);
                    warn!(%host, port, "Asterisk's manager: {error}");
                }
                said_lost = true;
            }
            if was_up && began.elapsed() > PAUSE.1 {
                pause = PAUSE.0;
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
            pause = (pause * 2).min(PAUSE.1);
        }
    }

    async fn one_connection(&mut self) -> Result<(), AmiError> {
        let mut connection = Connection::open(&self.settings, EVENTS).await?;
        info!(host = %self.settings.host, port = self.settings.port, "logged in to Asterisk's manager");
        self.up.store(true, Ordering::Release);
        self.gauge.set(1);
        self.subscribers.tell(&Heard::Up);
        let mut ping = interval_at(Instant::now() + PING_EVERY, PING_EVERY);
        let mut unanswered: Option<u64> = None;
        // Dropped with the connection, and so answered as unknown.
        let mut in_flight = InFlight::default();
        let subscribers = self.subscribers.clone();
        loop {
            tokio::select! {
                request = self.requests.recv() => {
                    let Some(request) = request else { return Ok(()) };
                    if let Some(request) = in_flight.admit(request) {
                        let id = connection.send(&request.action).await?;
                        in_flight.sent(id, request);
                    }
                }
                packet = connection.receive(|name| subscribers.want(name)) => {
                    let packet = packet?;
                    let name = packet.get("Event");
                    if let Some(event) = Event::of(&packet) {
                        subscribers.event(name, event);
                    } else if let Ok(id) = packet.get("ActionID").parse() {
                        if unanswered == Some(id) {
                            unanswered = None;
                        } else {
                            in_flight.answered(id, packet);
                        }
                    }
                }
                _ = ping.tick() => {
                    if unanswered.is_some() {
                        return Err(AmiError::Time);
                    }
                    unanswered = Some(connection.send(&Action::new("Ping")).await?);
                }
            }
        }
    }
}

/// Who waits for which answer.
#[derive(Default)]
struct InFlight(HashMap<u64, Request>);

impl InFlight {
    /// The request, if it is still wanted and there is room to wait for its answer.
    fn admit(&mut self, request: Request) -> Option<Request> {
        if self.0.len() >= IN_FLIGHT {
            self.0.retain(|_, waiting| waiting.answer.as_ref().is_some_and(|a| !a.is_closed()));
        }
        if self.0.len() >= IN_FLIGHT {
            request.give(Err(NoAnswer::NotSent));
            return None;
        }
        // Whoever has stopped waiting was told that it may have been done; better it isn't.
        let gone = request.answer.as_ref().is_some_and(oneshot::Sender::is_closed);
        (!gone).then_some(request)
    }

    fn sent(&mut self, id: u64, request: Request) {
        self.0.insert(id, request);
    }

    fn answered(&mut self, id: u64, packet: Packet) {
        let Some(request) = self.0.remove(&id) else { return };
        if request.answer.is_none() && !packet.is_success() {
            // A call that ended in the same instant; or a user who may not.
            let action = request.action.name();
            warn!(action, answer = ?packet.get("Message"), "Asterisk's manager refused an action");
        }
        request.give(Ok(packet));
    }
}

impl Request {
    fn give(self, answer: Result<Packet, NoAnswer>) {
        if let Some(waiting) = self.answer {
            let _ = waiting.send(answer);
        }
    }
}
