//! From the 101 to the login's end: who holds the extension, and whether that one is alive.

use std::{sync::Arc, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::{mpsc, oneshot},
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{
    plain::ToPhone,
    task::{CLOSE_POLICY, LoginEnd, PhoneTask},
};
use crate::{
    call::Extension,
    config::DuplicateLogin,
    exchange::{Exchange, PHONE_MAILBOX, PhoneHandle, Registration, line::PhoneCommand},
    net::wire::{Message, Wire},
    report::metrics::ReasonLabel,
};

/// How long the holder of an extension has to answer a ping before it counts as dead.
pub const PROBE_TIME: Duration = Duration::from_secs(1);
/// How often a login that meets others who log in at the same moment tries again.
const ATTEMPTS: usize = 4;

/// Serves one phone whose token was good, to its end.
pub async fn serve<S>(
    mut wire: Wire<S>,
    ext: Extension,
    remote: std::net::IpAddr,
    duplicate: DuplicateLogin,
    exchange: Arc<Exchange>,
) where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (commands, mailbox) = mpsc::channel(PHONE_MAILBOX);
    let kicked = CancellationToken::new();
    let handle = PhoneHandle {
        login: exchange.next_login(),
        commands,
        kicked: kicked.clone(),
        since: crate::report::time::Utc::now(),
    };
    let Some(registration) = log_in(&ext, handle, duplicate, &exchange).await else {
        warn!(%ext, %remote, "second login refused: the extension is logged in and alive");
        exchange.metrics.login_failed("busy");
        let _ = wire.send(Message::text(ToPhone::Busy.as_str()));
        wire.close(CLOSE_POLICY, "the extension is logged in elsewhere").await;
        return;
    };
    let login = registration.login;
    info!(%ext, %remote, login = login.0, "phone logged in");
    exchange.metrics.logins.inc();
    let leaving = exchange.leaving.clone();
    let task = PhoneTask::new(wire, registration, mailbox, kicked, leaving);
    let end = Box::pin(task.run()).await;
    let reason = end.as_str();
    if end == LoginEnd::Silent {
        warn!(%ext, login = login.0, reason, "phone dropped: no sign of life");
    } else {
        info!(%ext, login = login.0, reason, "phone logged out");
    }
    exchange.metrics.phones_lost.get_or_create(&ReasonLabel { reason }).inc();
}

async fn log_in(
    ext: &Extension,
    handle: PhoneHandle,
    duplicate: DuplicateLogin,
    exchange: &Arc<Exchange>,
) -> Option<Registration> {
    for _ in 0..ATTEMPTS {
        let holder = match exchange.log_in(ext, handle.clone()) {
            Ok(registration) => return Some(registration),
            Err(holder) => holder,
        };
        if duplicate == DuplicateLogin::Reject && is_alive(&holder).await {
            return None;
        }
        if exchange.evict(ext, holder.login) {
            info!(%ext, login = holder.login.0, "older login dropped for a newer one");
        }
    }
    None
}

/// Whether a phone answers a ping. It must be asked through its own task, which owns the socket.
async fn is_alive(phone: &PhoneHandle) -> bool {
    let (reply, answer) = oneshot::channel();
    // A task with too much to do is not a phone that is dead; one that has ended is.
    if phone.commands.try_send(PhoneCommand::Probe(reply)).is_ok()
        && timeout(PROBE_TIME, answer).await.is_err()
    {
        return false;
    }
    !phone.commands.is_closed()
}
