//! The operator's HTTP: is it alive, does it take calls, what has it counted.
//!
//! `/healthz` answers 200 as long as the process serves; `/readyz` answers 503 while it drains;
//! `/metrics` is for Prometheus. It listens on loopback unless told otherwise, and has no secret
//! to give away.

use std::sync::Arc;

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header::CONTENT_TYPE},
    response::IntoResponse,
    routing::get,
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::exchange::Exchange;

/// What Prometheus calls the format of `/metrics`.
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Serves until `stop`.
pub async fn serve(listener: TcpListener, exchange: Arc<Exchange>, stop: CancellationToken) {
    let server = axum::serve(listener, router(exchange));
    // Its only errors are of single connections.
    let _ = server.with_graceful_shutdown(stop.cancelled_owned()).await;
}

fn router(exchange: Arc<Exchange>) -> Router {
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(exchange)
}

async fn ready(State(exchange): State<Arc<Exchange>>) -> impl IntoResponse {
    if exchange.is_draining() {
        (StatusCode::SERVICE_UNAVAILABLE, "draining\n")
    } else {
        (StatusCode::OK, "ready\n")
    }
}

async fn metrics(State(exchange): State<Arc<Exchange>>) -> impl IntoResponse {
    ([(CONTENT_TYPE, OPENMETRICS)], exchange.metrics.text())
}
