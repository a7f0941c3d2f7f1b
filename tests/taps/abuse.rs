//! Whatever a consumer does, the call keeps every frame, and memory stays bounded.

use std::sync::atomic::Ordering;

use serde_json::{Value, json};

use crate::{
    consumer::{Boor, Rude},
    support::talking,
    *,
};

/// A call with this stream; both sides get every frame. Gives what was told of the stream.
async fn call_with(stream: Value, frames: usize) -> (Vec<TapEvent>, u64) {
    let gateway = Gateway::with(|config| config["streams"] = json!([stream]), json!({})).await;
    let mut events = gateway.exchange.taps.take_events().unwrap();
    let (mut pbx, mut phone) = talking(&gateway, "2001").await;
    let (to_phone, to_pbx) = talk(&mut pbx, &mut phone, frames).await;
    // A busy machine is late by itself; a tap that held the call up would cost it nearly all.
    assert!(to_phone + 5 >= frames * 3 / 4, "{to_phone} of {frames} came to the phone");
    assert!(to_pbx + 8 >= frames / 2, "{to_pbx} of {frames} came to Asterisk");
    let dropped = gateway.exchange.taps.list()[0].dropped;
    let waiting: u64 = gateway.exchange.taps.list()[0]
        .streams
        .iter()
        .flat_map(|stream| &stream.connections)
        .map(|connection| connection.dropped)
        .sum();
    assert_eq!(dropped, 0, "the line itself lost nothing");
    pbx.hang_up().await;
    let over = |what: &What| matches!(what, What::StreamStopped { .. } | What::StreamFailed { .. });
    (events_until(&mut events, "the stream's end", over).await, waiting)
}

fn failed(events: &[TapEvent]) -> Option<&str> {
    events.iter().find_map(|event| match &event.what {
        What::StreamFailed { reason, .. } => Some(reason.as_str()),
        _ => None,
    })
}

async fn rude(rude: Rude, more: Value, frames: usize) -> (Vec<TapEvent>, usize, Boor) {
    let boor = Boor::start(rude).await;
    let mut stream = json!({ "format": "raw", "mix": format!("ws://{}/", boor.address) });
    for (key, value) in more.as_object().unwrap() {
        stream[key] = value.clone();
    }
    let (events, _) = call_with(stream, frames).await;
    let tries = boor.tries.load(Ordering::SeqCst);
    (events, tries, boor)
}

#[tokio::test]
async fn a_consumer_that_never_reads_costs_the_call_nothing() {
    rude(Rude::NeverReads, json!({}), 150).await;
}

#[tokio::test]
async fn a_consumer_that_reads_a_byte_a_second_costs_the_call_nothing() {
    rude(Rude::ReadsAByteASecond, json!({}), 150).await;
}

#[tokio::test]
async fn a_consumer_that_accepts_and_says_nothing_is_given_up() {
    let more = json!({ "connect_timeout": 0.3, "attempts": 1 });
    let (events, tries, _) = rude(Rude::Silent, more, 100).await;
    assert_eq!((failed(&events), tries), (Some("no connection in time"), 2));
}

#[tokio::test]
async fn a_consumer_that_closes_at_once_is_tried_as_often_as_was_said() {
    let (events, tries, _) = rude(Rude::ClosesAtOnce, json!({ "attempts": 2 }), 100).await;
    assert!(failed(&events).is_some(), "{events:?}");
    assert_eq!(tries, 3);
}

#[tokio::test]
async fn garbage_ends_the_connection_and_is_not_asked_for_without_end() {
    let (events, tries, _) = rude(Rude::Garbage, json!({ "attempts": 1 }), 100).await;
    assert_eq!((failed(&events), tries), (Some("not the WebSocket protocol"), 2));
}

#[tokio::test]
async fn a_consumer_that_floods_and_reads_nothing_costs_the_call_nothing() {
    let url = |boor: &Boor| json!({ "format": "twilio", "url": format!("ws://{}/", boor.address) });
    let boor = Boor::start(Rude::Floods).await;
    call_with(url(&boor), 150).await;
}

#[tokio::test]
async fn a_refusal_is_final() {
    for format in ["raw", "ringcentral"] {
        let boor = Boor::start(Rude::Status(403)).await;
        let key = if format == "raw" { "mix" } else { "url" };
        let stream = json!({ "format": format, key: format!("ws://{}/", boor.address) });
        let (events, _) = call_with(stream, 50).await;
        assert_eq!(failed(&events), Some("refused with 403"));
        assert_eq!(boor.tries.load(Ordering::SeqCst), 1, "{format}");
    }
}

#[tokio::test]
async fn a_fault_of_the_consumers_is_tried_three_times_more_for_ringcentral() {
    let boor = Boor::start(Rude::Status(500)).await;
    let stream = json!({ "format": "ringcentral", "url": format!("ws://{}/", boor.address) });
    let (events, _) = call_with(stream, 120).await;
    assert_eq!(failed(&events), Some("refused with 500"));
    assert_eq!(boor.tries.load(Ordering::SeqCst), 1 + 3);
}

#[tokio::test]
async fn a_consumer_that_answers_500_and_then_101_gets_the_call() {
    let (events, tries, mut boor) = rude(Rude::StatusOnce(500), json!({}), 100).await;
    assert_eq!((failed(&events), tries), (None, 2));
    let connection = soon("the connection", boor.served.recv()).await.unwrap();
    assert!(connection.frames > 80, "{}", connection.frames);
}

#[tokio::test]
async fn a_name_that_never_resolves_costs_the_call_nothing() {
    let stream = json!({ "format": "raw", "mix": "ws://no-such-host.invalid/",
                         "attempts": 1, "connect_timeout": 0.5 });
    let (events, _) = call_with(stream, 100).await;
    assert!(failed(&events).is_some(), "{events:?}");
}

#[tokio::test]
async fn nobody_listens_at_the_port() {
    let stream = json!({ "format": "raw", "mix": "ws://127.0.0.1:1/", "attempts": 1 });
    let (events, _) = call_with(stream, 60).await;
    assert!(failed(&events).is_some_and(|why| why.starts_with("can't connect")), "{events:?}");
}
