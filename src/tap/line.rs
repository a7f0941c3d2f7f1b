//! The one place where a call's task meets whoever listens: a frame is handed over or dropped, in
//! constant time, and nobody is woken.
//!
//! While nobody listens, a frame costs one load of a flag, and the line has no queue.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Instant,
};

use bytes::Bytes;
use tokio::sync::mpsc;

use crate::media::align::Lane;

/// Frames and digits that may wait for the tap's thread: a second of both sides, while it looks
/// fifty times a second. What comes beyond is dropped and counted.
pub const LINE: usize = 100;

/// What a call's task hands over.
#[derive(Debug, Clone)]
pub enum Heard {
    Frame(Lane, Instant, Bytes),
    /// A digit that was pressed.
    Digit(Lane, char),
}

/// The call's end. Dropping it says that the call is over.
#[derive(Debug)]
pub struct TapLine {
    switch: Arc<Switch>,
}

/// The tap's end.
#[derive(Debug)]
pub struct LineEnd {
    switch: Arc<Switch>,
    queue: Option<mpsc::Receiver<Heard>>,
}

/// Whether anybody listens; shared by both ends.
#[derive(Debug, Default)]
pub struct Switch {
    on: AtomicBool,
    /// There from the first time on that somebody listens: most calls never need it.
    queue: OnceLock<mpsc::Sender<Heard>>,
    /// Its other end, until the tap takes it.
    end: Mutex<Option<mpsc::Receiver<Heard>>>,
    dropped: AtomicU64,
    over: OnceLock<Instant>,
}

/// A line that nobody listens to yet.
pub fn line() -> (TapLine, LineEnd, Arc<Switch>) {
    let switch = Arc::new(Switch::default());
    let end = LineEnd { switch: switch.clone(), queue: None };
    (TapLine { switch: switch.clone() }, end, switch)
}

impl TapLine {
    /// What the agent says, as it was handed to Asterisk.
    #[inline]
    pub fn left(&self, frame: &Bytes) {
        if self.switch.on.load(Ordering::Relaxed) {
            self.frame(Lane::Left, frame);
        }
    }

    /// What Asterisk sends.
    #[inline]
    pub fn right(&self, frame: &Bytes) {
        if self.switch.on.load(Ordering::Relaxed) {
            self.frame(Lane::Right, frame);
        }
    }

    /// A digit that the other side pressed.
    pub fn digit(&self, lane: Lane, digit: char) {
        if self.switch.on.load(Ordering::Relaxed) {
            self.hand_over(Heard::Digit(lane, digit));
        }
    }

    fn frame(&self, lane: Lane, frame: &Bytes) {
        self.hand_over(Heard::Frame(lane, now(), frame.clone()));
    }

    fn hand_over(&self, heard: Heard) {
        let queue = self.switch.queue.get();
        if queue.is_none_or(|queue| queue.try_send(heard).is_err()) {
            self.switch.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Drop for TapLine {
    fn drop(&mut self) {
        let _ = self.switch.over.set(now());
    }
}

impl Switch {
    pub fn turn_on(&self) {
        self.queue.get_or_init(|| {
            let (queue, end) = mpsc::channel(LINE);
            *self.end() = Some(end);
            queue
        });
        self.on.store(true, Ordering::Relaxed);
    }

    fn end(&self) -> MutexGuard<'_, Option<mpsc::Receiver<Heard>>> {
        self.end.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn turn_off(&self) {
        self.on.store(false, Ordering::Relaxed);
    }

    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// The tap ends, whether or not the call does.
    pub fn hang_up(&self) {
        self.turn_off();
        let _ = self.over.set(now());
    }

    /// When the call ended, if it has.
    pub fn over(&self) -> Option<Instant> {
        self.over.get().copied()
    }
}

impl LineEnd {
    /// What waits. `None` when there is nothing now.
    pub fn take(&mut self) -> Option<Heard> {
        if self.queue.is_none() {
            self.queue = self.switch.end().take();
        }
        self.queue.as_mut()?.try_recv().ok()
    }
}

fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_handed_over_until_somebody_listens() {
        let (line, mut end, switch) = line();
        line.left(&Bytes::from_static(&[1, 2]));
        assert!(end.take().is_none());
        switch.turn_on();
        line.right(&Bytes::from_static(&[3, 4]));
        assert!(matches!(end.take(), Some(Heard::Frame(Lane::Right, ..))));
        assert!(end.take().is_none() && switch.over().is_none());
        drop(line);
        assert!(switch.over().is_some());
    }

    #[test]
    fn a_tap_that_is_away_costs_a_bounded_queue_and_the_call_goes_on() {
        let (line, mut end, switch) = line();
        switch.turn_on();
        for n in 0..LINE as u8 + 50 {
            line.left(&Bytes::from(vec![n; 640]));
        }
        assert_eq!(switch.dropped(), 50);
        let mut taken = 0;
        while end.take().is_some() {
            taken += 1;
        }
        assert_eq!(taken, LINE);
    }
}
