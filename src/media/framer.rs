//! Cuts audio that comes in pieces of any length into whole frames of one size.
//!
//! Promises: no byte is lost or changed, at most one frame is kept waiting, and a piece that is
//! already one whole frame passes through without a copy.

use bytes::{Buf, Bytes, BytesMut};

/// A byte stream on its way into frames.
///
/// Three of them are looked at for each pair of frames of a call, so they are small, and where frames
/// come whole nothing else is touched.
#[derive(Debug)]
pub struct Framer {
    size: u32,
    /// What has come of a frame that isn't whole.
    rest: Option<Box<BytesMut>>,
}

impl Framer {
    /// Frames of `size` bytes; at least 2.
    pub fn new(size: usize) -> Self {
        Self { size: u32::try_from(size.max(2)).unwrap_or(u32::MAX), rest: None }
    }

    /// Takes a piece and gives each frame that it completes to `each`, in order.
    pub fn push(&mut self, mut piece: Bytes, mut each: impl FnMut(Bytes)) {
        let size = self.size as usize;
        if self.rest.is_none() && piece.len() == size {
            return each(piece);
        }
        if let Some(mut rest) = self.rest.take() {
            let missing = size - rest.len();
            if piece.len() < missing {
                rest.extend_from_slice(&piece);
                self.rest = Some(rest);
                return;
            }
            rest.extend_from_slice(&piece[..missing]);
            piece.advance(missing);
            each(rest.freeze());
        }
        while piece.len() >= size {
            each(piece.split_to(size));
        }
        if !piece.is_empty() {
            let mut rest = BytesMut::with_capacity(size);
            rest.extend_from_slice(&piece);
            self.rest = Some(Box::new(rest));
        }
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

    #[test]
    fn a_framer_is_small() {
        assert_eq!(size_of::<Framer>(), 16);
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
            let rest = framer.rest.map_or(Vec::new(), |rest| rest.to_vec());
            prop_assert_eq!(rest, &all[whole..]);
        }
    }
}
