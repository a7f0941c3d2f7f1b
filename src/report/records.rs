//! The thread that writes calls down and tells others: call table, PostgreSQL, webhooks.
//!
//! It has a runtime of its own, so that a disk or a database that makes it wait makes nobody else
//! wait. Without a `state_dir` there is no such thread.

use std::{path::Path, sync::Arc, thread, time::Duration};

use tokio::{sync::oneshot, task::JoinHandle, time::timeout};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::{
    Settings,
    feed::{Feed, Subscription},
    metrics::Metrics,
    state::StateDir,
    table::{Reader, Table, postgres},
    webhook::sender::Webhooks,
};
use crate::tap::event::Events;

/// Between two tries to take the folder.
const FOLDER_PAUSE: Duration = Duration::from_secs(10);
/// What a stop waits for the last calls to be written down and told; a disk that is busy takes
/// seconds for it.
const STOP_TIME: Duration = Duration::from_secs(8);
/// What a stop waits for the last of streams and recordings to be passed on: some thousand values
/// from one queue into another, whose readers go on meanwhile.
const TAPS_TIME: Duration = Duration::from_secs(2);

/// What is kept of calls, while the gateway runs.
#[derive(Debug)]
pub struct Records {
    feed: Arc<Feed>,
    /// Passes on what happens to streams and recordings.
    taps: Option<JoinHandle<()>>,
    /// Cancelled when nothing happens to them any more: what waits is passed on, and no more.
    no_more_taps: CancellationToken,
    /// The call table for those who ask; absent where nothing is kept.
    pub table: Option<Reader>,
    stop: CancellationToken,
    ended: Option<oneshot::Receiver<()>>,
}

/// Begins to keep what happens from now on.
pub fn start(
    settings: Settings,
    feed: Arc<Feed>,
    events: Option<Events>,
    metrics: Arc<Metrics>,
) -> Records {
    let (table, stop) = (None, CancellationToken::new());
    let no_more_taps = CancellationToken::new();
    let mut records = Records { feed, taps: None, no_more_taps, table, stop, ended: None };
    match settings.load().records.state_dir.clone() {
        Some(folder) => records.spawn(&folder, &settings, &metrics),
        None => info!("no state_dir: calls are not written down"),
    }
    let (feed, no_more) = (records.feed.clone(), records.no_more_taps.clone());
    records.taps = events.map(|mut events| {
        tokio::spawn(async move {
            loop {
                let event = tokio::select! {
                    biased;
                    // What waits still comes out of a queue that is closed.
                    () = no_more.cancelled(), if !events.0.is_closed() => {
                        events.0.close();
                        continue;
                    }
                    event = events.0.recv() => event,
                };
                let Some(event) = event else { return };
                feed.say_surely(event).await;
            }
        })
    });
    records
}

impl Records {
    fn spawn(&mut self, folder: &Path, settings: &Settings, metrics: &Arc<Metrics>) {
        let (say_ended, ended) = oneshot::channel();
        let work = Work {
            folder: folder.to_owned(),
            settings: settings.clone(),
            metrics: metrics.clone(),
            table: self.feed.subscribe("call table"),
            webhooks: self.feed.subscribe("webhooks"),
            stop: self.stop.clone(),
        };
        let thread = thread::Builder::new().name("records".to_owned()).spawn(move || {
            match tokio::runtime::Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => runtime.block_on(work.run()),
                Err(error) => error!(%error, "calls can't be written down"),
            }
            // A stop may not wait for it any more.
            let _ = say_ended.send(());
        });
        match thread {
            Ok(_) => {
                self.table = Some(Reader::new(folder));
                self.ended = Some(ended);
            }
            Err(error) => error!(%error, "calls can't be written down"),
        }
    }

    /// Writes down and tells what has happened, and ends. To be called when nothing happens any
    /// more.
    pub async fn stop(self) {
        self.no_more_taps.cancel();
        if let Some(mut taps) = self.taps
            && timeout(TAPS_TIME, &mut taps).await.is_err()
        {
            warn!("what happened last to streams and recordings may not have been told");
            taps.abort();
        }
        self.feed.close();
        self.stop.cancel();
        if let Some(ended) = self.ended
            && timeout(STOP_TIME, ended).await.is_err()
        {
            warn!("the last calls may not have been written down: the disk takes too long");
        }
    }
}

/// What the thread works with.
struct Work {
    folder: std::path::PathBuf,
    settings: Settings,
    metrics: Arc<Metrics>,
    table: Subscription,
    webhooks: Subscription,
    stop: CancellationToken,
}

impl Work {
    async fn run(self) {
        let Some(state) = self.folder().await else { return };
        let state = Arc::new(state);
        let table = Table::new(state.clone(), self.metrics.clone(), self.settings.clone());
        let webhooks = Webhooks::new(state, self.metrics, self.settings.clone());
        let postgres = self.settings.load().records.table.postgres.clone();
        let written = CancellationToken::new();
        tokio::join!(
            async {
                table.keep(self.table).await;
                written.cancel();
            },
            async {
                if let Some(postgres) = &postgres {
                    Box::pin(postgres::run(&table, postgres, written.cancelled())).await;
                }
            },
            webhooks.run(self.webhooks),
        );
    }

    /// Takes the folder, however long it takes.
    async fn folder(&self) -> Option<StateDir> {
        let mut said = false;
        loop {
            match StateDir::open(&self.folder) {
                Ok(state) => return Some(state),
                Err(error) if !said => {
                    said = true;
                    error!("calls can't be written down: {error}. Calls go on; it is tried again");
                }
                Err(_) => {}
            }
            tokio::select! {
                () = tokio::time::sleep(FOLDER_PAUSE) => {}
                () = self.stop.cancelled() => return None,
            }
        }
    }
}
