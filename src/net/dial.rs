//! Connections that the gateway makes itself, to whoever takes audio: a name looked up, a socket
//! with a small buffer, TLS, a WebSocket. Nothing here has a deadline of its own: the caller has.
//!
//! Looking up a name blocks a thread of the runtime's, for as long as the system likes. So only few
//! names are looked up at a time, and one that never resolves holds up no disk and no other host for
//! longer than its own caller waits.

use std::{
    io,
    net::{SocketAddr, ToSocketAddrs},
    pin::pin,
    sync::{Arc, OnceLock},
};

use base64::Engine as _;
use http_body_util::Empty;
use hyper::{
    Request, StatusCode, Uri,
    body::Bytes,
    client::conn::http1,
    header::{
        CONNECTION, HOST, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY,
        SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
    },
};
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore, pki_types::ServerName};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    sync::Semaphore,
};
use tokio_rustls::TlsConnector;

use super::{tls, upgrade::accept_key, wire::Wire};

/// Names that are looked up at the same time.
const LOOKUPS: usize = 4;
/// Addresses of one name that are tried.
const ADDRESSES: usize = 4;
/// The kernel's send buffer. The system's default would hide minutes of audio of a consumer that
/// reads nothing; this holds a second or two.
const SEND_BUFFER: usize = 64 * 1024;

/// Longest head of an answer; hyper takes no less.
const MAX_ANSWER: usize = 8 * 1024;

static LOOKING_UP: Semaphore = Semaphore::const_new(LOOKUPS);

/// A byte stream, encrypted or not.
pub trait Bytestream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Bytestream for T {}

/// A WebSocket that the gateway opened.
pub type Outgoing = Wire<Box<dyn Bytestream>>;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    #[error("the name can't be looked up: {0}")]
    Name(io::Error),
    #[error("can't connect: {0}")]
    Connect(io::Error),
    #[error("TLS: {0}")]
    Tls(io::Error),
    /// Whose certificate it is: theirs, that we don't trust, or ours, that they don't.
    #[error("TLS: {0}")]
    Certificate(String),
    #[error("no certificate to trust: {0}")]
    Trust(String),
    /// An HTTP answer other than 101.
    #[error("refused with {0}")]
    Status(u16),
    #[error("not a WebSocket: {0}")]
    Upgrade(&'static str),
}

/// A TCP connection to a host that is named or numbered.
pub async fn tcp(host: &str, port: u16) -> Result<TcpStream, DialError> {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let addresses = match bare.parse() {
        Ok(ip) => vec![SocketAddr::new(ip, port)],
        Err(_) => look_up(bare, port).await.map_err(DialError::Name)?,
    };
    let mut last = io::Error::other("the name has no address");
    for address in addresses.into_iter().take(ADDRESSES) {
        match TcpStream::connect(address).await {
            Ok(stream) => {
                stream.set_nodelay(true).map_err(DialError::Connect)?;
                let socket = socket2::SockRef::from(&stream);
                socket.set_send_buffer_size(SEND_BUFFER).map_err(DialError::Connect)?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(DialError::Connect(last))
}

async fn look_up(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    let permit = LOOKING_UP.acquire().await.map_err(io::Error::other)?;
    let host = host.to_owned();
    let looking = tokio::task::spawn_blocking(move || {
        // Held until the system has answered, whether or not the caller still waits.
        let _permit = permit;
        (host.as_str(), port).to_socket_addrs().map(Iterator::collect)
    });
    looking.await.map_err(io::Error::other)?
}

/// A byte stream to a host; `tls` says whom to trust.
pub async fn stream(
    host: &str,
    port: u16,
    tls: Option<Arc<ClientConfig>>,
) -> Result<Box<dyn Bytestream>, DialError> {
    let tcp = tcp(host, port).await?;
    let Some(config) = tls else { return Ok(Box::new(tcp)) };
    let bare = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    let name = ServerName::try_from(bare).map_err(|e| DialError::Tls(io::Error::other(e)))?;
    let tls = TlsConnector::from(config).connect(name, tcp).await.map_err(of_tls)?;
    Ok(Box::new(tls))
}

/// A WebSocket to `uri`, with these headers and this subprotocol asked for. Without `tls`, `wss`
/// trusts whom the system trusts.
///
/// A consumer that chooses no subprotocol, or doesn't say so, is taken all the same: most of them
/// know none.
pub async fn websocket(
    uri: &Uri,
    headers: &[(String, String)],
    protocol: Option<&str>,
    tls: Option<Arc<ClientConfig>>,
    max_message: usize,
) -> Result<Outgoing, DialError> {
    let host = uri.host().ok_or(DialError::Upgrade("no host"))?;
    let secure = uri.scheme_str().is_some_and(|s| s.eq_ignore_ascii_case("wss"));
    let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
    let tls = match (secure, tls) {
        (false, _) => None,
        (true, Some(tls)) => Some(tls),
        (true, None) => Some(system_trust().map_err(DialError::Trust)?),
    };
    let mut key = [0; 16];
    let _ = aws_lc_rs::rand::fill(&mut key);
    let key = base64::engine::general_purpose::STANDARD.encode(key);
    let request = upgrade(uri, headers, protocol, &key)?;
    let stream = stream(host, port, tls).await?;
    let lost = |error: hyper::Error| {
        // With TLS 1.3 a refused certificate of ours shows only when the first answer is read.
        match rustls_error(&error) {
            Some(error) => of_tls(io::Error::other(error.clone())),
            None => DialError::Upgrade("the connection broke"),
        }
    };
    let handshake = http1::Builder::new().max_buf_size(MAX_ANSWER).handshake(TokioIo::new(stream));
    let (mut sender, connection) = handshake.await.map_err(lost)?;
    let mut connection = pin!(connection.with_upgrades());
    let mut upgraded = pin!(async {
        let answer = sender.send_request(request).await.map_err(lost)?;
        if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
            return Err(DialError::Status(answer.status().as_u16()));
        }
        let accept = answer.headers().get(SEC_WEBSOCKET_ACCEPT).map(HeaderValue::as_bytes);
        if accept != Some(accept_key(key.as_bytes()).as_bytes()) {
            return Err(DialError::Upgrade("Sec-WebSocket-Accept is wrong"));
        }
        hyper::upgrade::on(answer).await.map_err(lost)
    });
    let upgraded = tokio::select! {
        biased;
        upgraded = &mut upgraded => upgraded,
        _ = &mut connection => upgraded.await,
    }?;
    let parts = upgraded
        .downcast::<TokioIo<Box<dyn Bytestream>>>()
        .map_err(|_| DialError::Upgrade("not a stream of ours"))?;
    Ok(Wire::client(parts.io.into_inner(), parts.read_buf, max_message))
}

/// What went wrong in TLS, in words for whoever keeps the certificates.
fn of_tls(error: io::Error) -> DialError {
    use rustls::{AlertDescription as Alert, CertificateError as Bad, Error};
    match rustls_error(&error) {
        Some(Error::InvalidCertificate(bad)) => {
            let what = match bad {
                // An authority of the same name with another key is another one.
                Bad::UnknownIssuer | Bad::BadSignature => {
                    "nobody whom we trust has signed the certificate".to_owned()
                }
                Bad::NotValidForName | Bad::NotValidForNameContext { .. } => {
                    "the certificate is another host's".to_owned()
                }
                Bad::Expired | Bad::ExpiredContext { .. } => {
                    "the certificate has expired".to_owned()
                }
                Bad::NotValidYet | Bad::NotValidYetContext { .. } => {
                    "the certificate isn't valid yet".to_owned()
                }
                other => format!("the certificate is refused: {other}"),
            };
            DialError::Certificate(what)
        }
        Some(Error::AlertReceived(alert)) => match alert {
            Alert::CertificateRequired => {
                DialError::Certificate("a certificate of ours is asked for".to_owned())
            }
            Alert::BadCertificate
            | Alert::UnsupportedCertificate
            | Alert::CertificateRevoked
            | Alert::CertificateExpired
            | Alert::CertificateUnknown
            | Alert::UnknownCA
            | Alert::DecryptError
            | Alert::AccessDenied => {
                DialError::Certificate(format!("our certificate is refused ({alert:?})"))
            }
            _ => DialError::Tls(error),
        },
        _ => DialError::Tls(error),
    }
}

/// The error of TLS that an error is made of.
fn rustls_error<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a rustls::Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<rustls::Error>() {
            return Some(found);
        }
        // An io::Error hides what it holds: its source is that one's source.
        if let Some(inner) = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            let inner: &(dyn std::error::Error + 'static) = inner;
            next = Some(inner);
        } else {
            next = error.source();
        }
    }
    None
}

fn upgrade(
    uri: &Uri,
    headers: &[(String, String)],
    protocol: Option<&str>,
    key: &str,
) -> Result<Request<Empty<Bytes>>, DialError> {
    let bad = |_| DialError::Upgrade("a header can't be sent");
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let mut request = Request::builder()
        .uri(path)
        .header(HOST, authority)
        .header(CONNECTION, "Upgrade")
        .header(UPGRADE, "websocket")
        .header(SEC_WEBSOCKET_VERSION, "13")
        .header(SEC_WEBSOCKET_KEY, key);
    for (name, value) in headers {
        let mut value = HeaderValue::from_str(value).map_err(|_| DialError::Upgrade("a header"))?;
        value.set_sensitive(true);
        request = request.header(name, value);
    }
    if let Some(protocol) = protocol {
        request = request.header(SEC_WEBSOCKET_PROTOCOL, protocol);
    }
    request.body(Empty::new()).map_err(bad)
}

/// Trusts whom the system trusts. Read once.
pub fn system_trust() -> Result<Arc<ClientConfig>, String> {
    static TRUST: OnceLock<Result<Arc<ClientConfig>, String>> = OnceLock::new();
    TRUST
        .get_or_init(|| {
            let roots = system_roots();
            if roots.is_empty() {
                return Err("the system has none: install ca-certificates".to_owned());
            }
            tls::client_config_of(roots, None).map_err(|error| error.to_string())
        })
        .clone()
}

/// The authorities that the system trusts; none where it has none.
pub fn system_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
}
