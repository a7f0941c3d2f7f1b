//! What people see of a call: who is at the other end, and how far it is.

use super::record::Caller;

/// Characters of a number or a name that are kept. What is longer is no number and no name.
pub const MAX_PARTY: usize = 80;
/// Digits that may wait to be shown to a phone; nobody presses more before it looks.
const MAX_DIGITS: usize = 64;

impl Caller {
    /// From texts from outside: control characters are taken out, what is empty is not known,
    /// and what is longer than [`MAX_PARTY`] characters is cut.
    pub fn new(number: &str, name: &str) -> Self {
        Self { number: clean(number), name: clean(name) }
    }

    /// Takes over what the other one knows. True if anything changed.
    pub fn learn(&mut self, other: &Caller) -> bool {
        let before = self.clone();
        if other.number.is_some() {
            self.number.clone_from(&other.number);
        }
        if other.name.is_some() {
            self.name.clone_from(&other.name);
        }
        *self != before
    }
}

fn clean(text: &str) -> Option<String> {
    let text: String = text.chars().filter(|c| !c.is_control()).take(MAX_PARTY).collect();
    let text = text.trim();
    // Asterisk's word for a caller who hides, and for one that nobody has named.
    let known = !text.is_empty() && !text.eq_ignore_ascii_case("<unknown>");
    known.then(|| text.to_owned())
}

/// How far an outgoing call is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Progress {
    /// Asterisk has it.
    #[default]
    Dialling,
    /// The far end rings.
    Alerting,
    /// The far end has answered.
    Answered,
}

/// What a phone is to learn about its call. It comes as one value that grows until it is taken,
/// so nothing of it can be lost, however slow the phone is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct News {
    /// Something became known of the other end.
    pub caller: Option<Caller>,
    /// The far end has put us on hold, or taken us back.
    pub held_by_far: Option<bool>,
    /// An outgoing call came further.
    pub progress: Option<Progress>,
    /// Digits that the far end has pressed, in order.
    pub digits: String,
}

impl News {
    /// One more digit of the far end's; the first [`MAX_DIGITS`] that wait count.
    pub fn digit(&mut self, digit: char) {
        if self.digits.len() < MAX_DIGITS {
            self.digits.push(digit);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_party_from_outside_is_short_and_clean() {
        let party = Caller::new(" 031234\r\n5678 ", &"長".repeat(500));
        assert_eq!(party.number.as_deref(), Some("0312345678"));
        assert_eq!(party.name.map(|name| name.chars().count()), Some(MAX_PARTY));
        assert_eq!(Caller::new("", "<unknown>"), Caller::default());
    }

    #[test]
    fn a_party_learns_and_forgets_nothing() {
        let mut party = Caller::new("0312345678", "");
        assert!(party.learn(&Caller::new("", "Alice")));
        assert!(!party.learn(&Caller::new("", "Alice")));
        assert_eq!(party, Caller::new("0312345678", "Alice"));
    }

    #[test]
    fn digits_that_nobody_takes_are_bounded() {
        let mut news = News::default();
        for _ in 0..10_000 {
            news.digit('5');
        }
        assert_eq!(news.digits.len(), MAX_DIGITS);
    }
}
