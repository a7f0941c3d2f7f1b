//! The connection to the manager: logs in, keeps it up, carries actions.
//!
//! Promises: it connects again for as long as it runs, with growing pauses, and says once when it
//! is lost and once when it is back; its secret is in no log; an action that can't be sent is
//! refused at once.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::BytesMut;
use prometheus_client::metrics::gauge::Gauge;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    sync::mpsc,
    time::{Instant, interval_at, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::message::{Action, BadPacket, Decoder, Packet};
use crate::config::AmiSettings;

/// Actions that may wait for the connection.
const QUEUE: usize = 64;
/// How long a connection, and a login on it, may take.
const CONNECT_TIME: Duration = Duration::from_secs(5);
/// How often a quiet connection is asked whether it is there, and how long it has to answer.
const PING_EVERY: Duration = Duration::from_secs(15);
/// Pauses between attempts: the first, and the longest.
const PAUSE: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(20));

/// Where actions are handed in. Cheap to clone; works, by refusing, without a manager.
#[derive(Debug, Clone)]
pub struct Ami {
    actions: mpsc::Sender<Action>,
    up: Arc<AtomicBool>,
}

/// Why the manager can't be used.
#[derive(Debug, thiserror::Error)]
pub enum AmiError {
    #[error("can't connect: {0}")]
    Connect(io::Error),
    #[error("the connection was lost: {0}")]
    Lost(io::Error),
    #[error("no answer in time")]
    Time,
    #[error("{0}")]
    Packet(#[from] BadPacket),
    #[error("the login was refused ({0}): compare username and secret with manager.conf")]
    Login(String),
    #[error("TLS: {0}")]
    Tls(String),
}

impl Ami {
    /// A manager that is never there.
    pub fn absent() -> Self {
        Self { actions: mpsc::channel(1).0, up: Arc::default() }
    }

    /// Keeps a connection up until `stop`.
    pub fn start(settings: AmiSettings, gauge: Gauge, stop: CancellationToken) -> Self {
        let (actions, requests) = mpsc::channel(QUEUE);
        let up = Arc::new(AtomicBool::new(false));
        tokio::spawn(keep_up(settings, requests, up.clone(), gauge, stop));
        Self { actions, up }
    }

    /// Whether the manager is there.
    pub fn is_up(&self) -> bool {
        self.up.load(Ordering::Acquire)
    }

    /// Hands an action over without waiting for anything; false if it can't be sent now.
    pub fn send(&self, action: Action) -> bool {
        self.is_up() && self.actions.try_send(action).is_ok()
    }
}

async fn keep_up(
    settings: AmiSettings,
    mut requests: mpsc::Receiver<Action>,
    up: Arc<AtomicBool>,
    gauge: Gauge,
    stop: CancellationToken,
) {
    let mut pause = PAUSE.0;
    let mut said_lost = false;
    loop {
        let began = Instant::now();
        let result = tokio::select! {
            () = stop.cancelled() => return,
            result = one_connection(&settings, &mut requests, &up, &gauge) => result,
        };
        let was_up = up.swap(false, Ordering::AcqRel);
        gauge.set(0);
        // What waited was meant for a moment that has passed.
        while requests.try_recv().is_ok() {}
        if was_up || !said_lost {
            if let Err(error) = result {
                warn!(host = %settings.host, port = settings.port, "Asterisk's manager: {error}");
            }
            said_lost = true;
        }
        if was_up && began.elapsed() > PAUSE.1 {
            pause = PAUSE.0;
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
        pause = (pause * 2).min(PAUSE.1);
    }
}

async fn one_connection(
    settings: &AmiSettings,
    requests: &mut mpsc::Receiver<Action>,
    up: &AtomicBool,
    gauge: &Gauge,
) -> Result<(), AmiError> {
    let mut connection =
        timeout(CONNECT_TIME, Connection::open(settings)).await.map_err(|_| AmiError::Time)??;
    info!(host = %settings.host, port = settings.port, "logged in to Asterisk's manager");
    up.store(true, Ordering::Release);
    gauge.set(1);
    let mut ping = interval_at(Instant::now() + PING_EVERY, PING_EVERY);
    let mut unanswered: Option<u64> = None;
    loop {
        tokio::select! {
            action = requests.recv() => {
                let Some(action) = action else { return Ok(()) };
                connection.send(&action).await?;
            }
            packet = connection.receive() => {
                let packet = packet?;
                let id = packet.get("ActionID").parse().ok();
                if id.is_some() && id == unanswered {
                    unanswered = None;
                } else if id.is_some() && !packet.is_success() {
                    // A call that ended in the same instant; or a user who may not.
                    warn!(answer = ?packet.get("Message"), "Asterisk's manager refused an action");
                }
            }
            _ = ping.tick() => {
                if unanswered.is_some() {
                    return Err(AmiError::Time);
                }
                unanswered = Some(connection.send(&Action::new("Ping")).await?);
            }
        }
    }
}

/// One logged-in connection.
pub struct Connection {
    stream: Box<dyn Stream>,
    decoder: Decoder,
    bytes: BytesMut,
    next_id: u64,
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

impl Connection {
    /// Connects and logs in.
    pub async fn open(settings: &AmiSettings) -> Result<Self, AmiError> {
        let address = (settings.host.as_str(), settings.port);
        let stream = TcpStream::connect(address).await.map_err(AmiError::Connect)?;
        let _ = stream.set_nodelay(true);
        let stream: Box<dyn Stream> = match &settings.tls {
            None => Box::new(stream),
            Some(tls) => {
                let name = rustls::pki_types::ServerName::try_from(settings.host.clone())
                    .map_err(|error| AmiError::Tls(error.to_string()))?;
                let connector = tokio_rustls::TlsConnector::from(tls.clone());
                let stream = connector.connect(name, stream).await;
                Box::new(stream.map_err(|error| AmiError::Tls(error.to_string()))?)
            }
        };
        let mut connection =
            Self { stream, decoder: Decoder::default(), bytes: BytesMut::new(), next_id: 1 };
        let refused = |_| AmiError::Login("a line break in username or secret".to_owned());
        let login = Action::new("Login")
            .with("Username", &settings.username)
            .and_then(|login| login.with("Secret", settings.secret.expose()))
            .and_then(|login| login.with("Events", "off"))
            .map_err(refused)?;
        let answer = connection.ask(&login).await?;
        if answer.is_success() {
            Ok(connection)
        } else {
            Err(AmiError::Login(answer.get("Message").to_owned()))
        }
    }

    /// Sends an action and waits for its answer; what else comes is dropped.
    pub async fn ask(&mut self, action: &Action) -> Result<Packet, AmiError> {
        let id = self.send(action).await?.to_string();
        loop {
            let packet = self.receive().await?;
            if packet.get("ActionID") == id {
                return Ok(packet);
            }
        }
    }

    async fn send(&mut self, action: &Action) -> Result<u64, AmiError> {
        let id = self.next_id;
        self.next_id += 1;
        self.stream.write_all(action.encode(id).as_bytes()).await.map_err(AmiError::Lost)?;
        self.stream.flush().await.map_err(AmiError::Lost)?;
        Ok(id)
    }

    /// The next packet. Cancel-safe: what was read stays.
    async fn receive(&mut self) -> Result<Packet, AmiError> {
        loop {
            if let Some(packet) = self.decoder.next(&mut self.bytes)? {
                return Ok(packet);
            }
            if self.stream.read_buf(&mut self.bytes).await.map_err(AmiError::Lost)? == 0 {
                return Err(AmiError::Lost(io::ErrorKind::UnexpectedEof.into()));
            }
        }
    }
}
