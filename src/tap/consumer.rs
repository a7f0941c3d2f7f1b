//! One connection of a stream, from its first try to its end.
//!
//! It takes from its queue only what the socket takes from it, so whoever reads slowly loses the
//! oldest audio, and nobody else loses anything. It tries again where that makes sense: not after a
//! refusal (4xx), and not for ever.

mod status;

use std::{
    future::poll_fn,
    sync::{Arc, Mutex, atomic::Ordering},
    task::Poll,
    time::Duration,
};

use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::{
    dialect::{self, Context, Msg, Voice},
    event::StopReason,
    facts::{CallFacts, StreamId},
    queue::Item,
    spec::{Dialect, StreamSpec},
    template::Template,
    view::StreamState,
};
use crate::net::{
    dial::{self, DialError, Outgoing},
    wire::{Closed, Message, Turn},
};
pub use status::{Status, Teller};

/// Slots that wait for a consumer: two seconds. What is older is worth less than what is new.
pub const QUEUE: usize = 100;
/// Messages that are handed to a socket before it has written them.
const IN_FLIGHT: usize = 4;
/// How long a consumer may take nothing at all before its connection counts as lost.
const STALL: Duration = Duration::from_secs(10);
/// How long a consumer has to take what is left when the call is over.
const REST: Duration = Duration::from_secs(5);
/// A connection that lived this long was a good one: tries are counted anew.
const STEADY: Duration = Duration::from_secs(10);
/// Pauses between tries: the first, and the longest.
const PAUSE: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));
/// Longest message of a consumer; they have little to say.
const MAX_MESSAGE: usize = 64 * 1024;

/// All that a connection needs.
#[derive(Debug)]
pub struct Consumer {
    pub spec: Arc<StreamSpec>,
    pub url: Template,
    pub facts: Arc<CallFacts>,
    pub stream: StreamId,
    pub base: u64,
    pub by: String,
    pub status: Arc<Status>,
    /// Cancelled when it is stopped at once; that the queue is closed says that it ends in order.
    pub stop: CancellationToken,
    /// Why the queue was closed.
    pub ending: Arc<Mutex<StopReason>>,
    pub events: Teller,
}

/// How one connection ended.
enum Over {
    /// The queue is at its end and all was said.
    InOrder,
    /// The consumer said CLOSE.
    ClosedByConsumer,
    Lost(String),
    Stopped,
}

impl Consumer {
    /// Serves the consumer to the stream's end.
    pub async fn run(self) {
        let mut failures = 0;
        let mut last_sent = None;
        loop {
            let tried = tokio::select! {
                biased;
                () = self.stop.cancelled() => return self.stopped(),
                tried = timeout(self.spec.reach.connect_timeout, self.dial()) => tried,
            };
            let error = match tried {
                Ok(Ok(wire)) => {
                    let began = Instant::now();
                    let over = self.converse(wire, &mut last_sent).await;
                    if began.elapsed() >= STEADY {
                        failures = 0;
                    }
                    match over {
                        Over::InOrder | Over::Stopped => return self.stopped(),
                        // Where the format has a stream of one connection, a CLOSE is its end.
                        Over::ClosedByConsumer if !matches!(self.spec.dialect, Dialect::Raw(_)) => {
                            return self.over(StopReason::ConsumerClosed);
                        }
                        Over::ClosedByConsumer => "the consumer closed the connection".to_owned(),
                        Over::Lost(why) => why,
                    }
                }
                Ok(Err(error)) => {
                    if is_final(&error) {
                        return self.failed(error.to_string());
                    }
                    error.to_string()
                }
                Err(_) => "no connection in time".to_owned(),
            };
            failures += 1;
            if failures > self.spec.reach.attempts {
                return self.failed(error);
            }
            if self.status.queue.is_closed() {
                // The call is over, and nobody waits for the rest.
                return self.stopped();
            }
            self.wait(&error, failures).await;
        }
    }

    async fn wait(&self, error: &str, failures: u32) {
        {
            let mut inner = self.status.inner();
            if inner.error != error {
                let (stream, name) = (self.stream, &self.spec.name);
                info!(call = %self.facts.call_id, %stream, %name, %error, "stream: trying again");
            }
            inner.state = StreamState::Waiting;
            inner.error = error.to_owned();
        }
        let pause = PAUSE.0.saturating_mul(1 << failures.saturating_sub(1).min(10)).min(PAUSE.1);
        tokio::select! {
            () = self.stop.cancelled() => {}
            () = sleep(pause) => {}
        }
        self.status.set(StreamState::Connecting);
    }

    async fn dial(&self) -> Result<Outgoing, DialError> {
        let side = self.status.side;
        let filled = self.url.fill(&self.facts, side);
        let uri = filled.map_err(|_| DialError::Upgrade("the URL can't be filled in"))?;
        let (query, own) = dialect::handshake(&self.spec.dialect, &self.facts, &uri.to_string());
        let uri = with_query(uri, &query)?;
        let mut headers: Vec<(String, String)> =
            own.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let configured = self.spec.reach.headers.iter();
        headers.extend(configured.map(|(name, value)| (name.clone(), value.expose().to_owned())));
        let protocol = self.spec.reach.protocol.as_deref();
        let tls = self.spec.reach.tls.clone();
        dial::websocket(&uri, &headers, protocol, tls, MAX_MESSAGE).await
    }

    /// One connection, until one of both has enough. `last_sent` is the newest slot that any
    /// connection of this stream was sent.
    async fn converse(&self, mut wire: Outgoing, last_sent: &mut Option<u64>) -> Over {
        let queue = &self.status.queue;
        let gap_ms = last_sent.map(|last| {
            let next = queue.first_slot().unwrap_or(last + 1);
            next.saturating_sub(last + 1) * 20
        });
        let context = Context {
            facts: &self.facts,
            stream: self.stream.0,
            side: self.status.side,
            base: self.base,
            gap_ms,
        };
        let mut voice = Voice::new(&self.spec.dialect, &context);
        self.connected(gap_ms);
        let mut said = Vec::new();
        for message in voice.opening() {
            let _ = wire.send(message.into());
        }
        let mut moved = Instant::now();
        let mut rest_until = None;
        let over = loop {
            // What the socket has room for.
            while wire.waiting() < IN_FLIGHT {
                moved = Instant::now();
                match queue.take() {
                    Ok(item) => {
                        voice.item(&item, &mut said);
                        if let Item::Slot(both) = &item {
                            *last_sent = Some(both.wide.index);
                            self.status.sent.fetch_add(1, Ordering::Relaxed);
                        }
                        for message in said.drain(..) {
                            let _ = wire.send(message.into());
                        }
                    }
                    Err(true) => break,
                    Err(false) => {
                        self.say_goodbye(wire, &mut voice, *last_sent).await;
                        return Over::InOrder;
                    }
                }
            }
            if queue.is_closed() {
                rest_until.get_or_insert_with(|| Instant::now() + REST);
            }
            let full = wire.waiting() >= IN_FLIGHT;
            let deadline = match rest_until {
                Some(rest) => rest.min(moved + STALL),
                None => moved + STALL,
            };
            let step = poll_fn(|cx| match wire.poll_turn(cx) {
                Poll::Ready(turn) => Poll::Ready(Some(turn)),
                Poll::Pending if full && wire.waiting() < IN_FLIGHT => Poll::Ready(None),
                Poll::Pending => Poll::Pending,
            });
            tokio::select! {
                biased;
                () = self.stop.cancelled() => break Over::Stopped,
                step = step => match step {
                    None => {} // there is room again
                    Some(Turn::Text(text)) => {
                        if let Some(message) = voice.answer(&text)
                            && wire.send(message.into()).is_err()
                        {
                            break Over::Lost("it sends more than it reads".to_owned());
                        }
                    }
                    Some(Turn::Binary(_) | Turn::Pong(_) | Turn::Alive) => {}
                    Some(Turn::Closed(Closed::InOrder)) => break Over::ClosedByConsumer,
                    Some(Turn::Closed(closed)) => break Over::Lost(closed.as_str().to_owned()),
                },
                () = queue.news(), if !full => {}
                () = tokio::time::sleep_until(deadline), if full || rest_until.is_some() => {
                    break Over::Lost("it reads nothing".to_owned());
                }
            }
        };
        if matches!(over, Over::Stopped) {
            self.say_goodbye(wire, &mut voice, *last_sent).await;
        } else {
            wire.close(1000, "").await;
        }
        over
    }

    async fn say_goodbye(&self, mut wire: Outgoing, voice: &mut Voice, last_sent: Option<u64>) {
        let slots = last_sent.map_or(0, |last| (last + 1).saturating_sub(self.base));
        let end = humantime::format_rfc3339_seconds(super::event::now()).to_string();
        for message in voice.closing(slots, &end) {
            let _ = wire.send(message.into());
        }
        wire.close(1000, "").await;
    }
}

impl Drop for Consumer {
    /// Also where its task fails: nothing is queued for nobody.
    fn drop(&mut self) {
        if !self.status.is_over() {
            self.status.set(StreamState::Failed);
        }
        self.status.queue.close();
        self.status.queue.clear();
    }
}

/// Whether trying again would be a nuisance: the consumer has understood and said no, or somebody has
/// to change a certificate first.
fn is_final(error: &DialError) -> bool {
    match error {
        DialError::Status(status) => {
            (300..500).contains(status) && ![408, 425, 429].contains(status)
        }
        DialError::Certificate(_) => true,
        _ => false,
    }
}

fn with_query(uri: hyper::Uri, query: &[(String, String)]) -> Result<hyper::Uri, DialError> {
    if query.is_empty() {
        return Ok(uri);
    }
    let pairs: Vec<String> = query
        .iter()
        .map(|(name, value)| {
            format!("{}={}", super::template::percent(name), super::template::percent(value))
        })
        .collect();
    let text = uri.to_string();
    let joint = if uri.query().is_some() { '&' } else { '?' };
    let path = if uri.path().is_empty() { "/" } else { "" };
    format!("{text}{path}{joint}{}", pairs.join("&"))
        .parse()
        .map_err(|_| DialError::Upgrade("the URL can't be filled in"))
}

impl From<Msg> for Message {
    fn from(message: Msg) -> Self {
        match message {
            Msg::Text(text) => Message::Text(text),
            Msg::Binary(bytes) => Message::Binary(bytes),
        }
    }
}
