//! An Asterisk as ARI shows it: channels, bridges, snoops and external media that connect to the
//! gateway as Asterisk does. It does what it is asked, or misbehaves on request.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use futures_util::{SinkExt, StreamExt};
use goastgateway::tap::event::Events;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{Notify, broadcast},
    task::JoinHandle,
    time::interval,
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{Message, client::IntoClientRequest, handshake, protocol::Role},
};

use crate::{AGENT, CALLER, LOUD, support::Gateway, voice};

/// The channel that can be listened to.
pub const TARGET: &str = "1795227632.2";
pub const TARGET_NAME: &str = "PJSIP/2001-0000002a";
pub const PASSWORD: &str = "ari-hunter2-of-the-tests";

/// What it does with requests whose line holds a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rude {
    /// Refuses with this status.
    Status(u16),
    /// Does it and never answers.
    Silent,
    /// Does it and breaks the connection.
    Breaks,
    /// Says that it is done and does nothing.
    Lies,
}

pub struct Ari {
    pub address: SocketAddr,
    world: Arc<World>,
    task: JoinHandle<()>,
}

struct World {
    state: Mutex<State>,
    events: broadcast::Sender<String>,
    /// Breaks every connection for events.
    cut: Notify,
}

#[derive(Default)]
struct State {
    channels: BTreeMap<String, Channel>,
    bridges: BTreeMap<String, Vec<String>>,
    requests: Vec<String>,
    rude: Vec<(String, Rude)>,
    gateway: Option<SocketAddr>,
    /// Refuses connections for events.
    deaf: bool,
}

struct Channel {
    name: String,
    /// What brings its audio to the gateway.
    pump: Option<JoinHandle<()>>,
}

impl Drop for Channel {
    fn drop(&mut self) {
        if let Some(pump) = &self.pump {
            pump.abort();
        }
    }
}

impl Drop for Ari {
    fn drop(&mut self) {
        self.task.abort();
        self.world.state().channels.clear();
    }
}

impl World {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn tell(&self, kind: &str, id: &str) {
        let event = json!({ "type": kind, "channel": { "id": id, "name": "x" } });
        let _ = self.events.send(event.to_string());
    }

    /// A channel is over, and with it what listens to it.
    fn hang_up(&self, id: &str) -> bool {
        let gone = self.state().channels.remove(id);
        let was_there = gone.is_some();
        drop(gone);
        if was_there {
            self.tell("ChannelDestroyed", id);
        }
        if id == TARGET {
            let snoops: Vec<String> = {
                let state = self.state();
                state
                    .channels
                    .iter()
                    .filter(|(_, c)| c.name.starts_with("Snoop/"))
                    .map(|(id, _)| id.clone())
                    .collect()
            };
            snoops.iter().for_each(|snoop| {
                self.hang_up(snoop);
            });
        }
        was_there
    }
}

impl Ari {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let world = Arc::new(World {
            state: Mutex::default(),
            events: broadcast::channel(1000).0,
            cut: Notify::new(),
        });
        let target = Channel { name: TARGET_NAME.to_owned(), pump: None };
        world.state().channels.insert(TARGET.to_owned(), target);
        let shared = world.clone();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, shared.clone()));
            }
        });
        Self { address, world, task }
    }

    pub fn settings(&self) -> Value {
        json!({
            "url": format!("http://{}", self.address), "username": "gw", "password": PASSWORD,
            "connection": "ws-ext-endpoint",
        })
    }

    /// A gateway that uses this ARI and is logged in.
    pub async fn gateway(&self, change: impl FnOnce(&mut Value)) -> Gateway {
        self.gateway_and_events(change).await.0
    }

    /// The same, and what happens to its taps. (They are for the first who asks.)
    pub async fn gateway_and_events(&self, change: impl FnOnce(&mut Value)) -> (Gateway, Events) {
        let settings = self.settings();
        let gateway = Gateway::with(
            move |config| {
                config["ari"] = settings;
                change(config);
            },
            json!({}),
        )
        .await;
        let events = gateway.exchange.taps.take_events().unwrap();
        self.world.state().gateway = Some(gateway.asterisk);
        crate::until("ARI", || gateway.metric("goastgateway_ari_up") > 0.0).await;
        (gateway, events)
    }

    pub fn be(&self, rude: Rude, to: &str) {
        self.world.state().rude.push((to.to_owned(), rude));
    }

    pub fn be_nice(&self) {
        let mut state = self.world.state();
        state.rude.clear();
        state.deaf = false;
    }

    pub fn hang_up(&self, id: &str) {
        self.world.hang_up(id);
    }

    /// Something that somebody else, or an earlier run, has made.
    pub fn add(&self, channel: &str, bridge: &str) {
        let mut state = self.world.state();
        let other = Channel { name: "Snoop/1.1-00000000".to_owned(), pump: None };
        state.channels.insert(channel.to_owned(), other);
        state.bridges.insert(bridge.to_owned(), Vec::new());
    }

    /// Everything that there is, but for the channel that can be listened to.
    pub fn all(&self) -> Vec<String> {
        let state = self.world.state();
        let channels = state.channels.keys().filter(|id| *id != TARGET);
        channels.chain(state.bridges.keys()).cloned().collect()
    }

    pub fn requests(&self) -> Vec<String> {
        self.world.state().requests.clone()
    }

    /// Ends the leg that brings a side's audio, and nothing else.
    pub fn break_leg(&self) {
        for (id, channel) in &mut self.world.state().channels {
            if id.ends_with("-mi") {
                channel.pump.take().unwrap().abort();
            }
        }
    }

    /// Breaks the connection for events, and takes none until [`Ari::be_nice`].
    pub fn go_deaf(&self) {
        self.world.state().deaf = true;
        self.world.cut.notify_waiters();
    }

    /// Somebody else takes the application.
    pub fn replace(&self) {
        let event = json!({ "type": "ApplicationReplaced", "application": "goastgateway" });
        let _ = self.world.events.send(event.to_string());
    }

    pub fn enter(&self, id: &str) {
        self.world.tell("StasisStart", id);
    }
}

async fn serve(mut stream: TcpStream, world: Arc<World>) {
    let mut head = Vec::new();
    loop {
        while !head.ends_with(b"\r\n\r\n") {
            match stream.read_u8().await {
                Ok(byte) => head.push(byte),
                Err(_) => return,
            }
        }
        let text = String::from_utf8(std::mem::take(&mut head)).unwrap();
        let line = text.lines().next().unwrap_or_default().to_owned();
        let header = |name: &str| {
            text.lines().find_map(|line| {
                let (key, value) = line.split_once(": ")?;
                key.eq_ignore_ascii_case(name).then(|| value.to_owned())
            })
        };
        use base64::Engine as _;
        let login = base64::engine::general_purpose::STANDARD.encode(format!("gw:{PASSWORD}"));
        let is_in = header("authorization") == Some(format!("Basic {login}"));
        if let Some(key) = header("sec-websocket-key") {
            let deaf = world.state().deaf;
            if !is_in || deaf {
                let status = if deaf { 503 } else { 401 };
                let _ = stream.write_all(answer(status, &Value::Null).as_bytes()).await;
                return;
            }
            let accept = handshake::derive_accept_key(key.as_bytes());
            let switch = format!(
                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                 Sec-WebSocket-Accept: {accept}\r\nSec-WebSocket-Protocol: ari\r\n\r\n"
            );
            let heard = world.events.subscribe();
            let _ = stream.write_all(switch.as_bytes()).await;
            return events(stream, heard, &world).await;
        }
        let request = line.trim_end_matches(" HTTP/1.1").to_owned();
        let rude = {
            let mut state = world.state();
            state.requests.push(request.clone());
            state.rude.iter().find(|(text, _)| request.contains(text)).map(|(_, rude)| *rude)
        };
        let (status, body) = match rude {
            _ if !is_in => (401, json!({ "message": "Authentication required" })),
            Some(Rude::Status(status)) => (status, json!({ "message": "as told by the test" })),
            Some(Rude::Lies) => (200, json!({})),
            _ => perform(&request, &world).await,
        };
        match rude {
            Some(Rude::Silent) => std::future::pending().await,
            Some(Rude::Breaks) => return,
            _ => {}
        }
        if stream.write_all(answer(status, &body).as_bytes()).await.is_err() {
            return;
        }
    }
}

fn answer(status: u16, body: &Value) -> String {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let length = body.len();
    format!(
        "HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    )
}

async fn events(stream: TcpStream, mut heard: broadcast::Receiver<String>, world: &World) {
    let mut ws = WebSocketStream::from_raw_socket(stream, Role::Server, None).await;
    loop {
        tokio::select! {
            () = world.cut.notified() => return,
            event = heard.recv() => if let Ok(event) = event
                && ws.send(Message::text(event)).await.is_err() { return },
            got = ws.next() => if !matches!(got, Some(Ok(_))) { return },
        }
    }
}

/// Does what is asked, as Asterisk would.
async fn perform(request: &str, world: &Arc<World>) -> (u16, Value) {
    let (method, rest) = request.split_once(' ').unwrap();
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    let value = |name: &str| {
        let found = query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
        found.unwrap_or_default().to_owned()
    };
    let not_found = (404, json!({ "message": "not found" }));
    let shown = |id: &str, channel: &Channel| {
        json!({
            "id": id, "name": channel.name, "state": "Up",
            "caller": { "name": "", "number": "2001" },
            "connected": { "name": "", "number": "0312345678" },
            "dialplan": { "context": "in", "exten": "2001", "priority": 1, "app_name": "AppDial", "app_data": "" },
        })
    };
    let parts: Vec<&str> = path.strip_prefix("/ari/").unwrap().split('/').collect();
    match (method, parts.as_slice()) {
        ("GET", ["channels"]) => {
            let state = world.state();
            let all: Vec<Value> = state.channels.iter().map(|(id, c)| shown(id, c)).collect();
            (200, Value::Array(all))
        }
        ("GET", ["channels", id]) => {
            let state = world.state();
            state.channels.get(*id).map_or(not_found, |channel| (200, shown(id, channel)))
        }
        ("GET", ["channels", _, "variable"]) if value("variable") == "CRM" => {
            (200, json!({ "value": "17" }))
        }
        ("GET", ["bridges"]) => {
            let all: Vec<Value> = world
                .state()
                .bridges
                .keys()
                .map(|id| json!({ "id": id, "channels": [] }))
                .collect();
            (200, Value::Array(all))
        }
        ("POST", ["channels", "externalMedia"]) => {
            let id = value("channelId");
            let gateway = world.state().gateway.unwrap();
            let Some(pump) = bring(gateway, &id, world.clone()).await else {
                return (500, json!({ "error": "Allocation failed" }));
            };
            let channel =
                Channel { name: "WebSocket/ws-ext-endpoint/0x7f11".to_owned(), pump: Some(pump) };
            world.state().channels.insert(id.clone(), channel);
            world.tell("StasisStart", &id);
            (200, json!({ "id": id }))
        }
        ("POST", ["channels", target, "snoop"]) => {
            if !world.state().channels.contains_key(*target) {
                return not_found;
            }
            let id = value("snoopId");
            let channel = Channel { name: format!("Snoop/{target}-00000000"), pump: None };
            world.state().channels.insert(id.clone(), channel);
            world.tell("StasisStart", &id);
            (200, json!({ "id": id }))
        }
        ("POST", ["bridges"]) => {
            world.state().bridges.insert(value("bridgeId"), Vec::new());
            (200, json!({ "id": value("bridgeId") }))
        }
        ("POST", ["bridges", id, "addChannel"]) => {
            let mut state = world.state();
            let channels: Vec<String> = value("channel").split(',').map(str::to_owned).collect();
            if !channels.iter().all(|id| state.channels.contains_key(id)) {
                return (400, json!({ "message": "Channel not found" }));
            }
            match state.bridges.get_mut(*id) {
                Some(bridge) => {
                    *bridge = channels;
                    (204, Value::Null)
                }
                None => not_found,
            }
        }
        ("DELETE", ["channels", id]) => {
            if world.hang_up(id) {
                (204, Value::Null)
            } else {
                not_found
            }
        }
        ("DELETE", ["bridges", id]) => match world.state().bridges.remove(*id) {
            Some(_) => (204, Value::Null),
            None => not_found,
        },
        _ => not_found,
    }
}

/// Connects as Asterisk does, and brings a voice once the channel is in a bridge.
async fn bring(gateway: SocketAddr, id: &str, world: Arc<World>) -> Option<JoinHandle<()>> {
    let stream = TcpStream::connect(gateway).await.ok()?;
    let request = format!("ws://{gateway}/").into_client_request().ok()?;
    let (mut ws, _) = tokio_tungstenite::client_async(request, stream).await.ok()?;
    let start = json!({
        "event": "MEDIA_START", "connection_id": "ws-ext-endpoint",
        "channel": "WebSocket/ws-ext-endpoint/0x7f11", "channel_id": id, "format": "slin16",
        "optimal_frame_size": 640, "ptime": 20, "channel_variables": {},
    });
    ws.send(Message::text(start.to_string())).await.ok()?;
    let period = if id.ends_with("-mi") { AGENT } else { CALLER };
    let id = id.to_owned();
    Some(tokio::spawn(async move {
        let mut every = interval(Duration::from_millis(20));
        let mut n = 0;
        loop {
            tokio::select! {
                _ = every.tick() => {
                    let id = &id;
                    let joined = world.state().bridges.values().any(|bridge| bridge.contains(id));
                    if joined && ws.send(Message::Binary(voice(period, LOUD, n))).await.is_err() {
                        break;
                    }
                    n += 1;
                }
                got = ws.next() => if !matches!(got, Some(Ok(Message::Text(_) | Message::Ping(_)))) { break },
            }
        }
        world.hang_up(&id);
    }))
}
