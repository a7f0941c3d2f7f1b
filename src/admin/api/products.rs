//! RingCentral's streaming profiles, in its own shape and under its own path.

use axum::{
    Json as Answer,
    extract::{Path, State},
    http::StatusCode,
};

use super::super::{Office, body::Json, problem::Problem};
use crate::tap::products::{Product, ProductError, ProductType};

/// Streaming profiles
#[utoipa::path(
    get, path = "/media-distributor/product", tag = "ringcentral",
    responses((status = 200, description = "All profiles", body = Vec<Product>)),
)]
pub async fn list(State(office): State<Office>) -> Answer<Vec<Product>> {
    Answer(office.exchange.taps.products.list())
}

/// Create or replace a streaming profile
///
/// From its next call on, the queue or campaign is streamed in RingCentral's format. Whether the
/// consumer can be reached isn't tried.
#[utoipa::path(
    post, path = "/media-distributor/product", tag = "ringcentral", request_body = Product,
    responses(
        (status = 200, description = "The profile", body = Product),
        (status = 409, description = "There are too many", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub async fn put(
    State(office): State<Office>,
    Json(product): Json<Product>,
) -> Result<Answer<Product>, Problem> {
    let kept = product.clone();
    on_disk(move || office.exchange.taps.products.put(kept)).await?;
    Ok(Answer(product))
}

/// One streaming profile
#[utoipa::path(
    get, path = "/media-distributor/product/{product_type}/{product_id}", tag = "ringcentral",
    params(
        ("product_type" = ProductType, Path),
        ("product_id" = String, Path, description = "The queue's or campaign's number or name"),
    ),
    responses((status = 200, description = "The profile", body = Product)),
)]
pub async fn one(
    State(office): State<Office>,
    Path((kind, id)): Path<(String, String)>,
) -> Result<Answer<Product>, Problem> {
    let kind = ProductType::parse(&kind).ok_or_else(no_such)?;
    office.exchange.taps.products.get(kind, &id).map(Answer).ok_or_else(no_such)
}

/// Remove a streaming profile
///
/// Streams that run go on to their call's end.
#[utoipa::path(
    delete, path = "/media-distributor/product/{product_type}/{product_id}", tag = "ringcentral",
    params(
        ("product_type" = ProductType, Path),
        ("product_id" = String, Path, description = "The queue's or campaign's number or name"),
    ),
    responses((status = 204, description = "It is gone")),
)]
pub async fn remove(
    State(office): State<Office>,
    Path((kind, id)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    let kind = ProductType::parse(&kind).ok_or_else(no_such)?;
    let was_there = on_disk(move || office.exchange.taps.products.remove(kind, &id)).await?;
    if was_there { Ok(StatusCode::NO_CONTENT) } else { Err(no_such()) }
}

fn no_such() -> Problem {
    Problem::not_found("there is no such profile")
}

/// On a thread that may wait for the disk.
async fn on_disk<T: Send + 'static>(
    what: impl FnOnce() -> Result<T, ProductError> + Send + 'static,
) -> Result<T, Problem> {
    match tokio::task::spawn_blocking(what).await {
        Ok(done) => done.map_err(Problem::from),
        Err(_) => Err(Problem::unavailable("the profile can't be kept", "try again")),
    }
}

impl From<ProductError> for Problem {
    fn from(error: ProductError) -> Self {
        let text = error.to_string();
        match error {
            ProductError::Bad(_) => {
                Problem::bad_request(text, "GET /api/v1/openapi.json describes a profile")
            }
            ProductError::TooMany => Problem::conflict(text, "remove one first"),
            ProductError::NoPlace => {
                let remedy = "write \"state_dir\": the folder where it may be, and restart";
                Problem::unavailable(text, remedy)
            }
            ProductError::Disk(_) => Problem::unavailable(text, "make room on the disk"),
        }
    }
}
