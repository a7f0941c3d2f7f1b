//! The feed: what happens to calls, as values, for whoever wants to know.
//!
//! A call says it and goes on: it never waits for who listens. Each subscriber has a queue with a
//! bound; what doesn't fit is dropped, counted and said. Beside it, [`Feed::live`] is the exact
//! list of the calls that are up, whoever listens.

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::sync::mpsc;
use tracing::warn;

use super::{row::CallRow, time::Utc};
use crate::{
    call::{CallId, Extension},
    tap::event::TapEvent,
};

/// Events that wait for one subscriber: the beginnings and ends of a thousand calls at once. Its
/// thread takes them by the hundred.
pub const FEED_QUEUE: usize = 4096;

/// What happened to a call, when, and all that is known of the call since.
#[derive(Debug, Clone)]
pub struct CallHappened {
    pub what: What,
    pub at: Utc,
    pub call: Arc<CallRow>,
}

/// What subscribers get, in the order in which it happened.
#[derive(Debug, Clone)]
pub enum Happened {
    Call(CallHappened),
    /// A stream or a recording of a call.
    Tap(Arc<TapEvent>),
}

/// In this order for each call; `Rang` may be absent or come more than once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// Asterisk said whom it calls.
    Began,
    /// A phone rings.
    Rang(Extension),
    Answered,
    /// The last of a call's own.
    Ended,
}

impl What {
    /// The name in webhooks. Stable.
    pub fn as_str(&self) -> &'static str {
        match self {
            What::Began => "call_began",
            What::Rang(_) => "call_rang",
            What::Answered => "call_answered",
            What::Ended => "call_ended",
        }
    }
}

/// Gives what happens to those who subscribed.
#[derive(Default)]
pub struct Feed {
    subscribers: Mutex<Vec<Subscriber>>,
    live: Mutex<HashMap<CallId, Arc<CallRow>>>,
}

struct Subscriber {
    name: &'static str,
    queue: mpsc::Sender<Happened>,
    dropped: Arc<AtomicU64>,
}

/// A subscriber's end. Dropping it ends the subscription.
#[derive(Debug)]
pub struct Subscription {
    queue: mpsc::Receiver<Happened>,
    dropped: Arc<AtomicU64>,
}

impl Feed {
    /// Everything from now on, until [`Feed::close`].
    pub fn subscribe(&self, name: &'static str) -> Subscription {
        self.subscribe_with(name, FEED_QUEUE)
    }

    fn subscribe_with(&self, name: &'static str, room: usize) -> Subscription {
        let (sender, queue) = mpsc::channel(room);
        let dropped = Arc::new(AtomicU64::new(0));
        let subscriber = Subscriber { name, queue: sender, dropped: dropped.clone() };
        locked(&self.subscribers).push(subscriber);
        Subscription { queue, dropped }
    }

    /// Tells everybody, without waiting for anybody.
    pub fn say(&self, happened: CallHappened) {
        {
            let mut live = locked(&self.live);
            if happened.what == What::Ended {
                live.remove(&happened.call.id);
            } else {
                live.insert(happened.call.id, happened.call.clone());
            }
        }
        let happened = Happened::Call(happened);
        locked(&self.subscribers).retain(|subscriber| subscriber.give(&happened));
    }

    /// More is known of a call that is up; it is told with what happens next.
    pub fn correct(&self, call: CallRow) {
        if let Some(live) = locked(&self.live).get_mut(&call.id) {
            *live = Arc::new(call);
        }
    }

    /// Tells everybody what happened to a stream or a recording, and waits for room: nothing of a
    /// call waits for who says it.
    pub async fn say_surely(&self, event: TapEvent) {
        let event = Arc::new(event);
        let queues: Vec<_> = locked(&self.subscribers).iter().map(|s| s.queue.clone()).collect();
        for queue in queues {
            // Who is gone is forgotten with the next call.
            let _ = queue.send(Happened::Tap(event.clone())).await;
        }
    }

    /// The calls that are up, oldest first.
    pub fn live(&self) -> Vec<Arc<CallRow>> {
        let mut calls: Vec<_> = locked(&self.live).values().cloned().collect();
        calls.sort_by_key(|call| (call.began, call.id));
        calls
    }

    /// The call, if it is up.
    pub fn live_call(&self, id: CallId) -> Option<Arc<CallRow>> {
        locked(&self.live).get(&id).cloned()
    }

    /// Nothing happens any more: subscribers come to their end when they have read what is there.
    pub fn close(&self) {
        locked(&self.subscribers).clear();
    }
}

/// Consistent between any two statements, so a panic elsewhere is no reason to stop.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Subscriber {
    /// False when nobody listens any more.
    fn give(&self, happened: &Happened) -> bool {
        match self.queue.try_send(happened.clone()) {
            Ok(()) => true,
            Err(mpsc::error::TrySendError::Closed(_)) => false,
            Err(mpsc::error::TrySendError::Full(_)) => {
                let dropped = 1 + self.dropped.fetch_add(1, Ordering::Relaxed);
                // Not a line for each: who can't keep up would be told by the thousand.
                if dropped.is_power_of_two() {
                    warn!(
                        subscriber = self.name,
                        dropped, "events of calls were dropped: it doesn't keep up"
                    );
                }
                true
            }
        }
    }
}

impl Subscription {
    /// The next, or `None` when nothing will come any more. Cancel-safe.
    pub async fn next(&mut self) -> Option<Happened> {
        self.queue.recv().await
    }

    /// At least one, and as many more as are there up to `most`; 0 when nothing will come any
    /// more. Cancel-safe.
    pub async fn next_many(&mut self, into: &mut Vec<Happened>, most: usize) -> usize {
        self.queue.recv_many(into, most).await
    }

    /// How many were dropped since the last time this was asked.
    pub fn take_dropped(&self) -> u64 {
        self.dropped.swap(0, Ordering::Relaxed)
    }
}

impl fmt::Debug for Feed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Feed").field("live", &locked(&self.live).len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::testing::answered_call;

    fn happened(what: What, id: u128) -> CallHappened {
        let began = Utc::from_millis(1_000_000);
        CallHappened { what, at: began, call: Arc::new(answered_call(id, began)) }
    }

    #[tokio::test]
    async fn every_subscriber_gets_everything_in_order() {
        let feed = Feed::default();
        let mut both = [feed.subscribe("a"), feed.subscribe("b")];
        for what in [What::Began, What::Rang("2001".into()), What::Answered, What::Ended] {
            feed.say(happened(what, 1));
        }
        feed.close();
        for subscription in &mut both {
            let mut names = Vec::new();
            while let Some(Happened::Call(happened)) = subscription.next().await {
                names.push(happened.what.as_str());
            }
            assert_eq!(names, ["call_began", "call_rang", "call_answered", "call_ended"]);
        }
    }

    #[tokio::test]
    async fn a_subscriber_that_reads_nothing_holds_nobody_up_and_its_losses_are_counted() {
        let feed = Feed::default();
        let (mut slow, mut quick) = (feed.subscribe_with("slow", 2), feed.subscribe("quick"));
        for id in 0..100 {
            feed.say(happened(What::Began, id));
        }
        assert_eq!((slow.take_dropped(), slow.take_dropped(), quick.take_dropped()), (98, 0, 0));
        let mut got = Vec::new();
        assert_eq!(quick.next_many(&mut got, 1000).await, 100);
        assert!(slow.next().await.is_some());
        feed.say(happened(What::Began, 100));
        assert_eq!(slow.take_dropped(), 0, "there is room again");
    }

    #[test]
    fn a_subscriber_that_is_gone_is_forgotten() {
        let feed = Feed::default();
        drop(feed.subscribe("gone"));
        feed.say(happened(What::Began, 1));
        assert!(locked(&feed.subscribers).is_empty());
    }

    #[test]
    fn a_call_is_live_from_its_beginning_to_its_end() {
        let feed = Feed::default();
        feed.say(happened(What::Began, 1));
        feed.say(happened(What::Began, 2));
        feed.say(happened(What::Answered, 2));
        assert_eq!(feed.live().len(), 2);
        feed.say(happened(What::Ended, 1));
        assert_eq!(feed.live().len(), 1);
        assert!(feed.live_call(feed.live()[0].id).is_some());
    }
}
