//! A time of the calendar, as people and other programs read it: UTC, to the millisecond.
//!
//! Calls are timed by the monotonic clock. [`Anchor`] ties it to the calendar once for each call,
//! so that a clock that is set during a call doesn't make it longer or shorter.

use std::{
    fmt,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The last millisecond of the year 9999, beyond which there is no way to write it.
const LATEST: i64 = 253_402_300_799_999;

/// Milliseconds since 1970, written as `2026-11-21T12:00:00.000Z`. In this form times sort as
/// texts, too, which is how the call table keeps them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Utc(i64);

impl Utc {
    /// Now. Only where something begins that people will date; see [`Anchor`].
    #[allow(clippy::disallowed_methods)]
    pub fn now() -> Self {
        SystemTime::now().into()
    }

    pub fn from_millis(millis: i64) -> Self {
        Self(millis.clamp(0, LATEST))
    }

    pub fn millis(self) -> i64 {
        self.0
    }

    /// What is written is at least a date, `2026-11-21`; then hours, minutes and seconds may
    /// follow, and `Z`, for it is UTC.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if !text.is_ascii() || text.len() > 40 {
            return None;
        }
        let full = match text.len() {
            10 => format!("{text}T00:00:00Z"),
            16 => format!("{text}:00Z"),
            _ => text.to_owned(),
        };
        humantime::parse_rfc3339_weak(&full).ok().map(Self::from)
    }

    pub fn plus(self, time: Duration) -> Self {
        Self::from_millis(self.0.saturating_add(millis(time)))
    }

    /// How long after `earlier` this is; nothing if it isn't.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0 - earlier.0).unwrap_or_default())
    }

    pub fn minus(self, time: Duration) -> Self {
        Self::from_millis(self.0.saturating_sub(millis(time)))
    }
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

impl From<SystemTime> for Utc {
    fn from(time: SystemTime) -> Self {
        Self::from_millis(time.duration_since(UNIX_EPOCH).map_or(0, millis))
    }
}

impl From<Utc> for SystemTime {
    fn from(time: Utc) -> Self {
        UNIX_EPOCH + Duration::from_millis(time.0.unsigned_abs())
    }
}

impl fmt::Display for Utc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_rfc3339_millis((*self).into()).fmt(f)
    }
}

impl Serialize for Utc {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Utc {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'_, str>>::deserialize(from)?;
        Self::parse(&text)
            .ok_or_else(|| serde::de::Error::custom("write a time in UTC, as 2026-11-21T12:00:00Z"))
    }
}

/// What the calendar said when the monotonic clock said this.
#[derive(Debug, Clone, Copy)]
pub struct Anchor {
    at: Instant,
    calendar: Utc,
}

impl Anchor {
    pub fn new(at: Instant, calendar: Utc) -> Self {
        Self { at, calendar }
    }

    /// The calendar's time of a moment, also of one before the anchor.
    pub fn time_of(&self, moment: Instant) -> Utc {
        match moment.checked_duration_since(self.at) {
            Some(later) => self.calendar.plus(later),
            None => self.calendar.minus(self.at.saturating_duration_since(moment)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_written_in_utc_to_the_millisecond_and_read_again() {
        let time = Utc::from_millis(1_795_264_245_007);
        assert_eq!(time.to_string(), "2026-11-21T12:30:45.007Z");
        assert_eq!(Utc::parse(&time.to_string()), Some(time));
        for (text, same) in [
            ("2026-11-21", "2026-11-21T00:00:00.000Z"),
            ("2026-11-21T12:30", "2026-11-21T12:30:00.000Z"),
            ("2026-11-21 12:30:45", "2026-11-21T12:30:45.000Z"),
        ] {
            assert_eq!(Utc::parse(text).expect(text).to_string(), same);
        }
        for bad in ["", "yesterday", "2026-13-01", "2026-11-21T25:00:00Z", "２０２６-11-21", "1"]
        {
            assert_eq!(Utc::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_call_is_as_long_as_the_monotonic_clock_says() {
        let (began, time) = (Instant::now(), Utc::from_millis(1_000_000));
        let anchor = Anchor::new(began, time);
        assert_eq!(anchor.time_of(began + Duration::from_secs(3)).millis(), 1_003_000);
        assert_eq!(anchor.time_of(began - Duration::from_millis(1)).millis(), 999_999);
    }

    proptest::proptest! {
        #[test]
        fn any_time_is_read_as_it_was_written(millis in 0..=LATEST) {
            let time = Utc::from_millis(millis);
            proptest::prop_assert_eq!(Utc::parse(&time.to_string()), Some(time));
        }

        #[test]
        fn any_text_is_a_time_or_not(text in ".{0,40}") {
            let _ = Utc::parse(&text);
        }

        #[test]
        fn times_sort_as_their_texts(a in 0..=LATEST, b in 0..=LATEST) {
            let (a, b) = (Utc::from_millis(a), Utc::from_millis(b));
            proptest::prop_assert_eq!(a.cmp(&b), a.to_string().cmp(&b.to_string()));
        }
    }
}
