//! The real program and its signals: SIGHUP and SIGTERM under a running call lose no frame.

use std::{
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, channel},
    time::{Duration, Instant},
};

use crate::support::{
    Doors, Gateway, Got, PATIENCE, Pbx, Phone, base_config, frame, soon, talking,
};
use serde_json::{Value, json};
use tokio::{io::AsyncReadExt, net::TcpStream};

/// The program, its files, and what it says.
struct Program {
    child: Child,
    log: Receiver<String>,
    said: Vec<String>,
    doors: Doors,
    config: PathBuf,
    folder: tempfile::TempDir,
}

impl Program {
    fn start(change: impl FnOnce(&mut Value)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (cert, _) = crate::support::write_certificate(folder.path());
        let config = folder.path().join("goastgateway.json");
        let groups = folder.path().join("gag_groups.json");
        let mut settings = base_config(folder.path());
        for key in ["asterisk_addr", "browser_addr", "admin_addr"] {
            settings[key] = json!("127.0.0.1:0");
        }
        change(&mut settings);
        std::fs::write(&config, settings.to_string()).unwrap();
        std::fs::write(&groups, "{}").unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_goastgateway"))
            .args(["-c".as_ref(), config.as_os_str(), "-g".as_ref(), groups.as_os_str()])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (send, log) = channel();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let _ = send.send(line);
            }
        });
        let nowhere: SocketAddr = ([127, 0, 0, 1], 0).into();
        let doors = Doors { asterisk: nowhere, browser: nowhere, admin: nowhere, cert };
        let mut program = Self { child, log, said: Vec::new(), doors, config, folder };
        program.doors.asterisk = program.address("listening for Asterisk");
        program.doors.browser = program.address("listening for browsers");
        program.doors.admin = program.address("listening for the operator");
        program
    }

    /// Waits for a line of the log.
    fn wait(&mut self, what: &str) -> String {
        let until = Instant::now() + PATIENCE;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let Ok(line) = self.log.recv_timeout(left) else {
                panic!("no line «{what}» in {:#?}", self.said)
            };
            self.said.push(line.clone());
            if line.contains(what) {
                return line;
            }
        }
    }

    fn address(&mut self, what: &str) -> SocketAddr {
        let line = self.wait(what);
        line.split('"').nth(1).unwrap().parse().unwrap()
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
    }

    fn rewrite(&self, change: impl FnOnce(&mut Value)) {
        let mut settings: Value =
            serde_json::from_slice(&std::fs::read(&self.config).unwrap()).unwrap();
        change(&mut settings);
        std::fs::write(&self.config, settings.to_string()).unwrap();
    }

    fn exit_code(&mut self) -> Option<i32> {
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("still running");
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Numbered frames both ways, at 50 a second, while something happens in the middle; every frame
/// has to arrive, in order.
async fn no_frame_is_lost(pbx: &mut Pbx, phone: &mut Phone, happening: impl FnOnce()) {
    const FRAMES: u16 = 100;
    let mut happening = Some(happening);
    let mut clock = tokio::time::interval(Duration::from_millis(20));
    let mut down = Vec::new();
    let mut up = Vec::new();
    for n in 1..=FRAMES {
        clock.tick().await;
        pbx.send_audio(frame(n)).await;
        phone.speak(frame(n)).await;
        if n == FRAMES / 2 {
            happening.take().unwrap()();
        }
        down.push(phone.audio().await);
        // Silence in the phone's place is not its speech.
        up.push(pbx.speech().await);
    }
    let sent: Vec<_> = (1..=FRAMES).map(frame).collect();
    assert_eq!(down, sent);
    assert_eq!(up, sent);
}

#[tokio::test]
async fn sighup_under_a_running_call_loses_no_frame_and_the_new_configuration_is_in_force() {
    let mut program = Program::start(|_| {});
    let (mut pbx, mut phone) = talking(&program.doors, "2001").await;
    let mut idle = Phone::ready(&program.doors, "2002").await;
    program.rewrite(|c| c["allowed_origins"] = json!(["https://other.example"]));
    no_frame_is_lost(&mut pbx, &mut phone, || program.signal("HUP")).await;
    program.wait("configuration reloaded");
    assert_eq!(Phone::try_log_in(&program.doors, "2003").await.unwrap_err(), 403);
    idle.expect_nothing().await;
    phone.say("HANGUP").await;
    pbx.expect("HANGUP").await;
}

#[tokio::test]
async fn sighup_takes_a_new_certificate_and_new_secrets_without_dropping_a_phone() {
    let mut program = Program::start(|_| {});
    let mut phone = Phone::ready(&program.doors, "2001").await;
    crate::support::write_certificate(program.folder.path());
    program.rewrite(|c| {
        c["jwt_secret"] = json!("another secret that is long enough, 0123456789");
        c["jwt_secret_previous"] = json!(crate::support::SECRET);
    });
    program.signal("HUP");
    program.wait("configuration reloaded");
    // The new certificate is the one that is trusted now; the old secret still counts.
    let mut second = Phone::ready(&program.doors, "2002").await;
    second.expect_nothing().await;
    program.rewrite(|c| {
        c.as_object_mut().unwrap().remove("jwt_secret_previous");
    });
    program.signal("HUP");
    program.wait("configuration reloaded");
    assert_eq!(Phone::try_log_in(&program.doors, "2003").await.unwrap_err(), 401);
    phone.expect_nothing().await;
}

#[tokio::test]
async fn a_bad_file_at_sighup_is_reported_and_the_old_one_stays() {
    let mut program = Program::start(|_| {});
    let mut phone = Phone::ready(&program.doors, "2001").await;
    program.rewrite(|c| c["ring_timout"] = json!(30));
    program.signal("HUP");
    let line = program.wait("ring_timout");
    assert!(line.contains("ring_timeout"), "says what to write: {line}");
    program.wait("the old one stays in force");
    phone.expect_nothing().await;
    Phone::ready(&program.doors, "2002").await;
}

#[tokio::test]
async fn a_reload_never_takes_tls_away_from_a_socket_that_is_bound() {
    let mut program = Program::start(|_| {});
    let mut phone = Phone::ready(&program.doors, "2001").await;
    program.rewrite(|c| c["browser_tls"] = json!(false));
    program.signal("HUP");
    program.wait("browser_tls");
    program.wait("the old one stays in force");
    Phone::ready(&program.doors, "2002").await; // over TLS
    phone.expect_nothing().await;
}

#[tokio::test]
async fn sigterm_under_a_running_call_loses_no_frame_and_ends_after_it() {
    let mut program = Program::start(|_| {});
    let (mut pbx, mut phone) = talking(&program.doors, "2001").await;
    let mut idle = Phone::ready(&program.doors, "2002").await;
    no_frame_is_lost(&mut pbx, &mut phone, || program.signal("TERM")).await;
    program.wait("waiting for calls to end");
    assert_eq!(idle.closed().await, Some(1012), "an idle phone is told to come again");
    // No new call, no new login; the operator sees it.
    Pbx::dial(&program.doors, "2001").await.expect("HANGUP").await;
    assert_eq!(Phone::try_log_in(&program.doors, "2003").await.unwrap_err(), 503);
    let mut stream = TcpStream::connect(program.doors.admin).await.unwrap();
    let request = b"GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    tokio::io::AsyncWriteExt::write_all(&mut stream, request).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    // The call goes on for as long as it likes.
    pbx.send_audio(frame(7)).await;
    assert_eq!(phone.audio().await, frame(7));
    phone.say("HANGUP").await;
    pbx.expect("HANGUP").await;
    pbx.hang_up().await;
    phone.expect("HANGUP").await;
    assert_eq!(phone.closed().await, Some(1012));
    assert_eq!(program.exit_code(), Some(0));
}

#[tokio::test]
async fn sigterm_leaves_a_hunt_its_phones_until_it_is_over() {
    let groups =
        json!({ "G01": { "strategy": "sequential", "members": ["201", "202"], "timeout": 0.5 } });
    let mut gateway = Gateway::with(|_| {}, groups).await;
    let mut one = Phone::ready(&gateway, "201").await;
    let mut two = Phone::ready(&gateway, "202").await;
    let mut pbx = Pbx::dial(&gateway, "G01").await;
    one.expect("RINGING").await;
    gateway.control.drain.cancel();
    one.expect("HANGUP").await;
    two.expect("RINGING").await; // idle when the gateway was told to stop
    two.say("ANSWER").await;
    pbx.expect("ANSWER").await;
    assert_eq!(one.closed().await, Some(1012), "no call wants it any more");
    pbx.hang_up().await;
    two.expect("HANGUP").await;
    assert_eq!(two.closed().await, Some(1012));
    gateway.stopped().await;
}

#[tokio::test]
async fn a_second_sigterm_ends_at_once() {
    let mut program = Program::start(|_| {});
    let (mut pbx, mut phone) = talking(&program.doors, "2001").await;
    program.signal("TERM");
    program.wait("waiting for calls to end");
    program.signal("TERM");
    pbx.expect("HANGUP").await;
    phone.expect("HANGUP").await;
    pbx.hang_up().await;
    assert_eq!(program.exit_code(), Some(0));
}

#[tokio::test]
async fn calls_are_hung_up_when_drain_timeout_is_over() {
    let mut gateway = Gateway::with(|c| c["drain_timeout"] = json!(1), json!({})).await;
    let (mut pbx, mut phone) = talking(&gateway, "2001").await;
    gateway.control.drain.cancel();
    pbx.expect("HANGUP").await;
    phone.expect("HANGUP").await;
    pbx.hang_up().await;
    gateway.stopped().await;
    assert!(gateway.exchange.metrics.text().contains("ending=\"drain_timeout\""));
}

#[tokio::test]
async fn a_port_that_is_taken_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let folder = tempfile::tempdir().unwrap();
    crate::support::write_certificate(folder.path());
    let mut settings = base_config(folder.path());
    settings["browser_addr"] = json!(address);
    for key in ["asterisk_addr", "admin_addr"] {
        settings[key] = json!("127.0.0.1:0");
    }
    let config = folder.path().join("c.json");
    std::fs::write(&config, settings.to_string()).unwrap();
    let out =
        Command::new(env!("CARGO_BIN_EXE_goastgateway")).arg("-c").arg(&config).output().unwrap();
    assert_eq!(out.status.code(), Some(71));
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(text.contains("browser_addr") && text.contains(&address), "{text}");
}

#[tokio::test]
async fn no_token_and_no_secret_is_in_the_log_whatever_the_level() {
    let mut program = Program::start(|c| c["log_level"] = json!("DEBUG"));
    let good = crate::support::token("2001");
    let bad =
        crate::support::sign(&json!({ "ext": "2001", "exp": 4_000_000_000u64 }), "wrong secret");
    let origin = [("origin", crate::support::ORIGIN)];
    for token in [&good, &bad] {
        let _ = Phone::open(&program.doors, &format!("/phone?token={token}"), &origin).await;
    }
    let (pbx, mut phone) = talking(&program.doors, "2002").await;
    drop(pbx);
    phone.expect("HANGUP").await;
    program.signal("TERM");
    assert_eq!(program.exit_code(), Some(0));
    program.wait("stopped");
    let log = program.said.join("\n");
    assert!(log.contains("token_signature"), "{log}");
    for secret in [good.as_str(), bad.as_str(), crate::support::SECRET, "eyJ"] {
        assert!(!log.contains(secret), "«{secret}» in {log}");
    }
}

#[tokio::test]
async fn a_flood_of_lines_in_a_name_cannot_fake_a_line_of_the_log() {
    let mut program = Program::start(|_| {});
    let mut pbx = Pbx::connect(&program.doors).await;
    let mut start = crate::support::media_start(json!({}));
    start["connection_id"] = json!("x\n2026-01-01 INFO call ended ending=\"fake\"");
    start["channel"] = json!("y\r\nfake");
    pbx.send(start.to_string()).await;
    pbx.expect("HANGUP").await;
    program.wait("ending=\"no_extension\"");
    let fake = |line: &String| line.starts_with("fake") || line.starts_with("2026-01-01");
    assert!(!program.said.iter().any(fake), "{:#?}", program.said);
    soon("the end", async {
        loop {
            if matches!(pbx.next().await, Got::Closed(_) | Got::Lost) {
                break;
            }
        }
    })
    .await;
}
