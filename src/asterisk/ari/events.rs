//! Keeps the WebSocket up by which Asterisk reports what happens to our channels. While it is not
//! there, the application isn't either, and nothing can be listened to anew.

use std::time::Duration;

use bytes::Bytes;
use tokio::{
    sync::mpsc,
    time::{Instant, interval_at, sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::{client::Api, message::Event};
use crate::net::{
    dial::{DialError, Outgoing},
    liveness::{Liveness, PING_EVERY},
    wire::{Message, Turn},
};

/// How long a connection, TLS and login may take.
const CONNECT_TIME: Duration = Duration::from_secs(5);
/// Pauses between attempts: the first, and the longest.
const PAUSE: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(20));
/// The pause after somebody else has taken the application's name: two gateways that take it from
/// each other every second would help nobody.
const REPLACED_PAUSE: Duration = Duration::from_secs(60);

/// What the keeper is told.
#[derive(Debug)]
pub enum Heard {
    /// Logged in, and the application is there. What happened before is not known.
    Up,
    Lost,
    Event(Event),
}

/// Why a connection is over.
enum End {
    Lost(String),
    Replaced,
}

/// Keeps it up until `stop`, or until nobody listens.
pub async fn keep_up(api: Api, url: String, tell: mpsc::Sender<Heard>, stop: CancellationToken) {
    let mut pause = PAUSE.0;
    let mut said = false;
    loop {
        let began = Instant::now();
        let mut was_up = false;
        let end = tokio::select! {
            () = stop.cancelled() => return,
            end = one_connection(&api, &url, &tell, &mut was_up) => end,
        };
        if was_up && tell.send(Heard::Lost).await.is_err() {
            return;
        }
        let wait = match end {
            End::Replaced => {
                error!(
                    %url,
                    "ARI: somebody else has taken this application's name; give each gateway of \
                     one Asterisk its own (\"app\" of \"ari\")"
                );
                REPLACED_PAUSE
            }
            End::Lost(why) => {
                if was_up || !said {
                    warn!(%url, "ARI: {why}");
                }
                if was_up && began.elapsed() > PAUSE.1 {
                    pause = PAUSE.0;
                }
                let this = pause;
                pause = (pause * 2).min(PAUSE.1);
                this
            }
        };
        said = true;
        tokio::select! {
            () = stop.cancelled() => return,
            () = sleep(wait) => {}
        }
    }
}

async fn one_connection(
    api: &Api,
    url: &str,
    tell: &mpsc::Sender<Heard>,
    was_up: &mut bool,
) -> End {
    let mut wire = match timeout(CONNECT_TIME, api.events()).await {
        Ok(Ok(wire)) => wire,
        Ok(Err(error)) => return End::Lost(reason(&error)),
        Err(_) => return End::Lost("no answer in time".to_owned()),
    };
    *was_up = true;
    info!(%url, "logged in to Asterisk's ARI");
    if tell.send(Heard::Up).await.is_err() {
        return End::Lost("stopped".to_owned());
    }
    listen(&mut wire, tell).await
}

async fn listen(wire: &mut Outgoing, tell: &mpsc::Sender<Heard>) -> End {
    let mut ping = interval_at(Instant::now() + PING_EVERY, PING_EVERY);
    let mut liveness = Liveness::default();
    loop {
        let turn = tokio::select! {
            turn = wire.turn() => turn,
            _ = ping.tick() => {
                let _ = wire.send(Message::Ping(Bytes::new()));
                if !liveness.round() {
                    return End::Lost("no sign of life".to_owned());
                }
                continue;
            }
        };
        liveness.heard();
        match turn {
            Turn::Text(text) => match Event::parse(&text) {
                Event::Other => {}
                Event::Replaced => return End::Replaced,
                event => {
                    if tell.send(Heard::Event(event)).await.is_err() {
                        return End::Lost("stopped".to_owned());
                    }
                }
            },
            Turn::Closed(closed) => {
                return End::Lost(format!("the connection is over ({})", closed.as_str()));
            }
            _ => {}
        }
    }
}

/// The error, and what to look at.
pub fn reason(error: &DialError) -> String {
    match error {
        DialError::Status(401 | 403) => {
            "the login was refused: compare username and password with ari.conf".to_owned()
        }
        DialError::Status(404) => {
            "Asterisk has no ARI there: load res_ari and res_ari_events, and compare prefix in \
             http.conf"
                .to_owned()
        }
        other => other.to_string(),
    }
}
