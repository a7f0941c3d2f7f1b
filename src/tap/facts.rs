//! PURE: what a tap knows about the call that it listens to, and the names of things.

use std::{collections::BTreeMap, fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::call::CallId;
pub use crate::call::record::Direction;

/// Who called whom, as far as it is known. Texts that are not known are empty.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CallFacts {
    /// The call's id; the same in file names, streams, events and the call table.
    #[schema(value_type = String, format = "uuid")]
    pub call_id: Uuid,
    /// Asterisk's name and unique id of the channel.
    pub channel: String,
    pub channel_id: String,
    pub direction: Direction,
    /// The caller's number: what the channel variable `GW_FROM` holds, or the phone's extension
    /// where a phone called.
    pub from: String,
    /// What was dialled.
    pub to: String,
    /// The phone that answered.
    pub extension: String,
    /// The group that was dialled; empty where none was.
    pub group: String,
    /// Channel variables of MEDIA_START, for filters. They may hold anything, so no event and no
    /// view carries them.
    #[serde(skip)]
    pub variables: BTreeMap<String, String>,
    /// A channel of Asterisk that somebody asked for, and no call of the gateway.
    #[serde(skip)]
    pub is_channel: bool,
}

/// A stream: one consumer of one call.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StreamId(pub Uuid);

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for StreamId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

/// Whose audio is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Whom {
    Call(CallId),
    /// A channel by its name (`PJSIP/2001-00000001`) or unique id: a gateway's call if one has it,
    /// else any live channel of Asterisk, by way of ARI.
    Channel(String),
}

/// Which audio: left is the agent, right is the caller and whoever else is on that side.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "lowercase")]
#[schema(as = TapSide)]
pub enum Side {
    Left,
    Right,
    Mix,
}

impl Side {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Left => "left",
            Self::Right => "right",
            Self::Mix => "mix",
        }
    }
}
