//! Twilio's Media Streams: every number a string, µ-law at 8 kHz in base64, a message for each track
//! and 20 ms. Inbound is what comes from the caller, outbound what the agent says.

use aws_lc_rs::hmac;
use base64::Engine as _;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Context, Msg, mulaw_base64};
use crate::{
    media::{align::Lane, slot::NarrowSlot},
    tap::{
        queue::Item,
        spec::{self, Tracks},
    },
};

#[derive(Debug)]
pub struct Twilio {
    spec: spec::Twilio,
    stream_sid: String,
    call_sid: String,
    account_sid: String,
    sequence: u64,
    /// Messages of each track: inbound, outbound.
    chunks: [u64; 2],
    /// The slot that the stream's own clock begins with.
    base: u64,
}

impl Twilio {
    pub fn new(spec: &spec::Twilio, context: &Context) -> Self {
        Self {
            stream_sid: sid("MZ", context.stream),
            call_sid: sid("CA", context.facts.call_id),
            account_sid: account_sid(spec),
            spec: spec.clone(),
            sequence: 0,
            chunks: [0; 2],
            base: context.base,
        }
    }

    fn sequence(&mut self) -> u64 {
        self.sequence += 1;
        self.sequence
    }

    pub fn opening(&mut self) -> Vec<Msg> {
        let tracks: &[&str] = match self.spec.tracks {
            Tracks::Inbound => &["inbound"],
            Tracks::Outbound => &["outbound"],
            Tracks::Both => &["inbound", "outbound"],
        };
        let start = json!({
            "event": "start",
            "sequenceNumber": self.sequence().to_string(),
            "start": {
                "accountSid": self.account_sid,
                "streamSid": self.stream_sid,
                "callSid": self.call_sid,
                "tracks": tracks,
                "mediaFormat": {
                    "encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1,
                },
                "customParameters": self.spec.parameters,
            },
            "streamSid": self.stream_sid,
        });
        let connected = json!({ "event": "connected", "protocol": "Call", "version": "1.0.0" });
        vec![Msg::Text(connected.to_string()), Msg::Text(start.to_string())]
    }

    pub fn item(&mut self, item: &Item, out: &mut Vec<Msg>) {
        match item {
            Item::Slot(both) => {
                let Some(narrow) = &both.narrow else { return };
                let slots = both.wide.index.saturating_sub(self.base);
                self.media(narrow, slots * 20, out);
            }
            Item::Digit(lane, digit) => {
                let track = match lane {
                    Lane::Right => "inbound_track",
                    Lane::Left => "outbound_track",
                };
                let message = json!({
                    "event": "dtmf",
                    "streamSid": self.stream_sid,
                    "sequenceNumber": self.sequence().to_string(),
                    "dtmf": { "track": track, "digit": digit.to_string() },
                });
                out.push(Msg::Text(message.to_string()));
            }
        }
    }

    fn media(&mut self, narrow: &NarrowSlot, ms: u64, out: &mut Vec<Msg>) {
        let tracks = [
            ("inbound", &narrow.right, self.spec.tracks != Tracks::Outbound),
            ("outbound", &narrow.left, self.spec.tracks != Tracks::Inbound),
        ];
        for (n, (track, samples, wanted)) in tracks.into_iter().enumerate() {
            if !wanted {
                continue;
            }
            let sequence = self.sequence();
            self.chunks[n] += 1;
            // By hand: this is said a hundred times a second, and nothing in it needs escaping.
            out.push(Msg::Text(format!(
                "{{\"event\":\"media\",\"sequenceNumber\":\"{sequence}\",\"media\":{{\"track\":\
                 \"{track}\",\"chunk\":\"{}\",\"timestamp\":\"{ms}\",\"payload\":\"{}\"}},\
                 \"streamSid\":\"{}\"}}",
                self.chunks[n],
                mulaw_base64(samples),
                self.stream_sid,
            )));
        }
    }

    /// A mark comes back at once: nothing that the consumer sends is played, so nothing is waited
    /// for.
    pub fn answer(&mut self, text: &str) -> Option<Msg> {
        let said: Value = serde_json::from_str(text).ok()?;
        let name = said.get("mark")?.get("name")?.as_str()?;
        if said.get("event")? != "mark" || name.len() > spec::MAX_TEXT {
            return None;
        }
        let message = json!({
            "event": "mark",
            "sequenceNumber": self.sequence().to_string(),
            "streamSid": self.stream_sid,
            "mark": { "name": name },
        });
        Some(Msg::Text(message.to_string()))
    }

    pub fn closing(&mut self) -> Vec<Msg> {
        let message = json!({
            "event": "stop",
            "sequenceNumber": self.sequence().to_string(),
            "streamSid": self.stream_sid,
            "stop": { "accountSid": self.account_sid, "callSid": self.call_sid },
        });
        vec![Msg::Text(message.to_string())]
    }
}

/// `X-Twilio-Signature`: HMAC-SHA1 of the URL under the account's token, in base64. Their own
/// libraries check it.
pub fn headers(spec: &spec::Twilio, url: &str) -> Vec<(&'static str, String)> {
    let Some(token) = &spec.auth_token else { return Vec::new() };
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, token.expose().as_bytes());
    let tag = hmac::sign(&key, url.as_bytes());
    let signature = base64::engine::general_purpose::STANDARD.encode(tag.as_ref());
    vec![("x-twilio-signature", signature)]
}

/// An id of the shape that Twilio's have: two letters and 32 hexadecimal digits.
fn sid(kind: &str, id: Uuid) -> String {
    format!("{kind}{}", id.simple())
}

fn account_sid(spec: &spec::Twilio) -> String {
    if spec.account.is_empty() { sid("AC", Uuid::nil()) } else { spec.account.clone() }
}
