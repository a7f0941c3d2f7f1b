//! Bytes of a socket into messages.

use std::{
    cell::RefCell,
    mem::MaybeUninit,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, ReadBuf};

use crate::net::ws::{Decoder, Message, Violation};

/// Read at once: six frames of audio. It lies on the stack, so that an idle phone has no buffer;
/// a read that doesn't fill it tells that there is no more, and saves the one that would find out.
const READ: usize = 4 * 1024;
/// Room for so much audio is made at once, for all connections of a thread: what was read just now
/// by another is in the processor's cache, where a buffer of each connection's own isn't. A frame
/// that waits somewhere keeps no more than this from being used again.
const ROOM: usize = 8 * 1024;

thread_local! {
    static FRAMES: RefCell<BytesMut> = RefCell::new(BytesMut::with_capacity(ROOM));
}

#[derive(Debug)]
#[repr(C)] // what a whole frame of audio needs comes first
pub(super) struct Incoming {
    /// There is some `rest`, which lies elsewhere.
    has_rest: bool,
    decoder: Decoder,
    /// What was read and not decoded yet.
    rest: Bytes,
}

/// Why no message comes any more.
pub(super) enum End {
    Lost,
    Violation(Violation),
}

impl Incoming {
    /// Where the decoder lies.
    #[cfg(test)]
    pub(super) const DECODER: usize = std::mem::offset_of!(Incoming, decoder);

    pub(super) fn new(decoder: Decoder, rest: Bytes) -> Self {
        Self { has_rest: !rest.is_empty(), decoder, rest }
    }

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
            if self.has_rest {
                let mut bytes = &self.rest[..];
                let message = take(&mut self.decoder, &mut bytes);
                let taken = self.rest.len() - bytes.len();
                self.rest.advance(taken);
                if self.rest.is_empty() {
                    self.rest = Bytes::new();
                    self.has_rest = false;
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
            let message = take(&mut self.decoder, &mut bytes);
            if !bytes.is_empty() {
                self.rest = Bytes::copy_from_slice(bytes);
                self.has_rest = true;
            }
            if let Some(message) = message.transpose() {
                return Poll::Ready(message.map_err(End::Violation));
            }
        }
    }
}

fn take(decoder: &mut Decoder, bytes: &mut &[u8]) -> Result<Option<Message>, Violation> {
    FRAMES.with_borrow_mut(|room| match decoder.take_whole(bytes, room) {
        Some(audio) => Ok(Some(Message::Binary(audio))),
        None => decoder.take(bytes),
    })
}
