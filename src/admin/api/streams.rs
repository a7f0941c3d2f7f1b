//! Streams of calls, and the silence over all that listens to a call.

use axum::{Json as Answer, extract::State, http::StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    super::{
        Office,
        body::{Id, Json},
        problem::Problem,
    },
    BY, Whom,
};
use crate::tap::{
    facts::StreamId,
    spec::StreamForm,
    view::{CallView, StreamView},
};

/// A stream to be started.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StartStream {
    /// The gateway's id of the call; or else `channel`.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = "uuid")]
    call: Option<uuid::Uuid>,
    /// A channel by its name or unique id: of one of the gateway's calls, or, with `ari`
    /// configured, any live channel of Asterisk.
    #[serde(default)]
    channel: Option<String>,
    stream: StreamForm,
}

/// What was started.
#[derive(Debug, Serialize, ToSchema)]
pub struct Started {
    #[schema(value_type = String, format = "uuid")]
    id: StreamId,
}

/// Calls that can be listened to
///
/// Each with its streams and its recording: calls that are answered, and not over.
#[utoipa::path(
    get, path = "/api/v1/streams", tag = "streams",
    responses((status = 200, description = "Calls and who listens to them", body = Vec<CallView>)),
)]
pub async fn list(State(office): State<Office>) -> Answer<Vec<CallView>> {
    Answer(office.exchange.taps.list())
}

/// Start a stream
///
/// It connects in its own time; what comes of it shows in the list and is told to webhooks.
#[utoipa::path(
    post, path = "/api/v1/streams", tag = "streams", request_body = StartStream,
    responses(
        (status = 201, description = "It is on its way", body = Started),
        (status = 409, description = "It can't be now", body = Problem, content_type = "application/problem+json"),
        (status = 502, description = "Asterisk refused", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub async fn start(
    State(office): State<Office>,
    Json(asked): Json<StartStream>,
) -> Result<(StatusCode, Answer<Started>), Problem> {
    let whom = Whom { call: asked.call, channel: asked.channel }.read()?;
    let tls = match asked.stream.tls.as_str() {
        "" => None,
        name => Some(office.settings.load().taps.certificates(name).ok_or_else(|| {
            Problem::bad_request(
                "\"tls\" names no configured stream that has certificates",
                "write the \"name\" of one of \"streams\" with ca_file or cert_file",
            )
        })?),
    };
    let spec = asked.stream.read(tls).map_err(|faults| {
        let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
        Problem::bad_request(faults.join("; "), "GET /api/v1/openapi.json describes a stream")
    })?;
    let id = office.exchange.taps.start_stream(&whom, spec, BY).await?;
    Ok((StatusCode::CREATED, Answer(Started { id })))
}

/// Stop a stream
///
/// Its consumer gets what it is owed, and is told.
#[utoipa::path(
    delete, path = "/api/v1/streams/{id}", tag = "streams",
    params(("id" = String, Path, format = "uuid", description = "The stream's id")),
    responses((status = 204, description = "It stops")),
)]
pub async fn stop(State(office): State<Office>, Id(id): Id) -> Result<StatusCode, Problem> {
    office.exchange.taps.stop_stream(StreamId(id))?;
    Ok(StatusCode::NO_CONTENT)
}

/// Silence everything that listens to a call
///
/// From this instant on every stream and recording of the call gets silence: for card numbers and
/// the like. To pause what is paused changes nothing.
#[utoipa::path(
    post, path = "/api/v1/pause", tag = "streams", request_body = Whom,
    responses((status = 204, description = "It is silent")),
)]
pub async fn pause(
    State(office): State<Office>,
    Json(whom): Json<Whom>,
) -> Result<StatusCode, Problem> {
    office.exchange.taps.pause(&whom.read()?, BY)?;
    Ok(StatusCode::NO_CONTENT)
}

/// End the silence
#[utoipa::path(
    post, path = "/api/v1/resume", tag = "streams", request_body = Whom,
    responses((status = 204, description = "It is heard again")),
)]
pub async fn resume(
    State(office): State<Office>,
    Json(whom): Json<Whom>,
) -> Result<StatusCode, Problem> {
    office.exchange.taps.resume(&whom.read()?, BY)?;
    Ok(StatusCode::NO_CONTENT)
}

/// Named here, so that the description has it.
#[allow(dead_code)]
type Shown = StreamView;
