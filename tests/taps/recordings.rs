//! Recordings: content, names, places, crashes, full disks.

use std::path::Path;

use serde_json::{Value, json};

use crate::{support::talking, *};

fn recording(folder: &Path, more: Value) -> impl FnOnce(&mut Value) {
    let mut settings = json!({
        "spool": folder.join("spool"), "directory": folder.join("kept"), "prefix": "calls/",
        "min_free_mib": 1,
    });
    for (key, value) in more.as_object().unwrap() {
        settings[key] = value.clone();
    }
    move |config| config["recording"] = settings
}

fn read(path: &Path) -> (Vec<i16>, Vec<i16>) {
    let mut reader = hound::WavReader::open(path).unwrap();
    assert_eq!((reader.spec().channels, reader.spec().sample_rate), (2, 16_000));
    let all: Vec<i16> = reader.samples().map(Result::unwrap).collect();
    (all.iter().step_by(2).copied().collect(), all.iter().skip(1).step_by(2).copied().collect())
}

fn is_stored(what: &What) -> bool {
    matches!(what, What::RecordingStored { .. })
}

#[tokio::test]
async fn a_call_is_recorded_with_the_agent_left_and_the_caller_right() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = Gateway::with(recording(folder.path(), json!({})), json!({})).await;
    let mut events = gateway.exchange.taps.take_events().unwrap();
    let (mut pbx, mut phone) = talking(&gateway, "2001").await;
    let id = gateway.exchange.taps.list()[0].facts.call_id;
    let talk = talk(&mut pbx, &mut phone, 80).await;
    // Playable while it grows.
    let growing = folder.path().join(format!("spool/{id}.wav"));
    until("half a second on the disk", || read(&growing).0.len() >= 16_000 / 2).await;
    pbx.hang_up().await;
    let told = events_until(&mut events, "the recording's place", is_stored).await;
    let names: Vec<_> =
        told.iter().map(|event| serde_json::to_value(event).unwrap()["event"].clone()).collect();
    assert_eq!(names, ["recording_started", "recording_ended", "recording_stored"]);
    let kept = folder.path().join(format!("kept/calls/{id}.wav"));
    let (left, right) = read(&kept);
    // What the disk was too slow for is silent, and counted; it shortens nothing.
    assert!(left.len() >= talk.slots * 320, "{} of {talk:?}", left.len() / 320);
    let What::RecordingEnded { lost, .. } = told[1].what else { panic!("{told:?}") };
    assert!(lost == 0 || talk.stall > 0, "{lost} {talk:?}");
    for (side, there, absent) in [(&left, AGENT, CALLER), (&right, CALLER, AGENT)] {
        assert!(usual_share(side, there, 16_000) > 0.4);
        assert!(usual_share(side, absent, 16_000) < 0.02);
    }
    until("an empty spool", || !growing.exists()).await;
    until("an empty list", || gateway.exchange.taps.recordings().is_empty()).await;
}

#[tokio::test]
async fn a_recording_is_begun_and_ended_on_demand_and_twice_in_a_call() {
    let folder = tempfile::tempdir().unwrap();
    let config = recording(folder.path(), json!({ "when": "asked" }));
    let gateway = Gateway::with(config, json!({})).await;
    let taps = gateway.exchange.taps.clone();
    let mut events = taps.take_events().unwrap();
    let (mut pbx, mut phone) = talking(&gateway, "2001").await;
    let whom = only_call(&gateway);
    let mut lengths = Vec::new();
    for _ in 0..2 {
        talk(&mut pbx, &mut phone, 10).await;
        taps.start_recording(&whom, "api").await.unwrap();
        assert!(taps.start_recording(&whom, "api").await.is_err(), "it is recorded");
        let talk = talk(&mut pbx, &mut phone, 40).await;
        taps.stop_recording(&whom).unwrap();
        lengths.push(talk.slots - talk.stall.min(talk.slots));
        events_until(&mut events, "the recording's place", is_stored).await;
    }
    let id = taps.list()[0].facts.call_id;
    for (name, slots) in [format!("{id}.wav"), format!("{id}-2.wav")].iter().zip(lengths) {
        let (left, _) = read(&folder.path().join("kept/calls").join(name));
        assert!(left.len() / 320 + HELD >= slots, "{} of {slots}", left.len() / 320);
        assert!(usual_share(&left, AGENT, 16_000) > 0.4);
    }
    pbx.hang_up().await;
}

#[tokio::test]
async fn a_full_disk_ends_recordings_and_not_calls() {
    let folder = tempfile::tempdir().unwrap();
    // More than any disk has.
    let config = recording(folder.path(), json!({ "min_free_mib": 1_048_576 }));
    let gateway = Gateway::with(config, json!({})).await;
    let taps = gateway.exchange.taps.clone();
    let mut events = taps.take_events().unwrap();
    let (mut pbx, mut phone) = talking(&gateway, "2001").await;
    let mut feed = gateway.exchange.feed.subscribe("test");
    let talk = talk(&mut pbx, &mut phone, 60).await;
    let told =
        events_until(&mut events, "the alarm", |what| matches!(what, What::RecordingFailed { .. }))
            .await;
    let What::RecordingFailed { reason, .. } = &told[told.len() - 1].what else { panic!() };
    assert!(reason.contains("nearly full"), "{reason}");
    assert!(taps.is_disk_full());
    pbx.hang_up().await;
    assert_accounted(&mut feed, &talk).await;
}

#[tokio::test]
async fn what_a_crash_left_is_repaired_told_and_stored_by_the_next_start() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = Gateway::with(recording(folder.path(), json!({})), json!({})).await;
    let (mut pbx, mut phone) = talking(&gateway, "2001").await;
    let id = gateway.exchange.taps.list()[0].facts.call_id;
    let talk = talk(&mut pbx, &mut phone, 100).await;
    // As a crash leaves it: the spool as it is now, under a head that knows less.
    let left = tempfile::tempdir().unwrap();
    std::fs::create_dir(left.path().join("spool")).unwrap();
    for kind in ["wav", "json"] {
        let name = format!("spool/{id}.{kind}");
        std::fs::copy(folder.path().join(&name), left.path().join(&name)).unwrap();
    }
    use std::io::Write;
    let wav = left.path().join(format!("spool/{id}.wav"));
    let mut file = std::fs::OpenOptions::new().append(true).open(&wav).unwrap();
    file.write_all(&[1; 1_283]).unwrap();
    drop(file);

    let next = Gateway::with(recording(left.path(), json!({})), json!({})).await;
    let mut events = next.exchange.taps.take_events().unwrap();
    let told = events_until(&mut events, "the recording's place", is_stored).await;
    let What::RecordingEnded { repaired, milliseconds, .. } = &told[0].what else {
        panic!("{told:?}")
    };
    assert!(*repaired);
    // At most a second is missing, and as long as this machine stood still.
    let missing = 50 + 2 * talk.stall;
    assert!(*milliseconds as usize / 20 + missing >= talk.slots, "{milliseconds} of {talk:?}");
    let (samples, _) = read(&left.path().join(format!("kept/calls/{id}.wav")));
    assert_eq!(samples.len() as u64 / 16, *milliseconds);
    assert_eq!(told[0].call.call_id, id);
}

const API_TOKEN: &str = "a-token-of-the-tests-that-is-long-enough";

/// A store of S3's kind, in a process of its own; gone with this value.
struct S3(std::process::Child);

impl Drop for S3 {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl S3 {
    /// `None` where it isn't installed, which is said.
    fn program() -> Option<std::path::PathBuf> {
        let program =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/taps/node_modules/.bin/s3rver");
        if !program.exists() {
            println!("skipped: s3rver isn't there; script/test tools installs it");
            return None;
        }
        Some(program)
    }

    fn start(program: &Path, port: u16, bucket: &Path) -> Self {
        std::fs::create_dir_all(bucket).unwrap();
        let child = std::process::Command::new("node")
            .arg(program)
            .args(["-a", "127.0.0.1", "-p", &port.to_string(), "--silent", "-d"])
            .arg(bucket)
            .args(["--configure-bucket", "calls"])
            .spawn()
            .unwrap();
        Self(child)
    }
}

/// The gateway in a process of its own, that can be killed.
struct Process {
    child: std::process::Child,
    doors: support::Doors,
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

async fn process(folder: &Path, endpoint: &str) -> Process {
    process_with(folder, endpoint, json!({})).await
}

async fn process_with(folder: &Path, endpoint: &str, more: Value) -> Process {
    let (cert, _) = support::write_certificate(folder);
    let mut config = support::base_config(folder);
    let address = || format!("127.0.0.1:{}", free_port());
    let doors = support::Doors {
        asterisk: address().parse().unwrap(),
        browser: address().parse().unwrap(),
        admin: address().parse().unwrap(),
        cert,
    };
    config["asterisk_addr"] = json!(doors.asterisk.to_string());
    config["browser_addr"] = json!(doors.browser.to_string());
    config["admin_addr"] = json!(doors.admin.to_string());
    config["state_dir"] = json!(folder.join("state"));
    config["api_tokens"] = json!([API_TOKEN]);
    config["recording"] = json!({
        "spool": folder.join("spool"), "prefix": "originalAudio/", "min_free_mib": 1,
        "s3": { "bucket": "calls", "endpoint": endpoint },
    });
    for (key, value) in more.as_object().unwrap() {
        config[key] = value.clone();
    }
    let (file, groups) = (folder.join("config.json"), folder.join("groups.json"));
    std::fs::write(&file, config.to_string()).unwrap();
    std::fs::write(&groups, "{}").unwrap();
    let child = std::process::Command::new(env!("CARGO_BIN_EXE_goastgateway"))
        .args([Path::new("-c"), &file, Path::new("-g"), &groups])
        .env("AWS_ACCESS_KEY_ID", "S3RVER")
        .env("AWS_SECRET_ACCESS_KEY", "S3RVER")
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let process = Process { child, doors };
    soon("the gateway's ports", async {
        for door in [process.doors.asterisk, process.doors.browser] {
            while tokio::net::TcpStream::connect(door).await.is_err() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    })
    .await;
    process
}

/// The only file of a kind in a folder.
fn only(folder: &Path, kind: &str) -> Option<std::path::PathBuf> {
    let files = std::fs::read_dir(folder).ok()?.map(|entry| entry.unwrap().path());
    let mut found = files.filter(|path| path.extension().is_some_and(|e| e == kind));
    let first = found.next();
    assert!(found.next().is_none());
    first
}

#[tokio::test]
async fn kill_9_in_a_recording_and_a_store_that_is_away_lose_a_second_at_most() {
    let Some(program) = S3::program() else { return };
    let folder = tempfile::tempdir().unwrap();
    let port = free_port();
    let endpoint = format!("http://127.0.0.1:{port}");
    let spool = folder.path().join("spool");
    let mut gateway = process(folder.path(), &endpoint).await;
    let (mut pbx, mut phone) = talking(&gateway.doors, "2001").await;
    let talk = talk(&mut pbx, &mut phone, 150).await;
    gateway.child.kill().unwrap();
    gateway.child.wait().unwrap();
    let left = only(&spool, "wav").expect("a recording");
    let id = left.file_stem().unwrap().to_str().unwrap().to_owned();
    // Playable as it is, and at most a second is missing: and as long as this machine stood still.
    let (samples, _) = read(&left);
    let missing = 50 + 2 * talk.stall;
    assert!(samples.len() / 320 + missing >= talk.slots, "{} of {talk:?}", samples.len() / 320);

    // The next start has no store either: the recording waits.
    let _gateway = process(folder.path(), &endpoint).await;
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    assert!(left.exists());
    let bucket = folder.path().join("s3");
    let _store = S3::start(&program, port, &bucket);
    let object = bucket.join(format!("calls/originalAudio/{id}.wav._S3rver_object"));
    // It is tried again after 1, 2, 4, 8, 16 s.
    for _ in 0..4 {
        let empty = until("an empty spool", || !left.exists());
        if tokio::time::timeout(support::PATIENCE * 3 / 4, empty).await.is_ok() {
            break;
        }
    }
    let (stored, _) = read(&object);
    assert!(stored.len() >= samples.len());
    assert!(usual_share(&stored, AGENT, 16_000) > 0.4);
}

/// Asks the API for something; gives status, the part that it says it is, and the bytes.
async fn get(gateway: &Process, path: &str, range: Option<&str>) -> (u16, String, Vec<u8>) {
    let mut request = reqwest::Client::new()
        .get(format!("http://{}/api/v1/{path}", gateway.doors.admin))
        .bearer_auth(API_TOKEN);
    if let Some(range) = range {
        request = request.header("range", range);
    }
    let answer = soon("the API's answer", request.send()).await.unwrap();
    let part = answer.headers().get("content-range");
    let part = part.map_or("", |part| part.to_str().unwrap()).to_owned();
    (answer.status().as_u16(), part, answer.bytes().await.unwrap().to_vec())
}

#[tokio::test]
async fn a_store_that_is_away_and_back_loses_nothing_and_gives_any_part_of_a_recording() {
    let Some(program) = S3::program() else { return };
    let folder = tempfile::tempdir().unwrap();
    let (port, bucket) = (free_port(), folder.path().join("s3"));
    let spool = folder.path().join("spool");
    let gateway = process(folder.path(), &format!("http://127.0.0.1:{port}")).await;
    let (mut pbx, mut phone) = talking(&gateway.doors, "2001").await;
    let talk = talk(&mut pbx, &mut phone, 50).await;
    pbx.hang_up().await;
    // It is away: the recording waits in the spool, and the list says why.
    soon("the store's absence to be told", async {
        loop {
            let (status, _, body) = get(&gateway, "recordings", None).await;
            let list: Value = serde_json::from_slice(&body).unwrap();
            assert_eq!(status, 200);
            if list[0]["state"] == "storing" && list[0]["error"] != "" {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    let left = only(&spool, "wav").expect("a recording");
    let id = left.file_stem().unwrap().to_str().unwrap().to_owned();
    let path = format!("recordings/{id}");
    let whole = get(&gateway, &path, None).await.2;
    assert!(whole.len() >= talk.slots * 1280, "{} of {talk:?}", whole.len());
    // The same from the spool and from the store.
    let n = whole.len();
    let parts = async |gateway: &Process| {
        for (range, first, last) in [
            ("bytes=0-43".to_owned(), 0, 43),
            (format!("bytes={}-", n - 10), n - 10, n - 1),
            ("bytes=-5".to_owned(), n - 5, n - 1),
            ("bytes=1000-1000".to_owned(), 1000, 1000),
            (format!("bytes=44-{}", n + 10), 44, n - 1),
        ] {
            let (status, part, bytes) = get(gateway, &path, Some(&range)).await;
            assert_eq!((status, part), (206, format!("bytes {first}-{last}/{n}")), "{range}");
            assert!(bytes == whole[first..=last], "{range}");
        }
        let (status, part, _) = get(gateway, &path, Some(&format!("bytes={n}-"))).await;
        assert_eq!((status, part), (416, format!("bytes */{n}")));
        let (status, _, bytes) = get(gateway, &path, None).await;
        assert!(status == 200 && bytes == whole);
    };
    parts(&gateway).await;

    let store = S3::start(&program, port, &bucket);
    // It is tried again after 1, 2, 4, 8, 16 s.
    for _ in 0..4 {
        let empty = until("an empty spool", || !left.exists());
        if tokio::time::timeout(support::PATIENCE * 3 / 4, empty).await.is_ok() {
            break;
        }
    }
    assert!(!left.exists(), "it isn't stored");
    parts(&gateway).await;
    // What is only there can't be had while it is away, and that is no 404.
    drop(store);
    assert_eq!(get(&gateway, &path, Some("bytes=0-9")).await.0, 503);
    let nobody = format!("recordings/{}", uuid::Uuid::nil());
    assert_eq!(get(&gateway, &nobody, None).await.0, 503);
}

#[tokio::test]
#[ignore = "takes two minutes: cargo test --test taps a_minute -- --ignored"]
async fn a_store_that_is_away_for_a_minute_has_everything_a_minute_later() {
    const AWAY: Duration = Duration::from_secs(60);
    let Some(program) = S3::program() else { return };
    let folder = tempfile::tempdir().unwrap();
    let (port, bucket) = (free_port(), folder.path().join("s3"));
    let spool = folder.path().join("spool");
    let waiting = || std::fs::read_dir(&spool).map_or(0, Iterator::count);
    let store = S3::start(&program, port, &bucket);
    let gateway = process(folder.path(), &format!("http://127.0.0.1:{port}")).await;
    let at_rest = waiting();
    // One before it goes, one that it goes away in, and one while it is away.
    let (mut pbx, mut phone) = talking(&gateway.doors, "2001").await;
    talk(&mut pbx, &mut phone, 50).await;
    pbx.hang_up().await;
    until("the first recording's place", || waiting() == at_rest).await;
    let (mut pbx, mut phone) = talking(&gateway.doors, "2002").await;
    talk(&mut pbx, &mut phone, 50).await;
    drop(store);
    let gone = Instant::now();
    talk(&mut pbx, &mut phone, 50).await;
    pbx.hang_up().await;
    let (mut pbx, mut phone) = talking(&gateway.doors, "2003").await;
    let last = talk(&mut pbx, &mut phone, 50).await;
    pbx.hang_up().await;
    tokio::time::sleep_until(gone + AWAY).await;
    assert!(waiting() > at_rest, "it is away");

    let _store = S3::start(&program, port, &bucket);
    let back = Instant::now();
    while waiting() > at_rest {
        assert!(back.elapsed() < 2 * AWAY, "{} files wait", waiting());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    println!("all is stored {:.1} s after it is back", back.elapsed().as_secs_f64());
    let objects = std::fs::read_dir(bucket.join("calls/originalAudio")).unwrap();
    let objects = objects.map(|entry| entry.unwrap().path());
    let files: Vec<_> =
        objects.filter(|path| path.to_string_lossy().ends_with("._S3rver_object")).collect();
    assert_eq!(files.len(), 3, "{files:?}");
    for file in files {
        let (left, right) = read(&file);
        assert!(left.len() / 320 + HELD + last.stall >= 50);
        assert!(usual_share(&left, AGENT, 16_000) > 0.4);
        assert!(usual_share(&right, CALLER, 16_000) > 0.4);
    }
}

#[tokio::test]
async fn chime_s_recorder_gets_its_four_events_and_its_file() {
    use std::io::BufRead;

    let Some(program) = S3::program() else { return };
    let folder = tempfile::tempdir().unwrap();
    let (port, bucket) = (free_port(), folder.path().join("s3"));
    let _store = S3::start(&program, port, &bucket);
    const SECRET: &str = "a secret of the tests, 32 bytes long";
    let hook = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/webhooks/receiver.mjs");
    let mut receiver = std::process::Command::new("node")
        .arg(hook)
        .env("SECRET", SECRET)
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = std::io::BufReader::new(receiver.stdout.take().unwrap()).lines();
    let url = format!("http://127.0.0.1:{}/hook", lines.next().unwrap().unwrap());
    let (tell, mut deliveries) = tokio::sync::mpsc::channel(100);
    std::thread::spawn(move || {
        for line in lines.map_while(Result::ok) {
            let _ =
                tell.blocking_send(serde_json::from_str::<Value>(&line).unwrap()["body"].clone());
        }
    });
    let webhooks = json!({ "webhooks": [
        { "name": "recorder", "url": url, "secret": SECRET, "format": "chime" },
        { "name": "stored", "url": url, "secret": SECRET, "events": ["recording_stored"] },
    ] });
    let endpoint = format!("http://127.0.0.1:{port}");
    let gateway = process_with(folder.path(), &endpoint, webhooks).await;
    let (mut pbx, mut phone) = talking(&gateway.doors, "2001").await;
    let talk = talk(&mut pbx, &mut phone, 50).await;
    pbx.hang_up().await;
    let (mut told, mut place, mut ids) = (Vec::new(), None, Vec::new());
    while told.len() < 4 || place.is_none() {
        let body = soon("a delivery", deliveries.recv()).await.unwrap();
        if body["event"] == "recording_stored" {
            place = Some(body["place"].as_str().unwrap().to_owned());
            continue;
        }
        assert_eq!(body["source"], "aws.chime");
        let detail = &body["detail"];
        told.push((detail["streamingStatus"].clone(), detail["isCaller"].clone()));
        ids.push(detail["callId"].as_str().unwrap().to_owned());
    }
    let sides = [("STARTED", true), ("STARTED", false), ("ENDED", true), ("ENDED", false)];
    assert_eq!(told, sides.map(|(status, caller)| (json!(status), json!(caller))));
    ids.dedup();
    let [id] = &ids[..] else { panic!("{ids:?}") };
    assert_eq!(place.unwrap(), format!("s3://calls/originalAudio/{id}.wav"));
    let (left, right) = read(&bucket.join(format!("calls/originalAudio/{id}.wav._S3rver_object")));
    assert!(left.len() / 320 >= talk.slots, "{} of {talk:?}", left.len() / 320);
    assert!(usual_share(&left, AGENT, 16_000) > 0.4 && usual_share(&left, CALLER, 16_000) < 0.02);
    assert!(usual_share(&right, CALLER, 16_000) > 0.4 && usual_share(&right, AGENT, 16_000) < 0.02);
    let _ = receiver.kill();
    let _ = receiver.wait();
}
