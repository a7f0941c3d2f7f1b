//! Reads `ami`: how to log in to Asterisk's manager.
//!
//! No message repeats the secret.

use std::{path::Path, sync::Arc};

use super::{AmiSettings, Secret, item::Item, json::Section};
use crate::net::tls;

const KEYS: &[&str] = &["host", "port", "username", "secret", "tls", "ca_file"];
const EXAMPLE: &str = r#"{"host": "127.0.0.1", "username": "goastgateway", "secret": "…"}"#;
const HOST: &str = "127.0.0.1";
const PORT: u32 = 5038;
const TLS_PORT: u32 = 5039;

/// The manager's login, or `None` after having said what is wrong.
pub(super) fn read(item: &Item) -> Option<AmiSettings> {
    let section = Section::new(item.sheet, item.object(EXAMPLE)?, KEYS);
    let encrypted = section.get("tls").map_or(Some(false), Item::flag);
    let usual = if encrypted == Some(true) { TLS_PORT } else { PORT };
    let port = section.get("port").map_or(Some(usual), |port| port.whole(1..=65_535, usual));
    let host = section.get("host").map_or(Some(HOST), |host| host.text(HOST));
    let username = required(item, &section, "username", "the section's name in manager.conf");
    let secret = required(item, &section, "secret", "the secret of that section");
    let tls = match (encrypted?, section.get("ca_file")) {
        (false, None) => Some(None),
        (false, Some(ca)) => {
            ca.warning("is not used without \"tls\": true");
            Some(None)
        }
        (true, None) => {
            section.problem(
                "ca_file",
                "TLS has nobody to trust",
                "write the file of the authority that signed the manager's certificate (tlscertfile \
                 itself, if it is self-signed)",
            );
            None
        }
        (true, Some(ca)) => trust(ca).map(Some),
    };
    Some(AmiSettings {
        host: host?.to_owned(),
        port: port? as u16,
        username: username?.to_owned(),
        secret: Secret::new(secret?),
        tls: tls?,
    })
}

pub(super) fn required<'s>(
    item: &Item<'s, '_>,
    section: &Section<'s, '_>,
    key: &'static str,
    what: &str,
) -> Option<&'s str> {
    match section.get(key) {
        Some(found) => found.text("…").filter(|text| {
            let good = !text.is_empty() && !text.contains(['\r', '\n', '\0']);
            if !good {
                found.problem("is empty or holds a line break", &format!("write {what}"));
            }
            good
        }),
        None => {
            item.problem(&format!("has no \"{key}\""), &format!("write \"{key}\": {what}"));
            None
        }
    }
}

fn trust(ca: &Item) -> Option<Arc<rustls::ClientConfig>> {
    let path = ca.text("/etc/asterisk/keys/ca.crt")?;
    match tls::client_config(Path::new(path)) {
        Ok(config) => Some(config),
        Err(error) => {
            ca.problem(
                &format!("{path}: {error}"),
                "write a PEM file with the authority's certificate",
            );
            None
        }
    }
}
