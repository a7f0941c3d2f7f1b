//! Who gets in, and what a stranger or a flood can't do: one test for each limit.

use std::time::{Duration, Instant};

use crate::support::{
    Gateway, Got, ORIGIN, Pbx, Phone, SECRET, frame, sign, soon, talking, tls, token,
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_tungstenite::tungstenite::{client::IntoClientRequest, http::HeaderValue};

/// The status of a plain request over TLS.
async fn get(gateway: &Gateway, path: &str, headers: &[(&str, &str)]) -> (u16, String) {
    let mut stream = tls(gateway).await;
    let mut request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n");
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    request.push_str("\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let _ = soon("an answer", stream.read_to_end(&mut answer)).await;
    let text = String::from_utf8_lossy(&answer).into_owned();
    let status = text.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(0);
    (status, text)
}

async fn login_status(gateway: &Gateway, path: &str, headers: &[(&'static str, &str)]) -> u16 {
    match Phone::open(gateway, path, headers).await {
        Ok(_) => 101,
        Err(status) => status,
    }
}

#[tokio::test]
async fn a_bad_token_is_401_and_the_log_and_the_metrics_say_why() {
    let gateway = Gateway::start().await;
    let origin = [("origin", ORIGIN)];
    assert_eq!(login_status(&gateway, "/phone", &origin).await, 401);
    assert_eq!(login_status(&gateway, "/phone?token=", &origin).await, 401);
    assert_eq!(login_status(&gateway, "/phone?token=x.y.z", &origin).await, 401);
    let expired = sign(&json!({ "ext": "2001", "iat": 1, "exp": 1000 }), SECRET);
    assert_eq!(login_status(&gateway, &format!("/phone?token={expired}"), &origin).await, 401);
    let forged = sign(&json!({ "ext": "2001", "exp": 4_000_000_000u64 }), "another secret");
    assert_eq!(login_status(&gateway, &format!("/phone?token={forged}"), &origin).await, 401);
    let good = format!("/phone?token={}", token("2001"));
    assert_eq!(login_status(&gateway, &good, &origin).await, 101);
    let text = gateway.exchange.metrics.text();
    for reason in ["missing", "expired", "signature", "malformed"] {
        let line = format!("login_failures_total{{reason=\"token_{reason}\"}}");
        assert!(text.contains(&line), "{line} in {text}");
    }
}

#[tokio::test]
async fn an_origin_that_is_not_allowed_is_403() {
    let gateway = Gateway::start().await;
    let path = format!("/phone?token={}", token("2001"));
    for (origin, status) in [
        (Some(ORIGIN), 101),
        (Some("https://evil.example"), 403),
        (Some("https://crm.example.evil.example"), 403),
        (Some("http://crm.example"), 403),
        (Some("null"), 403),
        (Some(""), 403),
        (None, 403),
    ] {
        let headers: Vec<_> = origin.map(|o| ("origin", o)).into_iter().collect();
        assert_eq!(login_status(&gateway, &path, &headers).await, status, "{origin:?}");
    }
    let own = format!("https://localhost:{}", gateway.browser.port());
    assert_eq!(login_status(&gateway, &path, &[("origin", &own)]).await, 101, "our own page");
    let two = [("origin", ORIGIN), ("origin", "https://evil.example")];
    assert_eq!(login_status(&gateway, &path, &two).await, 403);
}

#[tokio::test]
async fn a_client_without_origin_is_admitted_where_it_is_configured() {
    let gateway = Gateway::with(|c| c["allow_missing_origin"] = json!(true), json!({})).await;
    let path = format!("/phone?token={}", token("2001"));
    assert_eq!(login_status(&gateway, &path, &[]).await, 101);
    assert_eq!(login_status(&gateway, &path, &[("origin", "https://evil.example")]).await, 403);
}

#[tokio::test]
async fn an_address_that_is_not_allowed_is_403_on_both_sides() {
    let gateway = Gateway::with(
        |c| {
            c["allowed_browser_ips"] = json!(["192.0.2.0/24"]);
            c["allowed_asterisk_ips"] = json!(["192.0.2.1"]);
        },
        json!({}),
    )
    .await;
    let path = format!("/phone?token={}", token("2001"));
    assert_eq!(login_status(&gateway, &path, &[("origin", ORIGIN)]).await, 403);
    assert_eq!(get(&gateway, "/", &[]).await.0, 403, "the page, too");
    let stream = TcpStream::connect(gateway.asterisk).await.unwrap();
    let url = format!("ws://{}/", gateway.asterisk);
    let error = tokio_tungstenite::client_async(url, stream).await.unwrap_err();
    assert!(error.to_string().contains("403"), "{error}");
}

#[tokio::test]
async fn a_web_page_can_not_place_calls_at_asterisks_port() {
    let gateway = Gateway::start().await;
    let stream = TcpStream::connect(gateway.asterisk).await.unwrap();
    let url = format!("ws://{}/", gateway.asterisk);
    let mut request = url.into_client_request().unwrap();
    request.headers_mut().insert("origin", HeaderValue::from_static("https://evil.example"));
    let error = tokio_tungstenite::client_async(request, stream).await.unwrap_err();
    assert!(error.to_string().contains("403"), "{error}");
}

/// A gateway behind a proxy on this machine: the address is the one that the proxy names.
async fn behind_proxy(change: impl FnOnce(&mut Value)) -> Gateway {
    Gateway::with(
        |c| {
            c["trusted_proxies"] = json!(["127.0.0.1"]);
            // With the proxy's own, to which nobody may be mistaken.
            c["allowed_browser_ips"] = json!(["127.0.0.1", "192.0.2.0/24", "2001:db8::/32"]);
            change(c);
        },
        json!({}),
    )
    .await
}

#[tokio::test]
async fn behind_a_trusted_proxy_the_forwarded_address_counts_and_a_forged_one_does_not() {
    let gateway = behind_proxy(|_| {}).await;
    let path = format!("/phone?token={}", token("2001"));
    for (forwarded, status) in [
        ("192.0.2.7", 101),
        ("2001:db8::7", 101),
        ("198.51.100.1", 403),
        ("192.0.2.7, 198.51.100.1", 403), // the left one is the client's own invention
        ("nonsense", 403),
        ("", 403),
        ("192.0.2.7, nonsense", 403),
        ("nonsense, 192.0.2.7", 101),
    ] {
        let headers = [("origin", ORIGIN), ("x-forwarded-for", forwarded)];
        assert_eq!(login_status(&gateway, &path, &headers).await, status, "{forwarded}");
    }
}

#[tokio::test]
async fn a_forwarded_address_in_bytes_that_are_no_text_is_not_overlooked() {
    let gateway = behind_proxy(|_| {}).await;
    let path = format!("/phone?token={}", token("2001"));
    for (forwarded, status) in
        [(b"\xff, 198.51.100.1".as_slice(), 403), (b"\xff", 403), (b"\xff, 192.0.2.7", 426)]
    {
        let mut stream = tls(&gateway).await;
        let mut request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n");
        request.push_str("X-Forwarded-For: ");
        let request = [request.as_bytes(), forwarded, b"\r\n\r\n"].concat();
        stream.write_all(&request).await.unwrap();
        let mut answer = Vec::new();
        let _ = soon("an answer", stream.read_to_end(&mut answer)).await;
        let answer = String::from_utf8_lossy(&answer).into_owned();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
    }
}

#[tokio::test]
async fn failed_logins_are_429_after_the_limit_and_only_for_their_address() {
    let gateway = behind_proxy(|c| c["login_failures_per_minute"] = json!(3)).await;
    let bad = "/phone?token=x.y.z";
    let good = format!("/phone?token={}", token("2001"));
    let from = |address| [("origin", ORIGIN), ("x-forwarded-for", address)];
    for _ in 0..3 {
        assert_eq!(login_status(&gateway, bad, &from("192.0.2.7")).await, 401);
    }
    assert_eq!(login_status(&gateway, bad, &from("192.0.2.7")).await, 429);
    assert_eq!(login_status(&gateway, &good, &from("192.0.2.7")).await, 429);
    assert_eq!(login_status(&gateway, &good, &from("192.0.2.8")).await, 101);
}

#[tokio::test]
async fn connections_of_one_address_are_limited_and_freed() {
    let gateway = behind_proxy(|c| c["max_connections_per_address"] = json!(2)).await;
    let from = [("origin", ORIGIN), ("x-forwarded-for", "192.0.2.7")];
    let path = |ext| format!("/phone?token={}", token(ext));
    let one = Phone::open(&gateway, &path("2001"), &from).await.unwrap();
    let _two = Phone::open(&gateway, &path("2002"), &from).await.unwrap();
    assert_eq!(login_status(&gateway, &path("2003"), &from).await, 429);
    let other = [("origin", ORIGIN), ("x-forwarded-for", "192.0.2.8")];
    assert_eq!(login_status(&gateway, &path("2004"), &other).await, 101);
    drop(one);
    soon("the place to be free", async {
        while login_status(&gateway, &path("2003"), &from).await != 101 {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn connections_in_all_are_limited_and_a_websocket_keeps_its_place() {
    let gateway = Gateway::with(|c| c["max_connections"] = json!(2), json!({})).await;
    let phone = Phone::ready(&gateway, "2001").await;
    let _other = Phone::ready(&gateway, "2002").await;
    let mut third = TcpStream::connect(gateway.browser).await.unwrap();
    let mut byte = [0];
    let end = soon("the door to close", third.read(&mut byte)).await;
    assert!(matches!(end, Ok(0) | Err(_)), "closed without a word");
    drop(phone);
    soon("the place to be free", async {
        while gateway.metric("goastgateway_connections{listener=\"browser\"}") > 1.0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    Phone::ready(&gateway, "2003").await;
}

#[tokio::test]
async fn whoever_connects_and_says_nothing_is_dropped_on_both_sides() {
    let gateway = Gateway::with(|c| c["handshake_timeout"] = json!(1), json!({})).await;
    for address in [gateway.asterisk, gateway.browser] {
        let mut silent = TcpStream::connect(address).await.unwrap();
        let mut rest = Vec::new();
        let _ = soon("the silent one's end", silent.read_to_end(&mut rest)).await;
    }
}

#[tokio::test]
async fn a_head_that_trickles_in_is_cut_off() {
    let gateway = Gateway::with(|c| c["handshake_timeout"] = json!(1), json!({})).await;
    let began = Instant::now();
    let (mut read, mut write) = tokio::io::split(tls(&gateway).await);
    write.write_all(b"GET /phone HTTP/1.1\r\n").await.unwrap();
    let trickle = tokio::spawn(async move {
        while write.write_all(b"X: y\r\n").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    let mut rest = Vec::new();
    let _ = soon("the end of a slow head", read.read_to_end(&mut rest)).await;
    trickle.abort();
    assert!(began.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn a_head_that_is_too_long_is_refused() {
    let gateway = Gateway::start().await;
    let long = "x".repeat(20_000);
    let (status, _) = get(&gateway, "/", &[("X-Long", &long)]).await;
    assert!(status == 431 || status == 0, "{status}");
}

#[tokio::test]
async fn asterisk_that_sends_no_media_start_is_hung_up() {
    let gateway = Gateway::with(|c| c["first_message_timeout"] = json!(1), json!({})).await;
    let mut pbx = Pbx::connect(&gateway).await;
    loop {
        match pbx.next().await {
            Got::Closed(_) | Got::Lost => break,
            Got::Text(text) => assert_eq!(text, "HANGUP"),
            Got::Audio(_) => panic!("audio"),
        }
    }
    assert!(gateway.exchange.metrics.text().contains("ending=\"no_media_start\""));
}

#[tokio::test]
async fn a_message_that_is_too_long_ends_its_connection_and_no_other() {
    let gateway = Gateway::start().await;
    let (mut pbx, mut phone) = talking(&gateway, "2001").await;
    let mut rude = Phone::ready(&gateway, "2002").await;
    rude.speak(vec![1; 65_501]).await;
    assert_eq!(rude.closed().await, Some(1009));
    let mut rude = Pbx::connect(&gateway).await;
    let _ = futures_util::SinkExt::send(
        &mut rude.ws,
        tokio_tungstenite::tungstenite::Message::text("x".repeat(300_000)),
    )
    .await;
    rude.closed().await;
    pbx.send_audio(frame(4)).await;
    assert_eq!(phone.audio().await, frame(4));
}

#[tokio::test]
async fn a_flood_of_a_phone_costs_its_own_call_only() {
    let gateway = Gateway::start().await;
    let (mut pbx, mut phone) = talking(&gateway, "2001").await;
    let (mut other_pbx, mut other) = talking(&gateway, "2002").await;
    let flood = tokio::spawn(async move {
        for n in 0..20_000u32 {
            let audio = vec![n as u8 | 1; 1 + (n % 40) as usize];
            phone.speak(audio).await;
        }
        phone
    });
    for n in 1..50 {
        other_pbx.send_audio(frame(n)).await;
        assert_eq!(other.audio().await, frame(n));
    }
    let mut phone = flood.await.unwrap();
    phone.say("HANGUP").await;
    pbx.expect("HANGUP").await;
}

#[tokio::test]
async fn what_is_no_websocket_is_told_so() {
    let gateway = Gateway::start().await;
    let path = format!("/phone?token={}", token("2001"));
    // A page that asks why its login failed: a GET of the same origin has no Origin.
    assert_eq!(get(&gateway, &path, &[]).await.0, 426);
    assert_eq!(get(&gateway, "/phone?token=x", &[]).await.0, 401);
    assert_eq!(get(&gateway, "/nothing", &[]).await.0, 404);
    let (status, page) = get(&gateway, "/", &[]).await;
    assert_eq!(status, 200);
    assert!(page.contains("content-security-policy"), "{page}");
    // Plain HTTP to Asterisk's port.
    let mut stream = TcpStream::connect(gateway.asterisk).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 426"), "{answer}");
}

#[tokio::test]
async fn the_upgrade_answers_asterisk_with_what_its_client_accepts_and_nothing_else() {
    let gateway = Gateway::start().await;
    let mut stream = TcpStream::connect(gateway.asterisk).await.unwrap();
    // Byte for byte what Asterisk 22.10 sends.
    let request = format!(
        "GET /any/path?x=1 HTTP/1.1\r\nSec-WebSocket-Version: 13\r\nUpgrade: websocket\r\n\
         Connection: Upgrade\r\nHost: {}\r\nSec-WebSocket-Protocol: media\r\n\
         Sec-WebSocket-Key: fmWSBAAAAADmXu0gAAAAAA==\r\n\r\n",
        gateway.asterisk
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(soon("the 101", stream.read_u8()).await.unwrap());
    }
    let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
    assert!(head.starts_with("http/1.1 101 "), "{head}");
    for line in ["upgrade: websocket", "connection: upgrade", "sec-websocket-protocol: media"] {
        assert!(head.lines().any(|l| l == line), "{line} in {head}");
    }
    assert!(!head.contains("extensions"));
}

#[tokio::test]
async fn the_operator_sees_health_readiness_and_metrics() {
    let gateway = Gateway::start().await;
    let _phone = Phone::ready(&gateway, "2001").await;
    let fetch = async |path: &str| {
        let mut stream = TcpStream::connect(gateway.admin).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    };
    assert!(fetch("/healthz").await.starts_with("HTTP/1.1 200"));
    assert!(fetch("/readyz").await.starts_with("HTTP/1.1 200"));
    let metrics = fetch("/metrics").await;
    assert!(metrics.contains("goastgateway_phones 1"), "{metrics}");
    assert!(metrics.contains("goastgateway_build_info{version="), "{metrics}");
}

#[tokio::test]
async fn a_refusal_closes_its_connection_and_fills_no_log() {
    let gateway = Gateway::start().await;
    let mut stream = tls(&gateway).await;
    // Ten in one breath: the first is answered, then the door closes.
    stream.write_all(&b"GET /phone HTTP/1.1\r\nHost: x\r\n\r\n".repeat(10)).await.unwrap();
    let mut answers = Vec::new();
    let _ = soon("the end", stream.read_to_end(&mut answers)).await;
    let answers = String::from_utf8_lossy(&answers).into_owned();
    assert_eq!(answers.matches("HTTP/1.1 401").count(), 1, "{answers}");
    assert!(answers.to_ascii_lowercase().contains("connection: close"), "{answers}");
}

#[tokio::test]
async fn a_reload_counts_on_connections_that_are_open_too() {
    let gateway = Gateway::start().await;
    let mut stream = tls(&gateway).await;
    let request = format!("GET /phone?token={} HTTP/1.1\r\nHost: x\r\n\r\n", token("2001"));
    let mut first = [0; 12];
    stream.write_all(request.as_bytes()).await.unwrap();
    soon("an answer", stream.read_exact(&mut first)).await.unwrap();
    assert_eq!(&first, b"HTTP/1.1 426", "the token is good");
    let mut settings: Value =
        serde_json::from_slice(&std::fs::read(&gateway.files.config).unwrap()).unwrap();
    settings["jwt_secret"] = json!("quite another secret, long enough for anybody");
    std::fs::write(&gateway.files.config, settings.to_string()).unwrap();
    gateway.reload();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut rest = Vec::new();
    let _ = soon("the rest", stream.read_to_end(&mut rest)).await;
    let rest = String::from_utf8_lossy(&rest).into_owned();
    assert!(rest.contains("HTTP/1.1 401"), "{rest}");
}
