//! Streams and recordings of calls, over real sockets: what was spoken into one side comes out at
//! that side and at no other, whatever the consumer does the call goes on, and what is recorded is
//! where it belongs.

#[path = "../support/mod.rs"]
mod support;

mod abuse;
mod audiofork;
mod channels;
mod consumer;
mod disk;
mod fake_ari;
mod recipes;
mod recordings;
mod streams;
mod tls;

use std::time::Duration;

use bytes::Bytes;
use goastgateway::tap::{
    event::{Events, TapEvent, What},
    facts::Whom,
};
use support::{Gateway, Got, Pbx, Phone, soon};
use tokio::time::Instant;

/// What a voice of these tests sounds like: a square wave of so many samples a period, which 8 kHz
/// and µ-law let through.
pub fn voice(period: usize, level: i16, frame: usize) -> Bytes {
    let sample = |n: usize| if (n / (period / 2)).is_multiple_of(2) { level } else { -level };
    let samples = (frame * 320..(frame + 1) * 320).map(sample);
    samples.flat_map(i16::to_le_bytes).collect::<Vec<u8>>().into()
}

/// The agent's voice, 250 Hz, and the caller's, 1,000 Hz.
pub const AGENT: usize = 64;
pub const CALLER: usize = 16;
pub const LOUD: i16 = 8_000;

/// How strong a voice is in samples at `rate`: its share of the whole, from 0 to 1.
pub fn share(samples: &[i16], period: usize, rate: u32) -> f64 {
    let step = std::f64::consts::TAU * 16_000.0 / period as f64 / f64::from(rate);
    let (mut re, mut im, mut all) = (0.0, 0.0, 0.0);
    for (n, sample) in samples.iter().enumerate() {
        let sample = f64::from(*sample);
        re += sample * (step * n as f64).cos();
        im += sample * (step * n as f64).sin();
        all += sample * sample;
    }
    if all == 0.0 { 0.0 } else { 2.0 * (re * re + im * im) / (samples.len() as f64 * all) }
}

/// The same for the middle slot of those in which it is strong and weak: on a busy machine a voice has
/// gaps, and they are whole slots.
pub fn usual_share(samples: &[i16], period: usize, rate: u32) -> f64 {
    let pieces = samples.chunks_exact(rate as usize / 50);
    let mut shares: Vec<f64> = pieces
        .filter(|piece| piece.iter().any(|sample| *sample != 0))
        .map(|piece| share(piece, period, rate))
        .collect();
    assert!(shares.len() > 3, "next to nothing is heard");
    shares.sort_by(f64::total_cmp);
    shares[shares.len() / 2]
}

pub fn samples(bytes: &[u8]) -> Vec<i16> {
    bytes.chunks_exact(2).map(|s| i16::from_le_bytes([s[0], s[1]])).collect()
}

/// What came of talking.
#[derive(Debug)]
pub struct Talk {
    /// Frames that each side said. The phone has heard all of the caller's, unchanged and in order.
    pub said: usize,
    /// The phone's frames as they came to Asterisk, unchanged and in order; what is missing is the
    /// pacer's doing, and it says so at the call's end.
    pub to_pbx: usize,
    /// How long it took, in slots of 20 ms: no stream and no recording has fewer.
    pub slots: usize,
    /// How much longer than its 20 ms the slowest frame took, in slots: for so long this machine did
    /// nothing for anybody. On one that isn't overloaded it is 0 or 1.
    pub stall: usize,
}

/// Two who talk, and hear what comes.
///
/// Nothing here depends on how fast this machine is: a frame is said 20 ms after the last one at the
/// earliest, and not before the phone has heard the last one. So the way to the phone has no reason to
/// drop anything, ever; and what the pacer drops on the way to Asterisk it has to account for.
pub struct Conversation<F> {
    /// What the agent and the caller say in their nth frame.
    says: F,
    spoken: Vec<Bytes>,
    /// The first of them that may still come to Asterisk.
    next: usize,
    to_pbx: usize,
    began: Instant,
    slowest: Duration,
}

impl<F: Fn(usize) -> (Bytes, Bytes)> Conversation<F> {
    pub fn new(says: F) -> Self {
        let (began, slowest) = (Instant::now(), Duration::ZERO);
        Self { says, spoken: Vec::new(), next: 0, to_pbx: 0, began, slowest }
    }

    pub async fn go_on(&mut self, pbx: &mut Pbx, phone: &mut Phone, frames: usize) -> Talk {
        for _ in 0..frames {
            let began = Instant::now();
            self.say(pbx, phone).await;
            self.slowest = self.slowest.max(began.elapsed());
        }
        let slots = |time: Duration| (time.as_millis() / 20) as usize;
        let late = self.slowest.saturating_sub(Duration::from_millis(20));
        let (slots, stall) = (slots(self.began.elapsed()), slots(late));
        Talk { said: self.spoken.len(), to_pbx: self.to_pbx, slots, stall }
    }

    async fn say(&mut self, pbx: &mut Pbx, phone: &mut Phone) {
        let n = self.spoken.len();
        let (agent, caller) = (self.says)(n);
        self.spoken.push(agent.clone());
        phone.speak(agent).await;
        pbx.send_audio(caller.clone()).await;
        let tick = tokio::time::sleep(Duration::from_millis(20));
        tokio::pin!(tick);
        let (mut ticked, mut heard) = (false, false);
        while !(ticked && heard) {
            tokio::select! {
                biased;
                got = phone.next(), if !heard => if let Got::Audio(audio) = got {
                    assert!(audio == caller, "frame {n} came to the phone changed or out of order");
                    heard = true;
                },
                () = &mut tick, if !ticked => ticked = true,
                got = pbx.next() => if let Got::Audio(audio) = got
                    && audio.iter().any(|b| *b != 0)
                {
                    match self.spoken[self.next..].iter().position(|f| *f == audio) {
                        Some(skipped) => {
                            self.next += 1 + skipped;
                            self.to_pbx += 1;
                        }
                        // The last of what was said before.
                        None => assert!(self.to_pbx == 0, "a frame came to Asterisk changed or late"),
                    }
                },
            }
        }
    }
}

/// Both talk for so many frames.
pub async fn talk(pbx: &mut Pbx, phone: &mut Phone, frames: usize) -> Talk {
    talk_of(pbx, phone, frames, |n| (voice(AGENT, LOUD, n), voice(CALLER, LOUD, n))).await
}

pub async fn talk_of(
    pbx: &mut Pbx,
    phone: &mut Phone,
    frames: usize,
    says: impl Fn(usize) -> (Bytes, Bytes),
) -> Talk {
    Conversation::new(says).go_on(pbx, phone, frames).await
}

/// That a call has lost no frame that it doesn't account for: nothing on its way to the phone, and
/// on its way to Asterisk no more than there was silence to catch up with.
pub async fn assert_accounted(feed: &mut goastgateway::report::feed::Subscription, talk: &Talk) {
    use goastgateway::report::feed::{Happened, What};
    let row = soon("the call's account", async {
        loop {
            match feed.next().await.expect("the call's end") {
                Happened::Call(happened) if happened.what == What::Ended => return happened.call,
                _ => {}
            }
        }
    })
    .await;
    let audio = &row.audio;
    assert_eq!((audio.to_phone, audio.dropped_phone_slow), (talk.said as u64, 0), "{audio:?}");
    let dropped = audio.dropped_late + audio.dropped_ahead + audio.dropped_asterisk_full;
    assert!(dropped <= audio.filled, "{audio:?}");
    // What waits in the pacer when the call ends is neither.
    let accounted = audio.from_phone + dropped;
    assert!(accounted <= talk.said as u64 && accounted + WAITING >= talk.said as u64, "{audio:?}");
    // What is on the socket when the call ends is not heard by anybody.
    assert!(talk.to_pbx as u64 <= audio.from_phone, "{audio:?}");
    assert!(talk.to_pbx as u64 + WAITING >= audio.from_phone, "{audio:?} {talk:?}");
}

/// Frames that the pacer may hold, and that may be on their way: its backlog of 200 ms.
const WAITING: u64 = 10;

/// Events until one is what is waited for; gives all of them.
pub async fn events_until(
    events: &mut Events,
    what: &str,
    wanted: impl Fn(&What) -> bool,
) -> Vec<TapEvent> {
    let mut all = Vec::new();
    soon(what, async {
        loop {
            let event = events.0.recv().await.expect("an event");
            all.push(event);
            if wanted(&all[all.len() - 1].what) {
                return;
            }
        }
    })
    .await;
    all
}

/// What a stream's connections have sent and dropped, by name and side, once all of them are over.
pub async fn ends(
    events: &mut Events,
    connections: usize,
) -> Vec<(String, Option<goastgateway::tap::facts::Side>, usize, usize)> {
    let mut ends = Vec::new();
    while ends.len() < connections {
        let over = |what: &What| matches!(what, What::StreamStopped { .. });
        let told = events_until(events, "a connection's end", over).await;
        if let What::StreamStopped { name, side, sent, dropped, .. } = &told[told.len() - 1].what {
            ends.push((name.clone(), *side, *sent as usize, *dropped as usize));
        }
    }
    ends
}

/// The call that is up.
pub fn only_call(gateway: &Gateway) -> Whom {
    let calls = gateway.exchange.taps.list();
    assert_eq!(calls.len(), 1, "{calls:?}");
    Whom::Call(goastgateway::call::CallId::from_uuid(calls[0].facts.call_id))
}

/// Slots that a side that is late is waited for: where a stream or a recording is stopped in a call,
/// they aren't.
pub const HELD: usize = goastgateway::media::align::HOLD.as_millis() as usize / 20 + 2;

/// Waits for what has no event.
pub async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < support::PATIENCE, "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
