//! The dialect `goastgateway.v1`, as docs/phone-protocol.md has it: JSON texts, binary audio.
//!
//! `message` is what a phone says and `says` what it is told, `errors` the one table of codes,
//! `memory` what makes repeating safe, `life` when a page is late, `rate` how much it may say.
//! All of it is PURE; `phone::task` carries it out.

pub mod errors;
pub mod life;
pub mod memory;
pub mod message;
pub mod rate;
pub mod says;

/// The subprotocol that asks for this dialect.
pub const PROTOCOL: &str = "goastgateway.v1";
/// Before a token that comes as a second subprotocol.
pub const BEARER: &str = "bearer.";
/// Longest text message. `login` with the longest token that is looked at fits twice.
pub const MAX_TEXT: usize = 16 * 1024;

/// Close codes beyond those of RFC 6455.
pub mod close {
    pub const BAD_MESSAGE: u16 = 4400;
    pub const BAD_TOKEN: u16 = 4401;
    pub const FORBIDDEN: u16 = 4403;
    pub const NO_LOGIN: u16 = 4408;
    pub const IN_USE: u16 = 4409;
    pub const REPLACED: u16 = 4410;
    pub const TOO_MANY_FAILURES: u16 = 4429;
}
