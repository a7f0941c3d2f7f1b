//! Cuts audio that comes in pieces of any length into whole frames of one size.
//!
//! Promises: no byte is lost or changed, at most one frame is kept waiting, and a piece that is
//! already one whole frame passes through without a copy.

use bytes::{Buf, Bytes, BytesMut};

/// A byte stream on its way into frames.
#[derive(Debug)]
pub struct Framer {
    size: usize,
    rest: BytesMut,
}

impl Framer {
    /// Frames of `size` bytes; at least 2.
    pub fn new(size: usize) -> Self {
        Self { size: size.max(2), rest: BytesMut::new() }
    }

    /// Takes a piece and gives each frame that it completes to `each`, in order.
    pub fn push(&mut self, mut piece: Bytes, mut each: impl FnMut(Bytes)) {
        if !self.rest.is_empty() {
            let missing = self.size - self.rest.len();
            if piece.len() < missing {
                self.rest.extend_from_slice(&piece);
                return;
            }
            self.rest.extend_from_slice(&piece[..missing]);
            piece.advance(missing);
            each(self.rest.split().freeze());
        }
        while piece.len() >= self.size {
            each(piece.split_to(self.size));
        }
        self.rest.extend_from_slice(&piece);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_whole_frame_is_not_copied() {
        let mut framer = Framer::new(640);
        let piece = Bytes::from(vec![7; 640]);
        let at = piece.as_ptr();
        let mut frames = Vec::new();
        framer.push(piece, |f| frames.push(f));
        assert_eq!(frames.len(), 1);
        assert_eq!(frames[0].as_ptr(), at);
    }

    proptest! {
        #[test]
        fn no_byte_is_lost_or_changed(
            size in 2usize..700,
            pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..1500), 0..8),
        ) {
            let mut framer = Framer::new(size);
            let mut frames = Vec::new();
            for piece in &pieces {
                framer.push(Bytes::from(piece.clone()), |f| frames.push(f));
            }
            prop_assert!(frames.iter().all(|f| f.len() == size));
            let all = pieces.concat();
            let whole = all.len() / size * size;
            prop_assert_eq!(frames.concat(), &all[..whole]);
            prop_assert_eq!(&framer.rest[..], &all[whole..]);
        }
    }
}
