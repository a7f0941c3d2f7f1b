//! PURE: what a call is. No sockets, no tasks, no clock; time is an argument.
//!
//! `machine` is one call from MEDIA_START to its one ending, `hunt` decides whom to ring next,
//! `registry` knows who is logged in and who is taken, `ending` says why a call ended and whose
//! side it was, `record` is what remains of a call.

pub mod ending;
pub mod hunt;
pub mod machine;
pub mod record;
pub mod registry;

use std::{fmt, sync::Arc};

/// The number or name that a phone is registered under and that Asterisk dials.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Extension(Arc<str>);

/// No real extension is longer, and it stands in logs and tables.
pub const MAX_EXTENSION: usize = 64;

impl Extension {
    /// An extension from outside: 1 to [`MAX_EXTENSION`] characters, no space, nothing that could
    /// break a log line or a command.
    pub fn parse(text: &str) -> Option<Self> {
        let fits = !text.is_empty() && text.chars().count() <= MAX_EXTENSION;
        let clean = |c: char| !c.is_control() && !c.is_whitespace();
        (fits && text.chars().all(clean)).then(|| text.into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Extension {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl From<String> for Extension {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

/// Digits from which on a number is a telephone number and no extension.
const TELEPHONE_DIGITS: usize = 7;

/// For logs: a whole telephone number is shortened, an extension is not. What goes over a wire is
/// [`Extension::as_str`].
impl fmt::Display for Extension {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = &*self.0;
        if text.bytes().filter(u8::is_ascii_digit).count() < TELEPHONE_DIGITS {
            return f.write_str(text);
        }
        let end = text.char_indices().rev().nth(1).map_or(0, |(at, _)| at);
        let start = text.char_indices().nth(3).map_or(end, |(at, _)| at);
        write!(f, "{}…{}", &text[..start], &text[end..])
    }
}

impl fmt::Debug for Extension {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// One call, for its whole life: a UUID, so that it can name files and be joined with a CRM record.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct CallId(uuid::Uuid);

impl CallId {
    pub fn from_uuid(id: uuid::Uuid) -> Self {
        Self(id)
    }
}

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One login of one phone. A later login of the same extension has another number, so a late
/// clean-up can't evict it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct LoginId(pub u64);

/// One ringing of one phone by one call. A phone that a call rings again is rung under a new
/// number, so an event of the first ringing can't be taken for one of the second.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct RingId(pub u32);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_telephone_number_is_shortened_in_a_log_and_an_extension_is_not() {
        for (text, shown) in [
            ("2001", "2001"),
            ("support", "support"),
            ("agent-123456", "agent-123456"),
            ("0312345678", "031…78"),
            ("+81312345678", "+81…78"),
            ("日本0312345678番", "日本0…8番"),
        ] {
            assert_eq!(Extension::from(text).to_string(), shown);
            assert_eq!(format!("{:?}", Extension::from(text)), shown);
            assert_eq!(Extension::from(text).as_str(), text);
        }
    }

    #[test]
    fn an_extension_from_outside_is_short_and_clean() {
        assert!(Extension::parse("2001").is_some());
        assert!(Extension::parse(&"1".repeat(MAX_EXTENSION)).is_some());
        for bad in ["", " ", "20 01", "2001\n", "20\u{0}01", &"1".repeat(MAX_EXTENSION + 1)] {
            assert!(Extension::parse(bad).is_none(), "{bad:?}");
        }
    }
}
