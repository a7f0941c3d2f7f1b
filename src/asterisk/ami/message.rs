//! PURE: the manager's protocol, lines of `Key: Value` up to an empty one.
//!
//! Promises: any bytes give a packet or an error, in bounded memory; an event that nobody wants is
//! passed over without being kept; no value can smuggle a line into an action; a secret never shows
//! in `Debug`.

use std::fmt;

use bytes::BytesMut;

/// Longest line; Asterisk's own buffer for a line of an action is 1 KiB, its events have longer
/// application data.
pub const MAX_LINE: usize = 16 * 1024;
/// Lines of one packet. A command's output and a configuration file come line by line.
pub const MAX_LINES: usize = 4096;
/// Bytes of one packet: a file of a thousand sections fits.
pub const MAX_PACKET: usize = 1024 * 1024;

/// One response or event.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Packet {
    fields: Vec<(String, String)>,
}

/// Why bytes are no manager protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadPacket {
    #[error("a line of more than {MAX_LINE} bytes")]
    Line,
    #[error("a packet of more than {MAX_LINES} lines or {MAX_PACKET} bytes")]
    Lines,
    #[error("the greeting is not the manager's: is this another service's port?")]
    Greeting,
}

impl Packet {
    /// The first value of a key, in any case; empty if it is absent.
    pub fn get(&self, key: &str) -> &str {
        let found = self.fields.iter().find(|(k, _)| k.eq_ignore_ascii_case(key));
        found.map_or("", |(_, value)| value)
    }

    /// Every value of a key, as `Output` has one a line.
    pub fn all<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a str> {
        let same = move |(k, _): &&(String, String)| k.eq_ignore_ascii_case(key);
        self.fields.iter().filter(same).map(|(_, value)| value.as_str())
    }

    /// Whether a response says that the action was done.
    pub fn is_success(&self) -> bool {
        self.get("Response").eq_ignore_ascii_case("Success")
    }

    /// All lines, in order.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &str)> {
        self.fields.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }
}

impl<K: Into<String>, V: Into<String>> FromIterator<(K, V)> for Packet {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(fields: I) -> Self {
        let fields = fields.into_iter().map(|(key, value)| (key.into(), value.into()));
        Self { fields: fields.collect() }
    }
}

/// Takes bytes apart.
#[derive(Debug, Default)]
pub struct Decoder {
    greeted: bool,
    packet: Packet,
    /// Bytes of the packet so far, also of one that is passed over.
    bytes: usize,
    /// The packet is an event that nobody wants.
    passed_over: bool,
}

impl Decoder {
    /// The next packet, or `None` until more bytes come. The greeting is read in passing.
    pub fn next(&mut self, bytes: &mut BytesMut) -> Result<Option<Packet>, BadPacket> {
        self.next_wanted(bytes, |_| true)
    }

    /// The same without the events whose name is not `wanted`. Asterisk sends the name first, so
    /// such an event costs the search for its end.
    pub fn next_wanted(
        &mut self,
        bytes: &mut BytesMut,
        wanted: impl Fn(&str) -> bool,
    ) -> Result<Option<Packet>, BadPacket> {
        loop {
            let Some(end) = bytes.iter().position(|b| *b == b'\n') else {
                return if bytes.len() > MAX_LINE { Err(BadPacket::Line) } else { Ok(None) };
            };
            if end > MAX_LINE {
                return Err(BadPacket::Line);
            }
            let line = bytes.split_to(end + 1);
            let line = line.strip_suffix(b"\n").unwrap_or(&line);
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            self.bytes += line.len();
            if line.is_empty() && self.greeted {
                self.bytes = 0;
                if !std::mem::take(&mut self.passed_over) && !self.packet.fields.is_empty() {
                    return Ok(Some(std::mem::take(&mut self.packet)));
                }
            } else if !self.passed_over {
                self.line(&String::from_utf8_lossy(line), &wanted)?;
            }
            if self.bytes > MAX_PACKET {
                return Err(BadPacket::Lines);
            }
        }
    }

    fn line(&mut self, line: &str, wanted: impl Fn(&str) -> bool) -> Result<(), BadPacket> {
        if !self.greeted {
            if !line.starts_with("Asterisk Call Manager/") {
                return Err(BadPacket::Greeting);
            }
            self.greeted = true;
            return Ok(());
        }
        let (key, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        if self.packet.fields.is_empty() && key.eq_ignore_ascii_case("Event") && !wanted(value) {
            self.passed_over = true;
            return Ok(());
        }
        self.packet.fields.push((key.to_owned(), value.to_owned()));
        if self.packet.fields.len() > MAX_LINES { Err(BadPacket::Lines) } else { Ok(()) }
    }
}

/// An action, to be sent under an id of the connection's.
#[derive(Clone, PartialEq, Eq)]
pub struct Action {
    name: &'static str,
    fields: Vec<(&'static str, String)>,
}

/// A value that would begin a line of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a line break in the {0} of an action")]
pub struct LineBreak(&'static str);

impl Action {
    pub fn new(name: &'static str) -> Self {
        Self { name, fields: Vec::new() }
    }

    /// Adds a field. A value that holds a line break is refused: it would be a field of its own.
    pub fn with(mut self, key: &'static str, value: &str) -> Result<Self, LineBreak> {
        if value.contains(['\r', '\n', '\0']) {
            return Err(LineBreak(key));
        }
        self.fields.push((key, value.to_owned()));
        Ok(self)
    }

    /// The action's own name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The bytes to send.
    pub fn encode(&self, id: u64) -> String {
        let mut text = format!("Action: {}\r\nActionID: {id}\r\n", self.name);
        for (key, value) in &self.fields {
            text.push_str(key);
            text.push_str(": ");
            text.push_str(value);
            text.push_str("\r\n");
        }
        text.push_str("\r\n");
        text
    }

    /// Hangs a channel up with a cause, before it is answered the only way to give one.
    pub fn hangup(channel: &str, cause: u8) -> Result<Self, LineBreak> {
        if channel.starts_with('/') {
            return Err(LineBreak("Channel")); // a pattern would match other people's calls
        }
        Self::new("Hangup").with("Channel", channel)?.with("Cause", &cause.to_string())
    }
}

impl fmt::Debug for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut action = f.debug_struct(self.name);
        for (key, value) in &self.fields {
            match *key {
                // Secrets, and whose number it is.
                "Secret" | "Key" | "Exten" | "CallerID" | "Variable" | "Value" => {
                    action.field(key, &"…")
                }
                key => action.field(key, value),
            };
        }
        action.finish()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GREETING: &str = "Asterisk Call Manager/12.0.0\r\n";

    fn packets(text: &str) -> Result<Vec<Packet>, BadPacket> {
        let mut bytes = BytesMut::from(text.as_bytes());
        let mut decoder = Decoder::default();
        let mut all = Vec::new();
        while let Some(packet) = decoder.next(&mut bytes)? {
            all.push(packet);
        }
        Ok(all)
    }

    #[test]
    fn a_login_and_an_event_are_read_as_asterisk_22_10_sends_them() {
        let text = format!(
            "{GREETING}Response: Success\r\nActionID: 1\r\nMessage: Authentication accepted\r\n\r\n\
             Event: Hangup\r\nPrivilege: call,all\r\nChannel: WebSocket/c/0x7f\r\nCause: 16\r\n\
             Cause-txt: Normal Clearing\r\n\r\n"
        );
        let all = packets(&text).unwrap();
        assert!(all[0].is_success());
        assert_eq!(all[0].get("actionid"), "1");
        assert_eq!((all[1].get("Event"), all[1].get("Cause")), ("Hangup", "16"));
        assert_eq!(all[1].get("Nothing"), "");
    }

    #[test]
    fn a_commands_output_is_read_line_by_line() {
        let text =
            format!("{GREETING}Response: Success\r\nOutput: a: b\r\nOutput:\r\nOutput: c\r\n\r\n");
        let all = packets(&text).unwrap();
        assert_eq!(all[0].all("Output").collect::<Vec<_>>(), ["a: b", "", "c"]);
    }

    #[test]
    fn another_services_greeting_is_named() {
        assert_eq!(packets("SSH-2.0-OpenSSH\r\n\r\n"), Err(BadPacket::Greeting));
    }

    #[test]
    fn no_line_and_no_packet_grows_without_end() {
        let long = format!("{GREETING}X: {}", "y".repeat(MAX_LINE));
        assert_eq!(packets(&long), Err(BadPacket::Line));
        let many = format!("{GREETING}{}", "X: y\r\n".repeat(MAX_LINES + 1));
        assert_eq!(packets(&many), Err(BadPacket::Lines));
    }

    #[test]
    fn nothing_can_be_smuggled_into_an_action() {
        for channel in ["x\r\nAction: Originate", "x\ny", "x\0", "/WebSocket.*/"] {
            assert!(Action::hangup(channel, 17).is_err(), "{channel:?}");
        }
        let action = Action::hangup("WebSocket/c/0x7f", 17).unwrap();
        assert_eq!(
            action.encode(7),
            "Action: Hangup\r\nActionID: 7\r\nChannel: WebSocket/c/0x7f\r\nCause: 17\r\n\r\n"
        );
    }

    #[test]
    fn a_secret_and_a_number_do_not_show() {
        let login = Action::new("Login").with("Secret", "hunter2").unwrap();
        let dial = Action::new("Originate").with("Exten", "0312345678").unwrap();
        assert!(!format!("{login:?}{dial:?}").contains("hunter2"));
        assert!(!format!("{login:?}{dial:?}").contains("0312345678"));
    }

    #[test]
    fn an_event_that_nobody_wants_is_passed_over_and_the_next_is_whole() {
        let text = format!(
            "{GREETING}Event: Newexten\r\nX: {}\r\n\r\nEvent: Hangup\r\nCause: 17\r\n\r\n\
             Response: Success\r\nEvent: Newexten\r\n\r\n",
            "y".repeat(1000)
        );
        let mut bytes = BytesMut::from(text.as_bytes());
        let mut decoder = Decoder::default();
        let wanted = |name: &str| name == "Hangup";
        let first = decoder.next_wanted(&mut bytes, wanted).unwrap().unwrap();
        assert_eq!((first.get("Event"), first.get("Cause")), ("Hangup", "17"));
        let answer = decoder.next_wanted(&mut bytes, wanted).unwrap().unwrap();
        assert!(answer.is_success(), "an answer is never passed over");
        assert_eq!(decoder.next_wanted(&mut bytes, wanted), Ok(None));
    }

    #[test]
    fn a_packet_has_an_end_also_one_that_is_passed_over() {
        for event in ["Hangup", "Newexten"] {
            let line = format!("X: {}\r\n", "y".repeat(MAX_LINE - 10));
            let text =
                format!("{GREETING}Event: {event}\r\n{}", line.repeat(MAX_PACKET / MAX_LINE + 2));
            let mut bytes = BytesMut::from(text.as_bytes());
            let result = Decoder::default().next_wanted(&mut bytes, |name| name == "Hangup");
            assert_eq!(result, Err(BadPacket::Lines), "{event}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_in_any_pieces_are_packets_or_an_error(
            pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..80), 0..10),
        ) {
            let mut decoder = Decoder::default();
            let mut bytes = BytesMut::from(GREETING.as_bytes());
            for piece in pieces {
                bytes.extend_from_slice(&piece);
                while let Ok(Some(packet)) = decoder.next(&mut bytes) {
                    let _ = super::super::event::Event::of(&packet);
                }
            }
        }
    }
}
