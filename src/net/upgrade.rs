//! From an HTTP request to a WebSocket: the checks of RFC 6455, the 101, and the stream behind it.
//!
//! The 101 carries what Asterisk's client accepts and nothing more: no extension header, no
//! subprotocol that wasn't asked for.

use aws_lc_rs::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY};
use base64::{Engine, engine::general_purpose::STANDARD};
use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode, Version,
    body::{Bytes, Incoming},
    header::{
        CONNECTION, HeaderMap, HeaderName, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY,
        SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
    },
    upgrade::OnUpgrade,
};
use hyper_util::rt::TokioIo;

use super::{io::Io, wire::Wire};

/// The body of every answer.
pub type Body = Full<Bytes>;

/// A request that is a WebSocket upgrade in order.
pub struct Upgrade {
    accept: String,
    on: OnUpgrade,
}

/// Why it isn't.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotAnUpgrade {
    /// No WebSocket was asked for.
    Plain,
    /// One was, in a way that RFC 6455 doesn't know.
    Bad(&'static str),
}

impl Upgrade {
    /// Checks a request.
    pub fn of(request: &mut Request<Incoming>) -> Result<Self, NotAnUpgrade> {
        let key = check(request.method(), request.version(), request.headers())?;
        let accept = accept_key(key.as_bytes());
        Ok(Self { accept, on: hyper::upgrade::on(request) })
    }

    /// The 101, and what to await behind it.
    pub fn accept(self, protocol: Option<&'static str>) -> (Response<Body>, Accepted) {
        let mut response = Response::new(Body::default());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        if let Ok(accept) = HeaderValue::from_str(&self.accept) {
            headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
        }
        if let Some(protocol) = protocol {
            headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(protocol));
        }
        (response, Accepted(self.on))
    }
}

/// A connection whose 101 is on its way.
pub struct Accepted(OnUpgrade);

impl Accepted {
    /// The WebSocket, once the 101 is out; `None` if the client left before that.
    pub async fn wire(self, max_message: usize) -> Option<Wire<Io>> {
        let upgraded = self.0.await.ok()?;
        // Back to the stream itself: hyper's wrapper would be one more hop on every read.
        let parts = upgraded.downcast::<TokioIo<Io>>().ok()?;
        // Copied: a reference to nothing in it would keep hyper's buffer for the phone's life.
        let rest = parts.read_buf.to_vec();
        Some(Wire::server(parts.io.into_inner(), rest, max_message))
    }
}

/// Whether this subprotocol is among those that the client offers.
pub fn offers(headers: &HeaderMap, protocol: &str) -> bool {
    has(headers, SEC_WEBSOCKET_PROTOCOL, protocol)
}

/// Whether a WebSocket is asked for, in whatever way.
pub fn is_upgrade(headers: &HeaderMap) -> bool {
    has(headers, UPGRADE, "websocket")
}

/// Whether a header that lists tokens holds this one.
fn has(headers: &HeaderMap, name: HeaderName, token: &str) -> bool {
    let values = headers.get_all(name);
    let mut tokens = values.iter().filter_map(|v| v.to_str().ok()).flat_map(|v| v.split(','));
    tokens.any(|value| value.trim().eq_ignore_ascii_case(token))
}

/// What answers `Sec-WebSocket-Key` (RFC 6455, 4.2.2): no secret, only a proof that a WebSocket was
/// understood.
pub(super) fn accept_key(key: &[u8]) -> String {
    let mut digest = Context::new(&SHA1_FOR_LEGACY_USE_ONLY);
    digest.update(key);
    digest.update(b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    STANDARD.encode(digest.finish())
}

fn check(
    method: &Method,
    version: Version,
    headers: &HeaderMap,
) -> Result<HeaderValue, NotAnUpgrade> {
    if !is_upgrade(headers) || !has(headers, CONNECTION, "upgrade") {
        return Err(NotAnUpgrade::Plain);
    }
    if method != Method::GET || version < Version::HTTP_11 {
        return Err(NotAnUpgrade::Bad("a WebSocket begins with GET and HTTP/1.1"));
    }
    if headers.get(SEC_WEBSOCKET_VERSION).is_none_or(|v| v != "13") {
        return Err(NotAnUpgrade::Bad("Sec-WebSocket-Version must be 13"));
    }
    match headers.get(SEC_WEBSOCKET_KEY) {
        // 16 bytes in base64. Asterisk's are half zeroes, so nothing is asked of their entropy.
        Some(key) if key.len() == 24 => Ok(key.clone()),
        _ => Err(NotAnUpgrade::Bad("Sec-WebSocket-Key must be 16 bytes in base64")),
    }
}

/// A short answer in plain text.
pub fn answer(status: StatusCode, text: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::from(Bytes::from_static(text.as_bytes())));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(hyper::header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asterisk() -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            (SEC_WEBSOCKET_VERSION, "13"),
            (UPGRADE, "websocket"),
            (CONNECTION, "Upgrade"),
            (SEC_WEBSOCKET_PROTOCOL, "media"),
            (SEC_WEBSOCKET_KEY, "fmWSBAAAAADmXu0gAAAAAA=="),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        headers
    }

    fn verdict(headers: &HeaderMap) -> Result<HeaderValue, NotAnUpgrade> {
        check(&Method::GET, Version::HTTP_11, headers)
    }

    #[test]
    fn asterisks_request_is_an_upgrade() {
        assert!(verdict(&asterisk()).is_ok());
        assert!(offers(&asterisk(), "media"));
        assert!(!offers(&asterisk(), "goastgateway.v1"));
    }

    #[test]
    fn a_token_list_in_connection_is_an_upgrade_as_firefox_sends_it() {
        let mut headers = asterisk();
        headers.insert(CONNECTION, HeaderValue::from_static("keep-alive, Upgrade"));
        assert!(verdict(&headers).is_ok());
    }

    #[test]
    fn what_is_no_upgrade_is_told_from_what_is_a_bad_one() {
        let mut headers = asterisk();
        headers.remove(UPGRADE);
        assert_eq!(verdict(&headers), Err(NotAnUpgrade::Plain));
        for (name, value) in [(SEC_WEBSOCKET_VERSION, "8"), (SEC_WEBSOCKET_KEY, "short")] {
            let mut headers = asterisk();
            headers.insert(name, HeaderValue::from_static(value));
            assert!(matches!(verdict(&headers), Err(NotAnUpgrade::Bad(_))));
        }
        let post = check(&Method::POST, Version::HTTP_11, &asterisk());
        assert!(matches!(post, Err(NotAnUpgrade::Bad(_))));
    }
}
