//! What lies on this machine: the files, the certificate, the secret, the ports, the groups.

use std::time::{Duration, SystemTime};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use super::{Check, judge};
use crate::{
    config::{Config, ListenAddr, Loaded},
    net::{listen, tls},
};

/// How long a port of this machine may take to say who it is.
const PORT_TIME: Duration = Duration::from_secs(2);

pub async fn look(loaded: &Loaded) -> Vec<Check> {
    let config = &loaded.config;
    let mut checks = Vec::new();
    for warning in &loaded.warnings {
        checks.push(Check::warning("configuration", warning, "see docs/configuration.md"));
    }
    if loaded.warnings.is_empty() {
        checks.push(Check::ok("configuration", "is read, without a warning"));
    }
    checks.push(certificate(config));
    checks.push(secret(config));
    checks.extend(groups(config));
    checks.push(port("asterisk_addr", Some(&config.asterisk.addr), Door::Asterisk).await);
    let browser = Door::Browser { tls: config.browser.tls.is_some() };
    checks.push(port("browser_addr", Some(&config.browser.addr), browser).await);
    checks.push(port("admin_addr", config.admin_addr.as_ref(), Door::Admin).await);
    checks
}

fn certificate(config: &Config) -> Check {
    const CHECK: &str = "certificate";
    let Some(identity) = &config.browser.tls else {
        return Check::ok(CHECK, "none: browsers come through a reverse proxy (browser_tls)");
    };
    let now = calendar();
    match tls::certificate_facts(&identity.cert_file) {
        Ok(facts) => judge::certificate(&facts, now),
        Err(error) => Check::fault(CHECK, error.to_string(), "write the right file into cert_file"),
    }
}

/// The calendar's time, which a certificate is judged by.
#[expect(clippy::disallowed_methods, reason = "dates that people read need the calendar")]
pub fn calendar() -> SystemTime {
    SystemTime::now()
}

fn secret(config: &Config) -> Check {
    match &config.tokens.signing_secret {
        Some(secret) => judge::secret(secret.expose()),
        None => Check::ok("token secret", "none: tokens are verified with a public key"),
    }
}

fn groups(config: &Config) -> Vec<Check> {
    const CHECK: &str = "groups";
    let nested: Vec<_> = config
        .groups
        .iter()
        .flat_map(|(name, group)| group.members.iter().map(move |member| (name, member)))
        .filter(|(_, member)| config.groups.contains_key(*member))
        .collect();
    if nested.is_empty() {
        return vec![Check::ok(CHECK, format!("{} of them", config.groups.len()))];
    }
    let says = |(name, member): &(&String, &String)| {
        Check::warning(
            CHECK,
            format!("{name} has the group {member} as a member, which rings nobody"),
            "name the phones of that group instead: groups are not nested",
        )
    };
    nested.iter().map(says).collect()
}

enum Door {
    Asterisk,
    Browser { tls: bool },
    Admin,
}

/// Whether an address is free, or taken by a gateway that runs.
async fn port(key: &'static str, addr: Option<&ListenAddr>, door: Door) -> Check {
    let Some(addr) = addr else { return Check::ok(key, "is turned off") };
    let error = match listen::bind(addr) {
        Ok(_) => return Check::ok(key, format!("{addr} is free (no gateway runs)")),
        Err(error) => error,
    };
    if error.kind() != std::io::ErrorKind::AddrInUse {
        let remedy = "write an address of this machine, and a port that its user may open";
        return Check::fault(key, format!("{addr} can't be listened on: {error}"), remedy);
    }
    let ours = timeout(PORT_TIME, greets_as(addr, &door)).await.unwrap_or(false);
    if ours {
        Check::ok(key, format!("{addr}: a gateway runs there"))
    } else {
        Check::fault(
            key,
            format!("{addr} is taken by another program"),
            format!("find it (ss -ltnp 'sport = :{}') and stop it, or change {key}", addr.port()),
        )
    }
}

/// Whether who listens at an address answers as the gateway does.
async fn greets_as(addr: &ListenAddr, door: &Door) -> bool {
    let stream = match addr {
        ListenAddr::Socket(socket) if !socket.ip().is_unspecified() => {
            TcpStream::connect(socket).await
        }
        _ => TcpStream::connect(("127.0.0.1", addr.port())).await,
    };
    let Ok(mut stream) = stream else { return false };
    let path = if matches!(door, Door::Admin) { "/healthz" } else { "/" };
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    if stream.write_all(request.as_bytes()).await.is_err() {
        return false;
    }
    let mut answer = Vec::new();
    let _ = stream.take(16 * 1024).read_to_end(&mut answer).await;
    let answer = String::from_utf8_lossy(&answer);
    match door {
        Door::Asterisk => answer.contains("chan_websocket"),
        Door::Admin => answer.ends_with("ok\n"),
        // Behind TLS it doesn't understand the request; another program's page would.
        Door::Browser { tls } => answer.starts_with("HTTP/") != *tls,
    }
}
