//! The byte stream under a WebSocket: plain TCP, or TLS in a box.
//!
//! The box matters: a TLS session is over a kilobyte, and inline it would be copied into every
//! async state machine that an idle phone keeps.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{
    reactor::{Reactor, Who},
    sealed::Sealed,
    tcp::{Ask, Seatable, Tcp},
};

/// One connection's bytes.
#[derive(Debug)]
pub enum Io {
    Plain(Tcp),
    Tls(Box<Sealed<Tcp>>),
    /// Memory, for tests whose time stands still.
    #[cfg(test)]
    Memory(tokio::io::DuplexStream),
}

impl Seatable for Io {
    fn sit(&mut self, reactor: &Arc<Reactor>, who: Who) {
        match self {
            Io::Plain(s) => s.sit(reactor, who),
            Io::Tls(s) => s.stream_mut().sit(reactor, who),
            #[cfg(test)]
            Io::Memory(_) => {}
        }
    }

    fn stand(&mut self) {
        match self {
            Io::Plain(s) => s.stand(),
            Io::Tls(s) => s.stream_mut().stand(),
            #[cfg(test)]
            Io::Memory(_) => {}
        }
    }

    fn touch(&self) {
        if let Io::Tls(s) = self {
            s.touch();
        }
    }

    fn leaves_some(&self) -> bool {
        match self {
            Io::Plain(s) => s.leaves_some(),
            Io::Tls(s) => s.stream().leaves_some(),
            #[cfg(test)]
            Io::Memory(_) => false,
        }
    }

    fn ask(&mut self, how: Ask) {
        match self {
            Io::Plain(s) => s.ask(how),
            Io::Tls(s) => s.stream_mut().ask(how),
            #[cfg(test)]
            Io::Memory(_) => {}
        }
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
