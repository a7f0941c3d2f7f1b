//! A leg by which Asterisk brings one side of a channel that is listened to.
//!
//! Promises: it is always read, so that Asterisk never waits; what comes is cut into whole frames;
//! its end is told, however it ends.

use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;

use crate::{
    asterisk::message::{Command, ControlFormat},
    media::{frame::FRAME_BYTES, framer::Framer},
    net::wire::{Message, Turn, Wire},
    tap::channel::Ear,
};

/// Serves it until it ends or the gateway stops.
pub async fn serve<S>(mut wire: Wire<S>, ear: Arc<Ear>, stop: CancellationToken)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let _here = ear.here();
    let mut framer = Framer::new(FRAME_BYTES);
    loop {
        let turn = tokio::select! {
            turn = wire.turn() => turn,
            () = stop.cancelled() => break,
        };
        match turn {
            Turn::Binary(audio) => framer.push(audio, |frame| ear.hear(&frame)),
            Turn::Closed(_) => return,
            _ => {}
        }
    }
    let _ = wire.send(Message::text(Command::Hangup.encode(ControlFormat::Json)));
    wire.close(1000, "").await;
}
