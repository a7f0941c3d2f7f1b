//! As jambonz' `listen` does it: a first message in JSON that says what follows, then binary frames
//! of signed 16-bit samples.
//!
//! Which side is first: jambonz hands `mixType` to FreeSWITCH's mod_audio_fork on the endpoint of the
//! call's own far party (jambonz-feature-server, lib/tasks/listen.js). There `mono` is the read
//! stream, what FreeSWITCH reads from that endpoint, so the caller; `stereo` sets SMBF_STEREO and
//! not SMBF_STEREO_SWAP, with which switch_core_media_bug_read (FreeSWITCH,
//! src/switch_core_media_bug.c) puts the read stream left and the write stream, what the caller is
//! sent, right. So the caller is first and the agent second: the other way round than a recording.

use bytes::Bytes;
use serde_json::json;

use super::{Context, Msg};
use crate::{
    media::slot::{interleaved, mix, to_bytes},
    tap::{
        facts::{CallFacts, Direction},
        queue::Item,
        spec::{self, Channels, Rate},
    },
};

#[derive(Debug)]
pub struct Jambonz {
    spec: spec::Jambonz,
    facts: CallFacts,
    gap_ms: Option<u64>,
}

impl Jambonz {
    pub fn new(spec: &spec::Jambonz, context: &Context) -> Self {
        Self { spec: spec.clone(), facts: context.facts.clone(), gap_ms: context.gap_ms }
    }

    pub fn opening(&self) -> Vec<Msg> {
        let facts = &self.facts;
        let direction = match facts.direction {
            Direction::In => "inbound",
            Direction::Out => "outbound",
        };
        let mix_type = match self.spec.channels {
            Channels::Mono => "mono",
            Channels::Stereo => "stereo",
            Channels::Mixed => "mixed",
        };
        let mut first = json!({
            "callSid": facts.call_id.to_string(),
            "callId": facts.channel_id,
            "direction": direction,
            "from": facts.from,
            "to": facts.to,
            "agent": facts.extension,
            "callStatus": "in-progress",
            "sampleRate": self.spec.rate.hertz(),
            "mixType": mix_type,
            "encoding": "L16",
            "metadata": self.spec.parameters,
        });
        if let (Some(gap), Some(first)) = (self.gap_ms, first.as_object_mut()) {
            first.insert("resumed".to_owned(), json!({ "gapMs": gap }));
        }
        vec![Msg::Text(first.to_string())]
    }

    pub fn item(&self, item: &Item, out: &mut Vec<Msg>) {
        let both = match item {
            Item::Slot(both) => both,
            Item::Digit(_, digit) => {
                let dtmf = json!({ "event": "dtmf", "dtmf": digit.to_string() });
                out.push(Msg::Text(dtmf.to_string()));
                return;
            }
        };
        let (agent, caller): (&[i16], &[i16]) = match (self.spec.rate, &both.narrow) {
            (Rate::Narrow, Some(narrow)) => (&narrow.left, &narrow.right),
            _ => (&both.wide.left, &both.wide.right),
        };
        let mut bytes = Vec::with_capacity(4 * agent.len());
        match self.spec.channels {
            Channels::Mono => to_bytes(caller.iter().copied(), &mut bytes),
            Channels::Stereo => to_bytes(interleaved(caller, agent), &mut bytes),
            Channels::Mixed => to_bytes(mix(agent, caller), &mut bytes),
        }
        out.push(Msg::Binary(Bytes::from(bytes)));
    }
}
