//! `goastgateway token`: a token, or a link that logs a browser in.
//!
//! The token stands in the link's fragment, which a browser keeps to itself: it reaches no server,
//! no proxy and no log.

use std::{net::IpAddr, time::Duration};

use crate::{
    config::{Config, ListenAddr},
    net::tls,
    phone::token::mint,
};

pub(super) const EXAMPLES: &str = "\
Examples:
  goastgateway token --ext 2001
  goastgateway token --ext 2001 --ttl 8h --url              https://NAME:8766/#token=…
  goastgateway token --ext 2001 --url pbx.example:8766

Whoever holds the token is that extension until it expires: treat it as a password.";

/// The token or the link, or what stands in the way.
pub(super) fn print(
    config: &Config,
    ext: &str,
    ttl: Duration,
    url: Option<&str>,
    now: u64,
) -> Result<String, String> {
    let secret = config.tokens.signing_secret.as_ref().ok_or(
        "\"jwt_secret\" is missing: with a public key alone tokens are made by whoever holds the \
         private one",
    )?;
    let token = mint(secret, ext, ttl, now).map_err(|error| error.to_string())?;
    Ok(match url {
        Some(host) => format!("{}/#token={token}", base(config, host)),
        None => token,
    })
}

/// Scheme, host and port by which a browser reaches the gateway.
fn base(config: &Config, host: &str) -> String {
    let addr = &config.browser.addr;
    let host = host.trim().trim_start_matches("https://").trim_end_matches('/');
    match (host, &config.browser.tls) {
        // Behind a proxy its name is ours, and its port the usual one.
        ("", None) => format!("http://{addr}"),
        (host, None) => format!("https://{}", bracketed(host)),
        ("", Some(tls)) => {
            let names = tls::certificate_facts(&tls.cert_file).map(|facts| facts.names);
            let names = names.unwrap_or_default();
            format!("https://{}:{}", own_name(addr, &names), addr.port())
        }
        (host, Some(_)) if has_port(host) => format!("https://{host}"),
        (host, Some(_)) => format!("https://{}:{}", bracketed(host), addr.port()),
    }
}

/// The name that a certificate lets a browser use; else an address; else this machine.
fn own_name(addr: &ListenAddr, names: &[String]) -> String {
    if let Some(name) = names.iter().find(|name| !name.starts_with('*')) {
        return bracketed(name);
    }
    match addr {
        ListenAddr::Socket(addr) if !addr.ip().is_unspecified() => {
            bracketed(&addr.ip().to_string())
        }
        _ => "localhost".to_owned(),
    }
}

fn bracketed(host: &str) -> String {
    match host.parse::<IpAddr>() {
        Ok(IpAddr::V6(v6)) => format!("[{v6}]"),
        _ => host.to_owned(),
    }
}

fn has_port(host: &str) -> bool {
    host.parse::<IpAddr>().is_err()
        && host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_comes_from_the_certificate_and_else_from_the_address() {
        let any = ListenAddr::AnyPort(8766);
        let here = ListenAddr::Socket("192.0.2.7:8766".parse().expect("an address"));
        let names = ["*.example".to_owned(), "gw.example".to_owned()];
        assert_eq!(own_name(&any, &names), "gw.example");
        assert_eq!(own_name(&any, &["::1".to_owned()]), "[::1]");
        assert_eq!(own_name(&here, &names[..1]), "192.0.2.7");
        assert_eq!(own_name(&any, &[]), "localhost");
    }

    #[test]
    fn a_port_is_told_from_an_ipv6_address() {
        assert!(has_port("pbx.example:443") && has_port("[::1]:443"));
        assert!(!has_port("pbx.example") && !has_port("::1") && !has_port("[::1]"));
    }
}
