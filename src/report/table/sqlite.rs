//! The call table in SQLite: its columns, and the four things that are done with it: rows are put
//! in, asked for, aged out, and handed on to PostgreSQL.

use std::time::SystemTime;

use rusqlite::{Connection, OptionalExtension, Row, params, params_from_iter};

use super::{Change, query::Filter};
use crate::{
    call::{CallId, Extension, ending::Ending, record::Direction},
    report::{
        row::{Audio, CallRow},
        time::Utc,
    },
};

/// Every version of the table since the first, oldest first. What has been released is never
/// changed here; a new step is added.
pub const STEPS: &[&str] = &[
    "
CREATE TABLE calls (
    id TEXT PRIMARY KEY NOT NULL,
    channel TEXT NOT NULL,
    channel_id TEXT NOT NULL,
    direction TEXT NOT NULL,
    caller_number TEXT,
    caller_name TEXT,
    dialled TEXT,
    group_name TEXT,
    answered_by TEXT,
    began TEXT NOT NULL,
    rang TEXT,
    answered TEXT,
    ended TEXT,
    ring_seconds REAL,
    talk_seconds REAL,
    ending TEXT,
    side TEXT,
    frames_to_phone INTEGER NOT NULL,
    frames_from_phone INTEGER NOT NULL,
    frames_filled INTEGER NOT NULL,
    dropped_phone_slow INTEGER NOT NULL,
    dropped_late INTEGER NOT NULL,
    dropped_ahead INTEGER NOT NULL,
    dropped_asterisk_full INTEGER NOT NULL,
    asterisk_queue_ms INTEGER NOT NULL,
    streams INTEGER NOT NULL DEFAULT 0,
    recording TEXT,
    changes INTEGER NOT NULL DEFAULT 1,
    handed_on INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
CREATE INDEX calls_by_time ON calls (began, id);
CREATE INDEX calls_by_dialled ON calls (dialled, began);
CREATE INDEX calls_by_answered_by ON calls (answered_by, began);
CREATE INDEX calls_by_group ON calls (group_name, began);
CREATE INDEX calls_to_hand_on ON calls (began) WHERE handed_on < changes;
",
    "
ALTER TABLE calls ADD COLUMN pauses TEXT;
",
];

/// Pauses of one call that are written down; what is paused beyond belongs to the last.
const MOST_PAUSES: u32 = 100;

/// The columns that a call's own task fills, in the order of [`put_row`].
const COLUMNS: &str = "id, channel, channel_id, direction, caller_number, caller_name, dialled, \
     group_name, answered_by, began, rang, answered, ended, ring_seconds, talk_seconds, ending, \
     side, frames_to_phone, frames_from_phone, frames_filled, dropped_phone_slow, dropped_late, \
     dropped_ahead, dropped_asterisk_full, asterisk_queue_ms";
/// The same and the three that others fill, in the order of [`read`].
const ALL_COLUMNS: &str = "id, channel, channel_id, direction, caller_number, caller_name, \
     dialled, group_name, answered_by, began, rang, answered, ended, ring_seconds, talk_seconds, \
     ending, side, frames_to_phone, frames_from_phone, frames_filled, dropped_phone_slow, \
     dropped_late, dropped_ahead, dropped_asterisk_full, asterisk_queue_ms, streams, recording, \
     pauses";

/// Rows that one clean-up takes away at once, so that it doesn't hold up what is to be written.
const AGED_AT_ONCE: u32 = 500;
/// Pages that a clean-up gives back to the disk at once: 2 MiB.
const FREED_AT_ONCE: u32 = 512;

/// Puts changes in, all or none.
pub fn write(db: &mut Connection, changes: &[Change]) -> rusqlite::Result<()> {
    let transaction = db.transaction()?;
    {
        let marks = vec!["?"; COLUMNS.split(',').count()].join(", ");
        let update = COLUMNS.split(", ").skip(1).map(|c| format!("{c} = excluded.{c}, "));
        let sql = format!(
            "INSERT INTO calls ({COLUMNS}) VALUES ({marks}) ON CONFLICT (id) DO UPDATE SET {} \
             changes = changes + 1",
            update.collect::<String>()
        );
        let mut put = transaction.prepare(&sql)?;
        let mut streamed = transaction.prepare(
            "UPDATE calls SET streams = streams + 1, changes = changes + 1 WHERE id = ?",
        )?;
        let mut recorded = transaction
            .prepare("UPDATE calls SET recording = ?2, changes = changes + 1 WHERE id = ?1")?;
        // Times and names are parameters, so nothing of them is taken for JSON.
        let mut paused = transaction.prepare(&format!(
            "UPDATE calls SET pauses = json_insert(coalesce(pauses, '[]'), '$[#]', \
             json_object('from', ?2, 'by', ?3)), changes = changes + 1 \
             WHERE id = ?1 AND json_array_length(coalesce(pauses, '[]')) < {MOST_PAUSES}"
        ))?;
        let mut resumed = transaction.prepare(
            "UPDATE calls SET pauses = json_set(pauses, '$[#-1].until', ?2, '$[#-1].resumed_by', \
             ?3), changes = changes + 1 WHERE id = ?1 AND pauses IS NOT NULL",
        )?;
        let date = |at: &SystemTime| humantime::format_rfc3339_millis(*at).to_string();
        for change in changes {
            match change {
                Change::Row(row) => put_row(&mut put, row)?,
                Change::Streamed(id) => streamed.execute([id.to_string()])?,
                Change::Recorded(id, place) => recorded.execute([&id.to_string(), place])?,
                Change::Paused(id, at, by) => paused.execute([&id.to_string(), &date(at), by])?,
                Change::Resumed(id, at, by) => resumed.execute([&id.to_string(), &date(at), by])?,
            };
        }
    }
    transaction.commit()
}

fn put_row(put: &mut rusqlite::Statement<'_>, row: &CallRow) -> rusqlite::Result<usize> {
    let text = |time: Utc| time.to_string();
    let audio = &row.audio;
    let name = |ext: &Option<Extension>| ext.as_ref().map(|ext| ext.as_str().to_owned());
    put.execute(params![
        row.id.to_string(),
        row.channel,
        row.channel_id,
        row.direction.as_str(),
        row.caller_number,
        row.caller_name,
        name(&row.dialled),
        name(&row.group),
        name(&row.answered_by),
        text(row.began),
        row.rang.map(text),
        row.answered.map(text),
        row.ended.map(text),
        row.ring_seconds,
        row.talk_seconds,
        row.ending.map(Ending::as_str),
        row.side.map(|side| side.as_str()),
        count(audio.to_phone),
        count(audio.from_phone),
        count(audio.filled),
        count(audio.dropped_phone_slow),
        count(audio.dropped_late),
        count(audio.dropped_ahead),
        count(audio.dropped_asterisk_full),
        count(audio.asterisk_queue_ms),
    ])
}

fn count(frames: u64) -> i64 {
    i64::try_from(frames).unwrap_or(i64::MAX)
}

/// Calls, newest first.
pub fn page(db: &Connection, filter: &Filter, most: u32) -> rusqlite::Result<Vec<CallRow>> {
    let (condition, texts) = filter.condition();
    let sql = format!(
        "SELECT {ALL_COLUMNS} FROM calls WHERE {condition} ORDER BY began DESC, id DESC LIMIT {most}"
    );
    let mut statement = db.prepare(&sql)?;
    let rows = statement.query_map(params_from_iter(texts), read)?;
    rows.collect()
}

/// One call.
pub fn one(db: &Connection, id: CallId) -> rusqlite::Result<Option<CallRow>> {
    let sql = format!("SELECT {ALL_COLUMNS} FROM calls WHERE id = ?");
    db.query_row(&sql, [id.to_string()], read).optional()
}

fn read(row: &Row<'_>) -> rusqlite::Result<CallRow> {
    let mut column = 0;
    let mut next = || {
        column += 1;
        column - 1
    };
    let text = |row: &Row<'_>, at: usize| row.get::<_, Option<String>>(at);
    let time = |row: &Row<'_>, at: usize| {
        Ok::<_, rusqlite::Error>(text(row, at)?.as_deref().and_then(Utc::parse))
    };
    let name =
        |row: &Row<'_>, at: usize| Ok::<_, rusqlite::Error>(text(row, at)?.map(Extension::from));
    let frames =
        |row: &Row<'_>, at: usize| Ok::<_, rusqlite::Error>(row.get::<_, i64>(at)?.unsigned_abs());
    let id: String = row.get(next())?;
    let id = CallId::parse(&id).ok_or(rusqlite::Error::InvalidQuery)?;
    let (channel, channel_id) = (row.get(next())?, row.get(next())?);
    let direction: String = row.get(next())?;
    let (caller_number, caller_name) = (text(row, next())?, text(row, next())?);
    let (dialled, group, answered_by) =
        (name(row, next())?, name(row, next())?, name(row, next())?);
    let began = time(row, next())?.unwrap_or(Utc::from_millis(0));
    let (rang, answered, ended) = (time(row, next())?, time(row, next())?, time(row, next())?);
    let (ring_seconds, talk_seconds) = (row.get(next())?, row.get(next())?);
    // What a later version may have written is better read as nothing than not at all.
    let ending = text(row, next())?.as_deref().and_then(Ending::parse);
    let _side = next();
    Ok(CallRow {
        id,
        channel,
        channel_id,
        direction: Direction::parse(&direction).unwrap_or_default(),
        caller_number,
        caller_name,
        dialled,
        group,
        answered_by,
        began,
        rang,
        answered,
        ended,
        ring_seconds,
        talk_seconds,
        ending,
        side: ending.map(Ending::side),
        audio: Audio {
            to_phone: frames(row, next())?,
            from_phone: frames(row, next())?,
            filled: frames(row, next())?,
            dropped_phone_slow: frames(row, next())?,
            dropped_late: frames(row, next())?,
            dropped_ahead: frames(row, next())?,
            dropped_asterisk_full: frames(row, next())?,
            asterisk_queue_ms: frames(row, next())?,
        },
        streams: row.get(next())?,
        recording: row.get(next())?,
        pauses: text(row, next())?
            .and_then(|json| serde_json::from_str(&json).ok())
            .unwrap_or_default(),
    })
}

/// Takes away some calls that began before this; true if there may be more.
pub fn age_out(db: &mut Connection, before: Utc) -> rusqlite::Result<bool> {
    let aged = db.execute(
        "DELETE FROM calls WHERE id IN (SELECT id FROM calls WHERE began < ?1 ORDER BY began \
         LIMIT ?2)",
        params![before.to_string(), AGED_AT_ONCE],
    )?;
    if aged > 0 {
        // A step for each page, so it has to be asked until it has no more.
        let mut free = db.prepare(&format!("PRAGMA incremental_vacuum({FREED_AT_ONCE})"))?;
        let mut rows = free.query([])?;
        while rows.next()?.is_some() {}
    }
    Ok(aged == AGED_AT_ONCE as usize)
}

/// Calls that were up when the gateway died have no end; they get one, and the time when they were
/// last heard of.
pub fn close_what_was_up(db: &Connection) -> rusqlite::Result<usize> {
    db.execute(
        "UPDATE calls SET ended = coalesce(answered, rang, began), ending = ?1, side = ?2, \
         changes = changes + 1 WHERE ended IS NULL",
        [Ending::Fault.as_str(), Ending::Fault.side().as_str()],
    )
}

/// Some calls that PostgreSQL doesn't have as they are, and how often each has changed.
pub fn to_hand_on(db: &Connection, most: u32) -> rusqlite::Result<Vec<(CallRow, i64)>> {
    let sql = format!(
        "SELECT {ALL_COLUMNS}, changes FROM calls WHERE handed_on < changes ORDER BY began LIMIT ?"
    );
    let mut statement = db.prepare(&sql)?;
    let rows = statement
        .query_map([most], |row| Ok((read(row)?, row.get(ALL_COLUMNS.split(',').count())?)))?;
    rows.collect()
}

/// How many those are.
pub fn count_to_hand_on(db: &Connection) -> rusqlite::Result<i64> {
    db.query_row("SELECT count(*) FROM calls WHERE handed_on < changes", [], |row| row.get(0))
}

/// PostgreSQL has these, as they were when they had changed so often.
pub fn handed_on(db: &mut Connection, calls: &[(CallId, i64)]) -> rusqlite::Result<()> {
    let transaction = db.transaction()?;
    {
        let mut statement =
            transaction.prepare("UPDATE calls SET handed_on = max(handed_on, ?2) WHERE id = ?1")?;
        for (id, changes) in calls {
            statement.execute(params![id.to_string(), changes])?;
        }
    }
    transaction.commit()
}

#[cfg(test)]
mod tests;
