//! One call as people read it: a row of the call table, an answer of the API, the body of a
//! webhook. All three use these names.

use std::time::Duration;

use serde::Serialize;
use utoipa::ToSchema;

use super::time::{Anchor, Utc};
use crate::{
    call::{
        CallId, Extension,
        ending::{Ending, Side},
        record::{AudioCounts, CallRecord, Direction},
    },
    tap::event::Pause,
};

/// A call, as far as it is known. Times are UTC.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct CallRow {
    /// The gateway's id of the call, a UUID; it names recordings and streams, too.
    #[schema(value_type = String, format = "uuid")]
    pub id: CallId,
    /// Asterisk's name of the channel; empty if it never said.
    pub channel: String,
    /// Asterisk's unique id of the channel.
    pub channel_id: String,
    /// `in`: Asterisk called a phone. `out`: a phone called.
    pub direction: Direction,
    /// Who called, where it is known.
    pub caller_number: Option<String>,
    pub caller_name: Option<String>,
    /// The extension or group that was dialled.
    #[schema(value_type = Option<String>)]
    pub dialled: Option<Extension>,
    /// The group, if one was dialled.
    #[schema(value_type = Option<String>)]
    pub group: Option<Extension>,
    #[schema(value_type = Option<String>)]
    pub answered_by: Option<Extension>,
    #[schema(value_type = String, format = DateTime)]
    pub began: Utc,
    #[schema(value_type = Option<String>, format = DateTime)]
    pub rang: Option<Utc>,
    #[schema(value_type = Option<String>, format = DateTime)]
    pub answered: Option<Utc>,
    /// Absent while the call is up.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub ended: Option<Utc>,
    /// From the first ring to the answer or the end, in seconds.
    pub ring_seconds: Option<f64>,
    /// From the answer to the end, in seconds.
    pub talk_seconds: Option<f64>,
    pub ending: Option<Ending>,
    /// Whose doing the ending was.
    pub side: Option<Side>,
    pub audio: Audio,
    /// How many connections of streams listened; known to the call table alone.
    pub streams: u32,
    /// Where the recording is: a file, or an object's URL; known to the call table alone.
    pub recording: Option<String>,
    /// When whoever listens was given silence, and who wanted it; known to the call table alone.
    pub pauses: Vec<Pause>,
}

/// Frames of 20 ms, counted at the call's end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Audio {
    pub to_phone: u64,
    pub from_phone: u64,
    /// Silence sent where the phone sent nothing.
    pub filled: u64,
    /// The phone took audio too slowly.
    pub dropped_phone_slow: u64,
    /// The phone's audio came too late.
    pub dropped_late: u64,
    /// Taken out to catch up.
    pub dropped_ahead: u64,
    /// Asterisk had no room.
    pub dropped_asterisk_full: u64,
    /// The longest that Asterisk's own queue was, in milliseconds of audio: its part of the delay.
    pub asterisk_queue_ms: u64,
}

impl CallRow {
    /// A record, dated.
    pub fn new(record: &CallRecord, anchor: &Anchor) -> Self {
        let ending = record.ended.map(|(_, ending)| ending);
        Self {
            id: record.id,
            channel: record.channel.clone(),
            channel_id: record.channel_id.clone(),
            direction: record.direction,
            caller_number: record.caller.number.clone(),
            caller_name: record.caller.name.clone(),
            dialled: record.dialled.clone(),
            group: record.dialled.clone().filter(|_| record.is_group),
            answered_by: record.answered_by.clone(),
            began: anchor.time_of(record.began),
            rang: record.rang.map(|at| anchor.time_of(at)),
            answered: record.answered.map(|at| anchor.time_of(at)),
            ended: record.ended.map(|(at, _)| anchor.time_of(at)),
            ring_seconds: record.ring_time().map(seconds),
            talk_seconds: record.talk_time().map(seconds),
            ending,
            side: ending.map(Ending::side),
            audio: Audio::new(&record.audio, record.asterisk_queue_max),
            streams: 0,
            recording: None,
            pauses: Vec::new(),
        }
    }
}

fn seconds(time: Duration) -> f64 {
    time.as_millis() as f64 / 1000.0
}

impl Audio {
    fn new(counts: &AudioCounts, asterisk_queue_max: u32) -> Self {
        Self {
            to_phone: counts.to_phone,
            from_phone: counts.from_phone,
            filled: counts.filled,
            dropped_phone_slow: counts.dropped_phone_slow,
            dropped_late: counts.dropped_late,
            dropped_ahead: counts.dropped_ahead,
            dropped_asterisk_full: counts.dropped_asterisk_full,
            asterisk_queue_ms: u64::from(asterisk_queue_max) * 20,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::testing::answered_call;

    #[test]
    fn a_row_tells_the_whole_call_in_words_that_others_read() {
        let row = answered_call(7, Utc::parse("2026-11-21T12:00").unwrap());
        let json = serde_json::to_value(&row).unwrap();
        assert_eq!(json["id"], "00000000-0000-0000-0000-000000000007");
        assert_eq!(json["direction"], "in");
        assert_eq!(json["caller_number"], "+81312345678");
        assert_eq!((&json["dialled"], &json["group"]), (&"support".into(), &"support".into()));
        assert_eq!(json["answered"], "2026-11-21T12:00:02.100Z");
        assert_eq!(json["talk_seconds"], 10.0);
        assert_eq!((&json["ending"], &json["side"]), (&"phone_hung_up".into(), &"phone".into()));
        assert_eq!(json["audio"]["asterisk_queue_ms"], 60);
        assert!(json["recording"].is_null());
    }
}
