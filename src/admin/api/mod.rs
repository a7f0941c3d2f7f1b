//! The API, `/api/v1`: what a program may ask and do, behind a bearer token.
//!
//! `openapi` describes it, made from the same functions that serve it. Nothing here waits on the
//! thread that serves audio: the call table is read on threads for that.

mod calls;
mod description;
mod live;
mod products;
mod recordings;
mod streams;

pub use description::openapi;

use axum::{
    Router, middleware,
    routing::{delete, get, post},
};
use serde::Deserialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    Office,
    guard::{self, Guard},
    problem::Problem,
};
use crate::{
    call::CallId,
    tap::{NotThere, StartError, facts},
};

/// Who starts and stops something over HTTP, in the records of it.
const BY: &str = "api";

pub(super) fn router(office: Office, guard: Guard) -> Router {
    Router::new()
        .route("/api/v1/calls", get(calls::list))
        .route("/api/v1/calls/{id}", get(calls::one))
        .route("/api/v1/live", get(live::live))
        .route("/api/v1/streams", get(streams::list).post(streams::start))
        .route("/api/v1/streams/{id}", delete(streams::stop))
        .route("/api/v1/recordings", get(recordings::list).post(recordings::start))
        .route("/api/v1/recordings/stop", post(recordings::stop))
        .route("/api/v1/recordings/{id}", get(recordings::fetch))
        .route("/api/v1/pause", post(streams::pause))
        .route("/api/v1/resume", post(streams::resume))
        .route("/media-distributor/product", get(products::list).post(products::put))
        .route(
            "/media-distributor/product/{product_type}/{product_id}",
            get(products::one).delete(products::remove),
        )
        .route_layer(middleware::from_fn_with_state(guard, guard::guard))
        .with_state(office)
        .route("/api/v1/openapi.json", get(description::get))
}

/// Which call is meant: one of the two.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Whom {
    /// The gateway's id of the call.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = "uuid")]
    call: Option<Uuid>,
    /// A channel by its name or unique id: of one of the gateway's calls, or, with `ari`
    /// configured, any live channel of Asterisk.
    #[serde(default)]
    channel: Option<String>,
}

/// Longest name of a channel; Asterisk's own limit is 80.
const MAX_CHANNEL: usize = 256;

impl Whom {
    fn read(self) -> Result<facts::Whom, Problem> {
        let remedy = "write either \"call\" or \"channel\"";
        match (self.call, self.channel) {
            (Some(call), None) => Ok(facts::Whom::Call(CallId::from_uuid(call))),
            (None, Some(channel)) if (1..=MAX_CHANNEL).contains(&channel.len()) => {
                Ok(facts::Whom::Channel(channel))
            }
            (None, Some(_)) => Err(Problem::bad_request("no channel has such a name", remedy)),
            (None, None) => Err(Problem::bad_request("no call is named", remedy)),
            (Some(_), Some(_)) => Err(Problem::bad_request("two calls are named", remedy)),
        }
    }
}

impl From<NotThere> for Problem {
    fn from(error: NotThere) -> Self {
        Problem::not_found(error.to_string())
    }
}

impl From<StartError> for Problem {
    fn from(error: StartError) -> Self {
        let text = error.to_string();
        match error {
            StartError::NoSuchCall | StartError::NoSuchChannel => Problem::not_found(text),
            StartError::NoAri => Problem::conflict(text, "configure \"ari\", or name a call"),
            StartError::NoRecording => Problem::conflict(text, "configure \"recording\""),
            StartError::Recording => Problem::conflict(text, "stop it first"),
            StartError::TooManyChannels(_) => {
                Problem::conflict(text, "stop listening to one of them first")
            }
            StartError::TooMany(_) => Problem::conflict(text, "stop one of them first"),
            StartError::Disk(_) => Problem::unavailable(text, "make room on the disk"),
            StartError::Stopping => Problem::unavailable(text, "try again when it is back"),
            StartError::Asterisk(_) => Problem::refused(text),
        }
    }
}
