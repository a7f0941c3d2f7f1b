//! One WebSocket with one owner: messages in, messages out, nothing unbounded, nothing that waits
//! for a slow peer while it should be reading.
//!
//! The owner polls [`Wire::poll_turn`] all the time; it reads, and in passing writes what
//! [`Wire::send`] took. It is cancel-safe: a turn that is dropped loses nothing. Each message is
//! one frame and one write, because Asterisk notices only one for each readiness, and reads a
//! frame that has come in part with a channel locked.

use std::{
    collections::VecDeque,
    future::poll_fn,
    io,
    mem::MaybeUninit,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{
    bell::Bell,
    ws::{Decoder, Farewell, MAX_HEAD, Peer, Violation, put},
};

pub use super::ws::Message;

/// Read at once: six frames of audio. It lies on the stack, so that an idle phone has no buffer;
/// a read that doesn't fill it tells that there is no more, and saves the one that would find out.
const READ: usize = 4 * 1024;
/// Frames up to this length are made on the stack, which is in the processor's cache where a buffer
/// of each connection's own isn't: audio of 20 ms, and every command.
const AT_ONCE: usize = 1024;
/// A buffer for longer ones is kept up to this size: audio of any length that is in use.
const KEEP: usize = 4 * 1024;
/// Messages that may wait for a peer that doesn't read, before the connection counts as dead.
/// Control messages only, so a handful is much.
const OUT_MESSAGES: usize = 32;
/// How long a goodbye may take.
const CLOSE_TIME: Duration = Duration::from_secs(1);

/// A WebSocket over any stream. In a box: it would be copied into every state that a task's future
/// has.
#[derive(Debug)]
pub struct Wire<S>(Box<Socket<S>>);

#[derive(Debug)]
struct Socket<S> {
    stream: S,
    incoming: Incoming,
    outgoing: Outgoing,
    /// A message was refused: the connection has failed its owner.
    overflowed: bool,
    /// A write has failed. What the peer said before is still read.
    broken: bool,
    closed: bool,
    /// Rings when there may be something to read; a wake-up to write costs no read.
    readable: Bell,
}

#[derive(Debug)]
struct Incoming {
    decoder: Decoder,
    /// What was read and not decoded yet.
    rest: Bytes,
}

#[derive(Debug, Default)]
struct Outgoing {
    queue: VecDeque<Message>,
    /// The answer to the newest ping; one is enough (RFC 6455, 5.5.3).
    pong: Option<Bytes>,
    /// The frame that could not be written at once, and how much of it is.
    frame: Vec<u8>,
    written: usize,
    /// A frame was handed to TLS, which may hold it still.
    flushing: bool,
    /// A client's.
    keys: Option<Keys>,
}

/// Keys to mask frames with, which nobody can foresee (RFC 6455, 10.3).
#[derive(Debug, Default)]
struct Keys {
    pool: Vec<u8>,
}

impl Keys {
    /// Random bytes are fetched for this many frames at once.
    const AT_ONCE: usize = 64;

    fn next(&mut self) -> [u8; 4] {
        if self.pool.len() < 4 {
            self.pool.resize(4 * Self::AT_ONCE, 0);
            // It doesn't fail; if it did, the mask would be no secret, which only an old proxy in
            // between would mind.
            let _ = aws_lc_rs::rand::fill(&mut self.pool);
        }
        let key = self.pool.split_off(self.pool.len() - 4);
        key.try_into().unwrap_or_default()
    }
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

/// Why no message comes any more.
enum End {
    Lost,
    Violation(Violation),
}

impl<S> Wire<S>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    /// A server's side of a connection whose upgrade is done. `rest` was read beyond it;
    /// `max_message` is the longest message that is taken, in bytes.
    pub fn server(stream: S, rest: impl Into<Bytes>, max_message: usize) -> Self {
        Self::new(stream, rest.into(), Decoder::new(Peer::Client, max_message), None)
    }

    /// The same at a client's side: what is written is masked.
    pub fn client(stream: S, rest: impl Into<Bytes>, max_message: usize) -> Self {
        let keys = Some(Keys::default());
        Self::new(stream, rest.into(), Decoder::new(Peer::Server, max_message), keys)
    }

    fn new(stream: S, rest: Bytes, decoder: Decoder, keys: Option<Keys>) -> Self {
        Self(Box::new(Socket {
            stream,
            incoming: Incoming { decoder, rest },
            outgoing: Outgoing { keys, ..Outgoing::default() },
            overflowed: false,
            broken: false,
            closed: false,
            readable: Bell::default(),
        }))
    }

    /// Hands a message over for writing; it leaves with the next turn. A message of more than
    /// [`OUT_MESSAGES`] in waiting is refused.
    pub fn send(&mut self, message: Message) -> Result<(), Overflow> {
        let this = &mut *self.0;
        if this.outgoing.queue.len() >= OUT_MESSAGES {
            this.overflowed = true;
            return Err(Overflow);
        }
        this.outgoing.queue.push_back(message);
        Ok(())
    }

    /// How many messages wait to be written.
    pub fn waiting(&self) -> usize {
        self.0.outgoing.queue.len()
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
        this.outgoing.queue.push_back(Message::Close(Some(farewell)));
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
        if !self.readable.has_rung(cx) && !self.broken {
            return Poll::Pending;
        }
        let read_cx = &mut Context::from_waker(self.readable.waker());
        let read = match self.incoming.poll(&mut self.stream, read_cx) {
            Poll::Ready(read) => read,
            // Nothing that it said before is left.
            Poll::Pending if self.broken => return self.over(Closed::Lost),
            Poll::Pending => return Poll::Pending,
        };
        self.readable.stays_rung();
        Poll::Ready(match read {
            Ok(Message::Text(text)) => Turn::Text(text),
            Ok(Message::Binary(bytes)) => Turn::Binary(bytes),
            Ok(Message::Pong(payload)) => Turn::Pong(payload),
            Ok(Message::Ping(payload)) => {
                self.outgoing.pong = Some(payload);
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
        self.outgoing.queue.push_back(Message::Close(farewell));
        let _ = self.poll_write(cx);
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.broken || ready!(self.outgoing.poll(&mut self.stream, cx)).is_err() {
            self.broken = true;
            self.outgoing = Outgoing::default();
        }
        Poll::Ready(())
    }
}

impl Incoming {
    /// The next message.
    fn poll<S>(&mut self, stream: &mut S, cx: &mut Context<'_>) -> Poll<Result<Message, End>>
    where
        S: AsyncRead + Unpin,
    {
        loop {
            if !self.rest.is_empty() {
                let mut bytes = &self.rest[..];
                let message = self.decoder.take(&mut bytes);
                let taken = self.rest.len() - bytes.len();
                self.rest.advance(taken);
                if self.rest.is_empty() {
                    self.rest = Bytes::new();
                }
                if let Some(message) = message.transpose() {
                    return Poll::Ready(message.map_err(End::Violation));
                }
            }
            let mut space = [const { MaybeUninit::uninit() }; READ];
            let mut space = ReadBuf::uninit(&mut space);
            let read = ready!(Pin::new(&mut *stream).poll_read(cx, &mut space));
            let mut bytes = space.filled();
            if read.is_err() || bytes.is_empty() {
                return Poll::Ready(Err(End::Lost));
            }
            let message = self.decoder.take(&mut bytes);
            if !bytes.is_empty() {
                self.rest = Bytes::copy_from_slice(bytes);
            }
            if let Some(message) = message.transpose() {
                return Poll::Ready(message.map_err(End::Violation));
            }
        }
    }
}

impl Outgoing {
    /// Writes all that waits, one frame after the other.
    fn poll<S>(&mut self, stream: &mut S, cx: &mut Context<'_>) -> Poll<io::Result<()>>
    where
        S: AsyncWrite + Unpin,
    {
        loop {
            while self.written < self.frame.len() {
                let unsent = &self.frame[self.written..];
                match ready!(Pin::new(&mut *stream).poll_write(cx, unsent))? {
                    0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                    written => self.written += written,
                }
                self.flushing = true;
            }
            if self.flushing {
                ready!(Pin::new(&mut *stream).poll_flush(cx))?;
                self.flushing = false;
            }
            if self.written > 0 {
                self.frame.clear();
                self.frame.shrink_to(KEEP);
                self.written = 0;
            }
            let pong = self.pong.take().map(Message::Pong);
            let Some(message) = pong.or_else(|| self.queue.pop_front()) else {
                return Poll::Ready(Ok(()));
            };
            let key = self.keys.as_mut().map(Keys::next);
            if MAX_HEAD + message.length() > AT_ONCE {
                put(&message, key, &mut self.frame);
                continue;
            }
            let mut space = [0; AT_ONCE];
            let mut room = &mut space[..];
            put(&message, key, &mut room);
            let length = AT_ONCE - room.len();
            let poll = Pin::new(&mut *stream).poll_write(cx, &space[..length])?;
            let written = if let Poll::Ready(written) = poll { written } else { 0 };
            self.flushing = poll.is_ready();
            self.frame.extend_from_slice(&space[written..length]);
            ready!(poll.map(|_| ()));
        }
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
    use tokio_tungstenite::{
        WebSocketStream,
        tungstenite::{Message as Theirs, protocol::Role},
    };

    use super::*;

    /// A peer that says this and notes each write; its kernel takes `room` bytes at a time.
    #[derive(Default)]
    struct Script {
        says: VecDeque<Vec<u8>>,
        writes: Vec<Vec<u8>>,
        room: usize,
        is_gone: bool,
    }

    impl AsyncRead for Script {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            space: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            match self.says.pop_front() {
                Some(said) => space.put_slice(&said),
                None => return Poll::Pending,
            }
            Poll::Ready(Ok(()))
        }
    }

    impl AsyncWrite for Script {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            if self.is_gone {
                return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
            }
            let taken = bytes.len().min(self.room);
            self.writes.push(bytes[..taken].to_vec());
            Poll::Ready(Ok(taken))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    fn said(messages: &[Message]) -> Vec<u8> {
        let mut bytes = Vec::new();
        messages.iter().for_each(|message| put(message, Some([1, 2, 3, 4]), &mut bytes));
        bytes
    }

    fn turns(wire: &mut Wire<Script>) -> Vec<Turn> {
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let mut turns = Vec::new();
        while let Poll::Ready(turn) = wire.poll_turn(&mut cx) {
            turns.push(turn);
        }
        turns
    }

    #[test]
    fn each_message_is_one_write_and_a_pong_is_one_of_them() {
        let script = Script {
            says: [said(&[Message::Ping(Bytes::from_static(b"?"))])].into(),
            room: usize::MAX,
            ..Script::default()
        };
        let mut wire = Wire::server(script, Bytes::new(), 1000);
        wire.send(Message::Binary(vec![1; 640].into())).expect("room");
        wire.send(Message::text("ANSWER")).expect("room");
        assert_eq!(turns(&mut wire), [Turn::Alive]);
        let lengths: Vec<usize> = wire.0.stream.writes.iter().map(Vec::len).collect();
        assert_eq!(lengths, [644, 8, 3]);
    }

    #[test]
    fn what_the_kernel_takes_in_parts_arrives_whole() {
        let script = Script { room: 100, ..Script::default() };
        let mut wire = Wire::server(script, Bytes::new(), 1000);
        wire.send(Message::Binary(vec![1; 640].into())).expect("room");
        wire.send(Message::text("ANSWER")).expect("room");
        assert_eq!(turns(&mut wire), []);
        let mut whole = Vec::new();
        put(&Message::Binary(vec![1; 640].into()), None, &mut whole);
        put(&Message::text("ANSWER"), None, &mut whole);
        assert_eq!(wire.0.stream.writes.concat(), whole);
    }

    #[test]
    fn what_the_peer_said_before_it_was_gone_is_heard() {
        // Asterisk says CLOSE and is gone within the same millisecond.
        let audio = Bytes::from_static(b"audio");
        let messages = [Message::Binary(audio.clone()), Message::Close(None)];
        for (messages, end) in [(&messages[..], Closed::InOrder), (&messages[..1], Closed::Lost)] {
            let script =
                Script { is_gone: true, says: [said(messages)].into(), ..Script::default() };
            let mut wire = Wire::server(script, Bytes::new(), 1000);
            wire.send(Message::text("ANSWER")).expect("room");
            assert_eq!(turns(&mut wire), [Turn::Binary(audio.clone()), Turn::Closed(end)]);
        }
    }

    #[test]
    fn a_peer_is_told_how_it_ended() {
        let farewell =
            |code, reason: &str| Message::Close(Some(Farewell { code, reason: reason.into() }));
        let long = Message::Binary(vec![0; 1001].into());
        let violation = Violation::TooLong.as_str();
        for (says, end, told) in [
            (farewell(4000, "so"), Closed::InOrder, farewell(4000, "")),
            (Message::Close(None), Closed::InOrder, Message::Close(None)),
            (long, Closed::Violation(violation), farewell(1009, violation)),
        ] {
            let script =
                Script { room: usize::MAX, says: [said(&[says])].into(), ..Script::default() };
            let mut wire = Wire::server(script, Bytes::new(), 1000);
            assert_eq!(turns(&mut wire), [Turn::Closed(end)]);
            let mut frame = Vec::new();
            put(&told, None, &mut frame);
            assert_eq!(wire.0.stream.writes, [frame]);
        }
    }

    #[test]
    fn what_came_with_the_upgrade_or_in_one_read_is_heard_in_order() {
        let texts = ["a", "b", "c", "d"].map(Message::text);
        let all = said(&texts);
        let script = Script { says: [all[10..].to_vec()].into(), ..Script::default() };
        let mut wire = Wire::server(script, all[..10].to_vec(), 1000);
        assert_eq!(turns(&mut wire), ["a", "b", "c", "d"].map(|t| Turn::Text(t.into())));
    }

    #[tokio::test]
    async fn a_message_as_long_as_may_be_read_can_be_sent_and_takes_nothing_with_it() {
        const LIMIT: usize = 65_500;
        let (ours, theirs) = tokio::io::duplex(1024);
        let mut wire = Wire::server(ours, Bytes::new(), LIMIT);
        let mut peer = WebSocketStream::from_raw_socket(theirs, Role::Client, None).await;
        let long = Bytes::from(vec![7; LIMIT]);
        wire.send(Message::Binary(long.clone())).expect("room");
        wire.send(Message::text("HANGUP")).expect("room");
        let read = async {
            assert_eq!(
                peer.next().await.expect("a message").expect("in order"),
                Theirs::Binary(long)
            );
            let after = peer.next().await.expect("a message").expect("in order");
            assert_eq!(after, Theirs::text("HANGUP"));
            peer.send(Theirs::text("ANSWER")).await.expect("sent");
        };
        let (turn, ()) = tokio::join!(wire.turn(), read);
        assert_eq!(turn, Turn::Text("ANSWER".into()));
        assert_eq!(wire.waiting(), 0);
    }
}
