//! What is carried out by asking the manager: one request of a phone's each, and what is to be
//! known of a call.
//!
//! Promises: requests about one call are carried out one after the other; nothing is sent twice but
//! a transfer that Asterisk refused because it came too early; an answer that didn't come is reported
//! as unknown.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::Mutex as Turn,
    time::{sleep, timeout},
};
use tracing::{info, warn};

use super::{
    book::LEG_TIME,
    order::{self, Refusal},
};
use crate::{
    asterisk::ami::{
        client::NoAnswer,
        message::{Action, LineBreak, Packet},
    },
    call::{
        CallId, Extension,
        ending::Ending,
        number::{Keys, Number},
        record::Caller,
    },
    config::DialSettings,
    exchange::{
        Exchange,
        ask::{Dial, Refused, Why},
        calls::CallEntry,
        desk::Features,
        line::CallEvent,
    },
};

/// How long the manager may take for an answer.
const ASK_TIME: Duration = Duration::from_secs(3);
/// How long a call that is given up may take to be gone; its leg closes within a second.
const GONE_TIME: Duration = Duration::from_secs(2);
/// How often that is looked at.
const GONE_EVERY: Duration = Duration::from_millis(10);
/// How often a transfer is asked for again that Asterisk refused because the two ends of the call
/// are not joined yet: for a second in all.
const JOIN_TRIES: usize = 20;
const JOIN_EVERY: Duration = Duration::from_millis(50);
/// How long a transfer whose answer is lost may still show itself by the call's end.
const DOUBT_TIME: Duration = Duration::from_secs(2);

/// What the orders share.
pub struct Shared {
    pub exchange: Arc<Exchange>,
    lines: Mutex<HashMap<CallId, Line>>,
}

/// What is kept of one call.
#[derive(Default, Clone)]
struct Line {
    /// Held by whoever asks something of this call.
    turn: Arc<Turn<()>>,
    /// What it dials, where a phone has dialled it.
    number: Option<Number>,
}

/// What a question has brought.
pub enum Learned {
    Peer(CallId, Option<String>),
    Rights(Features),
    Nothing,
}

/// How two calls were joined.
pub enum Joined {
    /// The far ends talk to each other.
    Talking,
    /// The second was not answered yet: the first was passed on to where it rang.
    PassedOn,
}

type Done = Result<(), Refused>;

impl Shared {
    pub fn new(exchange: Arc<Exchange>) -> Self {
        Self { exchange, lines: Mutex::default() }
    }

    fn lines(&self) -> MutexGuard<'_, HashMap<CallId, Line>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A call is over.
    pub fn forget(&self, call: CallId) {
        self.lines().remove(&call);
    }

    pub fn keep(&self, is_up: impl Fn(CallId) -> bool) {
        self.lines().retain(|call, _| is_up(*call));
    }

    fn line(&self, call: CallId) -> Line {
        self.lines().entry(call).or_default().clone()
    }

    fn entry(&self, call: CallId) -> Result<CallEntry, Refused> {
        let gone = || Refused::new(Why::NoSuchCall, "this call is over");
        self.exchange.calls.get(call).ok_or_else(gone)
    }

    async fn ask(&self, action: Result<Action, LineBreak>) -> Result<Packet, Refused> {
        let action = action.map_err(|error| Refused::new(Why::Failed, error.to_string()))?;
        let name = action.name();
        let mut tries = JOIN_TRIES;
        let answer = loop {
            let answer = self.exchange.ami.ask(action.clone(), ASK_TIME).await;
            let answer = answer.map_err(|error| match error {
                NoAnswer::NotSent => Refused::new(Why::Unavailable, error.to_string()),
                NoAnswer::Unknown => Refused::new(Why::Timeout, error.to_string()),
            })?;
            if answer.is_success() {
                return Ok(answer);
            }
            if tries == 0 || order::refusal(&answer) != Refusal::NotJoined {
                break answer;
            }
            tries -= 1;
            sleep(JOIN_EVERY).await;
        };
        let message = answer.get("Message");
        let why = match order::refusal(&answer) {
            Refusal::Channel => Why::NoSuchCall,
            Refusal::Number => Why::BadNumber,
            Refusal::Rights => {
                warn!(action = name, "the manager's user in manager.conf has no right to this");
                Why::Unavailable
            }
            Refusal::NotJoined | Refusal::Other => Why::Failed,
        };
        Err(Refused::new(why, format!("Asterisk: {message}")))
    }

    /// Sends keys to the far end.
    pub async fn dtmf(&self, call: CallId, digits: &str) -> Done {
        let Some(keys) = Keys::parse(digits) else {
            return Err(Refused::new(Why::BadNumber, "keys are 0-9 * # A-D, and w for a pause"));
        };
        let line = self.line(call);
        let _turn = line.turn.lock().await;
        for key in keys.iter() {
            // Looked up each time: a call that is over gets no more.
            let entry = self.entry(call)?;
            match key {
                Some(digit) => {
                    self.ask(order::key(channel(&entry), digit)).await?;
                    sleep(order::KEY_TIME + order::KEY_GAP).await;
                }
                None => sleep(order::KEY_PAUSE).await,
            }
        }
        Ok(())
    }

    /// Passes the far end of a call on.
    pub async fn transfer(&self, call: CallId, dial: &DialSettings, number: &Number) -> Done {
        let line = self.line(call);
        let _turn = line.turn.lock().await;
        let entry = self.entry(call)?;
        self.must_exist(dial, number).await?;
        self.closing(&[call], order::blind_transfer(channel(&entry), dial, number)).await
    }

    /// Joins the far ends of two calls. Where the second is not answered yet, it is given up and
    /// the first is passed on to its number.
    pub async fn join(
        &self,
        call: CallId,
        with: CallId,
        dial: Option<&DialSettings>,
    ) -> Result<Joined, Refused> {
        let (first, second) = (self.line(call.min(with)), self.line(call.max(with)));
        let _first = first.turn.lock().await;
        let _second = second.turn.lock().await;
        let (entry, other) = (self.entry(call)?, self.entry(with)?);
        let caller = self.peer(&entry).await?.ok_or_else(|| {
            Refused::new(Why::Failed, "the first call has no one other end to pass on")
        })?;
        if let Some(target) = self.peer(&other).await? {
            self.closing(&[call, with], order::join(&caller, &target)).await?;
            return Ok(Joined::Talking);
        }
        let (Some(dial), Some(number)) = (dial, self.line(with).number) else {
            return Err(Refused::new(Why::Failed, "the second call has no one other end to join"));
        };
        // First gone, then passed on: while it rings for the second call, the number is busy.
        self.exchange.calls.tell(with, CallEvent::End(Ending::Transferred));
        let gone = async {
            while self.exchange.calls.get(with).is_some() {
                sleep(GONE_EVERY).await;
            }
        };
        let _ = timeout(GONE_TIME, gone).await;
        self.closing(&[call], order::blind_transfer(channel(&entry), dial, &number)).await?;
        Ok(Joined::PassedOn)
    }

    /// Does what makes Asterisk close these calls, which are to know why.
    async fn closing(&self, calls: &[CallId], action: Result<Action, LineBreak>) -> Done {
        let tell = |why| {
            for call in calls {
                self.exchange.calls.tell(*call, CallEvent::ClosesFor(why, None));
            }
        };
        tell(Ending::Transferred);
        let result = self.ask(action).await;
        if let Err(refused) = &result {
            if refused.why == Why::Timeout {
                sleep(DOUBT_TIME).await;
            }
            tell(Ending::CallerHungUp); // as before
        }
        result.map(drop)
    }

    /// Asterisk calls a blind transfer to nowhere a success, and hangs the caller up.
    async fn must_exist(&self, dial: &DialSettings, number: &Number) -> Done {
        let answer = self.ask(order::exists(dial, number)).await?;
        if answer.get("Value") == "0" {
            let text = format!("there is no such number in the dialplan ({})", dial.context);
            return Err(Refused::new(Why::BadNumber, text));
        }
        Ok(())
    }

    /// Has Asterisk open the leg of a call, which then dials.
    pub async fn dial(
        &self,
        dial: &Dial,
        settings: &DialSettings,
        ext: &Extension,
        number: Number,
    ) -> Done {
        let variables = order::variables(settings, &dial.variables)
            .map_err(|text| Refused::new(Why::Forbidden, text))?;
        let call = dial.call;
        info!(%call, %ext, to = %number, "asks Asterisk to dial");
        let action = order::dial(settings, call, ext, &number, &variables, LEG_TIME);
        self.lines().entry(call).or_default().number = Some(number);
        let result = self.ask(action).await.map(drop);
        if result.is_err() {
            self.forget(call);
        }
        result
    }

    /// The one other end of a call, by the name of its channel.
    async fn peer(&self, entry: &CallEntry) -> Result<Option<String>, Refused> {
        let answer = self.ask(order::peer(channel(entry))).await?;
        Ok(order::only(answer.get("Value")).map(str::to_owned))
    }

    /// Who is in the bridge with a call.
    pub async fn peer_of(&self, call: CallId) -> Learned {
        let Ok(entry) = self.entry(call) else { return Learned::Nothing };
        match self.peer(&entry).await {
            Ok(peer) => Learned::Peer(call, peer),
            Err(_) => Learned::Nothing,
        }
    }

    /// Tells a call who calls, unless he wants to stay unknown.
    pub async fn caller(&self, call: CallId, caller: Caller) -> Learned {
        let Ok(entry) = self.entry(call) else { return Learned::Nothing };
        let hides = match self.ask(order::presentation(channel(&entry))).await {
            Ok(answer) => answer.get("Value").starts_with("prohib"),
            Err(_) => false, // Asterisk can't tell
        };
        if !hides {
            self.exchange.calls.tell(call, CallEvent::Caller(Box::new(caller)));
        }
        Learned::Nothing
    }

    /// What the manager's user may do.
    pub async fn rights(&self) -> Learned {
        match self.ask(Ok(Action::new("ListCommands"))).await {
            Ok(answer) => {
                let may = |actions: &[&str]| {
                    actions.iter().all(|action| answer.fields().any(|(key, _)| key == *action))
                };
                let dial = may(order::DIAL);
                let (dtmf, transfer) = (may(order::DTMF), may(order::TRANSFER));
                if !(dial && dtmf && transfer) {
                    warn!(
                        dial,
                        dtmf, transfer, "what the manager's user may do (docs/asterisk.md)"
                    );
                }
                Learned::Rights(Features { dial, dtmf, transfer })
            }
            Err(_) => Learned::Nothing,
        }
    }
}

/// What a dialled call ends for, when its request is refused.
pub fn ending(refused: &Refused) -> Ending {
    match refused.why {
        Why::BadNumber => Ending::NumberUnknown,
        _ => Ending::Failed,
    }
}

/// How the manager finds our leg: by its unique id, which doesn't change; by name where Asterisk is
/// too old to say it.
fn channel(entry: &CallEntry) -> &str {
    if entry.channel_id.is_empty() { &entry.channel } else { &entry.channel_id }
}
