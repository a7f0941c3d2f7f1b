//! What audio and calls cost in memory and in words, counted on the gateway's own thread.

mod support;

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use support::{Doors, Gateway, Got, Pbx, Phone, frame, talking};
use tokio::{sync::oneshot, time};
use tracing_subscriber::{Layer, layer::SubscriberExt};

/// Until every buffer has found its size.
const WARM_UP: u16 = 25;
/// Frames that are counted, each way.
const FRAMES: u16 = 150;
/// Of rustls, which can't be told to reuse them: a record that is read becomes a `Vec` of its plain
/// text, one that is written a `Vec` of its cipher text. Each is given back within the frame.
const OF_TLS: u64 = 2;
/// What is rare within three seconds: Asterisk is asked for its queue, silence is begun.
const RARE: u64 = 30;

/// Calls until every table has found its size, and calls that are counted.
const CALLS: (usize, usize) = (40, 120);
/// What a table may grow by in so many calls; a leak of one small thing a call would be more.
const GROWN: i64 = 4 * 1024;

/// Counts what is logged, at every level.
#[derive(Clone, Default)]
struct Lines(Arc<AtomicUsize>);

impl<S: tracing::Subscriber> Layer<S> for Lines {
    fn on_event(&self, event: &tracing::Event<'_>, _: tracing_subscriber::layer::Context<'_, S>) {
        if event.metadata().target().starts_with("goastgateway") {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// When to begin and to end counting.
struct Count {
    begin: oneshot::Sender<()>,
    end: oneshot::Sender<()>,
}

/// A call on a thread of its own: both sides speak, and hear each frame that was spoken.
fn call(doors: &Doors, count: Count) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (mut pbx, mut phone) = talking(doors, "2001").await;
        let mut tick = time::interval(time::Duration::from_millis(20));
        let mut begin = Some(count.begin);
        for number in 1..=WARM_UP + FRAMES {
            if number > WARM_UP
                && let Some(begin) = begin.take()
            {
                begin.send(()).unwrap();
            }
            tick.tick().await;
            phone.speak(frame(number)).await;
            pbx.send_audio(frame(number)).await;
            assert_eq!(phone.audio().await, frame(number));
            // Silence and questions may come between.
            while !matches!(pbx.next().await, Got::Audio(audio) if audio[0] != 0 || audio[1] != 0) {
            }
        }
        count.end.send(()).unwrap();
    });
}

#[test]
fn a_frame_of_audio_takes_no_memory_of_the_gateways_own_and_is_not_logged() {
    let lines = Lines::default();
    let subscriber = tracing_subscriber::registry().with(lines.clone());
    let (allocated, logged) = tracing::subscriber::with_default(subscriber, || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let gateway = runtime.block_on(Gateway::start());
        let (begin, begun) = oneshot::channel();
        let (end, ended) = oneshot::channel();
        let doors: Doors = Doors::clone(&gateway);
        let caller = std::thread::spawn(move || call(&doors, Count { begin, end }));
        runtime.block_on(begun).unwrap();
        let before = lines.0.load(Ordering::Relaxed);
        let allocated = allocation_counter::measure(|| runtime.block_on(ended).unwrap());
        let logged = lines.0.load(Ordering::Relaxed) - before;
        caller.join().unwrap();
        (allocated.count_total, logged)
    });
    let frames = 2 * u64::from(FRAMES);
    println!("{allocated} allocations and {logged} lines in {frames} frames");
    assert!(allocated <= frames / 2 * OF_TLS + RARE, "{allocated} allocations in {frames} frames");
    assert_eq!(logged, 0, "lines in the log");
}

/// Calls one after the other, each with a frame each way, ended by both sides in turn.
async fn calls(doors: &Doors, phone: &mut Phone, count: usize) {
    for n in 0..count {
        let mut pbx = Pbx::dial(doors, "2001").await;
        phone.expect("RINGING").await;
        phone.say("ANSWER").await;
        pbx.expect("ANSWER").await;
        phone.speak(frame(7)).await;
        pbx.send_audio(frame(8)).await;
        assert_eq!(phone.audio().await, frame(8));
        if n % 2 == 0 {
            pbx.hang_up().await;
            phone.expect("HANGUP").await;
        } else {
            phone.hang_up().await;
            pbx.expect("HANGUP").await;
            pbx.hang_up().await;
        }
        pbx.closed().await;
    }
}

#[test]
fn memory_returns_to_where_it_was_before_the_calls() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let gateway = runtime.block_on(Gateway::start());
    let (begin, begun) = oneshot::channel();
    let (end, ended) = oneshot::channel();
    let (over, is_over) = oneshot::channel::<()>();
    let doors: Doors = Doors::clone(&gateway);
    let caller = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut phone = Phone::ready(&doors, "2001").await;
            calls(&doors, &mut phone, CALLS.0).await;
            begin.send(()).unwrap();
            calls(&doors, &mut phone, CALLS.1).await;
            end.send(()).unwrap();
            is_over.await.unwrap();
        });
    });
    // A goodbye takes a second at most.
    let settled = || time::sleep(time::Duration::from_millis(1200));
    runtime.block_on(async {
        begun.await.unwrap();
    });
    let counted = allocation_counter::measure(|| {
        runtime.block_on(async {
            ended.await.unwrap();
            settled().await;
        });
    });
    over.send(()).unwrap();
    caller.join().unwrap();
    let grown = counted.bytes_current;
    println!("{grown} bytes and {} pieces kept after {} calls", counted.count_current, CALLS.1);
    assert!(grown <= GROWN, "{grown} bytes kept after {} calls", CALLS.1);
}
