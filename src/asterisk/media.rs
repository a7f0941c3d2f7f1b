//! The audio of an answered call, Asterisk's end: what comes from the phone's hop goes through the
//! pacer, what Asterisk sends goes in whole frames into the other hop.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;

use crate::{
    call::record::AudioCounts,
    exchange::line::{AudioLine, Figures, LineState},
    media::{
        frame::{FRAME_BYTES, time},
        framer::Framer,
        music::{HoldMusic, Player},
        pacer::{Action, Pacer},
    },
    net::{
        bell::Bells,
        hop::{HopReceiver, HopSender, hop},
    },
    tap::TapLine,
};

/// How long the far end of a call whose phone is lost hears silence before it hears music: a page
/// that is loaded again is back before.
pub const LOST_SILENCE: Duration = Duration::from_secs(2);

/// Both directions of a call. What a frame touches is in front.
#[repr(C)]
pub struct Media {
    from_phone: HopReceiver,
    to_phone: HopSender,
    /// Whoever listens.
    pub tap: Option<TapLine>,
    frame_bytes: usize,
    passed_down: u64,
    /// Asterisk's audio in frames for the phone.
    downward: Framer,
    /// The phone's audio in frames of the size that Asterisk asked for.
    upward: Framer,
    pub pacer: Pacer,
    /// Whether the phone holds the call or is waited for, and what it is shown of the audio.
    state: Arc<LineState>,
    music: HoldMusic,
    player: Option<Player>,
    /// Since when the phone's connection has been seen to be lost.
    lost_since: Option<Instant>,
}

impl Media {
    /// The audio of a call that is answered now, and the phone's ends of it.
    pub fn new(frame_bytes: usize, music: HoldMusic, now: Instant) -> (Self, AudioLine) {
        let (to_phone, phone_in) = hop();
        let (phone_out, from_phone) = hop();
        let state = Arc::<LineState>::default();
        let media = Self {
            pacer: Pacer::new(frame_bytes, now),
            state: state.clone(),
            music,
            player: None,
            lost_since: None,
            frame_bytes,
            from_phone,
            to_phone,
            upward: Framer::new(frame_bytes),
            downward: Framer::new(FRAME_BYTES),
            passed_down: 0,
            tap: None,
        };
        let line = AudioLine { to_phone: phone_in, from_phone: phone_out, state, reactor: None };
        (media, line)
    }

    /// Takes what the phone's task has passed on; tells when, if there was anything. The clock is
    /// asked only then.
    pub fn take_from_phone(
        &mut self,
        bells: &Bells,
        clock: impl Fn() -> Instant,
        actions: &mut Vec<Action>,
    ) -> Option<Instant> {
        let mut came = None;
        while let Some(audio) = self.from_phone.take(bells) {
            let now = *came.get_or_insert_with(&clock);
            if self.from_phone.is_shut() {
                self.upward = Framer::new(self.frame_bytes);
                continue;
            }
            let pacer = &mut self.pacer;
            self.upward.push(audio, |frame| pacer.push(frame, now, actions));
        }
        came
    }

    /// Passes on what Asterisk has sent. It never waits; what the phone is too slow for is dropped.
    pub fn pass_to_phone(&mut self, audio: Bytes) {
        if self.to_phone.is_shut() {
            self.downward = Framer::new(FRAME_BYTES);
            return;
        }
        let (to_phone, passed, tap) = (&mut self.to_phone, &mut self.passed_down, &self.tap);
        self.downward.push(audio, |frame| {
            *passed += 1;
            if let Some(tap) = tap {
                tap.right(&frame);
            }
            to_phone.push(frame);
        });
    }

    /// Looks at what the next frame touches.
    pub fn touch(&self) {
        std::hint::black_box(self.passed_down);
        self.to_phone.touch();
    }

    /// What was passed on is all that came.
    pub fn ring_phone(&mut self) {
        self.to_phone.ring();
    }

    /// What goes to Asterisk where the phone sends nothing: silence; music while the phone holds the
    /// call, and when it has been lost for a while.
    pub fn fill(&mut self, silence: Bytes, now: Instant) -> Bytes {
        let lost = self.state.is_detached().then(|| *self.lost_since.get_or_insert(now));
        self.lost_since = lost;
        let lost_long = lost.is_some_and(|at| now.saturating_duration_since(at) >= LOST_SILENCE);
        if !self.state.is_held() && !lost_long {
            self.player = None;
            return silence;
        }
        let music = &self.music;
        self.player.get_or_insert_with(|| music.player()).frame(silence.len())
    }

    /// Asterisk reported its queue.
    pub fn status(&mut self, frames: u32, now: Instant, actions: &mut Vec<Action>) {
        self.pacer.status(frames, now, actions);
        let counts = self.counts();
        let small = |count: u64| u32::try_from(count).unwrap_or(u32::MAX);
        let queue = time(self.frame_bytes) * frames;
        self.state.set_figures(Figures {
            asterisk_queue_ms: small(queue.as_millis() as u64),
            dropped: small(counts.dropped() - counts.dropped_phone_slow),
            filled: small(counts.filled),
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
