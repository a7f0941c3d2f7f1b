//! Two frames made one, where a frame is left out: no click at the cut.

use bytes::{BufMut, Bytes, BytesMut};

/// What begins as `from` and ends as `to`; frames of another length than each other are not joined.
pub fn cross_fade(from: &[u8], to: Bytes) -> Bytes {
    let samples = to.len() / 2;
    if from.len() != to.len() || samples == 0 {
        return to;
    }
    let mut joined = BytesMut::with_capacity(to.len());
    for (i, (a, b)) in from.chunks_exact(2).zip(to.chunks_exact(2)).enumerate() {
        let [a, b] = [a, b].map(|s| i64::from(i16::from_le_bytes([s[0], s[1]])));
        let mixed = (a * (samples - i) as i64 + b * i as i64) / samples as i64;
        joined.put_i16_le(mixed as i16); // between the two
    }
    joined.freeze()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn samples(bytes: &[u8]) -> Vec<i16> {
        bytes.chunks_exact(2).map(|s| i16::from_le_bytes([s[0], s[1]])).collect()
    }

    #[test]
    fn it_goes_from_the_one_to_the_other() {
        let [low, high] = [-1_000i16, 1_000].map(|x| Bytes::from(x.to_le_bytes().repeat(320)));
        let joined = samples(&cross_fade(&low, high));
        assert_eq!((joined[0], joined[160]), (-1_000, 0));
        assert!(joined[319] > 990 && joined.windows(2).all(|pair| pair[0] <= pair[1]));
    }

    proptest! {
        #[test]
        fn it_never_leaves_what_lies_between_them(pairs in prop::collection::vec(any::<(i16, i16)>(), 0..400)) {
            let bytes = |f: fn(&(i16, i16)) -> i16| Bytes::from(pairs.iter().flat_map(|p| f(p).to_le_bytes()).collect::<Vec<_>>());
            let joined = samples(&cross_fade(&bytes(|p| p.0), bytes(|p| p.1)));
            prop_assert_eq!(joined.len(), pairs.len());
            for (x, (a, b)) in joined.into_iter().zip(&pairs) {
                prop_assert!(x >= *a.min(b) && x <= *a.max(b));
            }
        }

        #[test]
        fn any_bytes_give_a_frame(from: Vec<u8>, to: Vec<u8>) {
            let length = to.len();
            prop_assert!([length, length & !1].contains(&cross_fade(&from, to.into()).len()));
        }
    }
}
