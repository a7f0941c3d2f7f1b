//! Plumbing that both sides share.

pub mod tls;
