//! The life of a task that serves one socket for long: found from the scheduler's own line of memory
//! in one step.
//!
//! An `async fn` keeps how far it has come beside what it works with, and so does each that it is
//! called by: a frame of audio passed through two more lines of memory that only its connection has.
//! Here the task holds a pointer and nothing else, and what it points to begins with what a frame
//! needs. What is done at the end, in its own time, is a future as any other.

use std::{
    future::Future,
    mem,
    pin::Pin,
    task::{Context, Poll, ready},
};

/// Who serves.
pub trait Serve: Unpin + Send + 'static {
    /// Why it serves no longer.
    type End;
    /// What is left of it.
    type Left;

    /// Serves; ready when that is over.
    fn poll_serve(&mut self, cx: &mut Context<'_>) -> Poll<Self::End>;

    /// What is still to be done then.
    fn finish(self, end: Self::End) -> impl Future<Output = Self::Left> + Send + 'static;
}

/// The task.
pub struct Life<T: Serve>(Box<Phase<T>>);

enum Phase<T: Serve> {
    Serving(T),
    Finishing(Pin<Box<dyn Future<Output = T::Left> + Send>>),
    Over,
}

impl<T: Serve> Life<T> {
    pub fn new(server: T) -> Self {
        Self(Box::new(Phase::Serving(server)))
    }
}

impl<T: Serve> Future for Life<T> {
    type Output = T::Left;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T::Left> {
        let phase = &mut *self.0;
        if let Phase::Serving(server) = phase {
            let end = ready!(server.poll_serve(cx));
            if let Phase::Serving(server) = mem::replace(phase, Phase::Over) {
                *phase = Phase::Finishing(Box::pin(server.finish(end)));
            }
        }
        // Its memory stays as large as it was until the task is over: a second, at most.
        match phase {
            Phase::Finishing(last) => last.as_mut().poll(cx),
            _ => Poll::Pending,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Countdown(u32);

    impl Serve for Countdown {
        type End = &'static str;
        type Left = String;

        fn poll_serve(&mut self, cx: &mut Context<'_>) -> Poll<&'static str> {
            if self.0 == 0 {
                return Poll::Ready("over");
            }
            self.0 -= 1;
            cx.waker().wake_by_ref();
            Poll::Pending
        }

        async fn finish(self, end: &'static str) -> String {
            tokio::task::yield_now().await;
            format!("{end} at {}", self.0)
        }
    }

    #[tokio::test]
    async fn who_serves_to_the_end_finishes_in_its_own_time() {
        assert_eq!(Life::new(Countdown(3)).await, "over at 0");
    }

    #[test]
    fn a_life_is_a_pointer_to_who_lives_it_and_to_nothing_before() {
        use crate::phone::task::PhoneTask;
        assert_eq!(size_of::<Life<PhoneTask>>(), size_of::<usize>());
        assert_eq!(size_of::<Phase<PhoneTask>>(), size_of::<PhoneTask>());
    }
}
