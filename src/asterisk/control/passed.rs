//! PURE: callers who were passed on, and what became of them.
//!
//! A transfer ends the phone's call at once; whether the other party takes the caller shows later,
//! on the caller's channel. Promises: of each transfer at most one outcome is told; what is not
//! known after [`PASS_TIME`], or after a loss of the manager, is told never, for nothing is guessed;
//! the table is bounded.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use super::{super::ami::event::Event, attempts::Attempts, outcome};
use crate::call::{CallId, Extension, LoginId, ending::Ending};

/// Transfers that are watched at once. Beyond that one is carried out all the same, and nothing is
/// told of its outcome.
pub const MAX_PASSED: usize = 1024;
/// How long Asterisk may take to say whose channel goes on; it says so before it answers.
pub const TAKEN_TIME: Duration = Duration::from_secs(15);
/// How long a caller may ring somewhere. Nobody waits longer, and the phone has other calls by then.
pub const PASS_TIME: Duration = Duration::from_secs(300);

/// Who has passed a caller on, and is told of the outcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Passer {
    pub ext: Extension,
    pub login: LoginId,
}

/// What became of a transfer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The call that was passed on.
    pub call: CallId,
    pub passer: Passer,
    /// `Err`: nobody took the caller, and why.
    pub result: Result<(), Ending>,
}

/// The transfers.
#[derive(Debug, Default)]
pub struct PassedOn {
    /// Asked for; by the unique id of the phone's own leg.
    asked: HashMap<String, Asked>,
    /// Under way; by the unique id of the caller's channel.
    callers: HashMap<String, Caller>,
}

#[derive(Debug)]
struct Asked {
    call: CallId,
    passer: Passer,
    until: Instant,
}

#[derive(Debug)]
struct Caller {
    call: CallId,
    passer: Passer,
    attempts: Attempts,
    until: Instant,
}

impl PassedOn {
    /// A phone wants to pass the far end of this channel on.
    pub fn ask(&mut self, channel_id: &str, call: CallId, passer: Passer, now: Instant) {
        if self.asked.len() + self.callers.len() < MAX_PASSED && !channel_id.is_empty() {
            let asked = Asked { call, passer, until: now + TAKEN_TIME };
            self.asked.insert(channel_id.to_owned(), asked);
        }
    }

    /// What Asterisk reports; gives an outcome.
    pub fn event(&mut self, event: &Event, now: Instant) -> Option<Outcome> {
        match event {
            Event::Transfer { id, far_id, taken } => {
                let Asked { call, passer, .. } = self.asked.remove(id)?;
                if *taken && !far_id.is_empty() {
                    let attempts = Attempts::new(now);
                    let caller = Caller { call, passer, attempts, until: now + PASS_TIME };
                    self.callers.insert(far_id.clone(), caller);
                }
                None
            }
            Event::DialBegin { id, .. } => {
                self.callers.get_mut(id)?.attempts.begin();
                None
            }
            Event::DialEnd { id, status } if status == "ANSWER" => self.over(id, Ok(())),
            Event::DialEnd { id, status } => {
                self.callers.get_mut(id)?.attempts.fail(status.clone(), now);
                None
            }
            // With somebody else: a queue or a conference has taken the caller.
            Event::BridgeEnter { id, channels: 2.., .. } => self.over(id, Ok(())),
            Event::Hangup { id, cause } => {
                let status = self.callers.get(id)?.attempts.status().map(str::to_owned);
                self.over(id, Err(unanswered(status.as_deref(), *cause)))
            }
            _ => None,
        }
    }

    fn over(&mut self, id: &str, result: Result<(), Ending>) -> Option<Outcome> {
        let Caller { call, passer, .. } = self.callers.remove(id)?;
        Some(Outcome { call, passer, result })
    }

    /// The connection is lost, or events were: what was waited for may have happened.
    pub fn forget_all(&mut self) {
        self.asked.clear();
        self.callers.clear();
    }

    pub fn deadline(&self) -> Option<Instant> {
        let callers = self.callers.values();
        let callers = callers.map(|c| c.attempts.quiet_at().map_or(c.until, |at| at.min(c.until)));
        callers.chain(self.asked.values().map(|asked| asked.until)).min()
    }

    /// The time of [`PassedOn::deadline`] may have come.
    pub fn tick(&mut self, now: Instant) -> Vec<Outcome> {
        self.asked.retain(|_, asked| asked.until > now);
        self.callers.retain(|_, caller| caller.until > now);
        let quiet = |caller: &Caller| caller.attempts.quiet_at().is_some_and(|at| at <= now);
        let quiet = self.callers.iter().filter(|(_, caller)| quiet(caller));
        let ids: Vec<String> = quiet.map(|(id, _)| id.clone()).collect();
        let over = |id: String| {
            // Nobody was dialled: an application has the caller. Somebody was, and did not answer:
            // whatever has the caller now, it isn't who was meant.
            let status = self.callers.get(&id)?.attempts.status().map(str::to_owned);
            let result = status.map_or(Ok(()), |status| Err(unanswered(Some(&status), 0)));
            self.over(&id, result)
        };
        ids.into_iter().filter_map(over).collect()
    }

    /// The calls whose outcome may still be told.
    pub fn calls(&self) -> impl Iterator<Item = CallId> {
        let asked = self.asked.values().map(|asked| asked.call);
        asked.chain(self.callers.values().map(|caller| caller.call))
    }

    #[cfg(test)]
    fn watched(&self) -> usize {
        self.asked.len() + self.callers.len()
    }
}

/// Why nobody took the caller.
fn unanswered(status: Option<&str>, cause: u8) -> Ending {
    match status {
        // The caller hung up while it rang.
        Some("CANCEL") => Ending::CallerGaveUp,
        status => outcome::unanswered(status, cause),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::attempts::APPLICATION_TIME, *};
    use crate::call::record;

    fn call(n: u128) -> CallId {
        CallId::from_uuid(uuid::Uuid::from_u128(n))
    }

    fn passer() -> Passer {
        Passer { ext: "2001".into(), login: LoginId(7) }
    }

    /// A call that has just been passed on: our leg was `1.2`, the caller is `1.1`.
    fn passed(now: Instant) -> PassedOn {
        let mut table = PassedOn::default();
        table.ask("1.2", call(1), passer(), now);
        assert_eq!(table.event(&taken(true), now), None);
        table
    }

    fn taken(taken: bool) -> Event {
        Event::Transfer { id: "1.2".to_owned(), far_id: "1.1".to_owned(), taken }
    }

    fn dials() -> Event {
        let (id, far_id) = ("1.1".to_owned(), "1.3".to_owned());
        Event::DialBegin {
            id,
            far_id,
            far_channel: "PJSIP/x".to_owned(),
            caller: record::Caller::default(),
        }
    }

    fn end(status: &str) -> Event {
        Event::DialEnd { id: "1.1".to_owned(), status: status.to_owned() }
    }

    fn hangup(cause: u8) -> Event {
        Event::Hangup { id: "1.1".to_owned(), cause }
    }

    fn outcome(result: Result<(), Ending>) -> Option<Outcome> {
        Some(Outcome { call: call(1), passer: passer(), result })
    }

    #[test]
    fn it_is_complete_when_the_other_party_answers() {
        let now = Instant::now();
        let mut table = passed(now);
        assert_eq!(table.event(&dials(), now), None);
        assert!(table.tick(now + APPLICATION_TIME).is_empty(), "it rings");
        assert_eq!(table.event(&end("ANSWER"), now), outcome(Ok(())));
        assert_eq!(table.event(&hangup(16), now), None, "told once");
        assert_eq!(table.watched(), 0);
    }

    #[test]
    fn it_has_failed_for_what_the_other_party_did() {
        for (status, cause, why) in [
            ("BUSY", 17, Ending::Busy),
            ("NOANSWER", 16, Ending::NoAnswer),
            ("NOANSWER", 21, Ending::Declined),
            ("CONGESTION", 34, Ending::Congested),
            ("CANCEL", 16, Ending::CallerGaveUp),
        ] {
            let now = Instant::now();
            let mut table = passed(now);
            table.event(&dials(), now);
            assert_eq!(table.event(&end(status), now), None);
            assert_eq!(table.event(&hangup(cause), now), outcome(Err(why)), "{status}");
        }
    }

    #[test]
    fn a_caller_who_ends_at_voicemail_was_not_taken_by_whom_he_was_passed_to() {
        let now = Instant::now();
        let mut table = passed(now);
        table.event(&dials(), now);
        table.event(&end("NOANSWER"), now);
        assert_eq!(table.deadline(), Some(now + APPLICATION_TIME));
        let told = table.tick(now + APPLICATION_TIME);
        assert_eq!(told, Vec::from_iter(outcome(Err(Ending::NoAnswer))));
    }

    #[test]
    fn the_second_trunk_may_answer_what_the_first_has_refused() {
        let now = Instant::now();
        let mut table = passed(now);
        table.event(&dials(), now);
        table.event(&end("CONGESTION"), now);
        table.event(&dials(), now);
        assert!(table.tick(now + APPLICATION_TIME).is_empty());
        assert_eq!(table.event(&end("ANSWER"), now), outcome(Ok(())));
    }

    #[test]
    fn an_application_or_a_conference_takes_the_caller_too() {
        let now = Instant::now();
        let mut table = passed(now);
        assert_eq!(table.tick(now + APPLICATION_TIME), Vec::from_iter(outcome(Ok(()))));
        let mut table = passed(now);
        let enters =
            |channels| Event::BridgeEnter { bridge: "b".into(), id: "1.1".into(), channels };
        assert_eq!(table.event(&enters(1), now), None, "alone, it waits");
        assert_eq!(table.event(&enters(3), now), outcome(Ok(())));
    }

    #[test]
    fn what_asterisk_refuses_or_does_not_report_is_not_watched() {
        let now = Instant::now();
        let mut table = PassedOn::default();
        table.ask("1.2", call(1), passer(), now);
        table.event(&taken(false), now);
        assert_eq!(table.watched(), 0);
        table.ask("1.2", call(1), passer(), now);
        assert!(table.tick(now + TAKEN_TIME).is_empty());
        assert_eq!(table.watched(), 0);
        let mut table = passed(now);
        table.event(&dials(), now);
        assert!(table.tick(now + PASS_TIME).is_empty(), "nothing is guessed");
        assert_eq!(table.watched(), 0);
        let mut table = passed(now);
        table.forget_all();
        assert_eq!((table.event(&end("ANSWER"), now), table.deadline()), (None, None));
    }

    #[test]
    fn the_table_is_bounded() {
        let now = Instant::now();
        let mut table = PassedOn::default();
        for n in 0..2 * MAX_PASSED {
            table.ask(&n.to_string(), call(n as u128), passer(), now);
        }
        assert_eq!(table.watched(), MAX_PASSED);
    }
}
