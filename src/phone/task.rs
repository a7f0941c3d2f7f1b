//! The task of one login: it owns the phone's socket, and is the only one to write to it.
//!
//! It carries out what [`Session`] decides, moves audio between the socket and the call's hops,
//! and keeps the connection honest: a ping every [`PING_EVERY`], the end after
//! [`SILENT_ROUNDS`](crate::net::liveness::SILENT_ROUNDS) without a sign of life.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::{mpsc, oneshot},
    time::{Instant, Sleep},
};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::{
    plain::{self, ToPhone},
    session::{Input, Output, Session},
};
use crate::{
    call::RingKey,
    exchange::{
        Registration,
        line::{AudioLine, Offer, PhoneCommand, Reporter},
    },
    media::{frame::FRAME_BYTES, framer::Framer},
    net::{
        bell::Bell,
        liveness::{Liveness, PING_EVERY},
        wire::{Closed, Message, Turn, Wire},
    },
};

/// Questions about the phone's life that wait for its pong; each comes from a second login.
const MAX_PROBES: usize = 8;

/// WebSocket close codes (RFC 6455 and its registry).
pub const CLOSE_NORMAL: u16 = 1000;
pub const CLOSE_POLICY: u16 = 1008;
pub const CLOSE_RESTART: u16 = 1012;

/// Why a login ended; the name in logs and metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoginEnd {
    Left(Closed),
    Silent,
    Replaced,
    Drained,
}

impl LoginEnd {
    pub fn as_str(self) -> &'static str {
        match self {
            LoginEnd::Left(Closed::InOrder) => "closed",
            LoginEnd::Left(Closed::Lost) => "lost",
            LoginEnd::Left(Closed::Violation(_)) => "protocol",
            LoginEnd::Left(Closed::Stalled) => "stalled",
            LoginEnd::Silent => "silent",
            LoginEnd::Replaced => "replaced",
            LoginEnd::Drained => "drained",
        }
    }
}

/// One logged-in phone.
pub struct PhoneTask<S> {
    wire: Wire<S>,
    registration: Registration,
    commands: mpsc::Receiver<PhoneCommand>,
    kicked: CancellationToken,
    leaving: CancellationToken,
    session: Session,
    reporter: Option<Reporter>,
    line: Option<AudioLine>,
    /// The phone's audio of this call in whole frames. What the hop drops is a frame then, never a
    /// piece that would shift all samples after it.
    framer: Framer,
    /// The line of an answer that was in time, until the session turns audio on.
    offered_line: Option<AudioLine>,
    ping_timer: Pin<Box<Sleep>>,
    /// Rings for everything that isn't audio.
    bell: Bell,
    life: Life,
}

/// Signs of life.
#[derive(Debug, Default)]
struct Life {
    liveness: Liveness,
    pings: u64,
    probes: Vec<(u64, oneshot::Sender<()>)>,
}

enum Happening {
    Command(PhoneCommand),
    Turn(Turn),
    PingTime,
    Kicked,
    Drain,
}

impl<S> PhoneTask<S>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    pub fn new(
        wire: Wire<S>,
        registration: Registration,
        commands: mpsc::Receiver<PhoneCommand>,
        kicked: CancellationToken,
        leaving: CancellationToken,
    ) -> Self {
        Self {
            wire,
            registration,
            commands,
            kicked,
            leaving,
            session: Session::default(),
            reporter: None,
            line: None,
            framer: Framer::new(FRAME_BYTES),
            offered_line: None,
            ping_timer: Box::pin(tokio::time::sleep(PING_EVERY)),
            bell: Bell::default(),
            life: Life::default(),
        }
    }

    /// Serves the phone until it is gone.
    pub async fn run(mut self) -> LoginEnd {
        let mut kicked = Box::pin(self.kicked.clone().cancelled_owned());
        let mut drain = Box::pin(self.leaving.clone().cancelled_owned());
        let mut draining = false;
        let end = loop {
            let happening = poll_fn(|cx| {
                if self.bell.has_rung(cx) {
                    let waker = self.bell.waker().clone();
                    let cx = &mut Context::from_waker(&waker);
                    let mut rare = || {
                        if kicked.as_mut().poll(cx).is_ready() {
                            return Poll::Ready(Happening::Kicked);
                        }
                        if !draining && drain.as_mut().poll(cx).is_ready() {
                            draining = true;
                            return Poll::Ready(Happening::Drain);
                        }
                        self.poll_rare(cx)
                    };
                    if let Poll::Ready(happening) = rare() {
                        self.bell.stays_rung();
                        return Poll::Ready(happening);
                    }
                }
                self.poll_often(cx)
            })
            .await;
            match happening {
                Happening::Command(command) => self.command(command),
                Happening::Turn(Turn::Text(text)) => self.text(&text),
                Happening::Turn(Turn::Pong(payload)) => self.pong(&payload),
                Happening::Turn(Turn::Alive) => self.life.liveness.heard(),
                Happening::Turn(Turn::Binary(_)) => {} // taken in `poll_often`
                Happening::Turn(Turn::Closed(closed)) => break LoginEnd::Left(closed),
                Happening::Kicked => break LoginEnd::Replaced,
                Happening::Drain => {}
                Happening::PingTime => {
                    if !self.ping_round() {
                        break LoginEnd::Silent;
                    }
                }
            }
            if draining && self.session == Session::Idle {
                break LoginEnd::Drained;
            }
        };
        // In a box: the goodbye's state is as large as the task's, and idle phones need none.
        Box::pin(self.leave(end)).await;
        end
    }

    async fn leave(self, end: LoginEnd) {
        let Self { mut wire, registration, reporter, line, commands, .. } = self;
        // The extension is free and every call is told before the goodbye, which may take a second;
        // a call that rang in this very moment waits in the mailbox.
        drop((registration, commands, reporter, line));
        match end {
            LoginEnd::Replaced => {
                let _ = wire.send(Message::text(ToPhone::Kicked.as_str()));
                wire.close(CLOSE_POLICY, "replaced by a newer login").await;
            }
            LoginEnd::Drained => wire.close(CLOSE_RESTART, "the gateway restarts").await,
            LoginEnd::Silent => wire.close(CLOSE_POLICY, "no sign of life").await,
            LoginEnd::Left(_) => {}
        }
    }

    fn poll_rare(&mut self, cx: &mut Context<'_>) -> Poll<Happening> {
        if let Poll::Ready(Some(command)) = self.commands.poll_recv(cx) {
            return Poll::Ready(Happening::Command(command));
        }
        ready!(self.ping_timer.as_mut().poll(cx));
        Poll::Ready(Happening::PingTime)
    }

    fn poll_often(&mut self, cx: &mut Context<'_>) -> Poll<Happening> {
        self.poll_audio_to_phone(cx);
        loop {
            match self.wire.poll_turn(cx) {
                Poll::Ready(Turn::Binary(audio)) => {
                    self.life.liveness.heard();
                    if let Some(line) = &self.line {
                        self.framer.push(audio, |frame| line.from_phone.push(frame));
                    }
                }
                Poll::Ready(turn) => return Poll::Ready(Happening::Turn(turn)),
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// Audio goes out as the socket takes it; what it doesn't take waits in the hop, where the
    /// oldest makes room.
    fn poll_audio_to_phone(&mut self, cx: &mut Context<'_>) {
        let Some(line) = &self.line else { return };
        while self.wire.poll_write(cx).is_ready() {
            match line.to_phone.poll_recv(cx) {
                Poll::Ready(Some(frame)) => {
                    // There is room: everything before was written.
                    let _ = self.wire.send(Message::Binary(frame));
                }
                Poll::Ready(None) | Poll::Pending => return,
            }
        }
    }

    fn command(&mut self, command: PhoneCommand) {
        match command {
            PhoneCommand::Ring(offer) => self.ring(*offer),
            PhoneCommand::Connected(connected) => {
                let (key, line) = *connected;
                self.offered_line = Some(line);
                self.input(Input::Connected(key));
                self.offered_line = None;
            }
            PhoneCommand::Over(over) => {
                let (key, _) = *over;
                self.input(Input::Over(key));
                if self.session == Session::Idle {
                    self.reporter = None;
                }
            }
            PhoneCommand::Probe(reply) => self.probe(reply),
            // Only who asks is answered, and this dialect can't.
            PhoneCommand::Answered(_) | PhoneCommand::FeaturesChanged => {}
        }
    }

    fn ring(&mut self, offer: Offer) {
        let Offer { call, ring, reporter, .. } = offer;
        if self.session == Session::Idle {
            self.reporter = Some(reporter);
        } // else it is dropped below, which turns the call away
        self.input(Input::Ring(RingKey { call, ring }));
    }

    fn text(&mut self, text: &str) {
        self.life.liveness.heard();
        match plain::parse(text) {
            Some(said) => self.input(Input::Said(said)),
            None => {
                debug!(ext = %self.registration.ext, bytes = text.len(), "unknown text ignored");
            }
        }
    }

    fn input(&mut self, input: Input) {
        let mut outputs = Vec::new();
        self.session.input(input, &mut outputs);
        for output in outputs {
            match output {
                Output::Say(word) => {
                    let _ = self.wire.send(Message::text(word.as_str()));
                }
                Output::TellAnswered => {
                    if let Some(reporter) = &mut self.reporter {
                        reporter.answered();
                    }
                }
                Output::TellHungUp => {
                    if let Some(reporter) = &mut self.reporter {
                        reporter.hung_up();
                    }
                }
                Output::AudioOn => {
                    self.framer = Framer::new(FRAME_BYTES);
                    self.line = self.offered_line.take();
                }
                Output::AudioOff => self.line = None,
                Output::TurnAway(_) => debug!(ext = %self.registration.ext, "second call refused"),
            }
        }
    }

    /// Sends a ping; false when the phone has been silent for too long.
    fn ping_round(&mut self) -> bool {
        if !self.life.liveness.round() {
            return false;
        }
        self.ping();
        self.ping_timer.as_mut().reset(Instant::now() + PING_EVERY);
        true
    }

    fn ping(&mut self) -> u64 {
        self.life.pings += 1;
        let payload = Bytes::copy_from_slice(&self.life.pings.to_be_bytes());
        let _ = self.wire.send(Message::Ping(payload));
        self.life.pings
    }

    fn probe(&mut self, reply: oneshot::Sender<()>) {
        self.life.probes.retain(|(_, reply)| !reply.is_closed());
        if self.life.probes.len() < MAX_PROBES {
            let ping = self.ping();
            self.life.probes.push((ping, reply));
        }
    }

    fn pong(&mut self, payload: &[u8]) {
        self.life.liveness.heard();
        let Ok(payload) = payload.try_into() else { return };
        let answered = u64::from_be_bytes(payload);
        let probes = std::mem::take(&mut self.life.probes);
        for (ping, reply) in probes {
            if ping <= answered {
                let _ = reply.send(());
            } else {
                self.life.probes.push((ping, reply));
            }
        }
    }
}

/// A phone that is logged in, and whose task takes every command and says nothing.
#[cfg(test)]
pub fn rung_phone(exchange: &std::sync::Arc<crate::exchange::Exchange>, ext: &str) {
    let (commands, mut mailbox) = mpsc::channel(crate::exchange::PHONE_MAILBOX);
    let kicked = CancellationToken::new();
    let login = exchange.next_login();
    let handle = crate::exchange::PhoneHandle {
        login,
        commands,
        kicked,
        since: crate::report::time::Utc::now(),
    };
    let Ok(registration) = exchange.log_in(&ext.into(), handle) else { return };
    tokio::spawn(async move {
        let mut taken = Vec::new();
        while let Some(command) = mailbox.recv().await {
            taken.push(command);
        }
        drop(registration);
    });
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use futures_util::StreamExt;
    use tokio::{io::DuplexStream, task::JoinHandle};
    use tokio_tungstenite::{
        WebSocketStream,
        tungstenite::{Message, protocol::Role},
    };

    use super::*;
    use crate::exchange::{Exchange, PHONE_MAILBOX, PhoneHandle};

    async fn logged_in() -> (WebSocketStream<DuplexStream>, JoinHandle<LoginEnd>, Arc<Exchange>) {
        let exchange = Exchange::new(Arc::default());
        let (near, far) = tokio::io::duplex(64 * 1024);
        let (commands, mailbox) = mpsc::channel(PHONE_MAILBOX);
        let kicked = CancellationToken::new();
        let handle = PhoneHandle {
            login: exchange.next_login(),
            commands,
            kicked: kicked.clone(),
            since: crate::report::time::Utc::now(),
        };
        let registration = exchange.log_in(&"2001".into(), handle).unwrap();
        let wire = Wire::server(near, Bytes::new(), 65_500);
        let leaving = exchange.leaving.clone();
        let task = PhoneTask::new(wire, registration, mailbox, kicked, leaving);
        let ws = WebSocketStream::from_raw_socket(far, Role::Client, None).await;
        (ws, tokio::spawn(task.run()), exchange)
    }

    #[tokio::test(start_paused = true)]
    async fn a_phone_that_gives_no_sign_of_life_is_dropped_after_two_silent_rounds() {
        let (_silent, task, exchange) = logged_in().await;
        let began = Instant::now();
        assert_eq!(task.await.unwrap(), LoginEnd::Silent);
        let took = began.elapsed();
        assert!(
            took >= PING_EVERY * 3 && took < PING_EVERY * 3 + Duration::from_secs(2),
            "{took:?}"
        );
        assert_eq!(exchange.phones(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_phone_that_answers_its_pings_stays() {
        let (mut ws, task, exchange) = logged_in().await;
        let mut pings = 0;
        while pings < 20 {
            // Reading answers the ping.
            if let Some(Ok(Message::Ping(_))) = ws.next().await {
                pings += 1;
            }
        }
        assert!(!task.is_finished());
        assert_eq!(exchange.phones(), 1);
        drop(ws);
        assert_eq!(task.await.unwrap(), LoginEnd::Left(Closed::Lost));
        assert_eq!(exchange.phones(), 0);
    }
}
