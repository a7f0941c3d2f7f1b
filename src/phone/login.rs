//! From a good token to the login's end: who holds the extension, whether that one is alive, and
//! whether it is the same page that comes back.

use std::{net::IpAddr, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use tokio::{sync::oneshot, time::timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{info, warn};

use super::{
    plain::ToPhone,
    task::{CLOSE_POLICY, PhoneTask, V1},
    token::Claims,
    v1::{
        close,
        errors::{Code, Error},
        says,
    },
};
use crate::{
    call::{Extension, registry::Standing},
    config::{Config, DuplicateLogin},
    exchange::{
        Exchange, Holder, PHONE_MAILBOX, PhoneHandle, Registration,
        line::{Attach, PhoneCommand, Places},
        resume::ResumeId,
    },
    net::{
        io::Io,
        life::Life,
        mailbox,
        wire::{Message, Wire},
    },
    report::time::Utc,
};

/// How long the holder of an extension has to answer a ping before it counts as dead.
pub const PROBE_TIME: Duration = Duration::from_secs(1);
/// How often a login that meets others who log in at the same moment tries again.
const ATTEMPTS: usize = 4;

/// A phone whose token was good.
pub struct Arrival {
    pub wire: Wire<Io>,
    pub places: Places,
    pub ext: Extension,
    pub remote: IpAddr,
    pub exchange: Arc<Exchange>,
    /// Those of all phones.
    pub tasks: TaskTracker,
}

/// What a login of `goastgateway.v1` says beside its token.
pub struct Wishes {
    pub claims: Claims,
    pub resume: Option<ResumeId>,
    /// What the page calls itself, for people.
    pub device: Option<Arc<str>>,
    pub call_waiting: bool,
    pub config: Arc<ArcSwap<Config>>,
}

/// Whose an extension is to be.
enum Verdict {
    /// A new login's.
    New(Registration),
    /// This one's again, which waits for its page.
    Back(PhoneHandle),
    /// Somebody else's.
    InUse,
}

/// Begins the life of a phone of the plain-text dialect.
pub async fn serve_plain(arrival: Arrival, duplicate: DuplicateLogin) {
    let Arrival { mut wire, places, ext, remote, exchange, tasks } = arrival;
    let (handle, mailbox) = handle(&exchange, None, None);
    let kicked = handle.kicked.clone();
    let Verdict::New(registration) = settle(&ext, handle, None, false, duplicate, &exchange).await
    else {
        refused(&exchange, &ext, remote);
        let _ = wire.send(Message::text(ToPhone::Busy.as_str()));
        wire.close(CLOSE_POLICY, "the extension is logged in elsewhere").await;
        return;
    };
    let task = PhoneTask::plain(wire, places, registration, mailbox, kicked);
    live(task, ext, remote, exchange, &tasks);
}

/// Begins the life of a phone of `goastgateway.v1`, or hands its connection to the task that waits
/// for it.
pub async fn serve_v1(arrival: Arrival, wishes: Wishes) {
    let Arrival { mut wire, mut places, ext, remote, exchange, tasks } = arrival;
    let Wishes { claims, resume, device, call_waiting, config } = wishes;
    let duplicate = config.load().calls.duplicate_login;
    let mut bytes = [0; 16];
    if aws_lc_rs::rand::fill(&mut bytes).is_err() {
        return; // without random numbers nobody could come back safely
    }
    let own = ResumeId::new(bytes);
    for _ in 0..ATTEMPTS {
        let (handle, mailbox) = handle(&exchange, Some(own), device.clone());
        let kicked = handle.kicked.clone();
        match settle(&ext, handle, resume.as_ref(), true, duplicate, &exchange).await {
            Verdict::New(registration) => {
                let v1 = V1::new(config, own, claims.exp, call_waiting);
                let task = PhoneTask::v1(wire, places, registration, mailbox, kicked, v1);
                return live(task, ext, remote, exchange, &tasks);
            }
            Verdict::Back(phone) => {
                let attach = Attach { wire, places, token_expires: claims.exp, call_waiting };
                match phone.commands.try_send(PhoneCommand::Attach(Box::new(attach))) {
                    Ok(()) => return,
                    // It has ended, or has much to do, in this very moment.
                    Err(refused) => match refused.0 {
                        PhoneCommand::Attach(attach) => {
                            Attach { wire, places, .. } = *attach;
                            tokio::task::yield_now().await;
                        }
                        _ => return,
                    },
                }
            }
            Verdict::InUse => break,
        }
    }
    refused(&exchange, &ext, remote);
    let mut error = Error::new(Code::ExtensionInUse, "the extension is logged in elsewhere");
    error.devices = exchange.devices(&ext);
    let _ = wire.send(Message::text(says::ToPhone::error(None, &error).json()));
    wire.close(close::IN_USE, "the extension is logged in elsewhere").await;
    drop(places);
}

fn handle(
    exchange: &Exchange,
    resume: Option<ResumeId>,
    device: Option<Arc<str>>,
) -> (PhoneHandle, mailbox::Receiver<PhoneCommand>) {
    let (commands, mailbox) = mailbox::mailbox(PHONE_MAILBOX);
    let kicked = CancellationToken::new();
    let (login, since) = (exchange.next_login(), Utc::now());
    (PhoneHandle { login, commands, kicked, since, resume, device }, mailbox)
}

fn refused(exchange: &Exchange, ext: &Extension, remote: IpAddr) {
    warn!(%ext, %remote, "second login refused: the extension is logged in and alive");
    exchange.metrics.login_failed("busy");
}

/// A phone's life, in a task of its own: what its login needed is given back, and a frame of audio
/// passes by nothing of it.
fn live(
    task: PhoneTask,
    ext: Extension,
    remote: IpAddr,
    exchange: Arc<Exchange>,
    tasks: &TaskTracker,
) {
    info!(%ext, %remote, login = task.login().0, "phone logged in");
    exchange.metrics.logins.inc();
    tasks.spawn(Life::new(task));
}

/// Decides whose an extension is. `returns` is whether this dialect can take over a login that is
/// there.
async fn settle(
    ext: &Extension,
    handle: PhoneHandle,
    resume: Option<&ResumeId>,
    returns: bool,
    duplicate: DuplicateLogin,
    exchange: &Arc<Exchange>,
) -> Verdict {
    for _ in 0..ATTEMPTS {
        if returns && let Some(phone) = comes_back(&exchange.holders(ext), resume) {
            return Verdict::Back(phone);
        }
        let beside = duplicate == DuplicateLogin::RingAll;
        if returns
            && beside
            && let Some(phone) = dead_in_call(&exchange.holders(ext)).await
        {
            return Verdict::Back(phone);
        }
        let holders = match exchange.log_in(ext, handle.clone(), beside) {
            Ok(registration) => return Verdict::New(registration),
            Err(holders) => holders,
        };
        let Some(holder) = first_dead(&holders, duplicate).await else { return Verdict::InUse };
        if returns && holder.in_call && holder.phone.resume.is_some() {
            // A call outlives the page that it was answered in, whoever noticed first.
            return Verdict::Back(holder.phone.clone());
        }
        if exchange.evict(ext, holder.phone.login) {
            info!(%ext, login = holder.phone.login.0, "older login dropped for a newer one");
        }
    }
    Verdict::InUse
}

/// The login that a page is, which comes back: the one that it names, or one that is waited for.
fn comes_back(holders: &[Holder], resume: Option<&ResumeId>) -> Option<PhoneHandle> {
    let named = |holder: &&Holder| match (&holder.phone.resume, resume) {
        (Some(own), Some(named)) => own.is(named),
        _ => false,
    };
    let waited =
        |holder: &&Holder| holder.standing == Standing::Detached && holder.phone.resume.is_some();
    let found = holders.iter().find(named).or_else(|| holders.iter().find(waited));
    found.map(|holder| holder.phone.clone())
}

/// Where devices stand beside each other: the one in a call whose page doesn't answer any more, and
/// whose socket doesn't know that yet. Whoever logs in is its page that comes back, by another way.
async fn dead_in_call(holders: &[Holder]) -> Option<PhoneHandle> {
    let in_call = |holder: &&Holder| holder.in_call && holder.phone.resume.is_some();
    let holders: Vec<&Holder> = holders.iter().filter(in_call).collect();
    let dead = dead(&holders).await?;
    Some(dead.phone.clone())
}

/// Who makes room: the first who doesn't answer; where the newer one wins, simply the first.
async fn first_dead(holders: &[Holder], duplicate: DuplicateLogin) -> Option<&Holder> {
    if duplicate == DuplicateLogin::Replace {
        return holders.first();
    }
    dead(&holders.iter().collect::<Vec<_>>()).await
}

/// The first who doesn't answer. All are asked at once: a page that logs in doesn't wait a second for
/// each.
async fn dead<'a>(holders: &[&'a Holder]) -> Option<&'a Holder> {
    let asked = holders.iter().map(|holder| async move {
        holder.standing != Standing::Detached && is_alive(&holder.phone).await
    });
    let alive = futures_util::future::join_all(asked).await;
    holders.iter().zip(alive).find_map(|(holder, alive)| (!alive).then_some(*holder))
}

/// Whether a phone answers a ping. It must be asked through its own task, which owns the socket.
async fn is_alive(phone: &PhoneHandle) -> bool {
    let (reply, answer) = oneshot::channel();
    if phone.commands.try_send(PhoneCommand::Probe(reply)).is_ok() {
        match timeout(PROBE_TIME, answer).await {
            Ok(Ok(alive)) => return alive,
            Err(_) => return false,
            // A task with too much to do is not a phone that is dead; one that has ended is.
            Ok(Err(_)) => {}
        }
    }
    !phone.commands.is_closed()
}
