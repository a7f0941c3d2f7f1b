//! PURE: whether a peer still lives, by what is heard of it between pings.

use std::time::Duration;

/// How often a peer is pinged. Proxies cut idle connections after 60 s.
pub const PING_EVERY: Duration = Duration::from_secs(15);
/// Rounds in a row without any sign of life, after which it counts as dead.
pub const SILENT_ROUNDS: u32 = 2;

/// The account of one peer. Everything that it sends is a sign of life.
#[derive(Debug, Default)]
pub struct Liveness {
    heard: bool,
    /// A ping was sent in an earlier round, so silence means something.
    asked: bool,
    silent_rounds: u32,
}

impl Liveness {
    /// Something came from the peer.
    pub fn heard(&mut self) {
        self.heard = true;
    }

    /// [`PING_EVERY`] has passed: true asks for a ping, false says that the peer is dead.
    pub fn round(&mut self) -> bool {
        if std::mem::take(&mut self.heard) {
            self.silent_rounds = 0;
        } else if self.asked {
            self.silent_rounds += 1;
        }
        self.asked = true;
        self.silent_rounds < SILENT_ROUNDS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_is_dead_after_two_silent_rounds_in_a_row() {
        let mut peer = Liveness::default();
        assert!(peer.round(), "nothing was asked before");
        assert!(peer.round(), "one silent round");
        peer.heard();
        assert!(peer.round());
        assert!(peer.round());
        assert!(!peer.round());
    }
}
