//! The phone page and its modules, from the binary itself.

use std::{
    borrow::Cow,
    collections::HashMap,
    io::Write as _,
    sync::{LazyLock, Mutex, PoisonError},
};

use flate2::{Compression, write::GzEncoder};
use hyper::{
    HeaderMap, Method, Response, StatusCode,
    body::Bytes,
    header::{
        ACCEPT_ENCODING, ACCESS_CONTROL_ALLOW_ORIGIN, ALLOW, CACHE_CONTROL, CONTENT_ENCODING,
        CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, HeaderName, HeaderValue, IF_NONE_MATCH,
        REFERRER_POLICY, VARY, X_CONTENT_TYPE_OPTIONS,
    },
};
use rust_embed::{EmbeddedFile, RustEmbed};

use crate::net::upgrade::{Body, answer};

#[derive(RustEmbed)]
#[folder = "web/"]
struct Web;

/// Nothing from elsewhere, nothing inline; only our own pages may frame it.
const POLICY: &str = "default-src 'self'; connect-src 'self'; style-src 'self'; \
    script-src 'self'; worker-src 'self'; img-src 'self' data:; media-src 'self' blob:; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'self'";

/// The ready-made phone for a frame in somebody else's page.
pub const FRAME: &str = "/frame.html";
/// Where its page names the origins that it listens to.
const FRAME_ORIGINS: &str = "ORIGINS";

/// What pages of other origins may load, such as a CRM that imports the SDK from here. It is the same
/// for everybody and needs no token; what a page may *do* is up to its origin and token at `/phone`.
const SDK: &str = "sdk/";
const CROSS_ORIGIN_RESOURCE_POLICY: HeaderName =
    HeaderName::from_static("cross-origin-resource-policy");

/// Answers a request for the frame's page, which pages of these origins, and no others, may frame
/// and work.
pub fn frame(method: &Method, origins: &[String]) -> Response<Body> {
    if let Some(response) = not_read(method) {
        return response;
    }
    let origins = origins.join(" ");
    let policy = POLICY.replace("frame-ancestors 'self'", &format!("frame-ancestors {origins}"));
    let file = Web::get(FRAME.trim_start_matches('/'));
    let page = file.and_then(|file| String::from_utf8(file.data.into_owned()).ok());
    let (Some(page), Ok(policy), false) =
        (page, HeaderValue::from_str(&policy), origins.is_empty())
    else {
        let text = "no page may frame this phone: \"frame_origins\" names none\n";
        return answer(StatusCode::NOT_FOUND, text);
    };
    // An origin of the configuration holds no character that means anything in HTML.
    let body =
        if method == Method::HEAD { String::new() } else { page.replace(FRAME_ORIGINS, &origins) };
    let mut response = Response::new(Body::from(Bytes::from(body)));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    // A reload of the configuration may have changed who is named.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(CONTENT_SECURITY_POLICY, policy);
    response
}

fn not_read(method: &Method) -> Option<Response<Body>> {
    if method == Method::GET || method == Method::HEAD {
        return None;
    }
    let mut response = answer(StatusCode::METHOD_NOT_ALLOWED, "GET or HEAD\n");
    response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    Some(response)
}

/// Answers a request for a page.
pub fn page(method: &Method, path: &str, headers: &HeaderMap) -> Response<Body> {
    if let Some(response) = not_read(method) {
        return response;
    }
    let name = match path.trim_start_matches('/') {
        "" => "index.html",
        name => name,
    };
    let Some(file) = Web::get(name) else {
        return answer(StatusCode::NOT_FOUND, "no such page; the phone is at /\n");
    };
    let zip = takes_gzip(headers) && !name.ends_with(".png");
    let etag = etag(&file, zip);
    let fresh = headers.get(IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == etag.as_bytes());
    let mut response = if fresh {
        let mut response = Response::new(Body::default());
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        response
    } else if method == Method::HEAD {
        Response::new(Body::default())
    } else {
        Response::new(Body::from(match file.data {
            data if zip => zipped(&etag, &data),
            Cow::Borrowed(data) => Bytes::from_static(data),
            Cow::Owned(data) => Bytes::from(data),
        }))
    };
    let headers = response.headers_mut();
    headers.insert(VARY, HeaderValue::from_static("accept-encoding"));
    if zip {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type(name)));
    // Always asked anew, mostly answered by 304: a new binary means a new page at once.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    if name.starts_with(SDK) {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        headers.insert(CROSS_ORIGIN_RESOURCE_POLICY, HeaderValue::from_static("cross-origin"));
    }
    if let Ok(etag) = HeaderValue::from_str(&etag) {
        headers.insert(ETAG, etag);
    }
    response
}

/// Of what is sent: a file's two forms are told apart by it (RFC 9110, 8.8.3.3).
fn etag(file: &EmbeddedFile, zip: bool) -> String {
    let mut etag = String::from("\"");
    for byte in &file.metadata.sha256_hash()[..12] {
        etag.push_str(&format!("{byte:02x}"));
    }
    etag.push_str(if zip { "-gzip\"" } else { "\"" });
    etag
}

fn takes_gzip(headers: &HeaderMap) -> bool {
    let takes = |coding: &str| {
        let mut parts = coding.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default();
        let refused = |q: &str| q.strip_prefix("q=").and_then(|q| q.parse().ok()) == Some(0.0_f32);
        name.eq_ignore_ascii_case("gzip") && !parts.any(refused)
    };
    let values = headers.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(takes)
}

/// A file of ours, zipped when it is first asked for: there are no more than are in the binary.
fn zipped(etag: &str, data: &[u8]) -> Bytes {
    static ZIPPED: LazyLock<Mutex<HashMap<String, Bytes>>> = LazyLock::new(Mutex::default);
    let mut known = ZIPPED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(zipped) = known.get(etag) {
        return zipped.clone();
    }
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    let zipped = encoder.write_all(data).and_then(|()| encoder.finish());
    // Writing into memory doesn't fail; if it did, an empty page would be seen at once.
    let zipped = Bytes::from(zipped.unwrap_or_default());
    known.insert(etag.to_owned(), zipped.clone());
    zipped
}

fn content_type(name: &str) -> &'static str {
    match name.rsplit_once('.').map(|(_, ext)| ext) {
        Some("html") => "text/html; charset=utf-8",
        Some("js" | "mjs") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("json" | "webmanifest") => "application/json",
        Some("ts") => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use futures_util::FutureExt as _;
    use http_body_util::BodyExt as _;

    use super::*;

    fn body(response: Response<Body>) -> Bytes {
        response.into_body().collect().now_or_never().unwrap().unwrap().to_bytes()
    }

    fn get(path: &str) -> Response<Body> {
        page(&Method::GET, path, &HeaderMap::new())
    }

    #[test]
    fn the_page_is_served_with_a_policy_and_revalidated_by_its_hash() {
        let response = get("/");
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()[CONTENT_TYPE], "text/html; charset=utf-8");
        assert!(response.headers().contains_key(CONTENT_SECURITY_POLICY));
        let mut headers = HeaderMap::new();
        headers.insert(IF_NONE_MATCH, response.headers()[ETAG].clone());
        assert_eq!(page(&Method::GET, "/", &headers).status(), StatusCode::NOT_MODIFIED);
    }

    #[test]
    fn who_takes_gzip_gets_it_and_keeps_it_apart_from_the_plain_form() {
        let asked = |path, encoding: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(encoding));
            page(&Method::GET, path, &headers)
        };
        let (plain, zipped) = (get("/app.js"), asked("/app.js", "br, gzip;q=0.8"));
        assert_eq!(zipped.headers()[CONTENT_ENCODING], "gzip");
        assert_eq!(zipped.headers()[VARY], "accept-encoding");
        assert_eq!(plain.headers()[VARY], "accept-encoding");
        assert_ne!(zipped.headers()[ETAG], plain.headers()[ETAG]);
        for encoding in ["identity", "br", "gzip;q=0", "gzip; q=0.000", "xgzip", ""] {
            let headers = asked("/app.js", encoding).headers().clone();
            assert!(!headers.contains_key(CONTENT_ENCODING), "{encoding}");
        }
        for again in [zipped, asked("/app.js", "GZIP")] {
            let sent = body(again);
            let mut opened = Vec::new();
            flate2::read::GzDecoder::new(&*sent).read_to_end(&mut opened).unwrap();
            assert_eq!(opened, Web::get("app.js").unwrap().data.as_ref());
            assert!(sent.len() * 2 < opened.len(), "{}", sent.len());
        }
    }

    #[test]
    fn pages_of_other_origins_may_load_the_sdk_and_nothing_else() {
        let sdk = get("/sdk/index.js");
        assert_eq!(sdk.headers()[ACCESS_CONTROL_ALLOW_ORIGIN], "*");
        assert_eq!(sdk.headers()[CONTENT_TYPE], "text/javascript; charset=utf-8");
        assert!(sdk.headers().contains_key(ETAG));
        assert!(!get("/app.js").headers().contains_key(ACCESS_CONTROL_ALLOW_ORIGIN));
        assert_eq!(get("/sdk/package.json").status(), StatusCode::OK, "asked why a login failed");
    }

    #[test]
    fn only_pages_that_are_named_may_frame_the_phone() {
        let origins = ["https://crm.example".to_owned(), "https://a.example:8443".to_owned()];
        let response = frame(&Method::GET, &origins);
        assert_eq!(response.status(), StatusCode::OK);
        let policy = response.headers()[CONTENT_SECURITY_POLICY].to_str().unwrap();
        assert!(policy.ends_with("frame-ancestors https://crm.example https://a.example:8443"));
        assert_eq!(frame(&Method::GET, &[]).status(), StatusCode::NOT_FOUND);
        assert_eq!(frame(&Method::POST, &origins).status(), StatusCode::METHOD_NOT_ALLOWED);
        let file = Web::get("frame.html").unwrap().data.into_owned();
        let file = String::from_utf8(file).unwrap();
        assert_eq!(file.matches(FRAME_ORIGINS).count(), 1, "the one place for the origins");
        for path in ["//frame.html", "/x/../frame.html"] {
            let other = get(path);
            let policy = other.headers().get(CONTENT_SECURITY_POLICY);
            assert!(policy.is_none_or(|p| p.to_str().unwrap().ends_with("frame-ancestors 'self'")));
        }
    }

    #[test]
    fn nothing_outside_the_page_is_served() {
        for path in ["/../Cargo.toml", "/..%2fCargo.toml", "//etc/passwd", "/sdk/../../src/lib.rs"]
        {
            assert_eq!(get(path).status(), StatusCode::NOT_FOUND, "{path}");
        }
        let post = page(&Method::POST, "/", &HeaderMap::new());
        assert_eq!(post.status(), StatusCode::METHOD_NOT_ALLOWED);
    }
}
