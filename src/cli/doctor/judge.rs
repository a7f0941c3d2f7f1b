//! PURE: what was found, one fact at a time, and what it means. Of Asterisk's files `conf` says it.

use std::time::{Duration, SystemTime};

use super::Check;
use crate::net::tls::CertificateFacts;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// Before that a certificate is to be renewed. Those of ACME have 30 days left when it is tried.
const RENEW_DAYS: u64 = 21;
/// Clocks further apart than this make logs hard to read together.
const CLOCK_APART: f64 = 2.0;

/// How long a certificate lasts, and whom it is for.
pub fn certificate(facts: &CertificateFacts, now: SystemTime) -> Check {
    const CHECK: &str = "certificate";
    let names = match facts.names.as_slice() {
        [] => {
            return Check::fault(
                CHECK,
                "names nobody (no subjectAltName), so no browser accepts it",
                "make one with the names or addresses that browsers use: docs/lan-certificates.md",
            );
        }
        names => names.join(", "),
    };
    if let Ok(early) = facts.not_before.duration_since(now)
        && !early.is_zero()
    {
        let found =
            format!("for {names} is not valid yet, by {} hour(s)", early.as_secs() / 3600 + 1);
        return Check::fault(CHECK, found, "compare this machine's clock");
    }
    let Ok(left) = facts.not_after.duration_since(now) else {
        return Check::fault(CHECK, format!("for {names} has expired"), "renew it, then reload");
    };
    let days = left.as_secs() / DAY.as_secs();
    let found = format!("for {names}, good for {days} more day(s)");
    if days < RENEW_DAYS {
        Check::warning(CHECK, found, "renew it; SIGHUP (systemctl reload) takes the new one")
    } else {
        Check::ok(CHECK, found)
    }
}

/// Whether a secret could be guessed. It is at least 32 bytes long, or the gateway wouldn't start.
pub fn secret(secret: &str) -> Check {
    const CHECK: &str = "token secret";
    let mut seen: Vec<u8> = secret.bytes().collect();
    seen.sort_unstable();
    seen.dedup();
    let words = secret.split(|c: char| !c.is_ascii_alphabetic()).filter(|w| w.len() >= 4).count();
    if seen.len() < 8 || words >= 4 {
        return Check::warning(
            CHECK,
            format!("{} bytes, but it looks thought up rather than drawn", secret.len()),
            "write the output of: openssl rand -hex 32",
        );
    }
    Check::ok(CHECK, format!("{} bytes", secret.len()))
}

/// What a version of Asterisk lacks.
pub fn version(text: &str) -> Check {
    const CHECK: &str = "version";
    let numbers: Vec<u32> = text
        .split(|c: char| !c.is_ascii_digit())
        .filter(|part| !part.is_empty())
        .map_while(|part| part.parse().ok())
        .collect();
    let (Some(major), minor) = (numbers.first().copied(), numbers.get(1).copied().unwrap_or(0))
    else {
        let remedy = "22.10 or newer is what this gateway is tested with";
        return Check::unseen(CHECK, format!("Asterisk calls itself {text:?}"), remedy);
    };
    let found = format!("Asterisk {text}");
    // The first of each line: with the channel; with its id; with JSON and causes.
    let firsts = match major {
        ..=19 => None,
        20 => Some((16, 17, Some(18))),
        21 => Some((11, 12, None)),
        22 => Some((6, 7, Some(8))),
        23 => Some((0, 1, Some(2))),
        _ => Some((0, 0, Some(0))),
    };
    let update = "update to 22.10 or newer, or 23.4 or newer";
    match firsts {
        Some((_, _, Some(json))) if minor >= json => Check::ok(CHECK, found),
        Some((_, id, _)) if minor >= id => Check::warning(
            CHECK,
            format!(
                "{found}: no JSON, so phones can't dial out and groups need a section each; no \
                 hangup causes"
            ),
            update,
        ),
        Some((channel, ..)) if minor >= channel => Check::warning(
            CHECK,
            format!(
                "{found}: no JSON, no id of the channel (so no caller's number), known crashes"
            ),
            update,
        ),
        _ => Check::fault(CHECK, format!("{found} has no chan_websocket"), update),
    }
}

/// How far the clocks are apart; `asterisk` is Unix time.
pub fn clock(asterisk: &str, now: f64) -> Check {
    const CHECK: &str = "clock";
    let Ok(theirs) = asterisk.parse::<f64>() else {
        return Check::unseen(CHECK, "the manager does not say its time", "update Asterisk");
    };
    let apart = theirs - now;
    if apart.abs() <= CLOCK_APART {
        return Check::ok(CHECK, format!("{:.0} ms from Asterisk's", (apart * 1000.0).abs()));
    }
    let remedy =
        "let both machines follow NTP: tokens expire by this clock, calls are logged by both";
    Check::warning(CHECK, format!("Asterisk's is {apart:+.0} s from this machine's"), remedy)
}
#[cfg(test)]
mod tests {
    use super::{super::State, *};

    #[test]
    fn what_each_version_lacks_is_known() {
        for (text, state) in [
            ("22.10.1+dfsg+~cs6.17.60671434-1", State::Ok),
            ("22.8.0", State::Ok),
            ("22.7.3", State::Warning),
            ("22.6.0", State::Warning),
            ("22.5.1", State::Fault),
            ("23.2.0", State::Ok),
            ("23.0.0", State::Warning),
            ("21.12.3", State::Warning),
            ("20.18.1", State::Ok),
            ("20.15.0", State::Fault),
            ("certified/22.8-cert1", State::Ok),
            ("18.26.0", State::Fault),
            ("24.0.0", State::Ok),
            ("GIT-master", State::Unseen),
        ] {
            assert_eq!(version(text).state, state, "{text}");
        }
    }

    #[test]
    fn a_certificate_is_judged_by_names_and_days() {
        let now = SystemTime::UNIX_EPOCH + 1000 * DAY;
        let facts = |names: &[&str], from: u64, to: u64| CertificateFacts {
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            not_before: SystemTime::UNIX_EPOCH + DAY * from as u32,
            not_after: SystemTime::UNIX_EPOCH + DAY * to as u32,
        };
        for (facts, state) in [
            (facts(&["pbx.example"], 900, 1100), State::Ok),
            (facts(&["pbx.example"], 900, 1010), State::Warning),
            (facts(&["pbx.example"], 900, 999), State::Fault),
            (facts(&["pbx.example"], 1001, 1100), State::Fault),
            (facts(&[], 900, 1100), State::Fault),
        ] {
            assert_eq!(certificate(&facts, now).state, state, "{facts:?}");
        }
    }

    #[test]
    fn a_secret_that_somebody_thought_up_is_told_from_one_that_was_drawn() {
        assert_eq!(secret("0f9c2b7a6d5e4f3a2b1c0d9e8f7a6b5c").state, State::Ok);
        assert_eq!(secret(&"a".repeat(40)).state, State::Warning);
        assert_eq!(secret("correct-horse-battery-staple-and-more").state, State::Warning);
        assert!(!format!("{:?}", secret("0f9c2b7a6d5e4f3a2b1c0d9e8f7a6b5c")).contains("0f9c"));
    }

    #[test]
    fn clocks_are_compared() {
        assert_eq!(clock("1000.25", 1000.0).state, State::Ok);
        assert_eq!(clock("1010.25", 1000.0).state, State::Warning);
        assert_eq!(clock("", 1000.0).state, State::Unseen);
    }
}
