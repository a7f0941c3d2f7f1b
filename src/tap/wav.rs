//! PURE: the head of a WAV file: stereo, 16 bits, 16 kHz.
//!
//! The head says how much audio follows, so it is written again and again while a recording grows.
//! `hound` writes the same bytes, but through a position that a failed write leaves in the middle of
//! a sample; a recorder on a full disk has to be able to write the same place again.

use crate::media::{frame::SAMPLE_RATE, slot::SLOT};

/// Bytes before the audio.
pub const HEAD: usize = 44;
/// Bytes of one moment: a sample of each side.
pub const MOMENT: u64 = 4;
/// Bytes of a slot.
pub const SLOT_BYTES: u64 = SLOT as u64 * MOMENT;
/// Most audio that the head's 32 bits can tell, in whole slots: 18 hours.
pub const MOST: u64 = (u32::MAX as u64 - 1024) / SLOT_BYTES * SLOT_BYTES;

/// The head of a file with `audio` bytes of audio.
pub fn head(audio: u64) -> [u8; HEAD] {
    let audio = u32::try_from(audio).unwrap_or(u32::MAX - HEAD as u32);
    let mut head = [0; HEAD];
    let mut at = 0;
    let mut put = |bytes: &[u8]| {
        head[at..at + bytes.len()].copy_from_slice(bytes);
        at += bytes.len();
    };
    put(b"RIFF");
    put(&(audio + HEAD as u32 - 8).to_le_bytes());
    put(b"WAVEfmt ");
    put(&16u32.to_le_bytes());
    put(&1u16.to_le_bytes()); // PCM
    put(&2u16.to_le_bytes()); // left, right
    put(&SAMPLE_RATE.to_le_bytes());
    put(&(SAMPLE_RATE * MOMENT as u32).to_le_bytes());
    put(&(MOMENT as u16).to_le_bytes());
    put(&16u16.to_le_bytes());
    put(b"data");
    put(&audio.to_le_bytes());
    head
}

/// How much audio a file of this length has, in whole moments.
pub fn audio_of(length: u64) -> u64 {
    length.saturating_sub(HEAD as u64) / MOMENT * MOMENT
}

/// How long so much audio sounds, in ms.
pub fn milliseconds(audio: u64) -> u64 {
    audio / MOMENT * 1000 / u64::from(SAMPLE_RATE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_library_of_the_field_reads_it() {
        let mut file = head(8).to_vec();
        file.extend_from_slice(&[1, 0, 2, 0, 3, 0, 4, 0]);
        let mut reader = hound::WavReader::new(&file[..]).expect("a WAV file");
        let spec = reader.spec();
        assert_eq!((spec.channels, spec.sample_rate, spec.bits_per_sample), (2, 16_000, 16));
        let samples: Vec<i16> = reader.samples().map(|s| s.expect("a sample")).collect();
        assert_eq!(samples, [1, 2, 3, 4]);
    }

    #[test]
    fn a_file_that_was_cut_anywhere_has_whole_moments() {
        for (length, audio) in [(0, 0), (44, 0), (47, 0), (48, 4), (1_327, 1_280)] {
            assert_eq!(audio_of(length), audio);
        }
        assert_eq!(milliseconds(50 * SLOT_BYTES), 1_000);
    }
}
