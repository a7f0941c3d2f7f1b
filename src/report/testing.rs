//! What the tests of this room share: a call, and a configuration.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{
    row::CallRow,
    time::{Anchor, Utc},
};
use crate::{
    call::{CallId, ending::Ending, record::CallRecord},
    config::{Config, read_texts},
};

/// A call that was answered after two seconds and hung up by the phone after ten more.
pub(crate) fn answered_call(id: u128, began: Utc) -> CallRow {
    let now = Instant::now();
    let mut record = CallRecord::new(CallId::from_uuid(uuid::Uuid::from_u128(id)), now);
    record.channel = "WebSocket/ws/0x1".into();
    record.channel_id = format!("1.{id}");
    record.caller.number = Some("+81312345678".into());
    record.dialled = Some("support".into());
    record.is_group = true;
    record.rang = Some(now + Duration::from_millis(100));
    record.answered = Some(now + Duration::from_millis(2_100));
    record.answered_by = Some("2001".into());
    record.ended = Some((now + Duration::from_millis(12_100), Ending::PhoneHungUp));
    record.audio.to_phone = 500;
    record.asterisk_queue_max = 3;
    CallRow::new(&record, &Anchor::new(now, began))
}

/// The least configuration, and these keys.
pub(crate) fn config_with(keys: &Value) -> Config {
    let folder = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let [cert, key] = ["cert.pem", "key.pem"].map(|name| folder.path().join(name));
    std::fs::write(&cert, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let mut text = json!({
        "cert_file": cert, "key_file": key, "state_dir": "",
        "jwt_secret": "a secret of the tests, long enough for HS256",
    });
    for (key, value) in keys.as_object().unwrap() {
        text[key] = value.clone();
    }
    read_texts(&text.to_string(), "{}").unwrap().config
}
