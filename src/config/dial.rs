//! Reads `dial`: what phones may dial, and how Asterisk does it.

use std::time::Duration;

use super::{
    DialSettings, NumberPattern, PatternError,
    item::{Item, Word},
    json::Section,
};

const KEYS: &[&str] =
    &["context", "connection", "allow", "per_hour", "timeout", "caller_id", "variables"];
const EXAMPLE: &str = r#"{"context": "from-phones", "connection": "goastgateway"}"#;
/// Internal numbers alone: whoever lets phones dial the world has to say so.
const ALLOW: &str = "[0-9]{1,6}";
const PER_HOUR: u32 = 60;
const TIMEOUT: f64 = 120.0;
/// Names in `variables`.
const MAX_VARIABLES: usize = 64;
const CALLER_ID: &str = "<{extension}>";

/// The settings, or `None` after having said what is wrong.
pub(super) fn read(item: &Item) -> Option<DialSettings> {
    let section = Section::new(item.sheet, item.object(EXAMPLE)?, KEYS);
    let context = name(item, &section, "context", "the dialplan's context that phones dial in");
    let connection =
        name(item, &section, "connection", "the section of websocket_client.conf that leads here");
    let allow = section.get("allow").map_or(Some(ALLOW), |allow| allow.text(ALLOW));
    let allow = allow.and_then(|text| {
        NumberPattern::new(text)
            .inspect_err(|error| {
                let remedy = r#"write for example "[0-9]{1,6}|0[0-9]{9,10}" instead"#;
                section.problem("allow", &error.to_string(), remedy);
            })
            .ok()
    });
    let per_hour =
        section.get("per_hour").map_or(Some(PER_HOUR), |n| n.whole(0..=10_000, PER_HOUR));
    let timeout = match section.get("timeout") {
        Some(item) => item.seconds(5.0..=3600.0, TIMEOUT),
        None => Some(Duration::from_secs_f64(TIMEOUT)),
    };
    let caller_id = section.get("caller_id").map_or(Some(CALLER_ID), |item| {
        item.text(CALLER_ID).filter(|text| {
            let good = !text.contains(|c: char| c.is_control()) && text.len() <= 120;
            if !good {
                item.problem("holds a line break or is too long", "write \"Shop <0312345678>\"");
            }
            good
        })
    });
    let variables = section.get("variables").map_or_else(Vec::new, |item| {
        let words = item.words("CRM_ID");
        words.into_iter().filter_map(|word| variable(item, &word)).take(MAX_VARIABLES).collect()
    });
    Some(DialSettings {
        context: context?.to_owned(),
        connection: connection?.to_owned(),
        allow: allow?,
        per_hour: per_hour? as usize,
        timeout: timeout?,
        caller_id: caller_id?.to_owned(),
        variables,
    })
}

/// A name that stands in a dial string or an action: of letters, digits and `_ . -`.
fn name<'s>(
    item: &Item<'s, '_>,
    section: &Section<'s, '_>,
    key: &'static str,
    what: &str,
) -> Option<&'s str> {
    let Some(found) = section.get(key) else {
        item.problem(&format!("has no \"{key}\""), &format!("write \"{key}\": {what}"));
        return None;
    };
    found.text("from-phones").filter(|text| {
        let good = (1..=79).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b));
        if !good {
            found.problem("is no name of letters, digits and _.-", &format!("write {what}"));
        }
        good
    })
}

/// A channel variable, which is no function and no inner one of Asterisk's.
fn variable(item: &Item, word: &Word) -> Option<String> {
    let good = (1..=64).contains(&word.text.len())
        && !word.text.as_bytes()[0].is_ascii_digit()
        && word.text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        && word.text != crate::exchange::calls::CALL_VARIABLE;
    if !good {
        let remedy = "write names of letters, digits and _, with one or two _ before those that \
                      the dialled channel is to inherit";
        item.sheet.problem(word.line, item.key, "holds what is no channel variable", remedy);
    }
    good.then(|| word.text.to_owned())
}

impl NumberPattern {
    /// Compiles a pattern, which has to match a number from its beginning to its end.
    pub fn new(pattern: &str) -> Result<Self, PatternError> {
        // By itself first: what is only good between the brackets is no pattern.
        super::pattern::compile(pattern)?;
        Ok(Self { regex: super::pattern::compile(&format!("^(?:{pattern})$"))? })
    }

    /// Whether this number may be dialled.
    pub fn allows(&self, number: &str) -> bool {
        // `$` would also match before a line break that ends the text; a number holds none.
        self.regex.is_match(number.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_matches_the_whole_number() {
        let pattern = NumberPattern::new("[0-9]{3}|00[0-9]+").unwrap();
        for (number, allowed) in
            [("123", true), ("1234", false), ("0049301234", true), ("x123", false), ("", false)]
        {
            assert_eq!(pattern.allows(number), allowed, "{number}");
        }
    }

    #[test]
    fn a_pattern_that_is_none_is_refused() {
        for bad in ["(", "a)(b", "[0-9", "a{1000}{1000}{1000}"] {
            assert!(NumberPattern::new(bad).is_err(), "{bad}");
        }
    }
}
