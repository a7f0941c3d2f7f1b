//! The task of one login: it owns the phone's socket, and is the only one to write to it.
//!
//! It carries out what [`Session`] decides and moves audio between the socket and the active call's
//! hops. What differs between the dialects is in `plain` and `v1`; `calls` is what happens to the
//! phone's calls, `slot` one of them, `back` what happens when the socket is lost and found again,
//! `end` how it all ends.

mod back;
mod calls;
mod end;
mod plain;
mod slot;
mod v1;
mod v1_says;

use std::{
    future::{Future, poll_fn},
    task::{Context, Poll, ready},
};

use tokio::{sync::oneshot, time::Instant};
use tokio_util::sync::CancellationToken;

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
        bell::Bell,
        io::Io,
        mailbox,
        timer::{Timer, next_turn},
        wire::{Closed, Message, Turn, Wire},
    },
};

/// Questions about the phone's life that wait for its pong; each comes from a second login.
const MAX_PROBES: usize = 8;

/// One logged-in phone.
pub struct PhoneTask {
    /// `None` while a page that is lost is waited for.
    wire: Option<Wire<Io>>,
    /// What the connection holds of the limits.
    places: Option<Places>,
    registration: Registration,
    commands: mailbox::Receiver<PhoneCommand>,
    kicked: CancellationToken,
    leaving: CancellationToken,
    session: Session,
    /// A slot for each call of the session's.
    slots: Vec<Slot>,
    /// The slot that the phone's audio belongs to.
    active: Option<usize>,
    dialect: Dialect,
    /// Questions about the phone's life, by the number of the ping that will answer them.
    probes: Vec<(u64, oneshot::Sender<bool>)>,
    timer: Timer,
    /// Rings for everything that isn't audio.
    bell: Bell,
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
    ) -> Box<Self> {
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
    ) -> Box<Self> {
        Self::new(wire, places, registration, commands, kicked, Dialect::V1(Box::new(v1)))
    }

    fn new(
        wire: Wire<Io>,
        places: Places,
        registration: Registration,
        commands: mailbox::Receiver<PhoneCommand>,
        kicked: CancellationToken,
        dialect: Dialect,
    ) -> Box<Self> {
        let leaving = registration.exchange().leaving.clone();
        Box::new(Self {
            wire: Some(wire),
            places: Some(places),
            registration,
            commands,
            kicked,
            leaving,
            session: Session::default(),
            slots: Vec::new(),
            active: None,
            dialect,
            probes: Vec::new(),
            timer: Timer::new(Instant::now()),
            bell: Bell::default(),
        })
    }

    pub fn login(&self) -> LoginId {
        self.registration.login
    }

    /// Serves the phone until it is gone. In a box: a future keeps what it is given apart from what it
    /// works with, so it would hold the phone twice.
    pub async fn run(mut self: Box<Self>) -> LoginEnd {
        self.begin();
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
            let end = match happening {
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
            };
            if let Some(end) = end {
                break end;
            }
            if self.session.is_idle() {
                if draining {
                    break LoginEnd::Drained;
                }
                if self.wire.is_none() {
                    break LoginEnd::Left(Closed::Lost); // nothing is left to come back to
                }
            }
            // What happened may have brought a deadline nearer.
            self.bell.stays_rung();
        };
        // In a box: the goodbye's state is as large as the task's, and idle phones need none.
        Box::pin(self.leave(end)).await;
        end
    }

    fn begin(&mut self) {
        if let Dialect::V1(v1) = &self.dialect {
            let wanted = v1.wants_call_waiting();
            self.set_call_waiting(wanted);
            self.welcome(false);
        }
    }

    async fn leave(mut self, end: LoginEnd) {
        self.say_goodbye(end);
        for slot in &self.slots {
            if slot.waits_for_leg() {
                self.registration.exchange().calls.failed(slot.call(), Ending::PhoneLost.into());
            }
        }
        let is_v1 = matches!(self.dialect, Dialect::V1(_));
        let Self { wire, places, registration, commands, slots, .. } = self;
        // The extension is free and every call is told before the goodbye, which may take a second;
        // a call that rang in this very moment waits in the mailbox.
        drop((registration, commands, slots));
        if let Some(wire) = wire
            && let Some((code, reason)) = back::close_code(end, is_v1)
        {
            wire.close(code, reason).await;
        }
        drop(places);
    }

    fn poll_rare(&mut self, cx: &mut Context<'_>) -> Poll<Happening> {
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

    fn poll_often(&mut self, cx: &mut Context<'_>) -> Poll<Happening> {
        let Some(wire) = &mut self.wire else { return Poll::Pending };
        let mut slot = self.active.and_then(|at| self.slots.get_mut(at));
        if let Some(slot) = &mut slot {
            slot.poll_audio_to_phone(wire, cx);
        }
        loop {
            match wire.poll_turn(cx) {
                Poll::Ready(Turn::Binary(audio)) => {
                    if let Some(slot) = &mut slot {
                        slot.pass_to_call(audio);
                    }
                    match &mut self.dialect {
                        Dialect::Plain(plain) => plain.heard(),
                        // One that is reachable again is told of: that is rare.
                        Dialect::V1(v1) if v1.is_reachable() => v1.heard_audio(),
                        Dialect::V1(_) => return Poll::Ready(Happening::Turn(Turn::Alive)),
                    }
                }
                Poll::Ready(turn) => return Poll::Ready(Happening::Turn(turn)),
                Poll::Pending => return Poll::Pending,
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
