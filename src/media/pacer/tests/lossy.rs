//! Speech over TCP on a network that loses packets: how whole it is, and how late.

use super::*;

/// There and back.
const RTT: u64 = 60;
/// An ear begins this long after its first frame, as a telephone behind Asterisk does.
const EAR: Duration = Duration::from_millis(60);
const SECONDS: u64 = 60;

/// Chance that can be repeated.
struct Dice(u32);

impl Dice {
    fn roll(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        f64::from(self.0) / 4_294_967_296.0
    }
}

/// How long each frame is on its way, in ms. A lost packet is sent again once a later one has been
/// acknowledged and a quarter of the round trip has passed (RACK, RFC 8985); what is behind it waits.
fn on_their_way(loss: f64, jitter: f64, seed: u32) -> Vec<u64> {
    let mut dice = Dice(seed);
    for _ in 0..10 {
        dice.roll();
    }
    let frames = SECONDS * 50;
    let mut packets: Vec<(u64, bool, u64)> = (0..frames)
        .map(|n| {
            let lost = dice.roll() < loss;
            let vary = (2.0 * dice.roll() - 1.0) * jitter;
            (n * 20, lost, n * 20 + (RTT as f64 / 2.0 + vary) as u64)
        })
        .collect();
    for i in 0..packets.len() {
        if !packets[i].1 {
            continue;
        }
        let (mut sent, mut wait) = (packets[i].0, RTT / 4);
        loop {
            let later = packets[i + 1..].iter().take(80).find(|p| p.0 > sent && !p.1);
            sent = later.map_or(sent + 400, |p| p.0 + RTT + wait);
            wait = 0;
            if dice.roll() >= loss {
                break;
            }
        }
        packets[i].2 = sent + RTT / 2;
    }
    let mut last = 0;
    packets
        .into_iter()
        .map(|(sent, _, at)| {
            last = at.max(last);
            last - sent
        })
        .collect()
}

/// What somebody hears who begins to play [`EAR`] after the first frame: how many times a frame's
/// place was empty or silent, and how late the last 20 s were, at the median, in ms.
fn heard(sent: &[(Instant, Option<Instant>)], end: Instant) -> (usize, u128) {
    let mut coming = sent.iter().skip_while(|(_, spoken)| spoken.is_none()).peekable();
    let mut queue = VecDeque::new();
    let mut now = coming.peek().expect("speech").0 + EAR;
    let (mut gaps, mut late) = (0, Vec::new());
    while now < end {
        while let Some((_, spoken)) = coming.next_if(|(at, _)| *at <= now) {
            queue.push_back(*spoken);
        }
        match queue.pop_front().flatten() {
            Some(spoken) => late.push((now - spoken).as_millis()),
            None => gaps += 1,
        }
        now += FRAME_TIME;
    }
    let from = late.len().saturating_sub(1_000);
    late[from..].sort_unstable();
    (gaps, late[from + (late.len() - from) / 2])
}

/// Gaps and frames left out a minute, and the delay, each the mean of some calls; the worst delay.
fn calls(loss: f64, jitter: f64) -> (f64, f64, f64, u128) {
    const CALLS: u32 = 12;
    let (mut gaps, mut out, mut late, mut worst) = (0, 0, 0, 0);
    for seed in 1..=CALLS {
        let delays = on_their_way(loss, jitter, seed);
        let mut rig = Rig::new();
        // Somebody who pauses for 100 ms in every two seconds.
        rig.speak(delays.len(), 20_000, |n| delays[n], |n| n % 100 >= 95);
        let (holes, ms) = heard(&rig.sent, rig.now);
        gaps += holes;
        late += ms;
        worst = worst.max(ms);
        let counts = rig.pacer.counts();
        assert_eq!(counts.full, 0);
        out += counts.late + counts.ahead;
    }
    let each = |sum: f64| sum / f64::from(CALLS);
    (each(gaps as f64), each(out as f64), each(late as f64), worst)
}

#[test]
fn on_a_clean_network_nothing_is_missing_and_nothing_waits() {
    let (gaps, out, _, worst) = calls(0.0, 0.0);
    assert_eq!((gaps, out), (0.0, 0.0));
    assert!(worst <= 30 + 60 + 20);
}

#[test]
fn at_2_per_cent_loss_speech_is_whole_and_150_ms_late() {
    let (gaps, out, late, _) = calls(0.02, 0.0);
    assert!(gaps <= 12.0 && out <= 12.0, "{gaps} gaps, {out} left out");
    assert!(late <= 153.0, "{late} ms");
}

#[test]
fn at_5_per_cent_loss_speech_is_nearly_whole_and_200_ms_late() {
    let (gaps, out, late, _) = calls(0.05, 0.0);
    assert!(gaps <= 30.0 && out <= 30.0, "{gaps} gaps, {out} left out");
    assert!(late <= 203.0, "{late} ms");
}

#[test]
fn jitter_of_30_ms_makes_no_gap() {
    let (gaps, out, late, _) = calls(0.0, 30.0);
    assert!(gaps < 1.0 && out < 1.0, "{gaps} gaps, {out} left out");
    assert!(late <= 125.0, "{late} ms");
}
