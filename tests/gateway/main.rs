//! The gateway from outside, over real sockets and TLS: one program of tests, because each program
//! links the whole house once more.
//!
//! `cargo test --test gateway doors::` runs those of one file.

#[path = "../support/mod.rs"]
mod support;

mod ami;
mod cli;
mod config;
mod control;
mod doctor;
mod doors;
mod go_gateway_faults;
mod lifecycle;
mod phone_v1;
mod postgres;
mod records;
mod supply_chain;
mod webhooks;
