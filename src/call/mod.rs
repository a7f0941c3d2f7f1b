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

impl fmt::Display for Extension {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Extension {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
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
