//! Reads `streams` and `recording`: who listens to calls, to which, and where recordings go.
//!
//! No message repeats a secret.

use std::{collections::BTreeMap, path::Path, path::PathBuf, sync::Arc};

use jsonc_parser::{ast::Value, common::Ranged};
use rustls::ClientConfig;

use super::{
    audiofork,
    item::Item,
    json::{Section, entries},
    values::{choice, text, whole},
};
use crate::{
    call::record::Direction,
    net::{dial, tls},
    tap::{
        Configured, Recordings, Settings,
        filter::{Filter, Pattern},
        recorder,
        spec::StreamForm,
        store::{Bucket, Place},
    },
};

/// Configured streams; each is a connection or three for every call.
const MAX_STREAMS: usize = 8;

const STREAM: &str = r#"{"format": "raw", "left": "ws://127.0.0.1:3031/left/{id}"}"#;
const STREAM_KEYS: &[&str] = &[
    "name",
    "format",
    "url",
    "left",
    "right",
    "mix",
    "rate",
    "channels",
    "tracks",
    "headers",
    "token",
    "protocol",
    "connect_timeout",
    "attempts",
    "parameters",
    "account",
    "auth_token",
    "product_type",
    "product_id",
    "account_id",
    "subaccount_id",
    "rc_account_id",
    "agents",
    "query",
    "ca_file",
    "cert_file",
    "key_file",
    "only",
];
const RECORDING: &str =
    r#"{"spool": "/var/lib/goastgateway/spool", "directory": "/var/lib/goastgateway/recordings"}"#;
const RECORDING_KEYS: &[&str] =
    &["when", "spool", "directory", "s3", "prefix", "min_free_mib", "only"];
const S3: &str = r#"{"bucket": "recordings", "region": "eu-central-1"}"#;
const S3_KEYS: &[&str] = &["bucket", "endpoint", "region"];
const ONLY: &str = r#"{"extension": ["20.*"], "direction": "in"}"#;
const ONLY_KEYS: &[&str] = &["extension", "group", "channel", "direction", "variable"];
const SPOOL: &str = "/var/lib/goastgateway/spool";
const REGION: &str = "us-east-1";
/// Half a day of one call; enough to notice in time.
const MIN_FREE_MIB: u32 = 512;

/// Everything that listens; what is wrong is left out, and told.
pub(super) fn read(section: &Section) -> Settings {
    let streams = section.get("streams").map(streams).unwrap_or_default();
    let recording = section.get("recording").and_then(recording);
    let audiofork = section.get("audiofork").and_then(|item| {
        if section.get("ami").is_none() {
            item.problem("needs the manager, who tells of events", "write \"ami\", too");
        }
        audiofork::read(item)
    });
    Settings { streams, recording, audiofork }
}

fn streams(item: &Item) -> Vec<Configured> {
    let Value::Array(list) = item.value else {
        item.problem("isn't a list", &format!("write a list of streams instead: [{STREAM}]"));
        return Vec::new();
    };
    if list.elements.len() > MAX_STREAMS {
        item.problem(
            &format!("has {} streams", list.elements.len()),
            &format!("write {MAX_STREAMS} at most"),
        );
    }
    let element = |value| Item {
        sheet: item.sheet,
        key: item.key,
        line: item.sheet.line(Ranged::range(value).start),
        value,
    };
    list.elements.iter().filter_map(|value| stream(&element(value))).collect()
}

fn stream(item: &Item) -> Option<Configured> {
    let section = Section::new(item.sheet, item.object(STREAM)?, STREAM_KEYS);
    let string = |key| text(&section, key, "").unwrap_or_default().to_owned();
    let number = |key, usual| section.get(key).and_then(|item| item.whole(0..=u32::MAX, usual));
    let secret = |key| section.get(key).and_then(|item| item.text("…")).map(str::to_owned);
    let form = StreamForm {
        name: string("name"),
        format: string("format"),
        url: string("url"),
        left: string("left"),
        right: string("right"),
        mix: string("mix"),
        rate: number("rate", 8_000),
        channels: string("channels"),
        tracks: string("tracks"),
        headers: texts(section.get("headers")),
        token: secret("token"),
        protocol: string("protocol"),
        connect_timeout: section
            .get("connect_timeout")
            .and_then(|item| item.seconds(0.1..=120.0, 15.0))
            .map(|time| time.as_secs_f64()),
        attempts: number("attempts", 3),
        parameters: texts(section.get("parameters")),
        account: string("account"),
        auth_token: secret("auth_token"),
        product_type: string("product_type"),
        product_id: number("product_id", 1).map(u64::from),
        account_id: string("account_id"),
        subaccount_id: string("subaccount_id"),
        rc_account_id: string("rc_account_id"),
        agents: agents(section.get("agents")),
        query: texts(section.get("query")),
        tls: String::new(),
    };
    let tls = certificates(&section);
    let only = filter(section.get("only"));
    match form.read(tls?) {
        Ok(spec) => Some(Configured { only: only?, spec: Arc::new(spec) }),
        Err(faults) => {
            for fault in faults {
                let line = section.get(fault.key).map_or(item.line, |item| item.line);
                item.sheet.problem(line, fault.key, &fault.what, &fault.remedy);
            }
            None
        }
    }
}

/// Whom a stream trusts and which certificate it shows; `None` after a problem.
pub(super) fn certificates(section: &Section) -> Option<Option<Arc<ClientConfig>>> {
    let file = |key| section.get(key).map(|item| (item, item.text("/etc/ssl/consumer.pem")));
    let path = |found: &Option<(&Item, Option<&str>)>| match found {
        None => Some(None),
        Some((_, path)) => path.map(|path| Some(PathBuf::from(path))),
    };
    let (ca, cert, key) = (file("ca_file"), file("cert_file"), file("key_file"));
    let (ca_path, cert_path, key_path) = (path(&ca)?, path(&cert)?, path(&key)?);
    let identity = match (cert_path, key_path) {
        (Some(cert), Some(key)) => Some((cert, key)),
        (None, None) => None,
        (Some(_), None) => {
            section.problem("cert_file", "has no key", "write \"key_file\", too");
            return None;
        }
        (None, Some(_)) => {
            section.problem("key_file", "has no certificate", "write \"cert_file\", too");
            return None;
        }
    };
    if ca_path.is_none() && identity.is_none() {
        return Some(None);
    }
    let roots = match &ca_path {
        Some(path) => tls::authorities(path),
        None => Ok(dial::system_roots()),
    };
    let roots = match roots {
        Ok(roots) => roots,
        Err(error) => {
            section.problem(
                "ca_file",
                &error.to_string(),
                "write a PEM file with the authority's certificate",
            );
            return None;
        }
    };
    let identity = identity.as_ref().map(|(cert, key)| (cert.as_path(), key.as_path()));
    match tls::client_config_of(roots, identity) {
        Ok(config) => Some(Some(config)),
        Err(error) => {
            section.problem(
                "cert_file",
                &error.to_string(),
                "write the PEM files of a certificate and of its key",
            );
            None
        }
    }
}

fn recording(item: &Item) -> Option<Recordings> {
    let section = Section::new(item.sheet, item.object(RECORDING)?, RECORDING_KEYS);
    let when = choice(&section, "when", &[("always", true), ("asked", false)]);
    let spool = text(&section, "spool", SPOOL);
    let min_free = whole(&section, "min_free_mib", 0..=1_048_576, MIN_FREE_MIB);
    let prefix = text(&section, "prefix", "").filter(|prefix| {
        let good = prefix.len() <= 200
            && !prefix.contains(|c: char| c.is_control() || "\\?#%*\"<>|".contains(c))
            && prefix.split('/').all(|part| part != "." && part != "..");
        if !good {
            section.problem("prefix", "can't begin a file's name", "write for example \"calls/\"");
        }
        good
    });
    let place = match (section.get("directory"), section.get("s3")) {
        (Some(directory), None) => folder(directory).map(Place::Folder),
        (None, Some(s3)) => bucket(s3).map(Place::S3),
        (Some(directory), Some(_)) => {
            directory.problem("and s3 are two places", "remove one of the two");
            None
        }
        (None, None) => {
            item.problem(
                "says nowhere to put recordings",
                &format!("write \"directory\" or \"s3\", as in {RECORDING}"),
            );
            None
        }
    };
    let only = filter(section.get("only"));
    let spool = PathBuf::from(spool?);
    if !spool.is_absolute() {
        section.problem("spool", "isn't a whole path", &format!("write \"{SPOOL}\""));
        return None;
    }
    let settings = recorder::Settings {
        spool,
        place: place?,
        prefix: prefix?.to_owned(),
        min_free: u64::from(min_free?) * 1024 * 1024,
    };
    Some(Recordings { settings, always: when?, only: only? })
}

fn folder(item: &Item) -> Option<PathBuf> {
    let path = Path::new(item.text("/var/lib/goastgateway/…")?);
    if !path.is_absolute() {
        item.problem("isn't a whole path", "write it from / on");
        return None;
    }
    Some(path.to_owned())
}

fn bucket(item: &Item) -> Option<Bucket> {
    let section = Section::new(item.sheet, item.object(S3)?, S3_KEYS);
    let name = text(&section, "bucket", "").filter(|name| {
        let good = (1..=255).contains(&name.len())
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_".contains(&b));
        if !good {
            section.problem("bucket", "isn't a bucket's name", "write the bucket's name");
        }
        good
    });
    let endpoint = text(&section, "endpoint", "").filter(|endpoint| {
        let good = endpoint.is_empty()
            || endpoint.parse::<hyper::Uri>().is_ok_and(|uri| {
                matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some()
            });
        if !good {
            section.problem("endpoint", "isn't a URL", "write \"https://s3.example\"");
        }
        good
    });
    let region = text(&section, "region", REGION);
    if std::env::var_os("AWS_ACCESS_KEY_ID").is_none() {
        item.warning(
            "AWS_ACCESS_KEY_ID is not set here: without credentials in its environment (or a role \
             of the machine) the gateway can't store anything",
        );
    }
    Some(Bucket {
        name: name?.to_owned(),
        endpoint: endpoint?.to_owned(),
        region: region?.to_owned(),
    })
}

/// Which calls; everything where nothing is written. `None` after a problem.
fn filter(item: Option<&Item>) -> Option<Filter> {
    let Some(item) = item else { return Some(Filter::default()) };
    let section = Section::new(item.sheet, item.object(ONLY)?, ONLY_KEYS);
    let direction = match section.get("direction") {
        None => Some(None),
        Some(_) => {
            let choices = [("in", Direction::In), ("out", Direction::Out)];
            choice(&section, "direction", &choices).map(Some)
        }
    };
    let extensions = patterns(section.get("extension"));
    let groups = patterns(section.get("group"));
    let channels = patterns(section.get("channel"));
    let mut variables = Vec::new();
    for (name, value) in texts(section.get("variable")) {
        match Pattern::new(&value) {
            Ok(pattern) => variables.push((name, pattern)),
            Err(error) => {
                section.problem(
                    "variable",
                    &format!("{} holds no pattern: {error}", name.escape_debug()),
                    PATTERN,
                );
                return None;
            }
        }
    }
    Some(Filter {
        extensions: extensions?,
        groups: groups?,
        channels: channels?,
        direction: direction?,
        variables,
    })
}

const PATTERN: &str = "write a regular expression for the whole text, as in \"20.*\"";

fn patterns(item: Option<&Item>) -> Option<Vec<Pattern>> {
    let Some(item) = item else { return Some(Vec::new()) };
    let mut patterns = Vec::new();
    let mut good = item.value.as_array().is_some();
    for word in item.words("20.*") {
        match Pattern::new(word.text) {
            Ok(pattern) => patterns.push(pattern),
            Err(error) => {
                good = false;
                let what = format!("\"{}\" isn't a pattern: {error}", word.text.escape_debug());
                item.sheet.problem(word.line, item.key, &what, PATTERN);
            }
        }
    }
    good.then_some(patterns)
}

/// An object of names and texts; what isn't is told and left out.
fn texts(item: Option<&Item>) -> BTreeMap<String, String> {
    let example = r#"{"name": "value"}"#;
    let Some(object) = item.and_then(|item| item.object(example)) else { return BTreeMap::new() };
    let Some(item) = item else { return BTreeMap::new() };
    let pairs = entries(item.sheet, object).into_iter();
    pairs.filter_map(|pair| Some((pair.key.to_owned(), pair.text("…")?.to_owned()))).collect()
}

fn agents(item: Option<&Item>) -> BTreeMap<String, u64> {
    let example = r#"{"2001": 17}"#;
    let Some(object) = item.and_then(|item| item.object(example)) else { return BTreeMap::new() };
    let Some(item) = item else { return BTreeMap::new() };
    let pairs = entries(item.sheet, object).into_iter();
    pairs
        .filter_map(|pair| Some((pair.key.to_owned(), u64::from(pair.whole(0..=u32::MAX, 1)?))))
        .collect()
}
