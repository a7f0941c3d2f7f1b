//! PURE: what the manager reports, as far as the gateway acts on it.
//!
//! Promises: any packet gives a value; what is missing in it is empty or zero, never a panic. Facts
//! are of Asterisk 22.10.1, from the wire.

use super::message::Packet;
use crate::call::record::Caller;

/// One event. `id` is a channel's unique id: names of channels change, ids don't.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A channel begins to dial another.
    DialBegin {
        /// Who dials; empty where Asterisk itself opens a leg (Originate).
        id: String,
        far_id: String,
        /// The name of the channel that is dialled, which begins with its technology.
        far_channel: String,
        /// Who calls, as the dialled side is to see it.
        caller: Caller,
    },
    /// The dialled side rings, or sends sound before the answer.
    DialState { id: String, status: String },
    /// The dialling has come to its end: `ANSWER`, `BUSY`, `NOANSWER`, `CONGESTION`, …
    DialEnd { id: String, status: String },
    /// A channel is gone. The cause is Q.850's; 0 where nobody gave one.
    Hangup { id: String, cause: u8 },
    /// What became of an Originate that was queued.
    Originated { id: String, done: bool, reason: String },
    /// A channel is put on hold by its own end, or taken back.
    Hold { id: String, channel: String, on: bool },
    /// A channel comes into a bridge; `channels` are there then.
    BridgeEnter { bridge: String, id: String, channels: u32 },
    /// A channel leaves a bridge.
    BridgeLeave { bridge: String, id: String },
    /// Who is at the other end of a channel has changed.
    Connected { id: String, channel: String, other: Caller },
    /// A channel has been asked to pass its far end on; `taken`: the far end goes on in the dialplan.
    Transfer {
        id: String,
        /// Whose channel goes on; empty where that is more than one.
        far_id: String,
        taken: bool,
    },
    /// What the dialplan or another program tells: `UserEvent(NAME,Key: value,…)`.
    User { name: String, fields: Vec<(String, String)> },
}

/// The events that [`Event::of`] knows, by Asterisk's names; but for those of users.
pub const NAMES: &[&str] = &[
    "DialBegin",
    "DialState",
    "DialEnd",
    "Hangup",
    "OriginateResponse",
    "Hold",
    "Unhold",
    "BridgeEnter",
    "BridgeLeave",
    "NewConnectedLine",
    "BlindTransfer",
];

impl Event {
    /// The event of a packet, if it is one that is known.
    pub fn of(packet: &Packet) -> Option<Self> {
        let text = |key: &str| packet.get(key).to_owned();
        let id = || text("Uniqueid");
        Some(match packet.get("Event") {
            "DialBegin" => Self::DialBegin {
                id: id(),
                far_id: text("DestUniqueid"),
                far_channel: text("DestChannel"),
                caller: Caller::new(
                    packet.get("DestConnectedLineNum"),
                    packet.get("DestConnectedLineName"),
                ),
            },
            "DialState" => Self::DialState { id: id(), status: text("DialStatus") },
            "DialEnd" => Self::DialEnd { id: id(), status: text("DialStatus") },
            "Hangup" => {
                Self::Hangup { id: id(), cause: packet.get("Cause").parse().unwrap_or_default() }
            }
            "OriginateResponse" => {
                Self::Originated { id: id(), done: packet.is_success(), reason: text("Reason") }
            }
            event @ ("Hold" | "Unhold") => {
                Self::Hold { id: id(), channel: text("Channel"), on: event == "Hold" }
            }
            "BridgeEnter" => Self::BridgeEnter {
                bridge: text("BridgeUniqueid"),
                id: id(),
                channels: packet.get("BridgeNumChannels").parse().unwrap_or_default(),
            },
            "BridgeLeave" => Self::BridgeLeave { bridge: text("BridgeUniqueid"), id: id() },
            "NewConnectedLine" => Self::Connected {
                id: id(),
                channel: text("Channel"),
                other: Caller::new(packet.get("ConnectedLineNum"), packet.get("ConnectedLineName")),
            },
            "BlindTransfer" => Self::Transfer {
                id: text("TransfererUniqueid"),
                far_id: text("TransfereeUniqueid"),
                taken: packet.get("Result") == "Success",
            },
            "UserEvent" => Self::User {
                name: text("UserEvent"),
                fields: packet
                    .fields()
                    .skip(1) // Event: UserEvent
                    .map(|(key, value)| (key.to_owned(), value.to_owned()))
                    .collect(),
            },
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;

    use super::*;
    use crate::asterisk::ami::message::Decoder;

    fn read(lines: &str) -> Option<Event> {
        let text =
            format!("Asterisk Call Manager/11.0.0\r\n{}\r\n\r\n", lines.replace('\n', "\r\n"));
        let mut bytes = BytesMut::from(text.as_bytes());
        Event::of(&Decoder::default().next(&mut bytes).unwrap().unwrap())
    }

    #[test]
    fn the_one_who_calls_is_in_the_dialled_channels_connected_line() {
        let event = read(
            "Event: DialBegin\nPrivilege: call,all\nChannel: PJSIP/a-1\nUniqueid: 1.1\n\
             CallerIDNum: 0312345678\nDestChannel: WebSocket/gw/0x7f\nDestUniqueid: 1.2\n\
             DestConnectedLineNum: 0312345678\nDestConnectedLineName: Alice",
        );
        let caller = Caller::new("0312345678", "Alice");
        let far_channel = "WebSocket/gw/0x7f".to_owned();
        let (id, far_id) = ("1.1".to_owned(), "1.2".to_owned());
        assert_eq!(event, Some(Event::DialBegin { id, far_id, far_channel, caller }));
    }

    #[test]
    fn nobody_is_called_unknown() {
        let event = read(
            "Event: NewConnectedLine\nChannel: WebSocket/gw/0x7f\nUniqueid: 1.2\n\
             ConnectedLineNum: <unknown>\nConnectedLineName: <unknown>",
        );
        let Some(Event::Connected { other, .. }) = event else { panic!("{event:?}") };
        assert_eq!(other, Caller::default());
    }

    #[test]
    fn the_way_of_a_dialled_call_is_read() {
        let id = || "1.1".to_owned();
        for (lines, event) in [
            (
                "Event: DialState\nUniqueid: 1.1\nDialStatus: RINGING",
                Event::DialState { id: id(), status: "RINGING".into() },
            ),
            (
                "Event: DialEnd\nUniqueid: 1.1\nDialStatus: BUSY",
                Event::DialEnd { id: id(), status: "BUSY".into() },
            ),
            ("Event: Hangup\nUniqueid: 1.1\nCause: 17", Event::Hangup { id: id(), cause: 17 }),
            ("Event: Hangup\nUniqueid: 1.1\nCause: x", Event::Hangup { id: id(), cause: 0 }),
            (
                "Event: OriginateResponse\nResponse: Failure\nReason: 0\nUniqueid: 1.1",
                Event::Originated { id: id(), done: false, reason: "0".into() },
            ),
            (
                "Event: Unhold\nChannel: PJSIP/a\nUniqueid: 1.1",
                Event::Hold { id: id(), channel: "PJSIP/a".into(), on: false },
            ),
            (
                "Event: BridgeEnter\nBridgeUniqueid: b\nBridgeNumChannels: 2\nUniqueid: 1.1",
                Event::BridgeEnter { bridge: "b".into(), id: id(), channels: 2 },
            ),
            (
                "Event: BridgeLeave\nBridgeUniqueid: b\nUniqueid: 1.1",
                Event::BridgeLeave { bridge: "b".into(), id: id() },
            ),
            (
                "Event: BlindTransfer\nResult: Success\nTransfererUniqueid: 1.1\n\
                 TransfereeUniqueid: 1.2\nExtension: 2003",
                Event::Transfer { id: id(), far_id: "1.2".into(), taken: true },
            ),
        ] {
            assert_eq!(read(lines), Some(event), "{lines}");
        }
        assert_eq!(read("Event: Newexten\nUniqueid: 1.1"), None);
        assert_eq!(read("Response: Success"), None);
    }

    #[test]
    fn a_users_event_keeps_all_its_fields() {
        let event = read("Event: UserEvent\nUserEvent: AudioFork\nUrl: wss://x/y?a=b: c\nN: 1");
        let Some(Event::User { name, fields }) = event else { panic!("{event:?}") };
        assert_eq!(name, "AudioFork");
        assert!(fields.contains(&("Url".to_owned(), "wss://x/y?a=b: c".to_owned())));
    }
}
