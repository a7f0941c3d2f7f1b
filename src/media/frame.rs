//! The one format: signed 16-bit little-endian mono at 16 kHz ("slin16"), 20 ms a frame.

use std::time::Duration;

use bytes::Bytes;

/// Asterisk's name of the format, as in `c(slin16)` and MEDIA_START.
pub const FORMAT: &str = "slin16";
/// Samples a second.
pub const SAMPLE_RATE: u32 = 16_000;
/// One frame's time.
pub const FRAME_TIME: Duration = Duration::from_millis(20);
/// One frame's size: 320 samples of two bytes.
pub const FRAME_BYTES: usize = 640;

/// Frames that Asterisk may ask for: 10 to 60 ms of whole samples.
const SIZES: std::ops::RangeInclusive<usize> = FRAME_BYTES / 2..=FRAME_BYTES * 3;

/// The size of Asterisk's frames by what MEDIA_START says; 0 leaves it to us. `None` where it is
/// none that speech can be cut into.
pub fn size(optimal: usize) -> Option<usize> {
    match optimal {
        0 => Some(FRAME_BYTES),
        bytes if SIZES.contains(&bytes) && bytes % 2 == 0 => Some(bytes),
        _ => None,
    }
}

/// How long a frame of this many bytes sounds.
pub fn time(bytes: usize) -> Duration {
    Duration::from_micros(bytes as u64 * 1_000_000 / u64::from(2 * SAMPLE_RATE))
}

/// Peak below which a frame counts as silence: about −48 dBFS, room noise behind a noise
/// suppressor, and nothing that anybody would miss 20 ms of.
pub const SILENCE_PEAK: u16 = 128;

static ZEROES: [u8; FRAME_BYTES * 4] = [0; FRAME_BYTES * 4];

/// A frame of silence of `bytes` bytes. Costs nothing up to 80 ms.
pub fn silence(bytes: usize) -> Bytes {
    match ZEROES.get(..bytes) {
        Some(zeroes) => Bytes::from_static(zeroes),
        None => Bytes::from(vec![0; bytes]),
    }
}

/// Whether no sample is louder than [`SILENCE_PEAK`].
pub fn is_silence(frame: &[u8]) -> bool {
    frame.chunks_exact(2).all(|s| i16::from_le_bytes([s[0], s[1]]).unsigned_abs() <= SILENCE_PEAK)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_is_silent_at_any_size() {
        for bytes in [0, 2, FRAME_BYTES, 10 * FRAME_BYTES] {
            assert_eq!(silence(bytes).len(), bytes);
            assert!(is_silence(&silence(bytes)));
        }
    }

    #[test]
    fn frames_of_10_to_60_ms_are_taken_and_others_refused() {
        for (optimal, bytes) in
            [(640, Some(640)), (0, Some(640)), (320, Some(320)), (1920, Some(1920))]
        {
            assert_eq!(size(optimal), bytes);
        }
        for optimal in [1, 2, 318, 641, 1922, usize::MAX] {
            assert_eq!(size(optimal), None);
        }
        assert_eq!(time(FRAME_BYTES), FRAME_TIME);
        assert_eq!(time(320), FRAME_TIME / 2);
    }

    #[test]
    fn the_loudest_sample_of_either_sign_is_not_silence() {
        assert!(!is_silence(&i16::MIN.to_le_bytes()));
        assert!(!is_silence(&i16::MAX.to_le_bytes()));
        assert!(is_silence(&(-(SILENCE_PEAK as i16)).to_le_bytes()));
    }
}
