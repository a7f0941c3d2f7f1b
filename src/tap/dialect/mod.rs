//! PURE: what a consumer is sent, format by format: values in, messages out.
//!
//! A [`Voice`] is one connection's worth of a format: it counts from one again when a consumer is
//! reached anew, and says what was missed where the format has a word for it.

mod jambonz;
mod raw;
mod ringcentral;
mod twilio;

use bytes::Bytes;
use uuid::Uuid;

use super::{
    facts::{CallFacts, Side},
    queue::Item,
    spec::Dialect,
};

/// A message of the WebSocket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Msg {
    Text(String),
    Binary(Bytes),
}

/// What stands at the beginning of a connection.
#[derive(Debug, Clone)]
pub struct Context<'a> {
    pub facts: &'a CallFacts,
    pub stream: Uuid,
    pub side: Option<Side>,
    /// The slot that the stream began with, whenever its consumer was reached.
    pub base: u64,
    /// What this consumer has missed since it was connected last, in ms.
    pub gap_ms: Option<u64>,
}

/// One connection's format and its counters.
#[derive(Debug)]
pub enum Voice {
    Raw(raw::Raw),
    RingCentral(Box<ringcentral::RingCentral>),
    Twilio(twilio::Twilio),
    Jambonz(jambonz::Jambonz),
}

impl Voice {
    pub fn new(dialect: &Dialect, context: &Context) -> Self {
        match dialect {
            Dialect::Raw(spec) => Self::Raw(raw::Raw::new(spec, context)),
            Dialect::RingCentral(spec) => {
                Self::RingCentral(Box::new(ringcentral::RingCentral::new(spec, context)))
            }
            Dialect::Twilio(spec) => Self::Twilio(twilio::Twilio::new(spec, context)),
            Dialect::Jambonz(spec) => Self::Jambonz(jambonz::Jambonz::new(spec, context)),
        }
    }

    /// What is said first.
    pub fn opening(&mut self) -> Vec<Msg> {
        match self {
            Self::Raw(_) => Vec::new(),
            Self::RingCentral(voice) => voice.opening(),
            Self::Twilio(voice) => voice.opening(),
            Self::Jambonz(voice) => voice.opening(),
        }
    }

    /// What an item becomes.
    pub fn item(&mut self, item: &Item, out: &mut Vec<Msg>) {
        match self {
            Self::Raw(voice) => voice.item(item, out),
            Self::RingCentral(voice) => voice.item(item, out),
            Self::Twilio(voice) => voice.item(item, out),
            Self::Jambonz(voice) => voice.item(item, out),
        }
    }

    /// What a consumer's word is answered with.
    pub fn answer(&mut self, text: &str) -> Option<Msg> {
        match self {
            Self::Twilio(voice) => voice.answer(text),
            _ => None,
        }
    }

    /// What is said last. The stream lasted `slots`, to the date `end` (RFC 3339).
    pub fn closing(&mut self, slots: u64, end: &str) -> Vec<Msg> {
        match self {
            Self::Raw(_) | Self::Jambonz(_) => Vec::new(),
            Self::RingCentral(voice) => voice.closing(slots, end),
            Self::Twilio(voice) => voice.closing(),
        }
    }
}

/// Names and values of a query.
pub type Pairs = Vec<(String, String)>;

/// What a handshake has beside the URL and the configured headers: pairs of the query, and headers.
pub fn handshake(
    dialect: &Dialect,
    facts: &CallFacts,
    url: &str,
) -> (Pairs, Vec<(&'static str, String)>) {
    match dialect {
        Dialect::RingCentral(spec) => (ringcentral::query(spec, facts), Vec::new()),
        Dialect::Twilio(spec) => (Vec::new(), twilio::headers(spec, url)),
        _ => (Vec::new(), Vec::new()),
    }
}

/// Samples as µ-law in base64.
fn mulaw_base64(samples: &[i16]) -> String {
    use base64::Engine as _;
    let mut mulaw = [0u8; 160];
    for (out, sample) in mulaw.iter_mut().zip(samples) {
        *out = audio_codec_algorithms::encode_ulaw(*sample);
    }
    base64::engine::general_purpose::STANDARD.encode(&mulaw[..samples.len().min(160)])
}

#[cfg(test)]
mod tests;
