//! The operator's HTTP: is it alive, does it take calls, what has it counted, and the API.
//!
//! `/healthz` answers 200 as long as the process serves; `/readyz` answers 503 while it drains;
//! `/metrics` is for Prometheus. `api` is for programs, behind a token. It listens on loopback
//! unless told otherwise, and every connection has a deadline and every request a bound.

mod api;
mod body;
mod guard;
mod problem;

pub use api::openapi;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header::CONTENT_TYPE},
    response::IntoResponse,
    routing::get,
};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use prometheus_client::metrics::gauge::Gauge;
use tokio::{
    net::{TcpListener, TcpStream},
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::debug;

use self::guard::Guard;
use crate::{
    exchange::Exchange,
    net::{
        limits::Connections,
        listen::{self, Tuning},
    },
    report::{Settings, metrics::ListenerLabel, table::Reader},
};

/// What Prometheus calls the format of `/metrics`.
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// The head of a request; a token has a few dozen bytes.
const MAX_HEAD: usize = 16 * 1024;
/// Open connections: monitors, dashboards, and programs that page through calls.
const MOST_CONNECTIONS: usize = 256;
/// What a stop waits for answers that are under way.
const LAST_TIME: Duration = Duration::from_secs(1);

/// What the operator's HTTP knows of the gateway.
#[derive(Clone)]
pub struct Office {
    pub exchange: Arc<Exchange>,
    pub settings: Settings,
    /// The call table; absent where nothing is kept.
    pub table: Option<Reader>,
}

/// Serves until `stop`.
pub async fn serve(listener: TcpListener, office: Office, stop: CancellationToken) {
    let connections = Arc::new(Connections::default());
    let gauge = {
        let label = ListenerLabel { listener: "admin" };
        office.exchange.metrics.connections.get_or_create_owned(&label)
    };
    let settings = office.settings.clone();
    let router = router(office);
    let tracker = TaskTracker::new();
    let closing = stop.clone();
    let serve = move |stream, peer: SocketAddr| {
        let (connections, gauge, stop) = (connections.clone(), gauge.clone(), closing.clone());
        let (router, deadline) = (router.clone(), settings.load().limits.handshake_timeout);
        async move {
            serve_one(stream, peer, router, deadline, stop, &connections, gauge).await;
        }
    };
    listen::accept(listener, Tuning::Asterisk, tracker.clone(), stop, serve).await;
    tracker.close();
    let _ = timeout(LAST_TIME, tracker.wait()).await;
}

async fn serve_one(
    stream: TcpStream,
    peer: SocketAddr,
    router: Router,
    deadline: Duration,
    stop: CancellationToken,
    connections: &Arc<Connections>,
    gauge: Gauge,
) {
    let address = peer.ip().to_canonical();
    let Ok(_place) = connections.enter(address, MOST_CONNECTIONS, MOST_CONNECTIONS, gauge) else {
        return debug!(%address, "the operator's HTTP has no room for another connection");
    };
    let router = router.layer(axum::Extension(guard::Peer(address)));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        // Also between two requests: who asks nothing holds no place.
        .header_read_timeout(deadline)
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut connection = std::pin::pin!(connection);
    let result = tokio::select! {
        result = connection.as_mut() => result,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            timeout(LAST_TIME, connection).await.unwrap_or(Ok(()))
        }
    };
    if let Err(error) = result {
        debug!(%address, %error, "a connection of the operator's HTTP ended");
    }
}

fn router(office: Office) -> Router {
    let guard = Guard::new(office.settings.clone());
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(office.exchange.clone())
        .merge(api::router(office, guard))
        .fallback(problem::no_such_path)
        .method_not_allowed_fallback(problem::no_such_method)
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
