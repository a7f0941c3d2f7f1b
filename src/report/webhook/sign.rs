//! PURE: the signature by which a receiver knows us: Standard Webhooks, for which there are
//! libraries in every language.
//!
//! HMAC-SHA256 over `id.timestamp.body`, so that neither the body nor its time can be changed, and
//! nothing that was recorded can be played again later.

use aws_lc_rs::hmac;
use base64::{Engine, engine::general_purpose::STANDARD};
use uuid::Uuid;

/// What goes with a delivery.
pub const ID_HEADER: &str = "webhook-id";
pub const TIMESTAMP_HEADER: &str = "webhook-timestamp";
pub const SIGNATURE_HEADER: &str = "webhook-signature";

/// The signature's header. `timestamp` is in seconds since 1970.
pub fn signature(key: &[u8], id: Uuid, timestamp: i64, body: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    let tag = hmac::sign(&key, format!("{id}.{timestamp}.{body}").as_bytes());
    format!("v1,{}", STANDARD.encode(tag))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_what_openssl_makes_of_it() {
        // printf %s '00000000-0000-0000-0000-000000000001.1795264245.{"a":1}' |
        //   openssl dgst -sha256 -hmac 'a key of the tests, 32 bytes long' -binary | base64
        let key = b"a key of the tests, 32 bytes long";
        let signature = signature(key, Uuid::from_u128(1), 1_795_264_245, r#"{"a":1}"#);
        assert_eq!(signature, "v1,3LYCNYgtJ4pliNafTB8HWQPrxld4EmLvnOxoluNrFNE=");
    }
}
