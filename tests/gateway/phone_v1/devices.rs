//! Several devices of one extension, and its presence.

use serde_json::{Value, json};

use super::{PROTOCOL, talking};
use crate::support::{Gateway, Pbx, Phone, frame, token, v1::Page};

async fn ring_all() -> Gateway {
    Gateway::with(|c| c["duplicate_login"] = json!("ring_all"), json!({})).await
}

#[tokio::test]
async fn all_devices_of_an_extension_ring_and_the_first_answer_wins() {
    let gateway = ring_all().await;
    let mut desk = Page::log_in(&gateway, "2001").await;
    let mut mobile = Page::log_in(&gateway, "2001").await;
    let mut old = Phone::ready(&gateway, "2001").await;
    let mut pbx = Pbx::dial(&gateway, "2001").await;
    let call = desk.expect("incoming").await["call"].clone();
    assert_eq!(mobile.expect("incoming").await["call"], call);
    old.expect("RINGING").await;
    mobile.done(json!({ "type": "answer", "call": call })).await;
    pbx.expect("ANSWER").await;
    mobile.expect("connected").await;
    let ended = desk.expect("ended").await;
    assert_eq!(
        (&ended["reason"], &ended["by"], &ended["cause"]),
        (&json!("answered_elsewhere"), &json!("2001"), &json!(26))
    );
    old.expect("HANGUP").await;
    drop((desk, old));
    mobile.speak(frame(9)).await;
    assert_eq!(pbx.speech().await, frame(9), "and the others' leaving disturbs nothing");
}

#[tokio::test]
async fn a_decline_on_one_device_declines_for_the_extension_and_a_lost_device_does_not() {
    let gateway = Gateway::with(
        |c| {
            c["duplicate_login"] = json!("ring_all");
            c["resume_timeout"] = json!(0);
        },
        json!({}),
    )
    .await;
    let mut desk = Page::log_in(&gateway, "2001").await;
    let mut mobile = Page::log_in(&gateway, "2001").await;
    let lost = Page::log_in(&gateway, "2001").await;
    let mut pbx = Pbx::dial(&gateway, "2001").await;
    let call = desk.expect("incoming").await["call"].clone();
    mobile.expect("incoming").await;
    drop(lost);
    desk.done(json!({ "type": "reject", "call": call })).await;
    pbx.expect("HANGUP").await;
    assert_eq!(desk.expect("ended").await["reason"], "declined");
    assert_eq!(mobile.expect("ended").await["reason"], "declined");
}

#[tokio::test]
async fn each_device_learns_which_others_are_logged_in_and_by_what_name() {
    let gateway = ring_all().await;
    let named = |name: &str| json!({ "device": name });
    let names = |of: &Value| -> Vec<Value> {
        of["devices"].as_array().unwrap().iter().map(|one| one["device"].clone()).collect()
    };
    let mut desk = Page::log_in_with(&gateway, "2001", named("Firefox on the desk")).await;
    assert_eq!(names(&desk.welcome), ["Firefox on the desk"]);
    assert_eq!(desk.welcome["devices"][0]["login"], desk.welcome["login"]);
    desk.minds_devices = true;
    let mobile = Page::log_in_with(&gateway, "2001", named("Mobile")).await;
    assert_eq!(names(&mobile.welcome), ["Firefox on the desk", "Mobile"]);
    assert_eq!(names(&desk.expect("devices").await), ["Firefox on the desk", "Mobile"]);
    let old = Phone::ready(&gateway, "2001").await;
    let all = [json!("Firefox on the desk"), json!("Mobile"), Value::Null];
    assert_eq!(names(&desk.expect("devices").await), all);
    let _other = Page::log_in_with(&gateway, "2002", named("of somebody else")).await;
    drop((mobile, old));
    desk.expect("devices").await;
    assert_eq!(names(&desk.expect("devices").await), ["Firefox on the desk"]);
    desk.expect_nothing().await;
}

#[tokio::test]
async fn who_is_refused_learns_which_device_holds_the_extension() {
    let gateway = Gateway::start().await;
    let mut desk =
        Page::log_in_with(&gateway, "2001", json!({ "device": "Firefox on the desk" })).await;
    let mut other = Page::open(&gateway, PROTOCOL, "/phone").await.unwrap();
    other.say(json!({ "type": "login", "token": token("2001") })).await;
    // The first one is asked whether it lives.
    let (said, code) = tokio::select! {
        closed = other.closed() => closed,
        got = desk.next() => panic!("{got:?}"),
    };
    let said = said.unwrap();
    assert_eq!((&said["name"], code), (&json!("extension_in_use"), Some(4409)));
    assert_eq!(said["devices"][0]["device"], "Firefox on the desk");
}

#[tokio::test]
async fn where_devices_stand_beside_each_other_a_dead_one_in_a_call_is_taken_over() {
    let gateway = ring_all().await;
    let mut dead = Page::log_in(&gateway, "2001").await;
    let (mut pbx, call) = talking(&gateway, &mut dead).await;
    // Its network is gone, its socket doesn't know; the page was loaded anew and kept nothing.
    let mut page = Page::log_in(&gateway, "2001").await;
    assert_eq!(
        (&page.welcome["resumed"], &page.welcome["calls"][0]["call"]),
        (&json!(true), &call)
    );
    page.speak(frame(9)).await;
    while pbx.speech().await != frame(9) {}
    // One in a call that answers stays what it is.
    let other = tokio::select! {
        other = Page::log_in(&gateway, "2001") => other,
        got = page.next() => panic!("{got:?}"),
    };
    assert_eq!(other.welcome["resumed"], false);
}

#[tokio::test]
async fn a_second_login_is_4409_or_takes_the_extension_with_4410() {
    let gateway = Gateway::start().await;
    let mut first = Page::log_in(&gateway, "2001").await;
    let alive = tokio::spawn(async move {
        first.next().await; // reading answers the ping
    });
    let mut second = Page::open(&gateway, PROTOCOL, "/phone").await.unwrap();
    second.say(json!({ "type": "login", "token": token("2001") })).await;
    let (said, code) = second.closed().await;
    assert_eq!((said.unwrap()["code"].clone(), code), (json!(31409), Some(4409)));
    alive.abort();

    let gateway = Gateway::with(|c| c["duplicate_login"] = json!("replace"), json!({})).await;
    let mut first = Page::log_in(&gateway, "2001").await;
    let second = Page::log_in(&gateway, "2001").await;
    assert_eq!(second.welcome["resumed"], false);
    assert_eq!(first.closed().await.1, Some(4410));
}

#[tokio::test]
async fn who_is_not_ready_is_not_rung_and_the_caller_learns_the_right_cause() {
    let gateway = ring_all().await;
    let mut page = Page::log_in(&gateway, "2001").await;
    let mut other = Page::log_in(&gateway, "2001").await;
    for (state, ending) in [("dnd", "busy"), ("away", "away"), ("wrapup", "away")] {
        page.done(json!({ "type": "presence", "state": state, "reason": "notes" })).await;
        for page in [&mut page, &mut other] {
            let presence = page.expect("presence").await;
            assert_eq!(
                (&presence["state"], &presence["reachable"]),
                (&json!(state), &json!(true)),
                "on all devices"
            );
        }
        Pbx::dial(&gateway, "2001").await.expect("HANGUP").await;
        let text = gateway.exchange.metrics.text();
        assert!(text.contains(&format!("ending=\"{ending}\"")), "{state}: {text}");
    }
    // It outlives a reload.
    page.done(json!({ "type": "logout" })).await;
    let page = Page::log_in(&gateway, "2001").await;
    assert_eq!(page.welcome["presence"]["state"], "wrapup");
}

#[tokio::test]
async fn a_wrapup_ends_by_itself() {
    let gateway = Gateway::start().await;
    let mut page = Page::log_in(&gateway, "2001").await;
    page.done(json!({ "type": "presence", "state": "wrapup", "seconds": 1 })).await;
    assert!(page.expect("presence").await["until"].is_i64());
    assert_eq!(page.expect("presence").await["state"], "ready");
    let _pbx = Pbx::dial(&gateway, "2001").await;
    page.expect("incoming").await;
}
