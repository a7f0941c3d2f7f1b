//! Consumers behind TLS: an authority of one's own, a certificate that is asked for, and what is told
//! where one of both isn't right.

use std::{path::PathBuf, sync::Arc};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{
    RootCertStore, ServerConfig, crypto::aws_lc_rs, pki_types::CertificateDer,
    pki_types::PrivateKeyDer, pki_types::pem::PemObject, server::WebPkiClientVerifier,
};
use serde_json::{Value, json};

use crate::{
    consumer::Consumer,
    support::{frame, talking},
    *,
};

/// An authority, and whom it has signed, as PEM files.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: tempfile::TempDir,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let issuer = CertifiedIssuer::self_signed(params, key).unwrap();
        let authority = Self { issuer, folder: tempfile::tempdir().unwrap() };
        std::fs::write(authority.file("ca.pem"), authority.issuer.pem()).unwrap();
        authority
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Signs a certificate for a name; gives its file and its key's.
    fn sign(&self, name: &str) -> (PathBuf, PathBuf) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let cert = params.signed_by(&key, &self.issuer).unwrap();
        let files = (self.file(&format!("{name}.pem")), self.file(&format!("{name}-key.pem")));
        std::fs::write(&files.0, cert.pem()).unwrap();
        std::fs::write(&files.1, key.serialize_pem()).unwrap();
        files
    }

    /// What a consumer of this name serves with, who asks for a certificate that `clients` has
    /// signed.
    fn server(&self, name: &str, clients: Option<&Self>) -> Arc<ServerConfig> {
        let (cert, key) = self.sign(name);
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .unwrap();
        let builder = match clients {
            None => builder.with_no_client_auth(),
            Some(clients) => {
                let mut roots = RootCertStore::empty();
                let ca = CertificateDer::from_pem_file(clients.file("ca.pem")).unwrap();
                roots.add(ca).unwrap();
                let asks = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                builder.with_client_cert_verifier(asks.build().unwrap())
            }
        };
        let chain = vec![CertificateDer::from_pem_file(cert).unwrap()];
        let key = PrivateKeyDer::from_pem_file(key).unwrap();
        Arc::new(builder.with_single_cert(chain, key).unwrap())
    }
}

fn numbered(n: usize) -> (bytes::Bytes, bytes::Bytes) {
    (frame(2 * n as u16 + 1), frame(2 * n as u16 + 2))
}

#[tokio::test]
async fn a_consumer_of_one_s_own_authority_that_asks_for_a_certificate_gets_the_call() {
    let (theirs, ours) = (Authority::new(), Authority::new());
    let mut consumer = Consumer::with_tls(theirs.server("localhost", Some(&ours))).await;
    let (cert, key) = ours.sign("gateway.example");
    let port = consumer.address.port();
    let stream = json!({
        "name": "lab", "format": "raw", "mix": format!("wss://localhost:{port}/configured"),
        "ca_file": theirs.file("ca.pem"), "cert_file": cert, "key_file": key,
    });
    let token = "a token of the tests, that is long enough".replace(' ', "-");
    let change = |config: &mut Value| {
        config["streams"] = json!([stream]);
        config["api_tokens"] = json!([token]);
    };
    let gateway = Gateway::with(change, json!({})).await;
    let (mut pbx, mut phone) = talking(&gateway, "2001").await;
    // A stream that is asked for over HTTP uses the same certificates, by the stream's name.
    let call = gateway.exchange.taps.list()[0].facts.call_id;
    let asked = async |tls: &str| {
        let url = format!("wss://localhost:{port}/asked");
        let body = json!({ "call": call, "stream": { "format": "raw", "mix": url, "tls": tls } });
        let answer = reqwest::Client::new()
            .post(format!("http://{}/api/v1/streams", gateway.admin))
            .bearer_auth(&token)
            .header("content-type", "application/json")
            .body(body.to_string())
            .send()
            .await
            .unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    assert_eq!(asked("lab").await.0, 201);
    let (status, problem) = asked("laboratory").await;
    assert_eq!(status, 400);
    assert!(problem.contains("names no configured stream"), "{problem}");
    talk_of(&mut pbx, &mut phone, 50, numbered).await;
    pbx.hang_up().await;
    let mut paths = Vec::new();
    for _ in 0..2 {
        let connection = soon("a connection's end", consumer.connections.recv()).await.unwrap();
        assert!(connection.closed_in_order && connection.frames > 0);
        paths.push(connection.path);
    }
    paths.sort();
    assert!(paths[0].ends_with("/asked") && paths[1].ends_with("/configured"), "{paths:?}");
}

/// What is told of a stream to a consumer behind TLS that doesn't come about.
async fn failure(server: Arc<ServerConfig>, more: Value) -> String {
    let consumer = Consumer::with_tls(server).await;
    let url = format!("wss://localhost:{}/", consumer.address.port());
    let mut stream = json!({ "format": "raw", "mix": url });
    for (key, value) in more.as_object().unwrap() {
        stream[key] = value.clone();
    }
    let gateway = Gateway::with(|config| config["streams"] = json!([stream]), json!({})).await;
    let mut events = gateway.exchange.taps.take_events().unwrap();
    let (_pbx, _phone) = talking(&gateway, "2001").await;
    let failed = |what: &What| matches!(what, What::StreamFailed { .. });
    let told = events_until(&mut events, "the stream's failure", failed).await;
    // At once: no certificate gets better by asking again.
    assert_eq!(consumer.tries(), 1, "{told:?}");
    let What::StreamFailed { reason, .. } = &told[told.len() - 1].what else { unreachable!() };
    reason.clone()
}

#[tokio::test]
async fn a_certificate_that_nobody_trusted_has_signed_is_told_as_that() {
    let (theirs, another) = (Authority::new(), Authority::new());
    let server = theirs.server("localhost", None);
    let reason = failure(server, json!({ "ca_file": another.file("ca.pem") })).await;
    assert_eq!(reason, "TLS: nobody whom we trust has signed the certificate");
}

#[tokio::test]
async fn a_certificate_of_another_host_is_told_as_that() {
    let theirs = Authority::new();
    let server = theirs.server("other.example", None);
    let reason = failure(server, json!({ "ca_file": theirs.file("ca.pem") })).await;
    assert_eq!(reason, "TLS: the certificate is another host's");
}

#[tokio::test]
async fn a_certificate_that_is_asked_for_and_missing_is_told_as_that() {
    let theirs = Authority::new();
    let server = theirs.server("localhost", Some(&theirs));
    let reason = failure(server, json!({ "ca_file": theirs.file("ca.pem") })).await;
    assert_eq!(reason, "TLS: a certificate of ours is asked for");
}

#[tokio::test]
async fn a_certificate_of_ours_that_is_refused_is_told_as_that() {
    let (theirs, another) = (Authority::new(), Authority::new());
    let (cert, key) = another.sign("gateway.example");
    let server = theirs.server("localhost", Some(&theirs));
    let more = json!({ "ca_file": theirs.file("ca.pem"), "cert_file": cert, "key_file": key });
    let reason = failure(server, more).await;
    assert!(reason.starts_with("TLS: our certificate is refused ("), "{reason}");
}
