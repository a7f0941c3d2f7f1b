//! Webhooks: what happens to calls, told to other systems, at least once and in the order of each
//! call.
//!
//! `message` says in which words (pure), `sign` proves that it is us, `spool` keeps on the disk
//! what isn't delivered yet, `sender` delivers. Promises: no call waits for a receiver; what is in
//! the spool outlives the process; it is bounded by number and age, and what is given up is
//! counted and said.

pub mod message;
pub mod sender;
pub mod sign;
pub mod spool;
