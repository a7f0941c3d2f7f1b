//! Whoever may listen to a call: live streams and recordings.
//!
//! The law of this room: **a tap never touches the call**. A call's task copies a frame into a bounded
//! tray, which never waits and wakes nobody (`line`); everything else runs on a thread of its own
//! (`thread`), which a call's frame sends off the core, and which empties all trays together, fifty
//! times a second. A consumer that is slow, dead or lying costs its own bounded queue and nothing else.
//!
//! [`Taps`] is what others use: the call's task opens a line, the operator's HTTP and the manager's
//! events list, start, stop, pause and resume, and whoever delivers events reads them from
//! [`event::Events`].

pub mod audiofork;
mod begin;
mod call;
pub mod channel;
mod consumer;
pub mod dialect;
mod error;
pub mod event;
pub mod facts;
pub mod filter;
mod line;
mod mute;
mod pause;
pub mod products;
mod pushed;
pub mod queue;
pub mod recorder;
pub mod spec;
mod spool;
mod standing;
pub mod store;
pub mod template;
mod thread;
pub mod view;
mod wanted;
pub mod wav;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak},
    time::{Duration, Instant},
};

use tokio::{
    sync::{Notify, futures::Notified},
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{error, info, warn};
use uuid::Uuid;

use crate::call::CallId;
use call::CallTap;
use channel::Channels;
pub use error::{FetchError, NotThere, StartError};
use event::{EventSink, Events, StopReason, TapEvent, What};
use facts::{CallFacts, StreamId, Whom};
pub use line::TapLine;
use products::Products;
pub use pushed::Fork;
use recorder::Recorder;
use spec::StreamSpec;
use store::Found;
use thread::Thread;
use view::{CallView, RecordingView};
pub use wanted::{Configured, Recordings, Settings};

/// Who is named where the configuration wanted something.
pub const CONFIGURATION: &str = "configuration";

/// All taps of the gateway. One an exchange, shared by every task.
#[derive(Debug)]
pub struct Taps {
    events: EventSink,
    out: Mutex<Option<Events>>,
    calls: Mutex<HashMap<Uuid, Arc<CallTap>>>,
    /// Started when it is wanted for the first time; gone when the gateway has stopped.
    thread: Mutex<Option<Thread>>,
    tasks: TaskTracker,
    /// Once, at the start: what came of the spool and the store, if recordings are configured.
    recorder: OnceLock<Result<Arc<Recorder>, String>>,
    stopping: CancellationToken,
    /// RingCentral's streaming profiles.
    pub products: Products,
    /// Calls that somebody pushes to us, by their id.
    forks: Mutex<HashMap<String, Weak<Fork>>>,
    /// Channels of Asterisk that are no calls of the gateway.
    pub channels: Channels,
    /// Beats of the first turn of calls are counted from here; the others follow a quarter each.
    beats_from: tokio::time::Instant,
    /// Told when a call can be listened to.
    opened: Notify,
}

impl Taps {
    /// Taps that nothing has been asked of yet.
    pub fn new() -> Arc<Self> {
        let (events, out) = event::channel();
        Arc::new(Self {
            events,
            out: Mutex::new(Some(out)),
            calls: Mutex::default(),
            thread: Mutex::default(),
            tasks: TaskTracker::new(),
            recorder: OnceLock::new(),
            stopping: CancellationToken::new(),
            products: Products::default(),
            forks: Mutex::default(),
            channels: Channels::default(),
            beats_from: tokio::time::Instant::now(),
            opened: Notify::new(),
        })
    }

    /// The one place where events come out: for the first who asks.
    pub fn take_events(&self) -> Option<Events> {
        self.out.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Opens the recordings' spool and store, and puts in order what an earlier run has left. Once,
    /// at the start; blocks while it looks.
    pub fn open_recorder(self: &Arc<Self>, recordings: &Recordings) {
        let opened = self.recorder.get_or_init(|| {
            Recorder::open(&recordings.settings, self.events.clone()).inspect_err(|error| {
                error!(%error, "calls are not recorded: the spool or the store can't be used");
            })
        });
        if let Ok(recorder) = opened {
            self.spawn(recorder.clone().recover());
        }
    }

    /// A call was answered: its line, and whatever the configuration wants of it.
    pub fn open(self: &Arc<Self>, facts: CallFacts, settings: &Settings, now: Instant) -> TapLine {
        let (line, end, switch) = line::line();
        let tap = Arc::new(CallTap::new(facts, now, event::now(), end, switch));
        {
            let mut calls = self.calls();
            calls.retain(|_, call| !call.is_forgotten());
            calls.insert(tap.id(), tap.clone());
        }
        for stream in &settings.streams {
            if stream.only.admits(&tap.facts)
                && let Err(error) = self.begin_stream(&tap, stream.spec.clone(), 0, CONFIGURATION)
            {
                warn!(call = %tap.id(), name = %stream.spec.name, %error, "no stream");
            }
        }
        // A profile is for calls of the gateway's groups and phones.
        let profiles = match tap.facts.is_channel {
            true => Vec::new(),
            false => self.products.streams_for(&tap.facts),
        };
        for spec in profiles {
            if let Err(error) = self.begin_stream(&tap, Arc::new(spec), 0, "profile") {
                warn!(call = %tap.id(), %error, "no stream");
            }
        }
        if let Some(recording) = &settings.recording
            && recording.always
            && recording.only.admits(&tap.facts)
            && let Err(error) = self.begin_recording(&tap, 0, CONFIGURATION)
        {
            warn!(call = %tap.id(), %error, "no recording");
            let (recording, reason) = (tap.id(), error.to_string());
            let what = What::RecordingFailed { recording, reason };
            self.events.tell(TapEvent::now(&tap.facts, what));
        }
        self.opened.notify_waiters();
        line
    }

    fn calls(&self) -> MutexGuard<'_, HashMap<Uuid, Arc<CallTap>>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn find(&self, whom: &Whom) -> Option<Arc<CallTap>> {
        let calls = self.calls();
        let is_it = |call: &&Arc<CallTap>| match whom {
            Whom::Call(id) => call.id() == id.uuid(),
            Whom::Channel(name) => call.facts.channel == *name || call.facts.channel_id == *name,
        };
        calls.values().filter(|call| call.switch.over().is_none()).find(is_it).cloned()
    }

    /// Every call that can be tapped now: answered, and not over.
    pub fn list(&self) -> Vec<CallView> {
        let calls: Vec<_> = self.calls().values().cloned().collect();
        let up = calls.iter().filter(|call| call.switch.over().is_none());
        let mut views: Vec<CallView> = up.map(|call| call.view()).collect();
        views.sort_by_key(|view| view.answered);
        views
    }

    /// One of them.
    pub fn get(&self, call: CallId) -> Option<CallView> {
        self.find(&Whom::Call(call)).map(|call| call.view())
    }

    /// Starts a stream. It connects in its own time: what comes of it are events and the stream's
    /// state in [`Taps::list`]. `by` says who wanted it, for the record: `"api"`, `"ami"`.
    pub async fn start_stream(
        self: &Arc<Self>,
        whom: &Whom,
        spec: StreamSpec,
        by: &str,
    ) -> Result<StreamId, StartError> {
        let tap = self.tap(whom).await?;
        let base = tap.slot_at(now());
        self.begin_stream(&tap, Arc::new(spec), base, by)
    }

    /// The call; for a channel that is none of the gateway's, what ARI makes of it.
    async fn tap(&self, whom: &Whom) -> Result<Arc<CallTap>, StartError> {
        if let Some(tap) = self.find(whom) {
            return Ok(tap);
        }
        let Whom::Channel(name) = whom else { return Err(StartError::NoSuchCall) };
        let call = CallId::from_uuid(self.channels.ask(name).await?);
        self.find(&Whom::Call(call)).ok_or(StartError::NoSuchChannel)
    }

    /// Whether somebody listens to a call.
    pub fn is_wanted(&self, call: CallId) -> bool {
        self.find(&Whom::Call(call)).is_some_and(|call| call.is_wanted())
    }

    /// Cancelled when everything is to end.
    pub fn stopping(&self) -> CancellationToken {
        self.stopping.clone()
    }

    /// Stops a stream in order: its consumer is told, and what it was owed is sent first.
    pub fn stop_stream(&self, id: StreamId) -> Result<(), NotThere> {
        let calls: Vec<_> = self.calls().values().cloned().collect();
        if calls.iter().any(|call| call.stop_stream(id)) { Ok(()) } else { Err(NotThere) }
    }

    /// Silences sides of one stream, or has them heard again. Nobody else notices.
    pub fn mute_stream(
        &self,
        id: StreamId,
        left: bool,
        right: bool,
        on: bool,
    ) -> Result<(), NotThere> {
        let calls: Vec<_> = self.calls().values().cloned().collect();
        let found = calls.iter().any(|call| call.mute_stream(id, left, right, on));
        if found { Ok(()) } else { Err(NotThere) }
    }

    /// Has a stream sent nothing at all, or everything again; what was not sent is a gap and no silence.
    pub fn set_apart(&self, id: StreamId, on: bool) -> Result<(), NotThere> {
        let calls: Vec<_> = self.calls().values().cloned().collect();
        if calls.iter().any(|call| call.set_apart(id, on)) { Ok(()) } else { Err(NotThere) }
    }

    /// Whether a stream isn't over.
    pub fn is_up(&self, id: StreamId) -> bool {
        self.calls().values().any(|call| call.has_stream(id))
    }

    /// The unique id of the channel that can be listened to, by its name or that id.
    pub fn channel_id(&self, whom: &Whom) -> Option<String> {
        self.find(whom).map(|call| call.facts.channel_id.clone())
    }

    /// Returns when one more call can be listened to than when it was first polled. May return early.
    pub fn opened(&self) -> Notified<'_> {
        self.opened.notified()
    }

    /// The streams of a call that `by` has started; `None` if there is no such call.
    pub fn streams_of(&self, whom: &Whom, by: &str) -> Option<Vec<StreamId>> {
        self.find(whom).map(|call| call.streams_of(by))
    }

    /// Begins to record a call that isn't recorded.
    pub async fn start_recording(
        self: &Arc<Self>,
        whom: &Whom,
        by: &str,
    ) -> Result<(), StartError> {
        let tap = self.tap(whom).await?;
        let base = tap.slot_at(now());
        self.begin_recording(&tap, base, by)
    }

    /// Ends a call's recording; it is stored like any other.
    pub fn stop_recording(&self, whom: &Whom) -> Result<(), NotThere> {
        let recording = self.find(whom).and_then(|call| call.recording());
        let recording = recording.filter(|recording| !recording.is_over()).ok_or(NotThere)?;
        recording.queue().close();
        Ok(())
    }

    /// Silences every stream and recording of a call from this instant on. Pausing what is paused
    /// is no error, and changes nothing.
    pub fn pause(&self, whom: &Whom, by: &str) -> Result<(), NotThere> {
        let tap = self.find(whom).ok_or(NotThere)?;
        if tap.pause(now(), event::now(), by) {
            info!(call = %tap.id(), by, "streams and recordings are paused");
            self.events.tell(TapEvent::now(&tap.facts, What::Paused { by: by.to_owned() }));
        }
        Ok(())
    }

    /// Ends the silence.
    pub fn resume(&self, whom: &Whom, by: &str) -> Result<(), NotThere> {
        let tap = self.find(whom).ok_or(NotThere)?;
        if tap.resume(now(), event::now(), by) {
            info!(call = %tap.id(), by, "streams and recordings go on");
            self.events.tell(TapEvent::now(&tap.facts, What::Resumed { by: by.to_owned() }));
        }
        Ok(())
    }

    /// Recordings that grow or wait in the spool. Those that have reached their place are in the
    /// call table.
    pub fn recordings(&self) -> Vec<RecordingView> {
        match self.recorder.get() {
            Some(Ok(recorder)) => recorder.views(),
            _ => Vec::new(),
        }
    }

    /// Whether the disk is nearly full, so that nothing is recorded.
    pub fn is_disk_full(&self) -> bool {
        matches!(self.recorder.get(), Some(Ok(recorder)) if recorder.is_alarmed())
    }

    /// A call's recording, wherever it is: growing, in the spool, or in its store.
    pub async fn find_recording(&self, call: CallId) -> Result<Found, FetchError> {
        match self.recorder.get() {
            Some(Ok(recorder)) => {
                let found = recorder.find(call.uuid()).await.map_err(FetchError::Store)?;
                found.ok_or(FetchError::NotThere)
            }
            _ => Err(FetchError::NotThere),
        }
    }

    /// Ends everything: consumers are told, recordings are made whole; what isn't stored by then is
    /// stored after the next start. Takes at most `time`.
    pub async fn close(&self, time: Duration) {
        self.stopping.cancel();
        let calls: Vec<_> = self.calls().values().cloned().collect();
        for call in calls {
            call.end(StopReason::GatewayStopping);
            // Its task ends with it.
            call.switch.hang_up();
        }
        if let Some(Ok(recorder)) = self.recorder.get() {
            recorder.stop();
        }
        self.tasks.close();
        let ended = async {
            self.tasks.wait().await;
            if let Some(Ok(recorder)) = self.recorder.get() {
                recorder.stopped().await;
            }
        };
        if timeout(time, ended).await.is_err() {
            warn!(tasks = self.tasks.len(), "streams or recordings did not end in time");
        }
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        drop(thread);
    }
}

fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
