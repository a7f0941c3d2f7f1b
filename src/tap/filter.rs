//! PURE: which calls a stream or a recording is for.

use regex::Regex;

use super::facts::{CallFacts, Direction};

/// Everything that is written has to be so; of a list, one.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// The phone that answered.
    pub extensions: Vec<Pattern>,
    pub groups: Vec<Pattern>,
    /// A channel of Asterisk that is listened to through ARI, by its name. Without any, calls of the
    /// gateway are meant: who asks for a channel gets what he asks for.
    pub channels: Vec<Pattern>,
    pub direction: Option<Direction>,
    /// A channel variable and what it has to hold.
    pub variables: Vec<(String, Pattern)>,
}

/// A text, as a whole: a regular expression.
#[derive(Debug, Clone)]
pub struct Pattern(Regex);

impl Pattern {
    /// Reads one; it has to match from the beginning to the end.
    pub fn new(text: &str) -> Result<Self, String> {
        let whole = format!("^(?:{text})$");
        let mut builder = regex::RegexBuilder::new(&whole);
        // A pattern of a few digits has a few kilobytes.
        let built = builder.size_limit(64 * 1024).build();
        built
            .map(Self)
            .map_err(|error| error.to_string().lines().last().unwrap_or_default().trim().to_owned())
    }

    fn admits(&self, text: &str) -> bool {
        self.0.is_match(text)
    }
}

impl Filter {
    pub fn admits(&self, call: &CallFacts) -> bool {
        let one_of = |patterns: &[Pattern], text: &str| {
            patterns.is_empty() || patterns.iter().any(|pattern| pattern.admits(text))
        };
        if call.is_channel && self.channels.is_empty() {
            return false;
        }
        one_of(&self.extensions, &call.extension)
            && one_of(&self.channels, &call.channel)
            && one_of(&self.groups, &call.group)
            && self.direction.is_none_or(|direction| direction == call.direction)
            && self.variables.iter().all(|(name, pattern)| {
                call.variables.get(name).is_some_and(|value| pattern.admits(value))
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> Pattern {
        Pattern::new(text).expect("a pattern")
    }

    #[test]
    fn all_that_is_written_has_to_be_so() {
        let mut call = CallFacts {
            extension: "2001".to_owned(),
            group: "support".to_owned(),
            ..CallFacts::default()
        };
        call.variables.insert("RECORD".to_owned(), "yes".to_owned());
        assert!(Filter::default().admits(&call));
        let mut filter = Filter {
            extensions: vec![pattern("300[0-9]"), pattern("20.*")],
            groups: vec![pattern("support")],
            channels: Vec::new(),
            direction: Some(Direction::In),
            variables: vec![("RECORD".to_owned(), pattern("yes|1"))],
        };
        assert!(filter.admits(&call));
        filter.groups = vec![pattern("sup")];
        assert!(!filter.admits(&call), "a part is not the whole");
        filter.groups.clear();
        filter.direction = Some(Direction::Out);
        assert!(!filter.admits(&call));
        filter.direction = None;
        filter.variables.push(("OTHER".to_owned(), pattern(".*")));
        assert!(!filter.admits(&call), "a variable that isn't there holds nothing");
    }

    #[test]
    fn a_channel_that_was_asked_for_is_meant_only_where_channels_are_named() {
        let channel = CallFacts {
            channel: "PJSIP/trunk-00000001".to_owned(),
            is_channel: true,
            ..CallFacts::default()
        };
        let call = CallFacts { channel: "WebSocket/x/0x1".to_owned(), ..CallFacts::default() };
        assert!(!Filter::default().admits(&channel) && Filter::default().admits(&call));
        let trunks = Filter { channels: vec![pattern("PJSIP/trunk-.*")], ..Filter::default() };
        assert!(trunks.admits(&channel) && !trunks.admits(&call));
    }

    #[test]
    fn a_pattern_that_is_none_is_told() {
        for bad in ["(", "[", "a{1000}{1000}"] {
            assert!(Pattern::new(bad).is_err(), "{bad}");
        }
    }
}
