//! Phones, a PBX, and a network between them that can freeze.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream},
    sync::watch,
    time::{Instant, MissedTickBehavior, interval, sleep, sleep_until, timeout},
};
use tokio_rustls::TlsConnector;
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{Message, client::IntoClientRequest, http::HeaderValue},
};

use crate::{
    figures::Series,
    gateway::{ORIGIN, SECRET},
};

const FRAME: usize = 640;
const FRAME_TIME: Duration = Duration::from_millis(20);
/// A call that takes longer to come to anything is a fault.
const CALL_TIME: Duration = Duration::from_secs(20);
/// What a network holds of one connection on its way, about: a frozen one holds no three seconds.
const RELAY_BUFFER: u32 = 16 * 1024;
/// Marks a frame whose first eight bytes say when it was spoken.
const MARK: &[u8; 4] = b"SOAK";

/// What all actors share.
pub struct World {
    pub asterisk: SocketAddr,
    pub browser: SocketAddr,
    pub tls: TlsConnector,
    pub began: Instant,
    /// Whether calls are to be made.
    pub load: watch::Receiver<bool>,
    pub counts: Counts,
}

/// What happened, and what must not have happened.
#[derive(Default)]
pub struct Counts {
    pub calls: AtomicU64,
    pub answered: AtomicU64,
    pub abandoned: AtomicU64,
    pub vanished: AtomicU64,
    pub logins: AtomicU64,
    pub rude: AtomicU64,
    pub surprises: Mutex<Vec<String>>,
}

impl Counts {
    pub fn add(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Something that must not happen.
    pub fn surprise(&self, what: String) {
        let mut surprises = self.surprises.lock().unwrap_or_else(PoisonError::into_inner);
        if surprises.len() < 100 {
            println!("surprise: {what}");
            surprises.push(what);
        }
    }
}

/// Delays of one measured call, in milliseconds.
#[derive(Default)]
pub struct Delays {
    pub to_asterisk: Mutex<Series>,
    pub to_phone: Mutex<Series>,
}

/// A generator that needs no library.
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % n
    }

    pub fn between(&mut self, from_ms: u64, to_ms: u64) -> Duration {
        Duration::from_millis(from_ms + self.below(to_ms - from_ms))
    }
}

pub fn token(ext: &str, secret: &str) -> String {
    let now = jsonwebtoken::get_current_timestamp();
    let claims = json!({ "ext": ext, "iat": now, "exp": now + 86_400 });
    let key = jsonwebtoken::EncodingKey::from_secret(secret.as_bytes());
    jsonwebtoken::encode(&jsonwebtoken::Header::default(), &claims, &key).unwrap_or_default()
}

impl World {
    fn stamped(&self) -> Bytes {
        let mut frame = vec![0x21; FRAME];
        let micros = self.began.elapsed().as_micros() as u64;
        frame[..8].copy_from_slice(&micros.to_le_bytes());
        frame[8..12].copy_from_slice(MARK);
        frame.into()
    }

    /// When a frame was spoken, if it says so.
    fn spoken(&self, frame: &[u8]) -> Option<Instant> {
        if frame.get(8..12)? != MARK {
            return None;
        }
        let micros = u64::from_le_bytes(frame.get(..8)?.try_into().ok()?);
        Some(self.began + Duration::from_micros(micros))
    }

    fn note(&self, series: &Mutex<Series>, spoken: Instant, heard: Instant) {
        let at = heard.saturating_duration_since(self.began).as_secs_f64();
        let delay = heard.saturating_duration_since(spoken).as_secs_f64() * 1000.0;
        series.lock().unwrap_or_else(PoisonError::into_inner).push(at, delay);
    }

    async fn ended_load(&self) {
        let mut load = self.load.clone();
        let _ = load.wait_for(|on| !on).await;
    }
}

/// How a phone behaves.
pub enum Manner {
    /// Answers, declines, lets it ring or vanishes, as it comes.
    Mixed,
    /// Answers at once and talks until the other side hangs up; its delays are noted.
    Steady(Arc<Delays>),
}

/// A phone that is logged in for ever. `door` is the gateway's, or a relay's before it.
pub async fn phone(world: Arc<World>, ext: String, door: SocketAddr, manner: Manner, seed: u64) {
    let mut random = Random(seed | 1);
    loop {
        match log_in(&world, &ext, door).await {
            Ok(ws) => {
                Counts::add(&world.counts.logins);
                serve(&world, ws, &ext, &manner, &mut random).await;
            }
            Err(error) => world.counts.surprise(format!("phone {ext} could not log in: {error}")),
        }
        sleep(Duration::from_millis(100)).await;
    }
}

type Secure = WebSocketStream<tokio_rustls::client::TlsStream<TcpStream>>;

async fn log_in(world: &World, ext: &str, door: SocketAddr) -> Result<Secure, String> {
    let path = format!("wss://localhost:{}/phone?token={}", door.port(), token(ext, SECRET));
    let mut request = path.into_client_request().map_err(|e| e.to_string())?;
    request.headers_mut().insert("origin", HeaderValue::from_static(ORIGIN));
    let connect = async {
        let stream = TcpStream::connect(door).await.map_err(|e| e.to_string())?;
        stream.set_nodelay(true).map_err(|e| e.to_string())?;
        let name = "localhost".try_into().map_err(|_| "a name")?;
        let stream = world.tls.connect(name, stream).await.map_err(|e| e.to_string())?;
        client_async(request, stream).await.map(|(ws, _)| ws).map_err(|e| e.to_string())
    };
    timeout(CALL_TIME, connect).await.map_err(|e| e.to_string())?
}

/// One login to its end.
async fn serve(world: &World, mut ws: Secure, ext: &str, manner: &Manner, random: &mut Random) {
    let mut every = interval(FRAME_TIME);
    every.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let (mut ringing, mut talking) = (false, false);
    let mut then: Option<(Instant, What)> = None;
    loop {
        let at = then.as_ref().map(|(at, _)| *at);
        tokio::select! {
            message = ws.next() => match message {
                Some(Ok(Message::Text(text))) => match text.as_str() {
                    "RINGING" => {
                        if ringing || talking {
                            world.counts.surprise(format!("phone {ext} rings in a call"));
                        }
                        ringing = true;
                        then = Some(what_next(manner, random));
                    }
                    "HANGUP" => (ringing, talking, then) = (false, false, None),
                    "BUSY" => return, // its last connection is not gone yet
                    other => world.counts.surprise(format!("phone {ext} is told {other}")),
                },
                Some(Ok(Message::Binary(frame))) => {
                    if let (Manner::Steady(delays), Some(spoken)) = (manner, world.spoken(&frame)) {
                        world.note(&delays.to_phone, spoken, Instant::now());
                    }
                }
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                Some(Ok(_)) => {}
            },
            _ = every.tick(), if talking => {
                if ws.send(Message::Binary(world.stamped())).await.is_err() {
                    return;
                }
            }
            () = sleep_until(at.unwrap_or_else(Instant::now)), if at.is_some() => {
                let Some((_, what)) = then.take() else { continue };
                let word = match what {
                    What::Answer => {
                        (ringing, talking) = (false, true);
                        if matches!(manner, Manner::Mixed) && random.below(3) == 0 {
                            let what = if random.below(3) == 0 { What::Vanish } else { What::HangUp };
                            then = Some((Instant::now() + random.between(200, 2_500), what));
                        }
                        "ANSWER"
                    }
                    What::HangUp => "HANGUP",
                    What::Vanish => {
                        Counts::add(&world.counts.vanished);
                        return;
                    }
                };
                if ws.send(Message::text(word)).await.is_err() {
                    return;
                }
            }
        }
    }
}

enum What {
    Answer,
    HangUp,
    Vanish,
}

fn what_next(manner: &Manner, random: &mut Random) -> (Instant, What) {
    let now = Instant::now();
    if matches!(manner, Manner::Steady(_)) {
        return (now, What::Answer);
    }
    match random.below(12) {
        0 => (now + random.between(20, 900), What::HangUp),
        1 => (now + random.between(20, 900), What::Vanish),
        2 => (now + CALL_TIME, What::HangUp), // nobody at home
        _ => (now + random.between(1, 700), What::Answer),
    }
}

/// Makes one call after another while there is load.
pub async fn caller(world: Arc<World>, seed: u64) {
    let mut random = Random(seed | 1);
    let mut load = world.load.clone();
    while load.wait_for(|on| *on).await.is_ok() {
        let (target, absent) = match random.below(10) {
            0..=3 => (format!("20{:02}", 1 + random.below(10)), false),
            4 | 5 => ("900".to_owned(), false),
            6 | 7 => ("901".to_owned(), false),
            8 => ("902".to_owned(), false),
            _ => ("7777".to_owned(), true),
        };
        Counts::add(&world.counts.calls);
        let plan = Plan {
            target,
            json: random.below(2) == 0,
            patience: random.between(200, 4_000),
            talk: random.between(200, 3_000),
            vanish: random.below(6) == 0,
            absent,
        };
        if timeout(CALL_TIME, call(&world, &plan, None)).await.is_err() {
            world.counts.surprise(format!("a call to {} came to no end", plan.target));
        }
        sleep(random.between(1, 200)).await;
    }
}

/// One call for as long as there is load, again and again; its delays are noted.
pub async fn long_caller(world: Arc<World>, ext: String, delays: Arc<Delays>) {
    let mut load = world.load.clone();
    while load.wait_for(|on| *on).await.is_ok() {
        let for_ever = Duration::from_secs(1_000_000);
        let plan = Plan {
            target: ext.clone(),
            json: true,
            patience: Duration::from_secs(5),
            talk: for_ever,
            vanish: false,
            absent: false,
        };
        let ended = tokio::select! {
            how = call(&world, &plan, Some(&delays)) => Some(how),
            () = world.ended_load() => None,
        };
        let loaded = *world.load.borrow();
        if let (Some(how), true) = (ended, loaded) {
            world.counts.surprise(format!("the long call to {ext} was cut: {how}"));
            sleep(Duration::from_millis(500)).await;
        }
    }
}

struct Plan {
    target: String,
    json: bool,
    /// How long the caller lets it ring.
    patience: Duration,
    talk: Duration,
    /// Goes without a goodbye.
    vanish: bool,
    /// The extension doesn't exist: HANGUP has to come, and at once.
    absent: bool,
}

/// Asterisk's queue: plays one frame every 20 ms.
struct Playout {
    until: Instant,
}

impl Playout {
    fn take(&mut self, now: Instant) -> Instant {
        let plays_at = self.until.max(now);
        self.until = plays_at + FRAME_TIME;
        plays_at
    }

    fn length(&self, now: Instant) -> u128 {
        self.until.saturating_duration_since(now).as_millis().div_ceil(20)
    }
}

/// One call from Asterisk's end; tells how it ended.
async fn call(world: &World, plan: &Plan, delays: Option<&Delays>) -> &'static str {
    let Ok(stream) = TcpStream::connect(world.asterisk).await else {
        world.counts.surprise("Asterisk could not connect".into());
        return "not connected";
    };
    let _ = stream.set_nodelay(true);
    let url = format!("ws://{}/", world.asterisk);
    let Ok(mut request) = url.into_client_request() else { return "no request" };
    request.headers_mut().insert("sec-websocket-protocol", HeaderValue::from_static("media"));
    let mut ws = match client_async(request, stream).await {
        Ok((ws, _)) => ws,
        Err(error) => {
            world.counts.surprise(format!("Asterisk got no WebSocket: {error}"));
            return "no WebSocket";
        }
    };
    if ws.send(Message::text(media_start(plan))).await.is_err() {
        world.counts.surprise("Asterisk could not say MEDIA_START".into());
        return "no MEDIA_START";
    }
    let dialled = Instant::now();
    let mut give_up = dialled + plan.patience;
    let mut playout = Playout { until: dialled };
    let mut every = interval(FRAME_TIME);
    every.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut talking = false;
    loop {
        tokio::select! {
            message = ws.next() => match message {
                Some(Ok(Message::Text(text))) => match command(&text) {
                    "ANSWER" if !talking => {
                        Counts::add(&world.counts.answered);
                        talking = true;
                        give_up = Instant::now() + plan.talk;
                        playout.until = Instant::now();
                    }
                    "GET_STATUS" => {
                        let status = status(plan.json, playout.length(Instant::now()));
                        if ws.send(Message::text(status)).await.is_err() {
                            return "lost";
                        }
                    }
                    "FLUSH_MEDIA" => playout.until = Instant::now(),
                    "HANGUP" => {
                        let _ = ws.close(None).await;
                        return if talking { "HANGUP in the call" } else { "HANGUP before it" };
                    }
                    _ => world.counts.surprise(format!("Asterisk is told {text}")),
                },
                Some(Ok(Message::Binary(frame))) => {
                    if frame.len() != FRAME || !talking {
                        world.counts.surprise(format!("audio of {} bytes", frame.len()));
                    }
                    let plays_at = playout.take(Instant::now());
                    if let (Some(delays), Some(spoken)) = (delays, world.spoken(&frame)) {
                        world.note(&delays.to_asterisk, spoken, plays_at);
                    }
                }
                Some(Ok(Message::Close(_)) | Err(_)) | None => return "closed",
                Some(Ok(_)) => {}
            },
            _ = every.tick(), if talking => {
                if ws.send(Message::Binary(world.stamped())).await.is_err() {
                    return "lost";
                }
            }
            () = sleep_until(give_up) => {
                if !talking {
                    Counts::add(&world.counts.abandoned);
                    if plan.absent && plan.patience > Duration::from_secs(2) {
                        world.counts.surprise("an absent extension was not hung up".into());
                    }
                }
                if plan.vanish {
                    Counts::add(&world.counts.vanished);
                    return "vanished";
                }
                let _ = ws.close(None).await;
                // Its own CLOSE comes back, or the call is stuck, which the caller notices.
                while let Some(Ok(_)) = ws.next().await {}
                return if talking { "hung up" } else { "given up" };
            }
        }
    }
}

fn command(text: &str) -> &str {
    let known = ["ANSWER", "HANGUP", "GET_STATUS", "FLUSH_MEDIA"];
    known.into_iter().find(|name| text.contains(name)).unwrap_or(text)
}

fn status(json: bool, length: u128) -> String {
    if json {
        json!({ "event": "STATUS", "channel_id": "1.2", "queue_length": length }).to_string()
    } else {
        format!("STATUS channel_id:1.2 queue_length:{length} xon_level:800 xoff_level:900")
    }
}

fn media_start(plan: &Plan) -> String {
    let target = &plan.target;
    if plan.json {
        let start: Value = json!({
            "event": "MEDIA_START", "connection_id": "ws-ext-endpoint",
            "channel": "WebSocket/ws-ext-endpoint/0x7f00", "channel_id": "1700000000.0",
            "format": "slin16", "optimal_frame_size": FRAME, "ptime": 20,
            "channel_variables": { "WS_EXTEN": target },
        });
        start.to_string()
    } else {
        format!(
            "MEDIA_START connection_id:ws-ext-{target} channel:WebSocket/ws-ext-{target}/0x7f01 \
             channel_id:1700000000.1 format:slin16 optimal_frame_size:{FRAME} ptime:20"
        )
    }
}

/// A network that can freeze: carries bytes both ways, and none while `frozen`.
pub async fn relay(listener: TcpListener, to: SocketAddr, frozen: watch::Receiver<bool>) {
    while let Ok((near, _)) = listener.accept().await {
        let Ok(far) = connect_through_little(to).await else { continue };
        let _ = (near.set_nodelay(true), far.set_nodelay(true));
        let (near_in, near_out) = near.into_split();
        let (far_in, far_out) = far.into_split();
        tokio::spawn(carry(near_in, far_out, frozen.clone()));
        tokio::spawn(carry(far_in, near_out, frozen.clone()));
    }
}

/// A relay's own door.
pub fn relay_listener() -> std::io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(RELAY_BUFFER)?;
    socket.bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
    socket.listen(16)
}

/// The buffer is set before the handshake: a window that shrinks later stalls by itself.
async fn connect_through_little(to: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(RELAY_BUFFER)?;
    socket.connect(to).await
}

async fn carry(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    mut frozen: watch::Receiver<bool>,
) {
    let mut buffer = vec![0; 4096];
    loop {
        let read = from.read(&mut buffer).await.unwrap_or(0);
        // What was on its way when the network froze arrives when it thaws.
        if frozen.wait_for(|frozen| !frozen).await.is_err() || read == 0 {
            return;
        }
        if to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}
