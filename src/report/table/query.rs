//! PURE: what is asked of the call table: filters, and pages with a cursor.
//!
//! A page goes from the newest call to older ones. Its cursor names the last call on it, so a call
//! that begins meanwhile neither shifts the next page nor shows twice.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

use crate::{
    call::{CallId, ending::Ending, record::Direction},
    report::time::Utc,
};

/// Calls on a page, unless asked otherwise, and at most: a few hundred KiB.
pub const PAGE: u32 = 50;
pub const MOST_ON_A_PAGE: u32 = 500;

/// Which calls. What is absent doesn't matter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Dialled, or answered.
    pub extension: Option<String>,
    pub group: Option<String>,
    pub ending: Option<Ending>,
    pub direction: Option<Direction>,
    /// Whole number of the caller.
    pub caller: Option<String>,
    /// Began at this time or later.
    pub from: Option<Utc>,
    /// Began before this time.
    pub to: Option<Utc>,
    pub after: Option<Cursor>,
    /// At most [`MOST_ON_A_PAGE`]; 0 is [`PAGE`].
    pub limit: u32,
}

/// The last call of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    pub began: Utc,
    pub id: CallId,
}

impl Cursor {
    /// A text that a client hands back and needn't understand.
    pub fn encode(&self) -> String {
        let mut bytes = [0; 24];
        bytes[..8].copy_from_slice(&self.began.millis().to_be_bytes());
        bytes[8..].copy_from_slice(self.id.uuid().as_bytes());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    pub fn decode(text: &str) -> Option<Self> {
        let bytes: [u8; 24] = URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()?;
        let (began, id) = bytes.split_at(8);
        let began = Utc::from_millis(i64::from_be_bytes(began.try_into().ok()?));
        Some(Self { began, id: CallId::from_uuid(uuid::Uuid::from_slice(id).ok()?) })
    }
}

impl Filter {
    /// The condition in SQL and its parameters, `?1` on. No text of a client is in the SQL.
    pub fn condition(&self) -> (String, Vec<String>) {
        let mut texts = Vec::new();
        let mut terms = vec!["1".to_owned()];
        let mut term = |sql: &str, value: String| {
            texts.push(value);
            terms.push(sql.replace('?', &format!("?{}", texts.len())));
        };
        if let Some(extension) = &self.extension {
            term("(dialled = ? OR answered_by = ?)", extension.clone());
        }
        if let Some(group) = &self.group {
            term("group_name = ?", group.clone());
        }
        if let Some(ending) = self.ending {
            term("ending = ?", ending.as_str().to_owned());
        }
        if let Some(direction) = self.direction {
            term("direction = ?", direction.as_str().to_owned());
        }
        if let Some(caller) = &self.caller {
            term("caller_number = ?", caller.clone());
        }
        if let Some(from) = self.from {
            term("began >= ?", from.to_string());
        }
        if let Some(to) = self.to {
            term("began < ?", to.to_string());
        }
        if let Some(Cursor { began, id }) = self.after {
            texts.push(began.to_string());
            texts.push(id.to_string());
            terms.push(format!("(began, id) < (?{}, ?{})", texts.len() - 1, texts.len()));
        }
        (terms.join(" AND "), texts)
    }

    /// How many calls a page has.
    pub fn page(&self) -> u32 {
        if self.limit == 0 { PAGE } else { self.limit.min(MOST_ON_A_PAGE) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_a_client_writes_stands_in_the_sql() {
        let evil = "x' OR 1=1 --".to_owned();
        let filter = Filter {
            extension: Some(evil.clone()),
            group: Some(evil.clone()),
            caller: Some(evil.clone()),
            after: Some(Cursor { began: Utc::from_millis(1), id: CallId::parse(ID).unwrap() }),
            ..Filter::default()
        };
        let (sql, texts) = filter.condition();
        assert!(!sql.contains("OR 1=1"), "{sql}");
        assert_eq!(
            sql,
            "1 AND (dialled = ?1 OR answered_by = ?1) AND group_name = ?2 AND caller_number = ?3 \
             AND (began, id) < (?4, ?5)"
        );
        assert_eq!(texts.len(), 5);
    }

    const ID: &str = "0b9ff2f0-0000-4000-8000-000000000001";

    #[test]
    fn a_page_is_never_empty_and_never_without_end() {
        for (limit, page) in [(0, PAGE), (1, 1), (u32::MAX, MOST_ON_A_PAGE)] {
            assert_eq!(Filter { limit, ..Filter::default() }.page(), page);
        }
    }

    proptest::proptest! {
        #[test]
        fn a_cursor_is_read_as_it_was_written(millis in 0..=253_402_300_799_999i64, id: u128) {
            let id = CallId::from_uuid(uuid::Uuid::from_u128(id));
            let cursor = Cursor { began: Utc::from_millis(millis), id };
            proptest::prop_assert_eq!(Cursor::decode(&cursor.encode()), Some(cursor));
        }

        #[test]
        fn any_text_is_a_cursor_or_not(text in "[A-Za-z0-9_=-]{0,40}|.{0,40}") {
            let _ = Cursor::decode(&text);
        }
    }
}
