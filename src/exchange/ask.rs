//! What a phone asks of the gateway's call control, and the answer that is bound to come back.
//!
//! The place of the answer in the phone's mailbox is reserved before anything is asked. An [`Answer`]
//! that is dropped says that the request failed, so a phone always gets exactly one answer. What
//! becomes of a transfer has a place as well, an [`OutcomePlace`], which may be taken for minutes.

use std::time::Duration;

use super::{
    PHONE_MAILBOX,
    line::{PassedOn, PhoneCommand},
};
use crate::{
    call::{CallId, Extension, LoginId},
    net::mailbox,
};

/// A request of a phone's that Asterisk's manager has to carry out.
#[derive(Debug)]
pub struct Ask {
    pub ext: Extension,
    pub login: LoginId,
    pub what: What,
    pub answer: Answer,
}

/// What is asked. Calls are the asking phone's own, and up; everything else about them is in
/// [`Calls`](super::calls::Calls). Numbers are as the phone sent them: call control checks them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// Sends digits to the far end (`0-9 * # A-D`, `w` waits 500 ms); done when the last was sent.
    Dtmf { call: CallId, digits: String },
    /// Passes the far end on; done when Asterisk has taken it. Tell the call
    /// [`CallEvent::ClosesFor`](super::line::CallEvent::ClosesFor) `Transferred` before that.
    Transfer { call: CallId, to: String },
    /// Joins the far ends of two calls of this phone; both end as transferred.
    Join { call: CallId, with: CallId },
    /// Opens a call. [`Calls`](super::calls::Calls) has it as one that is to come; see there for what follows.
    Dial(Dial),
}

/// A call that a phone wants to make. Done when Asterisk has taken the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dial {
    /// The number of the call; it goes with the request to Asterisk in the channel variable
    /// [`CALL_VARIABLE`](super::calls::CALL_VARIABLE).
    pub call: CallId,
    pub to: String,
    pub variables: Vec<(String, String)>,
    /// The call whose transfer this one prepares.
    pub consults_for: Option<CallId>,
}

/// Why a request was not carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    pub why: Why,
    /// For a person; shown to the phone.
    pub message: String,
    /// When it may be tried again, for [`Why::RateLimited`].
    pub retry_after: Option<Duration>,
}

/// The kinds of refusal that a phone can tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// Asterisk did not answer in time; whether it did the thing is not known.
    Timeout,
    RateLimited,
    /// This number may not be dialled.
    Forbidden,
    NoSuchCall,
    WrongState,
    /// The manager is not configured, or not there.
    Unavailable,
    BadNumber,
    /// No room for one more call.
    Busy,
    /// Asterisk refused.
    Failed,
    /// The gateway stops.
    Draining,
}

impl Refused {
    pub fn new(why: Why, message: impl Into<String>) -> Self {
        Self { why, message: message.into(), retry_after: None }
    }
}

/// The reserved way back to the phone.
#[derive(Debug)]
pub struct Answer {
    /// The phone's own number for the request.
    request: u64,
    place: Option<mailbox::Place<PhoneCommand>>,
}

/// What came back.
#[derive(Debug)]
pub struct Answered {
    pub request: u64,
    pub result: Result<(), Refused>,
}

impl Answer {
    /// Reserves the place; `None` if the phone has too many requests under way.
    pub fn reserve(request: u64, commands: &mailbox::Sender<PhoneCommand>) -> Option<Self> {
        let place = commands.reserve()?;
        Some(Self { request, place: Some(place) })
    }

    /// It is done, or why it isn't.
    pub fn give(mut self, result: Result<(), Refused>) {
        self.send(result);
    }

    fn send(&mut self, result: Result<(), Refused>) {
        if let Some(place) = self.place.take() {
            place
                .send(PhoneCommand::Answered(Box::new(Answered { request: self.request, result })));
        }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.send(Err(Refused::new(Why::Failed, "the gateway has lost this request")));
    }
}

/// The reserved place for what becomes of a caller whom a phone passes on.
#[derive(Debug)]
pub struct OutcomePlace(mailbox::Place<PhoneCommand>);

impl OutcomePlace {
    /// What must stay free of a mailbox: outcomes take minutes, and new calls need places, too.
    pub const LEFT_FREE: usize = PHONE_MAILBOX / 2;

    /// Reserves it; `None` where so many callers of this phone are on their way, or so much waits
    /// for its task, that the mailbox is half taken. Then this one's outcome is not told.
    pub fn reserve(commands: &mailbox::Sender<PhoneCommand>) -> Option<Self> {
        if commands.free() <= Self::LEFT_FREE {
            return None;
        }
        commands.reserve().map(Self)
    }

    /// That has become of the caller. A phone that has left isn't told.
    pub fn tell(self, passed: PassedOn) {
        self.0.send(PhoneCommand::PassedOn(Box::new(passed)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::ending::Ending;

    #[tokio::test]
    async fn an_outcome_has_its_place_however_full_the_mailbox_is_by_then() {
        let (commands, mut mailbox) = mailbox::mailbox(PHONE_MAILBOX);
        let place = OutcomePlace::reserve(&commands).expect("room");
        while commands.try_send(PhoneCommand::PresenceChanged).is_ok() {}
        let call = CallId::from_uuid(uuid::Uuid::from_u128(1));
        let passed = PassedOn { call, result: Err(Ending::Busy) };
        place.tell(passed);
        let mut last = None;
        for _ in 0..PHONE_MAILBOX {
            last = mailbox.recv().await;
        }
        let Some(PhoneCommand::PassedOn(told)) = last else { panic!("{last:?}") };
        assert_eq!(*told, passed);
    }

    #[test]
    fn callers_on_their_way_leave_room_for_calls() {
        let (commands, _mailbox) = mailbox::mailbox(PHONE_MAILBOX);
        let places: Vec<_> = (0..1000).map_while(|_| OutcomePlace::reserve(&commands)).collect();
        assert_eq!(places.len(), PHONE_MAILBOX - OutcomePlace::LEFT_FREE);
        assert!(Answer::reserve(1, &commands).is_some());
        drop(places);
        assert!(OutcomePlace::reserve(&commands).is_some(), "told or given up, the place is free");
    }

    #[tokio::test]
    async fn a_request_that_is_lost_is_answered_all_the_same() {
        let (commands, mut mailbox) = mailbox::mailbox(1);
        let answer = Answer::reserve(7, &commands).expect("room");
        assert!(Answer::reserve(8, &commands).is_none(), "no room, and so no request");
        drop(answer);
        let Some(PhoneCommand::Answered(answered)) = mailbox.recv().await else { panic!() };
        assert_eq!(answered.request, 7);
        assert_eq!(answered.result.unwrap_err().why, Why::Failed);
    }
}
