//! What a program is told when it gets nothing else: RFC 9457, with what to do.

use axum::{
    extract::Request,
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use utoipa::ToSchema;

/// The media type.
pub const PROBLEM_JSON: &str = "application/problem+json";

/// Why there is no answer, and what to do about it.
#[derive(Debug, Serialize, ToSchema)]
pub struct Problem {
    /// `urn:goastgateway:` and a name that stays.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The status in words.
    pub title: &'static str,
    pub status: u16,
    /// What is wrong with this request.
    pub detail: String,
    /// What to do.
    pub remedy: String,
    #[serde(skip)]
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Problem {
    fn new(code: StatusCode, kind: &'static str, detail: impl Into<String>, remedy: &str) -> Self {
        Self {
            kind,
            title: code.canonical_reason().unwrap_or_default(),
            status: code.as_u16(),
            detail: detail.into(),
            remedy: remedy.to_owned(),
            headers: Vec::new(),
        }
    }

    fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    pub fn bad_request(detail: impl Into<String>, remedy: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "urn:goastgateway:bad-request", detail, remedy)
    }

    pub fn unauthorized(detail: &str) -> Self {
        let remedy = "send Authorization: Bearer and one of the configuration's api_tokens";
        Self::new(StatusCode::UNAUTHORIZED, "urn:goastgateway:unauthorized", detail, remedy)
            .with(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
    }

    /// Nobody may use the API.
    pub fn off() -> Self {
        let remedy = "write \"api_tokens\": [\"…\"] with the output of: openssl rand -hex 32, and \
                      reload the gateway";
        Self::new(
            StatusCode::FORBIDDEN,
            "urn:goastgateway:no-api-tokens",
            "the API is off: the configuration has no api_tokens",
            remedy,
        )
    }

    pub fn not_found(detail: impl Into<String>) -> Self {
        let remedy = "GET /api/v1/openapi.json describes what there is";
        Self::new(StatusCode::NOT_FOUND, "urn:goastgateway:not-found", detail, remedy)
    }

    pub fn conflict(detail: impl Into<String>, remedy: &str) -> Self {
        Self::new(StatusCode::CONFLICT, "urn:goastgateway:conflict", detail, remedy)
    }

    pub fn too_large(most: usize) -> Self {
        let remedy = "send a shorter body";
        let detail = format!("the body is longer than {most} bytes");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "urn:goastgateway:too-large", detail, remedy)
    }

    pub fn too_slow() -> Self {
        let detail = "the body did not come in time";
        Self::new(
            StatusCode::REQUEST_TIMEOUT,
            "urn:goastgateway:too-slow",
            detail,
            "send it at once",
        )
        .with(header::CONNECTION, HeaderValue::from_static("close"))
    }

    pub fn not_json() -> Self {
        let remedy = "send Content-Type: application/json";
        let detail = "the body isn't JSON, as its Content-Type says";
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "urn:goastgateway:not-json", detail, remedy)
    }

    /// There is no such part of the whole, which has this many bytes.
    pub fn no_such_range(bytes: u64) -> Self {
        let detail = format!("there are {bytes} bytes");
        let value = HeaderValue::try_from(format!("bytes */{bytes}"));
        let problem = Self::new(
            StatusCode::RANGE_NOT_SATISFIABLE,
            "urn:goastgateway:no-such-range",
            detail,
            "ask for bytes that are there",
        );
        match value {
            Ok(value) => problem.with(header::CONTENT_RANGE, value),
            Err(_) => problem,
        }
    }

    pub fn too_many(seconds: u32) -> Self {
        let detail = "too many requests of this address";
        let remedy = format!("wait {seconds} s");
        Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            "urn:goastgateway:too-many-requests",
            detail,
            &remedy,
        )
        .with(header::RETRY_AFTER, seconds.into())
    }

    /// Something behind the API isn't to be had now.
    pub fn unavailable(detail: impl Into<String>, remedy: &str) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "urn:goastgateway:unavailable", detail, remedy)
            .with(header::RETRY_AFTER, HeaderValue::from_static("1"))
    }

    /// What the gateway asked somebody else for was refused.
    pub fn refused(detail: impl Into<String>) -> Self {
        let remedy = "the gateway's log says more";
        Self::new(StatusCode::BAD_GATEWAY, "urn:goastgateway:refused", detail, remedy)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let code = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_string(&self).unwrap_or_default();
        let mut response = (code, [(header::CONTENT_TYPE, PROBLEM_JSON)], body).into_response();
        response.headers_mut().extend(self.headers);
        response
    }
}

/// For a path that isn't there.
pub async fn no_such_path(request: Request) -> Problem {
    Problem::not_found(format!("there is no {}", request.uri().path().escape_debug()))
}

/// For a path that is there for others.
pub async fn no_such_method(request: Request) -> Problem {
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "urn:goastgateway:method-not-allowed",
        format!("{} has no {}", request.uri().path().escape_debug(), request.method()),
        "the Allow header names the methods that it has",
    )
}
