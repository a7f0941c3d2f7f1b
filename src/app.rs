//! Builds everything once, starts it in order, stops it in reverse.
//!
//! [`run`] takes its listeners and its [`Control`], so a test owns both. The stopping: no new call
//! and no new login; phones leave as they become idle; calls finish or, when the time is over, are
//! hung up; then the doors close.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use tokio::{net::TcpListener, time::timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{info, warn};

use crate::{
    admin,
    asterisk::{ari, audiofork, control, listener::AsteriskDoor},
    config::{Config, TlsIdentity},
    exchange::Exchange,
    net::{
        door,
        limits::{Connections, Place},
        listen::{self, Tuning},
    },
    phone::door::PhoneDoor,
    report::{
        metrics::{ListenerLabel, Metrics, ReasonLabel},
        records,
    },
};

/// What is left of a stop when the calls are over: goodbyes that take at most a second.
const GOODBYE_TIME: Duration = Duration::from_secs(3);

/// The configuration in force; a reload puts a new one in its place.
pub type SharedConfig = Arc<ArcSwap<Config>>;

/// Bound sockets.
pub struct Listeners {
    pub asterisk: TcpListener,
    pub browser: TcpListener,
    pub admin: Option<TcpListener>,
}

impl Listeners {
    /// Binds what the configuration names. The error says which address.
    pub fn bind(config: &Config) -> Result<Self, BindError> {
        let bind = |key: &'static str, addr: &crate::config::ListenAddr| {
            listen::bind(addr).map_err(|source| BindError { key, addr: addr.to_string(), source })
        };
        Ok(Self {
            asterisk: bind("asterisk_addr", &config.asterisk.addr)?,
            browser: bind("browser_addr", &config.browser.addr)?,
            admin: config.admin_addr.as_ref().map(|addr| bind("admin_addr", addr)).transpose()?,
        })
    }
}

/// An address that can't be listened on.
#[derive(Debug, thiserror::Error)]
#[error("{key}: can't listen on {addr}: {source}. Is another program (the Go gateway?) using it?")]
pub struct BindError {
    key: &'static str,
    addr: String,
    source: std::io::Error,
}

/// How a running gateway is told to stop.
#[derive(Debug, Clone, Default)]
pub struct Control {
    /// Stop when the calls are over (SIGTERM).
    pub drain: CancellationToken,
    /// Stop now (the second signal).
    pub stop: CancellationToken,
}

/// What both doors share.
#[derive(Clone)]
struct House {
    config: SharedConfig,
    /// Apart, so that no flood of browsers can shut Asterisk out.
    asterisk_connections: Arc<Connections>,
    browser_connections: Arc<Connections>,
    exchange: Arc<Exchange>,
    doors: TaskTracker,
    close_doors: CancellationToken,
    /// Closed first, so that nothing begins while the rest ends.
    close_asterisk: CancellationToken,
}

/// Serves until told to stop and everything has come to its end.
pub async fn run(config: SharedConfig, listeners: Listeners, control: Control) {
    let exchange = Exchange::new(Arc::new(Metrics::new()));
    run_with(config, listeners, control, exchange).await;
}

/// The same with an exchange of the caller's, who can look into it.
pub async fn run_with(
    config: SharedConfig,
    listeners: Listeners,
    control: Control,
    exchange: Arc<Exchange>,
) {
    let house = House {
        config: config.clone(),
        asterisk_connections: Arc::default(),
        browser_connections: Arc::default(),
        exchange: exchange.clone(),
        doors: TaskTracker::new(),
        close_doors: CancellationToken::new(),
        close_asterisk: CancellationToken::new(),
    };
    // Before the doors open, so that no call is missed.
    load_products(&config, &exchange).await;
    let records = records::start(
        config.clone(),
        exchange.feed.clone(),
        exchange.taps.take_events(),
        exchange.metrics.clone(),
    );
    let recordings = config.load().taps.recording.clone();
    if let Some(recordings) = recordings {
        exchange.taps.open_recorder(&recordings);
    }
    let close_reactors = open_reactors(&config, &exchange).drop_guard();
    let calls = TaskTracker::new();
    let phones = TaskTracker::new();
    let end_calls = CancellationToken::new();
    if config.load().ami.is_some() {
        control::start(exchange.clone(), config.clone(), house.close_doors.clone());
        audiofork::start(&exchange, config.clone(), house.close_doors.clone());
    }

    let ari = config.load().ari.clone();
    if let Some(ari) = ari {
        ari::start(exchange.clone(), config.clone(), ari);
    }

    let asterisk =
        AsteriskDoor { exchange: exchange.clone(), calls: calls.clone(), stop: end_calls.clone() };
    let phone = PhoneDoor::new(
        exchange.clone(),
        phones.clone(),
        house.browser_connections.clone(),
        config.clone(),
    );
    house.clone().open_asterisk(listeners.asterisk, asterisk);
    house.clone().open_browser(listeners.browser, phone);
    if let Some(listener) = listeners.admin {
        let office = admin::Office {
            exchange: exchange.clone(),
            settings: config.clone(),
            table: records.table.clone(),
        };
        house.doors.spawn(admin::serve(listener, office, house.close_doors.clone()));
    }

    tokio::select! {
        () = control.drain.cancelled() => {}
        () = control.stop.cancelled() => {}
    }
    exchange.drain();
    let time = config.load().calls.drain_timeout;
    calls.close();
    info!(calls = calls.len(), phones = phones.len(), ?time, "stopping: waiting for calls to end");
    tokio::select! {
        () = calls.wait() => {}
        () = tokio::time::sleep(time) => warn!(calls = calls.len(), "drain_timeout is over"),
        () = control.stop.cancelled() => warn!(calls = calls.len(), "told to stop at once"),
    }
    house.close_asterisk.cancel();
    end_calls.cancel();
    let _ = timeout(GOODBYE_TIME, calls.wait()).await;
    exchange.taps.close(GOODBYE_TIME).await;
    phones.close();
    let _ = timeout(GOODBYE_TIME, phones.wait()).await;
    house.close_doors.cancel();
    house.doors.close();
    let _ = timeout(GOODBYE_TIME, house.doors.wait()).await;
    drop(close_reactors);
    records.stop().await;
    info!("stopped");
}

/// As many as threads; without them the runtime does all.
fn open_reactors(config: &SharedConfig, exchange: &Exchange) -> CancellationToken {
    let close = CancellationToken::new();
    match exchange.reactors.open(config.load().worker_threads) {
        Ok(reactors) => {
            for reactor in reactors {
                tokio::spawn(reactor.clone().run(close.clone()));
            }
        }
        Err(error) => warn!("calls cost a little more: {error}"),
    }
    close
}

/// Streaming profiles that an earlier run was given.
async fn load_products(config: &SharedConfig, exchange: &Arc<Exchange>) {
    let Some(folder) = config.load().records.state_dir.clone() else { return };
    let taps = exchange.taps.clone();
    match tokio::task::spawn_blocking(move || taps.products.load(&folder)).await {
        Ok(Ok(0)) => {}
        Ok(Ok(profiles)) => info!(profiles, "streaming profiles"),
        Ok(Err(error)) => warn!("streaming profiles can't be read: {error}"),
        Err(error) => warn!("streaming profiles can't be read: {error}"),
    }
}

impl House {
    fn open_asterisk(self, listener: TcpListener, door: AsteriskDoor) {
        let (doors, stop) = (self.doors.clone(), self.close_asterisk.clone());
        self.doors.clone().spawn(listen::accept(
            listener,
            Tuning::Asterisk,
            doors,
            stop,
            move |stream, peer| {
                let (house, door) = (self.clone(), door.clone());
                async move {
                    let config = house.config.load_full();
                    let Some(place) = house.place(
                        &house.asterisk_connections,
                        peer,
                        "asterisk",
                        usize::MAX,
                        &config,
                    ) else {
                        return;
                    };
                    let deadline = config.limits.handshake_timeout;
                    let stop = house.close_asterisk.clone();
                    // Each request has its own snapshot: a reload counts on open connections, too.
                    let handle = |request, address| {
                        door.handle(request, address, &house.config.load_full(), place.clone())
                    };
                    Box::pin(door::serve(stream, peer, None, deadline, stop, handle)).await;
                }
            },
        ));
    }

    fn open_browser(self, listener: TcpListener, door: PhoneDoor) {
        let (doors, stop) = (self.doors.clone(), self.close_doors.clone());
        self.doors.clone().spawn(listen::accept(
            listener,
            Tuning::Phone,
            doors,
            stop,
            move |stream, peer| {
                let (house, door) = (self.clone(), door.clone());
                async move {
                    let config = house.config.load_full();
                    let limit = if config.browser.trusted_proxies.contains(peer.ip()) {
                        usize::MAX // its clients are counted one by one
                    } else {
                        config.limits.connections_per_address
                    };
                    let Some(place) =
                        house.place(&house.browser_connections, peer, "browser", limit, &config)
                    else {
                        return;
                    };
                    let tls: Option<TlsIdentity> = config.browser.tls.clone();
                    let deadline = config.limits.handshake_timeout;
                    let stop = house.close_doors.clone();
                    let handle = |request, address| {
                        let now = tokio::time::Instant::now().into_std();
                        let config = house.config.load_full();
                        door.handle(request, address, &config, now, place.clone())
                    };
                    Box::pin(door::serve(stream, peer, tls, deadline, stop, handle)).await;
                }
            },
        ));
    }

    fn place(
        &self,
        connections: &Arc<Connections>,
        peer: SocketAddr,
        listener: &'static str,
        address_limit: usize,
        config: &Config,
    ) -> Option<Arc<Place>> {
        let gauge =
            self.exchange.metrics.connections.get_or_create_owned(&ListenerLabel { listener });
        match connections.enter(peer.ip(), config.limits.connections, address_limit, gauge) {
            Ok(place) => Some(Arc::new(place)),
            Err(full) => {
                let reason = full.as_str();
                self.exchange.metrics.refused.get_or_create(&ReasonLabel { reason }).inc();
                tracing::debug!(address = %peer.ip(), reason, "connection refused");
                None
            }
        }
    }
}
