//! PURE: what a call is. No sockets, no tasks, no clock; time is an argument.
//!
//! `machine` is one call from MEDIA_START to its one ending, `hunt` decides whom to ring next,
//! `registry` knows who is logged in and who is taken, `ending` says why a call ended and whose
//! side it was, `record` is what remains of a call,
//! `info` what people see of it.

pub mod allowance;
pub mod ending;
pub mod hunt;
pub mod info;
pub mod machine;
pub mod number;
pub mod presence;
pub mod record;
pub mod registry;

use std::{fmt, sync::Arc};

use serde::{Serialize, Serializer};

/// The number or name that a phone is registered under and that Asterisk dials.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Extension(Arc<str>);

/// Longest extension; Asterisk's own limit is 79 and nobody dials more than a few digits.
pub const MAX_EXTENSION: usize = 64;

/// Whether a name can be an extension or a group: 1 to [`MAX_EXTENSION`] of `A-Z a-z 0-9` and
/// `_ . + * # @ -`, of which at least one is a letter, a digit, `*` or `#`.
///
/// The set holds what is dialled (`2001`, `*97`, `#9`, `+81312345678`) and what user names look
/// like (`john.doe@example`). It holds nothing that ends a line, a header, a dial string or a
/// path: such a name can be written anywhere.
pub fn is_extension(name: &str) -> bool {
    (1..=MAX_EXTENSION).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.+*#@-".contains(&b))
        && name.bytes().any(|b| b.is_ascii_alphanumeric() || b"*#".contains(&b))
}

impl Extension {
    /// An extension from outside, if it is one.
    pub fn parse(text: &str) -> Option<Self> {
        is_extension(text).then(|| text.into())
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

/// Whole, for other programs.
impl Serialize for Extension {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&self.0)
    }
}

/// Digits from which on a number is a telephone number and no extension.
const TELEPHONE_DIGITS: usize = 7;

/// For logs: a whole telephone number is shortened, an extension is not. What goes over a wire is
/// [`Extension::as_str`].
impl fmt::Display for Extension {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        ForLog(&self.0).fmt(f)
    }
}

/// A text from outside, for a log: nothing in it can end a line, and telephone numbers in it are
/// shortened. Asterisk's channel names hold the name of a section, which may be a number.
pub struct ForLog<'a>(pub &'a str);

impl fmt::Display for ForLog<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0;
        while !rest.is_empty() {
            let word = |c: char| c.is_ascii_alphanumeric();
            let end = rest.find(|c| !word(c)).unwrap_or(rest.len());
            let (run, after) = rest.split_at(end);
            let is_number =
                run.len() >= TELEPHONE_DIGITS && run.bytes().all(|b| b.is_ascii_digit());
            if is_number {
                write!(f, "{}…{}", &run[..3], &run[run.len() - 2..])?;
            } else {
                f.write_str(run)?;
            }
            let mut others = after.chars();
            if let Some(other) = others.next() {
                write!(f, "{}", other.escape_debug())?;
            }
            rest = others.as_str();
        }
        Ok(())
    }
}

impl fmt::Debug for Extension {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// One call, for its whole life: a UUID, so that it can name files and be joined with a CRM record.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CallId(uuid::Uuid);

impl CallId {
    pub fn from_uuid(id: uuid::Uuid) -> Self {
        Self(id)
    }

    /// The id of this text, if it is one.
    pub fn parse(text: &str) -> Option<Self> {
        uuid::Uuid::try_parse(text).ok().map(Self)
    }

    pub fn uuid(self) -> uuid::Uuid {
        self.0
    }
}

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for CallId {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
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

/// Which ringing of which call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RingKey {
    pub call: CallId,
    pub ring: RingId,
}

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
            ("+81312345678", "+813…78"),
        ] {
            assert_eq!(Extension::from(text).to_string(), shown);
            assert_eq!(format!("{:?}", Extension::from(text)), shown);
            assert_eq!(Extension::from(text).as_str(), text);
        }
    }

    #[test]
    fn a_text_from_outside_can_neither_end_a_line_of_the_log_nor_show_a_number() {
        for (text, shown) in [
            (
                "WebSocket/ws-ext-0312345678/0x7fcb140066a0",
                "WebSocket/ws-ext-031…78/0x7fcb140066a0",
            ),
            ("x\nfake", "x\\nfake"),
            ("日本", "日本"),
            ("", ""),
        ] {
            assert_eq!(ForLog(text).to_string(), shown);
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
