//! A page that is lost and comes back.

use std::time::{Duration, Instant};

use serde_json::json;

use super::talking;
use crate::support::{Gateway, Got, Pbx, frame, v1::Page};

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
