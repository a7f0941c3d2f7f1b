//! What a phone is told: one type a message, and its JSON.

use std::{collections::BTreeMap, time::Duration};

use serde::Serialize;

use super::{errors::Error, memory::Id};
use crate::{
    call::{
        CallId, Extension,
        ending::Side,
        info::Progress,
        record::{Caller, Direction},
    },
    exchange::{Login, desk::Features},
    phone::session::State,
};

/// Unix milliseconds.
pub type Millis = i64;

/// Everything that the gateway says.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ToPhone<'a> {
    Welcome(Box<Welcome<'a>>),
    Ok {
        id: &'a Id,
        #[serde(flatten)]
        result: Done,
    },
    Error {
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<&'a Id>,
        code: u16,
        name: &'static str,
        message: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        retry_after_ms: Option<u64>,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        devices: Vec<DeviceShown<'a>>,
    },
    Devices {
        devices: Vec<DeviceShown<'a>>,
    },
    Features(Shown),
    Incoming {
        #[serde(flatten)]
        call: CallObject<'a>,
        ring_ms: u64,
        waiting: bool,
    },
    Outgoing(CallObject<'a>),
    Update(CallObject<'a>),
    Progress {
        call: CallId,
        state: CallState,
        audio: bool,
    },
    Connected {
        call: CallId,
        answered: Millis,
    },
    Held {
        call: CallId,
        on: bool,
        by: Who,
    },
    Dtmf {
        call: CallId,
        digit: char,
    },
    Transfer {
        call: CallId,
        state: Passed,
        /// Why nobody took the caller.
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<&'static str>,
    },
    Ended {
        call: CallId,
        reason: &'static str,
        side: Side,
        by: Option<&'a Extension>,
        cause: u8,
        talk_ms: u64,
    },
    Presence(PresenceShown<'a>),
    Ping {
        n: u64,
    },
    Pong {
        n: u64,
        time: Millis,
    },
    Quality(Box<Quality>),
    TokenExpiring {
        ms: u64,
    },
    Bye {
        reason: &'static str,
        retry_after_ms: u64,
    },
}

/// What became of a caller who was passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Passed {
    Completed,
    Failed,
}

/// What an `ok` carries beside its id.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Done {
    /// Of `dial` and `transfer`: the new call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub call: Option<CallId>,
    /// Of `token`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires: Option<Millis>,
}

/// The answer to a login.
#[derive(Debug, Clone, Serialize)]
pub struct Welcome<'a> {
    pub extension: &'a Extension,
    pub login: u64,
    pub resume: String,
    pub resumed: bool,
    pub server: Server,
    pub token_expires: Millis,
    pub limits: Limits,
    pub features: Shown,
    pub ping_every_ms: u64,
    pub resume_ms: u64,
    pub presence: PresenceShown<'a>,
    pub devices: Vec<DeviceShown<'a>>,
    pub calls: Vec<CallObject<'a>>,
}

#[derive(Debug, Clone, Serialize)]
pub struct Server {
    pub version: &'static str,
    pub time: Millis,
}

#[derive(Debug, Clone, Serialize)]
pub struct Limits {
    pub message_bytes: usize,
    pub calls: usize,
    pub digits: usize,
}

/// A login of the phone's extension.
#[derive(Debug, Clone, Serialize)]
pub struct DeviceShown<'a> {
    login: u64,
    device: Option<&'a str>,
    since: Millis,
}

impl<'a> DeviceShown<'a> {
    pub fn all(logins: &'a [Login]) -> Vec<Self> {
        let shown = |login: &'a Login| Self {
            login: login.login.0,
            device: login.device.as_deref(),
            since: login.since.millis(),
        };
        logins.iter().map(shown).collect()
    }
}

/// What can work now, as a phone is told.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Shown {
    hold: bool,
    dial: bool,
    dtmf: bool,
    transfer: bool,
}

impl From<Features> for Shown {
    fn from(features: Features) -> Self {
        let Features { dial, dtmf, transfer } = features;
        Self { hold: true, dial, dtmf, transfer }
    }
}

#[derive(Debug, Clone, Serialize)]
pub struct PresenceShown<'a> {
    pub state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Millis>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'a str>,
    pub reachable: bool,
}

/// All that a phone knows of one of its calls.
#[derive(Debug, Clone, Serialize)]
pub struct CallObject<'a> {
    pub call: CallId,
    pub direction: &'static str,
    pub state: CallState,
    pub from: Option<PartyShown<'a>>,
    pub to: &'a str,
    pub group: Option<&'a str>,
    pub variables: &'a BTreeMap<String, String>,
    pub held: bool,
    pub held_by_far: bool,
    pub muted: bool,
    pub since: Millis,
    pub answered: Option<Millis>,
    pub consults_for: Option<CallId>,
}

#[derive(Debug, Clone, Serialize)]
pub struct PartyShown<'a> {
    number: Option<&'a str>,
    name: Option<&'a str>,
}

impl<'a> PartyShown<'a> {
    /// `None` where nothing is known.
    pub fn of(caller: &'a Caller) -> Option<Self> {
        let shown = Self { number: caller.number.as_deref(), name: caller.name.as_deref() };
        (shown.number.is_some() || shown.name.is_some()).then_some(shown)
    }
}

/// How far a call is, in the words of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CallState {
    Ringing,
    Dialling,
    Alerting,
    Open,
}

impl CallState {
    pub fn new(state: State, progress: Progress) -> Self {
        match (state, progress) {
            (State::Ringing | State::Answering, _) => CallState::Ringing,
            (State::Wanted | State::Dialling, Progress::Alerting) => CallState::Alerting,
            (State::Wanted | State::Dialling, _) => CallState::Dialling,
            (State::Open | State::Ending, _) => CallState::Open,
        }
    }
}

/// The word for a direction.
pub fn direction(direction: Direction) -> &'static str {
    match direction {
        Direction::In => "incoming",
        Direction::Out => "outgoing",
    }
}

/// Who put a call on hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Who {
    Phone,
    Far,
}

/// Where the delay of a call is. Counts are since the answer.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Quality {
    pub call: Option<CallId>,
    pub asterisk_queue_ms: u32,
    pub to_phone_queue_ms: u32,
    pub dropped_to_phone: u64,
    pub dropped_to_asterisk: u64,
    pub filled: u64,
    pub rtt_ms: Option<u64>,
}

impl<'a> ToPhone<'a> {
    /// A refusal, of this request or of none.
    pub fn error(id: Option<&'a Id>, error: &'a Error) -> Self {
        ToPhone::Error {
            id,
            code: error.code.number(),
            name: error.code.name(),
            message: &error.message,
            retry_after_ms: error.retry_after.map(millis),
            devices: DeviceShown::all(&error.devices),
        }
    }

    /// The text message.
    pub fn json(&self) -> String {
        // Nothing in these types can fail to be written.
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// Whole milliseconds.
pub fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::phone::v1::errors::Code;

    #[test]
    fn an_answer_carries_its_id_as_it_came_and_nothing_that_is_not_there() {
        let id: Id = serde_json::from_str("7").unwrap();
        let ok = ToPhone::Ok { id: &id, result: Done::default() };
        assert_eq!(ok.json(), r#"{"type":"ok","id":7}"#);
        let error = Error::new(Code::NoSuchCall, "this phone has no such call");
        assert_eq!(
            ToPhone::error(None, &error).json(),
            r#"{"type":"error","code":31404,"name":"no_such_call","message":"this phone has no such call"}"#
        );
    }
}
