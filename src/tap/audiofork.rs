//! PURE: streams as users of app_audiofork ask for them: by events of the manager or the dialplan,
//! in the words of its actions and options.
//!
//! Any text gives a value or an error. Where a stream may go is decided here, too: whoever can send
//! such an event would otherwise have the gateway connect to anything that it can reach.

mod options;
mod request;
mod servers;

use std::sync::Arc;

pub use options::{BadOptions, Direction, Options};
pub use request::{Asked, Bad, NAMES, Request, Start};
pub use servers::Servers;

/// Longest options and URL that are looked at.
pub const MOST: usize = 4096;

/// Whether and where to events may send audio.
#[derive(Debug, Clone)]
pub struct Settings {
    pub servers: Servers,
    /// For `wss:`; `None` trusts whom the system trusts.
    pub tls: Option<Arc<rustls::ClientConfig>>,
}
