//! Time as the pacer counts it: nanoseconds in one word.
//!
//! `Instant` and `Duration` are two words each, and each difference of two of them is a call with
//! carries and checks. A frame needs some twenty, so there is one at the pacer's border and words
//! within. Nothing overflows: what would be less than nothing is nothing, as before the beginning.

use std::{
    ops::{Add, AddAssign, Sub, SubAssign},
    time::{Duration, Instant},
};

/// A time span, or a moment as what has passed since the pacer's beginning; up to 584 years.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Nanos(u64);

impl Nanos {
    pub const ZERO: Self = Self(0);
    /// Longer than anything lasts, and never.
    pub const MAX: Self = Self(u64::MAX);

    pub const fn millis(ms: u32) -> Self {
        Self(ms as u64 * 1_000_000)
    }

    pub const fn micros(us: u32) -> Self {
        Self(us as u64 * 1_000)
    }

    pub const fn of(span: Duration) -> Self {
        let whole = span.as_secs().saturating_mul(1_000_000_000);
        Self(whole.saturating_add(span.subsec_nanos() as u64))
    }

    /// What has passed at `now` since `beginning`.
    pub fn since(beginning: Instant, now: Instant) -> Self {
        Self::of(now.saturating_duration_since(beginning))
    }

    /// In whole microseconds.
    pub const fn as_micros(self) -> u64 {
        self.0 / 1_000
    }

    pub const fn abs_diff(self, other: Self) -> Self {
        Self(self.0.abs_diff(other.0))
    }

    pub const fn times(self, count: usize) -> Self {
        Self(self.0.saturating_mul(count as u64))
    }
}

impl Add for Nanos {
    type Output = Self;

    fn add(self, more: Self) -> Self {
        Self(self.0.saturating_add(more.0))
    }
}

impl AddAssign for Nanos {
    fn add_assign(&mut self, more: Self) {
        *self = *self + more;
    }
}

/// What has passed from one moment to a later one; nothing where it isn't later.
impl Sub for Nanos {
    type Output = Self;

    fn sub(self, less: Self) -> Self {
        Self(self.0.saturating_sub(less.0))
    }
}

impl SubAssign for Nanos {
    fn sub_assign(&mut self, less: Self) {
        *self = *self - less;
    }
}

impl From<Nanos> for Duration {
    fn from(span: Nanos) -> Self {
        Duration::from_nanos(span.0)
    }
}

impl Add<Nanos> for Instant {
    type Output = Self;

    fn add(self, later: Nanos) -> Self {
        self + Duration::from(later)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_was_before_the_beginning_is_the_beginning() {
        let beginning = Instant::now() + Duration::from_secs(1);
        assert_eq!(Nanos::since(beginning, beginning - Duration::from_millis(1)), Nanos::ZERO);
        assert_eq!(Nanos::millis(1) - Nanos::millis(2), Nanos::ZERO);
        assert_eq!(Nanos::MAX + Nanos::millis(1), Nanos::MAX);
        assert_eq!(Nanos::MAX.times(2), Nanos::MAX);
        assert_eq!(Nanos::of(Duration::MAX), Nanos::MAX);
    }

    proptest! {
        #[test]
        fn a_moment_is_the_same_there_and_back(
            nanos in 0..u64::from(u32::MAX) << 24,
            more in 0..u64::from(u32::MAX) << 24,
        ) {
            let beginning = Instant::now();
            let moment = beginning + Duration::from_nanos(nanos);
            prop_assert_eq!(Nanos::since(beginning, moment), Nanos(nanos));
            prop_assert_eq!(beginning + Nanos(nanos), moment);
            let span = Duration::from_nanos(more);
            prop_assert_eq!(beginning + (Nanos(nanos) + Nanos::of(span)), moment + span);
            prop_assert_eq!(Duration::from(Nanos(nanos) - Nanos(more)), (moment - beginning).saturating_sub(span));
        }
    }
}
