//! TLS: a certificate and its key, made ready to serve.
//!
//! TLS 1.2 and 1.3 with one provider given explicitly, so that no other crate's default can change
//! what we speak. Tickets are sealed with keys that live as long as the process: a reload of the
//! certificate doesn't make every phone shake hands in full.

use std::{
    path::Path,
    sync::{Arc, OnceLock},
};

use rustls::{
    ClientConfig, InconsistentKeys, RootCertStore, ServerConfig,
    crypto::aws_lc_rs,
    server::{NoServerSessionStorage, ProducesTickets},
    sign::{CertifiedKey, SingleCertAndKey},
};

pub use super::certificate::{
    CertificateFacts, Fault, Part, TlsError, certificate_facts, read_pem,
};
use super::certificate::{read_chain, read_key, unusable};

/// The process's ticket keys; they rotate by themselves.
pub fn tickets() -> Result<Arc<dyn ProducesTickets>, rustls::Error> {
    static TICKETS: OnceLock<Arc<dyn ProducesTickets>> = OnceLock::new();
    if let Some(tickets) = TICKETS.get() {
        return Ok(tickets.clone());
    }
    let fresh = aws_lc_rs::Ticketer::new()?;
    Ok(TICKETS.get_or_init(|| fresh).clone())
}

/// Reads certificate and key and makes them ready to serve HTTP/1.1.
pub fn server_config(
    cert: &Path,
    key: &Path,
    tickets: Arc<dyn ProducesTickets>,
) -> Result<Arc<ServerConfig>, TlsError> {
    let chain = read_chain(cert)?;
    let key = read_key(key)?;
    let provider = Arc::new(aws_lc_rs::default_provider());
    let certified = CertifiedKey::from_der(chain, key, &provider).map_err(|error| match error {
        rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
            TlsError { part: Part::Key, fault: Fault::Mismatch }
        }
        rustls::Error::InvalidCertificate(error) => {
            unusable(Part::Certificate, &format!("{error:?}"))
        }
        other => unusable(Part::Key, &other.to_string()),
    })?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(|error| unusable(Part::Certificate, &error.to_string()))?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
    // HTTP/2 has no use here, and a browser that is offered it may open WebSockets through it.
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    // A phone keeps one connection: it uses one ticket when it comes back.
    config.send_tls13_tickets = 1;
    config.ticketer = tickets;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(Arc::new(config))
}

/// Trusts whoever these authorities have signed, for a connection that the gateway makes.
pub fn client_config(authorities: &Path) -> Result<Arc<ClientConfig>, TlsError> {
    client_config_of(self::authorities(authorities)?, None)
}

/// The authorities of a file.
pub fn authorities(path: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in read_chain(path)? {
        roots.add(certificate).map_err(|error| unusable(Part::Certificate, &error.to_string()))?;
    }
    Ok(roots)
}

/// Trusts whoever these have signed, and shows a certificate of our own: its file and its key's.
pub fn client_config_of(
    roots: RootCertStore,
    identity: Option<(&Path, &Path)>,
) -> Result<Arc<ClientConfig>, TlsError> {
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(|error| unusable(Part::Certificate, &error.to_string()))?
        .with_root_certificates(roots);
    let config = match identity {
        None => builder.with_no_client_auth(),
        Some((cert, key)) => builder
            .with_client_auth_cert(read_chain(cert)?, read_key(key)?)
            .map_err(|error| unusable(Part::Key, &error.to_string()))?,
    };
    Ok(Arc::new(config))
}

/// Whether a file holds a usable private key, whatever certificate it belongs to.
pub fn check_key(key: &Path) -> Result<(), TlsError> {
    let key = read_key(key)?;
    match aws_lc_rs::default_provider().key_provider.load_private_key(key) {
        Ok(_) => Ok(()),
        Err(error) => Err(unusable(Part::Key, &error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    struct Pair {
        dir: tempfile::TempDir,
        key: rcgen::KeyPair,
    }

    impl Pair {
        fn new() -> Self {
            let dir = tempfile::tempdir().expect("a folder");
            let names = vec!["gw.example".to_owned(), "192.0.2.7".to_owned()];
            let made = rcgen::generate_simple_self_signed(names).expect("a certificate");
            let pair = Self { dir, key: made.signing_key };
            pair.write("cert", &made.cert.pem());
            pair.write("key", &pair.key.serialize_pem());
            pair
        }
        fn path(&self, name: &str) -> std::path::PathBuf {
            self.dir.path().join(name)
        }
        fn write(&self, name: &str, text: &str) {
            fs::write(self.path(name), text).expect("written");
        }
        fn load(&self) -> Result<Arc<ServerConfig>, TlsError> {
            server_config(&self.path("cert"), &self.path("key"), tickets().expect("tickets"))
        }
        fn fault(&self) -> (Part, String) {
            let error = self.load().expect_err("a fault");
            (error.part, error.fault.to_string())
        }
    }

    #[test]
    fn a_matching_pair_serves_http1_with_one_ticket() {
        let config = Pair::new().load().expect("a configuration");
        assert_eq!(config.alpn_protocols, [b"http/1.1"]);
        assert_eq!(config.send_tls13_tickets, 1);
        assert!(config.ticketer.enabled());
    }

    #[test]
    fn the_ticket_keys_outlive_a_reload() {
        let pair = Pair::new();
        let (old, new) = (pair.load().expect("old"), pair.load().expect("new"));
        let sealed = old.ticketer.encrypt(b"state").expect("sealed");
        assert_eq!(new.ticketer.decrypt(&sealed).as_deref(), Some(&b"state"[..]));
    }

    #[test]
    fn a_certificate_tells_its_names_and_its_end() {
        let facts = certificate_facts(&Pair::new().path("cert")).expect("facts");
        assert_eq!(facts.names, ["gw.example", "192.0.2.7"]);
        assert!(facts.not_before < facts.not_after);
    }

    #[test]
    fn a_key_of_another_certificate_is_refused() {
        let pair = Pair::new();
        pair.write("key", &Pair::new().key.serialize_pem());
        assert_eq!(pair.fault(), (Part::Key, Fault::Mismatch.to_string()));
    }

    #[test]
    fn every_fault_of_a_file_is_told_from_the_others() {
        let pair = Pair::new();
        let swapped = fs::read_to_string(pair.path("cert")).expect("a certificate");
        pair.write("key", &swapped);
        assert_eq!(pair.fault(), (Part::Key, Fault::NotPem("private key").to_string()));
        pair.write(
            "key",
            "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
        );
        assert_eq!(pair.fault(), (Part::Key, Fault::Encrypted.to_string()));
        pair.write("key", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n");
        assert_eq!(pair.fault().0, Part::Key);
        fs::remove_file(pair.path("key")).expect("removed");
        assert_eq!(pair.fault(), (Part::Key, Fault::Missing.to_string()));
        pair.write("cert", "hello");
        assert_eq!(pair.fault(), (Part::Certificate, Fault::NotPem("certificate").to_string()));
        fs::remove_file(pair.path("cert")).expect("removed");
        fs::create_dir(pair.path("cert")).expect("made");
        assert!(pair.fault().1.contains("not a file"));
    }
}
