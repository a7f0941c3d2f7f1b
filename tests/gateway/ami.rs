//! Asterisk's manager, as far as a fake one shows it: what is sent, what is not, and what happens
//! without it.

use std::time::{Duration, Instant};

use crate::support::{Gateway, Got, Pbx, Phone, manager::Manager, soon};
use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};

#[tokio::test]
async fn a_declined_call_is_hung_up_by_the_manager_with_the_cause_of_busy() {
    let manager = Manager::new().await;
    let gateway = manager.gateway().await;
    let mut session = manager.accept(&gateway).await;
    let mut phone = Phone::ready(&gateway, "2001").await;
    let mut pbx = Pbx::dial(&gateway, "2001").await;
    phone.expect("RINGING").await;
    phone.say("HANGUP").await;
    let action = session.action().await;
    assert_eq!((action.name(), action.get("Cause")), ("Hangup", "17"));
    assert_eq!(action.get("Channel"), "WebSocket/ws-ext-endpoint/0x7f00");
    session.answer(&action, "Success", "").await;
    pbx.hang_up().await; // as Asterisk does then
    assert!(!matches!(pbx.next().await, Got::Text(_)), "no HANGUP on top");
}

#[tokio::test]
async fn a_manager_that_does_nothing_holds_no_call_up() {
    let manager = Manager::new().await;
    let gateway = manager.gateway().await;
    let mut session = manager.accept(&gateway).await;
    let began = Instant::now();
    let mut pbx = Pbx::dial(&gateway, "2999").await;
    assert_eq!(session.action().await.get("Cause"), "20");
    pbx.expect("HANGUP").await;
    assert!(began.elapsed() >= Duration::from_millis(250), "it had its time");
}

#[tokio::test]
async fn after_the_answer_hangup_goes_over_the_calls_own_socket() {
    let manager = Manager::new().await;
    let gateway = manager.gateway().await;
    let mut session = manager.accept(&gateway).await;
    let (mut pbx, mut phone) = crate::support::talking(&gateway, "2001").await;
    phone.say("HANGUP").await;
    pbx.expect("HANGUP").await;
    // The next thing that the manager hears is another call's.
    let _other = Pbx::dial(&gateway, "2999").await;
    assert_eq!(session.action().await.get("Cause"), "20");
}

#[tokio::test]
async fn without_the_manager_and_after_it_is_lost_calls_end_as_before() {
    let manager = Manager::new().await;
    let gateway = manager.gateway().await;
    Pbx::dial(&gateway, "2999").await.expect("HANGUP").await;
    let session = manager.accept(&gateway).await;
    drop(session);
    soon("the loss to be noticed", async {
        while gateway.metric("goastgateway_ami_up") > 0.0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    Pbx::dial(&gateway, "2999").await.expect("HANGUP").await;
    // And it is there again by itself.
    let mut session = manager.accept(&gateway).await;
    let _pbx = Pbx::dial(&gateway, "2999").await;
    assert_eq!(session.action().await.get("Cause"), "20");
}

#[tokio::test]
async fn a_refused_login_is_tried_again_and_costs_no_call_anything() {
    let manager = Manager::new().await;
    let gateway = manager.gateway().await;
    let mut session = manager.session().await;
    let login = session.action().await;
    session.refuse(&login, "Authentication failed").await;
    Pbx::dial(&gateway, "2999").await.expect("HANGUP").await;
    manager.accept(&gateway).await;
}

#[tokio::test]
async fn a_channel_name_that_is_a_pattern_or_a_line_break_never_reaches_the_manager() {
    let manager = Manager::new().await;
    let gateway = manager.gateway().await;
    let mut session = manager.accept(&gateway).await;
    for channel in ["/.*/", "x\r\nAction: Originate"] {
        let mut pbx = Pbx::connect(&gateway).await;
        let mut start = crate::support::media_start(json!({ "WS_EXTEN": "2999" }));
        start["channel"] = json!(channel);
        pbx.send(start.to_string()).await;
        pbx.expect("HANGUP").await;
    }
    let _pbx = Pbx::dial(&gateway, "2999").await;
    let action = session.action().await;
    assert_eq!(action.get("Channel"), "WebSocket/ws-ext-endpoint/0x7f00");
}

#[tokio::test]
async fn the_manager_is_reached_over_tls_and_only_with_a_certificate_that_is_trusted() {
    use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
    let folder = tempfile::tempdir().unwrap();
    let (cert, key) = crate::support::write_certificate(folder.path());
    let server = rustls::ServerConfig::builder_with_provider(
        rustls::crypto::aws_lc_rs::default_provider().into(),
    )
    .with_safe_default_protocol_versions()
    .unwrap()
    .with_no_client_auth()
    .with_single_cert(
        vec![CertificateDer::from_pem_file(&cert).unwrap()],
        PrivateKeyDer::from_pem_file(&key).unwrap(),
    )
    .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(std::sync::Arc::new(server));
    let other = tempfile::tempdir().unwrap();
    let (stranger, _) = crate::support::write_certificate(other.path());
    for (authority, trusted) in [(&cert, true), (&stranger, false)] {
        let manager = Manager::new().await;
        let mut settings = manager.settings();
        settings["tls"] = json!(true);
        settings["ca_file"] = json!(authority);
        let _gateway = Gateway::with(|c| c["ami"] = settings, json!({})).await;
        let (stream, _) = soon("a connection", manager.0.accept()).await.unwrap();
        let accepted = soon("a handshake", acceptor.accept(stream)).await;
        assert_eq!(accepted.is_ok(), trusted);
        if let Ok(mut stream) = accepted {
            stream.write_all(b"Asterisk Call Manager/12.0.0\r\n").await.unwrap();
            let mut lines = BufReader::new(stream).lines();
            let line = soon("the login", lines.next_line()).await.unwrap().unwrap();
            assert_eq!(line, "Action: Login");
        }
    }
}
