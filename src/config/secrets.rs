//! Reads the keys of `goastgateway.json` that say which tokens are believed.
//!
//! No message repeats a secret.

use std::{sync::Arc, time::Duration};

use jsonwebtoken::Algorithm;

use super::{Secret, TokenSettings, check, json::Section};
use crate::phone::token::{Verifier, VerifyingKey};

/// Fewer bytes than the digest of HS256 has make guessing easier than the algorithm is.
pub const MIN_SECRET: usize = 32;

/// The secret in the reference's sample file, which everybody knows.
pub const SAMPLE_SECRET: &str = "CHANGE_THIS_TO_A_VERY_LONG_RANDOM_STRING";

/// How far clocks may differ: at most a minute, and what is usual.
const LEEWAY: std::ops::RangeInclusive<f64> = 0.0..=60.0;
const USUAL_LEEWAY: u64 = 5;

const MAKE_ONE: &str = "write the output of: openssl rand -hex 32";

/// The keys for tokens, or `None` after having said what is wrong.
pub(super) fn read(section: &Section) -> Option<TokenSettings> {
    let current = secret(section, "jwt_secret");
    let previous = secret(section, "jwt_secret_previous");
    let public = section.get("jwt_public_key_file").map(check::public_key);
    let leeway = match section.get("jwt_leeway") {
        Some(item) => item.seconds(LEEWAY, USUAL_LEEWAY as f64),
        None => Some(Duration::from_secs(USUAL_LEEWAY)),
    };
    let algorithms = section.get("jwt_algorithms").map(|_| algorithms(section));
    if matches!(current, Found::Absent) && public.is_none() {
        section.problem(
            "jwt_secret",
            "there is nothing to verify a login with",
            "write \"jwt_secret\" (the output of: openssl rand -hex 32) or \"jwt_public_key_file\"",
        );
        return None;
    }
    if let (Found::Absent, Found::Good(_)) = (&current, &previous) {
        section.problem(
            "jwt_secret_previous",
            "there is no jwt_secret",
            "write it as \"jwt_secret\"",
        );
        return None;
    }
    if let (Found::Good(current), Found::Good(previous)) = (&current, &previous)
        && current == previous
    {
        section.warning("jwt_secret_previous", "is the same as jwt_secret: it can be removed");
    }
    let mut keys = Vec::new();
    let mut bad = false;
    for (name, secret) in [("jwt_secret", &current), ("jwt_secret_previous", &previous)] {
        match secret {
            Found::Good(secret) => keys.push((name, VerifyingKey::secret(secret.expose()))),
            Found::Absent => {}
            Found::Bad => bad = true,
        }
    }
    match public {
        Some(Some(key)) => keys.push(("jwt_public_key_file", key)),
        Some(None) => bad = true,
        None => {}
    }
    let keys = match algorithms {
        Some(wanted) => restricted(section, keys, &wanted?),
        None => keys.into_iter().map(|(_, key)| key).collect(),
    };
    let verifier = Arc::new(Verifier::new(keys, leeway?));
    let signing_secret = match current {
        Found::Good(secret) => Some(secret),
        _ => None,
    };
    (!bad).then_some(TokenSettings { verifier, signing_secret })
}

enum Found {
    Absent,
    Good(Secret),
    Bad,
}

fn secret(section: &Section, key: &'static str) -> Found {
    let Some(item) = section.get(key) else {
        return Found::Absent;
    };
    let Some(text) = item.text("…") else {
        return Found::Bad;
    };
    if text.is_empty() {
        return Found::Absent;
    }
    if text == SAMPLE_SECRET {
        item.problem(
            &format!("is the sample's own, {SAMPLE_SECRET}, which everybody knows"),
            &format!("{MAKE_ONE} instead, and give the same to whoever makes tokens"),
        );
        return Found::Bad;
    }
    if text.len() < MIN_SECRET {
        item.problem(
            &format!("is {} bytes long, and fewer than {MIN_SECRET} can be guessed", text.len()),
            &format!("{MAKE_ONE} instead, and give the same to whoever makes tokens"),
        );
        return Found::Bad;
    }
    Found::Good(Secret::new(text))
}

fn algorithms(section: &Section) -> Option<Vec<Algorithm>> {
    let item = section.get("jwt_algorithms")?;
    let mut wanted = Vec::new();
    let words = item.words("HS256");
    let complete = item.value.as_array().is_some_and(|list| list.elements.len() == words.len());
    if complete && words.is_empty() {
        item.problem("the list is empty", "remove it, or write for example [\"HS256\"]");
        return None;
    }
    let mut good = complete;
    for word in words {
        match word.text.parse::<Algorithm>() {
            Ok(alg) => wanted.push(alg),
            Err(_) => {
                good = false;
                section.sheet.problem(
                    word.line,
                    item.key,
                    &format!("\"{}\" isn't an algorithm", word.text.escape_debug()),
                    "write HS256, HS384, HS512, RS256, ES256 or EdDSA instead",
                );
            }
        }
    }
    good.then_some(wanted)
}

/// Every algorithm must have a key and every key an algorithm, or somebody is in for a surprise.
fn restricted(
    section: &Section,
    keys: Vec<(&'static str, VerifyingKey)>,
    wanted: &[Algorithm],
) -> Vec<VerifyingKey> {
    let mut restricted = Vec::new();
    for (name, key) in keys {
        match key.restrict(wanted) {
            Some(key) => restricted.push(key),
            None => section.problem(
                "jwt_algorithms",
                &format!("leaves no algorithm for {name}"),
                &format!("write one that it can verify, or remove {name}"),
            ),
        }
    }
    for alg in wanted {
        if !restricted.iter().any(|key| key.admits(*alg)) {
            section.warning("jwt_algorithms", &format!("no key here can verify {alg:?}"));
        }
    }
    restricted
}
