//! Who hears which of the manager's events.
//!
//! Promises: an event that nobody asked for is not read; a subscriber that is slow holds nobody up,
//! its queue has a bound, and it learns that it has missed something.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use tokio::sync::mpsc;

use super::event::Event;

/// Events that may wait for a subscriber. A call makes about ten of those that are asked for, and
/// they come in bursts of a few calls.
pub const EVENT_QUEUE: usize = 1024;

/// What a subscriber is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// Logged in. What happened before is not known.
    Up,
    /// The connection is lost.
    Lost,
    Event(Event),
    /// The queue was full: something of the above has been dropped.
    Missed,
}

/// The subscribers of one manager.
#[derive(Debug, Default)]
pub struct Subscribers(Mutex<Vec<Subscriber>>);

#[derive(Debug)]
struct Subscriber {
    names: Vec<String>,
    queue: mpsc::Sender<Heard>,
    missed: AtomicBool,
}

/// A subscriber's end.
#[derive(Debug)]
pub struct Subscription(mpsc::Receiver<Heard>);

impl Subscription {
    /// What comes next; `None` when the manager is shut down. Cancel-safe.
    pub async fn next(&mut self) -> Option<Heard> {
        self.0.recv().await
    }
}

impl Subscribers {
    /// Subscribes to events by Asterisk's names; `UserEvent/NAME` stands for one of the dialplan's.
    pub fn add<'a>(&self, names: impl IntoIterator<Item = &'a str>) -> Subscription {
        let (queue, receiver) = mpsc::channel(EVENT_QUEUE);
        let names = names.into_iter().map(str::to_owned).collect();
        let missed = AtomicBool::new(false);
        self.all().push(Subscriber { names, queue, missed });
        Subscription(receiver)
    }

    /// Whether anybody wants events of this name.
    pub fn want(&self, name: &str) -> bool {
        self.all().iter().any(|subscriber| subscriber.wants(name, None))
    }

    /// Tells everybody.
    pub fn tell(&self, heard: &Heard) {
        let mut all = self.all();
        all.retain(|subscriber| !subscriber.queue.is_closed());
        for subscriber in all.iter() {
            subscriber.tell(heard);
        }
    }

    /// Tells an event to those who want it.
    pub fn event(&self, name: &str, event: Event) {
        let heard = Heard::Event(event);
        let user = match &heard {
            Heard::Event(Event::User { name, .. }) => Some(name.as_str()),
            _ => None,
        };
        for subscriber in self.all().iter().filter(|s| s.wants(name, user)) {
            subscriber.tell(&heard);
        }
    }

    fn all(&self) -> std::sync::MutexGuard<'_, Vec<Subscriber>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Subscriber {
    /// Whether it wants an event; for one of a user without `user`, whether it wants any.
    fn wants(&self, name: &str, user: Option<&str>) -> bool {
        self.names.iter().any(|wanted| match wanted.strip_prefix("UserEvent/") {
            Some(_) if user.is_none() => name == "UserEvent",
            Some(wanted) => Some(wanted) == user,
            None => wanted == name,
        })
    }

    fn tell(&self, heard: &Heard) {
        if self.missed.load(Ordering::Relaxed) {
            if self.queue.try_send(Heard::Missed).is_err() {
                return;
            }
            self.missed.store(false, Ordering::Relaxed);
        }
        if self.queue.try_send(heard.clone()).is_err() {
            self.missed.store(true, Ordering::Relaxed);
        }
    }
}

/// Shared between the connection's task and whoever subscribes.
pub type Shared = Arc<Subscribers>;

#[cfg(test)]
mod tests {
    use super::*;

    fn hangup(id: &str) -> Event {
        Event::Hangup { id: id.to_owned(), cause: 16 }
    }

    fn user(name: &str) -> Event {
        Event::User { name: name.to_owned(), fields: Vec::new() }
    }

    #[tokio::test]
    async fn one_hears_what_one_has_asked_for() {
        let all = Subscribers::default();
        let mut calls = all.add(["Hangup"]);
        let mut forks = all.add(["UserEvent/AudioFork"]);
        assert!(all.want("Hangup") && all.want("UserEvent") && !all.want("Newexten"));
        all.event("Hangup", hangup("1"));
        all.event("UserEvent", user("Other"));
        all.event("UserEvent", user("AudioFork"));
        all.tell(&Heard::Lost);
        assert_eq!(calls.next().await, Some(Heard::Event(hangup("1"))));
        assert_eq!(calls.next().await, Some(Heard::Lost));
        assert_eq!(forks.next().await, Some(Heard::Event(user("AudioFork"))));
        assert_eq!(forks.next().await, Some(Heard::Lost));
    }

    #[tokio::test]
    async fn whoever_is_too_slow_learns_that_he_has_missed_something() {
        let all = Subscribers::default();
        let mut slow = all.add(["Hangup"]);
        for n in 0..EVENT_QUEUE * 3 {
            all.event("Hangup", hangup(&n.to_string()));
        }
        for n in 0..EVENT_QUEUE {
            assert_eq!(slow.next().await, Some(Heard::Event(hangup(&n.to_string()))));
        }
        all.event("Hangup", hangup("last"));
        assert_eq!(slow.next().await, Some(Heard::Missed));
        assert_eq!(slow.next().await, Some(Heard::Event(hangup("last"))));
    }

    #[test]
    fn who_has_gone_is_forgotten() {
        let all = Subscribers::default();
        drop(all.add(["Hangup"]));
        all.tell(&Heard::Lost);
        assert!(!all.want("Hangup"));
    }
}
