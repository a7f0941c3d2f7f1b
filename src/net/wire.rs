//! One WebSocket with one owner: messages in, messages out, nothing unbounded, nothing that waits
//! for a slow peer while it should be reading.
//!
//! The owner polls [`Wire::poll_turn`] all the time; it reads, and in passing writes what
//! [`Wire::send`] took. It is cancel-safe: a turn that is dropped loses nothing.

use std::{
    collections::VecDeque,
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{Sink, Stream};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Error, Message, Utf8Bytes,
        protocol::{CloseFrame, Role, WebSocketConfig, frame::coding::CloseCode},
    },
};

use super::bell::Bell;

/// Read at once: six frames of audio. The library's default of 128 KiB is zeroed for each read, and
/// at three frames every third is read in two pieces, which costs a system call each.
pub const READ_PLAIN: usize = 4 * 1024;
/// The same under TLS, where a read in two pieces costs no system call and idle phones are many.
pub const READ_TLS: usize = 2 * 1024;
/// What is gathered before it is written; each message is flushed by itself.
const WRITE_BUFFER: usize = 2 * 1024;
/// Messages that may wait for a peer that doesn't read, before the connection counts as dead.
/// Control messages only, so a handful is much.
const OUT_MESSAGES: usize = 32;
/// Bytes that may wait inside the library beyond the longest message: a pong, a close. One message
/// at a time is in there; one that doesn't fit would be lost without an error.
const OUT_BYTES: usize = 4 * 1024;
/// How long a goodbye may take.
const CLOSE_TIME: Duration = Duration::from_secs(1);

/// A WebSocket over any stream.
#[derive(Debug)]
pub struct Wire<S> {
    /// In a box: it would be copied into every state that a task's future has.
    ws: Box<WebSocketStream<S>>,
    out: VecDeque<Message>,
    flushing: bool,
    /// A message was refused: the connection has failed its owner.
    overflowed: bool,
    closed: bool,
    /// Rings when there may be something to read; a wake-up to write costs no read.
    readable: Bell,
}

/// What a turn brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Turn {
    Text(Utf8Bytes),
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
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    /// A server's side of a connection whose upgrade is done. `rest` was read beyond it,
    /// `read` is how much to read at once.
    pub async fn server(stream: S, rest: Vec<u8>, max_message: usize, read: usize) -> Self {
        Self::new(stream, rest, Role::Server, max_message, read).await
    }

    async fn new(stream: S, rest: Vec<u8>, role: Role, max_message: usize, read: usize) -> Self {
        let config = WebSocketConfig::default()
            .read_buffer_size(read)
            .write_buffer_size(WRITE_BUFFER)
            .max_write_buffer_size(WRITE_BUFFER + max_message + OUT_BYTES)
            .max_message_size(Some(max_message))
            .max_frame_size(Some(max_message));
        let ws = WebSocketStream::from_partially_read(stream, rest, role, Some(config)).await;
        Self {
            ws: Box::new(ws),
            out: VecDeque::new(),
            flushing: false,
            overflowed: false,
            closed: false,
            readable: Bell::default(),
        }
    }

    /// Hands a message over for writing; it leaves with the next turn. A message of more than
    /// [`OUT_MESSAGES`] in waiting is refused.
    pub fn send(&mut self, message: Message) -> Result<(), Overflow> {
        if self.out.len() >= OUT_MESSAGES {
            self.overflowed = true;
            return Err(Overflow);
        }
        self.out.push_back(message);
        Ok(())
    }

    /// How many messages wait to be written.
    pub fn waiting(&self) -> usize {
        self.out.len()
    }

    /// Writes what waits, as far as the peer takes it. An error shows in the next turn.
    pub fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if self.flushing {
                match Pin::new(&mut *self.ws).poll_flush(cx) {
                    Poll::Ready(_) => self.flushing = false,
                    Poll::Pending => return Poll::Pending,
                }
            }
            let Some(message) = self.out.pop_front() else { return Poll::Ready(()) };
            // One write for each message: Asterisk notices only one frame for each readiness.
            if Pin::new(&mut *self.ws).start_send(message).is_err() {
                self.out.clear();
                return Poll::Ready(());
            }
            self.flushing = true;
        }
    }

    /// The next message. Writes in passing.
    pub fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<Turn> {
        if self.closed {
            return Poll::Pending;
        }
        if self.overflowed {
            return self.over(Closed::Stalled);
        }
        let _ = self.poll_write(cx);
        if !self.readable.has_rung(cx) {
            return Poll::Pending;
        }
        let mut read_cx = Context::from_waker(self.readable.waker());
        let Poll::Ready(read) = Pin::new(&mut *self.ws).poll_next(&mut read_cx) else {
            return Poll::Pending;
        };
        self.readable.stays_rung();
        let turn = match read {
            Some(Ok(message)) => message,
            None => return self.over(Closed::InOrder),
            Some(Err(error)) => {
                let closed = classify(&error);
                if let Closed::Violation(what) = closed {
                    self.say_violation(cx, &error, what);
                }
                return self.over(closed);
            }
        };
        Poll::Ready(match turn {
            Message::Text(text) => Turn::Text(text),
            Message::Binary(bytes) => Turn::Binary(bytes),
            Message::Pong(payload) => Turn::Pong(payload),
            Message::Ping(_) | Message::Frame(_) => {
                // The library has queued the pong; have it written.
                self.flushing = true;
                let _ = self.poll_write(cx);
                Turn::Alive
            }
            Message::Close(_) => {
                self.flushing = true;
                let _ = self.poll_write(cx);
                return self.over(Closed::InOrder);
            }
        })
    }

    /// The next message.
    pub async fn turn(&mut self) -> Turn {
        poll_fn(|cx| self.poll_turn(cx)).await
    }

    /// Writes what waits, says CLOSE, and waits a moment for the peer's. For the end of a task.
    pub async fn close(mut self, code: u16, reason: &'static str) {
        if self.closed {
            return;
        }
        let frame = CloseFrame { code: CloseCode::from(code), reason: reason.into() };
        self.out.push_back(Message::Close(Some(frame)));
        let goodbye = poll_fn(|cx| {
            let _ = self.poll_write(cx);
            loop {
                match Pin::new(&mut *self.ws).poll_next(cx) {
                    Poll::Ready(Some(Ok(_))) => {}
                    Poll::Ready(_) => return Poll::Ready(()),
                    Poll::Pending => return Poll::Pending,
                }
            }
        });
        let _ = tokio::time::timeout(CLOSE_TIME, goodbye).await;
    }

    fn over(&mut self, closed: Closed) -> Poll<Turn> {
        self.closed = true;
        Poll::Ready(Turn::Closed(closed))
    }

    fn say_violation(&mut self, cx: &mut Context<'_>, error: &Error, what: &'static str) {
        let code = match error {
            Error::Capacity(_) => CloseCode::Size,
            Error::Utf8(_) => CloseCode::Invalid,
            _ => CloseCode::Protocol,
        };
        let frame = CloseFrame { code, reason: what.into() };
        let _ = Pin::new(&mut *self.ws).start_send(Message::Close(Some(frame)));
        let _ = Pin::new(&mut *self.ws).poll_flush(cx);
    }
}

fn classify(error: &Error) -> Closed {
    use tokio_tungstenite::tungstenite::error::ProtocolError;
    match error {
        Error::Capacity(_) => Closed::Violation("message too long"),
        Error::Utf8(_) => Closed::Violation("text that is not UTF-8"),
        Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => Closed::Lost,
        Error::Protocol(_) => Closed::Violation("not the WebSocket protocol"),
        Error::ConnectionClosed | Error::AlreadyClosed => Closed::InOrder,
        _ => Closed::Lost,
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
mod tests {
    use futures_util::{SinkExt, StreamExt};

    use super::*;

    #[tokio::test]
    async fn a_message_as_long_as_may_be_read_can_be_sent_and_takes_nothing_with_it() {
        const LIMIT: usize = 65_500;
        let (ours, theirs) = tokio::io::duplex(1024);
        let mut wire = Wire::server(ours, Vec::new(), LIMIT, READ_PLAIN).await;
        let mut peer = WebSocketStream::from_raw_socket(theirs, Role::Client, None).await;
        let long = Message::Binary(vec![7; LIMIT].into());
        wire.send(long.clone()).expect("room");
        wire.send(Message::text("HANGUP")).expect("room");
        let read = async {
            assert_eq!(peer.next().await.expect("a message").expect("in order"), long);
            let after = peer.next().await.expect("a message").expect("in order");
            assert_eq!(after, Message::text("HANGUP"));
            peer.send(Message::text("ANSWER")).await.expect("sent");
        };
        let (turn, ()) = tokio::join!(wire.turn(), read);
        assert_eq!(turn, Turn::Text("ANSWER".into()));
        assert_eq!(wire.waiting(), 0);
    }
}
