//! One call that may be tapped, and the task that listens to it once somebody wants it.
//!
//! The task looks fifty times a second: what has come goes onto the grid, each slot of the grid goes to
//! every consumer's queue. Calls take turns, a quarter of them each 5 ms: their thread wakes once for
//! many of them, and what it sends for all of them doesn't come in one burst. It ends with the call,
//! and closes every queue.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Instant, SystemTime},
};

use tokio::time::{Instant as Moment, Interval, MissedTickBehavior, interval_at};
use uuid::Uuid;

use super::{
    consumer::Status,
    event::StopReason,
    facts::{CallFacts, StreamId},
    line::{Heard, LineEnd, Switch},
    mute::Mute,
    pause::Pauses,
    queue::{Both, Item, Queue},
    recorder::Recording,
    standing::BEAT,
    view::{CallView, StreamView},
};
use crate::media::{
    align::{AHEAD, Aligner, HOLD},
    frame::FRAME_TIME,
    slot::{Narrower, Slot},
};

/// Streams of one call. Each has its own queue, so the number bounds a call's memory.
pub const STREAMS: usize = 16;

/// Turns that calls are divided into; each looks at its own part of [`BEAT`].
const TURNS: u32 = 4;

/// A call that can be tapped.
#[derive(Debug)]
pub struct CallTap {
    pub facts: Arc<CallFacts>,
    /// The answer: slot 0 begins here.
    pub start: Instant,
    pub answered: SystemTime,
    pub switch: Arc<Switch>,
    /// Where audio comes out, until the task has taken it.
    end: Mutex<Option<LineEnd>>,
    state: Mutex<State>,
    /// The state has changed since the task looked.
    changed: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    streams: HashMap<StreamId, Stream>,
    recording: Option<Arc<Recording>>,
    /// How many recordings this call has had.
    recordings: u32,
    taps: Vec<Tap>,
    pauses: Pauses,
    over: bool,
}

/// A stream of this call.
#[derive(Debug)]
pub struct Stream {
    pub name: String,
    pub format: &'static str,
    pub by: String,
    pub connections: Vec<Arc<Status>>,
    pub ending: Arc<Mutex<StopReason>>,
    pub mute: Arc<Mute>,
}

/// Where slots go.
#[derive(Debug, Clone)]
pub struct Tap {
    pub queue: Queue,
    /// The first slot that it wants.
    pub base: u64,
    pub narrow: bool,
    pub mute: Arc<Mute>,
}

impl CallTap {
    pub fn new(
        facts: CallFacts,
        start: Instant,
        answered: SystemTime,
        end: LineEnd,
        switch: Arc<Switch>,
    ) -> Self {
        Self {
            facts: Arc::new(facts),
            start,
            answered,
            switch,
            end: Mutex::new(Some(end)),
            state: Mutex::default(),
            changed: AtomicBool::new(true),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn id(&self) -> Uuid {
        self.facts.call_id
    }

    /// The slot of a moment.
    pub fn slot_at(&self, at: Instant) -> u64 {
        let since = at.saturating_duration_since(self.start);
        (since.as_micros() / FRAME_TIME.as_micros()) as u64
    }

    /// The line's end, for the task that is started now; `None` if it runs already.
    pub fn take_end(&self) -> Option<LineEnd> {
        self.end.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Adds a stream, unless the call is over or has too many.
    pub fn add_stream(&self, id: StreamId, stream: Stream, taps: Vec<Tap>) -> Result<(), Full> {
        let mut state = self.state();
        if state.over {
            return Err(Full::Over);
        }
        state.streams.retain(|_, stream| !stream.is_over());
        if state.streams.len() >= STREAMS {
            return Err(Full::TooMany);
        }
        state.streams.insert(id, stream);
        state.taps.extend(taps);
        self.changed.store(true, Ordering::Release);
        Ok(())
    }

    /// Adds the recording that `begin` makes of its number, unless there is one.
    pub fn add_recording<E>(
        &self,
        base: u64,
        begin: impl FnOnce(u32) -> Result<Arc<Recording>, E>,
    ) -> Result<Result<Arc<Recording>, E>, Full> {
        let mut state = self.state();
        if state.over {
            return Err(Full::Over);
        }
        if state.recording.as_ref().is_some_and(|recording| !recording.is_over()) {
            return Err(Full::TooMany);
        }
        let recording = match begin(state.recordings + 1) {
            Ok(recording) => recording,
            Err(error) => return Ok(Err(error)),
        };
        state.recordings += 1;
        let (queue, mute) = (recording.queue().clone(), Arc::default());
        state.taps.push(Tap { queue, base, narrow: false, mute });
        state.recording = Some(recording.clone());
        self.changed.store(true, Ordering::Release);
        Ok(Ok(recording))
    }

    pub fn recording(&self) -> Option<Arc<Recording>> {
        self.state().recording.clone()
    }

    /// Stops a stream of this call: in order, with what waits for it. False if it isn't here.
    pub fn stop_stream(&self, id: StreamId) -> bool {
        let state = self.state();
        let Some(stream) = state.streams.get(&id) else { return false };
        stream.end(StopReason::Stopped);
        true
    }

    /// Silences sides of a stream of this call, or has them heard again. False if it isn't here.
    pub fn mute_stream(&self, id: StreamId, left: bool, right: bool, on: bool) -> bool {
        let state = self.state();
        let Some(stream) = state.streams.get(&id) else { return false };
        stream.mute.set(left, right, on);
        true
    }

    /// Whether a stream is one of this call's, and isn't over.
    pub fn has_stream(&self, id: StreamId) -> bool {
        self.state().streams.get(&id).is_some_and(|stream| !stream.is_over())
    }

    /// Has a stream of this call sent nothing, or everything again. False if it isn't here, or over.
    pub fn set_apart(&self, id: StreamId, on: bool) -> bool {
        let state = self.state();
        let Some(stream) = state.streams.get(&id).filter(|stream| !stream.is_over()) else {
            return false;
        };
        stream.mute.set_apart(on);
        true
    }

    /// Streams that `by` has started and that aren't over.
    pub fn streams_of(&self, by: &str) -> Vec<StreamId> {
        let state = self.state();
        let up = state.streams.iter().filter(|(_, stream)| stream.by == by && !stream.is_over());
        up.map(|(id, _)| *id).collect()
    }

    /// Whether somebody listens: a stream that isn't over, or a recording.
    pub fn is_wanted(&self) -> bool {
        let state = self.state();
        let recorded = state.recording.as_ref().is_some_and(|recording| !recording.is_over());
        recorded || state.streams.values().any(|stream| !stream.is_over())
    }

    /// Whether it is over and nobody listens: to be forgotten.
    pub fn is_forgotten(&self) -> bool {
        self.switch.over().is_some()
            && self.end.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// Silences everything from now on; false if it is silent already.
    pub fn pause(&self, now: Instant, date: SystemTime, by: &str) -> bool {
        // What comes from now on may be put where a slot still waits for it: up to HOLD ago.
        let held = (HOLD.as_millis() / FRAME_TIME.as_millis()) as u64;
        let slot = self.slot_at(now).saturating_sub(held);
        let paused = self.state().pauses.pause(slot, by, date);
        self.changed.store(true, Ordering::Release);
        paused
    }

    pub fn resume(&self, now: Instant, date: SystemTime, by: &str) -> bool {
        // What was said before may still be on its way to a slot as far ahead as the grid allows.
        let slot = self.slot_at(now) + 2 + (AHEAD.as_millis() / FRAME_TIME.as_millis()) as u64;
        let resumed = self.state().pauses.resume(slot, by, date);
        self.changed.store(true, Ordering::Release);
        resumed
    }

    pub fn pauses(&self) -> Pauses {
        self.state().pauses.clone()
    }

    pub fn view(&self) -> CallView {
        let state = self.state();
        let stream = |(id, stream): (&StreamId, &Stream)| StreamView {
            id: *id,
            name: stream.name.clone(),
            format: stream.format.to_owned(),
            by: stream.by.clone(),
            connections: stream.connections.iter().map(|status| status.view()).collect(),
        };
        let mut streams: Vec<StreamView> = state.streams.iter().map(stream).collect();
        streams.sort_by_key(|stream| stream.id);
        let recording = state.recording.as_ref().map(|recording| {
            let mut view = recording.view();
            view.pauses = state.pauses.record().to_vec();
            view
        });
        CallView {
            facts: (*self.facts).clone(),
            answered: self.answered,
            paused: state.pauses.is_paused(),
            streams,
            recording,
            dropped: self.switch.dropped(),
        }
    }

    /// Takes over what has changed.
    fn look(&self, taps: &mut Vec<Tap>, pauses: &mut Pauses) {
        if !self.changed.swap(false, Ordering::Acquire) {
            return;
        }
        let mut state = self.state();
        state.taps.retain(|tap| !tap.queue.is_closed());
        taps.clone_from(&state.taps);
        pauses.clone_from(&state.pauses);
    }

    /// The call is over, or the gateway stops: every queue is closed, for this reason.
    pub fn end(&self, reason: StopReason) {
        let mut state = self.state();
        if std::mem::replace(&mut state.over, true) {
            return; // the first reason counts
        }
        for stream in state.streams.values() {
            stream.end(reason);
        }
        for tap in state.taps.drain(..) {
            tap.queue.close();
        }
    }
}

/// Why nothing was added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Full {
    Over,
    TooMany,
}

impl Stream {
    fn is_over(&self) -> bool {
        self.connections.iter().all(|status| status.is_over())
    }

    fn end(&self, reason: StopReason) {
        *self.ending.lock().unwrap_or_else(PoisonError::into_inner) = reason;
        for status in &self.connections {
            status.queue().close();
        }
    }
}

/// How long after the beats of the first turn those of this call are.
fn turn(call: Uuid) -> std::time::Duration {
    BEAT / TURNS * (u32::from(call.as_bytes()[15]) % TURNS)
}

/// Beats that are counted from a moment: whoever counts from the same one wakes at the same time.
fn beats(from: Moment) -> Interval {
    let now = Moment::now();
    let from = if from > now { from - BEAT } else { from };
    let since = now.saturating_duration_since(from).as_nanos();
    let rest = BEAT.as_nanos() - since % BEAT.as_nanos();
    let rest = u64::try_from(rest).map_or(BEAT, std::time::Duration::from_nanos);
    let mut beats = interval_at(now + rest, BEAT);
    beats.set_missed_tick_behavior(MissedTickBehavior::Skip);
    beats
}

/// Listens to a call until it is over.
pub async fn listen(tap: Arc<CallTap>, mut end: LineEnd, beats_from: Moment) {
    let mut grid = Aligner::new(tap.start);
    let mut narrower = Narrower::default();
    let mut taps: Vec<Tap> = Vec::new();
    let mut pauses = Pauses::default();
    let mut beats = beats(beats_from + turn(tap.id()));
    tap.switch.turn_on();
    let mut begun = false;
    let mut digits = Vec::new();
    loop {
        let now = beats.tick().await.into_std();
        // Asked before the line is emptied: what was said before the end is in it.
        let over = tap.switch.over();
        tap.look(&mut taps, &mut pauses);
        if !begun && let Some(first) = taps.iter().map(|tap| tap.base).min() {
            begun = true;
            grid.skip_to(tap.start + FRAME_TIME * u32::try_from(first).unwrap_or(u32::MAX));
        }
        while let Some(heard) = end.take() {
            match heard {
                Heard::Frame(lane, at, frame) => grid.push(lane, at, frame),
                Heard::Digit(lane, digit) => digits.push((lane, digit)),
            }
        }
        // Looked at again behind the line: nothing that came after a pause is given before it is seen.
        tap.look(&mut taps, &mut pauses);
        for (lane, digit) in digits.drain(..) {
            // Digits are what a pause is for.
            for tap in taps.iter().filter(|tap| !pauses.is_paused() && !tap.mute.is_apart()) {
                tap.queue.push(Item::Digit(lane, digit));
            }
        }
        loop {
            let slot = match over {
                Some(end) => grid.rest(end),
                None => grid.next(now),
            };
            let Some(slot) = slot else { break };
            give(slot, &taps, &pauses, &mut narrower);
        }
        if over.is_some() {
            break;
        }
    }
    tap.end(StopReason::CallEnded);
}

fn give(mut slot: Slot, taps: &[Tap], pauses: &Pauses, narrower: &mut Narrower) {
    if pauses.covers(slot.index) {
        slot = Slot::silent(slot.index);
    }
    let narrow = taps.iter().any(|tap| tap.narrow).then(|| narrower.slot(&slot));
    let both = Arc::new(Both { wide: slot, narrow });
    for tap in taps.iter().filter(|tap| both.wide.index >= tap.base && !tap.mute.is_apart()) {
        tap.queue.push(Item::Slot(tap.mute.of(&both)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_divided_evenly_into_turns_within_a_beat() {
        let mut calls = HashMap::new();
        for last in 0..=u8::MAX {
            *calls.entry(turn(Uuid::from_u128(last.into()))).or_insert(0) += 1;
        }
        assert!(calls.keys().all(|turn| *turn < BEAT));
        assert_eq!(calls.into_values().collect::<Vec<_>>(), [64; TURNS as usize]);
    }
}
