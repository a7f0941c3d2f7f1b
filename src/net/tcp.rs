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
pub(in crate::net) mod tests {
    use std::{
        sync::{
            Weak,
            atomic::{AtomicBool, AtomicUsize, Ordering},
        },
        task::{Wake, Waker},
    };

    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
        sync::Notify,
    };
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::net::{bell::Servant, reactor::Reactors};

    /// A connection in whose way only little fits.
    pub async fn narrow_pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        socket2::SockRef::from(&listener).set_recv_buffer_size(16 * 1024).unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        socket2::SockRef::from(&near).set_send_buffer_size(16 * 1024).unwrap();
        let (far, _) = listener.accept().await.unwrap();
        (near, far)
    }

    #[tokio::test]
    async fn what_a_peer_does_not_take_is_waited_for_and_arrives_whole() {
        let (near, mut far) = narrow_pair().await;
        let mut near = Tcp::from(near);
        let said: Vec<u8> = (0..4 << 20).map(|n| (n % 251) as u8).collect();
        let full = |cx: &mut Context<'_>, from: &mut usize| {
            loop {
                match Pin::new(&mut near).poll_write(cx, &said[*from..]) {
                    Poll::Ready(written) => *from += written.unwrap(),
                    Poll::Pending => return Poll::Ready(()),
                }
            }
        };
        let (mut full, mut from) = (full, 0);
        // Until nothing is taken, and asked again.
        for _ in 0..2 {
            std::future::poll_fn(|cx| full(cx, &mut from)).await;
        }
        assert!((1..said.len()).contains(&from));
        let mut heard = Vec::new();
        let rest = async {
            near.write_all(&said[from..]).await.unwrap();
            near.shutdown().await.unwrap();
        };
        let (_, read) = tokio::join!(rest, far.read_to_end(&mut heard));
        assert_eq!(read.unwrap(), said.len());
        assert!(heard == said, "in order");
    }

    #[tokio::test]
    async fn a_peer_that_is_gone_is_an_error_and_no_signal() {
        let (near, far) = narrow_pair().await;
        drop(far);
        let mut near = Tcp::from(near);
        // What was sent first is answered with a reset.
        while near.write_all(b"audio").await.is_ok() {
            tokio::task::yield_now().await;
        }
    }

    /// Counts what it is told.
    #[derive(Default)]
    struct Listener {
        told: AtomicUsize,
        rung: AtomicBool,
        something: Notify,
    }

    impl Servant for Listener {
        fn take_audio(&self) -> bool {
            true
        }

        fn take_socket(&self) -> bool {
            self.told.fetch_add(1, Ordering::Relaxed);
            self.something.notify_one();
            true
        }

        fn touch(&self) {}
    }

    impl Wake for Listener {
        fn wake(self: Arc<Self>) {
            self.rung.store(true, Ordering::Relaxed);
            self.something.notify_one();
        }
    }

    /// A socket that a reactor tells of, its peer, and who is told.
    async fn seated() -> (Tcp, TcpStream, Arc<Listener>) {
        let (near, far) = narrow_pair().await;
        let (mut near, listener) = (Tcp::from(near), Arc::<Listener>::default());
        let reactors = Reactors::default();
        let reactor = reactors.open(1).unwrap()[0].clone();
        tokio::spawn(reactor.clone().run(CancellationToken::new()));
        let servant: Weak<dyn Servant> = Arc::downgrade(&(listener.clone() as Arc<dyn Servant>));
        near.sit(&reactor, Who { servant, socket: Waker::from(listener.clone()) });
        (near, far, listener)
    }

    /// How many bytes a read gives, or `None` where it would wait.
    fn read(near: &mut Tcp, cx: &mut Context<'_>) -> Option<io::Result<usize>> {
        let mut space = [0; 2 * READ];
        let mut buf = ReadBuf::new(&mut space);
        match Pin::new(near).poll_read(cx, &mut buf) {
            Poll::Ready(read) => Some(read.map(|()| buf.filled().len())),
            Poll::Pending => None,
        }
    }

    #[tokio::test]
    async fn what_was_told_is_read_and_then_not_asked_for() {
        let (mut near, mut far, listener) = seated().await;
        let cx = &mut Context::from_waker(Waker::noop());
        for said in ["audio", "more audio"] {
            far.write_all(said.as_bytes()).await.unwrap();
            let came = async {
                loop {
                    listener.something.notified().await;
                    near.ask(Ask::told());
                    if let Some(read) = read(&mut near, cx) {
                        break read.unwrap();
                    }
                }
            };
            assert_eq!(came.await, said.len());
            assert!(read(&mut near, cx).is_none() && !near.leaves_some());
        }
        // What comes now isn't asked for until it is told of, or the task asks.
        far.write_all(b"the last").await.unwrap();
        assert!(read(&mut near, cx).is_none());
        let last = async {
            loop {
                near.ask(Ask::UntilEmpty);
                if let Some(read) = read(&mut near, cx) {
                    break read.unwrap();
                }
                listener.something.notified().await;
            }
        };
        assert_eq!(last.await, 8);
        // A task that finds nothing needn't ask again either, until it is told.
        assert!(read(&mut near, cx).is_none());
        far.write_all(b"more").await.unwrap();
        listener.something.notified().await;
        assert!(read(&mut near, cx).is_none());
        near.ask(Ask::UntilEmpty);
        assert_eq!(read(&mut near, cx).unwrap().unwrap(), 4);
    }

    #[tokio::test]
    async fn what_comes_without_end_is_left_to_the_task() {
        let (mut near, far, listener) = seated().await;
        // Until no more fits: much more than is read for one telling.
        let flood = [0; 16 * READ];
        let mut sent = 0;
        while let Ok(more) = far.try_write(&flood) {
            sent += more;
        }
        assert!(sent > READ * usize::from(READS) + READ, "{sent}");
        let waker = Waker::from(listener.clone());
        let cx = &mut Context::from_waker(&waker);
        listener.something.notified().await;
        near.ask(Ask::told());
        for _ in 0..READS {
            assert_eq!(read(&mut near, cx).unwrap().unwrap(), READ);
        }
        assert!(!listener.rung.load(Ordering::Relaxed) && near.leaves_some());
        assert!(read(&mut near, cx).is_none());
        assert!(listener.rung.load(Ordering::Relaxed) && near.leaves_some());
        near.ask(Ask::UntilEmpty);
        assert!(read(&mut near, cx).is_some() && !near.leaves_some(), "its own turn");
    }

    #[tokio::test]
    async fn the_end_and_room_are_told_of() {
        let (mut near, mut far, listener) = seated().await;
        let cx = &mut Context::from_waker(Waker::noop());
        let flood = [7; 16 * READ];
        let mut sent = 0;
        while let Poll::Ready(written) = Pin::new(&mut near).poll_write(cx, &flood) {
            sent += written.unwrap();
        }
        listener.told.store(0, Ordering::Relaxed);
        let mut heard = vec![0; sent];
        far.read_exact(&mut heard).await.unwrap();
        while listener.told.load(Ordering::Relaxed) == 0 {
            listener.something.notified().await;
        }
        assert!(Pin::new(&mut near).poll_write(cx, b"there is room").is_ready());
        drop(far);
        while !listener.rung.load(Ordering::Relaxed) {
            listener.something.notified().await;
        }
        // Its peer is gone with something unread: a reset, or in order.
        near.ask(Ask::UntilEmpty);
        assert!(read(&mut near, cx).unwrap().map_or(true, |length| length == 0));
    }

    #[tokio::test]
    async fn a_write_that_fails_leaves_what_the_peer_said_before() {
        let (mut near, mut far, _listener) = seated().await;
        let cx = &mut Context::from_waker(Waker::noop());
        assert!(read(&mut near, cx).is_none());
        far.write_all(b"last words").await.unwrap();
        socket2::SockRef::from(&far).set_linger(Some(std::time::Duration::ZERO)).unwrap();
        drop(far);
        // Nobody has told of it yet.
        assert!(read(&mut near, cx).is_none());
        while let Poll::Ready(Ok(_)) = Pin::new(&mut near).poll_write(cx, b"audio") {}
        assert_eq!(read(&mut near, cx).unwrap().unwrap(), 10);
    }

    #[tokio::test]
    async fn who_stands_is_told_of_by_the_runtime_again() {
        let (mut near, mut far, listener) = seated().await;
        near.stand();
        near.stand();
        listener.told.store(0, Ordering::Relaxed);
        for _ in 0..2 {
            far.write_all(b"audio").await.unwrap();
            let mut heard = [0; 5];
            near.read_exact(&mut heard).await.unwrap();
        }
        near.write_all(b"audio").await.unwrap();
        near.shutdown().await.unwrap();
        let mut heard = Vec::new();
        far.read_to_end(&mut heard).await.unwrap();
        assert_eq!(heard, b"audio");
        assert_eq!(listener.told.load(Ordering::Relaxed), 0);
    }
}
