//! The thread of all taps: a runtime of its own, behind the media's threads in the system's eyes, so
//! that neither a TLS handshake nor a disk nor a hundred consumers take time from a call, also where
//! there is one core.
//!
//! A lower nice value alone doesn't do: the system lets whoever runs finish his slice of a millisecond
//! or more first. Only who stands in the class of idle work is sent off the core by a frame that comes.
//! But nobody comes back from there without privileges. So there are two threads, and one of them
//! drives the runtime: the last one while the machine has time to spare ([`super::standing`]), else the
//! low one, which waits meanwhile.

use std::{future::Future, io, thread};

use thread_priority::{
    NormalThreadSchedulePolicy as Class, ThreadPriority, ThreadSchedulePolicy,
    set_thread_priority_and_policy, thread_native_id,
};
use tokio::{
    runtime::{Builder, Handle, Runtime},
    task::JoinHandle,
    time::{Instant, MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, warn};

use super::standing::{BEAT, Place, Standing, Time};

/// Threads that may wait for a disk or a name server at a time.
const BLOCKING: usize = 32;
/// How much below the media's threads the low one is.
const NICE: i32 = 5;
/// Beats from one look at the machine's time to the next: a second.
const LOOK_EVERY: u32 = 50;

/// The runtime; dropping it ends every task on it without waiting.
#[derive(Debug)]
pub struct Thread {
    runtime: Handle,
    stop: CancellationToken,
}

impl Thread {
    pub fn start() -> io::Result<Self> {
        let runtime = Builder::new_current_thread()
            .max_blocking_threads(BLOCKING)
            .thread_name("tap-disk")
            .enable_all()
            .build()?;
        let (handle, stop) = (runtime.handle().clone(), CancellationToken::new());
        let stopped = stop.clone();
        thread::Builder::new().name("tap-low".to_owned()).spawn(move || {
            drive(&runtime, &stopped);
            runtime.shutdown_background();
        })?;
        Ok(Self { runtime: handle, stop })
    }

    pub fn spawn<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.runtime.spawn(future)
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Drives the runtime until it is to stop, from the one place or the other.
fn drive(runtime: &Runtime, stop: &CancellationToken) {
    if let Err(error) = rustix::process::setpriority_process(None, NICE) {
        warn!(%error, "the taps' thread has the same priority as the calls");
    }
    let mut standing = Standing::default();
    while !stop.is_cancelled() {
        runtime.block_on(stand(&mut standing, Place::Low, stop));
        if stop.is_cancelled() {
            break;
        }
        let last = thread::scope(|scope| {
            let last = || {
                go_last();
                runtime.block_on(stand(&mut standing, Place::Last, stop));
            };
            thread::Builder::new().name("tap".to_owned()).spawn_scoped(scope, last).map(drop)
        });
        if let Err(error) = last {
            error!(%error, "no second thread for streams and recordings");
        }
    }
}

/// Beats for as long as this is the place to stand.
async fn stand(standing: &mut Standing, place: Place, stop: &CancellationToken) {
    let mut beats = interval(BEAT);
    beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut time, mut spare) = (Time::default(), false);
    for beat in (0..LOOK_EVERY).cycle() {
        if beat == 0 {
            spare = std::fs::read_to_string("/proc/stat").is_ok_and(|stat| time.look(&stat));
        }
        let due = tokio::select! {
            () = stop.cancelled() => return,
            due = beats.tick() => due,
        };
        let late = Instant::now().saturating_duration_since(due);
        if standing.beat(late, spare) != place {
            return;
        }
    }
}

fn go_last() {
    let class = ThreadSchedulePolicy::Normal(Class::Idle);
    if let Err(error) =
        set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Min, class)
    {
        debug!(%error, "the taps' thread can't be put behind everything else");
    }
}

#[cfg(test)]
mod tests {
    use std::{future::pending, time::Duration};

    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn it_works_on_a_thread_of_its_own_until_it_is_dropped() {
        let taps = Thread::start().expect("a thread");
        let name = taps.spawn(async { thread::current().name().map(str::to_owned) }).await;
        assert!(name.expect("done").expect("a name").starts_with("tap"));
        let waits = taps.spawn(pending::<()>());
        drop(taps);
        let ended = timeout(Duration::from_secs(60), waits).await.expect("in time");
        assert!(ended.expect_err("it never ends by itself").is_cancelled());
    }
}
