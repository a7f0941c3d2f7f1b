//! Streams by configuration and on demand: content, formats, pauses, reconnects.

use goastgateway::tap::{
    event::StopReason,
    facts::{Side, StreamId},
    spec::StreamForm,
};
use serde_json::{Value, json};

use crate::{consumer::Consumer, support::talking, *};

fn streams(list: Value) -> impl FnOnce(&mut Value) {
    move |config| config["streams"] = list
}

/// The connection whose path begins so.
fn at<'a>(connections: &'a [consumer::Connection], path: &str) -> &'a consumer::Connection {
    connections.iter().find(|c| c.path.starts_with(path)).unwrap_or_else(|| panic!("{path}"))
}

#[tokio::test]
async fn what_was_spoken_into_the_left_is_in_the_left_and_not_in_the_right() {
    let mut consumer = Consumer::start().await;
    let gateway = Gateway::with(
        streams(json!([
            { "format": "raw", "left": consumer.url("/left/{id}"),
              "right": consumer.url("/right/{id}"), "mix": consumer.url("/mix/{id}") },
            { "name": "wide", "format": "raw", "rate": 16000,
              "left": consumer.url("/wideleft/{id}"), "right": consumer.url("/wideright/{id}") },
        ])),
        json!({}),
    )
    .await;
    let mut events = gateway.exchange.taps.take_events().unwrap();
    let (mut pbx, mut phone) = talking(&gateway, "2001").await;
    let call = gateway.exchange.taps.list()[0].facts.clone();
    assert_eq!((call.extension.as_str(), call.to.as_str()), ("2001", "2001"));
    let talk = talk(&mut pbx, &mut phone, 100).await;
    pbx.hang_up().await;
    let mut all = Vec::new();
    for _ in 0..5 {
        all.push(soon("a connection's end", consumer.connections.recv()).await.unwrap());
    }
    let ends = ends(&mut events, 5).await;
    let id = call.call_id;
    for (path, rate, there, absent) in [
        (format!("/left/{id}"), 8_000, vec![AGENT], vec![CALLER]),
        (format!("/right/{id}"), 8_000, vec![CALLER], vec![AGENT]),
        (format!("/mix/{id}"), 8_000, vec![AGENT, CALLER], vec![]),
        (format!("/wideleft/{id}"), 16_000, vec![AGENT], vec![CALLER]),
        (format!("/wideright/{id}"), 16_000, vec![CALLER], vec![AGENT]),
    ] {
        let connection = at(&all, &path);
        assert!(connection.closed_in_order && connection.texts.is_empty());
        assert_eq!(connection.audio.len(), connection.frames * rate as usize / 50 * 2);
        // All of the call's time: what isn't there was counted.
        let (name, side) = match path.strip_prefix("/wide") {
            Some(side) => ("wide", side),
            None => ("raw", &path[1..]),
        };
        let is_it = |end: &&(String, Option<Side>, usize, usize)| {
            end.0 == name && end.1.is_some_and(|of| side.starts_with(of.as_str()))
        };
        let (.., sent, dropped) = ends.iter().find(is_it).expect("its end");
        assert_eq!(connection.frames, *sent, "{path}");
        assert!(sent + dropped >= talk.slots, "{path}: {sent} and {dropped} of {talk:?}");
        let samples = samples(&connection.audio);
        for period in there {
            assert!(usual_share(&samples, period, rate) > 0.3, "{path}: {period} is missing");
        }
        for period in absent {
            assert!(usual_share(&samples, period, rate) < 0.02, "{path}: {period} is there");
        }
    }
    // To the sample, unless this machine was too busy to take all of them.
    if ends.iter().any(|(.., dropped)| *dropped > 0) {
        return;
    }
    let [left, right, mix] = ["/left/", "/right/", "/mix/"].map(|p| samples(&at(&all, p).audio));
    assert_eq!((left.len(), right.len()), (mix.len(), mix.len()));
    for (n, mixed) in mix.iter().enumerate() {
        assert_eq!(*mixed, left[n].saturating_add(right[n]), "sample {n}");
    }
}

#[tokio::test]
async fn both_sides_are_aligned_to_20_ms() {
    let mut consumer = Consumer::start().await;
    let gateway = Gateway::with(
        streams(json!([{ "format": "jambonz", "url": consumer.url("/"), "channels": "stereo",
                         "rate": 16000 }])),
        json!({}),
    )
    .await;
    let (mut pbx, mut phone) = talking(&gateway, "2001").await;
    // A click of both sides at the same moment, every half second.
    let talk = talk_of(&mut pbx, &mut phone, 200, |n| {
        let loud = if n % 25 == 10 { LOUD } else { 0 };
        (voice(AGENT, loud, n), voice(CALLER, loud, n))
    })
    .await;
    pbx.hang_up().await;
    let connection = soon("the connection's end", consumer.connections.recv()).await.unwrap();
    let audio = samples(&connection.audio);
    let clicks = |side: usize| -> Vec<usize> {
        let mut clicks: Vec<usize> = Vec::new();
        for (n, pair) in audio.chunks_exact(2).enumerate() {
            if pair[side] != 0 && clicks.last().is_none_or(|last| n - last > 16_000 / 5) {
                clicks.push(n);
            }
        }
        clicks
    };
    let (caller, agent) = (clicks(0), clicks(1));
    assert_eq!(caller.len(), 8, "{caller:?}");
    // Whatever a phone's frame waits for on its way to Asterisk is heard by Asterisk, too.
    let apart: Vec<i64> =
        caller.iter().zip(&agent).map(|(c, a)| (*c as i64 - *a as i64) / 16).collect();
    assert_eq!(agent.len(), 8, "{agent:?}");
    // A machine that is busy may hold up one click; that no order of frames moves the sides apart
    // is what the grid's own properties say (media/align).
    let mut sorted: Vec<i64> = apart.iter().map(|ms| ms.abs()).collect();
    sorted.sort_unstable();
    assert!(sorted[4] <= 20 + 20 * talk.stall as i64, "{apart:?} ms, {talk:?}");
}

#[tokio::test]
async fn a_filter_chooses_calls() {
    let mut consumer = Consumer::start().await;
    let gateway = Gateway::with(
        streams(json!([
            { "name": "no", "format": "raw", "mix": consumer.url("/no"),
              "only": { "extension": ["30.*"] } },
            { "name": "nor", "format": "raw", "mix": consumer.url("/nor"),
              "only": { "variable": { "WS_EXTEN": "3001" } } },
            { "name": "yes", "format": "raw", "mix": consumer.url("/yes"),
              "only": { "extension": ["20.*"], "direction": "in", "variable": { "WS_EXTEN": "2001" } } },
        ])),
        json!({}),
    )
    .await;
    let (mut pbx, mut phone) = talking(&gateway, "2001").await;
    let view = gateway.exchange.taps.list().remove(0);
    let names: Vec<_> = view.streams.iter().map(|stream| stream.name.as_str()).collect();
    assert_eq!(names, ["yes"]);
    talk(&mut pbx, &mut phone, 10).await;
    pbx.hang_up().await;
    let connection = soon("the connection's end", consumer.connections.recv()).await.unwrap();
    assert_eq!(connection.path, "/yes");
}

fn form(json: Value) -> StreamForm {
    serde_json::from_value(json).unwrap()
}

#[tokio::test]
async fn a_stream_is_started_paused_resumed_and_stopped_in_a_call() {
    let mut consumer = Consumer::start().await;
    let gateway = Gateway::start().await;
    let taps = gateway.exchange.taps.clone();
    let mut events = taps.take_events().unwrap();
    let (mut pbx, mut phone) = talking(&gateway, "2001").await;
    talk(&mut pbx, &mut phone, 10).await;
    let spec = form(json!({ "format": "raw", "mix": consumer.url("/"), "token": "t0ken",
        "headers": { "x-tenant": "7" }, "protocol": "audio.example" }))
    .read(None)
    .unwrap();
    let whom = only_call(&gateway);
    let id = taps.start_stream(&whom, spec, "api").await.unwrap();
    let before = talk(&mut pbx, &mut phone, 50).await;
    taps.pause(&whom, "anna").unwrap();
    taps.pause(&whom, "again").unwrap();
    assert!(taps.list()[0].paused);
    // In the pause both say something else.
    const SECRET: usize = 32;
    let card = |n| (voice(SECRET, LOUD, n), voice(SECRET, LOUD, n));
    let paused = talk_of(&mut pbx, &mut phone, 50, card).await;
    // What was said in the pause and comes after it can't be told from what is said after it.
    talk_of(&mut pbx, &mut phone, 20, |_| (voice(AGENT, 0, 0), voice(CALLER, 0, 0))).await;
    taps.resume(&whom, "anna").unwrap();
    let after = talk(&mut pbx, &mut phone, 50).await;
    taps.stop_stream(id).unwrap();
    assert!(taps.stop_stream(StreamId(uuid::Uuid::nil())).is_err());
    let connection = soon("the connection's end", consumer.connections.recv()).await.unwrap();
    let header =
        |name: &str| connection.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str());
    assert_eq!(header("authorization"), Some("Bearer t0ken"));
    assert_eq!(header("x-tenant"), Some("7"));
    assert_eq!(header("sec-websocket-protocol"), Some("audio.example"));
    // All of the time is there, the pause as silence, and of what was said in it nothing.
    let heard = samples(&connection.audio);
    let whole = before.slots + paused.slots + after.slots;
    let late = HELD + before.stall.max(paused.stall).max(after.stall);
    assert!(connection.frames + late >= whole, "{} of {whole}", connection.frames);
    let silent = heard.chunks_exact(160).filter(|slot| slot.iter().all(|s| *s == 0)).count();
    assert!(silent + 2 + late >= paused.slots, "{silent} of {paused:?}");
    assert!(heard.chunks_exact(160).all(|slot| share(slot, SECRET, 8_000) < 0.5));
    assert!(usual_share(&heard, AGENT, 8_000) > 0.3 && usual_share(&heard, CALLER, 8_000) > 0.3);
    // The call goes on.
    talk(&mut pbx, &mut phone, 10).await;
    let told = events_until(&mut events, "the stream's end", |what| {
        matches!(what, What::StreamStopped { .. })
    })
    .await;
    let names: Vec<String> = told
        .iter()
        .map(|event| serde_json::to_value(event).unwrap()["event"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(names, ["stream_started", "paused", "resumed", "stream_stopped"]);
    assert!(matches!(told[3].what, What::StreamStopped { reason: StopReason::Stopped, .. }));
}

#[tokio::test]
async fn a_consumer_that_is_lost_is_reached_again_and_told_what_it_missed() {
    let mut consumer = Consumer::closing_after(40).await;
    let gateway =
        Gateway::with(streams(json!([{ "format": "raw", "mix": consumer.url("/") }])), json!({}))
            .await;
    let mut events = gateway.exchange.taps.take_events().unwrap();
    let (mut pbx, mut phone) = talking(&gateway, "2001").await;
    let talk = talk(&mut pbx, &mut phone, 120).await;
    pbx.hang_up().await;
    let first = soon("the first connection", consumer.connections.recv()).await.unwrap();
    let second = soon("the second connection", consumer.connections.recv()).await.unwrap();
    assert_eq!(first.frames, 40);
    assert!(second.closed_in_order);
    let told =
        events_until(&mut events, "the end", |what| matches!(what, What::StreamStopped { .. }))
            .await;
    let gaps: Vec<Option<u64>> = told
        .iter()
        .filter_map(|event| match event.what {
            What::StreamStarted { gap_ms, .. } => Some(gap_ms),
            _ => None,
        })
        .collect();
    assert_eq!(gaps.len(), 2);
    assert!(gaps[0].is_none() && gaps[1].is_some(), "{gaps:?}");
    // All of the call's time was sent or is counted; and it got no more than was sent.
    let What::StreamStopped { sent, dropped, .. } = &told[told.len() - 1].what else { panic!() };
    assert!((sent + dropped) as usize >= talk.slots, "{sent} and {dropped} of {talk:?}");
    assert!(first.frames + second.frames <= *sent as usize, "{sent}");
}

#[tokio::test]
async fn what_audiofork_pushes_is_streamed_on_by_its_id() {
    use futures_util::SinkExt;
    use tokio_tungstenite::tungstenite::Message;

    let mut consumer = Consumer::start().await;
    let gateway = Gateway::with(
        streams(json!([{ "format": "raw", "left": consumer.url("/left/{id}"),
                         "right": consumer.url("/right/{id}"), "mix": consumer.url("/mix/{id}") }])),
        json!({}),
    )
    .await;
    let id = "7bace96a-b33e-4d19-ae72-e1ba25886472";
    let mut sides = Vec::new();
    for side in ["left", "right", "mix"] {
        let stream = tokio::net::TcpStream::connect(gateway.asterisk).await.unwrap();
        let url = format!("ws://{}/fork/{id}/{side}", gateway.asterisk);
        sides.push(tokio_tungstenite::client_async(url, stream).await.unwrap().0);
    }
    for n in 0..100 {
        tokio::time::sleep(Duration::from_millis(20)).await;
        let wide = [voice(AGENT, LOUD, n), voice(CALLER, LOUD, n)];
        let [left, right] = wide.map(|audio| {
            samples(&audio).into_iter().step_by(2).flat_map(i16::to_le_bytes).collect::<Vec<u8>>()
        });
        for (side, audio) in sides.iter_mut().zip([left.clone(), right, left]) {
            side.send(Message::Binary(audio.into())).await.unwrap();
        }
    }
    for mut side in sides {
        let _ = side.close(None).await;
    }
    let mut all = Vec::new();
    for _ in 0..3 {
        all.push(soon("a connection's end", consumer.connections.recv()).await.unwrap());
    }
    for (side, there, absent) in [("left", AGENT, CALLER), ("right", CALLER, AGENT)] {
        let samples = samples(&at(&all, &format!("/{side}/{id}")).audio);
        assert!(usual_share(&samples, there, 8_000) > 0.5, "{side}");
        assert!(usual_share(&samples, absent, 8_000) < 0.02, "{side}");
    }
}
