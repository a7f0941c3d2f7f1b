//! The one place where a call's task meets whoever listens: a frame is copied or dropped, in constant
//! time. Nobody is woken, nothing is waited for, and no memory goes over to the other thread, so that
//! neither has to wait for the other's heap.
//!
//! What has come lies in a tray, which the tap's thread exchanges for an empty one at each of its
//! beats. That thread stands behind the calls, and may be sent away with the tray in its hand: then
//! frames are put aside until it is back.
//!
//! While nobody listens, a frame costs one load of a flag, and the trays are empty.

use std::{
    mem,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError, TryLockError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Instant,
};

use bytes::Bytes;

use crate::media::align::Lane;

/// Frames and digits that may wait for the tap's thread: two seconds of both sides, while it looks
/// fifty times a second. What comes beyond is dropped and counted.
pub const LINE: usize = 200;
/// Room that a tray has from the first: what comes between two beats that are not late.
const ROOM: (usize, usize) = (8, 8 * 640);
/// Bytes of audio that a tray may hold, whatever the size of frames.
const MOST: usize = LINE * 640;

/// What a call's task hands over.
#[derive(Debug, Clone)]
pub enum Heard {
    Frame(Lane, Instant, Bytes),
    /// A digit that was pressed.
    Digit(Lane, char),
}

/// What lies in a tray: a frame of so many bytes, or a digit.
#[derive(Debug, Clone, Copy)]
enum Entry {
    Frame(Lane, Instant, usize),
    Digit(Lane, char),
}

/// What has come and wasn't taken yet. Its memory is used again.
#[derive(Debug, Default)]
struct Tray {
    entries: Vec<Entry>,
    /// The frames' audio, one after the other.
    audio: Vec<u8>,
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
    /// What was taken last, how much of it has been given out, and its audio that hasn't.
    taken: Tray,
    given: usize,
    audio: Bytes,
}

/// Whether anybody listens; shared by both ends.
#[derive(Debug, Default)]
pub struct Switch {
    on: AtomicBool,
    /// Held by the tap for as long as two pointers take, and by the call's task only if it is free.
    tray: Mutex<Tray>,
    /// What came while the tap held the tray. The call's tasks have it for themselves until it is over.
    aside: Mutex<Tray>,
    dropped: AtomicU64,
    over: OnceLock<Instant>,
}

/// A line that nobody listens to yet.
pub fn line() -> (TapLine, LineEnd, Arc<Switch>) {
    let switch = Arc::new(Switch::default());
    let end =
        LineEnd { switch: switch.clone(), taken: Tray::default(), given: 0, audio: Bytes::new() };
    (TapLine { switch: switch.clone() }, end, switch)
}

impl Tray {
    fn with_room() -> Self {
        Self { entries: Vec::with_capacity(ROOM.0), audio: Vec::with_capacity(ROOM.1) }
    }

    fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// False if there is no room.
    fn put(&mut self, entry: Entry, audio: &[u8]) -> bool {
        let room = self.entries.len() < LINE && self.audio.len() + audio.len() <= MOST;
        if room {
            self.entries.push(entry);
            self.audio.extend_from_slice(audio);
        }
        room
    }

    /// Moves all of it behind what is in `to`; tells for how much there was no room.
    fn pour(&mut self, to: &mut Self) -> u64 {
        let (mut at, mut lost) = (0, 0);
        for entry in self.entries.drain(..) {
            let length = match entry {
                Entry::Frame(_, _, length) => length,
                Entry::Digit(..) => 0,
            };
            let audio = self.audio.get(at..at + length).unwrap_or_default();
            lost += u64::from(!to.put(entry, audio));
            at += length;
        }
        self.audio.clear();
        lost
    }

    /// Empties it for the next use, and gives back what only a stall has needed.
    fn clear(&mut self) {
        self.entries.clear();
        self.audio.clear();
        let usual = self.audio.capacity() >= ROOM.1 && self.audio.capacity() <= 4 * ROOM.1;
        if !usual || self.entries.capacity() > 4 * ROOM.0 {
            *self = Self::with_room();
        }
    }
}

impl TapLine {
    /// What the agent says, as it was handed to Asterisk.
    #[inline]
    pub fn left(&self, frame: &Bytes) {
        if self.switch.on.load(Ordering::Relaxed) {
            self.switch.put(Entry::Frame(Lane::Left, now(), frame.len()), frame);
        }
    }

    /// What Asterisk sends.
    #[inline]
    pub fn right(&self, frame: &Bytes) {
        if self.switch.on.load(Ordering::Relaxed) {
            self.switch.put(Entry::Frame(Lane::Right, now(), frame.len()), frame);
        }
    }

    /// A digit that the other side pressed.
    pub fn digit(&self, lane: Lane, digit: char) {
        if self.switch.on.load(Ordering::Relaxed) {
            self.switch.put(Entry::Digit(lane, digit), &[]);
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
        *locked(&self.tray) = Tray::with_room();
        self.on.store(true, Ordering::Relaxed);
    }

    pub fn turn_off(&self) {
        self.on.store(false, Ordering::Relaxed);
    }

    fn put(&self, entry: Entry, audio: &[u8]) {
        // Waited for at most while another leg of the same channel does the same.
        let mut aside = locked(&self.aside);
        let lost = match free(&self.tray) {
            Some(mut tray) => {
                let lost = if aside.is_empty() { 0 } else { aside.pour(&mut tray) };
                lost + u64::from(!tray.put(entry, audio))
            }
            None => u64::from(!aside.put(entry, audio)),
        };
        if lost > 0 {
            self.dropped.fetch_add(lost, Ordering::Relaxed);
        }
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
    /// What waits. `None` when there is nothing now, or when something comes at this very moment: a
    /// beat later it is there.
    pub fn take(&mut self) -> Option<Heard> {
        if self.given >= self.taken.entries.len() && !self.refill() {
            return None;
        }
        let entry = *self.taken.entries.get(self.given)?;
        self.given += 1;
        Some(match entry {
            Entry::Frame(lane, at, length) => {
                Heard::Frame(lane, at, self.audio.split_to(length.min(self.audio.len())))
            }
            Entry::Digit(lane, digit) => Heard::Digit(lane, digit),
        })
    }

    fn refill(&mut self) -> bool {
        self.taken.clear();
        self.given = 0;
        if self.switch.over().is_some() {
            // Nobody puts anything in any more, unless the gateway ends before the call.
            let mut aside = locked(&self.switch.aside);
            mem::swap(&mut *locked(&self.switch.tray), &mut self.taken);
            aside.pour(&mut self.taken);
        } else if let Some(mut tray) = free(&self.switch.tray) {
            mem::swap(&mut *tray, &mut self.taken);
        }
        self.audio = Bytes::copy_from_slice(&self.taken.audio);
        !self.taken.is_empty()
    }
}

/// The lock, unless somebody has it.
fn free<T>(mutex: &Mutex<T>) -> Option<MutexGuard<'_, T>> {
    match mutex.try_lock() {
        Ok(guard) => Some(guard),
        Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(end: &mut LineEnd) -> Vec<u8> {
        std::iter::from_fn(|| end.take())
            .filter_map(|heard| match heard {
                Heard::Frame(_, _, frame) => frame.first().copied(),
                Heard::Digit(..) => None,
            })
            .collect()
    }

    #[test]
    fn nothing_is_handed_over_until_somebody_listens() {
        let (line, mut end, switch) = line();
        line.left(&Bytes::from_static(&[1, 2]));
        assert!(end.take().is_none());
        switch.turn_on();
        line.right(&Bytes::from_static(&[3, 4]));
        let Some(Heard::Frame(Lane::Right, _, frame)) = end.take() else { panic!("a frame") };
        assert_eq!(frame[..], [3, 4]);
        assert!(end.take().is_none() && switch.over().is_none());
        drop(line);
        assert!(switch.over().is_some());
    }

    #[test]
    fn frames_of_all_lengths_and_digits_come_out_in_order() {
        let (line, mut end, switch) = line();
        switch.turn_on();
        for n in 0..20u8 {
            line.left(&Bytes::from(vec![n; usize::from(n) * 2]));
            line.digit(Lane::Right, char::from(b'a' + n));
        }
        for n in 0..20u8 {
            let Some(Heard::Frame(Lane::Left, _, frame)) = end.take() else { panic!("a frame") };
            assert_eq!(frame, vec![n; usize::from(n) * 2]);
            let Some(Heard::Digit(Lane::Right, digit)) = end.take() else { panic!("a digit") };
            assert_eq!(digit, char::from(b'a' + n));
        }
        assert!(end.take().is_none());
    }

    #[test]
    fn a_tap_that_is_away_costs_a_bounded_tray_and_the_call_goes_on() {
        let (line, mut end, switch) = line();
        switch.turn_on();
        for n in 0..LINE + 50 {
            line.left(&Bytes::from(vec![n as u8; 640]));
        }
        assert_eq!(switch.dropped(), 50);
        assert_eq!(frames(&mut end).len(), LINE);
        line.left(&Bytes::from(vec![7; 64 * 640]));
        for _ in 0..LINE {
            line.left(&Bytes::from(vec![8; 64 * 640]));
        }
        assert!(locked(&switch.tray).audio.len() <= MOST, "however long frames are");
        assert!(frames(&mut end).len() < LINE && frames(&mut end).is_empty());
        assert!(end.taken.audio.capacity() <= 4 * ROOM.1, "a stall's memory is given back");
    }

    #[test]
    fn a_tap_that_is_sent_away_with_the_tray_in_its_hand_holds_up_no_frame_and_loses_none() {
        let (line, mut end, switch) = line();
        switch.turn_on();
        line.left(&Bytes::from_static(&[1; 640]));
        let in_hand = locked(&switch.tray);
        for n in 2..5 {
            line.left(&Bytes::from(vec![n; 640]));
        }
        assert!(free(&switch.tray).is_none());
        drop(in_hand);
        line.left(&Bytes::from_static(&[5; 640]));
        assert_eq!(frames(&mut end), [1, 2, 3, 4, 5]);
        let in_hand = locked(&switch.tray);
        line.left(&Bytes::from_static(&[6; 640]));
        drop(in_hand);
        drop(line);
        assert_eq!(frames(&mut end), [6], "also when it was the last");
        assert_eq!(switch.dropped(), 0);
    }
}
