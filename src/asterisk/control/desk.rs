//! The task at the desk: takes requests in, checks what may be dialled, and passes on what the
//! manager reports.
//!
//! Promises: every request is answered once, within seconds; at most [`MAX_ORDERS`] are under way;
//! an extension opens no more calls in an hour than it may, whatever asks in its name.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use arc_swap::ArcSwap;
use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{Duration, Instant, MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{
    book::{Began, Book, Effect, LEG_TIME},
    order,
    orders::{self, Joined, Learned, Shared},
    passed::{Outcome, Passer},
};
use crate::{
    asterisk::ami::{
        event,
        subscribe::{Heard, Subscription},
    },
    call::{
        CallId, Extension, LoginId,
        allowance::{Allowance, UsedUp},
        ending::Ending,
        number::{NotANumber, Number},
    },
    config::{Config, DialSettings},
    exchange::{
        Exchange,
        ask::{Ask, OutcomePlace, Refused, What, Why},
        calls::CallEntry,
        desk::{Features, ToDesk},
        line::{CallEvent, PassedOn, Stopped},
    },
};

/// Requests of phones under way. Most take a millisecond; sending 64 keys takes 13 seconds.
pub const MAX_ORDERS: usize = 128;
/// Questions about calls under way. What can't be asked is not known, and nothing else.
const MAX_QUESTIONS: usize = 256;
/// How often the book is compared with the calls that are up, and the features with the settings.
const SWEEP_EVERY: Duration = Duration::from_secs(10);

/// Opens the desk and works it off until `stop`. Nothing, if it is open already.
pub fn start(exchange: Arc<Exchange>, config: Arc<ArcSwap<Config>>, stop: CancellationToken) {
    let Some(desk) = exchange.desk.open() else { return };
    let control = Control {
        events: exchange.ami.subscribe(event::NAMES.iter().copied()),
        shared: Arc::new(Shared::new(exchange)),
        config,
        book: Book::default(),
        allowance: Allowance::default(),
        rights: None,
        outcomes: HashMap::new(),
        orders: JoinSet::new(),
        questions: JoinSet::new(),
    };
    tokio::spawn(control.run(desk, stop));
}

struct Control {
    shared: Arc<Shared>,
    config: Arc<ArcSwap<Config>>,
    events: Subscription,
    book: Book,
    /// Where what becomes of a caller who is passed on is told; one for each such call, for as long
    /// as the book may tell it.
    outcomes: HashMap<CallId, OutcomePlace>,
    allowance: Allowance,
    /// What the manager's user may do; `None` while there is no connection.
    rights: Option<Features>,
    /// Each gives the call that is passed on and talks already, if that was it.
    orders: JoinSet<Option<CallId>>,
    questions: JoinSet<Learned>,
}

impl Control {
    async fn run(mut self, mut desk: mpsc::Receiver<ToDesk>, stop: CancellationToken) {
        if self.shared.exchange.ami.is_up() {
            self.heard(Heard::Up); // before we subscribed
        }
        let mut sweep = interval(SWEEP_EVERY);
        sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let deadline = self.book.deadline().map(Instant::from_std);
            let tick = async {
                match deadline {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            let mut effects = Vec::new();
            let now = Instant::now().into_std();
            tokio::select! {
                () = stop.cancelled() => return,
                asked = desk.recv() => match asked {
                    Some(ToDesk::Ask(ask)) => self.ask(*ask),
                    Some(ToDesk::Began(call)) => self.began(call, &mut effects),
                    Some(ToDesk::Ended(call)) => {
                        self.book.ended(call);
                        self.shared.forget(call);
                    }
                    None => return,
                },
                heard = self.events.next() => match heard {
                    Some(Heard::Event(event)) => self.book.event(event, now, &mut effects),
                    Some(other) => self.heard(other),
                    None => return, // the manager is shut down
                },
                Some(learned) = self.questions.join_next() => match learned {
                    Ok(Learned::Peer(call, peer)) => {
                        self.book.peer(call, peer.as_deref(), &mut effects);
                    }
                    Ok(Learned::Rights(rights)) => {
                        self.rights = Some(rights);
                        self.say_features();
                    }
                    Ok(Learned::Nothing) | Err(_) => {}
                },
                Some(done) = self.orders.join_next() => {
                    if let Ok(Some(call)) = done {
                        self.tell_outcome(call, Ok(()));
                    }
                }
                () = tick => self.book.tick(Instant::now().into_std(), &mut effects),
                _ = sweep.tick() => {
                    let calls = &self.shared.exchange.calls;
                    self.book.keep(|call| calls.get(call).is_some());
                    let awaited: HashSet<CallId> = self.book.passed_on().collect();
                    self.outcomes.retain(|call, _| awaited.contains(call) || calls.get(*call).is_some());
                    self.shared.keep(|call| calls.get(call).is_some() || calls.to_come(call).is_some());
                    self.say_features();
                }
            }
            self.carry_out(effects);
        }
    }

    /// The manager comes and goes.
    fn heard(&mut self, heard: Heard) {
        let mut effects = Vec::new();
        match heard {
            Heard::Up => {
                let shared = self.shared.clone();
                self.questions.spawn(async move { shared.rights().await });
                self.book.resume(&mut effects);
            }
            Heard::Lost => {
                self.rights = None;
                self.say_features();
                self.book.forget_all(&mut effects);
            }
            Heard::Missed => {
                warn!(
                    "Asterisk's manager reported more than could be taken; asking for what is up"
                );
                self.book.forget_all(&mut effects);
                self.book.resume(&mut effects);
            }
            Heard::Event(_) => {}
        }
        self.carry_out(effects);
    }

    /// What can work: what the user may do, as far as it is configured.
    fn say_features(&self) {
        let may = self.rights.unwrap_or_default();
        let dials = self.config.load().dial.is_some();
        let features =
            Features { dial: may.dial && dials, dtmf: may.dtmf, transfer: may.transfer && dials };
        self.shared.exchange.set_features(features);
    }

    fn began(&mut self, call: CallId, effects: &mut Vec<Effect>) {
        let Some(entry) = self.shared.exchange.calls.get(call) else { return };
        let timeout = self.config.load().dial.as_ref().map_or(LEG_TIME, |d| d.timeout);
        let CallEntry { channel_id, direction, .. } = entry;
        let began = Began { call, channel_id: channel_id.to_string(), direction, timeout };
        self.book.began(began, Instant::now().into_std(), effects);
    }

    fn carry_out(&mut self, effects: Vec<Effect>) {
        let exchange = self.shared.exchange.clone();
        let calls = &exchange.calls;
        for effect in effects {
            match effect {
                Effect::Caller(call, caller) => {
                    let shared = self.shared.clone();
                    self.question(async move { shared.caller(call, caller).await });
                }
                Effect::AskPeer(call) => {
                    let shared = self.shared.clone();
                    self.question(async move { shared.peer_of(call).await });
                }
                Effect::HeldByFar(call, on) => {
                    calls.tell(call, CallEvent::HeldByFar(on));
                }
                Effect::Progress(call, progress) => {
                    calls.tell(call, CallEvent::Progress(progress));
                }
                Effect::ClosesFor(call, why, cause) => {
                    calls.tell(call, CallEvent::ClosesFor(why, Some(cause)));
                }
                Effect::End(call, why) => {
                    calls.tell(call, CallEvent::End(why));
                }
                Effect::PassedOn(outcome) => {
                    let Outcome { call, passer, result } = outcome;
                    info!(%call, ext = %passer.ext, ?result, "what became of a transfer");
                    self.tell_outcome(call, result);
                }
                Effect::Failed(call, why) => {
                    if calls.failed(call, Stopped::from(why)) {
                        warn!(%call, "the leg of a dialled call has not come: does the section \
                              that dial.connection names lead to this gateway?");
                    }
                }
            }
        }
    }

    fn question(&mut self, question: impl Future<Output = Learned> + Send + 'static) {
        if self.questions.len() < MAX_QUESTIONS {
            self.questions.spawn(question);
        }
    }

    /// Takes a request in.
    fn ask(&mut self, ask: Ask) {
        let Ask { ext, what, answer, login } = ask;
        let shared = self.shared.clone();
        if let Err(refused) = self.admit(&what) {
            let why = orders::ending(&refused);
            answer.give(Err(refused));
            if let What::Dial(dial) = what {
                self.shared.exchange.calls.failed(dial.call, Stopped::from(why));
            }
            return;
        }
        match what {
            What::Dtmf { call, digits } => {
                self.orders.spawn(async move {
                    answer.give(shared.dtmf(call, &digits).await);
                    None
                });
            }
            What::Join { call, with } => {
                let config = self.config.load_full();
                self.pass_on(call, &ext, login);
                self.orders.spawn(async move {
                    let result = shared.join(call, with, config.dial.as_ref()).await;
                    let joined = matches!(result, Ok(Joined::Talking));
                    answer.give(result.map(drop));
                    joined.then_some(call)
                });
            }
            What::Transfer { call, to } => match self.number(&ext, &to) {
                Ok((config, number)) => {
                    self.pass_on(call, &ext, login);
                    self.orders.spawn(async move {
                        let dial = config.dial.as_ref()?;
                        info!(%call, %ext, to = %number, "passes the call on");
                        answer.give(shared.transfer(call, dial, &number).await);
                        None
                    });
                }
                Err(refused) => answer.give(Err(refused)),
            },
            What::Dial(dial) => match self.number(&ext, &dial.to) {
                Ok((config, number)) => {
                    self.book.expect(dial.call, Instant::now().into_std());
                    self.orders.spawn(async move {
                        let settings = config.dial.as_ref()?;
                        let result = shared.dial(&dial, settings, &ext, number).await;
                        let failed = result.as_ref().err().map(orders::ending);
                        answer.give(result);
                        if let Some(why) = failed {
                            shared.exchange.calls.failed(dial.call, Stopped::from(why));
                        }
                        None
                    });
                }
                Err(refused) => {
                    let why = orders::ending(&refused);
                    answer.give(Err(refused));
                    self.shared.exchange.calls.failed(dial.call, Stopped::from(why));
                }
            },
        }
    }

    /// What becomes of this transfer, its phone wants to know: the place for it is taken before
    /// Asterisk is asked.
    fn pass_on(&mut self, call: CallId, ext: &Extension, login: LoginId) {
        match self.shared.exchange.outcome_place(ext, login) {
            Some(place) => self.outcomes.insert(call, place),
            None => self.outcomes.remove(&call),
        };
        let passer = Passer { ext: ext.clone(), login };
        self.book.pass_on(call, passer, Instant::now().into_std());
    }

    fn tell_outcome(&mut self, call: CallId, result: Result<(), Ending>) {
        if let Some(place) = self.outcomes.remove(&call) {
            place.tell(PassedOn { call, result });
        }
    }

    /// Whether a request can be carried out at all now.
    fn admit(&self, what: &What) -> Result<(), Refused> {
        let Some(may) = self.rights else {
            return Err(Refused::new(Why::Unavailable, "Asterisk's manager is not there"));
        };
        if self.orders.len() >= MAX_ORDERS {
            return Err(Refused::new(Why::Unavailable, "too much waits for Asterisk's manager"));
        }
        let (may, actions) = match what {
            What::Dial(_) => (may.dial, order::DIAL),
            What::Dtmf { .. } => (may.dtmf, order::DTMF),
            What::Transfer { .. } | What::Join { .. } => (may.transfer, order::TRANSFER),
        };
        if may {
            return Ok(());
        }
        let text = format!("the manager's user has no right to {}", actions.join(", "));
        Err(Refused::new(Why::Unavailable, text))
    }

    /// The number that a phone wants to have dialled, if it may.
    fn number(&mut self, ext: &Extension, to: &str) -> Result<(Arc<Config>, Number), Refused> {
        let config = self.config.load_full();
        let Some(dial) = &config.dial else {
            return Err(Refused::new(Why::Unavailable, "\"dial\" is not configured"));
        };
        let number = Number::parse(to)
            .map_err(|error: NotANumber| Refused::new(Why::BadNumber, error.to_string()))?;
        if !dial.allow.allows(number.as_str()) {
            info!(%ext, to = %number, "not dialled: dial.allow does not allow it");
            return Err(Refused::new(Why::Forbidden, "this number may not be dialled"));
        }
        self.allow(ext, dial)?;
        Ok((config, number))
    }

    fn allow(&mut self, ext: &Extension, dial: &DialSettings) -> Result<(), Refused> {
        let now = Instant::now().into_std();
        self.allowance.take(ext, dial.per_hour, now).map_err(|UsedUp(wait)| {
            warn!(%ext, per_hour = dial.per_hour, "not dialled: dial.per_hour is used up");
            let text = "this extension has opened as many calls as it may in an hour";
            Refused { why: Why::RateLimited, message: text.to_owned(), retry_after: Some(wait) }
        })
    }
}
