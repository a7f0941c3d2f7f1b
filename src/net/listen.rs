//! Listening sockets and the loop that accepts.

use std::{future::Future, io, net::SocketAddr, time::Duration};

use socket2::{Domain, Protocol, Socket, TcpKeepalive, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::warn;

use crate::config::ListenAddr;

/// Connections that the kernel holds until they are accepted: all phones of a large office at once.
const BACKLOG: i32 = 1024;
/// What an accept that failed for want of descriptors waits, at first and at most.
const ACCEPT_PAUSE: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));
/// A dead peer is found after about 20 + 3 × 5 s, also on a connection that says nothing.
const KEEPALIVE: (Duration, Duration, u32) = (Duration::from_secs(20), Duration::from_secs(5), 3);
/// The same for a peer that takes nothing of what was sent: keepalive doesn't run then.
const UNACKNOWLEDGED: Duration = Duration::from_secs(30);
/// Unsent audio that the kernel may hide from us for one peer: six frames.
const NOTSENT_LOWAT: u32 = 4096;
/// The kernel's send buffer for one phone. The default swallows two minutes of audio of a phone
/// that has stopped reading.
const SEND_BUFFER: usize = 16 * 1024;

/// Binds an address. `":PORT"` is every address of the machine, over one socket for IPv6 and IPv4
/// where the machine has IPv6, as Go does it.
pub fn bind(addr: &ListenAddr) -> io::Result<TcpListener> {
    let candidates = match addr {
        ListenAddr::Socket(addr) => vec![*addr],
        ListenAddr::AnyPort(port) => {
            vec![SocketAddr::from(([0u16; 8], *port)), SocketAddr::from(([0u8; 4], *port))]
        }
    };
    let mut last = io::Error::other("no address");
    for addr in candidates {
        match bind_one(addr) {
            Ok(listener) => return Ok(listener),
            // No IPv6 here; any other fault (a port in use) would be the same on IPv4.
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => return Err(error),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn bind_one(addr: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    if addr.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// How a connection's socket is to behave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tuning {
    Asterisk,
    Phone,
}

fn tune(stream: &TcpStream, tuning: Tuning) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = socket2::SockRef::from(stream);
    let (idle, interval, retries) = KEEPALIVE;
    let keepalive =
        TcpKeepalive::new().with_time(idle).with_interval(interval).with_retries(retries);
    socket.set_tcp_keepalive(&keepalive)?;
    socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED))?;
    if tuning == Tuning::Phone {
        socket.set_send_buffer_size(SEND_BUFFER)?;
        socket.set_tcp_notsent_lowat(NOTSENT_LOWAT)?;
    }
    Ok(())
}

/// Accepts until `stop`, each connection in a task of its own that `tracker` knows.
pub async fn accept<F, Fut>(
    listener: TcpListener,
    tuning: Tuning,
    tracker: TaskTracker,
    stop: CancellationToken,
    serve: F,
) where
    F: Fn(TcpStream, SocketAddr) -> Fut,
    Fut: Future<Output = ()> + Send + 'static,
{
    let mut pause = ACCEPT_PAUSE.0;
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                pause = ACCEPT_PAUSE.0;
                // A peer that has left already is no reason to say anything.
                if tune(&stream, tuning).is_ok() {
                    tracker.spawn(serve(stream, peer));
                }
            }
            Err(error) => {
                warn!(%error, "a connection could not be accepted");
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(pause) => {}
                }
                pause = (pause * 2).min(ACCEPT_PAUSE.1);
            }
        }
    }
}
