//! PURE: how far behind the calls the taps' thread stands, decided beat by beat.
//!
//! Behind everybody else, any call preempts it at once, and it gets nothing from a machine that is
//! busy throughout. So it goes there only where there is time to spare, and stays only while it is
//! served.

use std::time::Duration;

/// From one beat to the next: a slot of the grid.
pub const BEAT: Duration = Duration::from_millis(20);
/// A beat that is no later than this is on time: on a machine whose processors are mostly taken it
/// seldom is for a second on end.
const ON_TIME: Duration = Duration::from_millis(10);
/// A beat that is later than this means that there is no time left for who stands last. Lines and
/// consumers' queues hold eight times as much.
const STARVED: Duration = Duration::from_millis(250);
/// Beats on time after which it goes behind: a second at the start, a minute after it starved there.
const CALM: u32 = 50;
const CALM_AGAIN: u32 = 3000;

/// The share of the machine's time that has to be left over, of a hundred: calls and taps that fill
/// one of two processors leave more, and a machine that others keep busy doesn't.
const SPARE: u64 = 10;

/// Where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Below the calls, with a share of its own.
    Low,
    /// Last: with what nobody else wants.
    Last,
}

/// Where the thread stands, and how its last beats were.
#[derive(Debug)]
pub struct Standing {
    place: Place,
    calm: u32,
    wanted: u32,
}

impl Default for Standing {
    fn default() -> Self {
        Self { place: Place::Low, calm: 0, wanted: CALM }
    }
}

impl Standing {
    /// A beat came so much later than it should have, on a machine with time to spare or without;
    /// tells where to stand from now on.
    pub fn beat(&mut self, late: Duration, spare: bool) -> Place {
        match self.place {
            Place::Low if late > ON_TIME || !spare => self.calm = 0,
            Place::Low => {
                self.calm += 1;
                if self.calm >= self.wanted {
                    self.place = Place::Last;
                }
            }
            Place::Last if late > STARVED => {
                (self.place, self.calm, self.wanted) = (Place::Low, 0, CALM_AGAIN);
            }
            Place::Last => {}
        }
        self.place
    }
}

/// What the machine's processors have done with their time, from one look to the next.
#[derive(Debug, Default)]
pub struct Time {
    idle: u64,
    all: u64,
}

impl Time {
    /// Whether there was time to spare since the last look; `stat` is the system's `/proc/stat`. Without
    /// one, or before the second look, there was none.
    pub fn look(&mut self, stat: &str) -> bool {
        let Some(line) = stat.lines().next().and_then(|line| line.strip_prefix("cpu ")) else {
            return false;
        };
        // user, nice, system, idle, waiting for a disk, interrupts (two), taken by the host
        let ticks: Vec<u64> =
            line.split_whitespace().map_while(|n| n.parse().ok()).take(8).collect();
        let [_, _, _, idle, waiting, ..] = ticks[..] else { return false };
        let now = Self {
            idle: idle.saturating_add(waiting),
            all: ticks.iter().copied().fold(0, u64::saturating_add),
        };
        let before = std::mem::replace(self, now);
        let (idle, all) =
            (self.idle.saturating_sub(before.idle), self.all.saturating_sub(before.all));
        before.all > 0 && all > 0 && idle.saturating_mul(100) >= all.saturating_mul(SPARE)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn beats(standing: &mut Standing, count: u32, late: Duration) -> Place {
        (0..count).map(|_| standing.beat(late, true)).last().unwrap_or(Place::Low)
    }

    #[test]
    fn time_is_to_spare_where_a_tenth_of_the_last_second_was_idle() {
        let mut time = Time::default();
        assert!(!time.look("cpu  100 0 100 1000 0 0 0 0 5 5\ncpu0 1 2 3 4"), "the first look");
        assert!(time.look("cpu  190 0 100 1005 5 0 0 0 9 9\n"), "10 of 100");
        assert!(!time.look("cpu  280 0 100 1010 9 0 0 2 9 9\n"), "9 of 101");
        for nothing in ["", "cpu", "cpu  1 2 3", "intr 1 2 3 4 5", "cpu  280 0 100 1010 9 0 0 2"] {
            assert!(!time.look(nothing), "{nothing}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_looked_at(texts in proptest::collection::vec("cpu  [0-9 ]{0,200}", 0..4)) {
            let mut time = Time::default();
            for text in texts {
                time.look(&text);
            }
        }
    }

    #[test]
    fn it_goes_last_once_the_machine_has_time_and_comes_back_where_it_has_none() {
        let mut standing = Standing::default();
        assert_eq!(beats(&mut standing, CALM - 1, ON_TIME), Place::Low);
        assert_eq!(standing.beat(ON_TIME, true), Place::Last);
        assert_eq!(beats(&mut standing, 1000, STARVED), Place::Last);
        assert_eq!(standing.beat(STARVED + BEAT, true), Place::Low);
        assert_eq!(beats(&mut standing, CALM_AGAIN - 1, Duration::ZERO), Place::Low);
        assert_eq!(standing.beat(Duration::ZERO, true), Place::Last);
    }

    #[test]
    fn on_a_machine_that_is_always_busy_it_keeps_its_share() {
        let mut standing = Standing::default();
        for _ in 0..1000 {
            assert_eq!(beats(&mut standing, CALM - 1, Duration::ZERO), Place::Low);
            assert_eq!(standing.beat(ON_TIME + BEAT, true), Place::Low);
            assert_eq!(beats(&mut standing, CALM - 1, Duration::ZERO), Place::Low);
            assert_eq!(standing.beat(Duration::ZERO, false), Place::Low, "nothing to spare");
        }
    }
}
