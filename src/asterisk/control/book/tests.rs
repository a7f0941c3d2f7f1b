use proptest::prelude::*;

use super::{super::attempts::APPLICATION_TIME, *};
use crate::call::LoginId;

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
    Event::DialBegin { id: text(id), far_id: text(far_id), far_channel: text(far_channel), caller }
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
fn one_of_two_trunks_that_is_busy_does_not_answer_for_the_other() {
    let mut table = Table::new();
    table.began(1, "1.1", Direction::Out);
    table.event(dials("1.1", "1.2", "PJSIP/x", alice()));
    table.event(dials("1.1", "1.3", "PJSIP/y", alice()));
    table.event(end("1.1", "BUSY"));
    assert_eq!(table.after(APPLICATION_TIME), [], "the other rings");
    let answered = [Effect::Progress(id(1), Progress::Answered)];
    assert_eq!(table.event(end("1.1", "ANSWER")), answered);
}

#[test]
fn what_becomes_of_a_transfer_is_told_after_the_phones_own_call_is_over() {
    let mut table = Table::new();
    table.began(1, "1.2", Direction::In);
    let passer = Passer { ext: "2001".into(), login: LoginId(7) };
    table.book.pass_on(id(1), passer.clone(), table.now);
    table.book.pass_on(id(2), passer.clone(), table.now); // no such call
    let text = str::to_owned;
    table.event(Event::Transfer { id: text("1.2"), far_id: text("1.1"), taken: true });
    table.book.ended(id(1));
    table.event(dials("1.1", "1.3", "PJSIP/x", alice()));
    let outcome = passed::Outcome { call: id(1), passer, result: Ok(()) };
    assert_eq!(table.event(end("1.1", "ANSWER")), [Effect::PassedOn(outcome)]);
    assert_eq!(table.book.deadline(), None);
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
    let Book { calls, by_channel, by_bridge, by_peer, to_come, passed: _, recent } = table.book;
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
                    | Effect::AskPeer(call)) = effect else { panic!("nothing was passed on") };
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
