//! All phones and all of Asterisk's legs, on one thread with one epoll.
//!
//! Everything that is due has a time of its own, spread over the 20 ms, and how late it was done is
//! recorded: whether the gateway or this program was the bottleneck shows in the report.

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
    event::{
        Timespec,
        epoll::{self, EventFlags},
    },
};
use rustls::ClientConfig;

use crate::{
    frame::{self, FRAME_BYTES, Facts, Heard},
    link::Link,
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
    pub up: Times,
    pub down: Times,
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
    Leg { dialled: String, started_at: u64, queue: u64, tick: u64 },
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
        self.add(link, Role::Leg { dialled, started_at: 0, queue: 0, tick: 0 });
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

    fn ready(&mut self, index: usize, flags: EventFlags, scratch: &mut [u8]) {
        let Some(mut peer) = self.peers[index].take() else { return };
        if flags.contains(EventFlags::OUT) {
            let _ = peer.link.flush(&self.epoll);
        }
        let mut alive = true;
        let mut got = Vec::new();
        if flags.intersects(EventFlags::IN | EventFlags::HUP | EventFlags::ERR) {
            alive = peer.link.readable(&self.epoll, scratch, |opcode, payload| match opcode {
                0 => got.push(Got::Upgraded),
                ws::TEXT => got.push(Got::Text(String::from_utf8_lossy(payload).into_owned())),
                ws::BINARY => got.push(Got::Audio(frame::read(payload))),
                ws::PING => got.push(Got::Ping(payload.to_vec())),
                _ => {}
            });
        }
        let now = self.now();
        for got in got {
            match got {
                Got::Audio(heard) => self.audio(index, &mut peer, heard, now),
                Got::Ping(payload) => {
                    peer.link.send(&self.epoll, &mut self.out, ws::PONG, &payload);
                }
                Got::Upgraded => self.upgraded(index, &mut peer, now),
                Got::Text(text) => self.text(index, &mut peer, &text, now),
            }
        }
        if alive {
            self.peers[index] = Some(peer);
        } else {
            self.closed(index, &peer);
        }
    }

    fn upgraded(&mut self, index: usize, peer: &mut Peer, now: u64) {
        let text = match &mut peer.role {
            // An answer to no call is answered by HANGUP: a round trip through the phone's task.
            Role::Phone { .. } => "ANSWER".to_owned(),
            Role::Leg { dialled, started_at, .. } => {
                *started_at = now;
                format!(
                    "{{\"event\":\"MEDIA_START\",\"connection_id\":\"bench\",\
                     \"channel\":\"WebSocket/bench/{index:#x}\",\"channel_id\":\"1700000000.{index}\",\
                     \"format\":\"slin16\",\"optimal_frame_size\":640,\"ptime\":20,\
                     \"channel_variables\":{{\"WS_EXTEN\":\"{dialled}\"}}}}"
                )
            }
        };
        peer.link.send(&self.epoll, &mut self.out, ws::TEXT, text.as_bytes());
    }

    fn text(&mut self, index: usize, peer: &mut Peer, text: &str, now: u64) {
        match (&mut peer.role, text) {
            (Role::Phone { ext, over, answered_at, .. }, "RINGING") => {
                self.tally.rung += 1;
                *over = false;
                let leg = self.legs.get(ext).copied();
                if let Some(Some(leg)) = leg.map(|leg| self.peers[leg].as_mut())
                    && let Role::Leg { started_at, .. } = leg.role
                {
                    self.tally.ring.add(now - started_at);
                    if self.manner.answers {
                        leg.other = Some(index);
                        *answered_at = now;
                        peer.link.send(&self.epoll, &mut self.out, ws::TEXT, b"ANSWER");
                    }
                }
            }
            (Role::Phone { ext, ready, over, .. }, "HANGUP") => {
                if *ready {
                    self.tally.told_over += 1;
                    *over = true;
                    peer.voice = None;
                    if self.legs.get(ext).is_none_or(|leg| self.peers[*leg].is_none()) {
                        self.idle_again.push(*ext);
                    }
                } else {
                    *ready = true;
                    self.tally.logins += 1;
                }
            }
            (Role::Leg { queue, tick, .. }, command) => {
                if command.contains("GET_STATUS") {
                    play(index, queue, tick, now);
                    let status = format!(
                        "{{\"event\":\"STATUS\",\"channel_id\":\"1700000000.{index}\",\
                         \"queue_length\":{queue},\"xon_level\":800,\"xoff_level\":900,\
                         \"queue_full\":false,\"bulk_media\":false,\"media_paused\":false}}"
                    );
                    peer.link.send(&self.epoll, &mut self.out, ws::TEXT, status.as_bytes());
                } else if command.contains("FLUSH_MEDIA") {
                    *queue = 0;
                } else if command.contains("ANSWER") {
                    self.answered(index, peer, now);
                } else if command.contains("HANGUP") {
                    peer.voice = None;
                    let code = 1000u16.to_be_bytes();
                    peer.link.send(&self.epoll, &mut self.out, ws::CLOSE, &code);
                }
            }
            _ => {}
        }
    }

    fn answered(&mut self, index: usize, leg: &mut Peer, now: u64) {
        let Some(other) = leg.other else { return };
        let manner = self.manner;
        let Some(phone) = &mut self.peers[other] else { return };
        let Role::Phone { answered_at, .. } = phone.role else { return };
        self.tally.answered += 1;
        self.tally.answer.add(now - answered_at);
        phone.other = Some(index);
        (phone.expects, leg.expects) = (0, 0);
        let voice = |call, every| Some(Voice { call, seq: 0, every, pauses: manner.pauses });
        leg.voice = voice(index as u32, FRAME_NS);
        phone.voice = voice(index as u32 | UPWARD, manner.phone_every[index % 2]);
        self.at(now + spread(index), Due::Speak(index));
        self.at(now + PHONE_PAUSE + spread(other + 7 * index), Due::Speak(other));
        if manner.talk > 0 {
            let end = now + manner.talk + spread(index);
            self.at(end - 300 * MS, Due::Hush(index));
            self.at(end - 300 * MS, Due::Hush(other));
            let by_leg = self.tally.answered.is_multiple_of(2);
            self.at(end, if by_leg { Due::LegHangsUp(index) } else { Due::PhoneHangsUp(other) });
        }
    }

    fn audio(&mut self, index: usize, peer: &mut Peer, heard: Heard, now: u64) {
        let is_leg = if let Role::Leg { queue, tick, .. } = &mut peer.role {
            play(index, queue, tick, now);
            *queue += 1;
            self.tally.queue_max = self.tally.queue_max.max(*queue);
            self.tally.queue_sum += *queue;
            self.tally.queue_seen += 1;
            true
        } else {
            false
        };
        let facts = match heard {
            Heard::Ours(facts) => facts,
            Heard::Silence => {
                self.tally.silence += 1;
                return;
            }
            Heard::Corrupt => {
                self.tally.corrupt += 1;
                return;
            }
        };
        let mine = if is_leg { index as u32 | UPWARD } else { peer.other.unwrap_or(0) as u32 };
        if facts.call != mine {
            self.tally.corrupt += 1;
            return;
        }
        self.tally.got += 1;
        if facts.seq < peer.expects {
            self.tally.reordered += 1;
        }
        peer.expects = facts.seq + 1;
        let delay = now.saturating_sub(facts.sent_ns);
        if is_leg { self.tally.up.add(delay) } else { self.tally.down.add(delay) }
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

    fn closed(&mut self, index: usize, peer: &Peer) {
        match &peer.role {
            Role::Phone { ext, .. } => {
                self.tally.phones_lost += 1;
                self.phones.remove(ext);
            }
            Role::Leg { .. } => {
                self.tally.legs_closed += 1;
                let over = self.legs.extract_if(|_, leg| *leg == index);
                let over: Vec<u32> = over.map(|(ext, _)| ext).collect();
                for ext in over {
                    // Idle again when it was told so, too.
                    let phone = self.phones.get(&ext).and_then(|p| self.peers[*p].as_ref());
                    if phone.is_some_and(|p| matches!(p.role, Role::Phone { over: true, .. })) {
                        self.idle_again.push(ext);
                    }
                }
            }
        }
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

/// What Asterisk has played since it last looked.
fn play(index: usize, queue: &mut u64, tick: &mut u64, now: u64) {
    let ticks = (now + spread(index)) / FRAME_NS;
    *queue = queue.saturating_sub(ticks - *tick);
    *tick = ticks;
}

fn token(ext: u32, secret: &str) -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let now = now.unwrap_or_default().as_secs();
    let claims = serde_json::json!({ "ext": ext.to_string(), "iat": now, "exp": now + 36_000 });
    let key = jsonwebtoken::EncodingKey::from_secret(secret.as_bytes());
    jsonwebtoken::encode(&jsonwebtoken::Header::default(), &claims, &key).unwrap_or_default()
}
