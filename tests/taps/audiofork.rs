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
