//! PURE: what Asterisk does with the audio of one call, and how late it plays it.
//!
//! Like chan_websocket it keeps frames in a queue, plays exactly one at each of its 50 ticks a
//! second, never catches up, and throws away what comes when the queue is full. A relay that hands
//! over a stall's frames all at once leaves them in that queue to the end of the call: heard by
//! whoever listens, seen by nobody who looks at arrivals alone.
//!
//! A frame's **lateness at playout** is counted from the first tick after it was sent, at which a
//! relay without any delay would have had it played; so it is a number of whole ticks.

use std::collections::VecDeque;

use crate::world::FRAME_NS;

/// At so many frames in its queue Asterisk throws a message away.
const FULL: usize = 1000;

/// One call's queue and its clock.
pub struct Playout {
    /// When the next frame is played, in nanoseconds of the load's clock.
    tick: u64,
    /// When each was sent; `None` for what the gateway has filled in.
    queue: VecDeque<Option<u64>>,
}

impl Playout {
    /// Ticks lie this far behind the beginning of each 20 ms.
    pub fn new(phase: u64, now: u64) -> Self {
        let phase = phase % FRAME_NS;
        let began = now - now % FRAME_NS + phase;
        let tick = if began < now { began + FRAME_NS } else { began };
        Self { tick, queue: VecDeque::new() }
    }

    /// Plays what is due, and tells of each frame of the phone's how late that was.
    pub fn play(&mut self, now: u64, mut late: impl FnMut(u64)) {
        while self.tick <= now {
            match self.queue.pop_front() {
                Some(Some(sent)) => late(self.tick.saturating_sub(self.first_tick(sent + 1))),
                Some(None) => {}
                None => {
                    // Nothing to play until now.
                    self.tick = self.first_tick(now + 1);
                    return;
                }
            }
            self.tick += FRAME_NS;
        }
    }

    /// A frame came; false if it was thrown away.
    pub fn push(&mut self, sent: Option<u64>) -> bool {
        let has_room = self.queue.len() < FULL;
        if has_room {
            self.queue.push_back(sent);
        }
        has_room
    }

    pub fn flush(&mut self) {
        self.queue.clear();
    }

    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// The first tick at or after this moment.
    fn first_tick(&self, at: u64) -> u64 {
        let phase = self.tick % FRAME_NS;
        at + (FRAME_NS + phase - at % FRAME_NS) % FRAME_NS
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::MS;

    /// Frames that are sent and arrive at these moments in milliseconds, and how late each is
    /// played, in ticks.
    fn late(phase: u64, frames: &[(u64, u64)]) -> Vec<u64> {
        let mut playout = Playout::new(phase * MS, 0);
        let mut all = Vec::new();
        for (sent, came) in frames {
            playout.play(came * MS, |late| all.push(late / FRAME_NS));
            playout.push(Some(sent * MS));
        }
        playout.play(u64::MAX / 2, |late| all.push(late / FRAME_NS));
        all
    }

    #[test]
    fn who_relays_at_once_is_never_late_however_the_clocks_lie() {
        for phase in 0..20 {
            let frames: Vec<_> = (0..50).map(|n| (7 + 20 * n, 7 + 20 * n)).collect();
            assert_eq!(late(phase, &frames), [0; 50], "phase {phase}");
        }
    }

    #[test]
    fn a_stall_whose_frames_come_all_at_once_is_heard_to_the_end_of_the_call() {
        // Sent at 5, 25, 45 …; the second and third arrive with the fourth.
        let frames = [(5, 5), (25, 66), (45, 66), (65, 66), (85, 85), (105, 105)];
        assert_eq!(late(10, &frames), [0, 2, 2, 2, 2, 2]);
    }

    #[test]
    fn who_leaves_the_old_ones_out_is_late_no_longer() {
        let frames = [(5, 5), (65, 66), (85, 85), (105, 105)];
        assert_eq!(late(10, &frames), [0, 0, 0, 0]);
    }

    #[test]
    fn a_frame_that_misses_its_tick_by_little_is_a_whole_tick_late() {
        assert_eq!(late(10, &[(9, 11)]), [1]);
        assert_eq!(late(10, &[(9, 10)]), [1], "what comes at a tick is played at the next");
    }

    #[test]
    fn what_was_filled_in_delays_what_comes_behind_it() {
        let mut playout = Playout::new(0, 1);
        playout.push(None);
        playout.push(Some(2));
        let mut all = Vec::new();
        playout.play(100 * MS, |late| all.push(late / FRAME_NS));
        assert_eq!(all, [1]);
    }

    #[test]
    fn a_full_queue_throws_away_and_a_flushed_one_is_empty() {
        let mut playout = Playout::new(0, 0);
        assert!((0..FULL).all(|_| playout.push(None)));
        assert!(!playout.push(None));
        playout.flush();
        assert_eq!(playout.len(), 0);
        assert!(playout.push(None));
    }
}
