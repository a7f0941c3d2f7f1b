//! Where a pacer's fields lie.

use std::mem::{offset_of, size_of};

use super::*;

/// What the processor fetches from memory at once.
const LINE: usize = 64;

#[test]
fn what_a_frame_in_step_touches_is_less_than_two_lines_of_memory() {
    let begin = offset_of!(Pacer, floor) + floor::IN_STEP.start;
    let end = offset_of!(Pacer, stalls) + stalls::IN_STEP.end;
    assert_eq!(floor::IN_STEP.end, size_of::<Floor>());
    assert_eq!(stalls::IN_STEP.start, 0);
    assert!(offset_of!(Pacer, floor) < offset_of!(Pacer, stalls));
    for (name, at) in [
        ("began", offset_of!(Pacer, began)),
        ("frame_time", offset_of!(Pacer, frame_time)),
        ("played_out", offset_of!(Pacer, played_out)),
        ("ask_at", offset_of!(Pacer, ask_at)),
        ("sent", offset_of!(Pacer, sent)),
        ("xoff", offset_of!(Pacer, xoff)),
        ("in_step", offset_of!(Pacer, in_step)),
    ] {
        assert!((begin..end).contains(&at), "{name}");
    }
    assert!(end - begin < 2 * LINE, "{} bytes", end - begin);
}
