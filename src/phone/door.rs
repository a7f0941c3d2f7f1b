//! Where browsers knock: `/phone` is the telephone, everything else the page.
//!
//! Order: address, failed logins, origin, token, upgrade. The answers are 403 for an address or an
//! origin that isn't allowed, 401 for a bad token, 429 after too many of those, 426 for a request
//! with a good token that is no upgrade (so a page can ask why its login failed), 503 while the
//! gateway stops. The reason is in the log, the token never; an address that is refused again and
//! again gets a few lines of the log and no more.

use std::{
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use hyper::{
    HeaderMap, Request, Response, StatusCode,
    body::Incoming,
    header::{CONNECTION, HOST, HeaderValue, ORIGIN, RETRY_AFTER},
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
        limits::{Connections, Place, Tally},
        upgrade::{Accepted, Body, NotAnUpgrade, Upgrade, answer, is_upgrade},
    },
};

/// The time in which failed logins are counted.
const FAILURE_WINDOW: Duration = Duration::from_secs(60);
/// Lines that the log gets about one address in a [`COMPLAINT_WINDOW`].
const COMPLAINTS: u32 = 3;
const COMPLAINT_WINDOW: Duration = Duration::from_secs(10);

/// An answer that is no login.
type Refusal = Box<Response<Body>>;

/// What every connection of a browser shares.
#[derive(Clone)]
pub struct PhoneDoor {
    exchange: Arc<Exchange>,
    phones: TaskTracker,
    connections: Arc<Connections>,
    /// Failed logins of the last minute.
    failures: Arc<Tally>,
    /// Lines of the log about refusals.
    complaints: Arc<Tally>,
}

/// Whom a refusal is about.
struct Refused {
    client: IpAddr,
    reason: &'static str,
    now: Instant,
}

impl PhoneDoor {
    pub fn new(
        exchange: Arc<Exchange>,
        phones: TaskTracker,
        connections: Arc<Connections>,
    ) -> Self {
        let failures = Arc::new(Tally::new(FAILURE_WINDOW));
        let complaints = Arc::new(Tally::new(COMPLAINT_WINDOW));
        Self { exchange, phones, connections, failures, complaints }
    }

    /// Answers one request. `now` is when it came.
    pub fn handle(
        &self,
        mut request: Request<Incoming>,
        peer: IpAddr,
        config: &Arc<Config>,
        now: Instant,
        place: Arc<Place>,
    ) -> Response<Body> {
        let forwarded: Vec<&[u8]> = request
            .headers()
            .get_all("x-forwarded-for")
            .iter()
            .map(HeaderValue::as_bytes)
            .collect();
        let client = address::client(peer, &forwarded, &config.browser.trusted_proxies);
        let Some(client) = client.filter(|client| config.browser.allowed.admits(*client)) else {
            let refused = Refused { client: client.unwrap_or(peer), reason: "address", now };
            let text = "this address may not connect\n";
            let why = "not in allowed_browser_ips, or no address that the proxy names";
            return *self.refuse(refused, StatusCode::FORBIDDEN, text, &why);
        };
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
        let refused = |reason| Refused { client, reason, now };
        if self.exchange.is_draining() {
            let mut response = answer(StatusCode::SERVICE_UNAVAILABLE, "the gateway is stopping\n");
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("5"));
            return Err(Box::new(response));
        }
        if self.failures.of(client, now) >= config.limits.login_failures_per_minute {
            let text = "too many failed logins; wait a minute\n";
            let why = "too many failed logins in the last minute";
            return Err(self.refuse(refused("rate"), StatusCode::TOO_MANY_REQUESTS, text, &why));
        }
        // Only a page can open a WebSocket to us from elsewhere; a plain GET opens nothing, and a
        // page's own has no Origin.
        if is_upgrade(request.headers())
            && let Err(origin) = check_origin(request.headers(), config)
        {
            let text = "this page's origin is not in allowed_origins\n";
            let why = format!("origin {origin:?} is not in allowed_origins");
            return Err(self.refuse(refused("origin"), StatusCode::FORBIDDEN, text, &why));
        }
        let ext = verify(request, config).map_err(|error| {
            if !client.is_loopback() {
                self.failures.count(client, now);
            }
            self.refuse(refused(error.reason()), StatusCode::UNAUTHORIZED, "bad token\n", &error)
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
        let places = (place, self.place_behind_proxy(peer, client, config, now)?);
        let (response, accepted) = upgrade.accept(None);
        let (config, exchange) = (config.clone(), self.exchange.clone());
        self.phones.spawn(serve(accepted, ext, client, config, exchange, places));
        Ok(response)
    }

    /// Refuses a request, closes its connection, and says so in the log, unless it was said often
    /// enough about this address.
    fn refuse(
        &self,
        refused: Refused,
        status: StatusCode,
        text: &'static str,
        why: &dyn std::fmt::Display,
    ) -> Refusal {
        let Refused { client, reason, now } = refused;
        self.exchange.metrics.login_failed(reason);
        match self.complaints.count(client, now) {
            1..COMPLAINTS => warn!(address = %client, reason, "login refused: {why}"),
            COMPLAINTS => warn!(
                address = %client, reason,
                "login refused: {why}; further refusals of this address are only counted for a while"
            ),
            _ => {}
        }
        let mut response = answer(status, text);
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        Box::new(response)
    }

    fn place_behind_proxy(
        &self,
        peer: IpAddr,
        client: IpAddr,
        config: &Config,
        now: Instant,
    ) -> Result<Option<Place>, Refusal> {
        if client == peer {
            return Ok(None); // counted when it was accepted
        }
        let limit = config.limits.connections_per_address;
        match self.connections.enter_behind_proxy(client, limit) {
            Ok(place) => Ok(Some(place)),
            Err(full) => {
                let refused = Refused { client, reason: full.as_str(), now };
                let text = "too many connections\n";
                Err(self.refuse(refused, StatusCode::TOO_MANY_REQUESTS, text, &text.trim()))
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

fn verify(request: &Request<Incoming>, config: &Config) -> Result<Extension, TokenError> {
    let token = token(request).ok_or(TokenError::Missing)?;
    let claims = config.tokens.verifier.verify(&token)?;
    Extension::parse(&claims.ext).ok_or(TokenError::BadExtension)
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
