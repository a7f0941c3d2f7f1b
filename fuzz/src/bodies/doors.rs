//! Who may come in.

use std::{
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use goastgateway::{
    call::{Extension, is_extension},
    config::{AddressList, Secret},
    net::address,
    phone::token::{self, Verifier, VerifyingKey},
};
use jsonwebtoken::{Algorithm, EncodingKey, crypto};

use super::Tape;

const SECRET: &str = "a secret that fuzzers may know: 0123456789";
const NOW: u64 = 1_800_000_000;

/// Any text is refused, or carries claims that hold. The second half of the input is a payload
/// that is signed with the right secret, so that what stands behind the signature is met, too.
pub fn token(data: &[u8]) {
    let verifier = Verifier::new(vec![VerifyingKey::secret(SECRET)], Duration::from_secs(60));
    if let Ok(text) = std::str::from_utf8(data) {
        assert!(verifier.verify_at(text, NOW).is_err(), "a token that nobody signed");
    }
    let mut tape = Tape(data);
    let choice = tape.byte();
    if let Some(token) = signed(choice, tape.0)
        && let Ok(claims) = verifier.verify_at(&token, NOW)
    {
        assert!(is_extension(&claims.ext), "{claims:?}");
        assert!(Extension::parse(&claims.ext).is_some(), "{claims:?}");
        assert!(claims.exp + 60 > NOW, "{claims:?}");
        let last = token.len() - 1;
        assert!(verifier.verify_at(&token[..last], NOW).is_err(), "a signature that is cut off");
    }
    if let Ok(ext) = std::str::from_utf8(data)
        && let Ok(token) = token::mint(&Secret::new(SECRET), ext, Duration::from_secs(60), NOW)
    {
        let claims = verifier.verify_at(&token, NOW).expect("what we mint, we take");
        assert_eq!((claims.ext.as_str(), claims.exp), (ext, NOW + 60));
    }
}

/// A token with this payload. It is signed through the library's own writer, which takes raw JSON.
fn signed(choice: u8, payload: &[u8]) -> Option<String> {
    let header = match choice % 4 {
        0 => r#"{"alg":"HS256"}"#,
        1 => r#"{"alg":"HS384","typ":"JWT"}"#,
        2 => r#"{"alg":"HS512","kid":"../../etc/passwd"}"#,
        _ => r#"{"alg":"HS256","crit":["x"]}"#,
    };
    let algorithm = [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512, Algorithm::HS256];
    let text = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    let signature = crypto::sign(text.as_bytes(), &key, algorithm[usize::from(choice % 4)]).ok()?;
    Some(format!("{text}.{signature}"))
}

/// Whatever the header says, nobody is believed but a trusted proxy, and a trusted proxy's word is
/// an address that stands in the header.
pub fn forwarded_for(data: &[u8]) {
    let lines: Vec<&[u8]> = data.split(|b| *b == b'\n').collect();
    let stranger = IpAddr::from(Ipv4Addr::new(192, 0, 2, 1));
    let proxy = IpAddr::from(Ipv4Addr::LOCALHOST);
    let trusted = AddressList(vec![
        "127.0.0.0/8".parse().expect("a network"),
        "10.0.0.0/8".parse().expect("a network"),
    ]);
    assert_eq!(address::client(stranger, &lines, &trusted), Some(stranger));
    assert_eq!(address::client(proxy, &lines, &AddressList::default()), Some(proxy));
    let Some(client) = address::client(proxy, &lines, &trusted) else { return };
    assert_eq!(client, client.to_canonical());
    let bucket = address::bucket(client);
    assert_eq!(bucket, address::bucket(bucket));
}
