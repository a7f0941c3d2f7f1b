//! One WebSocket with one owner: messages in, messages out, nothing unbounded, nothing that waits
//! for a slow peer while it should be reading.
//!
//! The owner polls [`Wire::poll_turn`] whenever the socket wakes it, and after [`Wire::send`]; it
//! reads, and in passing writes what waits. It is cancel-safe: a turn that is dropped loses nothing.
//! Each message is one frame and one write, because Asterisk notices only one for each readiness,
//! and reads a frame that has come in part with a channel locked.

mod incoming;
mod outgoing;

use std::{
    future::poll_fn,
    hint::black_box,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    task::coop,
};

use self::{
    incoming::{End, Incoming},
    outgoing::{Keys, Outgoing},
};
use super::{
    reactor::{Reactor, Who},
    tcp::{Ask, Seatable},
    ws::{Decoder, Farewell, Peer},
};

pub use super::ws::Message;

/// Messages that may wait for a peer that doesn't read, before the connection counts as dead.
/// Control messages only, so a handful is much.
const OUT_MESSAGES: usize = 32;
/// How long a goodbye may take.
const CLOSE_TIME: Duration = Duration::from_secs(1);

/// A WebSocket over any stream. In a box: it would be copied into every state that a task's future
/// has.
#[derive(Debug)]
pub struct Wire<S>(Box<Socket<S>>);

/// What a frame of audio touches lies in the first line of the processor's cache.
#[derive(Debug)]
#[repr(C, align(64))]
struct Socket<S> {
    stream: S,
    /// What is written is masked.
    is_client: bool,
    /// There is something to write.
    waits: bool,
    /// A message was refused: the connection has failed its owner.
    overflowed: bool,
    /// A write has failed. What the peer said before is still read.
    broken: bool,
    closed: bool,
    incoming: Incoming,
    outgoing: Outgoing,
    /// A client's.
    keys: Keys,
}

/// What a turn brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Turn {
    Text(String),
    Binary(Bytes),
    Pong(Bytes),
    /// The peer asked something of the WebSocket layer only; it is alive.
    Alive,
    /// The connection is over; no turn comes after this one.
    Closed(Closed),
}

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closed {
    /// The peer sent CLOSE.
    InOrder,
    /// The connection broke, or ended without CLOSE.
    Lost,
    /// The peer broke the WebSocket protocol or a limit, and was told so.
    Violation(&'static str),
    /// The peer reads nothing, and too much waits for it.
    Stalled,
}

/// Too much waits for the peer; the next turn is `Closed(Stalled)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Overflow;

impl<S> Wire<S>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    /// A server's side of a connection whose upgrade is done. `rest` was read beyond it;
    /// `max_message` is the longest message that is taken, in bytes.
    pub fn server(stream: S, rest: impl Into<Bytes>, max_message: usize) -> Self {
        Self::new(stream, rest.into(), Decoder::new(Peer::Client, max_message), false)
    }

    /// The same at a client's side: what is written is masked.
    pub fn client(stream: S, rest: impl Into<Bytes>, max_message: usize) -> Self {
        Self::new(stream, rest.into(), Decoder::new(Peer::Server, max_message), true)
    }

    fn new(stream: S, rest: Bytes, decoder: Decoder, is_client: bool) -> Self {
        Self(Box::new(Socket {
            stream,
            is_client,
            waits: false,
            overflowed: false,
            broken: false,
            closed: false,
            incoming: Incoming::new(decoder, rest),
            outgoing: Outgoing::default(),
            keys: Keys::default(),
        }))
    }

    /// Hands a message over for writing; it leaves with the next turn, or [`Wire::poll_write`], which
    /// the owner owes it. A message of more than
    /// [`OUT_MESSAGES`] in waiting is refused.
    pub fn send(&mut self, message: Message) -> Result<(), Overflow> {
        let this = &mut *self.0;
        if this.outgoing.queue.len() >= OUT_MESSAGES {
            this.overflowed = true;
            return Err(Overflow);
        }
        this.push(message);
        Ok(())
    }

    /// The same, and writes it at once if nothing waits before it, which costs less. What the peer
    /// doesn't take leaves with the next turn, in which an error shows, too.
    pub fn send_now(&mut self, message: Message) -> Result<(), Overflow> {
        let this = &mut *self.0;
        if this.waits || this.broken || this.overflowed || this.closed {
            return self.send(message);
        }
        this.write(&message);
        Ok(())
    }

    /// How many messages wait to be written.
    pub fn waiting(&self) -> usize {
        if self.0.waits { self.0.outgoing.queue.len() } else { 0 }
    }

    /// Whether the next turn is the last, whatever the socket says.
    pub fn has_failed(&self) -> bool {
        self.0.overflowed || self.0.broken
    }

    /// Writes what waits, as far as the peer takes it. An error shows in the next turn.
    pub fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.0.poll_write(cx)
    }

    /// The next message. Writes in passing.
    pub fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<Turn> {
        self.0.poll_turn(cx)
    }

    /// The next message.
    pub async fn turn(&mut self) -> Turn {
        poll_fn(|cx| self.poll_turn(cx)).await
    }

    /// Writes what waits, says CLOSE, and waits a moment for the peer's. For the end of a task.
    pub async fn close(mut self, code: u16, reason: &'static str) {
        let this = &mut *self.0;
        if this.closed {
            return;
        }
        let farewell = Farewell { code, reason: reason.to_owned() };
        this.push(Message::Close(Some(farewell)));
        let goodbye = poll_fn(|cx| {
            let _ = this.poll_write(cx);
            loop {
                match ready!(this.incoming.poll(&mut this.stream, cx)) {
                    Ok(Message::Close(_)) | Err(_) => return Poll::Ready(()),
                    Ok(_) => {}
                }
            }
        });
        let _ = tokio::time::timeout(CLOSE_TIME, goodbye).await;
    }
}

impl<S: Seatable> Wire<S> {
    /// From now on `reactor` tells `who` of the socket.
    pub fn sit(&mut self, reactor: &Arc<Reactor>, who: Who) {
        self.0.stream.sit(reactor, who);
    }

    /// The runtime tells of the socket again: what it is polled with is woken.
    pub fn stand(&mut self) {
        self.0.stream.stand();
    }

    /// Looks at what the next frame touches.
    pub fn touch(&self) {
        black_box(self.0.waits);
        self.0.stream.touch();
    }

    /// Whether something was left in the socket though the last turn was none.
    pub fn leaves_some(&self) -> bool {
        self.0.stream.leaves_some()
    }

    /// How the socket is asked from now on, where a reactor tells of it.
    pub fn ask(&mut self, how: Ask) {
        self.0.stream.ask(how);
    }
}

impl<S> Socket<S>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<Turn> {
        if self.closed {
            return Poll::Pending;
        }
        if self.overflowed {
            return self.over(Closed::Stalled);
        }
        let _ = self.poll_write(cx);
        let read = match self.incoming.poll(&mut self.stream, cx) {
            Poll::Ready(read) => read,
            // Nothing that it said before is left.
            Poll::Pending if self.broken => return self.over(Closed::Lost),
            Poll::Pending => return Poll::Pending,
        };
        Poll::Ready(match read {
            Ok(Message::Text(text)) => Turn::Text(text),
            Ok(Message::Binary(bytes)) => Turn::Binary(bytes),
            Ok(Message::Pong(payload)) => Turn::Pong(payload),
            Ok(Message::Ping(payload)) => {
                self.outgoing.pong = Some(payload);
                self.waits = true;
                let _ = self.poll_write(cx);
                Turn::Alive
            }
            Ok(Message::Close(farewell)) => {
                let farewell = farewell.map(|f| Farewell { reason: String::new(), ..f });
                self.say_last(cx, farewell);
                return self.over(Closed::InOrder);
            }
            Err(End::Lost) => return self.over(Closed::Lost),
            Err(End::Violation(violation)) => {
                let (code, reason) = (violation.code(), violation.as_str());
                self.say_last(cx, Some(Farewell { code, reason: reason.to_owned() }));
                return self.over(Closed::Violation(reason));
            }
        })
    }

    fn over(&mut self, closed: Closed) -> Poll<Turn> {
        self.closed = true;
        Poll::Ready(Turn::Closed(closed))
    }

    /// CLOSE behind the message that is being written, as far as the peer takes it now.
    fn say_last(&mut self, cx: &mut Context<'_>, farewell: Option<Farewell>) {
        self.outgoing.queue.clear();
        self.push(Message::Close(farewell));
        // Nothing comes after it that could ask for more than its share.
        let _ = self.write_all(cx);
    }

    fn push(&mut self, message: Message) {
        self.outgoing.queue.push(message);
        self.waits = true;
    }

    #[inline]
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        // Most of the times that it is asked there is nothing.
        if self.waits { self.poll_write_all(cx) } else { Poll::Ready(()) }
    }

    fn poll_write_all(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        // Of the budget that reading takes its share of: a read may bring hundreds of pings, each
        // of which is answered, and other connections have their turn, too.
        ready!(coop::poll_proceed(cx)).made_progress();
        self.write_all(cx)
    }

    fn write_all(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Self { outgoing, keys, stream, is_client, .. } = self;
        let keys = is_client.then_some(keys);
        if self.broken || ready!(outgoing.poll(keys, stream, cx)).is_err() {
            self.break_off();
        }
        self.waits = false;
        Poll::Ready(())
    }

    /// Writes a message before which nothing waits. Nobody is woken for what is left of it: the next
    /// turn asks again.
    fn write(&mut self, message: &Message) {
        let cx = &mut Context::from_waker(Waker::noop());
        let Self { outgoing, keys, stream, is_client, .. } = self;
        let keys = is_client.then_some(keys);
        match outgoing.put(message, keys, stream, cx) {
            Ok(true) => {}
            Ok(false) => self.waits = true,
            Err(_) => self.break_off(),
        }
    }

    fn break_off(&mut self) {
        self.broken = true;
        self.outgoing = Outgoing::default();
    }
}

impl Closed {
    /// The name in logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Closed::InOrder => "closed",
            Closed::Lost => "connection lost",
            Closed::Violation(what) => what,
            Closed::Stalled => "peer reads nothing",
        }
    }
}

#[cfg(test)]
mod tests;
