//! A queue that nearly always holds one thing or nothing: that one lies in its owner, so that it
//! costs no place in memory of its own, which would be out of the processor's cache when its turn
//! comes.

use std::collections::VecDeque;

/// First in, first out. Whoever owns it bounds it.
#[derive(Debug)]
pub struct ShortQueue<T> {
    /// Empty only when all is.
    first: Option<T>,
    more: VecDeque<T>,
}

impl<T> Default for ShortQueue<T> {
    fn default() -> Self {
        Self { first: None, more: VecDeque::new() }
    }
}

impl<T> ShortQueue<T> {
    pub fn push(&mut self, item: T) {
        match self.first {
            None => self.first = Some(item),
            Some(_) => self.more.push_back(item),
        }
    }

    pub fn pop(&mut self) -> Option<T> {
        let first = self.first.take();
        if !self.more.is_empty() {
            self.first = self.more.pop_front();
        }
        first
    }

    pub fn len(&self) -> usize {
        usize::from(self.first.is_some()) + self.more.len()
    }

    pub fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    pub fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_goes_in_first_comes_out_first(steps in proptest::collection::vec(any::<bool>(), 0..60)) {
            let (mut queue, mut model) = (ShortQueue::default(), VecDeque::new());
            for (n, push) in steps.into_iter().enumerate() {
                if push {
                    queue.push(n);
                    model.push_back(n);
                } else {
                    prop_assert_eq!(queue.pop(), model.pop_front());
                }
                prop_assert_eq!((queue.len(), queue.is_empty()), (model.len(), model.is_empty()));
            }
        }
    }
}
