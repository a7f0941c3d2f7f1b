//! What an event asks for.
//!
//! `AudioFork` has `WsServer` and `Options`; `StopAudioFork` may have `AudioForkID`; `AudioForkMute`
//! has `Direction` and `State`, and may have `AudioForkID`. Each has `Channel`, which the dialplan's
//! events have by themselves.

use super::{super::facts::StreamId, BadOptions, Direction, MOST, Options};

/// The events that are listened to.
pub const NAMES: [&str; 3] = ["AudioFork", "StopAudioFork", "AudioForkMute"];
/// Longest name of a channel; Asterisk's own limit is 80.
const MAX_CHANNEL: usize = 128;

/// An event, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// As the answer repeats it; empty where none was named, or one that can't be.
    pub channel: String,
    /// The `ActionID` of whoever asked by the manager.
    pub request_id: String,
    pub request: Result<Request, Bad>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    Start(Start),
    /// One stream, or all that events have started on the channel.
    Stop(Option<StreamId>),
    /// Silence, or its end, in one stream or in all that events have started on the channel.
    Mute {
        id: Option<StreamId>,
        direction: Direction,
        on: bool,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Start {
    pub url: String,
    pub options: Options,
}

/// Why an event can't be acted on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Bad {
    /// In audiofork's own words.
    #[error("No channel specified")]
    NoChannel,
    #[error("No such channel")]
    Channel,
    #[error("WsServer is missing")]
    NoServer,
    #[error("WsServer is too long")]
    LongServer,
    #[error("Options: {0}")]
    Options(#[from] BadOptions),
    #[error("AudioForkID is no id of a stream")]
    Id,
    #[error("Direction is read, write or both")]
    Direction,
    #[error("State is 0 or 1")]
    State,
}

impl Asked {
    /// Reads an event by its name; `None` if it is none of [`NAMES`].
    pub fn of(name: &str, fields: &[(String, String)]) -> Option<Self> {
        if !NAMES.contains(&name) {
            return None;
        }
        // The last: the dialplan's events begin with the channel that sends them, and name another
        // one behind it.
        let get = |key: &str| {
            let mut found = fields.iter().rev().filter(|(name, _)| name.eq_ignore_ascii_case(key));
            found.next().map_or("", |(_, value)| value.trim())
        };
        let channel = get("Channel");
        let good = channel.len() <= MAX_CHANNEL && !channel.contains(char::is_control);
        let request_id = get("ActionID");
        let request_id = if request_id.len() <= MAX_CHANNEL { request_id } else { "" };
        let request = match channel {
            "" => Err(Bad::NoChannel),
            _ if !good => Err(Bad::Channel),
            _ => request(name, get),
        };
        Some(Self {
            channel: if good { channel.to_owned() } else { String::new() },
            request_id: request_id.to_owned(),
            request,
        })
    }
}

fn request<'a>(name: &str, get: impl Fn(&str) -> &'a str) -> Result<Request, Bad> {
    let id = || match get("AudioForkID") {
        "" => Ok(None),
        id => id.parse().map(Some).map_err(|_| Bad::Id),
    };
    Ok(match name {
        "AudioFork" => {
            let url = get("WsServer");
            if url.is_empty() {
                return Err(Bad::NoServer);
            }
            if url.len() > MOST {
                return Err(Bad::LongServer);
            }
            let options = Options::parse(get("Options"))?;
            Request::Start(Start { url: url.to_owned(), options })
        }
        "StopAudioFork" => Request::Stop(id()?),
        _ => {
            let direction = match get("Direction").to_ascii_lowercase().as_str() {
                "read" => Direction::In,
                "write" => Direction::Out,
                "both" => Direction::Both,
                _ => return Err(Bad::Direction),
            };
            let on = match get("State") {
                "0" => false,
                "1" => true,
                _ => return Err(Bad::State),
            };
            Request::Mute { id: id()?, direction, on }
        }
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn asked(name: &str, fields: &[(&str, &str)]) -> Asked {
        let fields: Vec<(String, String)> =
            fields.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        Asked::of(name, &fields).expect("one of ours")
    }

    #[test]
    fn a_channel_that_the_event_names_counts_and_not_the_one_that_sends_it() {
        let asked = asked(
            "AudioFork",
            &[
                ("Channel", "PJSIP/sender-1"),
                ("Uniqueid", "1.1"),
                ("Channel", "WebSocket/gw/0x7f"),
                ("WsServer", "ws://h/in"),
                ("Options", "D(in)"),
                ("actionid", "77"),
            ],
        );
        assert_eq!(
            (asked.channel.as_str(), asked.request_id.as_str()),
            ("WebSocket/gw/0x7f", "77")
        );
        let Ok(Request::Start(start)) = asked.request else { panic!("{asked:?}") };
        assert_eq!((start.url.as_str(), start.options.direction), ("ws://h/in", Direction::In));
    }

    #[test]
    fn stopping_and_muting_mean_one_stream_or_all() {
        let channel = ("Channel", "x");
        assert_eq!(asked("StopAudioFork", &[channel]).request, Ok(Request::Stop(None)));
        let id = uuid::Uuid::nil().to_string();
        let one = asked("StopAudioFork", &[channel, ("AudioForkID", &id)]).request;
        assert_eq!(one, Ok(Request::Stop(Some(StreamId(uuid::Uuid::nil())))));
        let mute =
            asked("AudioForkMute", &[channel, ("Direction", "Write"), ("State", "1")]).request;
        let (direction, on) = (Direction::Out, true);
        assert_eq!(mute, Ok(Request::Mute { id: None, direction, on }));
    }

    #[test]
    fn what_is_wrong_is_told() {
        let channel = ("Channel", "x");
        for (name, fields, bad) in [
            ("AudioFork", vec![("WsServer", "ws://h/")], Bad::NoChannel),
            ("AudioFork", vec![channel], Bad::NoServer),
            (
                "AudioFork",
                vec![channel, ("WsServer", "ws://h/"), ("Options", "D(up)")],
                Bad::Options(BadOptions::Direction),
            ),
            ("StopAudioFork", vec![channel, ("AudioForkID", "7")], Bad::Id),
            ("AudioForkMute", vec![channel, ("State", "1")], Bad::Direction),
            ("AudioForkMute", vec![channel, ("Direction", "both")], Bad::State),
        ] {
            assert_eq!(asked(name, &fields).request, Err(bad), "{name} {fields:?}");
        }
        assert_eq!(Asked::of("CallEnded", &[]), None);
    }

    proptest! {
        #[test]
        fn any_fields_give_a_request_or_an_error(
            name in 0usize..3,
            fields in proptest::collection::vec(
                ("(Channel|WsServer|Options|Direction|State|AudioForkID|x)", any::<String>()), 0..8),
        ) {
            prop_assert!(Asked::of(NAMES[name], &fields).is_some());
        }
    }
}
