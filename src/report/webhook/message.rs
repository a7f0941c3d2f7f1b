//! PURE: what a receiver is told, and under which id.
//!
//! The id is made from what happened, so that what is told again, after a lost reply or a restart,
//! has the same.

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    call::record::Direction,
    config::{Chime, Webhook, WebhookFormat},
    report::{
        feed::{CallHappened, Happened, What},
        row::CallRow,
        time::Utc,
    },
    tap::event::TapEvent,
};

/// One delivery to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    pub id: Uuid,
    pub call: Uuid,
    pub event: String,
    pub body: String,
}

/// What a webhook is told of this; nothing if it doesn't want it.
pub fn messages(happened: &Happened, webhook: &Webhook) -> Vec<Message> {
    match (happened, &webhook.format) {
        (Happened::Call(call), _) if !webhook.wants(call.what.as_str()) => Vec::new(),
        (Happened::Call(call), WebhookFormat::Plain) => vec![plain(call)],
        (Happened::Call(call), WebhookFormat::Chime(names)) => chime(call, names),
        (Happened::Tap(told), WebhookFormat::Plain) => tap(told, webhook).into_iter().collect(),
        (Happened::Tap(_), WebhookFormat::Chime(_)) => Vec::new(),
    }
}

fn plain(happened: &CallHappened) -> Message {
    let (call, event) = (happened.call.id.uuid(), happened.what.as_str());
    let rings = match &happened.what {
        What::Rang(ext) => Some(ext),
        _ => None,
    };
    let rung = rings.map_or("", |ext| ext.as_str());
    let id = id(call, &format!("{event} {} {rung}", happened.at));
    let mut body = json!({ "id": id, "event": event, "at": happened.at, "call": *happened.call });
    if let Some(ext) = rings {
        body["extension"] = json!(ext);
    }
    Message { id, call, event: event.to_owned(), body: body.to_string() }
}

fn tap(told: &Arc<TapEvent>, webhook: &Webhook) -> Option<Message> {
    let body = serde_json::to_value(&**told).ok()?;
    let event = body["event"].as_str()?.to_owned();
    webhook.wants(&event).then(|| Message {
        id: told.id,
        call: told.call.call_id,
        event,
        body: body.to_string(),
    })
}

/// An id that is the same whenever the same is told.
fn id(call: Uuid, what: &str) -> Uuid {
    uuid::Builder::from_random_bytes(hash(call, what)).into_uuid()
}

fn hash(call: Uuid, what: &str) -> [u8; 16] {
    let digest = digest(&SHA256, &[call.as_bytes(), what.as_bytes()].concat());
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest.as_ref()[..16]);
    bytes
}

/// One event for each side of an answered call, at its answer and at its end.
fn chime(happened: &CallHappened, names: &Chime) -> Vec<Message> {
    let call = &happened.call;
    let started = match (&happened.what, call.answered) {
        (What::Answered | What::Ended, Some(answered)) => answered,
        _ => return Vec::new(),
    };
    let ended = call.ended.filter(|_| happened.what == What::Ended);
    [true, false].map(|is_caller| chime_side(call, names, is_caller, started, ended)).to_vec()
}

fn chime_side(
    call: &CallRow,
    names: &Chime,
    is_caller: bool,
    started: Utc,
    ended: Option<Utc>,
) -> Message {
    let side = if is_caller { "caller" } else { "agent" };
    let status = if ended.is_some() { "ENDED" } else { "STARTED" };
    let uuid = call.id.uuid();
    let id = id(uuid, &format!("chime {status} {side}"));
    let Chime { account, region, voice_connector } = names;
    let stream = self::id(uuid, &format!("chime stream {side}"));
    let mut detail = json!({
        "callId": call.id,
        "direction": match call.direction { Direction::In => "Inbound", Direction::Out => "Outbound" },
        "fromNumber": call.caller_number.as_deref().unwrap_or("unknown"),
        "toNumber": call.dialled.as_ref().map_or("unknown", |ext| ext.as_str()),
        "isCaller": is_caller,
        "startFragmentNumber": fragment(call, side, started),
        "startTime": started,
        "streamArn": format!(
            "arn:aws:kinesisvideo:{region}:{account}:stream/\
             ChimeVoiceConnector-{voice_connector}-{stream}/{}", started.millis()
        ),
        "transactionId": self::id(uuid, "chime transaction"),
        "voiceConnectorId": voice_connector,
        "streamingStatus": status,
        "version": "0",
    });
    match ended {
        None => detail["mediaType"] = json!("audio/L16"),
        Some(ended) => {
            detail["currentFragmentNumber"] = json!(fragment(call, side, ended));
            detail["endTime"] = json!(ended);
        }
    }
    let body = json!({
        "version": "0",
        "id": id,
        "detail-type": "Chime VoiceConnector Streaming Status",
        "source": "aws.chime",
        "account": account,
        "time": seconds(ended.unwrap_or(started)),
        "region": region,
        "resources": [],
        "detail": detail,
    });
    let event = format!("{status} {side}");
    Message { id, call: uuid, event, body: body.to_string() }
}

/// What Kinesis calls a fragment number: 47 digits that grow with time.
fn fragment(call: &CallRow, side: &str, at: Utc) -> String {
    let own = u64::from_be_bytes(hash(call.id.uuid(), side)[..8].try_into().unwrap_or_default());
    format!("91343852333181{:013}{:020}", at.millis(), own)
}

/// To the second, as the envelope has it.
fn seconds(at: Utc) -> Value {
    Value::String(humantime::format_rfc3339_seconds(at.into()).to_string())
}

#[cfg(test)]
mod tests;
