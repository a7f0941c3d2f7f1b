//! What leaves the house about calls: the metrics, the log line at a call's end, and the feed that
//! everything else hangs on.

pub mod feed;
pub mod metrics;
pub mod records;
pub mod row;
pub mod state;
pub mod table;
#[cfg(test)]
pub(crate) mod testing;
pub mod time;
pub mod webhook;

use std::{sync::Arc, time::Instant};

use arc_swap::ArcSwap;

use tracing::{info, warn};

use crate::{
    asterisk::message::MediaStart,
    call::{
        CallId, Extension,
        ending::Ending,
        record::{CallRecord, Caller, Direction},
    },
    config::Config,
    report::{
        feed::{CallHappened, Feed, What},
        metrics::{DirectionLabel, DropLabel, Metrics},
        row::CallRow,
        time::{Anchor, Utc},
    },
};

/// The configuration in force.
pub type Settings = Arc<ArcSwap<Config>>;

/// The account of one call, kept by its task. It is given exactly once: by [`Report::ended`], or,
/// if the task failed before that, as a fault when it is dropped.
pub struct Report {
    pub record: CallRecord,
    anchor: Anchor,
    /// Whether the feed knows the call.
    told: bool,
    /// It turned out to be no call.
    retracted: bool,
    metrics: Arc<Metrics>,
    feed: Arc<Feed>,
}

impl Report {
    pub fn new(id: CallId, now: Instant, metrics: Arc<Metrics>, feed: Arc<Feed>) -> Self {
        metrics.calls.inc();
        let anchor = Anchor::new(now, Utc::now());
        Self {
            record: CallRecord::new(id, now),
            anchor,
            told: false,
            retracted: false,
            metrics,
            feed,
        }
    }

    fn tell(&mut self, what: What, at: Instant) {
        self.tell_began();
        self.say(what, at);
    }

    fn tell_began(&mut self) {
        if !std::mem::replace(&mut self.told, true) {
            self.say(What::Began, self.record.began);
        }
    }

    fn say(&self, what: What, at: Instant) {
        let call = CallRow::new(&self.record, &self.anchor);
        let at = self.anchor.time_of(at);
        self.feed.say(CallHappened { what, at, call: Arc::new(call) });
    }

    pub fn id(&self) -> CallId {
        self.record.id
    }

    pub fn start(&mut self, start: &MediaStart, dialled: Option<&Extension>) {
        self.record.channel.clone_from(&start.channel);
        self.record.channel_id.clone_from(&start.channel_id);
        self.record.dialled = dialled.cloned();
    }

    /// It is the leg of a call that this phone dials: it goes by that call's number from the
    /// beginning.
    pub fn adopt(
        &mut self,
        id: CallId,
        start: &MediaStart,
        by: &Extension,
        to: Option<&Extension>,
    ) {
        self.record.id = id;
        self.start(start, to);
        self.parties(Direction::Out, Caller { number: Some(by.as_str().to_owned()), name: None });
        self.tell_began();
    }

    /// What was dialled can be rung: from here on the call is told.
    pub fn dialled_group(&mut self, is_group: bool) {
        self.record.is_group = is_group;
        self.tell_began();
    }

    /// Asterisk's queue as it reports it, in frames.
    pub fn asterisk_queue(&mut self, frames: u32) {
        self.metrics.asterisk_queue.observe(f64::from(frames));
        self.record.asterisk_queue_max = self.record.asterisk_queue_max.max(frames);
    }

    /// Who calls, and which way. To be said before [`Report::dialled_group`]: what was told isn't
    /// told again.
    pub fn parties(&mut self, direction: Direction, caller: Caller) {
        self.record.direction = direction;
        self.record.caller = caller;
        if self.told {
            self.feed.correct(CallRow::new(&self.record, &self.anchor));
        }
    }

    pub fn rings(&mut self, ext: &Extension, now: Instant) {
        self.record.rang.get_or_insert(now);
        self.tell(What::Rang(ext.clone()), now);
        info!(call = %self.record.id, %ext, "rings");
    }

    pub fn answered(&mut self, ext: &Extension, now: Instant) {
        self.record.answered = Some(now);
        self.record.answered_by = Some(ext.clone());
        self.tell(What::Answered, now);
        info!(call = %self.record.id, %ext, "answered");
    }

    pub fn ended(&mut self, ending: Ending, now: Instant) {
        if self.record.ended.is_some() || self.retracted {
            return;
        }
        self.record.ended = Some((now, ending));
        self.metrics.calls.dec();
        self.metrics.call_ended(&self.record);
        self.count_audio();
        self.log(ending);
        self.tell(What::Ended, now);
    }

    /// It is no call: a leg that only brings audio. Nothing was told of it, and nothing will be.
    pub fn retract(&mut self) {
        if self.record.ended.is_none() && !std::mem::replace(&mut self.retracted, true) {
            self.metrics.calls.dec();
        }
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
        if self.record.ended.is_none() && !self.retracted {
            warn!(call = %self.record.id, "the call's task failed");
            let now = self.record.answered.unwrap_or(self.record.began);
            self.ended(Ending::Fault, now);
        }
    }
}
