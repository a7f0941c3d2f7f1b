//! Counters, gauges and histograms for Prometheus. No label ever carries an extension or a number.

mod records;

use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram, info::Info},
    registry::Registry,
};

pub use self::records::{RecordMetrics, WebhookLabel};
use crate::call::record::CallRecord;

/// Everything that is counted. Cheap to touch from any task.
#[derive(Debug)]
pub struct Metrics {
    pub phones: Gauge,
    pub phones_busy: Gauge,
    pub calls: Gauge,
    pub connections: Family<ListenerLabel, Gauge>,
    pub calls_total: Family<EndingLabel, Counter>,
    pub ring_seconds: Histogram,
    pub call_seconds: Histogram,
    pub frames: Family<DirectionLabel, Counter>,
    pub dropped: Family<DropLabel, Counter>,
    pub filled: Counter,
    pub asterisk_queue: Histogram,
    pub asterisk_xoff: Counter,
    pub login_failures: Family<ReasonLabel, Counter>,
    pub logins: Counter,
    pub phones_lost: Family<ReasonLabel, Counter>,
    pub refused: Family<ReasonLabel, Counter>,
    pub reloads: Family<ReasonLabel, Counter>,
    pub ami_up: Gauge,
    pub ari_up: Gauge,
    pub channels_tapped: Gauge,
    pub records: RecordMetrics,
    /// What pages measure, once a second in a call.
    page_ms: Family<MeasureLabel, Histogram, fn() -> Histogram>,
    feedback: Family<FeedbackLabel, Counter>,
    registry: Registry,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ListenerLabel {
    pub listener: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct EndingLabel {
    pub ending: &'static str,
    pub side: &'static str,
    pub answered: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct DirectionLabel {
    pub direction: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct DropLabel {
    pub direction: &'static str,
    pub reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ReasonLabel {
    pub reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct MeasureLabel {
    pub measure: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct FeedbackLabel {
    pub score: &'static str,
    pub issue: &'static str,
}

/// Milliseconds that a page may claim; what is beyond is no measurement.
const PAGE_MS: std::ops::RangeInclusive<f64> = 0.0..=60_000.0;

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    pub fn new() -> Self {
        let mut r = Registry::with_prefix("goastgateway");
        r.register(
            "build",
            "Version of the gateway",
            Info::new([("version", env!("CARGO_PKG_VERSION"))]),
        );
        macro_rules! metric {
            ($name:literal, $help:literal, $metric:expr) => {{
                let metric = $metric;
                r.register($name, $help, metric.clone());
                metric
            }};
        }
        let records = RecordMetrics::new(&mut r);
        Self {
            records,
            phones: metric!("phones", "Phones that are logged in", Gauge::default()),
            phones_busy: metric!("phones_busy", "Phones that ring or talk", Gauge::default()),
            calls: metric!("calls_active", "Calls that ring or are up", Gauge::default()),
            connections: metric!("connections", "Open connections", Family::default()),
            calls_total: metric!("calls", "Calls that have ended", Family::default()),
            ring_seconds: metric!(
                "ring_seconds",
                "From the first ring to the answer or the end",
                Histogram::new([0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0])
            ),
            call_seconds: metric!(
                "call_seconds",
                "From the answer to the end",
                Histogram::new([5.0, 15.0, 30.0, 60.0, 180.0, 600.0, 1800.0, 3600.0, 7200.0])
            ),
            frames: metric!("frames", "Audio frames that were passed on", Family::default()),
            dropped: metric!("frames_dropped", "Audio frames that were dropped", Family::default()),
            filled: metric!(
                "frames_filled",
                "Frames of silence that Asterisk got where the phone sent nothing",
                Counter::default()
            ),
            asterisk_queue: metric!(
                "asterisk_queue_frames",
                "Asterisk's own queue, as it reports it",
                Histogram::new([0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 10.0, 25.0, 100.0, 900.0])
            ),
            asterisk_xoff: metric!("asterisk_xoff", "MEDIA_XOFF received", Counter::default()),
            login_failures: metric!(
                "login_failures",
                "Logins that were refused",
                Family::default()
            ),
            logins: metric!("logins", "Logins that were accepted", Counter::default()),
            phones_lost: metric!("phone_disconnects", "Logins that ended", Family::default()),
            refused: metric!(
                "connections_refused",
                "Connections that were refused before login",
                Family::default()
            ),
            reloads: metric!("reloads", "Reloads of the configuration", Family::default()),
            ari_up: metric!("ari_up", "Whether Asterisk's ARI is there", Gauge::default()),
            channels_tapped: metric!(
                "channels_tapped",
                "Channels of Asterisk that are listened to through ARI",
                Gauge::default()
            ),
            ami_up: metric!("ami_up", "Whether Asterisk's manager is there", Gauge::default()),
            page_ms: metric!(
                "page_milliseconds",
                "What pages measure in calls: delay end to end, playout buffer, round trip",
                Family::new_with_constructor(page_histogram as fn() -> Histogram)
            ),
            feedback: metric!("feedback", "What people say of their calls", Family::default()),
            registry: r,
        }
    }

    /// Counts a call that has ended.
    pub fn call_ended(&self, record: &CallRecord) {
        let Some((_, ending)) = record.ended else { return };
        let label = EndingLabel {
            ending: ending.as_str(),
            side: ending.side().as_str(),
            answered: if record.answered.is_some() { "yes" } else { "no" },
        };
        self.calls_total.get_or_create(&label).inc();
        if let Some(time) = record.ring_time() {
            self.ring_seconds.observe(time.as_secs_f64());
        }
        if let Some(time) = record.talk_time() {
            self.call_seconds.observe(time.as_secs_f64());
        }
    }

    /// Counts a login that was refused.
    pub fn login_failed(&self, reason: &'static str) {
        self.login_failures.get_or_create(&ReasonLabel { reason }).inc();
    }

    /// What a page measured; what it didn't, or can't have, is left out.
    pub fn phone_stats(&self, measures: &[(&'static str, Option<f64>)]) {
        for (measure, value) in measures {
            if let Some(value) = value.filter(|value| PAGE_MS.contains(value)) {
                self.page_ms.get_or_create(&MeasureLabel { measure }).observe(value);
            }
        }
    }

    /// A person's verdict on a call, 1 to 5.
    pub fn phone_feedback(&self, score: u8, issue: Option<&'static str>) {
        let score = match score {
            1 => "1",
            2 => "2",
            3 => "3",
            4 => "4",
            _ => "5",
        };
        let label = FeedbackLabel { score, issue: issue.unwrap_or("none") };
        self.feedback.get_or_create(&label).inc();
    }

    /// The text that Prometheus reads (OpenMetrics).
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a String can't fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}

fn page_histogram() -> Histogram {
    Histogram::new([10.0, 20.0, 40.0, 60.0, 80.0, 120.0, 160.0, 240.0, 400.0, 800.0, 2000.0])
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::call::{CallId, ending::Ending};

    #[test]
    fn a_call_shows_by_its_ending_and_nothing_shows_whose_it_was() {
        let metrics = Metrics::new();
        let began = Instant::now();
        let mut record = CallRecord::new(CallId::from_uuid(uuid::Uuid::nil()), began);
        record.dialled = Some("0312345678".into());
        record.rang = Some(began);
        record.ended = Some((began + Duration::from_secs(3), Ending::CallerGaveUp));
        metrics.call_ended(&record);
        let text = metrics.text();
        assert!(text.contains(
            r#"goastgateway_calls_total{ending="caller_gave_up",side="caller",answered="no"} 1"#
        ));
        assert!(text.contains("goastgateway_ring_seconds_count 1"));
        assert!(!text.contains("0312345678"));
    }
}
