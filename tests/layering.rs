//! Which room may know what, read from the source itself.
//!
//! The pure rooms hold what a call, a frame and a message are. They know no socket, no task and no
//! clock: time is an argument, so their tests need none either. That is a promise of the house,
//! and promises that no tool checks are broken by the first hurried change.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Rooms and files that know no outside world.
const PURE: &[&str] = &[
    "src/call",
    "src/media",
    "src/asterisk/message.rs",
    "src/asterisk/ami/message.rs",
    "src/asterisk/ari/message.rs",
    "src/asterisk/ari/part.rs",
    "src/asterisk/ari/steps.rs",
    "src/asterisk/ami/event.rs",
    "src/asterisk/control/attempts.rs",
    "src/asterisk/control/book.rs",
    "src/asterisk/control/passed.rs",
    "src/asterisk/control/outcome.rs",
    "src/phone/plain.rs",
    "src/phone/session.rs",
    "src/report/row.rs",
    "src/report/table/query.rs",
    "src/report/webhook/message.rs",
    "src/report/webhook/sign.rs",
    "src/phone/v1",
    "src/exchange/resume.rs",
    "src/net/address.rs",
    "src/net/liveness.rs",
    "src/net/ws.rs",
    "src/tap/audiofork",
    "src/tap/audiofork.rs",
    "src/tap/dialect",
    "src/tap/facts.rs",
    "src/tap/filter.rs",
    "src/tap/spec",
    "src/tap/spec.rs",
    "src/tap/template.rs",
    "src/tap/wav.rs",
];

/// What they may not name, and what to do instead.
const FORBIDDEN: &[(&str, &str)] = &[
    ("tokio", "what waits belongs into a task; a pure room takes inputs and gives outputs"),
    ("futures", "what waits belongs into a task"),
    ("async ", "what waits belongs into a task"),
    (".await", "what waits belongs into a task"),
    ("std::net::Tcp", "sockets belong into net"),
    ("std::net::Udp", "sockets belong into net"),
    ("std::thread", "threads belong into the daemon"),
    ("std::fs", "files belong into config"),
    ("std::env", "the environment belongs into main"),
    ("std::process", "processes belong into main"),
    ("std::sync::Mutex", "what is shared belongs into exchange"),
    ("SystemTime", "take the time as an argument"),
    ("Instant::now", "take `now` as an argument"),
    (".elapsed()", "take `now` as an argument: this reads the clock"),
    ("rand::", "take what is random as an argument"),
    ("tracing::", "give back what is to be told; the task has the log"),
    ("println!", "give back what is to be told"),
    ("eprintln!", "give back what is to be told"),
    ("crate::exchange", "the shared state stands above the pure rooms"),
    ("crate::app", "the house stands above its rooms"),
    ("crate::daemon", "the house stands above its rooms"),
    ("crate::asterisk", "a call knows no PBX"),
];

/// Which rooms may not know which: the arrows of the house point one way.
const ARROWS: &[(&str, &[&str])] = &[
    ("src/net", &["crate::phone", "crate::asterisk", "crate::exchange", "crate::app"]),
    ("src/exchange", &["crate::app", "crate::daemon", "crate::net::listen"]),
    ("src/report", &["crate::app", "crate::phone", "crate::exchange", "crate::net"]),
    ("src/admin", &["crate::app", "crate::daemon", "crate::phone", "crate::asterisk"]),
    ("src/phone", &["crate::app", "crate::daemon", "crate::asterisk"]),
    ("src/asterisk", &["crate::app", "crate::daemon"]),
    (
        "src/tap",
        &["crate::app", "crate::daemon", "crate::phone", "crate::asterisk", "crate::exchange"],
    ),
];

/// A file has one subject: without its tests it stays below this.
const MOST_LINES: usize = 450;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every Rust file at or below a path, in order.
fn sources(path: &Path) -> Vec<PathBuf> {
    if path.is_file() {
        return vec![path.to_owned()];
    }
    let entries = fs::read_dir(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    // Tests may have a clock, also where they are a file of their own.
    let rust = |path: &PathBuf| {
        path.is_dir()
            || (path.extension().is_some_and(|e| e == "rs") && !path.ends_with("tests.rs"))
    };
    paths.into_iter().filter(rust).flat_map(|path| sources(&path)).collect()
}

/// A file's name in messages, and its lines up to its tests. Comments are left empty.
fn code(path: &Path) -> (String, Vec<String>) {
    let text = fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let lines = text.lines().take_while(|line| line.trim() != "#[cfg(test)]");
    let strip = |line: &str| line.split("//").next().unwrap_or_default().to_owned();
    let name = path.strip_prefix(root()).unwrap_or(path).display().to_string();
    (name, lines.map(strip).collect())
}

/// Whether a line names a thing, and not one whose name only ends or begins like it.
fn names(line: &str, what: &str) -> bool {
    line.match_indices(what).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + what.len()..].chars().next();
        let word = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
        let begins = what.starts_with(|c: char| !c.is_alphanumeric()) || !word(before);
        let open = what.ends_with(|c: char| !c.is_alphanumeric()) || what.ends_with("Tcp");
        begins && (open || what.ends_with("Udp") || !word(after))
    })
}

#[test]
fn the_pure_rooms_know_no_socket_no_task_and_no_clock() {
    let mut faults = Vec::new();
    for room in PURE {
        // Tests may use a clock to have a time to begin from.
        let tests = |path: &PathBuf| path.ends_with("tests.rs");
        for path in sources(&root().join(room)).into_iter().filter(|path| !tests(path)) {
            let (name, lines) = code(&path);
            for (n, line) in lines.iter().enumerate() {
                for (what, instead) in FORBIDDEN.iter().filter(|(what, _)| names(line, what)) {
                    faults.push(format!("{name}:{}: {what}: {instead}", n + 1));
                }
            }
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn the_arrows_between_the_rooms_point_one_way() {
    let mut faults = Vec::new();
    for (room, above) in ARROWS {
        for path in sources(&root().join(room)) {
            let (name, lines) = code(&path);
            for (n, line) in lines.iter().enumerate() {
                for what in above.iter().filter(|what| names(line, what)) {
                    faults.push(format!("{name}:{}: {room} knows {what}", n + 1));
                }
            }
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn every_file_says_in_its_head_what_it_is() {
    let headless: Vec<String> = sources(&root().join("src"))
        .into_iter()
        .filter(|path| {
            let text = fs::read_to_string(path).expect("readable");
            !path.ends_with("tests.rs") && !text.starts_with("//! ")
        })
        .map(|path| path.display().to_string())
        .collect();
    assert!(headless.is_empty(), "no comment in the head: {headless:#?}");
}

#[test]
fn no_file_grows_without_end() {
    for path in sources(&root().join("src")) {
        let (name, lines) = code(&path);
        if lines.len() > MOST_LINES {
            // Advice, not a fault: the number is not the point, one subject is.
            println!("advice: {name} has {} lines: does it have one subject?", lines.len());
        }
        assert!(lines.len() <= 2 * MOST_LINES, "{name} has {} lines", lines.len());
    }
}

#[test]
fn this_test_can_tell_a_name_from_a_part_of_one() {
    assert!(names("use tokio::net;", "tokio"));
    assert!(!names("use tokio_util::x;", "tokio"));
    assert!(names("let s: std::net::TcpStream;", "std::net::Tcp"));
    assert!(names("    let now = Instant::now();", "Instant::now"));
    assert!(names("use std::thread;", "std::thread"));
    assert!(!names("crate::application::x", "crate::app"));
    assert!(names("x.await", ".await"));
}
