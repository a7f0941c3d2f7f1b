//! PURE: what chan_websocket says and what it understands, in both of its control formats.
//!
//! Promises: any text gives a value or an error, never a panic; unknown events and fields are no
//! error; every command is at most [`MAX_COMMAND`] bytes. Facts are of Asterisk 22.10.1, from the
//! wire.

use std::collections::HashMap;

use serde_json::{Map, Value};

/// Longer commands are dropped by Asterisk, in silence.
pub const MAX_COMMAND: usize = 128;

/// The control format of one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ControlFormat {
    Text,
    Json,
}

/// What Asterisk says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    MediaStart(Box<MediaStart>),
    MediaXoff,
    MediaXon,
    QueueDrained,
    Status {
        queue_length: u32,
    },
    DtmfEnd {
        digit: char,
    },
    /// The text is Asterisk's and goes into the log.
    Error {
        text: String,
    },
    /// An event that means nothing to us, or is not known yet.
    Other,
}

/// The first message of a call.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MediaStart {
    /// The section of websocket_client.conf; the same for all calls of that section.
    pub connection_id: String,
    /// The channel's name, for the manager.
    pub channel: String,
    /// The channel's unique id; empty before Asterisk 22.7.
    pub channel_id: String,
    pub format: String,
    /// Bytes of one frame; 0 where frames have no one size.
    pub optimal_frame_size: usize,
    /// Channel variables; JSON only. Only those whose value is a string.
    pub variables: HashMap<String, String>,
}

/// Why a text is no event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotAnEvent {
    #[error("JSON that is not an object with an \"event\"")]
    Json,
    #[error("an empty message")]
    Empty,
}

/// Which format a text is in: JSON begins with a brace, and nothing in plain text does.
pub fn format_of(text: &str) -> ControlFormat {
    if text.trim_start().starts_with('{') { ControlFormat::Json } else { ControlFormat::Text }
}

/// Reads one text message.
pub fn parse(text: &str) -> Result<Event, NotAnEvent> {
    match format_of(text) {
        ControlFormat::Json => parse_json(text),
        ControlFormat::Text => parse_plain(text),
    }
}

fn parse_json(text: &str) -> Result<Event, NotAnEvent> {
    let Ok(Value::Object(object)) = serde_json::from_str(text) else {
        return Err(NotAnEvent::Json);
    };
    let string = |key: &str| object.get(key).and_then(Value::as_str).unwrap_or_default();
    let number = |key: &str| object.get(key).and_then(Value::as_u64).unwrap_or_default();
    let Some(Value::String(event)) = object.get("event") else { return Err(NotAnEvent::Json) };
    Ok(match event.as_str() {
        "MEDIA_START" => Event::MediaStart(Box::new(MediaStart {
            connection_id: string("connection_id").to_owned(),
            channel: string("channel").to_owned(),
            channel_id: string("channel_id").to_owned(),
            format: string("format").to_owned(),
            optimal_frame_size: usize::try_from(number("optimal_frame_size")).unwrap_or_default(),
            variables: variables(object.get("channel_variables")),
        })),
        "STATUS" => Event::Status { queue_length: saturate(number("queue_length")) },
        "DTMF_END" => digit(string("digit")),
        "ERROR" => Event::Error { text: string("error_text").trim().to_owned() },
        other => without_fields(other),
    })
}

fn variables(value: Option<&Value>) -> HashMap<String, String> {
    let Some(Value::Object(map)) = value else { return HashMap::new() };
    let text = |map: &Map<String, Value>| {
        map.iter()
            .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
            .collect()
    };
    text(map)
}

/// `NAME key:value key:value`, values up to the next space; a value may contain colons.
fn parse_plain(text: &str) -> Result<Event, NotAnEvent> {
    let text = text.trim();
    let (name, rest) = text.split_once(' ').unwrap_or((text, ""));
    if name.is_empty() {
        return Err(NotAnEvent::Empty);
    }
    let field = |key: &str| {
        rest.split(' ').find_map(|f| f.strip_prefix(key)?.strip_prefix(':')).unwrap_or_default()
    };
    Ok(match name {
        "MEDIA_START" => Event::MediaStart(Box::new(MediaStart {
            connection_id: field("connection_id").to_owned(),
            channel: field("channel").to_owned(),
            channel_id: field("channel_id").to_owned(),
            format: field("format").to_owned(),
            optimal_frame_size: field("optimal_frame_size").parse().unwrap_or_default(),
            variables: HashMap::new(),
        })),
        "STATUS" => {
            Event::Status { queue_length: saturate(field("queue_length").parse().unwrap_or(0)) }
        }
        "DTMF_END" => digit(field("digit")),
        "ERROR" => {
            let text = rest.split_once("error_text:").map_or(rest, |(_, text)| text);
            Event::Error { text: text.trim().to_owned() }
        }
        other => without_fields(other),
    })
}

fn without_fields(name: &str) -> Event {
    match name {
        "MEDIA_XOFF" => Event::MediaXoff,
        "MEDIA_XON" => Event::MediaXon,
        "QUEUE_DRAINED" => Event::QueueDrained,
        _ => Event::Other,
    }
}

fn digit(text: &str) -> Event {
    match text.chars().next() {
        Some(digit @ ('0'..='9' | '*' | '#' | 'A'..='D')) => Event::DtmfEnd { digit },
        _ => Event::Other,
    }
}

fn saturate(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// What the gateway says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    Answer,
    Hangup,
    GetStatus,
    FlushMedia,
}

impl Command {
    /// The message, in the call's format.
    pub fn encode(self, format: ControlFormat) -> &'static str {
        match (self, format) {
            (Command::Answer, ControlFormat::Text) => "ANSWER",
            (Command::Hangup, ControlFormat::Text) => "HANGUP",
            (Command::GetStatus, ControlFormat::Text) => "GET_STATUS",
            (Command::FlushMedia, ControlFormat::Text) => "FLUSH_MEDIA",
            (Command::Answer, ControlFormat::Json) => r#"{"command":"ANSWER"}"#,
            (Command::Hangup, ControlFormat::Json) => r#"{"command":"HANGUP"}"#,
            (Command::GetStatus, ControlFormat::Json) => r#"{"command":"GET_STATUS"}"#,
            (Command::FlushMedia, ControlFormat::Json) => r#"{"command":"FLUSH_MEDIA"}"#,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn start(text: &str) -> MediaStart {
        match parse(text) {
            Ok(Event::MediaStart(start)) => *start,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn media_start_is_read_in_json_as_asterisk_22_10_sends_it() {
        let start = start(
            r#"{"event":"MEDIA_START","connection_id":"ws-ext-endpoint","channel":"WebSocket/ws-ext-endpoint/0x7fcb140066a0","channel_id":"1795227632.2","format":"slin16","optimal_frame_size":640,"ptime":20,"channel_variables":{"WS_EXTEN":"2001","N":7}}"#,
        );
        assert_eq!(start.connection_id, "ws-ext-endpoint");
        assert_eq!(start.channel, "WebSocket/ws-ext-endpoint/0x7fcb140066a0");
        assert_eq!(start.channel_id, "1795227632.2");
        assert_eq!((start.format.as_str(), start.optimal_frame_size), ("slin16", 640));
        assert_eq!(start.variables, HashMap::from([("WS_EXTEN".into(), "2001".into())]));
    }

    #[test]
    fn media_start_is_read_in_plain_text_with_and_without_channel_id() {
        let new = start(
            "MEDIA_START connection_id:ws-ext-2001 channel:WebSocket/ws-ext-2001/0x7fcb30008510 channel_id:1795227634.5 format:slin16 optimal_frame_size:640 ptime:20",
        );
        assert_eq!(new.connection_id, "ws-ext-2001");
        assert_eq!(new.channel_id, "1795227634.5");
        assert_eq!(new.optimal_frame_size, 640);
        let old = start(
            "MEDIA_START connection_id:c channel:WebSocket/c/0x1 format:slin16 optimal_frame_size:640 ptime:20",
        );
        assert_eq!((old.channel.as_str(), old.channel_id.as_str()), ("WebSocket/c/0x1", ""));
    }

    #[test]
    fn every_other_event_is_read_in_both_formats() {
        for (json, plain, event) in [
            (r#"{"event":"MEDIA_XOFF","channel_id":"1.2"}"#, "MEDIA_XOFF", Event::MediaXoff),
            (r#"{"event":"MEDIA_XON","channel_id":"1.2"}"#, "MEDIA_XON", Event::MediaXon),
            (r#"{"event":"QUEUE_DRAINED"}"#, "QUEUE_DRAINED", Event::QueueDrained),
            (
                r#"{"event":"DTMF_END","channel_id":"1.2","digit":"5"}"#,
                "DTMF_END digit:5 channel_id:1.2",
                Event::DtmfEnd { digit: '5' },
            ),
            (
                r#"{"event":"STATUS","channel_id":"1.2","queue_length":7,"xon_level":800,"xoff_level":900,"queue_full":false,"bulk_media":false,"media_paused":false}"#,
                "STATUS channel_id:1.2 queue_length:7 xon_level:800 xoff_level:900 queue_full:false bulk_media:false media_paused:false",
                Event::Status { queue_length: 7 },
            ),
            (
                r#"{"event":"ERROR","channel_id":"1.2","error_text":"Unable to parse JSON command\n"}"#,
                "ERROR channel_id:1.2 error_text:Unable to parse JSON command",
                Event::Error { text: "Unable to parse JSON command".into() },
            ),
            (r#"{"event":"SOMETHING_NEW","x":[1]}"#, "SOMETHING_NEW x:1", Event::Other),
        ] {
            assert_eq!(parse(json), Ok(event.clone()), "{json}");
            assert_eq!(parse(plain), Ok(event), "{plain}");
        }
    }

    #[test]
    fn what_is_no_event_is_an_error() {
        assert_eq!(parse(""), Err(NotAnEvent::Empty));
        assert_eq!(parse("  "), Err(NotAnEvent::Empty));
        assert_eq!(parse("{"), Err(NotAnEvent::Json));
        assert_eq!(parse(r#"{"event":7}"#), Err(NotAnEvent::Json));
        assert_eq!(parse(&format!("{{{}", "\"a\":[".repeat(10_000))), Err(NotAnEvent::Json));
    }

    #[test]
    fn commands_fit_asterisks_limit() {
        for command in [Command::Answer, Command::Hangup, Command::GetStatus, Command::FlushMedia] {
            for format in [ControlFormat::Text, ControlFormat::Json] {
                assert!(command.encode(format).len() <= MAX_COMMAND);
                assert_eq!(format_of(command.encode(format)), format);
            }
        }
    }

    proptest! {
        #[test]
        fn any_text_gives_a_value_or_an_error(text in ".{0,300}") {
            let _ = parse(&text);
        }

        #[test]
        fn any_media_start_is_read_back(
            id in "[a-zA-Z0-9_.-]{1,20}",
            channel in "[a-zA-Z0-9/:x-]{1,40}",
            size in 0usize..4096,
            value in ".{0,40}",
        ) {
            let json = serde_json::json!({
                "event": "MEDIA_START", "connection_id": id, "channel": channel,
                "format": "slin16", "optimal_frame_size": size,
                "channel_variables": {"V": value},
            });
            let read = start(&json.to_string());
            prop_assert_eq!(&read.variables["V"], &value);
            let plain = start(&format!(
                "MEDIA_START connection_id:{id} channel:{channel} format:slin16 optimal_frame_size:{size}"
            ));
            prop_assert_eq!(&plain.connection_id, &id);
            prop_assert_eq!(&read.channel, &plain.channel);
            prop_assert_eq!(plain.optimal_frame_size, size);
        }
    }
}
