//! Where browsers knock: `/phone` is the telephone, everything else the page.
//!
//! Order: address, failed logins, origin, token, upgrade. For a page that asks for
//! `goastgateway.v1` a refusal is a close code after the 101, since of a status it sees nothing; its
//! token may come as a subprotocol, or in its first message (`first`). The answers are 403 for an address or an
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
    header::{CONNECTION, HOST, HeaderValue, ORIGIN, RETRY_AFTER, SEC_WEBSOCKET_PROTOCOL},
};
use tokio_util::task::TaskTracker;
use tracing::warn;

use arc_swap::ArcSwap;

use super::{
    first::{self, TurnedAway},
    login::{self, Arrival},
    pages,
    token::{Claims, TokenError},
    v1::{
        BEARER, PROTOCOL, close,
        errors::{Code, Error},
    },
};
use crate::{
    call::Extension,
    config::Config,
    exchange::{Exchange, line::Places},
    net::{
        address,
        io::Io,
        limits::{Connections, Place, Tally},
        upgrade::{Accepted, Body, NotAnUpgrade, Upgrade, answer, is_upgrade, offers},
        wire::Wire,
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
    /// For logins, which are told the settings of their own moment.
    config: Arc<ArcSwap<Config>>,
    phones: TaskTracker,
    connections: Arc<Connections>,
    /// Failed logins of the last minute.
    failures: Arc<Tally>,
    /// Lines of the log about refusals.
    complaints: Arc<Tally>,
}

/// Who knocks, and when.
#[derive(Debug, Clone, Copy)]
pub struct Client {
    pub address: IpAddr,
    pub peer: IpAddr,
    pub now: Instant,
}

/// A refusal: as HTTP, and for a page that can't read that.
struct No {
    response: Refusal,
    away: Option<TurnedAway>,
}

impl PhoneDoor {
    pub fn new(
        exchange: Arc<Exchange>,
        phones: TaskTracker,
        connections: Arc<Connections>,
        config: Arc<ArcSwap<Config>>,
    ) -> Self {
        let failures = Arc::new(Tally::new(FAILURE_WINDOW));
        let complaints = Arc::new(Tally::new(COMPLAINT_WINDOW));
        Self { exchange, config, phones, connections, failures, complaints }
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
        let address = address::client(peer, &forwarded, &config.browser.trusted_proxies);
        let client = Client { address: address.unwrap_or(peer), peer, now };
        let is_phone = matches!(request.uri().path(), "/phone" | "/phone/");
        if !address.is_some_and(|address| config.browser.allowed.admits(address)) {
            let why = "not in allowed_browser_ips, or no address that the proxy names";
            self.complain(client, "address", &why);
            let no = No::forbidden("this address may not connect\n");
            return if is_phone { self.say_no(no, &mut request, place) } else { *no.response };
        }
        if !is_phone {
            let (method, path) = (request.method(), request.uri().path());
            if path == pages::FRAME {
                return pages::frame(method, &config.browser.frame_origins);
            }
            return pages::page(method, path, request.headers());
        }
        match self.admit(&request, client, config) {
            Ok(claims) => self
                .upgrade(&mut request, claims, client, config, place)
                .unwrap_or_else(|refusal| *refusal),
            Err(no) => self.say_no(no, &mut request, place),
        }
    }

    /// Whether a phone may come in, and who it is, if its token came with the request.
    fn admit(
        &self,
        request: &Request<Incoming>,
        client: Client,
        config: &Config,
    ) -> Result<Option<Claims>, No> {
        if self.exchange.is_draining() {
            let mut response = answer(StatusCode::SERVICE_UNAVAILABLE, "the gateway is stopping\n");
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("5"));
            return Err(No { response: Box::new(response), away: Some(TurnedAway::Draining) });
        }
        if self.too_many_failures(client) {
            let text = "too many failed logins; wait a minute\n";
            self.complain(client, "rate", &"too many failed logins in the last minute");
            let error = Error::new(Code::RateLimited, text.trim());
            let away = TurnedAway::With(error, close::TOO_MANY_FAILURES);
            let response = closing(StatusCode::TOO_MANY_REQUESTS, text);
            return Err(No { response, away: Some(away) });
        }
        // Only a page can open a WebSocket to us from elsewhere; a plain GET opens nothing, and a
        // page's own has no Origin.
        if is_upgrade(request.headers())
            && let Err(origin) = check_origin(request.headers(), config)
        {
            let why = format!("origin {origin:?} is not in allowed_origins");
            self.complain(client, "origin", &why);
            return Err(No::forbidden("this page's origin is not in allowed_origins\n"));
        }
        match token(request) {
            None if is_v1(request) => Ok(None),
            token => verify(token.as_deref(), config).map(Some).map_err(|error| {
                self.token_refused(&client, error);
                let response = closing(StatusCode::UNAUTHORIZED, "bad token\n");
                No { response, away: None }
            }),
        }
    }

    fn upgrade(
        &self,
        request: &mut Request<Incoming>,
        claims: Option<Claims>,
        client: Client,
        config: &Config,
        place: Arc<Place>,
    ) -> Result<Response<Body>, Refusal> {
        let is_v1 = is_v1(request);
        let upgrade = Upgrade::of(request).map_err(|why| {
            let (status, text) = match why {
                NotAnUpgrade::Plain => {
                    (StatusCode::UPGRADE_REQUIRED, "the token is good; /phone is a WebSocket\n")
                }
                NotAnUpgrade::Bad(why) => (StatusCode::BAD_REQUEST, why),
            };
            Box::new(answer(status, text))
        })?;
        let places: Places = Box::new((place, self.place_behind_proxy(client, config)?));
        let (response, accepted) = upgrade.accept(is_v1.then_some(PROTOCOL));
        if is_v1 {
            self.phones.spawn(first::serve(self.clone(), accepted, claims, client, places));
        } else if let Some(ext) = claims.and_then(|claims| Extension::parse(&claims.ext)) {
            self.phones.spawn(self.clone().serve_plain(accepted, ext, client, places));
        }
        Ok(response)
    }

    /// A phone that may come in.
    pub(super) fn arrival(
        &self,
        wire: Wire<Io>,
        places: Places,
        ext: Extension,
        remote: IpAddr,
    ) -> Arrival {
        let (exchange, tasks) = (self.exchange(), self.phones.clone());
        Arrival { wire, places, ext, remote, exchange, tasks }
    }

    async fn serve_plain(self, accepted: Accepted, ext: Extension, client: Client, places: Places) {
        let max_message = self.config().limits.phone_message;
        let Some(wire) = accepted.wire(max_message).await else { return };
        let duplicate = self.config().calls.duplicate_login;
        let arrival = self.arrival(wire, places, ext, client.address);
        drop(self);
        login::serve_plain(arrival, duplicate).await;
    }

    /// Says no: to a page that asks for `goastgateway.v1`, in a way that it can read.
    fn say_no(&self, no: No, request: &mut Request<Incoming>, place: Arc<Place>) -> Response<Body> {
        let No { response, away } = no;
        if let (true, Some(away)) = (is_v1(request), away)
            && let Ok(upgrade) = Upgrade::of(request)
        {
            let (response, accepted) = upgrade.accept(Some(PROTOCOL));
            self.phones.spawn(first::turn_away(accepted, away, Box::new(place)));
            return response;
        }
        *response
    }

    /// The settings of this moment.
    pub fn config(&self) -> arc_swap::Guard<Arc<Config>> {
        self.config.load()
    }

    pub fn shared_config(&self) -> Arc<ArcSwap<Config>> {
        self.config.clone()
    }

    pub fn exchange(&self) -> Arc<Exchange> {
        self.exchange.clone()
    }

    fn too_many_failures(&self, client: Client) -> bool {
        let failures = self.failures.of(client.address, client.now);
        failures >= self.config().limits.login_failures_per_minute
    }

    /// Counts a token that was refused; true if this address has had too many before.
    pub fn token_refused(&self, client: &Client, error: TokenError) -> bool {
        let too_many = self.too_many_failures(*client);
        if !client.address.is_loopback() {
            self.failures.count(client.address, client.now);
        }
        self.complain(*client, error.reason(), &error);
        too_many
    }

    /// Says in the log why somebody was refused, unless it was said often enough about this
    /// address.
    fn complain(&self, client: Client, reason: &'static str, why: &dyn std::fmt::Display) {
        let Client { address, now, .. } = client;
        self.exchange.metrics.login_failed(reason);
        match self.complaints.count(address, now) {
            1..COMPLAINTS => warn!(%address, reason, "login refused: {why}"),
            COMPLAINTS => warn!(
                %address, reason,
                "login refused: {why}; further refusals of this address are only counted for a while"
            ),
            _ => {}
        }
    }

    fn place_behind_proxy(
        &self,
        client: Client,
        config: &Config,
    ) -> Result<Option<Place>, Refusal> {
        if client.address == client.peer {
            return Ok(None); // counted when it was accepted
        }
        let limit = config.limits.connections_per_address;
        match self.connections.enter_behind_proxy(client.address, limit) {
            Ok(place) => Ok(Some(place)),
            Err(full) => {
                let text = "too many connections\n";
                self.complain(client, full.as_str(), &text.trim());
                Err(closing(StatusCode::TOO_MANY_REQUESTS, text))
            }
        }
    }
}

impl No {
    fn forbidden(text: &'static str) -> Self {
        let error = Error::new(Code::Forbidden, text.trim());
        let away = Some(TurnedAway::With(error, close::FORBIDDEN));
        Self { response: closing(StatusCode::FORBIDDEN, text), away }
    }
}

/// An answer that closes its connection.
fn closing(status: StatusCode, text: &'static str) -> Refusal {
    let mut response = answer(status, text);
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    Box::new(response)
}

/// Whether a phone of `goastgateway.v1` knocks.
fn is_v1(request: &Request<Incoming>) -> bool {
    is_upgrade(request.headers()) && offers(request.headers(), PROTOCOL)
}

fn verify(token: Option<&str>, config: &Config) -> Result<Claims, TokenError> {
    let claims = config.tokens.verifier.verify(token.ok_or(TokenError::Missing)?)?;
    Extension::parse(&claims.ext).ok_or(TokenError::BadExtension)?;
    Ok(claims)
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

/// The token that comes with a request: as a second subprotocol, or in the query string.
fn token(request: &Request<Incoming>) -> Option<String> {
    let values = request.headers().get_all(SEC_WEBSOCKET_PROTOCOL);
    let mut offered = values.iter().filter_map(|v| v.to_str().ok()).flat_map(|v| v.split(','));
    let bearer = offered.find_map(|value| value.trim().strip_prefix(BEARER));
    bearer.map(str::to_owned).or_else(|| query_token(request))
}

/// The token of the query string. The last of several counts for nobody: the first does.
fn query_token(request: &Request<Incoming>) -> Option<String> {
    let query = request.uri().query()?;
    query.split('&').find_map(|pair| {
        let value = pair.strip_prefix("token=")?;
        // A JWT has no character that needs %-encoding, but some clients encode all the same.
        let value = value.replace("%2E", ".").replace("%2e", ".");
        (!value.is_empty()).then_some(value)
    })
}
