//! PURE: what is made in Asterisk for a channel that is listened to, and what it is named.
//!
//! A name tells whose it is (the application's), which channel's tap it belongs to, and what it is:
//! `goastgateway-tap-7bace96a-…-si` is the snoop of what the channel says. So what is found in
//! Asterisk can be told to be ours without having been remembered.

use uuid::Uuid;

use crate::media::align::Lane;

/// Which audio of a channel, in Asterisk's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Way {
    /// What comes from it.
    In,
    /// What it is sent.
    Out,
}

/// Something that is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Part {
    /// The channel that listens.
    Snoop(Way),
    /// The channel that brings what it hears to this gateway.
    Media(Way),
    /// Where the two meet.
    Bridge(Way),
}

impl Way {
    pub const BOTH: [Self; 2] = [Self::In, Self::Out];

    /// What comes from the channel is left, as what comes from a phone is.
    pub fn lane(self) -> Lane {
        match self {
            Self::In => Lane::Left,
            Self::Out => Lane::Right,
        }
    }

    pub fn of(lane: Lane) -> Self {
        match lane {
            Lane::Left => Self::In,
            Lane::Right => Self::Out,
        }
    }

    /// Asterisk's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::In => "in",
            Self::Out => "out",
        }
    }
}

impl Part {
    pub const ALL: [Self; 6] = [
        Self::Snoop(Way::In),
        Self::Snoop(Way::Out),
        Self::Media(Way::In),
        Self::Media(Way::Out),
        Self::Bridge(Way::In),
        Self::Bridge(Way::Out),
    ];

    pub fn index(self) -> usize {
        let (Self::Snoop(way) | Self::Media(way) | Self::Bridge(way)) = self;
        let kind = match self {
            Self::Snoop(_) => 0,
            Self::Media(_) => 2,
            Self::Bridge(_) => 4,
        };
        kind + usize::from(way == Way::Out)
    }

    fn suffix(self) -> &'static str {
        match self {
            Self::Snoop(Way::In) => "si",
            Self::Snoop(Way::Out) => "so",
            Self::Media(Way::In) => "mi",
            Self::Media(Way::Out) => "mo",
            Self::Bridge(Way::In) => "bi",
            Self::Bridge(Way::Out) => "bo",
        }
    }
}

/// How all names of an application's parts begin.
pub fn mark(app: &str) -> String {
    format!("{app}-tap-")
}

/// A part's name.
pub fn name(mark: &str, tap: Uuid, part: Part) -> String {
    format!("{mark}{tap}-{}", part.suffix())
}

/// What a name names, if it is one of these.
pub fn parse(mark: &str, name: &str) -> Option<(Uuid, Part)> {
    let (tap, suffix) = name.strip_prefix(mark)?.rsplit_once('-')?;
    let part = Part::ALL.into_iter().find(|part| part.suffix() == suffix)?;
    let id = tap.parse().ok()?;
    // No other spelling: what differs in a letter isn't ours.
    (self::name(mark, id, part) == name).then_some((id, part))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_name_is_read_back_and_only_ours_are() {
        let mark = mark("goastgateway");
        let id = "7bace96a-b33e-4d19-ae72-e1ba25886472".parse().unwrap();
        for (n, part) in Part::ALL.into_iter().enumerate() {
            assert_eq!(part.index(), n);
            let name = name(&mark, id, part);
            assert_eq!(parse(&mark, &name), Some((id, part)), "{name}");
            assert_eq!(parse(&super::mark("goast"), &name), None);
            assert_eq!(parse(&mark, &name.to_uppercase()), None);
        }
        for other in [
            "1795227632.2",
            "goastgateway-tap-",
            "goastgateway-tap-7bace96a-b33e-4d19-ae72-e1ba25886472",
            "goastgateway-tap-7bace96a-b33e-4d19-ae72-e1ba25886472-xx",
            "goastgateway-tap-7bace96ab33e4d19ae72e1ba25886472-si",
        ] {
            assert_eq!(parse(&mark, other), None, "{other}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_ours_only_if_we_would_have_written_it(text in ".{0,80}") {
            let mark = mark("gw");
            if let Some((id, part)) = parse(&mark, &text) {
                prop_assert_eq!(name(&mark, id, part), text);
            }
        }
    }
}
