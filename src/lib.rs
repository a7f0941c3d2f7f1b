//! A browser as a telephone of an Asterisk PBX: no SIP, no ICE, one open port.
//!
//! # The house
//!
//! | room | what it is |
//! |---|---|
//! | [`config`] | the files that people write, read into one validated, immutable `Config` |
//! | [`call`] | PURE: the machine of one call, hunting, who is registered, why a call ended |
//! | [`media`] | PURE: frames, cutting them, keeping Asterisk's queue short |
//! | [`asterisk`] | the PBX's side: its messages, its door, the task of one call, its manager |
//! | [`phone`] | the browser's side: its dialect, tokens, its door, the task of one login |
//! | [`exchange`] | the only shared state: who is here and who is taken |
//! | [`tap`] | whoever listens to a call: streams and their formats, recordings and where they go |
//! | [`report`] | what leaves the house about calls: metrics, the line at a call's end |
//! | [`admin`] | the operator's HTTP: health, readiness, metrics |
//! | [`net`] | plumbing of both sides: listening, TLS, one WebSocket, limits |
//! | [`app`], [`daemon`], [`logging`], [`cli`] | the program: built once, started, stopped |
//!
//! # The way of a call
//!
//! Asterisk's connection enters at [`asterisk::listener`], which answers the upgrade at once. A
//! [`asterisk::leg`] takes it; MEDIA_START becomes a value, [`asterisk::route`] says whom it is
//! for, [`call::machine`] decides whom to ring. [`exchange`] finds each phone and holds it for
//! this call; the phone's own [`phone::task`] rings it. The first ANSWER comes back the same way,
//! over a place in the call's mailbox that was reserved before it rang. From then on audio goes
//! from task to task in one hop ([`net::hop`]) and never through `call`; towards Asterisk it goes
//! past [`media::pacer`]. Whoever hangs up, the machine says so once, and [`report`] writes it
//! down once.
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    warn(clippy::disallowed_methods, clippy::large_futures, clippy::unwrap_used)
)]

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
pub mod tap;
