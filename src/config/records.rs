//! Reads what is kept of calls and who may ask for it: `state_dir`, `call_table`, `api_tokens`.
//!
//! No message repeats a token or a password.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use aws_lc_rs::digest::{SHA256, digest};

use super::{
    item::Item,
    json::Section,
    webhooks::{self, Webhook},
};
use crate::net::tls;

/// Where it is under systemd, and where it is used without being named if it is there.
const USUAL_STATE_DIR: &str = "/var/lib/goastgateway";
/// How systemd names the unit's StateDirectory=.
const STATE_DIRECTORY: &str = "STATE_DIRECTORY";
const TABLE_KEYS: &[&str] = &["retain_days", "postgres", "ca_file"];
const TABLE_EXAMPLE: &str = r#"{"retain_days": 90}"#;
const RETAIN_DAYS: u32 = 90;
const MOST_RETAIN_DAYS: u32 = 3650;
const DAY: Duration = Duration::from_secs(24 * 3600);
/// Fewer can be guessed: 24 characters of base64 are 144 bits.
const SHORTEST_TOKEN: usize = 24;
/// How a token is written whose text shall not stand in the file.
const HASHED: &str = "sha256:";

/// What is kept of calls, and who may ask for it.
#[derive(Debug, Clone)]
pub struct RecordSettings {
    /// What has to outlive the process; without it nothing is kept and no webhook is called.
    pub state_dir: Option<PathBuf>,
    pub table: TableSettings,
    pub webhooks: Vec<Webhook>,
    /// Who may use the API; empty: nobody.
    pub api_tokens: Vec<ApiToken>,
}

#[derive(Debug, Clone)]
pub struct TableSettings {
    pub retain: Duration,
    pub postgres: Option<PostgresSettings>,
}

/// Where PostgreSQL is.
#[derive(Debug, Clone)]
pub struct PostgresSettings {
    /// Its `Debug` shows no password.
    pub login: tokio_postgres::Config,
    /// `None` speaks in the clear.
    pub tls: Option<Arc<rustls::ClientConfig>>,
}

impl PartialEq for PostgresSettings {
    /// Whether both mean the same database; certificates aside.
    fn eq(&self, other: &Self) -> bool {
        self.login == other.login && self.tls.is_some() == other.tls.is_some()
    }
}

/// A token, as its SHA-256.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiToken([u8; 32]);

impl ApiToken {
    /// Whether this is the token; the time it takes tells nothing.
    pub fn is(&self, token: &str) -> bool {
        aws_lc_rs::constant_time::verify_slices_are_equal(&self.0, &hash(token)).is_ok()
    }
}

impl std::fmt::Debug for ApiToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ApiToken(…)")
    }
}

fn hash(text: &str) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, text.as_bytes()).as_ref());
    hash
}

pub(super) fn read(section: &Section) -> Option<RecordSettings> {
    let state_dir = state_dir(section);
    let table = match section.get("call_table") {
        Some(item) => table(item),
        None => Some(TableSettings { retain: DAY * RETAIN_DAYS, postgres: None }),
    };
    let webhooks = section.get("webhooks").map_or(Some(Vec::new()), webhooks::read);
    let api_tokens = section.get("api_tokens").map_or(Some(Vec::new()), tokens);
    let settings = RecordSettings {
        state_dir: state_dir?,
        table: table?,
        webhooks: webhooks?,
        api_tokens: api_tokens?,
    };
    if settings.state_dir.is_none() {
        let homeless = [
            ("webhooks", !settings.webhooks.is_empty()),
            ("call_table", settings.table.postgres.is_some()),
        ];
        for (key, _) in homeless.into_iter().filter(|(_, wanted)| *wanted) {
            section.problem(
                key,
                "there is no folder to keep what waits",
                &format!("write \"state_dir\": \"{USUAL_STATE_DIR}\", or create that folder"),
            );
        }
    }
    Some(settings)
}

/// `Some(None)` where nothing is to be kept.
fn state_dir(section: &Section) -> Option<Option<PathBuf>> {
    let Some(item) = section.get("state_dir") else { return Some(usual_state_dir()) };
    let text = item.text(USUAL_STATE_DIR)?;
    if text.is_empty() {
        return Some(None);
    }
    if !Path::new(text).is_absolute() {
        item.problem("isn't a whole path", &format!("write for example \"{USUAL_STATE_DIR}\""));
        return None;
    }
    Some(Some(PathBuf::from(text)))
}

/// What nobody named is used where somebody has made it: systemd, or the administrator.
fn usual_state_dir() -> Option<PathBuf> {
    let of_systemd = std::env::var(STATE_DIRECTORY).ok();
    let first = of_systemd.as_deref().and_then(|paths| paths.split(':').next());
    match first {
        Some(path) if Path::new(path).is_absolute() => Some(PathBuf::from(path)),
        _ => Some(PathBuf::from(USUAL_STATE_DIR)).filter(|path| path.is_dir()),
    }
}

fn table(item: &Item) -> Option<TableSettings> {
    let section = Section::new(item.sheet, item.object(TABLE_EXAMPLE)?, TABLE_KEYS);
    let days = match section.get("retain_days") {
        Some(days) => days.whole(1..=MOST_RETAIN_DAYS, RETAIN_DAYS),
        None => Some(RETAIN_DAYS),
    };
    let ca = section.get("ca_file");
    let postgres = match section.get("postgres") {
        Some(login) => Some(postgres(login, ca)?),
        None => {
            if let Some(ca) = ca {
                ca.warning("is not used without \"postgres\"");
            }
            None
        }
    };
    Some(TableSettings { retain: DAY * days?, postgres })
}

fn postgres(item: &Item, ca: Option<&Item>) -> Option<PostgresSettings> {
    const EXAMPLE: &str = "postgresql://goastgateway:PASSWORD@db.example/calls";
    let text = item.text(EXAMPLE)?;
    let login = match text.parse::<tokio_postgres::Config>() {
        Ok(login) if !login.get_hosts().is_empty() => login,
        // The parser's own message may repeat the text.
        _ => {
            item.problem("isn't where PostgreSQL is", &format!("write \"{EXAMPLE}\""));
            return None;
        }
    };
    let tls = match ca {
        Some(ca) => Some(trust(ca)?),
        None => None,
    };
    if tls.is_none() && login.get_ssl_mode() == tokio_postgres::config::SslMode::Require {
        item.problem(
            "wants TLS and has nobody to trust",
            "write \"ca_file\": the authority that signed the server's certificate",
        );
        return None;
    }
    Some(PostgresSettings { login, tls })
}

/// Trusts the authorities of the file that an item names.
pub(super) fn trust(ca: &Item) -> Option<Arc<rustls::ClientConfig>> {
    let path = ca.text("/etc/ssl/certs/ca.pem")?;
    match tls::client_config(Path::new(path)) {
        Ok(config) => Some(config),
        Err(error) => {
            let remedy = "write a PEM file with the authority's certificate";
            ca.problem(&format!("{path}: {error}"), remedy);
            None
        }
    }
}

fn tokens(item: &Item) -> Option<Vec<ApiToken>> {
    const MAKE_ONE: &str = "write the output of: openssl rand -hex 32";
    let words = item.words("the output of: openssl rand -hex 32");
    let complete = item.value.as_array().is_some_and(|list| list.elements.len() == words.len());
    let mut tokens = Vec::new();
    for word in &words {
        let text = word.text.trim();
        let token = match text.strip_prefix(HASHED) {
            Some(hex) => from_hex(hex).ok_or((
                "a \"sha256:\" without 64 digits of hexadecimal",
                "write sha256: and the output of: printf %s TOKEN | sha256sum",
            )),
            None if text.len() < SHORTEST_TOKEN => {
                Err(("a token that is short enough to be guessed", MAKE_ONE))
            }
            None if !text.bytes().all(|b| b.is_ascii_graphic()) => {
                Err(("a token that doesn't fit into a header", MAKE_ONE))
            }
            None => Ok(hash(text)),
        };
        match token {
            Ok(hash) => tokens.push(ApiToken(hash)),
            Err((what, remedy)) => item.sheet.problem(word.line, item.key, what, remedy),
        }
    }
    (complete && tokens.len() == words.len()).then_some(tokens)
}

fn from_hex(text: &str) -> Option<[u8; 32]> {
    let digits = text.trim().as_bytes();
    if digits.len() != 64 {
        return None;
    }
    let mut hash = [0; 32];
    for (byte, pair) in hash.iter_mut().zip(digits.chunks(2)) {
        let pair = std::str::from_utf8(pair).ok().filter(|p| !p.starts_with('+'))?;
        *byte = u8::from_str_radix(pair, 16).ok()?;
    }
    Some(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_known_by_its_hash_alone() {
        let token = "0123456789abcdef0123456789abcdef";
        let known = ApiToken(hash(token));
        assert!(known.is(token) && !known.is("") && !known.is(&token[1..]));
        let hex: String = known.0.iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(from_hex(&hex), Some(known.0));
        for bad in ["", "00", &"+1".repeat(32), &"zz".repeat(32), &"日".repeat(32)] {
            assert_eq!(from_hex(bad), None, "{bad}");
        }
        assert!(!format!("{known:?}").contains(&hex[..8]));
    }
}
