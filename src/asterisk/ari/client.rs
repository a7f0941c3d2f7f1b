//! One request to ARI, and the connection that events come by.
//!
//! Promises: every request has a deadline and a bounded answer; redirects aren't followed; the
//! password is in a header and in no log.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hyper::Uri;
use reqwest::{Client, redirect::Policy};
use serde::de::DeserializeOwned;

use super::{
    message::{Method, Request, refusal},
    steps::Outcome,
};
use crate::{
    config::AriSettings,
    net::dial::{self, DialError, Outgoing},
};

/// How long one request may take. Asterisk answers within milliseconds; one that lets a channel
/// connect to us waits for that.
pub const REQUEST_TIME: Duration = Duration::from_secs(5);
/// Longest answer: some 700 bytes for each of ten thousand channels.
const MAX_ANSWER: usize = 8 * 1024 * 1024;
/// Asterisk closes a connection that is idle for 15 s; one that is used again just then would lose
/// a request.
const IDLE_TIME: Duration = Duration::from_secs(5);
/// Longest event; a channel with its variables has a few kilobytes.
const MAX_EVENT: usize = 256 * 1024;

/// ARI, by its settings.
#[derive(Clone)]
pub struct Api {
    client: Client,
    settings: AriSettings,
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub body: String,
}

/// Why there is none.
#[derive(Debug, thiserror::Error)]
pub enum NoAnswer {
    #[error("can't connect: {0}")]
    Connect(String),
    #[error("no answer in time")]
    Time,
    #[error("the connection broke: {0}")]
    Lost(String),
    #[error("the answer is too long")]
    TooLong,
}

impl Api {
    pub fn new(settings: AriSettings) -> Result<Self, String> {
        let builder = Client::builder()
            .redirect(Policy::none())
            .no_proxy()
            .timeout(REQUEST_TIME)
            .pool_idle_timeout(IDLE_TIME);
        let built = match &settings.tls {
            Some(tls) => builder.tls_backend_preconfigured((**tls).clone()).build(),
            None => builder.build(),
        };
        let client = built.map_err(|error| why(&error))?;
        Ok(Self { client, settings })
    }

    /// Sends a request and gives its answer, whatever its status.
    pub async fn ask(&self, request: &Request) -> Result<Answer, NoAnswer> {
        let method = match request.method {
            Method::Get => reqwest::Method::GET,
            Method::Post => reqwest::Method::POST,
            Method::Delete => reqwest::Method::DELETE,
        };
        let url = format!("{}/ari{}", self.settings.url, request.path);
        let asked = self
            .client
            .request(method, url)
            .basic_auth(&self.settings.username, Some(self.settings.password.expose()));
        let mut answer = asked.send().await.map_err(no_answer)?;
        let status = answer.status().as_u16();
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(no_answer)? {
            if body.len() + chunk.len() > MAX_ANSWER {
                return Err(NoAnswer::TooLong);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Answer { status, body: String::from_utf8_lossy(&body).into_owned() })
    }

    /// What came of a request that is to do something.
    pub async fn order(&self, request: &Request) -> Outcome {
        match self.ask(request).await {
            Ok(answer) => answer.outcome(),
            // Nothing was sent, so nothing was done.
            Err(NoAnswer::Connect(why)) if request.method == Method::Post => Outcome::Refused(why),
            Err(_) => Outcome::Unknown,
        }
    }

    /// A list or a thing; `Ok(None)` where it isn't there.
    pub async fn get<T: DeserializeOwned>(&self, request: &Request) -> Result<Option<T>, String> {
        let answer = self.ask(request).await.map_err(|error| error.to_string())?;
        match answer.outcome() {
            Outcome::Done => serde_json::from_str(&answer.body)
                .map(Some)
                .map_err(|_| "an answer that isn't ARI's".to_owned()),
            Outcome::NotThere => Ok(None),
            Outcome::Refused(why) => Err(why),
            Outcome::Unknown => Err("no answer".to_owned()),
        }
    }

    /// The WebSocket by which Asterisk reports. Has no deadline of its own.
    pub async fn events(&self) -> Result<Outgoing, DialError> {
        let settings = &self.settings;
        let path = Request::events(&settings.app).path;
        let url = format!("ws{}/ari{path}", settings.url.strip_prefix("http").unwrap_or_default());
        let uri: Uri = url.parse().map_err(|_| DialError::Upgrade("not a URL"))?;
        let login = format!("{}:{}", settings.username, settings.password.expose());
        let header = ("authorization".to_owned(), format!("Basic {}", STANDARD.encode(login)));
        // The application is Asterisk's business, the subprotocol ours.
        dial::websocket(&uri, &[header], Some("ari"), settings.tls.clone(), MAX_EVENT).await
    }
}

impl Answer {
    fn outcome(&self) -> Outcome {
        match self.status {
            200..=299 => Outcome::Done,
            404 => Outcome::NotThere,
            401 | 403 => Outcome::Refused(
                "the login is refused: compare username and password with ari.conf, and read_only"
                    .to_owned(),
            ),
            status => match refusal(&self.body) {
                why if why.is_empty() => Outcome::Refused(format!("status {status}")),
                why => Outcome::Refused(why),
            },
        }
    }
}

fn no_answer(error: reqwest::Error) -> NoAnswer {
    if error.is_connect() {
        NoAnswer::Connect(why(&error))
    } else if error.is_timeout() {
        NoAnswer::Time
    } else {
        NoAnswer::Lost(why(&error))
    }
}

/// The innermost cause, without the URL.
fn why(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}
