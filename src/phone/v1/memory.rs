//! The last requests and their answers: what makes it safe to send one again.

use std::{collections::VecDeque, sync::Arc};

use serde::{Deserialize, Serialize};

/// Requests that are remembered.
pub const REMEMBERED: usize = 64;
/// Longest id, in characters.
pub const MAX_ID: usize = 64;

/// A request's id: a text or a number, of the phone's choice.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Id {
    Number(serde_json::Number),
    Text(Box<str>),
}

impl Id {
    /// Whether it is as short as it has to be.
    pub fn is_good(&self) -> bool {
        match self {
            Id::Number(number) => number.to_string().len() <= MAX_ID,
            Id::Text(text) => text.chars().count() <= MAX_ID,
        }
    }
}

/// What is known of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Known {
    /// It was not seen before; from now on it is under way.
    New,
    /// It is under way: its answer will come.
    UnderWay,
    /// This was its answer.
    Answered(Arc<str>),
}

/// The memory. Costs nothing until the first request with an id.
#[derive(Debug, Default)]
pub struct Memory(VecDeque<(Id, Option<Arc<str>>)>);

impl Memory {
    /// A request came.
    pub fn ask(&mut self, id: &Id) -> Known {
        match self.0.iter().find(|(known, _)| known == id) {
            Some((_, Some(answer))) => Known::Answered(answer.clone()),
            Some((_, None)) => Known::UnderWay,
            None => {
                if self.0.len() == REMEMBERED {
                    self.0.pop_front();
                }
                self.0.push_back((id.clone(), None));
                Known::New
            }
        }
    }

    /// It was answered.
    pub fn answer(&mut self, id: &Id, answer: Arc<str>) {
        if let Some(entry) = self.0.iter_mut().find(|(known, _)| known == id) {
            entry.1 = Some(answer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(id: &str) -> Id {
        Id::Text(id.into())
    }

    #[test]
    fn a_request_that_comes_again_gets_the_same_answer() {
        let mut memory = Memory::default();
        assert_eq!(memory.ask(&text("a")), Known::New);
        assert_eq!(memory.ask(&text("a")), Known::UnderWay);
        memory.answer(&text("a"), "yes".into());
        assert_eq!(memory.ask(&text("a")), Known::Answered("yes".into()));
        let number: Id = serde_json::from_str("7").unwrap();
        assert_eq!(memory.ask(&number), Known::New);
        assert_eq!(memory.ask(&text("7")), Known::New, "a text is not a number");
    }

    #[test]
    fn any_number_of_requests_is_remembered_in_bounded_memory() {
        let mut memory = Memory::default();
        for n in 0..10_000 {
            memory.ask(&text(&n.to_string()));
        }
        assert_eq!(memory.0.len(), REMEMBERED);
        assert_eq!(memory.ask(&text("9999")), Known::UnderWay);
        assert_eq!(memory.ask(&text("9900")), Known::New, "forgotten");
    }

    #[test]
    fn an_id_is_short() {
        assert!(text(&"ü".repeat(MAX_ID)).is_good());
        assert!(!text(&"x".repeat(MAX_ID + 1)).is_good());
    }
}
