//! Values of a known key, with their defaults.
//!
//! Each gives the value, the default if the key is absent, or `None` after having said what is
//! wrong.

use std::time::Duration;

use super::{AddressList, ListenAddr, ListenAddrError, address, json::Section};

pub(super) fn listen(section: &Section, key: &'static str, default: &str) -> Option<ListenAddr> {
    let text = text(section, key, default)?;
    match text.parse::<ListenAddr>() {
        Ok(addr) => {
            if addr.port() == 0 {
                section.warning(key, "port 0: the system chooses one, and nobody knows which");
            }
            Some(addr)
        }
        Err(error) => {
            let remedy = match &error {
                ListenAddrError::NoPort => format!("write \"{}:8765\" instead", text.trim()),
                ListenAddrError::Brackets => "write \"[::1]:8765\" instead".to_owned(),
                ListenAddrError::Unknown(..) => {
                    "write an address of this machine instead".to_owned()
                }
                _ => format!("write \"{default}\", \":8765\" or \"host:8765\" instead"),
            };
            let what = format!("\"{}\" can't be listened on: {error}", text.escape_debug());
            section.problem(key, &what, &remedy);
            None
        }
    }
}

/// A list of addresses and networks. Where it is a `door`, an empty list
/// is worth a warning, for then everyone comes in.
pub(super) fn addresses(section: &Section, key: &'static str, door: bool) -> AddressList {
    const EXAMPLE: &str = "192.168.0.0/16";
    let mut nets = Vec::new();
    let mut written = false;
    if let Some(item) = section.get(key) {
        for word in item.words(EXAMPLE) {
            written = true;
            match address::parse_net(word.text) {
                Some(net) => nets.push(net),
                None => section.sheet.problem(
                    word.line,
                    item.key,
                    &format!("\"{}\" is no address and no network", word.text.escape_debug()),
                    &format!(
                        "write for example \"127.0.0.1\", \"{EXAMPLE}\" or \"fd00::/8\" instead"
                    ),
                ),
            }
        }
    }
    if door && !written {
        section.warning(key, "no list: every address is let in");
    }
    AddressList(nets)
}

pub(super) fn text<'s>(
    section: &Section<'s, '_>,
    key: &'static str,
    default: &'s str,
) -> Option<&'s str> {
    match section.get(key) {
        Some(item) => item.text(default).map(|text| if text.is_empty() { default } else { text }),
        None => Some(default),
    }
}

pub(super) fn flag(section: &Section, key: &'static str, default: bool) -> Option<bool> {
    section.get(key).map_or(Some(default), |item| item.flag())
}

pub(super) fn seconds(
    section: &Section,
    key: &'static str,
    range: std::ops::RangeInclusive<f64>,
    default: f64,
) -> Option<Duration> {
    let default_value = Some(Duration::from_secs_f64(default));
    section.get(key).map_or(default_value, |item| item.seconds(range, default))
}

pub(super) fn whole(
    section: &Section,
    key: &'static str,
    range: std::ops::RangeInclusive<u32>,
    default: u32,
) -> Option<u32> {
    section.get(key).map_or(Some(default), |item| item.whole(range, default))
}

/// One of a few words, in any case. The first is the default.
pub(super) fn choice<T: Copy>(
    section: &Section,
    key: &'static str,
    choices: &[(&str, T)],
) -> Option<T> {
    let (usual, default) = choices.first()?;
    let text = text(section, key, usual)?.trim();
    if text.is_empty() {
        return Some(*default);
    }
    let found = choices.iter().find(|(name, _)| name.eq_ignore_ascii_case(text));
    if found.is_none() {
        let names: Vec<String> = choices.iter().map(|(name, _)| format!("\"{name}\"")).collect();
        section.problem(
            key,
            &format!("\"{}\" isn't one of its values", text.escape_debug()),
            &format!("write {} instead", names.join(" or ")),
        );
    }
    found.map(|(_, value)| *value)
}
