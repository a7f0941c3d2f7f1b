use rustls::{
    ClientConfig, RootCertStore, SupportedProtocolVersion,
    crypto::aws_lc_rs,
    pki_types::{PrivateKeyDer, ServerName},
    version::{TLS12, TLS13},
};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::*;
use crate::net::{
    io::Io,
    tcp::{Tcp, tests::narrow_pair},
    wire::{Message, Turn, Wire},
};

/// Both ends of a connection over a stream that takes so many bytes at a time.
async fn pair(
    version: &'static SupportedProtocolVersion,
    room: usize,
) -> (Sealed<DuplexStream>, TlsStream<DuplexStream>) {
    let (near, far) = duplex(room);
    pair_over(version, near, far).await
}

/// Both ends over both ends of this.
async fn pair_over<A, B>(
    version: &'static SupportedProtocolVersion,
    near: A,
    far: B,
) -> (Sealed<A>, TlsStream<B>)
where
    A: AsyncRead + AsyncWrite + Unpin,
    B: AsyncRead + AsyncWrite + Unpin,
{
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let chain = vec![made.cert.der().clone()];
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(chain[0].clone()).unwrap();
    let server = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[version])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let client = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").unwrap();
    let connector = TlsConnector::from(Arc::new(client));
    let (server, client) =
        tokio::join!(Sealed::accept(near, Arc::new(server)), connector.connect(name, far));
    (server.unwrap(), client.unwrap())
}

fn said(length: usize) -> Vec<u8> {
    (0..length).map(|n| (n % 251) as u8).collect()
}

#[tokio::test]
async fn however_the_bytes_are_cut_both_sides_hear_what_was_said() {
    for version in [&TLS12, &TLS13] {
        for (room, longest) in
            [(1, 646), (7, 4096), (700, 50_000), (5000, 50_000), (1 << 20, 50_000)]
        {
            // The ticket of TLS 1.3 has to have room: its client doesn't read until it is greeted.
            if room < 700 && version == &TLS13 {
                continue;
            }
            let (mut server, mut client) = pair(version, room).await;
            let lengths = [1, 646, 4000, 4096, 16_384, 50_000];
            for length in lengths.into_iter().filter(|length| *length <= longest) {
                let (up, mut heard) = (said(length), vec![0; length]);
                let spoken = async {
                    client.write_all(&up).await.unwrap();
                    client.flush().await.unwrap();
                };
                let (_, read) = tokio::join!(spoken, server.read_exact(&mut heard));
                assert_eq!((read.unwrap(), &heard), (length, &up), "up, {room}, {length}");
                let answered = async {
                    server.write_all(&up).await.unwrap();
                    server.flush().await.unwrap();
                };
                heard.fill(0);
                let (_, read) = tokio::join!(answered, client.read_exact(&mut heard));
                assert_eq!((read.unwrap(), &heard), (length, &up), "down, {room}, {length}");
            }
            assert!(server.pending.is_none(), "kept by an idle one");
        }
    }
}

#[tokio::test]
async fn new_keys_in_the_middle_are_taken_and_answered() {
    let (mut server, mut client) = pair(&TLS13, 300).await;
    let mut heard = vec![0; 5000];
    for _ in 0..3 {
        client.get_mut().1.refresh_traffic_keys().unwrap();
        let words = said(5000);
        let spoken = async {
            client.write_all(&words).await.unwrap();
            client.flush().await.unwrap();
        };
        let (_, read) = tokio::join!(spoken, server.read_exact(&mut heard));
        read.unwrap();
        let answered = async {
            server.write_all(&words).await.unwrap();
            server.flush().await.unwrap();
        };
        let (_, read) = tokio::join!(answered, client.read_exact(&mut heard));
        read.unwrap();
        assert_eq!(heard, words);
    }
}

#[tokio::test]
async fn a_goodbye_is_told_from_a_cut_in_both_directions() {
    let (mut server, mut client) = pair(&TLS13, 4096).await;
    client.shutdown().await.unwrap();
    assert_eq!(server.read(&mut [0; 8]).await.unwrap(), 0);
    assert_eq!(server.read(&mut [0; 8]).await.unwrap(), 0, "again");
    server.write_all(b"and so long").await.unwrap();
    server.shutdown().await.unwrap();
    let mut heard = Vec::new();
    client.read_to_end(&mut heard).await.unwrap();
    assert_eq!(heard, b"and so long");

    let (mut server, client) = pair(&TLS13, 4096).await;
    drop(client);
    let error = server.read(&mut [0; 8]).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
}

#[tokio::test]
async fn what_is_no_tls_ends_the_connection_with_an_alert() {
    let (mut server, mut client) = pair(&TLS13, 4096).await;
    client.get_mut().0.write_all(&[0x17, 3, 3, 0, 20]).await.unwrap();
    client.get_mut().0.write_all(&[9; 20]).await.unwrap();
    let error = server.read(&mut [0; 8]).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{error}");
    let error = client.read(&mut [0; 8]).await.unwrap_err();
    assert!(error.to_string().contains("BadRecordMac"), "{error}");
    assert!(server.write(b"more").await.is_err());
}

#[tokio::test]
async fn a_handshake_that_is_none_is_refused_within_bounds() {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let config = Arc::new(config);
    for says in [b"GET / HTTP/1.1\r\n\r\n".to_vec(), vec![0x16; 100], handshake_without_end()] {
        let (near, mut far) = duplex(1 << 20);
        far.write_all(&says).await.unwrap();
        let refused = Sealed::accept(near, config.clone()).await;
        let error = refused.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{error}");
    }
}

/// A handshake message of 16 MiB, as it announces, in many records.
fn handshake_without_end() -> Vec<u8> {
    let mut all = Vec::new();
    for n in 0..200 {
        all.extend_from_slice(&[0x16, 3, 1, 4, 0]);
        let mut part = vec![0; 1024];
        if n == 0 {
            part[..4].copy_from_slice(&[1, 0xff, 0xff, 0xff]);
        }
        all.extend_from_slice(&part);
    }
    all
}

#[test]
fn what_a_frame_touches_beside_the_session_lies_in_one_line() {
    assert!(std::mem::offset_of!(Sealed<Tcp>, session) <= 64);
    assert_eq!(align_of::<Sealed<Tcp>>(), 64);
    let session = size_of::<UnbufferedServerConnection>();
    assert!(size_of::<Sealed<Tcp>>() <= session + 2 * 64, "little beside {session}");
}

#[tokio::test]
async fn a_record_with_what_follows_it_is_heard_and_answered() {
    // Audio, new keys and audio again, which come at once.
    let (mut server, mut client) = pair(&TLS13, 1 << 16).await;
    client.write_all(b"before").await.unwrap();
    client.get_mut().1.refresh_traffic_keys().unwrap();
    client.write_all(b"after").await.unwrap();
    client.flush().await.unwrap();
    let mut heard = [0; 11];
    server.read_exact(&mut heard).await.unwrap();
    assert_eq!(&heard, b"beforeafter");
    server.write_all(b"heard").await.unwrap();
    let mut answer = [0; 5];
    client.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"heard");
    assert!(server.pending.is_none());
}

#[tokio::test]
async fn who_reads_nothing_for_a_while_hears_all_in_order_later() {
    for is_tls in [false, true] {
        let (near, far) = narrow_pair().await;
        let (near, far): (_, Box<dyn Stream>) = if is_tls {
            let (near, far) = pair_over(&TLS13, Tcp::from(near), far).await;
            (Io::Tls(Box::new(near)), Box::new(far))
        } else {
            (Io::Plain(near.into()), Box::new(far))
        };
        let mut wire = Wire::server(near, Vec::new(), 4000);
        let mut peer = Wire::client(far, Vec::new(), 4000);
        let message = |n: usize| Message::Binary(said(1 + n * 37 % 1500).into());
        let mut sent = 0;
        while wire.waiting() < 20 {
            wire.send_now(message(sent)).unwrap();
            sent += 1;
        }
        let heard = async {
            for n in 0..sent {
                let Message::Binary(bytes) = message(n) else { unreachable!() };
                assert_eq!(peer.turn().await, Turn::Binary(bytes), "{n} of {sent}, {is_tls}");
            }
            peer.send(Message::text("all")).unwrap();
            peer.close(1000, "").await;
        };
        let (turn, ()) = tokio::join!(wire.turn(), heard);
        assert_eq!(turn, Turn::Text("all".into()));
        assert_eq!(wire.waiting(), 0);
    }
}

trait Stream: AsyncRead + AsyncWrite + Unpin {}
impl<S: AsyncRead + AsyncWrite + Unpin> Stream for S {}
