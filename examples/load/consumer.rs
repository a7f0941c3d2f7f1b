//! A consumer of streams: takes every WebSocket that is offered, and all that comes, as fast as it
//! comes. `GET /count` says how many messages that were. And what feeds it in a gateway's place.

use std::{
    collections::HashMap,
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    thread::sleep,
    time::{Duration, Instant},
};

use rustix::{
    buffer::spare_capacity,
    event::epoll::{self, EventData, EventFlags},
};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::ws;

const DOOR: u64 = u64::MAX;

struct Peer {
    socket: TcpStream,
    upgraded: bool,
    rest: Vec<u8>,
}

/// Serves until it is killed.
pub fn serve(at: SocketAddr) -> crate::Fallible<()> {
    let door = TcpListener::bind(at)?;
    door.set_nonblocking(true)?;
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    epoll::add(&epoll, &door, EventData::new_u64(DOOR), EventFlags::IN)?;
    let (mut peers, mut next, mut messages) = (HashMap::new(), 0, 0);
    let mut scratch = vec![0; 64 * 1024];
    let mut events = Vec::with_capacity(1024);
    loop {
        match epoll::wait(&epoll, spare_capacity(&mut events), None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        for event in events.drain(..) {
            let number = event.data.u64();
            if number == DOOR {
                let Ok((socket, _)) = door.accept() else { continue };
                socket.set_nonblocking(true)?;
                epoll::add(&epoll, &socket, EventData::new_u64(next), EventFlags::IN)?;
                peers.insert(next, Peer { socket, upgraded: false, rest: Vec::new() });
                next += 1;
            } else if let Some(peer) = peers.get_mut(&number)
                && !peer.read(&mut scratch, &mut messages)
            {
                peers.remove(&number);
            }
        }
    }
}

/// Sends so many streams of 20 ms of silence, 8 kHz, until it is killed. As a gateway does: all that
/// is due at once, fifty times a second.
pub fn feed(at: SocketAddr, count: u32) -> crate::Fallible<()> {
    const MESSAGE: usize = 320;
    const BEAT: Duration = Duration::from_millis(20);
    let mut streams = Vec::new();
    for _ in 0..count {
        let mut stream = TcpStream::connect(at)?;
        stream.write_all(
            b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
              Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        )?;
        let mut answer = [0; 1024];
        let _ = stream.read(&mut answer)?;
        stream.set_nodelay(true)?;
        streams.push(stream);
    }
    let mut message = vec![0; 8 + MESSAGE];
    message[..4].copy_from_slice(&[0x82, 0x80 | 126, (MESSAGE >> 8) as u8, MESSAGE as u8]);
    let mut due = Instant::now();
    loop {
        for stream in &mut streams {
            stream.write_all(&message)?;
        }
        due += BEAT;
        sleep(due.saturating_duration_since(Instant::now()));
    }
}

/// How many messages a consumer has had.
pub fn count(at: &str) -> f64 {
    let fetch = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect(at)?;
        stream.write_all(b"GET /count HTTP/1.1\r\n\r\n")?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        Ok(text)
    };
    let text = fetch().unwrap_or_default();
    text.rsplit("\r\n").next().and_then(|count| count.parse().ok()).unwrap_or(0.0)
}

impl Peer {
    /// False when it is over.
    fn read(&mut self, scratch: &mut [u8], messages: &mut u64) -> bool {
        match self.socket.read(scratch) {
            Ok(0) => return false,
            Ok(read) => self.rest.extend_from_slice(&scratch[..read]),
            Err(error) => return error.kind() == ErrorKind::WouldBlock,
        }
        if !self.upgraded {
            let Some(end) = self.rest.windows(4).position(|w| w == b"\r\n\r\n") else {
                return true;
            };
            let head = String::from_utf8_lossy(&self.rest[..end]).into_owned();
            self.rest.drain(..end + 4);
            if head.starts_with("GET /count ") {
                let text = format!("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{messages}");
                let _ = self.socket.write_all(text.as_bytes());
                return false;
            }
            let mut lines = head.lines().filter_map(|line| line.split_once(": "));
            let key = lines.find(|(name, _)| name.eq_ignore_ascii_case("sec-websocket-key"));
            let Some((_, key)) = key else { return false };
            let accept = derive_accept_key(key.trim().as_bytes());
            let answer = format!(
                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                 Sec-WebSocket-Accept: {accept}\r\n\r\n"
            );
            if self.socket.write_all(answer.as_bytes()).is_err() {
                return false;
            }
            self.upgraded = true;
        }
        let mut at = 0;
        while let Some(frame) = ws::frame(&self.rest[at..]) {
            *messages += 1;
            if frame.opcode == ws::CLOSE {
                return false;
            }
            if frame.opcode == ws::PING {
                let _ = self.socket.write_all(&[0x8a, 0]);
            }
            at += frame.end;
        }
        self.rest.drain(..at);
        true
    }
}
