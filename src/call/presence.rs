//! Whether the person behind an extension wants calls.
//!
//! It holds for the extension, on all its devices, and outlives their logins. Who was never heard of
//! is ready, and costs nothing.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use super::Extension;

/// How a person wants to be called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Readiness {
    #[default]
    Ready,
    /// Not there: hunting goes on to the next.
    Away,
    /// Does not want to be disturbed: the caller's side learns *busy*.
    Dnd,
    /// Writes down what was said, for a while. As away.
    Wrapup,
}

impl Readiness {
    /// The word in the phone protocol.
    pub fn as_str(self) -> &'static str {
        match self {
            Readiness::Ready => "ready",
            Readiness::Away => "away",
            Readiness::Dnd => "dnd",
            Readiness::Wrapup => "wrapup",
        }
    }
}

/// One extension's.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Presence {
    pub readiness: Readiness,
    /// When it becomes ready by itself.
    pub until: Option<Instant>,
    /// For people.
    pub reason: Option<Arc<str>>,
}

impl Presence {
    /// One that ends by itself after `time`; zero is for ever.
    pub fn new(readiness: Readiness, time: Duration, reason: Option<&str>, now: Instant) -> Self {
        let ends = readiness == Readiness::Wrapup && !time.is_zero();
        Self { readiness, until: ends.then(|| now + time), reason: reason.map(Into::into) }
    }
}

/// Extensions with a presence that is worth remembering. It must be as many as there may be people,
/// and bounds what made-up names could cost.
const MAX_PRESENCES: usize = 100_000;

/// Who isn't simply ready.
#[derive(Debug, Default)]
pub struct Presences(HashMap<Extension, Presence>);

impl Presences {
    pub fn get(&self, ext: &Extension, now: Instant) -> Presence {
        match self.0.get(ext) {
            Some(presence) if presence.until.is_none_or(|until| now < until) => presence.clone(),
            _ => Presence::default(),
        }
    }

    /// Whether it rings, without a copy.
    pub fn readiness(&self, ext: &Extension, now: Instant) -> Readiness {
        match self.0.get(ext) {
            Some(presence) if presence.until.is_none_or(|until| now < until) => presence.readiness,
            _ => Readiness::Ready,
        }
    }

    /// False if there is no room.
    pub fn set(&mut self, ext: &Extension, presence: Presence) -> bool {
        if presence == Presence::default() {
            self.0.remove(ext);
        } else if self.0.len() < MAX_PRESENCES || self.0.contains_key(ext) {
            self.0.insert(ext.clone(), presence);
        } else {
            return false;
        }
        true
    }

    /// Forgets a presence whose time is over. True for the first who asks: there is news to tell.
    pub fn expire(&mut self, ext: &Extension, now: Instant) -> bool {
        let over = |presence: &Presence| presence.until.is_some_and(|until| until <= now);
        self.0.get(ext).is_some_and(over) && self.0.remove(ext).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_wrapup_ends_by_itself_and_is_told_once() {
        let (mut table, now, ext) = (Presences::default(), Instant::now(), "2001".into());
        let wrapup = Presence::new(Readiness::Wrapup, 30 * SECOND, Some("notes"), now);
        assert!(table.set(&ext, wrapup.clone()));
        assert_eq!(table.get(&ext, now + 29 * SECOND), wrapup);
        assert!(!table.expire(&ext, now + 29 * SECOND));
        assert_eq!(table.readiness(&ext, now + 30 * SECOND), Readiness::Ready);
        assert!(table.expire(&ext, now + 30 * SECOND));
        assert!(!table.expire(&ext, now + 30 * SECOND));
        assert!(table.0.is_empty());
    }

    #[test]
    fn who_is_away_stays_away_until_a_person_says_otherwise() {
        let (mut table, now, ext) = (Presences::default(), Instant::now(), "2001".into());
        for readiness in [Readiness::Away, Readiness::Dnd, Readiness::Wrapup] {
            table.set(&ext, Presence::new(readiness, Duration::ZERO, None, now));
            assert_eq!(table.readiness(&ext, now + 1_000_000 * SECOND), readiness);
        }
        table.set(&ext, Presence::default());
        assert!(table.0.is_empty(), "ready costs nothing");
    }

    #[test]
    fn made_up_extensions_cost_bounded_memory() {
        let (mut table, now) = (Presences::default(), Instant::now());
        let away = Presence::new(Readiness::Away, Duration::ZERO, None, now);
        for n in 0..MAX_PRESENCES {
            assert!(table.set(&n.to_string().into(), away.clone()));
        }
        assert!(!table.set(&"one more".into(), away.clone()));
        assert!(table.set(&"0".into(), away), "who is known may change");
    }
}
