//! PURE: the plain-text dialect of the Go gateway, for every client that asks for no subprotocol.
//!
//! It is frozen: a page that was written for the Go gateway never gets a text that it doesn't
//! know.

/// What a phone says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FromPhone {
    /// Take the call that rings.
    Answer,
    /// Decline the call that rings, or end the one that is up.
    Hangup,
}

/// What the gateway says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ToPhone {
    /// A call rings.
    Ringing,
    /// It has stopped ringing, the call is over, or the answer came too late.
    Hangup,
    /// Somebody else is logged in as this extension; the connection ends.
    Busy,
    /// A newer login has taken the extension; the connection ends.
    Kicked,
}

/// Reads one text message. Case and surrounding space don't matter; what is unknown is `None`.
pub fn parse(text: &str) -> Option<FromPhone> {
    let text = text.trim();
    if text.eq_ignore_ascii_case("ANSWER") {
        Some(FromPhone::Answer)
    } else if text.eq_ignore_ascii_case("HANGUP") || text.eq_ignore_ascii_case("BUSY") {
        Some(FromPhone::Hangup)
    } else {
        None
    }
}

impl ToPhone {
    pub fn as_str(self) -> &'static str {
        match self {
            ToPhone::Ringing => "RINGING",
            ToPhone::Hangup => "HANGUP",
            ToPhone::Busy => "BUSY",
            ToPhone::Kicked => "KICKED",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_the_go_gateway_are_understood() {
        assert_eq!(parse("ANSWER"), Some(FromPhone::Answer));
        assert_eq!(parse("HANGUP"), Some(FromPhone::Hangup));
        assert_eq!(parse(" answer\n"), Some(FromPhone::Answer));
        assert_eq!(parse("BUSY"), Some(FromPhone::Hangup));
        for text in ["", "RINGING", "ANSWERED", "{\"type\":\"answer\"}", "ＡＮＳＷＥＲ"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
