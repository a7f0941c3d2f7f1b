//! What a phone's task has and does in the dialect `goastgateway.v1`: signs of life, the token's
//! end, deadlines. What the page says is in `requests`, what of it call control has to do in `asks`.

mod asks;
mod requests;

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use tokio::time::Instant;
use tracing::debug;

use self::asks::Pending;
use super::{Dialect, LoginEnd, PhoneTask, slot::Slot};
use crate::{
    call::{CallId, presence::Presence, registry::Standing},
    config::Config,
    exchange::resume::ResumeId,
    phone::{
        session::Input,
        v1::{
            life::{Life, Turn},
            memory::Memory,
            rate::Bucket,
            says::{ToPhone, millis},
        },
    },
    report::time::Utc,
};

/// How long before a token's end its phone is told, and how often from then on.
const TOKEN_WARNING: Duration = Duration::from_secs(300);
const TOKEN_WARNING_EVERY: Duration = Duration::from_secs(60);
/// A second call for this phone, beside the one that it is in.
const ROOM_WAITING: u8 = 2;

/// What only this dialect needs. In a box: an idle phone of the other one has none of it.
pub struct V1 {
    config: Arc<ArcSwap<Config>>,
    pub(super) resume: ResumeId,
    /// When its token ends, in seconds since 1970.
    pub(super) token_expires: u64,
    call_waiting: bool,
    warn_at: Option<Instant>,
    life: Life,
    bucket: Bucket,
    memory: Memory,
    pending: Vec<Pending>,
    next_request: u64,
    /// Until when a page that is lost is waited for.
    back_by: Option<Instant>,
    /// What the page knows of its extension's presence.
    presence_said: Option<(Presence, bool)>,
    /// When the extension's presence ends by itself.
    presence_until: Option<Instant>,
}

impl V1 {
    pub fn new(
        config: Arc<ArcSwap<Config>>,
        resume: ResumeId,
        token_expires: u64,
        call_waiting: bool,
    ) -> Self {
        let now = Instant::now();
        Self {
            config,
            resume,
            token_expires,
            call_waiting,
            warn_at: warn_at(token_expires, now),
            life: Life::new(now.into_std()),
            bucket: Bucket::new(now.into_std()),
            memory: Memory::default(),
            pending: Vec::new(),
            next_request: 0,
            back_by: None,
            presence_said: None,
            presence_until: None,
        }
    }

    pub(super) fn config(&self) -> arc_swap::Guard<Arc<Config>> {
        self.config.load()
    }

    pub fn wants_call_waiting(&self) -> bool {
        self.call_waiting
    }

    pub fn resume_time(&self) -> Duration {
        self.config.load().calls.resume_timeout
    }

    pub fn is_reachable(&self) -> bool {
        self.life.is_reachable()
    }

    pub(super) fn rtt(&self) -> Option<Duration> {
        self.life.rtt()
    }

    /// Audio is a sign of life.
    pub fn heard_audio(&mut self) {
        self.life.heard();
    }

    pub fn detached(&mut self, back_by: Instant) {
        self.back_by = Some(back_by);
    }

    pub fn attached(&mut self, token_expires: u64, now: Instant) {
        self.back_by = None;
        self.life = Life::new(now.into_std());
        self.set_token(token_expires, now);
    }

    fn set_token(&mut self, token_expires: u64, now: Instant) {
        self.token_expires = token_expires;
        self.warn_at = warn_at(token_expires, now);
    }

    pub fn deadline(&self) -> Instant {
        let life = match self.back_by {
            Some(at) => at,
            None => Instant::from_std(self.life.deadline()),
        };
        let others = [self.warn_at, self.presence_until];
        others.into_iter().flatten().fold(life, Instant::min)
    }
}

/// When a phone is told that its token ends; at once if that is soon.
fn warn_at(token_expires: u64, now: Instant) -> Option<Instant> {
    let left = i64::try_from(token_expires).ok()?.checked_mul(1000)? - Utc::now().millis();
    let left = Duration::from_millis(u64::try_from(left).unwrap_or_default());
    now.checked_add(left.saturating_sub(TOKEN_WARNING))
}

impl PhoneTask {
    pub(super) fn v1_mut(&mut self) -> Option<&mut V1> {
        match &mut self.dialect {
            Dialect::V1(v1) => Some(v1),
            Dialect::Plain(_) => None,
        }
    }

    pub(super) fn set_call_waiting(&mut self, wanted: bool) {
        let Some(v1) = self.v1_mut() else { return };
        v1.call_waiting = wanted;
        let room = if wanted && v1.config().calls.call_waiting { ROOM_WAITING } else { 1 };
        let registration = &self.registration;
        registration.exchange().set_room(&registration.ext, registration.login, room);
    }

    /// Something came from the page.
    pub(super) fn heard(&mut self) {
        if let Some(v1) = self.v1_mut()
            && v1.life.heard()
        {
            debug!(ext = %self.registration.ext, "the page answers again");
            self.set_standing(Standing::Reachable);
        }
    }

    pub(super) fn v1_ping_now(&mut self) -> u64 {
        let Some(v1) = self.v1_mut() else { return 0 };
        let n = v1.life.ask_now(Instant::now().into_std());
        self.send(ToPhone::Ping { n }.json());
        n
    }

    /// Deadlines.
    pub(super) fn v1_time(&mut self, now: Instant) -> Option<LoginEnd> {
        let std_now = now.into_std();
        loop {
            let v1 = self.v1_mut()?;
            if let Some(back_by) = v1.back_by {
                if back_by <= now {
                    return Some(LoginEnd::NotBack);
                }
                break;
            }
            match v1.life.tick(std_now) {
                None => break,
                Some(Turn::Ping(n)) => self.send(ToPhone::Ping { n }.json()),
                Some(Turn::Unreachable) => {
                    debug!(ext = %self.registration.ext, "the page doesn't answer");
                    self.set_standing(Standing::Silent);
                }
                Some(Turn::Dead) => return self.lost(LoginEnd::Silent),
            }
        }
        let v1 = self.v1_mut()?;
        if v1.warn_at.is_some_and(|at| at <= now) {
            let expires = i64::try_from(v1.token_expires).unwrap_or(i64::MAX / 1000) * 1000;
            let left = u64::try_from(expires - Utc::now().millis()).unwrap_or_default();
            v1.warn_at = Some(now + TOKEN_WARNING_EVERY);
            self.send(ToPhone::TokenExpiring { ms: left }.json());
        }
        let v1 = self.v1_mut()?;
        if v1.presence_until.is_some_and(|at| at <= now) {
            v1.presence_until = None;
            self.registration.exchange().expire_presence(&self.registration.ext);
        }
        let late = |slot: &&Slot| slot.deadline().is_some_and(|at| at <= now);
        let late: Vec<CallId> = self.slots.iter().filter(late).map(Slot::call).collect();
        for call in late {
            self.late(call);
        }
        None
    }

    /// The page has not shown that it rings, or the leg of a call has not come.
    fn late(&mut self, call: CallId) {
        let Some(slot) = self.slot_mut(call) else { return };
        slot.waits_for_nothing();
        if slot.waits_for_leg() {
            let why = crate::call::ending::Ending::Failed;
            self.registration.exchange().calls.failed(call, why.into());
        } else {
            self.input(Input::Unconfirmed(call));
        }
    }

    /// What there is to know of the extension's presence; true if the page doesn't know it yet.
    pub(super) fn learn_presence(&mut self, presence: &Presence, reachable: bool) -> bool {
        let Some(v1) = self.v1_mut() else { return false };
        v1.presence_until = presence.until.map(Instant::from_std);
        let now = Some((presence.clone(), reachable));
        std::mem::replace(&mut v1.presence_said, now.clone()) != now
    }

    /// How long the call has been talked in.
    pub(super) fn talk_ms(slot: &Slot, now: Instant) -> u64 {
        slot.answered.map_or(0, |(at, _)| millis(now.saturating_duration_since(at)))
    }
}
