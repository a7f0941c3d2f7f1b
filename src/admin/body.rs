//! What a request brings along, read with a bound and a deadline, and refused in words.

use std::time::Duration;

use axum::{
    extract::{FromRequest, FromRequestParts, Path, Query, Request},
    http::{header, request::Parts},
};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::problem::Problem;

/// The longest body: a stream with all its headers and parameters.
pub const MAX_BODY: usize = 128 * 1024;
/// How long a body may take.
const BODY_TIME: Duration = Duration::from_secs(10);

/// A body of JSON.
pub struct Json<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let kind = request.headers().get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok());
        let kind = kind.and_then(|kind| kind.split(';').next()).unwrap_or_default().trim();
        if !kind.eq_ignore_ascii_case("application/json") {
            return Err(Problem::not_json());
        }
        let body = Limited::new(request.into_body(), MAX_BODY).collect();
        let bytes = match timeout(BODY_TIME, body).await {
            Ok(Ok(body)) => body.to_bytes(),
            Ok(Err(error)) if error.is::<LengthLimitError>() => {
                return Err(Problem::too_large(MAX_BODY));
            }
            Ok(Err(_)) => return Err(Problem::bad_request("the body broke off", "send all of it")),
            Err(_) => return Err(Problem::too_slow()),
        };
        serde_json::from_slice(&bytes).map(Self).map_err(|error| {
            let remedy = "GET /api/v1/openapi.json describes the body";
            Problem::bad_request(format!("the body can't be read: {error}"), remedy)
        })
    }
}

/// The query of a URL.
pub struct Parameters<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Parameters<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let query = Query::<T>::from_request_parts(parts, state).await;
        query.map(|Query(query)| Self(query)).map_err(|error| {
            let remedy = "GET /api/v1/openapi.json describes the parameters";
            let error = error.body_text();
            let error =
                error.strip_prefix("Failed to deserialize query string: ").unwrap_or(&error);
            Problem::bad_request(format!("the query can't be read: {error}"), remedy)
        })
    }
}

/// The id in a path; what is no UUID names nothing.
pub struct Id(pub uuid::Uuid);

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = Path::<String>::from_request_parts(parts, state).await;
        let id = path.ok().and_then(|Path(text)| uuid::Uuid::try_parse(&text).ok());
        id.map(Self).ok_or_else(|| Problem::not_found("an id is a UUID, and this isn't one"))
    }
}
