//! Messages into bytes of a socket, one frame and one write each.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use tokio::io::AsyncWrite;

use crate::net::{
    short::ShortQueue,
    ws::{MAX_HEAD, Message, put},
};

/// Frames up to this length are made on the stack, which is in the processor's cache where a buffer
/// of each connection's own isn't: audio of 20 ms, and every command.
const AT_ONCE: usize = 1024;
/// A buffer for longer ones is kept up to this size: audio of any length that is in use.
const KEEP: usize = 4 * 1024;

#[derive(Debug, Default)]
pub(super) struct Outgoing {
    pub(super) queue: ShortQueue<Message>,
    /// The answer to the newest ping; one is enough (RFC 6455, 5.5.3).
    pub(super) pong: Option<Bytes>,
    /// The frame that could not be written at once, and how much of it is.
    frame: Vec<u8>,
    written: usize,
    /// A frame was handed to TLS, which may hold it still.
    flushing: bool,
    /// A client's.
    pub(super) keys: Option<Keys>,
}

/// Keys to mask frames with, which nobody can foresee (RFC 6455, 10.3).
#[derive(Debug, Default)]
pub(super) struct Keys {
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

impl Outgoing {
    pub(super) fn new(keys: Option<Keys>) -> Self {
        Self { keys, ..Self::default() }
    }

    /// Whether there is nothing to write.
    pub(super) fn is_idle(&self) -> bool {
        self.queue.is_empty() && self.pong.is_none() && self.frame.is_empty() && !self.flushing
    }

    /// Writes all that waits, one frame after the other.
    pub(super) fn poll<S>(&mut self, stream: &mut S, cx: &mut Context<'_>) -> Poll<io::Result<()>>
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
            let Some(message) = pong.or_else(|| self.queue.pop()) else {
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
