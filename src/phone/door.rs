//! Where browsers knock: `/phone` is the telephone, everything else the page.
//!
//! Order: address, failed logins, upgrade, origin, token, 101. The answers are 403 for an address
//! or an origin that isn't allowed, 401 for a bad token, 429 after too many of those, 426 for a
//! request that is no upgrade, 503 while the gateway stops. The reason is in the log, the token
//! never.

use std::{net::IpAddr, sync::Arc, time::Instant};

use hyper::{
    HeaderMap, Request, Response, StatusCode,
    body::Incoming,
    header::{HOST, HeaderValue, ORIGIN, RETRY_AFTER},
};
use tokio_util::task::TaskTracker;
use tracing::warn;

use super::{login, pages, token::TokenError};
use crate::{
    call::Extension,
    config::Config,
    exchange::Exchange,
    net::{
        address,
        limits::{Connections, Failures, Place},
        upgrade::{Accepted, Body, NotAnUpgrade, Upgrade, answer},
    },
    report::metrics::ReasonLabel,
};

/// An answer that is no login.
type Refusal = Box<Response<Body>>;

/// What every connection of a browser shares.
#[derive(Clone)]
pub struct PhoneDoor {
    pub exchange: Arc<Exchange>,
    pub phones: TaskTracker,
    pub connections: Arc<Connections>,
    pub failures: Arc<Failures>,
}

impl PhoneDoor {
    /// Answers one request. `now` is when it came.
    pub fn handle(
        &self,
        mut request: Request<Incoming>,
        peer: IpAddr,
        config: &Arc<Config>,
        now: Instant,
        place: Arc<Place>,
    ) -> Response<Body> {
        let forwarded: Vec<&str> = request
            .headers()
            .get_all("x-forwarded-for")
            .iter()
            .filter_map(|value| value.to_str().ok())
            .collect();
        let client = address::client(peer, &forwarded, &config.browser.trusted_proxies);
        if !config.browser.allowed.admits(client) {
            warn!(address = %client, "refused: not in allowed_browser_ips");
            self.exchange.metrics.login_failed("address");
            return answer(StatusCode::FORBIDDEN, "this address may not connect\n");
        }
        match request.uri().path() {
            "/phone" | "/phone/" => self
                .phone(&mut request, peer, client, config, now, place)
                .unwrap_or_else(|refusal| *refusal),
            path => pages::page(request.method(), path, request.headers()),
        }
    }

    fn phone(
        &self,
        request: &mut Request<Incoming>,
        peer: IpAddr,
        client: IpAddr,
        config: &Arc<Config>,
        now: Instant,
        place: Arc<Place>,
    ) -> Result<Response<Body>, Refusal> {
        let refuse = |reason: &'static str, status, text| {
            self.exchange.metrics.login_failed(reason);
            Box::new(answer(status, text))
        };
        if self.exchange.is_draining() {
            let mut response = answer(StatusCode::SERVICE_UNAVAILABLE, "the gateway is stopping\n");
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("5"));
            return Err(Box::new(response));
        }
        if self.failures.is_blocked(client, config.limits.login_failures_per_minute, now) {
            warn!(address = %client, "refused: too many failed logins in the last minute");
            let text = "too many failed logins; wait a minute\n";
            return Err(refuse("rate", StatusCode::TOO_MANY_REQUESTS, text));
        }
        if let Err(why) = check_origin(request.headers(), config) {
            warn!(address = %client, origin = ?why, "refused: origin not in allowed_origins");
            let text = "this page's origin is not in allowed_origins\n";
            return Err(refuse("origin", StatusCode::FORBIDDEN, text));
        }
        let ext = self.verify(request, config).map_err(|error| {
            if error != TokenError::Missing {
                self.failures.count(client, now);
            }
            warn!(address = %client, reason = error.reason(), "refused: {error}");
            refuse(error.reason(), StatusCode::UNAUTHORIZED, "bad token\n")
        })?;
        let upgrade = Upgrade::of(request).map_err(|why| {
            let (status, text) = match why {
                NotAnUpgrade::Plain => {
                    (StatusCode::UPGRADE_REQUIRED, "the token is good; /phone is a WebSocket\n")
                }
                NotAnUpgrade::Bad(why) => (StatusCode::BAD_REQUEST, why),
            };
            Box::new(answer(status, text))
        })?;
        let places = (place, self.place_behind_proxy(peer, client, config)?);
        let (response, accepted) = upgrade.accept(None);
        let (config, exchange) = (config.clone(), self.exchange.clone());
        self.phones.spawn(serve(accepted, ext, client, config, exchange, places));
        Ok(response)
    }

    fn verify(
        &self,
        request: &Request<Incoming>,
        config: &Config,
    ) -> Result<Extension, TokenError> {
        let token = token(request).ok_or(TokenError::Missing)?;
        let claims = config.tokens.verifier.verify(&token)?;
        Extension::parse(&claims.ext).ok_or(TokenError::BadExtension)
    }

    fn place_behind_proxy(
        &self,
        peer: IpAddr,
        client: IpAddr,
        config: &Config,
    ) -> Result<Option<Place>, Refusal> {
        if client == peer {
            return Ok(None); // counted when it was accepted
        }
        match self.connections.enter_behind_proxy(client, config.limits.connections_per_address) {
            Ok(place) => Ok(Some(place)),
            Err(full) => {
                let reason = full.as_str();
                warn!(address = %client, reason, "refused");
                self.exchange.metrics.refused.get_or_create(&ReasonLabel { reason }).inc();
                Err(Box::new(answer(StatusCode::TOO_MANY_REQUESTS, "too many connections\n")))
            }
        }
    }
}

async fn serve(
    accepted: Accepted,
    ext: Extension,
    client: IpAddr,
    config: Arc<Config>,
    exchange: Arc<Exchange>,
    _places: (Arc<Place>, Option<Place>),
) {
    let Some(wire) = accepted.wire(config.limits.phone_message).await else { return };
    let duplicate = config.calls.duplicate_login;
    drop(config); // an idle phone doesn't keep a configuration that was replaced
    login::serve(wire, ext, client, duplicate, exchange).await;
}

/// The origin, if it is not admitted; for the log.
fn check_origin(headers: &HeaderMap, config: &Config) -> Result<(), String> {
    // An unreadable origin is not an absent one.
    let text = |name| headers.get(name).map(|v: &HeaderValue| v.to_str().unwrap_or("?"));
    let origin = text(ORIGIN);
    if headers.get_all(ORIGIN).iter().count() > 1 {
        return Err("more than one".into());
    }
    if config.browser.origins.admits(origin, text(HOST)) {
        return Ok(());
    }
    Err(origin.unwrap_or("(none)").chars().take(200).collect())
}

/// The token of the query string. The last of several counts for nobody: the first does.
fn token(request: &Request<Incoming>) -> Option<String> {
    let query = request.uri().query()?;
    query.split('&').find_map(|pair| {
        let value = pair.strip_prefix("token=")?;
        // A JWT has no character that needs %-encoding, but some clients encode all the same.
        let value = value.replace("%2E", ".").replace("%2e", ".");
        (!value.is_empty()).then_some(value)
    })
}
