//! A TCP socket, of which the runtime tells or a [`Reactor`].
//!
//! The runtime wakes the task that has asked; that is how a connection begins and ends, and how an idle
//! phone waits. While it has a call's audio, a reactor tells who serves it, whatever it was polled
//! with. Either way it is a byte stream as any other.

use std::{
    io,
    mem::{self, MaybeUninit},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use rustix::{
    io::Errno,
    net::{RecvFlags, SendFlags, Shutdown, recv, send, shutdown},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    task::coop,
};
use tracing::warn;

use super::reactor::{Reactor, Seat, Who};

/// Read at once: six frames of audio.
const READ: usize = 4 * 1024;
/// Reads for one telling: more audio than may wait anywhere. Whoever sends without end has its turn with
/// all else then.
const READS: u8 = 4;

/// TCP that is written to without asking first whether there is room: there nearly always is.
///
/// What the runtime knows of a socket that another one's audio is written to is memory that nobody has
/// touched since that socket's own audio came. Only when the kernel takes nothing is the runtime asked:
/// it tries once more, if it doesn't know either, and wakes the task when there is room. A reactor
/// isn't asked: it tells.
///
/// Such a write costs nothing of a task's budget (`tokio::task::coop`). Of audio it needn't: what is
/// written was read from another socket, which has a limit ([`Ask`]). All else, which may answer what was
/// read here, a hundred messages at once, costs some of it where it waits (`net/wire`).
#[derive(Debug)]
pub struct Tcp(By);

/// Who tells of a socket.
#[derive(Debug)]
enum By {
    Runtime(TcpStream),
    Reactor(Seated),
    /// On the way from the one to the other something failed.
    Nobody,
}

/// A socket that a reactor tells of.
#[derive(Debug)]
struct Seated {
    socket: std::net::TcpStream,
    seat: Seat,
    ask: Ask,
}

/// How a socket is asked for what has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ask {
    /// By its task, which has a budget for it (`tokio::task::coop`), until there is nothing. Then it is
    /// asked for nothing until it is told of again.
    UntilEmpty,
    /// By whoever was told that something has come, and that the peer may say more: a read that comes
    /// short has taken all of it. So often; then the task goes on, in its own turn.
    Reads(u8),
    /// Not: all that had come when it was told of is taken.
    Nothing,
}

impl Ask {
    /// After the kernel has told of a socket.
    pub fn told() -> Self {
        Self::Reads(READS)
    }
}

/// A byte stream that can be told of by a [`Reactor`].
pub trait Seatable: AsyncRead + AsyncWrite + Unpin + Send + 'static {
    /// From now on `reactor` tells `who` of it, and nobody else. Where that is impossible all stays as it is,
    /// or the stream is broken, which shows when it is read.
    fn sit(&mut self, reactor: &Arc<Reactor>, who: Who);

    /// The runtime tells of it again.
    fn stand(&mut self);

    /// Looks at what the next frame touches.
    fn touch(&self) {}

    /// Whether [`Ask::Reads`] ended before all was read. The task has been woken for the rest.
    fn leaves_some(&self) -> bool {
        false
    }

    /// How it is asked from now on, where a reactor tells of it.
    fn ask(&mut self, how: Ask);
}

impl From<TcpStream> for Tcp {
    fn from(stream: TcpStream) -> Self {
        Self(By::Runtime(stream))
    }
}

impl Seatable for Tcp {
    fn sit(&mut self, reactor: &Arc<Reactor>, who: Who) {
        if matches!(&self.0, By::Reactor(seated) if seated.seat.is_of(reactor)) {
            return;
        }
        self.stand();
        let By::Runtime(stream) = mem::replace(&mut self.0, By::Nobody) else { return };
        let by = stream.into_std().and_then(|socket| match reactor.seat(&socket, who) {
            Ok(seat) => Ok(By::Reactor(Seated { socket, seat, ask: Ask::UntilEmpty })),
            Err(error) => {
                warn!("the kernel watches no more sockets, a call costs a little more: {error}");
                TcpStream::from_std(socket).map(By::Runtime)
            }
        });
        self.go_to(by);
    }

    fn stand(&mut self) {
        match mem::replace(&mut self.0, By::Nobody) {
            By::Reactor(Seated { socket, seat, .. }) => {
                let left = seat.leave(&socket);
                self.go_to(left.and_then(|()| TcpStream::from_std(socket)).map(By::Runtime));
            }
            as_it_was => self.0 = as_it_was,
        }
    }

    fn leaves_some(&self) -> bool {
        matches!(&self.0, By::Reactor(seated) if seated.ask == Ask::Reads(0))
    }

    fn ask(&mut self, how: Ask) {
        if let By::Reactor(seated) = &mut self.0 {
            seated.ask = how;
        }
    }
}

impl Tcp {
    fn go_to(&mut self, by: io::Result<By>) {
        match by {
            Ok(by) => self.0 = by,
            Err(error) => warn!("a connection is lost: its socket can't be watched: {error}"),
        }
    }
}

impl Seated {
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match &mut self.ask {
            Ask::Nothing => return Poll::Pending,
            Ask::UntilEmpty => ready!(coop::poll_proceed(cx)).made_progress(),
            Ask::Reads(0) => {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            Ask::Reads(left) => *left -= 1,
        }
        // Uninitialised, as `buf` may be, which can be filled by a copy only.
        let mut space = [const { MaybeUninit::uninit() }; READ];
        let room = buf.remaining().min(READ);
        let read = loop {
            match recv(&self.socket, &mut space[..room], RecvFlags::empty()) {
                Err(Errno::INTR) => {}
                read => break read.map(|((came, _), _)| came),
            }
        };
        let is_all = match &read {
            Ok(came) => !came.is_empty() && came.len() < room && self.ask != Ask::UntilEmpty,
            Err(error) => *error == Errno::AGAIN,
        };
        if is_all {
            self.ask = Ask::Nothing;
        }
        match read {
            Ok(came) => {
                buf.put_slice(came);
                Poll::Ready(Ok(()))
            }
            Err(Errno::AGAIN) => Poll::Pending,
            Err(error) => Poll::Ready(Err(error.into())),
        }
    }
}

impl AsyncRead for Tcp {
    #[inline]
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.get_mut().0 {
            By::Runtime(stream) => Pin::new(stream).poll_read(cx, buf),
            By::Reactor(seated) => seated.poll_read(cx, buf),
            By::Nobody => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }
}

impl AsyncWrite for Tcp {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let by = &mut self.get_mut().0;
        loop {
            // Like std's, without a signal when the peer is gone.
            let sent = match by {
                By::Runtime(stream) => send(&*stream, buf, SendFlags::NOSIGNAL),
                By::Reactor(seated) => send(&seated.socket, buf, SendFlags::NOSIGNAL),
                By::Nobody => Err(Errno::NOTCONN),
            };
            match (sent, &mut *by) {
                (Ok(written), _) => return Poll::Ready(Ok(written)),
                (Err(Errno::INTR), _) => {}
                (Err(Errno::AGAIN), By::Runtime(stream)) => {
                    return Pin::new(stream).poll_write(cx, buf);
                }
                // The reactor tells when there is room.
                (Err(Errno::AGAIN), _) => return Poll::Pending,
                (Err(error), by) => {
                    // What the peer said before it was gone is there, told of or not.
                    if let By::Reactor(seated) = by {
                        seated.ask = Ask::UntilEmpty;
                    }
                    return Poll::Ready(Err(error.into()));
                }
            }
        }
    }

    /// What the kernel has taken is on its way.
    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let done = match &self.get_mut().0 {
            By::Runtime(stream) => shutdown(stream, Shutdown::Write),
            By::Reactor(seated) => shutdown(&seated.socket, Shutdown::Write),
            By::Nobody => Ok(()),
        };
        Poll::Ready(done.map_err(io::Error::from))
    }
}

/// Memory is told of by whoever writes into it.
#[cfg(test)]
impl Seatable for tokio::io::DuplexStream {
    fn sit(&mut self, _reactor: &Arc<Reactor>, _who: Who) {}
    fn stand(&mut self) {}
    fn ask(&mut self, _how: Ask) {}
}

#[cfg(test)]
pub(in crate::net) mod tests;
