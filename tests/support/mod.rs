//! A gateway in this process with real sockets and real TLS, a PBX that speaks chan_websocket's
//! protocol to it, and phones that speak the Go gateway's.
//!
//! Nothing here waits for luck: every wait is for a message, and [`PATIENCE`] only turns a hang
//! into a failure.
#![allow(dead_code)]

pub mod disk;
pub mod manager;
pub mod v1;

use std::{
    future::Future,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use arc_swap::ArcSwap;
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use goastgateway::{
    app::{self, Control, Listeners, SharedConfig},
    asterisk::ami::client::Ami,
    config::{self, Files, GroupsFile},
    exchange::Exchange,
    report::metrics::Metrics,
};
use serde_json::{Value, json};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        self, Message,
        client::IntoClientRequest,
        http::{HeaderName, HeaderValue},
    },
};

/// How long a message that has to come may take on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(20);
pub const SECRET: &str = "a-secret-for-tests-that-is-long-enough-0123456789";
pub const ORIGIN: &str = "https://crm.example";

/// Waits for what has to come.
pub async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match timeout(PATIENCE, future).await {
        Ok(value) => value,
        Err(_) => panic!("waited in vain for {what}"),
    }
}

/// Where a gateway is to be found, and the certificate that it shows.
#[derive(Debug, Clone)]
pub struct Doors {
    pub asterisk: SocketAddr,
    pub browser: SocketAddr,
    pub admin: SocketAddr,
    pub cert: PathBuf,
}

/// A gateway that runs in this process, and the files that it was made from.
pub struct Gateway {
    doors: Doors,
    pub exchange: Arc<Exchange>,
    pub config: SharedConfig,
    pub control: Control,
    pub files: Files,
    task: Option<JoinHandle<()>>,
    _folder: tempfile::TempDir,
}

/// The configuration of a test, before a test changes it.
pub fn base_config(folder: &Path) -> Value {
    json!({
        "asterisk_addr": "127.0.0.1:18765",
        "browser_addr": "127.0.0.1:18766",
        "admin_addr": "127.0.0.1:18767",
        "extension_variable": "WS_EXTEN",
        "exten_search_pattern": "ws-ext-(\\w+)",
        "cert_file": folder.join("cert.pem"),
        "key_file": folder.join("key.pem"),
        "allowed_asterisk_ips": ["127.0.0.1"],
        "allowed_browser_ips": ["127.0.0.1"],
        "allowed_origins": [ORIGIN],
        "jwt_secret": SECRET,
        "log_level": "DEBUG",
        "state_dir": "",
    })
}

/// Writes a certificate for localhost and its key.
pub fn write_certificate(folder: &Path) -> (PathBuf, PathBuf) {
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    let (cert, key) = (folder.join("cert.pem"), folder.join("key.pem"));
    std::fs::write(&cert, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    (cert, key)
}

impl std::ops::Deref for Gateway {
    type Target = Doors;

    fn deref(&self) -> &Doors {
        &self.doors
    }
}

impl Gateway {
    pub async fn start() -> Self {
        Self::with(|_| {}, json!({})).await
    }

    pub async fn with_groups(groups: Value) -> Self {
        Self::with(|_| {}, groups).await
    }

    pub async fn with(change: impl FnOnce(&mut Value), groups: Value) -> Self {
        if std::env::var_os("TEST_LOG").is_some() {
            goastgateway::logging::start(&config::LogSettings {
                level: tracing::level_filters::LevelFilter::DEBUG,
                format: config::LogFormat::Text,
            });
        }
        let folder = tempfile::tempdir().unwrap();
        let (cert, _) = write_certificate(folder.path());
        let mut text = base_config(folder.path());
        change(&mut text);
        let config_file = folder.path().join("goastgateway.json");
        let groups_file = folder.path().join("gag_groups.json");
        std::fs::write(&config_file, text.to_string()).unwrap();
        std::fs::write(&groups_file, groups.to_string()).unwrap();
        let files = Files { config: config_file, groups: GroupsFile::Required(groups_file) };
        let loaded = config::load(&files).unwrap_or_else(|p| panic!("{p}"));
        let config = Arc::new(ArcSwap::from_pointee(loaded.config));
        let bind = || TcpListener::bind("127.0.0.1:0");
        let listeners = Listeners {
            asterisk: bind().await.unwrap(),
            browser: bind().await.unwrap(),
            admin: Some(bind().await.unwrap()),
        };
        let asterisk = listeners.asterisk.local_addr().unwrap();
        let browser = listeners.browser.local_addr().unwrap();
        let admin = listeners.admin.as_ref().unwrap().local_addr().unwrap();
        let metrics = Arc::new(Metrics::new());
        let ami = match config.load().ami.clone() {
            Some(settings) => Ami::start(settings, metrics.ami_up.clone(), Default::default()),
            None => Ami::absent(),
        };
        let exchange = Exchange::with_ami(metrics, ami);
        let control = Control::default();
        let task = tokio::spawn(app::run_with(
            config.clone(),
            listeners,
            control.clone(),
            exchange.clone(),
        ));
        Self {
            doors: Doors { asterisk, browser, admin, cert },
            exchange,
            config,
            control,
            files,
            task: Some(task),
            _folder: folder,
        }
    }

    /// Reads the files anew, as SIGHUP does.
    pub fn reload(&self) {
        let loaded = config::load(&self.files).unwrap_or_else(|p| panic!("{p}"));
        self.config.store(Arc::new(loaded.config));
    }

    /// Waits until the gateway has stopped by itself.
    pub async fn stopped(&mut self) {
        let task = self.task.take().unwrap();
        soon("the gateway's end", task).await.unwrap();
    }

    /// A token for this extension, an hour long.
    pub fn token(&self, ext: &str) -> String {
        token(ext)
    }

    /// One line of `/metrics`, as a number; 0 if it isn't there.
    pub fn metric(&self, line: &str) -> f64 {
        let text = self.exchange.metrics.text();
        text.lines().find_map(|l| l.strip_prefix(line)?.trim().parse().ok()).unwrap_or_default()
    }
}

pub fn token(ext: &str) -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let claims = json!({ "ext": ext, "iat": now, "exp": now + 3600 });
    sign(&claims, SECRET)
}

pub fn sign(claims: &Value, secret: &str) -> String {
    jsonwebtoken::encode(
        &jsonwebtoken::Header::default(),
        claims,
        &jsonwebtoken::EncodingKey::from_secret(secret.as_bytes()),
    )
    .unwrap()
}

/// What came over a socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Got {
    Text(String),
    Audio(Bytes),
    Closed(Option<u16>),
    Lost,
}

async fn receive<S>(ws: &mut WebSocketStream<S>) -> Got
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    loop {
        match ws.next().await {
            Some(Ok(Message::Text(text))) => return Got::Text(text.to_string()),
            Some(Ok(Message::Binary(bytes))) => return Got::Audio(bytes),
            Some(Ok(Message::Close(frame))) => return Got::Closed(frame.map(|f| f.code.into())),
            Some(Ok(_)) => {}
            Some(Err(_)) | None => return Got::Lost,
        }
    }
}

/// Asterisk's end of one call.
pub struct Pbx {
    pub ws: WebSocketStream<TcpStream>,
    json: bool,
}

impl Pbx {
    /// Connects and says nothing.
    pub async fn connect(gateway: &Doors) -> Self {
        let stream = TcpStream::connect(gateway.asterisk).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let mut request = format!("ws://{}/", gateway.asterisk).into_client_request().unwrap();
        request.headers_mut().insert("Sec-WebSocket-Protocol", HeaderValue::from_static("media"));
        let (ws, response) = tokio_tungstenite::client_async(request, stream).await.unwrap();
        assert_eq!(response.headers()["sec-websocket-protocol"], "media");
        assert!(!response.headers().contains_key("sec-websocket-extensions"));
        Self { ws, json: true }
    }

    /// Calls an extension or a group, the JSON way.
    pub async fn dial(gateway: &Doors, ext: &str) -> Self {
        let mut pbx = Self::connect(gateway).await;
        pbx.send(media_start(json!({ "WS_EXTEN": ext })).to_string()).await;
        pbx
    }

    /// Calls by the name of the section in websocket_client.conf, the plain-text way.
    pub async fn dial_text(gateway: &Doors, connection: &str) -> Self {
        let mut pbx = Self::connect(gateway).await;
        pbx.json = false;
        pbx.send(format!(
            "MEDIA_START connection_id:{connection} channel:WebSocket/{connection}/0x7f01 \
             channel_id:1700000000.1 format:slin16 optimal_frame_size:640 ptime:20"
        ))
        .await;
        pbx
    }

    pub async fn send(&mut self, text: impl Into<String>) {
        self.ws.send(Message::text(text.into())).await.unwrap();
    }

    pub async fn send_audio(&mut self, audio: impl Into<Bytes>) {
        self.ws.send(Message::Binary(audio.into())).await.unwrap();
    }

    /// The next thing, whatever it is.
    pub async fn next(&mut self) -> Got {
        soon("something from the gateway at Asterisk's end", receive(&mut self.ws)).await
    }

    /// The next command by its name, apart from GET_STATUS.
    pub async fn command(&mut self) -> String {
        loop {
            match self.next().await {
                Got::Text(text) => {
                    assert!(text.len() <= 128, "{text}");
                    let name = if self.json {
                        let value: Value = serde_json::from_str(&text).unwrap();
                        value["command"].as_str().unwrap().to_owned()
                    } else {
                        text
                    };
                    if name != "GET_STATUS" {
                        return name;
                    }
                }
                Got::Audio(_) => {}
                other => panic!("a command was expected, came {other:?}"),
            }
        }
    }

    pub async fn expect(&mut self, command: &str) {
        assert_eq!(self.command().await, command);
    }

    /// The next audio that isn't silence.
    pub async fn speech(&mut self) -> Bytes {
        loop {
            match self.next().await {
                Got::Audio(audio) if audio.iter().any(|b| *b != 0) => return audio,
                Got::Audio(_) | Got::Text(_) => {}
                other => panic!("audio was expected, came {other:?}"),
            }
        }
    }

    /// Closes as Asterisk does when the caller hangs up.
    pub async fn hang_up(&mut self) {
        let _ = self.ws.close(None).await;
    }

    /// Waits for the end of the connection.
    pub async fn closed(&mut self) {
        loop {
            match self.next().await {
                Got::Closed(_) | Got::Lost => return,
                _ => {}
            }
        }
    }
}

/// MEDIA_START in JSON with these channel variables.
pub fn media_start(variables: Value) -> Value {
    json!({
        "event": "MEDIA_START",
        "connection_id": "ws-ext-endpoint",
        "channel": "WebSocket/ws-ext-endpoint/0x7f00",
        "channel_id": "1700000000.0",
        "format": "slin16",
        "optimal_frame_size": 640,
        "ptime": 20,
        "channel_variables": variables,
    })
}

/// A browser's end.
#[derive(Debug)]
pub struct Phone {
    pub ws: WebSocketStream<TlsStream<TcpStream>>,
    pub ext: String,
}

impl Phone {
    pub async fn log_in(gateway: &Doors, ext: &str) -> Self {
        Self::try_log_in(gateway, ext).await.unwrap()
    }

    /// Logs in; whether it is registered shows by what comes.
    pub async fn try_log_in(gateway: &Doors, ext: &str) -> Result<Self, u16> {
        let path = format!("/phone?token={}", token(ext));
        Self::open(gateway, &path, &[("origin", ORIGIN)])
            .await
            .map(|ws| Self { ws, ext: ext.to_owned() })
    }

    /// Opens a WebSocket; an HTTP refusal is its status.
    pub async fn open(
        gateway: &Doors,
        path: &str,
        headers: &[(&'static str, &str)],
    ) -> Result<WebSocketStream<TlsStream<TcpStream>>, u16> {
        let stream = tls(gateway).await;
        let mut request = format!("wss://localhost:{}{path}", gateway.browser.port())
            .into_client_request()
            .unwrap();
        for (name, value) in headers {
            request
                .headers_mut()
                .append(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
        }
        match soon("the upgrade", tokio_tungstenite::client_async(request, stream)).await {
            Ok((ws, _)) => Ok(ws),
            Err(tungstenite::Error::Http(response)) => Err(response.status().as_u16()),
            Err(error) => panic!("{error}"),
        }
    }

    /// Logs in and waits until the exchange knows it.
    pub async fn ready(gateway: &Doors, ext: &str) -> Self {
        let mut phone = Self::log_in(gateway, ext).await;
        // A late answer gets HANGUP: a round trip through the phone's own task.
        phone.say("ANSWER").await;
        phone.expect("HANGUP").await;
        phone
    }

    pub async fn say(&mut self, text: &str) {
        self.ws.send(Message::text(text)).await.unwrap();
    }

    pub async fn speak(&mut self, audio: impl Into<Bytes>) {
        self.ws.send(Message::Binary(audio.into())).await.unwrap();
    }

    pub async fn next(&mut self) -> Got {
        soon(&format!("something at phone {}", self.ext), receive(&mut self.ws)).await
    }

    /// The next text.
    pub async fn text(&mut self) -> String {
        loop {
            match self.next().await {
                Got::Text(text) => return text,
                Got::Audio(_) => {}
                other => panic!("phone {}: text was expected, came {other:?}", self.ext),
            }
        }
    }

    pub async fn expect(&mut self, text: &str) {
        assert_eq!(self.text().await, text, "phone {}", self.ext);
    }

    /// Audio, and nothing before it.
    pub async fn audio(&mut self) -> Bytes {
        match self.next().await {
            Got::Audio(audio) => audio,
            other => panic!("phone {}: audio was expected, came {other:?}", self.ext),
        }
    }

    /// Shows that nothing but this round trip is on its way to an idle phone.
    pub async fn expect_nothing(&mut self) {
        self.say("ANSWER").await;
        assert_eq!(self.next().await, Got::Text("HANGUP".into()), "phone {}", self.ext);
    }

    pub async fn hang_up(&mut self) {
        self.say("HANGUP").await;
        self.expect("HANGUP").await;
    }

    /// Waits for the end of the connection; gives the close code.
    pub async fn closed(&mut self) -> Option<u16> {
        loop {
            match self.next().await {
                Got::Closed(code) => return code,
                Got::Lost => return None,
                _ => {}
            }
        }
    }
}

/// A TLS connection to the browsers' door that trusts this gateway's certificate only.
pub async fn tls(gateway: &Doors) -> TlsStream<TcpStream> {
    use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject};
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(&gateway.cert).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(gateway.browser).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap()
}

/// A frame of 20 ms that says its number in every sample.
pub fn frame(number: u16) -> Bytes {
    Bytes::from(number.to_le_bytes().repeat(320))
}

/// The call is up: phone and PBX, both answered.
pub async fn talking(gateway: &Doors, ext: &str) -> (Pbx, Phone) {
    let mut phone = Phone::ready(gateway, ext).await;
    let mut pbx = Pbx::dial(gateway, ext).await;
    phone.expect("RINGING").await;
    phone.say("ANSWER").await;
    pbx.expect("ANSWER").await;
    (pbx, phone)
}
