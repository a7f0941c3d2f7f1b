//! What is now: the calls that are up, and the phones that are here.

use axum::{Json, extract::State};
use serde::Serialize;
use utoipa::ToSchema;

use super::super::Office;
use crate::{
    call::{CallId, Extension},
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
    /// Since when it is logged in.
    #[schema(value_type = String, format = DateTime)]
    pub since: Utc,
    /// Whether it rings or talks.
    pub busy: bool,
    /// In which call.
    #[schema(value_type = Option<String>, format = "uuid")]
    pub call: Option<CallId>,
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
    let mut phones: Vec<LivePhone> = exchange
        .logins()
        .into_iter()
        .map(|login| LivePhone {
            extension: login.ext,
            since: login.since,
            busy: login.call.is_some(),
            call: login.call,
        })
        .collect();
    phones.sort_by(|a, b| (&a.extension, a.since).cmp(&(&b.extension, b.since)));
    Json(Live { calls, phones, draining: exchange.is_draining() })
}
