//! What phones see and what is played for them: variables, waiting calls, coming back, music.

use std::{fs, path::Path, time::Duration};

use super::{
    item::Item,
    json::Section,
    values::{flag, seconds, text},
};
use crate::media::music::{HoldMusic, MAX_SAMPLES, Tune};

/// Largest file of music: ten minutes at 16 kHz in two channels, and its head.
const MAX_WAV: u64 = 4 * MAX_SAMPLES as u64 + 4096;

/// Longest name of a channel variable; Asterisk's own limit is 79.
const MAX_VARIABLE: usize = 79;
/// Channel variables that phones are shown. MEDIA_START carries all of them to us, each `incoming`
/// these.
const MAX_VARIABLES: usize = 32;

pub(super) struct Phones {
    pub resume_timeout: Duration,
    pub call_waiting: bool,
    pub hold_music: HoldMusic,
}

pub(super) fn read(section: &Section) -> Option<Phones> {
    let resume_timeout = seconds(section, "resume_timeout", 0.0..=300.0, 20.0);
    let call_waiting = flag(section, "call_waiting", true);
    let hold_music = section.get("hold_music").map_or(Some(HoldMusic::Own), music);
    Some(Phones {
        resume_timeout: resume_timeout?,
        call_waiting: call_waiting?,
        hold_music: hold_music?,
    })
}

/// The name of a channel variable, if one is written.
pub(super) fn variable(section: &Section, key: &'static str) -> Option<Option<String>> {
    let name = text(section, key, "")?;
    if name.is_empty() {
        return Some(None);
    }
    if !is_variable(name) {
        let what = format!("\"{}\" can't be the name of a channel variable", name.escape_debug());
        section.problem(key, &what, "write letters, digits and _ only, as in \"GW_FROM\"");
        return None;
    }
    Some(Some(name.to_owned()))
}

/// The channel variables that phones are shown.
pub(super) fn variables(section: &Section) -> Vec<String> {
    let Some(item) = section.get("phone_variables") else { return Vec::new() };
    let words = item.words("CRM_ID");
    if words.len() > MAX_VARIABLES {
        let what = format!("has {} names, more than {MAX_VARIABLES}", words.len());
        item.problem(&what, "put several values into one variable");
    }
    let good = words.into_iter().filter(|word| {
        let good = is_variable(word.text);
        if !good {
            let text = word.text.escape_debug();
            let what = format!("\"{text}\" can't be the name of a channel variable");
            let remedy = "write letters, digits and _ only, as in \"CRM_ID\"";
            section.sheet.problem(word.line, item.key, &what, remedy);
        }
        good
    });
    good.map(|word| word.text.to_owned()).collect()
}

fn is_variable(name: &str) -> bool {
    (1..=MAX_VARIABLE).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

fn music(item: &Item) -> Option<HoldMusic> {
    const EXAMPLE: &str = "/usr/local/share/goastgateway/hold.wav";
    let path = match item.text(EXAMPLE)? {
        "" | "default" => return Some(HoldMusic::Own),
        "silence" => return Some(HoldMusic::Silence),
        path => path,
    };
    match tune(Path::new(path)) {
        Ok(tune) => Some(HoldMusic::Tune(tune)),
        Err(why) => {
            item.problem(
                &format!("{} can't be played: {why}", path.escape_debug()),
                "write the path of a WAV file (16 bit, 8 or 16 kHz, one or two channels; sox in.mp3 \
                 -r 16000 -c 1 -b 16 hold.wav makes one), or \"default\" or \"silence\"",
            );
            None
        }
    }
}

fn tune(path: &Path) -> Result<Tune, String> {
    let length = fs::metadata(path).map_err(|error| error.to_string())?.len();
    if length > MAX_WAV {
        return Err("it is longer than 10 minutes".to_owned());
    }
    let mut reader = hound::WavReader::open(path).map_err(|error| error.to_string())?;
    let spec = reader.spec();
    if spec.bits_per_sample != 16 || spec.sample_format != hound::SampleFormat::Int {
        return Err(format!("its samples have {} bits, not 16", spec.bits_per_sample));
    }
    let samples: Result<Vec<i16>, _> = reader.samples::<i16>().collect();
    let samples = samples.map_err(|error| error.to_string())?;
    Tune::new(&samples, spec.sample_rate, spec.channels).map_err(|error| error.to_string())
}
