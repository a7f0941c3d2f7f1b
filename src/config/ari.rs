//! Reads `ari`: how any channel of Asterisk can be listened to.
//!
//! No message repeats the password.

use hyper::Uri;

use super::{AriSettings, Secret, ami::required, item::Item, json::Section, records::trust};

const KEYS: &[&str] =
    &["url", "username", "password", "app", "connection", "ca_file", "max_channels"];
const EXAMPLE: &str =
    r#"{"username": "goastgateway", "password": "…", "connection": "ws-ext-endpoint"}"#;
const URL: &str = "http://127.0.0.1:8088";
const APP: &str = "goastgateway";
/// Channels that may be listened to at once. Each is four more channels and two bridges in Asterisk,
/// and two connections here.
pub const MAX_TAPPED_CHANNELS: u32 = 250;
const USUAL_CHANNELS: u32 = 50;
/// Longest name of an application: it is part of the names of channels, which Asterisk bounds.
const MAX_APP: usize = 64;

/// The settings, or `None` after having said what is wrong.
pub(super) fn read(item: &Item) -> Option<AriSettings> {
    let section = Section::new(item.sheet, item.object(EXAMPLE)?, KEYS);
    let url = match section.get("url") {
        Some(found) => url(found),
        None => Some(URL.to_owned()),
    };
    let username = required(item, &section, "username", "the section's name in ari.conf");
    let password = required(item, &section, "password", "the password of that section");
    let connection = required(
        item,
        &section,
        "connection",
        "the section of websocket_client.conf that leads here",
    );
    let connection = section.get("connection").and_then(|found| name(found, connection?));
    let app = match section.get("app") {
        Some(found) => found.text(APP).and_then(|text| name(found, text)),
        None => Some(APP),
    };
    let max_channels = section
        .get("max_channels")
        .map_or(Some(USUAL_CHANNELS), |found| found.whole(1..=MAX_TAPPED_CHANNELS, USUAL_CHANNELS));
    let secure = url.as_deref().map(|url| url.starts_with("https:"));
    let tls = match (secure, section.get("ca_file")) {
        (Some(false), Some(ca)) => {
            ca.warning("is not used with http:");
            Some(None)
        }
        (_, Some(ca)) => trust(ca).map(Some),
        (_, None) => Some(None),
    };
    Some(AriSettings {
        url: url?,
        username: username?.to_owned(),
        password: Secret::new(password?),
        app: app?.to_owned(),
        connection: connection?.to_owned(),
        tls: tls?,
        max_channels: max_channels? as usize,
    })
}

/// Scheme, host, port and Asterisk's prefix, without a slash or `/ari` at the end.
fn url(item: &Item) -> Option<String> {
    let text = item.text(URL)?.trim();
    let wrong = |what: &str| {
        item.problem(what, "write where Asterisk's HTTP is: \"http://127.0.0.1:8088\"");
        None
    };
    let bare = text.trim_end_matches('/').trim_end_matches("/ari").trim_end_matches('/');
    let Ok(uri) = bare.parse::<Uri>() else { return wrong("isn't a URL") };
    if !matches!(uri.scheme_str(), Some("http" | "https")) {
        return wrong("doesn't begin with http:// or https://");
    }
    let Some(authority) = uri.authority() else { return wrong("names no host") };
    if authority.as_str().contains('@') {
        return wrong("holds a login, which belongs into \"username\" and \"password\"");
    }
    if uri.query().is_some() || bare.contains('#') {
        return wrong("has a query");
    }
    let loopback = authority.host() == "localhost"
        || authority
            .host()
            .trim_matches(['[', ']'])
            .parse::<std::net::IpAddr>()
            .is_ok_and(|ip| ip.is_loopback());
    if uri.scheme_str() == Some("http") && !loopback {
        item.warning("sends the password in the clear to another machine; https: doesn't");
    }
    Some(bare.to_owned())
}

/// A name that stands in paths and in names of channels.
fn name<'t>(item: &Item, text: &'t str) -> Option<&'t str> {
    let good = (1..=MAX_APP).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b));
    if !good {
        item.problem(
            "is no name of letters, digits and _.-",
            "write one of at most 64 such characters",
        );
    }
    good.then_some(text)
}
