//! The pacer between a phone and an Asterisk, in simulated time.

use super::*;
use crate::media::frame::{FRAME_BYTES, FRAME_TIME};

mod layout;
mod lossy;

const MS: Duration = Duration::from_millis(1);

/// A phone and an Asterisk around a pacer, in simulated time of one millisecond a step.
struct Rig {
    pacer: Pacer,
    start: Instant,
    now: Instant,
    /// What Asterisk has queued: when the frame was spoken, or `None` for our silence.
    queue: VecDeque<Option<Instant>>,
    /// Spoken frames on their way, in order: when spoken, and the sound of it.
    spoken: u32,
    /// (when played, delay since spoken)
    played: Vec<(Instant, Duration)>,
    /// What Asterisk was sent: when, and what it is as in `queue`.
    sent: Vec<(Instant, Option<Instant>)>,
    longest_queue: usize,
    flushed: u32,
}

impl Rig {
    fn new() -> Self {
        let now = Instant::now();
        Self {
            pacer: Pacer::new(FRAME_BYTES, now),
            start: now,
            now,
            queue: VecDeque::new(),
            spoken: 0,
            played: Vec::new(),
            sent: Vec::new(),
            longest_queue: 0,
            flushed: 0,
        }
    }

    /// A frame that carries when it was spoken; loud unless `quiet`. The stamp is its first sample, which
    /// a frame that fades into the next one keeps.
    fn frame(&mut self, spoken: Instant, quiet: bool) -> Bytes {
        self.spoken += 1;
        let ms = (spoken - self.start).as_millis() as u16;
        let mut bytes = vec![0u8; FRAME_BYTES];
        if quiet {
            bytes[..2].copy_from_slice(&1i16.to_le_bytes());
        } else {
            bytes[..2].copy_from_slice(&ms.to_le_bytes());
            bytes[600..602].copy_from_slice(&i16::MAX.to_le_bytes());
        }
        Bytes::from(bytes)
    }

    fn act(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Send(frame) | Action::Fill(frame) => {
                    let stamp = if frame.iter().all(|b| *b == 0) {
                        None
                    } else if frame[601] != 0 {
                        let now = self.ms() as u16;
                        let ago = now.wrapping_sub(u16::from_le_bytes([frame[0], frame[1]]));
                        Some(self.now - MS * u32::from(ago))
                    } else {
                        Some(self.now) // quiet frames are not measured
                    };
                    self.queue.push_back(stamp);
                    self.sent.push((self.now, stamp));
                    self.longest_queue = self.longest_queue.max(self.queue.len());
                }
                Action::AskStatus => {
                    let mut out = Vec::new();
                    self.pacer.status(self.queue.len() as u32, self.now, &mut out);
                    self.act(out);
                }
                Action::Flush => {
                    self.queue.clear();
                    self.flushed += 1;
                }
            }
        }
    }

    fn arrive(&mut self, frame: Bytes) {
        let mut out = Vec::new();
        self.pacer.push(frame, self.now, &mut out);
        self.act(out);
    }

    /// One millisecond passes.
    fn step(&mut self) {
        self.now += MS;
        if self.pacer.deadline() <= self.now {
            let mut out = Vec::new();
            self.pacer.tick(self.now, &mut out);
            self.act(out);
        }
        if (self.now - self.start).as_millis() % 20 == 7
            && let Some(Some(spoken)) = self.queue.pop_front()
        {
            self.played.push((self.now, self.now - spoken));
        }
    }

    fn ms(&self) -> u128 {
        (self.now - self.start).as_millis()
    }

    /// Speaks for a while; each frame comes `delay(n)` later, in order.
    fn speak(
        &mut self,
        frames: usize,
        interval_us: u64,
        delay: impl Fn(usize) -> u64,
        quiet: impl Fn(usize) -> bool,
    ) {
        let begin = self.now;
        let mut coming = VecDeque::new();
        let mut n = 0;
        let mut last = begin;
        while n < frames || !coming.is_empty() {
            while n < frames {
                let spoken = begin + Duration::from_micros(interval_us) * n as u32;
                if spoken > self.now {
                    break;
                }
                last = last.max(spoken + MS * delay(n) as u32);
                let frame = self.frame(spoken, quiet(n));
                coming.push_back((last, frame));
                n += 1;
            }
            while coming.front().is_some_and(|(at, _)| *at <= self.now) {
                let (_, frame) = coming.pop_front().unwrap();
                self.arrive(frame);
            }
            self.step();
        }
    }

    fn delays_ms(&self, from: u128, to: u128) -> Vec<u128> {
        let in_range = |at: Instant| {
            let ms = (at - self.start).as_millis();
            ms >= from && ms < to
        };
        self.played.iter().filter(|(at, _)| in_range(*at)).map(|(_, d)| d.as_millis()).collect()
    }
}

#[test]
fn in_step_every_frame_is_sent_the_moment_it_comes() {
    let mut pacer = Pacer::new(FRAME_BYTES, Instant::now());
    let start = Instant::now();
    for n in 0..3_000u32 {
        let mut out = Vec::new();
        let frame = Bytes::from(vec![n as u8 | 1; FRAME_BYTES]);
        pacer.push(frame.clone(), start + FRAME_TIME * n, &mut out);
        assert_eq!(out, [Action::Send(frame)]);
    }
    assert_eq!(pacer.counts().sent, 3_000);
}

#[test]
fn what_was_spoken_into_a_freeze_of_three_seconds_is_not_played_late() {
    let mut rig = Rig::new();
    rig.speak(250, 20_000, |_| 0, |_| false);
    let before = *rig.delays_ms(0, 5_000).iter().max().unwrap();
    let frozen = rig.ms();
    // 150 frames are spoken while nothing gets through; all arrive at the thaw, then life goes on.
    rig.speak(450, 20_000, |n| 3_000u64.saturating_sub(20 * n as u64), |_| false);
    let thaw = frozen + 3_000;
    let after = rig.delays_ms(thaw + 300, thaw + 6_000);
    assert!(after.len() > 250, "speech goes on");
    let worst = after.iter().max().unwrap();
    assert!(worst - before <= 50, "was {before} ms, is {worst} ms");
    let later = rig.delays_ms(thaw + 2_000, thaw + 6_000);
    assert!(later.iter().max().unwrap() - before <= 20 + 20, "{later:?}");
    assert!(rig.longest_queue < 5);
}

#[test]
fn speech_through_a_short_stall_is_whole_and_the_delay_shrinks_in_silence() {
    let mut rig = Rig::new();
    rig.speak(100, 20_000, |_| 0, |_| false);
    let spoken = rig.spoken;
    // 160 ms of nothing, then 8 frames at once; half a second of speech, then pauses in it.
    rig.speak(
        400,
        20_000,
        |n| if n < 8 { 160 - 20 * n as u64 } else { 0 },
        |n| n > 25 && n % 5 == 0,
    );
    for _ in 0..60 {
        rig.step();
    }
    let counts = rig.pacer.counts();
    assert_eq!(counts.late, 0, "nothing was too old");
    assert!(counts.ahead > 0, "the delay was taken out");
    assert_eq!(counts.sent + counts.ahead, u64::from(rig.spoken));
    assert!(rig.spoken > spoken);
    let end = rig.ms();
    assert!(*rig.delays_ms(end - 2_000, end).iter().max().unwrap() <= 45);
}

#[test]
fn jitter_of_30_ms_costs_next_to_nothing() {
    let mut rig = Rig::new();
    let mut random = 12345u32;
    let delays: Vec<u64> = (0..3_000)
        .map(|_| {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            u64::from(random >> 16) % 60
        })
        .collect();
    rig.speak(3_000, 20_000, |n| delays[n], |_| false);
    let counts = rig.pacer.counts();
    assert_eq!(counts.late, 0);
    assert!(counts.ahead <= 10, "of 3,000: {counts:?}");
    assert!(rig.delays_ms(5_000, 60_000).into_iter().max().unwrap() <= 140);
    assert!(rig.longest_queue < 5);
}

#[test]
fn a_phone_at_50_5_frames_a_second_ends_with_the_delay_it_began_with() {
    let mut rig = Rig::new();
    rig.speak(30_000, 19_802, |_| 0, |n| n % 7 == 0);
    let first = rig.delays_ms(1_000, 3_000).into_iter().max().unwrap();
    let end = rig.ms();
    let last = rig.delays_ms(end - 3_000, end).into_iter().max().unwrap();
    assert!(last <= first + 25, "{first} ms, then {last} ms");
    let counts = rig.pacer.counts();
    // 1 % too much for ten minutes.
    assert!((250..=350).contains(&counts.ahead), "{counts:?}");
    assert_eq!(counts.late, 0);
}

#[test]
fn a_phone_at_49_5_frames_a_second_ends_with_the_delay_it_began_with() {
    let mut rig = Rig::new();
    rig.speak(29_700, 20_202, |_| 0, |_| false);
    let end = rig.ms();
    assert!(rig.delays_ms(end - 3_000, end).into_iter().max().unwrap() <= 45);
    let counts = rig.pacer.counts();
    assert_eq!((counts.late, counts.ahead), (0, 0), "{counts:?}");
}

#[test]
fn asterisk_gets_silence_at_50_frames_a_second_where_the_phone_sends_nothing() {
    let mut rig = Rig::new();
    for _ in 0..10_000 {
        rig.step();
    }
    let filled = rig.pacer.counts().filled;
    assert!((499..=502).contains(&filled), "{filled}");
    assert!(rig.longest_queue <= 2);
    // And it stops at once when the phone speaks.
    rig.speak(100, 20_000, |_| 0, |_| false);
    assert_eq!(rig.pacer.counts().filled, filled);
    assert!(*rig.delays_ms(0, u128::MAX).last().unwrap() <= 45);
}

#[test]
fn a_queue_that_asterisk_reports_longer_than_believed_is_worked_off() {
    let mut rig = Rig::new();
    rig.speak(50, 20_000, |_| 0, |_| false);
    for _ in 0..6 {
        rig.queue.push_front(Some(rig.now)); // late ticks: Asterisk is behind by 120 ms
    }
    rig.speak(500, 20_000, |_| 0, |n| n % 10 == 0);
    let end = rig.ms();
    assert!(*rig.delays_ms(end - 2_000, end).iter().max().unwrap() <= 45);
    assert_eq!(rig.flushed, 0);
}

#[test]
fn a_queue_of_half_a_second_is_flushed() {
    let mut rig = Rig::new();
    for _ in 0..40 {
        rig.queue.push_front(Some(rig.now));
    }
    rig.speak(300, 20_000, |_| 0, |_| false);
    assert_eq!(rig.flushed, 1);
    let end = rig.ms();
    assert!(*rig.delays_ms(end - 2_000, end).iter().max().unwrap() <= 45);
}

#[test]
fn xoff_is_obeyed() {
    let now = Instant::now();
    let mut pacer = Pacer::new(FRAME_BYTES, now);
    pacer.flow(true, now);
    let mut out = Vec::new();
    pacer.push(Bytes::from(vec![9; FRAME_BYTES]), now + FRAME_TIME, &mut out);
    pacer.tick(now + 100 * MS, &mut out);
    assert_eq!(out, [Action::AskStatus], "no audio while Asterisk has no room");
    assert_eq!(pacer.counts().full, 1);
    pacer.flow(false, now + 200 * MS);
    out.clear();
    let frame = Bytes::from(vec![9; FRAME_BYTES]);
    pacer.push(frame.clone(), now + 200 * MS, &mut out);
    assert_eq!(out, [Action::Send(frame)]);
}

#[test]
fn an_asterisk_that_reads_nothing_is_offered_50_frames_a_second_and_no_more() {
    let start = Instant::now();
    let mut pacer = Pacer::new(FRAME_BYTES, start);
    let mut offered = 0;
    for ms in 0..1_000 {
        let now = start + MS * ms;
        while pacer.deadline() <= now {
            let mut out = Vec::new();
            pacer.tick(now, &mut out);
            for action in out {
                offered += 1;
                assert!(offered <= 52, "{ms} ms");
                pacer.not_sent(&action);
            }
        }
    }
    let counts = pacer.counts();
    assert_eq!((counts.filled, counts.full), (0, 0), "no frame of the phone's was lost");
}

#[test]
fn what_a_flush_drops_is_counted() {
    let now = Instant::now();
    let mut pacer = Pacer::new(FRAME_BYTES, now);
    let mut out = Vec::new();
    for _ in 0..5 {
        pacer.push(Bytes::from(vec![9; FRAME_BYTES]), now, &mut out);
    }
    pacer.tick(now + ASK_EVERY, &mut Vec::new());
    for _ in 0..5 {
        pacer.push(Bytes::from(vec![9; FRAME_BYTES]), now + ASK_EVERY, &mut out);
    }
    pacer.status(FLUSH_FRAMES, now + ASK_EVERY, &mut out);
    assert_eq!(out.last(), Some(&Action::Flush));
    let counts = pacer.counts();
    assert_eq!(counts.sent + counts.late + counts.ahead + counts.full, 10, "{counts:?}");
}

#[test]
fn a_long_way_to_asterisk_is_not_taken_for_a_queue() {
    // In step, and every answer comes 200 ms after its question: Asterisk's queue is short.
    let start = Instant::now();
    let mut pacer = Pacer::new(FRAME_BYTES, start);
    let mut answer_at = None;
    for ms in 0..20_000u32 {
        let now = start + MS * ms;
        let mut out = Vec::new();
        if ms % 20 == 3 {
            pacer.push(Bytes::from(vec![9; FRAME_BYTES]), now, &mut out);
        }
        if pacer.deadline() <= now {
            pacer.tick(now, &mut out);
        }
        if out.contains(&Action::AskStatus) {
            answer_at = Some(ms + 200);
        }
        if answer_at == Some(ms) {
            pacer.status(1, now, &mut out);
        }
    }
    let counts = pacer.counts();
    assert_eq!((counts.sent, counts.ahead, counts.late), (1_000, 0, 0), "{counts:?}");
}

#[test]
fn frames_of_another_length_are_paced_by_their_own_time() {
    for (bytes, frames) in [(320, 1_000u32), (1280, 250)] {
        let start = Instant::now();
        let mut pacer = Pacer::new(bytes, start);
        let every = frame::time(bytes);
        for n in 0..frames {
            let mut out = Vec::new();
            let frame = Bytes::from(vec![9; bytes]);
            pacer.push(frame.clone(), start + every * n, &mut out);
            assert_eq!(out, [Action::Send(frame)], "{bytes} bytes, frame {n}");
        }
    }
}
