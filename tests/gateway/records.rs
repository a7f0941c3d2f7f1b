//! The call table: what is in it, who may ask for it, and that nothing that goes wrong with it
//! costs a call anything.

use std::{path::Path, time::Duration};

use crate::support::{Gateway, Pbx, Phone, soon};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

async fn gateway(state: &Path) -> Gateway {
    let groups = json!({ "team": { "strategy": "ringall", "members": ["2001"] } });
    Gateway::with(
        |config| {
            config["state_dir"] = json!(state);
            config["api_tokens"] = json!([TOKEN]);
        },
        groups,
    )
    .await
}

async fn get(gateway: &Gateway, path: &str) -> (StatusCode, Value) {
    let url = format!("http://{}{path}", gateway.admin);
    let answer = reqwest::Client::new().get(url).bearer_auth(TOKEN).send().await.unwrap();
    let status = answer.status();
    let text = answer.text().await.unwrap();
    (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
}

/// Waits until a question has this answer.
async fn until(gateway: &Gateway, path: &str, good: impl Fn(&Value) -> bool) -> Value {
    soon(&format!("{path} to be as expected"), async {
        loop {
            let (status, value) = get(gateway, path).await;
            if status == StatusCode::OK && good(&value) {
                return value;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
}

async fn stop(mut gateway: Gateway) {
    gateway.control.drain.cancel();
    gateway.stopped().await;
}

/// A call that is answered; hung up when this is done.
async fn answered(gateway: &Gateway, phone: &mut Phone, dialled: &str) -> Pbx {
    let mut pbx = Pbx::dial(gateway, dialled).await;
    phone.expect("RINGING").await;
    phone.say("ANSWER").await;
    pbx.expect("ANSWER").await;
    pbx
}

async fn hung_up(phone: &mut Phone, mut pbx: Pbx) {
    phone.hang_up().await;
    pbx.expect("HANGUP").await;
    pbx.hang_up().await;
}

#[tokio::test]
async fn a_call_is_live_while_it_is_up_and_one_row_when_it_is_over() {
    let state = tempfile::tempdir().unwrap();
    let gateway = gateway(state.path()).await;
    let mut phone = Phone::ready(&gateway, "2001").await;
    let pbx = answered(&gateway, &mut phone, "team").await;
    let live =
        until(&gateway, "/api/v1/live", |live| live["calls"][0]["answered"].is_string()).await;
    assert_eq!(live["calls"][0]["group"], "team");
    let id = live["calls"][0]["id"].as_str().unwrap();
    assert_eq!(live["phones"][0]["extension"], "2001");
    assert_eq!(
        (&live["phones"][0]["busy"], &live["phones"][0]["call"]),
        (&json!(true), &json!(id))
    );
    hung_up(&mut phone, pbx).await;
    let ended = |call: &Value| call["ended"].is_string();
    let call = until(&gateway, &format!("/api/v1/calls/{id}"), ended).await;
    assert_eq!((&call["ending"], &call["side"]), (&json!("phone_hung_up"), &json!("phone")));
    assert_eq!((&call["dialled"], &call["answered_by"]), (&json!("team"), &json!("2001")));
    assert_eq!(call["direction"], "in");
    let page = until(&gateway, "/api/v1/calls?group=team&ending=phone_hung_up", |page| {
        page["calls"].as_array().is_some_and(|calls| calls.len() == 1)
    })
    .await;
    assert_eq!((&page["calls"][0], &page["next"]), (&call, &Value::Null));
    let live = until(&gateway, "/api/v1/live", |live| live["calls"] == json!([])).await;
    assert_eq!(live["phones"][0]["busy"], false);
    stop(gateway).await;
}

#[tokio::test]
async fn a_phone_is_live_with_its_device_its_presence_and_whether_it_could_ring() {
    let state = tempfile::tempdir().unwrap();
    let gateway = gateway(state.path()).await;
    let device = json!({ "device": "Firefox on the desk" });
    let mut page = crate::support::v1::Page::log_in_with(&gateway, "2001", device).await;
    let presence =
        json!({ "type": "presence", "state": "wrapup", "seconds": 60, "reason": "notes" });
    page.done(presence).await;
    let live = until(&gateway, "/api/v1/live", |live| live["phones"][0].is_object()).await;
    let phone = &live["phones"][0];
    assert_eq!(phone["device"], "Firefox on the desk");
    assert_eq!((&phone["reachable"], &phone["busy"]), (&json!(true), &json!(false)));
    assert_eq!(
        (&phone["presence"], &phone["presence_reason"]),
        (&json!("wrapup"), &json!("notes"))
    );
    assert!(phone["presence_until"].as_str().unwrap() > phone["since"].as_str().unwrap());
    stop(gateway).await;
}

#[tokio::test]
async fn calls_outlive_the_process_and_are_paged() {
    let state = tempfile::tempdir().unwrap();
    let first = gateway(state.path()).await;
    for _ in 0..5 {
        let mut pbx = Pbx::dial(&first, "nobody").await;
        pbx.expect("HANGUP").await;
        pbx.hang_up().await;
    }
    stop(first).await;
    let second = gateway(state.path()).await;
    let mut path = "/api/v1/calls?limit=2&ending=away".to_owned();
    let mut ids = Vec::new();
    loop {
        let (_, page) = get(&second, &path).await;
        ids.extend(page["calls"].as_array().unwrap().iter().map(|c| c["id"].to_string()));
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/api/v1/calls?limit=2&ending=away&cursor={next}");
    }
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 5);
    stop(second).await;
}

#[tokio::test]
async fn a_database_that_somebody_locks_costs_a_call_nothing_and_is_caught_up_with() {
    let state = tempfile::tempdir().unwrap();
    let gateway = gateway(state.path()).await;
    let mut phone = Phone::ready(&gateway, "2001").await;
    let pbx = answered(&gateway, &mut phone, "2001").await;
    hung_up(&mut phone, pbx).await;
    until(&gateway, "/api/v1/calls", |page| page["calls"][0]["ended"].is_string()).await;
    let db = rusqlite::Connection::open(state.path().join("calls.db")).unwrap();
    db.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let pbx = answered(&gateway, &mut phone, "2001").await;
    hung_up(&mut phone, pbx).await;
    soon("the alarm", async {
        while gateway.metric("goastgateway_call_table_up") > 0.0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    // Another whole call, and the rest of the gateway, under the lock.
    let pbx = answered(&gateway, &mut phone, "2001").await;
    hung_up(&mut phone, pbx).await;
    assert!(gateway.metric("goastgateway_call_table_waiting") > 0.0);
    db.execute_batch("ROLLBACK").unwrap();
    until(&gateway, "/api/v1/calls", |page| {
        let calls = page["calls"].as_array().map(Vec::as_slice).unwrap_or_default();
        calls.len() == 3 && calls.iter().all(|call| call["ended"].is_string())
    })
    .await;
    assert_eq!(gateway.metric("goastgateway_call_table_up"), 1.0);
    assert_eq!(gateway.metric("goastgateway_call_table_dropped_total"), 0.0);
    stop(gateway).await;
}

#[tokio::test]
async fn a_state_dir_that_cannot_be_had_costs_a_call_nothing() {
    let gateway = gateway(Path::new("/proc/no/such/folder")).await;
    let mut phone = Phone::ready(&gateway, "2001").await;
    let pbx = answered(&gateway, &mut phone, "2001").await;
    hung_up(&mut phone, pbx).await;
    let (status, problem) = get(&gateway, "/api/v1/calls").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(problem["detail"].as_str().unwrap().contains("can't be read"), "{problem}");
    assert_eq!(gateway.metric("goastgateway_call_table_up"), 0.0);
    stop(gateway).await;
}

#[tokio::test]
async fn two_gateways_don_t_write_into_one_folder() {
    let state = tempfile::tempdir().unwrap();
    let first = gateway(state.path()).await;
    until(&first, "/api/v1/calls", |page| page["calls"] == json!([])).await;
    let second = gateway(state.path()).await;
    let mut pbx = Pbx::dial(&second, "nobody").await;
    pbx.expect("HANGUP").await;
    assert_eq!(second.metric("goastgateway_call_table_up"), 0.0);
    let (_, page) = get(&first, "/api/v1/calls").await;
    assert_eq!(page["calls"], json!([]));
    stop(second).await;
    stop(first).await;
}

#[tokio::test]
async fn the_api_is_for_those_who_know_a_token() {
    let state = tempfile::tempdir().unwrap();
    let gateway = gateway(state.path()).await;
    let client = reqwest::Client::new();
    let url = |path: &str| format!("http://{}{path}", gateway.admin);
    for path in ["/api/v1/calls", "/api/v1/live", "/media-distributor/product", "/api/v1/streams"] {
        for token in [None, Some(""), Some("wrong"), Some(&TOKEN[1..])] {
            let request = client.get(url(path));
            let request = match token {
                Some(token) => request.bearer_auth(token),
                None => request,
            };
            let answer = request.send().await.unwrap();
            assert_eq!(answer.status(), StatusCode::UNAUTHORIZED, "{path} {token:?}");
            assert_eq!(answer.headers()["www-authenticate"], "Bearer");
            assert_eq!(answer.headers()["content-type"], "application/problem+json");
        }
    }
    for path in ["/healthz", "/readyz", "/metrics", "/api/v1/openapi.json"] {
        assert_eq!(client.get(url(path)).send().await.unwrap().status(), 200, "{path}");
    }
    stop(gateway).await;
}

#[tokio::test]
async fn without_tokens_the_api_says_what_to_set() {
    let gateway = Gateway::start().await;
    let (status, problem) = get(&gateway, "/api/v1/calls").await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    assert_eq!(problem["type"], "urn:goastgateway:no-api-tokens");
    assert!(problem["remedy"].as_str().unwrap().contains("api_tokens"), "{problem}");
    stop(gateway).await;
}

#[tokio::test]
async fn every_mistake_is_answered_with_what_to_do() {
    let state = tempfile::tempdir().unwrap();
    let gateway = gateway(state.path()).await;
    until(&gateway, "/api/v1/calls", |_| true).await;
    for (path, status, word) in [
        ("/api/v1/calls?ending=sad", 400, "caller_hung_up"),
        ("/api/v1/calls?direction=up", 400, "in, out"),
        ("/api/v1/calls?from=yesterday", 400, "2026-11-21"),
        ("/api/v1/calls?limit=0", 400, "1 to 500"),
        ("/api/v1/calls?limit=x", 400, "openapi.json"),
        ("/api/v1/calls?cursor=x", 400, "next"),
        ("/api/v1/calls?extension=a%20b", 400, "letters"),
        ("/api/v1/calls?colour=red", 400, "openapi.json"),
        ("/api/v1/calls/17", 404, "openapi.json"),
        ("/api/v1/calls/00000000-0000-0000-0000-000000000000", 404, "openapi.json"),
        ("/api/v1/nothing", 404, "openapi.json"),
        ("/media-distributor/product/QUEUE/1", 404, "openapi.json"),
    ] {
        let (code, problem) = get(&gateway, path).await;
        assert_eq!(
            (code.as_u16(), &problem["status"]),
            (status, &json!(status)),
            "{path} {problem}"
        );
        assert!(problem["remedy"].as_str().unwrap().contains(word), "{path}: {problem}");
    }
    let url = format!("http://{}/api/v1/pause", gateway.admin);
    let client = reqwest::Client::new();
    let post = |body: &'static str, kind: &'static str| {
        let request = client.post(&url).bearer_auth(TOKEN).header("content-type", kind).body(body);
        async { request.send().await.unwrap().status().as_u16() }
    };
    let json = "application/json";
    assert_eq!(post("{}", "text/plain").await, 415);
    for bad in ["", "{", "[]", "{}", r#"{"call":"x"}"#, r#"{"channel":""}"#, r#"{"x":1}"#] {
        assert_eq!(post(bad, json).await, 400, "{bad}");
    }
    assert_eq!(post(r#"{"channel":"PJSIP/1"}"#, json).await, 404);
    let long = client.post(&url).bearer_auth(TOKEN).header("content-type", json);
    assert_eq!(long.body("x".repeat(1 << 20)).send().await.unwrap().status(), 413);
    assert_eq!(client.put(&url).bearer_auth(TOKEN).send().await.unwrap().status(), 405);
    stop(gateway).await;
}

#[tokio::test]
async fn ringcentral_s_profiles_are_kept_read_and_removed() {
    let state = tempfile::tempdir().unwrap();
    let first = gateway(state.path()).await;
    let profile = json!({
        "productType": "QUEUE", "productId": 1234, "subAccountId": "99990001",
        "mainAccountId": "99990000", "rcAccountId": "123456789",
        "streamingUrl": "wss://sample.com", "secret": "sampleSecret",
    });
    let client = reqwest::Client::new();
    let post = |gateway: &Gateway, body: &Value| {
        let url = format!("http://{}/media-distributor/product", gateway.admin);
        let request = client.post(url).header("authorization", format!("bearer {TOKEN}"));
        let request = request.header("content-type", "application/json").body(body.to_string());
        async { request.send().await.unwrap() }
    };
    until(&first, "/media-distributor/product", |list| *list == json!([])).await;
    let answer = soon("the folder", async {
        loop {
            let answer = post(&first, &profile).await;
            if answer.status() != StatusCode::SERVICE_UNAVAILABLE {
                break answer;
            }
        }
    })
    .await;
    assert_eq!(answer.status(), 200);
    let echoed: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
    assert_eq!(echoed, profile);
    let mut plain = profile.clone();
    plain["streamingUrl"] = json!("ws://sample.com");
    assert_eq!(post(&first, &plain).await.status(), 400);
    stop(first).await;
    let second = gateway(state.path()).await;
    let path = "/media-distributor/product/QUEUE/1234";
    until(&second, path, |kept| *kept == profile).await;
    let url = format!("http://{}{path}", second.admin);
    let remove = || client.delete(&url).bearer_auth(TOKEN).send();
    assert_eq!(remove().await.unwrap().status(), 204);
    assert_eq!(remove().await.unwrap().status(), 404);
    stop(second).await;
}

#[tokio::test]
async fn who_sends_half_a_head_to_the_operator_s_http_loses_the_connection() {
    let gateway = Gateway::with(|config| config["handshake_timeout"] = json!(0.3), json!({})).await;
    let mut stream = TcpStream::connect(gateway.admin).await.unwrap();
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow: ").await.unwrap();
    let mut answer = Vec::new();
    soon("the end of a slow request", stream.read_to_end(&mut answer)).await.unwrap();
    assert!(!String::from_utf8_lossy(&answer).contains("200 OK"));
    stop(gateway).await;
}

#[tokio::test]
async fn a_flood_of_requests_is_slowed_down_and_health_is_not() {
    let state = tempfile::tempdir().unwrap();
    let gateway = gateway(state.path()).await;
    let client = reqwest::Client::new();
    let url = format!("http://{}/api/v1/live", gateway.admin);
    let mut refused = 0;
    for _ in 0..5_000 {
        let answer = client.get(&url).bearer_auth(TOKEN).send().await.unwrap();
        if answer.status() == StatusCode::TOO_MANY_REQUESTS {
            assert_eq!(answer.headers()["retry-after"], "1");
            refused += 1;
            break;
        }
    }
    assert_eq!(refused, 1);
    let health = client.get(format!("http://{}/healthz", gateway.admin)).send().await.unwrap();
    assert_eq!(health.status(), 200);
    stop(gateway).await;
}
