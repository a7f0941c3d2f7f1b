//! Pure: an account of a call in, a report out.

use super::{FRAME, RATE, signal};
use serde::Serialize;
use std::fmt::Write as _;

/// Quieter than this is silence: -60 dB below full scale.
const SILENCE_DBFS: f64 = -60.0;
/// Half a second of sound that is not silence: a click is no conversation.
const ENOUGH_FRAMES: usize = 25;
/// How alike two stretches of sound have to be to be the same one. Unrelated
/// ones reach 0.2; a codec's losses leave 0.9.
const ALIKE: f64 = 0.5;
/// One look: long enough to be unmistakable, short enough to follow a change.
const WINDOW: usize = RATE;
const STEP: usize = RATE / 2;
/// An echo that takes longer than this is not looked for.
const LONGEST_ROUND_TRIP: f64 = 6.0;

#[derive(Debug, Clone, PartialEq)]
pub struct Frame {
    /// Seconds since the login.
    pub at: f64,
    pub samples: Vec<i16>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Ended {
    #[default]
    NobodyCalled,
    /// This phone hung up, when it had talked long enough.
    Phone,
    /// The gateway said HANGUP.
    Gateway,
    /// The gateway said BUSY: somebody else is logged in.
    Busy,
    /// Another login has taken this one's place.
    Kicked,
    /// The connection closed without a word.
    Closed,
}

#[derive(Debug, Default)]
pub struct Account {
    pub rang: Option<f64>,
    pub answered: Option<f64>,
    pub sent: Vec<Frame>,
    pub heard: Vec<Frame>,
    /// How late the latest frame was sent, seconds.
    pub late: f64,
    /// Words that the dialect does not have.
    pub strange: Vec<String>,
    pub ended: Ended,
}

impl Account {
    pub fn heard_samples(&self) -> Vec<i16> {
        self.heard.iter().flat_map(|frame| frame.samples.iter().copied()).collect()
    }
}

#[derive(Debug, Serialize)]
pub struct Report {
    pub both_ways: bool,
    /// Why not, in words; empty when audio went both ways.
    pub reasons: Vec<String>,
    pub ended: Ended,
    pub login_to_ring_ms: Option<f64>,
    pub ring_to_answer_ms: Option<f64>,
    pub answer_to_first_audio_ms: Option<f64>,
    pub frames_up: usize,
    pub frames_down: usize,
    /// By how much this phone itself was late in sending, at worst.
    pub late_up_ms: f64,
    pub inter_arrival_ms: Option<Spread>,
    pub level_up_dbfs: Option<f64>,
    pub level_down_dbfs: Option<f64>,
    /// Of the frames that came, how many were silence: 0 to 1.
    pub silent_share: Option<f64>,
    pub round_trip: Option<RoundTrip>,
    /// Of what was heard, how much is what --expect named: 0 to 1.
    pub expected_share: Option<f64>,
    pub strange_words: Vec<String>,
}

#[derive(Debug, Serialize)]
pub struct Spread {
    pub p50: f64,
    pub p99: f64,
    pub max: f64,
}

#[derive(Debug, Serialize)]
pub struct RoundTrip {
    pub p50_ms: f64,
    pub max_ms: f64,
    pub last_ms: f64,
    /// Of the stretches looked for, how many were found: 0 to 1.
    pub found: f64,
    pub series: Vec<Look>,
}

/// One stretch of what was sent, found again in what came back.
#[derive(Debug, Clone, Serialize)]
pub struct Look {
    /// When it was sent, seconds since the login.
    pub at_s: f64,
    pub ms: f64,
    /// 1 is identical.
    pub likeness: f64,
}

pub fn report(account: &Account, echo: bool, expected: Option<&[i16]>) -> Report {
    let gaps: Vec<f64> =
        account.heard.windows(2).map(|pair| (pair[1].at - pair[0].at) * 1000.0).collect();
    let silent = account.heard.iter().filter(|frame| level(&frame.samples) < SILENCE_DBFS).count();
    let heard = account.heard_samples();
    let sent: Vec<i16> =
        account.sent.iter().flat_map(|frame| frame.samples.iter().copied()).collect();
    let round_trip = if echo { round_trips(account) } else { None };
    let expected_share = expected.map(|expected| share_found(&heard, expected));

    let mut reasons = Vec::new();
    match (account.rang, account.answered) {
        (None, _) => reasons.push("nobody called".to_owned()),
        (_, None) => reasons.push("the call ended before it was answered".to_owned()),
        _ => {}
    }
    if account.answered.is_some() {
        if account.sent.is_empty() {
            reasons.push("nothing was sent".to_owned());
        }
        if account.heard.is_empty() {
            reasons.push("nothing was heard".to_owned());
        } else if account.heard.len() - silent < ENOUGH_FRAMES {
            reasons.push(format!(
                "only silence was heard ({silent} of {} frames)",
                account.heard.len()
            ));
        }
        if echo && !round_trip.as_ref().is_some_and(|trip| trip.found >= 0.5) {
            reasons.push("what was sent did not come back".to_owned());
        }
        if expected_share.is_some_and(|share| share < 0.5) {
            reasons.push("what was heard is not what was expected".to_owned());
        }
    }
    let between = |from: Option<f64>, to: Option<f64>| Some((to? - from?) * 1000.0);
    let first = account
        .answered
        .and_then(|answered| account.heard.iter().map(|frame| frame.at).find(|at| *at >= answered));
    Report {
        both_ways: reasons.is_empty(),
        reasons,
        ended: account.ended,
        login_to_ring_ms: between(Some(0.0), account.rang),
        ring_to_answer_ms: between(account.rang, account.answered),
        answer_to_first_audio_ms: between(account.answered, first),
        frames_up: account.sent.len(),
        frames_down: account.heard.len(),
        late_up_ms: account.late * 1000.0,
        inter_arrival_ms: spread(gaps),
        level_up_dbfs: (!sent.is_empty()).then(|| level(&sent)),
        level_down_dbfs: (!heard.is_empty()).then(|| level(&heard)),
        silent_share: (!account.heard.is_empty())
            .then(|| silent as f64 / account.heard.len() as f64),
        round_trip,
        expected_share,
        strange_words: account.strange.clone(),
    }
}

impl Report {
    pub fn for_people(&self) -> String {
        let mut out = String::new();
        let ms =
            |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |v| format!("{v:.0} ms"));
        let db =
            |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |v| format!("{v:.0} dBFS"));
        let _ = writeln!(out, "  waited for the ring     {}", ms(self.login_to_ring_ms));
        let _ = writeln!(out, "  answer to first audio   {}", ms(self.answer_to_first_audio_ms));
        let _ = writeln!(
            out,
            "  frames                  {} up, {} down (level {} up, {} down)",
            self.frames_up,
            self.frames_down,
            db(self.level_up_dbfs),
            db(self.level_down_dbfs)
        );
        if let Some(gaps) = &self.inter_arrival_ms {
            let _ = writeln!(
                out,
                "  between two frames      {:.1} ms (99 % under {:.1}, at most {:.1})",
                gaps.p50, gaps.p99, gaps.max
            );
        }
        if let Some(share) = self.silent_share {
            let _ = writeln!(out, "  silence in what came    {:.0} %", share * 100.0);
        }
        if let Some(trip) = &self.round_trip {
            let _ = writeln!(
                out,
                "  round trip              {:.0} ms (at most {:.0}; {:.0} % of what was sent came back)",
                trip.p50_ms,
                trip.max_ms,
                trip.found * 100.0
            );
        }
        if let Some(share) = self.expected_share {
            let _ =
                writeln!(out, "  as expected             {:.0} % of what was heard", share * 100.0);
        }
        for word in &self.strange_words {
            let _ = writeln!(out, "  unknown word            {word:?}");
        }
        match self.reasons.as_slice() {
            [] => out.push_str("  audio went both ways\n"),
            reasons => {
                let _ = writeln!(out, "  NOT both ways: {}", reasons.join("; "));
            }
        }
        out
    }
}

/// The level of a stretch, in dB below full scale; silence is -100.
pub fn level(samples: &[i16]) -> f64 {
    if samples.is_empty() {
        return -100.0;
    }
    let power = samples.iter().map(|s| f64::from(*s).powi(2)).sum::<f64>() / samples.len() as f64;
    (10.0 * (power / 32768f64.powi(2)).log10()).max(-100.0)
}

pub fn spread(mut values: Vec<f64>) -> Option<Spread> {
    values.sort_by(f64::total_cmp);
    let at = |share: f64| values.get(((values.len() - 1) as f64 * share).round() as usize).copied();
    if values.is_empty() {
        return None;
    }
    Some(Spread { p50: at(0.5)?, p99: at(0.99)?, max: at(1.0)? })
}

/// Finds each stretch of what was sent in what came back, and tells how long
/// it took: from the frame it left in, to the frame it arrived in. Frames that
/// got lost or were added on the way only move the stretch, and do not confuse.
pub fn round_trips(account: &Account) -> Option<RoundTrip> {
    let sent: Vec<i16> =
        account.sent.iter().flat_map(|frame| frame.samples.iter().copied()).collect();
    let heard = account.heard_samples();
    // Where each frame begins in the stream, to get from a sample to a time.
    let starts = |frames: &[Frame]| -> Vec<usize> {
        frames
            .iter()
            .scan(0, |at, frame| {
                let here = *at;
                *at += frame.samples.len();
                Some(here)
            })
            .collect()
    };
    let (sent_starts, heard_starts) = (starts(&account.sent), starts(&account.heard));
    let time = |frames: &[Frame], starts: &[usize], sample: usize| -> Option<f64> {
        let index = starts.partition_point(|start| *start <= sample).checked_sub(1)?;
        Some(frames.get(index)?.at + (sample - starts[index]) as f64 / RATE as f64)
    };
    let end = account.heard.last()?.at;
    let mut looked = 0usize;
    let mut series = Vec::new();
    for from in (0..sent.len().saturating_sub(WINDOW)).step_by(STEP) {
        let window = &sent[from..from + WINDOW];
        let left = time(&account.sent, &sent_starts, from)?;
        // Silence is found everywhere; and what was sent just before the end
        // had no time to come back.
        if level(window) < SILENCE_DBFS || left + WINDOW as f64 / RATE as f64 + 0.5 > end {
            continue;
        }
        looked += 1;
        // What arrived before it was sent is not its echo.
        let first = account.heard.partition_point(|frame| frame.at < left);
        let last = account.heard.partition_point(|frame| frame.at < left + LONGEST_ROUND_TRIP);
        let Some(begin) = heard_starts.get(first).copied() else { continue };
        let until = heard_starts.get(last).copied().unwrap_or(heard.len());
        let until = (until + WINDOW).min(heard.len());
        if let Some((offset, likeness)) = signal::find(window, &heard[begin..until])
            && likeness >= ALIKE
            && let Some(arrived) = time(&account.heard, &heard_starts, begin + offset)
        {
            series.push(Look { at_s: left, ms: (arrived - left) * 1000.0, likeness });
        }
    }
    let times = spread(series.iter().map(|look| look.ms).collect())?;
    Some(RoundTrip {
        p50_ms: times.p50,
        max_ms: times.max,
        last_ms: series.last()?.ms,
        found: series.len() as f64 / looked.max(1) as f64,
        series,
    })
}

/// Of the stretches of `heard` that are not silent, the share that is
/// somewhere in `expected`, which may have been played more than once.
pub fn share_found(heard: &[i16], expected: &[i16]) -> f64 {
    let mut looped = expected.to_vec();
    looped.extend_from_slice(&expected[..expected.len().min(WINDOW)]);
    let (mut looked, mut found) = (0usize, 0usize);
    for window in heard.chunks_exact(WINDOW) {
        // Mostly silent stretches prove nothing either way.
        let loud = window.chunks(FRAME).filter(|frame| level(frame) >= SILENCE_DBFS).count();
        if loud < WINDOW / FRAME / 2 {
            continue;
        }
        looked += 1;
        if signal::find(window, &looped).is_some_and(|(_, likeness)| likeness >= ALIKE) {
            found += 1;
        }
    }
    found as f64 / looked.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(samples: &[i16], from: f64) -> Vec<Frame> {
        samples
            .chunks_exact(FRAME)
            .enumerate()
            .map(|(n, chunk)| Frame { at: from + n as f64 * 0.02, samples: chunk.to_vec() })
            .collect()
    }

    fn call(sent: &[i16], heard: Vec<Frame>) -> Account {
        Account {
            rang: Some(0.5),
            answered: Some(1.0),
            sent: frames(sent, 1.0),
            heard,
            ended: Ended::Phone,
            ..Account::default()
        }
    }

    #[test]
    fn an_echo_of_85_ms_is_measured_as_85_ms() {
        let sent = signal::chirps(5);
        let report = report(&call(&sent, frames(&sent, 1.085)), true, None);
        let trip = report.round_trip.expect("found");
        assert!((trip.p50_ms - 85.0).abs() < 0.2, "{}", trip.p50_ms);
        assert!((trip.max_ms - 85.0).abs() < 0.2, "{}", trip.max_ms);
        assert_eq!(trip.found, 1.0);
        assert!(report.both_ways, "{:?}", report.reasons);
    }

    #[test]
    fn an_echo_that_becomes_late_in_the_middle_is_seen_as_late_from_there() {
        let sent = signal::chirps(8);
        let mut heard = frames(&sent, 1.05);
        for frame in &mut heard[200..] {
            frame.at += 1.5;
        }
        let trip = round_trips(&call(&sent, heard)).expect("found");
        assert!((trip.series[0].ms - 50.0).abs() < 0.2);
        assert!((trip.last_ms - 1550.0).abs() < 0.2, "{}", trip.last_ms);
    }

    #[test]
    fn frames_lost_on_the_way_do_not_change_the_time_measured() {
        let sent = signal::chirps(6);
        let mut heard = frames(&sent, 1.06);
        heard.drain(120..135);
        let trip = round_trips(&call(&sent, heard)).expect("found");
        assert!((trip.last_ms - 60.0).abs() < 0.2, "{}", trip.last_ms);
    }

    #[test]
    fn somebody_elses_voice_is_not_an_echo() {
        let sent = signal::chirps(5);
        let other: Vec<i16> = signal::chirps(12)[7 * RATE..].to_vec();
        let report = report(&call(&sent, frames(&other, 1.05)), true, None);
        assert!(!report.both_ways);
        assert_eq!(report.reasons, ["what was sent did not come back"]);
    }

    #[test]
    fn silence_is_not_audio() {
        let sent = signal::chirps(5);
        let report = report(&call(&sent, frames(&vec![0; 5 * RATE], 1.05)), false, None);
        assert_eq!(report.reasons, ["only silence was heard (250 of 250 frames)"]);
        assert_eq!(report.silent_share, Some(1.0));
    }

    #[test]
    fn what_was_expected_is_recognised_even_half_as_loud_and_started_anywhere() {
        let prompt = signal::chirps(6);
        let heard: Vec<i16> = prompt[RATE + 123..5 * RATE].iter().map(|s| s / 2).collect();
        assert_eq!(share_found(&heard, &prompt), 1.0);
        assert_eq!(share_found(&signal::chirps(20)[15 * RATE..], &prompt), 0.0);
    }

    #[test]
    fn a_call_that_never_came_says_so() {
        let report = report(&Account::default(), true, None);
        assert_eq!(report.reasons, ["nobody called"]);
        assert_eq!(report.ended, Ended::NobodyCalled);
        assert!(report.for_people().contains("NOT both ways: nobody called"));
    }

    #[test]
    fn levels_are_below_full_scale() {
        assert_eq!(level(&[0; 320]), -100.0);
        assert!((level(&[i16::MIN; 320])).abs() < 0.01);
        assert!((level(&[16384; 320]) + 6.02).abs() < 0.01);
    }

    #[test]
    fn percentiles_of_one_to_a_hundred() {
        let all = spread((1..=101).map(f64::from).collect()).expect("some");
        assert_eq!((all.p50, all.p99, all.max), (51.0, 100.0, 101.0));
        assert!(spread(Vec::new()).is_none());
    }
}
