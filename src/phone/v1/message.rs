//! What a phone says, read into values that can't be wrong.
//!
//! Promises: any text gives a request or a fault that says what is wrong with it, never a panic;
//! fields that are not known are ignored; a token never shows in `Debug`.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Deserializer, de::Error as _};
use serde_json::Value;

use super::memory::Id;
use crate::call::CallId;

/// Digits of one `dtmf`.
pub const MAX_DIGITS: usize = 64;
/// Characters of a device's name, and of the reason of a presence.
pub const MAX_NAME: usize = 64;
/// Characters of what is dialled; formatting included.
pub const MAX_NUMBER: usize = 128;
/// Variables of a `dial`, and the characters of their names and values.
pub const MAX_VARIABLES: usize = 16;
pub const MAX_VARIABLE: (usize, usize) = (64, 256);
/// Longest wrap-up that ends by itself, in seconds.
pub const MAX_WRAPUP: u32 = 3600;

/// A message and its id.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    pub id: Option<Id>,
    pub request: Result<Request, Fault>,
}

/// Why an object is no message; names the field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault(pub String);

/// A text that is no JSON object at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotAnObject;

/// Everything that a phone can say.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Request {
    Login(Login),
    Ringing {
        call: CallId,
    },
    Answer {
        call: CallId,
    },
    Reject {
        call: CallId,
    },
    Hangup {
        call: CallId,
    },
    Hold {
        call: CallId,
        on: bool,
    },
    Mute {
        call: CallId,
        on: bool,
    },
    Dtmf {
        call: CallId,
        digits: Digits,
    },
    Transfer {
        call: CallId,
        #[serde(flatten)]
        mode: Transfer,
    },
    Dial {
        to: Text<MAX_NUMBER>,
        #[serde(default)]
        variables: Variables,
    },
    Presence {
        state: PresenceWord,
        seconds: Option<u32>,
        reason: Option<Text<MAX_NAME>>,
    },
    Ping {
        n: u64,
    },
    Pong {
        n: u64,
    },
    Token {
        token: Token,
    },
    Stats(Box<Stats>),
    Feedback {
        call: CallId,
        score: Score,
        issue: Option<Issue>,
    },
    Logout,
}

/// The first message.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
pub struct Login {
    pub token: Option<Token>,
    pub resume: Option<String>,
    pub device: Option<Text<MAX_NAME>>,
    #[serde(default)]
    pub call_waiting: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "mode", rename_all = "snake_case")]
pub enum Transfer {
    Blind { to: Text<MAX_NUMBER> },
    Attended { to: Text<MAX_NUMBER> },
    Complete,
    Cancel,
}

/// How a person wants to be called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PresenceWord {
    Ready,
    Away,
    Dnd,
    Wrapup,
}

/// What the page measured in the last second. Absent is not measured.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default)]
pub struct Stats {
    pub call: Option<CallId>,
    pub e2e_ms: Option<f64>,
    pub playout_ms: Option<f64>,
    pub underruns: Option<f64>,
    pub concealed_ms: Option<f64>,
    pub dropped_up: Option<f64>,
    pub drift_ppm: Option<f64>,
    pub rtt_ms: Option<f64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Issue {
    AudioLatency,
    ChoppyAudio,
    DroppedCall,
    Echo,
    NoisyCall,
    OneWayAudio,
}

impl Issue {
    /// The name in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Issue::AudioLatency => "audio_latency",
            Issue::ChoppyAudio => "choppy_audio",
            Issue::DroppedCall => "dropped_call",
            Issue::Echo => "echo",
            Issue::NoisyCall => "noisy_call",
            Issue::OneWayAudio => "one_way_audio",
        }
    }
}

/// Reads one text message.
pub fn parse(text: &str) -> Result<Message, NotAnObject> {
    let Ok(Value::Object(mut object)) = serde_json::from_str(text) else {
        return Err(NotAnObject);
    };
    let id = match object.remove("id") {
        None | Some(Value::Null) => None,
        Some(value) => match serde_json::from_value::<Id>(value) {
            Ok(id) if id.is_good() => Some(id),
            _ => {
                let fault = Fault("id: a number or at most 64 characters".to_owned());
                return Ok(Message { id: None, request: Err(fault) });
            }
        },
    };
    let request = match serde_json::from_value(Value::Object(object)) {
        Ok(request) => Ok(request),
        // A long value would come back in full.
        Err(error) => Err(Fault(error.to_string().chars().take(200).collect())),
    };
    Ok(Message { id, request })
}

impl<'de> Deserialize<'de> for CallId {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(from)?;
        CallId::parse(&text).ok_or_else(|| D::Error::custom("call: not a call's id"))
    }
}

/// A token. Its text is for the verifier alone.
#[derive(Clone, PartialEq, Eq, Deserialize)]
pub struct Token(String);

impl Token {
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for Token {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// A text of at most `MOST` characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text<const MOST: usize>(pub String);

impl<'de, const MOST: usize> Deserialize<'de> for Text<MOST> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        if text.chars().count() > MOST {
            return Err(D::Error::custom(format!("a text of more than {MOST} characters")));
        }
        Ok(Self(text))
    }
}

/// 1 to [`MAX_DIGITS`] of `0-9 * # A-D w`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Digits(pub String);

impl<'de> Deserialize<'de> for Digits {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        let good = |b: u8| b.is_ascii_digit() || b"*#ABCDw".contains(&b);
        if (1..=MAX_DIGITS).contains(&text.len()) && text.bytes().all(good) {
            return Ok(Self(text));
        }
        Err(D::Error::custom("digits: 1 to 64 of 0-9 * # A-D and w"))
    }
}

/// Names are those of channel variables; what they may be called, `dial.variables` says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Variables(pub Vec<(String, String)>);

impl<'de> Deserialize<'de> for Variables {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let map = BTreeMap::<String, String>::deserialize(from)?;
        let long = |(name, value): (&String, &String)| {
            name.chars().count() > MAX_VARIABLE.0 || value.chars().count() > MAX_VARIABLE.1
        };
        if map.len() > MAX_VARIABLES || map.iter().any(long) {
            let what = "variables: at most 16, names of 64 and values of 256 characters";
            return Err(D::Error::custom(what));
        }
        Ok(Self(map.into_iter().collect()))
    }
}

/// 1 to 5.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Score(pub u8);

impl<'de> Deserialize<'de> for Score {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        match u8::deserialize(from)? {
            score @ 1..=5 => Ok(Self(score)),
            _ => Err(D::Error::custom("score: 1 to 5")),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const CALL: &str = "6f1c7b52-8a0e-4a43-9d3b-0b9ad2f8a111";

    fn request(value: Value) -> Result<Request, Fault> {
        parse(&value.to_string()).expect("an object").request
    }

    #[test]
    fn every_message_of_the_document_is_read() {
        for value in [
            json!({"type":"login","token":"eyJ","resume":"k3v","device":"desk","call_waiting":true}),
            json!({"type":"login"}),
            json!({"type":"ringing","call":CALL}),
            json!({"type":"answer","call":CALL}),
            json!({"type":"reject","call":CALL}),
            json!({"type":"hangup","call":CALL}),
            json!({"type":"hold","call":CALL,"on":true}),
            json!({"type":"mute","call":CALL,"on":false}),
            json!({"type":"dtmf","call":CALL,"digits":"12#ABCDw"}),
            json!({"type":"transfer","call":CALL,"to":"2003","mode":"blind"}),
            json!({"type":"transfer","call":CALL,"to":"2003","mode":"attended"}),
            json!({"type":"transfer","call":CALL,"mode":"complete"}),
            json!({"type":"transfer","call":CALL,"mode":"cancel"}),
            json!({"type":"dial","to":"0312345678","variables":{"CRM_ID":"4711"}}),
            json!({"type":"dial","to":"0312345678"}),
            json!({"type":"presence","state":"wrapup","seconds":30,"reason":"notes"}),
            json!({"type":"presence","state":"ready"}),
            json!({"type":"ping","n":1}),
            json!({"type":"pong","n":41}),
            json!({"type":"token","token":"eyJ"}),
            json!({"type":"stats","call":CALL,"e2e_ms":120.5,"rtt_ms":12,"new":1}),
            json!({"type":"feedback","call":CALL,"score":4,"issue":"one-way-audio"}),
            json!({"type":"logout","and":"more"}),
        ] {
            assert!(request(value.clone()).is_ok(), "{value}: {:?}", request(value.clone()));
        }
    }

    #[test]
    fn what_is_wrong_is_refused_and_the_fault_names_it() {
        for (value, names) in [
            (json!({}), "type"),
            (json!({"type":"dance"}), "dance"),
            (json!({"type":7}), "type"),
            (json!({"type":"answer"}), "call"),
            (json!({"type":"answer","call":"6f1c"}), "call"),
            (json!({"type":"hold","call":CALL}), "on"),
            (json!({"type":"hold","call":CALL,"on":"yes"}), "bool"),
            (json!({"type":"dtmf","call":CALL,"digits":""}), "digits"),
            (json!({"type":"dtmf","call":CALL,"digits":"1".repeat(65)}), "digits"),
            (json!({"type":"dtmf","call":CALL,"digits":"1\r\nAction: Originate"}), "digits"),
            (json!({"type":"transfer","call":CALL,"mode":"blind"}), "to"),
            (json!({"type":"transfer","call":CALL,"mode":"sideways"}), "sideways"),
            (json!({"type":"dial","to":"1".repeat(129)}), "128"),
            (json!({"type":"dial","to":"1","variables":{"A":"x".repeat(257)}}), "variables"),
            (json!({"type":"presence","state":"asleep"}), "asleep"),
            (json!({"type":"feedback","call":CALL,"score":6}), "score"),
            (json!({"type":"feedback","call":CALL,"score":1,"issue":"rude"}), "rude"),
            (json!({"type":"login","device":"x".repeat(65)}), "64"),
        ] {
            let Err(Fault(fault)) = request(value.clone()) else { panic!("{value} was taken") };
            assert!(fault.contains(names), "{value}: {fault}");
        }
        let many: BTreeMap<_, _> = (0..17).map(|n| (format!("V{n}"), "x")).collect();
        assert!(request(json!({"type":"dial","to":"1","variables":many})).is_err());
    }

    #[test]
    fn an_id_is_a_number_or_a_short_text() {
        for (id, good) in [
            (json!(7), true),
            (json!("a1"), true),
            (json!(1.5), true),
            (json!("x".repeat(64)), true),
            (json!("x".repeat(65)), false),
            (json!([1]), false),
            (json!({"a":1}), false),
            (json!(true), false),
        ] {
            let message = parse(&json!({"type":"logout","id":id}).to_string()).unwrap();
            assert_eq!(message.id.is_some(), good, "{id}");
            assert_eq!(message.request.is_ok(), good, "{id}");
        }
        let message = parse(r#"{"type":"logout","id":null}"#).unwrap();
        assert_eq!(message, Message { id: None, request: Ok(Request::Logout) });
    }

    #[test]
    fn what_is_no_object_is_no_message() {
        for text in ["", "ANSWER", "[]", "7", "\"x\"", "null", "{", "{}{}", "\u{0}"] {
            assert_eq!(parse(text), Err(NotAnObject), "{text}");
        }
        assert_eq!(parse(&"{\"a\":".repeat(10_000)), Err(NotAnObject), "and nothing overflows");
    }

    #[test]
    fn a_token_shows_itself_nowhere() {
        let text = r#"{"type":"login","token":"secret-of-mine"}"#;
        assert!(!format!("{:?}", parse(text)).contains("secret-of-mine"));
        let text = r#"{"type":"token","token":["secret-of-mine"]}"#;
        assert!(!format!("{:?}", parse(text)).contains("secret-of-mine"));
    }

    proptest! {
        #[test]
        fn any_text_gives_a_message_or_an_error(text in ".{0,300}") {
            let _ = parse(&text);
        }

        #[test]
        fn any_object_gives_a_message(kind in "[a-z_]{0,12}", value in ".{0,40}", n in any::<f64>()) {
            for key in ["call", "on", "digits", "to", "state", "n", "token", "score", "id"] {
                let object = json!({"type": kind, key: value});
                prop_assert!(parse(&object.to_string()).is_ok());
                let object = json!({"type": kind, key: n});
                prop_assert!(parse(&object.to_string()).is_ok());
            }
        }
    }
}
