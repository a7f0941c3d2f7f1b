//! Reads `audiofork`: whether events of the manager and the dialplan may start streams, and where to.

use super::{item::Item, json::Section, taps::certificates};
use crate::tap::audiofork::{Servers, Settings};

const KEYS: &[&str] = &["servers", "ca_file", "cert_file", "key_file"];
const EXAMPLE: &str = r#"{"servers": ["consumer.example", "127.0.0.1:8080"]}"#;

/// The settings, or `None` after having said what is wrong.
pub(super) fn read(item: &Item) -> Option<Settings> {
    let section = Section::new(item.sheet, item.object(EXAMPLE)?, KEYS);
    let tls = certificates(&section);
    let Some(list) = section.get("servers") else {
        let remedy = format!("write the hosts that events may send audio to: {EXAMPLE}");
        item.problem("has no \"servers\"", &remedy);
        return None;
    };
    let words = list.words("consumer.example");
    let mut servers = Servers::default();
    let mut good = list.value.as_array().is_some_and(|all| all.elements.len() == words.len());
    for word in &words {
        if let Err(what) = servers.add(word.text) {
            good = false;
            let what = format!("\"{}\" {what}", word.text.escape_debug());
            let remedy = "write \"consumer.example\", \"consumer.example:8080\", \"*.example\" or \"[::1]:8080\"";
            item.sheet.problem(word.line, list.key, &what, remedy);
        }
    }
    if good && servers.is_empty() {
        list.problem("names nobody", "write a host, or remove \"audiofork\"");
        return None;
    }
    if servers.has_any() {
        list.warning("\"*\": whoever can send an event may have audio sent to any host that the gateway reaches");
    }
    let tls = tls?;
    good.then_some(Settings { servers, tls })
}
