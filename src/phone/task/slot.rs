//! One call of a phone's: what is known of it, its audio, and the ways to tell it.

use std::{
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use tokio::time::Instant;

use crate::{
    call::{
        CallId, RingId, RingKey,
        info::{News, Progress},
        record::{Caller, Direction},
    },
    exchange::line::{AudioLine, CallFacts, Offer, PassedOn, Reporter, Stopped},
    media::{frame::FRAME_BYTES, framer::Framer},
    net::{
        bell::Bells,
        io::Io,
        latest::Reader,
        wire::{Message, Wire},
    },
    report::time::Utc,
};

/// How long a page has to show that it rings. A page answers in a round trip; a frozen tab never.
pub const CONFIRM_TIME: Duration = Duration::from_secs(2);
/// How long an outgoing call's leg may take to come. Call control says sooner that it won't; this
/// is for when it doesn't either.
const LEG_TIME: Duration = Duration::from_secs(40);

/// One call.
pub struct Slot {
    key: RingKey,
    pub facts: Arc<CallFacts>,
    pub caller: Caller,
    pub held_by_far: bool,
    pub progress: Progress,
    pub answered: Option<(Instant, Utc)>,
    /// The call whose transfer this one prepares.
    pub consults_for: Option<CallId>,
    /// How it ended, from then until the phone has been told.
    pub stopped: Option<Stopped>,
    /// What became of a transfer, from then until the phone has been told of the call's end.
    pub passed: Option<PassedOn>,
    reporter: Option<Reporter>,
    reader: Option<Reader<News>>,
    news: News,
    audio: Audio,
    /// Before this, the page has to show that it rings, or the leg to come.
    by: Option<Instant>,
}

/// What a frame of audio finds: together, so that it is few places in memory.
struct Audio {
    line: Option<AudioLine>,
    /// The phone's audio of this call in whole frames. What the hop drops is a frame then, never a
    /// piece that would shift all samples after it.
    framer: Framer,
}

impl Slot {
    /// A call that rings, or the leg of a dialled one.
    pub fn ringing(offer: Offer) -> Self {
        let mut slot = Self::new(offer.key(), offer.facts.clone());
        slot.take(offer);
        slot
    }

    /// A call that the phone dials and whose leg is still to come.
    pub fn dialled(call: CallId, to: &str, consults_for: Option<CallId>, now: Instant) -> Self {
        let facts = CallFacts {
            direction: Direction::Out,
            caller: Caller::default(),
            to: to.to_owned(),
            is_group: false,
            variables: Default::default(),
            since: Utc::now(),
            ring_time: Duration::ZERO,
        };
        let mut slot = Self::new(RingKey { call, ring: RingId(0) }, Arc::new(facts));
        slot.consults_for = consults_for;
        slot.by = Some(now + LEG_TIME);
        slot
    }

    fn new(key: RingKey, facts: Arc<CallFacts>) -> Self {
        Self {
            key,
            caller: facts.caller.clone(),
            facts,
            held_by_far: false,
            progress: Progress::default(),
            answered: None,
            consults_for: None,
            stopped: None,
            passed: None,
            reporter: None,
            reader: None,
            news: News::default(),
            audio: Audio { line: None, framer: Framer::new(FRAME_BYTES) },
            by: None,
        }
    }

    fn take(&mut self, offer: Offer) {
        self.reporter = Some(offer.reporter);
        self.reader = Some(offer.news);
    }

    /// The leg of a dialled call is there.
    pub fn leg_came(&mut self, offer: Offer) {
        self.by = None;
        self.take(offer);
    }

    pub fn key(&self) -> RingKey {
        self.key
    }

    pub fn call(&self) -> CallId {
        self.key.call
    }

    pub fn direction(&self) -> Direction {
        self.facts.direction
    }

    /// Nobody but the table of calls to come knows of it.
    pub fn waits_for_leg(&self) -> bool {
        self.reporter.is_none()
    }

    pub fn deadline(&self) -> Option<Instant> {
        self.by
    }

    /// From now on the page has to show that it rings.
    pub fn wants_confirmation(&mut self, now: Instant) {
        self.by = Some(now + CONFIRM_TIME);
    }

    /// It needn't any more.
    pub fn waits_for_nothing(&mut self) {
        self.by = None;
    }

    /// The page has shown that it rings; the leg of a dialled call is still awaited.
    pub fn waits_for_nothing_if_ringing(&mut self) {
        if !self.waits_for_leg() {
            self.by = None;
        }
    }

    pub fn tell_answered(&mut self) {
        self.by = None;
        if let Some(reporter) = &mut self.reporter {
            reporter.answered();
        }
    }

    pub fn tell_hung_up(&mut self) {
        self.by = None;
        if let Some(reporter) = &mut self.reporter {
            reporter.hung_up();
        }
    }

    pub fn tell_unreachable(&mut self) {
        self.by = None;
        if let Some(reporter) = &mut self.reporter {
            reporter.unreachable();
        }
    }

    /// It has audio now.
    pub fn join(&mut self, line: AudioLine, detached: bool) {
        line.set_detached(detached);
        self.audio.line = Some(line);
        if self.direction() == Direction::In {
            self.answered_now(Instant::now());
        }
    }

    pub fn answered_now(&mut self, now: Instant) {
        self.answered.get_or_insert_with(|| (now, Utc::now()));
    }

    /// It is over, and why. Audio ends at once.
    pub fn over(&mut self, stopped: Stopped) {
        self.stopped = Some(stopped);
        self.audio.line = None;
        self.by = None;
    }

    pub fn set_held(&mut self, on: bool) {
        self.audio.framer = Framer::new(FRAME_BYTES);
        if let Some(line) = &self.audio.line {
            line.set_held(on);
        }
    }

    pub fn set_muted(&mut self, on: bool) {
        if let Some(line) = &self.audio.line {
            line.set_muted(on);
        }
    }

    /// The phone's connection is lost, or there again: audio begins anew, and old audio is not
    /// played.
    pub fn set_detached(&mut self, on: bool) {
        self.audio.framer = Framer::new(FRAME_BYTES);
        let Some(line) = &self.audio.line else { return };
        line.to_phone.clear();
        line.set_detached(on);
    }

    pub fn line(&self) -> Option<&AudioLine> {
        self.audio.line.as_ref()
    }

    /// Audio of the phone's.
    pub fn pass_to_call(&mut self, audio: Bytes) {
        let Audio { line, framer } = &mut self.audio;
        if let Some(line) = line {
            framer.push(audio, |frame| line.from_phone.push(frame));
        }
    }

    /// Looks at what the next frame touches.
    pub fn touch(&self) {
        if let Some(line) = &self.audio.line {
            line.from_phone.touch();
        }
    }

    /// What was passed on is all that came.
    pub fn ring_call(&mut self) {
        if let Some(line) = &mut self.audio.line {
            line.from_phone.ring();
        }
    }

    /// Audio goes out as the socket takes it; what it doesn't take waits in the hop, where the
    /// oldest makes room. True if something may wait there until the socket takes more.
    pub fn audio_to_phone(&mut self, wire: &mut Wire<Io>, bells: &Bells) -> bool {
        let Some(line) = &self.audio.line else { return false };
        let mut socket = Context::from_waker(bells.socket());
        while wire.poll_write(&mut socket).is_ready() {
            let Some(frame) = line.to_phone.take(bells) else { return false };
            // There is room: everything before was written.
            let _ = wire.send_now(Message::Binary(frame));
        }
        true
    }

    /// Ready when there is something for [`Slot::take_news`].
    pub fn poll_news(&mut self, cx: &Context<'_>) -> Poll<()> {
        let Some(reader) = &self.reader else { return Poll::Pending };
        reader.poll_take(cx).map(|news| self.news = news)
    }

    /// What became known; the slot knows it now, too.
    pub fn take_news(&mut self) -> News {
        let news = std::mem::take(&mut self.news);
        if let Some(caller) = &news.caller {
            self.caller = caller.clone();
        }
        if let Some(held) = news.held_by_far {
            self.held_by_far = held;
        }
        if let Some(progress) = news.progress {
            self.progress = progress;
        }
        news
    }
}
