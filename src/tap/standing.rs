//! PURE: how far behind the calls the taps' thread stands, decided beat by beat.
//!
//! Behind everybody else, any call preempts it at once, and it gets nothing from a machine that is
//! busy throughout. So it stands there only while it is served all the same.

use std::time::Duration;

/// From one beat to the next: a slot of the grid.
pub const BEAT: Duration = Duration::from_millis(20);
/// A beat that is no later than this is on time: on a machine whose processors are mostly taken it
/// seldom is, a hundred times in a row.
const ON_TIME: Duration = Duration::from_millis(10);
/// A beat that is later than this means that there is no time left for who stands last. Lines and
/// consumers' queues hold eight times as much.
const STARVED: Duration = Duration::from_millis(250);
/// Beats on time after which it goes behind: two seconds at the start, a minute after it starved there.
const CALM: u32 = 100;
const CALM_AGAIN: u32 = 3000;

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
    /// A beat came so much later than it should have; tells where to stand from now on.
    pub fn beat(&mut self, late: Duration) -> Place {
        match self.place {
            Place::Low if late > ON_TIME => self.calm = 0,
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

#[cfg(test)]
mod tests {
    use super::*;

    fn beats(standing: &mut Standing, count: u32, late: Duration) -> Place {
        (0..count).map(|_| standing.beat(late)).last().unwrap_or(Place::Low)
    }

    #[test]
    fn it_goes_last_once_the_machine_has_time_and_comes_back_where_it_has_none() {
        let mut standing = Standing::default();
        assert_eq!(beats(&mut standing, CALM - 1, ON_TIME), Place::Low);
        assert_eq!(standing.beat(ON_TIME), Place::Last);
        assert_eq!(beats(&mut standing, 1000, STARVED), Place::Last);
        assert_eq!(standing.beat(STARVED + BEAT), Place::Low);
        assert_eq!(beats(&mut standing, CALM_AGAIN - 1, Duration::ZERO), Place::Low);
        assert_eq!(standing.beat(Duration::ZERO), Place::Last);
    }

    #[test]
    fn on_a_machine_that_is_always_busy_it_keeps_its_share() {
        let mut standing = Standing::default();
        for _ in 0..1000 {
            assert_eq!(beats(&mut standing, CALM - 1, Duration::ZERO), Place::Low);
            assert_eq!(standing.beat(ON_TIME + BEAT), Place::Low);
        }
    }
}
