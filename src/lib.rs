//! The gateway that lets a browser be a telephone of an Asterisk PBX.
#![forbid(unsafe_code)]

pub mod app;
pub mod cli;
pub mod config;
pub mod net;
pub mod phone;
