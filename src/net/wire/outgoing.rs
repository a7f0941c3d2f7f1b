//! Messages into bytes of a socket, one frame and one write each.

use std::{
    io,
    mem::MaybeUninit,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use tokio::io::{AsyncWrite, ReadBuf};

use crate::net::{
    short::ShortQueue,
    ws::{MAX_HEAD, Message, put},
};

/// Frames up to this length are made on the stack, which is in the processor's cache where a buffer
/// of each connection's own isn't: audio of 20 ms, and every command.
const AT_ONCE: usize = 1024;
/// A buffer for longer ones is kept up to this size: audio of any length that is in use.
const KEEP: usize = 4 * 1024;

/// What waits. Nothing of it is touched for a frame that [`Outgoing::put`] gets rid of.
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
}

/// Keys to mask a client's frames with, which nobody can foresee (RFC 6455, 10.3).
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
    /// Writes all that waits, one frame after the other. A server has no keys.
    pub(super) fn poll<S>(
        &mut self,
        mut keys: Option<&mut Keys>,
        stream: &mut S,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>>
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
            let _ = self.put(&message, keys.as_deref_mut(), stream, cx)?;
        }
    }

    /// Writes a message while nothing else waits; false if a part of it is left, for
    /// [`Outgoing::poll`].
    pub(super) fn put<S>(
        &mut self,
        message: &Message,
        keys: Option<&mut Keys>,
        stream: &mut S,
        cx: &mut Context<'_>,
    ) -> io::Result<bool>
    where
        S: AsyncWrite + Unpin,
    {
        let key = keys.map(Keys::next);
        if MAX_HEAD + message.length() > AT_ONCE {
            put(message, key, &mut self.frame);
            return Ok(false);
        }
        let mut space = [const { MaybeUninit::uninit() }; AT_ONCE];
        let mut space = ReadBuf::uninit(&mut space);
        put(message, key, &mut space);
        let frame = space.filled();
        let written = match Pin::new(&mut *stream).poll_write(cx, frame)? {
            Poll::Ready(written) => written,
            Poll::Pending => 0,
        };
        if written < frame.len() {
            self.frame.extend_from_slice(&frame[written..]);
            return Ok(false);
        }
        let flushed = Pin::new(stream).poll_flush(cx)?.is_ready();
        if !flushed {
            self.flushing = true;
        }
        Ok(flushed)
    }
}
