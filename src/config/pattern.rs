//! The pattern that finds an extension in a connection id.
//!
//! It matches bytes and its classes are ASCII, as in Go: `\w+` takes `2001` and not full-width
//! digits. Matching takes time linear in the text, whatever the pattern.

use std::fmt;

use regex::bytes::{Regex, RegexBuilder};

use super::{ExtenPattern, Secret};

/// Memory that a compiled pattern may take; an honest one takes a few kilobytes.
const MAX_COMPILED: usize = 1024 * 1024;

/// Why a pattern can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    #[error("isn't a regular expression: {0}")]
    Syntax(String),
    #[error("has no group in parentheses that would take the extension")]
    NoGroup,
}

impl ExtenPattern {
    /// Compiles a pattern. Its first group takes the extension.
    pub fn new(pattern: &str) -> Result<Self, PatternError> {
        let regex = compile(pattern)?;
        if regex.captures_len() < 2 {
            return Err(PatternError::NoGroup);
        }
        Ok(Self { regex })
    }

    /// The pattern as it was written.
    pub fn as_str(&self) -> &str {
        self.regex.as_str()
    }

    /// The extension in the connection id of a text message. The reference matches
    /// `connection_id:` followed by the pattern, so the match begins where the id does.
    pub fn in_text(&self, connection_id: &str) -> Option<String> {
        // What begins at the start is the leftmost match, so the first one found tells.
        self.find(connection_id, |start| start == 0)
    }

    /// The extension in the connection id of a JSON message, where it may stand anywhere.
    pub fn in_json(&self, connection_id: &str) -> Option<String> {
        self.find(connection_id, |_| true)
    }

    fn find(&self, text: &str, begins: impl Fn(usize) -> bool) -> Option<String> {
        let captures = self.regex.captures(text.as_bytes())?;
        if !begins(captures.get(0)?.start()) {
            return None;
        }
        let extension = std::str::from_utf8(captures.get(1)?.as_bytes()).ok()?;
        (!extension.is_empty()).then(|| extension.to_owned())
    }
}

pub(super) fn compile(pattern: &str) -> Result<Regex, PatternError> {
    RegexBuilder::new(pattern).unicode(false).size_limit(MAX_COMPILED).build().map_err(|error| {
        // The library draws an arrow on lines of its own; its last line says what is wrong.
        let text = error.to_string();
        let last = text.lines().last().unwrap_or_default();
        PatternError::Syntax(last.trim_start_matches("error: ").to_owned())
    })
}

impl Secret {
    pub fn new(secret: impl Into<String>) -> Self {
        Self(secret.into())
    }

    /// The secret itself. Who calls this sees to it that it goes into no log.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> ExtenPattern {
        ExtenPattern::new(text).expect("a pattern")
    }

    #[test]
    fn the_reference_pattern_finds_the_extension() {
        let pattern = pattern(r"ws-ext-(\w+)");
        assert_eq!(pattern.in_text("ws-ext-2001").as_deref(), Some("2001"));
        assert_eq!(pattern.in_json("ws-ext-2001").as_deref(), Some("2001"));
        assert_eq!(pattern.in_text("ws-ext-2001-x").as_deref(), Some("2001"));
    }

    #[test]
    fn in_text_the_match_begins_where_the_id_does_and_in_json_anywhere() {
        let pattern = pattern(r"ws-ext-(\w+)");
        assert_eq!(pattern.in_text("my-ws-ext-2001"), None);
        assert_eq!(pattern.in_json("my-ws-ext-2001").as_deref(), Some("2001"));
    }

    #[test]
    fn classes_are_ascii_as_in_go() {
        assert_eq!(pattern(r"ws-ext-(\w+)").in_text("ws-ext-２００１"), None);
        assert_eq!(pattern(r"ws-ext-([^ ]+)").in_json("ws-ext-á b").as_deref(), Some("á"));
    }

    #[test]
    fn alternatives_flags_and_empty_groups_are_read_whole() {
        let either = pattern(r"a-(\d+)|b-(\d+)");
        assert_eq!(either.in_text("a-1").as_deref(), Some("1"));
        assert_eq!(either.in_text("xa-1"), None);
        assert_eq!(either.in_text("b-1"), None, "only the first group counts");
        assert_eq!(pattern(r"(?i)EXT(\d*)").in_text("ext7").as_deref(), Some("7"));
        assert_eq!(pattern(r"ext(\d*)").in_text("ext"), None);
    }

    #[test]
    fn a_pattern_without_a_group_or_with_a_fault_is_refused() {
        assert_eq!(ExtenPattern::new(r"ws-ext-\w+").err(), Some(PatternError::NoGroup));
        assert_eq!(ExtenPattern::new(r"(?:a)").err(), Some(PatternError::NoGroup));
        for bad in ["(", "a)(b", "(a{1000}{1000}{1000})", "([)", "(?=a)(b)", r"(a)\1"] {
            let outcome = ExtenPattern::new(bad);
            assert!(matches!(outcome, Err(PatternError::Syntax(_))), "{bad}: {outcome:?}");
        }
    }

    #[test]
    fn a_secret_never_shows_itself() {
        assert_eq!(format!("{:?}", Secret::new("hush")), "Secret(…)");
    }
}
