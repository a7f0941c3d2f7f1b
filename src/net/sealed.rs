//! A server's TLS over any stream, without buffers of its own.
//!
//! Records are read onto the stack, opened there and handed on; what is written is sealed into a
//! buffer that all connections of a thread share. An idle phone has none, and audio touches no
//! memory that only its connection has, which would be out of the processor's cache when its turn
//! comes. Kept is only what has come of a record in part, and what the peer doesn't take.

use std::{
    cell::RefCell,
    fmt, io,
    mem::MaybeUninit,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::{Buf, BytesMut};
use rustls::{
    ServerConfig,
    server::{ServerConnectionData, UnbufferedServerConnection},
    unbuffered::{ConnectionState, EncodeError, EncodeTlsData, EncryptError, UnbufferedStatus},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Read at once: six frames of audio.
const READ: usize = 4 * 1024;
/// What may wait to be a whole record: the longest is 16 KiB and a little, and a browser's whole
/// handshake is shorter.
const MAX_REST: usize = 32 * 1024;
/// The longest plain text of a record (RFC 8446, 5.1).
const MAX_PLAIN: usize = 16 * 1024;
/// What sealing adds at most: head, nonce of TLS 1.2, type, tag.
const MAX_OVERHEAD: usize = 64;
/// Records up to this length are sealed in the shared buffer: a frame of audio of any length that
/// is in use.
const AT_ONCE: usize = 4 * 1024;

thread_local! {
    static SEALED: RefCell<Box<[u8]>> = RefCell::new(vec![0; AT_ONCE].into());
}

/// One connection whose handshake is done. What a frame of audio touches beside the session lies in
/// one line of the processor's cache.
#[repr(C, align(64))]
pub struct Sealed<S> {
    stream: S,
    /// Absent nearly always, which one look tells.
    pending: Option<Box<Pending>>,
    /// The peer has said that it says no more.
    ended: bool,
    /// It has failed. rustls must not be asked any more: what it knows places in is gone.
    over: bool,
    said_goodbye: bool,
    session: UnbufferedServerConnection,
}

/// What hasn't been done at once.
#[derive(Default)]
struct Pending {
    /// What has come of a record, and no more.
    rest: Vec<u8>,
    /// Opened, and more than the reader had room for.
    plain: BytesMut,
    /// Sealed, and not taken by the peer yet.
    unsent: BytesMut,
}

impl Pending {
    fn is_empty(&self) -> bool {
        self.rest.is_empty() && self.plain.is_empty() && self.unsent.is_empty()
    }
}

impl<S> Sealed<S>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    /// Shakes hands.
    pub async fn accept(stream: S, config: Arc<ServerConfig>) -> io::Result<Self> {
        let session = UnbufferedServerConnection::new(config).map_err(io::Error::other)?;
        let mut this =
            Self { stream, pending: None, ended: false, over: false, said_goodbye: false, session };
        let done = std::future::poll_fn(|cx| this.poll_handshake(cx)).await;
        done.map(|()| this)
    }

    fn poll_handshake(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            ready!(self.poll_unsent(cx))?;
            if !self.session.is_handshaking() {
                return Poll::Ready(Ok(()));
            }
            let mut space = [const { MaybeUninit::uninit() }; READ];
            let mut space = ReadBuf::uninit(&mut space);
            ready!(Pin::new(&mut self.stream).poll_read(cx, &mut space))?;
            if space.filled().is_empty() {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
            if let Err(error) = self.take(space.filled_mut(), &mut ReadBuf::new(&mut [])) {
                // The alert that says why, as far as the peer takes it now.
                let _ = self.poll_unsent(cx);
                return Poll::Ready(Err(error));
            }
        }
    }

    /// Looks at what the next frame touches.
    pub fn touch(&self) {
        std::hint::black_box((
            self.over,
            self.session.wants_write(),
            self.session.is_handshaking(),
        ));
    }

    /// What it runs over.
    pub fn stream(&self) -> &S {
        &self.stream
    }

    /// What it runs over.
    pub fn stream_mut(&mut self) -> &mut S {
        &mut self.stream
    }

    fn pending(&mut self) -> &mut Pending {
        self.pending.get_or_insert_default()
    }

    /// Gives the memory back when nothing is pending any more.
    fn forget_pending(&mut self) {
        self.pending.take_if(|pending| pending.is_empty());
    }

    /// Takes what has come; its plain text goes into `into`, and what has no room there is kept.
    fn take(&mut self, came: &mut [u8], into: &mut ReadBuf<'_>) -> io::Result<()> {
        let mut rest = match &mut self.pending {
            Some(pending) => std::mem::take(&mut pending.rest),
            None => Vec::new(),
        };
        if rest.is_empty() {
            let taken = self.open(came, into)?;
            if taken < came.len() {
                self.pending().rest.extend_from_slice(&came[taken..]);
            }
            return Ok(());
        }
        if rest.len() + came.len() > MAX_REST {
            self.over = true;
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a TLS record without end"));
        }
        rest.extend_from_slice(came);
        let taken = self.open(&mut rest, into)?;
        if taken < rest.len() {
            rest.drain(..taken);
            self.pending().rest = rest;
        }
        self.forget_pending();
        Ok(())
    }

    /// Opens all whole records; tells how many bytes they were.
    fn open(&mut self, records: &mut [u8], into: &mut ReadBuf<'_>) -> io::Result<usize> {
        let opened = self.try_open(records, into);
        self.over |= opened.is_err();
        opened
    }

    fn try_open(&mut self, records: &mut [u8], into: &mut ReadBuf<'_>) -> io::Result<usize> {
        let mut taken = 0;
        loop {
            let UnbufferedStatus { mut discard, state } =
                self.session.process_tls_records(&mut records[taken..]);
            let (mut wants_more, mut had_text) = (false, false);
            match state {
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    while let Some(record) = traffic.next_record() {
                        let record = record.map_err(invalid)?;
                        discard += record.discard;
                        let now = record.payload.len().min(into.remaining());
                        let (now, later) = record.payload.split_at(now);
                        into.put_slice(now);
                        if !later.is_empty() {
                            let pending = self.pending.get_or_insert_default();
                            pending.plain.extend_from_slice(later);
                        }
                    }
                    had_text = true;
                }
                Ok(ConnectionState::EncodeTlsData(data)) => put(data, &mut self.pending)?,
                // It goes out in order with all that follows.
                Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
                Ok(ConnectionState::PeerClosed) => self.ended = true,
                // There is no early data, and nothing else is known.
                Ok(_) => wants_more = true,
                Err(error) => {
                    self.say_why(&mut records[taken + discard..]);
                    return Err(invalid(error));
                }
            }
            taken += discard;
            // Nothing is left, and nothing is to be said about it: asking again would tell the same.
            let is_all = had_text && taken == records.len() && !self.session.wants_write();
            if wants_more || is_all {
                return Ok(taken);
            }
        }
    }

    /// The alert about an error, behind what was to be said before. Nothing is asked of rustls that
    /// would have it look at the fault again; what has not been taken yet has to lie where it was,
    /// because rustls knows places in it.
    fn say_why(&mut self, mut records: &mut [u8]) {
        while self.session.wants_write() {
            let UnbufferedStatus { discard, state } = self.session.process_tls_records(records);
            let Ok(ConnectionState::EncodeTlsData(data)) = state else { return };
            if put(data, &mut self.pending).is_err() {
                return;
            }
            records = &mut records[discard..];
        }
    }

    /// Has something sealed into `out`; tells how long it is.
    fn seal(&mut self, out: &mut [u8], what: &What<'_>) -> Result<usize, Unsealed> {
        if self.over {
            return Err(Unsealed::Never);
        }
        let mut rest = match &mut self.pending {
            Some(pending) => std::mem::take(&mut pending.rest),
            None => Vec::new(),
        };
        let mut taken = 0;
        let sealed = loop {
            // rustls counts on it that what has come of a record stays as it was.
            let UnbufferedStatus { discard, state } =
                self.session.process_tls_records(&mut rest[taken..]);
            taken += discard;
            match state {
                Ok(ConnectionState::WriteTraffic(mut traffic)) => {
                    break match what {
                        What::Plain(plain) => traffic.encrypt(plain, out),
                        What::Goodbye => traffic.queue_close_notify(out),
                    }
                    .map_err(|error| match error {
                        EncryptError::InsufficientSize(size) => Unsealed::Needs(size.required_size),
                        EncryptError::EncryptExhausted => Unsealed::Never,
                    });
                }
                Ok(ConnectionState::EncodeTlsData(data)) => {
                    if put(data, &mut self.pending).is_err() {
                        break Err(Unsealed::Never);
                    }
                }
                Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
                Ok(ConnectionState::PeerClosed) => self.ended = true,
                _ => break Err(Unsealed::Never),
            }
        };
        if taken < rest.len() {
            rest.drain(..taken);
            self.pending().rest = rest;
        }
        sealed
    }

    /// Seals behind what is unsent, in a buffer of its own: what is long or rare.
    fn seal_later(&mut self, what: &What<'_>, mut room: usize) -> io::Result<()> {
        loop {
            let mut out = vec![0; room];
            match self.seal(&mut out, what) {
                Ok(written) => {
                    self.pending().unsent.extend_from_slice(&out[..written]);
                    return Ok(());
                }
                Err(Unsealed::Needs(required)) if required > room => room = required,
                Err(_) => return Err(io::ErrorKind::BrokenPipe.into()),
            }
        }
    }

    /// Writes what is sealed.
    #[inline]
    fn poll_unsent(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.pending {
            None => Poll::Ready(Ok(())),
            Some(pending) => {
                ready!(poll_write_all(&mut self.stream, &mut pending.unsent, cx))?;
                self.forget_pending();
                Poll::Ready(Ok(()))
            }
        }
    }
}

/// What is to be sealed.
enum What<'a> {
    Plain(&'a [u8]),
    Goodbye,
}

/// Why nothing was sealed.
enum Unsealed {
    /// So much room, in bytes.
    Needs(usize),
    /// The session is over.
    Never,
}

/// Writes and lets go of what is written.
fn poll_write_all<S>(
    stream: &mut S,
    bytes: &mut BytesMut,
    cx: &mut Context<'_>,
) -> Poll<io::Result<()>>
where
    S: AsyncWrite + Unpin,
{
    while !bytes.is_empty() {
        match ready!(Pin::new(&mut *stream).poll_write(cx, bytes))? {
            0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
            written => bytes.advance(written),
        }
    }
    *bytes = BytesMut::new();
    Poll::Ready(Ok(()))
}

/// Puts an answer of the handshake's behind what is unsent.
fn put(
    mut data: EncodeTlsData<'_, ServerConnectionData>,
    pending: &mut Option<Box<Pending>>,
) -> io::Result<()> {
    let unsent = &mut pending.get_or_insert_default().unsent;
    let from = unsent.len();
    loop {
        match data.encode(&mut unsent[from..]) {
            Ok(_) => return Ok(()),
            Err(EncodeError::InsufficientSize(size))
                if from + size.required_size > unsent.len() =>
            {
                unsent.resize(from + size.required_size, 0);
            }
            Err(error) => return Err(io::Error::other(error)),
        }
    }
}

fn invalid(error: rustls::Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

impl<S> AsyncRead for Sealed<S>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if let Some(pending) = &mut this.pending
            && !pending.plain.is_empty()
        {
            let now = pending.plain.len().min(buf.remaining());
            buf.put_slice(&pending.plain.split_to(now));
            if pending.plain.is_empty() {
                pending.plain = BytesMut::new();
                this.forget_pending();
            }
            return Poll::Ready(Ok(()));
        }
        // Whoever only listens still has to say what is to be said.
        let _ = this.poll_unsent(cx)?;
        let before = buf.filled().len();
        while !this.ended {
            if this.over {
                return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
            }
            let mut space = [const { MaybeUninit::uninit() }; READ];
            let mut space = ReadBuf::uninit(&mut space);
            ready!(Pin::new(&mut this.stream).poll_read(cx, &mut space))?;
            if space.filled().is_empty() {
                // Cut off: what said no goodbye may have had more to say.
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
            let taken = this.take(space.filled_mut(), buf);
            // An answer of the handshake's, or why it ends.
            let _ = this.poll_unsent(cx)?;
            taken?;
            if buf.filled().len() > before {
                break;
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<S> AsyncWrite for Sealed<S>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.poll_unsent(cx))?;
        let plain = &bytes[..bytes.len().min(MAX_PLAIN)];
        let (what, room) = (What::Plain(plain), plain.len() + MAX_OVERHEAD);
        if room > AT_ONCE {
            this.seal_later(&what, room)?;
        } else {
            SEALED.with_borrow_mut(|out| match this.seal(out, &what) {
                Ok(length) => {
                    // Something of the handshake's may go before it.
                    let waits = this.pending.as_ref().is_some_and(|p| !p.unsent.is_empty());
                    let written = match waits {
                        true => Poll::Pending,
                        false => Pin::new(&mut this.stream).poll_write(cx, &out[..length])?,
                    };
                    let unsent = match written {
                        Poll::Ready(written) => &out[written..length],
                        Poll::Pending => &out[..length],
                    };
                    if !unsent.is_empty() {
                        this.pending().unsent.extend_from_slice(unsent);
                    }
                    Ok(())
                }
                Err(Unsealed::Needs(room)) => this.seal_later(&what, room),
                Err(Unsealed::Never) => Err(io::ErrorKind::BrokenPipe.into()),
            })?;
        }
        // It counts as written; what the peer doesn't take now is flushed later.
        let _ = this.poll_unsent(cx)?;
        Poll::Ready(Ok(plain.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_unsent(cx))?;
        Pin::new(&mut this.stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !std::mem::replace(&mut this.said_goodbye, true) {
            // Who can't be told any more isn't.
            let _ = this.seal_later(&What::Goodbye, MAX_OVERHEAD);
        }
        ready!(this.poll_unsent(cx))?;
        Pin::new(&mut this.stream).poll_shutdown(cx)
    }
}

impl<S> fmt::Debug for Sealed<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealed").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
