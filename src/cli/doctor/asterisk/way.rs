//! The way from Asterisk to the gateway, tried by a call of the doctor's own.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::{Look, Step, WEBSOCKET_CLIENT, unseen};
use crate::{
    asterisk::ami::{event::Event, message::Action},
    cli::doctor::{Check, State},
    exchange::calls::CALL_VARIABLE,
};

const WAY: &str = "way to the gateway";
/// How long Asterisk may take to open a call to the gateway and report its end.
const PROBE_TIME: Duration = Duration::from_secs(4);

impl Look<'_> {
    /// Tries the way to the gateway, unless it is known already why it can't work.
    pub(super) async fn way(&mut self, section: &str) -> Step {
        let known = |check: &&Check| {
            check.state == State::Fault
                && ["modules", "timing", WEBSOCKET_CLIENT].contains(&check.check)
        };
        if let Some(fault) = self.checks.iter().find(known) {
            let remedy = format!("do first what {} needs", fault.check);
            self.checks.push(Check::unseen(WAY, "not tried, for the faults above", remedy));
            return Ok(());
        }
        self.probe(section).await
    }

    /// Has Asterisk call the gateway, with the number of a call that nobody waits for: the gateway
    /// hangs it up before it is answered.
    async fn probe(&mut self, section: &str) -> Step {
        let id = uuid::Uuid::new_v4().to_string();
        let probe = Action::new("Originate")
            .with("Channel", &format!("WebSocket/{section}/f(json)c(slin16)n"))
            .and_then(|a| a.with("Application", "Hangup"))
            .and_then(|a| a.with("Async", "true"))
            .and_then(|a| a.with("Timeout", &PROBE_TIME.as_millis().to_string()))
            .and_then(|a| a.with("ChannelId", &id))
            .and_then(|a| a.with("Variable", &format!("{CALL_VARIABLE}={id}")));
        // Events may overtake the answer, so it is not waited for by itself.
        let Ok(probe) = probe else { return Ok(()) };
        let sent = self.connection.send(&probe).await?.to_string();
        let until = Instant::now() + PROBE_TIME;
        let (mut cause, mut refused) = (None, None);
        while cause.is_none() && refused.is_none() {
            let wanted = |name: &str| matches!(name, "Hangup" | "OriginateResponse");
            let Ok(packet) = timeout_at(until, self.connection.receive(wanted)).await else {
                break;
            };
            let packet = packet?;
            match Event::of(&packet) {
                Some(Event::Hangup { id: channel, cause: why }) if channel == id => {
                    cause = Some(why)
                }
                // No channel at all: there is no such section, or no timing source.
                Some(Event::Originated { id: channel, done: false, .. })
                    if channel == id || channel == "<null>" => {}
                None if packet.get("ActionID") == sent && !packet.is_success() => {
                    refused = Some(packet);
                }
                _ => {}
            }
        }
        self.checks.push(match (cause, refused) {
            (Some(16), _) => Check::ok(WAY, format!("Asterisk reaches a gateway by [{section}]")),
            (Some(3), _) => Check::warning(
                WAY,
                format!("by [{section}] Asterisk finds nobody listening"),
                "start the gateway, and compare the section's uri with asterisk_addr",
            ),
            (Some(cause), _) => Check::fault(
                WAY,
                format!("a call by [{section}] ended with cause {cause}"),
                "see Asterisk's log",
            ),
            (None, Some(answer)) => unseen(WAY, &answer),
            (None, None) => Check::warning(
                WAY,
                format!("Asterisk reports no end of a call by [{section}]"),
                "write \"call\" into read = of the user in manager.conf; module reload \
                 res_websocket_client.so, if the section is new",
            ),
        });
        Ok(())
    }
}
