//! All phones and all of Asterisk's legs, on one thread with one epoll.
//!
//! Everything that is due has a time of its own, spread over the 20 ms, and how late it was done is
//! recorded: whether the gateway or this program was the bottleneck shows in the report.

mod heard;

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap},
    io,
    net::SocketAddr,
    os::fd::OwnedFd,
    sync::Arc,
    time::Instant,
};

use rustix::{
    buffer::spare_capacity,
    event::{Timespec, epoll},
};
use rustls::ClientConfig;

use crate::{
    frame::{self, FRAME_BYTES, Facts, Heard},
    link::Link,
    playout::Playout,
    stats::Times,
    ws,
};

pub const MS: u64 = 1_000_000;
pub const FRAME_NS: u64 = 20 * MS;
/// A phone begins to speak this long after its call was answered.
const PHONE_PAUSE: u64 = 40 * MS;
/// Set in a frame's call on its way from the phone to Asterisk.
const UPWARD: u32 = 1 << 31;
/// In `drift`, this many frames of silence begin every so many.
const PAUSE_FRAMES: (u32, u32) = (50, 200);

pub struct Setup {
    pub asterisk: SocketAddr,
    pub browser: SocketAddr,
    pub secret: String,
    pub tls: Arc<ClientConfig>,
}

/// What was counted and measured in all.
#[derive(Default)]
pub struct Tally {
    /// From the phone to Asterisk's door.
    pub up: Times,
    pub down: Times,
    /// How late Asterisk plays the phone's frames (`playout`).
    pub playout: Times,
    pub late: Times,
    pub ring: Times,
    pub answer: Times,
    pub sent: u64,
    pub got: u64,
    pub reordered: u64,
    pub corrupt: u64,
    pub silence: u64,
    pub logins: usize,
    pub phones_lost: usize,
    pub rung: usize,
    pub answered: usize,
    pub told_over: usize,
    pub legs_closed: usize,
    pub queue_max: u64,
    pub queue_sum: u64,
    pub queue_seen: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    Speak(usize),
    Hush(usize),
    LegHangsUp(usize),
    PhoneHangsUp(usize),
}

struct Voice {
    call: u32,
    seq: u32,
    every: u64,
    pauses: bool,
}

enum Role {
    Phone {
        ext: u32,
        ready: bool,
        /// It was told that its last call is over.
        over: bool,
        answered_at: u64,
    },
    /// Asterisk's; its queue is played at 50 frames a second from a tick of its own.
    Leg { dialled: String, started_at: u64, playout: Playout },
}

struct Peer {
    link: Link,
    role: Role,
    other: Option<usize>,
    voice: Option<Voice>,
    /// The next frame's number.
    expects: u32,
}

/// How calls behave.
#[derive(Debug, Clone, Copy)]
pub struct Manner {
    pub answers: bool,
    /// From the answer; a leg hangs up in every second call, else the phone. 0: nobody does.
    pub talk: u64,
    /// Time between frames of every second phone, and of the others.
    pub phone_every: [u64; 2],
    pub pauses: bool,
}

pub struct World {
    setup: Setup,
    epoll: OwnedFd,
    clock: Instant,
    peers: Vec<Option<Box<Peer>>>,
    due: BinaryHeap<Reverse<(u64, Due)>>,
    phones: HashMap<u32, usize>,
    /// The leg that rings, or talks to, this extension.
    legs: HashMap<u32, usize>,
    out: Vec<u8>,
    pub manner: Manner,
    pub tally: Tally,
    /// Extensions whose call is over, both sides.
    pub idle_again: Vec<u32>,
}

enum Got {
    Upgraded,
    Text(String),
    Audio(Heard),
    Ping(Vec<u8>),
}

impl World {
    pub fn new(setup: Setup) -> io::Result<Self> {
        Ok(Self {
            setup,
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            clock: Instant::now(),
            peers: Vec::new(),
            due: BinaryHeap::new(),
            phones: HashMap::new(),
            legs: HashMap::new(),
            out: Vec::new(),
            manner: Manner { answers: true, talk: 0, phone_every: [FRAME_NS; 2], pauses: false },
            tally: Tally::default(),
            idle_again: Vec::new(),
        })
    }

    pub fn now(&self) -> u64 {
        // Never 0, which is the gateway's silence.
        self.clock.elapsed().as_nanos() as u64 + 1
    }

    pub fn open_phone(&mut self, ext: u32) -> io::Result<()> {
        let token = token(ext, &self.setup.secret);
        let request = format!(
            "GET /phone?token={token} HTTP/1.1\r\nHost: localhost\r\nOrigin: https://bench.example\r\n{UPGRADE}\r\n"
        );
        let index = self.peers.len();
        let (to, tls) = (self.setup.browser, self.setup.tls.clone());
        let link = Link::open(&self.epoll, index as u64, to, Some(&tls), &request)?;
        self.add(link, Role::Phone { ext, ready: false, over: true, answered_at: 0 });
        self.phones.insert(ext, index);
        Ok(())
    }

    /// Opens a leg that calls this, and rings these phones.
    pub fn dial(&mut self, dialled: String, rings: impl Iterator<Item = u32>) -> io::Result<usize> {
        let request = format!(
            "GET / HTTP/1.1\r\nHost: localhost\r\nSec-WebSocket-Protocol: media\r\n{UPGRADE}\r\n"
        );
        let index = self.peers.len();
        let link = Link::open(&self.epoll, index as u64, self.setup.asterisk, None, &request)?;
        let playout = Playout::new(spread(index), self.now());
        self.add(link, Role::Leg { dialled, started_at: 0, playout });
        for ext in rings {
            self.legs.insert(ext, index);
        }
        Ok(index)
    }

    fn add(&mut self, link: Link, role: Role) {
        let peer = Peer { link, role, other: None, voice: None, expects: 0 };
        self.peers.push(Some(Box::new(peer)));
    }

    pub fn phone_says(&mut self, ext: u32, text: &str) {
        let Some(&index) = self.phones.get(&ext) else { return };
        let now = self.now();
        if let Some(Peer { role: Role::Phone { answered_at, .. }, .. }) =
            self.peers[index].as_deref_mut()
        {
            *answered_at = now;
        }
        if let Some(&leg) = self.legs.get(&ext)
            && let Some(peer) = &mut self.peers[leg]
        {
            peer.other.get_or_insert(index);
        }
        self.send(index, ws::TEXT, text.as_bytes());
    }

    /// Nobody speaks any more; what is under way arrives.
    pub fn hush(&mut self) {
        for peer in self.peers.iter_mut().flatten() {
            peer.voice = None;
        }
    }

    pub fn hang_up(&mut self, leg: usize) {
        self.send(leg, ws::CLOSE, &1000u16.to_be_bytes());
    }

    pub fn hang_up_all(&mut self) {
        let legs: Vec<usize> = self.legs.values().copied().collect();
        for leg in legs {
            self.hang_up(leg);
        }
    }

    /// Runs until the time has come or it is done; tells whether it was done.
    pub fn run(&mut self, for_ns: u64, done: impl Fn(&Self) -> bool) -> io::Result<bool> {
        let until = self.now() + for_ns;
        let mut events = Vec::with_capacity(1024);
        let mut scratch = vec![0; 64 * 1024];
        loop {
            let mut now = self.now();
            for _ in 0..64 {
                match self.due.peek() {
                    Some(&Reverse((at, what))) if at <= now => {
                        self.due.pop();
                        self.tally.late.add(now - at);
                        self.do_due(what, at);
                        now = self.now();
                    }
                    _ => break,
                }
            }
            if done(self) {
                return Ok(true);
            }
            if now >= until {
                return Ok(false);
            }
            let next = self.due.peek().map_or(until, |Reverse((at, _))| (*at).min(until));
            let wait = next.saturating_sub(now) as i64;
            let wait = Timespec { tv_sec: wait / 1_000_000_000, tv_nsec: wait % 1_000_000_000 };
            match epoll::wait(&self.epoll, spare_capacity(&mut events), Some(&wait)) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            for event in events.drain(..) {
                self.ready(event.data.u64() as usize, event.flags, &mut scratch);
            }
        }
    }

    fn do_due(&mut self, what: Due, at: u64) {
        match what {
            Due::Speak(index) => self.speak(index, at),
            Due::Hush(index) => {
                if let Some(peer) = &mut self.peers[index] {
                    peer.voice = None;
                }
            }
            Due::LegHangsUp(index) => self.hang_up(index),
            Due::PhoneHangsUp(index) => self.send(index, ws::TEXT, b"HANGUP"),
        }
    }

    fn speak(&mut self, index: usize, at: u64) {
        let now = self.now();
        let Some(peer) = &mut self.peers[index] else { return };
        let Some(voice) = &mut peer.voice else { return };
        let quiet = voice.pauses && voice.seq % PAUSE_FRAMES.1 < PAUSE_FRAMES.0;
        let mut bytes = [0; FRAME_BYTES];
        frame::write(Facts { call: voice.call, seq: voice.seq, sent_ns: now }, quiet, &mut bytes);
        voice.seq += 1;
        let every = voice.every;
        peer.link.send(&self.epoll, &mut self.out, ws::BINARY, &bytes);
        self.tally.sent += 1;
        self.at(at + every, Due::Speak(index));
    }

    fn at(&mut self, at: u64, what: Due) {
        self.due.push(Reverse((at, what)));
    }

    fn send(&mut self, index: usize, opcode: u8, payload: &[u8]) {
        if let Some(peer) = &mut self.peers[index] {
            peer.link.send(&self.epoll, &mut self.out, opcode, payload);
        }
    }
}

const UPGRADE: &str = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// Somewhere in the 20 ms, the same for the same peer.
fn spread(index: usize) -> u64 {
    (index as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) % FRAME_NS
}

fn token(ext: u32, secret: &str) -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let now = now.unwrap_or_default().as_secs();
    let claims = serde_json::json!({ "ext": ext.to_string(), "iat": now, "exp": now + 36_000 });
    let key = jsonwebtoken::EncodingKey::from_secret(secret.as_bytes());
    jsonwebtoken::encode(&jsonwebtoken::Header::default(), &claims, &key).unwrap_or_default()
}
