//! How a login ends, and what its connection is closed with.

use tracing::{info, warn};

use crate::{
    call::{Extension, LoginId},
    exchange::Exchange,
    net::wire::Closed,
    report::metrics::ReasonLabel,
};

/// WebSocket close codes (RFC 6455 and its registry).
pub const CLOSE_NORMAL: u16 = 1000;
pub const CLOSE_POLICY: u16 = 1008;
pub const CLOSE_RESTART: u16 = 1012;

/// Why a login ended; the name in logs and metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoginEnd {
    Left(Closed),
    LoggedOut,
    Silent,
    Replaced,
    Drained,
    /// It said what is no message at all.
    BadMessage,
    /// It was lost in a call and did not come back in time.
    NotBack,
}

impl LoginEnd {
    pub fn as_str(self) -> &'static str {
        match self {
            LoginEnd::Left(Closed::InOrder) => "closed",
            LoginEnd::Left(Closed::Lost) => "lost",
            LoginEnd::Left(Closed::Violation(_)) => "protocol",
            LoginEnd::Left(Closed::Stalled) => "stalled",
            LoginEnd::LoggedOut => "logged_out",
            LoginEnd::Silent => "silent",
            LoginEnd::Replaced => "replaced",
            LoginEnd::Drained => "drained",
            LoginEnd::BadMessage => "bad_message",
            LoginEnd::NotBack => "not_back",
        }
    }

    /// Says so in log and metrics.
    pub(super) fn report(self, login: LoginId, ext: &Extension, exchange: &Exchange) {
        let reason = self.as_str();
        if self == LoginEnd::Silent {
            warn!(%ext, login = login.0, reason, "phone dropped: no sign of life");
        } else {
            info!(%ext, login = login.0, reason, "phone logged out");
        }
        exchange.metrics.phones_lost.get_or_create(&ReasonLabel { reason }).inc();
    }
}
