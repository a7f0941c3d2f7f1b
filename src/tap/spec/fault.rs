//! What is wrong with a form: the key, what is wrong, and what to write.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{MAX_PAIRS, MAX_TEXT};
use crate::tap::template::Template;

pub const URL_REMEDY: &str = "write where it goes: \"wss://consumer.example/audio/{id}\"";

/// What is wrong with a form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("\"{key}\" {what}; {remedy}")]
pub struct Fault {
    pub key: &'static str,
    pub what: String,
    pub remedy: String,
}

/// All that is wrong with one form.
#[derive(Default)]
pub struct Faults(pub Vec<Fault>);

impl Faults {
    pub fn add(&mut self, key: &'static str, what: impl Into<String>, remedy: &str) {
        self.0.push(Fault { key, what: what.into(), remedy: remedy.to_owned() });
    }

    pub fn url(&mut self, key: &'static str, text: &str) -> Option<Template> {
        match Template::parse(text) {
            Ok(url) => Some(url),
            Err(what) => {
                self.add(key, what, URL_REMEDY);
                None
            }
        }
    }

    pub fn text(&mut self, key: &'static str, text: &str) {
        if text.len() > MAX_TEXT || text.contains(char::is_control) {
            self.add(key, "is too long or holds control characters", "write a short name");
        }
    }

    pub fn pairs(&mut self, key: &'static str, pairs: &BTreeMap<String, String>) {
        if pairs.len() > MAX_PAIRS {
            self.add(key, format!("has {} entries", pairs.len()), "write 32 at most");
        }
        for (name, value) in pairs {
            self.text(key, name);
            self.text(key, value);
        }
    }

    pub fn one_of<T: Copy>(
        &mut self,
        key: &'static str,
        text: &str,
        of: &[(&str, T)],
    ) -> Option<T> {
        let (_, usual) = of.first()?;
        if text.is_empty() {
            return Some(*usual);
        }
        let found = of.iter().find(|(name, _)| name.eq_ignore_ascii_case(text));
        if found.is_none() {
            let names: Vec<&str> = of.iter().map(|(name, _)| *name).collect();
            self.add(key, "isn't one of its values", &format!("write {}", names.join(" or ")));
        }
        found.map(|(_, value)| *value)
    }
}
