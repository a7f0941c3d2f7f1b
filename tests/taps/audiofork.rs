//! AudioFork by events of the manager and the dialplan: what is asked for, who may be sent audio, what
//! is answered.

use goastgateway::report::feed::Happened;
use serde_json::{Value, json};

use crate::{
    consumer::Consumer,
    support::{
        manager::{Action, Manager, Session},
        talking,
    },
    *,
};

/// The channel of a call of these tests.
const CHANNEL: &str = "WebSocket/ws-ext-endpoint/0x7f00";

async fn start(audiofork: Option<Value>) -> (Gateway, Session) {
    let manager = Manager::new().await;
    let ami = manager.settings();
    let change = |config: &mut Value| {
        config["ami"] = ami;
        if let Some(audiofork) = audiofork {
            config["audiofork"] = audiofork;
        }
    };
    let gateway = Gateway::with(change, json!({})).await;
    let session = manager.accept(&gateway).await;
    (gateway, session)
}

fn local() -> Option<Value> {
    Some(json!({ "servers": ["127.0.0.1"] }))
}

/// Tells an event as Asterisk does, and gives the answer; `Setvar` comes before it.
async fn ask(session: &mut Session, name: &str, fields: &[(&str, &str)]) -> Vec<Action> {
    let mut lines = vec![("UserEvent", name)];
    lines.extend(fields);
    session.event("UserEvent", &lines).await;
    let mut actions = Vec::new();
    loop {
        let action = session.action().await;
        session.answer(&action, "Success", "").await;
        let is_answer = action.name() == "UserEvent";
        actions.push(action);
        if is_answer {
            return actions;
        }
    }
}

async fn answer(session: &mut Session, name: &str, fields: &[(&str, &str)]) -> Action {
    let answer = ask(session, name, fields).await.pop().expect("an answer");
    assert_eq!((answer.get("UserEvent"), answer.get("Request")), ("AudioForkResult", name));
    answer
}

async fn refusal(session: &mut Session, name: &str, fields: &[(&str, &str)]) -> String {
    let answer = answer(session, name, fields).await;
    assert_eq!((answer.get("Result"), answer.get("AudioForkID")), ("Error", ""));
    answer.get("Message").to_owned()
}

#[tokio::test]
async fn a_stream_is_started_muted_and_stopped_by_events_and_each_is_answered() {
    let (gateway, mut session) = start(local()).await;
    let mut consumer = Consumer::start().await;
    let (mut pbx, mut phone) = talking(&gateway, "2001").await;
    let url = consumer.url("/{id}/in");
    // The dialplan's events begin with the channel that sends them.
    let actions = ask(
        &mut session,
        "AudioFork",
        &[
            ("Channel", "PJSIP/caller-00000001"),
            ("Uniqueid", "1700000000.9"),
            ("Channel", CHANNEL),
            ("WsServer", &url),
            ("Options", "D(in)R(10)r(5)i(FORK_ID)"),
            ("ActionID", "77"),
        ],
    )
    .await;
    let answer_to_start = &actions[actions.len() - 1];
    assert_eq!(answer_to_start.get("Result"), "Success", "{actions:?}");
    assert_eq!(answer_to_start.get("Channel"), CHANNEL);
    assert_eq!(answer_to_start.get("RequestID"), "77");
    let id = answer_to_start.get("AudioForkID").to_owned();
    let set = &actions[0];
    assert_eq!((set.name(), set.get("Channel")), ("Setvar", CHANNEL));
    assert_eq!((set.get("Variable"), set.get("Value")), ("FORK_ID", id.as_str()));
    let view = gateway.exchange.taps.list().remove(0);
    assert_eq!((view.streams[0].by.as_str(), view.streams[0].id.to_string()), ("audiofork", id));

    talk(&mut pbx, &mut phone, 30).await;
    let mute = |state| [("Channel", CHANNEL), ("Direction", "read"), ("State", state)];
    assert_eq!(answer(&mut session, "AudioForkMute", &mute("1")).await.get("Result"), "Success");
    // While it is muted the agent says something else.
    const MUTED: usize = 32;
    let other = |n| (voice(MUTED, LOUD, n), voice(CALLER, LOUD, n));
    let muted = talk_of(&mut pbx, &mut phone, 40, other).await;
    assert_eq!(answer(&mut session, "AudioForkMute", &mute("0")).await.get("Result"), "Success");
    // What was said in it may still be on the grid.
    talk_of(&mut pbx, &mut phone, 20, |_| (voice(AGENT, 0, 0), voice(CALLER, 0, 0))).await;
    talk(&mut pbx, &mut phone, 30).await;
    let stopped = answer(&mut session, "StopAudioFork", &[("Channel", CHANNEL)]).await;
    assert_eq!(stopped.get("Result"), "Success");

    let connection = soon("the connection's end", consumer.connections.recv()).await.unwrap();
    assert_eq!(connection.path, format!("/{}/in", view.facts.call_id));
    assert!(connection.closed_in_order);
    let heard = samples(&connection.audio);
    assert!(usual_share(&heard, AGENT, 8_000) > 0.5);
    assert!(usual_share(&heard, CALLER, 8_000) < 0.02);
    let silent = heard.chunks_exact(160).filter(|slot| slot.iter().all(|s| *s == 0)).count();
    assert!(silent + HELD + muted.stall >= muted.slots, "{silent} of {muted:?}");
    // The call goes on.
    talk(&mut pbx, &mut phone, 5).await;
    let again = refusal(&mut session, "StopAudioFork", &[("Channel", CHANNEL)]).await;
    assert_eq!(again, "Could not stop monitoring channel");
}

#[tokio::test]
async fn audio_is_sent_to_nobody_who_is_not_on_the_list() {
    let servers = Some(json!({ "servers": ["consumer.example", "127.0.0.1:1"] }));
    let (gateway, mut session) = start(servers).await;
    let consumer = Consumer::start().await;
    let (_pbx, _phone) = talking(&gateway, "2001").await;
    for url in [
        consumer.url("/"),
        "ws://169.254.169.254/latest/meta-data".to_owned(),
        "ws://consumer.example@127.0.0.1/".to_owned(),
        "ws://{to}/".to_owned(),
        "http://127.0.0.1:1/".replace("http", "gopher"),
    ] {
        let fields = [("Channel", CHANNEL), ("WsServer", url.as_str())];
        let why = refusal(&mut session, "AudioFork", &fields).await;
        let expected = if url.starts_with("gopher") { "ws://" } else { "not in audiofork's" };
        assert!(why.contains(expected), "{url}: {why}");
    }
    assert!(gateway.exchange.taps.list()[0].streams.is_empty());
}

#[tokio::test]
async fn what_is_wrong_is_answered_and_what_is_off_as_well() {
    let (gateway, mut session) = start(local()).await;
    let (_pbx, _phone) = talking(&gateway, "2001").await;
    let channel = ("Channel", CHANNEL);
    let url = ("WsServer", "ws://127.0.0.1:1/");
    for (name, fields, why) in [
        ("AudioFork", vec![url], "No channel specified"),
        ("AudioFork", vec![channel], "WsServer is missing"),
        ("AudioFork", vec![channel, url, ("Options", "D(up)")], "Options: D is in, out or both"),
        ("AudioFork", vec![channel, url, ("Options", "i(SHELL(x))")], "Options: i wants"),
        ("AudioFork", vec![channel, url, ("Options", "R(900)")], "\"connect_timeout\""),
        ("AudioFork", vec![("Channel", "PJSIP/x-1"), url], "\"ari\""),
        ("StopAudioFork", vec![("Channel", "PJSIP/x-1")], "No such channel"),
        ("AudioForkMute", vec![channel, ("State", "1")], "Direction is"),
        (
            "AudioForkMute",
            vec![channel, ("Direction", "both"), ("State", "1")],
            "Cannot set mute flag",
        ),
    ] {
        let told = refusal(&mut session, name, &fields).await;
        assert!(told.contains(why), "{name} {fields:?}: {told}");
    }

    let (gateway, mut session) = start(None).await;
    let (_pbx, _phone) = talking(&gateway, "2001").await;
    let told = refusal(&mut session, "AudioFork", &[channel, url]).await;
    assert!(told.contains("AudioFork is off"), "{told}");
}

#[tokio::test]
async fn a_consumer_that_isn_t_there_is_given_up_as_often_as_r_says() {
    let (gateway, mut session) = start(local()).await;
    let mut feed = gateway.exchange.feed.subscribe("test");
    let (_pbx, _phone) = talking(&gateway, "2001").await;
    let fields =
        [("Channel", CHANNEL), ("WsServer", "ws://127.0.0.1:1/"), ("Options", "D(out)r(1)")];
    assert_eq!(answer(&mut session, "AudioFork", &fields).await.get("Result"), "Success");
    let reason = soon("the stream's failure", async {
        loop {
            if let Some(Happened::Tap(event)) = feed.next().await
                && let What::StreamFailed { reason, .. } = &event.what
            {
                return reason.clone();
            }
        }
    })
    .await;
    assert!(reason.starts_with("can't connect"), "{reason}");
}

/// The unique id of the channel of a call of these tests.
const CHANNEL_ID: &str = "1700000000.0";

/// Says an event without waiting for its answer.
async fn tell(session: &mut Session, name: &str, fields: &[(&str, &str)]) {
    let mut lines = vec![("UserEvent", name)];
    lines.extend(fields);
    session.event("UserEvent", &lines).await;
}

/// The next answer of the gateway's.
async fn told(session: &mut Session) -> Action {
    let action = session.action().await;
    session.answer(&action, "Success", "").await;
    assert_eq!((action.name(), action.get("UserEvent")), ("UserEvent", "AudioForkResult"));
    action
}

#[tokio::test]
async fn with_b_something_is_sent_only_while_the_channel_is_in_a_bridge() {
    let (gateway, mut session) = start(local()).await;
    let mut consumer = Consumer::start().await;
    let (mut pbx, mut phone) = talking(&gateway, "2001").await;
    let url = consumer.url("/in");
    let fields = [("Channel", CHANNEL), ("WsServer", url.as_str()), ("Options", "D(in)b")];
    let id = answer(&mut session, "AudioFork", &fields).await.get("AudioForkID").to_owned();
    // It asks whether it is in a bridge, and is told that it isn't.
    let asked = session.any_action().await;
    assert_eq!((asked.name(), asked.get("Variable")), ("Getvar", "BRIDGEPEER"));
    session.answer(&asked, "Success", "Value: \r\n").await;
    talk(&mut pbx, &mut phone, 40).await;
    let sent = || gateway.exchange.taps.list()[0].streams[0].connections[0].sent;
    assert_eq!(sent(), 0);

    let bridge = |id| [("BridgeUniqueid", "b"), ("BridgeNumChannels", "2"), ("Uniqueid", id)];
    session.event("BridgeEnter", &bridge("1700000000.99")).await;
    session.event("BridgeEnter", &bridge(CHANNEL_ID)).await;
    // Answered behind it, so the event has been heard by then.
    refusal(&mut session, "StopAudioFork", &[("Channel", "nobody's")]).await;
    let bridged = talk(&mut pbx, &mut phone, 40).await;
    session.event("BridgeLeave", &bridge(CHANNEL_ID)).await;
    refusal(&mut session, "StopAudioFork", &[("Channel", "nobody's")]).await;
    // A beat that had begun is over.
    tokio::time::sleep(Duration::from_millis(100)).await;
    let left = sent();
    assert!(left > 0 && left <= bridged.slots as u64 + HELD as u64, "{left} of {bridged:?}");
    talk(&mut pbx, &mut phone, 40).await;
    assert_eq!(sent(), left, "something was sent outside the bridge");

    let one = [("Channel", CHANNEL), ("AudioForkID", id.as_str())];
    assert_eq!(answer(&mut session, "StopAudioFork", &one).await.get("Result"), "Success");
    let connection = soon("the connection's end", consumer.connections.recv()).await.unwrap();
    assert!(connection.closed_in_order);
    assert_eq!(connection.frames as u64, left);
    assert!(usual_share(&samples(&connection.audio), AGENT, 8_000) > 0.5);
}

#[tokio::test]
async fn on_a_call_that_rings_a_stream_begins_with_the_answer() {
    let (gateway, mut session) = start(local()).await;
    let mut consumer = Consumer::start().await;
    let mut phone = Phone::ready(&gateway, "2001").await;
    let mut pbx = Pbx::dial(&gateway, "2001").await;
    phone.expect("RINGING").await;
    let url = consumer.url("/in");
    let fields = [
        ("Channel", CHANNEL),
        ("WsServer", url.as_str()),
        ("Options", "D(in)"),
        ("ActionID", "early"),
    ];
    tell(&mut session, "AudioFork", &fields).await;
    // What comes behind it is answered first.
    let other = answer(&mut session, "StopAudioFork", &[("Channel", "nobody's")]).await;
    assert_eq!(other.get("Message"), "No such channel");
    phone.say("ANSWER").await;
    pbx.expect("ANSWER").await;
    let started = told(&mut session).await;
    assert_eq!((started.get("Result"), started.get("RequestID")), ("Success", "early"));
    talk(&mut pbx, &mut phone, 30).await;
    pbx.hang_up().await;
    let connection = soon("the connection's end", consumer.connections.recv()).await.unwrap();
    assert!(connection.closed_in_order);
    assert!(usual_share(&samples(&connection.audio), AGENT, 8_000) > 0.5);
}

#[tokio::test]
async fn what_waits_for_an_answer_ends_with_the_call_or_is_stopped() {
    let (gateway, mut session) = start(local()).await;
    let mut phone = Phone::ready(&gateway, "2001").await;
    let mut pbx = Pbx::dial(&gateway, "2001").await;
    phone.expect("RINGING").await;
    let fields = [("Channel", CHANNEL), ("WsServer", "ws://127.0.0.1:1/"), ("Options", "")];
    tell(&mut session, "AudioFork", &fields).await;
    tell(&mut session, "StopAudioFork", &[("Channel", CHANNEL)]).await;
    let mut told_of = [told(&mut session).await, told(&mut session).await];
    told_of.sort_by_key(|action| action.get("Request") == "StopAudioFork");
    assert_eq!(told_of[0].get("Message"), "stopped before the call was answered");
    assert_eq!((told_of[1].get("Request"), told_of[1].get("Result")), ("StopAudioFork", "Success"));

    tell(&mut session, "AudioFork", &fields).await;
    refusal(&mut session, "StopAudioFork", &[("Channel", "nobody's")]).await;
    pbx.hang_up().await;
    let refused = told(&mut session).await;
    assert_eq!(refused.get("Message"), "the call ended before it was answered");
}
