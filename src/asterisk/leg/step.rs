//! How seldom a call's timer has to fire while both sides speak.
//!
//! Each frame of the phone's puts off what the pacer waits for, so a timer for it only ever fires
//! too early. Asterisk's frames wake the task as often as the phone's should:
//! while they come, it is enough to look when two of them have come without one of the phone's.

use std::time::Duration;

use tokio::time::Instant;

/// The timer is set no nearer than this while audio goes in step. If both sides fall silent in the
/// same moment, silence begins so much too late, in which nobody has anything to hear.
const IN_STEP: Duration = Duration::from_millis(500);
/// What the pacer wants sooner than this isn't put off: it holds frames, or the phone is late. A
/// phone that is in step leaves it more.
const SOON: Duration = Duration::from_millis(40);
/// Frames of Asterisk's without one of the phone's: 40 ms. Silence is due later than that.
const OUT_OF_STEP: u32 = 2;

/// The account of who speaks.
#[derive(Debug, Default)]
pub(super) struct Step {
    /// Asterisk has sent since the timer fired last.
    pub(super) asterisk_sends: bool,
    /// Frames of Asterisk's since the phone's last.
    since_phone: u32,
    /// It went in step until just now.
    ended: bool,
}

impl Step {
    pub(super) fn asterisk_sent(&mut self) {
        self.asterisk_sends = true;
        self.since_phone = self.since_phone.saturating_add(1);
        self.ended |= self.since_phone == OUT_OF_STEP;
    }

    pub(super) fn phone_sent(&mut self) {
        self.since_phone = 0;
        self.ended = false;
    }

    /// Whether the timer has to be set to what the pacer wants; says so once.
    pub(super) fn ends_now(&mut self) -> bool {
        std::mem::take(&mut self.ended)
    }

    /// When to look after what the pacer wants at `due`.
    pub(super) fn look_at(&self, due: Instant, now: Instant) -> Instant {
        let in_step = self.asterisk_sends && self.since_phone < OUT_OF_STEP;
        if in_step && due >= now + SOON { due.max(now + IN_STEP) } else { due }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_call_in_step_is_looked_after_now_and_then() {
        let (mut step, now) = (Step::default(), Instant::now());
        assert_eq!(step.look_at(now + 60 * MS, now), now + 60 * MS, "Asterisk says nothing");
        step.asterisk_sent();
        assert_eq!(step.look_at(now + 60 * MS, now), now + IN_STEP);
        assert_eq!(step.look_at(now + 600 * MS, now), now + 600 * MS);
        assert_eq!(step.look_at(now + 20 * MS, now), now + 20 * MS, "a frame is held");
        assert!(!step.ends_now());
    }

    #[test]
    fn a_phone_that_falls_silent_is_noticed_by_asterisks_second_frame() {
        let (mut step, now) = (Step::default(), Instant::now());
        for _ in 0..5 {
            step.asterisk_sent();
            step.phone_sent();
            assert!(!step.ends_now());
        }
        step.asterisk_sent();
        assert!(!step.ends_now());
        step.asterisk_sent();
        assert!(step.ends_now() && !step.ends_now(), "once");
        assert_eq!(step.look_at(now + 60 * MS, now), now + 60 * MS);
        step.phone_sent();
        step.asterisk_sent();
        assert_eq!(step.look_at(now + 60 * MS, now), now + IN_STEP);
    }
}
