//! The process around [`app::run`]: configuration, logging, runtime, signals, systemd.
//!
//! SIGTERM and SIGINT let calls finish, a second one ends them; SIGHUP reads everything anew and
//! keeps what was if the new is bad.

use std::{process::ExitCode, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use sd_notify::NotifyState;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::{
    app::{self, Control, Listeners, SharedConfig},
    asterisk::ami::client::Ami,
    config::{self, Config, Files},
    exchange::Exchange,
    logging::{self, LogControl},
    net::rhythm,
    report::metrics::{Metrics, ReasonLabel},
};

/// `sysexits.h`: the configuration is bad. systemd knows it by number
/// (`RestartPreventExitStatus=78`).
pub const EX_CONFIG: u8 = 78;
/// `sysexits.h`: something of the system isn't to be had, such as the port.
pub const EX_OSERR: u8 = 71;

/// Runs the gateway until it is told to stop.
pub fn run(files: &Files) -> ExitCode {
    let loaded = match config::load(files) {
        Ok(loaded) => loaded,
        Err(problems) => {
            eprintln!("{problems}");
            return ExitCode::from(EX_CONFIG);
        }
    };
    let log = logging::start(&loaded.config.log);
    info!(
        version = env!("CARGO_PKG_VERSION"),
        config = %files.config.display(),
        groups = loaded.config.groups.len(),
        "goastgateway starts"
    );
    for warning in &loaded.warnings {
        warn!("{warning}");
    }
    let runtime = match runtime(loaded.config.worker_threads) {
        Ok(runtime) => runtime,
        Err(error) => {
            error!(%error, "the runtime could not be started");
            return ExitCode::from(EX_OSERR);
        }
    };
    runtime.block_on(serve(files, loaded.config, log))
}

/// One thread runs everything on itself; more cost a quarter more for each call.
fn runtime(threads: usize) -> std::io::Result<tokio::runtime::Runtime> {
    let mut builder = if threads <= 1 {
        tokio::runtime::Builder::new_current_thread()
    } else {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        builder.worker_threads(threads);
        builder
    };
    rhythm::keep(&mut builder);
    builder.enable_all().build()
}

async fn serve(files: &Files, config: Config, log: LogControl) -> ExitCode {
    // Before anything is bound, so that a signal is never the default's.
    let signals = match Signals::new() {
        Ok(signals) => signals,
        Err(error) => {
            error!(%error, "signals could not be caught");
            return ExitCode::from(EX_OSERR);
        }
    };
    let listeners = match Listeners::bind(&config) {
        Ok(listeners) => listeners,
        Err(error) => {
            error!("{error}");
            return ExitCode::from(EX_OSERR);
        }
    };
    say_addresses(&listeners, &config);
    let metrics = Arc::new(Metrics::new());
    let stop_ami = CancellationToken::new();
    let ami = match config.ami.clone() {
        Some(settings) => Ami::start(settings, metrics.ami_up.clone(), stop_ami.clone()),
        None => Ami::absent(),
    };
    let config: SharedConfig = Arc::new(ArcSwap::from_pointee(config));
    let exchange = Exchange::with_ami(metrics, ami);
    let control = Control::default();
    let watched = tokio::spawn(watch(
        signals,
        files.clone(),
        config.clone(),
        control.clone(),
        log,
        exchange.metrics.clone(),
    ));
    let watchdog = tokio::spawn(feed_watchdog());
    notify(&[NotifyState::Ready]);
    app::run_with(config, listeners, control, exchange).await;
    stop_ami.cancel();
    watched.abort();
    watchdog.abort();
    ExitCode::SUCCESS
}

fn say_addresses(listeners: &Listeners, config: &Config) {
    let address = |l: &tokio::net::TcpListener| {
        l.local_addr().map_or_else(|e| e.to_string(), |a| a.to_string())
    };
    info!(address = address(&listeners.asterisk), "listening for Asterisk");
    let tls = config.browser.tls.is_some();
    info!(address = address(&listeners.browser), tls, "listening for browsers");
    if let Some(admin) = &listeners.admin {
        info!(address = address(admin), "listening for the operator");
    }
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }
}

async fn watch(
    mut signals: Signals,
    files: Files,
    config: SharedConfig,
    control: Control,
    log: LogControl,
    metrics: Arc<Metrics>,
) {
    let mut reloading = std::pin::pin!(reload(&files, &config, &log, &metrics));
    let mut is_reloading = false;
    loop {
        tokio::select! {
            _ = signals.terminate.recv() => {}
            _ = signals.interrupt.recv() => {}
            // Here, so that a reload that hangs on a name server keeps no other signal waiting.
            () = &mut reloading, if is_reloading => {
                is_reloading = false;
                continue;
            }
            _ = signals.hangup.recv(), if !is_reloading => {
                reloading.set(reload(&files, &config, &log, &metrics));
                is_reloading = true;
                continue;
            }
        }
        if control.drain.is_cancelled() {
            control.stop.cancel();
        } else {
            info!("told to stop; a second signal ends calls at once");
            notify(&[NotifyState::Stopping]);
            control.drain.cancel();
        }
    }
}

/// Reads everything anew; new connections and new calls see it, what is up keeps what it has.
async fn reload(files: &Files, config: &SharedConfig, log: &LogControl, metrics: &Metrics) {
    if let Ok(now) = NotifyState::monotonic_usec_now() {
        notify(&[NotifyState::Reloading, now]);
    }
    let files = files.clone();
    // Files are read, names resolved: not on a thread that serves audio.
    let loaded = tokio::task::spawn_blocking(move || config::load(&files)).await;
    let reason = match loaded {
        Ok(Ok(loaded)) if tls_changes(&config.load(), &loaded.config) => {
            error!("browser_tls can't be changed while browsers are listened for; restart instead");
            error!("configuration not reloaded: the old one stays in force");
            "bad"
        }
        Ok(Ok(loaded)) => {
            for warning in &loaded.warnings {
                warn!("{warning}");
            }
            let old = config.load();
            for key in needs_restart(&old, &loaded.config) {
                warn!("{key} has changed: this takes effect at the next start");
            }
            log.set_level(loaded.config.log.level);
            let groups = loaded.config.groups.len();
            config.store(Arc::new(loaded.config));
            info!(groups, "configuration reloaded; phones and calls go on");
            "ok"
        }
        Ok(Err(problems)) => {
            for line in problems.to_string().lines() {
                error!("{line}");
            }
            error!("configuration not reloaded: the old one stays in force");
            "bad"
        }
        Err(error) => {
            error!(%error, "configuration not reloaded: the old one stays in force");
            "bad"
        }
    };
    metrics.reloads.get_or_create(&ReasonLabel { reason }).inc();
    notify(&[NotifyState::Ready]);
}

/// Whether the socket that was bound for one would serve the other. An address that is good for a
/// proxy on this machine alone is not the one that is bound: logins would go over it in the clear.
fn tls_changes(old: &Config, new: &Config) -> bool {
    old.browser.tls.is_some() != new.browser.tls.is_some()
}

/// What was bound at the start.
fn needs_restart(old: &Config, new: &Config) -> Vec<&'static str> {
    [
        ("asterisk_addr", old.asterisk.addr != new.asterisk.addr),
        ("browser_addr", old.browser.addr != new.browser.addr),
        ("admin_addr", old.admin_addr != new.admin_addr),
        ("worker_threads", old.worker_threads != new.worker_threads),
        ("log_format", old.log.format != new.log.format),
        ("ami", old.ami != new.ami),
        ("ari", old.ari != new.ari),
        ("state_dir", old.records.state_dir != new.records.state_dir),
        ("call_table", old.records.table.postgres != new.records.table.postgres),
        ("recording", recorder(old) != recorder(new)),
    ]
    .into_iter()
    .filter_map(|(key, changed)| changed.then_some(key))
    .collect()
}

/// The spool and the store that were opened at the start.
fn recorder(config: &Config) -> Option<&crate::tap::recorder::Settings> {
    config.taps.recording.as_ref().map(|recording| &recording.settings)
}

/// Tells systemd, if it is there, that the runtime still turns.
async fn feed_watchdog() {
    let Some(limit) = sd_notify::watchdog_enabled() else { return };
    let mut every = tokio::time::interval((limit / 2).max(Duration::from_millis(100)));
    loop {
        every.tick().await;
        notify(&[NotifyState::Watchdog]);
    }
}

fn notify(states: &[NotifyState<'_>]) {
    // Without systemd there is nobody to tell.
    let _ = sd_notify::notify(states);
}
