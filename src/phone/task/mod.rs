//! The task of one login: it owns the phone's socket, and is the only one to write to it.
//!
//! It carries out what [`Session`] decides and moves audio between the socket and the active call's
//! hops (`audio`). What differs between the dialects is in `plain` and `v1`; `calls` is what happens to the
//! phone's calls, `slot` one of them, `back` what happens when the socket is lost and found again,
//! `end` how it all ends.

mod audio;
mod back;
mod calls;
mod end;
mod plain;
mod slot;
mod v1;
mod v1_says;

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::{sync::oneshot, time::Instant};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

pub use self::{
    back::bye,
    end::{CLOSE_NORMAL, CLOSE_POLICY, CLOSE_RESTART, LoginEnd},
    v1::V1,
};
use self::{plain::Plain, slot::Slot};
use super::session::Session;
use crate::{
    call::{LoginId, ending::Ending},
    exchange::{
        Registration,
        line::{PhoneCommand, Places},
    },
    net::{
        bell::Bells,
        io::Io,
        life::Serve,
        mailbox,
        tcp::Ask,
        timer::{Timer, next_turn},
        wire::{Closed, Message, Turn, Wire},
    },
};

/// Questions about the phone's life that wait for its pong; each comes from a second login.
const MAX_PROBES: usize = 8;

/// One logged-in phone. What a frame of audio touches is in front, in few lines of memory.
#[repr(C)]
pub struct PhoneTask {
    bells: Bells,
    /// `None` while a page that is lost is waited for.
    wire: Option<Wire<Io>>,
    /// What came from the socket is for the task itself, which asks the socket for more afterwards.
    turn: Option<Box<Turn>>,
    /// The slot that the phone's audio belongs to.
    active: Option<usize>,
    /// A slot for each call of the session's.
    slots: Vec<Slot>,
    dialect: Dialect,
    /// Audio waits for the socket.
    audio_waits: bool,
    begun: bool,
    draining: bool,
    timer: Timer,
    commands: mailbox::Receiver<PhoneCommand>,
    kicked: Pin<Box<WaitForCancellationFutureOwned>>,
    /// Everybody has to leave.
    leaving: Pin<Box<WaitForCancellationFutureOwned>>,
    session: Session,
    /// Questions about the phone's life, by the number of the ping that will answer them.
    probes: Vec<(u64, oneshot::Sender<bool>)>,
    registration: Registration,
    /// What the connection holds of the limits.
    places: Option<Places>,
}

/// How this phone speaks, and what only that needs.
enum Dialect {
    Plain(Plain),
    V1(Box<V1>),
}

enum Happening {
    Command(PhoneCommand),
    Turn(Turn),
    Time,
    Kicked,
    Drain,
    News(usize),
}

impl PhoneTask {
    /// A phone of the plain-text dialect.
    pub fn plain(
        wire: Wire<Io>,
        places: Places,
        registration: Registration,
        commands: mailbox::Receiver<PhoneCommand>,
        kicked: CancellationToken,
    ) -> Self {
        let dialect = Dialect::Plain(Plain::new(Instant::now()));
        Self::new(wire, places, registration, commands, kicked, dialect)
    }

    /// A phone of `goastgateway.v1`.
    pub fn v1(
        wire: Wire<Io>,
        places: Places,
        registration: Registration,
        commands: mailbox::Receiver<PhoneCommand>,
        kicked: CancellationToken,
        v1: V1,
    ) -> Self {
        Self::new(wire, places, registration, commands, kicked, Dialect::V1(Box::new(v1)))
    }

    fn new(
        wire: Wire<Io>,
        places: Places,
        registration: Registration,
        commands: mailbox::Receiver<PhoneCommand>,
        kicked: CancellationToken,
        dialect: Dialect,
    ) -> Self {
        let leaving = registration.exchange().leaving.clone();
        Self {
            bells: Bells::default(),
            wire: Some(wire),
            turn: None,
            active: None,
            slots: Vec::new(),
            dialect,
            audio_waits: false,
            begun: false,
            draining: false,
            timer: Timer::new(Instant::now()),
            commands,
            kicked: Box::pin(kicked.cancelled_owned()),
            leaving: Box::pin(leaving.cancelled_owned()),
            session: Session::default(),
            probes: Vec::new(),
            registration,
            places: Some(places),
        }
    }

    pub fn login(&self) -> LoginId {
        self.registration.login
    }

    fn begin(&mut self) {
        if let Dialect::V1(v1) = &self.dialect {
            let wanted = v1.wants_call_waiting();
            self.set_call_waiting(wanted);
            self.welcome(false);
        }
    }

    /// What happens next. The socket is asked only when it has rung: it is polled in vain once after
    /// all that it had was taken, and from then on it rings.
    fn poll_happening(&mut self, cx: &Context<'_>) -> Poll<Happening> {
        let rung = self.bells.rung(cx);
        if rung.told()
            && let Some(wire) = &mut self.wire
        {
            wire.ask(Ask::UntilEmpty);
        }
        if rung.rare() {
            if let Some(turn) = self.turn.take() {
                return Poll::Ready(Happening::Turn(*turn));
            }
            if let Poll::Ready(happening) = self.poll_rare() {
                return Poll::Ready(happening);
            }
        }
        if rung.audio() || (rung.socket() && self.audio_waits) {
            self.take_audio();
        }
        let Some(wire) = &mut self.wire else { return Poll::Pending };
        if !rung.socket() && !wire.has_failed() {
            return Poll::Pending;
        }
        let turn = self.poll_socket();
        self.ring_call();
        turn.map(Happening::Turn)
    }

    /// What is no audio.
    fn poll_rare(&mut self) -> Poll<Happening> {
        let mut cx = Context::from_waker(self.bells.rare());
        let cx = &mut cx;
        if self.kicked.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Happening::Kicked);
        }
        if !self.draining && self.leaving.as_mut().poll(cx).is_ready() {
            self.draining = true;
            return Poll::Ready(Happening::Drain);
        }
        if let Poll::Ready(Some(command)) = self.commands.poll_recv(cx) {
            return Poll::Ready(Happening::Command(command));
        }
        for (at, slot) in self.slots.iter_mut().enumerate() {
            if slot.poll_news(cx).is_ready() {
                return Poll::Ready(Happening::News(at));
            }
        }
        let at = self.deadline();
        // Pings of idle phones, above all, which may be a moment late.
        let at = if self.slots.is_empty() { next_turn(at) } else { at };
        ready!(self.timer.poll(at, cx));
        Poll::Ready(Happening::Time)
    }

    /// Acts on what happened; tells how the login ends, if it does.
    fn happened(&mut self, happening: Happening) -> Option<LoginEnd> {
        match happening {
            Happening::Command(command) => {
                self.command(command);
                None
            }
            Happening::Turn(Turn::Closed(closed)) => self.lost(LoginEnd::Left(closed)),
            Happening::Turn(turn) => self.turn(turn),
            Happening::Kicked => Some(LoginEnd::Replaced),
            Happening::Drain => None,
            Happening::Time => self.time(Instant::now()),
            Happening::News(slot) => {
                self.news(slot);
                None
            }
        }
    }

    fn deadline(&self) -> Instant {
        match &self.dialect {
            Dialect::Plain(plain) => plain.ping_at(),
            Dialect::V1(v1) => {
                let slots = self.slots.iter().filter_map(Slot::deadline);
                slots.chain([v1.deadline()]).min().unwrap_or_else(|| v1.deadline())
            }
        }
    }

    /// Something came from the phone.
    fn turn(&mut self, turn: Turn) -> Option<LoginEnd> {
        match (turn, &mut self.dialect) {
            (Turn::Text(text), Dialect::Plain(_)) => self.plain_text(&text),
            (Turn::Pong(payload), Dialect::Plain(_)) => self.plain_pong(&payload),
            (_, Dialect::Plain(plain)) => plain.heard(),
            (Turn::Text(text), Dialect::V1(_)) => return self.v1_text(&text),
            // The page itself must speak: a browser answers a WebSocket's ping for a frozen tab.
            (Turn::Pong(_), Dialect::V1(_)) => {}
            (_, Dialect::V1(_)) => self.heard(),
        }
        None
    }

    fn time(&mut self, now: Instant) -> Option<LoginEnd> {
        match &self.dialect {
            Dialect::Plain(_) => (!self.plain_time(now)).then_some(LoginEnd::Silent),
            Dialect::V1(_) => self.v1_time(now),
        }
    }

    fn probe(&mut self, reply: oneshot::Sender<bool>) {
        self.probes.retain(|(_, reply)| !reply.is_closed());
        if self.wire.is_none() {
            let _ = reply.send(false);
            return;
        }
        if self.probes.len() >= MAX_PROBES {
            return; // it has much to do: that is no death
        }
        let number = match &mut self.dialect {
            Dialect::Plain(_) => self.plain_ping(),
            Dialect::V1(_) => self.v1_ping_now(),
        };
        self.probes.push((number, reply));
    }

    /// The ping of this number was answered.
    fn probed(&mut self, number: u64) {
        if self.probes.is_empty() {
            return;
        }
        for (ping, reply) in std::mem::take(&mut self.probes) {
            if ping <= number {
                let _ = reply.send(true);
            } else {
                self.probes.push((ping, reply));
            }
        }
    }

    /// Says something, if there is anybody to hear it.
    fn send(&mut self, text: impl Into<String>) {
        if let Some(wire) = &mut self.wire {
            let _ = wire.send(Message::text(text));
        }
    }
}

impl Serve for PhoneTask {
    type End = LoginEnd;
    type Left = LoginEnd;

    fn bells(&mut self) -> &mut Bells {
        &mut self.bells
    }

    fn take_audio(&mut self) {
        let Some(wire) = &mut self.wire else { return };
        if let Some(slot) = self.active.and_then(|at| self.slots.get_mut(at)) {
            self.audio_waits = slot.audio_to_phone(wire, &self.bells);
        }
        if wire.has_failed() {
            self.bells.socket().wake_by_ref();
        }
    }

    fn touch(&self) {
        if let Dialect::V1(v1) = &self.dialect {
            std::hint::black_box(v1.is_reachable());
        }
        if let Some(slot) = self.active.and_then(|at| self.slots.get(at)) {
            slot.touch();
        }
        if let Some(wire) = &self.wire {
            wire.touch();
        }
    }

    fn take_socket(&mut self) {
        let Some(wire) = &mut self.wire else { return };
        if self.turn.is_some() {
            return wire.ask(Ask::UntilEmpty);
        }
        if self.audio_waits {
            self.take_audio();
        }
        let Some(wire) = &mut self.wire else { return };
        if wire.has_failed() {
            return self.bells.socket().wake_by_ref();
        }
        wire.ask(Ask::told());
        let turn = self.poll_socket();
        // What is left comes with the task's own turn, and is rung for together with this.
        if turn.is_ready() || !self.wire.as_ref().is_some_and(Wire::leaves_some) {
            self.ring_call();
        }
        if let Poll::Ready(turn) = turn {
            self.turn = Some(Box::new(turn));
            self.bells.rare().wake_by_ref();
        }
    }

    /// Serves the phone until it is gone.
    fn poll_serve(&mut self, cx: &mut Context<'_>) -> Poll<LoginEnd> {
        if !self.begun {
            self.begun = true;
            self.begin();
        }
        loop {
            let happening = ready!(self.poll_happening(cx));
            if let Some(end) = self.happened(happening) {
                return Poll::Ready(end);
            }
            if self.session.is_idle() {
                if self.draining {
                    return Poll::Ready(LoginEnd::Drained);
                }
                if self.wire.is_none() {
                    return Poll::Ready(LoginEnd::Left(Closed::Lost)); // nothing is left to come back to
                }
            }
            // What happened may have brought a deadline nearer, or have something to say; and who was
            // asked may have more.
            self.bells.all_rung();
        }
    }

    async fn finish(mut self, end: LoginEnd) -> LoginEnd {
        self.say_goodbye(end);
        for slot in &self.slots {
            if slot.waits_for_leg() {
                self.registration.exchange().calls.failed(slot.call(), Ending::PhoneLost.into());
            }
        }
        let is_v1 = matches!(self.dialect, Dialect::V1(_));
        let (ext, login) = (self.registration.ext.clone(), self.registration.login);
        let exchange = self.registration.exchange().clone();
        let Self { wire, places, registration, commands, slots, .. } = self;
        // The extension is free and every call is told before the goodbye, which may take a second;
        // a call that rang in this very moment waits in the mailbox.
        drop((registration, commands, slots));
        if let Some(mut wire) = wire
            && let Some((code, reason)) = back::close_code(end, is_v1)
        {
            wire.stand();
            wire.close(code, reason).await;
        }
        drop(places);
        end.report(login, &ext, &exchange);
        end
    }
}

/// A phone that is logged in, and whose task takes every command and says nothing.
#[cfg(test)]
pub fn rung_phone(exchange: &std::sync::Arc<crate::exchange::Exchange>, ext: &str) {
    let (commands, mut mailbox) = mailbox::mailbox(crate::exchange::PHONE_MAILBOX);
    let kicked = CancellationToken::new();
    let login = exchange.next_login();
    let handle = crate::exchange::PhoneHandle {
        login,
        commands,
        kicked,
        since: crate::report::time::Utc::now(),
        resume: None,
        device: None,
    };
    let Ok(registration) = exchange.log_in(&ext.into(), handle, false) else { return };
    tokio::spawn(async move {
        let mut taken = Vec::new();
        while let Some(command) = mailbox.recv().await {
            taken.push(command);
        }
        drop(registration);
    });
}

#[cfg(test)]
mod tests;
