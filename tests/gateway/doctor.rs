//! `goastgateway doctor`, with managers of every kind: what it says, and with which code it ends.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use crate::support::manager::{Action, Manager};
use serde_json::{Value, json};

/// A folder with a good configuration, but for what a test changes.
struct House {
    folder: tempfile::TempDir,
    listeners: Vec<std::net::TcpListener>,
}

impl House {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        crate::support::write_certificate(folder.path());
        Self { folder, listeners: Vec::new() }
    }

    fn free_port(&mut self) -> u16 {
        std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
    }

    /// The configuration, written.
    fn write(&mut self, change: impl FnOnce(&mut Value)) -> PathBuf {
        let mut config = crate::support::base_config(self.folder.path());
        for key in ["asterisk_addr", "browser_addr", "admin_addr"] {
            config[key] = json!(format!("127.0.0.1:{}", self.free_port()));
        }
        config["jwt_secret"] = json!("7d0f9c2b7a6d5e4f3a2b1c0d9e8f7a6b5c");
        change(&mut config);
        let path = self.folder.path().join("goastgateway.json");
        std::fs::write(&path, config.to_string()).unwrap();
        std::fs::write(path.with_file_name("gag_groups.json"), "{}").unwrap();
        path
    }
}

/// What it says, as JSON, and its exit code.
async fn doctor(config: &Path) -> (Value, i32) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_goastgateway"));
    command.args(["doctor", "--json", "-c"]).arg(config);
    command.arg("-g").arg(config.with_file_name("gag_groups.json"));
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let said = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"));
    (said, output.status.code().unwrap())
}

/// The states of one check, in order.
fn states(said: &Value, check: &str) -> Vec<String> {
    let checks = said["checks"].as_array().unwrap().iter();
    let of = checks.filter(|c| c["check"] == check);
    of.map(|c| c["state"].as_str().unwrap().to_owned()).collect()
}

/// A manager that answers as a good Asterisk with a gateway at this port does.
fn good(action: &Action, port: u16) -> String {
    match (action.name(), action.get("Filename")) {
        ("ListCommands", _) => [
            "Hangup",
            "Originate",
            "PlayDTMF",
            "BlindTransfer",
            "Bridge",
            "Getvar",
            "ModuleCheck",
            "GetConfig",
            "CoreSettings",
        ]
        .map(|name| format!("{name}: does it\r\n"))
        .concat(),
        ("CoreSettings", _) => "AsteriskVersion: 22.10.1\r\n".to_owned(),
        ("Ping", _) => {
            let now = std::time::SystemTime::now();
            let now = now.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64();
            format!("Ping: Pong\r\nTimestamp: {now}\r\n")
        }
        ("Getvar", _) => "Value: 1\r\n".to_owned(),
        ("GetConfig", "websocket_client.conf") => format!(
            "Category-000000: gw\r\nLine-000000-000000: uri=ws://127.0.0.1:{port}\r\n\
             Line-000000-000001: connection_type=per_call_config\r\n\
             Line-000000-000002: reconnect_attempts=1\r\n"
        ),
        ("GetConfig", "indications.conf") => "Category-000000: general\r\n\
             Line-000000-000000: country=us\r\nCategory-000001: us\r\n\
             Line-000001-000000: ring=440+480/2000,0/4000\r\n"
            .to_owned(),
        ("GetConfig", "extensions.conf") => "Category-000000: in\r\n\
             Line-000000-000000: exten=2001,1,Dial(WebSocket/gw/f(json)c(slin16)n,30,r)\r\n"
            .to_owned(),
        ("Originate", _) => {
            let id = action.get("ChannelId");
            format!("\r\nEvent: Hangup\r\nUniqueid: {id}\r\nCause: 16\r\n")
        }
        _ => String::new(),
    }
}

/// The doctor beside a manager that answers like this.
async fn with_manager(
    change: impl FnOnce(&mut Value),
    answers: impl Fn(&Action, u16) -> String,
) -> (Value, i32) {
    let manager = Manager::new().await;
    let mut house = House::new();
    let mut port = 0;
    let config = house.write(|c| {
        c["ami"] = manager.settings();
        c["dial"] = json!({ "context": "from-phones", "connection": "gw" });
        change(c);
        let addr = c["asterisk_addr"].as_str().unwrap();
        port = addr.rsplit_once(':').unwrap().1.parse().unwrap();
    });
    tokio::select! {
        said = doctor(&config) => said,
        () = manager.serve(|action| answers(action, port)) => unreachable!(),
    }
}

#[tokio::test]
async fn where_all_is_good_nothing_is_to_be_done() {
    let (said, code) = with_manager(|_| {}, good).await;
    assert_eq!((said["faults"].as_u64(), code), (Some(0), 0), "{said:#}");
    assert_eq!(said["warnings"], 0, "{said:#}");
    for check in [
        "manager",
        "manager's rights",
        "version",
        "clock",
        "modules",
        "timing",
        "websocket_client",
        "way to the gateway",
        "dialling out",
        "dialplan",
        "certificate",
        "asterisk_addr",
    ] {
        assert_eq!(states(&said, check), ["ok"], "{check}: {said:#}");
    }
}

#[tokio::test]
async fn without_the_manager_it_says_what_it_cannot_see() {
    let mut house = House::new();
    let config = house.write(|_| {});
    let (said, code) = doctor(&config).await;
    assert_eq!((states(&said, "manager"), code), (vec!["unseen".to_owned()], 0), "{said:#}");
}

#[tokio::test]
async fn a_manager_that_is_not_there_or_refuses_is_a_fault() {
    let mut house = House::new();
    let port = house.free_port();
    let ami = json!({ "host": "127.0.0.1", "port": port, "username": "gw", "secret": "x" });
    let config = house.write(|c| c["ami"] = ami);
    let (said, code) = doctor(&config).await;
    assert_eq!((states(&said, "manager"), code), (vec!["fault".to_owned()], 1), "{said:#}");
    let refuses =
        |_: &Action, _| "Response: Error\r\nMessage: Authentication failed\r\n".to_owned();
    let (said, code) = with_manager(|_| {}, refuses).await;
    assert_eq!((states(&said, "manager"), code), (vec!["fault".to_owned()], 1));
    assert!(said.to_string().contains("manager.conf") && !said.to_string().contains("hunter2"));
}

#[tokio::test]
async fn each_fault_of_asterisks_side_is_named() {
    type Answer = fn(&Action) -> Option<String>;
    let cases: [(&str, &[&str], Answer); 8] = [
        ("version", &["fault"], |a| {
            (a.name() == "CoreSettings").then(|| "AsteriskVersion: 22.5.0\r\n".to_owned())
        }),
        ("timing", &["fault"], |a| {
            a.get("Module")
                .starts_with("res_timing")
                .then(|| "Response: Error\r\nMessage: Module not loaded\r\n".to_owned())
        }),
        ("modules", &["fault"], |a| {
            (a.get("Module") == "chan_websocket")
                .then(|| "Response: Error\r\nMessage: Module not loaded\r\n".to_owned())
        }),
        ("manager's rights", &["warning"; 4], |a| {
            (a.name() == "ListCommands")
                .then(|| "ModuleCheck: x\r\nGetConfig: x\r\nCoreSettings: x\r\n".to_owned())
        }),
        ("clock", &["warning"], |a| (a.name() == "Ping").then(|| "Timestamp: 1.5\r\n".to_owned())),
        ("dialling out", &["fault"], |a| (a.name() == "Getvar").then(|| "Value: 0\r\n".to_owned())),
        ("way to the gateway", &["warning"], |a| {
            let id = a.get("ChannelId");
            (a.name() == "Originate")
                .then(|| format!("\r\nEvent: Hangup\r\nUniqueid: {id}\r\nCause: 3\r\n"))
        }),
        ("websocket_client", &["fault", "fault"], |a| {
            (a.get("Filename") == "websocket_client.conf").then(|| "X: y\r\n".to_owned())
        }),
    ];
    for (check, wanted, answer) in cases {
        let answers = |action: &Action, port| answer(action).unwrap_or_else(|| good(action, port));
        let (said, code) = with_manager(|_| {}, answers).await;
        assert_eq!(states(&said, check), wanted, "{said:#}");
        assert_eq!(code, i32::from(wanted.contains(&"fault")), "{check}");
    }
}

#[tokio::test]
async fn a_port_that_another_program_has_is_a_fault() {
    let mut house = House::new();
    let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = other.local_addr().unwrap().to_string();
    house.listeners.push(other);
    let config = house.write(|c| c["asterisk_addr"] = json!(addr));
    let (said, code) = doctor(&config).await;
    assert_eq!((states(&said, "asterisk_addr"), code), (vec!["fault".to_owned()], 1), "{said:#}");
}

#[tokio::test]
async fn a_configuration_that_cannot_be_used_has_its_own_code() {
    let mut house = House::new();
    let config = house.write(|c| c["ring_timeout"] = json!("soon"));
    let (said, code) = doctor(&config).await;
    assert_eq!((states(&said, "configuration"), code), (vec!["fault".to_owned()], 78), "{said:#}");
}
