use super::*;
use crate::report::testing::{answered_call, config_with};

/// The webhook that these keys make.
fn webhook(keys: Value) -> Webhook {
    let mut webhook = json!({ "url": "https://crm.example/x", "secret": "x".repeat(24) });
    for (key, value) in keys.as_object().unwrap() {
        webhook[key] = value.clone();
    }
    let keys = json!({ "state_dir": "/tmp", "webhooks": [webhook] });
    config_with(&keys).records.webhooks.remove(0)
}

fn happened(what: What) -> Happened {
    let mut call = answered_call(7, Utc::parse("2026-11-21T12:00").unwrap());
    if what != What::Ended {
        (call.ended, call.ending, call.side) = (None, None, None);
    }
    let at = match what {
        What::Began | What::Rang(_) => call.began,
        What::Answered => call.answered.unwrap(),
        What::Ended => call.ended.unwrap(),
    };
    Happened::Call(CallHappened { what, at, call: Arc::new(call) })
}

fn bodies(what: What, webhook: &Webhook) -> Vec<Value> {
    let messages = messages(&happened(what), webhook);
    messages.iter().map(|m| serde_json::from_str(&m.body).unwrap()).collect()
}

#[test]
fn in_plain_words_an_event_is_its_name_its_time_and_the_call() {
    let webhook = webhook(json!({}));
    let [ended] = &bodies(What::Ended, &webhook)[..] else { panic!("one message") };
    assert_eq!(ended["event"], "call_ended");
    assert_eq!(ended["at"], "2026-11-21T12:00:12.100Z");
    assert_eq!(ended["call"]["ending"], "phone_hung_up");
    let [rang] = &bodies(What::Rang("2001".into()), &webhook)[..] else { panic!("one message") };
    assert_eq!(rang["extension"], "2001");
    assert_ne!(rang["id"], ended["id"]);
}

#[test]
fn what_is_told_again_has_the_same_id() {
    let plain = webhook(json!({}));
    let chime = webhook(json!({ "format": "chime" }));
    for webhook in [&plain, &chime] {
        let ids = || -> Vec<Uuid> {
            messages(&happened(What::Ended), webhook).iter().map(|m| m.id).collect()
        };
        assert_eq!(ids(), ids());
    }
}

#[test]
fn a_webhook_is_told_only_what_it_wants() {
    let webhook = webhook(json!({ "events": ["call_ended"] }));
    assert_eq!(bodies(What::Answered, &webhook).len(), 0);
    assert_eq!(bodies(What::Ended, &webhook).len(), 1);
}

#[test]
fn an_answered_call_makes_the_four_events_of_the_chime_recorder() {
    let webhook = webhook(json!({
        "format": "chime", "account": "112233445566", "region": "us-east-1",
        "voice_connector": "bfggco08s5m5esgxfskzks",
    }));
    assert_eq!(bodies(What::Began, &webhook).len(), 0);
    let (started, ended) = (bodies(What::Answered, &webhook), bodies(What::Ended, &webhook));
    assert_eq!((started.len(), ended.len()), (2, 2));
    let mut arns = Vec::new();
    for (start, end) in started.iter().zip(&ended) {
        for event in [start, end] {
            assert_eq!(event["version"], "0");
            assert_eq!(event["detail-type"], "Chime VoiceConnector Streaming Status");
            assert_eq!(event["source"], "aws.chime");
            assert_eq!(
                (&event["account"], &event["region"]),
                (&json!("112233445566"), &json!("us-east-1"))
            );
            assert_eq!(event["resources"], json!([]));
            let detail = &event["detail"];
            assert_eq!(detail["callId"], "00000000-0000-0000-0000-000000000007");
            assert_eq!(detail["direction"], "Inbound");
            assert_eq!(detail["fromNumber"], "+81312345678");
            assert_eq!(detail["toNumber"], "support");
            assert_eq!(detail["startTime"], "2026-11-21T12:00:02.100Z");
            assert_eq!(detail["voiceConnectorId"], "bfggco08s5m5esgxfskzks");
            assert_eq!(detail["version"], "0");
            assert_eq!(detail["startFragmentNumber"].as_str().unwrap().len(), 47);
        }
        assert_eq!(start["time"], "2026-11-21T12:00:02Z");
        assert_eq!(end["time"], "2026-11-21T12:00:12Z");
        let (first, last) = (&start["detail"], &end["detail"]);
        assert_eq!(first["streamingStatus"], "STARTED");
        assert_eq!(first["mediaType"], "audio/L16");
        assert_eq!(last["streamingStatus"], "ENDED");
        assert_eq!(last["endTime"], "2026-11-21T12:00:12.100Z");
        assert!(last.get("mediaType").is_none() && first.get("endTime").is_none());
        let number = |detail: &Value, key: &str| detail[key].as_str().unwrap().to_owned();
        assert!(number(last, "startFragmentNumber") < number(last, "currentFragmentNumber"));
        for key in ["streamArn", "isCaller", "transactionId", "startFragmentNumber"] {
            assert_eq!(first[key], last[key], "{key}");
        }
        arns.push(number(first, "streamArn"));
    }
    assert_ne!(arns[0], arns[1]);
    assert!(arns[0].starts_with(
        "arn:aws:kinesisvideo:us-east-1:112233445566:stream/ChimeVoiceConnector-bfggco08s5m5esgxfskzks-"
    ));
    let sides: Vec<_> = started.iter().map(|event| event["detail"]["isCaller"].clone()).collect();
    assert_eq!(sides, [json!(true), json!(false)]);
}

#[test]
fn a_call_that_nobody_answered_makes_no_chime_event() {
    let webhook = webhook(json!({ "format": "chime" }));
    let Happened::Call(mut ended) = happened(What::Ended) else { panic!("a call") };
    let mut call = (*ended.call).clone();
    call.answered = None;
    ended.call = Arc::new(call);
    assert_eq!(messages(&Happened::Call(ended), &webhook), []);
}
