//! Logging in, tokens, requests and their answers, and a gateway that stops.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{NOBODY, PROTOCOL, talking};
use crate::support::{Gateway, SECRET, frame, sign, token, v1::Page};

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
    let expired = sign(&json!({ "ext": "2001", "exp": 1000 }), SECRET);
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
    let short = sign(&json!({ "ext": "2001", "exp": now + 60 }), SECRET);
    let mut page = Page::log_in_with(&gateway, "2001", json!({ "token": short })).await;
    let told = page.expect("token_expiring").await["ms"].as_u64().unwrap();
    assert!((1..=60_000).contains(&told), "{told}");
}

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
