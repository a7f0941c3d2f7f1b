//! Forms, right and wrong.

use super::*;

fn form(json: serde_json::Value) -> StreamForm {
    serde_json::from_value(json).expect("a form")
}

fn keys(form: &StreamForm) -> Vec<&'static str> {
    let faults = form.read(None).expect_err("a fault");
    faults.iter().map(|fault| fault.key).collect()
}

#[test]
fn a_raw_stream_has_a_connection_for_each_url_that_is_not_empty() {
    let form = form(serde_json::json!({
        "format": "raw", "left": "ws://localhost:3031/left/{id}", "right": "",
        "mix": "ws://localhost:3031/mix/{id}",
    }));
    let spec = form.read(None).expect("a stream");
    let sides: Vec<_> = spec.dialect.legs().iter().map(|(side, _)| *side).collect();
    assert_eq!(sides, [Some(Side::Left), Some(Side::Mix)]);
    assert_eq!((spec.reach.attempts, spec.reach.connect_timeout), (15, CONNECT_TIME));
    assert!(spec.dialect.is_narrow());
}

#[test]
fn every_fault_is_told_with_its_key() {
    for (json, fault) in [
        (serde_json::json!({"format": "raw"}), "left"),
        (serde_json::json!({"format": "mp3"}), "format"),
        (serde_json::json!({"format": "twilio", "url": "https://x"}), "url"),
        (serde_json::json!({"format": "raw", "left": "ws://x", "rate": 44100}), "rate"),
        (serde_json::json!({"format": "raw", "left": "ws://x", "tracks": "both"}), "tracks"),
        (serde_json::json!({"format": "jambonz", "url": "ws://x", "channels": "5.1"}), "channels"),
        (
            serde_json::json!({"format": "raw", "mix": "ws://x", "headers": {"Host": "y"}}),
            "headers",
        ),
        (serde_json::json!({"format": "raw", "mix": "ws://x", "token": "a\nb"}), "token"),
        (
            serde_json::json!({"format": "raw", "mix": "ws://x", "connect_timeout": 0}),
            "connect_timeout",
        ),
    ] {
        assert_eq!(keys(&form(json)), [fault]);
    }
}

#[test]
fn no_secret_of_a_stream_shows_itself() {
    let form = form(serde_json::json!({
        "format": "twilio", "url": "wss://x/?key=hidden", "token": "hidden",
        "auth_token": "hidden", "headers": {"x-key": "hidden"},
    }));
    let spec = form.read(None).expect("a stream");
    assert!(!format!("{form:?} {spec:?}").contains("hidden"));
}
