//! Why a call ended and whose side it was. Logs, metrics, records and webhooks use this enum and
//! its strings, and nothing else.

use std::fmt;

use serde::Serialize;
use utoipa::ToSchema;

/// Whose doing an ending was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    Caller,
    Asterisk,
    Phone,
    Gateway,
    Operator,
}

/// The one cause that a call ended for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// The far end hung up a call that had been answered.
    CallerHungUp,
    /// Asterisk closed the call while it rang: the caller gave up, or the dial timed out.
    CallerGaveUp,
    /// The phone hung up a call that it had answered.
    PhoneHungUp,
    /// Everybody who was rung declined.
    Declined,
    /// It rang until the time was over.
    NoAnswer,
    /// Everybody who is logged in is in a call.
    Busy,
    /// Nobody who was asked for is logged in.
    Away,
    /// The phone's connection was lost, in the call or while it alone rang.
    PhoneLost,
    /// Whoever was rung has a connection and a page that doesn't answer.
    Unreachable,
    /// Another phone has answered. Never a call's own ending, only that of a phone's ringing.
    AnsweredElsewhere,
    /// The phone has passed the far end on to somebody else.
    Transferred,
    /// Outgoing: there is no such number.
    NumberUnknown,
    /// Outgoing: the network has no way there.
    Congested,
    /// Outgoing: it failed; the cause says more.
    Failed,
    /// MEDIA_START named no extension.
    NoExtension,
    /// The media format is not one that the gateway serves.
    FormatRefused,
    /// Asterisk connected and did not say MEDIA_START in time.
    NoMediaStart,
    /// Asterisk said something that no call can go on after.
    ProtocolError,
    /// Asterisk's connection broke without a CLOSE.
    AsteriskLost,
    /// The gateway is shutting down and takes no new calls.
    Draining,
    /// The gateway was told to stop and the time for calls to finish was over.
    DrainTimeout,
    /// The gateway failed in this call; the log has the rest.
    Fault,
}

impl Ending {
    /// Every ending, in the order in which metrics list them.
    pub const ALL: [Ending; 22] = [
        Ending::CallerHungUp,
        Ending::CallerGaveUp,
        Ending::PhoneHungUp,
        Ending::Declined,
        Ending::NoAnswer,
        Ending::Busy,
        Ending::Away,
        Ending::PhoneLost,
        Ending::Unreachable,
        Ending::AnsweredElsewhere,
        Ending::Transferred,
        Ending::NumberUnknown,
        Ending::Congested,
        Ending::Failed,
        Ending::NoExtension,
        Ending::FormatRefused,
        Ending::NoMediaStart,
        Ending::ProtocolError,
        Ending::AsteriskLost,
        Ending::Draining,
        Ending::DrainTimeout,
        Ending::Fault,
    ];

    /// Whose side the ending was on.
    pub fn side(self) -> Side {
        match self {
            Ending::CallerHungUp | Ending::CallerGaveUp => Side::Caller,
            Ending::PhoneHungUp
            | Ending::Declined
            | Ending::NoAnswer
            | Ending::Busy
            | Ending::Away
            | Ending::PhoneLost
            | Ending::Unreachable
            | Ending::AnsweredElsewhere
            | Ending::Transferred => Side::Phone,
            Ending::NumberUnknown
            | Ending::Congested
            | Ending::Failed
            | Ending::NoExtension
            | Ending::FormatRefused
            | Ending::NoMediaStart
            | Ending::ProtocolError
            | Ending::AsteriskLost => Side::Asterisk,
            Ending::Draining | Ending::DrainTimeout => Side::Operator,
            Ending::Fault => Side::Gateway,
        }
    }

    /// The hangup cause (Q.850) that tells Asterisk why a call was not answered, so that
    /// `DIALSTATUS` is the truth: 17 gives BUSY, 19 NOANSWER, 20 and 21 CHANUNAVAIL.
    pub fn cause(self) -> u8 {
        match self {
            Ending::Declined | Ending::Busy => 17,
            Ending::NoAnswer => 19,
            Ending::Away | Ending::PhoneLost | Ending::Unreachable => 20,
            Ending::AnsweredElsewhere => 26,
            Ending::NumberUnknown => 1,
            Ending::Congested => 34,
            Ending::Failed => 38,
            Ending::NoExtension
            | Ending::FormatRefused
            | Ending::NoMediaStart
            | Ending::ProtocolError
            | Ending::Draining => 21,
            Ending::CallerHungUp
            | Ending::CallerGaveUp
            | Ending::PhoneHungUp
            | Ending::Transferred
            | Ending::AsteriskLost
            | Ending::DrainTimeout
            | Ending::Fault => 16,
        }
    }

    /// The ending of this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|ending| ending.as_str() == name)
    }

    /// The name in logs, metrics, records and webhooks. Stable.
    pub fn as_str(self) -> &'static str {
        match self {
            Ending::CallerHungUp => "caller_hung_up",
            Ending::CallerGaveUp => "caller_gave_up",
            Ending::PhoneHungUp => "phone_hung_up",
            Ending::Declined => "declined",
            Ending::NoAnswer => "no_answer",
            Ending::Busy => "busy",
            Ending::Away => "away",
            Ending::PhoneLost => "phone_lost",
            Ending::Unreachable => "unreachable",
            Ending::AnsweredElsewhere => "answered_elsewhere",
            Ending::Transferred => "transferred",
            Ending::NumberUnknown => "number_unknown",
            Ending::Congested => "congested",
            Ending::Failed => "failed",
            Ending::NoExtension => "no_extension",
            Ending::FormatRefused => "format_refused",
            Ending::NoMediaStart => "no_media_start",
            Ending::ProtocolError => "protocol_error",
            Ending::AsteriskLost => "asterisk_lost",
            Ending::Draining => "draining",
            Ending::DrainTimeout => "drain_timeout",
            Ending::Fault => "fault",
        }
    }
}

impl Side {
    /// The name in logs, metrics, records and webhooks. Stable.
    pub fn as_str(self) -> &'static str {
        match self {
            Side::Caller => "caller",
            Side::Asterisk => "asterisk",
            Side::Phone => "phone",
            Side::Gateway => "gateway",
            Side::Operator => "operator",
        }
    }
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_ending_has_a_name_of_its_own() {
        let names: std::collections::HashSet<_> = Ending::ALL.iter().map(|e| e.as_str()).collect();
        assert_eq!(names.len(), Ending::ALL.len());
    }

    #[test]
    fn an_ending_is_written_and_read_by_its_name_everywhere() {
        for ending in Ending::ALL {
            assert_eq!(serde_json::to_value(ending).unwrap(), ending.as_str());
            assert_eq!(serde_json::to_value(ending.side()).unwrap(), ending.side().as_str());
            assert_eq!(Ending::parse(ending.as_str()), Some(ending));
        }
        assert_eq!(Ending::parse("Fault"), None);
    }
}
