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
