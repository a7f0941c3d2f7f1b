//! JSON as people write it: finds keys and their lines.
//!
//! Strict JSON (no comments, no trailing commas), one object a file. It promises that any bytes
//! give a tree or a problem with a line, and it knows what Go's reader forgave: keys in another
//! case and `null` for "absent". A key that begins with `_` or `//` is a comment.

use std::{collections::BTreeMap, path::Path};

use jsonc_parser::{
    CollectOptions, ParseOptions,
    ast::{Object, ObjectProp, Value},
    common::Ranged,
    errors::{ParseError, ParseErrorKind},
    parse_to_ast,
};

use super::{item::Item, problem::Findings};

/// Largest file that is read. A group of 10,000 members has a twentieth of it.
pub(super) const MAX_FILE: usize = 4 * 1024 * 1024;

/// How alike an unknown key must be to a known one to be taken for a slip of the pen.
const ALIKE: f64 = 0.8;

/// One file: its text, and where what is found about it goes.
pub(super) struct Sheet<'t> {
    pub path: &'t Path,
    text: &'t str,
    findings: &'t Findings,
}

impl<'t> Sheet<'t> {
    pub fn new(path: &'t Path, text: &'t str, findings: &'t Findings) -> Self {
        Self { path, text: text.strip_prefix('\u{feff}').unwrap_or(text), findings }
    }

    /// The file's one object, or `None` after having said what is wrong.
    pub fn parse(&self) -> Option<Object<'t>> {
        let strict = ParseOptions {
            allow_comments: false,
            allow_loose_object_property_names: false,
            allow_trailing_commas: false,
            allow_missing_commas: false,
            allow_single_quoted_strings: false,
            allow_hexadecimal_numbers: false,
            allow_unary_plus_numbers: false,
        };
        match parse_to_ast(self.text, &CollectOptions::default(), &strict) {
            Ok(parsed) => match parsed.value {
                Some(Value::Object(object)) => return Some(object),
                Some(other) => self.problem(
                    self.line(other.range().start),
                    "",
                    "the file doesn't hold a JSON object",
                    "write everything between one { and one }",
                ),
                None => self.problem(1, "", "the file is empty", "write at least {}"),
            },
            Err(error) => self.syntax(&error),
        }
        None
    }

    fn syntax(&self, error: &ParseError) {
        use ParseErrorKind as E;
        let line = self.line(error.range().start);
        let (what, remedy) = match error.kind() {
            E::CommentsNotAllowed | E::UnterminatedCommentBlock => (
                "JSON has no comments".to_owned(),
                "write the remark as a key that begins with \"_\": \"_remark\": \"…\"",
            ),
            E::TrailingCommasNotAllowed => {
                ("a comma with nothing behind it".to_owned(), "remove the comma")
            }
            E::ExpectedComma => {
                ("a comma is missing".to_owned(), "write one behind the value before")
            }
            E::SingleQuotedStringsNotAllowed => {
                ("text in single quotes".to_owned(), "write \"double quotes\" instead")
            }
            E::MultipleRootJsonValues => (
                "something follows the object's closing }".to_owned(),
                "remove what follows, or the } that is one too many",
            ),
            E::UnterminatedObject => ("the object isn't closed".to_owned(), "write the missing }"),
            E::UnterminatedArray => ("the list isn't closed".to_owned(), "write the missing ]"),
            E::UnexpectedWord | E::UnexpectedToken => (
                "a bare word".to_owned(),
                "write it in \"double quotes\", or true, false or null in small letters",
            ),
            E::String(kind) => (
                format!("a text isn't written as JSON wants it ({kind})"),
                "close it with a double quote on the same line, and write \\\\ for a backslash",
            ),
            E::NestingDepthExceeded => {
                ("brackets within brackets without end".to_owned(), "remove them")
            }
            kind => (
                format!("not JSON ({})", kind.to_string().to_lowercase()),
                "compare with the sample file",
            ),
        };
        self.problem(line, "", &what, remedy);
    }

    /// The line, from 1, of a byte of the text.
    pub fn line(&self, offset: usize) -> usize {
        let before = self.text.as_bytes().get(..offset).unwrap_or(self.text.as_bytes());
        1 + before.iter().filter(|b| **b == b'\n').count()
    }

    pub fn problem(&self, line: usize, key: &str, what: &str, remedy: &str) {
        self.findings.problem(self.path, line, key, what.to_owned(), remedy.to_owned());
    }

    pub fn warning(&self, line: usize, key: &str, what: &str) {
        self.findings.warning(self.path, line, key, what);
    }
}

/// An object whose keys are known.
pub(super) struct Section<'s, 't> {
    pub sheet: &'s Sheet<'t>,
    items: BTreeMap<&'static str, Item<'s, 't>>,
}

impl<'s, 't> Section<'s, 't> {
    /// Sorts the object's keys into `known` ones; says which ones aren't, or are there twice.
    pub fn new(sheet: &'s Sheet<'t>, object: &'s Object<'t>, known: &[&'static str]) -> Self {
        let mut items: BTreeMap<&'static str, Item> = BTreeMap::new();
        for item in real(sheet, object) {
            let Some(name) = known.iter().find(|name| name.eq_ignore_ascii_case(item.key)) else {
                item.problem("isn't a key of this file", &suggestion(item.key, known));
                continue;
            };
            if item.key != *name {
                item.warning(&format!("read as \"{name}\": keys are written in small letters"));
            }
            if let Some(first) = items.get(name) {
                twice(&item, first);
            } else {
                items.insert(name, item);
            }
        }
        items.retain(|_, item| !matches!(item.value, Value::NullKeyword(_)));
        Self { sheet, items }
    }

    /// The item of a key; `None` if the key is absent or `null`.
    pub fn get(&self, key: &'static str) -> Option<&Item<'s, 't>> {
        self.items.get(key)
    }

    /// The line of a key, 0 if it is absent.
    pub fn line(&self, key: &'static str) -> usize {
        self.get(key).map_or(0, |item| item.line)
    }

    /// Says what is wrong about a key that may be absent.
    pub fn problem(&self, key: &'static str, what: &str, remedy: &str) {
        self.sheet.problem(self.line(key), key, what, remedy);
    }

    pub fn warning(&self, key: &'static str, what: &str) {
        self.sheet.warning(self.line(key), key, what);
    }
}

/// The entries of an object whose keys are names that the user chose: none twice, no comments, and
/// nothing that is `null`.
pub(super) fn entries<'s, 't>(sheet: &'s Sheet<'t>, object: &'s Object<'t>) -> Vec<Item<'s, 't>> {
    let mut names: BTreeMap<&str, usize> = BTreeMap::new();
    let mut entries: Vec<Item> = Vec::new();
    for item in real(sheet, object) {
        match names.get(item.key) {
            Some(first) => twice(&item, &entries[*first]),
            None => {
                names.insert(item.key, entries.len());
                entries.push(item);
            }
        }
    }
    entries.retain(|item| !matches!(item.value, Value::NullKeyword(_)));
    entries
}

fn real<'s, 't>(
    sheet: &'s Sheet<'t>,
    object: &'s Object<'t>,
) -> impl Iterator<Item = Item<'s, 't>> {
    let item = move |prop: &'s ObjectProp<'t>| Item {
        sheet,
        key: prop.name.as_str(),
        line: sheet.line(prop.range.start),
        value: &prop.value,
    };
    let comment = |key: &str| key.starts_with('_') || key.starts_with("//");
    object.properties.iter().map(item).filter(move |item| !comment(item.key))
}

fn twice(second: &Item, first: &Item) {
    let what = format!("is there twice, in line {} and in line {}", first.line, second.line);
    second.problem(&what, "remove one of the two");
}

fn suggestion(key: &str, known: &[&str]) -> String {
    let likeness = |name: &&str| strsim::jaro_winkler(&key.to_lowercase(), name);
    let best = known.iter().copied().map(|name| (likeness(&name), name));
    match best.max_by(|a, b| a.0.total_cmp(&b.0)) {
        Some((alike, name)) if alike >= ALIKE => {
            format!("did you mean \"{name}\"? (A key that begins with \"_\" is a comment)")
        }
        _ => "remove it, or let it begin with \"_\" if it is a comment".to_owned(),
    }
}
