//! Tokens: who may be which extension, and until when.
//!
//! Owns the keys (built once a configuration) and every rule about tokens. It promises that the
//! algorithm is chosen by our configuration and never by the token, that nothing in a token's
//! header leads to a key (`kid`, `jku`, `x5u`, `jwk` are not read), that no claim is believed
//! before the signature is, and that any bytes give a value or an error. Time is an argument.

mod key;
#[cfg(test)]
mod tests;

use std::{fmt, time::Duration};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, Header, errors::ErrorKind};
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use key::{KeyError, VerifyingKey};

use crate::{
    call::{MAX_EXTENSION, is_extension},
    config::Secret,
};

/// Longest token that is looked at. Ours have 160 bytes; an identity provider's with an RSA-4096
/// signature and a long list of roles stays below this, and the HTTP head does too.
pub const MAX_TOKEN: usize = 8 * 1024;

/// Last second of the year 9999. An `exp` beyond it is a mistake (milliseconds for seconds, which
/// would make a token that never expires), not a date.
pub const LATEST_EXP: u64 = 253_402_300_799;

/// What a good token says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    /// The extension that its bearer is; satisfies [`is_extension`].
    pub ext: String,
    /// When the token ends, in seconds since 1970. Leeway is not included.
    pub exp: u64,
}

/// Why a token was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    #[error("no token")]
    Missing,
    #[error("token longer than {MAX_TOKEN} bytes")]
    TooLong,
    #[error("not a token: three parts of base64url with JSON objects in them were expected")]
    Malformed,
    #[error("signed with an algorithm that no configured key admits")]
    Algorithm,
    #[error("asks for an extension of the token format (crit) that isn't known here")]
    Critical,
    #[error("signature doesn't fit any configured key")]
    Signature,
    #[error("no exp claim")]
    NoExpiry,
    #[error("exp claim isn't a time in seconds since 1970")]
    BadExpiry,
    #[error("expired")]
    Expired,
    #[error("nbf claim isn't a time in seconds since 1970")]
    BadNotBefore,
    #[error("not valid yet (nbf)")]
    NotYet,
    #[error("no ext claim")]
    NoExtension,
    #[error("ext claim isn't a string of 1 to {MAX_EXTENSION} letters, digits or _.+*#@-")]
    BadExtension,
}

impl TokenError {
    /// One word for logs and for a metric's label: a fixed set, never anything from the token.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Missing => "token_missing",
            Self::TooLong => "token_too_long",
            Self::Malformed => "token_malformed",
            Self::Algorithm => "token_algorithm",
            Self::Critical => "token_critical_header",
            Self::Signature => "token_signature",
            Self::NoExpiry => "token_no_exp",
            Self::BadExpiry => "token_bad_exp",
            Self::Expired => "token_expired",
            Self::BadNotBefore => "token_bad_nbf",
            Self::NotYet => "token_not_yet",
            Self::NoExtension => "token_no_ext",
            Self::BadExtension => "token_bad_ext",
        }
    }
}

/// The keys of one configuration, ready to verify tokens.
#[derive(Clone)]
pub struct Verifier {
    keys: Vec<VerifyingKey>,
    leeway: u64,
}

/// The part of a token's header that matters. Everything else is left unread on purpose.
#[derive(Deserialize)]
struct Head {
    alg: String,
    #[serde(default)]
    crit: Option<Value>,
}

/// Claims as they came. `Value`, so that a wrong type is told from a missing claim; a claim that is
/// there twice is an error of the derived code.
#[derive(Deserialize)]
struct RawClaims {
    ext: Option<Value>,
    exp: Option<Value>,
    nbf: Option<Value>,
}

impl Verifier {
    /// Takes keys in the order in which they are tried. `leeway` is how far clocks may differ.
    pub fn new(keys: Vec<VerifyingKey>, leeway: Duration) -> Self {
        Self { keys, leeway: leeway.as_secs() }
    }

    /// Verifies a token now.
    pub fn verify(&self, token: &str) -> Result<Claims, TokenError> {
        self.verify_at(token, jsonwebtoken::get_current_timestamp())
    }

    /// Verifies a token at a time, in seconds since 1970.
    pub fn verify_at(&self, token: &str, now: u64) -> Result<Claims, TokenError> {
        if token.is_empty() {
            return Err(TokenError::Missing);
        }
        if token.len() > MAX_TOKEN {
            return Err(TokenError::TooLong);
        }
        let (head, payload) = parts(token)?;
        let head: Head = object(head)?;
        let alg: Algorithm = head.alg.parse().map_err(|_| TokenError::Algorithm)?;
        if head.crit.is_some() {
            return Err(TokenError::Critical);
        }
        self.check_signature(token, alg)?;
        self.check_claims(object(payload)?, now)
    }

    fn check_signature(&self, token: &str, alg: Algorithm) -> Result<(), TokenError> {
        let mut refusal = TokenError::Algorithm;
        for key in self.keys.iter().filter(|key| key.admits(alg)) {
            match key.check(token) {
                Ok(()) => return Ok(()),
                Err(ErrorKind::Json(_) | ErrorKind::Base64(_) | ErrorKind::Utf8(_)) => {
                    return Err(TokenError::Malformed);
                }
                Err(_) => refusal = TokenError::Signature,
            }
        }
        Err(refusal)
    }

    fn check_claims(&self, claims: RawClaims, now: u64) -> Result<Claims, TokenError> {
        let exp = seconds(&claims.exp.ok_or(TokenError::NoExpiry)?).ok_or(TokenError::BadExpiry)?;
        if now >= exp.saturating_add(self.leeway) {
            return Err(TokenError::Expired);
        }
        if let Some(nbf) = claims.nbf {
            let nbf = seconds(&nbf).ok_or(TokenError::BadNotBefore)?;
            if nbf > now.saturating_add(self.leeway) {
                return Err(TokenError::NotYet);
            }
        }
        match claims.ext.ok_or(TokenError::NoExtension)? {
            Value::String(ext) if is_extension(&ext) => Ok(Claims { ext, exp }),
            _ => Err(TokenError::BadExtension),
        }
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier").field("keys", &self.keys).field("leeway", &self.leeway).finish()
    }
}

/// Why a token could not be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MintError {
    #[error("\"{0}\" can't be an extension: write 1 to {MAX_EXTENSION} letters, digits or _.+*#@-")]
    Extension(String),
    #[error("the token would never expire: choose a shorter time")]
    Expiry,
    #[error("the token could not be signed: {0}")]
    Signing(String),
}

/// Makes a token as the reference does: HS256 with `ext`, `iat` and `exp`.
pub fn mint(secret: &Secret, ext: &str, ttl: Duration, now: u64) -> Result<String, MintError> {
    #[derive(Serialize)]
    struct Minted<'a> {
        ext: &'a str,
        iat: u64,
        exp: u64,
    }
    if !is_extension(ext) {
        return Err(MintError::Extension(ext.to_owned()));
    }
    let exp = now.saturating_add(ttl.as_secs());
    if exp > LATEST_EXP {
        return Err(MintError::Expiry);
    }
    let claims = Minted { ext, iat: now, exp };
    let key = EncodingKey::from_secret(secret.expose().as_bytes());
    jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &key)
        .map_err(|error| MintError::Signing(error.to_string()))
}

/// Header and payload of a token that has three parts and no letter that base64url hasn't.
fn parts(token: &str) -> Result<(&str, &str), TokenError> {
    let clean = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    let mut parts = token.split('.');
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(head), Some(payload), Some(_), None) if token.bytes().all(clean) => {
            Ok((head, payload))
        }
        _ => Err(TokenError::Malformed),
    }
}

/// Decodes a part that must hold a JSON object. (Derived code would take an array for a struct.)
fn object<T: for<'de> Deserialize<'de>>(part: &str) -> Result<T, TokenError> {
    let json = URL_SAFE_NO_PAD.decode(part).map_err(|_| TokenError::Malformed)?;
    if !json.trim_ascii_start().starts_with(b"{") {
        return Err(TokenError::Malformed);
    }
    serde_json::from_slice(&json).map_err(|_| TokenError::Malformed)
}

/// A JSON number as whole seconds. Python's `time.time() + 3600` has a fraction, which is dropped.
fn seconds(value: &Value) -> Option<u64> {
    let number = value.as_number()?;
    let seconds = match number.as_u64() {
        Some(whole) => whole,
        None => {
            let seconds = number.as_f64()?;
            if !(0.0..=LATEST_EXP as f64).contains(&seconds) {
                return None;
            }
            seconds as u64
        }
    };
    (seconds <= LATEST_EXP).then_some(seconds)
}
