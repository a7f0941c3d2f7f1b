//! The byte stream under a WebSocket: plain TCP, or TLS in a box.
//!
//! The box matters: a TLS session is over a kilobyte, and inline it would be copied into every
//! async state machine that an idle phone keeps.
//!
//! What is written is handed to the kernel without asking first whether there is room: there nearly
//! always is.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use rustix::{
    io::Errno,
    net::{SendFlags, send},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

use super::sealed::Sealed;

/// One connection's bytes.
#[derive(Debug)]
pub enum Io {
    Plain(Tcp),
    Tls(Box<Sealed<Tcp>>),
    /// Memory, for tests whose time stands still.
    #[cfg(test)]
    Memory(tokio::io::DuplexStream),
}

/// TCP that is written to without asking tokio first whether there is room.
///
/// What tokio knows of a socket that another one's audio is written to is memory that nobody has
/// touched since that socket's own audio came. Only when the kernel takes nothing is tokio asked:
/// it tries once more, if it doesn't know either, and wakes the task when there is room.
///
/// Such a write costs nothing of a task's budget (`tokio::task::coop`). Of audio it needn't: what is
/// written was read from another socket, which does. All else, which may answer what was read here,
/// a hundred messages at once, costs some of it where it waits (`net/wire`).
#[derive(Debug)]
pub struct Tcp(TcpStream);

impl From<TcpStream> for Tcp {
    fn from(stream: TcpStream) -> Self {
        Self(stream)
    }
}

impl AsyncRead for Tcp {
    #[inline]
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Tcp {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let stream = &mut self.get_mut().0;
        loop {
            // Like std's, without a signal when the peer is gone.
            match send(&*stream, buf, SendFlags::NOSIGNAL) {
                Ok(written) => return Poll::Ready(Ok(written)),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Pin::new(stream).poll_write(cx, buf),
                Err(error) => return Poll::Ready(Err(error.into())),
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_shutdown(cx)
    }
}

impl AsyncRead for Io {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Io::Plain(s) => Pin::new(s).poll_read(cx, buf),
            Io::Tls(s) => Pin::new(s.as_mut()).poll_read(cx, buf),
            #[cfg(test)]
            Io::Memory(s) => Pin::new(s).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Io {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Io::Plain(s) => Pin::new(s).poll_write(cx, buf),
            Io::Tls(s) => Pin::new(s.as_mut()).poll_write(cx, buf),
            #[cfg(test)]
            Io::Memory(s) => Pin::new(s).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Io::Plain(s) => Pin::new(s).poll_flush(cx),
            Io::Tls(s) => Pin::new(s.as_mut()).poll_flush(cx),
            #[cfg(test)]
            Io::Memory(s) => Pin::new(s).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Io::Plain(s) => Pin::new(s).poll_shutdown(cx),
            Io::Tls(s) => Pin::new(s.as_mut()).poll_shutdown(cx),
            #[cfg(test)]
            Io::Memory(s) => Pin::new(s).poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
pub(in crate::net) mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    use super::*;

    /// A connection in whose way only little fits.
    pub async fn narrow_pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        socket2::SockRef::from(&listener).set_recv_buffer_size(16 * 1024).unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        socket2::SockRef::from(&near).set_send_buffer_size(16 * 1024).unwrap();
        let (far, _) = listener.accept().await.unwrap();
        (near, far)
    }

    #[tokio::test]
    async fn what_a_peer_does_not_take_is_waited_for_and_arrives_whole() {
        let (near, mut far) = narrow_pair().await;
        let mut near = Tcp::from(near);
        let said: Vec<u8> = (0..4 << 20).map(|n| (n % 251) as u8).collect();
        let full = |cx: &mut Context<'_>, from: &mut usize| {
            loop {
                match Pin::new(&mut near).poll_write(cx, &said[*from..]) {
                    Poll::Ready(written) => *from += written.unwrap(),
                    Poll::Pending => return Poll::Ready(()),
                }
            }
        };
        let (mut full, mut from) = (full, 0);
        // Until nothing is taken, and asked again.
        for _ in 0..2 {
            std::future::poll_fn(|cx| full(cx, &mut from)).await;
        }
        assert!((1..said.len()).contains(&from));
        let mut heard = Vec::new();
        let rest = async {
            near.write_all(&said[from..]).await.unwrap();
            near.shutdown().await.unwrap();
        };
        let (_, read) = tokio::join!(rest, far.read_to_end(&mut heard));
        assert_eq!(read.unwrap(), said.len());
        assert!(heard == said, "in order");
    }

    #[tokio::test]
    async fn a_peer_that_is_gone_is_an_error_and_no_signal() {
        let (near, far) = narrow_pair().await;
        drop(far);
        let mut near = Tcp::from(near);
        // What was sent first is answered with a reset.
        while near.write_all(b"audio").await.is_ok() {
            tokio::task::yield_now().await;
        }
    }
}
