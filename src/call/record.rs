//! What remains of a call: the line that the log gets at its end, and the call table's row.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{CallId, Extension, ending::Ending};

/// Which way a call goes, as the phone sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Asterisk calls a phone.
    #[default]
    In,
    /// A phone calls.
    Out,
}

impl Direction {
    /// The name in records, webhooks and filters. Stable.
    pub fn as_str(self) -> &'static str {
        match self {
            Direction::In => "in",
            Direction::Out => "out",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        [Direction::In, Direction::Out].into_iter().find(|direction| direction.as_str() == text)
    }
}

/// Who calls, as far as Asterisk says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Caller {
    pub number: Option<String>,
    pub name: Option<String>,
}

/// Times and counts of one call. Times are of the gateway's monotonic clock.
#[derive(Debug, Clone)]
pub struct CallRecord {
    pub id: CallId,
    /// Asterisk's name and unique id of the channel, as in MEDIA_START.
    pub channel: String,
    pub channel_id: String,
    pub direction: Direction,
    pub caller: Caller,
    /// What was dialled: an extension, or a group's name.
    pub dialled: Option<Extension>,
    pub is_group: bool,
    /// Who answered.
    pub answered_by: Option<Extension>,
    pub began: Instant,
    pub rang: Option<Instant>,
    pub answered: Option<Instant>,
    pub ended: Option<(Instant, Ending)>,
    pub audio: AudioCounts,
    /// The longest queue that Asterisk reported, in frames.
    pub asterisk_queue_max: u32,
}

/// Frames of 20 ms.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AudioCounts {
    /// Asterisk to phone, as far as it was not dropped on the way.
    pub to_phone: u64,
    /// Phone to Asterisk, the phone's own audio.
    pub from_phone: u64,
    /// Silence that the gateway sent where the phone sent nothing.
    pub filled: u64,
    /// Asterisk's audio that the phone was too slow for.
    pub dropped_phone_slow: u64,
    /// The phone's audio that was too old when it came.
    pub dropped_late: u64,
    /// The phone's audio that was taken out to catch up.
    pub dropped_ahead: u64,
    /// The phone's audio that Asterisk had no room for (XOFF, or it stopped reading).
    pub dropped_asterisk_full: u64,
}

impl CallRecord {
    pub fn new(id: CallId, began: Instant) -> Self {
        Self {
            id,
            channel: String::new(),
            channel_id: String::new(),
            direction: Direction::default(),
            caller: Caller::default(),
            dialled: None,
            is_group: false,
            answered_by: None,
            began,
            rang: None,
            answered: None,
            ended: None,
            audio: AudioCounts::default(),
            asterisk_queue_max: 0,
        }
    }

    /// From the first ring to the answer or the end.
    pub fn ring_time(&self) -> Option<Duration> {
        let end = self.answered.or(self.ended.map(|(at, _)| at))?;
        Some(end.saturating_duration_since(self.rang?))
    }

    /// From the answer to the end.
    pub fn talk_time(&self) -> Option<Duration> {
        Some(self.ended?.0.saturating_duration_since(self.answered?))
    }
}

impl AudioCounts {
    /// Everything that was dropped, for any reason.
    pub fn dropped(&self) -> u64 {
        self.dropped_phone_slow
            + self.dropped_late
            + self.dropped_ahead
            + self.dropped_asterisk_full
    }
}
