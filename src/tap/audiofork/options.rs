//! What stands in `AudioFork(url,options)`.

use super::{super::spec::StreamForm, MOST};

/// Which audio of the channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Direction {
    /// What comes from it.
    In,
    /// What it is sent.
    Out,
    #[default]
    Both,
}

/// What `AudioFork(url,options)` asks for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Options {
    pub direction: Direction,
    /// Seconds that a connection may take.
    pub timeout: Option<u32>,
    /// Tries in a row that may fail.
    pub attempts: Option<u32>,
    /// Only while the channel is bridged.
    pub bridged: bool,
    /// `T(…)`: TLS. Here the URL says that.
    pub tls: bool,
    /// `i(name)`: the variable that the id is wanted in; the answering event carries it.
    pub id_variable: Option<String>,
}

/// Why options can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadOptions {
    #[error("the options are too long")]
    TooLong,
    #[error("{0} has no closing parenthesis")]
    Open(char),
    #[error("D is in, out or both")]
    Direction,
    #[error("{0} wants a number")]
    Number(char),
    #[error("i wants the name of a channel variable")]
    Variable,
}

/// Longest name of a channel variable; Asterisk's own limit is 80.
const MAX_VARIABLE: usize = 79;

impl Options {
    /// Reads options such as `D(out)T(on)R(10)r(5)b`. Options of audiofork that have no meaning here
    /// (beeps, volumes) are passed over.
    pub fn parse(text: &str) -> Result<Self, BadOptions> {
        if text.len() > MOST {
            return Err(BadOptions::TooLong);
        }
        let mut options = Self::default();
        let mut rest = text.trim();
        while let Some(letter) = rest.chars().next() {
            rest = &rest[letter.len_utf8()..];
            let mut value = "";
            if let Some(inside) = rest.strip_prefix('(') {
                let end = inside.find(')').ok_or(BadOptions::Open(letter))?;
                (value, rest) = (inside[..end].trim(), &inside[end + 1..]);
            }
            let number = || value.parse::<u32>().map_err(|_| BadOptions::Number(letter));
            match letter {
                'D' => {
                    options.direction = match value.to_ascii_lowercase().as_str() {
                        "in" => Direction::In,
                        "out" => Direction::Out,
                        "both" => Direction::Both,
                        _ => return Err(BadOptions::Direction),
                    }
                }
                'R' => options.timeout = Some(number()?),
                // Its help gives `r` two meanings; with a number it is this one.
                'r' if !value.is_empty() => options.attempts = value.parse().ok(),
                'b' => options.bridged = true,
                'T' => options.tls = true,
                'i' if is_variable(value) => options.id_variable = Some(value.to_owned()),
                'i' => return Err(BadOptions::Variable),
                _ => {}
            }
        }
        Ok(options)
    }

    /// The stream. Left is what comes from the channel, whosever it is: of a gateway's call the channel
    /// is the phone's, and of any other channel that is tapped it is the same by agreement.
    pub fn form(&self, url: &str) -> StreamForm {
        let mut form = StreamForm {
            name: "AudioFork".to_owned(),
            format: "raw".to_owned(),
            connect_timeout: self.timeout.map(f64::from),
            attempts: self.attempts,
            ..StreamForm::default()
        };
        let url = url.trim().to_owned();
        match self.direction {
            Direction::In => form.left = url,
            Direction::Out => form.right = url,
            Direction::Both => form.mix = url,
        }
        form
    }
}

/// A variable's name and nothing else: Asterisk would take `SHELL(…)` for a function and run it.
fn is_variable(name: &str) -> bool {
    (1..=MAX_VARIABLE).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_options_of_its_documentation_are_read() {
        for (text, options) in [
            ("", Options::default()),
            ("D(out)", Options { direction: Direction::Out, ..Options::default() }),
            (
                "D(in)T(on)R(10)r(5)b",
                Options {
                    direction: Direction::In,
                    timeout: Some(10),
                    attempts: Some(5),
                    bridged: true,
                    tls: true,
                    id_variable: None,
                },
            ),
            (
                "i(FORK)v(2)pP",
                Options { id_variable: Some("FORK".to_owned()), ..Options::default() },
            ),
        ] {
            assert_eq!(Options::parse(text), Ok(options), "{text}");
        }
        assert_eq!(Options::parse("D(up)"), Err(BadOptions::Direction));
        assert_eq!(Options::parse("R(x)"), Err(BadOptions::Number('R')));
        assert_eq!(Options::parse("D(in"), Err(BadOptions::Open('D')));
    }

    #[test]
    fn the_variable_for_the_id_can_be_no_function() {
        for name in ["", "SHELL(x", "A B", "${X}", "A,B", "x\ry"] {
            assert_eq!(Options::parse(&format!("i({name})")), Err(BadOptions::Variable), "{name}");
        }
    }

    #[test]
    fn in_is_what_comes_from_the_channel() {
        let of = |text: &str| {
            let form = Options::parse(text).expect("options").form("ws://h/");
            form.read(None).expect("a stream");
            [form.left, form.right, form.mix].map(|url| !url.is_empty())
        };
        assert_eq!(of("D(in)"), [true, false, false]);
        assert_eq!(of("D(out)"), [false, true, false]);
        assert_eq!(of(""), [false, false, true]);
    }

    proptest! {
        #[test]
        fn any_text_gives_options_or_an_error(text in any::<String>()) {
            let _ = Options::parse(&text);
        }
    }
}
