use std::{collections::BTreeMap, sync::Arc};

use serde_json::{Value, json};

use super::*;
use crate::{
    media::{
        align::Lane,
        slot::{NARROW, NarrowSlot, SLOT, Slot},
    },
    tap::{queue::Both, spec::StreamForm},
};

const CALL: Uuid = Uuid::from_u128(0x7bace96a_b33e_4d19_ae72_e1ba25886472);
const STREAM: Uuid = Uuid::from_u128(1);

fn facts() -> CallFacts {
    CallFacts {
        call_id: CALL,
        channel: "WebSocket/x/1".to_owned(),
        channel_id: "1700000000.1".to_owned(),
        from: "2223334444".to_owned(),
        to: "2001".to_owned(),
        extension: "123".to_owned(),
        ..CallFacts::default()
    }
}

fn item(index: u64, left: i16, right: i16) -> Item {
    Item::Slot(Arc::new(Both {
        wide: Slot { index, left: [left; SLOT], right: [right; SLOT] },
        narrow: Some(NarrowSlot { left: [left; NARROW], right: [right; NARROW] }),
    }))
}

fn voice(form: Value, side: Option<Side>, base: u64, gap_ms: Option<u64>) -> Voice {
    let form: StreamForm = serde_json::from_value(form).unwrap();
    let spec = form.read(None).unwrap();
    let facts = facts();
    Voice::new(&spec.dialect, &Context { facts: &facts, stream: STREAM, side, base, gap_ms })
}

fn values(messages: &[Msg]) -> Vec<Value> {
    let text = |m: &Msg| match m {
        Msg::Text(text) => serde_json::from_str(text).unwrap(),
        Msg::Binary(_) => panic!("binary"),
    };
    messages.iter().map(text).collect()
}

fn said(voice: &mut Voice, item: Item) -> Vec<Msg> {
    let mut out = Vec::new();
    voice.item(&item, &mut out);
    out
}

#[test]
fn a_raw_frame_is_its_samples_and_the_mix_is_both() {
    for (side, value) in [(Side::Left, 100), (Side::Right, -3), (Side::Mix, 97i16)] {
        for (rate, samples) in [(8_000, 160), (16_000, 320)] {
            let form = json!({ "format": "raw", "mix": "ws://h/", "rate": rate });
            let mut voice = voice(form, Some(side), 0, None);
            assert!(voice.opening().is_empty());
            let frame = Bytes::from(value.to_le_bytes().repeat(samples));
            assert_eq!(said(&mut voice, item(0, 100, -3)), [Msg::Binary(frame)]);
            assert!(said(&mut voice, Item::Digit(Lane::Right, '5')).is_empty());
            assert!(voice.closing(1, "").is_empty());
        }
    }
}

#[test]
fn twilio_in_full() {
    let form = json!({
        "format": "twilio", "url": "wss://h/", "account": "AC123", "parameters": {"k": "v"},
    });
    let mut voice = voice(form, None, 40, None);
    let stream = "MZ00000000000000000000000000000001";
    let call = "CA7bace96ab33e4d19ae72e1ba25886472";
    assert_eq!(
        values(&voice.opening()),
        [
            json!({ "event": "connected", "protocol": "Call", "version": "1.0.0" }),
            json!({
                "event": "start", "sequenceNumber": "1", "streamSid": stream,
                "start": {
                    "accountSid": "AC123", "streamSid": stream, "callSid": call,
                    "tracks": ["inbound", "outbound"], "customParameters": { "k": "v" },
                    "mediaFormat": {
                        "encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1,
                    },
                },
            }),
        ]
    );
    said(&mut voice, item(40, 0, 0));
    let media = said(&mut voice, item(41, 0, i16::MAX));
    let payload = |byte: u8| {
        use base64::Engine as _;
        base64::engine::general_purpose::STANDARD.encode([byte; 160])
    };
    assert_eq!(
        values(&media),
        [
            json!({
                "event": "media", "sequenceNumber": "4", "streamSid": stream,
                "media": {
                    "track": "inbound", "chunk": "2", "timestamp": "20", "payload": payload(0x80),
                },
            }),
            json!({
                "event": "media", "sequenceNumber": "5", "streamSid": stream,
                "media": {
                    "track": "outbound", "chunk": "2", "timestamp": "20", "payload": payload(0xff),
                },
            }),
        ]
    );
    assert_eq!(
        values(&said(&mut voice, Item::Digit(Lane::Right, '5'))),
        [json!({
            "event": "dtmf", "streamSid": stream, "sequenceNumber": "6",
            "dtmf": { "track": "inbound_track", "digit": "5" },
        })]
    );
    let mark = r#"{"event":"mark","streamSid":"x","mark":{"name":"here \" I am"}}"#;
    assert_eq!(
        values(&[voice.answer(mark).unwrap()]),
        [json!({
            "event": "mark", "sequenceNumber": "7", "streamSid": stream,
            "mark": { "name": "here \" I am" },
        })]
    );
    for nonsense in ["", "{}", "[]", "{\"event\":\"media\"}", "{\"event\":1,\"mark\":{\"name\":2}}"]
    {
        assert_eq!(voice.answer(nonsense), None);
    }
    assert_eq!(
        values(&voice.closing(2, "")),
        [json!({
            "event": "stop", "sequenceNumber": "8", "streamSid": stream,
            "stop": { "accountSid": "AC123", "callSid": call },
        })]
    );
}

#[test]
fn twilio_sends_the_tracks_that_are_wanted_and_signs_the_url() {
    for (tracks, track) in [("inbound_track", "inbound"), ("outbound_track", "outbound")] {
        let form = json!({ "format": "twilio", "url": "wss://h/", "tracks": tracks });
        let mut voice = voice(form, None, 0, None);
        assert_eq!(values(&voice.opening())[1]["start"]["tracks"], json!([track]));
        let media = values(&said(&mut voice, item(0, 1, 2)));
        assert_eq!(media.len(), 1);
        assert_eq!(media[0]["media"]["track"], track);
    }
    let form: StreamForm = serde_json::from_value(
        json!({ "format": "twilio", "url": "wss://h/", "auth_token": "12345" }),
    )
    .unwrap();
    let spec = form.read(None).unwrap();
    // echo -n wss://h/ | openssl dgst -sha1 -hmac 12345 -binary | base64
    let (_, headers) = handshake(&spec.dialect, &facts(), "wss://h/");
    assert_eq!(headers, [("x-twilio-signature", SIGNATURE.to_owned())]);
}

const SIGNATURE: &str = "Zmx02Z2VQQHhHjkm+kmhr1LC2jc=";

#[test]
fn ringcentral_in_full() {
    let form = json!({
        "format": "ringcentral", "url": "wss://h/", "account_id": "99990000",
        "subaccount_id": "99990001", "rc_account_id": "123456789", "product_type": "queue",
        "product_id": 1234,
    });
    let mut voice = voice(form, None, 40, None);
    assert_eq!(
        values(&voice.opening()),
        [
            json!({ "event": "Connected", "protocol": "AgentSession", "version": "1.0.0" }),
            json!({
                "event": "Start",
                "metadata": {
                    "callId": CALL.to_string(), "sessionId": 1, "ani": "2223334444",
                    "dnis": "2001", "accountId": "99990000", "subaccountId": "99990001",
                    "rcAccountId": "123456789", "agentId": 123, "productType": "Queue",
                    "productId": 1234, "contentType": "audio/x-mulaw",
                    "audioContentType": "audio/x-mulaw", "sampleRateHertz": 8000,
                },
            }),
        ]
    );
    let media = values(&said(&mut voice, item(40, 0, i16::MAX)));
    assert_eq!(media[0]["perspective"], "Participant");
    assert_eq!(media[1]["perspective"], "Conference");
    for message in &media {
        assert_eq!(message["event"], "Media");
        assert_eq!(message["sequenceId"], "1");
        assert_eq!(message["media"].as_str().unwrap().len(), 216);
    }
    assert!(media[1]["media"].as_str().unwrap().starts_with("gICA"));
    assert_eq!(values(&said(&mut voice, item(41, 0, 0)))[0]["sequenceId"], "2");
    let end = "2021-01-14T00:00:00Z";
    let stops = values(&voice.closing(6_010, end));
    assert_eq!(stops.len(), 2);
    for stop in stops {
        assert_eq!(stop["event"], "Stop");
        let metadata = json!({ "duration": 120, "end_time": "2021-01-14T00:00:00Z" });
        assert_eq!(stop["metadata"], metadata);
    }
}

#[test]
fn ringcentral_s_handshake_can_be_given_other_names() {
    let form: StreamForm = serde_json::from_value(json!({
        "format": "ringcentral", "url": "wss://h/", "query": { "ani": "Caller ANI" },
        "agents": { "123": 77 },
    }))
    .unwrap();
    let spec = form.read(None).unwrap();
    let query: BTreeMap<_, _> =
        handshake(&spec.dialect, &facts(), "wss://h/").0.into_iter().collect();
    assert_eq!(query["Caller ANI"], "2223334444");
    assert_eq!((query["agentId"].as_str(), query["productType"].as_str()), ("77", "Manual"));
    assert_eq!(query.len(), 10);
}

#[test]
fn jambonz_says_what_follows_and_then_sends_it() {
    for (channels, bytes) in
        [("mono", vec![3u8, 0]), ("stereo", vec![3, 0, 1, 0]), ("mixed", vec![4, 0])]
    {
        let form = json!({
            "format": "jambonz", "url": "ws://h/", "channels": channels, "rate": 16000,
            "parameters": {"k": "v"},
        });
        let mut voice = voice(form, None, 0, None);
        let first = &values(&voice.opening())[0];
        assert_eq!(first["sampleRate"], 16_000);
        assert_eq!(first["mixType"], channels);
        assert_eq!(first["callSid"], CALL.to_string());
        assert_eq!(first["metadata"], json!({ "k": "v" }));
        assert_eq!(first.get("resumed"), None);
        let frame = Msg::Binary(Bytes::from(bytes.repeat(320)));
        assert_eq!(said(&mut voice, item(0, 1, 3)), [frame]);
        let digit = said(&mut voice, Item::Digit(Lane::Right, '#'));
        assert_eq!(values(&digit), [json!({ "event": "dtmf", "dtmf": "#" })]);
    }
}

#[test]
fn a_consumer_that_is_reached_again_sees_what_it_missed() {
    let gap = Some(2_000);
    let form = json!({ "format": "twilio", "url": "wss://h/" });
    let mut twilio = voice(form, None, 650, gap);
    assert_eq!(values(&twilio.opening())[1]["sequenceNumber"], "1");
    let media = &values(&said(&mut twilio, item(900, 0, 0)))[0]["media"];
    assert_eq!((&media["timestamp"], &media["chunk"]), (&json!("5000"), &json!("1")));
    let form = json!({ "format": "ringcentral", "url": "wss://h/" });
    let mut ringcentral = voice(form, None, 650, gap);
    ringcentral.opening();
    assert_eq!(values(&said(&mut ringcentral, item(900, 0, 0)))[0]["sequenceId"], "251");
    let form = json!({ "format": "jambonz", "url": "wss://h/" });
    let mut jambonz = voice(form, None, 650, gap);
    assert_eq!(values(&jambonz.opening())[0]["resumed"], json!({ "gapMs": 2_000 }));
}
