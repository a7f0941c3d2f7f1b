//! Hours of a telephone exchange in one program: the real gateway, phones and a PBX that behave
//! well and badly, a network that freezes, reloads, and peers that mean no good. Everything is on
//! loopback.
//!
//! What it asks: memory, descriptors, threads, logins, calls and delay end where they began.
//! It compares two quiet moments, one after a warm-up under load and one at the end, and fits
//! slopes between them. `script/soak` builds and runs it.

// Clocks, threads and sleeps are this program's business: it paces and it measures.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, clippy::print_stdout)]

mod figures;
mod gateway;
mod peers;
mod rude;

use std::{
    net::SocketAddr,
    path::PathBuf,
    process::ExitCode,
    sync::{Arc, Mutex, PoisonError, atomic::Ordering},
    time::Duration,
};

use clap::Parser;
use figures::{Line, Series};
use gateway::{Gateway, Usage};
use peers::{Counts, Delays, Manner, World};
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval, sleep},
};
use tokio_rustls::TlsConnector;

/// Phones of the mixed calls; the groups' members are among them.
const PHONES: u64 = 10;
/// Two more, each in one long call whose delay is measured: one behind a network that freezes.
const MEASURED: u64 = 2;
/// Calls at a time, besides those two.
const CALLERS: u64 = 6;
const RUDE: u64 = 3;
const FREEZE: Duration = Duration::from_secs(3);
/// How much longer a round trip may be two seconds after a thaw.
const THAWED_WITHIN_MS: f64 = 50.0;
/// What an allocator may keep of a load that is over, MiB. A leak of a hundred bytes a call is
/// three times this in an hour.
const MEMORY_ALLOWED: f64 = 4.0;
/// What the median of delay may differ by: one frame, since where in a frame the two ends meet is
/// chance, and a little for the machine.
const DELAY_ALLOWED_MS: f64 = 25.0;

#[derive(Parser)]
#[command(about = "Loads a gateway for a long time and tells whether it ends where it began.")]
struct Arguments {
    /// The gateway's binary
    #[arg(long)]
    gateway: PathBuf,
    /// How long the load lasts
    #[arg(long, default_value_t = 60.0)]
    minutes: f64,
    /// Print delays and don't judge them: for a machine that is busy with other things
    #[arg(long)]
    busy_machine: bool,
}

type Samples = Arc<Mutex<Vec<(f64, Usage)>>>;

#[tokio::main(worker_threads = 2)]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match soak(&arguments).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            println!("soak: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn soak(arguments: &Arguments) -> Result<bool, String> {
    let mut gateway = Gateway::start(&arguments.gateway)?;
    let (set_load, load) = watch::channel(false);
    let (set_frozen, frozen) = watch::channel(false);
    let world = Arc::new(World {
        asterisk: gateway.asterisk,
        browser: gateway.browser,
        tls: connector(&gateway)?,
        began: Instant::now(),
        load,
        counts: Counts::default(),
    });
    let listener = peers::relay_listener().map_err(|e| e.to_string())?;
    let relayed = listener.local_addr().map_err(|e| e.to_string())?;
    let mut actors = JoinSet::new();
    actors.spawn(peers::relay(listener, world.browser, frozen));
    let (steady, freezing) = start_actors(&world, relayed, &mut actors);

    let length = Duration::from_secs_f64(arguments.minutes * 60.0);
    let warm_up = (length / 5).clamp(Duration::from_secs(15), Duration::from_secs(300));
    wait_for_quiet(&gateway).await.map_err(|what| format!("before the load: {what}"))?;
    println!("warm-up: {warm_up:?}, then {length:?} of load");
    let samples = Samples::default();
    let mut freezes = Vec::new();

    set_load.send_replace(true);
    load_for(warm_up, &mut gateway, &world, &set_frozen, &samples, &mut Vec::new()).await?;
    set_load.send_replace(false);
    let quiet_before = wait_for_quiet(&gateway).await?;
    samples.lock().unwrap_or_else(PoisonError::into_inner).clear();

    set_load.send_replace(true);
    let from = world.began.elapsed().as_secs_f64();
    load_for(length, &mut gateway, &world, &set_frozen, &samples, &mut freezes).await?;
    let to = world.began.elapsed().as_secs_f64();
    set_load.send_replace(false);
    let quiet_after = wait_for_quiet(&gateway).await?;

    let metrics = gateway.metrics().await.ok_or("no metrics")?;
    println!("\ncalls by ending:");
    metrics.lines("calls_total").for_each(|line| println!("  {line}"));
    println!("frames dropped:");
    metrics.lines("frames_dropped_total").for_each(|line| println!("  {line}"));
    tell(&world);

    let mut lines = used(&quiet_before, &quiet_after, &samples);
    let mut delays = delay_lines(&steady, from, to)?;
    delays.extend(thaw_line(&freezing, &freezes));
    if arguments.busy_machine {
        delays.iter_mut().for_each(|line| line.allowed = f64::INFINITY);
    }
    lines.extend(delays);
    println!();
    let mut failed = figures::print(&lines);
    let surprises = world.counts.surprises.lock().unwrap_or_else(PoisonError::into_inner).len();
    let faults = gateway.faults.load(Ordering::Relaxed);
    actors.abort_all();
    let in_order = gateway.stop().await;
    for (what, bad) in [
        (format!("{surprises} surprises"), surprises > 0),
        (format!("{faults} errors in the gateway's log"), faults > 0),
        ("the gateway did not stop in order".to_owned(), !in_order),
        ("no call was answered".to_owned(), world.counts.answered.load(Ordering::Relaxed) == 0),
    ] {
        if bad {
            println!("FAILED: {what}");
            failed += 1;
        }
    }
    println!("{}", if failed == 0 { "soak: ends where it began" } else { "soak: FAILED" });
    Ok(failed == 0)
}

fn connector(gateway: &Gateway) -> Result<TlsConnector, String> {
    use rustls::pki_types::{CertificateDer, pem::PemObject};
    let certificate = CertificateDer::from_pem_file(&gateway.cert).map_err(|e| e.to_string())?;
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate).map_err(|e| e.to_string())?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| e.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

/// Everybody; gives the delays of the two measured calls.
fn start_actors(
    world: &Arc<World>,
    relayed: SocketAddr,
    actors: &mut JoinSet<()>,
) -> (Arc<Delays>, Arc<Delays>) {
    for n in 1..=PHONES {
        let ext = format!("20{n:02}");
        actors.spawn(peers::phone(world.clone(), ext, world.browser, Manner::Mixed, 7919 * n));
    }
    let (steady, freezing) = (Arc::<Delays>::default(), Arc::<Delays>::default());
    for (ext, door, delays) in [("2091", world.browser, &steady), ("2092", relayed, &freezing)] {
        let manner = Manner::Steady(delays.clone());
        actors.spawn(peers::phone(world.clone(), ext.to_owned(), door, manner, 1));
        actors.spawn(peers::long_caller(world.clone(), ext.to_owned(), delays.clone()));
    }
    for n in 1..=CALLERS {
        actors.spawn(peers::caller(world.clone(), 104_729 * n));
    }
    for n in 1..=RUDE {
        actors.spawn(rude::rude(world.clone(), 1_299_709 * n));
    }
    (steady, freezing)
}

/// Lets the load be for a while: samples every second, freezes, reloads, and tells how it goes.
async fn load_for(
    length: Duration,
    gateway: &mut Gateway,
    world: &World,
    set_frozen: &watch::Sender<bool>,
    samples: &Samples,
    freezes: &mut Vec<f64>,
) -> Result<(), String> {
    let began = Instant::now();
    let minute = if length > Duration::from_secs(600) { 60 } else { 20 };
    let mut every = interval(Duration::from_secs(1));
    every.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut second = 0u64;
    while began.elapsed() < length {
        every.tick().await;
        second += 1;
        if !gateway.is_alive() {
            return Err("the gateway has ended".into());
        }
        let usage = gateway.usage().ok_or("the gateway can't be looked at")?;
        let at = world.began.elapsed().as_secs_f64();
        samples.lock().unwrap_or_else(PoisonError::into_inner).push((at, usage));
        let left = length.saturating_sub(began.elapsed());
        if second % minute == minute / 2 {
            gateway.reload(second / minute);
        }
        // A freeze needs time before it and after it, to be compared.
        if second % 20 == 8 && left > Duration::from_secs(10) {
            set_frozen.send_replace(true);
            freezes.push(at);
        } else if second % 20 == 8 + FREEZE.as_secs() {
            set_frozen.send_replace(false);
        }
        if second.is_multiple_of(10) {
            progress(gateway, world, &usage, began.elapsed()).await;
        }
    }
    set_frozen.send_replace(false);
    Ok(())
}

async fn progress(gateway: &Gateway, world: &World, usage: &Usage, passed: Duration) {
    let Some(metrics) = gateway.metrics().await else {
        return world.counts.surprise("no answer from /metrics".into());
    };
    println!(
        "{:>5} s  calls {:>6} (now {:>2})  phones {:>2}  rude {:>6}  memory {:>6.2} MiB  \
         descriptors {:>3}  processor {:>6.1} s",
        passed.as_secs(),
        world.counts.calls.load(Ordering::Relaxed),
        metrics.sum("calls_active"),
        metrics.sum("phones"),
        world.counts.rude.load(Ordering::Relaxed),
        usage.memory,
        usage.descriptors,
        usage.processor,
    );
}

/// What a moment without load looks like.
struct Quiet {
    usage: Usage,
    phones: f64,
    busy: f64,
    calls: f64,
    connections: f64,
}

/// Waits until every phone is logged in, no call is up and every rude peer is gone.
async fn wait_for_quiet(gateway: &Gateway) -> Result<Quiet, String> {
    let expected = (PHONES + MEASURED) as f64;
    // Whoever asks for metrics is a connection, too.
    let connections = expected + 1.0;
    let mut seen = String::new();
    for _ in 0..300 {
        let metrics = gateway.metrics().await.ok_or("no metrics")?;
        let mut quiet = Quiet {
            usage: gateway.usage().ok_or("the gateway can't be looked at")?,
            phones: metrics.sum("phones"),
            busy: metrics.sum("phones_busy"),
            calls: metrics.sum("calls_active"),
            connections: metrics.sum("connections"),
        };
        // Files are read on threads that live for ten seconds more.
        let threads = quiet.usage.threads <= 4.0;
        if quiet.phones == expected
            && quiet.connections == connections
            && quiet.calls == 0.0
            && threads
        {
            // Whoever asks for metrics holds a descriptor himself, for a moment longer or less.
            for _ in 0..10 {
                sleep(Duration::from_millis(20)).await;
                let usage = gateway.usage().ok_or("the gateway can't be looked at")?;
                quiet.usage.descriptors = quiet.usage.descriptors.min(usage.descriptors);
            }
            return Ok(quiet);
        }
        seen = format!(
            "{} phones of {expected}, {} connections, {} calls, {} threads",
            quiet.phones, quiet.connections, quiet.calls, quiet.usage.threads
        );
        sleep(Duration::from_millis(100)).await;
    }
    Err(format!("it did not become quiet: {seen}"))
}

fn tell(world: &World) {
    let counts = &world.counts;
    let of = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
    println!(
        "{} calls, {} answered, {} given up by the caller, {} vanished, {} logins, {} rude peers",
        of(&counts.calls),
        of(&counts.answered),
        of(&counts.abandoned),
        of(&counts.vanished),
        of(&counts.logins),
        of(&counts.rude)
    );
}

fn used(before: &Quiet, after: &Quiet, samples: &Samples) -> Vec<Line> {
    let samples = samples.lock().unwrap_or_else(PoisonError::into_inner);
    let slope = |of: fn(&Usage) -> f64| {
        let mut series = Series::default();
        samples.iter().for_each(|(at, usage)| series.push(*at, of(usage)));
        Some(series.slope())
    };
    let line = |what: &str, begin, end, slope, allowed| Line {
        what: what.to_owned(),
        begin,
        end,
        slope,
        allowed,
    };
    let (b, a) = (&before.usage, &after.usage);
    let seconds = samples.len() as f64;
    println!("processor: {:.1} % of one", (a.processor - b.processor) / seconds.max(1.0) * 100.0);
    vec![
        line("memory when quiet, MiB", b.memory, a.memory, slope(|u| u.memory), MEMORY_ALLOWED),
        line("descriptors when quiet", b.descriptors, a.descriptors, slope(|u| u.descriptors), 0.0),
        line("threads when quiet", b.threads, a.threads, slope(|u| u.threads), 0.0),
        line("phones logged in", before.phones, after.phones, None, 0.0),
        line("phones taken", before.busy, after.busy, None, 0.0),
        line("calls up", before.calls, after.calls, None, 0.0),
        line("connections", before.connections, after.connections, None, 0.0),
    ]
}

/// Delay in the call on a good network: the first fifth of the time against the last.
fn delay_lines(delays: &Delays, from: f64, to: f64) -> Result<Vec<Line>, String> {
    let part = (to - from) / 5.0;
    let mut lines = Vec::new();
    for (what, series) in [
        ("delay to Asterisk, ms", &delays.to_asterisk),
        ("delay to the phone, ms", &delays.to_phone),
    ] {
        let series = series.lock().unwrap_or_else(PoisonError::into_inner).between(from, to);
        // Half of 50 frames a second, at least, or it was no call.
        if (series.len() as f64) < (to - from) * 25.0 {
            return Err(format!("{what}: only {} frames were measured", series.len()));
        }
        let (begin, end) = (series.between(from, from + part), series.between(to - part, to));
        for (name, quantile) in [("median", 0.5), ("99 %", 0.99)] {
            let (Some(begin), Some(end)) = (begin.quantile(quantile), end.quantile(quantile))
            else {
                return Err(format!("{what}: the call was not up all the time"));
            };
            // The last percent is the machine's doing, so it gets more room.
            let allowed = if quantile == 0.5 { DELAY_ALLOWED_MS } else { 4.0 * DELAY_ALLOWED_MS };
            let slope = (quantile == 0.5).then(|| series.slope());
            lines.push(Line { what: format!("{what}, {name}"), begin, end, slope, allowed });
        }
    }
    Ok(lines)
}

/// The round trip before a freeze and from two seconds after its thaw on: the worst of all.
fn thaw_line(delays: &Delays, freezes: &[f64]) -> Option<Line> {
    let round_trip = |from: f64, to: f64| {
        let of = |series: &Mutex<Series>| {
            series.lock().unwrap_or_else(PoisonError::into_inner).between(from, to).median()
        };
        Some(of(&delays.to_asterisk)? + of(&delays.to_phone)?)
    };
    let freeze = FREEZE.as_secs_f64();
    let pairs = freezes.iter().map(|at| {
        let before = round_trip(at - 3.0, *at).unwrap_or(f64::NAN);
        (before, round_trip(at + freeze + 2.0, at + freeze + 5.0).unwrap_or(f64::NAN))
    });
    // total_cmp: a call that was cut (not a number) is the worst.
    let (begin, end) = pairs.max_by(|a, b| (a.1 - a.0).total_cmp(&(b.1 - b.0)))?;
    Some(Line {
        what: format!("round trip, worst of {} freezes, ms", freezes.len()),
        begin,
        end,
        slope: None,
        allowed: THAWED_WITHIN_MS,
    })
}
