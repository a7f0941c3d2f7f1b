//! Opens what the settings name: certificate, key, public key.
//!
//! Whether a file is missing, forbidden, no PEM or the wrong one is told apart, since each is put
//! right in another way.

use std::{path::PathBuf, time::SystemTime};

use super::{TlsIdentity, item::Item, json::Section};
use crate::{
    net::tls::{self, Fault, Part, TlsError},
    phone::token::VerifyingKey,
};

/// Certificate and key, or `None` after having said what is wrong.
pub(super) fn tls(section: &Section) -> Option<TlsIdentity> {
    let cert = path(section, "cert_file", "/usr/local/ssl/gateway.pem");
    let key = path(section, "key_file", "/usr/local/ssl/gateway-key.pem");
    let (cert_file, key_file) = (cert?, key?);
    let tickets = match tls::tickets() {
        Ok(tickets) => tickets,
        Err(error) => {
            section.problem("cert_file", &format!("no random numbers ({error})"), "start again");
            return None;
        }
    };
    match tls::server_config(&cert_file, &key_file, tickets) {
        Ok(server) => {
            validity(section, &cert_file);
            Some(TlsIdentity { cert_file, key_file, server })
        }
        Err(error) => {
            complain(section, &error, &cert_file, &key_file);
            // A key is looked at only once the certificate is good. Both may be wrong.
            if error.part == Part::Certificate
                && let Err(error) = tls::check_key(&key_file)
            {
                complain(section, &error, &cert_file, &key_file);
            }
            None
        }
    }
}

fn path(section: &Section, key: &'static str, example: &str) -> Option<PathBuf> {
    match section.get(key) {
        Some(item) => match item.text(example)? {
            "" => {
                item.problem("is empty", &format!("write the path of a file: \"{example}\""));
                None
            }
            path => Some(PathBuf::from(path)),
        },
        None => {
            section.problem(
                key,
                "is missing, and browsers open the microphone only behind TLS",
                &format!("write \"{key}\": \"{example}\""),
            );
            None
        }
    }
}

fn complain(section: &Section, error: &TlsError, cert: &std::path::Path, key: &std::path::Path) {
    let (name, path) = match error.part {
        Part::Certificate => ("cert_file", cert),
        Part::Key => ("key_file", key),
    };
    let remedy = match &error.fault {
        Fault::Missing => "write the path of an existing file instead".to_owned(),
        Fault::Permission => format!(
            "make it readable for the gateway's user: chgrp www-data {0} && chmod 640 {0}",
            path.display()
        ),
        Fault::Io(_) => "write the path of a readable file instead".to_owned(),
        Fault::NotPem(what) => format!(
            "write the path of a file with \"-----BEGIN {}-----\" instead",
            if *what == "certificate" { "CERTIFICATE" } else { "PRIVATE KEY" }
        ),
        Fault::Encrypted => {
            format!("unlock it first: openssl pkey -in {} -out unlocked.pem", path.display())
        }
        Fault::Unusable(..) => "write the path of an RSA, ECDSA or Ed25519 one instead".to_owned(),
        Fault::Mismatch => {
            format!("write the path of the key that {} was made with instead", cert.display())
        }
    };
    section.problem(name, &format!("{}: {}", path.display(), error.fault), &remedy);
}

/// An old certificate still serves: on a LAN a phone that warns is better than none.
fn validity(section: &Section, cert: &std::path::Path) {
    let Ok(facts) = tls::certificate_facts(cert) else {
        return;
    };
    #[allow(clippy::disallowed_methods, reason = "a certificate's dates are the calendar's")]
    let now = SystemTime::now();
    if facts.not_after < now {
        let day = humantime::format_rfc3339_seconds(facts.not_after);
        let what = format!("the certificate expired on {day}: browsers will refuse it");
        section.warning("cert_file", &what);
    }
    if facts.not_before > now {
        let day = humantime::format_rfc3339_seconds(facts.not_before);
        let what = format!("the certificate is valid only from {day}: is the clock right?");
        section.warning("cert_file", &what);
    }
    if facts.names.is_empty() {
        section.warning(
            "cert_file",
            "the certificate names no host (subjectAltName): browsers will refuse it",
        );
    }
}

/// The public key that tokens are verified with.
pub(super) fn public_key(item: &Item) -> Option<VerifyingKey> {
    let path = item.text("/usr/local/etc/goastgateway-jwt.pem")?;
    let pem = match tls::read_pem(std::path::Path::new(path)) {
        Ok(pem) => pem,
        Err(error) => {
            item.problem(
                &format!("{path} can't be read ({error})"),
                "write the path of a readable file instead",
            );
            return None;
        }
    };
    VerifyingKey::public_pem(&pem)
        .inspect_err(|error| {
            item.problem(
                &format!("{path} {error}"),
                "write the path of the public key instead: openssl pkey -in private.pem -pubout",
            );
        })
        .ok()
}
