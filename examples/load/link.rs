//! One client's connection: TCP or TLS, the upgrade, and frames. Nothing here waits.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    os::fd::OwnedFd,
    sync::Arc,
};

use rustix::event::epoll::{self, EventData, EventFlags};
use rustls::{ClientConfig, ClientConnection, pki_types::ServerName};

use crate::ws;

/// Any key costs the other side the same.
const KEY: [u8; 4] = [0x5a, 0x31, 0xc7, 0x0e];

pub struct Link {
    socket: TcpStream,
    tls: Option<Box<ClientConnection>>,
    token: u64,
    pub upgraded: bool,
    rest: Vec<u8>,
    unsent: Vec<u8>,
    waits: bool,
}

impl Link {
    /// Connects and asks for the upgrade. On loopback the kernel connects at once.
    pub fn open(
        epoll: &OwnedFd,
        token: u64,
        to: SocketAddr,
        tls: Option<&Arc<ClientConfig>>,
        request: &str,
    ) -> io::Result<Self> {
        let socket = TcpStream::connect(to)?;
        socket.set_nodelay(true)?;
        socket.set_nonblocking(true)?;
        let name = ServerName::try_from("localhost").map_err(io::Error::other)?;
        let tls = tls
            .map(|config| ClientConnection::new(config.clone(), name).map(Box::new))
            .transpose()
            .map_err(io::Error::other)?;
        epoll::add(epoll, &socket, EventData::new_u64(token), EventFlags::IN)?;
        let mut link = Self {
            socket,
            tls,
            token,
            upgraded: false,
            rest: Vec::new(),
            unsent: Vec::new(),
            waits: false,
        };
        link.write(epoll, request.as_bytes());
        Ok(link)
    }

    /// Reads once and gives every whole frame. False when the connection is over.
    pub fn readable(
        &mut self,
        epoll: &OwnedFd,
        scratch: &mut [u8],
        mut each: impl FnMut(u8, &[u8]),
    ) -> bool {
        let mut read = || -> io::Result<bool> {
            let Some(tls) = &mut self.tls else {
                let n = self.socket.read(scratch)?;
                return Ok(
                    n > 0 && take(&mut self.upgraded, &mut self.rest, &scratch[..n], &mut each)
                );
            };
            if tls.read_tls(&mut self.socket)? == 0 {
                return Ok(false);
            }
            tls.process_new_packets().map_err(io::Error::other)?;
            loop {
                match tls.reader().read(scratch) {
                    Ok(0) => return Ok(false),
                    Ok(n) => {
                        if !take(&mut self.upgraded, &mut self.rest, &scratch[..n], &mut each) {
                            return Ok(false);
                        }
                    }
                    Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(true),
                    Err(error) => return Err(error),
                }
            }
        };
        let alive = match read() {
            Ok(alive) => alive,
            Err(error) => error.kind() == ErrorKind::WouldBlock,
        };
        if self.tls.as_ref().is_some_and(|tls| tls.wants_write()) {
            let _ = self.flush(epoll);
        }
        alive
    }

    pub fn send(&mut self, epoll: &OwnedFd, out: &mut Vec<u8>, opcode: u8, payload: &[u8]) {
        out.clear();
        ws::put(out, opcode, Some(KEY), payload);
        self.write(epoll, out);
    }

    fn write(&mut self, epoll: &OwnedFd, bytes: &[u8]) {
        match &mut self.tls {
            Some(tls) => {
                let _ = tls.writer().write_all(bytes);
            }
            None if self.unsent.is_empty() => {
                let n = self.socket.write(bytes).unwrap_or(0);
                self.unsent.extend_from_slice(&bytes[n..]);
            }
            None => self.unsent.extend_from_slice(bytes),
        }
        let _ = self.flush(epoll);
    }

    pub fn flush(&mut self, epoll: &OwnedFd) -> io::Result<()> {
        let mut blocked = false;
        if let Some(tls) = &mut self.tls {
            while tls.wants_write() && !blocked {
                match tls.write_tls(&mut self.socket) {
                    Err(error) if error.kind() == ErrorKind::WouldBlock => blocked = true,
                    other => drop(other?),
                }
            }
        } else if !self.unsent.is_empty() {
            let n = self.socket.write(&self.unsent).unwrap_or(0);
            self.unsent.drain(..n);
            blocked = !self.unsent.is_empty();
        }
        if blocked != self.waits {
            self.waits = blocked;
            let flags = if blocked { EventFlags::IN | EventFlags::OUT } else { EventFlags::IN };
            epoll::modify(epoll, &self.socket, EventData::new_u64(self.token), flags)?;
        }
        Ok(())
    }
}

fn take(
    upgraded: &mut bool,
    rest: &mut Vec<u8>,
    bytes: &[u8],
    each: &mut impl FnMut(u8, &[u8]),
) -> bool {
    let mut all = Vec::new();
    let mut bytes = bytes;
    if !rest.is_empty() {
        all = std::mem::take(rest);
        all.extend_from_slice(bytes);
        bytes = &all;
    }
    if !*upgraded {
        let Some(end) = bytes.windows(4).position(|w| w == b"\r\n\r\n") else {
            rest.extend_from_slice(bytes);
            return true;
        };
        if !bytes.starts_with(b"HTTP/1.1 101 ") {
            eprintln!("refused: {}", String::from_utf8_lossy(bytes).lines().next().unwrap_or(""));
            return false;
        }
        *upgraded = true;
        each(0, &[]);
        bytes = &bytes[end + 4..];
    }
    while let Some(frame) = ws::frame(bytes) {
        if frame.mask.is_some() {
            return false; // a server never masks
        }
        each(frame.opcode, &bytes[frame.start..frame.end]);
        bytes = &bytes[frame.end..];
    }
    rest.extend_from_slice(bytes);
    drop(all);
    true
}
