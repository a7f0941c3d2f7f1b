//! What the Go gateway gets wrong, and this one does not: a test for each, named after it.

use std::time::{Duration, Instant};

use crate::support::{Gateway, Got, Pbx, Phone, frame, media_start, soon, talking};
use bytes::Bytes;
use futures_util::SinkExt;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

fn groups(strategy: &str, timeout: f64) -> Value {
    json!({ "G01": { "strategy": strategy, "members": ["201", "202", "203"], "timeout": timeout } })
}

// === logins

#[tokio::test]
async fn a_second_login_gets_busy_while_the_first_is_alive() {
    let gateway = Gateway::start().await;
    let mut first = Phone::ready(&gateway, "2001").await;
    // The first has to read, to answer the ping.
    let alive = tokio::spawn(async move {
        first.next().await;
    });
    let mut second = Phone::log_in(&gateway, "2001").await;
    second.expect("BUSY").await;
    second.closed().await;
    assert!(!alive.is_finished(), "the first was told nothing");
    assert_eq!(gateway.exchange.phones(), 1);
    alive.abort();
}

#[tokio::test]
async fn a_login_whose_connection_is_dead_does_not_lock_its_owner_out() {
    let gateway = Gateway::start().await;
    let dead = Phone::ready(&gateway, "2001").await; // never read from again: no pong
    let began = Instant::now();
    let mut second = Phone::log_in(&gateway, "2001").await;
    second.expect_nothing().await;
    assert!(began.elapsed() >= Duration::from_secs(1), "the first had its second");
    assert_eq!(gateway.exchange.phones(), 1);
    let mut pbx = Pbx::dial(&gateway, "2001").await;
    second.expect("RINGING").await;
    second.say("ANSWER").await;
    pbx.expect("ANSWER").await;
    drop(dead);
    second.say("HANGUP").await;
    pbx.expect("HANGUP").await;
}

#[tokio::test]
async fn a_phone_that_answers_slowly_is_not_evicted_by_a_crowd_of_second_logins() {
    let gateway = Gateway::start().await;
    let mut first = Phone::ready(&gateway, "2001").await;
    let crowd = (0..24).map(|_| async {
        let mut phone = Phone::log_in(&gateway, "2001").await;
        phone.expect("BUSY").await;
    });
    // The pong comes late, as over a slow network, and only once: for all of them.
    let slow = async {
        tokio::time::sleep(Duration::from_millis(400)).await;
        tokio::time::timeout(Duration::from_secs(3), first.next()).await
    };
    let (_, told) = tokio::join!(futures_util::future::join_all(crowd), slow);
    assert!(told.is_err(), "the first was told {told:?}");
    assert_eq!(gateway.exchange.phones(), 1);
}

#[tokio::test]
async fn a_newer_login_replaces_the_older_where_it_is_configured() {
    let gateway = Gateway::with(|c| c["duplicate_login"] = json!("replace"), json!({})).await;
    let mut first = Phone::ready(&gateway, "2001").await;
    let mut second = Phone::log_in(&gateway, "2001").await;
    first.expect("KICKED").await;
    first.closed().await;
    second.expect_nothing().await;
    assert_eq!(gateway.exchange.phones(), 1);
}

#[tokio::test]
async fn of_many_logins_at_once_exactly_one_holds_the_extension() {
    let gateway = Gateway::start().await;
    let logins = (0..12).map(|_| async {
        let mut phone = Phone::log_in(&gateway, "2001").await;
        phone.say("ANSWER").await;
        let first = phone.text().await;
        let held = first == "HANGUP";
        // Whoever holds it keeps reading, so that it answers pings.
        tokio::spawn(async move { while matches!(phone.next().await, Got::Text(_)) {} });
        held
    });
    let held = futures_util::future::join_all(logins).await;
    assert_eq!(held.iter().filter(|h| **h).count(), 1);
}

// === the caller gives up

async fn rings_and_stops(gateway: &Gateway, dialled: &str, ringing: &mut [Phone]) {
    let mut pbx = Pbx::dial(gateway, dialled).await;
    for phone in ringing.iter_mut() {
        phone.expect("RINGING").await;
    }
    let began = Instant::now();
    pbx.hang_up().await;
    for phone in ringing.iter_mut() {
        phone.expect("HANGUP").await;
    }
    // 200 ms are promised; a busy test machine gets some more. It is a message away, no timer.
    assert!(began.elapsed() < Duration::from_secs(1));
    for phone in ringing {
        phone.expect_nothing().await;
    }
}

#[tokio::test]
async fn a_single_phone_stops_ringing_when_the_caller_gives_up() {
    let gateway = Gateway::start().await;
    let phone = Phone::ready(&gateway, "2001").await;
    rings_and_stops(&gateway, "2001", &mut [phone]).await;
}

#[tokio::test]
async fn ringall_stops_ringing_when_the_caller_gives_up() {
    let gateway = Gateway::with_groups(groups("ringall", 30.0)).await;
    let mut phones = Vec::new();
    for ext in ["201", "202", "203"] {
        phones.push(Phone::ready(&gateway, ext).await);
    }
    rings_and_stops(&gateway, "G01", &mut phones).await;
}

#[tokio::test]
async fn sequential_stops_ringing_when_the_caller_gives_up() {
    let gateway = Gateway::with_groups(groups("sequential", 30.0)).await;
    let phone = Phone::ready(&gateway, "202").await;
    rings_and_stops(&gateway, "G01", &mut [phone]).await;
}

// === sequential

#[tokio::test]
async fn sequential_with_nobody_to_ring_ends_at_once() {
    let gateway = Gateway::with_groups(groups("sequential", 30.0)).await;
    let mut pbx = Pbx::dial(&gateway, "G01").await;
    pbx.expect("HANGUP").await;
    pbx.hang_up().await;
}

#[tokio::test]
async fn sequential_rings_one_after_the_other_and_goes_round() {
    let gateway = Gateway::with_groups(groups("sequential", 0.5)).await;
    let mut one = Phone::ready(&gateway, "201").await;
    let mut two = Phone::ready(&gateway, "203").await;
    let mut pbx = Pbx::dial(&gateway, "G01").await;
    for _ in 0..2 {
        one.expect("RINGING").await;
        one.expect("HANGUP").await;
        two.expect("RINGING").await;
        two.expect("HANGUP").await;
    }
    one.expect("RINGING").await;
    one.say("ANSWER").await;
    pbx.expect("ANSWER").await;
    pbx.hang_up().await;
    one.expect("HANGUP").await;
}

#[tokio::test]
async fn sequential_treats_a_member_as_what_he_is_on_the_next_round() {
    let gateway = Gateway::with_groups(groups("sequential", 0.5)).await;
    let mut two = Phone::ready(&gateway, "202").await;
    let mut pbx = Pbx::dial(&gateway, "G01").await;
    two.expect("RINGING").await;
    let mut one = Phone::ready(&gateway, "201").await; // comes online while 202 rings
    two.expect("HANGUP").await;
    one.expect("RINGING").await;
    drop(one); // and is gone again: the next rings, without waiting for the time to pass
    two.expect("RINGING").await;
    two.say("HANGUP").await;
    pbx.expect("HANGUP").await; // declined, and nobody else is there
}

#[tokio::test]
async fn sequential_ends_after_its_rounds() {
    let mut groups = groups("sequential", 0.5);
    groups["G01"]["rounds"] = json!(2);
    let gateway = Gateway::with_groups(groups).await;
    let mut one = Phone::ready(&gateway, "201").await;
    let mut pbx = Pbx::dial(&gateway, "G01").await;
    for _ in 0..2 {
        one.expect("RINGING").await;
        one.expect("HANGUP").await;
    }
    pbx.expect("HANGUP").await;
    one.expect_nothing().await;
}

// === ringall

#[tokio::test]
async fn ringall_first_answer_wins_and_a_late_one_gets_hangup() {
    let gateway = Gateway::with_groups(groups("ringall", 30.0)).await;
    let mut one = Phone::ready(&gateway, "201").await;
    let mut two = Phone::ready(&gateway, "202").await;
    let mut pbx = Pbx::dial(&gateway, "G01").await;
    one.expect("RINGING").await;
    two.expect("RINGING").await;
    two.say("ANSWER").await;
    pbx.expect("ANSWER").await;
    one.expect("HANGUP").await;
    one.say("ANSWER").await;
    one.expect("HANGUP").await;
    two.speak(frame(7)).await;
    assert_eq!(pbx.speech().await, frame(7));
    pbx.hang_up().await;
    two.expect("HANGUP").await;
}

#[tokio::test]
async fn ringall_with_two_answers_at_once_has_one_winner_and_one_hangup() {
    let gateway = Gateway::with_groups(groups("ringall", 30.0)).await;
    let mut phones = [Phone::ready(&gateway, "201").await, Phone::ready(&gateway, "202").await];
    for _ in 0..20 {
        let mut pbx = Pbx::dial(&gateway, "G01").await;
        for phone in &mut phones {
            phone.expect("RINGING").await;
        }
        let [one, two] = &mut phones;
        tokio::join!(one.say("ANSWER"), two.say("ANSWER"));
        pbx.expect("ANSWER").await;
        // Each is told HANGUP once: the loser now, the winner at the call's end.
        pbx.hang_up().await;
        for phone in &mut phones {
            phone.expect("HANGUP").await;
            phone.expect_nothing().await;
        }
    }
}

#[tokio::test]
async fn ringall_leaves_out_who_is_busy_or_away_and_ends_at_once_if_all_are() {
    let gateway = Gateway::with_groups(groups("ringall", 30.0)).await;
    let (mut first, mut one) = talking(&gateway, "201").await;
    let mut two = Phone::ready(&gateway, "202").await;
    let mut pbx = Pbx::dial(&gateway, "G01").await;
    two.expect("RINGING").await;
    two.say("ANSWER").await;
    pbx.expect("ANSWER").await;
    let mut third = Pbx::dial(&gateway, "G01").await;
    third.expect("HANGUP").await;
    first.hang_up().await;
    one.expect("HANGUP").await;
    pbx.hang_up().await;
    two.expect("HANGUP").await;
}

// === extensions

#[tokio::test]
async fn an_absent_extension_is_hung_up_at_once() {
    let gateway = Gateway::start().await;
    Pbx::dial(&gateway, "2001").await.expect("HANGUP").await;
    Pbx::dial_text(&gateway, "ws-ext-2001").await.expect("HANGUP").await;
}

#[tokio::test]
async fn an_unknown_extension_is_hung_up_at_once() {
    let gateway = Gateway::start().await;
    let mut pbx = Pbx::connect(&gateway).await;
    pbx.send(media_start(json!({})).to_string().replace("ws-ext-endpoint", "other")).await;
    pbx.expect("HANGUP").await;
    Pbx::dial_text(&gateway, "other").await.expect("HANGUP").await;
    Pbx::dial(&gateway, "with space").await.expect("HANGUP").await;
}

#[tokio::test]
async fn a_busy_extension_is_hung_up_at_once() {
    let gateway = Gateway::start().await;
    let (mut pbx, mut phone) = talking(&gateway, "2001").await;
    Pbx::dial(&gateway, "2001").await.expect("HANGUP").await;
    phone.say("HANGUP").await;
    pbx.expect("HANGUP").await;
    phone.expect("HANGUP").await;
}

#[tokio::test]
async fn ringing_ends_after_ring_timeout() {
    let gateway = Gateway::with(|c| c["ring_timeout"] = json!(1), json!({})).await;
    let mut phone = Phone::ready(&gateway, "2001").await;
    let mut pbx = Pbx::dial(&gateway, "2001").await;
    phone.expect("RINGING").await;
    phone.expect("HANGUP").await;
    pbx.expect("HANGUP").await;
}

// === nothing is lost

#[tokio::test]
async fn answer_and_hangup_are_not_lost_whatever_the_timing() {
    let gateway = Gateway::start().await;
    let mut phone = Phone::ready(&gateway, "2001").await;
    for round in 0..60 {
        let mut pbx = Pbx::dial(&gateway, "2001").await;
        phone.expect("RINGING").await;
        match round % 4 {
            0 => {
                // Both in one breath: the call is answered, then over.
                phone.ws.feed(Message::text("ANSWER")).await.unwrap();
                phone.ws.feed(Message::text("HANGUP")).await.unwrap();
                phone.ws.flush().await.unwrap();
                let first = pbx.command().await;
                if first == "ANSWER" {
                    pbx.expect("HANGUP").await;
                } else {
                    assert_eq!(first, "HANGUP");
                }
                phone.expect("HANGUP").await;
            }
            1 => {
                // The caller gives up in the instant of the answer.
                tokio::join!(phone.say("ANSWER"), pbx.hang_up());
                phone.expect("HANGUP").await;
            }
            2 => {
                // Both hang up in the same instant.
                phone.say("ANSWER").await;
                pbx.expect("ANSWER").await;
                tokio::join!(phone.say("HANGUP"), pbx.hang_up());
                phone.expect("HANGUP").await;
            }
            _ => {
                phone.say("HANGUP").await;
                pbx.expect("HANGUP").await;
                phone.expect("HANGUP").await;
            }
        }
        pbx.hang_up().await;
        pbx.closed().await;
    }
    phone.expect_nothing().await;
}

#[tokio::test]
async fn a_phone_that_vanishes_while_it_rings_or_talks_leaves_the_other_side_idle() {
    let gateway = Gateway::start().await;
    let mut phone = Phone::ready(&gateway, "2001").await;
    let mut pbx = Pbx::dial(&gateway, "2001").await;
    phone.expect("RINGING").await;
    drop(phone);
    pbx.expect("HANGUP").await;
    let (mut pbx, phone) = talking(&gateway, "2001").await;
    drop(phone);
    pbx.expect("HANGUP").await;
    let (pbx, mut phone) = talking(&gateway, "2001").await;
    drop(pbx); // no CLOSE: Asterisk has crashed
    phone.expect("HANGUP").await;
    phone.expect_nothing().await;
    assert_eq!(gateway.metric("goastgateway_calls_active"), 0.0);
}

#[tokio::test]
async fn writes_never_race_writes_under_a_storm_of_both() {
    let gateway = Gateway::start().await;
    for _ in 0..10 {
        let (mut pbx, mut phone) = talking(&gateway, "2001").await;
        let down = async {
            for n in 1..200 {
                if pbx.ws.send(Message::Binary(frame(n))).await.is_err() {
                    break;
                }
            }
            pbx.hang_up().await;
            pbx.closed().await;
        };
        let up = async {
            phone.speak(frame(1)).await;
            let _ = phone.ws.send(Message::Ping(Bytes::from_static(b"x"))).await;
            loop {
                match phone.next().await {
                    Got::Audio(audio) => assert_eq!(audio.len(), 640),
                    Got::Text(text) => {
                        assert_eq!(text, "HANGUP");
                        break;
                    }
                    other => panic!("{other:?}"),
                }
            }
        };
        soon("both ends", async { tokio::join!(down, up) }).await;
    }
}

// === MEDIA_START and audio

#[tokio::test]
async fn audio_before_media_start_is_tolerated() {
    let gateway = Gateway::start().await;
    let mut phone = Phone::ready(&gateway, "2001").await;
    let mut pbx = Pbx::connect(&gateway).await;
    for n in 0..50 {
        pbx.send_audio(frame(n)).await;
    }
    pbx.send(media_start(json!({ "WS_EXTEN": "2001" })).to_string()).await;
    phone.expect("RINGING").await;
}

#[tokio::test]
async fn unknown_events_and_fields_are_ignored() {
    let gateway = Gateway::start().await;
    let mut phone = Phone::ready(&gateway, "2001").await;
    let mut pbx = Pbx::connect(&gateway).await;
    pbx.send(r#"{"event":"SOMETHING_NEW","x":{"y":[]}}"#).await;
    pbx.send("HELLO WORLD").await;
    pbx.send("{broken").await;
    let mut start = media_start(json!({ "WS_EXTEN": "2001", "OTHER": "ü" }));
    start["passthrough"] = json!(false);
    pbx.send(start.to_string()).await;
    phone.expect("RINGING").await;
    phone.say("SOMETHING").await;
    phone.say("{\"type\":\"answer\"}").await;
    phone.say("ANSWER").await;
    pbx.expect("ANSWER").await;
    pbx.send(r#"{"event":"DTMF_END","digit":"5"}"#).await;
    pbx.send(r#"{"event":"ERROR","error_text":"x"}"#).await;
    pbx.send_audio(frame(3)).await;
    assert_eq!(phone.audio().await, frame(3), "and nothing of it reaches the phone");
}

#[tokio::test]
async fn both_formats_are_served_each_in_its_own_whatever_is_configured() {
    for setting in ["text", "json", "auto"] {
        let gateway = Gateway::with(|c| c["asterisk_format"] = json!(setting), json!({})).await;
        let mut phone = Phone::ready(&gateway, "2001").await;
        for text in [true, false] {
            let mut pbx = if text {
                Pbx::dial_text(&gateway, "ws-ext-2001").await
            } else {
                Pbx::dial(&gateway, "2001").await
            };
            phone.expect("RINGING").await;
            phone.say("ANSWER").await;
            pbx.expect("ANSWER").await;
            phone.say("HANGUP").await;
            pbx.expect("HANGUP").await;
            phone.expect("HANGUP").await;
        }
    }
}

#[tokio::test]
async fn json_without_the_variable_falls_back_to_the_name_of_the_connection() {
    let gateway = Gateway::start().await;
    let mut phone = Phone::ready(&gateway, "2001").await;
    let mut pbx = Pbx::connect(&gateway).await;
    let start = media_start(json!({ "WS_EXTEN": "" }));
    pbx.send(start.to_string().replace("ws-ext-endpoint", "my-ws-ext-2001")).await;
    phone.expect("RINGING").await;
}

#[tokio::test]
async fn frames_of_any_length_are_accepted_and_whole_ones_are_sent() {
    let gateway = Gateway::start().await;
    let (mut pbx, mut phone) = talking(&gateway, "2001").await;
    // A second of speech, in pieces that fit nothing.
    let speech: Vec<u8> = (0..32_000u32).map(|n| (n % 251) as u8 + 1).collect();
    let sizes = [1usize, 10, 639, 641, 1600, 1920, 5, 320];
    let (mut at, mut n) = (0, 0);
    while at < 3200 {
        let end = (at + sizes[n % sizes.len()]).min(3200);
        pbx.send_audio(speech[at..end].to_vec()).await;
        (at, n) = (end, n + 1);
    }
    let mut got = Vec::new();
    while got.len() < 3200 {
        let audio = phone.audio().await;
        assert_eq!(audio.len(), 640);
        got.extend_from_slice(&audio);
    }
    assert_eq!(got, &speech[..3200]);
    // The other way, paced by what comes out: one odd piece at a time.
    let mut sent = 0;
    let mut out = Vec::new();
    while out.len() < 3200 {
        while sent < out.len() + 640 {
            phone.speak(speech[sent..sent + 100].to_vec()).await;
            sent += 100;
        }
        let audio = pbx.speech().await;
        assert_eq!(audio.len(), 640);
        out.extend_from_slice(&audio);
    }
    assert_eq!(out, &speech[..3200]);
}

#[tokio::test]
async fn a_frame_of_another_size_is_sent_where_asterisk_asks_for_it() {
    let gateway = Gateway::start().await;
    let mut phone = Phone::ready(&gateway, "2001").await;
    let mut pbx = Pbx::connect(&gateway).await;
    let mut start = media_start(json!({ "WS_EXTEN": "2001" }));
    start["optimal_frame_size"] = json!(320);
    pbx.send(start.to_string()).await;
    phone.expect("RINGING").await;
    phone.say("ANSWER").await;
    pbx.expect("ANSWER").await;
    phone.speak(frame(9)).await;
    for _ in 0..2 {
        assert_eq!(pbx.speech().await, frame(9).slice(..320));
    }
}

#[tokio::test]
async fn a_format_other_than_slin16_is_refused_with_hangup() {
    let gateway = Gateway::start().await;
    let mut phone = Phone::ready(&gateway, "2001").await;
    let mut pbx = Pbx::connect(&gateway).await;
    let mut start = media_start(json!({ "WS_EXTEN": "2001" }));
    start["format"] = json!("ulaw");
    start["optimal_frame_size"] = json!(160);
    pbx.send(start.to_string()).await;
    pbx.expect("HANGUP").await;
    phone.expect_nothing().await;
    // And slin16 in frames that are none.
    let mut pbx = Pbx::connect(&gateway).await;
    start["format"] = json!("slin16");
    start["optimal_frame_size"] = json!(641);
    pbx.send(start.to_string()).await;
    pbx.expect("HANGUP").await;
    phone.expect_nothing().await;
}

#[tokio::test]
async fn silence_is_sent_at_fifty_frames_a_second_where_the_phone_sends_nothing() {
    let gateway = Gateway::start().await;
    let (mut pbx, _phone) = talking(&gateway, "2001").await;
    let began = Instant::now();
    let mut frames = 0;
    while frames < 50 {
        if let Got::Audio(audio) = pbx.next().await {
            assert_eq!(audio.len(), 640);
            assert!(audio.iter().all(|b| *b == 0));
            frames += 1;
        }
    }
    let took = began.elapsed();
    assert!(took >= Duration::from_millis(900), "not faster than Asterisk plays: {took:?}");
    assert!(took <= Duration::from_secs(4), "nor so slow that it is no stream: {took:?}");
}

#[tokio::test]
async fn a_phone_that_stops_reading_does_not_hold_asterisk_back() {
    let gateway = Gateway::start().await;
    let (mut pbx, mut phone) = talking(&gateway, "2001").await;
    // 4,000 frames are far more than every buffer on the way to a phone holds. Were Asterisk's
    // socket not read, this would never end.
    soon("all frames taken", async {
        for n in 0..4_000u16 {
            pbx.send_audio(frame(n | 1)).await;
        }
    })
    .await;
    // The phone reads again: what it gets is bounded, and the newest is there.
    let mut got = Vec::new();
    loop {
        let audio = phone.audio().await;
        let number = u16::from_le_bytes([audio[0], audio[1]]);
        got.push(number);
        if number == 3_999 {
            break;
        }
    }
    assert!(got.len() < 2_000, "{} frames were kept for a phone that did not read", got.len());
    pbx.hang_up().await;
    phone.expect("HANGUP").await;
    assert!(
        gateway.metric(
            "goastgateway_frames_dropped_total{direction=\"to_phone\",reason=\"phone_slow\"}"
        ) > 1_000.0
    );
}

#[tokio::test]
async fn a_burst_of_the_phone_does_not_become_delay() {
    let gateway = Gateway::start().await;
    let (mut pbx, mut phone) = talking(&gateway, "2001").await;
    // Three seconds that waited in a frozen network come at once.
    for n in 1..=150 {
        phone.ws.feed(Message::Binary(frame(n))).await.unwrap();
    }
    phone.ws.flush().await.unwrap();
    let mut got = Vec::new();
    while got.last() != Some(&150) {
        let audio = pbx.speech().await;
        got.push(u16::from_le_bytes([audio[0], audio[1]]));
    }
    assert!(got.len() <= 12, "{} frames were queued into Asterisk", got.len());
    assert!(got.is_sorted());
    phone.say("HANGUP").await;
    pbx.expect("HANGUP").await;
    let dropped = |reason| {
        let labels = format!("{{direction=\"to_asterisk\",reason=\"{reason}\"}}");
        gateway.metric(&format!("goastgateway_frames_dropped_total{labels}"))
    };
    let sent = gateway.metric("goastgateway_frames_total{direction=\"to_asterisk\"}");
    let all = sent + dropped("late") + dropped("ahead") + dropped("asterisk_full");
    assert_eq!(all, 150.0, "every frame is sent or counted");
}

#[tokio::test]
async fn a_flood_in_odd_pieces_never_shifts_a_sample() {
    let gateway = Gateway::start().await;
    let (mut pbx, mut phone) = talking(&gateway, "2001").await;
    // Every sample is the same, of two bytes that differ: a shift by one byte would show.
    let speech: Vec<u8> = [0x11u8, 0x22].repeat(160_000);
    for piece in speech.chunks(333) {
        phone.ws.feed(Message::Binary(piece.to_vec().into())).await.unwrap();
    }
    phone.ws.flush().await.unwrap();
    phone.say("HANGUP").await;
    loop {
        match pbx.next().await {
            Got::Audio(audio) if audio[0] != 0 => {
                assert!(audio.chunks_exact(2).all(|s| s == [0x11, 0x22]), "{:x?}", &audio[..8]);
            }
            Got::Text(text) if text.contains("HANGUP") => break,
            Got::Audio(_) | Got::Text(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn media_xoff_is_obeyed() {
    let gateway = Gateway::start().await;
    let (mut pbx, mut phone) = talking(&gateway, "2001").await;
    pbx.send(r#"{"event":"MEDIA_XOFF","channel_id":"1"}"#).await;
    // The next command shows that XOFF was read: it makes the gateway ask for the queue.
    loop {
        if let Got::Text(text) = pbx.next().await {
            assert_eq!(text, r#"{"command":"GET_STATUS"}"#);
            break;
        }
    }
    phone.speak(frame(5)).await;
    phone.say("HANGUP").await;
    loop {
        match pbx.next().await {
            Got::Audio(audio) => panic!("audio of {} bytes after XOFF", audio.len()),
            Got::Text(text) if text.contains("HANGUP") => break,
            Got::Text(_) => {}
            other => panic!("{other:?}"),
        }
    }
}
