//! The sockets of calls, watched so that the kernel's news goes straight to who serves them.
//!
//! By way of the runtime a frame's news passes four places in memory that only its connection has:
//! the runtime's record of the socket, the bell, the head of the task, the task. Here the kernel's
//! answer names a seat in a table that all share, the seat who serves, and that one's work is done
//! there and then ([`Servant`]); as many frames come at once, what they will need first is fetched for all
//! of them together. A socket comes here with its call's audio, a phone's to the reactor that its call
//! is at, and goes back to the runtime with the call's end.
//!
//! Promises: whatever the kernel tells of a socket is either served or rung for; who serves is never
//! waited for; what comes without end has its turn with all else.

use std::{
    hint::black_box,
    io,
    mem::MaybeUninit,
    os::fd::OwnedFd,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak},
    task::{Context, Poll, Waker, ready},
};

use rustix::{
    event::{
        Timespec,
        epoll::{self, CreateFlags, Event, EventData, EventFlags},
    },
    io::Errno,
};
use slab::Slab;
use tokio::{
    io::{Interest, unix::AsyncFd},
    task::coop,
};
use tokio_util::sync::CancellationToken;

use super::{bell::Servant, rhythm};

/// Sockets that are told of at once; then other tasks have their turn.
const EVENTS: usize = 128;
/// Edges, as the runtime asks for, too: whoever is told reads all there is.
const WATCHED: EventFlags =
    EventFlags::IN.union(EventFlags::OUT).union(EventFlags::RDHUP).union(EventFlags::ET);
/// The peer says no more, or the connection is broken.
const ENDED: EventFlags = EventFlags::RDHUP.union(EventFlags::HUP).union(EventFlags::ERR);

/// One thread's worth of sockets.
#[derive(Debug)]
pub struct Reactor {
    epoll: AsyncFd<OwnedFd>,
    seats: Mutex<Slab<Who>>,
}

/// Who serves a socket.
#[derive(Clone)]
pub struct Who {
    pub servant: Weak<dyn Servant>,
    /// Wakes its task to ask the socket, where it is at work itself.
    pub socket: Waker,
}

/// A socket's seat; it is free again when this is dropped.
#[derive(Debug)]
pub struct Seat {
    reactor: Arc<Reactor>,
    number: usize,
}

/// All of a gateway; none before it runs.
#[derive(Debug, Default)]
pub struct Reactors(OnceLock<Vec<Arc<Reactor>>>);

impl Reactors {
    /// As many as threads that serve. Sockets are served from when each of them is run.
    pub fn open(&self, count: usize) -> io::Result<&[Arc<Reactor>]> {
        let all: io::Result<Vec<_>> = (0..count).map(|_| Reactor::open().map(Arc::new)).collect();
        let all = all?;
        Ok(self.0.get_or_init(|| all))
    }

    /// The one with the fewest sockets.
    pub fn emptiest(&self) -> Option<&Arc<Reactor>> {
        self.0.get()?.iter().min_by_key(|reactor| reactor.seats().len())
    }
}

impl Reactor {
    fn open() -> io::Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        #[expect(deprecated, reason = "what replaces it is unsafe; an OwnedFd is what it asks for")]
        let epoll = AsyncFd::with_interest(epoll, Interest::READABLE)?;
        Ok(Self { epoll, seats: Mutex::default() })
    }

    fn seats(&self) -> MutexGuard<'_, Slab<Who>> {
        // Whole between any two of its methods.
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Watches a socket from now on; what it already has is told, too.
    pub fn seat(self: &Arc<Self>, socket: &std::net::TcpStream, who: Who) -> io::Result<Seat> {
        let number = self.seats().insert(who);
        let seat = Seat { reactor: self.clone(), number };
        epoll::add(self.epoll.get_ref(), socket, EventData::new_u64(number as u64), WATCHED)?;
        Ok(seat)
    }

    /// Serves until told to stop.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let mut told = Vec::with_capacity(EVENTS);
        let serve = std::future::poll_fn(|cx| self.poll(cx, &mut told));
        tokio::select! {
            biased;
            () = stop.cancelled() => {}
            Err(error) = serve => tracing::error!("calls are not served any more: {error}"),
        }
    }

    /// Serves what there is, once; then other tasks have their turn.
    fn poll(&self, cx: &mut Context<'_>, told: &mut Vec<Told>) -> Poll<io::Result<()>> {
        let mut ready = ready!(self.epoll.poll_read_ready(cx))?;
        let mut events = [const { MaybeUninit::<Event>::uninit() }; EVENTS];
        let events: &[Event] = loop {
            match epoll::wait(self.epoll.get_ref(), &mut events, Some(&NOW)) {
                Ok((events, _)) => break events,
                Err(Errno::INTR) => {}
                Err(error) => return Poll::Ready(Err(error.into())),
            }
        };
        if events.len() < EVENTS {
            ready.clear_ready();
        }
        rhythm::count(events.len());
        self.serve(events, told);
        if self.epoll.poll_read_ready(cx)?.is_ready() {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }

    fn serve(&self, events: &[Event], told: &mut Vec<Told>) {
        {
            let seats = self.seats();
            let seat = |event: &Event| seats.get(event.data.u64() as usize);
            // Looked at for all, one after the other, and none of them waited for, before the first is
            // worked with: the places they lie in are fetched at the same time.
            let mut touched = 0;
            for event in events {
                touched += seat(event).map_or(0, |who| who.servant.strong_count());
            }
            black_box(touched);
            told.extend(events.iter().filter_map(|event| {
                let servant = seat(event)?.servant.upgrade()?;
                let seat = event.data.u64() as usize;
                let ended = { event.flags }.intersects(ENDED);
                Some(Told { servant, seat, ended })
            }));
        }
        for told in &*told {
            told.servant.touch();
        }
        for Told { servant, seat, ended } in told.drain(..) {
            // Its own task has more time for the end of a connection, or for what takes long.
            if ended || !coop::has_budget_remaining() || !servant.take_socket() {
                let who = self.seats().get(seat).map(|who| who.socket.clone());
                if let Some(socket) = who {
                    socket.wake();
                }
            }
        }
    }
}

/// What a socket's servant is told.
struct Told {
    servant: Arc<dyn Servant>,
    seat: usize,
    ended: bool,
}

const NOW: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };

impl Seat {
    /// No longer watches the socket that sits here.
    pub fn leave(self, socket: &std::net::TcpStream) -> io::Result<()> {
        Ok(epoll::delete(self.reactor.epoll.get_ref(), socket)?)
    }

    /// Whether it is one of this reactor's.
    pub fn is_of(&self, reactor: &Arc<Reactor>) -> bool {
        Arc::ptr_eq(&self.reactor, reactor)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let who = self.reactor.seats().try_remove(self.number);
        drop(who); // not under the lock: it may be the last that knows of a task
    }
}

impl std::fmt::Debug for Who {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Who").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicBool, AtomicUsize, Ordering},
        task::Wake,
    };

    use tokio::{
        io::AsyncWriteExt,
        net::{TcpListener, TcpStream},
        sync::Semaphore,
    };

    use super::*;

    /// Serves, or is at work itself; counts both ways of being told.
    #[derive(Default)]
    struct Server {
        busy: AtomicBool,
        served: AtomicUsize,
        rung: AtomicUsize,
    }

    struct Told(Arc<Server>, Arc<Semaphore>);

    impl Servant for Told {
        fn take_audio(&self) -> bool {
            true
        }

        fn take_socket(&self) -> bool {
            let busy = self.0.busy.load(Ordering::Relaxed);
            if !busy {
                self.0.served.fetch_add(1, Ordering::Relaxed);
                self.1.add_permits(1);
            }
            !busy
        }

        fn touch(&self) {}
    }

    impl Wake for Told {
        fn wake(self: Arc<Self>) {
            self.0.rung.fetch_add(1, Ordering::Relaxed);
            self.1.add_permits(1);
        }
    }

    async fn pair() -> (std::net::TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (near.into_std().unwrap(), listener.accept().await.unwrap().0)
    }

    fn running() -> Arc<Reactor> {
        let reactors = Reactors::default();
        let reactor = reactors.open(1).unwrap()[0].clone();
        tokio::spawn(reactor.clone().run(CancellationToken::new()));
        reactor
    }

    #[tokio::test]
    async fn more_sockets_than_are_told_of_at_once_are_all_served() {
        let (reactor, told) = (running(), Arc::new(Semaphore::new(0)));
        let mut all = Vec::new();
        for _ in 0..2 * EVENTS + 1 {
            let (near, far) = pair().await;
            let server = Arc::new(Told(Arc::default(), told.clone()));
            let servant: Weak<dyn Servant> = Arc::downgrade(&(server.clone() as Arc<dyn Servant>));
            let who = Who { servant, socket: Waker::from(server.clone()) };
            let seat = reactor.seat(&near, who).unwrap();
            all.push((near, far, server, seat));
        }
        // Each has room when it sits down, which is told of first.
        let count = u32::try_from(all.len()).unwrap();
        told.acquire_many(count).await.unwrap().forget();
        for (_, far, ..) in &mut all {
            far.write_all(b"audio").await.unwrap();
        }
        told.acquire_many(count).await.unwrap().forget();
        for (.., server, _) in &all {
            assert_eq!(server.0.served.load(Ordering::Relaxed), 2);
            assert_eq!(server.0.rung.load(Ordering::Relaxed), 0);
        }
    }

    #[tokio::test]
    async fn who_is_at_work_itself_is_rung_for_and_who_is_gone_is_not() {
        let (reactor, told) = (running(), Arc::new(Semaphore::new(0)));
        let [mut here, mut gone] = [pair().await, pair().await];
        let server = Arc::new(Told(Arc::default(), told.clone()));
        server.0.busy.store(true, Ordering::Relaxed);
        let servant: Weak<dyn Servant> = Arc::downgrade(&(server.clone() as Arc<dyn Servant>));
        let who = Who { servant, socket: Waker::from(server.clone()) };
        let seat = reactor.seat(&here.0, who.clone()).unwrap();
        let second = reactor.seat(&gone.0, who).unwrap();
        told.acquire_many(2).await.unwrap().forget();
        second.leave(&gone.0).unwrap();
        assert_eq!(reactor.seats().len(), 1);
        gone.1.write_all(b"nobody hears it").await.unwrap();
        here.1.write_all(b"audio").await.unwrap();
        told.acquire().await.unwrap().forget();
        assert_eq!(server.0.rung.load(Ordering::Relaxed), 3);
        // Whose task has ended is told of nothing; its seat goes with its socket.
        drop(server);
        here.1.write_all(b"more").await.unwrap();
        drop(seat);
        assert!(reactor.seats().is_empty());
    }

    #[tokio::test]
    async fn sockets_are_spread_over_the_reactors() {
        let reactors = Reactors::default();
        assert!(reactors.emptiest().is_none(), "none is open");
        reactors.open(2).unwrap();
        let (first, second) = (pair().await, pair().await);
        let nobody: Weak<dyn Servant> = Weak::<Told>::new();
        let who = Who { servant: nobody, socket: Waker::noop().clone() };
        let a = reactors.emptiest().unwrap().clone();
        let seat = a.seat(&first.0, who.clone()).unwrap();
        let b = reactors.emptiest().unwrap().clone();
        let _other = b.seat(&second.0, who).unwrap();
        assert!(!Arc::ptr_eq(&a, &b) && seat.is_of(&a) && !seat.is_of(&b));
    }
}
