//! `2001-2010,3001`: a list of extensions as it is typed.

use std::str::FromStr;

use crate::call::is_extension;

/// Extensions that one command makes sections for; more is a slip of the hand.
const MOST_EXTENSIONS: usize = 10_000;

/// `2001-2010,3001`, spelled out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Extensions(pub Vec<String>);

/// For clap.
pub(super) fn parse(text: &str) -> Result<Extensions, String> {
    text.parse()
}

impl FromStr for Extensions {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut all: Vec<String> = Vec::new();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
            match part.split_once('-').filter(|(a, b)| digits(a) && digits(b)) {
                Some((first, last)) => {
                    let number = |text: &str| {
                        text.parse::<u64>().map_err(|_| format!("{text} is too long for a range"))
                    };
                    let (from, to) = (number(first)?, number(last)?);
                    if from > to || first.len() != last.len() {
                        return Err(format!("{part} isn't a range: write 2001-2010"));
                    }
                    if to - from >= MOST_EXTENSIONS as u64 {
                        return Err(format!("{part} is more than {MOST_EXTENSIONS} extensions"));
                    }
                    let width = first.len();
                    all.extend((from..=to).map(|number| format!("{number:0width$}")));
                }
                None if is_extension(part) => all.push(part.to_owned()),
                None => return Err(format!("\"{part}\" can't be an extension")),
            }
            if all.len() > MOST_EXTENSIONS {
                return Err(format!("more than {MOST_EXTENSIONS} extensions"));
            }
        }
        let mut seen = std::collections::HashSet::new();
        all.retain(|ext| seen.insert(ext.clone()));
        if all.is_empty() {
            return Err("write for example 2001-2010".to_owned());
        }
        Ok(Self(all))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(text: &str) -> Result<Vec<String>, String> {
        text.parse().map(|Extensions(list)| list)
    }

    #[test]
    fn ranges_are_spelled_out_and_nothing_comes_twice() {
        assert_eq!(
            list("2001-2003,3001,2002"),
            Ok(vec!["2001".into(), "2002".into(), "2003".into(), "3001".into()])
        );
        assert_eq!(list("008-010"), Ok(vec!["008".into(), "009".into(), "010".into()]));
        assert_eq!(list("john-doe, *97"), Ok(vec!["john-doe".into(), "*97".into()]));
    }

    #[test]
    fn what_is_no_list_of_extensions_is_refused() {
        for bad in ["", ",", "2010-2001", "1-20000", "8-10", "a b", "1-99999999999999999999999"] {
            assert!(list(bad).is_err(), "{bad}");
        }
    }
}
