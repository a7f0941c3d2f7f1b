//! Each of the recipes of docs/streams.md, with a program in Node or Python as its users have it.
//!
//! The programs need what `script/test tools` installs; without it these tests say so and pass.

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::{
    support::{talking, write_certificate},
    *,
};

fn here() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/taps")
}

/// A consumer in a process of its own; gone with this value.
struct Program {
    child: Child,
    lines: mpsc::Receiver<String>,
    port: u16,
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Program {
    /// `None` where what it needs isn't installed.
    async fn start(file: &str, arguments: &[&Path]) -> Option<Self> {
        let (program, needs) = if file.ends_with(".js") {
            (PathBuf::from("node"), here().join("node_modules/ws"))
        } else {
            let python = here().join(".venv/bin/python3");
            (python.clone(), python)
        };
        if !needs.exists() {
            println!("skipped: {} isn't there; script/test tools installs it", needs.display());
            return None;
        }
        let mut child = Command::new(program)
            .arg(here().join("programs").join(file))
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let (tell, lines) = mpsc::channel(100);
        std::thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                if tell.blocking_send(line).is_err() {
                    return;
                }
            }
        });
        let mut program = Self { child, lines, port: 0 };
        program.port = program.line("port").await.parse().unwrap();
        Some(program)
    }

    /// The rest of the next line that begins so.
    async fn line(&mut self, begin: &str) -> String {
        soon(&format!("the consumer's {begin}"), async {
            loop {
                let line = self.lines.recv().await.expect("it has ended");
                assert!(!line.starts_with("out of sequence"), "{line}");
                if let Some(rest) = line.strip_prefix(begin) {
                    return rest.trim().to_owned();
                }
            }
        })
        .await
    }
}

/// Has a call of two seconds with these streams; gives its id.
async fn call_with(streams: Value) -> uuid::Uuid {
    let gateway = Gateway::with(|config| config["streams"] = streams, json!({})).await;
    let (mut pbx, mut phone) = talking(&gateway, "2001").await;
    let id = gateway.exchange.taps.list()[0].facts.call_id;
    talk(&mut pbx, &mut phone, 50).await;
    pbx.send(json!({ "event": "DTMF_END", "digit": "5" }).to_string()).await;
    talk(&mut pbx, &mut phone, 50).await;
    pbx.hang_up().await;
    // Its consumers may take as long as they like after this.
    until("the call's end", || gateway.exchange.taps.list().is_empty()).await;
    tokio::time::timeout(support::PATIENCE, gateway.exchange.taps.close(support::PATIENCE))
        .await
        .unwrap();
    id
}

/// That a file of 8 kHz has the one voice and not the other.
fn assert_voice(samples: &[i16], there: usize, absent: usize) {
    // A hundred frames, none said earlier than 20 ms after the last: 1.98 seconds at the least.
    assert!(samples.len() >= 99 * 160, "{}", samples.len());
    let share = |period| usual_share(samples, period, 8_000);
    assert!(share(there) > 0.5, "{}", share(there));
    assert!(share(absent) < 0.02, "{}", share(absent));
}

fn read(path: PathBuf) -> Vec<u8> {
    std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn mulaw(bytes: &[u8]) -> Vec<i16> {
    bytes.iter().map(|byte| audio_codec_algorithms::decode_ulaw(*byte)).collect()
}

#[tokio::test]
async fn ast_streamer_a_catcher_of_three_raw_streams() {
    let folder = tempfile::tempdir().unwrap();
    let Some(mut program) = Program::start("stream_catcher.js", &[folder.path()]).await else {
        return;
    };
    let url = |side: &str| format!("ws://127.0.0.1:{}/{side}/{{id}}", program.port);
    let id = call_with(json!([{
        "name": "ast-streamer", "format": "raw",
        "left": url("left"), "right": url("right"), "mix": url("mix"),
    }]))
    .await;
    for _ in 0..3 {
        program.line("closed").await;
    }
    let file = |side: &str| samples(&read(folder.path().join(format!("{id}-{side}.raw"))));
    assert_voice(&file("left"), AGENT, CALLER);
    assert_voice(&file("right"), CALLER, AGENT);
    assert_eq!(file("mix").len(), file("left").len());
}

#[tokio::test]
async fn audiofork_two_directions_to_two_urls() {
    let folder = tempfile::tempdir().unwrap();
    let Some(mut program) = Program::start("two_directions.js", &[folder.path()]).await else {
        return;
    };
    let url = |path: &str| format!("ws://127.0.0.1:{}/{path}", program.port);
    call_with(json!([
        { "format": "raw", "left": url("in") },
        { "format": "raw", "right": url("out") },
    ]))
    .await;
    program.line("closed").await;
    program.line("closed").await;
    // D(in) is what comes from the phone's channel, D(out) what it is sent.
    let file = |path: &str| samples(&read(folder.path().join(format!("{path}.raw"))));
    assert_voice(&file("in"), AGENT, CALLER);
    assert_voice(&file("out"), CALLER, AGENT);
}

#[tokio::test]
async fn ringcentral_s_call_streaming_in_node_over_wss() {
    let folder = tempfile::tempdir().unwrap();
    let (cert, key) = write_certificate(folder.path());
    let started = Program::start("call_streaming.js", &[folder.path(), &cert, &key]).await;
    let Some(mut program) = started else { return };
    let id = call_with(json!([{
        "format": "ringcentral", "url": format!("wss://localhost:{}/audio", program.port),
        "ca_file": cert, "account_id": "99990000", "subaccount_id": "99990001",
        "rc_account_id": "123456789", "product_type": "Queue", "product_id": 1234,
    }]))
    .await;
    let query = program.line("query").await;
    assert!(query.contains(&format!("callId={id}")) && query.contains("productType=Queue"));
    assert_eq!(program.line("connected").await, "AgentSession 1.0.0");
    let start: Value = serde_json::from_str(&program.line("start").await).unwrap();
    assert_eq!((&start["callId"], &start["agentId"]), (&json!(id.to_string()), &json!(2001)));
    program.line("stop").await;
    let second = program.line("stop").await;
    let (duration, end) = second.split_once(' ').expect("a second Stop");
    assert!(duration.parse::<u32>().unwrap() >= 1 && end.ends_with('Z'), "{second}");
    program.line("closed").await;
    let file = |side: &str| mulaw(&read(folder.path().join(format!("{id}_{side}.ulaw"))));
    assert_voice(&file("agent"), AGENT, CALLER);
    assert_voice(&file("conference"), CALLER, AGENT);
}

#[tokio::test]
async fn ringcentral_s_call_streaming_in_python() {
    let folder = tempfile::tempdir().unwrap();
    let Some(mut program) = Program::start("call_streaming.py", &[folder.path()]).await else {
        return;
    };
    let url = format!("ws://127.0.0.1:{}/", program.port);
    let id = call_with(json!([{ "format": "ringcentral", "url": url }])).await;
    program.line("closed").await;
    let file = |side: &str| mulaw(&read(folder.path().join(format!("{id}-1_{side}.ulaw"))));
    assert_voice(&file("agent"), AGENT, CALLER);
    assert_voice(&file("conference"), CALLER, AGENT);
}

#[tokio::test]
async fn twilio_s_media_streams() {
    let folder = tempfile::tempdir().unwrap();
    let Some(mut program) = Program::start("media_streams.js", &[folder.path()]).await else {
        return;
    };
    let url = format!("ws://127.0.0.1:{}/", program.port);
    let id =
        call_with(json!([{ "format": "twilio", "url": url, "parameters": { "tenant": "seven" } }]))
            .await;
    let start: Value = serde_json::from_str(&program.line("start").await).unwrap();
    assert_eq!(start["customParameters"], json!({ "tenant": "seven" }));
    assert_eq!(program.line("mark").await, "hello");
    assert_eq!(program.line("dtmf").await, "inbound_track 5");
    program.line("stop").await;
    program.line("closed").await;
    let file =
        |track: &str| mulaw(&read(folder.path().join(format!("CA{}-{track}.ulaw", id.simple()))));
    assert_voice(&file("outbound"), AGENT, CALLER);
    assert_voice(&file("inbound"), CALLER, AGENT);
}

#[tokio::test]
async fn jambonz_listen_in_python() {
    let folder = tempfile::tempdir().unwrap();
    let Some(mut program) = Program::start("listen.py", &[folder.path()]).await else { return };
    let url = format!("ws://127.0.0.1:{}/", program.port);
    let id = call_with(json!([{
        "format": "jambonz", "url": url, "channels": "stereo", "parameters": { "tenant": "seven" },
    }]))
    .await;
    let start: Value = serde_json::from_str(&program.line("start").await).unwrap();
    assert_eq!((&start["sampleRate"], &start["mixType"]), (&json!(8_000), &json!("stereo")));
    assert_eq!(start["metadata"], json!({ "tenant": "seven" }));
    program.line("closed").await;
    let both = samples(&read(folder.path().join(format!("{id}.raw"))));
    let side = |n: usize| both.iter().skip(n).step_by(2).copied().collect::<Vec<i16>>();
    assert_voice(&side(0), CALLER, AGENT);
    assert_voice(&side(1), AGENT, CALLER);
}
