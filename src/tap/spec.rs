//! PURE: what a stream is to be: its format, where it goes, and how it is reached.
//!
//! [`StreamForm`] is how people write it, in the configuration and over HTTP; [`StreamSpec`] is what
//! can be run. Every fault names its key, what is wrong and what to write.

mod fault;
mod form;

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use super::{facts::Side, template::Template};
use crate::config::Secret;
pub use fault::Fault;
pub use form::StreamForm;

/// Seconds that a connection may take, TLS and upgrade included; audiofork's own default.
pub const CONNECT_TIME: Duration = Duration::from_secs(15);
/// Tries in a row that fail before a raw stream is given up; audiofork's own default.
pub const RAW_ATTEMPTS: u32 = 15;
/// The same for formats whose consumers expect few.
pub const ATTEMPTS: u32 = 3;
/// Longest of what may be written as name, header, parameter: nobody needs more, and a stream's
/// first message holds all of them.
pub const MAX_TEXT: usize = 1024;
/// Headers, and parameters, of one stream.
pub const MAX_PAIRS: usize = 32;

/// A stream that can be run.
#[derive(Debug, Clone)]
pub struct StreamSpec {
    pub name: String,
    pub dialect: Dialect,
    pub reach: Reach,
    /// It begins apart: nothing is sent until [`set_apart`](super::Taps::set_apart) says otherwise.
    pub apart: bool,
}

/// What is sent, and where.
#[derive(Debug, Clone, PartialEq)]
pub enum Dialect {
    Raw(Raw),
    RingCentral(Box<RingCentral>),
    Twilio(Twilio),
    Jambonz(Jambonz),
}

/// Binary frames of signed 16-bit samples, a connection for each side that has a URL.
#[derive(Debug, Clone, PartialEq)]
pub struct Raw {
    pub legs: Vec<(Side, Template)>,
    pub rate: Rate,
}

/// RingCentral's Call Streaming.
#[derive(Debug, Clone, PartialEq)]
pub struct RingCentral {
    pub url: Template,
    pub product_type: String,
    pub product_id: u64,
    pub account_id: String,
    pub subaccount_id: String,
    pub rc_account_id: String,
    pub agents: BTreeMap<String, u64>,
    pub query: BTreeMap<String, String>,
}

/// Twilio's Media Streams.
#[derive(Debug, Clone, PartialEq)]
pub struct Twilio {
    pub url: Template,
    pub tracks: Tracks,
    pub account: String,
    pub auth_token: Option<Secret>,
    pub parameters: BTreeMap<String, String>,
}

/// A first message in JSON, then binary frames.
#[derive(Debug, Clone, PartialEq)]
pub struct Jambonz {
    pub url: Template,
    pub channels: Channels,
    pub rate: Rate,
    pub parameters: BTreeMap<String, String>,
}

/// Samples a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rate {
    Narrow,
    Wide,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tracks {
    Inbound,
    Outbound,
    Both,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Channels {
    Mono,
    Stereo,
    Mixed,
}

/// How a consumer is reached.
#[derive(Clone)]
pub struct Reach {
    pub headers: Vec<(String, Secret)>,
    pub protocol: Option<String>,
    pub connect_timeout: Duration,
    pub attempts: u32,
    /// `None`: whoever the system trusts, and no certificate of our own.
    pub tls: Option<Arc<rustls::ClientConfig>>,
}

impl Rate {
    pub fn hertz(self) -> u32 {
        match self {
            Self::Narrow => 8_000,
            Self::Wide => 16_000,
        }
    }
}

impl Dialect {
    pub fn name(&self) -> &'static str {
        match self {
            Self::Raw(_) => "raw",
            Self::RingCentral(_) => "ringcentral",
            Self::Twilio(_) => "twilio",
            Self::Jambonz(_) => "jambonz",
        }
    }

    /// Whether anything of it is at 8 kHz.
    pub fn is_narrow(&self) -> bool {
        match self {
            Self::Raw(raw) => raw.rate == Rate::Narrow,
            Self::Jambonz(jambonz) => jambonz.rate == Rate::Narrow,
            Self::RingCentral(_) | Self::Twilio(_) => true,
        }
    }

    /// Its connections: each a URL, and the side where there is one for each.
    pub fn legs(&self) -> Vec<(Option<Side>, &Template)> {
        match self {
            Self::Raw(raw) => raw.legs.iter().map(|(side, url)| (Some(*side), url)).collect(),
            Self::RingCentral(ringcentral) => vec![(None, &ringcentral.url)],
            Self::Twilio(twilio) => vec![(None, &twilio.url)],
            Self::Jambonz(jambonz) => vec![(None, &jambonz.url)],
        }
    }
}

impl fmt::Debug for Reach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reach")
            .field("connect_timeout", &self.connect_timeout)
            .field("attempts", &self.attempts)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
