//! What is remembered of the network: how late frames come, and whether that recurs.
//!
//! TCP loses nothing: a lost packet makes one frame late and those behind it a little less each. That
//! is one stall, told by its first frame. A single one is forgiven, two mean that there will be more:
//! as long as they are remembered, the delay that bridges them isn't needless.

use super::nanos::Nanos;

/// A frame that is later than the one before by this much begins a stall.
const STALL: Nanos = Nanos::millis(15);
/// How long a stall is remembered, in [`SLOT`]s. A packet lost every few seconds is prepared for all
/// the time; a calm network is believed after it.
const SLOTS: usize = 12;
const SLOT: Nanos = Nanos::millis(1_000);
/// From so many on the network is bad, and the longest of them will come again, too.
const MANY: u32 = 20;
/// What is later is a freeze: it teaches nothing about the next stall, and is not prepared for.
const FREEZE: Nanos = Nanos::millis(250);
/// A frame that is quicker than all others sets the measure at once; that all are slower (a longer
/// route, a slower clock) is taken over after this.
const SLOWER: Nanos = Nanos::millis(1_500);

/// The lateness of one phone's frames.
#[derive(Debug)]
#[repr(C)] // what a frame in step touches comes first
pub struct Stalls {
    /// When the last frame would have come, had it been as quick as the quickest. [`Nanos::MAX`]
    /// before the first, which is on time whenever it comes.
    due: Nanos,
    /// When it came.
    came: Nanos,
    /// The least of what lies between those since `since`.
    least: Nanos,
    /// Not before this is anything forgotten or taken over.
    look_at: Nanos,
    /// What `slots` and `counts` come to, in microseconds. Each frame asks for it, and those are more
    /// memory than all else that it touches here.
    recurring: u32,
    slot: u32,
    slot_began: Nanos,
    since: Nanos,
    /// The two longest stalls of each slot in microseconds, the longer first; a ring.
    slots: [[u32; 2]; SLOTS],
    /// How many there were in each.
    counts: [u16; SLOTS],
}

impl Stalls {
    pub fn new(now: Nanos) -> Self {
        Self {
            due: Nanos::MAX,
            came: now,
            least: Nanos::MAX,
            look_at: now,
            recurring: 0,
            slot: 0,
            slot_began: now,
            since: now,
            slots: Default::default(),
            counts: Default::default(),
        }
    }

    /// A frame came that lasts `frame_time`.
    pub fn see(&mut self, frame_time: Nanos, now: Nanos) {
        let looks = now >= self.look_at;
        if looks {
            self.turn(now);
        }
        let before = self.came - self.due;
        self.due = (self.due + frame_time).min(now);
        self.came = now;
        let late = now - self.due;
        if late > FREEZE {
            self.due = now;
            self.least = Nanos::MAX;
            self.since = now;
            return;
        }
        if late > before + STALL {
            self.remember(late);
        }
        self.least = self.least.min(late);
        if looks {
            if now - self.since >= SLOWER {
                self.due += self.least;
                self.least = Nanos::MAX;
                self.since = now;
            }
            self.look_at = (self.slot_began + SLOT).min(self.since + SLOWER);
        }
    }

    /// When the newest frame would have come, had it been as quick as the quickest.
    pub fn due(&self) -> Nanos {
        self.due
    }

    /// When the newest frame came.
    pub fn came(&self) -> Option<Nanos> {
        (self.due != Nanos::MAX).then_some(self.came)
    }

    /// The longest stall that there was more than once; where there are [`MANY`], the longest.
    pub fn recurring(&self) -> Nanos {
        Nanos::micros(self.recurring)
    }

    #[cold]
    fn remember(&mut self, stall: Nanos) {
        // No longer than FREEZE.
        let stall = u32::try_from(stall.as_micros()).unwrap_or(u32::MAX);
        let count = &mut self.counts[self.slot as usize];
        *count = count.saturating_add(1);
        let [first, second] = &mut self.slots[self.slot as usize];
        if stall > *first {
            (*first, *second) = (stall, *first);
        } else {
            *second = stall.max(*second);
        }
        self.sum_up();
    }

    fn sum_up(&mut self) {
        let many: u32 = self.counts.iter().copied().map(u32::from).sum();
        let (mut first, mut second) = (0, 0);
        for [longest, next] in self.slots {
            if longest > first {
                second = first.max(next);
                first = longest;
            } else {
                second = second.max(longest);
            }
        }
        self.recurring = if many >= MANY { first } else { second };
    }

    /// Forgets what is too long ago.
    #[cold]
    fn turn(&mut self, now: Nanos) {
        if now - self.slot_began < SLOT {
            return;
        }
        if now - self.slot_began > SLOT.times(SLOTS) {
            self.slots = Default::default();
            self.counts = Default::default();
            self.slot_began = now;
        }
        while now - self.slot_began >= SLOT {
            self.slot = (self.slot + 1) % SLOTS as u32;
            self.slots[self.slot as usize] = Default::default();
            self.counts[self.slot as usize] = 0;
            self.slot_began += SLOT;
        }
        self.sum_up();
    }
}

/// Where what a frame in step touches lies.
#[cfg(test)]
pub const IN_STEP: std::ops::Range<usize> =
    std::mem::offset_of!(Stalls, due)..std::mem::offset_of!(Stalls, slot);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::media::frame::FRAME_TIME;

    const FRAME: Nanos = Nanos::of(FRAME_TIME);

    /// Frames of 20 ms, each so many ms late.
    fn after(late: impl IntoIterator<Item = u32>) -> Stalls {
        let mut stalls = Stalls::new(Nanos::ZERO);
        for (n, late) in late.into_iter().enumerate() {
            stalls.see(FRAME, FRAME.times(n) + Nanos::millis(late));
        }
        stalls
    }

    /// Frame `n` of a network where a packet is lost at each of these.
    fn lost_at(lost: &[u32], n: u32) -> u32 {
        lost.iter()
            .filter(|at| n >= **at)
            .map(|at| 95u32.saturating_sub(20 * (n - at)))
            .max()
            .unwrap_or(0)
    }

    #[test]
    fn one_stall_is_forgiven_and_two_are_remembered_for_12_s() {
        assert_eq!(after((0..700).map(|n| lost_at(&[100], n))).recurring(), Nanos::ZERO);
        let twice = |frames| after((0..frames).map(|n| lost_at(&[100, 200], n))).recurring();
        assert_eq!(twice(201), Nanos::millis(95));
        assert_eq!(twice(650), Nanos::millis(95));
        assert_eq!(twice(750), Nanos::ZERO);
    }

    #[test]
    fn a_freeze_teaches_nothing() {
        let frozen = |n: u32| 3_000u32.saturating_sub(20 * n);
        assert_eq!(
            after((0..400).map(|n| if n < 100 { 0 } else { frozen(n - 100) })).recurring(),
            Nanos::ZERO
        );
    }

    #[test]
    fn a_slow_or_a_fast_clock_is_no_stall() {
        for per_frame in [19_800, 20_200] {
            let mut stalls = Stalls::new(Nanos::ZERO);
            for n in 0..10_000 {
                stalls.see(FRAME, Nanos::micros(per_frame).times(n));
                assert_eq!(stalls.recurring(), Nanos::ZERO);
            }
        }
    }

    proptest! {
        #[test]
        fn what_recurs_is_never_more_than_was_seen(late in prop::collection::vec(0u32..600, 0..600)) {
            // In order, as TCP gives them.
            let mut last = 0;
            let late: Vec<u32> = late.into_iter().map(|late| { last = late.max(u32::saturating_sub(last, 20)); last }).collect();
            let most = late.iter().max().copied().unwrap_or(0);
            let recurring = after(late).recurring();
            prop_assert!(recurring <= Nanos::millis(most) && recurring <= FREEZE);
        }
    }
}
