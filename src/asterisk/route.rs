//! PURE: whom a call is for. The extension that MEDIA_START asks for, and whom to ring for it.

use std::collections::BTreeMap;

use super::message::{ControlFormat, MediaStart};
use crate::{
    call::{Extension, hunt::Plan, record::Caller},
    config::{Config, Strategy},
};

/// Whom MEDIA_START asks for.
#[derive(Debug, PartialEq, Eq)]
pub struct AskedFor {
    /// `None` where it names nobody, or something that can't be an extension.
    pub extension: Option<Extension>,
    /// In JSON: the variable is absent, and the connection's name says it.
    pub by_fallback: bool,
}

/// The extension: the variable in JSON, else from the connection's name.
pub fn asked_for(start: &MediaStart, format: ControlFormat, config: &Config) -> AskedFor {
    let asterisk = &config.asterisk;
    let pattern = &asterisk.exten_search_pattern;
    let variable = start.variables.get(&asterisk.extension_variable).filter(|v| !v.is_empty());
    let (text, by_fallback) = match (format, variable) {
        (ControlFormat::Text, _) => (pattern.in_text(&start.connection_id), false),
        (ControlFormat::Json, Some(value)) => (Some(value.clone()), false),
        (ControlFormat::Json, None) => (pattern.in_json(&start.connection_id), true),
    };
    AskedFor { extension: text.as_deref().and_then(Extension::parse), by_fallback }
}

/// Who calls, where the configuration names channel variables that say it.
pub fn caller(start: &MediaStart, config: &Config) -> Caller {
    let value = |name: &Option<String>| {
        let name = name.as_ref()?;
        start.variables.get(name).map(String::as_str)
    };
    let names = &config.asterisk;
    Caller::new(
        value(&names.caller_number_variable).unwrap_or_default(),
        value(&names.caller_name_variable).unwrap_or_default(),
    )
}

/// Longest value of a channel variable that a phone is shown, in bytes.
const MAX_SHOWN: usize = 1024;

/// The channel variables that phones are shown. One that is longer than [`MAX_SHOWN`] is left out:
/// half a value would be another one.
pub fn shown(start: &MediaStart, config: &Config) -> BTreeMap<String, String> {
    let shown = config.asterisk.phone_variables.iter().filter_map(|name| {
        let value = start.variables.get(name).filter(|value| value.len() <= MAX_SHOWN)?;
        Some((name.clone(), value.clone()))
    });
    shown.collect()
}

/// Whom to ring for what was dialled, and whether it is a group.
pub fn plan(ext: &Extension, config: &Config) -> (Plan, bool) {
    let Some(group) = config.groups.get(ext.as_str()) else {
        let timeout = config.calls.ring_timeout;
        return (Plan::Together { members: vec![ext.clone()], timeout }, false);
    };
    let members = group.members.iter().map(|m| Extension::from(m.as_str())).collect();
    let timeout = group.timeout;
    let plan = match group.strategy {
        Strategy::RingAll => Plan::Together { members, timeout },
        Strategy::Sequential => Plan::InTurn { members, timeout, rounds: group.rounds },
    };
    (plan, true)
}
