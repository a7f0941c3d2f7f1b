//! Reads `webhooks`: whom to tell what happens to calls.
//!
//! No message repeats a secret.

use std::{fmt, sync::Arc};

use base64::{Engine, engine::general_purpose::STANDARD};

use super::{Secret, item::Item, json::Section, records::trust};

const KEYS: &[&str] = &[
    "name",
    "url",
    "secret",
    "events",
    "format",
    "ca_file",
    "account",
    "region",
    "voice_connector",
];
const EXAMPLE: &str =
    r#"{"url": "https://crm.example/calls", "secret": "the output of: openssl rand -hex 32"}"#;
const MAKE_ONE: &str = "write the output of: openssl rand -hex 32";
/// Webhooks in all; more listeners than this are a case for one that hands on.
const MOST: usize = 16;
/// Fewer bytes than the digest has make guessing easier than the algorithm is.
const SHORTEST_SECRET: usize = 24;
/// How the secrets begin that are written in base64, as Standard Webhooks has them.
const ENCODED: &str = "whsec_";

/// Every event there is, in the order of a call.
pub const EVENTS: [&str; 13] = [
    "call_began",
    "call_rang",
    "call_answered",
    "call_ended",
    "stream_started",
    "stream_stopped",
    "stream_failed",
    "recording_started",
    "recording_ended",
    "recording_stored",
    "recording_failed",
    "paused",
    "resumed",
];

/// One receiver.
#[derive(Clone)]
pub struct Webhook {
    /// For logs and metrics, and for what waits on the disk; none twice.
    pub name: String,
    pub url: reqwest::Url,
    /// The key of the signature.
    pub key: Secret,
    /// Which of [`EVENTS`]; Chime's are always its own two.
    pub events: Vec<&'static str>,
    pub format: WebhookFormat,
    /// `None` trusts whom the system trusts.
    pub tls: Option<Arc<rustls::ClientConfig>>,
}

/// What the receiver understands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WebhookFormat {
    Plain,
    /// EventBridge's envelope around the Chime SDK's streaming status.
    Chime(Chime),
}

/// Names that stand in a Chime event and mean nothing here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chime {
    pub account: String,
    pub region: String,
    pub voice_connector: String,
}

impl fmt::Debug for Webhook {
    /// A URL may hold a password, and its query a key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Webhook").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Webhook {
    /// Whether it wants this event.
    pub fn wants(&self, event: &str) -> bool {
        match self.format {
            WebhookFormat::Plain => self.events.contains(&event),
            WebhookFormat::Chime(_) => matches!(event, "call_answered" | "call_ended"),
        }
    }

    /// The bytes of the key.
    pub fn key_bytes(&self) -> Vec<u8> {
        key_bytes(self.key.expose()).unwrap_or_default()
    }
}

fn key_bytes(secret: &str) -> Option<Vec<u8>> {
    match secret.strip_prefix(ENCODED) {
        Some(encoded) => STANDARD.decode(encoded).ok(),
        None => Some(secret.as_bytes().to_vec()),
    }
}

pub(super) fn read(item: &Item) -> Option<Vec<Webhook>> {
    let objects = item.objects(EXAMPLE)?;
    if objects.len() > MOST {
        item.problem(
            &format!("{} webhooks are too many", objects.len()),
            &format!("write at most {MOST}; one of them can tell others"),
        );
        return None;
    }
    let mut webhooks: Vec<Webhook> = Vec::new();
    let mut good = true;
    for object in &objects {
        let Some(webhook) = webhook(object) else {
            good = false;
            continue;
        };
        if webhooks.iter().any(|other| other.name == webhook.name) {
            object.problem(
                &format!("a second webhook named \"{}\"", webhook.name),
                "write \"name\": one of its own",
            );
            good = false;
        }
        webhooks.push(webhook);
    }
    good.then_some(webhooks)
}

fn webhook(item: &Item) -> Option<Webhook> {
    let section = Section::new(item.sheet, item.object(EXAMPLE)?, KEYS);
    let url = match section.get("url") {
        Some(found) => url(found),
        None => {
            item.problem("a webhook has no \"url\"", "write \"url\": where it is told");
            None
        }
    };
    let key = match section.get("secret") {
        Some(found) => secret(found),
        None => {
            let what = "a webhook has no \"secret\": its receiver could not tell who speaks";
            item.problem(what, &format!("{MAKE_ONE} as \"secret\""));
            None
        }
    };
    let events = section.get("events").map_or(Some(EVENTS.to_vec()), events);
    let format = format(&section);
    let tls = match section.get("ca_file") {
        Some(ca) => Some(trust(ca)?),
        None => None,
    };
    let url = url?;
    let host = url.host_str().unwrap_or_default().to_owned();
    let name = section.get("name").map_or(Some(host.as_str()), |name| name.text("crm"))?;
    if !super::super::call::is_extension(name) {
        item.problem("the webhook's name can't be used", "write 1 to 64 letters, digits or _.-");
        return None;
    }
    Some(Webhook { name: name.to_owned(), url, key: key?, events: events?, format: format?, tls })
}

fn url(item: &Item) -> Option<reqwest::Url> {
    const EXAMPLE: &str = "https://crm.example/calls";
    let text = item.text(EXAMPLE)?;
    let url = text.parse::<reqwest::Url>().ok();
    let url = url.filter(|url| matches!(url.scheme(), "http" | "https") && url.host().is_some());
    let Some(url) = url else {
        item.problem("isn't an address of the web", &format!("write \"{EXAMPLE}\""));
        return None;
    };
    let near = matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
    if url.scheme() == "http" && !near {
        item.warning("http: numbers and names of callers go over the network in the clear");
    }
    Some(url)
}

fn secret(item: &Item) -> Option<Secret> {
    let text = item.text("the output of: openssl rand -hex 32")?;
    match key_bytes(text) {
        Some(bytes) if bytes.len() >= SHORTEST_SECRET => Some(Secret::new(text)),
        Some(_) => {
            let what = format!("has fewer than {SHORTEST_SECRET} bytes, and can be guessed");
            item.problem(&what, MAKE_ONE);
            None
        }
        None => {
            item.problem("whsec_ without base64", MAKE_ONE);
            None
        }
    }
}

fn events(item: &Item) -> Option<Vec<&'static str>> {
    let words = item.words("call_ended");
    let complete = item.value.as_array().is_some_and(|list| list.elements.len() == words.len());
    let mut events = Vec::new();
    for word in &words {
        match EVENTS.iter().find(|event| **event == word.text) {
            Some(event) => events.push(*event),
            None => item.sheet.problem(
                word.line,
                item.key,
                &format!("\"{}\" isn't an event", word.text.escape_debug()),
                &format!("write some of {}", EVENTS.join(", ")),
            ),
        }
    }
    if complete && words.is_empty() {
        item.problem("the list is empty: it would never be told", "remove it for every event");
        return None;
    }
    (complete && events.len() == words.len()).then_some(events)
}

fn format(section: &Section) -> Option<WebhookFormat> {
    let is_chime = super::values::choice(section, "format", &[("plain", false), ("chime", true)])?;
    let word = |key, usual| super::values::text(section, key, usual).map(str::to_owned);
    let chime = Chime {
        account: word("account", "000000000000")?,
        region: word("region", "us-east-1")?,
        voice_connector: word("voice_connector", "goastgateway")?,
    };
    if is_chime {
        if let Some(events) = section.get("events") {
            events.warning("is not used: Chime's events are the start and the end of each side");
        }
        return Some(WebhookFormat::Chime(chime));
    }
    for key in ["account", "region", "voice_connector"] {
        if let Some(item) = section.get(key) {
            item.warning("is not used without \"format\": \"chime\"");
        }
    }
    Some(WebhookFormat::Plain)
}
