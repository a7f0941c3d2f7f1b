//! Call control, against a fake manager: who calls, dialling out, keys, transfers, and what happens
//! when the manager is rude, slow or gone. The phone here is a mailbox: what phones say over their
//! sockets is tested elsewhere.

use std::{future::poll_fn, time::Duration};

use crate::support::{
    Gateway, Pbx,
    manager::{Action, Manager, Session},
    media_start, soon,
};
use goastgateway::{
    call::{
        CallId, Extension, LoginId,
        ending::Ending,
        info::{News, Progress},
        record::Caller,
    },
    exchange::{
        PHONE_MAILBOX, PhoneHandle, Registration,
        ask::{Answer, Answered, Ask, Dial, Refused, What, Why},
        desk::Features,
        line::{AudioLine, Offer, PassedOn, PhoneCommand, Stopped},
    },
    net::mailbox,
    report::feed::{Happened, What as Happening},
};
use serde_json::json;
use tokio_util::sync::CancellationToken;

const OUR_CHANNEL: &str = "WebSocket/gw/0x7f01";

/// A phone's task, as the exchange sees it.
struct Desk {
    login: Registration,
    commands: mailbox::Sender<PhoneCommand>,
    mailbox: mailbox::Receiver<PhoneCommand>,
    requests: u64,
}

impl Desk {
    fn new(gateway: &Gateway, ext: &str) -> Self {
        let (commands, mailbox) = mailbox::mailbox(PHONE_MAILBOX);
        let login = gateway.exchange.next_login();
        let handle = PhoneHandle {
            login,
            commands: commands.clone(),
            kicked: CancellationToken::new(),
            since: goastgateway::report::time::Utc::now(),
            resume: None,
            device: None,
        };
        let login = gateway.exchange.log_in(&Extension::from(ext), handle, false).expect("free");
        Self { login, commands, mailbox, requests: 0 }
    }

    async fn next(&mut self) -> PhoneCommand {
        loop {
            let command = soon("something for the phone", self.mailbox.recv()).await.unwrap();
            if !matches!(command, PhoneCommand::FeaturesChanged) {
                return command;
            }
        }
    }

    fn ask(&mut self, gateway: &Gateway, what: What) {
        self.requests += 1;
        let answer = Answer::reserve(self.requests, &self.commands).expect("room");
        let (ext, login): (Extension, LoginId) = (self.login.ext.clone(), self.login.login);
        gateway.exchange.desk.ask(Ask { ext, login, what, answer });
    }

    /// Takes a place for a call and asks for it.
    fn dial(&mut self, gateway: &Gateway, to: &str) -> CallId {
        self.dial_with(gateway, to, Vec::new())
    }

    fn dial_with(
        &mut self,
        gateway: &Gateway,
        to: &str,
        variables: Vec<(String, String)>,
    ) -> CallId {
        let call = CallId::from_uuid(uuid::Uuid::new_v4());
        gateway.exchange.dial(&self.login.ext, self.login.login, call, to).expect("room");
        let to = to.to_owned();
        self.ask(gateway, What::Dial(Dial { call, to, variables, consults_for: None }));
        call
    }

    async fn answer(&mut self) -> Result<(), Refused> {
        match self.next().await {
            PhoneCommand::Answered(answered) => {
                let Answered { result, .. } = *answered;
                result
            }
            other => panic!("an answer was expected, came {other:?}"),
        }
    }

    async fn refused(&mut self) -> Refused {
        self.answer().await.expect_err("a refusal")
    }

    async fn offer(&mut self) -> Offer {
        match self.next().await {
            PhoneCommand::Ring(offer) => *offer,
            other => panic!("a call was expected, came {other:?}"),
        }
    }

    async fn connected(&mut self) -> AudioLine {
        match self.next().await {
            PhoneCommand::Connected(connected) => connected.1,
            other => panic!("the audio was expected, came {other:?}"),
        }
    }

    async fn over(&mut self) -> Stopped {
        match self.next().await {
            PhoneCommand::Over(over) => over.1,
            other => panic!("the end was expected, came {other:?}"),
        }
    }

    /// A transfer has succeeded: the answer and the end, which come by two ways and so in any order.
    async fn is_passed_on(&mut self) {
        let (mut answered, mut over) = (None, None);
        for _ in 0..2 {
            match self.next().await {
                PhoneCommand::Answered(a) => answered = Some(a.result),
                PhoneCommand::Over(o) => over = Some(o.1.why),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!((answered, over), (Some(Ok(())), Some(Ending::Transferred)));
    }
}

/// What becomes known of a call.
async fn news(offer: &mut Offer) -> News {
    soon("news of the call", poll_fn(|cx| offer.news.poll_take(cx))).await
}

async fn until_features(gateway: &Gateway, wanted: Features) {
    soon("the features", async {
        while gateway.exchange.desk.features() != wanted {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

const ALL: Features = Features { dial: true, dtmf: true, transfer: true };

async fn house() -> (Manager, Gateway, Session, Desk) {
    house_with(json!({})).await
}

async fn house_with(dial: serde_json::Value) -> (Manager, Gateway, Session, Desk) {
    let manager = Manager::new().await;
    let gateway = manager.gateway_with(dial).await;
    let session = manager.accept(&gateway).await;
    until_features(&gateway, ALL).await;
    let desk = Desk::new(&gateway, "2001");
    (manager, gateway, session, desk)
}

/// Asterisk opens the leg that was asked for.
async fn leg(gateway: &Gateway, originate: &Action) -> Pbx {
    let mut pbx = Pbx::connect(gateway).await;
    let (name, value) = originate.get("Variable").split_once('=').unwrap();
    let mut start = media_start(json!({ name: value }));
    start["channel"] = json!(OUR_CHANNEL);
    start["channel_id"] = json!(originate.get("ChannelId"));
    pbx.send(start.to_string()).await;
    pbx
}

/// A call that has been dialled and whose leg is there.
async fn dialled(
    gateway: &Gateway,
    session: &mut Session,
    desk: &mut Desk,
) -> (Pbx, Offer, String) {
    desk.dial(gateway, "0312345678");
    let originate = session.action().await;
    session.answer(&originate, "Success", "").await;
    desk.answer().await.unwrap();
    let mut pbx = leg(gateway, &originate).await;
    let offer = desk.offer().await;
    desk.connected().await;
    pbx.expect("ANSWER").await;
    (pbx, offer, originate.get("ChannelId").to_owned())
}

/// A call that Asterisk has brought, and that the phone has answered.
async fn talking(gateway: &Gateway, desk: &mut Desk) -> (Pbx, Offer) {
    let mut pbx = Pbx::connect(gateway).await;
    let mut start = media_start(json!({ "WS_EXTEN": "2001" }));
    start["channel"] = json!(OUR_CHANNEL);
    start["channel_id"] = json!("1.2");
    pbx.send(start.to_string()).await;
    let mut offer = desk.offer().await;
    offer.reporter.answered();
    desk.connected().await;
    pbx.expect("ANSWER").await;
    (pbx, offer)
}

#[tokio::test]
async fn who_calls_is_shown_from_the_managers_events() {
    let (_manager, gateway, mut session, mut desk) = house().await;
    session
        .event(
            "DialBegin",
            &[
                ("Uniqueid", "1.1"),
                ("DestChannel", OUR_CHANNEL),
                ("DestUniqueid", "1.2"),
                ("DestConnectedLineNum", "0312345678"),
                ("DestConnectedLineName", "Alice"),
            ],
        )
        .await;
    let (_pbx, mut offer) = {
        let mut pbx = Pbx::connect(&gateway).await;
        let mut start = media_start(json!({ "WS_EXTEN": "2001" }));
        start["channel_id"] = json!("1.2");
        pbx.send(start.to_string()).await;
        (pbx, desk.offer().await)
    };
    let asked = session.any_action().await;
    assert_eq!(asked.get("Variable"), "CONNECTEDLINE(num-pres)");
    session.answer(&asked, "Success", "Value: allowed_not_screened\r\n").await;
    assert_eq!(news(&mut offer).await.caller, Some(Caller::new("0312345678", "Alice")));
    // A later word of another one is taken, too; of one who hides it isn't.
    for (number, presentation) in [("0900", "prohib_passed_screen"), ("2002", "allowed")] {
        let fields = [
            ("Channel", OUR_CHANNEL),
            ("Uniqueid", "1.2"),
            ("ConnectedLineNum", number),
            ("ConnectedLineName", "Bob"),
        ];
        session.event("NewConnectedLine", &fields).await;
        let asked = session.any_action().await;
        session.answer(&asked, "Success", &format!("Value: {presentation}\r\n")).await;
    }
    assert_eq!(news(&mut offer).await.caller, Some(Caller::new("2002", "Bob")));
}

#[tokio::test]
async fn a_phone_dials_out_and_learns_how_far_it_is() {
    let (_manager, gateway, mut session, mut desk) =
        house_with(json!({ "variables": ["__CRM_ID"], "caller_id": "Shop <{extension}>" })).await;
    let variables = vec![("CRM_ID".to_owned(), "4,711".to_owned())];
    let call = desk.dial_with(&gateway, "03-1234 5678", variables);
    let originate = session.action().await;
    assert_eq!(originate.name(), "Originate");
    for (key, value) in [
        ("Channel", "WebSocket/gw/f(json)c(slin16)n"),
        ("Context", "from-phones"),
        ("Exten", "0312345678"),
        ("CallerID", "Shop <2001>"),
        ("ChannelId", &call.to_string()),
    ] {
        assert_eq!(originate.get(key), value);
    }
    assert!(originate.0.contains("Variable: __CRM_ID=4\\,711\n"), "{originate:?}");
    session.answer(&originate, "Success", "").await;
    desk.answer().await.unwrap();
    let mut pbx = leg(&gateway, &originate).await;
    let mut offer = desk.offer().await;
    assert!(offer.direct && offer.call == call);
    desk.connected().await;
    pbx.expect("ANSWER").await;
    let id = call.to_string();
    let far = [("Uniqueid", id.as_str()), ("DestUniqueid", "2.1"), ("DestChannel", "PJSIP/x")];
    session.event("DialBegin", &far).await;
    session.event("DialState", &[("Uniqueid", &id), ("DialStatus", "RINGING")]).await;
    assert_eq!(news(&mut offer).await.progress, Some(Progress::Alerting));
    session.event("DialEnd", &[("Uniqueid", &id), ("DialStatus", "ANSWER")]).await;
    assert_eq!(news(&mut offer).await.progress, Some(Progress::Answered));
    pbx.hang_up().await;
    assert_eq!(desk.over().await.why, Ending::CallerHungUp);
}

#[tokio::test]
async fn whoever_listens_hears_a_dialled_call_from_the_far_ends_answer_on() {
    let (_manager, gateway, mut session, mut desk) = house().await;
    let mut feed = gateway.exchange.feed.subscribe("test");
    let (mut pbx, mut offer, id) = dialled(&gateway, &mut session, &mut desk).await;
    // Asterisk's leg is up, and the far end rings: there is nothing to listen to yet.
    let far = [("Uniqueid", id.as_str()), ("DestUniqueid", "2.1"), ("DestChannel", "PJSIP/x")];
    session.event("DialBegin", &far).await;
    session.event("DialState", &[("Uniqueid", &id), ("DialStatus", "RINGING")]).await;
    assert_eq!(news(&mut offer).await.progress, Some(Progress::Alerting));
    assert!(gateway.exchange.taps.list().is_empty());
    session.event("DialEnd", &[("Uniqueid", &id), ("DialStatus", "ANSWER")]).await;
    assert_eq!(news(&mut offer).await.progress, Some(Progress::Answered));
    let calls = gateway.exchange.taps.list();
    assert_eq!((calls.len(), calls[0].facts.extension.as_str()), (1, "2001"));
    let answered: std::time::SystemTime = calls[0].answered;
    pbx.hang_up().await;
    desk.over().await;
    let row = soon("the call's end", async {
        loop {
            if let Some(Happened::Call(call)) = feed.next().await
                && call.what == Happening::Ended
            {
                return call.call;
            }
        }
    })
    .await;
    let of_row = row.answered.expect("answered").millis();
    let of_tap = answered.duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as i64;
    assert!((of_row - of_tap).abs() < 1_000, "{of_row} {of_tap}");
}

#[tokio::test]
async fn a_dialled_call_ends_for_what_the_far_end_did_even_if_the_close_comes_first() {
    for (status, cause, why) in [
        ("BUSY", "17", Ending::Busy),
        ("NOANSWER", "16", Ending::NoAnswer),
        ("NOANSWER", "1", Ending::NumberUnknown),
        ("NOANSWER", "21", Ending::Declined),
        ("CONGESTION", "34", Ending::Congested),
    ] {
        let (_manager, gateway, mut session, mut desk) = house().await;
        let (mut pbx, _offer, id) = dialled(&gateway, &mut session, &mut desk).await;
        session.event("DialEnd", &[("Uniqueid", &id), ("DialStatus", status)]).await;
        pbx.hang_up().await;
        session.event("Hangup", &[("Uniqueid", &id), ("Cause", cause)]).await;
        let over = desk.over().await;
        assert_eq!((over.why, over.cause), (why, cause.parse().ok()), "{status} {cause}");
    }
}

#[tokio::test]
async fn what_may_not_be_dialled_is_refused_before_asterisk_hears_of_it() {
    let (_manager, gateway, mut session, mut desk) =
        house_with(json!({ "allow": "[0-9]{3,4}", "per_hour": 2 })).await;
    for (to, why) in [
        ("0900123456", Why::Forbidden),
        ("12", Why::Forbidden),
        ("123\r\nAction: Logoff", Why::BadNumber),
        ("123&Local/456", Why::BadNumber),
        ("${SHELL(id)}", Why::BadNumber),
        ("123@internal", Why::BadNumber),
        ("", Why::BadNumber),
    ] {
        desk.dial(&gateway, to);
        assert_eq!(desk.refused().await.why, why, "{to:?}");
        desk.over().await; // and the phone is free again
    }
    let unknown = vec![("CHANNEL(accountcode)".to_owned(), "x".to_owned())];
    desk.dial_with(&gateway, "1234", unknown);
    assert_eq!(desk.refused().await.why, Why::Forbidden);
    desk.over().await;
    // One is left in this hour.
    desk.dial(&gateway, "1234");
    let originate = session.action().await;
    session.refuse(&originate, "Extension does not exist.").await;
    assert_eq!(desk.refused().await.why, Why::BadNumber);
    assert_eq!(desk.over().await.why, Ending::NumberUnknown);
    desk.dial(&gateway, "1234");
    let refused = desk.refused().await;
    assert_eq!(refused.why, Why::RateLimited);
    assert!(refused.retry_after.is_some_and(|wait| wait > Duration::from_secs(3500)));
}

#[tokio::test]
async fn a_leg_that_nobody_asked_for_or_waits_for_is_hung_up_unanswered() {
    let (_manager, gateway, mut session, mut desk) = house().await;
    let mut pbx = Pbx::connect(&gateway).await;
    let stranger = json!({ "GOASTGATEWAY_CALL": uuid::Uuid::new_v4().to_string() });
    pbx.send(media_start(stranger).to_string()).await;
    pbx.expect("HANGUP").await;
    // The phone gives up before its leg is there.
    let call = desk.dial(&gateway, "1234");
    let originate = session.action().await;
    assert!(gateway.exchange.calls.failed(call, Ending::PhoneHungUp.into()));
    session.answer(&originate, "Success", "").await;
    let mut pbx = leg(&gateway, &originate).await;
    pbx.expect("HANGUP").await;
}

#[tokio::test]
async fn a_leg_that_asterisk_cannot_open_ends_the_call() {
    let (_manager, gateway, mut session, mut desk) = house().await;
    let call = desk.dial(&gateway, "1234");
    let originate = session.action().await;
    session.answer(&originate, "Success", "").await;
    desk.answer().await.unwrap();
    let fields = [("Response", "Failure"), ("Reason", "0"), ("Uniqueid", &call.to_string())];
    session.event("OriginateResponse", &fields).await;
    assert_eq!(desk.over().await.why, Ending::Failed);
}

#[tokio::test]
async fn keys_are_sent_one_after_the_other_and_answered_when_the_last_is_sent() {
    let (_manager, gateway, mut session, mut desk) = house().await;
    let (_pbx, offer) = talking(&gateway, &mut desk).await;
    desk.ask(&gateway, What::Dtmf { call: offer.call, digits: "1w#".to_owned() });
    desk.ask(&gateway, What::Dtmf { call: offer.call, digits: "A".to_owned() });
    let mut keys = Vec::new();
    for _ in 0..3 {
        let key = session.action().await;
        assert_eq!((key.name(), key.get("Receive")), ("PlayDTMF", "true"));
        assert_eq!(key.get("Channel"), "1.2");
        keys.push(key.get("Digit").to_owned());
        session.answer(&key, "Success", "").await;
    }
    assert_eq!(keys, ["1", "#", "A"]);
    desk.answer().await.unwrap();
    desk.answer().await.unwrap();
    for bad in ["", "x", "1\r\n", &"1".repeat(65)] {
        desk.ask(&gateway, What::Dtmf { call: offer.call, digits: bad.to_owned() });
        assert_eq!(desk.refused().await.why, Why::BadNumber);
    }
}

#[tokio::test]
async fn a_call_is_passed_on_only_to_a_number_that_exists_and_may_be_dialled() {
    let (_manager, gateway, mut session, mut desk) = house().await;
    let (mut pbx, offer) = talking(&gateway, &mut desk).await;
    let transfer = |to: &str| What::Transfer { call: offer.call, to: to.to_owned() };
    desk.ask(&gateway, transfer("not&allowed"));
    assert_eq!(desk.refused().await.why, Why::BadNumber);
    desk.ask(&gateway, transfer("2003"));
    let exists = session.action().await;
    assert_eq!(exists.get("Variable"), "DIALPLAN_EXISTS(from-phones,2003,1)");
    session.answer(&exists, "Success", "Value: 0\r\n").await;
    assert_eq!(desk.refused().await.why, Why::BadNumber);
    desk.ask(&gateway, transfer("2003"));
    let exists = session.action().await;
    session.answer(&exists, "Success", "Value: 1\r\n").await;
    let blind = session.action().await;
    assert_eq!((blind.name(), blind.get("Channel")), ("BlindTransfer", "1.2"));
    assert_eq!((blind.get("Context"), blind.get("Exten")), ("from-phones", "2003"));
    session.refuse(&blind, "Transfer failed").await;
    assert_eq!(desk.refused().await.why, Why::Failed);
    desk.ask(&gateway, transfer("2003"));
    let exists = session.action().await;
    session.answer(&exists, "Success", "Value: 1\r\n").await;
    let blind = session.action().await;
    // As Asterisk does: the leg closes before the answer.
    pbx.hang_up().await;
    session.answer(&blind, "Success", "").await;
    desk.is_passed_on().await;
}

/// Asterisk takes this call's blind transfer, and its leg is closed; gives the desk its two words.
async fn passed_on(session: &mut Session, desk: &mut Desk, pbx: &mut Pbx) {
    let exists = session.action().await;
    session.answer(&exists, "Success", "Value: 1\r\n").await;
    let blind = session.action().await;
    assert_eq!(blind.name(), "BlindTransfer");
    let ids = [("TransfererUniqueid", "1.2"), ("TransfereeUniqueid", "1.1"), ("Result", "Success")];
    session.event("BlindTransfer", &ids).await;
    pbx.hang_up().await;
    session.answer(&blind, "Success", "").await;
    desk.is_passed_on().await;
}

#[tokio::test]
async fn a_phone_learns_what_became_of_whom_it_has_passed_on() {
    for (status, cause, result) in [
        ("ANSWER", "16", Ok(())),
        ("BUSY", "17", Err(Ending::Busy)),
        ("NOANSWER", "16", Err(Ending::NoAnswer)),
        ("CANCEL", "16", Err(Ending::CallerGaveUp)),
    ] {
        let (_manager, gateway, mut session, mut desk) = house().await;
        let (mut pbx, offer) = talking(&gateway, &mut desk).await;
        desk.ask(&gateway, What::Transfer { call: offer.call, to: "2003".to_owned() });
        passed_on(&mut session, &mut desk, &mut pbx).await;
        let dials = [("Uniqueid", "1.1"), ("DestUniqueid", "1.3"), ("DestChannel", "PJSIP/x")];
        session.event("DialBegin", &dials).await;
        session.event("DialEnd", &[("Uniqueid", "1.1"), ("DialStatus", status)]).await;
        session.event("Hangup", &[("Uniqueid", "1.1"), ("Cause", cause)]).await;
        let PhoneCommand::PassedOn(told) = desk.next().await else { panic!() };
        assert_eq!(*told, PassedOn { call: offer.call, result }, "{status}");
    }
}

#[tokio::test]
async fn a_phone_that_has_fallen_behind_learns_what_became_of_its_transfer_all_the_same() {
    let (_manager, gateway, mut session, mut desk) = house().await;
    let (mut pbx, offer) = talking(&gateway, &mut desk).await;
    desk.ask(&gateway, What::Transfer { call: offer.call, to: "2003".to_owned() });
    passed_on(&mut session, &mut desk, &mut pbx).await;
    while desk.commands.try_send(PhoneCommand::DevicesChanged).is_ok() {}
    session.event("Hangup", &[("Uniqueid", "1.1"), ("Cause", "17")]).await;
    let told = loop {
        match desk.next().await {
            PhoneCommand::PassedOn(told) => break told,
            PhoneCommand::DevicesChanged => {}
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(told.call, offer.call);
    assert!(told.result.is_err());
}

#[tokio::test]
async fn what_the_manager_did_not_see_of_a_transfer_is_not_guessed() {
    let (manager, gateway, mut session, mut desk) = house().await;
    let (mut pbx, offer) = talking(&gateway, &mut desk).await;
    desk.ask(&gateway, What::Transfer { call: offer.call, to: "2003".to_owned() });
    passed_on(&mut session, &mut desk, &mut pbx).await;
    drop(session);
    until_features(&gateway, Features::default()).await;
    let mut session = manager.accept(&gateway).await;
    until_features(&gateway, ALL).await;
    session.event("Hangup", &[("Uniqueid", "1.1"), ("Cause", "16")]).await;
    // Whatever is told next, it isn't that.
    desk.dial(&gateway, "1234");
    let originate = session.action().await;
    session.refuse(&originate, "no").await;
    assert_eq!(desk.refused().await.why, Why::Failed);
}

#[tokio::test]
async fn two_calls_are_joined_and_that_is_told_at_once() {
    let (_manager, gateway, mut session, mut desk) = house().await;
    let (_one, first) = talking(&gateway, &mut desk).await;
    let (_two, second, _) = dialled(&gateway, &mut session, &mut desk).await;
    desk.ask(&gateway, What::Join { call: first.call, with: second.call });
    for peer in ["PJSIP/alice-1", "PJSIP/bob-1"] {
        let asked = session.any_action().await;
        assert_eq!(asked.get("Variable"), "BRIDGEPEER");
        session.answer(&asked, "Success", &format!("Value: {peer}\r\n")).await;
    }
    let bridge = session.action().await;
    assert_eq!(bridge.name(), "Bridge");
    assert_eq!((bridge.get("Channel1"), bridge.get("Channel2")), ("PJSIP/alice-1", "PJSIP/bob-1"));
    session.answer(&bridge, "Success", "").await;
    desk.answer().await.unwrap();
    let PhoneCommand::PassedOn(told) = desk.next().await else { panic!() };
    assert_eq!(*told, PassedOn { call: first.call, result: Ok(()) });
}

#[tokio::test]
async fn a_transfer_that_failed_is_not_the_reason_of_a_later_end() {
    let (_manager, gateway, mut session, mut desk) = house().await;
    let (mut pbx, offer) = talking(&gateway, &mut desk).await;
    desk.ask(&gateway, What::Transfer { call: offer.call, to: "2003".to_owned() });
    let exists = session.action().await;
    session.answer(&exists, "Success", "Value: \r\n").await; // func_dialplan is not loaded
    let blind = session.action().await;
    session.refuse(&blind, "Transfer failed").await;
    assert_eq!(desk.refused().await.why, Why::Failed);
    pbx.hang_up().await;
    assert_eq!(desk.over().await.why, Ending::CallerHungUp);
}

#[tokio::test]
async fn a_transfer_in_the_moment_of_the_answer_waits_until_both_ends_are_joined() {
    let (_manager, gateway, mut session, mut desk) = house().await;
    let (mut pbx, offer) = talking(&gateway, &mut desk).await;
    desk.ask(&gateway, What::Transfer { call: offer.call, to: "2003".to_owned() });
    let exists = session.action().await;
    session.answer(&exists, "Success", "Value: 1\r\n").await;
    for _ in 0..2 {
        let blind = session.action().await;
        assert_eq!(blind.name(), "BlindTransfer");
        session.refuse(&blind, "Transfer invalid").await;
    }
    let blind = session.action().await;
    session.answer(&blind, "Success", "").await;
    pbx.hang_up().await;
    desk.is_passed_on().await;
}

#[tokio::test]
async fn the_far_ends_hold_is_shown() {
    let (_manager, gateway, mut session, mut desk) = house().await;
    let (_pbx, mut offer) = talking(&gateway, &mut desk).await;
    let enters = |id, n| [("BridgeUniqueid", "b"), ("BridgeNumChannels", n), ("Uniqueid", id)];
    session.event("BridgeEnter", &enters("1.2", "1")).await;
    session.event("BridgeEnter", &enters("1.1", "2")).await;
    let asked = session.any_action().await;
    assert_eq!((asked.get("Variable"), asked.get("Channel")), ("BRIDGEPEER", "1.2"));
    session.answer(&asked, "Success", "Value: PJSIP/alice-1\r\n").await;
    // The answer is taken in before what comes after it, or this event would be of nobody's.
    let hold = async {
        loop {
            session.event("Hold", &[("Channel", "PJSIP/alice-1"), ("Uniqueid", "1.1")]).await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::select! {
        news = news(&mut offer) => assert_eq!(news.held_by_far, Some(true)),
        () = hold => {}
    }
    session.event("Unhold", &[("Channel", "PJSIP/alice-1"), ("Uniqueid", "1.1")]).await;
    assert_eq!(news(&mut offer).await.held_by_far, Some(false));
}

#[tokio::test]
async fn without_the_manager_requests_are_refused_by_name_and_features_say_so() {
    let (manager, gateway, session, mut desk) = house().await;
    let (_pbx, offer) = talking(&gateway, &mut desk).await;
    drop(session);
    until_features(&gateway, Features::default()).await;
    desk.ask(&gateway, What::Dtmf { call: offer.call, digits: "1".to_owned() });
    assert_eq!(desk.refused().await.why, Why::Unavailable);
    // And it is all there again by itself, for the same call.
    let mut session = manager.accept(&gateway).await;
    until_features(&gateway, ALL).await;
    desk.ask(&gateway, What::Dtmf { call: offer.call, digits: "1".to_owned() });
    let key = session.action().await;
    session.answer(&key, "Success", "").await;
    desk.answer().await.unwrap();
}

#[tokio::test]
async fn an_action_whose_answer_is_lost_is_unknown_and_is_not_sent_again() {
    let (manager, gateway, mut session, mut desk) = house().await;
    desk.dial(&gateway, "1234");
    assert_eq!(session.action().await.name(), "Originate");
    drop(session);
    assert_eq!(desk.refused().await.why, Why::Timeout);
    assert_eq!(desk.over().await.why, Ending::Failed);
    let mut session = manager.accept(&gateway).await;
    until_features(&gateway, ALL).await;
    let call = desk.dial(&gateway, "5678");
    let originate = session.action().await;
    assert_eq!((originate.get("Exten"), originate.get("ChannelId")), ("5678", &*call.to_string()));
}

#[tokio::test]
async fn a_manager_that_answers_nothing_costs_a_request_its_time_and_no_more() {
    let (_manager, gateway, mut session, mut desk) = house().await;
    desk.dial(&gateway, "1234");
    session.action().await;
    assert_eq!(desk.refused().await.why, Why::Timeout);
}

#[tokio::test]
async fn a_user_who_may_not_is_told_before_anything_is_tried() {
    let manager = Manager::new().await;
    let gateway = manager.gateway().await;
    let _session = manager.accept_with(&gateway, &["PlayDTMF", "Hangup"]).await;
    let wanted = Features { dial: false, dtmf: true, transfer: false };
    until_features(&gateway, wanted).await;
    let mut desk = Desk::new(&gateway, "2001");
    desk.dial(&gateway, "1234");
    let refused = desk.refused().await;
    assert_eq!(refused.why, Why::Unavailable);
    assert!(refused.message.contains("Originate"), "{}", refused.message);
}

#[tokio::test]
async fn a_flood_of_other_peoples_events_holds_nothing_up() {
    let (_manager, gateway, mut session, mut desk) = house().await;
    let event = "Event: Newexten\r\nPrivilege: dialplan,all\r\nChannel: PJSIP/x\r\n\r\n\
                 Event: Hangup\r\nUniqueid: 9.9\r\nCause: 16\r\n\r\n";
    for _ in 0..100 {
        session.write(&event.repeat(200)).await;
    }
    desk.dial(&gateway, "1234");
    let originate = session.action().await;
    session.answer(&originate, "Success", "").await;
    desk.answer().await.unwrap();
}

#[tokio::test]
async fn garbage_ends_the_connection_and_a_new_one_is_made() {
    for garbage in ["X".repeat(64 * 1024), "Event: Hangup\r\n".repeat(10_000)] {
        let (manager, gateway, mut session, mut desk) = house().await;
        session.write(&garbage).await;
        until_features(&gateway, Features::default()).await;
        let mut session = manager.accept(&gateway).await;
        until_features(&gateway, ALL).await;
        desk.dial(&gateway, "1234");
        assert_eq!(session.action().await.name(), "Originate");
    }
}
