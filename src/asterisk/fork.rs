//! Audio that somebody pushes to us: app_audiofork, or a service that speaks like it, connects to
//! `/fork/{id}/{left|right|mix}` and sends raw frames, signed 16-bit at 8 kHz, with no word before.
//!
//! The sides that come under one id are one call to whoever listens. It begins with the first
//! connection and ends with the last.

use std::sync::Arc;

use bytes::Bytes;
use tracing::{debug, info};

use crate::{
    media::{align::Lane, decimate::Doubler, framer::Framer},
    net::{upgrade::Accepted, wire::Turn},
    tap::{Settings, Taps, facts::Side},
};

/// 20 ms at 8 kHz.
const NARROW_FRAME: usize = 320;
/// Longest id: a UUID has 36.
const MAX_ID: usize = 64;
/// Longest message: a second; audiofork sends 20 ms.
const MAX_MESSAGE: usize = 16_000;

/// Where a pushed stream goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fork {
    pub id: String,
    pub side: Side,
}

/// Whether a path is a fork's: `None` if it isn't, an error if it is one that can't be.
pub fn of(path: &str) -> Option<Result<Fork, ()>> {
    let rest = path.strip_prefix("/fork/")?;
    let Some((id, side)) = rest.split_once('/') else { return Some(Err(())) };
    let side = match side.trim_end_matches('/') {
        "left" => Side::Left,
        "right" => Side::Right,
        "mix" => Side::Mix,
        _ => return Some(Err(())),
    };
    let good = (1..=MAX_ID).contains(&id.len())
        && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
    Some(if good { Ok(Fork { id: id.to_owned(), side }) } else { Err(()) })
}

/// Serves one pushed side to its end.
pub async fn serve(accepted: Accepted, fork: Fork, taps: Arc<Taps>, settings: Settings) {
    let Some(mut wire) = accepted.wire(MAX_MESSAGE).await else { return };
    let now = tokio::time::Instant::now().into_std();
    let session = taps.fork(&fork.id, fork.side, &settings, now);
    info!(id = %fork.id, side = fork.side.as_str(), "a stream is pushed");
    let lane = if fork.side == Side::Left { Lane::Left } else { Lane::Right };
    let mut framer = Framer::new(NARROW_FRAME);
    let mut doubler = Doubler::default();
    let mut wide = Vec::with_capacity(NARROW_FRAME);
    loop {
        match wire.turn().await {
            Turn::Binary(audio) => framer.push(audio, |frame| {
                if fork.side == Side::Mix && session.has_sides() {
                    return; // it is the two sides once more
                }
                let narrow: Vec<i16> =
                    frame.chunks_exact(2).map(|s| i16::from_le_bytes([s[0], s[1]])).collect();
                wide.clear();
                doubler.run(&narrow, &mut wide);
                let bytes: Vec<u8> = wide.iter().flat_map(|s| s.to_le_bytes()).collect();
                let bytes = Bytes::from(bytes);
                match lane {
                    Lane::Left => session.line().left(&bytes),
                    Lane::Right => session.line().right(&bytes),
                }
            }),
            Turn::Closed(closed) => {
                debug!(id = %fork.id, how = closed.as_str(), "a pushed stream is over");
                return;
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fork_is_told_by_its_path() {
        assert_eq!(of("/"), None);
        assert_eq!(of("/forks/x/left"), None);
        for (path, id, side) in [
            (
                "/fork/7bace96a-b33e-4d19-ae72-e1ba25886472/left",
                "7bace96a-b33e-4d19-ae72-e1ba25886472",
                Side::Left,
            ),
            ("/fork/1700000000.1/mix/", "1700000000.1", Side::Mix),
        ] {
            assert_eq!(of(path), Some(Ok(Fork { id: id.to_owned(), side })));
        }
        for bad in
            ["/fork/", "/fork/x", "/fork/x/up", "/fork//left", "/fork/a b/left", "/fork/../left/x"]
        {
            assert_eq!(of(bad), Some(Err(())), "{bad}");
        }
    }
}
