//! What the fuzzers do: each body takes any bytes, drives one public part of the gateway with
//! them, and panics where a promise of that part is broken.
//!
//! Two things run these bodies: libFuzzer, guided by coverage (`fuzz_targets/`), and
//! `tests/assurance/`, in stable Rust, over the seeds and random changes to them. So nothing here
//! needs more than the gateway's own libraries, opens a file, or asks the network.

#[path = "bodies/audio.rs"]
mod audio;
#[path = "bodies/calls.rs"]
mod calls;
#[path = "bodies/doors.rs"]
mod doors;
#[path = "bodies/files.rs"]
mod files;
#[path = "bodies/messages.rs"]
mod messages;
#[path = "bodies/sockets.rs"]
mod sockets;
#[path = "bodies/taps.rs"]
mod taps;

pub use audio::{framer, pacer};
pub use calls::{call, hunt, session};
pub use doors::{forwarded_for, token};
pub use files::{config_file, exten_pattern, groups_file};
pub use messages::{ari_texts, asterisk_events, manager, phone_text, phone_v1, record_texts};
pub use sockets::{wire, ws};
pub use taps::{audiofork, stream_form};

/// A body and its name, which is that of its target and of its folder of seeds.
pub type Body = (&'static str, fn(&[u8]));

/// All of them.
pub const BODIES: [Body; 20] = [
    ("manager", manager),
    ("asterisk_events", asterisk_events),
    ("phone_text", phone_text),
    ("config_file", config_file),
    ("groups_file", groups_file),
    ("token", token),
    ("exten_pattern", exten_pattern),
    ("forwarded_for", forwarded_for),
    ("framer", framer),
    ("wire", wire),
    ("ws", ws),
    ("call", call),
    ("hunt", hunt),
    ("session", session),
    ("phone_v1", phone_v1),
    ("pacer", pacer),
    ("record_texts", record_texts),
    ("ari_texts", ari_texts),
    ("audiofork", audiofork),
    ("stream_form", stream_form),
];

/// Bytes as decisions: at its end it gives zeroes.
struct Tape<'a>(&'a [u8]);

impl Tape<'_> {
    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    fn below(&mut self, n: usize) -> usize {
        usize::from(self.byte()) % n
    }

    fn is_over(&self) -> bool {
        self.0.is_empty()
    }
}
