//! PURE: a consumer's URL with places to fill in.
//!
//! `{id}` is the call's id, `{side}` is `left`, `right` or `mix`, `{extension}`, `{from}` and `{to}`
//! are percent-encoded. What a template shows of itself, in logs and lists, ends before the query:
//! keys live there.

use std::fmt;

use hyper::Uri;

use super::facts::{CallFacts, Side};

/// Longest URL, filled in.
pub const MAX_URL: usize = 4096;

/// A URL of scheme `ws` or `wss`, good whatever is filled in.
#[derive(Clone, PartialEq, Eq)]
pub struct Template(String);

impl Template {
    /// Reads one; the error says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let template = Self(text.trim().to_owned());
        let facts = CallFacts::default();
        let uri = template.fill(&facts, Some(Side::Left))?;
        match uri.scheme_str() {
            Some("ws" | "wss") => {}
            _ => return Err("doesn't begin with ws:// or wss://".to_owned()),
        }
        if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
            return Err("holds a password; a header or \"token\" can carry one".to_owned());
        }
        Ok(template)
    }

    /// The URL for a call.
    pub fn fill(&self, facts: &CallFacts, side: Option<Side>) -> Result<Uri, String> {
        let side = side.map_or("", Side::as_str);
        let text = self
            .0
            .replace("{id}", &facts.call_id.to_string())
            .replace("{side}", side)
            .replace("{extension}", &percent(&facts.extension))
            .replace("{from}", &percent(&facts.from))
            .replace("{to}", &percent(&facts.to));
        if text.len() > MAX_URL {
            return Err("is too long".to_owned());
        }
        let uri: Uri = text.parse().map_err(|_| "isn't a URL".to_owned())?;
        if uri.host().is_none_or(str::is_empty) {
            return Err("names no host".to_owned());
        }
        Ok(uri)
    }

    /// Whether it is encrypted.
    pub fn is_secure(&self) -> bool {
        self.0.to_ascii_lowercase().starts_with("wss:")
    }
}

/// A URL without its query.
pub fn shown(uri: &Uri) -> String {
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    format!("{}://{authority}{}", uri.scheme_str().unwrap_or_default(), uri.path())
}

/// Percent-encoding of everything that isn't unreserved (RFC 3986).
pub fn percent(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// Without its query.
impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.split(['?', '#']).next().unwrap_or_default())
    }
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_place_is_filled_in() {
        let template = Template::parse("ws://h:3031/{side}/{id}?a={from}&b={to}&c={extension}");
        let facts = CallFacts {
            from: "+81 3&x=1".to_owned(),
            to: "日".to_owned(),
            extension: "2001".to_owned(),
            ..CallFacts::default()
        };
        let uri = template.expect("a template").fill(&facts, Some(Side::Mix)).expect("a URL");
        assert_eq!(
            uri.to_string(),
            "ws://h:3031/mix/00000000-0000-0000-0000-000000000000?a=%2B81%203%26x%3D1&b=%E6%97%A5&c=2001"
        );
        assert_eq!(shown(&uri), "ws://h:3031/mix/00000000-0000-0000-0000-000000000000");
    }

    #[test]
    fn what_is_no_websocket_is_refused() {
        for text in ["", "x", "http://h/", "ws://", "ws:///x", "wss://u:p@h/", "ws://h/ x", "//h"] {
            assert!(Template::parse(text).is_err(), "{text:?}");
        }
        assert!(Template::parse("wss://h").expect("a template").is_secure());
    }

    proptest! {
        #[test]
        fn a_good_template_is_a_url_whatever_is_filled_in(
            from in any::<String>(), to in any::<String>(), extension in any::<String>(),
        ) {
            let template = Template::parse("ws://h/{from}/{to}?{extension}").expect("a template");
            let short = |text: String| text.chars().take(80).collect();
            let facts = CallFacts {
                from: short(from), to: short(to), extension: short(extension),
                ..CallFacts::default()
            };
            prop_assert!(template.fill(&facts, None).is_ok());
        }
    }
}
