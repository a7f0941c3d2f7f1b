//! Pure: a sound that is never twice the same, and finding one sound in another.

use super::RATE;

/// Chirps between 400 and 3000 Hz, two a second, no two alike: any second of
/// it is unmistakable, and it passes a telephone codec.
pub fn chirps(seconds: usize) -> Vec<i16> {
    const SLOT: usize = RATE / 2;
    const SOUND: usize = SLOT * 4 / 5;
    const RAMP: f64 = 0.02;
    // A fixed sequence: two runs speak the same.
    let mut seed = 0x2001u32;
    let mut pitch = move || {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        400.0 + f64::from(seed >> 8) / f64::from(1u32 << 24) * 2600.0
    };
    let mut out = Vec::with_capacity(seconds * RATE);
    for _ in 0..seconds * 2 {
        let (low, high) = (pitch(), pitch());
        let length = SOUND as f64 / RATE as f64;
        for n in 0..SLOT {
            let t = n as f64 / RATE as f64;
            let edge = (t / RAMP).min((length - t) / RAMP).clamp(0.0, 1.0);
            let phase = std::f64::consts::TAU * (low * t + (high - low) * t * t / (2.0 * length));
            out.push((phase.sin() * edge * 11_000.0) as i16);
        }
    }
    out
}

/// Where `needle` begins in `hay`, and how alike the two are there (1 is
/// identical, loudness aside). By FFT: a minute is searched in milliseconds.
pub fn find(needle: &[i16], hay: &[i16]) -> Option<(usize, f64)> {
    if needle.is_empty() || hay.len() < needle.len() {
        return None;
    }
    let size = (hay.len() + needle.len()).next_power_of_two();
    let spectrum = |samples: &[i16]| {
        let mut re: Vec<f64> = samples.iter().map(|s| f64::from(*s)).collect();
        re.resize(size, 0.0);
        let mut im = vec![0.0; size];
        fft(&mut re, &mut im);
        (re, im)
    };
    let (a_re, a_im) = spectrum(hay);
    let (b_re, b_im) = spectrum(needle);
    // hay times the conjugate of needle is their correlation. The inverse
    // transform is the forward one of the conjugate.
    let mut re: Vec<f64> = (0..size).map(|k| a_re[k] * b_re[k] + a_im[k] * b_im[k]).collect();
    let mut im: Vec<f64> = (0..size).map(|k| -(a_im[k] * b_re[k] - a_re[k] * b_im[k])).collect();
    fft(&mut re, &mut im);

    let energy = |samples: &[i16]| samples.iter().map(|s| f64::from(*s).powi(2)).sum::<f64>();
    let of_needle = energy(needle);
    let mut of_hay = energy(&hay[..needle.len()]);
    let mut best = None;
    for offset in 0..=hay.len() - needle.len() {
        if offset > 0 {
            of_hay += f64::from(hay[offset + needle.len() - 1]).powi(2);
            of_hay -= f64::from(hay[offset - 1]).powi(2);
        }
        // A stretch that is next to silent matches nothing.
        let scale = (of_needle * of_hay).sqrt();
        if scale > of_needle * 1e-4 {
            let likeness = re[offset] / size as f64 / scale;
            if best.is_none_or(|(_, so_far)| likeness > so_far) {
                best = Some((offset, likeness));
            }
        }
    }
    best
}

/// The textbook's radix-2 transform, in place; the length is a power of two.
fn fft(re: &mut [f64], im: &mut [f64]) {
    let size = re.len();
    let mut swap = 0;
    for k in 1..size {
        let mut bit = size >> 1;
        while swap & bit != 0 {
            swap ^= bit;
            bit >>= 1;
        }
        swap |= bit;
        if k < swap {
            re.swap(k, swap);
            im.swap(k, swap);
        }
    }
    let mut half = 1;
    while half < size {
        let turn = -std::f64::consts::PI / half as f64;
        let factors: Vec<(f64, f64)> = (0..half).map(|k| (turn * k as f64).sin_cos()).collect();
        for from in (0..size).step_by(half * 2) {
            for (k, (sin, cos)) in factors.iter().enumerate() {
                let (a, b) = (from + k, from + k + half);
                let (x, y) = (re[b] * cos - im[b] * sin, re[b] * sin + im[b] * cos);
                (re[b], im[b]) = (re[a] - x, im[a] - y);
                (re[a], im[a]) = (re[a] + x, im[a] + y);
            }
        }
        half *= 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stretch_is_found_where_it_is() {
        let hay = chirps(4);
        let (offset, likeness) = find(&hay[20_011..36_011], &hay).expect("found");
        assert_eq!(offset, 20_011);
        assert!(likeness > 0.999, "{likeness}");
    }

    #[test]
    fn a_stretch_is_found_under_noise() {
        let clean = chirps(4);
        let mut seed = 7u32;
        let noisy: Vec<i16> = clean
            .iter()
            .map(|s| {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                s / 2 + ((seed >> 20) as i16 - 2048)
            })
            .collect();
        let (offset, likeness) = find(&clean[9_000..25_000], &noisy).expect("found");
        assert_eq!(offset, 9_000);
        assert!(likeness > 0.7, "{likeness}");
    }

    #[test]
    fn nothing_is_found_in_silence_or_in_less() {
        let needle = chirps(1);
        assert!(find(&needle, &vec![0; 64_000]).is_none());
        assert!(find(&needle, &needle[1..]).is_none());
        assert!(find(&[], &needle).is_none());
    }

    #[test]
    fn seconds_of_chirps_are_not_alike() {
        let all = chirps(20);
        let (_, likeness) = find(&all[..RATE], &all[RATE..]).expect("something");
        assert!(likeness < 0.4, "{likeness}");
    }
}
