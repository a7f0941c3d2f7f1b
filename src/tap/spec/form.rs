//! A stream as people write it, in the configuration and over HTTP, read into one that can be run.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    ATTEMPTS, CONNECT_TIME, Channels, Dialect, Jambonz, RAW_ATTEMPTS, Rate, Raw, Reach,
    RingCentral, StreamSpec, Tracks, Twilio,
    fault::{Fault, Faults, URL_REMEDY},
};
use crate::{config::Secret, tap::facts::Side};

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
                Ok(StreamSpec { name: name.to_owned(), dialect, reach, apart: false })
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

impl fmt::Debug for StreamForm {
    /// Without what may be a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamForm")
            .field("name", &self.name)
            .field("format", &self.format)
            .finish_non_exhaustive()
    }
}
