//! A task's mailbox: a bounded queue in which places can be reserved.
//!
//! Promises: sending never waits; who holds a place can't be refused; what was sent is taken in
//! order, or dropped with the mailbox; memory is what lies in it. A channel that keeps room from the
//! beginning would be an eighth of all that an idle phone has, and most mailboxes are empty.

use std::{
    collections::VecDeque,
    future::poll_fn,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

#[derive(Debug)]
struct Inner<T> {
    queue: VecDeque<T>,
    /// Places that are neither taken nor reserved.
    free: usize,
    /// Senders and places.
    writers: usize,
    /// Nobody reads any more.
    closed: bool,
    waker: Option<Waker>,
}

#[derive(Debug)]
struct Shared<T>(Arc<Mutex<Inner<T>>>);

/// Where messages go in.
#[derive(Debug)]
pub struct Sender<T>(Shared<T>);

/// A place for one message. Dropped, it is free again.
#[derive(Debug)]
pub struct Place<T> {
    shared: Shared<T>,
    used: bool,
}

/// Where messages come out.
#[derive(Debug)]
pub struct Receiver<T>(Shared<T>);

/// The message that had no place, or that nobody would have read.
#[derive(Debug)]
pub struct Refused<T>(pub T);

/// A mailbox with room for so many messages.
pub fn mailbox<T>(places: usize) -> (Sender<T>, Receiver<T>) {
    let inner =
        Inner { queue: VecDeque::new(), free: places, writers: 1, closed: false, waker: None };
    let inner = Arc::new(Mutex::new(inner));
    (Sender(Shared(inner.clone())), Receiver(Shared(inner)))
}

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, Inner<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One more that writes.
    fn for_writing(&self) -> Self {
        self.lock().writers += 1;
        Self(self.0.clone())
    }

    /// One less, which leaves so many places free.
    fn writes_no_more(&self, leaves: usize) {
        let mut inner = self.lock();
        inner.free += leaves;
        inner.writers -= 1;
        let waker = if inner.writers == 0 { inner.waker.take() } else { None };
        drop(inner);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Puts it in, in a place that was taken for it.
    fn put(&self, message: T) -> Result<(), Refused<T>> {
        let mut inner = self.lock();
        if inner.closed {
            return Err(Refused(message));
        }
        inner.queue.push_back(message);
        let waker = inner.waker.take();
        drop(inner);
        if let Some(waker) = waker {
            waker.wake();
        }
        Ok(())
    }

    fn take_place(&self) -> bool {
        let mut inner = self.lock();
        if inner.closed || inner.free == 0 {
            return false;
        }
        inner.free -= 1;
        true
    }
}

impl<T> Sender<T> {
    pub fn try_send(&self, message: T) -> Result<(), Refused<T>> {
        if self.0.take_place() { self.0.put(message) } else { Err(Refused(message)) }
    }

    /// A place for later; `None` if there is none, or nobody reads.
    pub fn reserve(&self) -> Option<Place<T>> {
        self.0.take_place().then(|| Place { shared: self.0.for_writing(), used: false })
    }

    /// How many places are free.
    pub fn free(&self) -> usize {
        self.0.lock().free
    }

    pub fn is_closed(&self) -> bool {
        self.0.lock().closed
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        Self(self.0.for_writing())
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.0.writes_no_more(0);
    }
}

impl<T> Place<T> {
    /// Sends what the place was for. Where nobody reads any more, it is dropped.
    pub fn send(mut self, message: T) {
        self.used = true;
        let _ = self.shared.put(message);
    }
}

impl<T> Drop for Place<T> {
    fn drop(&mut self) {
        self.shared.writes_no_more(usize::from(!self.used));
    }
}

impl<T> Receiver<T> {
    /// The next message; `None` when there will be none.
    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let mut inner = self.0.lock();
        if let Some(message) = inner.queue.pop_front() {
            inner.free += 1;
            if inner.queue.is_empty() {
                inner.queue = VecDeque::new();
            }
            return Poll::Ready(Some(message));
        }
        if inner.writers == 0 {
            return Poll::Ready(None);
        }
        if !inner.waker.as_ref().is_some_and(|w| w.will_wake(cx.waker())) {
            inner.waker = Some(cx.waker().clone());
        }
        Poll::Pending
    }

    /// The next message. Nothing is lost when it is cancelled.
    pub async fn recv(&mut self) -> Option<T> {
        poll_fn(|cx| self.poll_recv(cx)).await
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let mut inner = self.0.lock();
        inner.closed = true;
        let (unread, waker) = (std::mem::take(&mut inner.queue), inner.waker.take());
        // What lies in it may lock this or another mailbox when it is dropped.
        drop(inner);
        drop((unread, waker));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn take<T>(mailbox: &mut Receiver<T>) -> Poll<Option<T>> {
        mailbox.poll_recv(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn who_holds_a_place_is_never_refused_and_who_holds_none_may_be() {
        let (sender, mut mailbox) = mailbox(2);
        let place = sender.reserve().unwrap();
        sender.try_send(1).unwrap();
        assert_eq!(sender.try_send(2).unwrap_err().0, 2);
        assert!(sender.reserve().is_none());
        place.send(3);
        assert_eq!(take(&mut mailbox), Poll::Ready(Some(1)));
        drop(sender.reserve().unwrap());
        sender.try_send(4).unwrap();
        assert_eq!(take(&mut mailbox), Poll::Ready(Some(3)));
        assert_eq!(take(&mut mailbox), Poll::Ready(Some(4)));
        assert_eq!(take(&mut mailbox), Poll::Pending);
    }

    #[test]
    fn it_ends_for_the_reader_with_the_last_who_could_write() {
        let (sender, mut mailbox) = mailbox::<u8>(4);
        let (place, second) = (sender.reserve().unwrap(), sender.clone());
        drop((sender, second));
        assert_eq!(take(&mut mailbox), Poll::Pending);
        place.send(1);
        assert_eq!(take(&mut mailbox), Poll::Ready(Some(1)));
        assert_eq!(take(&mut mailbox), Poll::Ready(None));
    }

    #[test]
    fn it_ends_for_the_writers_with_the_reader_and_what_lies_in_it_is_dropped() {
        let (sender, mailbox) = mailbox(4);
        let (message, place) = (Arc::new(()), sender.reserve().unwrap());
        sender.try_send(message.clone()).unwrap();
        drop(mailbox);
        assert_eq!(Arc::strong_count(&message), 1);
        assert!(sender.is_closed() && sender.try_send(message.clone()).is_err());
        place.send(message.clone());
        assert!(sender.reserve().is_none());
        assert_eq!(Arc::strong_count(&message), 1);
    }

    /// Whatever it holds may hold a place in it.
    #[test]
    fn a_message_that_holds_a_place_of_the_same_mailbox_can_be_dropped_with_it() {
        let (sender, mailbox) = mailbox::<Box<dyn std::any::Any>>(4);
        let place = sender.reserve().unwrap();
        sender.try_send(Box::new(place)).unwrap();
        drop(mailbox);
        assert!(sender.is_closed());
    }

    #[tokio::test]
    async fn the_reader_is_woken() {
        let (sender, mut mailbox) = mailbox(1);
        let reader = tokio::spawn(async move { (mailbox.recv().await, mailbox.recv().await) });
        tokio::task::yield_now().await;
        sender.reserve().unwrap().send(5);
        tokio::task::yield_now().await;
        drop(sender);
        assert_eq!(reader.await.unwrap(), (Some(5), None));
    }

    proptest! {
        #[test]
        fn there_are_never_more_than_its_places(places in 0usize..5, steps in prop::collection::vec(0u8..4, 0..60)) {
            let (sender, mut mailbox) = mailbox(places);
            let (mut reserved, mut model, mut n) = (Vec::new(), VecDeque::new(), 0);
            for step in steps {
                n += 1;
                let full = reserved.len() + model.len() >= places;
                match step {
                    0 => {
                        prop_assert_eq!(sender.try_send(n).is_err(), full);
                        if !full { model.push_back(n) }
                    }
                    1 => {
                        let place = sender.reserve();
                        prop_assert_eq!(place.is_none(), full);
                        reserved.extend(place);
                    }
                    2 if n % 2 == 0 => {
                        if let Some(place) = reserved.pop() {
                            place.send(n);
                            model.push_back(n);
                        }
                    }
                    2 => drop(reserved.pop()),
                    _ => {
                        let got = match take(&mut mailbox) { Poll::Ready(got) => got, Poll::Pending => None };
                        prop_assert_eq!(got, model.pop_front());
                    }
                }
            }
        }
    }
}
