//! The list of hosts to which events may send audio.

use hyper::Uri;

/// Hosts that may be connected to: `consumer.example`, `consumer.example:8080`, `*.example`,
/// `[::1]:8080`, or `*`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Servers(Vec<Server>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Server {
    host: Host,
    /// `None`: any.
    port: Option<u16>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Host {
    Any,
    /// With its dot: `.example`.
    Below(String),
    Is(String),
}

impl Servers {
    /// Adds an entry; the error says what is wrong with it.
    pub fn add(&mut self, text: &str) -> Result<(), &'static str> {
        let text = text.trim().to_ascii_lowercase();
        if text.contains("//") {
            return Err("is a URL, not a host");
        }
        let (host, port) = match text.rsplit_once(':') {
            // The last part of an IPv6 address is no port.
            Some((host, port)) if !host.contains(':') || host.ends_with(']') => {
                let port = port.parse().map_err(|_| "has no port behind the colon")?;
                (host, Some(port))
            }
            _ => (text.as_str(), None),
        };
        let host = match host {
            "*" => Host::Any,
            host => match host.strip_prefix('*') {
                Some(domain) if domain.starts_with('.') && is_name(&domain[1..]) => {
                    Host::Below(domain.to_owned())
                }
                Some(_) => return Err("has a * that is no whole label"),
                None if is_name(host) || is_v6(host) => Host::Is(bare(host).to_owned()),
                None => return Err("is no host"),
            },
        };
        self.0.push(Server { host, port });
        Ok(())
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether everybody may be connected to.
    pub fn has_any(&self) -> bool {
        self.0.iter().any(|server| server.host == Host::Any)
    }

    /// Whether a consumer's URL leads to one of them. What is filled into a URL may not be its
    /// host: it comes from whoever calls.
    pub fn admit(&self, url: &str) -> bool {
        let rest = url.trim().split_once("://").map_or("", |(_, rest)| rest);
        let authority = rest.split(['/', '?', '#', '\\']).next().unwrap_or_default();
        if authority.contains(['{', '}', '@', '%']) {
            return false;
        }
        // The same reading as that of whoever connects.
        let Ok(uri) = url.trim().replace(['{', '}'], "_").parse::<Uri>() else { return false };
        let (Some(host), Some(scheme)) = (uri.host(), uri.scheme_str()) else { return false };
        let host = bare(host).to_ascii_lowercase();
        let usual = if scheme.eq_ignore_ascii_case("wss") { 443 } else { 80 };
        let port = uri.port_u16().unwrap_or(usual);
        self.0.iter().any(|server| {
            server.port.is_none_or(|wanted| wanted == port)
                && match &server.host {
                    Host::Any => true,
                    Host::Below(domain) => host.len() > domain.len() && host.ends_with(domain),
                    Host::Is(name) => *name == host,
                }
        })
    }
}

fn bare(host: &str) -> &str {
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

fn is_name(host: &str) -> bool {
    (1..=253).contains(&host.len())
        && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b))
        && !host.starts_with('.')
}

fn is_v6(host: &str) -> bool {
    bare(host).parse::<std::net::Ipv6Addr>().is_ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn servers(list: &[&str]) -> Servers {
        let mut servers = Servers::default();
        for text in list {
            servers.add(text).unwrap_or_else(|what| panic!("{text} {what}"));
        }
        servers
    }

    #[test]
    fn a_url_leads_to_who_is_on_the_list_and_to_nobody_else() {
        let list = servers(&["consumer.example", "127.0.0.1:8080", "*.audio.example", "[::1]:9"]);
        for url in [
            "ws://consumer.example/in",
            "wss://CONSUMER.example:4443/{id}?x={from}",
            "ws://127.0.0.1:8080/",
            "ws://a.b.audio.example",
            "ws://[::1]:9/",
        ] {
            assert!(list.admit(url), "{url}");
        }
        for url in [
            "ws://127.0.0.1/",
            "ws://127.0.0.1:22/",
            "ws://[::1]/",
            "ws://audio.example/",
            "ws://notaudio.example/",
            "ws://consumer.example.evil.example/",
            "ws://evil.example/consumer.example",
            "ws://evil.example?consumer.example",
            "ws://evil.example#@consumer.example",
            "ws://consumer.example@evil.example/",
            "ws://evil.example\\@consumer.example/",
            "ws://{to}/",
            "ws://{to}.audio.example/",
            "ws://169.254.169.254/latest",
            "consumer.example",
            "",
        ] {
            assert!(!list.admit(url), "{url}");
        }
        assert!(!Servers::default().admit("ws://consumer.example/"));
        assert!(servers(&["*"]).admit("ws://anybody.example:1/"));
    }

    #[test]
    fn an_entry_that_is_no_host_is_told() {
        for text in ["", "ws://h/", "h:x", "h:99999", "*x.example", "a b", "h/", ".example", "*."] {
            assert!(Servers::default().add(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_admitted_or_not(entry in any::<String>(), url in any::<String>()) {
            let mut servers = Servers::default();
            let _ = servers.add(&entry);
            let _ = servers.admit(&url);
        }
    }
}
