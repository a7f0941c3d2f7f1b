//! Which pages may open a phone.
//!
//! Scheme and host are compared without case and with the scheme's own port left out, since
//! browsers leave it out. The page that the gateway itself serves is always admitted: its origin
//! is the host that the request was sent to.

use super::OriginList;

impl OriginList {
    /// Whether a login may come from a page: `origin` and `host` are the request's headers.
    pub fn admits(&self, origin: Option<&str>, host: Option<&str>) -> bool {
        if self.allowed.is_empty() {
            return true;
        }
        let Some(origin) = origin.filter(|origin| !origin.is_empty()) else {
            return self.allow_missing;
        };
        let Some(origin) = normal(origin) else {
            return false;
        };
        self.allowed.contains(&origin) || host.is_some_and(|host| same(&origin, host))
    }
}

/// Whether an origin is the page of the host that was asked.
fn same(origin: &str, host: &str) -> bool {
    match origin.split_once("://") {
        Some((scheme @ ("https" | "http"), _)) => {
            normal(&format!("{scheme}://{host}")).as_deref() == Some(origin)
        }
        _ => false,
    }
}

/// `scheme://host[:port]` in small letters, without the scheme's own port and without a trailing
/// slash; `None` if it isn't an origin.
pub(super) fn normal(text: &str) -> Option<String> {
    let text = text.trim().to_ascii_lowercase();
    let (scheme, rest) = text.split_once("://")?;
    let authority = rest.strip_suffix('/').unwrap_or(rest);
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~:[]".contains(&b);
    if scheme.is_empty() || authority.is_empty() || !authority.bytes().all(plain) {
        return None;
    }
    if !scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b)) {
        return None;
    }
    let own_port = match scheme {
        "https" | "wss" => ":443",
        "http" | "ws" => ":80",
        _ => "\0",
    };
    let authority = authority.strip_suffix(own_port).unwrap_or(authority);
    (!authority.is_empty()).then(|| format!("{scheme}://{authority}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(allowed: &[&str], allow_missing: bool) -> OriginList {
        let allowed = allowed.iter().map(|origin| normal(origin).expect(origin)).collect();
        OriginList { allowed, allow_missing }
    }

    #[test]
    fn a_listed_page_is_admitted_however_it_is_written() {
        let list = list(&["https://CRM.example", "https://192.0.2.1:8766/", "http://a:80"], false);
        for origin in [
            "https://crm.example",
            "https://crm.example:443",
            "HTTPS://CRM.EXAMPLE",
            "https://192.0.2.1:8766",
            "http://a",
        ] {
            assert!(list.admits(Some(origin), None), "{origin}");
        }
    }

    #[test]
    fn a_page_that_only_looks_listed_is_refused() {
        let list = list(&["https://crm.example"], false);
        for origin in [
            "http://crm.example",
            "https://crm.example:8443",
            "https://crm.example.evil.test",
            "https://evil.test/https://crm.example",
            "https://crm.example@evil.test",
            "https://xcrm.example",
            "null",
            "https://",
            "crm.example",
        ] {
            assert!(!list.admits(Some(origin), Some("gateway:8766")), "{origin}");
        }
    }

    #[test]
    fn the_page_that_the_gateway_serves_is_admitted() {
        let list = list(&["https://crm.example"], false);
        assert!(list.admits(Some("https://Gateway:8766"), Some("gateway:8766")));
        assert!(list.admits(Some("https://gateway"), Some("gateway:443")));
        assert!(list.admits(Some("https://[::1]:8766"), Some("[::1]:8766")));
        assert!(!list.admits(Some("https://gateway"), Some("gateway:8766")));
        assert!(!list.admits(Some("null"), Some("null")));
    }

    #[test]
    fn a_missing_origin_is_refused_unless_it_is_allowed() {
        assert!(!list(&["https://a"], false).admits(None, Some("b")));
        assert!(!list(&["https://a"], false).admits(Some(""), Some("b")));
        assert!(list(&["https://a"], true).admits(None, Some("b")));
    }

    #[test]
    fn the_empty_list_admits_everyone() {
        assert!(list(&[], false).admits(None, None));
        assert!(list(&[], false).admits(Some("https://anything"), None));
    }
}
