//! Asterisk's manager: what chan_websocket's own socket can't say goes through it.
//!
//! `message` is the protocol (pure), `client` the one connection, kept up for as long as the
//! gateway runs. Nothing here is waited for by a call: an action is handed over, and a call that
//! must go on without it does.

pub mod client;
pub mod message;
