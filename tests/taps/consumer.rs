//! Consumers in this process, well-behaved ones and rude ones.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use futures_util::{SinkExt, StreamExt};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::JoinHandle,
};
use tokio_tungstenite::{
    accept_hdr_async,
    tungstenite::{
        Message,
        handshake::server::{ErrorResponse, Request, Response},
    },
};

/// One connection, when it is over.
#[derive(Debug, Default)]
pub struct Connection {
    /// Path and query.
    pub path: String,
    pub headers: Vec<(String, String)>,
    pub texts: Vec<String>,
    pub audio: Vec<u8>,
    pub frames: usize,
    pub closed_in_order: bool,
}

/// A consumer that takes everything and tells of each connection when it is over.
pub struct Consumer {
    pub address: SocketAddr,
    pub connections: mpsc::Receiver<Connection>,
    tries: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Drop for Consumer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Consumer {
    pub async fn start() -> Self {
        Self::closing_after(usize::MAX).await
    }

    /// Breaks each of the first connections off after so many messages.
    pub async fn closing_after(messages: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (tell, connections) = mpsc::channel(100);
        let task = tokio::spawn(async move {
            let mut left = 1;
            while let Ok((stream, _)) = listener.accept().await {
                let most = if left > 0 { messages } else { usize::MAX };
                left -= 1;
                let tell = tell.clone();
                tokio::spawn(async move {
                    if let Some(connection) = serve(stream, most).await {
                        let _ = tell.send(connection).await;
                    }
                });
            }
        });
        Self { address, connections, tries: Arc::default(), task }
    }

    /// Behind TLS; whoever can't agree on that is nobody.
    pub async fn with_tls(tls: Arc<rustls::ServerConfig>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (tell, connections) = mpsc::channel(100);
        let tries = Arc::<AtomicUsize>::default();
        let counted = tries.clone();
        let acceptor = tokio_rustls::TlsAcceptor::from(tls);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::SeqCst);
                let (tell, acceptor) = (tell.clone(), acceptor.clone());
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    if let Some(connection) = serve(stream, usize::MAX).await {
                        let _ = tell.send(connection).await;
                    }
                });
            }
        });
        Self { address, connections, tries, task }
    }

    /// How often a consumer behind TLS was tried.
    pub fn tries(&self) -> usize {
        self.tries.load(Ordering::SeqCst)
    }

    pub fn url(&self, path: &str) -> String {
        format!("ws://{}{path}", self.address)
    }
}

#[allow(clippy::result_large_err)]
async fn serve<S>(stream: S, most: usize) -> Option<Connection>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut connection = Connection::default();
    let seen = |request: &Request, response: Response| -> Result<Response, ErrorResponse> {
        connection.path = request.uri().to_string();
        for (name, value) in request.headers() {
            let value = value.to_str().unwrap_or_default().to_owned();
            connection.headers.push((name.to_string(), value));
        }
        Ok(response)
    };
    let mut ws = accept_hdr_async(stream, seen).await.ok()?;
    let mut messages = 0;
    while let Some(message) = ws.next().await {
        match message {
            Ok(Message::Text(text)) => connection.texts.push(text.to_string()),
            Ok(Message::Binary(bytes)) => {
                connection.frames += 1;
                connection.audio.extend_from_slice(&bytes);
            }
            Ok(Message::Close(_)) => connection.closed_in_order = true,
            Ok(_) => {}
            Err(_) => break,
        }
        messages += 1;
        if messages >= most {
            break;
        }
    }
    let _ = ws.flush().await;
    Some(connection)
}

/// What a rude consumer does with a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rude {
    /// Accepts TCP and says nothing.
    Silent,
    /// Upgrades and reads nothing more.
    NeverReads,
    /// Upgrades and reads a byte a second.
    ReadsAByteASecond,
    /// Upgrades and closes the connection at once.
    ClosesAtOnce,
    /// Upgrades and breaks the protocol.
    Garbage,
    /// Sends messages without end and reads none.
    Floods,
    /// Answers with this status.
    Status(u16),
    /// Answers with this status once, then serves in order.
    StatusOnce(u16),
}

/// A rude consumer; counts its connections.
pub struct Boor {
    pub address: SocketAddr,
    pub tries: Arc<AtomicUsize>,
    pub served: mpsc::Receiver<Connection>,
    task: JoinHandle<()>,
}

impl Drop for Boor {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Boor {
    pub async fn start(rude: Rude) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let tries = Arc::new(AtomicUsize::new(0));
        let counted = tries.clone();
        let (tell, served) = mpsc::channel(10);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let nth = counted.fetch_add(1, Ordering::SeqCst);
                let tell = tell.clone();
                tokio::spawn(async move {
                    match rude {
                        Rude::StatusOnce(_) if nth > 0 => {
                            if let Some(connection) = serve(stream, usize::MAX).await {
                                let _ = tell.send(connection).await;
                            }
                        }
                        _ => be_rude(stream, rude).await,
                    }
                });
            }
        });
        Self { address, tries, served, task }
    }
}

async fn be_rude(mut stream: TcpStream, rude: Rude) {
    if let Rude::Status(status) | Rude::StatusOnce(status) = rude {
        let mut head = [0; 2048];
        let _ = stream.read(&mut head).await;
        let answer = format!("HTTP/1.1 {status} No\r\nContent-Length: 0\r\n\r\n");
        let _ = stream.write_all(answer.as_bytes()).await;
        return;
    }
    if rude == Rude::Silent {
        return std::future::pending().await;
    }
    let Ok(mut ws) = tokio_tungstenite::accept_async(stream).await else { return };
    match rude {
        Rude::NeverReads => std::future::pending().await,
        Rude::ReadsAByteASecond => loop {
            let mut byte = [0];
            let _ = ws.get_mut().read(&mut byte).await;
            tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        },
        Rude::Garbage => {
            let _ = ws.get_mut().write_all(&[0xff; 4096]).await;
            std::future::pending().await
        }
        Rude::Floods => {
            while ws.send(Message::text(r#"{"event":"mark","mark":{"name":"x"}}"#)).await.is_ok() {}
        }
        _ => {}
    }
}
