//! Asterisk's manager, as a test wants it: answers what it is told to, says what it is told to say,
//! and misbehaves on request.

use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
};

use super::{Gateway, soon};

/// Where the gateway finds it.
pub struct Manager(pub TcpListener);

/// One connection of the gateway's.
pub struct Session {
    lines: tokio::io::Lines<BufReader<OwnedReadHalf>>,
    write: OwnedWriteHalf,
}

/// What the gateway has sent.
#[derive(Debug, Clone)]
pub struct Action(pub String);

impl Manager {
    pub async fn new() -> Self {
        Self(TcpListener::bind("127.0.0.1:0").await.unwrap())
    }

    /// The configuration that leads here.
    pub fn settings(&self) -> Value {
        let port = self.0.local_addr().unwrap().port();
        json!({ "host": "127.0.0.1", "port": port, "username": "gw", "secret": "hunter2" })
    }

    /// A gateway that logs in here, and whose phones may dial.
    pub async fn gateway(&self) -> Gateway {
        self.gateway_with(json!({})).await
    }

    /// The same with other settings in `dial`.
    pub async fn gateway_with(&self, dial: Value) -> Gateway {
        let mut settings = json!({
            "context": "from-phones", "connection": "gw", "allow": "[0-9*#]+", "per_hour": 100,
        });
        for (key, value) in dial.as_object().unwrap() {
            settings[key] = value.clone();
        }
        let ami = self.settings();
        let change = |c: &mut Value| {
            c["ami"] = ami;
            c["dial"] = settings;
        };
        Gateway::with(change, json!({})).await
    }

    /// A connection, greeted.
    pub async fn session(&self) -> Session {
        let (stream, _): (TcpStream, _) = soon("a connection", self.0.accept()).await.unwrap();
        let (read, write) = stream.into_split();
        let mut session = Session { lines: BufReader::new(read).lines(), write };
        session.write("Asterisk Call Manager/12.0.0\r\n").await;
        session
    }

    /// Answers whatever comes, over any number of connections; an answer without `Response:` is a
    /// success.
    pub async fn serve(self, answers: impl Fn(&Action) -> String) {
        loop {
            let mut session = self.session().await;
            while let Some(action) = session.next().await {
                let more = answers(&action);
                if let Some(refusal) = more.strip_prefix("Response: Error\r\n") {
                    session.answer(&action, "Error", refusal).await;
                } else {
                    session.answer(&action, "Success", &more).await;
                }
            }
        }
    }

    /// A session whose login is accepted, and whose user may do everything.
    pub async fn accept(&self, gateway: &Gateway) -> Session {
        let all = ["Originate", "PlayDTMF", "BlindTransfer", "Bridge", "Getvar", "Hangup"];
        self.accept_with(gateway, &all).await
    }

    /// The same, of a user who may do these actions.
    pub async fn accept_with(&self, gateway: &Gateway, may: &[&str]) -> Session {
        let mut session = self.session().await;
        let login = session.action().await;
        assert_eq!((login.name(), login.get("Secret")), ("Login", "hunter2"));
        session.answer(&login, "Success", "").await;
        let list = session.action().await;
        assert_eq!(list.name(), "ListCommands");
        let may: String = may.iter().map(|action| format!("{action}: does it\r\n")).collect();
        session.answer(&list, "Success", &may).await;
        soon("the manager to be up", async {
            while gateway.metric("goastgateway_ami_up") < 1.0 {
                tokio::task::yield_now().await;
            }
        })
        .await;
        session
    }
}

impl Session {
    pub async fn write(&mut self, text: &str) {
        self.write.write_all(text.as_bytes()).await.unwrap();
    }

    /// The next action but for what the gateway asks by itself about calls that are up.
    pub async fn action(&mut self) -> Action {
        loop {
            let action = self.any_action().await;
            if action.name() != "Getvar" || action.get("Variable").starts_with("DIALPLAN_EXISTS") {
                return action;
            }
            self.answer(&action, "Success", "Value: \r\n").await;
        }
    }

    /// The next action, whatever it is.
    pub async fn any_action(&mut self) -> Action {
        self.next().await.expect("an action")
    }

    /// The next action; `None` when the gateway has gone.
    pub async fn next(&mut self) -> Option<Action> {
        let mut action = String::new();
        loop {
            let line = soon("an action", self.lines.next_line()).await.ok()??;
            if line.is_empty() {
                return Some(Action(action));
            }
            action.push_str(&line);
            action.push('\n');
        }
    }

    pub async fn answer(&mut self, action: &Action, response: &str, more: &str) {
        let id = action.get("ActionID");
        self.write(&format!("Response: {response}\r\nActionID: {id}\r\n{more}\r\n")).await;
    }

    pub async fn refuse(&mut self, action: &Action, message: &str) {
        self.answer(action, "Error", &format!("Message: {message}\r\n")).await;
    }

    /// Says an event: `Name`, and its lines.
    pub async fn event(&mut self, name: &str, fields: &[(&str, &str)]) {
        let fields: String = fields.iter().map(|(k, v)| format!("{k}: {v}\r\n")).collect();
        self.write(&format!("Event: {name}\r\nPrivilege: call,all\r\n{fields}\r\n")).await;
    }
}

impl Action {
    pub fn name(&self) -> &str {
        self.get("Action")
    }

    pub fn get(&self, key: &str) -> &str {
        let found = |line: &'_ str| line.split_once(": ").is_some_and(|(k, _)| k == key);
        let line = self.0.lines().find(|line| found(line));
        line.and_then(|line| line.split_once(": ")).map_or("", |(_, value)| value)
    }
}
