//! The audio of an answered call, Asterisk's end: what comes from the phone's hop goes through the
//! pacer, what Asterisk sends goes in whole frames into the other hop.

use std::{
    task::{Context, Poll},
    time::Instant,
};

use bytes::Bytes;

use crate::{
    call::record::AudioCounts,
    exchange::line::AudioLine,
    media::{
        frame::FRAME_BYTES,
        framer::Framer,
        pacer::{Action, Pacer},
    },
    net::hop::{HopReceiver, HopSender, hop},
};

/// Both directions of a call.
pub struct Media {
    pub pacer: Pacer,
    from_phone: HopReceiver,
    to_phone: HopSender,
    /// The phone's audio in frames of the size that Asterisk asked for.
    upward: Framer,
    /// Asterisk's audio in frames for the phone.
    downward: Framer,
    passed_down: u64,
}

impl Media {
    /// The audio of a call that is answered now, and the phone's ends of it.
    pub fn new(frame_bytes: usize, now: Instant) -> (Self, AudioLine) {
        let (to_phone, phone_in) = hop();
        let (phone_out, from_phone) = hop();
        let media = Self {
            pacer: Pacer::new(frame_bytes, now),
            from_phone,
            to_phone,
            upward: Framer::new(frame_bytes),
            downward: Framer::new(FRAME_BYTES),
            passed_down: 0,
        };
        (media, AudioLine { to_phone: phone_in, from_phone: phone_out })
    }

    /// Takes what the phone's task has passed on; true if there was anything. The clock is asked
    /// only then.
    pub fn take_from_phone(
        &mut self,
        cx: &mut Context<'_>,
        clock: impl Fn() -> Instant,
        actions: &mut Vec<Action>,
    ) -> bool {
        let mut came = None;
        while let Poll::Ready(Some(audio)) = self.from_phone.poll_recv(cx) {
            let now = *came.get_or_insert_with(&clock);
            let pacer = &mut self.pacer;
            self.upward.push(audio, |frame| pacer.push(frame, now, actions));
        }
        came.is_some()
    }

    /// Passes on what Asterisk has sent. It never waits; what the phone is too slow for is dropped.
    pub fn pass_to_phone(&mut self, audio: Bytes) {
        let (to_phone, passed) = (&self.to_phone, &mut self.passed_down);
        self.downward.push(audio, |frame| {
            *passed += 1;
            to_phone.push(frame);
        });
    }

    /// The account of all frames.
    pub fn counts(&self) -> AudioCounts {
        let counts = self.pacer.counts();
        let dropped_phone_slow = self.to_phone.dropped();
        AudioCounts {
            to_phone: self.passed_down.saturating_sub(dropped_phone_slow),
            from_phone: counts.sent,
            filled: counts.filled,
            dropped_phone_slow,
            // After a freeze most of what is too old doesn't even reach the pacer.
            dropped_late: counts.late + self.from_phone.dropped(),
            dropped_ahead: counts.ahead,
            dropped_asterisk_full: counts.full,
        }
    }
}
