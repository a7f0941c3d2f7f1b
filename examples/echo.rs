//! Echoes every message through the code that both listeners serve their WebSockets with: the same
//! door, the same upgrade, the same [`Wire`], plain and behind TLS.
//!
//! For Autobahn's test suite (`tests/assurance/autobahn`) and nothing else. Prints where it
//! listens, `ws://… wss://…`, and ends with its standard input.
#![allow(clippy::print_stdout)]

use std::{future::poll_fn, time::Duration};

use goastgateway::{
    config::TlsIdentity,
    net::{
        door,
        io::Io,
        listen::{self, Tuning},
        tls,
        upgrade::{Accepted, NotAnUpgrade, Upgrade, answer},
        wire::{Message, Turn, Wire},
    },
};
use hyper::StatusCode;
use tokio::net::TcpListener;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Longest message: a quarter of a megabyte as towards Asterisk, times four for the suite's sake.
const MAX_MESSAGE: usize = 1024 * 1024;
const HANDSHAKE: Duration = Duration::from_secs(10);

type Failure = Box<dyn std::error::Error>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    let tasks = TaskTracker::new();
    let plain = TcpListener::bind("127.0.0.1:0").await?;
    let secure = TcpListener::bind("127.0.0.1:0").await?;
    println!("ws://{} wss://{}", plain.local_addr()?, secure.local_addr()?);
    open(plain, Tuning::Asterisk, None, &tasks);
    open(secure, Tuning::Phone, Some(identity(folder.path())?), &tasks);
    let input =
        tokio::task::spawn_blocking(|| std::io::copy(&mut std::io::stdin(), &mut std::io::sink()));
    input.await??;
    Ok(())
}

fn identity(folder: &std::path::Path) -> Result<TlsIdentity, Failure> {
    let made = rcgen::generate_simple_self_signed(["localhost".into(), "127.0.0.1".into()])?;
    let (cert_file, key_file) = (folder.join("cert.pem"), folder.join("key.pem"));
    std::fs::write(&cert_file, made.cert.pem())?;
    std::fs::write(&key_file, made.signing_key.serialize_pem())?;
    let server = tls::server_config(&cert_file, &key_file, tls::tickets()?)
        .map_err(|e| e.fault.to_string())?;
    Ok(TlsIdentity { cert_file, key_file, server })
}

fn open(listener: TcpListener, tuning: Tuning, tls: Option<TlsIdentity>, tasks: &TaskTracker) {
    let tasks = tasks.clone();
    tokio::spawn(listen::accept(
        listener,
        tuning,
        tasks.clone(),
        CancellationToken::new(),
        move |stream, peer| {
            let (tls, tasks) = (tls.clone(), tasks.clone());
            let handle = move |mut request, _| match Upgrade::of(&mut request) {
                Ok(upgrade) => {
                    let (response, accepted) = upgrade.accept(None);
                    tasks.spawn(echo(accepted));
                    response
                }
                Err(NotAnUpgrade::Plain) => answer(StatusCode::UPGRADE_REQUIRED, "a WebSocket\n"),
                Err(NotAnUpgrade::Bad(why)) => answer(StatusCode::BAD_REQUEST, why),
            };
            door::serve(stream, peer, tls, HANDSHAKE, CancellationToken::new(), handle)
        },
    ));
}

async fn echo(accepted: Accepted) {
    let Some(mut wire) = accepted.wire(MAX_MESSAGE).await else { return };
    loop {
        match wire.turn().await {
            Turn::Text(text) => say(&mut wire, Message::Text(text)).await,
            Turn::Binary(bytes) => say(&mut wire, Message::Binary(bytes)).await,
            Turn::Pong(_) | Turn::Alive => {}
            Turn::Closed(_) => return,
        }
    }
}

/// Sends, and waits until it has gone: an echo may hold its reading back, a gateway may not.
async fn say(wire: &mut Wire<Io>, message: Message) {
    if wire.send(message).is_ok() {
        poll_fn(|cx| wire.poll_write(cx)).await;
    }
}
