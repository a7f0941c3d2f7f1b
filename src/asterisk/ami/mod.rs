//! Asterisk's manager: what chan_websocket's own socket can't say goes through it.
//!
//! `message` is the protocol and `event` what it reports (both pure), `connection` one login,
//! `client` keeps one up for as long as the gateway runs, `subscribe` says who hears what. No call
//! waits for anything here: an action is handed over, and a call that must go on without it does.

pub mod client;
pub mod connection;
pub mod event;
pub mod message;
pub mod subscribe;
