//! The phone's audio, from its socket to the active call, and who tells of the socket.

use std::task::{Context, Poll};

use super::{Dialect, PhoneTask, slot::Slot};
use crate::net::wire::Turn;

impl PhoneTask {
    /// Passes the phone's audio on; what isn't audio is returned.
    pub(super) fn poll_socket(&mut self) -> Poll<Turn> {
        let Some(wire) = &mut self.wire else { return Poll::Pending };
        let mut slot = self.active.and_then(|at| self.slots.get_mut(at));
        let mut socket = Context::from_waker(self.bells.socket());
        loop {
            match wire.poll_turn(&mut socket) {
                Poll::Ready(Turn::Binary(audio)) => {
                    if let Some(slot) = &mut slot {
                        slot.pass_to_call(audio);
                    }
                    match &mut self.dialect {
                        Dialect::Plain(plain) => plain.heard(),
                        // One that is reachable again is told of: that is rare.
                        Dialect::V1(v1) if v1.is_reachable() => v1.heard_audio(),
                        Dialect::V1(_) => return Poll::Ready(Turn::Alive),
                    }
                }
                turn => return turn,
            }
        }
    }

    /// What was passed on is all that came.
    pub(super) fn ring_call(&mut self) {
        if let Some(slot) = self.active.and_then(|at| self.slots.get_mut(at)) {
            slot.ring_call();
        }
    }

    /// While the phone has a call with audio, its socket is told of by the one who tells that call of
    /// its own.
    pub(super) fn sit_or_stand(&mut self) {
        let Some(wire) = &mut self.wire else { return };
        let line = self.slots.iter().find_map(Slot::line);
        match (line.and_then(|line| line.reactor.as_ref()), self.bells.who()) {
            (Some(reactor), Some(who)) => wire.sit(reactor, who),
            _ => wire.stand(),
        }
    }
}
