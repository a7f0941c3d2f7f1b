use std::{sync::Arc, time::Duration};

use futures_util::StreamExt;
use tokio::{io::DuplexStream, task::JoinHandle};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{self, protocol::Role},
};

use super::*;
use crate::{
    exchange::{Exchange, PHONE_MAILBOX, PhoneHandle},
    net::{life::Life, liveness::PING_EVERY},
};

async fn logged_in() -> (WebSocketStream<DuplexStream>, JoinHandle<LoginEnd>, Arc<Exchange>) {
    let exchange = Exchange::new(Arc::default());
    let (near, far) = tokio::io::duplex(64 * 1024);
    let (commands, mailbox) = mailbox::mailbox(PHONE_MAILBOX);
    let kicked = CancellationToken::new();
    let login = exchange.next_login();
    let handle = PhoneHandle {
        login,
        commands,
        kicked: kicked.clone(),
        since: crate::report::time::Utc::now(),
        resume: None,
        device: None,
    };
    let registration = exchange.log_in(&"2001".into(), handle, false).unwrap();
    let wire = Wire::server(Io::Memory(near), Vec::new(), 65_500);
    let task = PhoneTask::plain(wire, Box::new(()), registration, mailbox, kicked);
    let ws = WebSocketStream::from_raw_socket(far, Role::Client, None).await;
    (ws, tokio::spawn(Life::new(task)), exchange)
}

#[test]
fn an_idle_phone_is_small() {
    // Its task, and what only the newer dialect has.
    let (task, v1) = (size_of::<PhoneTask>(), size_of::<V1>());
    assert!(task <= 512, "{task}");
    assert!(v1 <= 384, "{v1}");
    assert_eq!(size_of::<PhoneCommand>(), 16);
}

#[tokio::test(start_paused = true)]
async fn a_phone_that_gives_no_sign_of_life_is_dropped_after_two_silent_rounds() {
    let (_silent, task, exchange) = logged_in().await;
    let began = Instant::now();
    assert_eq!(task.await.unwrap(), LoginEnd::Silent);
    let took = began.elapsed();
    assert!(took >= PING_EVERY * 3 && took < PING_EVERY * 3 + Duration::from_secs(2), "{took:?}");
    assert_eq!(exchange.phones(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_phone_that_answers_its_pings_stays() {
    let (mut ws, task, exchange) = logged_in().await;
    let mut pings = 0;
    while pings < 20 {
        // Reading answers the ping.
        if let Some(Ok(tungstenite::Message::Ping(_))) = ws.next().await {
            pings += 1;
        }
    }
    assert!(!task.is_finished());
    assert_eq!(exchange.phones(), 1);
    drop(ws);
    assert_eq!(task.await.unwrap(), LoginEnd::Left(Closed::Lost));
    assert_eq!(exchange.phones(), 0);
}
