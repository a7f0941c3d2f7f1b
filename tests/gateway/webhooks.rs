//! Webhooks, as receivers see them that users would write: in Node and in Python, verifying every
//! signature.

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use crate::support::{Gateway, Pbx, Phone, soon};
use serde_json::{Value, json};
use tokio::sync::mpsc;

const SECRET: &str = "a secret of the tests, 32 bytes long";

/// A program that receives; it ends with the test.
struct Receiver {
    child: Child,
    port: u16,
    lines: mpsc::Receiver<String>,
}

impl Receiver {
    /// `None` where the language isn't here, which is said.
    async fn start(program: &str, script: &str, args: &[&str], port: u16) -> Option<Self> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/webhooks").join(script);
        let spawned = Command::new(program)
            .arg(path)
            .args(args)
            .env("SECRET", SECRET)
            .env("PORT", port.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        let Ok(mut child) = spawned else {
            eprintln!("SKIPPED: there is no {program} here");
            return None;
        };
        let (sender, mut lines) = mpsc::channel(1000);
        let out = child.stdout.take().unwrap();
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                let _ = sender.blocking_send(line);
            }
        });
        let port = soon("the receiver's port", lines.recv()).await.unwrap().parse().unwrap();
        Some(Self { child, port, lines })
    }

    async fn node(args: &[&str]) -> Option<Self> {
        Self::start("node", "receiver.mjs", args, 0).await
    }

    /// The next delivery.
    async fn next(&mut self) -> Value {
        let line = soon("a delivery", self.lines.recv()).await.expect("the receiver lives");
        serde_json::from_str(&line).unwrap()
    }

    fn end(mut self) -> u16 {
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.port
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn gateway(state: &Path, port: u16, more: Value) -> Gateway {
    let mut hook = json!({ "url": format!("http://127.0.0.1:{port}/x"), "secret": SECRET });
    for (key, value) in more.as_object().unwrap() {
        hook[key] = value.clone();
    }
    let state = state.to_owned();
    Gateway::with(
        |config| {
            config["state_dir"] = json!(state);
            config["webhooks"] = json!([hook]);
        },
        json!({}),
    )
    .await
}

/// A call that is answered and hung up by the phone.
async fn call(gateway: &Gateway, phone: &mut Phone) {
    let mut pbx = Pbx::dial(gateway, &phone.ext).await;
    phone.expect("RINGING").await;
    phone.say("ANSWER").await;
    pbx.expect("ANSWER").await;
    phone.hang_up().await;
    pbx.expect("HANGUP").await;
    pbx.hang_up().await;
}

async fn stop(mut gateway: Gateway) {
    gateway.control.drain.cancel();
    gateway.stopped().await;
}

async fn a_call_s_story(mut receiver: Receiver) {
    let state = tempfile::tempdir().unwrap();
    let gateway = gateway(state.path(), receiver.port, json!({})).await;
    let mut phone = Phone::ready(&gateway, "2001").await;
    call(&gateway, &mut phone).await;
    let mut ids = Vec::new();
    for event in ["call_began", "call_rang", "call_answered", "call_ended"] {
        let got = receiver.next().await;
        assert_eq!(got["body"]["event"], event, "{got}");
        assert_eq!(got["id"], got["body"]["id"]);
        ids.push(got["id"].clone());
        if event == "call_ended" {
            let call = &got["body"]["call"];
            assert_eq!(
                (&call["ending"], &call["side"]),
                (&json!("phone_hung_up"), &json!("phone"))
            );
            assert_eq!(call["answered_by"], "2001");
            assert_eq!(call["channel_id"], "1700000000.0");
        }
    }
    ids.dedup();
    assert_eq!(ids.len(), 4);
    stop(gateway).await;
}

#[tokio::test]
async fn a_receiver_in_node_verifies_a_call_s_story() {
    let Some(receiver) = Receiver::node(&[]).await else { return };
    a_call_s_story(receiver).await;
}

#[tokio::test]
async fn a_receiver_in_python_verifies_a_call_s_story() {
    let Some(receiver) = Receiver::start("python3", "receiver.py", &[], 0).await else { return };
    a_call_s_story(receiver).await;
}

#[tokio::test]
async fn the_chime_recorder_s_receiver_gets_its_four_events() {
    let Some(mut receiver) = Receiver::node(&[]).await else { return };
    let state = tempfile::tempdir().unwrap();
    let gateway = gateway(state.path(), receiver.port, json!({ "format": "chime" })).await;
    let mut phone = Phone::ready(&gateway, "2001").await;
    call(&gateway, &mut phone).await;
    let mut got = Vec::new();
    for _ in 0..4 {
        let detail = receiver.next().await["body"]["detail"].clone();
        got.push((detail["streamingStatus"].clone(), detail["isCaller"].clone()));
    }
    let expected = [("STARTED", true), ("STARTED", false), ("ENDED", true), ("ENDED", false)];
    assert_eq!(got, expected.map(|(status, caller)| (json!(status), json!(caller))));
    stop(gateway).await;
}

#[tokio::test]
async fn a_500_is_tried_again_and_a_call_s_events_stay_in_order() {
    let Some(mut receiver) = Receiver::node(&["--refuse", "2"]).await else { return };
    let state = tempfile::tempdir().unwrap();
    let events = json!({ "events": ["call_answered", "call_ended"] });
    let gateway = gateway(state.path(), receiver.port, events).await;
    let mut phone = Phone::ready(&gateway, "2001").await;
    call(&gateway, &mut phone).await;
    let refused = receiver.next().await["refused"].clone();
    assert_eq!(receiver.next().await["refused"], refused, "the same again, and none before it");
    let first = receiver.next().await;
    assert_eq!((&first["id"], &first["body"]["event"]), (&refused, &json!("call_answered")));
    assert_eq!(receiver.next().await["body"]["event"], "call_ended");
    assert_eq!(gateway.metric(r#"goastgateway_webhooks_failed_total{webhook="127.0.0.1"}"#), 2.0);
    stop(gateway).await;
}

#[tokio::test]
async fn a_reply_that_is_lost_makes_the_same_delivery_come_twice() {
    let Some(mut receiver) = Receiver::node(&["--lose", "1"]).await else { return };
    let state = tempfile::tempdir().unwrap();
    let events = json!({ "events": ["call_ended"] });
    let gateway = gateway(state.path(), receiver.port, events).await;
    let mut phone = Phone::ready(&gateway, "2001").await;
    call(&gateway, &mut phone).await;
    let (first, again) = (receiver.next().await, receiver.next().await);
    assert_eq!(first, again);
    stop(gateway).await;
}

#[tokio::test]
async fn what_a_receiver_missed_it_gets_when_it_is_back_though_the_gateway_was_started_anew() {
    let Some(receiver) = Receiver::node(&[]).await else { return };
    let port = receiver.end();
    let state = tempfile::tempdir().unwrap();
    let events = || json!({ "events": ["call_ended"] });
    let first = gateway(state.path(), port, events()).await;
    let mut phone = Phone::ready(&first, "2001").await;
    for _ in 0..3 {
        call(&first, &mut phone).await;
    }
    stop(first).await;
    let second = gateway(state.path(), port, events()).await;
    let back = Receiver::start("node", "receiver.mjs", &[], port).await;
    let mut receiver = back.expect("node was here");
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(receiver.next().await["id"].as_str().unwrap().to_owned());
    }
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 3);
    soon("an empty spool", async {
        while second.metric(r#"goastgateway_webhooks_sent_total{webhook="127.0.0.1"}"#) < 3.0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    stop(second).await;
}

#[tokio::test]
async fn a_disk_without_a_byte_left_delays_webhooks_and_loses_none() {
    let Some(disk) = crate::support::disk::SmallDisk::mount(4) else { return };
    let Some(mut receiver) = Receiver::node(&[]).await else { return };
    let gateway = gateway(&disk.path().join("state"), receiver.port, json!({})).await;
    let mut phone = Phone::ready(&gateway, "2001").await;
    let story = ["call_began", "call_rang", "call_answered", "call_ended"];
    call(&gateway, &mut phone).await;
    let mut first = Value::Null;
    for event in story {
        let body = receiver.next().await["body"].clone();
        assert_eq!(body["event"], event);
        first = body["call"]["id"].clone();
    }
    disk.fill();
    assert!(disk.is_full());
    // Calls notice nothing.
    call(&gateway, &mut phone).await;
    call(&gateway, &mut phone).await;
    soon("the alarm of the call table", async {
        while gateway.metric("goastgateway_call_table_up") > 0.0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    disk.make_room();
    let mut told: Vec<(String, String)> = Vec::new();
    while told.len() < 2 * story.len() {
        let body = receiver.next().await["body"].clone();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let event = (text(&body["call"]["id"]), text(&body["event"]));
        // At least once: on a full disk it can't be noted that something was told.
        if body["call"]["id"] != first && !told.contains(&event) {
            told.push(event);
        }
    }
    let calls: std::collections::BTreeSet<_> = told.iter().map(|(id, _)| id.clone()).collect();
    assert_eq!(calls.len(), 2, "{told:?}");
    for id in calls {
        let of = told.iter().filter(|(of, _)| *of == id).map(|(_, event)| event.as_str());
        assert_eq!(of.collect::<Vec<_>>(), story);
    }
    stop(gateway).await;
}

#[tokio::test]
async fn what_happens_to_a_stream_at_a_stop_is_told_as_well() {
    let Some(mut receiver) = Receiver::node(&[]).await else { return };
    let state = tempfile::tempdir().unwrap();
    // Whoever takes the stream: it reads until the gateway closes.
    let consumer = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/", consumer.local_addr().unwrap());
    let consumer = tokio::spawn(async move {
        use futures_util::StreamExt;
        let (stream, _) = consumer.accept().await.unwrap();
        let mut ws = tokio_tungstenite::accept_async(stream).await.unwrap();
        while ws.next().await.is_some_and(|message| message.is_ok()) {}
    });
    let hook = json!({ "url": format!("http://127.0.0.1:{}/x", receiver.port), "secret": SECRET,
                       "events": ["stream_started", "stream_stopped"] });
    let house = async |streams: Value| {
        let (state, hook) = (state.path().to_owned(), hook.clone());
        let change = |config: &mut Value| {
            config["state_dir"] = json!(state);
            config["webhooks"] = json!([hook]);
            config["streams"] = streams;
        };
        Gateway::with(change, json!({})).await
    };
    let mut gateway = house(json!([{ "format": "raw", "mix": url }])).await;
    let (_pbx, _phone) = crate::support::talking(&gateway, "2001").await;
    assert_eq!(receiver.next().await["body"]["event"], "stream_started");
    gateway.control.stop.cancel();
    gateway.stopped().await;
    soon("the consumer's end", consumer).await.unwrap();
    // It is told before the end, or by the next run.
    let _next = house(json!([])).await;
    let told = receiver.next().await;
    assert_eq!(told["body"]["event"], "stream_stopped", "{told}");
}
