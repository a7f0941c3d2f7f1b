//! Channels of Asterisk that are no calls of the gateway: where they are asked for, and where their
//! audio comes in.
//!
//! Whoever speaks ARI opens the desk once and works off its queue. For each channel that is to be
//! heard it expects two legs here, by the ids that Asterisk's channels will have: one brings what
//! the channel says, the other what it hears.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak},
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};
use uuid::Uuid;

use super::{StartError, TapLine};
use crate::media::align::Lane;

/// Questions that may wait at the desk. It answers within seconds.
const QUEUE: usize = 64;
/// How long whoever asks for a channel waits at most. Opening one has a shorter deadline of its own.
const ANSWER_TIME: Duration = Duration::from_secs(15);

/// Somebody wants to hear a channel.
#[derive(Debug)]
pub struct Wanted {
    /// Its name or unique id.
    pub channel: String,
    /// Under which call it can be listened to.
    pub answer: oneshot::Sender<Result<Uuid, StartError>>,
}

/// The desk, and the legs that are to come.
#[derive(Debug, Default)]
pub struct Channels {
    desk: OnceLock<Desk>,
    legs: Mutex<HashMap<String, Arc<Ear>>>,
}

#[derive(Debug)]
struct Desk {
    queue: mpsc::Sender<Wanted>,
    /// How the ids begin of all legs that are ever expected.
    mark: String,
}

/// What a leg that comes from Asterisk is.
#[derive(Debug)]
pub enum Leg {
    /// A call's: nobody here expects it.
    Call,
    /// It brings a channel's audio.
    Ear(Arc<Ear>),
    /// It would have, but nobody waits for it any more.
    Late,
}

/// Where one side of a channel comes in.
#[derive(Debug)]
pub struct Ear {
    /// Its number, and which side: whoever expects it knows.
    pub id: (Uuid, Lane),
    /// Set when both sides are there. Held by whoever listens, so that it ends with him.
    line: OnceLock<Weak<TapLine>>,
    news: mpsc::Sender<EarNews>,
}

/// What becomes of a leg: it is there, then it is gone. Two for each, so whoever expects legs knows
/// how long the queue has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EarNews {
    Here(Uuid, Lane),
    Gone(Uuid, Lane),
}

impl Channels {
    /// Opens the desk for legs whose ids begin with `mark`; `None` if somebody has already.
    pub fn open(&self, mark: &str) -> Option<mpsc::Receiver<Wanted>> {
        let (queue, wanted) = mpsc::channel(QUEUE);
        self.desk.set(Desk { queue, mark: mark.to_owned() }).ok()?;
        Some(wanted)
    }

    /// Has a channel listened to, and gives the call that it is then.
    pub async fn ask(&self, channel: &str) -> Result<Uuid, StartError> {
        let desk = self.desk.get().ok_or(StartError::NoAri)?;
        let (answer, coming) = oneshot::channel();
        let wanted = Wanted { channel: channel.to_owned(), answer };
        let busy = |_| StartError::Asterisk("too much waits for ARI".to_owned());
        desk.queue.try_send(wanted).map_err(busy)?;
        match timeout(ANSWER_TIME, coming).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(StartError::Stopping),
            Err(_) => Err(StartError::Asterisk("no answer in time".to_owned())),
        }
    }

    /// From now on a leg with this id brings one side of a channel.
    pub fn expect(&self, leg: String, ear: Arc<Ear>) {
        self.legs().insert(leg, ear);
    }

    /// It isn't wanted any more.
    pub fn forget(&self, leg: &str) {
        self.legs().remove(leg);
    }

    /// What a leg of this id is. One comes at most.
    pub fn leg(&self, id: &str) -> Leg {
        let Some(desk) = self.desk.get() else { return Leg::Call };
        if !id.starts_with(&desk.mark) {
            return Leg::Call;
        }
        self.legs().remove(id).map_or(Leg::Late, Leg::Ear)
    }

    fn legs(&self) -> MutexGuard<'_, HashMap<String, Arc<Ear>>> {
        self.legs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ear {
    pub fn new(tap: Uuid, lane: Lane, news: mpsc::Sender<EarNews>) -> Arc<Self> {
        Arc::new(Self { id: (tap, lane), line: OnceLock::new(), news })
    }

    /// From now on what comes goes there.
    pub fn connect(&self, line: &Arc<TapLine>) {
        let _ = self.line.set(Arc::downgrade(line));
    }

    /// A frame of this side. What comes before both sides are there is nobody's.
    pub fn hear(&self, frame: &Bytes) {
        let Some(line) = self.line.get().and_then(Weak::upgrade) else { return };
        match self.id.1 {
            Lane::Left => line.left(frame),
            Lane::Right => line.right(frame),
        }
    }

    /// The leg is there. When what this gives is dropped, it is gone.
    pub fn here(self: &Arc<Self>) -> Here {
        let (tap, lane) = self.id;
        let _ = self.news.try_send(EarNews::Here(tap, lane));
        Here(self.clone())
    }
}

/// A leg, for as long as it is there.
#[derive(Debug)]
pub struct Here(Arc<Ear>);

impl Drop for Here {
    fn drop(&mut self) {
        let (tap, lane) = self.0.id;
        let _ = self.0.news.try_send(EarNews::Gone(tap, lane));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tap::line;

    #[test]
    fn a_leg_is_a_calls_unless_its_id_has_the_mark() {
        let channels = Channels::default();
        assert!(matches!(channels.leg("gw-tap-1"), Leg::Call), "nobody speaks ARI");
        assert!(channels.open("gw-tap-").is_some());
        assert!(channels.open("gw-tap-").is_none());
        let (news, _heard) = mpsc::channel(1);
        channels.expect("gw-tap-1".to_owned(), Ear::new(Uuid::nil(), Lane::Left, news));
        assert!(matches!(channels.leg("1700000000.1"), Leg::Call));
        assert!(matches!(channels.leg("gw-tap-1"), Leg::Ear(_)));
        assert!(matches!(channels.leg("gw-tap-1"), Leg::Late), "one comes");
        assert!(matches!(channels.leg("gw-tap-2"), Leg::Late));
    }

    #[test]
    fn what_comes_is_heard_from_when_both_are_there_until_nobody_listens() {
        let (news, mut heard) = mpsc::channel(2);
        let ear = Ear::new(Uuid::nil(), Lane::Right, news);
        let here = ear.here();
        assert_eq!(heard.try_recv(), Ok(EarNews::Here(Uuid::nil(), Lane::Right)));
        let frame = Bytes::from_static(&[1, 2]);
        ear.hear(&frame);
        let (line, mut end, switch) = line::line();
        switch.turn_on();
        let line = Arc::new(line);
        ear.connect(&line);
        ear.hear(&frame);
        assert!(matches!(end.take(), Some(line::Heard::Frame(Lane::Right, ..))));
        assert!(end.take().is_none());
        drop(line);
        assert!(switch.over().is_some(), "the leg doesn't hold the call up");
        ear.hear(&frame);
        drop(here);
        assert_eq!(heard.try_recv(), Ok(EarNews::Gone(Uuid::nil(), Lane::Right)));
    }

    #[tokio::test]
    async fn without_ari_there_is_no_channel() {
        assert_eq!(Channels::default().ask("PJSIP/1").await, Err(StartError::NoAri));
    }
}
