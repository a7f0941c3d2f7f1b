//! The calls that are up, and those that phones have asked for and that are to come.
//!
//! **The way of an outgoing call.** A phone's task takes a place for it with
//! [`Exchange::dial`](super::Exchange::dial) and hands a [`Dial`](super::ask::Dial) in at the desk. Call
//! control has Asterisk open a leg to this gateway whose channel carries [`CALL_VARIABLE`] with the
//! call's number. When that leg comes, it takes the place over ([`Calls::adopt`]), is answered at
//! once, and is joined with the phone without ringing it; the dialplan then dials. If it doesn't come,
//! call control says so with [`Calls::failed`]; if the phone gave up meanwhile, the place is gone
//! and the leg is hung up.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{
    Exchange,
    line::{CallEvent, Stopped},
    ring::RingHandle,
};
use crate::{
    call::{CallId, Extension, LoginId, record::Direction},
    net::mailbox,
};

/// The channel variable by which Asterisk's leg of an outgoing call says which call it is.
pub const CALL_VARIABLE: &str = "GOASTGATEWAY_CALL";

/// One call that is up.
#[derive(Debug, Clone)]
pub struct CallEntry {
    /// Asterisk's name and unique id of our leg's channel. (A name may change, the id doesn't.)
    pub channel: Arc<str>,
    pub channel_id: Arc<str>,
    /// The section of websocket_client.conf that it came by.
    pub connection_id: Arc<str>,
    pub direction: Direction,
    /// Who rings or talks is the leg's business; this is what was dialled, or who dials.
    pub ext: Option<Extension>,
    events: mailbox::Sender<CallEvent>,
}

/// The table.
#[derive(Debug, Default)]
pub struct Calls(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    up: HashMap<CallId, CallEntry>,
    by_channel: HashMap<Arc<str>, CallId>,
    to_come: HashMap<CallId, ToCome>,
}

/// An outgoing call whose leg isn't there yet.
#[derive(Debug)]
pub struct ToCome {
    /// The phone's end.
    pub place: RingHandle,
    /// What was dialled, as the phone sent it.
    pub to: String,
}

/// A call's line in the table; dropping it takes it out.
#[derive(Debug)]
pub struct CallPlace {
    exchange: Arc<Exchange>,
    call: CallId,
}

impl CallEntry {
    pub fn new(
        [channel, channel_id, connection_id]: [&str; 3],
        direction: Direction,
        ext: Option<Extension>,
        events: mailbox::Sender<CallEvent>,
    ) -> Self {
        Self {
            channel: channel.into(),
            channel_id: channel_id.into(),
            connection_id: connection_id.into(),
            direction,
            ext,
            events,
        }
    }
}

impl Calls {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A call that is up.
    pub fn get(&self, call: CallId) -> Option<CallEntry> {
        self.table().up.get(&call).cloned()
    }

    /// The call whose leg has this unique id.
    pub fn by_channel_id(&self, channel_id: &str) -> Option<CallId> {
        self.table().by_channel.get(channel_id).copied()
    }

    /// Whether a leg of ours has this name or unique id.
    pub fn has_channel(&self, channel: &str) -> bool {
        let table = self.table();
        let is_it = |call: &CallEntry| *call.channel == *channel || *call.channel_id == *channel;
        table.up.values().any(is_it)
    }

    /// Tells a call's task; false if there is no such call, or it can't keep up.
    pub fn tell(&self, call: CallId, event: CallEvent) -> bool {
        let table = self.table();
        table.up.get(&call).is_some_and(|entry| entry.events.try_send(event).is_ok())
    }

    /// The leg of an outgoing call has come: the phone's end of it, if it is still wanted.
    pub fn adopt(&self, call: CallId) -> Option<ToCome> {
        self.table().to_come.remove(&call)
    }

    /// An outgoing call won't come. The phone learns why; false if nobody waits for it.
    pub fn failed(&self, call: CallId, why: Stopped) -> bool {
        // Dropped after the lock: its drop locks the registry and wakes the phone.
        let to_come = self.table().to_come.remove(&call);
        to_come.map(|to_come| to_come.place.stop(why)).is_some()
    }

    /// Whose an outgoing call is that is still to come.
    pub fn to_come(&self, call: CallId) -> Option<(Extension, LoginId)> {
        let table = self.table();
        let place = &table.to_come.get(&call)?.place;
        Some((place.ext.clone(), place.login()))
    }

    pub(super) fn expect(&self, call: CallId, to_come: ToCome) {
        self.table().to_come.insert(call, to_come);
    }
}

impl Exchange {
    /// A call is up, with a channel that the manager can find.
    pub fn call_began(self: &Arc<Self>, call: CallId, entry: CallEntry) -> CallPlace {
        let mut table = self.calls.table();
        if !entry.channel_id.is_empty() {
            table.by_channel.insert(entry.channel_id.clone(), call);
        }
        table.up.insert(call, entry);
        drop(table);
        self.desk.began(call);
        CallPlace { exchange: self.clone(), call }
    }
}

impl Drop for CallPlace {
    fn drop(&mut self) {
        let mut table = self.exchange.calls.table();
        if let Some(entry) = table.up.remove(&self.call)
            && table.by_channel.get(&entry.channel_id) == Some(&self.call)
        {
            table.by_channel.remove(&entry.channel_id);
        }
        drop(table);
        self.exchange.desk.ended(self.call);
    }
}

#[cfg(test)]
mod tests {
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::{
        call::{RingId, RingKey, ending::Ending},
        exchange::{
            PHONE_MAILBOX, PhoneHandle, Registration,
            ask::Why,
            line::{CallFacts, PhoneCommand},
        },
    };

    fn phone(exchange: &Arc<Exchange>) -> (Registration, mailbox::Receiver<PhoneCommand>) {
        let (commands, mailbox) = mailbox::mailbox(PHONE_MAILBOX);
        let login = exchange.next_login();
        let handle = PhoneHandle {
            login,
            commands,
            kicked: CancellationToken::new(),
            resume: None,
            device: None,
            since: crate::report::time::Utc::now(),
        };
        (exchange.log_in(&"2001".into(), handle, false).expect("free"), mailbox)
    }

    fn id(n: u128) -> CallId {
        CallId::from_uuid(uuid::Uuid::from_u128(n))
    }

    #[tokio::test]
    async fn a_dialled_call_is_offered_to_its_phone_when_its_leg_comes_and_to_nobody_twice() {
        let exchange = Exchange::new(Arc::default());
        let (login, mut mailbox) = phone(&exchange);
        exchange.dial(&login.ext, login.login, id(1), "0312345678").expect("room");
        exchange.dial(&login.ext, login.login, id(2), "1").expect("a second one, as to consult");
        let busy = exchange.dial(&login.ext, login.login, id(3), "1").unwrap_err();
        assert_eq!(busy.why, Why::Busy);
        assert_eq!(exchange.calls.to_come(id(1)), Some((login.ext.clone(), login.login)));
        let (events, _mailbox) = mailbox::mailbox(8);
        let mut to_come = exchange.calls.adopt(id(1)).expect("it is wanted");
        assert!(exchange.calls.adopt(id(1)).is_none());
        assert_eq!(to_come.to, "0312345678");
        let facts = CallFacts {
            direction: Direction::Out,
            caller: Default::default(),
            to: to_come.to.clone(),
            is_group: false,
            variables: Default::default(),
            since: crate::report::time::Utc::now(),
            ring_time: Default::default(),
        };
        assert!(to_come.place.offer(true, Arc::new(facts), &events));
        let Some(PhoneCommand::Ring(offer)) = mailbox.recv().await else { panic!() };
        assert!(offer.direct);
        to_come.place.stop(Ending::CallerHungUp.into());
        let Some(PhoneCommand::Over(over)) = mailbox.recv().await else { panic!() };
        assert_eq!(over.0, RingKey { call: id(1), ring: RingId(0) });
        exchange.dial(&login.ext, login.login, id(3), "1").expect("there is room again");
    }

    #[tokio::test]
    async fn a_dialled_call_that_does_not_come_ends_at_its_phone() {
        let exchange = Exchange::new(Arc::default());
        let (login, mut mailbox) = phone(&exchange);
        exchange.dial(&login.ext, login.login, id(1), "1").expect("room");
        let why = Stopped { why: Ending::NumberUnknown, by: None, cause: Some(1) };
        assert!(exchange.calls.failed(id(1), why.clone()));
        assert!(!exchange.calls.failed(id(1), why.clone()));
        let Some(PhoneCommand::Over(over)) = mailbox.recv().await else { panic!() };
        assert_eq!(over.1, why);
    }

    #[tokio::test]
    async fn a_call_is_found_by_its_channel_for_as_long_as_it_is_up() {
        let exchange = Exchange::new(Arc::default());
        let (events, mut mailbox) = mailbox::mailbox(8);
        let entry = CallEntry::new(["WebSocket/c/0x1", "1.7", "c"], Direction::In, None, events);
        let place = exchange.call_began(id(1), entry);
        assert_eq!(exchange.calls.by_channel_id("1.7"), Some(id(1)));
        assert!(exchange.calls.tell(id(1), CallEvent::HeldByFar(true)));
        assert_eq!(mailbox.recv().await, Some(CallEvent::HeldByFar(true)));
        drop(place);
        assert_eq!(exchange.calls.by_channel_id("1.7"), None);
        assert!(!exchange.calls.tell(id(1), CallEvent::HeldByFar(false)));
    }
}
