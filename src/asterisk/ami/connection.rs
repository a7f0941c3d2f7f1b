//! One logged-in connection to the manager.
//!
//! Promises: reading is cancel-safe; connecting, logging in and every write have a time; what a
//! connection sends is under ids of its own.

use std::{io, time::Duration};

use bytes::BytesMut;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use super::message::{Action, BadPacket, Decoder, Packet};
use crate::config::AmiSettings;

/// How long a connection, and a login on it, may take.
pub const CONNECT_TIME: Duration = Duration::from_secs(5);
/// How long Asterisk may leave what is sent to it unread. An action is a few hundred bytes, so it
/// has stopped reading altogether then.
const WRITE_TIME: Duration = Duration::from_secs(5);
/// What is read at once.
const READ_BYTES: usize = 16 * 1024;

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

/// The connection.
pub struct Connection {
    stream: Box<dyn Stream>,
    decoder: Decoder,
    bytes: BytesMut,
    next_id: u64,
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

impl Connection {
    /// Connects and logs in. `events` are the classes that Asterisk shall report, `off` for none.
    pub async fn open(settings: &AmiSettings, events: &str) -> Result<Self, AmiError> {
        timeout(CONNECT_TIME, Self::log_in(settings, events)).await.map_err(|_| AmiError::Time)?
    }

    async fn log_in(settings: &AmiSettings, events: &str) -> Result<Self, AmiError> {
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
        let bytes = BytesMut::with_capacity(READ_BYTES);
        let mut connection = Self { stream, decoder: Decoder::default(), bytes, next_id: 1 };
        let refused = |_| AmiError::Login("a line break in username or secret".to_owned());
        let login = Action::new("Login")
            .with("Username", &settings.username)
            .and_then(|login| login.with("Secret", settings.secret.expose()))
            .and_then(|login| login.with("Events", events))
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
            let packet = self.receive(|_| false).await?;
            if packet.get("ActionID") == id {
                return Ok(packet);
            }
        }
    }

    /// Sends an action; the answer will carry the number that this gives.
    pub async fn send(&mut self, action: &Action) -> Result<u64, AmiError> {
        let id = self.next_id;
        self.next_id += 1;
        let text = action.encode(id);
        let writing = async {
            self.stream.write_all(text.as_bytes()).await?;
            self.stream.flush().await
        };
        timeout(WRITE_TIME, writing).await.map_err(|_| AmiError::Time)?.map_err(AmiError::Lost)?;
        Ok(id)
    }

    /// The next packet, but for events whose name is not `wanted`. Cancel-safe: what was read stays.
    pub async fn receive(&mut self, wanted: impl Fn(&str) -> bool) -> Result<Packet, AmiError> {
        loop {
            if let Some(packet) = self.decoder.next_wanted(&mut self.bytes, &wanted)? {
                return Ok(packet);
            }
            self.bytes.reserve(READ_BYTES);
            if self.stream.read_buf(&mut self.bytes).await.map_err(AmiError::Lost)? == 0 {
                return Err(AmiError::Lost(io::ErrorKind::UnexpectedEof.into()));
            }
        }
    }
}
