//! Records calls: slots in, a file in the spool that is playable at every moment, then its place.
//!
//! A recording has a queue like any consumer, only longer; it is written twice a second on threads
//! that may wait. What a slow disk makes it lose is silent in the file, so that both sides stay where
//! they were. A disk that is nearly full ends recordings and nothing else.

use std::{
    collections::BTreeMap,
    io,
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use tokio::{
    sync::Semaphore,
    task::spawn_blocking,
    time::{Instant, sleep, timeout_at},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{error, info, warn};
use uuid::Uuid;

use super::{
    call::CallTap,
    event::{self, EventSink, TapEvent, What},
    facts::CallFacts,
    queue::{Item, Queue},
    spool::{Growing, Page, Spool},
    store::{self, Place, Store},
    view::{Fetched, RecordingState, RecordingView},
    wav,
};
use crate::media::slot::{interleaved, to_bytes};

/// Slots that wait for the disk: ten seconds.
pub const QUEUE: usize = 500;
/// How often what has come is written and made safe: twice as often as the second that may be
/// missing after a power cut.
const WRITE_EVERY: Duration = Duration::from_millis(500);
/// Most that is written at once.
const MOST_BUFFERED: usize = QUEUE * wav::SLOT_BYTES as usize;
/// Pauses between tries to store a recording: the first, and the longest.
const PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// Recordings that are stored at the same time.
const STORING: usize = 2;
/// How often a full disk is complained about.
const ALARM_EVERY: Duration = Duration::from_secs(60);

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

/// One recording.
#[derive(Debug)]
pub struct Recording {
    pub id: Uuid,
    pub call: Uuid,
    started: SystemTime,
    queue: Queue,
    slots: AtomicU64,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    page: Page,
    growing: bool,
    error: String,
}

impl Recording {
    fn new(page: Page, growing: bool) -> Arc<Self> {
        Arc::new(Self {
            id: page.recording,
            call: page.call.call_id,
            started: page.started,
            queue: Queue::new(QUEUE),
            slots: AtomicU64::new(page.milliseconds / 20),
            inner: Mutex::new(Inner { page, growing, error: String::new() }),
        })
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn queue(&self) -> &Queue {
        &self.queue
    }

    /// Whether it takes no more audio.
    pub fn is_over(&self) -> bool {
        self.queue.is_closed()
    }

    fn page(&self) -> Page {
        self.inner().page.clone()
    }

    pub fn view(&self) -> RecordingView {
        let inner = self.inner();
        RecordingView {
            recording: self.id,
            call_id: self.call,
            started: self.started,
            milliseconds: self.slots.load(Ordering::Relaxed) * 20,
            state: if inner.growing { RecordingState::Recording } else { RecordingState::Storing },
            pauses: inner.page.pauses.clone(),
            error: inner.error.clone(),
        }
    }
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
        if self.is_alarmed() {
            // The last look may be old.
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

    async fn grow(&self, recording: &Arc<Recording>, call: &Arc<CallTap>) -> Result<(), Failure> {
        let (spool, page, min_free) = (self.spool.clone(), recording.page(), self.min_free);
        let begun = spawn_blocking(move || {
            enough(&spool, min_free)?;
            spool.begin(&page)
        });
        let mut growing = match begun.await.map_err(io::Error::other).flatten() {
            Ok(growing) => growing,
            Err(error) => {
                self.disk_says(&error);
                recording.queue.close();
                return Err(Failure::Began(error));
            }
        };
        let (started, by) = (recording.started, recording.page().by);
        info!(call = %recording.call, %by, "recording");
        self.tell(recording, What::RecordingStarted { recording: recording.id, started, by }).await;

        let mut buffer = Buffer::default();
        let mut over = false;
        let mut failure = None;
        while !over {
            let until = Instant::now() + WRITE_EVERY;
            loop {
                match timeout_at(until, recording.queue.next()).await {
                    Ok(Some(Item::Slot(both))) => {
                        buffer.put(both.wide.index, &both.wide.left, &both.wide.right);
                        if buffer.bytes >= MOST_BUFFERED {
                            break;
                        }
                    }
                    Ok(Some(Item::Digit(..))) => {}
                    Ok(None) => {
                        over = true;
                        break;
                    }
                    Err(_) => break,
                }
            }
            self.note_pauses(recording, call).await;
            match self.write(growing, &mut buffer).await {
                Ok((file, result)) => {
                    growing = file;
                    if let Err(error) = result {
                        recording.queue.close();
                        failure = Some(error);
                        break;
                    }
                }
                Err(error) => return Err(Failure::Ended(error)),
            }
            recording.slots.store(growing.audio() / wav::SLOT_BYTES, Ordering::Relaxed);
        }
        recording.queue.clear();
        self.note_pauses(recording, call).await;
        let finished = spawn_blocking(move || growing.finish()).await;
        let ended = {
            let mut inner = recording.inner();
            inner.growing = false;
            if let Ok(Ok(audio)) = &finished {
                inner.page.milliseconds = wav::milliseconds(*audio);
            }
            inner.page.ended = Some(event::now());
            inner.page.lost = recording.queue.dropped();
            inner.page.clone()
        };
        let spool = self.spool.clone();
        if let Ok(Err(error)) = spawn_blocking(move || spool.write_page(&ended)).await {
            // The next start will find it and end it.
            warn!(call = %recording.call, %error, "a recording's page can't be written");
        }
        match (failure, finished) {
            (Some(error), _) | (None, Ok(Err(error))) => Err(Failure::Ended(error)),
            _ => Ok(()),
        }
    }

    /// Writes what has come, on a thread that may wait.
    async fn write(
        &self,
        mut growing: Growing,
        buffer: &mut Buffer,
    ) -> io::Result<(Growing, io::Result<()>)> {
        let pieces = buffer.take();
        if pieces.is_empty() {
            return Ok((growing, Ok(())));
        }
        let (spool, min_free) = (self.spool.clone(), self.min_free);
        let (growing, result) = spawn_blocking(move || {
            let mut write = || {
                enough(&spool, min_free)?;
                for (offset, audio) in &pieces {
                    if offset + audio.len() as u64 > wav::MOST {
                        return Err(io::Error::other("a WAV file can't be longer"));
                    }
                    growing.write(*offset, audio)?;
                }
                Ok(())
            };
            let result = write();
            (growing, result)
        })
        .await
        .map_err(io::Error::other)?;
        match &result {
            Err(error) => self.disk_says(error),
            Ok(()) => self.alarm.store(false, Ordering::Relaxed),
        }
        Ok((growing, result))
    }

    /// Who paused and when goes onto the page at once: it has to survive a crash.
    async fn note_pauses(&self, recording: &Arc<Recording>, call: &Arc<CallTap>) {
        let pauses = call.pauses().record().to_vec();
        let page = {
            let mut inner = recording.inner();
            if inner.page.pauses == pauses {
                return;
            }
            inner.page.pauses = pauses;
            inner.page.clone()
        };
        let spool = self.spool.clone();
        if let Ok(Err(error)) = spawn_blocking(move || spool.write_page(&page)).await {
            warn!(call = %recording.call, %error, "a recording's page can't be written");
        }
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

    fn look_at_disk(&self) -> io::Result<()> {
        let looked = enough(&self.spool, self.min_free);
        match &looked {
            Ok(()) => self.alarm.store(false, Ordering::Relaxed),
            Err(error) => self.disk_says(error),
        }
        looked
    }

    fn disk_says(&self, error: &io::Error) {
        self.alarm.store(true, Ordering::Relaxed);
        let now = Instant::now();
        let mut alarmed = self.alarmed.lock().unwrap_or_else(PoisonError::into_inner);
        if alarmed.is_none_or(|at| now.duration_since(at) >= ALARM_EVERY) {
            *alarmed = Some(now);
            error!(%error, "calls are not recorded: the disk of the recordings' spool");
        }
    }

    /// A call's recording from the spool, or from its place.
    pub async fn fetch(&self, call: Uuid) -> Result<Option<Fetched>, String> {
        let name = {
            let known = self.known();
            let mine = known.values().rev().find(|recording| recording.call == call);
            mine.map(|recording| recording.page().name)
        };
        if let Some(name) = name {
            let path = self.spool.audio_path(&name);
            let opened = spawn_blocking(move || store::open(&path)).await;
            if let Ok(Ok(Some(fetched))) = opened {
                return Ok(Some(fetched));
            }
        }
        self.store.get(&call.to_string()).await
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

enum Failure {
    /// There is no file.
    Began(io::Error),
    /// There is a file, shorter than the call.
    Ended(io::Error),
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

fn enough(spool: &Spool, min_free: u64) -> io::Result<()> {
    let free = spool.free()?;
    if free >= min_free {
        return Ok(());
    }
    let (free, min) = (free / 1_048_576, min_free / 1_048_576);
    Err(io::Error::other(format!("the disk is nearly full: {free} MiB free, {min} are kept free")))
}

/// Audio on its way to the disk: pieces of a file, each without a hole.
#[derive(Debug, Default)]
struct Buffer {
    /// The first slot of the recording.
    first: Option<u64>,
    pieces: Vec<(u64, Vec<u8>)>,
    bytes: usize,
}

impl Buffer {
    fn put(&mut self, index: u64, left: &[i16], right: &[i16]) {
        let first = *self.first.get_or_insert(index);
        let at = index.saturating_sub(first) * wav::SLOT_BYTES;
        let goes_on = |(from, audio): &(u64, Vec<u8>)| from + audio.len() as u64 == at;
        if !self.pieces.last().is_some_and(goes_on) {
            // What was dropped on the way is a hole, which is silent.
            self.pieces.push((at, Vec::new()));
        }
        if let Some((_, audio)) = self.pieces.last_mut() {
            to_bytes(interleaved(left, right), audio);
        }
        self.bytes += left.len() * wav::MOMENT as usize;
    }

    fn take(&mut self) -> Vec<(u64, Vec<u8>)> {
        self.bytes = 0;
        std::mem::take(&mut self.pieces)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_that_were_lost_are_silent_in_the_file_and_move_nothing() {
        let mut buffer = Buffer::default();
        buffer.put(40, &[1; 320], &[2; 320]);
        buffer.put(41, &[1; 320], &[2; 320]);
        buffer.put(43, &[3; 320], &[4; 320]);
        let lengths: Vec<(u64, usize)> =
            buffer.take().into_iter().map(|(at, audio)| (at, audio.len())).collect();
        assert_eq!(lengths, [(0, 2 * 1280), (3 * wav::SLOT_BYTES, 1280)]);
        buffer.put(44, &[5], &[6]);
        assert_eq!(buffer.take(), [(4 * wav::SLOT_BYTES, vec![5, 0, 6, 0])]);
    }
}
