//! `goastgateway doctor`: looks at everything that has to fit together, and says of each thing that
//! it is good or what to do.
//!
//! `own` looks at this machine's side, `asterisk` asks the manager, `ari` asks ARI, `judge` and `conf` (pure)
//! say what the answers mean. Nothing is changed anywhere; the one call that it has Asterisk open leads back to
//! this gateway and is hung up there.

mod ari;
mod asterisk;
mod conf;
mod judge;
mod own;

use std::{fmt, fmt::Write, process::ExitCode};

use serde::Serialize;

use crate::{
    config::{self, Files},
    daemon::EX_CONFIG,
};

pub const EXAMPLES: &str = "\
Each line: how it stands, what was looked at, what was found; below it what to do.
  ok       good
  warning  works, and may not be meant
  fault    does not work
  unseen   could not be looked at, and why

Exit codes: 0 no fault, 1 faults, 78 the configuration can't be used.";

/// How a thing stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum State {
    Ok,
    Unseen,
    Warning,
    Fault,
}

/// One line of the report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Check {
    check: &'static str,
    state: State,
    found: String,
    /// What to do; absent where nothing is.
    remedy: Option<String>,
}

impl Check {
    fn ok(check: &'static str, found: impl Into<String>) -> Self {
        Self { check, state: State::Ok, found: found.into(), remedy: None }
    }

    fn not(
        state: State,
        check: &'static str,
        found: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self { check, state, found: found.into(), remedy: Some(remedy.into()) }
    }

    fn warning(check: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::not(State::Warning, check, found, remedy)
    }

    fn fault(check: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::not(State::Fault, check, found, remedy)
    }

    fn unseen(check: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::not(State::Unseen, check, found, remedy)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ok => "ok",
            Self::Unseen => "unseen",
            Self::Warning => "warning",
            Self::Fault => "fault",
        })
    }
}

/// All of it, for programs.
#[derive(Serialize)]
struct Report<'a> {
    faults: usize,
    warnings: usize,
    checks: &'a [Check],
}

/// Looks, and prints what it has found.
pub(super) fn run(files: &Files, json: bool) -> ExitCode {
    let loaded = match config::load(files) {
        Ok(loaded) => loaded,
        Err(problems) => {
            let faults = problems.0.iter();
            let checks: Vec<_> = faults
                .map(|problem| Check::fault("configuration", problem.to_string(), "see above"))
                .collect();
            if json {
                println!("{}", to_json(&checks));
            } else {
                eprintln!("{problems}");
            }
            return ExitCode::from(EX_CONFIG);
        }
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    let checks = runtime.block_on(async {
        let mut checks = own::look(&loaded).await;
        asterisk::look(&loaded.config, &mut checks).await;
        ari::look(&loaded.config, &mut checks).await;
        checks
    });
    println!("{}", if json { to_json(&checks) } else { to_text(&checks) });
    match count(&checks, State::Fault) {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}

fn count(checks: &[Check], state: State) -> usize {
    checks.iter().filter(|check| check.state == state).count()
}

fn to_json(checks: &[Check]) -> String {
    let (faults, warnings) = (count(checks, State::Fault), count(checks, State::Warning));
    serde_json::to_string_pretty(&Report { faults, warnings, checks }).unwrap_or_default()
}

fn to_text(checks: &[Check]) -> String {
    let mut text = String::new();
    for Check { check, state, found, remedy } in checks {
        let _ = writeln!(text, "{state:<8} {check:<18} {found}");
        if let Some(remedy) = remedy {
            let _ = writeln!(text, "{:27} → {remedy}", "");
        }
    }
    let (faults, warnings) = (count(checks, State::Fault), count(checks, State::Warning));
    let unseen = count(checks, State::Unseen);
    let _ = write!(text, "{faults} fault(s), {warnings} warning(s), {unseen} not seen");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_how_it_stands_and_the_next_what_to_do() {
        let checks = [
            Check::ok("clock", "the same as Asterisk's"),
            Check::fault("manager", "no answer", "start Asterisk"),
        ];
        assert_eq!(
            to_text(&checks),
            "ok       clock              the same as Asterisk's\n\
             fault    manager            no answer\n\
             \x20                           → start Asterisk\n\
             1 fault(s), 0 warning(s), 0 not seen"
        );
        let json: serde_json::Value = serde_json::from_str(&to_json(&checks)).unwrap();
        assert_eq!(json["faults"], 1);
        assert_eq!(json["checks"][1]["state"], "fault");
        assert_eq!(json["checks"][1]["remedy"], "start Asterisk");
    }
}
