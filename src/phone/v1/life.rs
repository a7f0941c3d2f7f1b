//! Whether the page (not the socket) answers: pings of our own, which need its JavaScript.
//!
//! Promises: a page that owes an answer for [`OWES_TIME`] counts as not reachable, until it says
//! something; one that has missed [`MISSED`] pings is gone. No clock is read here.

use std::time::{Duration, Instant};

/// How often a page is pinged. Browsers slow down the timers of hidden tabs, but not their
/// messages, so this needn't be long; proxies cut idle connections after 60 s.
pub const PING_EVERY: Duration = Duration::from_secs(20);
/// How long a page may owe an answer before it counts as not reachable.
pub const OWES_TIME: Duration = Duration::from_secs(5);
/// Pings without any sign of life after which the connection counts as dead.
pub const MISSED: u32 = 2;

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// Send a ping with this number.
    Ping(u64),
    /// The page doesn't answer: ring it no more.
    Unreachable,
    /// The connection is dead.
    Dead,
}

/// The account of one page.
#[derive(Debug, Clone)]
pub struct Life {
    next_ping: Instant,
    number: u64,
    sent_at: Option<Instant>,
    missed: u32,
    owes_since: Option<Instant>,
    reachable: bool,
    rtt: Option<Duration>,
}

impl Life {
    /// A page that has just logged in.
    pub fn new(now: Instant) -> Self {
        Self {
            next_ping: now + PING_EVERY,
            number: 0,
            sent_at: None,
            missed: 0,
            owes_since: None,
            reachable: true,
            rtt: None,
        }
    }

    pub fn is_reachable(&self) -> bool {
        self.reachable
    }

    /// The round trip of the last ping that was answered.
    pub fn rtt(&self) -> Option<Duration> {
        self.rtt
    }

    /// Asks the page now, whenever it was asked last: somebody wants to know.
    pub fn ask_now(&mut self, now: Instant) -> u64 {
        self.number += 1;
        self.sent_at = Some(now);
        self.owes_since.get_or_insert(now);
        self.number
    }

    /// The page said something. True if it is reachable again.
    pub fn heard(&mut self) -> bool {
        self.missed = 0;
        self.owes_since = None;
        !std::mem::replace(&mut self.reachable, true)
    }

    /// It answered this ping.
    pub fn pong(&mut self, number: u64, now: Instant) {
        if number == self.number
            && let Some(at) = self.sent_at.take()
        {
            self.rtt = Some(now.saturating_duration_since(at));
        }
    }

    /// When [`Life::tick`] wants to be called.
    pub fn deadline(&self) -> Instant {
        match self.owes_since {
            Some(since) if self.reachable => self.next_ping.min(since + OWES_TIME),
            _ => self.next_ping,
        }
    }

    /// The time of [`Life::deadline`] may have come. Call it again until it gives nothing.
    pub fn tick(&mut self, now: Instant) -> Option<Turn> {
        if self.reachable && self.owes_since.is_some_and(|since| since + OWES_TIME <= now) {
            self.reachable = false;
            return Some(Turn::Unreachable);
        }
        if now < self.next_ping {
            return None;
        }
        if self.missed == MISSED {
            return Some(Turn::Dead);
        }
        self.missed += 1;
        self.next_ping = now + PING_EVERY;
        Some(Turn::Ping(self.ask_now(now)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frozen_page_is_unreachable_after_five_seconds_and_dead_after_two_pings() {
        let start = Instant::now();
        let mut life = Life::new(start);
        let mut log = Vec::new();
        for second in 0..=100 {
            let now = start + Duration::from_secs(second);
            while let Some(turn) = life.tick(now) {
                log.push((second, turn));
                if turn == Turn::Dead {
                    assert_eq!(
                        log,
                        [
                            (20, Turn::Ping(1)),
                            (25, Turn::Unreachable),
                            (40, Turn::Ping(2)),
                            (60, Turn::Dead)
                        ]
                    );
                    return;
                }
            }
        }
        panic!("never dead: {log:?}");
    }

    #[test]
    fn a_page_that_thaws_is_reachable_again_at_its_first_word() {
        let start = Instant::now();
        let mut life = Life::new(start);
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(life.tick(at(20)), Some(Turn::Ping(1)));
        assert_eq!(life.tick(at(25)), Some(Turn::Unreachable));
        assert!(!life.is_reachable());
        assert!(life.heard());
        assert!(!life.heard(), "that is no news");
        life.pong(1, at(26));
        assert_eq!(life.rtt(), Some(Duration::from_secs(6)));
        assert_eq!(life.deadline(), at(40));
    }

    #[test]
    fn an_answering_page_is_only_ever_pinged() {
        let start = Instant::now();
        let mut life = Life::new(start);
        for round in 1..100 {
            let now = life.deadline();
            assert_eq!(life.tick(now), Some(Turn::Ping(round)));
            assert_eq!(life.tick(now), None);
            life.heard();
            life.pong(round, now + Duration::from_millis(30));
        }
        assert_eq!(life.rtt(), Some(Duration::from_millis(30)));
    }
}
