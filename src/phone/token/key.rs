//! One key that tokens are verified with, and the algorithms that it admits.
//!
//! A key knows its kind: a secret admits the HMAC family, a public key its own algorithm. So a
//! public key can never be taken for a secret, whatever a token's header says.

use std::fmt;

use jsonwebtoken::{Algorithm, DecodingKey, Validation, errors::ErrorKind};
use serde::de::IgnoredAny;

/// Shortest PKCS#1 form of an RSA-2048 key. Shorter ones are refused: the verifying code refuses
/// them too, but only when the first token comes.
const MIN_RSA_DER: usize = 266;

/// Uncompressed points of the two curves: one byte of form and two coordinates.
const P256_POINT: usize = 1 + 2 * 32;
const P384_POINT: usize = 1 + 2 * 48;

/// Why a public key can't be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    #[error("holds a private key, which belongs to whoever signs tokens and not here")]
    Private,
    #[error("isn't a public key in PEM (\"-----BEGIN PUBLIC KEY-----\")")]
    NotPem,
    #[error("is a kind of key that isn't supported (RSA, EC P-256 or P-384, and Ed25519 are)")]
    Kind,
    #[error("is an RSA key of fewer than 2048 bits")]
    TooShort,
}

/// A key and the algorithms that it is used with. `Debug` shows the algorithms only.
#[derive(Clone)]
pub struct VerifyingKey {
    key: DecodingKey,
    /// Whatever this kind of key could do; [`Self::restrict`] chooses among these.
    possible: &'static [Algorithm],
    /// Its `algorithms` are what the key admits. Nothing else in it is left on: times and claims
    /// are checked by us, since this crate checks them with another leeway and another clock.
    validation: Validation,
}

impl VerifyingKey {
    /// A secret that the issuer shares with us: HS256, HS384 and HS512.
    pub fn secret(secret: &str) -> Self {
        const HMAC: &[Algorithm] = &[Algorithm::HS256, Algorithm::HS384, Algorithm::HS512];
        Self::build(DecodingKey::from_secret(secret.as_bytes()), HMAC, HMAC)
    }

    /// A public key in PEM: RS256, ES256, ES384 or EdDSA by its kind.
    pub fn public_pem(pem: &[u8]) -> Result<Self, KeyError> {
        use Algorithm::*;
        let text = std::str::from_utf8(pem).map_err(|_| KeyError::NotPem)?;
        if text.contains("PRIVATE KEY-----") {
            return Err(KeyError::Private);
        }
        if !text.contains("PUBLIC KEY-----") {
            return Err(KeyError::NotPem);
        }
        let length = |key: &DecodingKey| key.try_get_as_bytes().map_or(0, <[u8]>::len);
        if let Ok(key) = DecodingKey::from_ec_pem(pem) {
            return match length(&key) {
                P256_POINT => Ok(Self::build(key, &[ES256], &[ES256])),
                P384_POINT => Ok(Self::build(key, &[ES384], &[ES384])),
                _ => Err(KeyError::Kind),
            };
        }
        if let Ok(key) = DecodingKey::from_ed_pem(pem) {
            return Ok(Self::build(key, &[EdDSA], &[EdDSA]));
        }
        match DecodingKey::from_rsa_pem(pem) {
            Ok(key) if length(&key) < MIN_RSA_DER => Err(KeyError::TooShort),
            Ok(key) => Ok(Self::build(key, &[RS256, RS384, RS512, PS256, PS384, PS512], &[RS256])),
            Err(_) => Err(KeyError::Kind),
        }
    }

    fn build(key: DecodingKey, possible: &'static [Algorithm], admitted: &[Algorithm]) -> Self {
        let mut validation = Validation {
            algorithms: admitted.to_vec(),
            validate_exp: false,
            validate_nbf: false,
            validate_aud: false,
            ..Validation::default()
        };
        validation.required_spec_claims.clear();
        Self { key, possible, validation }
    }

    /// Admits exactly those of `wanted` that this kind of key can do; `None` if there are none.
    pub fn restrict(mut self, wanted: &[Algorithm]) -> Option<Self> {
        self.validation.algorithms =
            self.possible.iter().filter(|alg| wanted.contains(alg)).copied().collect();
        (!self.validation.algorithms.is_empty()).then_some(self)
    }

    /// Whether tokens of this algorithm are checked with this key.
    pub fn admits(&self, alg: Algorithm) -> bool {
        self.validation.algorithms.contains(&alg)
    }

    /// Checks the signature, and nothing else.
    pub(super) fn check(&self, token: &str) -> Result<(), ErrorKind> {
        jsonwebtoken::decode::<IgnoredAny>(token, &self.key, &self.validation)
            .map(|_| ())
            .map_err(jsonwebtoken::errors::Error::into_kind)
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("VerifyingKey").field(&self.validation.algorithms).finish()
    }
}
