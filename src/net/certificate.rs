//! Certificates and keys as files: reads them, and tells every fault from the others.

use std::{
    fs, io,
    path::Path,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use x509_parser::{extensions::GeneralName, prelude::FromDer};

/// Largest PEM file that is read: a chain has a few kilobytes.
const MAX_PEM: u64 = 1024 * 1024;

/// Which of the two files something is wrong with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    Certificate,
    Key,
}

/// What is wrong with a certificate or its key.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    #[error("the file doesn't exist")]
    Missing,
    #[error("this user may not read the file (permission denied)")]
    Permission,
    #[error("the file can't be read ({0})")]
    Io(io::Error),
    #[error("the file holds no {0} in PEM form")]
    NotPem(&'static str),
    #[error("the key is locked with a passphrase")]
    Encrypted,
    #[error("the {0} can't be used ({1})")]
    Unusable(&'static str, String),
    #[error("the key doesn't belong to the certificate")]
    Mismatch,
}

/// A fault and the file that it is in.
#[derive(Debug, thiserror::Error)]
#[error("{fault}")]
pub struct TlsError {
    pub part: Part,
    pub fault: Fault,
}

/// What a certificate says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFacts {
    /// The names and addresses that it is for. Browsers look at nothing else.
    pub names: Vec<String>,
    pub not_before: SystemTime,
    pub not_after: SystemTime,
}

/// What the first certificate of a file says.
pub fn certificate_facts(cert: &Path) -> Result<CertificateFacts, TlsError> {
    let chain = read_chain(cert)?;
    let bad = |why: &dyn std::fmt::Display| unusable(Part::Certificate, &why.to_string());
    let first = chain.first().ok_or_else(|| bad(&"empty"))?;
    let (_, parsed) =
        x509_parser::certificate::X509Certificate::from_der(first).map_err(|e| bad(&e))?;
    let mut names = Vec::new();
    if let Ok(Some(san)) = parsed.subject_alternative_name() {
        names.extend(san.value.general_names.iter().filter_map(name));
    }
    let time = |seconds: i64| UNIX_EPOCH + Duration::from_secs(seconds.max(0).unsigned_abs());
    let validity = parsed.validity();
    Ok(CertificateFacts {
        names,
        not_before: time(validity.not_before.timestamp()),
        not_after: time(validity.not_after.timestamp()),
    })
}

fn name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => {
            let v4 = <[u8; 4]>::try_from(*bytes).map(|b| std::net::IpAddr::from(b).to_string());
            let v6 = <[u8; 16]>::try_from(*bytes).map(|b| std::net::IpAddr::from(b).to_string());
            v4.or(v6).ok()
        }
        _ => None,
    }
}

pub(super) fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let pem = read(path, Part::Certificate)?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match chain {
        Ok(chain) if !chain.is_empty() => Ok(chain),
        _ => Err(TlsError { part: Part::Certificate, fault: Fault::NotPem("certificate") }),
    }
}

pub(super) fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let pem = read(path, Part::Key)?;
    PrivateKeyDer::from_pem_slice(&pem).map_err(|_| {
        let locked = b"ENCRYPTED";
        let locked = pem.windows(locked.len()).any(|window| window == locked);
        let fault = if locked { Fault::Encrypted } else { Fault::NotPem("private key") };
        TlsError { part: Part::Key, fault }
    })
}

/// A file of certificates or of a key: a file, and no longer than such a file is.
pub fn read_pem(path: &Path) -> io::Result<Vec<u8>> {
    let meta = fs::metadata(path)?;
    if !meta.is_file() {
        return Err(io::Error::other("not a file"));
    }
    if meta.len() > MAX_PEM {
        return Err(io::Error::other("too large for a certificate or key"));
    }
    fs::read(path)
}

fn read(path: &Path, part: Part) -> Result<Vec<u8>, TlsError> {
    read_pem(path).map_err(|error| {
        let fault = match error.kind() {
            io::ErrorKind::NotFound => Fault::Missing,
            io::ErrorKind::PermissionDenied => Fault::Permission,
            _ => Fault::Io(error),
        };
        TlsError { part, fault }
    })
}

pub(super) fn unusable(part: Part, why: &str) -> TlsError {
    let what = match part {
        Part::Certificate => "certificate",
        Part::Key => "key",
    };
    TlsError { part, fault: Fault::Unusable(what, why.to_owned()) }
}
