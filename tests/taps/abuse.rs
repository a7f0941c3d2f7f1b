//! Whatever a consumer does, the call keeps every frame, and memory stays bounded.

use std::sync::atomic::Ordering;

use serde_json::{Value, json};

use crate::{
    consumer::{Boor, Rude},
    support::{frame, talking},
    *,
};

/// A call with this stream, which lasts until what is wanted has happened: the phone gets every
/// frame, Asterisk all that the call doesn't account for otherwise. Gives what was told of the stream.
async fn call_with(stream: Value, wanted: impl Fn(&[TapEvent], usize) -> bool) -> Vec<TapEvent> {
    let gateway = Gateway::with(|config| config["streams"] = json!([stream]), json!({})).await;
    let mut feed = gateway.exchange.feed.subscribe("test");
    let mut events = gateway.exchange.taps.take_events().unwrap();
    let (mut pbx, mut phone) = talking(&gateway, "2001").await;
    // Each frame says its number, so that one that is changed or out of order shows.
    let numbered = |n: usize| (frame(2 * n as u16 + 1), frame(2 * n as u16 + 2));
    let mut conversation = Conversation::new(numbered);
    let mut told = Vec::new();
    let talk = loop {
        let talk = conversation.go_on(&mut pbx, &mut phone, 5).await;
        while let Ok(event) = events.0.try_recv() {
            told.push(event);
        }
        if wanted(&told, talk.said) {
            break talk;
        }
        assert!(talk.said < 5_000, "waited in vain: {told:?}");
    };
    pbx.hang_up().await;
    assert_accounted(&mut feed, &talk).await;
    let over = |what: &What| matches!(what, What::StreamStopped { .. } | What::StreamFailed { .. });
    if !told.iter().any(|event| over(&event.what)) {
        told.extend(events_until(&mut events, "the stream's end", over).await);
    }
    told
}

/// What is wanted: so many frames, whatever happens.
fn frames(frames: usize) -> impl Fn(&[TapEvent], usize) -> bool {
    move |_, said| said >= frames
}

/// The stream's failure.
fn given_up(events: &[TapEvent], _: usize) -> bool {
    failed(events).is_some()
}

/// Frames that a rude consumer has to spoil: more than its queue holds.
const LONG: usize = 150;

fn failed(events: &[TapEvent]) -> Option<&str> {
    events.iter().find_map(|event| match &event.what {
        What::StreamFailed { reason, .. } => Some(reason.as_str()),
        _ => None,
    })
}

/// Slots that were dropped, as the stream's last event says.
fn dropped(events: &[TapEvent]) -> u64 {
    let last = events.iter().rev().find_map(|event| match &event.what {
        What::StreamStopped { dropped, .. } | What::StreamFailed { dropped, .. } => Some(*dropped),
        _ => None,
    });
    last.expect("the stream's end")
}

async fn rude(
    rude: Rude,
    more: Value,
    wanted: impl Fn(&[TapEvent], usize) -> bool,
) -> (Vec<TapEvent>, usize, Boor) {
    let boor = Boor::start(rude).await;
    let mut stream = json!({ "format": "raw", "mix": format!("ws://{}/", boor.address) });
    for (key, value) in more.as_object().unwrap() {
        stream[key] = value.clone();
    }
    let events = call_with(stream, wanted).await;
    let tries = boor.tries.load(Ordering::SeqCst);
    (events, tries, boor)
}

#[tokio::test]
async fn a_consumer_that_never_reads_costs_the_call_nothing() {
    let (events, tries, _) = rude(Rude::NeverReads, json!({}), frames(LONG)).await;
    assert_eq!((failed(&events), tries), (None, 1));
}

#[tokio::test]
async fn a_consumer_that_reads_a_byte_a_second_costs_the_call_nothing() {
    let (events, tries, _) = rude(Rude::ReadsAByteASecond, json!({}), frames(LONG)).await;
    assert_eq!((failed(&events), tries), (None, 1));
}

#[tokio::test]
async fn a_consumer_that_accepts_and_says_nothing_is_given_up() {
    let more = json!({ "connect_timeout": 0.3, "attempts": 1 });
    let (events, tries, _) = rude(Rude::Silent, more, given_up).await;
    assert_eq!((failed(&events), tries), (Some("no connection in time"), 2));
}

#[tokio::test]
async fn a_consumer_that_closes_at_once_is_tried_as_often_as_was_said() {
    let (_, tries, _) = rude(Rude::ClosesAtOnce, json!({ "attempts": 2 }), given_up).await;
    assert_eq!(tries, 3);
}

#[tokio::test]
async fn garbage_ends_the_connection_and_is_not_asked_for_without_end() {
    let (events, tries, _) = rude(Rude::Garbage, json!({ "attempts": 1 }), given_up).await;
    assert_eq!((failed(&events), tries), (Some("not the WebSocket protocol"), 2));
}

#[tokio::test]
async fn a_consumer_that_floods_and_reads_nothing_costs_the_call_nothing() {
    let boor = Boor::start(Rude::Floods).await;
    let url = json!({ "format": "twilio", "url": format!("ws://{}/", boor.address) });
    call_with(url, frames(LONG)).await;
}

#[tokio::test]
async fn a_refusal_is_final() {
    for format in ["raw", "ringcentral"] {
        let boor = Boor::start(Rude::Status(403)).await;
        let key = if format == "raw" { "mix" } else { "url" };
        let stream = json!({ "format": format, key: format!("ws://{}/", boor.address) });
        let events = call_with(stream, given_up).await;
        assert_eq!(failed(&events), Some("refused with 403"));
        assert_eq!(boor.tries.load(Ordering::SeqCst), 1, "{format}");
    }
}

#[tokio::test]
async fn a_fault_of_the_consumers_is_tried_three_times_more_for_ringcentral() {
    let boor = Boor::start(Rude::Status(500)).await;
    let stream = json!({ "format": "ringcentral", "url": format!("ws://{}/", boor.address) });
    let events = call_with(stream, given_up).await;
    assert_eq!(failed(&events), Some("refused with 500"));
    assert_eq!(boor.tries.load(Ordering::SeqCst), 1 + 3);
}

#[tokio::test]
async fn a_consumer_that_answers_500_and_then_101_gets_the_call() {
    let heard = |events: &[TapEvent], said| {
        said > 50 && events.iter().any(|event| matches!(event.what, What::StreamStarted { .. }))
    };
    let (events, tries, mut boor) = rude(Rude::StatusOnce(500), json!({}), heard).await;
    assert_eq!((failed(&events), tries), (None, 2));
    let connection = soon("the connection", boor.served.recv()).await.unwrap();
    // From the first slot on: what was said before it was reached had waited for it.
    let missed = dropped(&events) as usize;
    assert!(connection.frames + missed >= 50, "{} and {missed}", connection.frames);
}

#[tokio::test]
async fn a_name_that_never_resolves_costs_the_call_nothing() {
    let stream = json!({ "format": "raw", "mix": "ws://no-such-host.invalid/",
                         "attempts": 1, "connect_timeout": 0.5 });
    call_with(stream, given_up).await;
}

#[tokio::test]
async fn nobody_listens_at_the_port() {
    let stream = json!({ "format": "raw", "mix": "ws://127.0.0.1:1/", "attempts": 1 });
    let events = call_with(stream, given_up).await;
    assert!(failed(&events).is_some_and(|why| why.starts_with("can't connect")), "{events:?}");
}
