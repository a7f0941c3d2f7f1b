//! The command line: what the operator types, and the words in which he is answered.
//!
//! Without a command the gateway runs, as the reference does. Exit codes: 0 for success, 2 for a
//! command line that isn't understood, [`EX_CONFIG`] for a configuration that can't be used.

mod asterisk;
mod calls;
mod doctor;
mod extensions;
mod token;

use std::{path::PathBuf, process::ExitCode, time::Duration};

use clap::{Args, Parser, Subcommand};

use crate::{
    call::is_extension,
    config::{self, Config, DEFAULT_CONFIG, DEFAULT_GROUPS, Files, GroupsFile},
    daemon::{self, EX_CONFIG},
};

const ABOUT: &str = "\
Lets a browser be a telephone of an Asterisk PBX.

Asterisk (chan_websocket) opens one WebSocket for each call to this gateway; each
browser keeps one open and is thereby registered as an extension. The gateway
matches the two, rings, answers, bridges the audio and hangs up. There is no SIP,
no ICE, and one open port for the browsers.

Without a command the gateway runs.";

const EXAMPLES: &str = "\
Examples:
  goastgateway check
        read the configuration and say what is wrong with it; start nothing
  goastgateway doctor
        look at everything that has to fit together, Asterisk's side too, and say what to do
  goastgateway token --ext 2001 --ttl 8h --url pbx.example
        a link that logs a browser in as 2001 for eight hours
  goastgateway calls -n 50 --ext 2001
        the last 50 calls of 2001, from the call table
  goastgateway asterisk-config --ext 2001-2010
        what to write into websocket_client.conf and extensions.conf
  goastgateway -c /etc/goastgateway.json -g /etc/gag_groups.json
        run with files from another place

Signals: SIGHUP reads configuration, groups and certificate anew without dropping a call;
SIGTERM lets calls finish and stops, a second one stops at once.

Exit codes: 0 success, 2 the command line isn't understood, 71 an address can't be listened on,
78 the configuration can't be used.";

#[derive(Debug, Parser)]
#[command(name = "goastgateway", version, about = ABOUT, long_about = ABOUT)]
#[command(after_help = EXAMPLES)]
struct Cli {
    /// Settings
    #[arg(short = 'c', long, global = true, value_name = "FILE", default_value = DEFAULT_CONFIG)]
    config: PathBuf,

    /// Groups of phones [default: /usr/local/etc/gag_groups.json, where it exists]
    #[arg(short = 'g', long, global = true, value_name = "FILE")]
    groups: Option<PathBuf>,

    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Read configuration, groups and certificates, say what is wrong, and start nothing
    Check,
    /// Look at everything that has to fit together, Asterisk's side too, and say what to do
    #[command(after_help = doctor::EXAMPLES)]
    Doctor(DoctorArgs),
    /// Print a token, or a link, with which a browser logs in
    #[command(after_help = token::EXAMPLES)]
    Token(TokenArgs),
    /// Print the call table, also while the gateway runs
    #[command(after_help = calls::EXAMPLES)]
    Calls(calls::CallsArgs),
    /// Print what Asterisk's websocket_client.conf and extensions.conf need
    #[command(after_help = asterisk::EXAMPLES)]
    AsteriskConfig(AsteriskArgs),
}

#[derive(Debug, Args)]
struct DoctorArgs {
    /// As JSON, for programs
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct TokenArgs {
    /// The extension that the browser will be
    #[arg(long, value_parser = extension)]
    ext: String,

    /// How long the token is good for: 30m, 8h, 90days
    #[arg(long, default_value = "1h", value_parser = ttl)]
    ttl: Duration,

    /// Print a link; HOST is how browsers reach the gateway (else: the certificate's first name)
    #[arg(long, value_name = "HOST", num_args = 0..=1, default_missing_value = "")]
    url: Option<String>,
}

#[derive(Debug, Args)]
struct AsteriskArgs {
    /// Extensions: 2001, 2001-2010, 2001-2010,3001; groups are added by themselves
    #[arg(long, value_name = "LIST", value_parser = extensions::parse)]
    ext: extensions::Extensions,

    /// Only one of the two ways in which Asterisk can tell us the extension
    #[arg(long, value_enum)]
    way: Option<asterisk::Way>,

    /// Only one of the two files, ready to be redirected into it
    #[arg(long, value_enum)]
    only: Option<asterisk::ConfFile>,
}

fn extension(text: &str) -> Result<String, String> {
    match is_extension(text) {
        true => Ok(text.to_owned()),
        false => Err("write 1 to 64 letters, digits or _.+*#@-".to_owned()),
    }
}

fn ttl(text: &str) -> Result<Duration, String> {
    let ttl = humantime::parse_duration(text).map_err(|error| format!("{error}: write 1h"))?;
    if ttl < Duration::from_secs(1) {
        return Err("shorter than a second: write 1h".to_owned());
    }
    Ok(ttl)
}

/// Does what the command line says.
pub fn run() -> ExitCode {
    let cli = Cli::parse();
    let groups = match cli.groups {
        Some(path) => GroupsFile::Required(path),
        None => GroupsFile::IfPresent(PathBuf::from(DEFAULT_GROUPS)),
    };
    let files = Files { config: cli.config, groups };
    match cli.command {
        None => daemon::run(&files),
        Some(Command::Check) => check(&files),
        Some(Command::Doctor(args)) => doctor::run(&files, args.json),
        Some(Command::Token(args)) => with_config(&files, |config| {
            let now = jsonwebtoken::get_current_timestamp();
            token::print(config, &args.ext, args.ttl, args.url.as_deref(), now)
        }),
        Some(Command::Calls(args)) => calls(&files, &args),
        Some(Command::AsteriskConfig(args)) => with_config(&files, |config| {
            Ok(asterisk::print(config, &args.ext, args.way, args.only))
        }),
    }
}

fn check(files: &Files) -> ExitCode {
    match config::load(files) {
        Ok(loaded) => {
            for warning in &loaded.warnings {
                eprintln!("warning: {warning}");
            }
            let config = &loaded.config;
            println!(
                "{} is good: Asterisk at {}, browsers at {}, {} group(s), {} warning(s).",
                files.config.display(),
                config.asterisk.addr,
                config.browser.addr,
                config.groups.len(),
                loaded.warnings.len()
            );
            ExitCode::SUCCESS
        }
        Err(problems) => {
            eprintln!("{problems}");
            ExitCode::from(EX_CONFIG)
        }
    }
}

fn calls(files: &Files, args: &calls::CallsArgs) -> ExitCode {
    let printed = config::load(files)
        .map_err(|problems| problems.to_string())
        .and_then(|loaded| calls::print(&loaded.config, args));
    match printed {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(EX_CONFIG)
        }
    }
}

/// Prints what is made from a good configuration. Warnings belong to `check`, not here.
fn with_config(files: &Files, make: impl FnOnce(&Config) -> Result<String, String>) -> ExitCode {
    let made = config::load(files)
        .map_err(|problems| problems.to_string())
        .and_then(|loaded| make(&loaded.config));
    match made {
        Ok(text) => {
            use std::io::Write;
            // A reader that has seen enough (`| head`) is no fault.
            let _ = writeln!(std::io::stdout(), "{}", text.trim_end());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(EX_CONFIG)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(line.split(' '))
    }

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_reference_s_command_line_runs_the_gateway() {
        let cli = parse("goastgateway -c a.json -g b.json").expect("understood");
        assert_eq!(cli.config, PathBuf::from("a.json"));
        assert_eq!(cli.groups, Some(PathBuf::from("b.json")));
        assert!(cli.command.is_none());
        let cli = parse("goastgateway").expect("understood");
        assert_eq!(cli.config, PathBuf::from(DEFAULT_CONFIG));
        assert_eq!(cli.groups, None);
    }

    #[test]
    fn files_may_be_named_behind_the_command() {
        let cli = parse("goastgateway token --ext 2001 --url -c a.json").expect("understood");
        assert_eq!(cli.config, PathBuf::from("a.json"));
        let Some(Command::Token(args)) = cli.command else { panic!("not a token") };
        assert_eq!(args.url.as_deref(), Some(""));
        assert_eq!(args.ttl, Duration::from_secs(3600));
    }

    #[test]
    fn what_is_not_understood_is_a_fault_of_usage() {
        for line in [
            "goastgateway frobnicate",
            "goastgateway token",
            "goastgateway token --ext a/b",
            "goastgateway token --ext 1 --ttl soon",
            "goastgateway token --ext 1 --ttl 0s",
            "goastgateway asterisk-config --ext 2010-2001",
            "goastgateway calls --from yesterday",
            "goastgateway calls --ending sad",
            "goastgateway calls -n 0",
            "goastgateway -x",
        ] {
            assert_eq!(parse(line).expect_err(line).exit_code(), 2, "{line}");
        }
    }

    #[test]
    fn help_shows_examples() {
        let help = Cli::command().render_long_help().to_string();
        assert!(help.contains("goastgateway token --ext 2001") && help.contains("78"));
    }
}
