//! Who may use the API, and how much: a token, a rate, and a bound on what is under way.

use std::{
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    Extension,
    extract::{Request, State},
    http::{HeaderMap, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use tokio::sync::Semaphore;

use super::problem::Problem;
use crate::{net::limits::Tally, report::Settings};

/// Requests of one address in a second: a dashboard for each of fifty people behind it.
const REQUESTS_PER_SECOND: u32 = 100;
/// Requests that are being answered at once; each may read the disk.
const AT_ONCE: usize = 32;
/// Bad tokens are counted by the minute, as those of phones are.
const MINUTE: Duration = Duration::from_secs(60);

/// Where a request comes from.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub IpAddr);

/// What stands before every request of the API.
#[derive(Clone)]
pub struct Guard(Arc<Inner>);

struct Inner {
    settings: Settings,
    requests: Tally,
    failures: Tally,
    under_way: Semaphore,
}

impl Guard {
    pub fn new(settings: Settings) -> Self {
        Self(Arc::new(Inner {
            settings,
            requests: Tally::new(Duration::from_secs(1)),
            failures: Tally::new(MINUTE),
            under_way: Semaphore::new(AT_ONCE),
        }))
    }

    fn admit(&self, address: IpAddr, headers: &HeaderMap, now: Instant) -> Result<(), Problem> {
        let config = self.0.settings.load();
        let tokens = &config.records.api_tokens;
        if tokens.is_empty() {
            return Err(Problem::off());
        }
        if self.0.requests.count(address, now) > REQUESTS_PER_SECOND {
            return Err(Problem::too_many(1));
        }
        // Programs on this machine can't lock each other out.
        let limited = !address.is_loopback();
        let most = config.limits.login_failures_per_minute;
        if limited && self.0.failures.of(address, now) >= most {
            return Err(Problem::too_many(MINUTE.as_secs() as u32));
        }
        let Some(token) = bearer(headers) else {
            return Err(Problem::unauthorized("there is no bearer token"));
        };
        // All of them, so that the time tells nothing.
        let known = tokens.iter().fold(false, |known, one| one.is(token) | known);
        if known {
            return Ok(());
        }
        self.0.failures.count(address, now);
        Err(Problem::unauthorized("the bearer token is none of the configuration's api_tokens"))
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}

/// Lets a request through, or says why not.
pub async fn guard(
    State(guard): State<Guard>,
    Extension(Peer(address)): Extension<Peer>,
    request: Request,
    next: Next,
) -> Response {
    let now = tokio::time::Instant::now().into_std();
    if let Err(problem) = guard.admit(address, request.headers(), now) {
        return problem.into_response();
    }
    let Ok(_permit) = guard.0.under_way.try_acquire() else {
        return Problem::unavailable("too many requests are under way", "try again")
            .into_response();
    };
    next.run(request).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_behind_the_word_bearer_in_any_case() {
        let headers = |value: &'static str| {
            HeaderMap::from_iter([(header::AUTHORIZATION, value.parse().unwrap())])
        };
        assert_eq!(bearer(&headers("Bearer abc")), Some("abc"));
        assert_eq!(bearer(&headers("bearer  abc")), Some("abc"));
        assert_eq!(bearer(&headers("Basic abc")), None);
        assert_eq!(bearer(&headers("Bearer")), None);
        assert_eq!(bearer(&HeaderMap::new()), None);
    }
}
