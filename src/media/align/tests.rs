//! The grid under jitter, stalls and clocks that drift.

use proptest::prelude::*;

use super::{track::limit, *};

const MS: Duration = Duration::from_millis(1);

fn frame(value: i16) -> Bytes {
    Bytes::from(value.to_le_bytes().repeat(SLOT))
}

/// What each side sends and when it comes, in ms since the answer, in order of coming; asked
/// every `tick` ms. Gives every slot with the time when it was given.
fn run(
    left: &[(u64, i16)],
    right: &[(u64, i16)],
    tick: u64,
    end: u64,
) -> (Vec<(u64, Slot)>, Aligner) {
    let start = Instant::now();
    let mut aligner = Aligner::new(start);
    let mut slots = Vec::new();
    let (mut l, mut r) = (left.iter().peekable(), right.iter().peekable());
    let mut ms = 0;
    while ms <= end {
        let now = start + MS * ms as u32;
        while let Some((at, value)) = l.next_if(|(at, _)| *at <= ms) {
            aligner.push(Lane::Left, start + MS * *at as u32, frame(*value));
        }
        while let Some((at, value)) = r.next_if(|(at, _)| *at <= ms) {
            aligner.push(Lane::Right, start + MS * *at as u32, frame(*value));
        }
        while let Some(slot) = aligner.next(now) {
            slots.push((ms, slot));
        }
        ms += tick;
    }
    let end_at = start + MS * end as u32;
    while let Some(slot) = aligner.rest(end_at) {
        slots.push((end, slot));
    }
    (slots, aligner)
}

fn steady(frames: u64) -> Vec<(u64, i16)> {
    (0..frames).map(|n| (n * 20 + 3, (n + 1) as i16)).collect()
}

#[test]
fn sides_in_step_come_out_as_they_went_in_and_at_once() {
    let (slots, aligner) = run(&steady(500), &steady(500), 20, 10_000);
    for (n, (at, slot)) in slots.iter().enumerate() {
        assert_eq!(slot.index, n as u64);
        assert_eq!(slot.left, slot.right);
        assert!(slot.left.iter().all(|s| *s == (n + 1) as i16), "{n}: {:?}", slot.left[0]);
        assert!(*at <= (n as u64) * 20 + 3 + 20, "slot {n} was given at {at} ms");
    }
    assert_eq!(slots.len(), 500);
    assert_eq!(aligner.corrections(Lane::Left), Corrections::default());
}

#[test]
fn a_side_that_says_nothing_is_silent_and_the_other_waits_no_longer_than_hold() {
    let (slots, _) = run(&steady(200), &[], 20, 4_000);
    assert_eq!(slots.len(), 200);
    for (n, (at, slot)) in slots.iter().enumerate() {
        assert!(slot.right.iter().all(|s| *s == 0));
        assert!(slot.left.iter().all(|s| *s == (n + 1) as i16));
        assert!(*at <= (n as u64 + 1) * 20 + HOLD.as_millis() as u64 + 20);
    }
}

#[test]
fn a_side_that_begins_later_is_where_it_began() {
    let late: Vec<_> = steady(100).into_iter().map(|(at, v)| (at + 1_000, v)).collect();
    let (slots, _) = run(&steady(200), &late, 20, 4_000);
    let first = slots.iter().find(|(_, slot)| slot.right[0] == 1).expect("heard");
    assert_eq!(first.1.index, 50);
    assert_eq!(first.1.left[0], 51);
}

#[test]
fn a_stall_within_hold_loses_nothing_and_moves_nothing() {
    let stalled: Vec<_> = steady(300)
        .into_iter()
        .map(|(at, v)| (if (1_000..1_180).contains(&at) { 1_180 } else { at }, v))
        .collect();
    let (slots, aligner) = run(&steady(300), &stalled, 20, 6_000);
    assert!(slots.iter().all(|(_, slot)| slot.left == slot.right));
    assert_eq!(aligner.corrections(Lane::Right), Corrections::default());
}

#[test]
fn after_a_long_stall_the_newest_is_where_it_belongs_and_the_rest_is_silence() {
    let stalled: Vec<_> = steady(300)
        .into_iter()
        .map(|(at, v)| (if (1_000..2_000).contains(&at) { 2_000 } else { at }, v))
        .collect();
    let (slots, aligner) = run(&steady(300), &stalled, 20, 6_000);
    assert_eq!(slots.len(), 300);
    for (_, slot) in &slots {
        // The burst came up to a slot after its last frame was sent, which can't be known.
        let apart = slot.left[0] - slot.right[0];
        assert!(slot.right[0] == 0 || (0..=1).contains(&apart), "slot {}: {apart}", slot.index);
        assert!(slot.index < 230 || apart == 0, "slot {}: {apart}", slot.index);
    }
    let silent = slots.iter().filter(|(_, slot)| slot.right[0] == 0).count();
    assert!((35..=45).contains(&silent), "{silent}");
    assert!(aligner.corrections(Lane::Right).late >= 35 * SLOT as u64);
}

#[test]
fn a_caller_that_is_away_for_seconds_finds_every_slot() {
    let (slots, _) = run(&steady(300), &steady(300), 900, 6_000);
    assert_eq!(slots.len(), 300);
    assert!(slots.iter().all(|(_, slot)| slot.left == slot.right));
}

#[test]
fn what_nobody_wants_to_hear_is_skipped() {
    let start = Instant::now();
    let mut aligner = Aligner::new(start);
    aligner.skip_to(start + 1_005 * MS);
    aligner.push(Lane::Left, start + 1_010 * MS, frame(7));
    aligner.push(Lane::Right, start + 1_011 * MS, frame(8));
    // 1,010 is as near to slot 51 as to 50.
    let first = aligner.next(start + 1_011 * MS).or_else(|| aligner.next(start + 1_300 * MS));
    assert_eq!(first.expect("a slot").index, 50);
    let second = aligner.next(start + 1_300 * MS).expect("a slot");
    assert_eq!((second.left[0], second.right[0]), (7, 8));
}

/// Where each frame of a side came out, in ms after it was sent.
fn delays(sent: &[(u64, i16)], slots: &[(u64, Slot)]) -> Vec<i64> {
    let mut places = std::collections::HashMap::new();
    for (_, slot) in slots {
        places.entry(slot.right[SLOT / 2]).or_insert(slot.index as i64 * 20);
    }
    let place = |(at, value): &(u64, i16)| Some(places.get(value)? - *at as i64);
    sent.iter().filter_map(place).collect()
}

#[test]
fn clocks_that_drift_by_half_a_percent_are_followed_within_a_slot() {
    for micros in [19_900u64, 20_100] {
        let sent: Vec<_> =
            (0..6_000).map(|n| (n * micros / 1000, (n % 30_000 + 1) as i16)).collect();
        let end = sent.last().map_or(0, |(at, _)| *at);
        let (slots, aligner) = run(&steady(end / 20), &sent, 20, end);
        let delays = delays(&sent, &slots);
        assert!(delays.len() > 5_900, "{}", delays.len());
        let (least, most) = (delays.iter().min(), delays.iter().max());
        assert!(*least.expect("one") >= -45 && *most.expect("one") <= 45, "{least:?} {most:?}");
        let corrections = aligner.corrections(Lane::Right);
        assert_eq!(corrections.late, 0, "{corrections:?}");
    }
}

proptest! {
    #[test]
    fn with_jitter_of_60_ms_no_frame_is_lost_and_none_is_a_slot_away(
        late in proptest::collection::vec(0u64..60, 400),
        tick in 5u64..40,
    ) {
        let mut before = 0;
        let sent: Vec<(u64, i16)> = late
            .iter()
            .enumerate()
            .map(|(n, late)| {
                before = before.max(n as u64 * 20 + late);
                (before, n as i16 + 1)
            })
            .collect();
        let (slots, aligner) = run(&steady(400), &sent, tick, 8_060);
        prop_assert_eq!(aligner.corrections(Lane::Right).late, 0);
        for (_, slot) in slots.iter().filter(|(_, slot)| slot.right[0] != 0) {
            let apart = i64::from(slot.right[0]) - 1 - slot.index as i64;
            prop_assert!(apart.abs() <= 3, "slot {} has {}", slot.index, slot.right[0] - 1);
        }
        // The first frame's own lateness is all that can't be known, and only for a while.
        for (_, slot) in slots.iter().skip(200).filter(|(_, slot)| slot.right[0] != 0) {
            let apart = i64::from(slot.right[0]) - 1 - slot.index as i64;
            prop_assert!(apart.abs() <= 1, "slot {} has {}", slot.index, slot.right[0] - 1);
        }
    }

    #[test]
    fn whatever_comes_every_slot_is_given_once_in_order_and_memory_is_bounded(
        pushes in proptest::collection::vec((any::<bool>(), 0u64..200, 0usize..2_000), 0..300),
    ) {
        let start = Instant::now();
        let mut aligner = Aligner::new(start);
        let mut now = start;
        let mut expected = 0;
        for (left, wait, bytes) in pushes {
            now += MS * wait as u32;
            let lane = if left { Lane::Left } else { Lane::Right };
            aligner.push(lane, now, Bytes::from(vec![1; bytes]));
            while let Some(slot) = aligner.next(now) {
                prop_assert_eq!(slot.index, expected);
                expected += 1;
            }
            let due = now.saturating_duration_since(start).saturating_sub(HOLD).as_millis() / 20;
            prop_assert!(u128::from(expected) >= due);
            prop_assert!(aligner.left.audio.len() <= 2 * limit());
            prop_assert!(aligner.right.audio.len() <= 2 * limit());
        }
        while aligner.rest(now).is_some() {
            expected += 1;
        }
        let whole = now.saturating_duration_since(start).as_millis() / 20;
        prop_assert!(u128::from(expected) >= whole);
        prop_assert!(u128::from(expected) <= whole + 2 * limit() as u128 / SLOT as u128 + 1);
    }
}
