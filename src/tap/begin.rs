//! What begins on a call: its listening, a stream, a recording.

use std::{
    future::Future,
    sync::{Arc, Mutex, PoisonError},
};

use tokio_util::sync::CancellationToken;
use tracing::error;
use uuid::Uuid;

use super::{
    StartError, Taps,
    call::{self, CallTap, Full, Stream, Tap},
    consumer::{Consumer, Status, Teller},
    event::StopReason,
    facts::StreamId,
    mute::Mute,
    spec::StreamSpec,
    thread::Thread,
};

impl Taps {
    /// Runs a task on the taps' own thread; false if that can't be had.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) -> bool {
        let mut thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        if thread.is_none() && !self.stopping.is_cancelled() {
            match Thread::start() {
                Ok(started) => *thread = Some(started),
                Err(error) => error!(%error, "no thread for streams and recordings"),
            }
        }
        let task = self.tasks.track_future(task);
        thread.as_ref().map(|thread| thread.spawn(task)).is_some()
    }

    /// Has the call listened to, if nobody does yet.
    fn listen(self: &Arc<Self>, tap: &Arc<CallTap>) {
        if let Some(end) = tap.take_end() {
            let (taps, tap) = (self.clone(), tap.clone());
            self.spawn(async move {
                let forget = Forget { taps: &taps, tap: &tap };
                call::listen(tap.clone(), end, taps.beats_from).await;
                drop(forget);
            });
        }
    }

    pub(super) fn begin_stream(
        self: &Arc<Self>,
        tap: &Arc<CallTap>,
        spec: Arc<StreamSpec>,
        base: u64,
        by: &str,
    ) -> Result<StreamId, StartError> {
        if self.stopping.is_cancelled() {
            return Err(StartError::Stopping);
        }
        let id = StreamId(Uuid::new_v4());
        let stop = CancellationToken::new();
        let ending = Arc::new(Mutex::new(StopReason::CallEnded));
        let events = Teller { sink: self.events.clone(), facts: tap.facts.clone() };
        let mut consumers = Vec::new();
        for (side, url) in spec.dialect.legs() {
            consumers.push(Consumer {
                spec: spec.clone(),
                url: url.clone(),
                facts: tap.facts.clone(),
                stream: id,
                base,
                by: by.to_owned(),
                status: Status::new(side, url),
                stop: stop.clone(),
                ending: ending.clone(),
                events: events.clone(),
            });
        }
        let connections: Vec<_> =
            consumers.iter().map(|consumer| consumer.status.clone()).collect();
        let narrow = spec.dialect.is_narrow();
        let mute = Arc::<Mute>::default();
        mute.set_apart(spec.apart);
        let taps = connections
            .iter()
            .map(|status| Tap { queue: status.queue().clone(), base, narrow, mute: mute.clone() })
            .collect();
        let stream = Stream {
            name: spec.name.clone(),
            format: spec.dialect.name(),
            by: by.to_owned(),
            connections,
            ending,
            mute,
        };
        tap.add_stream(id, stream, taps).map_err(|full| match full {
            Full::Over => StartError::NoSuchCall,
            Full::TooMany => StartError::TooMany(call::STREAMS),
        })?;
        self.listen(tap);
        for consumer in consumers {
            self.spawn(consumer.run());
        }
        Ok(id)
    }

    pub(super) fn begin_recording(
        self: &Arc<Self>,
        tap: &Arc<CallTap>,
        base: u64,
        by: &str,
    ) -> Result<(), StartError> {
        let recorder = match self.recorder.get() {
            None => return Err(StartError::NoRecording),
            Some(Err(error)) => return Err(StartError::Disk(error.clone())),
            Some(Ok(recorder)) => recorder.clone(),
        };
        if self.stopping.is_cancelled() {
            return Err(StartError::Stopping);
        }
        let begun = tap.add_recording(base, |nth| recorder.begin(tap, nth, by));
        let recording = match begun {
            Ok(Ok(recording)) => recording,
            Ok(Err(error)) => return Err(StartError::Disk(error)),
            Err(Full::Over) => return Err(StartError::NoSuchCall),
            Err(Full::TooMany) => return Err(StartError::Recording),
        };
        self.listen(tap);
        self.spawn(recorder.record(recording, tap.clone()));
        Ok(())
    }
}

/// Forgets a call when its task ends, in whatever way.
struct Forget<'a> {
    taps: &'a Taps,
    tap: &'a CallTap,
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        self.tap.switch.turn_off();
        self.tap.end(StopReason::CallEnded);
        self.taps.calls().remove(&self.tap.id());
    }
}
