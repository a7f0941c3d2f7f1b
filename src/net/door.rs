//! The door of both listeners: one connection from its accept through TLS to HTTP.

use std::{
    convert::Infallible,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use hyper::{Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{net::TcpStream, time::timeout};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::{io::Io, sealed::Sealed, tcp::Tcp, upgrade::Body};
use crate::config::TlsIdentity;

/// The head of a request: a token of 8 KiB and then some.
const MAX_HEAD: usize = 16 * 1024;

/// How long a connection may speak HTTP. A page is loaded in a second; who takes longer reads
/// slowly to hold a place.
const HTTP_LIFE: Duration = Duration::from_secs(60);

/// TLS and the HTTP requests of one connection, until it is closed, upgraded or `stop`.
pub async fn serve<H>(
    stream: TcpStream,
    peer: SocketAddr,
    tls: Option<TlsIdentity>,
    deadline: Duration,
    stop: CancellationToken,
    handle: H,
) where
    H: Fn(Request<Incoming>, IpAddr) -> Response<Body>,
{
    let address = peer.ip().to_canonical();
    let stream = Tcp::from(stream);
    let io = match tls {
        None => Io::Plain(stream),
        Some(tls) => match timeout(deadline, Sealed::accept(stream, tls.server)).await {
            Ok(Ok(stream)) => Io::Tls(Box::new(stream)),
            Ok(Err(error)) => return debug!(%address, %error, "TLS handshake failed"),
            Err(_) => return debug!(%address, "TLS handshake took too long"),
        },
    };
    // Every answer is given from memory, at once: Asterisk waits for it with a channel locked.
    let service =
        service_fn(|request| std::future::ready(Ok::<_, Infallible>(handle(request, address))));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(deadline)
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(io), service)
        .with_upgrades();
    let mut connection = std::pin::pin!(connection);
    let result = tokio::select! {
        result = connection.as_mut() => result,
        () = stop_or(&stop, tokio::time::sleep(HTTP_LIFE.max(deadline))) => {
            connection.as_mut().graceful_shutdown();
            // What is being answered is; what only idles is closed.
            timeout(deadline, connection.as_mut()).await.unwrap_or(Ok(()))
        }
    };
    if let Err(error) = result {
        debug!(%address, %error, "HTTP connection ended");
    }
}

async fn stop_or(stop: &CancellationToken, time: tokio::time::Sleep) {
    tokio::select! {
        () = stop.cancelled() => {}
        () = time => {}
    }
}
