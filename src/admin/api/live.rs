//! What is now: the calls that are up, and the phones that are here.

use axum::{Json, extract::State};
use serde::Serialize;
use tokio::time::Instant;
use utoipa::ToSchema;

use super::super::Office;
use crate::{
    call::{CallId, Extension, presence::Presence},
    exchange::{Exchange, Login},
    report::{row::CallRow, time::Utc},
};

/// The calls that are up and the phones that are here.
#[derive(Debug, Serialize, ToSchema)]
pub struct Live {
    /// Oldest first.
    calls: Vec<CallRow>,
    /// In the order of their extensions.
    phones: Vec<LivePhone>,
    /// The gateway is stopping and takes no new calls.
    draining: bool,
}

/// A phone that is logged in.
#[derive(Debug, Serialize, ToSchema)]
pub struct LivePhone {
    #[schema(value_type = String)]
    pub extension: Extension,
    /// What the device calls itself; null where it doesn't.
    pub device: Option<String>,
    /// Since when it is logged in.
    #[schema(value_type = String, format = DateTime)]
    pub since: Utc,
    /// Whether it rings or talks.
    pub busy: bool,
    /// In which call.
    #[schema(value_type = Option<String>, format = "uuid")]
    pub call: Option<CallId>,
    /// Whether its page answers, and so could ring.
    pub reachable: bool,
    /// How the extension wants to be called: ready, away, dnd or wrapup.
    pub presence: &'static str,
    /// What the person gave as the reason.
    pub presence_reason: Option<String>,
    /// When the presence ends by itself.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub presence_until: Option<Utc>,
}

/// What is now
///
/// The calls that are up and the phones that are logged in.
#[utoipa::path(
    get, path = "/api/v1/live", tag = "calls",
    responses((status = 200, description = "Calls and phones", body = Live)),
)]
pub async fn live(State(office): State<Office>) -> Json<Live> {
    let exchange = &office.exchange;
    let calls = exchange.feed.live().iter().map(|call| (**call).clone()).collect();
    let mut phones: Vec<LivePhone> =
        exchange.logins().into_iter().map(|login| phone(exchange, login)).collect();
    phones.sort_by(|a, b| (&a.extension, a.since).cmp(&(&b.extension, b.since)));
    Json(Live { calls, phones, draining: exchange.is_draining() })
}

fn phone(exchange: &Exchange, login: Login) -> LivePhone {
    let Login { ext, device, since, call, reachable, login: _ } = login;
    let Presence { readiness, until, reason } = exchange.presence(&ext);
    let now = Instant::now().into_std();
    LivePhone {
        extension: ext,
        device: device.map(|device| device.to_string()),
        since,
        busy: call.is_some(),
        call,
        reachable,
        presence: readiness.as_str(),
        presence_reason: reason.map(|reason| reason.to_string()),
        presence_until: until.map(|at| Utc::now().plus(at.saturating_duration_since(now))),
    }
}
