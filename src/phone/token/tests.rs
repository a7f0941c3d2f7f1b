//! Forged tokens of every kind that is known, and the honest ones that must get in.

use super::*;
use jsonwebtoken::encode;
use serde_json::{Value, json};

const NOW: u64 = 1_800_000_000;
const SECRET: &str = "0123456789abcdef0123456789abcdef";
const PREVIOUS: &str = "fedcba9876543210fedcba9876543210";

/// Keys of every kind, made anew for each test.
struct Keys {
    rsa: rcgen::KeyPair,
    ec: rcgen::KeyPair,
    ed: rcgen::KeyPair,
}

impl Keys {
    fn new() -> Self {
        let make = |alg| rcgen::KeyPair::generate_for(alg).expect("a key");
        Self {
            rsa: make(&rcgen::PKCS_RSA_SHA256),
            ec: make(&rcgen::PKCS_ECDSA_P256_SHA256),
            ed: make(&rcgen::PKCS_ED25519),
        }
    }
    fn verifier(&self) -> Verifier {
        let public = |key: &rcgen::KeyPair| {
            VerifyingKey::public_pem(key.public_key_pem().as_bytes()).expect("a public key")
        };
        let keys = vec![
            VerifyingKey::secret(SECRET),
            VerifyingKey::secret(PREVIOUS),
            public(&self.rsa),
            public(&self.ec),
            public(&self.ed),
        ];
        Verifier::new(keys, Duration::from_secs(5))
    }
}

fn secrets_only() -> Verifier {
    Verifier::new(vec![VerifyingKey::secret(SECRET)], Duration::from_secs(5))
}

fn claims() -> Value {
    json!({"ext": "2001", "iat": NOW, "exp": NOW + 3600})
}

fn with(key: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[key] = value;
    claims
}

fn without(key: &str) -> Value {
    with(key, Value::Null)
}

fn b64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Signs any header and payload, text for text, with the HMAC of an algorithm.
fn raw(header: &str, payload: &str, alg: Algorithm, secret: &[u8]) -> String {
    let message = format!("{}.{}", b64(header), b64(payload));
    let key = EncodingKey::from_secret(secret);
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &key, alg).expect("signed");
    format!("{message}.{signature}")
}

const HS256: &str = r#"{"alg":"HS256","typ":"JWT"}"#;

/// Signed well, with our secret: only the claims are at fault.
fn signed(claims: &Value) -> String {
    signed_text(&claims.to_string())
}

fn signed_text(payload: &str) -> String {
    raw(HS256, payload, Algorithm::HS256, SECRET.as_bytes())
}

fn headed(header: &Value) -> String {
    raw(&header.to_string(), &claims().to_string(), Algorithm::HS256, SECRET.as_bytes())
}

fn pieces(token: &str) -> [&str; 3] {
    token.split('.').collect::<Vec<_>>().try_into().expect("three parts")
}

#[test]
fn forged_tokens_of_every_kind_are_refused_each_for_its_reason() {
    use TokenError as E;
    let keys = Keys::new();
    let verifier = keys.verifier();
    let good = signed(&claims());
    let [head, payload, signature] = pieces(&good);
    let other = b64(with("ext", json!("2002")).to_string());
    let public = keys.rsa.public_key_pem();
    let public_der = keys.rsa.public_key_raw();
    let payload_text = claims().to_string();
    let as_hmac = |key: &[u8]| raw(HS256, &payload_text, Algorithm::HS256, key);
    let unsigned = |alg: &str| format!("{}.{payload}.", b64(format!(r#"{{"alg":"{alg}"}}"#)));
    let deep = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
    let jwk = json!({"kty": "oct", "k": b64("attacker")});
    let attacker = b"attacker-attacker-attacker-attacker!";
    let by_attacker =
        |header: Value| raw(&header.to_string(), &payload_text, Algorithm::HS256, attacker);
    let standard = {
        use base64::engine::general_purpose::STANDARD;
        // A payload whose standard base64 has letters that base64url hasn't.
        let text = r#"{"ext":"2001","exp":9999999999,"x":"???>>>~~~ÿÿÿ"}"#;
        let message = format!("{head}.{}", STANDARD.encode(text));
        let key = EncodingKey::from_secret(SECRET.as_bytes());
        let sign = jsonwebtoken::crypto::sign(message.as_bytes(), &key, Algorithm::HS256);
        format!("{message}.{}", sign.expect("signed"))
    };

    #[rustfmt::skip]
    let forged: Vec<(&str, String, TokenError)> = vec![
        ("nothing", String::new(), E::Missing),
        ("one word", "token".into(), E::Malformed),
        ("two dots only", "..".into(), E::Malformed),
        ("alg none", unsigned("none"), E::Algorithm),
        ("alg None", unsigned("None"), E::Algorithm),
        ("alg NONE", unsigned("NONE"), E::Algorithm),
        ("alg nOnE", unsigned("nOnE"), E::Algorithm),
        ("alg empty", unsigned(""), E::Algorithm),
        ("alg hs256 in small letters", unsigned("hs256"), E::Algorithm),
        ("alg none with a good signature", format!("{}.{payload}.{signature}", b64(r#"{"alg":"none"}"#)), E::Algorithm),
        ("alg absent", format!("{}.{payload}.{signature}", b64(r#"{"typ":"JWT"}"#)), E::Malformed),
        ("alg a number", format!("{}.{payload}.{signature}", b64(r#"{"alg":256}"#)), E::Malformed),
        ("alg a list", format!("{}.{payload}.{signature}", b64(r#"{"alg":["HS256"]}"#)), E::Malformed),
        ("alg twice", raw(r#"{"alg":"none","alg":"HS256"}"#, &payload_text, Algorithm::HS256, SECRET.as_bytes()), E::Malformed),
        ("header a list", raw(r#"["HS256"]"#, &payload_text, Algorithm::HS256, SECRET.as_bytes()), E::Malformed),
        ("empty signature", format!("{head}.{payload}."), E::Signature),
        ("no signature part", format!("{head}.{payload}"), E::Malformed),
        ("signature cut short", good[..good.len() - 3].into(), E::Signature),
        ("signature of zeros", format!("{head}.{payload}.{}", b64([0u8; 32])), E::Signature),
        ("payload swapped", format!("{head}.{other}.{signature}"), E::Signature),
        ("header swapped for HS512", format!("{}.{payload}.{signature}", b64(r#"{"alg":"HS512","typ":"JWT"}"#)), E::Signature),
        ("wrong secret", as_hmac(attacker), E::Signature),
        ("empty secret", as_hmac(b""), E::Signature),
        ("the public key's PEM as secret", as_hmac(public.as_bytes()), E::Signature),
        ("the public key's PEM trimmed as secret", as_hmac(public.trim().as_bytes()), E::Signature),
        ("the public key's bytes as secret", as_hmac(public_der), E::Signature),
        ("HMAC under the name of RS256", raw(r#"{"alg":"RS256"}"#, &payload_text, Algorithm::HS256, public.as_bytes()), E::Signature),
        ("HMAC under the name of ES256", raw(r#"{"alg":"ES256"}"#, &payload_text, Algorithm::HS256, SECRET.as_bytes()), E::Signature),
        ("an ES256 signature of zeros", format!("{}.{payload}.{}", b64(r#"{"alg":"ES256"}"#), b64([0u8; 64])), E::Signature),
        ("an algorithm that the key could but may not", unsigned("RS512"), E::Algorithm),
        ("an algorithm without a key", unsigned("ES384"), E::Algorithm),
        ("kid that climbs out of a folder", by_attacker(json!({"alg": "HS256", "kid": "../../../../dev/null"})), E::Signature),
        ("kid with SQL", by_attacker(json!({"alg": "HS256", "kid": "x' UNION SELECT 'attacker"})), E::Signature),
        ("jku of the attacker", by_attacker(json!({"alg": "HS256", "jku": "https://evil.test/keys"})), E::Signature),
        ("x5u of the attacker", by_attacker(json!({"alg": "HS256", "x5u": "https://evil.test/cert"})), E::Signature),
        ("embedded jwk", by_attacker(json!({"alg": "HS256", "jwk": jwk})), E::Signature),
        ("crit", headed(&json!({"alg": "HS256", "crit": ["b64"], "b64": false})), E::Critical),
        ("crit empty", headed(&json!({"alg": "HS256", "crit": []})), E::Critical),
        ("exp missing", signed(&without("exp")), E::NoExpiry),
        ("exp a text", signed(&with("exp", json!("9999999999"))), E::BadExpiry),
        ("exp negative", signed(&with("exp", json!(-1))), E::BadExpiry),
        ("exp negative with a fraction", signed(&with("exp", json!(-0.5))), E::BadExpiry),
        ("exp true", signed(&with("exp", json!(true))), E::BadExpiry),
        ("exp beyond every calendar", signed(&with("exp", json!(u64::MAX))), E::BadExpiry),
        ("exp in milliseconds", signed(&with("exp", json!(NOW * 1000))), E::BadExpiry),
        ("exp 1e300", signed_text(r#"{"ext":"2001","exp":1e300}"#), E::BadExpiry),
        ("exp 1e999", signed_text(r#"{"ext":"2001","exp":1e999}"#), E::Malformed),
        ("exp past", signed(&with("exp", json!(NOW - 5))), E::Expired),
        ("exp zero", signed(&with("exp", json!(0))), E::Expired),
        ("nbf in the future", signed(&with("nbf", json!(NOW + 6))), E::NotYet),
        ("nbf a text", signed(&with("nbf", json!("0"))), E::BadNotBefore),
        ("ext missing", signed(&without("ext")), E::NoExtension),
        ("ext a number", signed(&with("ext", json!(2001))), E::BadExtension),
        ("ext a list", signed(&with("ext", json!(["2001"]))), E::BadExtension),
        ("ext empty", signed(&with("ext", json!(""))), E::BadExtension),
        ("ext with a line's end", signed(&with("ext", json!("2001\r\nX: y"))), E::BadExtension),
        ("ext with a zero byte", signed(&with("ext", json!("2001\u{0}"))), E::BadExtension),
        ("ext with full-width digits", signed(&with("ext", json!("２００１"))), E::BadExtension),
        ("ext with a space", signed(&with("ext", json!("20 01"))), E::BadExtension),
        ("ext a path", signed(&with("ext", json!("../2001"))), E::BadExtension),
        ("ext of dots", signed(&with("ext", json!(".."))), E::BadExtension),
        ("ext too long", signed(&with("ext", json!("1".repeat(65)))), E::BadExtension),
        ("ext in the other case", signed_text(r#"{"Ext":"2001","exp":1800003600}"#), E::NoExtension),
        ("ext twice", signed_text(r#"{"ext":"2001","exp":1800003600,"ext":"2002"}"#), E::Malformed),
        ("exp twice", signed_text(r#"{"ext":"2001","exp":1,"exp":1800003600}"#), E::Malformed),
        ("claims a list", signed_text(r#"["2001",1800003600,null]"#), E::Malformed),
        ("claims a text", signed_text(r#""2001""#), E::Malformed),
        ("claims no JSON", signed_text("hello"), E::Malformed),
        ("claims with something behind", signed_text(r#"{"ext":"2001","exp":1800003600}{}"#), E::Malformed),
        ("deep header", raw(&format!(r#"{{"alg":"HS256","x":{}}}"#, deep(2000)), &payload_text, Algorithm::HS256, SECRET.as_bytes()), E::Malformed),
        ("deep ext", signed_text(&format!(r#"{{"ext":{},"exp":1800003600}}"#, deep(2000))), E::Malformed),
        ("huge", signed(&with("x", json!("x".repeat(9000)))), E::TooLong),
        ("huge and no token", "a".repeat(1 << 20), E::TooLong),
        ("standard base64", standard, E::Malformed),
        ("padded base64", format!("{head}.{payload}.{signature}="), E::Malformed),
        ("a dot too many", format!("{good}."), E::Malformed),
        ("four parts", format!("{good}.{signature}"), E::Malformed),
        ("five parts, as if encrypted", format!("{good}.{signature}.{signature}"), E::Malformed),
        ("a space before", format!(" {good}"), E::Malformed),
        ("a line's end behind", format!("{good}\n"), E::Malformed),
        ("with Bearer", format!("Bearer {good}"), E::Malformed),
        ("with a zero byte", format!("{good}\0"), E::Malformed),
        ("with letters of another script", format!("{good}é"), E::Malformed),
    ];
    assert!(forged.len() >= 30);
    for (name, token, error) in forged {
        let outcome = verifier.verify_at(&token, NOW);
        assert_eq!(outcome, Err(error), "{name}");
    }
}

#[test]
fn honest_tokens_of_every_kind_are_accepted() {
    let keys = Keys::new();
    let verifier = keys.verifier();
    let pem = |key: &rcgen::KeyPair| key.serialize_pem();
    let encode = |alg, key: &EncodingKey| encode(&Header::new(alg), &claims(), key).expect("token");
    let secret = EncodingKey::from_secret(SECRET.as_bytes());
    let rsa = EncodingKey::from_rsa_pem(pem(&keys.rsa).as_bytes()).expect("RSA");
    let ec = EncodingKey::from_ec_pem(pem(&keys.ec).as_bytes()).expect("EC");
    let ed = EncodingKey::from_ed_pem(pem(&keys.ed).as_bytes()).expect("Ed");
    #[rustfmt::skip]
    let honest = [
        ("HS256", encode(Algorithm::HS256, &secret)),
        ("HS384", encode(Algorithm::HS384, &secret)),
        ("HS512", encode(Algorithm::HS512, &secret)),
        ("the previous secret", encode(Algorithm::HS256, &EncodingKey::from_secret(PREVIOUS.as_bytes()))),
        ("RS256", encode(Algorithm::RS256, &rsa)),
        ("ES256", encode(Algorithm::ES256, &ec)),
        ("EdDSA", encode(Algorithm::EdDSA, &ed)),
        ("no typ", headed(&json!({"alg": "HS256"}))),
        ("a kid that nobody reads", headed(&json!({"alg": "HS256", "kid": "2026-1"}))),
        ("PHP: spaces and escaped slashes", signed_text("{ \"iss\": \"https:\\/\\/crm\", \"ext\": \"2001\", \"iat\": 1800000000, \"exp\": 1800003600 }")),
        ("Node: jsonwebtoken", signed_text(r#"{"ext":"2001","iat":1800000000,"exp":1800003600,"sub":"u1"}"#)),
        ("Python: time.time() with a fraction", signed_text(r#"{"ext": "2001", "iat": 1800000000.123, "exp": 1800003600.9}"#)),
        ("aud", signed(&with("aud", json!(["crm", "phone"])))),
        ("nbf now", signed(&with("nbf", json!(NOW)))),
        ("nbf within the leeway", signed(&with("nbf", json!(NOW + 5)))),
    ];
    for (name, token) in honest {
        let claims = Claims { ext: "2001".into(), exp: NOW + 3600 };
        assert_eq!(verifier.verify_at(&token, NOW), Ok(claims), "{name}");
    }
}

#[test]
fn a_token_ends_when_its_leeway_does() {
    let verifier = secrets_only();
    let token = signed(&with("exp", json!(NOW)));
    assert!(verifier.verify_at(&token, NOW + 4).is_ok());
    assert_eq!(verifier.verify_at(&token, NOW + 5), Err(TokenError::Expired));
}

#[test]
fn what_is_minted_is_verified() {
    let minted = mint(&Secret::new(SECRET), "2001", Duration::from_secs(60), NOW).expect("token");
    let claims = secrets_only().verify_at(&minted, NOW).expect("claims");
    assert_eq!(claims, Claims { ext: "2001".into(), exp: NOW + 60 });
    let hush = Secret::new(SECRET);
    assert!(mint(&hush, "20 01", Duration::ZERO, NOW).is_err());
    assert_eq!(mint(&hush, "1", Duration::MAX, NOW), Err(MintError::Expiry));
}

#[test]
fn a_restricted_key_admits_what_is_listed_and_nothing_else() {
    let key = VerifyingKey::secret(SECRET).restrict(&[Algorithm::HS512]).expect("a key");
    let verifier = Verifier::new(vec![key], Duration::ZERO);
    assert_eq!(verifier.verify_at(&signed(&claims()), NOW), Err(TokenError::Algorithm));
    assert!(VerifyingKey::secret(SECRET).restrict(&[Algorithm::RS256]).is_none());
}

#[test]
fn a_verifier_without_keys_lets_nobody_in() {
    let verifier = Verifier::new(vec![], Duration::ZERO);
    assert_eq!(verifier.verify_at(&signed(&claims()), NOW), Err(TokenError::Algorithm));
}

#[test]
fn only_a_public_key_is_taken_for_one() {
    let key = rcgen::KeyPair::generate().expect("a key");
    let refused = |pem: &str| VerifyingKey::public_pem(pem.as_bytes()).err();
    assert_eq!(refused(&key.serialize_pem()), Some(KeyError::Private));
    assert_eq!(refused("hello"), Some(KeyError::NotPem));
    let broken = "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n";
    assert_eq!(refused(broken), Some(KeyError::Kind));
    assert!(VerifyingKey::public_pem(key.public_key_pem().as_bytes()).is_ok());
}

#[test]
fn an_rsa_key_that_is_too_short_is_refused_at_once() {
    let short = "-----BEGIN PUBLIC KEY-----\n\
        MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDdlatRjRjogo3WojgGHFHYLugd\n\
        UWAY9iR3fy4arWNA1KoS8kVw33cJibXr8bvwUAUparCwlvdbH6dvEOfou0/gCFQs\n\
        HUfQrSDv+MuSUMAe8jzKE4qW+jK+xQU9a03GUnKHkkle+Q0pX/g6jXZ7r1/xAK5D\n\
        o2kQ+X5xK9cipRgEKwIDAQAB\n-----END PUBLIC KEY-----\n";
    assert_eq!(VerifyingKey::public_pem(short.as_bytes()).err(), Some(KeyError::TooShort));
}

#[test]
fn extensions_are_what_is_dialled_and_nothing_that_ends_a_line_or_a_path() {
    for good in ["2001", "*97", "#9", "+81312345678", "john.doe@example", "G01", "a_b-c", "0"] {
        assert!(is_extension(good), "{good}");
    }
    for bad in ["", ".", "..", "-", "a b", "a/b", "a\\b", "a\nb", "a\"b", "a,b", "é", "a&b", "a:b"]
    {
        assert!(!is_extension(bad), "{bad}");
    }
}

#[test]
fn nothing_shows_a_key() {
    assert!(!format!("{:?}", Keys::new().verifier()).contains("0123"));
}

proptest::proptest! {
    #[test]
    fn any_text_gives_an_error_and_never_a_panic(text in "\\PC*") {
        proptest::prop_assert!(secrets_only().verify_at(&text, NOW).is_err());
    }

    #[test]
    fn no_changed_letter_of_a_token_gets_through(index in 0usize..150, letter in "[A-Za-z0-9_-]") {
        let good = signed(&claims());
        let index = index % good.len();
        let mut forged = good.clone();
        forged.replace_range(index..=index, &letter);
        if forged != good {
            proptest::prop_assert!(secrets_only().verify_at(&forged, NOW).is_err());
        }
    }
}
