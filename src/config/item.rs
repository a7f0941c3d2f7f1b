//! One key and its value, read as what it should be.
//!
//! Every reading gives the value, or `None` after having said what is wrong and what to write.
//! Messages never repeat a text value, which may be a secret, unless the caller does.

use std::{ops::RangeInclusive, time::Duration};

use jsonc_parser::{ast::Object, ast::Value, common::Ranged};

use super::json::Sheet;

/// One key of an object, with its line.
pub(super) struct Item<'s, 't> {
    pub sheet: &'s Sheet<'t>,
    /// As it is written.
    pub key: &'s str,
    pub line: usize,
    pub value: &'s Value<'t>,
}

/// One text of a list, with its line.
pub(super) struct Word<'s> {
    pub text: &'s str,
    pub line: usize,
}

impl<'s, 't> Item<'s, 't> {
    pub fn problem(&self, what: &str, remedy: &str) {
        self.sheet.problem(self.line, self.key, what, remedy);
    }

    pub fn warning(&self, what: &str) {
        self.sheet.warning(self.line, self.key, what);
    }

    fn wrong_kind(&self, remedy: &str) {
        self.problem(&format!("is {}", kind(self.value)), remedy);
    }

    /// A text; `example` is shown if it isn't one.
    pub fn text(&self, example: &str) -> Option<&'s str> {
        match self.value {
            Value::StringLit(text) => Some(text.value.as_ref()),
            _ => {
                self.wrong_kind(&format!("write a text in double quotes instead: \"{example}\""));
                None
            }
        }
    }

    /// `true` or `false`.
    pub fn flag(&self) -> Option<bool> {
        match self.value {
            Value::BooleanLit(flag) => Some(flag.value),
            _ => {
                self.wrong_kind("write true or false instead, without quotes");
                None
            }
        }
    }

    fn number(&self, example: &str) -> Option<f64> {
        if let Value::NumberLit(number) = self.value
            && let Ok(number) = number.value.parse::<f64>()
            && number.is_finite()
        {
            return Some(number);
        }
        self.wrong_kind(&format!("write a number without quotes instead: {example}"));
        None
    }

    /// Seconds, with a fraction if need be, within a range.
    pub fn seconds(&self, range: RangeInclusive<f64>, usual: f64) -> Option<Duration> {
        let seconds = self.number(&usual.to_string())?;
        if range.contains(&seconds) {
            return Some(Duration::from_secs_f64(seconds));
        }
        self.problem(
            &format!("{seconds} seconds is out of range"),
            &format!("write {} to {} instead (usual: {usual})", range.start(), range.end()),
        );
        None
    }

    /// A whole number within a range.
    pub fn whole(&self, range: RangeInclusive<u32>, usual: u32) -> Option<u32> {
        let number = self.number(&usual.to_string())?;
        if number.fract() == 0.0
            && (f64::from(*range.start())..=f64::from(*range.end())).contains(&number)
        {
            return Some(number as u32);
        }
        self.problem(
            &format!("{number} can't be used"),
            &format!(
                "write a whole number from {} to {} instead (usual: {usual})",
                range.start(),
                range.end()
            ),
        );
        None
    }

    /// A list of texts; those that aren't texts are reported and left out.
    pub fn words(&self, example: &str) -> Vec<Word<'s>> {
        let Value::Array(list) = self.value else {
            self.wrong_kind(&format!("write a list instead: [\"{example}\"]"));
            return Vec::new();
        };
        let mut words = Vec::new();
        for element in &list.elements {
            let line = self.sheet.line(element.range().start);
            match element {
                Value::StringLit(text) => words.push(Word { text: text.value.as_ref(), line }),
                other => self.sheet.problem(
                    line,
                    self.key,
                    &format!("{} in a list of texts", kind(other)),
                    &format!("write each in double quotes, [\"{example}\"]"),
                ),
            }
        }
        words
    }

    /// A list of objects, each as an item of this key with its own line; `None` if there is
    /// anything else in it.
    pub fn objects(&self, example: &str) -> Option<Vec<Item<'s, 't>>> {
        let Value::Array(list) = self.value else {
            self.wrong_kind(&format!("write a list instead: [{example}]"));
            return None;
        };
        let items = list.elements.iter().map(|value| Item {
            sheet: self.sheet,
            key: self.key,
            line: self.sheet.line(value.range().start),
            value,
        });
        let (good, bad): (Vec<_>, Vec<_>) =
            items.partition(|item| matches!(item.value, Value::Object(_)));
        for item in &bad {
            let what = format!("{} in a list of objects", kind(item.value));
            item.problem(&what, &format!("write for example [{example}]"));
        }
        bad.is_empty().then_some(good)
    }

    /// An object.
    pub fn object(&self, example: &str) -> Option<&'s Object<'t>> {
        match self.value {
            Value::Object(object) => Some(object),
            _ => {
                self.wrong_kind(&format!("write an object instead: {example}"));
                None
            }
        }
    }
}

fn kind(value: &Value) -> String {
    match value {
        Value::StringLit(_) => "a text".to_owned(),
        Value::NumberLit(number) => format!("the number {}", number.value),
        Value::BooleanLit(flag) => flag.value.to_string(),
        Value::Object(_) => "an object".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        Value::NullKeyword(_) => "null".to_owned(),
    }
}
