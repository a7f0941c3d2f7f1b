//! `goastgateway calls`: the call table, on a terminal or as JSON.
//!
//! It reads the file beside the gateway that writes it, and whether or not one runs.

use std::{collections::HashSet, io::Write, time::Duration};

use clap::Args;

use crate::{
    call::{CallId, Extension, ending::Ending, record::Direction},
    config::Config,
    report::{
        row::CallRow,
        table::{
            Reader,
            query::{Filter, MOST_ON_A_PAGE},
        },
        time::Utc,
    },
};

pub(super) const EXAMPLES: &str = "\
Examples:
  goastgateway calls                                the last 20
  goastgateway calls -n 200 --ext 2001              of one extension
  goastgateway calls --ending no_answer --from 2026-11-21
  goastgateway calls --from 2026-11-21T08:00 --to 2026-11-21T12:00 --json
  goastgateway calls --follow                       as they end; Ctrl-C stops it

Times are UTC. The newest call stands last. The file belongs to the gateway's user, so:
  sudo -u www-data goastgateway calls

The file is calls.db in \"state_dir\"; docs/call-table.md describes its columns.";

/// How often `--follow` looks.
const LOOK_EVERY: Duration = Duration::from_secs(1);

#[derive(Debug, Args)]
pub(super) struct CallsArgs {
    /// Only calls that this extension was dialled in, or answered
    #[arg(long, value_parser = super::extension)]
    ext: Option<String>,

    /// Only calls for this group
    #[arg(long, value_parser = super::extension)]
    group: Option<String>,

    /// Only calls of this number, whole
    #[arg(long, value_name = "NUMBER")]
    caller: Option<String>,

    /// Only calls that ended so: caller_hung_up, no_answer, busy, …
    #[arg(long, value_parser = ending)]
    ending: Option<Ending>,

    /// Only calls to phones (in), or of phones (out)
    #[arg(long, value_parser = direction)]
    direction: Option<Direction>,

    /// Only calls that began at this time or later: 2026-11-21T12:00 or 2026-11-21
    #[arg(long, value_name = "TIME", value_parser = time)]
    from: Option<Utc>,

    /// Only calls that began before this time
    #[arg(long, value_name = "TIME", value_parser = time)]
    to: Option<Utc>,

    /// How many, the newest
    #[arg(short = 'n', long, value_name = "COUNT", default_value_t = 20,
          value_parser = clap::value_parser!(u32).range(1..))]
    number: u32,

    /// One object a line, with everything that is known
    #[arg(long)]
    json: bool,

    /// Go on, and print each call when it ends
    #[arg(long, conflicts_with = "to")]
    follow: bool,
}

fn ending(text: &str) -> Result<Ending, String> {
    let all = || Ending::ALL.map(Ending::as_str).join(", ");
    Ending::parse(text).ok_or_else(|| format!("write one of {}", all()))
}

fn direction(text: &str) -> Result<Direction, String> {
    Direction::parse(text).ok_or_else(|| "write in or out".to_owned())
}

fn time(text: &str) -> Result<Utc, String> {
    Utc::parse(text).ok_or_else(|| "write it in UTC, as 2026-11-21T12:00 or 2026-11-21".to_owned())
}

impl CallsArgs {
    fn filter(&self) -> Filter {
        Filter {
            extension: self.ext.clone(),
            group: self.group.clone(),
            caller: self.caller.clone(),
            ending: self.ending,
            direction: self.direction,
            from: self.from,
            to: self.to,
            after: None,
            limit: MOST_ON_A_PAGE,
        }
    }
}

/// Prints what was asked for; the error says what stands in the way.
pub(super) fn print(config: &Config, args: &CallsArgs) -> Result<(), String> {
    let folder = config.records.state_dir.as_ref().ok_or(
        "there is no call table: the configuration has no \"state_dir\", and there is no \
         /var/lib/goastgateway",
    )?;
    let reader = Reader::new(folder);
    let mut out = std::io::stdout().lock();
    let calls = newest(&reader, args)?;
    let head = if args.json { "" } else { HEAD };
    // A reader that has seen enough (`| head`) is no fault.
    let _ = out.write_all(head.as_bytes());
    for call in calls.iter().rev() {
        let _ = writeln!(out, "{}", line(call, args.json));
    }
    if !args.follow {
        return Ok(());
    }
    let mut seen: HashSet<CallId> =
        calls.iter().filter(|call| call.ended.is_some()).map(|call| call.id).collect();
    loop {
        pause();
        let page = reader.page(&args.filter()).map_err(|error| why(&reader, &error))?;
        for call in page.calls.iter().rev().filter(|call| call.ended.is_some()) {
            if seen.insert(call.id) && writeln!(out, "{}", line(call, args.json)).is_err() {
                return Ok(());
            }
        }
        // What is beyond a page doesn't come again.
        if seen.len() > 4 * MOST_ON_A_PAGE as usize {
            seen.retain(|id| page.calls.iter().any(|call| call.id == *id));
        }
    }
}

/// A program of its own, which serves nobody.
#[allow(clippy::disallowed_methods)]
fn pause() {
    std::thread::sleep(LOOK_EVERY);
}

fn newest(reader: &Reader, args: &CallsArgs) -> Result<Vec<CallRow>, String> {
    let mut filter = args.filter();
    let mut calls = Vec::new();
    loop {
        filter.limit = MOST_ON_A_PAGE.min(args.number - calls.len() as u32);
        let page = reader.page(&filter).map_err(|error| why(reader, &error))?;
        calls.extend(page.calls);
        match page.next {
            Some(next) if calls.len() < args.number as usize => filter.after = Some(next),
            _ => return Ok(calls),
        }
    }
}

fn why(reader: &Reader, error: &rusqlite::Error) -> String {
    let file = reader.path().display();
    match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::CannotOpen) if !reader.path().exists() => format!(
            "{file}: there is no such file, or it can't be seen by this user; the gateway writes \
             it when it runs. Try: sudo -u www-data goastgateway calls"
        ),
        Some(rusqlite::ErrorCode::CannotOpen | rusqlite::ErrorCode::ReadOnly) => {
            format!("{file}: {error}. Try: sudo -u www-data goastgateway calls")
        }
        _ => format!("{file}: {error}"),
    }
}

const HEAD: &str = "\
BEGAN (UTC)              DIR  CALLER            DIALLED           ANSWERED BY        RING   TALK  ENDING
";

fn line(call: &CallRow, json: bool) -> String {
    if json {
        return serde_json::to_string(call).unwrap_or_default();
    }
    let name = |ext: &Option<Extension>| ext.as_ref().map_or("-", Extension::as_str).to_owned();
    // Asterisk's texts can hold anything, also what a terminal obeys.
    let caller = call.caller_number.as_deref().unwrap_or("-").escape_debug().to_string();
    let seconds = |time: Option<f64>| time.map_or("-".to_owned(), |time| format!("{time:.1}"));
    format!(
        "{:<24} {:<4} {:<17} {:<17} {:<17} {:>5} {:>6}  {}",
        call.began.to_string(),
        call.direction.as_str(),
        caller,
        name(&call.dialled),
        name(&call.answered_by),
        seconds(call.ring_seconds),
        seconds(call.talk_seconds),
        call.ending.map_or("(up)", Ending::as_str),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::testing::answered_call;

    #[test]
    fn a_line_stands_below_its_head_and_obeys_nobody() {
        let mut call = answered_call(1, Utc::parse("2026-11-21T12:00").unwrap());
        let text = line(&call, false);
        assert_eq!(
            text,
            "2026-11-21T12:00:00.000Z in   +81312345678      support           2001                \
             2.0   10.0  phone_hung_up"
        );
        assert_eq!(HEAD.find("ENDING"), text.find("phone_hung_up"));
        assert_eq!(HEAD.find("ANSWERED"), text.find("2001"));
        call.caller_number = Some("\u{1b}[2J".to_owned());
        assert!(!line(&call, false).contains('\u{1b}'));
        assert!(!line(&call, true).contains('\u{1b}'));
    }
}
