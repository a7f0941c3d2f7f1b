//! What leaves the house about calls: the metrics, and the log line at a call's end.

pub mod metrics;

use std::{sync::Arc, time::Instant};

use tracing::{info, warn};

use crate::{
    asterisk::message::MediaStart,
    call::{CallId, Extension, ending::Ending, record::CallRecord},
    report::metrics::{DirectionLabel, DropLabel, Metrics},
};

/// The account of one call, kept by its task. It is given exactly once: by [`Report::ended`], or,
/// if the task failed before that, as a fault when it is dropped.
pub struct Report {
    pub record: CallRecord,
    metrics: Arc<Metrics>,
}

impl Report {
    pub fn new(id: CallId, now: Instant, metrics: Arc<Metrics>) -> Self {
        metrics.calls.inc();
        Self { record: CallRecord::new(id, now), metrics }
    }

    pub fn id(&self) -> CallId {
        self.record.id
    }

    pub fn start(&mut self, start: &MediaStart, dialled: Option<&Extension>) {
        self.record.channel.clone_from(&start.channel);
        self.record.channel_id.clone_from(&start.channel_id);
        self.record.dialled = dialled.cloned();
    }

    pub fn dialled_group(&mut self, is_group: bool) {
        self.record.is_group = is_group;
    }

    pub fn rings(&mut self, ext: &Extension, now: Instant) {
        self.record.rang.get_or_insert(now);
        info!(call = %self.record.id, %ext, "rings");
    }

    pub fn answered(&mut self, ext: &Extension, now: Instant) {
        self.record.answered = Some(now);
        self.record.answered_by = Some(ext.clone());
        info!(call = %self.record.id, %ext, "answered");
    }

    pub fn ended(&mut self, ending: Ending, now: Instant) {
        if self.record.ended.is_some() {
            return;
        }
        self.record.ended = Some((now, ending));
        self.metrics.calls.dec();
        self.metrics.call_ended(&self.record);
        self.count_audio();
        self.log(ending);
    }

    fn count_audio(&self) {
        let audio = &self.record.audio;
        for (direction, frames) in [("to_phone", audio.to_phone), ("to_asterisk", audio.from_phone)]
        {
            self.metrics.frames.get_or_create(&DirectionLabel { direction }).inc_by(frames);
        }
        self.metrics.filled.inc_by(audio.filled);
        for (direction, reason, frames) in [
            ("to_phone", "phone_slow", audio.dropped_phone_slow),
            ("to_asterisk", "late", audio.dropped_late),
            ("to_asterisk", "ahead", audio.dropped_ahead),
            ("to_asterisk", "asterisk_full", audio.dropped_asterisk_full),
        ] {
            self.metrics.dropped.get_or_create(&DropLabel { direction, reason }).inc_by(frames);
        }
    }

    /// The one line at a call's end.
    fn log(&self, ending: Ending) {
        let r = &self.record;
        let seconds = |t: Option<std::time::Duration>| {
            t.map_or(0.0, |t| (t.as_secs_f64() * 10.0).round() / 10.0)
        };
        let name = |e: &Option<Extension>| e.as_ref().map_or("-".to_owned(), Extension::to_string);
        let a = &r.audio;
        info!(
            call = %r.id,
            channel = %r.channel.escape_debug(),
            dialled = name(&r.dialled),
            answered_by = name(&r.answered_by),
            ending = ending.as_str(),
            side = ending.side().as_str(),
            ring_seconds = seconds(r.ring_time()),
            talk_seconds = seconds(r.talk_time()),
            frames_to_phone = a.to_phone,
            frames_from_phone = a.from_phone,
            filled = a.filled,
            dropped_phone_slow = a.dropped_phone_slow,
            dropped_late = a.dropped_late,
            dropped_ahead = a.dropped_ahead,
            dropped_asterisk_full = a.dropped_asterisk_full,
            "call ended",
        );
    }
}

impl Drop for Report {
    fn drop(&mut self) {
        if self.record.ended.is_none() {
            warn!(call = %self.record.id, "the call's task failed");
            let now = self.record.answered.unwrap_or(self.record.began);
            self.ended(Ending::Fault, now);
        }
    }
}
