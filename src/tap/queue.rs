//! What waits for one consumer: bounded, the oldest makes room and is counted.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;

use crate::media::{
    align::Lane,
    slot::{NarrowSlot, Slot},
};

/// What a consumer gets.
#[derive(Debug, Clone)]
pub enum Item {
    Slot(Arc<Both>),
    Digit(Lane, char),
}

/// A slot as all consumers of a call share it.
#[derive(Debug)]
pub struct Both {
    pub wide: Slot,
    /// Where any consumer wants 8 kHz.
    pub narrow: Option<NarrowSlot>,
}

#[derive(Debug, Default)]
struct Inner {
    items: VecDeque<Item>,
    dropped: u64,
    closed: bool,
}

/// One consumer's queue; a handle for both ends.
#[derive(Debug, Clone)]
pub struct Queue {
    inner: Arc<Mutex<Inner>>,
    news: Arc<Notify>,
    bound: usize,
}

impl Queue {
    pub fn new(bound: usize) -> Self {
        Self { inner: Arc::default(), news: Arc::default(), bound: bound.max(1) }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn push(&self, item: Item) {
        let mut inner = self.inner();
        if inner.closed {
            return;
        }
        if inner.items.len() >= self.bound {
            inner.items.pop_front();
            inner.dropped += 1;
        }
        inner.items.push_back(item);
        drop(inner);
        self.news.notify_one();
    }

    /// Nothing more will come.
    pub fn close(&self) {
        self.inner().closed = true;
        self.news.notify_one();
    }

    pub fn dropped(&self) -> u64 {
        self.inner().dropped
    }

    /// What is there now: an item, or whether one may still come.
    pub fn take(&self) -> Result<Item, bool> {
        let mut inner = self.inner();
        inner.items.pop_front().ok_or(!inner.closed)
    }

    pub fn is_closed(&self) -> bool {
        self.inner().closed
    }

    /// The oldest slot that waits.
    pub fn first_slot(&self) -> Option<u64> {
        self.inner().items.iter().find_map(|item| match item {
            Item::Slot(both) => Some(both.wide.index),
            Item::Digit(..) => None,
        })
    }

    /// Throws away what waits; it was meant for another moment.
    pub fn clear(&self) {
        let mut inner = self.inner();
        inner.dropped += inner.items.len() as u64;
        inner.items.clear();
    }

    /// Waits until there may be something new. For one waiter; cancel-safe.
    pub async fn news(&self) {
        self.news.notified().await;
    }

    /// The next item; `None` when there will be none. For one taker; cancel-safe.
    pub async fn next(&self) -> Option<Item> {
        loop {
            match self.take() {
                Ok(item) => return Some(item),
                Err(true) => self.news().await,
                Err(false) => return None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_oldest_makes_room_and_what_is_there_comes_before_the_end() {
        let queue = Queue::new(3);
        for digit in "12345".chars() {
            queue.push(Item::Digit(Lane::Left, digit));
        }
        queue.close();
        queue.push(Item::Digit(Lane::Left, '6'));
        let mut got = String::new();
        while let Some(Item::Digit(_, digit)) = queue.next().await {
            got.push(digit);
        }
        assert_eq!((got.as_str(), queue.dropped()), ("345", 2));
    }
}
