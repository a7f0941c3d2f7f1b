//! PURE: what those who listen are told about a call.

use std::collections::HashMap;

use crate::{
    call::{
        Extension,
        record::{CallRecord, Caller, Direction},
    },
    tap::facts::CallFacts,
};

/// The channel variable that tells the caller's number: `Set(__GW_FROM=${CALLERID(num)})`.
const FROM: &str = "GW_FROM";

/// The facts of a call that `ext` has answered.
pub fn facts(
    record: &CallRecord,
    direction: Direction,
    caller: &Caller,
    ext: &Extension,
    variables: &HashMap<String, String>,
) -> CallFacts {
    let dialled = record.dialled.as_ref().map(|d| d.as_str().to_owned()).unwrap_or_default();
    let from = match direction {
        Direction::In => caller.number.as_ref().or_else(|| variables.get(FROM)).cloned(),
        Direction::Out => Some(ext.as_str().to_owned()),
    };
    CallFacts {
        call_id: record.id.uuid(),
        channel: record.channel.clone(),
        channel_id: record.channel_id.clone(),
        direction,
        from: from.unwrap_or_default(),
        group: if record.is_group { dialled.clone() } else { String::new() },
        to: dialled,
        extension: ext.as_str().to_owned(),
        variables: variables.iter().map(|(k, v)| (k.clone(), v.clone())).collect(),
        is_channel: false,
    }
}
