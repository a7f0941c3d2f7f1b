//! How much a phone may say: a bucket that a request takes one from, and time fills.

use std::time::{Duration, Instant};

/// Requests at once. Nobody presses keys that fast; a page that comes back repeats a handful.
pub const BURST: u32 = 200;
/// One more every so often: 50 a second.
pub const EVERY: Duration = Duration::from_millis(20);

/// The bucket, as the time at which it will be full again.
#[derive(Debug, Clone, Copy)]
pub struct Bucket {
    full_at: Instant,
}

impl Bucket {
    /// A full one.
    pub fn new(now: Instant) -> Self {
        Self { full_at: now }
    }

    /// Takes one; if there is none, how long until there is.
    pub fn take(&mut self, now: Instant) -> Result<(), Duration> {
        let full_at = self.full_at.max(now) + EVERY;
        let missing = full_at.saturating_duration_since(now);
        let most = EVERY * BURST;
        if missing > most {
            return Err(missing - most);
        }
        self.full_at = full_at;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_then_fifty_a_second() {
        let now = Instant::now();
        let mut bucket = Bucket::new(now);
        let passed = (0..1000).filter(|_| bucket.take(now).is_ok()).count();
        assert_eq!(passed, BURST as usize);
        let wait = bucket.take(now).unwrap_err();
        assert!(wait <= EVERY);
        assert!(bucket.take(now + wait).is_ok());
        let later = now + Duration::from_secs(1);
        let passed = (0..1000).filter(|_| bucket.take(later).is_ok()).count();
        assert!((49..=50).contains(&passed), "{passed}");
        let rested = later + Duration::from_secs(3600);
        let passed = (0..1000).filter(|_| bucket.take(rested).is_ok()).count();
        assert_eq!(passed, BURST as usize, "no more than a burst, however long it was quiet");
    }
}
