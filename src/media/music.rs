//! What the far end hears while it is held: a tune that goes round.
//!
//! The tune that ships is made here, note by note, so nobody's rights are in it: four quiet broken
//! chords of plain sines. Promises: a frame of any length, the end joined to the beginning; a
//! tune of a file is checked when it is read, and costs its length in memory once.

use std::{
    f32::consts::TAU,
    sync::{Arc, LazyLock},
};

use bytes::{BufMut, Bytes, BytesMut};

use super::frame::SAMPLE_RATE;

/// Longest tune of a file: ten minutes, 19 MB. Whoever is held longer hears it again.
pub const MAX_SAMPLES: usize = 10 * 60 * SAMPLE_RATE as usize;

/// Peak of the tune that ships: about −20 dBFS. It must not drown the voice that comes back.
const PEAK: f32 = 3_200.0;

/// Samples at 16 kHz that go round.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tune(Arc<[i16]>);

/// What is played to who is held.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum HoldMusic {
    /// The tune that ships.
    #[default]
    Own,
    Silence,
    /// A file's.
    Tune(Tune),
}

impl HoldMusic {
    /// Plays it from its beginning.
    pub fn player(&self) -> Player {
        let tune = match self {
            HoldMusic::Own => Some(OWN.clone()),
            HoldMusic::Silence => None,
            HoldMusic::Tune(tune) => Some(tune.clone()),
        };
        Player { tune, at: 0 }
    }
}

/// Why samples are no tune.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoTune {
    #[error("it is empty")]
    Empty,
    #[error("it is longer than 10 minutes")]
    Long,
    #[error("its sample rate is {0} Hz, not 8000 or 16000")]
    Rate(u32),
    #[error("it has {0} channels, not 1 or 2")]
    Channels(u16),
}

impl Tune {
    /// Of the samples of a file, channels interleaved.
    pub fn new(samples: &[i16], rate: u32, channels: u16) -> Result<Self, NoTune> {
        let mono: Vec<i16> = match channels {
            1 => samples.to_vec(),
            2 => {
                let middle = |pair: &[i16]| ((i32::from(pair[0]) + i32::from(pair[1])) / 2) as i16;
                samples.chunks_exact(2).map(middle).collect()
            }
            other => return Err(NoTune::Channels(other)),
        };
        let tune = match rate {
            SAMPLE_RATE => mono,
            8_000 => doubled(&mono),
            other => return Err(NoTune::Rate(other)),
        };
        match tune.len() {
            0 => Err(NoTune::Empty),
            1..=MAX_SAMPLES => Ok(Self(tune.into())),
            _ => Err(NoTune::Long),
        }
    }
}

/// Twice the rate, by the line between neighbours: enough for what a telephone lets through.
fn doubled(samples: &[i16]) -> Vec<i16> {
    let mut doubled = Vec::with_capacity(2 * samples.len());
    for (at, &sample) in samples.iter().enumerate() {
        let next = samples[(at + 1) % samples.len()];
        doubled.push(sample);
        doubled.push(((i32::from(sample) + i32::from(next)) / 2) as i16);
    }
    doubled
}

/// Where in the tune one call is.
#[derive(Debug, Clone)]
pub struct Player {
    tune: Option<Tune>,
    at: usize,
}

impl Player {
    /// The next frame, of this many bytes.
    pub fn frame(&mut self, bytes: usize) -> Bytes {
        let Some(Tune(samples)) = &self.tune else { return super::frame::silence(bytes) };
        let mut frame = BytesMut::with_capacity(bytes);
        for _ in 0..bytes / 2 {
            frame.put_i16_le(samples[self.at]);
            self.at = (self.at + 1) % samples.len();
        }
        frame.freeze()
    }
}

static OWN: LazyLock<Tune> = LazyLock::new(|| Tune(compose().into()));

/// Broken chords: C, A minor, F, G; each note rings on under the next ones.
fn compose() -> Vec<i16> {
    const CHORDS: [[f32; 4]; 4] = [
        [261.63, 329.63, 392.00, 523.25],
        [220.00, 261.63, 329.63, 440.00],
        [174.61, 220.00, 261.63, 349.23],
        [196.00, 246.94, 293.66, 392.00],
    ];
    const PATTERN: [usize; 8] = [0, 1, 2, 3, 2, 1, 2, 1];
    /// Between two notes, and how long one is heard.
    const STEP: f32 = 0.45;
    const RINGS: f32 = 1.8;
    let rate = SAMPLE_RATE as f32;
    let length = (STEP * rate) as usize * CHORDS.len() * PATTERN.len();
    let mut sum = vec![0f32; length];
    let notes = CHORDS.iter().flat_map(|chord| PATTERN.map(|note| chord[note]));
    for (n, pitch) in notes.enumerate() {
        let start = n * (STEP * rate) as usize;
        for i in 0..(RINGS * rate) as usize {
            let t = i as f32 / rate;
            // Comes in 20 ms, fades by itself, and is gone at its end: nothing clicks.
            let loudness = (t / 0.02).min(1.0) * (-2.2 * t).exp() * (1.0 - t / RINGS);
            let tone = (TAU * pitch * t).sin() + 0.25 * (2.0 * TAU * pitch * t).sin();
            // Round the end: the last notes ring into the first.
            sum[(start + i) % length] += loudness * tone;
        }
    }
    let loudest = sum.iter().fold(0f32, |most, s| most.max(s.abs()));
    sum.iter().map(|s| (s / loudest * PEAK) as i16).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(frame: &[u8]) -> Vec<i16> {
        frame.chunks_exact(2).map(|s| i16::from_le_bytes([s[0], s[1]])).collect()
    }

    #[test]
    fn the_tune_that_ships_is_quiet_has_no_clicks_and_goes_round() {
        let mut player = HoldMusic::Own.player();
        let length = OWN.0.len();
        assert!(length > 10 * SAMPLE_RATE as usize, "it isn't heard twice a minute for nothing");
        let mut all = Vec::new();
        while all.len() < length + 1000 {
            all.extend(samples(&player.frame(640)));
        }
        let peak = all.iter().map(|s| s.unsigned_abs()).max().unwrap();
        assert!((2_000..=PEAK as u16).contains(&peak), "{peak}");
        // The steepest step of its highest tone (and its octave) at full loudness.
        let steepest = all.windows(2).map(|w| (w[1] - w[0]).unsigned_abs()).max().unwrap();
        assert!(steepest < 1_500, "a click of {steepest}, also where it goes round");
        let loud = all.chunks(8_000).filter(|half| half.iter().any(|s| s.abs() > 300)).count();
        assert!(loud >= all.len() / 8_000, "no hole in it");
        assert_eq!(all[..1000], all[length..length + 1000]);
    }

    #[test]
    fn silence_is_silence_at_any_length() {
        let mut player = HoldMusic::Silence.player();
        assert!(player.frame(1920).iter().all(|b| *b == 0));
    }

    #[test]
    fn a_file_is_made_16_khz_and_one_channel() {
        assert_eq!(*Tune::new(&[1, 3, 5, 7], 16_000, 2).unwrap().0, [2, 6]);
        assert_eq!(*Tune::new(&[0, 10], 8_000, 1).unwrap().0, [0, 5, 10, 5]);
        assert_eq!(Tune::new(&[], 8_000, 1), Err(NoTune::Empty));
        assert_eq!(Tune::new(&[1], 44_100, 1), Err(NoTune::Rate(44_100)));
        assert_eq!(Tune::new(&[1], 8_000, 6), Err(NoTune::Channels(6)));
        assert_eq!(Tune::new(&vec![0; MAX_SAMPLES + 1], 16_000, 1), Err(NoTune::Long));
    }

    #[test]
    fn a_tune_shorter_than_a_frame_goes_round_in_it() {
        let mut player = HoldMusic::Tune(Tune::new(&[1, 2, 3], 16_000, 1).unwrap()).player();
        assert_eq!(samples(&player.frame(16)), [1, 2, 3, 1, 2, 3, 1, 2]);
        assert_eq!(samples(&player.frame(4)), [3, 1]);
    }
}
