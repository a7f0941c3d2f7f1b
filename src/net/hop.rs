//! The way of audio from one socket's task to the other's: a bounded queue that drops the oldest.
//!
//! Promises: pushing never waits; what is too much is counted; when one end is gone, the other
//! learns it (the receiver) or pushes into nothing (the sender).

use std::{
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, Waker},
};

use bytes::Bytes;

use super::short::ShortQueue;

/// Frames of 20 ms that may wait for a socket: 200 ms. What is older helps nobody.
pub const HOP_FRAMES: usize = 10;

#[derive(Debug, Default)]
struct Queue {
    frames: ShortQueue<Bytes>,
    waker: Option<Waker>,
    dropped: u64,
    sender_gone: bool,
}

/// Where frames go in.
#[derive(Debug)]
pub struct HopSender(Arc<Mutex<Queue>>);

/// Where frames come out.
#[derive(Debug)]
pub struct HopReceiver(Arc<Mutex<Queue>>);

/// One direction of one call.
pub fn hop() -> (HopSender, HopReceiver) {
    let queue = Arc::new(Mutex::new(Queue::default()));
    (HopSender(queue.clone()), HopReceiver(queue))
}

impl HopSender {
    /// Puts a frame in; the oldest makes room.
    pub fn push(&self, frame: Bytes) {
        let mut queue = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if queue.frames.len() >= HOP_FRAMES {
            queue.frames.pop();
            queue.dropped += 1;
        }
        queue.frames.push(frame);
        let waker = queue.waker.take();
        drop(queue);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// How many frames were dropped for room so far.
    pub fn dropped(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).dropped
    }
}

impl Drop for HopSender {
    fn drop(&mut self) {
        let mut queue = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        queue.sender_gone = true;
        let waker = queue.waker.take();
        drop(queue);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl HopReceiver {
    /// How many frames were dropped for room so far.
    pub fn dropped(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).dropped
    }

    /// How many frames wait.
    pub fn waiting(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).frames.len()
    }

    /// The next frame; `None` when there will be none.
    pub fn poll_recv(&self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let mut queue = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(frame) = queue.frames.pop() {
            return Poll::Ready(Some(frame));
        }
        if queue.sender_gone {
            return Poll::Ready(None);
        }
        if !queue.waker.as_ref().is_some_and(|w| w.will_wake(cx.waker())) {
            queue.waker = Some(cx.waker().clone());
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    #[test]
    fn the_oldest_makes_room_and_is_counted() {
        let (tx, rx) = hop();
        for n in 0..15u8 {
            tx.push(Bytes::from(vec![n]));
        }
        let mut cx = Context::from_waker(Waker::noop());
        assert_eq!((tx.dropped(), rx.dropped()), (5, 5));
        for n in 5..15u8 {
            assert_eq!(rx.poll_recv(&mut cx), Poll::Ready(Some(Bytes::from(vec![n]))));
        }
        assert_eq!(rx.poll_recv(&mut cx), Poll::Pending);
        drop(tx);
        assert_eq!(rx.poll_recv(&mut cx), Poll::Ready(None));
    }
}
