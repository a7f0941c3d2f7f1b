//! Bytes of a socket into messages.

use std::{
    mem::MaybeUninit,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, ReadBuf};

use crate::net::ws::{Decoder, Message, Violation};

/// Read at once: six frames of audio. It lies on the stack, so that an idle phone has no buffer;
/// a read that doesn't fill it tells that there is no more, and saves the one that would find out.
const READ: usize = 4 * 1024;

#[derive(Debug)]
pub(super) struct Incoming {
    pub(super) decoder: Decoder,
    /// What was read and not decoded yet.
    pub(super) rest: Bytes,
}

/// Why no message comes any more.
pub(super) enum End {
    Lost,
    Violation(Violation),
}

impl Incoming {
    /// The next message.
    pub(super) fn poll<S>(
        &mut self,
        stream: &mut S,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Message, End>>
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
