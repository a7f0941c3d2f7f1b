//! What is done in a call, and with two.

use goastgateway::exchange::line::CallEvent;
use serde_json::json;

use super::{held, id, talking};
use crate::support::{Gateway, Got, Pbx, frame, v1::Page};

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
