//! 20 ms of both sides of a call, and what is made of them for those who listen: a mix, an
//! interleaved pair, the same at 8 kHz.

use super::decimate::Decimator;

/// Samples of a slot at 16 kHz.
pub const SLOT: usize = 320;
/// Samples of a slot at 8 kHz.
pub const NARROW: usize = SLOT / 2;

/// One place of the grid: left is the agent, right the caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slot {
    /// From 0, the answer.
    pub index: u64,
    pub left: [i16; SLOT],
    pub right: [i16; SLOT],
}

/// The same at 8 kHz.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NarrowSlot {
    pub left: [i16; NARROW],
    pub right: [i16; NARROW],
}

/// Both sides on their way to 8 kHz. The filter delays both alike, by 1.4 ms.
#[derive(Debug, Default)]
pub struct Narrower {
    left: Decimator,
    right: Decimator,
}

impl Slot {
    pub fn silent(index: u64) -> Self {
        Self { index, left: [0; SLOT], right: [0; SLOT] }
    }
}

impl Narrower {
    /// The next slot, in order.
    pub fn slot(&mut self, slot: &Slot) -> NarrowSlot {
        let mut narrow = NarrowSlot { left: [0; NARROW], right: [0; NARROW] };
        self.left.run(&slot.left, &mut narrow.left);
        self.right.run(&slot.right, &mut narrow.right);
        narrow
    }
}

/// Both sides at once. What is too loud for a sample is as loud as a sample can be.
pub fn mix<'a>(left: &'a [i16], right: &'a [i16]) -> impl Iterator<Item = i16> + 'a {
    left.iter().zip(right).map(|(left, right)| left.saturating_add(*right))
}

/// Samples as bytes, little-endian.
pub fn to_bytes(samples: impl IntoIterator<Item = i16>, out: &mut Vec<u8>) {
    for sample in samples {
        out.extend_from_slice(&sample.to_le_bytes());
    }
}

/// Both sides by turns, as a stereo file has them.
pub fn interleaved<'a>(left: &'a [i16], right: &'a [i16]) -> impl Iterator<Item = i16> + 'a {
    left.iter().zip(right).flat_map(|(left, right)| [*left, *right])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_loud_voices_are_as_loud_as_can_be_and_never_turn_over() {
        let mixed: Vec<i16> =
            mix(&[i16::MAX, i16::MIN, 100, -7], &[1, -1, -30, i16::MAX]).collect();
        assert_eq!(mixed, [i16::MAX, i16::MIN, 70, i16::MAX - 7]);
    }

    #[test]
    fn left_is_first_in_a_pair() {
        let mut bytes = Vec::new();
        to_bytes(interleaved(&[1, 2], &[-1, -2]), &mut bytes);
        assert_eq!(bytes, [1, 0, 255, 255, 2, 0, 254, 255]);
    }
}
