//! Streams and recordings of calls, over real sockets: what was spoken into one side comes out at
//! that side and at no other, whatever the consumer does the call goes on, and what is recorded is
//! where it belongs.

#[path = "../support/mod.rs"]
mod support;

mod abuse;
mod consumer;
mod recipes;
mod recordings;
mod streams;

use std::time::Duration;

use bytes::Bytes;
use goastgateway::tap::{
    event::{Events, TapEvent, What},
    facts::Whom,
};
use support::{Gateway, Got, Pbx, Phone, soon};
use tokio::time::{Instant, interval};

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

/// The same for the middle tenth of a second of those in which it is strong and weak: on a busy
/// machine a voice has gaps.
pub fn usual_share(samples: &[i16], period: usize, rate: u32) -> f64 {
    let pieces = samples.chunks_exact(rate as usize / 10);
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

/// Both talk at once, 50 frames a second, for a while; both read what comes. Gives how many frames
/// came to the phone and to Asterisk.
pub async fn talk(pbx: &mut Pbx, phone: &mut Phone, frames: usize) -> (usize, usize) {
    talk_of(pbx, phone, frames, |n| (voice(AGENT, LOUD, n), voice(CALLER, LOUD, n))).await
}

pub async fn talk_of(
    pbx: &mut Pbx,
    phone: &mut Phone,
    frames: usize,
    says: impl Fn(usize) -> (Bytes, Bytes),
) -> (usize, usize) {
    let mut every = interval(Duration::from_millis(20));
    let (mut to_phone, mut to_pbx) = (0, 0);
    for n in 0..frames {
        let tick = every.tick();
        tokio::pin!(tick);
        loop {
            tokio::select! {
                biased;
                _ = &mut tick => break,
                got = phone.next() => if let Got::Audio(_) = got { to_phone += 1 },
                got = pbx.next() => if let Got::Audio(audio) = got {
                    to_pbx += usize::from(audio.iter().any(|b| *b != 0));
                },
            }
        }
        let (agent, caller) = says(n);
        phone.speak(agent).await;
        pbx.send_audio(caller).await;
    }
    (to_phone, to_pbx)
}

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

/// The call that is up.
pub fn only_call(gateway: &Gateway) -> Whom {
    let calls = gateway.exchange.taps.list();
    assert_eq!(calls.len(), 1, "{calls:?}");
    Whom::Call(goastgateway::call::CallId::from_uuid(calls[0].facts.call_id))
}

/// Waits for what has no event.
pub async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < support::PATIENCE, "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
