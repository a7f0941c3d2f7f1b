//! What a task was woken for.
//!
//! A task that is woken for a frame of audio need not ask its mailbox, its timer, its tokens and its
//! other sources whether it was them: each would be one more place in memory that only this
//! connection has, and that is out of the processor's cache when its turn comes. So each source rings
//! a bell of its own, which marks itself in the one place that the task looks at first, and wakes the
//! task as the task's own waker would. Nothing that rings is ever missed; what was rung is asked.

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicU8, Ordering},
    },
    task::{Context, Wake, Waker},
};

use super::reactor::Who;

/// The mailbox, the timer, the tokens: what is no audio.
const RARE: u8 = 1;
/// The task's socket can be read, or takes more.
const SOCKET: u8 = 2;
/// The hop that the task takes audio from.
const AUDIO: u8 = 4;
/// The socket is to be asked, though nobody has told of it: there may be something to write, or more
/// to read.
const AGAIN: u8 = 8;
const ALL: u8 = RARE | SOCKET | AUDIO | AGAIN;

/// The owner's side. All have rung from the beginning, so everything is asked once.
pub struct Bells {
    shared: Arc<Shared>,
    /// What `shared.task` is, so that the lock is taken only when that changes.
    task: Waker,
    socket: Waker,
    rare: Waker,
    whose: Option<Weak<dyn Servant>>,
}

/// What has rung since it was last asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rung(u8);

/// Whose work can be done by whoever brings what it would be woken for.
pub trait Servant: Send + Sync {
    /// Takes the audio, unless its owner is at work; false if it isn't done.
    fn take_audio(&self) -> bool;

    /// Takes the audio that its socket has, of which the kernel has told something, in the same way.
    fn take_socket(&self) -> bool;

    /// Looks at what it will need first, so that it is near when its turn comes.
    fn touch(&self);
}

/// Rings for audio.
#[derive(Clone)]
pub struct AudioBell {
    shared: Arc<Shared>,
    whose: Option<Weak<dyn Servant>>,
}

/// As a waker, it rings for the socket: of the three the one that is woken most often as a waker.
/// Alone on its line of memory: what lies beside it would be another connection's.
#[derive(Debug)]
#[repr(align(64))]
struct Shared {
    rung: AtomicU8,
    task: Mutex<Waker>,
}

#[derive(Debug)]
struct RareBell(Arc<Shared>);

impl Default for Bells {
    fn default() -> Self {
        let task = Waker::noop().clone();
        let shared = Arc::new(Shared { rung: AtomicU8::new(ALL), task: Mutex::new(task.clone()) });
        let rare = Waker::from(Arc::new(RareBell(shared.clone())));
        Self { task, socket: Waker::from(shared.clone()), rare, shared, whose: None }
    }
}

impl Bells {
    /// What has rung since this was last asked. From now on all wake this task.
    #[inline]
    pub fn rung(&mut self, cx: &Context<'_>) -> Rung {
        if !self.task.will_wake(cx.waker()) {
            self.task.clone_from(cx.waker());
            let mut task = self.shared.task.lock().unwrap_or_else(PoisonError::into_inner);
            task.clone_from(cx.waker());
        }
        Rung(self.shared.rung.swap(0, Ordering::Acquire))
    }

    /// What has rung, for an owner that was not woken but goes on.
    pub fn all_rung(&self) {
        // Of its socket its owner knows what was told; what was told since stays.
        self.shared.rung.fetch_or(ALL & !SOCKET, Ordering::Relaxed);
    }

    /// To be polled with by what is no audio.
    pub fn rare(&self) -> &Waker {
        &self.rare
    }

    /// To be polled with by the socket.
    pub fn socket(&self) -> &Waker {
        &self.socket
    }

    /// Whom a reactor tells of the task's socket.
    pub fn who(&self) -> Option<Who> {
        let servant = self.whose.clone()?;
        Some(Who { servant, socket: self.socket.clone() })
    }

    /// Whoever rings for audio from now on does the work of this task.
    pub fn belong_to(&mut self, whose: Weak<dyn Servant>) {
        self.whose = Some(whose);
    }

    /// For the hop that the task takes audio from.
    pub fn audio(&self) -> AudioBell {
        AudioBell { shared: self.shared.clone(), whose: self.whose.clone() }
    }

    /// Whether this is the bell that [`Bells::audio`] gives.
    pub fn is_audio(&self, bell: &AudioBell) -> bool {
        Arc::ptr_eq(&self.shared, &bell.shared)
    }
}

impl Rung {
    /// Something that is no audio has.
    pub fn rare(self) -> bool {
        self.0 & RARE != 0
    }

    pub fn socket(self) -> bool {
        self.0 & (SOCKET | AGAIN) != 0
    }

    /// Somebody has told of the socket.
    pub fn told(self) -> bool {
        self.0 & SOCKET != 0
    }

    pub fn audio(self) -> bool {
        self.0 & AUDIO != 0
    }
}

impl AudioBell {
    /// Looks at whose work ringing does.
    pub fn touch(&self) -> usize {
        self.whose.as_ref().map_or(0, Weak::strong_count)
    }

    /// There is audio. It may have been taken when this returns, so nothing may be held that it takes.
    pub fn ring(&self) {
        let taken = self.whose.as_ref().and_then(Weak::upgrade).is_some_and(|w| w.take_audio());
        if !taken {
            self.shared.ring(AUDIO);
        }
    }
}

impl fmt::Debug for Bells {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bells").field("shared", &self.shared).finish_non_exhaustive()
    }
}

impl fmt::Debug for AudioBell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AudioBell").field("shared", &self.shared).finish_non_exhaustive()
    }
}

impl Shared {
    fn ring(&self, bell: u8) {
        self.rung.fetch_or(bell, Ordering::Release);
        self.task.lock().unwrap_or_else(PoisonError::into_inner).wake_by_ref();
    }
}

impl Wake for Shared {
    fn wake(self: Arc<Self>) {
        self.ring(SOCKET);
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.ring(SOCKET);
    }
}

impl Wake for RareBell {
    fn wake(self: Arc<Self>) {
        self.0.ring(RARE);
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.ring(RARE);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[derive(Default)]
    struct Task(AtomicUsize);

    impl Wake for Task {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn of(rung: Rung) -> [bool; 3] {
        [rung.rare(), rung.socket(), rung.audio()]
    }

    #[test]
    fn each_ring_is_seen_once_and_wakes_the_task_that_asked_last() {
        let (first, second) = (Arc::new(Task::default()), Arc::new(Task::default()));
        let (a, b) = (Waker::from(first.clone()), Waker::from(second.clone()));
        let (a, b) = (&Context::from_waker(&a), &Context::from_waker(&b));
        let mut bells = Bells::default();
        assert_eq!(of(bells.rung(a)), [true; 3], "from the beginning");
        assert_eq!(of(bells.rung(a)), [false; 3]);
        let (rare, socket, audio) = (bells.rare().clone(), bells.socket().clone(), bells.audio());
        rare.wake_by_ref();
        assert_eq!(first.0.load(Ordering::Relaxed), 1);
        assert_eq!(of(bells.rung(b)), [true, false, false]);
        assert_eq!(of(bells.rung(b)), [false; 3]);
        socket.wake_by_ref();
        audio.ring();
        assert_eq!(of(bells.rung(b)), [false, true, true]);
        rare.wake();
        socket.wake_by_ref();
        assert_eq!((first.0.load(Ordering::Relaxed), second.0.load(Ordering::Relaxed)), (1, 4));
        assert_eq!(of(bells.rung(b)), [true, true, false]);
        bells.all_rung();
        let rung = bells.rung(b);
        assert_eq!((of(rung), rung.told()), ([true; 3], false), "nobody has told of the socket");
        socket.wake_by_ref();
        bells.all_rung();
        assert!(bells.rung(b).told(), "it isn't forgotten");
        assert!(bells.is_audio(&audio) && !Bells::default().is_audio(&audio));
    }
}
