//! Silence in one stream, asked for by whoever started it. A pause is another thing: it silences
//! everything that listens to a call.

use std::sync::{
    Arc,
    atomic::{AtomicU8, Ordering},
};

use super::queue::Both;
use crate::media::slot::{NARROW, SLOT};

const LEFT: u8 = 1;
const RIGHT: u8 = 2;
/// Nothing at all is sent, not even silence.
const APART: u8 = 4;

/// Which sides a stream gets silence for; shared by its connections.
#[derive(Debug, Default)]
pub struct Mute(AtomicU8);

impl Mute {
    /// Silences the named sides, or has them heard again; the other side stays as it is.
    pub fn set(&self, left: bool, right: bool, on: bool) {
        let sides = u8::from(left) * LEFT + u8::from(right) * RIGHT;
        if on {
            self.0.fetch_or(sides, Ordering::Relaxed);
        } else {
            self.0.fetch_and(!sides, Ordering::Relaxed);
        }
    }

    /// Sends nothing from now on, or everything again: a stream that is wanted only while its channel
    /// is in a bridge, and isn't.
    pub fn set_apart(&self, on: bool) {
        if on {
            self.0.fetch_or(APART, Ordering::Relaxed);
        } else {
            self.0.fetch_and(!APART, Ordering::Relaxed);
        }
    }

    pub fn is_apart(&self) -> bool {
        self.0.load(Ordering::Relaxed) & APART != 0
    }

    /// A slot as the stream is to hear it.
    pub fn of(&self, both: &Arc<Both>) -> Arc<Both> {
        let muted = self.0.load(Ordering::Relaxed) & (LEFT | RIGHT);
        if muted == 0 {
            return both.clone();
        }
        let (mut wide, mut narrow) = (both.wide.clone(), both.narrow.clone());
        if muted & LEFT != 0 {
            wide.left = [0; SLOT];
            if let Some(narrow) = &mut narrow {
                narrow.left = [0; NARROW];
            }
        }
        if muted & RIGHT != 0 {
            wide.right = [0; SLOT];
            if let Some(narrow) = &mut narrow {
                narrow.right = [0; NARROW];
            }
        }
        Arc::new(Both { wide, narrow })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::slot::{NarrowSlot, Slot};

    #[test]
    fn a_side_that_is_muted_is_silent_at_both_rates_and_the_other_is_not() {
        let wide = Slot { index: 7, left: [1; SLOT], right: [2; SLOT] };
        let narrow = Some(NarrowSlot { left: [1; NARROW], right: [2; NARROW] });
        let both = Arc::new(Both { wide, narrow });
        let heard = |mute: &Mute| {
            let heard = mute.of(&both);
            let narrow = heard.narrow.as_ref().expect("narrow");
            assert_eq!(heard.wide.index, 7);
            assert_eq!(
                (heard.wide.left[9], heard.wide.right[9]),
                (narrow.left[9], narrow.right[9])
            );
            (heard.wide.left[9], heard.wide.right[9])
        };
        let mute = Mute::default();
        assert_eq!(heard(&mute), (1, 2));
        mute.set(true, false, true);
        assert_eq!(heard(&mute), (0, 2));
        mute.set(true, true, true);
        assert_eq!(heard(&mute), (0, 0));
        mute.set(true, false, false);
        mute.set_apart(true);
        assert_eq!((heard(&mute), mute.is_apart()), ((1, 0), true));
        mute.set_apart(false);
        assert_eq!((heard(&mute), mute.is_apart()), ((1, 0), false));
    }
}
