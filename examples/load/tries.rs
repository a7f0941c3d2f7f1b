//! PURE: whether so many calls are too many, judged by more than one try.
//!
//! A machine that is shared stalls now and then for tens of milliseconds, and then every delay is
//! long. That is no limit of the gateway's, so a step has failed only when most of its tries have.

/// The better of this many tries is what counts: two of three.
const TRIES: usize = 3;
/// So many tries are made anew in which the load itself was late: they measured the machine. Where
/// it is late each time, it is the load's limit that was found, and the tries count.
const ANEW: usize = 2;

/// What one try showed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Try {
    Held,
    Failed,
    /// It failed, and the load was late, too.
    Disturbed,
}

/// Whether the step is held; `None` while another try is needed.
pub fn verdict(tries: &[Try]) -> Option<bool> {
    let held = tries.iter().filter(|t| **t == Try::Held).count();
    let failed = tries.iter().filter(|t| **t == Try::Failed).count();
    let disturbed = (tries.len() - held - failed).saturating_sub(ANEW);
    let most = TRIES / 2 + 1;
    if held >= most {
        Some(true)
    } else if failed + disturbed >= most {
        Some(false)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::{Try::*, *};

    #[test]
    fn two_of_three_tries_decide() {
        assert_eq!(verdict(&[]), None);
        assert_eq!(verdict(&[Held]), None);
        assert_eq!(verdict(&[Held, Failed]), None);
        assert_eq!(verdict(&[Held, Held]), Some(true));
        assert_eq!(verdict(&[Failed, Held, Held]), Some(true));
        assert_eq!(verdict(&[Failed, Failed]), Some(false));
        assert_eq!(verdict(&[Held, Failed, Failed]), Some(false));
    }

    #[test]
    fn what_the_machine_has_disturbed_is_tried_again_but_not_for_ever() {
        assert_eq!(verdict(&[Disturbed, Failed]), None);
        assert_eq!(verdict(&[Disturbed, Disturbed, Held, Held]), Some(true));
        assert_eq!(verdict(&[Disturbed, Disturbed, Disturbed]), None);
        assert_eq!(verdict(&[Disturbed; 4]), Some(false));
    }
}
