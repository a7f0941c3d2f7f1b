//! Plumbing that both sides share: listening, TLS, one WebSocket with bounded queues, limits.
//!
//! Promises: every queue is bounded and every wait under a deadline or a cancel token. Order at
//! the door: address, TLS, HTTP head, origin, token, 101. One owner a socket: only the owner
//! writes, or who does its work under its lock ([`life`]).

pub mod address;
pub mod bell;
mod certificate;
pub mod dial;
pub mod door;
pub mod hop;
pub mod io;
pub mod latest;
pub mod life;
pub mod limits;
pub mod listen;
pub mod liveness;
pub mod mailbox;
pub mod reactor;
pub mod rhythm;
pub mod sealed;
pub mod short;
pub mod tcp;
pub mod timer;
pub mod tls;
pub mod upgrade;
pub mod wire;
pub mod ws;
