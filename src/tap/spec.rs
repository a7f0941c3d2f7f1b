//! PURE: what a stream is to be: its format, where it goes, and how it is reached.
//!
//! [`StreamForm`] is how people write it, in the configuration and over HTTP; [`StreamSpec`] is what
//! can be run. Every fault names its key, what is wrong and what to write.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{facts::Side, template::Template};
use crate::config::Secret;

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

/// A stream as people write it. What is absent or empty has its default.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct StreamForm {
    /// For logs, events and lists.
    pub name: String,
    /// `raw`, `ringcentral`, `twilio` or `jambonz`.
    pub format: String,
    /// Where it goes; for `raw` that is `left`, `right` and `mix`, of which any may be empty.
    /// `{id}` is replaced by the call's id, `{side}` by the side, `{extension}`, `{from}` and `{to}`
    /// by what they are.
    pub url: String,
    pub left: String,
    pub right: String,
    pub mix: String,
    /// 8000 or 16000; `raw` and `jambonz`.
    pub rate: Option<u32>,
    /// `jambonz`: `mono` (the caller), `stereo` or `mixed`.
    pub channels: String,
    /// `twilio`: `inbound_track` (the caller), `outbound_track` (the agent) or `both_tracks`.
    pub tracks: String,
    pub headers: BTreeMap<String, String>,
    /// Sent as `Authorization: Bearer …`.
    pub token: Option<String>,
    /// A subprotocol to ask for.
    pub protocol: String,
    /// Seconds.
    pub connect_timeout: Option<f64>,
    /// Tries in a row that may fail.
    pub attempts: Option<u32>,
    /// `twilio`: `customParameters`; `jambonz`: `metadata`.
    pub parameters: BTreeMap<String, String>,
    /// `twilio`: `accountSid`, and the key of `X-Twilio-Signature`.
    pub account: String,
    pub auth_token: Option<String>,
    /// `ringcentral`: `Queue`, `Campaign` or `Manual`, and the ids that its Start message holds.
    pub product_type: String,
    pub product_id: Option<u64>,
    pub account_id: String,
    pub subaccount_id: String,
    pub rc_account_id: String,
    /// `ringcentral`: the number that an extension has as an agent, where it isn't the extension.
    pub agents: BTreeMap<String, u64>,
    /// `ringcentral`: other names for query parameters of the handshake.
    pub query: BTreeMap<String, String>,
    /// Over HTTP: the name of a configured stream whose certificates are to be used.
    pub tls: String,
}

/// A stream that can be run.
#[derive(Debug, Clone)]
pub struct StreamSpec {
    pub name: String,
    pub dialect: Dialect,
    pub reach: Reach,
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

/// What is wrong with a form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("\"{key}\" {what}; {remedy}")]
pub struct Fault {
    pub key: &'static str,
    pub what: String,
    pub remedy: String,
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

impl StreamForm {
    /// What can be run, or everything that is wrong. `tls` is used for `wss:`.
    pub fn read(&self, tls: Option<Arc<rustls::ClientConfig>>) -> Result<StreamSpec, Vec<Fault>> {
        let mut faults = Faults::default();
        let dialect = self.dialect(&mut faults);
        let reach = self.reach(tls, dialect.as_ref(), &mut faults);
        faults.text("name", &self.name);
        match dialect {
            Some(dialect) if faults.0.is_empty() => {
                let name = if self.name.is_empty() { dialect.name() } else { &self.name };
                Ok(StreamSpec { name: name.to_owned(), dialect, reach })
            }
            _ => Err(faults.0),
        }
    }

    fn dialect(&self, faults: &mut Faults) -> Option<Dialect> {
        let foreign = self.foreign_keys();
        for key in &foreign {
            let what = format!("means nothing to the format \"{}\"", self.format.escape_debug());
            faults.add(key, what, "remove it");
        }
        match self.format.as_str() {
            "raw" => {
                let rate = self.rate(faults);
                let mut legs = Vec::new();
                for (key, side, text) in [
                    ("left", Side::Left, &self.left),
                    ("right", Side::Right, &self.right),
                    ("mix", Side::Mix, &self.mix),
                ] {
                    if !text.is_empty() {
                        legs.extend(faults.url(key, text).map(|url| (side, url)));
                    }
                }
                if [&self.left, &self.right, &self.mix].iter().all(|text| text.is_empty()) {
                    faults.add("left", "leads nowhere, and neither do right and mix", URL_REMEDY);
                }
                Some(Dialect::Raw(Raw { legs, rate: rate? }))
            }
            "ringcentral" => {
                let url = faults.url("url", &self.url);
                let kind = if self.product_type.is_empty() { "Manual" } else { &self.product_type };
                let kinds = ["Queue", "Campaign", "Manual"];
                let product_type = kinds.iter().find(|k| k.eq_ignore_ascii_case(kind));
                if product_type.is_none() {
                    faults.add(
                        "product_type",
                        "isn't one of its values".to_owned(),
                        "write Queue, Campaign or Manual",
                    );
                }
                faults.pairs("query", &self.query);
                for (key, text) in [
                    ("account_id", &self.account_id),
                    ("subaccount_id", &self.subaccount_id),
                    ("rc_account_id", &self.rc_account_id),
                ] {
                    faults.text(key, text);
                }
                Some(Dialect::RingCentral(Box::new(RingCentral {
                    url: url?,
                    product_type: (*product_type?).to_owned(),
                    product_id: self.product_id.unwrap_or_default(),
                    account_id: self.account_id.clone(),
                    subaccount_id: self.subaccount_id.clone(),
                    rc_account_id: self.rc_account_id.clone(),
                    agents: self.agents.clone(),
                    query: self.query.clone(),
                })))
            }
            "twilio" => {
                let url = faults.url("url", &self.url);
                let tracks = faults.one_of(
                    "tracks",
                    &self.tracks,
                    &[
                        ("both_tracks", Tracks::Both),
                        ("inbound_track", Tracks::Inbound),
                        ("outbound_track", Tracks::Outbound),
                    ],
                );
                faults.pairs("parameters", &self.parameters);
                faults.text("account", &self.account);
                Some(Dialect::Twilio(Twilio {
                    url: url?,
                    tracks: tracks?,
                    account: self.account.clone(),
                    auth_token: self.auth_token.as_deref().map(Secret::new),
                    parameters: self.parameters.clone(),
                }))
            }
            "jambonz" => {
                let url = faults.url("url", &self.url);
                let rate = self.rate(faults);
                let channels = faults.one_of(
                    "channels",
                    &self.channels,
                    &[
                        ("mono", Channels::Mono),
                        ("stereo", Channels::Stereo),
                        ("mixed", Channels::Mixed),
                    ],
                );
                faults.pairs("parameters", &self.parameters);
                Some(Dialect::Jambonz(Jambonz {
                    url: url?,
                    channels: channels?,
                    rate: rate?,
                    parameters: self.parameters.clone(),
                }))
            }
            _ => {
                faults.add(
                    "format",
                    "isn't one of its values".to_owned(),
                    "write \"raw\", \"ringcentral\", \"twilio\" or \"jambonz\"",
                );
                None
            }
        }
    }

    /// Keys that are written and belong to another format.
    fn foreign_keys(&self) -> Vec<&'static str> {
        let keys: [(&'static str, bool, &[&str]); 15] = [
            ("url", !self.url.is_empty(), &["ringcentral", "twilio", "jambonz"]),
            ("left", !self.left.is_empty(), &["raw"]),
            ("right", !self.right.is_empty(), &["raw"]),
            ("mix", !self.mix.is_empty(), &["raw"]),
            ("rate", self.rate.is_some(), &["raw", "jambonz"]),
            ("channels", !self.channels.is_empty(), &["jambonz"]),
            ("tracks", !self.tracks.is_empty(), &["twilio"]),
            ("parameters", !self.parameters.is_empty(), &["twilio", "jambonz"]),
            ("account", !self.account.is_empty(), &["twilio"]),
            ("auth_token", self.auth_token.is_some(), &["twilio"]),
            ("product_type", !self.product_type.is_empty(), &["ringcentral"]),
            ("product_id", self.product_id.is_some(), &["ringcentral"]),
            ("account_id", !self.account_id.is_empty(), &["ringcentral"]),
            ("subaccount_id", !self.subaccount_id.is_empty(), &["ringcentral"]),
            ("rc_account_id", !self.rc_account_id.is_empty(), &["ringcentral"]),
        ];
        let known = ["raw", "ringcentral", "twilio", "jambonz"].contains(&self.format.as_str());
        let foreign = keys
            .into_iter()
            .filter(|(_, written, of)| known && *written && !of.contains(&self.format.as_str()));
        foreign.map(|(key, _, _)| key).collect()
    }

    fn rate(&self, faults: &mut Faults) -> Option<Rate> {
        match self.rate {
            None | Some(8_000) => Some(Rate::Narrow),
            Some(16_000) => Some(Rate::Wide),
            Some(other) => {
                faults.add("rate", format!("{other} can't be had"), "write 8000 or 16000");
                None
            }
        }
    }

    fn reach(
        &self,
        tls: Option<Arc<rustls::ClientConfig>>,
        dialect: Option<&Dialect>,
        faults: &mut Faults,
    ) -> Reach {
        faults.pairs("headers", &self.headers);
        let mut headers = Vec::new();
        for (name, value) in &self.headers {
            let good_name = hyper::header::HeaderName::from_bytes(name.as_bytes()).is_ok();
            let taken = RESERVED_HEADERS.iter().any(|own| own.eq_ignore_ascii_case(name));
            if !good_name || taken {
                let what = format!("\"{}\" can't be set", name.escape_debug());
                faults.add("headers", what, "write the name of another header");
            } else if hyper::header::HeaderValue::from_str(value).is_err() {
                let what = format!("the value of \"{name}\" can't be sent");
                faults.add("headers", what, "write printable characters");
            }
            headers.push((name.clone(), Secret::new(value)));
        }
        if let Some(token) = &self.token {
            let value = format!("Bearer {token}");
            if token.is_empty() || hyper::header::HeaderValue::from_str(&value).is_err() {
                faults.add("token", "can't be sent in a header", "write it without line breaks");
            }
            headers.push(("authorization".to_owned(), Secret::new(&value)));
        }
        let token_char = |c: char| c.is_ascii_graphic() && !"()<>@,;:\\\"/[]?={}".contains(c);
        if !self.protocol.chars().all(token_char) {
            faults.add(
                "protocol",
                "isn't a subprotocol's name",
                "write one, as in \"audio.example\"",
            );
        }
        let connect_timeout = match self.connect_timeout {
            None => CONNECT_TIME,
            Some(seconds) if (0.1..=120.0).contains(&seconds) => Duration::from_secs_f64(seconds),
            Some(_) => {
                faults.add("connect_timeout", "is out of range", "write 0.1 to 120 (usual: 15)");
                CONNECT_TIME
            }
        };
        let usual = if matches!(dialect, Some(Dialect::Raw(_))) { RAW_ATTEMPTS } else { ATTEMPTS };
        let attempts = self.attempts.unwrap_or(usual);
        if attempts > 1000 {
            faults.add("attempts", "is out of range", "write 0 to 1000");
        }
        let protocol = match dialect {
            _ if !self.protocol.is_empty() => Some(self.protocol.clone()),
            // What jambonz asks for, and its consumers look for.
            Some(Dialect::Jambonz(_)) => Some("audio.jambonz.org".to_owned()),
            _ => None,
        };
        Reach { headers, protocol, connect_timeout, attempts, tls }
    }
}

/// Headers that belong to the handshake itself.
const RESERVED_HEADERS: [&str; 8] = [
    "host",
    "connection",
    "upgrade",
    "sec-websocket-key",
    "sec-websocket-version",
    "sec-websocket-protocol",
    "sec-websocket-extensions",
    "content-length",
];

const URL_REMEDY: &str = "write where it goes: \"wss://consumer.example/audio/{id}\"";

#[derive(Default)]
struct Faults(Vec<Fault>);

impl Faults {
    fn add(&mut self, key: &'static str, what: impl Into<String>, remedy: &str) {
        self.0.push(Fault { key, what: what.into(), remedy: remedy.to_owned() });
    }

    fn url(&mut self, key: &'static str, text: &str) -> Option<Template> {
        match Template::parse(text) {
            Ok(url) => Some(url),
            Err(what) => {
                self.add(key, what, URL_REMEDY);
                None
            }
        }
    }

    fn text(&mut self, key: &'static str, text: &str) {
        if text.len() > MAX_TEXT || text.contains(char::is_control) {
            self.add(key, "is too long or holds control characters", "write a short name");
        }
    }

    fn pairs(&mut self, key: &'static str, pairs: &BTreeMap<String, String>) {
        if pairs.len() > MAX_PAIRS {
            self.add(key, format!("has {} entries", pairs.len()), "write 32 at most");
        }
        for (name, value) in pairs {
            self.text(key, name);
            self.text(key, value);
        }
    }

    fn one_of<T: Copy>(&mut self, key: &'static str, text: &str, of: &[(&str, T)]) -> Option<T> {
        let (_, usual) = of.first()?;
        if text.is_empty() {
            return Some(*usual);
        }
        let found = of.iter().find(|(name, _)| name.eq_ignore_ascii_case(text));
        if found.is_none() {
            let names: Vec<&str> = of.iter().map(|(name, _)| *name).collect();
            self.add(key, "isn't one of its values", &format!("write {}", names.join(" or ")));
        }
        found.map(|(_, value)| *value)
    }
}

impl fmt::Debug for StreamForm {
    /// Without what may be a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamForm")
            .field("name", &self.name)
            .field("format", &self.format)
            .finish_non_exhaustive()
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
mod tests {
    use super::*;

    fn form(json: serde_json::Value) -> StreamForm {
        serde_json::from_value(json).expect("a form")
    }

    fn keys(form: &StreamForm) -> Vec<&'static str> {
        let faults = form.read(None).expect_err("a fault");
        faults.iter().map(|fault| fault.key).collect()
    }

    #[test]
    fn a_raw_stream_has_a_connection_for_each_url_that_is_not_empty() {
        let form = form(serde_json::json!({
            "format": "raw", "left": "ws://localhost:3031/left/{id}", "right": "",
            "mix": "ws://localhost:3031/mix/{id}",
        }));
        let spec = form.read(None).expect("a stream");
        let sides: Vec<_> = spec.dialect.legs().iter().map(|(side, _)| *side).collect();
        assert_eq!(sides, [Some(Side::Left), Some(Side::Mix)]);
        assert_eq!((spec.reach.attempts, spec.reach.connect_timeout), (15, CONNECT_TIME));
        assert!(spec.dialect.is_narrow());
    }

    #[test]
    fn every_fault_is_told_with_its_key() {
        for (json, fault) in [
            (serde_json::json!({"format": "raw"}), "left"),
            (serde_json::json!({"format": "mp3"}), "format"),
            (serde_json::json!({"format": "twilio", "url": "https://x"}), "url"),
            (serde_json::json!({"format": "raw", "left": "ws://x", "rate": 44100}), "rate"),
            (serde_json::json!({"format": "raw", "left": "ws://x", "tracks": "both"}), "tracks"),
            (
                serde_json::json!({"format": "jambonz", "url": "ws://x", "channels": "5.1"}),
                "channels",
            ),
            (
                serde_json::json!({"format": "raw", "mix": "ws://x", "headers": {"Host": "y"}}),
                "headers",
            ),
            (serde_json::json!({"format": "raw", "mix": "ws://x", "token": "a\nb"}), "token"),
            (
                serde_json::json!({"format": "raw", "mix": "ws://x", "connect_timeout": 0}),
                "connect_timeout",
            ),
        ] {
            assert_eq!(keys(&form(json)), [fault]);
        }
    }

    #[test]
    fn no_secret_of_a_stream_shows_itself() {
        let form = form(serde_json::json!({
            "format": "twilio", "url": "wss://x/?key=hidden", "token": "hidden",
            "auth_token": "hidden", "headers": {"x-key": "hidden"},
        }));
        let spec = form.read(None).expect("a stream");
        assert!(!format!("{form:?} {spec:?}").contains("hidden"));
    }
}
