use futures_util::{SinkExt, StreamExt};
use tokio::{io::DuplexStream, task::JoinHandle};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{Message, protocol::Role},
};

use super::*;
use crate::{config, net::life::Life, phone::task::rung_phone};

const START: &str = r#"{"event":"MEDIA_START","connection_id":"c","channel":"WebSocket/c/0x1",
    "channel_id":"1.1","format":"slin16","optimal_frame_size":640,"ptime":20,
    "channel_variables":{"WS_EXTEN":"2001"}}"#;

/// A call that rings at a phone, with a ring time that doesn't end it.
async fn ringing() -> (WebSocketStream<DuplexStream>, JoinHandle<()>, Arc<Exchange>) {
    let folder = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let [cert, key] = ["cert.pem", "key.pem"].map(|name| folder.path().join(name));
    std::fs::write(&cert, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let text = serde_json::json!({
        "cert_file": cert, "key_file": key, "ring_timeout": 600,
        "jwt_secret": "a secret of the tests, long enough for HS256",
    });
    let config = config::read_texts(&text.to_string(), "{}").unwrap().config;
    let exchange = Exchange::new(Arc::default());
    rung_phone(&exchange, "2001");
    let (near, far) = tokio::io::duplex(64 * 1024);
    let wire = Wire::server(near, Bytes::new(), 65_536);
    let context = LegContext {
        config: Arc::new(config),
        exchange: exchange.clone(),
        stop: CancellationToken::new(),
    };
    let leg = Leg::new(wire, CallId::from_uuid(uuid::Uuid::nil()), context);
    let task = tokio::spawn(async { assert!(Life::new(leg).await.is_none()) });
    let mut asterisk = WebSocketStream::from_raw_socket(far, Role::Client, None).await;
    asterisk.send(Message::text(START)).await.unwrap();
    (asterisk, task, exchange)
}

#[test]
fn a_call_is_small() {
    let leg = size_of::<Leg<crate::net::io::Io>>();
    assert!(leg <= 1600, "{leg}");
    assert!(size_of::<CallEvent>() <= 24);
}

#[tokio::test(start_paused = true)]
async fn an_asterisk_that_gives_no_sign_of_life_is_lost_after_two_silent_rounds() {
    let (_silent, task, exchange) = ringing().await;
    let began = Instant::now();
    task.await.unwrap();
    let took = began.elapsed();
    assert!(took >= PING_EVERY * 3 && took < PING_EVERY * 4 + HANGUP_TIME, "{took:?}");
    assert!(exchange.metrics.text().contains("ending=\"asterisk_lost\""));
}

#[tokio::test(start_paused = true)]
async fn an_asterisk_that_answers_its_pings_rings_on() {
    let (mut asterisk, task, _exchange) = ringing().await;
    let mut pings = 0;
    while pings < 10 {
        // Reading answers the ping.
        if let Some(Ok(Message::Ping(_))) = asterisk.next().await {
            pings += 1;
        }
    }
    assert!(!task.is_finished());
}
