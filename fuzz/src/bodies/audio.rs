//! Frames and their pace.

use std::time::{Duration, Instant};

use bytes::Bytes;
use goastgateway::media::{
    frame::{FRAME_BYTES, FRAME_TIME},
    framer::Framer,
    pacer::{self, Action, Pacer},
};

use super::Tape;

/// No byte is lost, every frame has its size.
pub fn framer(data: &[u8]) {
    let mut tape = Tape(data);
    let size = 2 + usize::from(tape.byte()) * 4;
    let mut framer = Framer::new(size);
    let (mut given, mut taken) = (Vec::new(), Vec::new());
    while !tape.is_over() {
        let length = tape.byte().into();
        let (piece, rest) = tape.0.split_at(usize::min(length, tape.0.len()));
        tape.0 = rest;
        given.extend_from_slice(piece);
        framer.push(Bytes::copy_from_slice(piece), |frame| {
            assert_eq!(frame.len(), size);
            taken.extend_from_slice(&frame);
        });
    }
    assert_eq!(taken[..], given[..given.len() / size * size]);
}

/// Any audio, any pauses, any reports: never more ahead than promised when something is sent,
/// every frame of the phone accounted for, a deadline that moves on.
pub fn pacer(data: &[u8]) {
    let mut tape = Tape(data);
    let mut now = Instant::now();
    let mut pacer = Pacer::new(FRAME_BYTES, now);
    let loud = Bytes::from(vec![0x55; FRAME_BYTES]);
    let quiet = Bytes::from(vec![0; FRAME_BYTES]);
    let mut pushed = 0;
    let mut actions = Vec::new();
    let mut refuses = false;
    while !tape.is_over() {
        let what = tape.byte();
        let much = u64::from(what >> 4);
        match what & 15 {
            0..=3 => now += Duration::from_millis(much),
            4 => now += FRAME_TIME,
            5 => now += Duration::from_millis(100 * much),
            6..=8 => {
                pushed += 1;
                pacer.push(loud.clone(), now, &mut actions);
            }
            9 | 10 => {
                pushed += 1;
                pacer.push(quiet.clone(), now, &mut actions);
            }
            11 => pacer.status(much as u32, now, &mut actions),
            12 => pacer.status([0, 25, 900, u32::MAX][tape.below(4)], now, &mut actions),
            13 => pacer.flow(much & 1 == 1, now),
            14 => refuses = much & 1 == 1,
            _ => pacer.tick(now, &mut actions),
        }
        act(&mut pacer, &mut actions, now, refuses);
        // As its task does: it is woken until there is nothing to do now.
        let mut wakes = 0;
        while pacer.deadline() <= now {
            wakes += 1;
            assert!(wakes <= 3, "a deadline that stays where it is");
            pacer.tick(now, &mut actions);
            act(&mut pacer, &mut actions, now, refuses);
        }
        let counts = pacer.counts();
        let known = counts.sent + counts.late + counts.ahead + counts.full;
        assert!(known <= pushed, "{known} of {pushed} frames: {counts:?}");
        assert!(pushed - known <= 15, "{known} of {pushed} frames: {counts:?}");
    }
    // What is held leaves within its time.
    pacer.flow(false, now);
    refuses = false;
    for _ in 0..100 {
        now += FRAME_TIME;
        pacer.tick(now, &mut actions);
        act(&mut pacer, &mut actions, now, refuses);
    }
    let counts = pacer.counts();
    assert_eq!(counts.sent + counts.late + counts.ahead + counts.full, pushed, "{counts:?}");
}

fn act(pacer: &mut Pacer, actions: &mut Vec<Action>, now: Instant, refuses: bool) {
    let ahead = pacer.ahead(now);
    for action in actions.drain(..) {
        let (Action::Send(frame) | Action::Fill(frame)) = &action else { continue };
        assert_eq!(frame.len(), FRAME_BYTES);
        assert!(ahead <= pacer::AHEAD + FRAME_TIME, "{ahead:?} ahead");
        assert!(ahead < 5 * FRAME_TIME);
        if refuses {
            pacer.not_sent(&action);
        }
    }
}
