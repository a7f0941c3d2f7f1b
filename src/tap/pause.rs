//! PURE: the times of a call in which nobody may listen, in slots of its grid.

use std::time::SystemTime;

use super::event::Pause;

/// Pauses of a call that are remembered by who and when. More are kept, and silent, all the same:
/// they become parts of the last.
pub const MOST: usize = 1000;

/// The pauses of one call.
#[derive(Debug, Clone, Default)]
pub struct Pauses {
    /// From a slot, to a slot.
    spans: Vec<(u64, Option<u64>)>,
    record: Vec<Pause>,
}

impl Pauses {
    /// From this slot on nobody hears anything; false if that is so already.
    pub fn pause(&mut self, slot: u64, by: &str, now: SystemTime) -> bool {
        if self.is_paused() {
            return false;
        }
        match self.spans.last_mut() {
            // Without a slot between them, or without room for one more, it is one pause.
            Some((_, until)) if self.record.len() >= MOST || until.is_some_and(|u| u >= slot) => {
                *until = None;
            }
            _ => self.spans.push((slot, None)),
        }
        if self.record.len() < MOST {
            let (from, by) = (now, by.to_owned());
            self.record.push(Pause { from, by, until: None, resumed_by: String::new() });
        } else if let Some(last) = self.record.last_mut() {
            last.until = None;
        }
        true
    }

    /// From this slot on everybody hears again; false if they did already.
    pub fn resume(&mut self, slot: u64, by: &str, now: SystemTime) -> bool {
        let Some((from, until @ None)) = self.spans.last_mut() else { return false };
        *until = Some(slot.max(*from));
        if let Some(last) = self.record.last_mut() {
            (last.until, last.resumed_by) = (Some(now), by.to_owned());
        }
        true
    }

    pub fn is_paused(&self) -> bool {
        matches!(self.spans.last(), Some((_, None)))
    }

    /// Whether a slot is to be silent.
    pub fn covers(&self, slot: u64) -> bool {
        let spans = self.spans.iter().rev();
        let mut near = spans.take_while(|(_, until)| until.is_none_or(|until| until > slot));
        near.any(|(from, _)| *from <= slot)
    }

    /// Who and when.
    pub fn record(&self) -> &[Pause] {
        &self.record
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: SystemTime = SystemTime::UNIX_EPOCH;

    fn silent(pauses: &Pauses, slots: std::ops::Range<u64>) -> Vec<u64> {
        slots.filter(|slot| pauses.covers(*slot)).collect()
    }

    #[test]
    fn a_slot_is_silent_from_the_pause_to_the_resumption() {
        let mut pauses = Pauses::default();
        assert!(!pauses.resume(1, "nobody", NOW));
        assert!(pauses.pause(3, "a", NOW));
        assert!(!pauses.pause(4, "b", NOW), "it is paused");
        assert_eq!(silent(&pauses, 0..8), [3, 4, 5, 6, 7]);
        assert!(pauses.resume(5, "c", NOW));
        assert!(pauses.pause(7, "d", NOW));
        assert_eq!(silent(&pauses, 0..9), [3, 4, 7, 8]);
        let [first, second] = pauses.record() else { panic!("two") };
        assert_eq!((first.by.as_str(), first.resumed_by.as_str()), ("a", "c"));
        assert_eq!((second.by.as_str(), second.until), ("d", None));
    }

    #[test]
    fn however_often_it_is_paused_memory_is_bounded_and_nothing_is_heard_that_should_not_be() {
        let mut pauses = Pauses::default();
        for n in 0..3 * MOST as u64 {
            pauses.pause(10 * n, "a", NOW);
            assert!(pauses.covers(10 * n));
            pauses.resume(10 * n + 5, "b", NOW);
        }
        assert!(pauses.record().len() <= MOST && pauses.spans.len() <= MOST);
    }
}
