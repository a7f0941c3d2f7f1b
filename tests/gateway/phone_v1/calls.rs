//! Calls that come, and every way in which ringing ends.

use std::time::Instant;

use goastgateway::{call::record::Caller, exchange::line::CallEvent};
use serde_json::{Value, json};

use super::id;
use crate::support::{Gateway, Pbx, media_start, v1::Page};

#[tokio::test]
async fn a_page_learns_who_calls_whom_and_the_variables_that_it_may_see() {
    let config = |c: &mut Value| {
        c["caller_number_variable"] = json!("GW_FROM");
        c["caller_name_variable"] = json!("GW_NAME");
        c["phone_variables"] = json!(["CRM_ID", "ABSENT"]);
    };
    let groups = json!({ "G01": { "strategy": "ringall", "members": ["2001"], "timeout": 30 } });
    let gateway = Gateway::with(config, groups).await;
    let mut page = Page::log_in(&gateway, "2001").await;
    let mut pbx = Pbx::connect(&gateway).await;
    let variables = json!({
        "WS_EXTEN": "G01", "GW_FROM": "0312345678", "GW_NAME": "Alice", "CRM_ID": "4711", "SECRET": "x",
    });
    pbx.send(media_start(variables).to_string()).await;
    let incoming = page.expect("incoming").await;
    assert_eq!(incoming["from"], json!({ "number": "0312345678", "name": "Alice" }));
    assert_eq!((&incoming["to"], &incoming["group"]), (&json!("G01"), &json!("G01")));
    assert_eq!(incoming["variables"], json!({ "CRM_ID": "4711" }));
    assert_eq!((&incoming["ring_ms"], &incoming["waiting"]), (&json!(30_000), &json!(false)));
    // Call control learns a better name while it rings.
    let caller = Caller::new("", "Alice Example");
    assert!(
        gateway.exchange.calls.tell(id(&incoming["call"]), CallEvent::Caller(Box::new(caller)))
    );
    let update = page.expect("update").await;
    assert_eq!(update["from"], json!({ "number": "0312345678", "name": "Alice Example" }));
}

#[tokio::test]
async fn every_way_in_which_ringing_ends_is_told() {
    let gateway = Gateway::with(|c| c["ring_timeout"] = json!(1), json!({})).await;
    let mut page = Page::log_in(&gateway, "2001").await;
    let mut pbx = Pbx::dial(&gateway, "2001").await;
    let call = page.expect("incoming").await["call"].clone();
    page.done(json!({ "type": "reject", "call": call })).await;
    pbx.expect("HANGUP").await;
    let ended = page.expect("ended").await;
    assert_eq!((&ended["reason"], &ended["cause"]), (&json!("declined"), &json!(17)));

    let mut pbx = Pbx::dial(&gateway, "2001").await;
    page.expect("incoming").await;
    pbx.hang_up().await;
    let ended = page.expect("ended").await;
    assert_eq!((&ended["reason"], &ended["side"]), (&json!("caller_gave_up"), &json!("caller")));

    let mut pbx = Pbx::dial(&gateway, "2001").await;
    page.expect("incoming").await;
    pbx.expect("HANGUP").await;
    assert_eq!(page.expect("ended").await["reason"], "no_answer");
    page.expect_nothing().await;
}

#[tokio::test]
async fn a_page_that_is_frozen_is_passed_over_during_the_ring() {
    let groups = json!({
        "G01": { "strategy": "sequential", "members": ["2001", "2002"], "timeout": 30 },
    });
    let gateway = Gateway::with_groups(groups).await;
    let mut frozen = Page::log_in(&gateway, "2001").await;
    frozen.alive = false;
    let mut next = Page::log_in(&gateway, "2002").await;
    let mut pbx = Pbx::dial(&gateway, "G01").await;
    frozen.expect("incoming").await;
    let rang = Instant::now();
    let call = next.expect("incoming").await["call"].clone();
    let passed_over = rang.elapsed();
    assert!(
        (1_900..4_000).contains(&passed_over.as_millis()),
        "after {passed_over:?}, and not after 30 s"
    );
    assert_eq!(frozen.expect("ended").await["reason"], "unreachable");
    next.done(json!({ "type": "answer", "call": call })).await;
    pbx.expect("ANSWER").await;
}

#[tokio::test]
async fn a_direct_call_to_a_frozen_page_ends_as_unreachable() {
    let gateway = Gateway::start().await;
    let mut frozen = Page::log_in(&gateway, "2001").await;
    frozen.alive = false;
    let mut pbx = Pbx::dial(&gateway, "2001").await;
    pbx.expect("HANGUP").await;
    pbx.hang_up().await;
    frozen.expect("incoming").await;
    assert_eq!(frozen.expect("ended").await["cause"], 20);
    let text = gateway.exchange.metrics.text();
    assert!(text.contains("ending=\"unreachable\""), "{text}");
}
