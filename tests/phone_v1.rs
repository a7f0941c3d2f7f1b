//! The phone protocol, version 1, over real sockets: every message and every error of
//! docs/phone-protocol.md. All that is said and heard is held against the schema.

mod support;

use serde_json::json;
use support::{Gateway, Pbx, frame, v1::Page};

#[tokio::test]
async fn a_page_logs_in_is_rung_answers_talks_and_hangs_up() {
    let gateway = Gateway::start().await;
    let mut page = Page::log_in(&gateway, "2001").await;
    assert_eq!(page.welcome["resumed"], false);
    let mut pbx = Pbx::dial(&gateway, "2001").await;
    let incoming = page.expect("incoming").await;
    let call = incoming["call"].clone();
    assert_eq!((&incoming["to"], &incoming["group"]), (&json!("2001"), &json!(null)));
    assert_eq!(incoming["state"], "ringing");
    page.done(json!({ "type": "answer", "call": call })).await;
    pbx.expect("ANSWER").await;
    assert_eq!(page.expect("connected").await["call"], call);
    pbx.send_audio(frame(7)).await;
    assert_eq!(page.frame().await, frame(7));
    page.speak(frame(9)).await;
    assert_eq!(pbx.speech().await, frame(9));
    page.done(json!({ "type": "hangup", "call": call })).await;
    pbx.expect("HANGUP").await;
    pbx.hang_up().await;
    let ended = page.expect("ended").await;
    assert_eq!(ended["reason"], "phone_hung_up");
    assert_eq!(ended["side"], "phone");
    page.expect_nothing().await;
}
