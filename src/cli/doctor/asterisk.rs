//! What the manager tells of Asterisk. Everything has a time; what can't be asked is said to be
//! unseen.

mod way;

use std::time::{Duration, UNIX_EPOCH};

use tokio::time::timeout;

use super::{Check, conf, judge, own};
use crate::{
    asterisk::{
        ami::{
            connection::{AmiError, Connection},
            message::{Action, LineBreak, Packet},
        },
        control::order,
    },
    config::{AmiSettings, Config, DialSettings},
};

/// How long the manager may take for one answer.
const ANSWER_TIME: Duration = Duration::from_secs(5);

/// Modules without which nothing works, and what they are for.
const NEEDED: &[(&str, &str)] = &[
    ("chan_websocket", "the channel itself"),
    ("res_websocket_client", "the connections to the gateway"),
    ("res_http_websocket", "WebSocket"),
    ("codec_resample", "telephony's 8 kHz to the gateway's 16 kHz"),
    ("app_dial", "Dial()"),
];
/// Any of them gives chan_websocket its clock.
const TIMING: &[&str] =
    &["res_timing_timerfd", "res_timing_pthread", "res_timing_dahdi", "res_timing_kqueue"];
/// Modules that are missed only where something is asked for.
const USEFUL: &[(&str, &str)] = &[
    ("func_dialplan", "a transfer to a number that doesn't exist hangs the caller up"),
    ("func_callerid", "a caller who hides his number is shown all the same"),
];

const WEBSOCKET_CLIENT: &str = "websocket_client";

/// What an answer is needed for that a user may not have: actions, and what lacks without.
const RIGHTS: &[(&[&str], &str, &str)] = &[
    (&["Hangup"], "call", "declined and busy calls end without a cause for the dialplan"),
    (order::DIAL, "originate", "phones can't dial"),
    (order::DTMF, "call", "phones can't send keys"),
    (order::TRANSFER, "call", "phones can't transfer"),
    (
        &["ModuleCheck", "GetConfig", "CoreSettings"],
        "system",
        "the doctor can't see modules and files",
    ),
];

pub async fn look(config: &Config, checks: &mut Vec<Check>) {
    let Some(ami) = &config.ami else {
        checks.push(Check::unseen(
            "manager",
            "\"ami\" is not configured: Asterisk's side is not looked at",
            "see docs/asterisk.md; without it phones can't dial, transfer or send keys",
        ));
        return;
    };
    let mut connection = match Connection::open(ami, "call").await {
        Ok(connection) => connection,
        Err(error) => {
            checks.push(Check::fault("manager", error.to_string(), remedy(&error, ami)));
            return;
        }
    };
    checks.push(Check::ok("manager", format!("logged in at {}:{}", ami.host, ami.port)));
    let looked = Look { config, checks, connection: &mut connection }.all().await;
    if let Err(error) = looked {
        checks.push(Check::fault("manager", error.to_string(), "see Asterisk's log"));
    }
}

fn remedy(error: &AmiError, ami: &AmiSettings) -> String {
    match error {
        AmiError::Login(_) => {
            format!(
                "compare username and secret with [{}] in manager.conf, and its permit",
                ami.username
            )
        }
        AmiError::Tls(_) => {
            "compare ca_file with the manager's certificate (tlscertfile)".to_owned()
        }
        _ => "write enabled = yes into manager.conf [general], and compare bindaddr and port"
            .to_owned(),
    }
}

struct Look<'a> {
    config: &'a Config,
    checks: &'a mut Vec<Check>,
    connection: &'a mut Connection,
}

type Step<T = ()> = Result<T, AmiError>;

impl Look<'_> {
    async fn all(&mut self) -> Step {
        self.rights().await?;
        self.version().await?;
        self.clock().await?;
        self.modules().await?;
        let connections = self.websocket_client().await?;
        let section = self.config.dial.as_ref().map(|dial| dial.connection.clone());
        let first = connections.as_ref().and_then(|all| self.leading_here(all));
        if let Some(section) = section.or(first) {
            self.way(&section).await?;
        }
        if let Some(dial) = self.config.dial.clone() {
            self.dial(&dial).await?;
        }
        // Last, for a dialplan may be longer than what is read of one answer.
        self.dialplan(connections.as_deref()).await
    }

    async fn ask(&mut self, action: Result<Action, LineBreak>) -> Step<Packet> {
        // Names from files hold no line break; one that does is asked for in vain.
        let Ok(action) = action else { return Ok(Packet::default()) };
        timeout(ANSWER_TIME, self.connection.ask(&action)).await.map_err(|_| AmiError::Time)?
    }

    async fn rights(&mut self) -> Step {
        let may = self.ask(Ok(Action::new("ListCommands"))).await?;
        let lacking: Vec<_> = RIGHTS
            .iter()
            .filter(|(actions, ..)| {
                actions.iter().any(|action| !may.fields().any(|(key, _)| key == *action))
            })
            .collect();
        for (actions, class, without) in &lacking {
            self.checks.push(Check::warning(
                "manager's rights",
                format!("may not {}: {without}", actions.join(", ")),
                format!("write \"{class}\" into write = of the user in manager.conf"),
            ));
        }
        if lacking.is_empty() {
            self.checks.push(Check::ok("manager's rights", "may do all that is needed"));
        }
        Ok(())
    }

    async fn version(&mut self) -> Step {
        let settings = self.ask(Ok(Action::new("CoreSettings"))).await?;
        self.checks.push(match settings.get("AsteriskVersion") {
            "" => unseen("version", &settings),
            version => judge::version(version),
        });
        Ok(())
    }

    async fn clock(&mut self) -> Step {
        let pong = self.ask(Ok(Action::new("Ping"))).await?;
        let now = own::calendar().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.checks.push(judge::clock(pong.get("Timestamp"), now.as_secs_f64()));
        Ok(())
    }

    /// Whether a module is loaded; `None` if that can't be asked.
    async fn module(&mut self, name: &str) -> Step<Option<bool>> {
        let answer = self.ask(Action::new("ModuleCheck").with("Module", name)).await?;
        let denied = order::refusal(&answer) == order::Refusal::Rights;
        Ok((!denied || answer.is_success()).then_some(answer.is_success()))
    }

    async fn modules(&mut self) -> Step {
        const CHECK: &str = "modules";
        let mut missing = 0;
        for (name, what) in NEEDED {
            match self.module(name).await? {
                Some(true) => {}
                Some(false) => {
                    missing += 1;
                    let remedy =
                        format!("load = {name}.so in modules.conf, then: module load {name}.so");
                    let found = format!("{name} is not loaded ({what})");
                    self.checks.push(Check::fault(CHECK, found, remedy));
                }
                None => {
                    let remedy = "write \"system\" into write = of the user in manager.conf";
                    self.checks.push(Check::unseen(CHECK, "may not be asked for", remedy));
                    return Ok(());
                }
            }
        }
        for (name, without) in USEFUL {
            if self.module(name).await? == Some(false) {
                missing += 1;
                let found = format!("{name} is not loaded: {without}");
                self.checks.push(Check::warning(CHECK, found, format!("load = {name}.so")));
            }
        }
        if missing == 0 {
            self.checks.push(Check::ok(CHECK, "all that is needed is loaded"));
        }
        let mut source = None;
        for name in TIMING {
            if source.is_none() && self.module(name).await? == Some(true) {
                source = Some(*name);
            }
        }
        self.checks.push(match source {
            Some(name) => Check::ok("timing", name),
            None => Check::fault(
                "timing",
                "no timing source, so chan_websocket refuses every call",
                "load = res_timing_timerfd.so in modules.conf",
            ),
        });
        Ok(())
    }

    async fn file(&mut self, name: &str) -> Step<Packet> {
        self.ask(Action::new("GetConfig").with("Filename", name)).await
    }

    fn same_machine(&self) -> bool {
        self.config.ami.as_ref().is_none_or(|ami| {
            ami.host == "localhost"
                || ami.host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
        })
    }

    async fn websocket_client(&mut self) -> Step<Option<Vec<conf::Section>>> {
        let answer = self.file("websocket_client.conf").await?;
        if answer.get("Message") == "Config file not found" {
            self.checks.push(Check::fault(
                WEBSOCKET_CLIENT,
                "Asterisk has no websocket_client.conf, or can't read it",
                "write what `goastgateway asterisk-config` prints, readable for Asterisk's user, \
                 then: module reload res_websocket_client.so",
            ));
            return Ok(None);
        }
        if !answer.is_success() {
            self.checks.push(unseen(WEBSOCKET_CLIENT, &answer));
            return Ok(None);
        }
        let sections = conf::sections(&answer);
        self.checks.extend(conf::websocket_client(
            &sections,
            &self.config.asterisk.addr,
            self.same_machine(),
            &self.config.asterisk.exten_search_pattern,
            &self.named(),
        ));
        Ok(Some(sections))
    }

    /// The sections that this configuration names, and by which key.
    fn named(&self) -> Vec<(&'static str, &str)> {
        let dial = self.config.dial.as_ref();
        let dial = dial.map(|dial| ("dial.connection", dial.connection.as_str()));
        let ari = self.config.ari.as_ref();
        let ari = ari.map(|ari| ("ari.connection", ari.connection.as_str()));
        dial.into_iter().chain(ari).collect()
    }

    fn leading_here(&self, sections: &[conf::Section]) -> Option<String> {
        let here = |section: &&conf::Section| {
            let uri = section.get("uri");
            uri.is_some_and(|uri| {
                conf::leads_here(uri, &self.config.asterisk.addr, self.same_machine())
            })
        };
        sections.iter().find(here).map(|section| section.name.clone())
    }

    async fn dial(&mut self, dial: &DialSettings) -> Step {
        const CHECK: &str = "dialling out";
        let function = format!("DIALPLAN_EXISTS({})", dial.context);
        let exists = self.ask(Action::new("Getvar").with("Variable", &function)).await?;
        self.checks.push(match exists.get("Value") {
            "1" => Check::ok(CHECK, format!("the dialplan has the context {}", dial.context)),
            "0" => Check::fault(
                CHECK,
                format!("the dialplan has no context {}, which dial.context names", dial.context),
                "write it (docs/asterisk.md), then: dialplan reload",
            ),
            _ => Check::unseen(
                CHECK,
                format!("whether the context {} exists", dial.context),
                "load = func_dialplan.so in modules.conf",
            ),
        });
        let indications = self.file("indications.conf").await?;
        if order::refusal(&indications) == order::Refusal::Rights {
            // Whoever may not read files has been told so.
            return Ok(());
        }
        let sections = conf::sections(&indications);
        let country = sections.iter().find(|s| s.name == "general").and_then(|s| s.get("country"));
        let rings =
            sections.iter().any(|s| Some(s.name.as_str()) == country && s.get("ring").is_some());
        if !rings {
            self.checks.push(Check::warning(
                CHECK,
                "indications.conf has no ring tone for its country: who dials hears nothing ring",
                "install Asterisk's own indications.conf, and choose country in [general]",
            ));
        }
        Ok(())
    }

    async fn dialplan(&mut self, connections: Option<&[conf::Section]>) -> Step {
        const CHECK: &str = "dialplan";
        let mut contexts = Vec::new();
        // Only contexts in which something dials this channel.
        for key in ["exten", "same"] {
            let ask = Action::new("GetConfig")
                .with("Filename", "extensions.conf")
                .and_then(|a| a.with("Filter", &format!("{key}=Web[Ss]ocket/")));
            let answer = match self.ask(ask).await {
                Ok(answer) => answer,
                Err(AmiError::Packet(_)) => {
                    let remedy = "compare its lines with `goastgateway asterisk-config`";
                    self.checks.push(Check::unseen(CHECK, "too long to be looked at", remedy));
                    return Ok(());
                }
                Err(error) => return Err(error),
            };
            if !answer.is_success() {
                self.checks.push(unseen(CHECK, &answer));
                return Ok(());
            }
            for context in conf::sections(&answer) {
                if !contexts.contains(&context) {
                    contexts.push(context);
                }
            }
        }
        self.checks.extend(conf::dialplan(&contexts, connections));
        Ok(())
    }
}

fn unseen(check: &'static str, answer: &Packet) -> Check {
    let message = answer.get("Message");
    let remedy = match order::refusal(answer) {
        order::Refusal::Rights => "give the user the right (docs/asterisk.md)",
        _ => "see Asterisk's log",
    };
    Check::unseen(check, format!("Asterisk: {message}"), remedy)
}
