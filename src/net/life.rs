//! The life of a task that serves one socket for long.
//!
//! An `async fn` keeps how far it has come beside what it works with, and so does each that it is
//! called by: a frame of audio passed through two more lines of memory that only its connection has.
//! Here the task holds a pointer and nothing else, and what it points to begins with what a frame
//! needs. What is done at the end, in its own time, is a future as any other.
//!
//! Whoever brings audio for a task that isn't at work just then does that part of its work itself,
//! at once ([`Servant`]): to wake the task, and to find all its places in memory again when its turn
//! has come, would cost more than the work. Promises: that never waits for the other task, and a panic
//! in it ends the task whose work it was, and no other.

use std::{
    future::Future,
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::{Arc, Mutex, PoisonError, Weak},
    task::{Context, Poll, ready},
};

use super::bell::{Bells, Servant};

/// Who serves.
pub trait Serve: Unpin + Send + 'static {
    /// Why it serves no longer.
    type End;
    /// What is left of it.
    type Left;

    fn bells(&mut self) -> &mut Bells;

    /// Serves; ready when that is over.
    fn poll_serve(&mut self, cx: &mut Context<'_>) -> Poll<Self::End>;

    /// Does what its audio bell would wake it for, and rings its other bells for what follows.
    fn take_audio(&mut self);

    /// Does what its socket bell would wake it for, as far as that is audio, in the same way.
    fn take_socket(&mut self);

    /// Looks at what the next frame touches.
    fn touch(&self) {}

    /// What is still to be done when it serves no longer.
    fn finish(self, end: Self::End) -> impl Future<Output = Self::Left> + Send + 'static;
}

/// The task.
pub struct Life<T: Serve>(Arc<Mutex<Phase<T>>>);

#[repr(C, u8)] // what is asked first comes first
enum Phase<T: Serve> {
    Serving(T),
    Finishing(Pin<Box<dyn Future<Output = T::Left> + Send>>),
    Over,
}

impl<T: Serve> Life<T> {
    pub fn new(mut server: T) -> Self {
        Self(Arc::new_cyclic(|whose: &Weak<Mutex<Phase<T>>>| {
            server.bells().belong_to(whose.clone());
            Mutex::new(Phase::Serving(server))
        }))
    }
}

impl<T: Serve> Future for Life<T> {
    type Output = T::Left;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T::Left> {
        // Waited for at most while another thread does what a handful of frames takes.
        let phase = &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Phase::Serving(server) = phase {
            let end = ready!(server.poll_serve(cx));
            if let Phase::Serving(server) = mem::replace(phase, Phase::Over) {
                *phase = Phase::Finishing(Box::pin(server.finish(end)));
            }
        }
        // Its memory stays as large as it was until the task is over: a second, at most.
        match phase {
            Phase::Finishing(last) => last.as_mut().poll(cx),
            _ => panic!("a panic while another task did this one's work"),
        }
    }
}

impl<T: Serve> Servant for Mutex<Phase<T>> {
    fn take_audio(&self) -> bool {
        work(self, T::take_audio)
    }

    fn take_socket(&self) -> bool {
        work(self, T::take_socket)
    }

    fn touch(&self) {
        if let Ok(phase) = self.try_lock()
            && let Phase::Serving(server) = &*phase
        {
            // It only looks: a fault here breaks nothing.
            let _ = catch_unwind(AssertUnwindSafe(|| server.touch()));
        }
    }
}

/// Does some of a task's work, unless it is at it itself.
fn work<T: Serve>(whose: &Mutex<Phase<T>>, what: impl FnOnce(&mut T)) -> bool {
    let Ok(mut phase) = whose.try_lock() else { return false };
    let Phase::Serving(server) = &mut *phase else { return false };
    if catch_unwind(AssertUnwindSafe(|| what(server))).is_ok() {
        return true;
    }
    // Its own task ends by it, and nobody works with what is half done: all that could still ring for the
    // task may be gone with it.
    let Phase::Serving(mut broken) = mem::replace(&mut *phase, Phase::Over) else { return false };
    drop(phase);
    let task = broken.bells().rare().clone();
    let _ = catch_unwind(AssertUnwindSafe(|| drop(broken)));
    task.wake();
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Countdown {
        left: u32,
        heard: u32,
        bells: Bells,
        panics: bool,
        /// Waits for somebody to ring.
        sleeps: bool,
    }

    impl Serve for Countdown {
        type End = &'static str;
        type Left = String;

        fn bells(&mut self) -> &mut Bells {
            &mut self.bells
        }

        fn poll_serve(&mut self, cx: &mut Context<'_>) -> Poll<&'static str> {
            let _ = self.bells.rung(cx);
            if self.left == 0 {
                return Poll::Ready("over");
            }
            if self.sleeps {
                return Poll::Pending;
            }
            self.left -= 1;
            self.bells.rare().wake_by_ref();
            Poll::Pending
        }

        fn take_audio(&mut self) {
            assert!(!self.panics, "a fault");
            self.heard += 1;
        }

        fn take_socket(&mut self) {
            assert!(!self.panics, "a fault");
        }

        async fn finish(self, end: &'static str) -> String {
            tokio::task::yield_now().await;
            format!("{end} at {}, heard {}", self.left, self.heard)
        }
    }

    #[tokio::test]
    async fn who_serves_to_the_end_finishes_in_its_own_time() {
        let life = Life::new(Countdown { left: 3, ..Countdown::default() });
        assert_eq!(life.await, "over at 0, heard 0");
    }

    #[tokio::test]
    async fn whoever_brings_audio_does_the_work_unless_the_task_is_at_it() {
        let server = Countdown::default();
        let alone = server.bells.audio();
        alone.ring(); // nobody's yet: only a bell
        let life = Life::new(server);
        let bell = match &mut *life.0.lock().unwrap() {
            Phase::Serving(server) => {
                let bell = server.bells.audio();
                bell.ring(); // it is at work
                assert_eq!(server.heard, 0);
                bell
            }
            _ => panic!("it has only begun"),
        };
        bell.ring();
        bell.ring();
        assert_eq!(life.await, "over at 0, heard 2");
        bell.ring(); // it is gone
    }

    #[tokio::test]
    async fn a_panic_ends_the_task_whose_work_it_was_and_no_other() {
        let mut life = Life::new(Countdown { left: 9, panics: true, ..Countdown::default() });
        let bell = match &mut *life.0.lock().unwrap() {
            Phase::Serving(server) => server.bells.audio(),
            _ => panic!("it has only begun"),
        };
        assert!(futures_util::poll!(&mut life).is_pending());
        bell.ring();
        assert!(tokio::spawn(life).await.unwrap_err().is_panic());
    }

    #[tokio::test]
    async fn a_task_whose_work_panicked_is_woken_to_end_though_nobody_is_left_who_would_ring() {
        let life =
            Life::new(Countdown { left: 1, panics: true, sleeps: true, ..Countdown::default() });
        let servant: Weak<dyn Servant> = match &mut *life.0.lock().unwrap() {
            Phase::Serving(server) => server.bells.who().unwrap().servant,
            _ => panic!("it has only begun"),
        };
        let (begun, waits) = tokio::sync::oneshot::channel();
        let (mut life, mut begun) = (life, Some(begun));
        let task = tokio::spawn(std::future::poll_fn(move |cx| {
            let ended = Pin::new(&mut life).poll(cx);
            begun.take().map(|begun| begun.send(()));
            ended
        }));
        waits.await.unwrap();
        assert!(!servant.upgrade().unwrap().take_socket());
        // Not woken, it would sleep for ever.
        let ended = tokio::time::timeout(std::time::Duration::from_secs(60), task).await;
        assert!(ended.expect("it was woken").unwrap_err().is_panic());
    }

    /// Takes audio until it has accounted for all.
    struct Listener {
        bells: Bells,
        hop: crate::net::hop::HopReceiver,
        taken: u64,
        of: u64,
    }

    impl Listener {
        fn take(&mut self) -> bool {
            while self.hop.take(&self.bells).is_some() {
                self.taken += 1;
            }
            self.taken + self.hop.dropped() == self.of
        }
    }

    impl Serve for Listener {
        type End = ();
        type Left = u64;

        fn bells(&mut self) -> &mut Bells {
            &mut self.bells
        }

        fn poll_serve(&mut self, cx: &mut Context<'_>) -> Poll<()> {
            let rung = self.bells.rung(cx);
            let all = (rung.audio() || rung.rare()) && self.take();
            if all { Poll::Ready(()) } else { Poll::Pending }
        }

        fn take_audio(&mut self) {
            if self.take() {
                self.bells.rare().wake_by_ref();
            }
        }

        fn take_socket(&mut self) {}

        async fn finish(self, (): ()) -> u64 {
            self.taken
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn between_two_threads_no_frame_is_left_lying() {
        const FRAMES: u64 = 50_000;
        let (mut sender, hop) = crate::net::hop::hop();
        let listener = Listener { bells: Bells::default(), hop, taken: 0, of: FRAMES };
        let listener = tokio::spawn(Life::new(listener));
        let speaker = tokio::spawn(async move {
            for n in 0..FRAMES {
                sender.push(bytes::Bytes::from_static(&[0; 640]));
                if n % 3 != 0 || n + 1 == FRAMES {
                    sender.ring();
                }
                if n % 16 == 0 {
                    tokio::task::yield_now().await;
                }
            }
        });
        speaker.await.unwrap();
        // A frame that is left lying would have it listen for ever.
        let taken = tokio::time::timeout(std::time::Duration::from_secs(60), listener).await;
        assert!(taken.expect("all frames are accounted for").unwrap() > 0);
    }

    #[test]
    fn a_life_is_a_pointer_to_who_lives_it() {
        assert_eq!(size_of::<Life<Countdown>>(), size_of::<usize>());
        // What phase it is in lies in front of what serves, not somewhere in it.
        assert_eq!(size_of::<Phase<Countdown>>(), size_of::<Countdown>() + align_of::<Countdown>());
    }
}
