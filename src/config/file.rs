//! Reads `goastgateway.json`: the reference's keys with the reference's meaning, and ours.
//!
//! A key that is absent, `null` or (for texts) empty has its default, as in Go.

use std::{fs, io, path::Path};

use tracing::level_filters::LevelFilter;

use super::{
    AsteriskSide, BrowserSide, CallSettings, Config, DuplicateLogin, ExtenPattern, FormatSetting,
    Groups, Limits, LogFormat, LogSettings, OriginList, check,
    item::Item,
    json::{MAX_FILE, Section, Sheet},
    origin, phones,
    problem::Findings,
    secrets,
    values::{addresses, choice, flag, listen, seconds, text, whole},
};

#[rustfmt::skip]
const KEYS: &[&str] = &[
    // The reference's.
    "asterisk_addr", "browser_addr", "asterisk_format", "extension_variable",
    "exten_search_pattern", "cert_file", "key_file", "allowed_asterisk_ips", "allowed_browser_ips",
    "allowed_origins", "jwt_secret", "log_level",
    // Ours.
    "jwt_secret_previous", "jwt_public_key_file", "jwt_algorithms", "jwt_leeway", "ring_timeout",
    "drain_timeout", "duplicate_login", "admin_addr", "log_format", "trusted_proxies",
    "browser_tls", "allow_missing_origin", "handshake_timeout", "first_message_timeout",
    "max_connections_per_address", "max_connections", "login_failures_per_minute",
    "max_phone_message", "max_asterisk_message",
    "resume_timeout", "call_waiting", "hold_music", "phone_variables", "caller_number_variable",
    "caller_name_variable", "frame_origins",
    "worker_threads", "ami", "ari", "dial", "state_dir", "call_table", "webhooks", "api_tokens",
    "streams", "recording", "audiofork",
];

/// Pages that may frame the phone. They are named in a header of the page, which a proxy cuts off at
/// some kilobytes.
const MAX_FRAME_ORIGINS: usize = 32;
const ASTERISK_ADDR: &str = "127.0.0.1:8765";
const BROWSER_ADDR: &str = ":8766";
const ADMIN_ADDR: &str = "127.0.0.1:8767";
const EXTENSION_VARIABLE: &str = "WS_EXTEN";
const EXTEN_SEARCH_PATTERN: &str = r"ws-ext-(\w+)";
/// More threads than this only pass calls around among themselves.
const MOST_USUAL_THREADS: usize = 4;

/// Reads a file of settings as text.
pub(super) fn read_text(path: &Path) -> io::Result<String> {
    if fs::metadata(path)?.len() > MAX_FILE as u64 {
        return Err(io::Error::other("too large for a file of settings"));
    }
    String::from_utf8(fs::read(path)?).map_err(|error| {
        let line = 1 + error.as_bytes()[..error.utf8_error().valid_up_to()]
            .iter()
            .filter(|b| **b == b'\n')
            .count();
        io::Error::new(io::ErrorKind::InvalidData, format!("line {line} isn't UTF-8"))
    })
}

/// Reads the settings, without groups; what is wrong goes to `findings`.
pub(super) fn read(path: &Path, findings: &Findings) -> Option<Config> {
    match read_text(path) {
        Ok(text) => parse(&Sheet::new(path, &text, findings)),
        Err(error) => {
            findings.problem(
                path,
                0,
                "",
                format!("the configuration can't be read ({error})"),
                "name the right file with -c, or make it readable for this user".to_owned(),
            );
            None
        }
    }
}

pub(super) fn parse(sheet: &Sheet) -> Option<Config> {
    let object = sheet.parse()?;
    let section = Section::new(sheet, &object, KEYS);
    let asterisk = asterisk(&section);
    let browser = browser(&section);
    let tokens = secrets::read(&section);
    let calls = calls(&section);
    let limits = limits(&section);
    let log = log(&section);
    let admin_addr = match section.get("admin_addr") {
        Some(item) if item.text(ADMIN_ADDR) == Some("") => Some(None),
        _ => listen(&section, "admin_addr", ADMIN_ADDR).map(Some),
    };
    let usual = std::thread::available_parallelism().map_or(1, |n| n.get().min(MOST_USUAL_THREADS));
    let worker_threads = whole(&section, "worker_threads", 1..=256, usual as u32);
    let records = super::records::read(&section);
    let ami = section.get("ami").map(super::ami::read);
    let ari = section.get("ari").map(super::ari::read);
    let dial = section.get("dial").map(super::dial::read);
    if section.get("dial").is_some() && section.get("ami").is_none() {
        section.warning("dial", "does nothing without \"ami\": Asterisk's manager dials");
    }
    let taps = super::taps::read(&section);
    let config = Config {
        asterisk: asterisk?,
        browser: browser?,
        tokens: tokens?,
        groups: Groups::new(),
        calls: calls?,
        limits: limits?,
        log: log?,
        admin_addr: admin_addr?,
        worker_threads: worker_threads? as usize,
        ami: match ami {
            Some(ami) => Some(ami?),
            None => None,
        },
        ari: match ari {
            Some(ari) => Some(ari?),
            None => None,
        },
        dial: match dial {
            Some(dial) => Some(dial?),
            None => None,
        },
        records: records?,
        taps,
    };
    clashes(&section, &config);
    Some(config)
}

fn asterisk(section: &Section) -> Option<AsteriskSide> {
    let addr = listen(section, "asterisk_addr", ASTERISK_ADDR);
    let allowed = addresses(section, "allowed_asterisk_ips", true);
    let format = choice(
        section,
        "asterisk_format",
        &[
            ("auto", FormatSetting::Auto),
            ("text", FormatSetting::Text),
            ("json", FormatSetting::Json),
        ],
    );
    let variable = text(section, "extension_variable", EXTENSION_VARIABLE);
    let pattern = text(section, "exten_search_pattern", EXTEN_SEARCH_PATTERN);
    let pattern = pattern.and_then(|pattern| {
        ExtenPattern::new(pattern)
            .inspect_err(|error| {
                section.problem(
                    "exten_search_pattern",
                    &error.to_string(),
                    r#"write for example "ws-ext-(\\w+)" instead (in JSON \ is written \\)"#,
                );
            })
            .ok()
    });
    let caller_number = phones::variable(section, "caller_number_variable");
    let caller_name = phones::variable(section, "caller_name_variable");
    let phone_variables = phones::variables(section);
    Some(AsteriskSide {
        addr: addr?,
        allowed,
        format: format?,
        extension_variable: variable?.to_owned(),
        caller_number_variable: caller_number?,
        caller_name_variable: caller_name?,
        phone_variables,
        exten_search_pattern: pattern?,
    })
}

fn browser(section: &Section) -> Option<BrowserSide> {
    let addr = listen(section, "browser_addr", BROWSER_ADDR);
    let allowed = addresses(section, "allowed_browser_ips", true);
    let trusted_proxies = addresses(section, "trusted_proxies", false);
    let origins = origins(section);
    let encrypted = flag(section, "browser_tls", true);
    let tls = match encrypted {
        Some(true) | None => check::tls(section).map(Some),
        Some(false) => {
            if addr.as_ref().is_some_and(|addr| !addr.is_loopback()) {
                section.problem(
                    "browser_tls",
                    "false would let logins cross the network in the clear",
                    "write \"browser_addr\": \"127.0.0.1:8766\" for a proxy on this machine, or \
                     remove browser_tls",
                );
            } else if trusted_proxies.0.is_empty() {
                section.warning(
                    "browser_tls",
                    "without \"trusted_proxies\": [\"127.0.0.1\"] every phone seems to come from \
                     the proxy",
                );
            }
            Some(None)
        }
    };
    let frame_origins = frame_origins(section);
    let origins = origins?;
    Some(BrowserSide { addr: addr?, allowed, trusted_proxies, origins, frame_origins, tls: tls? })
}

/// The pages that may frame the ready-made phone.
fn frame_origins(section: &Section) -> Vec<String> {
    let Some(item) = section.get("frame_origins") else { return Vec::new() };
    let origins = named_origins(section, item, "an empty list lets nobody frame it");
    if origins.len() > MAX_FRAME_ORIGINS {
        let text = format!("{} origins are more than fit in a header", origins.len());
        let remedy = format!("write at most {MAX_FRAME_ORIGINS}");
        section.sheet.problem(item.line, item.key, &text, &remedy);
    }
    origins
}

fn origins(section: &Section) -> Option<OriginList> {
    let allow_missing = flag(section, "allow_missing_origin", false);
    let item = section.get("allowed_origins");
    let named = |item| named_origins(section, item, "an empty list admits every page");
    let allowed = item.map(named).unwrap_or_default();
    if allowed.is_empty() {
        section.warning("allowed_origins", "no list: a page from anywhere may open a phone");
    }
    Some(OriginList { allowed, allow_missing: allow_missing? })
}

fn named_origins(section: &Section, item: &Item<'_, '_>, empty: &str) -> Vec<String> {
    const EXAMPLE: &str = "https://crm.example";
    let mut origins = Vec::new();
    for word in item.words(EXAMPLE) {
        match origin::normal(word.text) {
            Some(origin) => origins.push(origin),
            None => section.sheet.problem(
                word.line,
                item.key,
                &format!("\"{}\" isn't the origin of a page", word.text.escape_debug()),
                &format!(
                    "write scheme, host and port without a path, \"{EXAMPLE}\", instead ({empty})"
                ),
            ),
        }
    }
    origins
}

fn calls(section: &Section) -> Option<CallSettings> {
    let ring_timeout = seconds(section, "ring_timeout", 1.0..=3600.0, 60.0);
    let drain_timeout = seconds(section, "drain_timeout", 0.0..=86400.0, 300.0);
    let duplicate_login = choice(
        section,
        "duplicate_login",
        &[
            ("reject", DuplicateLogin::Reject),
            ("replace", DuplicateLogin::Replace),
            ("ring_all", DuplicateLogin::RingAll),
        ],
    );
    let phones = phones::read(section)?;
    Some(CallSettings {
        ring_timeout: ring_timeout?,
        drain_timeout: drain_timeout?,
        duplicate_login: duplicate_login?,
        resume_timeout: phones.resume_timeout,
        call_waiting: phones.call_waiting,
        hold_music: phones.hold_music,
    })
}

fn limits(section: &Section) -> Option<Limits> {
    let handshake_timeout = seconds(section, "handshake_timeout", 0.1..=120.0, 10.0);
    let first_message_timeout = seconds(section, "first_message_timeout", 0.1..=120.0, 5.0);
    let per_address = whole(section, "max_connections_per_address", 1..=1_000_000, 200);
    let connections = whole(section, "max_connections", 1..=1_000_000, 20_000);
    let failures = whole(section, "login_failures_per_minute", 1..=1_000_000, 20);
    let phone_message = whole(section, "max_phone_message", 640..=16_777_216, 65_500);
    let asterisk_message = whole(section, "max_asterisk_message", 65_536..=16_777_216, 262_144);
    Some(Limits {
        handshake_timeout: handshake_timeout?,
        first_message_timeout: first_message_timeout?,
        connections_per_address: per_address? as usize,
        connections: connections? as usize,
        login_failures_per_minute: failures?,
        phone_message: phone_message? as usize,
        asterisk_message: asterisk_message? as usize,
    })
}

fn log(section: &Section) -> Option<LogSettings> {
    let level = text(section, "log_level", "INFO").map(|level| {
        match level.trim().to_ascii_uppercase().as_str() {
            "DEBUG" => LevelFilter::DEBUG,
            "INFO" => LevelFilter::INFO,
            "WARN" | "WARNING" => LevelFilter::WARN,
            "ERROR" => LevelFilter::ERROR,
            other => {
                // The reference takes INFO for what it doesn't know: no reason not to start.
                section.warning(
                    "log_level",
                    &format!(
                        "\"{}\" isn't DEBUG, INFO, WARN or ERROR: INFO it is",
                        other.escape_debug()
                    ),
                );
                LevelFilter::INFO
            }
        }
    });
    let formats = [("text", LogFormat::Text), ("json", LogFormat::Json)];
    let format = choice(section, "log_format", &formats);
    Some(LogSettings { level: level?, format: format? })
}

fn clashes(section: &Section, config: &Config) {
    let admin = config.admin_addr.as_ref();
    if admin.is_some_and(|addr| !addr.is_loopback()) {
        section.warning("admin_addr", "asks for no password: let only the operator's machines in");
    }
    let pairs = [
        ("browser_addr", &config.browser.addr, Some(&config.asterisk.addr), "asterisk_addr"),
        ("admin_addr", &config.asterisk.addr, admin, "asterisk_addr"),
        ("admin_addr", &config.browser.addr, admin, "browser_addr"),
    ];
    for (key, one, other, name) in pairs {
        if other.is_some_and(|other| one.clashes(other)) {
            let what = format!("has the same port as {name}");
            section.problem(key, &what, "write another port instead");
        }
    }
}
