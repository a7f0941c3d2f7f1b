//! The floor: the thinnest relay between Asterisk and browsers that still does the work.
//!
//! One thread, level-triggered epoll, rustls with the gateway's own TLS settings, and just enough
//! HTTP and WebSocket to be driven by `examples/load`. It rings, connects and relays frames as they
//! come: no check of tokens, no pacing, no queues, no deadlines, no logs. It is the yardstick of
//! `script/bench`, never a product: it trusts everybody and forgets nobody.
//!
//! `floor ASTERISK_ADDR BROWSER_ADDR CERT KEY`

mod ws;

use std::{
    collections::HashMap,
    error::Error,
    io::{self, ErrorKind, Read, Write},
    net::{TcpListener, TcpStream},
    os::fd::OwnedFd,
    path::Path,
    sync::Arc,
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use goastgateway::net::tls;
use rustix::{
    buffer::spare_capacity,
    event::epoll::{self, EventData, EventFlags},
};
use rustls::{ServerConfig, ServerConnection};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

const ASTERISK_DOOR: u64 = u64::MAX;
const BROWSER_DOOR: u64 = u64::MAX - 1;

struct Conn {
    socket: TcpStream,
    tls: Option<Box<ServerConnection>>,
    upgraded: bool,
    /// What was read and is no whole frame yet.
    rest: Vec<u8>,
    /// What the kernel didn't take.
    unsent: Vec<u8>,
    /// Whether epoll watches for room.
    waits: bool,
    /// The other side of the call that rings or is up.
    other: Option<usize>,
    /// A phone's; empty for Asterisk.
    ext: String,
}

struct Floor {
    epoll: OwnedFd,
    conns: Vec<Option<Box<Conn>>>,
    free: Vec<usize>,
    phones: HashMap<String, usize>,
    tls: Arc<ServerConfig>,
    out: Vec<u8>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [asterisk, browser, cert, key] = args.as_slice() else {
        return Err("floor ASTERISK_ADDR BROWSER_ADDR CERT KEY".into());
    };
    let asterisk = TcpListener::bind(asterisk)?;
    let browser = TcpListener::bind(browser)?;
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    for (listener, data) in [(&asterisk, ASTERISK_DOOR), (&browser, BROWSER_DOOR)] {
        listener.set_nonblocking(true)?;
        epoll::add(&epoll, listener, EventData::new_u64(data), EventFlags::IN)?;
    }
    let mut floor = Floor {
        epoll,
        conns: Vec::new(),
        free: Vec::new(),
        phones: HashMap::new(),
        tls: tls::server_config(Path::new(cert), Path::new(key), tls::tickets()?)?,
        out: Vec::new(),
    };
    let mut scratch = vec![0; 64 * 1024];
    let mut events = Vec::with_capacity(1024);
    loop {
        match epoll::wait(&floor.epoll, spare_capacity(&mut events), None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        for event in events.drain(..) {
            match event.data.u64() {
                ASTERISK_DOOR => floor.accept(&asterisk, false),
                BROWSER_DOOR => floor.accept(&browser, true),
                index => floor.ready(index as usize, event.flags, &mut scratch),
            }
        }
    }
}

impl Floor {
    fn accept(&mut self, listener: &TcpListener, is_browser: bool) {
        let Ok((socket, _)) = listener.accept() else { return };
        let tls = is_browser.then(|| ServerConnection::new(self.tls.clone()).map(Box::new));
        let (Ok(()), Ok(()), Ok(tls)) =
            (socket.set_nodelay(true), socket.set_nonblocking(true), tls.transpose())
        else {
            return;
        };
        let index = self.free.pop().unwrap_or_else(|| {
            self.conns.push(None);
            self.conns.len() - 1
        });
        let data = EventData::new_u64(index as u64);
        if epoll::add(&self.epoll, &socket, data, EventFlags::IN).is_ok() {
            self.conns[index] = Some(Box::new(Conn {
                socket,
                tls,
                upgraded: false,
                rest: Vec::new(),
                unsent: Vec::new(),
                waits: false,
                other: None,
                ext: String::new(),
            }));
        }
    }

    /// One event of one connection. The connection is taken out of the table meanwhile, so that
    /// its other side can be written to.
    fn ready(&mut self, index: usize, flags: EventFlags, scratch: &mut [u8]) {
        let Some(mut conn) = self.conns[index].take() else { return };
        let mut alive = !flags.contains(EventFlags::OUT) || conn.flush(&self.epoll, index).is_ok();
        if alive && flags.intersects(EventFlags::IN | EventFlags::HUP | EventFlags::ERR) {
            alive = self.read(index, &mut conn, scratch).unwrap_or(false);
        }
        if alive {
            self.conns[index] = Some(conn);
            return;
        }
        self.free.push(index);
        if self.phones.get(&conn.ext) == Some(&index) {
            self.phones.remove(&conn.ext);
        }
        self.hang_up(conn.other);
    }

    fn read(&mut self, index: usize, conn: &mut Conn, scratch: &mut [u8]) -> io::Result<bool> {
        let Some(tls) = &mut conn.tls else {
            let n = conn.socket.read(scratch)?;
            return Ok(n > 0 && self.take(index, conn, &mut scratch[..n]));
        };
        if tls.read_tls(&mut conn.socket)? == 0 {
            return Ok(false);
        }
        tls.process_new_packets().map_err(io::Error::other)?;
        if tls.wants_write() {
            conn.flush(&self.epoll, index)?;
        }
        loop {
            let Some(tls) = &mut conn.tls else { return Ok(false) };
            match tls.reader().read(scratch) {
                Ok(0) => return Ok(false),
                Ok(n) if !self.take(index, conn, &mut scratch[..n]) => return Ok(false),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(true),
                Err(error) => return Err(error),
            }
        }
    }

    /// Handles what came. In the steady state it is exactly one frame, and nothing is copied.
    fn take(&mut self, index: usize, conn: &mut Conn, bytes: &mut [u8]) -> bool {
        if !conn.rest.is_empty() || !conn.upgraded {
            let mut all = std::mem::take(&mut conn.rest);
            all.extend_from_slice(bytes);
            if !conn.upgraded {
                let Some(end) = all.windows(4).position(|w| w == b"\r\n\r\n") else {
                    conn.rest = all;
                    return true;
                };
                if !self.upgrade(index, conn, &String::from_utf8_lossy(&all[..end])) {
                    return false;
                }
                all.drain(..end + 4);
            }
            return self.frames(index, conn, &mut all);
        }
        self.frames(index, conn, bytes)
    }

    fn frames(&mut self, index: usize, conn: &mut Conn, mut bytes: &mut [u8]) -> bool {
        while let Some(frame) = ws::frame(bytes) {
            let (this, next) = bytes.split_at_mut(frame.end);
            let payload = &mut this[frame.start..];
            if let Some(key) = frame.mask {
                ws::mask(payload, key);
            }
            match frame.opcode {
                ws::BINARY => self.send(conn.other, ws::BINARY, payload),
                ws::TEXT => self.text(index, conn, &String::from_utf8_lossy(payload)),
                ws::PING => conn.send(&self.epoll, index, &mut self.out, ws::PONG, payload),
                ws::CLOSE => {
                    conn.send(&self.epoll, index, &mut self.out, ws::CLOSE, payload);
                    return false;
                }
                _ => {}
            }
            bytes = next;
        }
        conn.rest.extend_from_slice(bytes);
        true
    }

    fn upgrade(&mut self, index: usize, conn: &mut Conn, head: &str) -> bool {
        let field = |name: &str| {
            head.lines().find_map(|line| {
                let (key, value) = line.split_once(':')?;
                key.eq_ignore_ascii_case(name).then(|| value.trim())
            })
        };
        let Some(key) = field("sec-websocket-key") else { return false };
        let mut answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {}\r\n",
            derive_accept_key(key.as_bytes())
        );
        if let Some(protocol) = field("sec-websocket-protocol") {
            answer.push_str(&format!("Sec-WebSocket-Protocol: {protocol}\r\n"));
        }
        answer.push_str("\r\n");
        if conn.tls.is_some() {
            let Some(ext) = extension_of_token(head) else { return false };
            self.phones.insert(ext.clone(), index);
            conn.ext = ext;
        }
        conn.upgraded = true;
        conn.write(&self.epoll, index, answer.as_bytes());
        true
    }

    fn text(&mut self, index: usize, conn: &mut Conn, text: &str) {
        if conn.ext.is_empty() {
            let Some(ext) = between(text, "\"WS_EXTEN\":\"", "\"") else { return };
            let Some(&phone) = self.phones.get(ext) else { return };
            if let Some(Some(called)) = self.conns.get_mut(phone) {
                called.other = Some(index);
                conn.other = Some(phone);
                self.send(Some(phone), ws::TEXT, b"RINGING");
            }
            return;
        }
        match (text, conn.other) {
            ("ANSWER", Some(_)) => self.send(conn.other, ws::TEXT, b"{\"command\":\"ANSWER\"}"),
            _ => {
                conn.send(&self.epoll, index, &mut self.out, ws::TEXT, b"HANGUP");
                self.hang_up(conn.other.take());
            }
        }
    }

    /// Tells the other side that it is over.
    fn hang_up(&mut self, other: Option<usize>) {
        let Some(Some(conn)) = other.and_then(|other| self.conns.get_mut(other)) else { return };
        conn.other = None;
        let text: &[u8] = if conn.ext.is_empty() { b"{\"command\":\"HANGUP\"}" } else { b"HANGUP" };
        self.send(other, ws::TEXT, text);
    }

    fn send(&mut self, to: Option<usize>, opcode: u8, payload: &[u8]) {
        let Some(index) = to else { return };
        if let Some(Some(conn)) = self.conns.get_mut(index) {
            conn.send(&self.epoll, index, &mut self.out, opcode, payload);
        }
    }
}

impl Conn {
    fn send(&mut self, epoll: &OwnedFd, i: usize, out: &mut Vec<u8>, opcode: u8, payload: &[u8]) {
        out.clear();
        ws::put(out, opcode, None, payload);
        self.write(epoll, i, out);
    }

    /// Faults show when the connection is next read.
    fn write(&mut self, epoll: &OwnedFd, index: usize, bytes: &[u8]) {
        if let Some(tls) = &mut self.tls {
            let _ = tls.writer().write_all(bytes);
            let _ = self.flush(epoll, index);
            return;
        }
        let mut taken = 0;
        if self.unsent.is_empty() {
            taken = self.socket.write(bytes).unwrap_or(0);
        }
        if taken < bytes.len() {
            self.unsent.extend_from_slice(&bytes[taken..]);
            let _ = self.flush(epoll, index);
        }
    }

    fn flush(&mut self, epoll: &OwnedFd, index: usize) -> io::Result<()> {
        let mut blocked = false;
        let mut check = |result: io::Result<usize>| match result {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                blocked = true;
                Ok(0)
            }
            other => other,
        };
        if let Some(tls) = &mut self.tls {
            while tls.wants_write() && check(tls.write_tls(&mut self.socket))? > 0 {}
        } else if !self.unsent.is_empty() {
            let n = check(self.socket.write(&self.unsent))?;
            self.unsent.drain(..n);
            blocked = !self.unsent.is_empty();
        }
        // Registered anew only around a stall.
        if blocked != self.waits {
            self.waits = blocked;
            let flags = if blocked { EventFlags::IN | EventFlags::OUT } else { EventFlags::IN };
            epoll::modify(epoll, &self.socket, EventData::new_u64(index as u64), flags)?;
        }
        Ok(())
    }
}

fn extension_of_token(head: &str) -> Option<String> {
    let payload = between(head, "token=", " ")?.split('.').nth(1)?;
    let claims = URL_SAFE_NO_PAD.decode(payload).ok()?;
    between(&String::from_utf8_lossy(&claims), "\"ext\":\"", "\"").map(str::to_owned)
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    Some(text.split_once(before)?.1.split_once(after)?.0)
}
