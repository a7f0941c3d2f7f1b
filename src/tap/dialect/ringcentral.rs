//! RingCentral's Call Streaming: Connected, Start, Media by perspective, and a Stop for each
//! perspective behind the last Media of both. Participant is the agent, Conference the caller and
//! everybody else.

use serde_json::json;

use super::{Context, Msg, mulaw_base64};
use crate::tap::{facts::CallFacts, queue::Item, spec};

#[derive(Debug)]
pub struct RingCentral {
    spec: spec::RingCentral,
    facts: CallFacts,
    /// The slot that has number 1. Both perspectives of 20 ms have one number, and a consumer that
    /// is reached again finds the numbers where time is, so that it sees what it missed.
    base: u64,
}

impl RingCentral {
    pub fn new(spec: &spec::RingCentral, context: &Context) -> Self {
        Self { spec: spec.clone(), facts: context.facts.clone(), base: context.base }
    }

    pub fn opening(&self) -> Vec<Msg> {
        let (spec, facts) = (&self.spec, &self.facts);
        let connected =
            json!({ "event": "Connected", "protocol": "AgentSession", "version": "1.0.0" });
        let start = json!({
            "event": "Start",
            "metadata": {
                "callId": facts.call_id.to_string(),
                "sessionId": session_id(),
                "ani": facts.from,
                "dnis": facts.to,
                "accountId": spec.account_id,
                "subaccountId": spec.subaccount_id,
                "rcAccountId": spec.rc_account_id,
                "agentId": agent_id(spec, facts),
                "productType": spec.product_type,
                "productId": spec.product_id,
                // Their document has the one name, their sample in Python reads the other.
                "contentType": "audio/x-mulaw",
                "audioContentType": "audio/x-mulaw",
                "sampleRateHertz": 8000,
            },
        });
        vec![Msg::Text(connected.to_string()), Msg::Text(start.to_string())]
    }

    pub fn item(&self, item: &Item, out: &mut Vec<Msg>) {
        let Item::Slot(both) = item else { return };
        let Some(narrow) = &both.narrow else { return };
        let sequence = both.wide.index.saturating_sub(self.base) + 1;
        for (perspective, samples) in [("Participant", &narrow.left), ("Conference", &narrow.right)]
        {
            // By hand: this is said a hundred times a second, and nothing in it needs escaping.
            out.push(Msg::Text(format!(
                "{{\"event\":\"Media\",\"perspective\":\"{perspective}\",\"sequenceId\":\"{sequence}\",\
                 \"media\":\"{}\"}}",
                mulaw_base64(samples),
            )));
        }
    }

    pub fn closing(&self, slots: u64, end: &str) -> Vec<Msg> {
        let stop = |perspective: &str| {
            json!({
                "event": "Stop",
                "perspective": perspective,
                "metadata": { "duration": slots / 50, "end_time": end },
            })
        };
        vec![Msg::Text(stop("Participant").to_string()), Msg::Text(stop("Conference").to_string())]
    }
}

/// A call has one session here: a transfer makes a new call.
fn session_id() -> u64 {
    1
}

/// The agent as a number: what the configuration says, or the extension where it is one.
fn agent_id(spec: &spec::RingCentral, facts: &CallFacts) -> u64 {
    let configured = spec.agents.get(&facts.extension).copied();
    configured.or_else(|| facts.extension.parse().ok()).unwrap_or_default()
}

/// What the handshake's query says. Their document gives labels and no names: these are the names
/// of Start, and each can be given another.
pub fn query(spec: &spec::RingCentral, facts: &CallFacts) -> Vec<(String, String)> {
    let named = |name: &str, value: String| {
        (spec.query.get(name).map_or(name, String::as_str).to_owned(), value)
    };
    vec![
        named("callId", facts.call_id.to_string()),
        named("sessionId", session_id().to_string()),
        named("ani", facts.from.clone()),
        named("dnis", facts.to.clone()),
        named("accountId", spec.account_id.clone()),
        named("subaccountId", spec.subaccount_id.clone()),
        named("rcAccountId", spec.rc_account_id.clone()),
        named("agentId", agent_id(spec, facts).to_string()),
        named("productType", spec.product_type.clone()),
        named("productId", spec.product_id.to_string()),
    ]
}
