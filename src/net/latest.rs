//! A value that one task changes and another takes: what was not taken yet is merged, never lost,
//! and never more than one value.

use std::{
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, Waker},
};

#[derive(Debug)]
struct Cell<T> {
    value: Option<T>,
    waker: Option<Waker>,
}

/// The side that changes it.
#[derive(Debug)]
pub struct Writer<T>(Arc<Mutex<Cell<T>>>);

/// The side that takes it.
#[derive(Debug)]
pub struct Reader<T>(Arc<Mutex<Cell<T>>>);

/// Both sides of a value that is not there yet.
pub fn latest<T>() -> (Writer<T>, Reader<T>) {
    let cell = Arc::new(Mutex::new(Cell { value: None, waker: None }));
    (Writer(cell.clone()), Reader(cell))
}

impl<T: Default> Writer<T> {
    /// Changes what the reader will take.
    pub fn change(&self, change: impl FnOnce(&mut T)) {
        let mut cell = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        change(cell.value.get_or_insert_default());
        let waker = cell.waker.take();
        drop(cell);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl<T> Reader<T> {
    /// Takes what was changed since the last time.
    pub fn poll_take(&self, cx: &Context<'_>) -> Poll<T> {
        let mut cell = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(value) = cell.value.take() {
            return Poll::Ready(value);
        }
        if !cell.waker.as_ref().is_some_and(|w| w.will_wake(cx.waker())) {
            cell.waker = Some(cx.waker().clone());
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_merged_until_they_are_taken() {
        let (writer, reader) = latest::<Vec<u8>>();
        let cx = Context::from_waker(Waker::noop());
        assert_eq!(reader.poll_take(&cx), Poll::Pending);
        writer.change(|v| v.push(1));
        writer.change(|v| v.push(2));
        assert_eq!(reader.poll_take(&cx), Poll::Ready(vec![1, 2]));
        assert_eq!(reader.poll_take(&cx), Poll::Pending);
    }
}
