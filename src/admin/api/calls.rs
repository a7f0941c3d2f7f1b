//! The call table: filters, pages, one call.

use axum::{Json, extract::State};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::super::{
    Office,
    body::{Id, Parameters},
    problem::Problem,
};
use crate::{
    call::{CallId, Extension, ending::Ending, record::Direction},
    report::{
        row::CallRow,
        table::{
            Reader,
            query::{Cursor, Filter, MOST_ON_A_PAGE},
        },
        time::Utc,
    },
};

/// Which calls. What is absent doesn't matter.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct CallsQuery {
    /// The extension was dialled, or answered.
    #[param(example = "2001")]
    extension: Option<String>,
    /// The group was dialled.
    group: Option<String>,
    /// The whole number of the caller.
    caller: Option<String>,
    /// Why the call ended.
    #[param(value_type = Option<Ending>)]
    ending: Option<String>,
    #[param(value_type = Option<Direction>)]
    direction: Option<String>,
    /// Began at this time or later: UTC, as `2026-11-21T12:00:00Z` or `2026-11-21`.
    #[param(example = "2026-11-21T12:00:00Z")]
    from: Option<String>,
    /// Began before this time.
    #[param(example = "2026-11-22")]
    to: Option<String>,
    /// The `next` of the page before.
    cursor: Option<String>,
    /// How many calls a page has.
    #[param(minimum = 1, maximum = 500, default = 50)]
    limit: Option<u32>,
}

/// A page of calls, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub struct CallPage {
    calls: Vec<CallRow>,
    /// The `cursor` of the next page; absent on the last one.
    next: Option<String>,
}

impl CallsQuery {
    fn filter(self) -> Result<Filter, Problem> {
        let name = |key: &str, text: Option<String>| match text {
            Some(text) if Extension::parse(&text).is_none() => Err(Problem::bad_request(
                format!("{key} can't be the name of anybody"),
                "write 1 to 64 letters, digits or _.+*#@-",
            )),
            other => Ok(other),
        };
        let time = |key: &str, text: Option<String>| match text.as_deref().map(Utc::parse) {
            Some(None) => Err(Problem::bad_request(
                format!("{key} isn't a time"),
                "write it in UTC, as 2026-11-21T12:00:00Z or 2026-11-21",
            )),
            other => Ok(other.flatten()),
        };
        let endings = Ending::ALL.map(Ending::as_str).join(", ");
        let ending = one_of("ending", self.ending, Ending::parse, &endings)?;
        let direction = one_of("direction", self.direction, Direction::parse, "in, out")?;
        let after = one_of("cursor", self.cursor, Cursor::decode, "the next of the page before")?;
        if self.limit.is_some_and(|limit| limit == 0 || limit > MOST_ON_A_PAGE) {
            let remedy = format!("write 1 to {MOST_ON_A_PAGE}");
            return Err(Problem::bad_request("limit is out of range", &remedy));
        }
        Ok(Filter {
            extension: name("extension", self.extension)?,
            group: name("group", self.group)?,
            ending,
            direction,
            caller: self.caller,
            from: time("from", self.from)?,
            to: time("to", self.to)?,
            after,
            limit: self.limit.unwrap_or_default(),
        })
    }
}

fn one_of<T>(
    key: &str,
    text: Option<String>,
    parse: impl FnOnce(&str) -> Option<T>,
    values: &str,
) -> Result<Option<T>, Problem> {
    match text.as_deref().map(parse) {
        Some(None) => Err(Problem::bad_request(
            format!("{key} isn't one of its values"),
            &format!("write {values}"),
        )),
        other => Ok(other.flatten()),
    }
}

/// Calls, newest first
///
/// A page at a time. Calls that are up are in it, too, as far as they are known.
#[utoipa::path(
    get, path = "/api/v1/calls", tag = "calls", params(CallsQuery),
    responses((status = 200, description = "A page of calls", body = CallPage)),
)]
pub async fn list(
    State(office): State<Office>,
    Parameters(query): Parameters<CallsQuery>,
) -> Result<Json<CallPage>, Problem> {
    let filter = query.filter()?;
    let page = read(&office, move |table| table.page(&filter)).await?;
    Ok(Json(CallPage { calls: page.calls, next: page.next.map(|cursor| cursor.encode()) }))
}

/// One call
#[utoipa::path(
    get, path = "/api/v1/calls/{id}", tag = "calls",
    params(("id" = String, Path, format = "uuid", description = "The call's id")),
    responses((status = 200, description = "The call", body = CallRow)),
)]
pub async fn one(State(office): State<Office>, Id(id): Id) -> Result<Json<CallRow>, Problem> {
    let id = CallId::from_uuid(id);
    match read(&office, move |table| table.one(id)).await? {
        Some(call) => Ok(Json(call)),
        None => Err(Problem::not_found("the table has no such call")),
    }
}

/// Asks the table, on a thread that may wait for the disk.
async fn read<T: Send + 'static>(
    office: &Office,
    ask: impl FnOnce(&Reader) -> rusqlite::Result<T> + Send + 'static,
) -> Result<T, Problem> {
    let Some(table) = office.table.clone() else {
        let remedy = "write \"state_dir\": the folder where it may be, and restart the gateway";
        return Err(Problem::unavailable("there is no call table", remedy));
    };
    let answer = tokio::task::spawn_blocking(move || ask(&table)).await;
    match answer {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => {
            Err(Problem::unavailable(format!("the call table can't be read: {error}"), "try again"))
        }
        Err(_) => Err(Problem::unavailable("the call table can't be read", "try again")),
    }
}
