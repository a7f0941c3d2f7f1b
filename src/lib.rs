//! A browser as a telephone of an Asterisk PBX: no SIP, no ICE, one open port.
#![forbid(unsafe_code)]
#![cfg_attr(not(test), warn(clippy::disallowed_methods, clippy::disallowed_types))]

pub mod admin;
pub mod app;
pub mod asterisk;
pub mod call;
pub mod cli;
pub mod config;
pub mod daemon;
pub mod exchange;
pub mod logging;
pub mod media;
pub mod net;
pub mod phone;
pub mod report;
