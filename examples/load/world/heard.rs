//! What the gateway says to phones and to Asterisk's legs, and what they answer.

use rustix::event::epoll::EventFlags;

use super::{Due, FRAME_NS, Got, MS, PHONE_PAUSE, Peer, Role, UPWARD, Voice, World, spread};
use crate::{
    frame::{self, Heard},
    ws,
};

impl World {
    pub(super) fn ready(&mut self, index: usize, flags: EventFlags, scratch: &mut [u8]) {
        let Some(mut peer) = self.peers[index].take() else { return };
        if flags.contains(EventFlags::OUT) {
            let _ = peer.link.flush(&self.epoll);
        }
        let mut alive = true;
        let mut got = Vec::new();
        if flags.intersects(EventFlags::IN | EventFlags::HUP | EventFlags::ERR) {
            alive = peer.link.readable(&self.epoll, scratch, |opcode, payload| match opcode {
                0 => got.push(Got::Upgraded),
                ws::TEXT => got.push(Got::Text(String::from_utf8_lossy(payload).into_owned())),
                ws::BINARY => got.push(Got::Audio(frame::read(payload))),
                ws::PING => got.push(Got::Ping(payload.to_vec())),
                _ => {}
            });
        }
        let now = self.now();
        for got in got {
            match got {
                Got::Audio(heard) => self.audio(index, &mut peer, heard, now),
                Got::Ping(payload) => {
                    peer.link.send(&self.epoll, &mut self.out, ws::PONG, &payload);
                }
                Got::Upgraded => self.upgraded(index, &mut peer, now),
                Got::Text(text) => self.text(index, &mut peer, &text, now),
            }
        }
        if alive {
            self.peers[index] = Some(peer);
        } else {
            self.closed(index, &peer);
        }
    }

    fn upgraded(&mut self, index: usize, peer: &mut Peer, now: u64) {
        let text = match &mut peer.role {
            // An answer to no call is answered by HANGUP: a round trip through the phone's task.
            Role::Phone { .. } => "ANSWER".to_owned(),
            Role::Leg { dialled, started_at, .. } => {
                *started_at = now;
                format!(
                    "{{\"event\":\"MEDIA_START\",\"connection_id\":\"bench\",\
                     \"channel\":\"WebSocket/bench/{index:#x}\",\"channel_id\":\"1700000000.{index}\",\
                     \"format\":\"slin16\",\"optimal_frame_size\":640,\"ptime\":20,\
                     \"channel_variables\":{{\"WS_EXTEN\":\"{dialled}\"}}}}"
                )
            }
        };
        peer.link.send(&self.epoll, &mut self.out, ws::TEXT, text.as_bytes());
    }

    fn text(&mut self, index: usize, peer: &mut Peer, text: &str, now: u64) {
        match (&mut peer.role, text) {
            (Role::Phone { ext, over, answered_at, .. }, "RINGING") => {
                self.tally.rung += 1;
                *over = false;
                let leg = self.legs.get(ext).copied();
                if let Some(Some(leg)) = leg.map(|leg| self.peers[leg].as_mut())
                    && let Role::Leg { started_at, .. } = leg.role
                {
                    self.tally.ring.add(now - started_at);
                    if self.manner.answers {
                        leg.other = Some(index);
                        *answered_at = now;
                        peer.link.send(&self.epoll, &mut self.out, ws::TEXT, b"ANSWER");
                    }
                }
            }
            (Role::Phone { ext, ready, over, .. }, "HANGUP") => {
                if *ready {
                    self.tally.told_over += 1;
                    *over = true;
                    peer.voice = None;
                    if self.legs.get(ext).is_none_or(|leg| self.peers[*leg].is_none()) {
                        self.idle_again.push(*ext);
                    }
                } else {
                    *ready = true;
                    self.tally.logins += 1;
                }
            }
            (Role::Leg { playout, .. }, command) => {
                if command.contains("GET_STATUS") {
                    playout.play(now, |late| self.tally.playout.add(late));
                    let queue = playout.len();
                    let status = format!(
                        "{{\"event\":\"STATUS\",\"channel_id\":\"1700000000.{index}\",\
                         \"queue_length\":{queue},\"xon_level\":800,\"xoff_level\":900,\
                         \"queue_full\":false,\"bulk_media\":false,\"media_paused\":false}}"
                    );
                    peer.link.send(&self.epoll, &mut self.out, ws::TEXT, status.as_bytes());
                } else if command.contains("FLUSH_MEDIA") {
                    playout.flush();
                } else if command.contains("ANSWER") {
                    self.answered(index, peer, now);
                } else if command.contains("HANGUP") {
                    peer.voice = None;
                    let code = 1000u16.to_be_bytes();
                    peer.link.send(&self.epoll, &mut self.out, ws::CLOSE, &code);
                }
            }
            _ => {}
        }
    }

    fn answered(&mut self, index: usize, leg: &mut Peer, now: u64) {
        let Some(other) = leg.other else { return };
        let manner = self.manner;
        let Some(phone) = &mut self.peers[other] else { return };
        let Role::Phone { answered_at, .. } = phone.role else { return };
        self.tally.answered += 1;
        self.tally.answer.add(now - answered_at);
        phone.other = Some(index);
        (phone.expects, leg.expects) = (0, 0);
        let voice = |call, every| Some(Voice { call, seq: 0, every, pauses: manner.pauses });
        leg.voice = voice(index as u32, FRAME_NS);
        phone.voice = voice(index as u32 | UPWARD, manner.phone_every[index % 2]);
        self.at(now + spread(index), Due::Speak(index));
        self.at(now + PHONE_PAUSE + spread(other + 7 * index), Due::Speak(other));
        if manner.talk > 0 {
            let end = now + manner.talk + spread(index);
            self.at(end - 300 * MS, Due::Hush(index));
            self.at(end - 300 * MS, Due::Hush(other));
            let by_leg = self.tally.answered.is_multiple_of(2);
            self.at(end, if by_leg { Due::LegHangsUp(index) } else { Due::PhoneHangsUp(other) });
        }
    }

    fn audio(&mut self, index: usize, peer: &mut Peer, heard: Heard, now: u64) {
        let is_leg = if let Role::Leg { playout, .. } = &mut peer.role {
            playout.play(now, |late| self.tally.playout.add(late));
            playout.push(match heard {
                Heard::Ours(facts) => Some(facts.sent_ns),
                Heard::Silence | Heard::Corrupt => None,
            });
            let queue = playout.len() as u64;
            self.tally.queue_max = self.tally.queue_max.max(queue);
            self.tally.queue_sum += queue;
            self.tally.queue_seen += 1;
            true
        } else {
            false
        };
        let facts = match heard {
            Heard::Ours(facts) => facts,
            Heard::Silence => {
                self.tally.silence += 1;
                return;
            }
            Heard::Corrupt => {
                self.tally.corrupt += 1;
                return;
            }
        };
        let mine = if is_leg { index as u32 | UPWARD } else { peer.other.unwrap_or(0) as u32 };
        if facts.call != mine {
            self.tally.corrupt += 1;
            return;
        }
        self.tally.got += 1;
        if facts.seq < peer.expects {
            self.tally.reordered += 1;
        }
        peer.expects = facts.seq + 1;
        let delay = now.saturating_sub(facts.sent_ns);
        if is_leg { self.tally.up.add(delay) } else { self.tally.down.add(delay) }
    }

    fn closed(&mut self, index: usize, peer: &Peer) {
        match &peer.role {
            Role::Phone { ext, .. } => {
                self.tally.phones_lost += 1;
                self.phones.remove(ext);
            }
            Role::Leg { .. } => {
                self.tally.legs_closed += 1;
                let over = self.legs.extract_if(|_, leg| *leg == index);
                let over: Vec<u32> = over.map(|(ext, _)| ext).collect();
                for ext in over {
                    // Idle again when it was told so, too.
                    let phone = self.phones.get(&ext).and_then(|p| self.peers[*p].as_ref());
                    if phone.is_some_and(|p| matches!(p.role, Role::Phone { over: true, .. })) {
                        self.idle_again.push(ext);
                    }
                }
            }
        }
    }
}
