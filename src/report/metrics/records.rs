//! What is counted of the call table and the webhooks: what was kept, what waits, what was lost.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

/// The part of the metrics that has to do with records of calls.
#[derive(Debug)]
pub struct RecordMetrics {
    pub table_up: Gauge,
    pub table_waiting: Gauge,
    pub table_dropped: Counter,
    pub postgres_up: Gauge,
    pub postgres_waiting: Gauge,
    pub webhooks_waiting: Family<WebhookLabel, Gauge>,
    pub webhooks_sent: Family<WebhookLabel, Counter>,
    pub webhooks_failed: Family<WebhookLabel, Counter>,
    pub webhooks_dropped: Family<WebhookLabel, Counter>,
}

/// A webhook by the name that its configuration gives it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct WebhookLabel {
    pub webhook: String,
}

impl RecordMetrics {
    pub(super) fn new(r: &mut Registry) -> Self {
        macro_rules! metric {
            ($name:literal, $help:literal, $metric:expr) => {{
                let metric = $metric;
                r.register($name, $help, metric.clone());
                metric
            }};
        }
        Self {
            table_up: metric!(
                "call_table_up",
                "Whether calls can be written down",
                Gauge::default()
            ),
            table_waiting: metric!(
                "call_table_waiting",
                "Changes of calls that wait to be written down",
                Gauge::default()
            ),
            table_dropped: metric!(
                "call_table_dropped",
                "Changes of calls that were not written down",
                Counter::default()
            ),
            postgres_up: metric!("postgres_up", "Whether PostgreSQL takes calls", Gauge::default()),
            postgres_waiting: metric!(
                "postgres_waiting",
                "Calls that PostgreSQL doesn't have yet",
                Gauge::default()
            ),
            webhooks_waiting: metric!(
                "webhooks_waiting",
                "Deliveries that are on the disk and not yet made",
                Family::default()
            ),
            webhooks_sent: metric!(
                "webhooks_sent",
                "Deliveries that were taken",
                Family::default()
            ),
            webhooks_failed: metric!(
                "webhooks_failed",
                "Attempts that failed, each of which is made again",
                Family::default()
            ),
            webhooks_dropped: metric!(
                "webhooks_dropped",
                "Deliveries that were given up",
                Family::default()
            ),
        }
    }
}
