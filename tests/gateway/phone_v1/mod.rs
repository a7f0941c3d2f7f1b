//! The phone protocol, version 1, over real sockets: every message and every error of
//! docs/phone-protocol.md. All that is said and heard is held against the schema.

mod back;
mod calls;
mod control;
mod devices;
mod login;
mod talk;

use crate::support::{Gateway, Pbx, v1::Page};
use goastgateway::call::CallId;
use serde_json::{Value, json};

pub const PROTOCOL: &str = "goastgateway.v1";
pub const NOBODY: &str = "6f1c7b52-8a0e-4a43-9d3b-0b9ad2f8a111";

/// A call that this page has answered.
pub async fn talking(gateway: &Gateway, page: &mut Page) -> (Pbx, Value) {
    let mut pbx = Pbx::dial(gateway, &page.ext.clone()).await;
    let call = page.expect("incoming").await["call"].clone();
    page.done(json!({ "type": "answer", "call": call })).await;
    pbx.expect("ANSWER").await;
    assert_eq!(page.expect("connected").await["call"], call);
    (pbx, call)
}

pub fn id(call: &Value) -> CallId {
    CallId::parse(call.as_str().unwrap()).unwrap()
}

pub fn held(call: &Value, on: bool, by: &str) -> Value {
    json!({ "type": "held", "call": call, "on": on, "by": by })
}
