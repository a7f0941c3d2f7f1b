//! Plumbing that both sides share.

mod certificate;
pub mod tls;
