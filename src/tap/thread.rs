//! The thread of all taps: a runtime of its own, below the media's threads in the system's eyes, so
//! that neither a TLS handshake nor a disk nor a hundred consumers take time from a call.

use std::{future::Future, io};

use tokio::{runtime::Runtime, task::JoinHandle};
use tracing::warn;

/// Threads that serve consumers. One carries hundreds of streams; a second would only compete with
/// the calls.
const THREADS: usize = 1;
/// Threads that may wait for a disk or a name server at a time.
const BLOCKING: usize = 32;
/// How much below the media's threads: enough that the scheduler prefers those at once.
const NICE: i32 = 5;

/// The runtime; dropping it ends every task on it without waiting.
#[derive(Debug)]
pub struct Thread(Option<Runtime>);

impl Thread {
    pub fn start() -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(THREADS)
            .max_blocking_threads(BLOCKING)
            .thread_name("tap")
            .on_thread_start(|| {
                if let Err(error) = rustix::process::setpriority_process(None, NICE) {
                    warn!(%error, "the taps' thread has the same priority as the calls");
                }
            })
            .enable_all()
            .build()?;
        Ok(Self(Some(runtime)))
    }

    pub fn spawn<F>(&self, future: F) -> Option<JoinHandle<F::Output>>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.0.as_ref().map(|runtime| runtime.spawn(future))
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}
