//! ARI: any channel of Asterisk, listened to on demand.
//!
//! For each channel Asterisk makes two *snoops* (what the channel says, what it hears), each in a
//! bridge with an *external media* channel that brings its audio to this gateway's own listener.
//!
//! `part` names what is made, `message` is what goes over the wire, `steps` in which order it is
//! made and unmade (all three pure); `client` does one request, `events` keeps the WebSocket up,
//! `keeper` is the one task that holds all of it together, `ear` takes the audio in.
//!
//! Promises: whatever ends, and in whatever order, what was made is unmade; what an earlier run has
//! left is swept away, and nothing of anybody else's; no call of Asterisk's is touched; how many
//! channels are listened to has a bound.

pub mod client;
pub mod ear;
mod events;
mod keeper;
pub mod message;
pub mod part;
pub mod steps;

pub use keeper::start;
