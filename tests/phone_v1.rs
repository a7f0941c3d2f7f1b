//! The phone protocol, version 1, over real sockets: every message and every error of
//! docs/phone-protocol.md. All that is said and heard is held against the schema.

mod support;

use std::time::{Duration, Instant};

use goastgateway::{
    call::{CallId, ending::Ending, info::Progress, record::Caller},
    exchange::{
        ask::{Refused, What, Why},
        calls::CALL_VARIABLE,
        desk::{Features, ToDesk},
        line::{CallEvent, Stopped},
    },
};
use serde_json::{Value, json};
use support::{Gateway, Got, Pbx, Phone, frame, media_start, sign, soon, token, v1::Page};
use tokio::sync::mpsc;

const PROTOCOL: &str = "goastgateway.v1";
const NOBODY: &str = "6f1c7b52-8a0e-4a43-9d3b-0b9ad2f8a111";

/// A call that this page has answered.
async fn talking(gateway: &Gateway, page: &mut Page) -> (Pbx, Value) {
    let mut pbx = Pbx::dial(gateway, &page.ext.clone()).await;
    let call = page.expect("incoming").await["call"].clone();
    page.done(json!({ "type": "answer", "call": call })).await;
    pbx.expect("ANSWER").await;
    assert_eq!(page.expect("connected").await["call"], call);
    (pbx, call)
}

fn id(call: &Value) -> CallId {
    CallId::parse(call.as_str().unwrap()).unwrap()
}

// === logging in

#[tokio::test]
async fn a_page_logs_in_is_rung_answers_talks_and_hangs_up() {
    let gateway = Gateway::start().await;
    let mut page = Page::log_in(&gateway, "2001").await;
    assert_eq!(page.welcome["resumed"], false);
    assert_eq!(page.welcome["calls"], json!([]));
    assert_eq!(page.welcome["resume_ms"], 20_000);
    assert_eq!(page.welcome["presence"]["state"], "ready");
    let (mut pbx, call) = talking(&gateway, &mut page).await;
    pbx.send_audio(frame(7)).await;
    assert_eq!(page.frame().await, frame(7));
    page.speak(frame(9)).await;
    assert_eq!(pbx.speech().await, frame(9));
    page.done(json!({ "type": "hangup", "call": call })).await;
    pbx.expect("HANGUP").await;
    let ended = page.expect("ended").await;
    assert_eq!((&ended["reason"], &ended["side"]), (&json!("phone_hung_up"), &json!("phone")));
    page.done(json!({ "type": "hangup", "call": call })).await; // has ended within the minute
    page.expect_nothing().await;
}

#[tokio::test]
async fn a_token_may_come_in_the_first_message_as_a_subprotocol_or_in_the_url() {
    let gateway = Gateway::start().await;
    let bearer = format!("{PROTOCOL}, bearer.{}", token("2001"));
    let url = format!("/phone?token={}", token("2001"));
    for (protocols, path) in [(bearer.as_str(), "/phone"), (PROTOCOL, url.as_str())] {
        let mut page = Page::open(&gateway, protocols, path).await.unwrap();
        page.say(json!({ "type": "login", "device": "front desk" })).await;
        assert_eq!(page.expect("welcome").await["extension"], "2001");
        page.done(json!({ "type": "logout" })).await;
        assert_eq!(page.closed().await.1, Some(1000));
    }
    let bad = Page::open(&gateway, &format!("{PROTOCOL}, bearer.x.y.z"), "/phone").await;
    assert_eq!(bad.unwrap_err(), 401, "before anything else");
    let bad = Page::open(&gateway, PROTOCOL, "/phone?token=x.y.z").await;
    assert_eq!(bad.unwrap_err(), 401);
}

#[tokio::test]
async fn a_bad_token_closes_with_4401_and_says_why() {
    let gateway = Gateway::start().await;
    let expired = sign(&json!({ "ext": "2001", "exp": 1000 }), support::SECRET);
    for (token, code) in [("x.y.z", 20101), ("", 20101), (expired.as_str(), 20104)] {
        let mut page = Page::open(&gateway, PROTOCOL, "/phone").await.unwrap();
        page.say(json!({ "type": "login", "token": token })).await;
        let (said, closed) = page.closed().await;
        assert_eq!((said.unwrap()["code"].as_u64(), closed), (Some(code), Some(4401)), "{token}");
    }
    let text = gateway.exchange.metrics.text();
    assert!(text.contains("login_failures_total{reason=\"token_expired\"} 1"));
}

#[tokio::test]
async fn nothing_is_taken_before_login() {
    let gateway = Gateway::start().await;
    for text in [r#"{"type":"ping","n":1}"#, "ANSWER", "[]", r#"{"type":"login","token":7}"#] {
        let mut page = Page::open(&gateway, PROTOCOL, "/phone").await.unwrap();
        page.say_anything(text).await;
        assert_eq!(page.closed().await.1, Some(4400), "{text}");
    }
    let mut page = Page::open(&gateway, PROTOCOL, "/phone").await.unwrap();
    page.speak(frame(1)).await;
    assert_eq!(page.closed().await.1, Some(4400), "audio");
    assert_eq!(gateway.exchange.phones(), 0);
}

#[tokio::test]
async fn who_says_nothing_is_closed_after_ten_seconds_with_4408() {
    let gateway = Gateway::start().await;
    let began = Instant::now();
    let mut page = Page::open(&gateway, PROTOCOL, "/phone").await.unwrap();
    assert_eq!(page.closed().await.1, Some(4408));
    assert!(began.elapsed() >= Duration::from_secs(10));
}

#[tokio::test]
async fn an_origin_or_an_address_that_is_not_allowed_is_4403() {
    let gateway = Gateway::start().await;
    let mut page =
        Page::open_from(&gateway, PROTOCOL, "/phone", "https://evil.example").await.unwrap();
    let (said, code) = page.closed().await;
    assert_eq!((said.unwrap()["name"].clone(), code), (json!("forbidden"), Some(4403)));
    let gateway =
        Gateway::with(|c| c["allowed_browser_ips"] = json!(["192.0.2.1"]), json!({})).await;
    let mut page = Page::open(&gateway, PROTOCOL, "/phone").await.unwrap();
    assert_eq!(page.closed().await.1, Some(4403));
}

#[tokio::test]
async fn too_many_failed_logins_are_4429_for_their_address_alone() {
    let behind_proxy = |c: &mut Value| {
        c["trusted_proxies"] = json!(["127.0.0.1"]);
        c["allowed_browser_ips"] = json!([]);
        c["login_failures_per_minute"] = json!(2);
    };
    let gateway = Gateway::with(behind_proxy, json!({})).await;
    for (address, code) in
        [("192.0.2.7", 4401), ("192.0.2.7", 4401), ("192.0.2.7", 4429), ("192.0.2.8", 4401)]
    {
        let mut page = Page::open_as(&gateway, PROTOCOL, address).await;
        if code != 4429 {
            page.say(json!({ "type": "login", "token": "x.y.z" })).await;
        }
        assert_eq!(page.closed().await.1, Some(code), "{address}");
    }
}

#[tokio::test]
async fn no_token_is_in_any_log_or_answer() {
    let gateway = Gateway::start().await;
    let mut page = Page::log_in(&gateway, "2001").await;
    let answer = page.ask(json!({ "type": "token", "token": "secret.of.mine" })).await;
    assert!(!answer.to_string().contains("secret.of.mine"), "{answer}");
}

// === requests and answers

#[tokio::test]
async fn a_request_that_is_sent_again_is_answered_again_and_not_carried_out_again() {
    let gateway = Gateway::start().await;
    let mut page = Page::log_in(&gateway, "2001").await;
    let away = json!({ "type": "presence", "id": "p1", "state": "away" });
    page.say(away.clone()).await;
    let first = page.answer(&json!("p1")).await;
    page.done(json!({ "type": "presence", "state": "ready" })).await;
    page.say(away).await;
    assert_eq!(page.answer(&json!("p1")).await, first);
    page.done(json!({ "type": "ping", "n": 1 })).await;
    assert_eq!(gateway.exchange.presence(&"2001".into()), Default::default(), "still ready");
}

#[tokio::test]
async fn a_message_that_is_wrong_is_refused_and_what_is_no_object_ends_the_connection() {
    let gateway = Gateway::start().await;
    let mut page = Page::log_in(&gateway, "2001").await;
    page.say_anything(r#"{"type":"dance","id":1}"#).await;
    assert_eq!(page.expect("error").await["code"], 31100);
    page.say_anything(r#"{"type":"answer"}"#).await;
    let error = page.expect("error").await;
    assert!(error.get("id").is_none() && error["message"].as_str().unwrap().contains("call"));
    page.refused(json!({ "type": "login" }), "wrong_state").await;
    page.refused(json!({ "type": "answer", "call": NOBODY }), "no_such_call").await;
    page.refused(json!({ "type": "hangup", "call": NOBODY }), "no_such_call").await;
    page.refused(json!({ "type": "hold", "call": NOBODY, "on": true }), "no_such_call").await;
    page.refused(json!({ "type": "dtmf", "call": NOBODY, "digits": "1" }), "no_such_call").await;
    page.say_anything("ANSWER").await;
    assert_eq!(page.closed().await.1, Some(4400));
    let mut page = Page::log_in(&gateway, "2001").await;
    page.say_anything(&format!(r#"{{"type":"ping","n":1,"x":"{}"}}"#, "x".repeat(16_384))).await;
    assert_eq!(page.closed().await.1, Some(4400), "longer than 16 KiB");
}

#[tokio::test]
async fn who_asks_too_much_is_told_so_and_stays() {
    let gateway = Gateway::start().await;
    let mut page = Page::log_in(&gateway, "2001").await;
    let (mut ok, mut limited) = (0, 0);
    for n in 0..300 {
        match page.ask(json!({ "type": "pong", "n": n })).await {
            answer if answer["type"] == "ok" => ok += 1,
            answer => {
                assert_eq!(answer["name"], "rate_limited");
                assert!(answer["retry_after_ms"].is_u64());
                limited += 1;
                tokio::time::sleep(Duration::from_millis(25)).await; // what it was told
            }
        }
    }
    assert!(ok >= 200, "{ok} passed, {limited} were refused");
    assert_eq!(gateway.exchange.phones(), 1);
}

// === tokens

#[tokio::test]
async fn a_token_is_replaced_in_a_call_and_never_by_one_for_another_extension() {
    let gateway = Gateway::start().await;
    let mut page = Page::log_in(&gateway, "2001").await;
    let (mut pbx, _) = talking(&gateway, &mut page).await;
    let answer = page.done(json!({ "type": "token", "token": token("2001") })).await;
    assert!(answer["expires"].as_i64().unwrap() > page.welcome["server"]["time"].as_i64().unwrap());
    page.refused(json!({ "type": "token", "token": token("2002") }), "other_extension").await;
    page.refused(json!({ "type": "token", "token": "x.y.z" }), "token_invalid").await;
    pbx.send_audio(frame(7)).await;
    assert_eq!(page.frame().await, frame(7), "audio goes on");
}

#[tokio::test]
async fn a_token_that_ends_soon_is_told_of_until_it_is_replaced() {
    let gateway = Gateway::start().await;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let short = sign(&json!({ "ext": "2001", "exp": now + 60 }), support::SECRET);
    let mut page = Page::log_in_with(&gateway, "2001", json!({ "token": short })).await;
    let told = page.expect("token_expiring").await["ms"].as_u64().unwrap();
    assert!((1..=60_000).contains(&told), "{told}");
}

// === calls

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
    assert!(gateway.exchange.calls.tell(id(&incoming["call"]), CallEvent::Caller(caller)));
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

// === in a call

#[tokio::test]
async fn a_held_far_end_hears_music_and_the_phone_hears_nothing() {
    let gateway = Gateway::start().await;
    let mut page = Page::log_in(&gateway, "2001").await;
    let (mut pbx, call) = talking(&gateway, &mut page).await;
    page.done(json!({ "type": "hold", "call": call, "on": true })).await;
    assert_eq!(page.expect("held").await, held(&call, true, "phone"));
    page.done(json!({ "type": "hold", "call": call, "on": true })).await; // is so already
    for _ in 0..20 {
        page.speak(frame(9)).await;
        pbx.send_audio(frame(7)).await;
    }
    // Sines that come and go: no frame is the phone's, and they differ from one another.
    let mut music = Vec::new();
    while music.len() < 50 {
        let heard = pbx.speech().await;
        assert_ne!(heard, frame(9), "the phone is heard");
        music.push(heard);
    }
    music.dedup();
    assert!(music.len() > 45, "it is music: {} frames differ", music.len());
    page.expect_nothing().await;
    assert!(page.audio.is_empty(), "nothing goes down to a held phone");
    page.done(json!({ "type": "hold", "call": call, "on": false })).await;
    assert_eq!(page.expect("held").await, held(&call, false, "phone"));
    loop {
        page.speak(frame(9)).await;
        if pbx.speech().await == frame(9) {
            break;
        }
    }
    pbx.send_audio(frame(8)).await;
    assert_eq!(page.frame().await, frame(8), "and none of what was said meanwhile");
}

fn held(call: &Value, on: bool, by: &str) -> Value {
    json!({ "type": "held", "call": call, "on": on, "by": by })
}

#[tokio::test]
async fn hold_music_may_be_silence() {
    let gateway = Gateway::with(|c| c["hold_music"] = json!("silence"), json!({})).await;
    let mut page = Page::log_in(&gateway, "2001").await;
    let (mut pbx, call) = talking(&gateway, &mut page).await;
    page.done(json!({ "type": "hold", "call": call, "on": true })).await;
    let mut frames = 0;
    while frames < 30 {
        if let Got::Audio(audio) = pbx.next().await {
            assert!(audio.iter().all(|b| *b == 0));
            frames += 1;
        }
    }
}

#[tokio::test]
async fn a_mute_phone_is_not_heard_whatever_it_sends() {
    let gateway = Gateway::start().await;
    let mut page = Page::log_in(&gateway, "2001").await;
    let (mut pbx, call) = talking(&gateway, &mut page).await;
    page.done(json!({ "type": "mute", "call": call, "on": true })).await;
    let mut frames = 0;
    while frames < 30 {
        page.speak(frame(9)).await;
        if let Got::Audio(audio) = pbx.next().await {
            assert!(audio.iter().all(|b| *b == 0), "it is heard");
            frames += 1;
        }
    }
    pbx.send_audio(frame(7)).await;
    assert_eq!(page.frame().await, frame(7), "it still hears");
    page.done(json!({ "type": "mute", "call": call, "on": false })).await;
    page.speak(frame(9)).await;
    assert_eq!(pbx.speech().await, frame(9));
}

#[tokio::test]
async fn the_far_ends_digits_and_its_hold_are_shown() {
    let gateway = Gateway::start().await;
    let mut page = Page::log_in(&gateway, "2001").await;
    let (mut pbx, call) = talking(&gateway, &mut page).await;
    for digit in ["5", "#"] {
        pbx.send(json!({ "event": "DTMF_END", "digit": digit }).to_string()).await;
        assert_eq!(page.expect("dtmf").await["digit"], digit);
    }
    gateway.exchange.calls.tell(id(&call), CallEvent::HeldByFar(true));
    assert_eq!(page.expect("held").await, held(&call, true, "far"));
}

#[tokio::test]
async fn stats_are_answered_by_the_gateways_own_figures_and_counted() {
    let gateway = Gateway::start().await;
    let mut page = Page::log_in(&gateway, "2001").await;
    let (mut pbx, call) = talking(&gateway, &mut page).await;
    pbx.send(json!({ "event": "STATUS", "queue_length": 2 }).to_string()).await;
    page.say(json!({ "type": "stats", "call": call, "e2e_ms": 120, "rtt_ms": 30 })).await;
    let quality = page.expect("quality").await;
    assert_eq!((&quality["call"], &quality["dropped_to_phone"]), (&call, &json!(0)));
    page.done(json!({ "type": "feedback", "call": call, "score": 2, "issue": "echo" })).await;
    let text = gateway.exchange.metrics.text();
    assert!(text.contains("page_milliseconds_count{measure=\"e2e\"} 1"), "{text}");
    assert!(text.contains("feedback_total{score=\"2\",issue=\"echo\"} 1"));
    assert!(!text.contains("2001"), "no metric says whose");
}

// === two calls

#[tokio::test]
async fn a_second_call_waits_is_answered_and_swapped() {
    let gateway = Gateway::start().await;
    let mut page = Page::log_in_with(&gateway, "2001", json!({ "call_waiting": true })).await;
    let (mut first, one) = talking(&gateway, &mut page).await;
    let mut second = Pbx::dial(&gateway, "2001").await;
    let incoming = page.expect("incoming").await;
    let two = incoming["call"].clone();
    assert_eq!(incoming["waiting"], true);
    let mut third = Pbx::dial(&gateway, "2001").await;
    third.expect("HANGUP").await;
    page.done(json!({ "type": "answer", "call": two })).await;
    second.expect("ANSWER").await;
    assert_eq!(page.expect("held").await, held(&one, true, "phone"));
    assert_eq!(page.expect("connected").await["call"], two);
    // The first hears music, the second the phone.
    page.speak(frame(9)).await;
    assert_eq!(second.speech().await, frame(9));
    assert_ne!(first.speech().await, frame(9));
    page.done(json!({ "type": "hold", "call": one, "on": false })).await;
    assert_eq!(page.expect("held").await, held(&two, true, "phone"));
    assert_eq!(page.expect("held").await, held(&one, false, "phone"));
    first.send_audio(frame(5)).await;
    second.send_audio(frame(6)).await;
    assert_eq!(page.frame().await, frame(5), "the active one's");
    first.hang_up().await;
    let ended = page.expect("ended").await;
    assert_eq!((&ended["call"], &ended["reason"]), (&one, &json!("caller_hung_up")));
    page.done(json!({ "type": "hold", "call": two, "on": false })).await;
    assert_eq!(page.expect("held").await, held(&two, false, "phone"));
    page.expect_nothing().await;
}

#[tokio::test]
async fn a_phone_without_call_waiting_is_busy_and_so_is_one_where_the_gateway_forbids_it() {
    for (wants, allowed) in [(false, true), (true, false)] {
        let gateway = Gateway::with(|c| c["call_waiting"] = json!(allowed), json!({})).await;
        let wish = json!({ "call_waiting": wants });
        let mut page = Page::log_in_with(&gateway, "2001", wish).await;
        let (_pbx, _) = talking(&gateway, &mut page).await;
        let mut second = Pbx::dial(&gateway, "2001").await;
        second.expect("HANGUP").await;
        page.expect_nothing().await;
    }
}

// === several devices

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

// === presence

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

// === dialling, with the test as call control

fn desk(gateway: &Gateway) -> mpsc::Receiver<ToDesk> {
    let desk = gateway.exchange.desk.open().expect("nobody else has opened it");
    gateway.exchange.set_features(Features { dial: true, dtmf: true, transfer: true });
    desk
}

async fn asked(desk: &mut mpsc::Receiver<ToDesk>) -> (What, goastgateway::exchange::ask::Answer) {
    loop {
        match soon("a request", desk.recv()).await.unwrap() {
            ToDesk::Ask(ask) => return (ask.what, ask.answer),
            ToDesk::Began(_) | ToDesk::Ended(_) => {}
        }
    }
}

#[tokio::test]
async fn a_page_dials_hears_the_far_end_ring_and_talks() {
    let gateway = Gateway::start().await;
    let mut page = Page::log_in(&gateway, "2001").await;
    page.refused(json!({ "type": "dial", "to": "0312345678" }), "unavailable").await;
    let mut desk = desk(&gateway);
    assert_eq!(page.expect("features").await["dial"], true);
    let dial = json!({ "type": "dial", "id": "a1", "to": "0312345678" });
    page.say(dial.clone()).await;
    let (What::Dial(asked), answer) = asked(&mut desk).await else { panic!() };
    assert_eq!(asked.to, "0312345678");
    page.say(dial.clone()).await; // the network repeats it
    page.done(json!({ "type": "pong", "n": 0 })).await; // it has come
    answer.give(Ok(()));
    let call = page.answer(&json!("a1")).await["call"].clone();
    assert_eq!(page.expect("outgoing").await["state"], "dialling");
    let mut pbx = Pbx::connect(&gateway).await;
    pbx.send(media_start(json!({ CALL_VARIABLE: call })).to_string()).await;
    pbx.expect("ANSWER").await;
    let progress = page.expect("progress").await;
    assert_eq!((&progress["state"], &progress["audio"]), (&json!("dialling"), &json!(true)));
    pbx.send_audio(frame(3)).await;
    assert_eq!(page.frame().await, frame(3), "it hears the ringing");
    let calls = &gateway.exchange.calls;
    calls.tell(id(&call), CallEvent::Progress(Progress::Alerting));
    assert_eq!(page.expect("progress").await["state"], "alerting");
    calls.tell(id(&call), CallEvent::Progress(Progress::Answered));
    assert_eq!(page.expect("connected").await["call"], call);
    page.say(dial).await;
    assert_eq!(
        page.answer(&json!("a1")).await["call"],
        call,
        "the same answer, and no second call"
    );
    pbx.hang_up().await;
    let ended = page.expect("ended").await;
    assert_eq!((&ended["reason"], &ended["side"]), (&json!("caller_hung_up"), &json!("caller")));
}

#[tokio::test]
async fn a_dialled_call_that_fails_says_why() {
    let gateway = Gateway::start().await;
    let mut page = Page::log_in(&gateway, "2001").await;
    let mut desk = desk(&gateway);
    page.expect("features").await;
    let all = [
        (Why::Forbidden, "forbidden"),
        (Why::BadNumber, "bad_number"),
        (Why::RateLimited, "rate_limited"),
        (Why::Timeout, "timeout"),
        (Why::Failed, "failed"),
        (Why::Busy, "busy"),
        (Why::Draining, "draining"),
    ];
    for (n, (why, name)) in all.into_iter().enumerate() {
        page.say(json!({ "type": "dial", "id": n, "to": "1" })).await;
        asked(&mut desk).await.1.give(Err(Refused::new(why, "so it is")));
        assert_eq!(page.answer(&json!(n)).await["name"], name);
    }
    // Taken, and then the leg doesn't come.
    page.say(json!({ "type": "dial", "id": "x", "to": "1" })).await;
    let (What::Dial(dial), answer) = asked(&mut desk).await else { panic!() };
    answer.give(Ok(()));
    page.answer(&json!("x")).await;
    page.expect("outgoing").await;
    let why = Stopped { why: Ending::NumberUnknown, by: None, cause: Some(1) };
    assert!(gateway.exchange.calls.failed(dial.call, why));
    let ended = page.expect("ended").await;
    assert_eq!((&ended["reason"], &ended["cause"]), (&json!("number_unknown"), &json!(1)));
    // A phone that gives up before its leg has come leaves nothing behind.
    page.say(json!({ "type": "dial", "id": "y", "to": "1" })).await;
    asked(&mut desk).await.1.give(Ok(()));
    let call = page.answer(&json!("y")).await["call"].clone();
    page.expect("outgoing").await;
    page.done(json!({ "type": "hangup", "call": call })).await;
    assert_eq!(page.expect("ended").await["reason"], "phone_hung_up");
    let mut pbx = Pbx::connect(&gateway).await;
    pbx.send(media_start(json!({ CALL_VARIABLE: call })).to_string()).await;
    pbx.expect("HANGUP").await;
    page.expect_nothing().await;
}

#[tokio::test]
async fn a_transfer_is_prepared_cancelled_prepared_again_and_completed() {
    let gateway = Gateway::start().await;
    let mut page = Page::log_in(&gateway, "2001").await;
    let mut desk = desk(&gateway);
    page.expect("features").await;
    let (mut first, one) = talking(&gateway, &mut page).await;
    page.refused(json!({ "type": "transfer", "call": one, "mode": "complete" }), "wrong_state")
        .await;
    let mut consult = None;
    for round in ["t1", "t2"] {
        let ask = json!({ "type": "transfer", "id": round, "call": one, "to": "2003", "mode": "attended" });
        page.say(ask).await;
        let (What::Dial(dial), answer) = asked(&mut desk).await else { panic!() };
        assert_eq!(dial.consults_for, Some(id(&one)));
        answer.give(Ok(()));
        let two = page.answer(&json!(round)).await["call"].clone();
        assert_eq!(page.expect("outgoing").await["consults_for"], one);
        let mut pbx = Pbx::connect(&gateway).await;
        pbx.send(media_start(json!({ CALL_VARIABLE: two })).to_string()).await;
        pbx.expect("ANSWER").await;
        assert_eq!(page.expect("held").await, held(&one, true, "phone"));
        page.expect("progress").await;
        gateway.exchange.calls.tell(id(&two), CallEvent::Progress(Progress::Answered));
        page.expect("connected").await;
        if round == "t1" {
            page.done(json!({ "type": "transfer", "call": one, "mode": "cancel" })).await;
            assert_eq!(page.expect("held").await, held(&one, false, "phone"));
            pbx.expect("HANGUP").await;
            let ended = page.expect("ended").await;
            assert_eq!((&ended["call"], &ended["reason"]), (&two, &json!("phone_hung_up")));
        } else {
            consult = Some((pbx, two));
        }
    }
    let (mut second, two) = consult.unwrap();
    page.say(json!({ "type": "transfer", "id": "t3", "call": one, "mode": "complete" })).await;
    let (what, answer) = asked(&mut desk).await;
    assert_eq!(what, What::Join { call: id(&one), with: id(&two) });
    answer.give(Ok(()));
    assert_eq!(page.answer(&json!("t3")).await["type"], "ok");
    for call in [&one, &two] {
        let event = CallEvent::ClosesFor(Ending::Transferred, None);
        gateway.exchange.calls.tell(id(call), event);
    }
    // The call's task has the event before the close: both come by its own ways.
    tokio::time::sleep(Duration::from_millis(50)).await;
    first.hang_up().await;
    second.hang_up().await;
    for _ in 0..2 {
        assert_eq!(page.expect("ended").await["reason"], "transferred");
    }
    page.expect_nothing().await;
}

#[tokio::test]
async fn digits_and_a_blind_transfer_go_to_call_control() {
    let gateway = Gateway::start().await;
    let mut page = Page::log_in(&gateway, "2001").await;
    let mut desk = desk(&gateway);
    page.expect("features").await;
    let (_pbx, call) = talking(&gateway, &mut page).await;
    page.say(json!({ "type": "dtmf", "id": 1, "call": call, "digits": "12#" })).await;
    let (what, answer) = asked(&mut desk).await;
    assert_eq!(what, What::Dtmf { call: id(&call), digits: "12#".into() });
    answer.give(Ok(()));
    assert_eq!(page.answer(&json!(1)).await, json!({ "type": "ok", "id": 1 }));
    let transfer =
        json!({ "type": "transfer", "id": 2, "call": call, "to": "2003", "mode": "blind" });
    page.say(transfer).await;
    let (what, answer) = asked(&mut desk).await;
    assert_eq!(what, What::Transfer { call: id(&call), to: "2003".into() });
    drop(answer);
    assert_eq!(page.answer(&json!(2)).await["name"], "failed", "lost, and answered all the same");
}

// === coming back

#[tokio::test]
async fn a_reload_in_mid_call_comes_back_into_it() {
    let gateway = Gateway::start().await;
    let mut page = Page::log_in(&gateway, "2001").await;
    let (mut pbx, call) = talking(&gateway, &mut page).await;
    page.done(json!({ "type": "mute", "call": call, "on": true })).await;
    page.done(json!({ "type": "mute", "call": call, "on": false })).await;
    // Numbered frames, 50 a second, for the whole time.
    let (stop, mut stopped) = tokio::sync::oneshot::channel();
    let far = tokio::spawn(async move {
        let mut clock = tokio::time::interval(Duration::from_millis(20));
        let (mut number, mut heard) = (1u16, Vec::new());
        loop {
            tokio::select! {
                _ = &mut stopped => return (pbx, heard),
                _ = clock.tick() => { pbx.send_audio(frame(number)).await; number += 1; }
                got = pbx.next() => if let Got::Audio(audio) = got {
                    heard.push((Instant::now(), audio));
                },
            }
        }
    });
    let last_before = number(&page.frame().await);
    // As a browser does for a page that is loaded again.
    page.ws.close(None).await.unwrap();
    let lost = Instant::now();
    tokio::time::sleep(Duration::from_millis(700)).await; // the page loads
    let network_is_there = Instant::now();
    let mut back = page.come_back(&gateway).await;
    assert_eq!(back.welcome["resumed"], true);
    assert_eq!(back.welcome["login"], page.welcome["login"]);
    let known = &back.welcome["calls"][0];
    assert_eq!((&known["call"], &known["state"]), (&call, &json!("open")));
    let first_after = number(&back.frame().await);
    let gap = network_is_there.elapsed();
    assert!(gap < Duration::from_millis(1500), "{gap:?}");
    let dark = lost.elapsed().as_millis() as u16 / 20;
    assert!(first_after > last_before + dark / 2, "old audio was played: {first_after}");
    println!(
        "down: {last_before} was the last, {first_after} the first, {} ms after the network came back",
        gap.as_millis()
    );
    back.speak(frame(999)).await;
    back.done(json!({ "type": "ping", "n": 1 })).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    let _ = stop.send(());
    let (mut pbx, heard) = far.await.unwrap();
    assert!(heard.iter().any(|(_, audio)| *audio == frame(999)), "the far end hears it again");
    let gaps = heard.windows(2).map(|w| w[1].0 - w[0].0).max().unwrap();
    assert!(gaps < Duration::from_millis(300), "Asterisk is sent something all the time: {gaps:?}");
    back.done(json!({ "type": "hangup", "call": call })).await;
    pbx.expect("HANGUP").await;
}

fn number(frame: &[u8]) -> u16 {
    u16::from_le_bytes([frame[0], frame[1]])
}

#[tokio::test]
async fn who_waits_for_a_lost_phone_hears_silence_and_then_music_and_at_last_the_call_ends() {
    let gateway = Gateway::with(|c| c["resume_timeout"] = json!(4), json!({})).await;
    let mut page = Page::log_in(&gateway, "2001").await;
    let (mut pbx, _) = talking(&gateway, &mut page).await;
    page.speak(frame(9)).await;
    pbx.speech().await;
    drop(page);
    let lost = Instant::now();
    pbx.speech().await;
    let music = lost.elapsed();
    assert!((1_900..3_500).contains(&music.as_millis()), "music after {music:?}");
    pbx.expect("HANGUP").await;
    let over = lost.elapsed();
    assert!((3_900..6_000).contains(&over.as_millis()), "over after {over:?}");
    pbx.hang_up().await;
    assert_eq!(gateway.exchange.phones(), 0);
    assert!(gateway.exchange.metrics.text().contains("ending=\"phone_lost\""));
}

#[tokio::test]
async fn a_page_that_is_loaded_again_while_it_rings_may_still_answer() {
    let gateway = Gateway::start().await;
    let mut page = Page::log_in(&gateway, "2001").await;
    let mut pbx = Pbx::dial(&gateway, "2001").await;
    let call = page.expect("incoming").await["call"].clone();
    page.done(json!({ "type": "ping", "n": 1 })).await;
    drop(page);
    // Without its resume id: the extension is enough.
    let mut back = loop {
        let page = Page::log_in(&gateway, "2001").await;
        if page.welcome["resumed"] == true {
            break page;
        }
    };
    assert_eq!(back.welcome["calls"][0]["state"], "ringing");
    back.done(json!({ "type": "answer", "call": call })).await;
    pbx.expect("ANSWER").await;
    back.expect("connected").await;
}

#[tokio::test]
async fn a_resume_takes_the_call_from_a_socket_that_is_not_known_to_be_dead() {
    let gateway = Gateway::start().await;
    let mut page = Page::log_in(&gateway, "2001").await;
    let (mut pbx, _) = talking(&gateway, &mut page).await;
    let mut back = page.come_back(&gateway).await; // the first is open, and frozen
    assert_eq!(back.welcome["resumed"], true);
    assert_eq!(page.closed().await.1, Some(4410));
    pbx.send_audio(frame(7)).await;
    assert_eq!(back.frame().await, frame(7));
    assert_eq!(gateway.exchange.phones(), 1);
}

#[tokio::test]
async fn a_resume_id_is_worth_nothing_for_another_extension_or_when_it_is_not_known() {
    let gateway = Gateway::start().await;
    let mut page = Page::log_in(&gateway, "2001").await;
    let (_pbx, _) = talking(&gateway, &mut page).await;
    let resume = page.welcome["resume"].clone();
    let other = Page::log_in_with(&gateway, "2002", json!({ "resume": resume })).await;
    assert_eq!(other.welcome["resumed"], false);
    assert_eq!(other.welcome["calls"], json!([]));
    let stale = json!({ "resume": "AAAAAAAAAAAAAAAAAAAAAA" });
    let third = Page::log_in_with(&gateway, "2003", stale).await;
    assert_eq!(third.welcome["resumed"], false, "a new login, and no error");
    page.expect_nothing().await;
}

#[tokio::test]
async fn a_newer_login_takes_the_call_with_the_extension_where_the_newer_wins() {
    let gateway = Gateway::with(|c| c["duplicate_login"] = json!("replace"), json!({})).await;
    let mut page = Page::log_in(&gateway, "2001").await;
    let (mut pbx, call) = talking(&gateway, &mut page).await;
    let mut lte = Page::log_in(&gateway, "2001").await;
    assert_eq!((&lte.welcome["resumed"], &lte.welcome["calls"][0]["call"]), (&json!(true), &call));
    pbx.send_audio(frame(7)).await;
    assert_eq!(lte.frame().await, frame(7));
}

#[tokio::test]
async fn answers_are_remembered_across_a_return() {
    let gateway = Gateway::start().await;
    let mut page = Page::log_in(&gateway, "2001").await;
    let (_pbx, call) = talking(&gateway, &mut page).await;
    let hold = json!({ "type": "hold", "id": "h1", "call": call, "on": true });
    page.say(hold.clone()).await;
    page.answer(&json!("h1")).await;
    page.done(json!({ "type": "hold", "call": call, "on": false })).await;
    let mut back = page.come_back(&gateway).await;
    back.say(hold).await;
    assert_eq!(back.answer(&json!("h1")).await["type"], "ok");
    back.expect_nothing().await; // and nothing is held
}

#[tokio::test]
async fn logout_ends_all_calls_at_once() {
    let gateway = Gateway::start().await;
    let mut page = Page::log_in(&gateway, "2001").await;
    let (mut pbx, _) = talking(&gateway, &mut page).await;
    page.done(json!({ "type": "logout" })).await;
    assert_eq!(page.closed().await.1, Some(1000));
    pbx.expect("HANGUP").await;
    assert_eq!(gateway.exchange.phones(), 0);
}

// === stopping

#[tokio::test]
async fn a_gateway_that_stops_says_bye_and_when_to_come_again() {
    let mut gateway = Gateway::start().await;
    let mut page = Page::log_in(&gateway, "2001").await;
    gateway.control.drain.cancel();
    let (said, code) = page.closed().await;
    let said = said.unwrap();
    assert_eq!(
        (&said["type"], &said["reason"], code),
        (&json!("bye"), &json!("restart"), Some(1012))
    );
    assert!(said["retry_after_ms"].as_u64().unwrap() > 0);
    gateway.stopped().await;
}
