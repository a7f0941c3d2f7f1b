//! Records calls: slots in, a file in the spool that is playable at every moment, then its place.
//!
//! A recording has a queue like any consumer, only longer; it is written twice a second on threads
//! that may wait. What a slow disk makes it lose is silent in the file, so that both sides stay where
//! they were. A disk that is nearly full ends recordings and nothing else.

mod buffer;
mod growing;
mod recording;

use std::{
    collections::BTreeMap,
    io,
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::Semaphore,
    task::spawn_blocking,
    time::{Instant, sleep},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{info, warn};
use uuid::Uuid;

use super::{
    CONFIGURATION,
    call::CallTap,
    event::{self, EventSink, TapEvent, What},
    facts::CallFacts,
    spool::{Page, Spool},
    store::{Found, Place, Store},
    view::RecordingView,
};
use growing::Failure;
pub use recording::Recording;

/// Slots that wait for the disk: ten seconds.
pub const QUEUE: usize = 500;
/// Pauses between tries to store a recording: the first, and the longest.
const PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// Recordings that are stored at the same time.
const STORING: usize = 2;

/// How calls are recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    pub spool: PathBuf,
    pub place: Place,
    pub prefix: String,
    /// With less than this much room no recording begins, and those that grow end.
    pub min_free: u64,
}

/// All recordings of the gateway.
#[derive(Debug)]
pub struct Recorder {
    spool: Arc<Spool>,
    store: Store,
    min_free: u64,
    events: EventSink,
    /// Those that grow or wait, by their id.
    known: Mutex<BTreeMap<Uuid, Arc<Recording>>>,
    storing: Semaphore,
    tasks: TaskTracker,
    alarm: AtomicBool,
    alarmed: Mutex<Option<Instant>>,
    stop: CancellationToken,
}

impl Recorder {
    /// Opens spool and store. Blocks while it does.
    pub fn open(settings: &Settings, events: EventSink) -> Result<Arc<Self>, String> {
        let spool = Spool::open(&settings.spool)
            .map_err(|error| format!("{}: {error}", settings.spool.display()))?;
        Ok(Arc::new(Self {
            spool: Arc::new(spool),
            store: Store::open(&settings.place, &settings.prefix)?,
            min_free: settings.min_free,
            events,
            known: Mutex::default(),
            storing: Semaphore::new(STORING),
            tasks: TaskTracker::new(),
            alarm: AtomicBool::new(false),
            alarmed: Mutex::new(None),
            stop: CancellationToken::new(),
        }))
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<Uuid, Arc<Recording>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn views(&self) -> Vec<RecordingView> {
        self.known().values().map(|recording| recording.view()).collect()
    }

    /// Whether the disk was nearly full when it was looked at last.
    pub fn is_alarmed(&self) -> bool {
        self.alarm.load(Ordering::Relaxed)
    }

    /// Puts in order and stores what an earlier run has left.
    pub async fn recover(self: Arc<Self>) {
        let spool = self.spool.clone();
        let found = spawn_blocking(move || spool.left()).await;
        let (pages, strange) = match found {
            Ok(Ok(found)) => found,
            Ok(Err(error)) => return warn!(%error, "the spool of recordings can't be read"),
            Err(_) => return,
        };
        for what in strange {
            warn!(%what, "left alone in the spool of recordings");
        }
        for page in pages {
            info!(call = %page.call.call_id, name = %page.name, repaired = page.repaired,
                milliseconds = page.milliseconds, "a recording was left in the spool");
            let recording = Recording::new(page, false);
            self.known().insert(recording.id, recording.clone());
            self.tell_ended(&recording).await;
            self.clone().store_soon(recording);
        }
    }

    /// A recording that begins with the next slot of a call. `nth` is 1 for the call's first.
    pub fn begin(
        self: &Arc<Self>,
        call: &Arc<CallTap>,
        nth: u32,
        by: &str,
    ) -> Result<Arc<Recording>, String> {
        if by != CONFIGURATION && self.is_alarmed() {
            // The last look may be old. A call's own task doesn't wait for a disk: it is told later.
            self.look_at_disk().map_err(|error| error.to_string())?;
        }
        let id = call.id();
        let name = if nth <= 1 { id.to_string() } else { format!("{id}-{nth}") };
        let page = Page {
            recording: Uuid::new_v4(),
            name,
            call: (*call.facts).clone(),
            by: by.to_owned(),
            started: event::now(),
            ended: None,
            milliseconds: 0,
            lost: 0,
            repaired: false,
            pauses: Vec::new(),
            ended_event: Uuid::new_v4(),
            stored_event: Uuid::new_v4(),
        };
        Ok(Recording::new(page, true))
    }

    /// Records until the queue is closed, then stores. For a task of its own.
    pub async fn record(self: Arc<Self>, recording: Arc<Recording>, call: Arc<CallTap>) {
        self.known().insert(recording.id, recording.clone());
        let guard = Forget { recorder: &self, recording: &recording };
        match self.grow(&recording, &call).await {
            Ok(()) => {}
            Err(Failure::Began(error)) => {
                self.failed(&recording, &error);
                return drop(guard);
            }
            Err(Failure::Ended(error)) => self.failed(&recording, &error),
        }
        std::mem::forget(guard);
        self.tell_ended(&recording).await;
        self.clone().store_soon(recording);
    }

    fn store_soon(self: Arc<Self>, recording: Arc<Recording>) {
        let recorder = self.clone();
        self.tasks.spawn(async move { recorder.keep_storing(recording).await });
    }

    /// Tries until it is stored.
    async fn keep_storing(&self, recording: Arc<Recording>) {
        let page = recording.page();
        let path = self.spool.audio_path(&page.name);
        let mut pause = PAUSE.0;
        let place = loop {
            let tried = {
                let _one_of_few = self.storing.acquire().await;
                self.store.put(&page.name, &path).await
            };
            match tried {
                Ok(place) => break place,
                Err(error) => {
                    warn!(call = %recording.call, %error, ?pause, "a recording can't be stored: trying again");
                    recording.inner().error = error;
                }
            }
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = sleep(pause) => {}
            }
            pause = (pause * 2).min(PAUSE.1);
        };
        let bytes = std::fs::metadata(&path).map_or(0, |facts| facts.len());
        info!(call = %recording.call, %place, bytes, "recording stored");
        let what = What::RecordingStored { recording: recording.id, place, bytes };
        let told = TapEvent { id: page.stored_event, ..TapEvent::now(&page.call, what) };
        self.events.tell_surely(told).await;
        let (spool, name) = (self.spool.clone(), page.name);
        if let Ok(Err(error)) = spawn_blocking(move || spool.remove(&name)).await {
            warn!(%error, "a stored recording can't be removed from the spool");
        }
        self.known().remove(&recording.id);
    }

    async fn tell_ended(&self, recording: &Recording) {
        let page = recording.page();
        let what = What::RecordingEnded {
            recording: page.recording,
            started: page.started,
            ended: page.ended.unwrap_or(page.started),
            milliseconds: page.milliseconds,
            repaired: page.repaired,
            lost: page.lost,
            pauses: page.pauses,
        };
        let told = TapEvent { id: page.ended_event, ..TapEvent::now(&page.call, what) };
        self.events.tell_surely(told).await;
    }

    async fn tell(&self, recording: &Recording, what: What) {
        let facts: CallFacts = recording.inner().page.call.clone();
        self.events.tell_surely(TapEvent::now(&facts, what)).await;
    }

    fn failed(&self, recording: &Recording, error: &io::Error) {
        let reason = error.to_string();
        warn!(call = %recording.call, %reason, "recording failed");
        let facts = recording.page().call;
        let what = What::RecordingFailed { recording: recording.id, reason };
        self.events.tell(TapEvent::now(&facts, what));
    }

    /// A call's recording from the spool, or from its place.
    pub async fn find(&self, call: Uuid) -> Result<Option<Found>, String> {
        let name = {
            let known = self.known();
            let mine = known.values().rev().find(|recording| recording.call == call);
            mine.map(|recording| recording.page().name)
        };
        if let Some(name) = name {
            let path = self.spool.audio_path(&name);
            let opened = spawn_blocking(move || Found::file(&path)).await;
            if let Ok(Ok(Some(found))) = opened {
                return Ok(Some(found));
            }
        }
        self.store.find(&call.to_string()).await
    }

    /// Ends what waits; what isn't stored yet stays in the spool.
    pub fn stop(&self) {
        self.stop.cancel();
        self.tasks.close();
    }

    pub async fn stopped(&self) {
        self.tasks.wait().await;
    }
}

/// Forgets a recording that never began, also where its task fails.
struct Forget<'a> {
    recorder: &'a Recorder,
    recording: &'a Recording,
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        self.recording.queue.close();
        self.recording.queue.clear();
        self.recorder.known().remove(&self.recording.id);
    }
}
