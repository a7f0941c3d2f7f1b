//! What a phone may ask to be dialled. A [`Number`] that exists is one that can be written into an
//! action of the manager's and into a dial string, and means nothing there but itself.

use std::fmt;

/// Longest number; Asterisk's own limit for an extension is 79.
pub const MAX_NUMBER: usize = 64;

/// A telephone number, a code (`*97`) or an extension's name.
#[derive(Clone, PartialEq, Eq)]
pub struct Number(String);

/// Why a text is no number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotANumber {
    #[error("there is nothing to dial")]
    Empty,
    #[error("more than {MAX_NUMBER} characters")]
    Long,
    #[error("a number has digits, *, # and a + at its beginning; a name letters, digits and _.-")]
    Characters,
}

impl Number {
    /// Reads what a person or a page has written.
    ///
    /// With a letter in it, it is a name: letters, digits and `_ . -`, beginning with a letter or a
    /// digit, taken as it is. Otherwise it is a number: what people write between digits (spaces,
    /// `-`, `.`, `/`, `(`, `)`) is taken out, and digits, `*`, `#` and one `+` at the beginning are
    /// left. Nothing else is let through: no line break, nothing that separates or nests in a dial
    /// string (`& , / @ ( )`), nothing that expands (`$ { }`).
    pub fn parse(text: &str) -> Result<Self, NotANumber> {
        let text = text.trim_matches(' ');
        if text.len() > 2 * MAX_NUMBER {
            return Err(NotANumber::Long);
        }
        let number = if text.bytes().any(|b| b.is_ascii_alphabetic()) {
            text.to_owned()
        } else {
            text.chars().filter(|c| !" -./()\u{a0}".contains(*c)).collect()
        };
        let first = number.bytes().next().ok_or(NotANumber::Empty)?;
        if number.len() > MAX_NUMBER {
            return Err(NotANumber::Long);
        }
        let good = if number.bytes().any(|b| b.is_ascii_alphabetic()) {
            first.is_ascii_alphanumeric()
                && number.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b))
        } else {
            let rest = number.strip_prefix('+').unwrap_or(&number);
            !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_digit() || b"*#".contains(&b))
        };
        if good { Ok(Self(number)) } else { Err(NotANumber::Characters) }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// For logs: shortened. What goes over a wire is [`Number::as_str`].
impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        super::ForLog(&self.0).fmt(f)
    }
}

impl fmt::Debug for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Number({self})")
    }
}

/// Digits to be sent to the far end, and pauses (`w`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keys(String);

/// Most keys of one request.
pub const MAX_KEYS: usize = 64;

impl Keys {
    /// `0-9 * # A-D` in any case, `w` for a pause; 1 to [`MAX_KEYS`] of them.
    pub fn parse(text: &str) -> Option<Self> {
        let good = (1..=MAX_KEYS).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_digit() || b"*#abcdABCDwW".contains(&b));
        good.then(|| Self(text.to_ascii_uppercase()))
    }

    /// One after the other; a pause is `None`.
    pub fn iter(&self) -> impl Iterator<Item = Option<char>> + '_ {
        self.0.chars().map(|c| (c != 'W').then_some(c))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_are_taken_as_people_write_them() {
        for (written, number) in [
            ("0312345678", "0312345678"),
            (" 03-1234-5678 ", "0312345678"),
            ("+81 (3) 1234.5678", "+81312345678"),
            ("0\u{a0}30/12 34", "0301234"),
            ("*97", "*97"),
            ("#9*1", "#9*1"),
            ("2001", "2001"),
            ("john.doe", "john.doe"),
            ("G01", "G01"),
            ("front-desk_2", "front-desk_2"),
        ] {
            assert_eq!(Number::parse(written).map(|n| n.0).as_deref(), Ok(number), "{written}");
        }
    }

    #[test]
    fn what_would_mean_more_than_a_number_is_refused() {
        for bad in [
            "2001\r\nAction: Originate",
            "2001\n",
            "2001&Local/0900@x",
            "2001@internal",
            "PJSIP/2001",
            "2001,1",
            "${SHELL(id)}",
            "$[1]",
            "2001;x",
            "2001\\",
            "2001\"",
            "2+01",
            "++1",
            "_2XXX",
            "-x",
            ".x",
            "a b",
            "２００１",
            "bücher",
            "2001\0",
            "<2001>",
        ] {
            assert_eq!(Number::parse(bad), Err(NotANumber::Characters), "{bad:?}");
        }
        for empty in ["", "  ", " -/() ", "+"] {
            assert!(Number::parse(empty).is_err(), "{empty:?}");
        }
        assert_eq!(Number::parse(&"1".repeat(MAX_NUMBER + 1)), Err(NotANumber::Long));
        assert!(Number::parse(&"1".repeat(MAX_NUMBER)).is_ok());
    }

    #[test]
    fn a_whole_number_does_not_show_in_a_log() {
        let number = Number::parse("0312345678").unwrap();
        assert!(!format!("{number} {number:?}").contains("0312345678"));
    }

    #[test]
    fn keys_are_those_of_a_telephone() {
        let keys: Vec<_> = Keys::parse("1*wd").unwrap().iter().collect();
        assert_eq!(keys, [Some('1'), Some('*'), None, Some('D')]);
        for bad in ["", "1 2", "E", "1\n", &"1".repeat(MAX_KEYS + 1)] {
            assert_eq!(Keys::parse(bad), None, "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_written_a_number_holds_nothing_that_could_be_more(text in any::<String>()) {
            if let Ok(number) = Number::parse(&text) {
                let safe = |b: u8| b.is_ascii_alphanumeric() || b"*#+_.-".contains(&b);
                prop_assert!(number.as_str().bytes().all(safe));
                prop_assert!((1..=MAX_NUMBER).contains(&number.as_str().len()));
                prop_assert_eq!(Number::parse(number.as_str()), Ok(number.clone()));
            }
            if let Some(keys) = Keys::parse(&text) {
                prop_assert!(keys.iter().count() <= MAX_KEYS);
            }
        }
    }
}
