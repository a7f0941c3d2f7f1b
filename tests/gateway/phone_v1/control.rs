//! Dialling, keys and transfers, with the test as call control.

use std::time::Duration;

use goastgateway::{
    call::{LoginId, ending::Ending, info::Progress},
    exchange::{
        ask::{Refused, What, Why},
        calls::CALL_VARIABLE,
        desk::{Features, ToDesk},
        line::{CallEvent, PassedOn, Stopped},
    },
};
use serde_json::json;
use tokio::sync::mpsc;

use super::{held, id, talking};
use crate::support::{Gateway, Pbx, frame, media_start, soon, v1::Page};

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

#[tokio::test]
async fn what_became_of_a_transfer_is_told_after_the_calls_own_end() {
    let gateway = Gateway::start().await;
    let mut page = Page::log_in(&gateway, "2001").await;
    let login = LoginId(page.welcome["login"].as_u64().unwrap());
    let (mut pbx, call) = talking(&gateway, &mut page).await;
    let passed = |result| {
        let place = gateway.exchange.outcome_place(&"2001".into(), login).expect("room");
        place.tell(PassedOn { call: id(&call), result });
    };
    // Asterisk was quick: the far end is with somebody else before our leg is closed.
    passed(Ok(()));
    page.expect_nothing().await;
    gateway.exchange.calls.tell(id(&call), CallEvent::ClosesFor(Ending::Transferred, None));
    tokio::time::sleep(Duration::from_millis(50)).await; // as above
    pbx.hang_up().await;
    assert_eq!(page.expect("ended").await["reason"], "transferred");
    let told = json!({ "type": "transfer", "call": call, "state": "completed" });
    assert_eq!(page.expect("transfer").await, told);
    // Or it took its time.
    passed(Err(Ending::Busy));
    let told = json!({ "type": "transfer", "call": call, "state": "failed", "reason": "busy" });
    assert_eq!(page.expect("transfer").await, told);
}
