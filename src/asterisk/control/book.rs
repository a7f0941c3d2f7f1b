//! PURE: what the manager's events mean for the calls that are up.
//!
//! Promises: an event of somebody else's channel changes nothing and is not kept, but for a bounded
//! table of those that may be of a leg which is about to connect; what is not known after a loss of
//! the connection is asked for or forgotten, never guessed.

use std::{
    collections::{HashMap, VecDeque},
    time::{Duration, Instant},
};

use super::{
    super::ami::event::Event,
    attempts::Attempts,
    outcome,
    passed::{self, PassedOn, Passer},
};
use crate::call::{
    CallId,
    ending::Ending,
    info::Progress,
    record::{Caller, Direction},
};

/// Callers of legs that have not connected yet. Asterisk reports one some milliseconds before or
/// after MEDIA_START, so this many would have to begin at once for one to be lost.
pub const RECENT: usize = 256;
/// How long the leg of a dialled call may take to come. Asterisk connects to a gateway that is
/// there within milliseconds, and one that can't has given up by then.
pub const LEG_TIME: Duration = Duration::from_secs(10);

/// What a call is to be told, and what is to be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    Caller(CallId, Caller),
    HeldByFar(CallId, bool),
    Progress(CallId, Progress),
    /// What the call ends for when Asterisk closes it, and the cause.
    ClosesFor(CallId, Ending, u8),
    /// The call has taken too long to be answered.
    End(CallId, Ending),
    /// A call that a phone waits for will not come.
    Failed(CallId, Ending),
    /// What became of a caller who was passed on.
    PassedOn(passed::Outcome),
    /// Ask who is in the bridge with this call, and say so with [`Book::peer`].
    AskPeer(CallId),
}

/// A call that has begun.
#[derive(Debug, Clone)]
pub struct Began {
    pub call: CallId,
    /// Its channel's unique id.
    pub channel_id: String,
    pub direction: Direction,
    /// How long a dialled one may take to be answered.
    pub timeout: Duration,
}

/// The calls.
#[derive(Debug, Default)]
pub struct Book {
    calls: HashMap<CallId, Entry>,
    by_channel: HashMap<String, CallId>,
    /// Our legs in each bridge that has one.
    by_bridge: HashMap<String, Vec<CallId>>,
    /// The other end's channel, by name; where there is one other end.
    by_peer: HashMap<String, CallId>,
    /// Dialled calls whose leg is to come, and until when.
    to_come: HashMap<CallId, Instant>,
    passed: PassedOn,
    recent: VecDeque<(String, Caller)>,
}

#[derive(Debug)]
struct Entry {
    channel_id: String,
    bridge: Option<String>,
    peer: Option<String>,
    held: bool,
    /// A dialled call that nobody has answered yet.
    dialled: Option<Dialled>,
}

#[derive(Debug)]
struct Dialled {
    progress: Progress,
    attempts: Attempts,
    until: Instant,
}

impl Book {
    /// A call has been asked for, and its leg is to come.
    pub fn expect(&mut self, call: CallId, now: Instant) {
        self.to_come.insert(call, now + LEG_TIME);
    }

    /// Its leg will not come, or is not waited for any more.
    pub fn forget(&mut self, call: CallId) {
        self.to_come.remove(&call);
    }

    pub fn began(&mut self, began: Began, now: Instant, effects: &mut Vec<Effect>) {
        let Began { call, channel_id, direction, timeout } = began;
        self.ended(call); // a call has one channel
        self.to_come.remove(&call);
        let early = self.take_recent(&channel_id);
        let dialled = (direction == Direction::Out).then(|| Dialled {
            progress: Progress::Dialling,
            attempts: Attempts::new(now),
            until: now + timeout,
        });
        if let Some(caller) = early.filter(|_| direction == Direction::In) {
            effects.push(Effect::Caller(call, caller));
        }
        self.by_channel.insert(channel_id.clone(), call);
        let entry = Entry { channel_id, bridge: None, peer: None, held: false, dialled };
        self.calls.insert(call, entry);
    }

    pub fn ended(&mut self, call: CallId) {
        self.leave_bridge(call);
        self.set_peer(call, None);
        if let Some(entry) = self.calls.remove(&call) {
            self.by_channel.remove(&entry.channel_id);
        }
    }

    /// Drops the calls that are not up any more, in case one's end was not told.
    pub fn keep(&mut self, is_up: impl Fn(CallId) -> bool) {
        let gone: Vec<CallId> = self.calls.keys().copied().filter(|call| !is_up(*call)).collect();
        gone.into_iter().for_each(|call| self.ended(call));
    }

    /// A phone wants to pass the far end of this call on.
    pub fn pass_on(&mut self, call: CallId, passer: Passer, now: Instant) {
        if let Some(entry) = self.calls.get(&call) {
            self.passed.ask(&entry.channel_id, call, passer, now);
        }
    }

    /// The calls that were passed on, and whose outcome may still be told.
    pub fn passed_on(&self) -> impl Iterator<Item = CallId> {
        self.passed.calls()
    }

    /// What Asterisk reports.
    pub fn event(&mut self, event: Event, now: Instant, effects: &mut Vec<Effect>) {
        effects.extend(self.passed.event(&event, now).map(Effect::PassedOn));
        match event {
            Event::DialBegin { id, far_id, far_channel, caller } => {
                if let Some(dialled) = self.dialled(&id) {
                    dialled.attempts.begin();
                }
                self.other_end(far_id, &far_channel, caller, effects);
            }
            Event::Connected { id, channel, other } => {
                self.other_end(id, &channel, other, effects);
            }
            Event::DialState { id, status } => {
                if let Some(call) = self.by_channel.get(&id).copied()
                    && status == "RINGING"
                {
                    self.progress(call, Progress::Alerting, effects);
                }
            }
            Event::DialEnd { id, status } => {
                let Some(call) = self.by_channel.get(&id).copied() else { return };
                if status == "ANSWER" {
                    self.progress(call, Progress::Answered, effects);
                } else if let Some(dialled) = self.dialled(&id) {
                    dialled.attempts.fail(status, now);
                }
            }
            Event::Hangup { id, cause } => {
                if let Some(call) = self.by_channel.get(&id).copied()
                    && let Some(dialled) = self.dialled(&id)
                {
                    let why = outcome::unanswered(dialled.attempts.status(), cause);
                    effects.push(Effect::ClosesFor(call, why, cause));
                }
            }
            Event::Originated { id, done, reason: _ } => {
                if let Some(call) = CallId::parse(&id)
                    && !done
                    && self.to_come.remove(&call).is_some()
                {
                    effects.push(Effect::Failed(call, Ending::Failed));
                }
            }
            Event::Hold { id: _, channel, on } => {
                if let Some(call) = self.by_peer.get(&channel).copied() {
                    self.held(call, on, effects);
                }
            }
            Event::BridgeEnter { bridge, id, channels } => {
                self.entered(bridge, &id, channels, effects);
            }
            Event::BridgeLeave { bridge, id } => self.left(&bridge, &id, effects),
            Event::Transfer { .. } | Event::User { .. } => {}
        }
    }

    /// Who is in the bridge with a call: a channel's name; nothing where there is nobody, or more
    /// than one.
    pub fn peer(&mut self, call: CallId, peer: Option<&str>, effects: &mut Vec<Effect>) {
        if !self.calls.contains_key(&call) {
            return;
        }
        let changed = self.calls.get(&call).is_some_and(|e| e.peer.as_deref() != peer);
        self.set_peer(call, peer);
        if changed {
            self.held(call, false, effects);
        }
        if peer.is_some() {
            self.progress(call, Progress::Answered, effects);
        }
    }

    /// The connection is lost, or events were: what they told may be over.
    pub fn forget_all(&mut self, effects: &mut Vec<Effect>) {
        self.by_bridge.clear();
        self.by_peer.clear();
        self.recent.clear();
        self.passed.forget_all();
        for (call, entry) in &mut self.calls {
            entry.bridge = None;
            entry.peer = None;
            if std::mem::take(&mut entry.held) {
                effects.push(Effect::HeldByFar(*call, false));
            }
        }
    }

    /// The connection is back, with no memory.
    pub fn resume(&mut self, effects: &mut Vec<Effect>) {
        effects.extend(self.calls.keys().map(|call| Effect::AskPeer(*call)));
    }

    /// When [`Book::tick`] has something to do.
    pub fn deadline(&self) -> Option<Instant> {
        let dialled = self.calls.values().filter_map(|entry| entry.dialled.as_ref());
        let calls = dialled.map(|d| d.attempts.quiet_at().map_or(d.until, |at| at.min(d.until)));
        calls.chain(self.to_come.values().copied()).chain(self.passed.deadline()).min()
    }

    /// The time of [`Book::deadline`] may have come.
    pub fn tick(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        effects.extend(self.passed.tick(now).into_iter().map(Effect::PassedOn));
        self.to_come.retain(|call, until| {
            let late = *until <= now;
            if late {
                effects.push(Effect::Failed(*call, Ending::Failed));
            }
            !late
        });
        let mut answered = Vec::new();
        for (call, entry) in &mut self.calls {
            let Some(dialled) = &mut entry.dialled else { continue };
            if dialled.until <= now {
                effects.push(Effect::End(*call, Ending::NoAnswer));
                entry.dialled = None;
            } else if dialled.attempts.quiet_at().is_some_and(|at| at <= now) {
                answered.push(*call);
            }
        }
        for call in answered {
            self.progress(call, Progress::Answered, effects);
        }
    }

    fn dialled(&mut self, id: &str) -> Option<&mut Dialled> {
        let call = self.by_channel.get(id)?;
        self.calls.get_mut(call)?.dialled.as_mut()
    }

    fn progress(&mut self, call: CallId, progress: Progress, effects: &mut Vec<Effect>) {
        let Some(entry) = self.calls.get_mut(&call) else { return };
        let Some(dialled) = entry.dialled.as_mut().filter(|d| d.progress < progress) else {
            return;
        };
        dialled.progress = progress;
        effects.push(Effect::Progress(call, progress));
        if progress == Progress::Answered {
            entry.dialled = None;
        }
    }

    /// Asterisk says who is at the other end of a channel.
    fn other_end(&mut self, id: String, channel: &str, other: Caller, effects: &mut Vec<Effect>) {
        if other == Caller::default() {
            return;
        }
        if let Some(call) = self.by_channel.get(&id) {
            // Of a dialled leg Asterisk first says the phone's own number.
            let known = self.calls.get(call).is_some_and(|entry| entry.dialled.is_none());
            if known {
                effects.push(Effect::Caller(*call, other));
            }
        } else if channel.starts_with("WebSocket/") && !id.is_empty() {
            self.take_recent(&id);
            if self.recent.len() >= RECENT {
                self.recent.pop_front();
            }
            self.recent.push_back((id, other));
        }
    }

    fn take_recent(&mut self, id: &str) -> Option<Caller> {
        let at = self.recent.iter().rposition(|(recent, _)| recent == id)?;
        self.recent.remove(at).map(|(_, caller)| caller)
    }

    fn entered(&mut self, bridge: String, id: &str, channels: u32, effects: &mut Vec<Effect>) {
        if let Some(call) = self.by_channel.get(id).copied() {
            self.leave_bridge(call);
            if let Some(entry) = self.calls.get_mut(&call) {
                entry.bridge = Some(bridge.clone());
            }
            self.by_bridge.entry(bridge.clone()).or_default().push(call);
            self.progress(call, Progress::Answered, effects);
        }
        if channels >= 2
            && let Some(calls) = self.by_bridge.get(&bridge)
        {
            effects.extend(calls.iter().map(|call| Effect::AskPeer(*call)));
        }
    }

    fn left(&mut self, bridge: &str, id: &str, effects: &mut Vec<Effect>) {
        let own = self.by_channel.get(id).copied();
        if let Some(call) = own {
            self.leave_bridge(call);
            self.peer(call, None, effects);
        }
        // Who stays has another other end now, or none.
        let stay = self.by_bridge.get(bridge).cloned().unwrap_or_default();
        for call in stay {
            self.peer(call, None, effects);
            effects.push(Effect::AskPeer(call));
        }
    }

    fn leave_bridge(&mut self, call: CallId) {
        let Some(bridge) = self.calls.get_mut(&call).and_then(|e| e.bridge.take()) else { return };
        if let Some(calls) = self.by_bridge.get_mut(&bridge) {
            calls.retain(|other| *other != call);
            if calls.is_empty() {
                self.by_bridge.remove(&bridge);
            }
        }
    }

    fn set_peer(&mut self, call: CallId, peer: Option<&str>) {
        let Some(entry) = self.calls.get_mut(&call) else { return };
        if let Some(old) = entry.peer.take()
            && self.by_peer.get(&old) == Some(&call)
        {
            self.by_peer.remove(&old);
        }
        if let Some(peer) = peer {
            entry.peer = Some(peer.to_owned());
            self.by_peer.insert(peer.to_owned(), call);
        }
    }

    fn held(&mut self, call: CallId, on: bool, effects: &mut Vec<Effect>) {
        if let Some(entry) = self.calls.get_mut(&call)
            && entry.held != on
        {
            entry.held = on;
            effects.push(Effect::HeldByFar(call, on));
        }
    }
}

#[cfg(test)]
mod tests;
