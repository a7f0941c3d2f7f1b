//! How many calls an extension may open in an hour, so that a stolen token can't run up a bill.
//!
//! Promises: in any hour no more than the limit is let through for an extension; memory is bounded,
//! whatever extensions ask.

use std::{
    collections::{HashMap, VecDeque},
    time::{Duration, Instant},
};

use super::Extension;

/// The window.
const HOUR: Duration = Duration::from_secs(60 * 60);
/// Extensions that are kept account of. Each has a valid token, so nobody has as many in an hour;
/// beyond it a new one has to wait.
pub const MAX_EXTENSIONS: usize = 10_000;

/// The account.
#[derive(Debug, Default)]
pub struct Allowance {
    used: HashMap<Extension, VecDeque<Instant>>,
}

/// No call is left; how long until there is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UsedUp(pub Duration);

impl Allowance {
    /// Takes one call of `per_hour`.
    pub fn take(&mut self, ext: &Extension, per_hour: usize, now: Instant) -> Result<(), UsedUp> {
        let old = |at: &Instant| now.saturating_duration_since(*at) >= HOUR;
        if !self.used.contains_key(ext) && self.used.len() >= MAX_EXTENSIONS {
            self.used.retain(|_, times| times.back().is_some_and(|at| !old(at)));
            if self.used.len() >= MAX_EXTENSIONS {
                return Err(UsedUp(HOUR));
            }
        }
        let times = self.used.entry(ext.clone()).or_default();
        while times.front().is_some_and(old) {
            times.pop_front();
        }
        if times.len() < per_hour {
            times.push_back(now);
            return Ok(());
        }
        // After a reload with a lower limit more may stand there than it allows.
        let next = times.len().checked_sub(per_hour).and_then(|n| times.get(n));
        let passed = next.map_or(Duration::ZERO, |at| now.saturating_duration_since(*at));
        Err(UsedUp(HOUR.saturating_sub(passed)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ext(name: &str) -> Extension {
        Extension::from(name)
    }

    #[test]
    fn the_hours_calls_are_counted_for_each_extension() {
        let (mut allowance, start) = (Allowance::default(), Instant::now());
        let at = |minutes: u64| start + Duration::from_secs(60 * minutes);
        assert_eq!(allowance.take(&ext("1"), 2, at(0)), Ok(()));
        assert_eq!(allowance.take(&ext("1"), 2, at(10)), Ok(()));
        assert_eq!(
            allowance.take(&ext("1"), 2, at(20)),
            Err(UsedUp(HOUR - Duration::from_secs(1200)))
        );
        assert_eq!(allowance.take(&ext("2"), 2, at(20)), Ok(()), "another's are his own");
        assert_eq!(allowance.take(&ext("1"), 2, at(60)), Ok(()));
        assert!(allowance.take(&ext("1"), 2, at(60)).is_err());
        assert!(allowance.take(&ext("3"), 0, at(0)).is_err(), "none is none");
    }

    #[test]
    fn any_number_of_extensions_takes_a_bounded_table() {
        let (mut allowance, start) = (Allowance::default(), Instant::now());
        for n in 0..MAX_EXTENSIONS {
            assert_eq!(allowance.take(&ext(&n.to_string()), 1, start), Ok(()));
        }
        assert!(allowance.take(&ext("new"), 1, start).is_err());
        assert_eq!(allowance.take(&ext("new"), 1, start + HOUR), Ok(()));
        assert_eq!(allowance.used.len(), 1);
    }

    proptest! {
        #[test]
        fn no_hour_has_more_than_the_limit(
            gaps in proptest::collection::vec(0u64..1_000, 1..200),
            limit in 0usize..6,
        ) {
            let (mut allowance, mut now) = (Allowance::default(), Instant::now());
            let mut taken: Vec<Instant> = Vec::new();
            for gap in gaps {
                now += Duration::from_secs(gap);
                match allowance.take(&ext("1"), limit, now) {
                    Ok(()) => taken.push(now),
                    Err(UsedUp(wait)) if limit > 0 => {
                        let mut then = Allowance { used: allowance.used.clone() };
                        prop_assert_eq!(then.take(&ext("1"), limit, now + wait), Ok(()));
                    }
                    Err(_) => {}
                }
            }
            for window in taken.windows(limit + 1) {
                prop_assert!(window[limit].duration_since(window[0]) >= HOUR);
            }
        }
    }
}
