//! The way of audio from one socket's task to the other's: a bounded queue that drops the oldest.
//!
//! Promises: pushing never waits; what is too much is counted; whoever takes is rung for when there
//! is something again. A hop can be shut: what both ends do with audio then is theirs, and learning
//! it costs them no place in memory of its own.

use std::{
    mem,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use bytes::Bytes;

use super::{
    bell::{AudioBell, Bells},
    short::ShortQueue,
};

/// Frames of 20 ms that may wait for a socket: 200 ms. What is older helps nobody.
pub const HOP_FRAMES: usize = 10;

/// Both ends' one place. Of the queue, what a frame that finds it empty touches lies in the first
/// line of memory.
#[derive(Debug, Default)]
#[repr(C, align(64))]
struct Shared {
    shut: AtomicBool,
    queue: Mutex<Queue>,
}

#[derive(Debug, Default)]
#[repr(C)]
struct Queue {
    /// How often `bell` has changed.
    takers: u32,
    frames: ShortQueue<Bytes>,
    dropped: u64,
    /// Whoever takes, from when it first found nothing.
    bell: Option<AudioBell>,
}

/// Where frames go in.
#[derive(Debug)]
pub struct HopSender {
    shared: Arc<Shared>,
    /// What the queue's bell is, so that it can be rung without the queue in hand.
    bell: Option<AudioBell>,
    takers: u32,
    /// Something was pushed since it was rung.
    pushed: bool,
}

/// Where frames come out.
#[derive(Debug)]
pub struct HopReceiver(Arc<Shared>);

/// One direction of one call.
pub fn hop() -> (HopSender, HopReceiver) {
    let shared = Arc::<Shared>::default();
    (
        HopSender { shared: shared.clone(), bell: None, takers: 0, pushed: false },
        HopReceiver(shared),
    )
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl HopSender {
    /// Puts a frame in; the oldest makes room. Of what comes together, however much, no more is kept
    /// than [`HOP_FRAMES`]: [`HopSender::ring`] follows on the last.
    pub fn push(&mut self, frame: Bytes) {
        let mut queue = self.shared.queue();
        if queue.frames.len() >= HOP_FRAMES {
            queue.frames.pop();
            queue.dropped += 1;
        }
        queue.frames.push(frame);
        self.pushed = true;
        if queue.takers != self.takers {
            self.takers = queue.takers;
            self.bell.clone_from(&queue.bell);
        }
    }

    /// Rings for whoever takes, if anything was pushed since. It may have been taken when this
    /// returns.
    pub fn ring(&mut self) {
        if mem::take(&mut self.pushed)
            && let Some(bell) = &self.bell
        {
            bell.ring();
        }
    }

    /// Looks at what the next frame touches.
    pub fn touch(&self) {
        std::hint::black_box((self.is_shut(), self.bell.as_ref().map_or(0, AudioBell::touch)));
    }

    /// How many frames were dropped for room so far.
    pub fn dropped(&self) -> u64 {
        self.shared.queue().dropped
    }

    /// Shuts the hop, or opens it again.
    pub fn shut(&self, shut: bool) {
        self.shared.shut.store(shut, Ordering::Release);
    }

    pub fn is_shut(&self) -> bool {
        self.shared.shut.load(Ordering::Acquire)
    }
}

impl HopReceiver {
    /// How many frames were dropped for room so far.
    pub fn dropped(&self) -> u64 {
        self.0.queue().dropped
    }

    /// How many frames wait.
    pub fn waiting(&self) -> usize {
        self.0.queue().frames.len()
    }

    /// The next frame. Where there is none, `bells` are rung for the one that comes.
    pub fn take(&self, bells: &Bells) -> Option<Bytes> {
        let mut queue = self.0.queue();
        let frame = queue.frames.pop();
        if frame.is_none() && !queue.bell.as_ref().is_some_and(|bell| bells.is_audio(bell)) {
            queue.bell = Some(bells.audio());
            queue.takers += 1;
        }
        frame
    }

    /// Throws away what waits.
    pub fn clear(&self) {
        self.0.queue().frames.clear();
    }

    /// Shuts the hop, or opens it again.
    pub fn shut(&self, shut: bool) {
        self.0.shut.store(shut, Ordering::Release);
    }

    pub fn is_shut(&self) -> bool {
        self.0.shut.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Waker};

    use super::*;

    #[test]
    fn the_oldest_makes_room_and_is_counted() {
        let (mut tx, rx) = hop();
        let mut bells = Bells::default();
        for n in 0..15u8 {
            tx.push(Bytes::from(vec![n]));
        }
        assert_eq!((tx.dropped(), rx.dropped()), (5, 5));
        for n in 5..15u8 {
            assert_eq!(rx.take(&bells), Some(Bytes::from(vec![n])));
        }
        let nobody = Context::from_waker(Waker::noop());
        let _ = bells.rung(&nobody);
        assert_eq!(rx.take(&bells), None);
        assert!(!bells.rung(&nobody).audio());
        tx.push(Bytes::new());
        assert!(!bells.rung(&nobody).audio(), "more may follow");
        tx.ring();
        assert!(bells.rung(&nobody).audio());
        tx.ring();
        assert!(!bells.rung(&nobody).audio(), "there is nothing new");
        rx.clear();
        assert_eq!(rx.waiting(), 0);
    }

    #[test]
    fn both_ends_learn_that_it_is_shut() {
        let (tx, rx) = hop();
        assert!(!tx.is_shut() && !rx.is_shut());
        tx.shut(true);
        assert!(tx.is_shut() && rx.is_shut());
        rx.shut(false);
        assert!(!tx.is_shut() && !rx.is_shut());
    }

    #[test]
    fn a_frame_that_finds_it_empty_touches_one_line() {
        use std::mem::offset_of;
        let frames = offset_of!(Queue, frames);
        // The lock, whether it is shut, whom to ring, and the frame.
        assert!(16 + frames + size_of::<Option<Bytes>>() <= 64, "{frames}");
        assert_eq!(align_of::<Shared>(), 64);
    }
}
