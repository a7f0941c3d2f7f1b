//! PURE: what the manager's events mean for the calls that are up.
//!
//! Promises: an event of somebody else's channel changes nothing and is not kept, but for a bounded
//! table of those that may be of a leg which is about to connect; what is not known after a loss of
//! the connection is asked for or forgotten, never guessed.

use std::{
    collections::{HashMap, VecDeque},
    time::{Duration, Instant},
};

use super::{super::ami::event::Event, outcome};
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
/// From when on a dialled call whose dialplan dials nobody counts as answered: an application
/// (voicemail, a conference, an echo) talks, and Asterisk doesn't say so.
pub const APPLICATION_TIME: Duration = Duration::from_secs(2);

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
    /// The last attempt's result.
    status: Option<String>,
    application_at: Option<Instant>,
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
            status: None,
            application_at: Some(now + APPLICATION_TIME),
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

    /// What Asterisk reports.
    pub fn event(&mut self, event: Event, now: Instant, effects: &mut Vec<Effect>) {
        match event {
            Event::DialBegin { id, far_id, far_channel, caller } => {
                if let Some(dialled) = self.dialled(&id) {
                    dialled.application_at = None;
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
                    dialled.status = Some(status);
                    // The dialplan may do something else now: say that the number is busy.
                    dialled.application_at = Some(now + APPLICATION_TIME);
                }
            }
            Event::Hangup { id, cause } => {
                if let Some(call) = self.by_channel.get(&id).copied()
                    && let Some(dialled) = self.dialled(&id)
                {
                    let why = outcome::unanswered(dialled.status.as_deref(), cause);
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
            Event::User { .. } => {}
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
        let calls = dialled.map(|d| d.application_at.map_or(d.until, |at| at.min(d.until)));
        calls.chain(self.to_come.values().copied()).min()
    }

    /// The time of [`Book::deadline`] may have come.
    pub fn tick(&mut self, now: Instant, effects: &mut Vec<Effect>) {
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
            } else if dialled.application_at.is_some_and(|at| at <= now) {
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
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(60);

    fn id(n: u128) -> CallId {
        CallId::from_uuid(uuid::Uuid::from_u128(n))
    }

    struct Table {
        book: Book,
        now: Instant,
    }

    impl Table {
        fn new() -> Self {
            Self { book: Book::default(), now: Instant::now() }
        }

        fn began(&mut self, n: u128, channel_id: &str, direction: Direction) -> Vec<Effect> {
            let mut effects = Vec::new();
            let channel_id = channel_id.to_owned();
            let began = Began { call: id(n), channel_id, direction, timeout: TIMEOUT };
            self.book.began(began, self.now, &mut effects);
            effects
        }

        fn event(&mut self, event: Event) -> Vec<Effect> {
            let mut effects = Vec::new();
            self.book.event(event, self.now, &mut effects);
            effects
        }

        fn peer(&mut self, n: u128, peer: Option<&str>) -> Vec<Effect> {
            let mut effects = Vec::new();
            self.book.peer(id(n), peer, &mut effects);
            effects
        }

        fn after(&mut self, time: Duration) -> Vec<Effect> {
            self.now += time;
            let mut effects = Vec::new();
            self.book.tick(self.now, &mut effects);
            effects
        }
    }

    fn alice() -> Caller {
        Caller::new("0312345678", "Alice")
    }

    fn dials(id: &str, far_id: &str, far_channel: &str, caller: Caller) -> Event {
        let text = str::to_owned;
        Event::DialBegin {
            id: text(id),
            far_id: text(far_id),
            far_channel: text(far_channel),
            caller,
        }
    }

    fn state(id: &str, status: &str) -> Event {
        Event::DialState { id: id.to_owned(), status: status.to_owned() }
    }

    fn end(id: &str, status: &str) -> Event {
        Event::DialEnd { id: id.to_owned(), status: status.to_owned() }
    }

    fn hangup(id: &str, cause: u8) -> Event {
        Event::Hangup { id: id.to_owned(), cause }
    }

    fn enters(bridge: &str, id: &str, channels: u32) -> Event {
        Event::BridgeEnter { bridge: bridge.to_owned(), id: id.to_owned(), channels }
    }

    fn hold(channel: &str, on: bool) -> Event {
        Event::Hold { id: String::new(), channel: channel.to_owned(), on }
    }

    #[test]
    fn who_calls_is_known_whether_asterisk_says_so_before_or_after_the_leg_connects() {
        let mut table = Table::new();
        table.event(dials("1.1", "1.2", "WebSocket/gw/0x1", alice()));
        assert_eq!(table.began(1, "1.2", Direction::In), [Effect::Caller(id(1), alice())]);
        assert_eq!(table.began(2, "2.2", Direction::In), []);
        let late = table.event(dials("2.1", "2.2", "WebSocket/gw/0x2", alice()));
        assert_eq!(late, [Effect::Caller(id(2), alice())]);
    }

    #[test]
    fn a_caller_who_changes_while_the_call_is_up_is_told() {
        let mut table = Table::new();
        table.began(1, "1.2", Direction::In);
        let bob = Caller::new("2002", "Bob");
        let event = Event::Connected {
            id: "1.2".to_owned(),
            channel: "WebSocket/gw/0x1".to_owned(),
            other: bob.clone(),
        };
        assert_eq!(table.event(event), [Effect::Caller(id(1), bob)]);
    }

    #[test]
    fn other_peoples_events_are_not_kept() {
        let mut table = Table::new();
        for n in 0..10 * RECENT {
            let far = n.to_string();
            table.event(dials("x", &far, "PJSIP/x", alice()));
            table.event(enters("b", &far, 2));
            table.event(hold("PJSIP/x", true));
        }
        assert!(table.book.recent.is_empty() && table.book.by_bridge.is_empty());
        for n in 0..10 * RECENT {
            table.event(dials("x", &n.to_string(), "WebSocket/other/0x1", alice()));
        }
        assert_eq!(table.book.recent.len(), RECENT);
    }

    #[test]
    fn a_dialled_call_is_alerting_and_answered_as_the_far_end_is() {
        let mut table = Table::new();
        table.began(1, "1.1", Direction::Out);
        assert_eq!(table.event(dials("1.1", "1.2", "PJSIP/x", Caller::new("2001", ""))), []);
        let alerting = [Effect::Progress(id(1), Progress::Alerting)];
        assert_eq!(table.event(state("1.1", "RINGING")), alerting);
        assert_eq!(table.event(state("1.1", "RINGING")), []);
        assert_eq!(table.event(state("1.1", "PROGRESS")), []);
        assert_eq!(table.after(TIMEOUT / 2), []);
        let answered = [Effect::Progress(id(1), Progress::Answered)];
        assert_eq!(table.event(end("1.1", "ANSWER")), answered);
        assert_eq!(table.event(hangup("1.1", 16)), [], "the leg's own word counts from here on");
    }

    #[test]
    fn the_number_of_the_phone_itself_is_not_taken_for_the_far_end() {
        let mut table = Table::new();
        table.event(dials("", "1.1", "WebSocket/gw/0x1", Caller::new("2001", "")));
        assert_eq!(table.began(1, "1.1", Direction::Out), []);
        assert_eq!(table.event(dials("", "1.1", "WebSocket/gw/0x1", Caller::new("2001", ""))), []);
    }

    #[test]
    fn a_dialled_call_ends_for_what_the_far_end_did() {
        let mut table = Table::new();
        table.began(1, "1.1", Direction::Out);
        table.event(dials("1.1", "1.2", "PJSIP/x", alice()));
        assert_eq!(table.event(end("1.1", "BUSY")), []);
        let busy = [Effect::ClosesFor(id(1), Ending::Busy, 16)];
        assert_eq!(table.event(hangup("1.1", 16)), busy);
    }

    #[test]
    fn the_second_trunk_may_answer_what_the_first_has_refused() {
        let mut table = Table::new();
        table.began(1, "1.1", Direction::Out);
        table.event(dials("1.1", "1.2", "PJSIP/x", alice()));
        table.event(end("1.1", "CONGESTION"));
        table.event(dials("1.1", "1.3", "PJSIP/y", alice()));
        assert_eq!(table.after(APPLICATION_TIME), [], "it dials");
        let answered = [Effect::Progress(id(1), Progress::Answered)];
        assert_eq!(table.event(end("1.1", "ANSWER")), answered);
    }

    #[test]
    fn a_dialplan_that_dials_nobody_answers_itself() {
        let mut table = Table::new();
        table.began(1, "1.1", Direction::Out);
        assert_eq!(table.book.deadline(), Some(table.now + APPLICATION_TIME));
        let answered = [Effect::Progress(id(1), Progress::Answered)];
        assert_eq!(table.after(APPLICATION_TIME), answered);
        assert_eq!(table.book.deadline(), None);
    }

    #[test]
    fn a_far_end_that_never_answers_has_an_end() {
        let mut table = Table::new();
        table.began(1, "1.1", Direction::Out);
        table.event(dials("1.1", "1.2", "PJSIP/x", alice()));
        assert_eq!(table.after(TIMEOUT), [Effect::End(id(1), Ending::NoAnswer)]);
        assert_eq!(table.after(TIMEOUT), []);
    }

    #[test]
    fn a_leg_that_does_not_come_is_given_up_and_one_that_asterisk_cannot_open_at_once() {
        let mut table = Table::new();
        table.book.expect(id(1), table.now);
        table.book.expect(id(2), table.now);
        table.book.expect(id(3), table.now);
        let failure =
            |n| Event::Originated { id: id(n).to_string(), done: false, reason: "0".to_owned() };
        assert_eq!(table.event(failure(1)), [Effect::Failed(id(1), Ending::Failed)]);
        assert_eq!(table.event(failure(1)), []);
        table.began(2, &id(2).to_string(), Direction::Out);
        assert_eq!(table.event(failure(2)), [], "it has come all the same");
        assert!(table.after(LEG_TIME).contains(&Effect::Failed(id(3), Ending::Failed)));
        assert!(!table.after(LEG_TIME).contains(&Effect::Failed(id(3), Ending::Failed)));
    }

    #[test]
    fn the_far_ends_hold_is_known_by_who_is_in_the_bridge() {
        let mut table = Table::new();
        table.began(1, "1.2", Direction::In);
        assert_eq!(table.event(enters("b", "1.2", 1)), []);
        assert_eq!(table.event(enters("b", "1.1", 2)), [Effect::AskPeer(id(1))]);
        table.peer(1, Some("PJSIP/alice-1"));
        assert_eq!(table.event(hold("PJSIP/other-1", true)), []);
        let held = [Effect::HeldByFar(id(1), true)];
        assert_eq!(table.event(hold("PJSIP/alice-1", true)), held);
        assert_eq!(table.event(hold("PJSIP/alice-1", true)), []);
        // She is transferred by her own side: whoever comes has not put us on hold.
        let leave = Event::BridgeLeave { bridge: "b".to_owned(), id: "1.1".to_owned() };
        let effects = table.event(leave);
        assert_eq!(effects, [Effect::HeldByFar(id(1), false), Effect::AskPeer(id(1))]);
        assert_eq!(table.event(hold("PJSIP/alice-1", false)), []);
    }

    #[test]
    fn after_a_loss_nothing_old_is_believed_and_all_is_asked_for() {
        let mut table = Table::new();
        table.began(1, "1.2", Direction::In);
        table.began(2, "2.1", Direction::Out);
        table.event(enters("b", "1.2", 2));
        table.peer(1, Some("PJSIP/alice-1"));
        table.event(hold("PJSIP/alice-1", true));
        let mut effects = Vec::new();
        table.book.forget_all(&mut effects);
        assert_eq!(effects, [Effect::HeldByFar(id(1), false)]);
        effects.clear();
        table.book.resume(&mut effects);
        effects.sort_by_key(|effect| format!("{effect:?}"));
        assert_eq!(effects, [Effect::AskPeer(id(1)), Effect::AskPeer(id(2))]);
        assert_eq!(table.peer(2, Some("PJSIP/bob")), [Effect::Progress(id(2), Progress::Answered)]);
        table.peer(1, Some("PJSIP/alice-1"));
        assert_eq!(table.event(hold("PJSIP/alice-1", true)), [Effect::HeldByFar(id(1), true)]);
    }

    #[test]
    fn a_call_that_is_over_leaves_nothing_behind() {
        let mut table = Table::new();
        for n in 0..3 {
            let (channel, bridge) = (format!("1.{n}"), format!("b{n}"));
            table.began(n, &channel, Direction::In);
            table.event(enters(&bridge, &channel, 2));
            table.peer(n, Some(&format!("PJSIP/{n}")));
        }
        table.book.ended(id(0));
        table.book.keep(|call| call == id(1));
        table.book.ended(id(1));
        let Book { calls, by_channel, by_bridge, by_peer, to_come, recent } = table.book;
        assert!(calls.is_empty() && by_channel.is_empty() && by_bridge.is_empty());
        assert!(by_peer.is_empty() && to_come.is_empty() && recent.is_empty());
    }

    fn any_event() -> impl Strategy<Value = Event> {
        let name = || prop::sample::select(vec!["1", "2", "3", ""]).prop_map(str::to_owned);
        let status = prop::sample::select(vec!["RINGING", "ANSWER", "BUSY", ""]);
        let status = status.prop_map(str::to_owned);
        let channel = || prop::sample::select(vec!["WebSocket/a", "P/1"]).prop_map(str::to_owned);
        prop_oneof![
            (name(), name(), channel()).prop_map(|(id, far_id, far_channel)| Event::DialBegin {
                id,
                far_id,
                far_channel,
                caller: alice()
            }),
            (name(), status.clone()).prop_map(|(id, status)| Event::DialState { id, status }),
            (name(), status).prop_map(|(id, status)| Event::DialEnd { id, status }),
            (name(), any::<u8>()).prop_map(|(id, cause)| Event::Hangup { id, cause }),
            (channel(), any::<bool>()).prop_map(|(channel, on)| Event::Hold {
                id: String::new(),
                channel,
                on
            }),
            (name(), name(), 1u32..4).prop_map(|(bridge, id, channels)| Event::BridgeEnter {
                bridge,
                id,
                channels
            }),
            (name(), name()).prop_map(|(bridge, id)| Event::BridgeLeave { bridge, id }),
        ]
    }

    #[derive(Debug, Clone)]
    enum Step {
        Began(u128, bool),
        Ended(u128),
        Peer(u128, bool),
        Event(Event),
        Wait(u64),
        Lost,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            1 => (1u128..4, any::<bool>()).prop_map(|(n, out)| Step::Began(n, out)),
            1 => (1u128..4).prop_map(Step::Ended),
            1 => (1u128..4, any::<bool>()).prop_map(|(n, there)| Step::Peer(n, there)),
            8 => any_event().prop_map(Step::Event),
            1 => (0u64..30).prop_map(Step::Wait),
            1 => Just(Step::Lost),
        ]
    }

    proptest! {
        #[test]
        fn in_any_order_only_calls_that_are_up_are_told_and_progress_only_grows(
            steps in prop::collection::vec(step(), 0..80),
        ) {
            let mut table = Table::new();
            let mut up: HashMap<CallId, Progress> = HashMap::new();
            let mut held: HashMap<CallId, bool> = HashMap::new();
            for step in steps {
                let effects = match step {
                    Step::Began(n, out) => {
                        up.insert(id(n), Progress::Dialling);
                        held.remove(&id(n));
                        let direction = if out { Direction::Out } else { Direction::In };
                        table.began(n, &n.to_string(), direction)
                    }
                    Step::Ended(n) => {
                        up.remove(&id(n));
                        table.book.ended(id(n));
                        Vec::new()
                    }
                    Step::Peer(n, there) => table.peer(n, there.then_some("P/1")),
                    Step::Event(event) => table.event(event),
                    Step::Wait(seconds) => table.after(Duration::from_secs(seconds)),
                    Step::Lost => {
                        let mut effects = Vec::new();
                        table.book.forget_all(&mut effects);
                        table.book.resume(&mut effects);
                        effects
                    }
                };
                for effect in effects {
                    let (Effect::Caller(call, _) | Effect::HeldByFar(call, _)
                        | Effect::Progress(call, _) | Effect::ClosesFor(call, ..)
                        | Effect::End(call, _) | Effect::Failed(call, _)
                        | Effect::AskPeer(call)) = effect;
                    prop_assert!(up.contains_key(&call), "{effect:?}");
                    if let Effect::Progress(call, progress) = effect {
                        prop_assert!(up.insert(call, progress) < Some(progress));
                    }
                    if let Effect::HeldByFar(call, on) = effect {
                        prop_assert!(held.insert(call, on).unwrap_or(false) != on);
                    }
                }
            }
            let sizes = (table.book.calls.len(), table.book.by_channel.len());
            prop_assert_eq!(sizes.0, up.len());
            prop_assert!(sizes.1 <= sizes.0 && table.book.by_peer.len() <= sizes.0);
        }
    }
}
