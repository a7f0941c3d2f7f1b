//! Any channel of Asterisk through ARI: content, every ending, refusals and losses. What is left in
//! Asterisk afterwards is looked at each time.

use std::{net::SocketAddr, sync::Arc};

use goastgateway::tap::{
    StartError, Taps,
    event::StopReason,
    facts::{Side, StreamId},
    spec::{StreamForm, StreamSpec},
};
use rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::{
    consumer::{Boor, Consumer, Rude as RudeConsumer},
    fake_ari::{Ari, Rude, TARGET, TARGET_NAME},
    support::talking,
    *,
};

const NOTHING: [String; 0] = [];

fn spec(json: Value) -> StreamSpec {
    let form: StreamForm = serde_json::from_value(json).unwrap();
    form.read(None).unwrap()
}

fn mix(consumer: &Consumer) -> StreamSpec {
    spec(json!({ "format": "raw", "mix": consumer.url("/mix") }))
}

fn channel(name: &str) -> Whom {
    Whom::Channel(name.to_owned())
}

async fn listen(taps: &Arc<Taps>, name: &str, to: &Consumer) -> Result<StreamId, StartError> {
    taps.start_stream(&channel(name), mix(to), "api").await
}

async fn nothing_is_left(ari: &Ari) {
    until("nothing of ours in Asterisk", || ari.all() == NOTHING).await;
}

#[tokio::test]
async fn what_a_channel_says_is_left_and_what_it_hears_is_right() {
    let ari = Ari::start().await;
    let mut consumer = Consumer::start().await;
    let gateway = ari.gateway(|_| {}).await;
    let taps = &gateway.exchange.taps;
    let both = spec(json!({
        "format": "raw", "left": consumer.url("/left/{extension}/{from}"),
        "right": consumer.url("/right"),
    }));
    let stream = taps.start_stream(&channel(TARGET_NAME), both, "api").await.unwrap();
    assert_eq!(ari.all().len(), 6, "two snoops, two external media, two bridges");
    let call = taps.list().remove(0);
    assert_eq!(
        (call.facts.channel.as_str(), call.facts.channel_id.as_str()),
        (TARGET_NAME, TARGET)
    );
    assert_eq!((call.facts.from.as_str(), call.facts.to.as_str()), ("0312345678", "2001"));
    assert_eq!(gateway.metric("goastgateway_channels_tapped"), 1.0);
    assert_eq!(gateway.metric("goastgateway_calls_active"), 0.0, "its legs are no calls");
    // By its other name it is the same.
    listen(taps, TARGET, &consumer).await.unwrap();
    assert_eq!((ari.all().len(), taps.list().len()), (6, 1));
    tokio::time::sleep(Duration::from_millis(1500)).await;
    for view in &taps.list()[0].streams {
        taps.stop_stream(view.id).unwrap();
    }
    assert!(taps.list()[0].streams.iter().any(|view| view.id == stream));
    let mut all = Vec::new();
    for _ in 0..3 {
        all.push(soon("a connection's end", consumer.connections.recv()).await.unwrap());
    }
    for (path, there, absent) in
        [("/left/2001/0312345678", AGENT, CALLER), ("/right", CALLER, AGENT)]
    {
        let connection = all.iter().find(|c| c.path == path).unwrap();
        let heard = samples(&connection.audio);
        assert!(usual_share(&heard, there, 8_000) > 0.4, "{path}");
        assert!(usual_share(&heard, absent, 8_000) < 0.02, "{path}");
        assert!(connection.closed_in_order);
    }
    nothing_is_left(&ari).await;
    until("the end", || gateway.metric("goastgateway_channels_tapped") == 0.0).await;
    assert!(taps.list().is_empty());
    assert!(!gateway.exchange.metrics.text().contains("goastgateway_calls_total{"), "no call was");
}

#[tokio::test]
async fn a_channel_is_recorded_and_paused_like_a_call() {
    let ari = Ari::start().await;
    let folder = tempfile::tempdir().unwrap();
    let recording = json!({
        "spool": folder.path().join("spool"), "directory": folder.path().join("kept"),
        "min_free_mib": 1,
    });
    // "always" is for the gateway's calls: a channel is recorded where somebody asks for it.
    let (gateway, mut events) =
        ari.gateway_and_events(|config| config["recording"] = recording).await;
    let taps = &gateway.exchange.taps;
    taps.start_recording(&channel(TARGET_NAME), "api").await.unwrap();
    assert_eq!(
        taps.start_recording(&channel(TARGET_NAME), "api").await,
        Err(StartError::Recording)
    );
    tokio::time::sleep(Duration::from_millis(600)).await;
    taps.pause(&channel(TARGET), "anna").unwrap();
    tokio::time::sleep(Duration::from_millis(400)).await;
    taps.resume(&channel(TARGET), "anna").unwrap();
    tokio::time::sleep(Duration::from_millis(600)).await;
    ari.hang_up(TARGET);
    let told =
        events_until(&mut events, "its place", |what| matches!(what, What::RecordingStored { .. }))
            .await;
    let id = told[0].call.call_id;
    let mut wav = hound::WavReader::open(folder.path().join(format!("kept/{id}.wav"))).unwrap();
    let all: Vec<i16> = wav.samples().map(Result::unwrap).collect();
    let side = |n: usize| all.iter().skip(n).step_by(2).copied().collect::<Vec<i16>>();
    for (side, there, absent) in [(side(0), AGENT, CALLER), (side(1), CALLER, AGENT)] {
        assert!(usual_share(&side, there, 16_000) > 0.4);
        assert!(usual_share(&side, absent, 16_000) < 0.02);
        let silent = side.chunks_exact(320).filter(|slot| slot.iter().all(|s| *s == 0)).count();
        assert!((18..50).contains(&silent), "{silent} silent slots");
    }
    nothing_is_left(&ari).await;
}

#[tokio::test]
async fn configured_streams_are_for_channels_only_where_they_name_channels() {
    let ari = Ari::start().await;
    let consumer = Consumer::start().await;
    let (plain, named) = (consumer.url("/plain"), consumer.url("/named"));
    let gateway = ari
        .gateway(|config| {
            config["streams"] = json!([
                { "name": "calls", "format": "raw", "mix": plain },
                { "name": "phones", "format": "raw", "mix": named,
                  "only": { "channel": ["PJSIP/20.*"], "variable": { "CRM": "1." } } },
            ]);
        })
        .await;
    let taps = &gateway.exchange.taps;
    let asked = listen(taps, TARGET, &consumer).await.unwrap();
    let mut names: Vec<String> = taps.list()[0].streams.iter().map(|s| s.name.clone()).collect();
    names.sort();
    assert_eq!(names, ["phones", "raw"]);
    let _ = (asked, Side::Mix);
}

/// What stands in front of Asterisk's HTTP and speaks TLS; gives its address.
async fn behind_tls(ari: &Ari, cert: &std::path::Path, key: &std::path::Path) -> SocketAddr {
    let chain = vec![CertificateDer::from_pem_file(cert).unwrap()];
    let key = PrivateKeyDer::from_pem_file(key).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, asterisk) = (listener.local_addr().unwrap(), ari.address);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let (Ok(mut near), Ok(mut far)) =
                    (acceptor.accept(stream).await, TcpStream::connect(asterisk).await)
                else {
                    return;
                };
                let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
            });
        }
    });
    address
}

#[tokio::test]
async fn ari_over_https_is_trusted_by_its_authority_and_by_nobody_else() {
    let ari = Ari::start().await;
    let mut consumer = Consumer::start().await;
    let folder = tempfile::tempdir().unwrap();
    let (cert, key) = crate::support::write_certificate(folder.path());
    let address = behind_tls(&ari, &cert, &key).await;
    let url = json!(format!("https://localhost:{}", address.port()));
    let secure = |config: &mut Value| {
        config["ari"]["url"] = url.clone();
        config["ari"]["ca_file"] = json!(cert);
    };
    let gateway = ari.gateway(secure).await;
    let stream = listen(&gateway.exchange.taps, TARGET_NAME, &consumer).await.unwrap();
    let sent = || gateway.exchange.taps.list()[0].streams[0].connections[0].sent;
    until("audio", || sent() > 20).await;
    gateway.exchange.taps.stop_stream(stream).unwrap();
    let connection = soon("the connection's end", consumer.connections.recv()).await.unwrap();
    assert!(connection.frames > 20);
    nothing_is_left(&ari).await;
    drop(gateway);

    // Without its authority nobody is asked anything, and nobody gets the password.
    let asked = ari.requests().len();
    let strict = |config: &mut Value| {
        config["ari"] = ari.settings();
        config["ari"]["url"] = url.clone();
    };
    let gateway = Gateway::with(strict, json!({})).await;
    let refused = listen(&gateway.exchange.taps, TARGET_NAME, &consumer).await;
    assert!(refused.is_err(), "{refused:?}");
    assert_eq!(ari.requests().len(), asked);
}

#[tokio::test]
async fn when_the_channel_hangs_up_the_stream_ends_in_order() {
    let ari = Ari::start().await;
    let mut consumer = Consumer::start().await;
    let (gateway, mut events) = ari.gateway_and_events(|_| {}).await;
    listen(&gateway.exchange.taps, TARGET, &consumer).await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    ari.hang_up(TARGET);
    let connection = soon("the connection's end", consumer.connections.recv()).await.unwrap();
    assert!(connection.closed_in_order && connection.frames > 5);
    let told =
        events_until(&mut events, "the end", |what| matches!(what, What::StreamStopped { .. }))
            .await;
    assert!(matches!(
        told.last().unwrap().what,
        What::StreamStopped { reason: StopReason::CallEnded, .. }
    ));
    nothing_is_left(&ari).await;
    let again = listen(&gateway.exchange.taps, TARGET, &consumer).await;
    assert_eq!(again, Err(StartError::NoSuchChannel));
}

#[tokio::test]
async fn whatever_is_refused_or_not_answered_nothing_is_left() {
    let ari = Ari::start().await;
    let consumer = Consumer::start().await;
    let gateway = ari.gateway(|_| {}).await;
    let taps = &gateway.exchange.taps;
    let asterisk = |error: StartError| match error {
        StartError::Asterisk(why) => why,
        other => panic!("{other:?}"),
    };
    for (rude, to, why) in [
        (Rude::Status(400), "/snoop", "snoop: as told"),
        (Rude::Status(500), "spy=out", "snoop: as told"),
        (Rude::Status(400), "externalMedia", "look at websocket_client.conf"),
        (Rude::Status(409), "POST /ari/bridges?", "bridge: as told"),
        (Rude::Status(422), "addChannel", "bridge: as told"),
        (Rude::Status(403), "externalMedia", "read_only"),
        (Rude::Breaks, "externalMedia", "in time"),
        (Rude::Breaks, "spy=in", "in time"),
        (Rude::Breaks, "bridgeId", "in time"),
        (Rude::Silent, "addChannel", "in time"),
        (Rude::Lies, "externalMedia", "in time"),
        (Rude::Status(500), "GET /ari/channels/", "as told"),
    ] {
        ari.be(rude, to);
        let error = asterisk(listen(taps, TARGET, &consumer).await.unwrap_err());
        assert!(error.contains(why), "{rude:?} {to}: {error}");
        nothing_is_left(&ari).await;
        ari.be_nice();
    }
    // Whatever has gone before, it works now.
    let stream = listen(taps, TARGET, &consumer).await.unwrap();
    assert_eq!(ari.all().len(), 6);
    // A deletion that fails once is tried again; what can't be deleted at all is swept later.
    ari.be(Rude::Status(500), "DELETE");
    taps.stop_stream(stream).unwrap();
    until("three tries", || {
        ari.requests().iter().filter(|r| r.starts_with("DELETE") && r.ends_with("-bi")).count() > 15
            || ari.requests().iter().rev().take_while(|r| r.starts_with("DELETE")).count() >= 18
    })
    .await;
    ari.be_nice();
    nothing_is_left(&ari).await;
}

#[tokio::test]
async fn a_channel_that_is_not_there_is_told_so() {
    let ari = Ari::start().await;
    let consumer = Consumer::start().await;
    let gateway = ari.gateway(|_| {}).await;
    for name in ["PJSIP/9-1", "1.1", "goastgateway-tap-7bace96a-b33e-4d19-ae72-e1ba25886472-si"] {
        let error = listen(&gateway.exchange.taps, name, &consumer).await;
        assert_eq!(error, Err(StartError::NoSuchChannel), "{name}");
    }
    nothing_is_left(&ari).await;
}

#[tokio::test]
async fn an_asterisk_without_ari_costs_nothing_but_the_wish() {
    let nobody = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let consumer = Consumer::start().await;
    let gateway = Gateway::with(
        move |config| {
            config["ari"] = json!({ "url": format!("http://{nobody}"), "username": "gw",
                                    "password": "x", "connection": "gw" });
        },
        json!({}),
    )
    .await;
    let (mut pbx, mut phone) = talking(&gateway, "2001").await;
    let error = listen(&gateway.exchange.taps, TARGET, &consumer).await.unwrap_err();
    assert_eq!(error, StartError::Asterisk("ARI is not there".to_owned()));
    // Calls go on as ever.
    assert_eq!(talk(&mut pbx, &mut phone, 10).await.said, 10);
}

#[tokio::test]
async fn a_call_of_the_gateway_is_heard_by_its_own_tap() {
    let ari = Ari::start().await;
    let consumer = Consumer::start().await;
    let gateway = ari.gateway(|_| {}).await;
    let mut pbx = Pbx::dial(&gateway, "2001").await;
    let (mut pbx, mut phone) = {
        pbx.closed().await; // nobody is logged in
        talking(&gateway, "2001").await
    };
    let before = ari.requests().len();
    listen(&gateway.exchange.taps, "WebSocket/ws-ext-endpoint/0x7f00", &consumer).await.unwrap();
    listen(&gateway.exchange.taps, "1700000000.0", &consumer).await.unwrap();
    talk(&mut pbx, &mut phone, 5).await;
    assert_eq!(ari.requests().len(), before);
}

#[tokio::test]
async fn a_consumer_that_is_given_up_lets_the_channel_go() {
    let ari = Ari::start().await;
    let boor = Boor::start(RudeConsumer::Status(403)).await;
    let gateway = ari.gateway(|_| {}).await;
    let refused = spec(json!({ "format": "raw", "mix": format!("ws://{}/", boor.address) }));
    gateway.exchange.taps.start_stream(&channel(TARGET), refused, "api").await.unwrap();
    nothing_is_left(&ari).await;
}

#[tokio::test]
async fn a_leg_that_breaks_ends_it_and_the_rest_is_cleared_away() {
    let ari = Ari::start().await;
    let mut consumer = Consumer::start().await;
    let gateway = ari.gateway(|_| {}).await;
    listen(&gateway.exchange.taps, TARGET, &consumer).await.unwrap();
    ari.break_leg();
    assert!(soon("its end", consumer.connections.recv()).await.unwrap().closed_in_order);
    nothing_is_left(&ari).await;
    // It can be listened to again.
    listen(&gateway.exchange.taps, TARGET, &consumer).await.unwrap();
}

#[tokio::test]
async fn when_the_gateway_stops_nothing_is_left() {
    let ari = Ari::start().await;
    let mut consumer = Consumer::start().await;
    let mut gateway = ari.gateway(|_| {}).await;
    listen(&gateway.exchange.taps, TARGET, &consumer).await.unwrap();
    let began = Instant::now();
    gateway.control.drain.cancel();
    gateway.stopped().await;
    assert!(began.elapsed() < Duration::from_secs(8), "who listens holds no stop up");
    assert_eq!(ari.all(), NOTHING);
    assert!(soon("its end", consumer.connections.recv()).await.unwrap().closed_in_order);
}

#[tokio::test]
async fn leftovers_of_an_earlier_run_are_swept_and_nobody_elses() {
    let ari = Ari::start().await;
    let id = "7bace96a-b33e-4d19-ae72-e1ba25886472";
    ari.add(&format!("goastgateway-tap-{id}-si"), &format!("goastgateway-tap-{id}-bi"));
    ari.add(&format!("othergateway-tap-{id}-si"), &format!("othergateway-tap-{id}-bi"));
    ari.add("goastgateway-tap-monitor", "goastgateway-tap-conference");
    let _gateway = ari.gateway(|_| {}).await;
    until("the sweep", || ari.all().len() == 4).await;
    assert!(!ari.all().iter().any(|name| name.starts_with("goastgateway-tap-7")));
    // What comes to be after it was given up is not kept, either.
    ari.add(&format!("goastgateway-tap-{id}-so"), "goastgateway-tap-conference");
    ari.enter(&format!("goastgateway-tap-{id}-so"));
    until("the late one's end", || ari.all().len() == 4).await;
}

#[tokio::test]
async fn a_short_loss_of_events_costs_nothing_and_what_ended_meanwhile_is_found() {
    let ari = Ari::start().await;
    let mut consumer = Consumer::start().await;
    let gateway = ari.gateway(|_| {}).await;
    let taps = &gateway.exchange.taps;
    listen(taps, TARGET, &consumer).await.unwrap();
    ari.go_deaf();
    until("the loss", || gateway.metric("goastgateway_ari_up") == 0.0).await;
    let refused = listen(taps, "1.1", &consumer).await;
    assert_eq!(refused, Err(StartError::Asterisk("ARI is not there".to_owned())));
    ari.be_nice();
    until("ARI", || gateway.metric("goastgateway_ari_up") == 1.0).await;
    assert_eq!((taps.list().len(), ari.all().len()), (1, 6), "it goes on");
    ari.go_deaf();
    until("the loss", || gateway.metric("goastgateway_ari_up") == 0.0).await;
    ari.hang_up(TARGET); // nobody is told
    ari.be_nice();
    assert!(soon("its end", consumer.connections.recv()).await.unwrap().closed_in_order);
    nothing_is_left(&ari).await;
}

#[tokio::test]
async fn an_asterisk_that_stays_away_ends_it() {
    let ari = Ari::start().await;
    let mut consumer = Consumer::start().await;
    let gateway = ari.gateway(|_| {}).await;
    listen(&gateway.exchange.taps, TARGET, &consumer).await.unwrap();
    ari.go_deaf();
    ari.be(Rude::Status(503), "DELETE");
    assert!(soon("its end", consumer.connections.recv()).await.unwrap().closed_in_order);
    until("the end", || gateway.exchange.taps.list().is_empty()).await;
    ari.be_nice();
    nothing_is_left(&ari).await;
}

#[tokio::test]
async fn somebody_who_takes_the_application_is_not_fought() {
    let ari = Ari::start().await;
    let gateway = ari.gateway(|_| {}).await;
    ari.replace();
    until("the loss", || gateway.metric("goastgateway_ari_up") == 0.0).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(gateway.metric("goastgateway_ari_up"), 0.0);
}

#[tokio::test]
async fn how_many_channels_are_listened_to_has_a_bound() {
    let ari = Ari::start().await;
    let consumer = Consumer::start().await;
    let gateway = ari.gateway(|config| config["ari"]["max_channels"] = json!(2)).await;
    let taps = &gateway.exchange.taps;
    ari.add("5.1", "5");
    ari.add("5.2", "5");
    listen(taps, TARGET, &consumer).await.unwrap();
    listen(taps, "5.1", &consumer).await.unwrap();
    assert_eq!(listen(taps, "5.2", &consumer).await, Err(StartError::TooManyChannels(2)));
    listen(taps, TARGET, &consumer).await.unwrap();
}

#[tokio::test]
async fn many_who_ask_at_once_share_one() {
    let ari = Ari::start().await;
    let consumer = Consumer::start().await;
    let gateway = ari.gateway(|_| {}).await;
    let taps = &gateway.exchange.taps;
    let ask =
        |n: usize| listen(taps, if n.is_multiple_of(2) { TARGET } else { TARGET_NAME }, &consumer);
    let all = futures_util::future::join_all((0..12).map(ask)).await;
    assert!(all.iter().all(Result::is_ok), "{all:?}");
    assert_eq!((taps.list().len(), ari.all().len()), (1, 6));
}
