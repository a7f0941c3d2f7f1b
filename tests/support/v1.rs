//! A page that speaks `goastgateway.v1`. Every message that goes either way is held against the
//! JSON Schema of the document.

use std::{
    collections::VecDeque,
    sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use futures_util::SinkExt;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{Message, client::IntoClientRequest, http::HeaderValue},
};

use super::{Doors, Got, ORIGIN, receive, soon, tls, token};

/// The schema of the document.
static SCHEMA: LazyLock<[jsonschema::Validator; 2]> = LazyLock::new(|| {
    let schema: Value =
        serde_json::from_str(include_str!("../../docs/phone-protocol.schema.json")).unwrap();
    ["fromPhone", "toPhone"].map(|side| {
        let mut schema = schema.clone();
        schema.as_object_mut().unwrap().remove("anyOf");
        schema["$ref"] = json!(format!("#/$defs/{side}"));
        jsonschema::draft202012::new(&schema).unwrap_or_else(|e| panic!("the schema: {e}"))
    })
});

/// Panics if a message is none of the document's.
pub fn check(message: &Value, from_phone: bool) {
    let validator = &SCHEMA[usize::from(!from_phone)];
    if let Err(error) = validator.validate(message) {
        panic!("not in the schema: {message:#}\n{error} at {}", error.instance_path);
    }
}

/// One page.
#[derive(Debug)]
pub struct Page {
    pub ws: WebSocketStream<TlsStream<TcpStream>>,
    pub ext: String,
    pub welcome: Value,
    /// Answers pings and confirms ringing, as a page that is alive does.
    pub alive: bool,
    /// Whether it minds that other devices of its extension come and go.
    pub minds_devices: bool,
    /// What came while something else was waited for.
    early: VecDeque<Value>,
    pub audio: VecDeque<Bytes>,
}

impl Page {
    /// Opens the WebSocket and says nothing.
    pub async fn open(gateway: &Doors, protocols: &str, path: &str) -> Result<Self, u16> {
        Self::open_from(gateway, protocols, path, ORIGIN).await
    }

    pub async fn open_from(
        gateway: &Doors,
        protocols: &str,
        path: &str,
        origin: &str,
    ) -> Result<Self, u16> {
        Self::open_with(gateway, protocols, path, origin, None).await
    }

    /// As a proxy does for this address.
    pub async fn open_as(gateway: &Doors, protocols: &str, address: &str) -> Self {
        Self::open_with(gateway, protocols, "/phone", ORIGIN, Some(address)).await.unwrap()
    }

    async fn open_with(
        gateway: &Doors,
        protocols: &str,
        path: &str,
        origin: &str,
        forwarded: Option<&str>,
    ) -> Result<Self, u16> {
        let stream = tls(gateway).await;
        let url = format!("wss://localhost:{}{path}", gateway.browser.port());
        let mut request = url.into_client_request().unwrap();
        let headers = request.headers_mut();
        headers.insert("origin", HeaderValue::from_str(origin).unwrap());
        headers.insert("sec-websocket-protocol", HeaderValue::from_str(protocols).unwrap());
        if let Some(address) = forwarded {
            headers.insert("x-forwarded-for", HeaderValue::from_str(address).unwrap());
        }
        match soon("the upgrade", tokio_tungstenite::client_async(request, stream)).await {
            Ok((ws, response)) => {
                assert_eq!(response.headers()["sec-websocket-protocol"], "goastgateway.v1");
                Ok(Self {
                    ws,
                    ext: String::new(),
                    welcome: Value::Null,
                    alive: true,
                    minds_devices: false,
                    early: VecDeque::new(),
                    audio: VecDeque::new(),
                })
            }
            Err(tokio_tungstenite::tungstenite::Error::Http(r)) => Err(r.status().as_u16()),
            Err(error) => panic!("{error}"),
        }
    }

    /// Logs in with its first message, as the document has it.
    pub async fn log_in(gateway: &Doors, ext: &str) -> Self {
        Self::log_in_with(gateway, ext, json!({})).await
    }

    /// The same, with more in the `login`.
    pub async fn log_in_with(gateway: &Doors, ext: &str, more: Value) -> Self {
        let mut page = Self::open(gateway, "goastgateway.v1", "/phone").await.unwrap();
        page.ext = ext.to_owned();
        let mut login = json!({ "type": "login", "token": token(ext) });
        login.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        page.say(login).await;
        page.welcome = page.expect("welcome").await;
        assert_eq!(page.welcome["extension"], ext);
        page
    }

    /// Comes back with the resume id of its welcome.
    pub async fn come_back(&self, gateway: &Doors) -> Self {
        let resume = self.welcome["resume"].clone();
        Self::log_in_with(gateway, &self.ext, json!({ "resume": resume })).await
    }

    pub async fn say(&mut self, message: Value) {
        check(&message, true);
        self.say_anything(&message.to_string()).await;
    }

    pub async fn say_anything(&mut self, text: &str) {
        self.ws.send(Message::text(text)).await.unwrap();
    }

    pub async fn speak(&mut self, audio: impl Into<Bytes>) {
        self.ws.send(Message::Binary(audio.into())).await.unwrap();
    }

    /// The next thing, whatever it is, apart from what a living page does by itself.
    pub async fn next(&mut self) -> Got {
        loop {
            let got = soon(&format!("something at page {}", self.ext), receive(&mut self.ws)).await;
            let Got::Text(text) = &got else { return got };
            let message: Value = serde_json::from_str(text).unwrap();
            check(&message, false);
            if self.alive && message["type"] == "ping" {
                let pong = json!({ "type": "pong", "n": message["n"] });
                self.ws.send(Message::text(pong.to_string())).await.unwrap();
                continue;
            }
            if message["type"] == "devices" && !self.minds_devices {
                continue;
            }
            if self.alive && message["type"] == "incoming" {
                let ringing = json!({ "type": "ringing", "call": message["call"] });
                self.ws.send(Message::text(ringing.to_string())).await.unwrap();
            }
            return got;
        }
    }

    /// The next text message.
    pub async fn message(&mut self) -> Value {
        if let Some(message) = self.early.pop_front() {
            return message;
        }
        self.message_now().await
    }

    async fn message_now(&mut self) -> Value {
        loop {
            match self.next().await {
                Got::Text(text) => return serde_json::from_str(&text).unwrap(),
                Got::Audio(audio) => self.audio.push_back(audio),
                other => panic!("page {}: a message was expected, came {other:?}", self.ext),
            }
        }
    }

    /// The next message, which is of this type.
    pub async fn expect(&mut self, kind: &str) -> Value {
        let message = self.message().await;
        assert_eq!(message["type"], kind, "page {}: {message}", self.ext);
        message
    }

    /// Asks something and gives the answer; what comes before it waits.
    pub async fn ask(&mut self, mut request: Value) -> Value {
        // The gateway remembers ids across a return: a page that is loaded again has others.
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let id = json!(format!("page-{}", NEXT.fetch_add(1, Ordering::Relaxed)));
        request["id"] = id.clone();
        self.say(request).await;
        self.answer(&id).await
    }

    pub async fn answer(&mut self, id: &Value) -> Value {
        loop {
            let message = self.message_now().await;
            if message["id"] == *id {
                return message;
            }
            self.early.push_back(message);
        }
    }

    /// Asks something that is done.
    pub async fn done(&mut self, request: Value) -> Value {
        let answer = self.ask(request.clone()).await;
        assert_eq!(answer["type"], "ok", "{request}: {answer}");
        answer
    }

    /// Asks something that is refused with this name.
    pub async fn refused(&mut self, request: Value, name: &str) -> Value {
        let answer = self.ask(request.clone()).await;
        assert_eq!(answer["name"], name, "{request}: {answer}");
        answer
    }

    /// The next frame of audio.
    pub async fn frame(&mut self) -> Bytes {
        if let Some(audio) = self.audio.pop_front() {
            return audio;
        }
        match self.next().await {
            Got::Audio(audio) => audio,
            other => panic!("page {}: audio was expected, came {other:?}", self.ext),
        }
    }

    /// Shows that nothing is on its way to this page.
    pub async fn expect_nothing(&mut self) {
        self.done(json!({ "type": "ping", "n": 1 })).await;
        let pong = self.early.pop_front();
        assert_eq!(pong.as_ref().map(|m| &m["type"]), Some(&json!("pong")), "{pong:?}");
        assert!(self.early.is_empty(), "page {}: {:?}", self.ext, self.early);
    }

    /// Waits for the end of the connection: what was said last, and the close code.
    pub async fn closed(&mut self) -> (Option<Value>, Option<u16>) {
        let mut last = self.early.pop_back();
        loop {
            match self.next().await {
                Got::Text(text) => last = Some(serde_json::from_str(&text).unwrap()),
                Got::Audio(_) => {}
                Got::Closed(code) => return (last, code),
                Got::Lost => return (last, None),
            }
        }
    }
}
