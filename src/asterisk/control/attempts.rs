//! PURE: whom a dialplan dials for one channel, and what has become of it.
//!
//! `Dial()` may try several ends at once or one after the other, and Asterisk tells each by itself.
//! What counts is how it stands when nobody rings any more.

use std::time::{Duration, Instant};

/// From when on a channel for which nobody is dialled counts as being with an application of the
/// dialplan (voicemail, a conference, an echo): Asterisk doesn't say so.
pub const APPLICATION_TIME: Duration = Duration::from_secs(2);

/// The attempts of one channel.
#[derive(Debug)]
pub struct Attempts {
    /// Ends that are dialled now.
    ringing: u32,
    /// The last result of one that did not answer.
    status: Option<String>,
    /// When nobody has been dialled for [`APPLICATION_TIME`].
    quiet_at: Option<Instant>,
}

impl Attempts {
    pub fn new(now: Instant) -> Self {
        Self { ringing: 0, status: None, quiet_at: Some(now + APPLICATION_TIME) }
    }

    /// One more is dialled.
    pub fn begin(&mut self) {
        self.ringing = self.ringing.saturating_add(1);
        self.quiet_at = None;
    }

    /// One did not answer. The dialplan may dial another, or say that the number is busy.
    pub fn fail(&mut self, status: String, now: Instant) {
        self.ringing = self.ringing.saturating_sub(1);
        self.status = Some(status);
        if self.ringing == 0 {
            self.quiet_at = Some(now + APPLICATION_TIME);
        }
    }

    /// The last attempt's result, in Asterisk's words.
    pub fn status(&self) -> Option<&str> {
        self.status.as_deref()
    }

    /// When an application has the channel, if nothing happens until then.
    pub fn quiet_at(&self) -> Option<Instant> {
        self.quiet_at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_two_who_is_busy_does_not_end_the_ringing_of_the_other() {
        let now = Instant::now();
        let mut attempts = Attempts::new(now);
        assert_eq!(attempts.quiet_at(), Some(now + APPLICATION_TIME));
        attempts.begin();
        attempts.begin();
        attempts.fail("BUSY".to_owned(), now);
        assert_eq!(attempts.quiet_at(), None, "the other rings");
        attempts.fail("NOANSWER".to_owned(), now);
        assert_eq!(attempts.quiet_at(), Some(now + APPLICATION_TIME));
        assert_eq!(attempts.status(), Some("NOANSWER"));
    }

    #[test]
    fn ends_without_a_begin_do_no_harm() {
        let now = Instant::now();
        let mut attempts = Attempts::new(now);
        attempts.fail("BUSY".to_owned(), now);
        attempts.begin();
        assert_eq!(attempts.quiet_at(), None);
    }
}
