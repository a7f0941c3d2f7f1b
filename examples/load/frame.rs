//! The audio of the benchmark: frames that say whose they are, which, and when they were sent, and
//! whose every other byte is known, so that a changed one shows.
//!
//! The facts are written in half bytes, one a sample, so that a frame can be silence to a gateway
//! that listens (`drift`) and still carry them.

use std::sync::OnceLock;

pub const FRAME_BYTES: usize = 640;
const FACT_BYTES: usize = 16;
/// One sample of 16 bits for each half byte.
const HEAD: usize = FACT_BYTES * 2 * 2;
const BODY: usize = FRAME_BYTES - HEAD;
/// Where a body may begin in the table of noise.
const STARTS: usize = 4096;

/// What a frame says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts {
    pub call: u32,
    pub seq: u32,
    pub sent_ns: u64,
}

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    Ours(Facts),
    /// The gateway's own silence.
    Silence,
    Corrupt,
}

/// Loud noise, and noise too soft to be anything but silence.
fn noise(quiet: bool) -> &'static [u8] {
    static NOISE: OnceLock<[Vec<u8>; 2]> = OnceLock::new();
    let both = NOISE.get_or_init(|| {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        let samples = (2 * STARTS + BODY) / 2;
        let loud = (0..samples).flat_map(|_| (next() as i16).to_le_bytes()).collect();
        let soft = (0..samples).flat_map(|_| ((next() % 100) as i16 - 50).to_le_bytes()).collect();
        [loud, soft]
    });
    &both[usize::from(quiet)]
}

fn start(facts: &Facts) -> usize {
    2 * ((facts.call.wrapping_mul(31) ^ facts.seq.wrapping_mul(7)) as usize % STARTS)
}

/// Writes a frame.
pub fn write(facts: Facts, quiet: bool, frame: &mut [u8; FRAME_BYTES]) {
    let mut bytes = [0; FACT_BYTES];
    bytes[..4].copy_from_slice(&facts.call.to_le_bytes());
    bytes[4..8].copy_from_slice(&facts.seq.to_le_bytes());
    bytes[8..].copy_from_slice(&facts.sent_ns.to_le_bytes());
    for (i, byte) in bytes.into_iter().enumerate() {
        // The high bit of a sample's second half byte stays clear, so samples are 0 to 15; the
        // first says which noise follows.
        frame[4 * i..4 * i + 4].copy_from_slice(&[byte & 15, 0, byte >> 4, 0]);
    }
    frame[1] = if quiet { 0 } else { 0x40 };
    let start = start(&facts);
    frame[HEAD..].copy_from_slice(&noise(quiet)[start..start + BODY]);
}

/// Reads and checks a frame.
pub fn read(frame: &[u8]) -> Heard {
    let Ok(frame) = <&[u8; FRAME_BYTES]>::try_from(frame) else { return Heard::Corrupt };
    let mut bytes = [0; FACT_BYTES];
    for (i, byte) in bytes.iter_mut().enumerate() {
        *byte = frame[4 * i] | frame[4 * i + 2] << 4;
    }
    let (facts, quiet) = (
        Facts {
            call: u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]),
            seq: u32::from_le_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]),
            sent_ns: u64::from_le_bytes(*bytes.last_chunk().unwrap_or(&[0; 8])),
        },
        frame[1] == 0,
    );
    if facts.sent_ns == 0 {
        return if frame.iter().all(|b| *b == 0) { Heard::Silence } else { Heard::Corrupt };
    }
    let start = start(&facts);
    if frame[HEAD..] == noise(quiet)[start..start + BODY] {
        Heard::Ours(facts)
    } else {
        Heard::Corrupt
    }
}
