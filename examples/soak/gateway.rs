//! The real binary as a process: its files, its log, its signals, and what it uses.

use std::{
    fs,
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

pub const SECRET: &str = "a secret of a soak test that lives for an hour";
pub const ORIGIN: &str = "https://crm.example";

/// How long a program that is well may take to answer.
const PATIENCE: Duration = Duration::from_secs(20);

pub struct Gateway {
    child: Child,
    pub asterisk: SocketAddr,
    pub browser: SocketAddr,
    admin: SocketAddr,
    folder: tempfile::TempDir,
    pub cert: PathBuf,
    pub faults: Arc<AtomicU64>,
}

/// What the process uses.
#[derive(Debug, Clone, Copy, Default)]
pub struct Usage {
    /// Memory that is its own, MiB.
    pub memory: f64,
    pub descriptors: f64,
    pub threads: f64,
    /// Seconds of processor so far.
    pub processor: f64,
}

impl Gateway {
    /// Writes a configuration, starts the binary and waits until it listens.
    pub fn start(binary: &Path) -> Result<Self, String> {
        let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
        let cert = folder.path().join("cert.pem");
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let made = rcgen::generate_simple_self_signed(names).map_err(|e| e.to_string())?;
        let write = |name: &str, text: String| {
            fs::write(folder.path().join(name), text).map_err(|e| e.to_string())
        };
        write("cert.pem", made.cert.pem())?;
        write("key.pem", made.signing_key.serialize_pem())?;
        write("groups.json", groups(false).to_string())?;
        let config = json!({
            "asterisk_addr": "127.0.0.1:0",
            "browser_addr": "127.0.0.1:0",
            "admin_addr": "127.0.0.1:0",
            "cert_file": cert,
            "key_file": folder.path().join("key.pem"),
            "jwt_secret": SECRET,
            "allowed_origins": [ORIGIN],
            "trusted_proxies": ["127.0.0.1"],
            "handshake_timeout": 2,
            "first_message_timeout": 2,
            "ring_timeout": 3,
            "worker_threads": 2,
            "log_level": "INFO",
            "log_format": "json",
        });
        write("config.json", config.to_string())?;
        let mut child = Command::new(binary)
            .arg("-c")
            .arg(folder.path().join("config.json"))
            .arg("-g")
            .arg(folder.path().join("groups.json"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("{}: {error}", binary.display()))?;
        let (tell, told) = mpsc::sync_channel(16);
        let faults = Arc::new(AtomicU64::new(0));
        let out = child.stdout.take().map(|out| Box::new(out) as Box<dyn std::io::Read + Send>);
        let err = child.stderr.take().map(|err| Box::new(err) as Box<dyn std::io::Read + Send>);
        for pipe in [out, err].into_iter().flatten() {
            let (tell, faults) = (tell.clone(), faults.clone());
            // Ends with the process, whose pipe it reads.
            std::thread::spawn(move || read_log(pipe, &tell, &faults));
        }
        drop(tell);
        let address = |what: &str| -> Result<SocketAddr, String> {
            let (said, address): (String, SocketAddr) =
                told.recv_timeout(PATIENCE).map_err(|_| "the gateway did not start")?;
            if said.contains(what) { Ok(address) } else { Err(format!("{what}: {said}")) }
        };
        let asterisk = address("Asterisk")?;
        let browser = address("browsers")?;
        let admin = address("operator")?;
        Ok(Self { child, asterisk, browser, admin, folder, cert, faults })
    }

    /// SIGHUP. `kind` 0 and 1 are good files, 2 is a bad one.
    pub fn reload(&self, kind: u64) {
        let text = match kind % 3 {
            0 => groups(true).to_string(),
            1 => groups(false).to_string(),
            _ => "{\"900\": {\"strategy\": \"at random\"}}".to_owned(),
        };
        let _ = fs::write(self.folder.path().join("groups.json"), text);
        self.signal("HUP");
    }

    pub fn signal(&self, name: &str) {
        // A shell has `kill` built in; a minimal machine may have no other.
        let command = format!("kill -{name} {}", self.child.id());
        let _ = Command::new("sh").args(["-c", &command]).status();
    }

    /// Whether the process still runs.
    pub fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// SIGTERM; whether it ended in order.
    pub async fn stop(&mut self) -> bool {
        self.signal("TERM");
        for _ in 0..200 {
            match self.child.try_wait() {
                Ok(Some(status)) => return status.success(),
                Ok(None) => tokio::time::sleep(Duration::from_millis(50)).await,
                Err(_) => return false,
            }
        }
        false
    }

    pub fn usage(&self) -> Option<Usage> {
        let folder = PathBuf::from(format!("/proc/{}", self.child.id()));
        let status = fs::read_to_string(folder.join("status")).ok()?;
        let field = |name: &str| -> Option<f64> {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.split_whitespace().next()?.parse().ok()
        };
        let stat = fs::read_to_string(folder.join("stat")).ok()?;
        // Behind the name in parentheses; user and system time are fields 14 and 15 of all.
        let times: Vec<f64> = stat
            .rsplit(')')
            .next()?
            .split_whitespace()
            .skip(11)
            .take(2)
            .filter_map(|ticks| ticks.parse().ok())
            .collect();
        Some(Usage {
            memory: field("RssAnon:")? / 1024.0,
            descriptors: fs::read_dir(folder.join("fd")).ok()?.count() as f64,
            threads: field("Threads:")?,
            processor: times.iter().sum::<f64>() / 100.0,
        })
    }

    /// `/metrics`.
    pub async fn metrics(&self) -> Option<Metrics> {
        let ask = async {
            let mut stream = TcpStream::connect(self.admin).await.ok()?;
            let request = "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
            stream.write_all(request.as_bytes()).await.ok()?;
            let mut text = String::new();
            stream.read_to_string(&mut text).await.ok()?;
            Some(Metrics(text))
        };
        timeout(PATIENCE, ask).await.ok()?
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // Whatever happened, nothing of ours stays behind.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One reading of `/metrics`.
pub struct Metrics(String);

impl Metrics {
    /// All lines of a metric added up, whatever their labels.
    pub fn sum(&self, name: &str) -> f64 {
        let of = |line: &str| -> Option<f64> {
            let rest = line.strip_prefix("goastgateway_")?.strip_prefix(name)?;
            let value = rest.starts_with([' ', '{']).then(|| rest.rsplit(' ').next())??;
            value.parse().ok()
        };
        self.0.lines().filter_map(of).sum()
    }

    /// The lines of a metric, for a person.
    pub fn lines<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.lines().filter(move |line| {
            line.strip_prefix("goastgateway_").is_some_and(|rest| rest.starts_with(name))
        })
    }
}

fn groups(one_more: bool) -> Value {
    let mut groups = json!({
        "900": { "strategy": "ringall", "members": ["2001", "2002", "2003", "2004"], "timeout": 2 },
        "901": {
            "strategy": "sequential", "members": ["2005", "2006", "2007"],
            "timeout": 0.6, "rounds": 2,
        },
    });
    if one_more {
        groups["902"] = json!({ "strategy": "ringall", "members": ["2008"], "timeout": 2 });
    }
    groups
}

/// Reads a log to its end: tells the addresses, counts what must not be there.
fn read_log(
    pipe: impl std::io::Read,
    tell: &mpsc::SyncSender<(String, SocketAddr)>,
    faults: &AtomicU64,
) {
    for line in BufReader::new(pipe).lines().map_while(Result::ok) {
        let value: Value = serde_json::from_str(&line).unwrap_or(Value::Null);
        let field = |key: &str| value.get(key).or_else(|| value.get("fields")?.get(key));
        let message = field("message").and_then(Value::as_str).unwrap_or_default();
        if message.starts_with("listening") {
            let address = field("address").and_then(Value::as_str).and_then(|a| a.parse().ok());
            if let Some(address) = address {
                let _ = tell.try_send((message.to_owned(), address));
            }
        }
        // An error that is not of the bad file that we gave it, or anything that is no log line.
        let error = value["level"] == "ERROR"
            && !line.contains("not reloaded")
            && !line.contains("groups.json");
        if error || value.is_null() {
            faults.fetch_add(1, Ordering::Relaxed);
            println!("the gateway says: {line}");
        }
    }
}
