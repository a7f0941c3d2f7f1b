//! The cases: what is done, and what is reported of it.

use std::io;

use serde_json::{Map, Value, json};

use crate::{
    consumer,
    stats::{self, BySecond, Usage, metrics, sum, usage},
    tries::{Try, verdict},
    world::{FRAME_NS, MS, World},
};

const SECOND: u64 = 1000 * MS;
/// Logins under way at a time: below what a listener's backlog holds.
const IN_FLIGHT: usize = 100;
/// The p99 of the delay beyond what it always is, in milliseconds, that is too much in `limit`.
const TOO_LATE: f64 = 20.0;
/// What a frame waits in Asterisk where nothing is wrong, beyond its first tick, in milliseconds: for
/// the one frame before it, which bridges lateness of less than a tick.
const STEADY: f64 = 20.0;
/// After a try that didn't hold: so long a gateway may take to work a stall off, which it doesn't do
/// at once, because the next stall may follow.
const RECOVERY: u64 = 6 * SECOND;
/// Extensions begin here.
const FIRST: u32 = 10_000;

/// What a case is told.
pub struct Order {
    pub pid: u32,
    pub metrics: Option<String>,
    pub count: u32,
    pub seconds: u64,
    /// When `calls` begins to measure, in seconds since 1970.
    pub from: Option<f64>,
    /// A consumer of streams that counts.
    pub consumer: Option<String>,
}

pub type Report = Map<String, Value>;

/// N calls at once, both directions at 50 frames a second.
pub fn calls(world: &mut World, order: &Order) -> io::Result<Report> {
    let mut report = Report::new();
    let rest = usage(order.pid);
    log_in(world, order.count)?;
    world.run(SECOND, |_| false)?;
    let idle = usage(order.pid);
    start_calls(world, 0, order.count)?;
    world.run(2 * SECOND, |_| false)?;
    wait_for(world, order.from)?;
    let heard = || order.consumer.as_deref().map(consumer::count);
    let before = heard();
    let from = begin(world, order);
    let (mut up, mut down) = (BySecond::default(), BySecond::default());
    for _ in 0..order.seconds {
        world.run(SECOND, |_| false)?;
        up.end(&mut world.tally.up);
        down.end(&mut world.tally.down);
    }
    let streamed = heard().zip(before).map(|(now, before)| now - before);
    let used = put_cost(&mut report, order, from, order.count);
    up.put("to Asterisk", &mut report);
    down.put("to the phone", &mut report);
    world.tally.playout.put("late at playout", &mut report);
    world.tally.late.put("own lateness", &mut report);
    if let Some(streamed) = streamed {
        let due = f64::from(order.count) * order.seconds as f64 * 3.0 * 50.0;
        put(&mut report, "streamed of what is due %", 100.0 * streamed / due);
    }
    finish(world)?;
    put_faults(&mut report, world, order);
    let count = f64::from(order.count);
    put(&mut report, "RSS at rest KiB", rest.rss_kib);
    put(&mut report, "RSS per idle phone KiB", (idle.rss_kib - rest.rss_kib) / count);
    put(&mut report, "RSS per call beyond its phone KiB", (used.rss_kib - idle.rss_kib) / count);
    world.tally.ring.put("MEDIA_START to RINGING", &mut report);
    world.tally.answer.put("ANSWER to ANSWER", &mut report);
    Ok(report)
}

/// N phones that do nothing.
pub fn phones(world: &mut World, order: &Order) -> io::Result<Report> {
    let mut report = Report::new();
    let rest = usage(order.pid);
    log_in(world, order.count)?;
    world.run(2 * SECOND, |_| false)?;
    let from = begin(world, order);
    world.run(order.seconds * SECOND, |_| false)?;
    let now = usage(order.pid);
    let busy = (now.cpu_us - from.cpu_us) / (order.seconds as f64 * 1e6);
    put(&mut report, "CPU of a core %", 100.0 * busy);
    put(&mut report, "RSS MiB", now.rss_kib / 1024.0);
    put(
        &mut report,
        "RSS per idle phone KiB",
        (now.rss_kib - rest.rss_kib) / f64::from(order.count),
    );
    put(&mut report, "phones lost", world.tally.phones_lost as f64);
    Ok(report)
}

/// All phones log in at once at a gateway that has just started, with full handshakes.
pub fn storm(world: &mut World, order: &Order) -> io::Result<Report> {
    let mut report = Report::new();
    let (from, began) = (usage(order.pid), world.now());
    log_in(world, order.count)?;
    let (now, took) = (usage(order.pid), world.now() - began);
    let count = f64::from(order.count);
    put(&mut report, "logins per s", count / (took as f64 / 1e9));
    put(&mut report, "CPU us per login", (now.cpu_us - from.cpu_us) / count);
    put(&mut report, "phones lost", world.tally.phones_lost as f64);
    Ok(report)
}

/// Short calls one after the other, ended by both sides in turn.
pub fn churn(world: &mut World, order: &Order) -> io::Result<Report> {
    const AT_ONCE: u32 = 200;
    let mut report = Report::new();
    log_in(world, AT_ONCE)?;
    world.manner.talk = 800 * MS;
    world.idle_again = (FIRST..FIRST + AT_ONCE).collect();
    let (mut dialled, began) = (0, world.now());
    let (from, mut early, mut half) = (usage(order.pid), None, None);
    while dialled < order.count || world.tally.legs_closed < order.count as usize {
        let idle = std::mem::take(&mut world.idle_again);
        for ext in idle {
            if dialled < order.count {
                world.dial(ext.to_string(), std::iter::once(ext))?;
                dialled += 1;
            }
        }
        if early.is_none() && dialled >= order.count / 10 {
            early = Some(usage(order.pid));
        }
        if half.is_none() && dialled >= order.count / 2 {
            half = Some(usage(order.pid).rss_kib);
        }
        if !world.run(20 * SECOND, |w| !w.idle_again.is_empty())? {
            break;
        }
    }
    let took = (world.now() - began) as f64 / 1e9;
    world.run(2 * SECOND, |_| false)?;
    let now = usage(order.pid);
    put(&mut report, "calls", world.tally.legs_closed as f64);
    put(&mut report, "calls not ended", f64::from(dialled) - world.tally.legs_closed as f64);
    put(&mut report, "calls per s", f64::from(dialled) / took);
    put(&mut report, "CPU us per call", (now.cpu_us - from.cpu_us) / f64::from(order.count));
    let early = early.unwrap_or(from).rss_kib;
    if let Some(half) = half {
        put(&mut report, "RSS grown in the second half KiB", now.rss_kib - half);
    }
    put(&mut report, "RSS grown since the first tenth KiB", now.rss_kib - early);
    put_faults(&mut report, world, order);
    world.tally.ring.put("MEDIA_START to RINGING", &mut report);
    world.tally.answer.put("ANSWER to ANSWER", &mut report);
    Ok(report)
}

/// A group of N members rings; one answers, the others are told so.
pub fn ringall(world: &mut World, order: &Order) -> io::Result<Report> {
    let mut report = Report::new();
    log_in(world, order.count)?;
    world.manner.answers = false;
    let members = FIRST..FIRST + order.count;
    let count = order.count as usize;
    let (mut all_ring, mut answer, mut others) =
        (stats::Times::default(), stats::Times::default(), stats::Times::default());
    let from = usage(order.pid);
    let rounds = order.seconds.max(1);
    for round in 0..rounds {
        let ending = world.tally.told_over;
        world.tally.rung = 0;
        let began = world.now();
        let leg = world.dial("bench".to_owned(), members.clone())?;
        world.run(10 * SECOND, |w| w.tally.rung == count)?;
        all_ring.add(world.now() - began);
        let answered = world.tally.answered;
        let began = world.now();
        world.phone_says(FIRST + (round as u32 * 7) % order.count, "ANSWER");
        world.run(10 * SECOND, |w| w.tally.answered > answered)?;
        answer.add(world.now() - began);
        world.run(10 * SECOND, |w| w.tally.told_over - ending == count - 1)?;
        others.add(world.now() - began);
        world.hush();
        world.run(200 * MS, |_| false)?;
        world.hang_up(leg);
        world.run(10 * SECOND, |w| w.tally.told_over - ending == count)?;
    }
    let used = usage(order.pid).cpu_us - from.cpu_us;
    put(&mut report, "CPU us per member rung", used / (rounds as f64 * count as f64));
    all_ring.put("dial to the last RINGING", &mut report);
    answer.put("ANSWER to ANSWER", &mut report);
    others.put("ANSWER to the last HANGUP", &mut report);
    put(&mut report, "phones lost", world.tally.phones_lost as f64);
    Ok(report)
}

/// Phones whose clocks run 1 % fast and 1 % slow: the way to the far end must not grow longer.
pub fn drift(world: &mut World, order: &Order) -> io::Result<Report> {
    let mut report = Report::new();
    world.manner.phone_every = [FRAME_NS * 1000 / 1010, FRAME_NS * 1000 / 990];
    world.manner.pauses = true;
    log_in(world, order.count)?;
    start_calls(world, 0, order.count)?;
    let part = (order.seconds * SECOND / 6).min(20 * SECOND);
    for (when, wait) in [("first", 0), ("last", order.seconds * SECOND - 2 * part)] {
        world.run(wait, |_| false)?;
        begin(world, order);
        (world.tally.queue_sum, world.tally.queue_seen) = (0, 0);
        world.run(part, |_| false)?;
        world.tally.up.put(&format!("up, {when} part,"), &mut report);
        let mean = world.tally.queue_sum as f64 / world.tally.queue_seen.max(1) as f64;
        put(&mut report, &format!("Asterisk's queue, {when} part, frames"), mean);
    }
    put(&mut report, "Asterisk's queue at most, frames", world.tally.queue_max as f64);
    finish(world)?;
    put_faults(&mut report, world, order);
    Ok(report)
}

/// More and more calls, until the delay stays over [`TOO_LATE`].
pub fn limit(world: &mut World, order: &Order) -> io::Result<Report> {
    const STEP: u32 = 50;
    let mut report = Report::new();
    log_in(world, order.count)?;
    let mut held = 0;
    let mut up = 0;
    while up < order.count {
        start_calls(world, up, up + STEP)?;
        up += STEP;
        world.run(SECOND, |_| false)?;
        let mut tries = Vec::new();
        let held_now = loop {
            tries.push(limit_try(world, order, up, &mut report)?);
            if let Some(held) = verdict(&tries) {
                break held;
            }
            if tries.last() != Some(&Try::Held) {
                world.run(RECOVERY, |_| false)?;
            }
        };
        if !held_now {
            break;
        }
        held = up;
    }
    put(&mut report, "calls with p99 under 20 ms", f64::from(held));
    Ok(report)
}

/// Measures so many calls once.
fn limit_try(world: &mut World, order: &Order, up: u32, report: &mut Report) -> io::Result<Try> {
    let from = begin(world, order);
    world.run(order.seconds * SECOND, |_| false)?;
    let tally = &mut world.tally;
    let (playout, down) = (tally.playout.at(0.99) - STEADY, tally.down.at(0.99));
    let (arrival, late) = (tally.up.at(0.99), tally.late.at(0.99));
    let now = usage(order.pid);
    let cost = (now.cpu_us - from.cpu_us) / (f64::from(up) * order.seconds as f64);
    put(report, &format!("CPU us per call-second at {up}"), cost);
    let result = if playout.max(down) <= TOO_LATE {
        Try::Held
    } else if late > stats::LATE {
        Try::Disturbed
    } else {
        Try::Failed
    };
    eprintln!(
        "  {up} calls: p99 {playout:.0} ms at playout beyond the steady wait ({arrival:.1} ms at \
         arrival), {down:.1} ms to the phone, {cost:.0} us a call-second, own lateness {late:.1} ms: \
         {result:?}"
    );
    Ok(result)
}

fn log_in(world: &mut World, count: u32) -> io::Result<()> {
    let mut opened = 0;
    while world.tally.logins < count as usize {
        while opened < count && (opened as usize) < world.tally.logins + IN_FLIGHT {
            world.open_phone(FIRST + opened)?;
            opened += 1;
        }
        let logins = world.tally.logins;
        if !world.run(20 * SECOND, |w| w.tally.logins > logins)? {
            return Err(io::Error::other(format!("only {logins} of {count} phones could log in")));
        }
    }
    Ok(())
}

/// Calls for the phones of this range, 500 a second.
fn start_calls(world: &mut World, first: u32, end: u32) -> io::Result<()> {
    for n in first..end {
        let ext = FIRST + n;
        world.dial(ext.to_string(), std::iter::once(ext))?;
        world.run(2 * MS, |_| false)?;
    }
    if world.run(10 * SECOND, |w| w.tally.answered >= end as usize)? {
        return Ok(());
    }
    let (up, rung) = (world.tally.answered, world.tally.rung);
    Err(io::Error::other(format!("only {up} of {end} calls came up; {rung} phones rang")))
}

/// Waits for a moment that was agreed on with whoever else is measured.
fn wait_for(world: &mut World, moment: Option<f64>) -> io::Result<()> {
    let Some(moment) = moment else { return Ok(()) };
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let left = moment - now.unwrap_or_default().as_secs_f64();
    if left < 0.0 {
        return Err(io::Error::other(format!("{:.1} s too late for its moment", -left)));
    }
    world.run((left * 1e9) as u64, |_| false).map(drop)
}

fn begin(world: &mut World, order: &Order) -> Usage {
    world.tally.up.clear();
    world.tally.down.clear();
    world.tally.playout.clear();
    world.tally.late.clear();
    usage(order.pid)
}

/// Ends all calls so that nothing is lost by it.
fn finish(world: &mut World) -> io::Result<()> {
    world.hush();
    world.run(500 * MS, |_| false)?;
    world.hang_up_all();
    let all = world.tally.answered;
    world.run(10 * SECOND, |w| w.tally.legs_closed >= all)?;
    Ok(())
}

fn put(report: &mut Report, name: &str, value: f64) {
    report.insert(name.to_owned(), json!((value * 1000.0).round() / 1000.0));
}

fn put_cost(report: &mut Report, order: &Order, from: Usage, calls: u32) -> Usage {
    let now = usage(order.pid);
    let call_seconds = f64::from(calls) * order.seconds as f64;
    put(report, "CPU us per call-second", (now.cpu_us - from.cpu_us) / call_seconds);
    put(report, "of it in user space", (now.user_us - from.user_us) / call_seconds);
    now
}

fn put_faults(report: &mut Report, world: &World, order: &Order) {
    let tally = &world.tally;
    put(report, "frames sent", tally.sent as f64);
    put(report, "frames lost", tally.sent as f64 - tally.got as f64);
    put(report, "frames reordered", tally.reordered as f64);
    let counted = metrics(order.metrics.as_deref());
    // Where frames are left out, a neighbour is joined with them: changed, and meant to be.
    let left_out: f64 = ["ahead", "late"]
        .map(|why| format!(r#"frames_dropped_total{{direction="to_asterisk",reason="{why}"#))
        .iter()
        .map(|name| sum(&counted, name))
        .sum();
    let joined = left_out.min(tally.corrupt as f64);
    put(report, "frames joined at a cut", joined);
    put(report, "frames corrupt", tally.corrupt as f64 - joined);
    put(report, "frames filled in", tally.silence as f64);
    put(report, "phones lost", tally.phones_lost as f64);
    if !counted.is_empty() {
        put(report, "dropped by its own account", sum(&counted, "frames_dropped"));
        put(report, "calls left over", sum(&counted, "calls_active"));
    }
}
