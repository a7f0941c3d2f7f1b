//! The call table in a real PostgreSQL, which this test starts as a user without rights, on a port
//! of its own; where there is none, it says so and skips.

use std::{
    fs,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use crate::support::{Gateway, Pbx, soon};
use serde_json::json;
use tokio_postgres::{Client, NoTls};

/// Where Debian has its programs, newest first.
fn programs() -> Option<PathBuf> {
    let mut versions: Vec<PathBuf> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path().join("bin")))
        .filter(|bin| bin.join("postgres").exists())
        .collect();
    versions.sort();
    versions.pop()
}

/// The user that it runs as: it refuses to be root's.
fn user() -> Option<u32> {
    let uid = rustix::process::getuid();
    if !uid.is_root() {
        return Some(uid.as_raw());
    }
    let users = fs::read_to_string("/etc/passwd").ok()?;
    let line = users.lines().find(|line| line.starts_with("postgres:"))?;
    line.split(':').nth(2)?.parse().ok()
}

/// A server with an empty database.
struct Server {
    bin: PathBuf,
    uid: u32,
    data: tempfile::TempDir,
    port: u16,
    child: Option<Child>,
}

impl Server {
    fn new() -> Option<Self> {
        let (Some(bin), Some(uid)) = (programs(), user()) else {
            eprintln!("SKIPPED: PostgreSQL is not here (apt-get install postgresql)");
            return None;
        };
        let data = tempfile::tempdir().unwrap();
        std::os::unix::fs::chown(data.path(), Some(uid), None).unwrap();
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        let server = Self { bin, uid, data, port, child: None };
        let made = server
            .command("initdb")
            .args(["--username=gw", "--auth=trust", "--no-sync", "--locale=C", "--encoding=UTF8"])
            .arg("--pgdata")
            .arg(server.folder())
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        Some(server)
    }

    fn folder(&self) -> PathBuf {
        self.data.path().join("data")
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.bin.join(program));
        command.current_dir(self.data.path()).stdin(Stdio::null());
        if rustix::process::getuid().is_root() {
            command.uid(self.uid);
        }
        command
    }

    fn url(&self) -> String {
        format!("postgresql://gw@127.0.0.1:{}/postgres", self.port)
    }

    async fn start(&mut self) {
        let child = self
            .command("postgres")
            .arg("-D")
            .arg(self.folder())
            .args(["-p", &self.port.to_string(), "-c", "listen_addresses=127.0.0.1"])
            .args(["-c", "unix_socket_directories=", "-c", "fsync=off"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        self.child = Some(child.unwrap());
        self.client().await;
    }

    async fn client(&self) -> Client {
        soon("PostgreSQL", async {
            loop {
                if let Ok((client, connection)) = tokio_postgres::connect(&self.url(), NoTls).await
                {
                    tokio::spawn(connection);
                    return client;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        })
        .await
    }

    /// Stops at once, as a server that is restarted does.
    fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let pid = rustix::process::Pid::from_child(&child);
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::INT);
            let _ = child.wait();
        }
    }

    async fn rows(&self, expected: usize) -> Vec<tokio_postgres::Row> {
        let client = self.client().await;
        let sql =
            "SELECT id::text, dialled, ending, ended > began, extract(epoch FROM now() - began)
                   FROM goastgateway_calls WHERE ended IS NOT NULL ORDER BY began";
        soon("rows in PostgreSQL", async {
            loop {
                match client.query(sql, &[]).await {
                    Ok(rows) if rows.len() == expected => return rows,
                    _ => tokio::time::sleep(Duration::from_millis(50)).await,
                }
            }
        })
        .await
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

async fn gateway(state: &Path, url: &str) -> Gateway {
    let state = state.to_owned();
    Gateway::with(
        |config| {
            config["state_dir"] = json!(state);
            config["call_table"] = json!({ "postgres": url });
        },
        json!({}),
    )
    .await
}

async fn call(gateway: &Gateway, ext: &str) {
    let mut pbx = Pbx::dial(gateway, ext).await;
    pbx.expect("HANGUP").await;
    pbx.hang_up().await;
}

async fn stop(mut gateway: Gateway) {
    gateway.control.drain.cancel();
    gateway.stopped().await;
}

#[tokio::test]
async fn calls_reach_postgresql_also_those_that_were_while_it_was_away() {
    let Some(mut server) = Server::new() else { return };
    let state = tempfile::tempdir().unwrap();
    // Nobody is there yet: the first calls wait, over a restart of the gateway, too.
    let first = gateway(state.path(), &server.url()).await;
    call(&first, "one").await;
    stop(first).await;
    let second = gateway(state.path(), &server.url()).await;
    call(&second, "two").await;
    server.start().await;
    let rows = server.rows(2).await;
    assert_eq!((rows[0].get::<_, &str>(1), rows[0].get::<_, &str>(2)), ("one", "away"));
    assert!(rows[0].get::<_, Option<bool>>(3).is_some());
    // It goes and comes back under the gateway.
    server.stop();
    call(&second, "three").await;
    server.start().await;
    let rows = server.rows(3).await;
    assert_eq!(rows[2].get::<_, &str>(1), "three");
    soon("the metric", async {
        while second.metric("goastgateway_postgres_up") < 1.0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    stop(second).await;
}
