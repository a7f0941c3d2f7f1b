//! PURE: why a dialled call was not answered, from what Asterisk says of it.

use crate::call::ending::Ending;

/// The far end's word, from the last `DialStatus` and the hangup cause (Q.850) of our leg's channel.
///
/// Neither tells it alone: `Dial()` calls a number that doesn't exist, one that declines and one
/// that nobody answers all `NOANSWER`, and a `Busy()` behind a Local channel leaves cause 16.
pub fn unanswered(dial_status: Option<&str>, cause: u8) -> Ending {
    match cause {
        // unallocated, no route to network or destination, number changed, invalid format
        1..=3 | 22 | 28 => Ending::NumberUnknown,
        17 => Ending::Busy,
        18 | 19 => Ending::NoAnswer,
        20 | 27 => Ending::Away, // absent subscriber, destination out of order
        21 => Ending::Declined,
        34 | 38 | 41 | 42 | 44 | 47 | 58 => Ending::Congested,
        _ => match dial_status {
            Some("BUSY") => Ending::Busy,
            Some("NOANSWER") => Ending::NoAnswer,
            Some("CONGESTION") => Ending::Congested,
            Some("DONTCALL" | "TORTURE") => Ending::Declined,
            _ => Ending::Failed,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_far_end_of_the_rig_is_told_as_what_it_is() {
        for (status, cause, ending) in [
            (Some("BUSY"), 17, Ending::Busy),
            (Some("BUSY"), 16, Ending::Busy),
            (Some("NOANSWER"), 16, Ending::NoAnswer),
            (Some("NOANSWER"), 19, Ending::NoAnswer),
            (Some("NOANSWER"), 1, Ending::NumberUnknown),
            (Some("NOANSWER"), 21, Ending::Declined),
            (Some("CONGESTION"), 34, Ending::Congested),
            (Some("CONGESTION"), 16, Ending::Congested),
            (Some("CHANUNAVAIL"), 20, Ending::Away),
            (None, 66, Ending::Failed),
            (None, 16, Ending::Failed),
            (None, 0, Ending::Failed),
        ] {
            assert_eq!(unanswered(status, cause), ending, "{status:?} {cause}");
        }
    }
}
