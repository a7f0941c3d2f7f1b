//! Peers that mean no good, or know no better: one at a time from each of a few tasks, so that the
//! load stays bounded. Each is over by the gateway's doing or within a few seconds.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use futures_util::{SinkExt, StreamExt};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    time::{sleep, timeout},
};
use tokio_tungstenite::{
    client_async,
    tungstenite::{Message, client::IntoClientRequest, http::HeaderValue},
};

use crate::{
    gateway::{ORIGIN, SECRET},
    peers::{Counts, Random, World, token},
};

/// Deadlines of the gateway are 2 s here; whoever is still served after this has passed one.
const LIMIT: Duration = Duration::from_secs(8);

/// One rude peer after another while there is load.
pub async fn rude(world: Arc<World>, seed: u64) {
    let mut random = Random(seed | 1);
    let mut load = world.load.clone();
    while load.wait_for(|on| *on).await.is_ok() {
        Counts::add(&world.counts.rude);
        let kind = random.below(11);
        let door = if random.below(2) == 0 { world.asterisk } else { world.browser };
        let peer = async {
            match kind {
                0 => slow_head(door).await,
                1 => says_nothing(door).await,
                2 => garbage(door, &mut random).await,
                3 => reset(door).await,
                4 => endless_head(&world).await,
                5 | 6 => bad_tokens(&world, &mut random).await,
                7 => too_long_for_a_phone(&world).await,
                8 => too_long_for_asterisk(&world).await,
                9 => no_media_start(&world).await,
                _ => broken_frames(&world, &mut random).await,
            }
        };
        // Errors are what the gateway is to give; only a peer that is still served is a fault.
        if timeout(LIMIT, peer).await.is_err() {
            world.counts.surprise(format!("rude peer {kind} was still served after {LIMIT:?}"));
        }
        sleep(random.between(5, 100)).await;
    }
}

async fn until_closed(stream: &mut (impl AsyncRead + Unpin)) {
    let mut buffer = [0; 1024];
    while matches!(stream.read(&mut buffer).await, Ok(1..)) {}
}

/// A byte now and then, and never a whole head.
async fn slow_head(door: SocketAddr) {
    let Ok(mut stream) = TcpStream::connect(door).await else { return };
    for byte in b"GET / HTTP/1.1\r\nX-Slow: ".iter().cycle() {
        if stream.write_all(&[*byte]).await.is_err() {
            return;
        }
        let mut buffer = [0; 64];
        match timeout(Duration::from_millis(200), stream.read(&mut buffer)).await {
            Ok(Ok(1..)) | Err(_) => {}
            Ok(_) => return,
        }
    }
}

async fn says_nothing(door: SocketAddr) {
    let Ok(mut stream) = TcpStream::connect(door).await else { return };
    until_closed(&mut stream).await;
}

async fn garbage(door: SocketAddr, random: &mut Random) {
    let Ok(mut stream) = TcpStream::connect(door).await else { return };
    let bytes: Vec<u8> = (0..200 + random.below(4_000)).map(|_| random.below(256) as u8).collect();
    let _ = stream.write_all(&bytes).await;
    let _ = stream.shutdown().await;
    until_closed(&mut stream).await;
}

/// Connects and is gone, with a reset.
async fn reset(door: SocketAddr) {
    let Ok(stream) = TcpStream::connect(door).await else { return };
    let _ = socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO));
}

async fn secure(world: &World) -> Option<tokio_rustls::client::TlsStream<TcpStream>> {
    let stream = TcpStream::connect(world.browser).await.ok()?;
    world.tls.connect("localhost".try_into().ok()?, stream).await.ok()
}

/// A head without end: 64 KiB of it.
async fn endless_head(world: &World) {
    let Some(mut stream) = secure(world).await else { return };
    let line = format!("X-Much: {}\r\n", "x".repeat(1000));
    let _ = stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n").await;
    for _ in 0..64 {
        if stream.write_all(line.as_bytes()).await.is_err() {
            return;
        }
    }
    until_closed(&mut stream).await;
}

/// A flood of bad tokens over one connection, each from another address as a proxy names it.
async fn bad_tokens(world: &World, random: &mut Random) {
    let Some(mut stream) = secure(world).await else { return };
    let good = token("2001", SECRET);
    let forged = token("2001", "another secret, which the gateway doesn't know");
    for n in 0..40 {
        let token = match n % 4 {
            0 => "x.y.z",
            1 => &good[..good.len() - 4],
            2 => &forged,
            _ => "eyJhbGciOiJub25lIn0.eyJleHQiOiIyMDAxIiwiZXhwIjo5OTk5OTk5OTk5fQ.",
        };
        let (a, b) = (random.below(256), random.below(256));
        let request = format!(
            "GET /phone?token={token} HTTP/1.1\r\nHost: localhost\r\nOrigin: {ORIGIN}\r\n\
             X-Forwarded-For: 203.0.{a}.{b}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        );
        if stream.write_all(request.as_bytes()).await.is_err() {
            return;
        }
        let mut buffer = [0; 1024];
        let Ok(read @ 1..) = stream.read(&mut buffer).await else { return };
        let head = String::from_utf8_lossy(&buffer[..read]).into_owned();
        if !head.starts_with("HTTP/1.1 401") && !head.starts_with("HTTP/1.1 429") {
            let first = head.lines().next().unwrap_or_default();
            world.counts.surprise(format!("a bad token is answered by {first}"));
        }
    }
}

async fn too_long_for_a_phone(world: &World) {
    let Some(stream) = secure(world).await else { return };
    let url = format!("wss://localhost/phone?token={}", token("3999", SECRET));
    let Ok(mut request) = url.into_client_request() else { return };
    request.headers_mut().insert("origin", HeaderValue::from_static(ORIGIN));
    let Ok((ws, _)) = client_async(request, stream).await else { return };
    too_long(ws, 200_000).await;
}

async fn too_long_for_asterisk(world: &World) {
    let Ok(stream) = TcpStream::connect(world.asterisk).await else { return };
    let Ok((ws, _)) = client_async(format!("ws://{}/", world.asterisk), stream).await else {
        return;
    };
    too_long(ws, 1_000_000).await;
}

async fn too_long<S>(mut ws: tokio_tungstenite::WebSocketStream<S>, bytes: usize)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let _ = ws.send(Message::Binary(vec![0; bytes].into())).await;
    while let Some(Ok(_)) = ws.next().await {}
}

/// A WebSocket that never says MEDIA_START.
async fn no_media_start(world: &World) {
    let Ok(stream) = TcpStream::connect(world.asterisk).await else { return };
    let url = format!("ws://{}/", world.asterisk);
    let Ok((mut ws, _)) = client_async(url, stream).await else { return };
    while let Some(Ok(_)) = ws.next().await {}
}

/// An upgrade in order, and then bytes that are no frames.
async fn broken_frames(world: &World, random: &mut Random) {
    let Ok(mut stream) = TcpStream::connect(world.asterisk).await else { return };
    let request = format!(
        "GET / HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n",
        world.asterisk
    );
    let mut bytes = request.into_bytes();
    bytes.extend((0..100 + random.below(400)).map(|_| random.below(256) as u8));
    let _ = stream.write_all(&bytes).await;
    until_closed(&mut stream).await;
}
