//! Pure: the one kind of WAV file that telephones need, 16-bit PCM, and the bytes of a frame.

use std::io::Cursor;

use hound::{SampleFormat, WavReader, WavSpec, WavWriter};

use super::RATE;

pub fn samples(bytes: &[u8]) -> Vec<i16> {
    bytes.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect()
}

pub fn bytes(samples: &[i16]) -> Vec<u8> {
    samples.iter().flat_map(|sample| sample.to_le_bytes()).collect()
}

/// Mono or the first channel of more, 8 or 16 kHz; comes out as 16 kHz. A recording that was cut
/// short promises more than it has, and is read as far as it goes.
pub fn read(file: &[u8]) -> Result<Vec<i16>, String> {
    let reader = WavReader::new(Cursor::new(file)).map_err(|e| format!("not a WAV file: {e}"))?;
    let WavSpec { channels, sample_rate, bits_per_sample, sample_format } = reader.spec();
    if bits_per_sample != 16 || sample_format != SampleFormat::Int {
        return Err(format!("16-bit PCM is needed, this has {bits_per_sample} bits"));
    }
    let mono: Vec<i16> = reader
        .into_samples::<i16>()
        .map_while(Result::ok)
        .step_by(usize::from(channels.max(1)))
        .collect();
    match sample_rate as usize {
        RATE => Ok(mono),
        8_000 => Ok(doubled(&mono)),
        other => Err(format!("8 or 16 kHz is needed, this is {other} Hz")),
    }
}

/// Twice the rate, the new samples half-way between the old.
fn doubled(samples: &[i16]) -> Vec<i16> {
    let mut out = Vec::with_capacity(samples.len() * 2);
    for (n, sample) in samples.iter().enumerate() {
        let next = samples.get(n + 1).unwrap_or(sample);
        out.push(*sample);
        out.push(((i32::from(*sample) + i32::from(*next)) / 2) as i16);
    }
    out
}

/// A mono file of 16 kHz.
pub fn write(samples: &[i16]) -> Result<Vec<u8>, hound::Error> {
    let spec = WavSpec {
        channels: 1,
        sample_rate: RATE as u32,
        bits_per_sample: 16,
        sample_format: SampleFormat::Int,
    };
    let mut file = Cursor::new(Vec::with_capacity(44 + samples.len() * 2));
    let mut writer = WavWriter::new(&mut file, spec)?;
    for sample in samples {
        writer.write_sample(*sample)?;
    }
    writer.finalize()?;
    Ok(file.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let sound: Vec<i16> = vec![0, 1, -1, i16::MAX, i16::MIN, 42];
        assert_eq!(read(&write(&sound).expect("a file")), Ok(sound));
    }

    #[test]
    fn eight_kilohertz_become_sixteen() {
        let mut file = write(&[0, 100]).expect("a file");
        file[24..28].copy_from_slice(&8_000u32.to_le_bytes());
        file[28..32].copy_from_slice(&16_000u32.to_le_bytes());
        assert_eq!(read(&file), Ok(vec![0, 50, 100, 100]));
    }

    #[test]
    fn what_is_no_wav_is_refused_and_a_cut_one_is_read_as_far_as_it_goes() {
        assert!(read(b"").is_err());
        assert!(read(b"RIFF\0\0\0\0WAVE").is_err());
        let whole = write(&[1, 2, 3]).expect("a file");
        assert_eq!(read(&whole[..48]), Ok(vec![1, 2]));
        for cut in 0..44 {
            assert!(read(&whole[..cut]).is_err(), "{cut}");
        }
    }
}
