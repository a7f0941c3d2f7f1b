//! Recordings: what grows or waits, starting and stopping, and the file itself, whole or in parts.

use axum::{
    Json as Answer,
    body::Body,
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};

use super::{
    super::{
        Office,
        body::{Id, Json},
        problem::Problem,
    },
    BY, Whom,
};
use crate::{
    call::CallId,
    tap::{
        FetchError,
        view::{Fetched, RecordingView},
    },
};

/// Recordings that grow or wait
///
/// Those that have reached their place are in the call table.
#[utoipa::path(
    get, path = "/api/v1/recordings", tag = "recordings",
    responses((status = 200, description = "Recordings", body = Vec<RecordingView>)),
)]
pub async fn list(State(office): State<Office>) -> Answer<Vec<RecordingView>> {
    Answer(office.exchange.taps.recordings())
}

/// Record a call
#[utoipa::path(
    post, path = "/api/v1/recordings", tag = "recordings", request_body = Whom,
    responses(
        (status = 202, description = "It records"),
        (status = 409, description = "It can't be now", body = Problem, content_type = "application/problem+json"),
        (status = 502, description = "Asterisk refused", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub async fn start(
    State(office): State<Office>,
    Json(whom): Json<Whom>,
) -> Result<StatusCode, Problem> {
    office.exchange.taps.start_recording(&whom.read()?, BY).await?;
    Ok(StatusCode::ACCEPTED)
}

/// Stop recording a call
///
/// What there is goes to its place, as it would at the call's end.
#[utoipa::path(
    post, path = "/api/v1/recordings/stop", tag = "recordings", request_body = Whom,
    responses((status = 204, description = "It records no more")),
)]
pub async fn stop(
    State(office): State<Office>,
    Json(whom): Json<Whom>,
) -> Result<StatusCode, Problem> {
    office.exchange.taps.stop_recording(&whom.read()?)?;
    Ok(StatusCode::NO_CONTENT)
}

/// A call's recording
///
/// A stereo WAV file, left the agent and right the caller, from wherever it is. One range may be
/// asked for.
#[utoipa::path(
    get, path = "/api/v1/recordings/{id}", tag = "recordings",
    params(
        ("id" = String, Path, format = "uuid", description = "The call's id"),
        ("Range" = Option<String>, Header, description = "As `bytes=0-1023`"),
    ),
    responses(
        (status = 200, description = "The file", body = Vec<u8>, content_type = "audio/wav"),
        (status = 206, description = "A part of it", body = Vec<u8>, content_type = "audio/wav"),
        (status = 416, description = "There is no such part", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub async fn fetch(
    State(office): State<Office>,
    Id(id): Id,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let found = match office.exchange.taps.find_recording(CallId::from_uuid(id)).await {
        Ok(found) => found,
        Err(error @ FetchError::NotThere) => return Err(Problem::not_found(error.to_string())),
        Err(error @ FetchError::Store(_)) => {
            return Err(Problem::unavailable(error.to_string(), "try again"));
        }
    };
    let whole = found.bytes;
    let wanted = match headers.get(header::RANGE).map(|range| range.to_str()) {
        // What it was asked with If-Range may have changed: then the whole is right.
        Some(Ok(range)) if !headers.contains_key(header::IF_RANGE) => parse(range, whole),
        _ => Wanted::All,
    };
    let (first, length) = match wanted {
        Wanted::All => (0, whole),
        Wanted::Part(first, last) => (first, last - first + 1),
        Wanted::Nothing => return Err(Problem::no_such_range(whole)),
    };
    let part = (wanted != Wanted::All).then_some((first, whole));
    match found.read(first, length).await {
        Ok(fetched) => Ok(answer(fetched, part, id)),
        Err(error) => Err(Problem::unavailable(error, "try again")),
    }
}

/// What a Range header asks for.
#[derive(Debug, PartialEq, Eq)]
enum Wanted {
    All,
    /// First and last byte.
    Part(u64, u64),
    Nothing,
}

/// RFC 9110: what can't be understood is as if it weren't there, and so is more than one range.
fn parse(range: &str, bytes: u64) -> Wanted {
    let number = |text: &str| {
        text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse::<u64>().ok()).flatten()
    };
    let Some((first, last)) = range.strip_prefix("bytes=").and_then(|range| range.split_once('-'))
    else {
        return Wanted::All;
    };
    match (first.trim(), last.trim()) {
        ("", last) => match number(last) {
            Some(0) => Wanted::Nothing,
            Some(_) if bytes == 0 => Wanted::Nothing,
            Some(last) => Wanted::Part(bytes.saturating_sub(last), bytes - 1),
            None => Wanted::All,
        },
        (first, last) => match (number(first), number(last)) {
            (Some(first), _) if first >= bytes => Wanted::Nothing,
            (Some(first), _) if last.is_empty() => Wanted::Part(first, bytes - 1),
            (Some(first), Some(last)) if last >= first => Wanted::Part(first, last.min(bytes - 1)),
            _ => Wanted::All,
        },
    }
}

/// `part` is where it begins and how long the whole is.
fn answer(fetched: Fetched, part: Option<(u64, u64)>, id: uuid::Uuid) -> Response {
    let length = fetched.bytes;
    let code = if part.is_some() { StatusCode::PARTIAL_CONTENT } else { StatusCode::OK };
    let name = format!("attachment; filename=\"{id}.wav\"");
    let mut response = (
        code,
        [
            (header::CONTENT_TYPE, "audio/wav"),
            (header::ACCEPT_RANGES, "bytes"),
            (header::CONTENT_DISPOSITION, &name),
        ],
        Body::from_stream(fetched.body),
    )
        .into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_LENGTH, length.into());
    if let Some((first, whole)) = part
        && let Ok(range) =
            HeaderValue::try_from(format!("bytes {first}-{}/{whole}", first + length - 1))
    {
        headers.insert(header::CONTENT_RANGE, range);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_read_as_the_rfc_has_it() {
        use Wanted::*;
        for (range, bytes, wanted) in [
            ("bytes=0-9", 100, Part(0, 9)),
            ("bytes=90-", 100, Part(90, 99)),
            ("bytes=90-1000", 100, Part(90, 99)),
            ("bytes=-10", 100, Part(90, 99)),
            ("bytes=-1000", 100, Part(0, 99)),
            ("bytes=-0", 100, Nothing),
            ("bytes=100-", 100, Nothing),
            ("bytes=0-", 0, Nothing),
            ("bytes=-5", 0, Nothing),
            ("bytes=9-1", 100, All),
            ("bytes=0-1,5-6", 100, All),
            ("bytes=-", 100, All),
            ("bytes=+1-2", 100, All),
            ("lines=0-1", 100, All),
            ("bytes=99999999999999999999-", 100, All),
            ("", 100, All),
        ] {
            assert_eq!(parse(range, bytes), wanted, "{range} of {bytes}");
        }
    }
}
