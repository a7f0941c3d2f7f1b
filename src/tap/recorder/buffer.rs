//! Audio on its way to the disk.

use super::super::wav;
use crate::media::slot::{interleaved, to_bytes};

/// Pieces of a file, each without a hole.
#[derive(Debug, Default)]
pub struct Buffer {
    /// The first slot of the recording.
    first: Option<u64>,
    pieces: Vec<(u64, Vec<u8>)>,
    pub bytes: usize,
}

impl Buffer {
    pub fn put(&mut self, index: u64, left: &[i16], right: &[i16]) {
        let first = *self.first.get_or_insert(index);
        let at = index.saturating_sub(first) * wav::SLOT_BYTES;
        let goes_on = |(from, audio): &(u64, Vec<u8>)| from + audio.len() as u64 == at;
        if !self.pieces.last().is_some_and(goes_on) {
            // What was dropped on the way is a hole, which is silent.
            self.pieces.push((at, Vec::new()));
        }
        if let Some((_, audio)) = self.pieces.last_mut() {
            to_bytes(interleaved(left, right), audio);
        }
        self.bytes += left.len() * wav::MOMENT as usize;
    }

    pub fn take(&mut self) -> Vec<(u64, Vec<u8>)> {
        self.bytes = 0;
        std::mem::take(&mut self.pieces)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_that_were_lost_are_silent_in_the_file_and_move_nothing() {
        let mut buffer = Buffer::default();
        buffer.put(40, &[1; 320], &[2; 320]);
        buffer.put(41, &[1; 320], &[2; 320]);
        buffer.put(43, &[3; 320], &[4; 320]);
        let lengths: Vec<(u64, usize)> =
            buffer.take().into_iter().map(|(at, audio)| (at, audio.len())).collect();
        assert_eq!(lengths, [(0, 2 * 1280), (3 * wav::SLOT_BYTES, 1280)]);
        buffer.put(44, &[5], &[6]);
        assert_eq!(buffer.take(), [(4 * wav::SLOT_BYTES, vec![5, 0, 6, 0])]);
    }
}
