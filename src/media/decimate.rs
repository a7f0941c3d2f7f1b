//! From 16 kHz to 8 kHz and back: a half-band filter and every second sample.
//!
//! 47 taps, of which every second is zero: flat to 0.02 dB up to 3.4 kHz, 56 dB down from 4.6 kHz
//! on, the band of a telephone. In whole numbers, so that the same audio gives the same bytes
//! everywhere, and with one delay that is known: 23 samples, 1.4 ms. A general resampler works in
//! floating point, in chunks of its own and with a delay of its own, to do less.

/// The taps beside the middle one, from the inside out; the middle one is half of [`ONE`].
const TAPS: [i32; 12] = [10384, -3338, 1862, -1189, 794, -533, 352, -224, 135, -74, 36, -13];
const ONE: i32 = 1 << 15;
/// Samples from the newest to the middle tap.
const MIDDLE: usize = 2 * TAPS.len() - 1;
/// Samples that the next one still needs.
const KEPT: usize = 2 * MIDDLE;

/// One side's filter, with what it remembers.
#[derive(Debug, Clone)]
pub struct Decimator {
    kept: [i16; KEPT],
}

impl Default for Decimator {
    /// After silence.
    fn default() -> Self {
        Self { kept: [0; KEPT] }
    }
}

impl Decimator {
    /// Filters an even number of samples into half as many. What is beyond the shorter is left.
    pub fn run(&mut self, wide: &[i16], narrow: &mut [i16]) {
        let mut samples = Vec::with_capacity(KEPT + wide.len());
        samples.extend_from_slice(&self.kept);
        samples.extend_from_slice(wide);
        // The window of an output ends with its second sample, so that the newest is used.
        let windows = samples[1..].windows(KEPT + 1).step_by(2);
        for (out, window) in narrow.iter_mut().zip(windows) {
            let mut sum = i32::from(window[MIDDLE]) * (ONE / 2) + ONE / 2;
            for (n, tap) in TAPS.iter().enumerate() {
                let beside = 2 * n + 1;
                sum +=
                    tap * (i32::from(window[MIDDLE - beside]) + i32::from(window[MIDDLE + beside]));
            }
            *out = (sum >> 15).clamp(i32::from(i16::MIN), i32::from(i16::MAX)) as i16;
        }
        self.kept.copy_from_slice(&samples[samples.len() - KEPT..]);
    }
}

/// One side's filter from 8 kHz to 16 kHz.
#[derive(Debug, Clone)]
pub struct Doubler {
    kept: [i16; DOUBLER_KEPT],
}

/// Samples that the next one still needs: the same filter sees half as many.
const DOUBLER_KEPT: usize = 2 * TAPS.len() - 1;

impl Default for Doubler {
    /// After silence.
    fn default() -> Self {
        Self { kept: [0; DOUBLER_KEPT] }
    }
}

impl Doubler {
    /// Filters samples into twice as many, appended to `wide`.
    pub fn run(&mut self, narrow: &[i16], wide: &mut Vec<i16>) {
        let mut samples = Vec::with_capacity(DOUBLER_KEPT + narrow.len());
        samples.extend_from_slice(&self.kept);
        samples.extend_from_slice(narrow);
        for window in samples.windows(DOUBLER_KEPT + 1) {
            let middle = TAPS.len();
            let mut sum = ONE / 4;
            for (n, tap) in TAPS.iter().enumerate() {
                sum += tap * (i32::from(window[middle - 1 - n]) + i32::from(window[middle + n]));
            }
            let between = (sum >> 14).clamp(i32::from(i16::MIN), i32::from(i16::MAX)) as i16;
            wide.push(window[middle - 1]);
            wide.push(between);
        }
        self.kept.copy_from_slice(&samples[samples.len() - DOUBLER_KEPT..]);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn run(wide: &[i16]) -> Vec<i16> {
        let mut narrow = vec![0; wide.len() / 2];
        Decimator::default().run(wide, &mut narrow);
        narrow
    }

    /// A tone's level behind the filter, in dB of what it was.
    fn level(hertz: f64) -> f64 {
        let tone = |n: usize| (std::f64::consts::TAU * hertz * n as f64 / 16_000.0).sin();
        let wide: Vec<i16> = (0..16_000).map(|n| (tone(n) * 20_000.0) as i16).collect();
        let narrow = run(&wide);
        let power: f64 = narrow[100..].iter().map(|s| f64::from(*s).powi(2)).sum();
        let rms = (power / (narrow.len() - 100) as f64).sqrt();
        20.0 * (rms * std::f64::consts::SQRT_2 / 20_000.0).log10()
    }

    #[test]
    fn a_telephones_band_passes_and_what_would_fold_into_it_does_not() {
        for hertz in [50.0, 300.0, 1_000.0, 2_500.0, 3_400.0] {
            assert!(level(hertz).abs() < 0.05, "{hertz} Hz: {} dB", level(hertz));
        }
        for hertz in [4_600.0, 5_500.0, 7_000.0, 7_900.0] {
            assert!(level(hertz) < -54.0, "{hertz} Hz: {} dB", level(hertz));
        }
    }

    #[test]
    fn what_is_doubled_and_halved_again_is_what_it_was() {
        for hertz in [200.0, 1_000.0, 3_000.0] {
            let tone = |n: usize| (std::f64::consts::TAU * hertz * n as f64 / 8_000.0).sin();
            let narrow: Vec<i16> = (0..1_600).map(|n| (tone(n) * 20_000.0) as i16).collect();
            let mut wide = Vec::new();
            let mut doubler = Doubler::default();
            for piece in narrow.chunks(160) {
                doubler.run(piece, &mut wide);
            }
            assert_eq!(wide.len(), 2 * narrow.len());
            let again = run(&wide);
            let delay = again.len() - 1_500;
            // The delays of both filters, in samples at 8 kHz.
            let delayed = |by: usize| {
                (delay..again.len())
                    .all(|n| (i32::from(again[n]) - i32::from(narrow[n - by])).abs() < 60)
            };
            assert!((20..28).any(delayed), "{hertz} Hz");
        }
    }

    #[test]
    fn a_click_comes_out_23_samples_later() {
        let mut wide = vec![0i16; 100];
        wide[41] = 16_000;
        let narrow = run(&wide);
        let loudest = narrow.iter().enumerate().max_by_key(|(_, s)| s.unsigned_abs());
        assert_eq!(loudest.map(|(at, _)| at), Some((41 + MIDDLE) / 2));
    }

    proptest! {
        #[test]
        fn pieces_give_what_the_whole_gives(
            wide in proptest::collection::vec(any::<i16>(), 0..700),
            cut in 0usize..350,
        ) {
            let wide = &wide[..wide.len() / 2 * 2];
            let cut = (2 * cut).min(wide.len());
            let mut decimator = Decimator::default();
            let mut pieces = vec![0; wide.len() / 2];
            decimator.run(&wide[..cut], &mut pieces[..cut / 2]);
            decimator.run(&wide[cut..], &mut pieces[cut / 2..]);
            prop_assert_eq!(pieces, run(wide));
        }
    }
}
