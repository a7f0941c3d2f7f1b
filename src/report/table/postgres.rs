//! The call table in PostgreSQL: each row as SQLite has it, a moment later.
//!
//! The file is the spool: while PostgreSQL is away rows stay there, and when it is back they are
//! handed on, oldest first, whether or not the gateway was started anew meanwhile. A row may be
//! put twice and is the same row.

mod tls;

use std::{future::Future, time::Duration};

use tokio::time::{sleep, timeout};
use tokio_postgres::{Client, NoTls, types::ToSql};
use tracing::{error, info, warn};

use self::tls::Tls;
use super::{Table, sqlite};
use crate::{
    call::Extension,
    config::PostgresSettings,
    report::{row::CallRow, time::Utc},
};

/// Rows that are put in one transaction.
const BATCH: u32 = 200;
/// How long connecting, and then each transaction, may take.
const PATIENCE: Duration = Duration::from_secs(15);
/// Between two tries while it is away, at first and at most.
const PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// How often it is looked for what is too old.
const CLEAN_EVERY: Duration = Duration::from_secs(3600);

/// What [`hand_on`] came to.
type Outcome<T> = Result<T, Fault>;

#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error("{0}")]
    Postgres(String),
    #[error("it doesn't answer in time")]
    Slow,
    #[error("the file of calls: {0}")]
    File(#[from] rusqlite::Error),
}

impl From<tokio_postgres::Error> for Fault {
    /// With its reason, which the error's own text leaves out.
    fn from(error: tokio_postgres::Error) -> Self {
        use std::error::Error;
        let reason = error.source().map(|source| format!(": {source}"));
        Fault::Postgres(format!("{error}{}", reason.unwrap_or_default()))
    }
}

/// Creates the table; each statement does nothing where it was done.
const CREATE: &str = "
SELECT pg_advisory_xact_lock(7205759403792793);
CREATE TABLE IF NOT EXISTS goastgateway_calls (
    id uuid PRIMARY KEY,
    channel text NOT NULL,
    channel_id text NOT NULL,
    direction text NOT NULL,
    caller_number text,
    caller_name text,
    dialled text,
    group_name text,
    answered_by text,
    began timestamptz NOT NULL,
    rang timestamptz,
    answered timestamptz,
    ended timestamptz,
    ring_seconds double precision,
    talk_seconds double precision,
    ending text,
    side text,
    frames_to_phone bigint NOT NULL,
    frames_from_phone bigint NOT NULL,
    frames_filled bigint NOT NULL,
    dropped_phone_slow bigint NOT NULL,
    dropped_late bigint NOT NULL,
    dropped_ahead bigint NOT NULL,
    dropped_asterisk_full bigint NOT NULL,
    asterisk_queue_ms bigint NOT NULL,
    streams integer NOT NULL,
    recording text,
    pauses text
);
ALTER TABLE goastgateway_calls ADD COLUMN IF NOT EXISTS pauses text;
CREATE INDEX IF NOT EXISTS goastgateway_calls_by_time ON goastgateway_calls (began);
";

const COLUMNS: [&str; 28] = [
    "id",
    "channel",
    "channel_id",
    "direction",
    "caller_number",
    "caller_name",
    "dialled",
    "group_name",
    "answered_by",
    "began",
    "rang",
    "answered",
    "ended",
    "ring_seconds",
    "talk_seconds",
    "ending",
    "side",
    "frames_to_phone",
    "frames_from_phone",
    "frames_filled",
    "dropped_phone_slow",
    "dropped_late",
    "dropped_ahead",
    "dropped_asterisk_full",
    "asterisk_queue_ms",
    "streams",
    "recording",
    "pauses",
];

/// Hands rows on until `stop`, and then what is left, once.
pub async fn run(table: &Table, settings: &PostgresSettings, stop: impl Future<Output = ()>) {
    let mut stop = std::pin::pin!(stop);
    let mut stopping = false;
    let mut pause = PAUSE.0;
    while !stopping {
        let result = tokio::select! {
            result = session(table, settings) => result,
            () = &mut stop => { stopping = true; Ok(()) }
        };
        let up = table.metrics.records.postgres_up.set(0) == 1;
        if let Err(error) = result {
            if up || pause == PAUSE.0 {
                error!(%error, "PostgreSQL can't be had; calls are kept in the file until it can");
            }
            pause = if up { PAUSE.0 } else { (pause * 2).min(PAUSE.1) };
            tokio::select! {
                () = sleep(pause) => {}
                () = &mut stop => stopping = true,
            }
        }
    }
    // The last rows have been written meanwhile.
    if let Ok(Ok(client)) = timeout(PATIENCE, connect(settings)).await {
        let _ = drain(table, client).await;
    }
}

async fn drain(table: &Table, mut client: Client) -> Outcome<()> {
    while hand_on(table, &mut client).await? {}
    Ok(())
}

/// One connection, for as long as it works.
async fn session(table: &Table, settings: &PostgresSettings) -> Outcome<()> {
    let mut client = Box::pin(timely(connect(settings))).await?;
    timely(async { Ok(client.batch_execute(CREATE).await?) }).await?;
    table.metrics.records.postgres_up.set(1);
    info!("PostgreSQL takes calls");
    let mut clean = tokio::time::interval(CLEAN_EVERY);
    loop {
        while hand_on(table, &mut client).await? {}
        tokio::select! {
            () = table.written.notified() => {}
            _ = clean.tick() => age_out(table, &client).await?,
        }
    }
}

async fn timely<T>(what: impl Future<Output = Outcome<T>>) -> Outcome<T> {
    timeout(PATIENCE, what).await.unwrap_or(Err(Fault::Slow))
}

async fn connect(settings: &PostgresSettings) -> Outcome<Client> {
    match &settings.tls {
        Some(tls) => {
            let (client, connection) = settings.login.connect(Tls(tls.clone())).await?;
            drive(connection);
            Ok(client)
        }
        None => {
            let (client, connection) = settings.login.connect(NoTls).await?;
            drive(connection);
            Ok(client)
        }
    }
}

fn drive(connection: impl Future<Output = Result<(), tokio_postgres::Error>> + Send + 'static) {
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            warn!(%error, "the connection to PostgreSQL ended");
        }
    });
}

/// Hands some rows on; true if there were any.
async fn hand_on(table: &Table, client: &mut Client) -> Outcome<bool> {
    let rows = match table.with(|db| sqlite::to_hand_on(db, BATCH)) {
        Some(rows) => rows?,
        None => return Ok(false),
    };
    if rows.is_empty() {
        table.metrics.records.postgres_waiting.set(0);
        return Ok(false);
    }
    timely(put(client, rows.iter().map(|(row, _)| row))).await?;
    let done: Vec<_> = rows.iter().map(|(row, changes)| (row.id, *changes)).collect();
    let waiting = table.with(|db| {
        sqlite::handed_on(db, &done)?;
        sqlite::count_to_hand_on(db)
    });
    if let Some(waiting) = waiting {
        table.metrics.records.postgres_waiting.set(waiting?);
    }
    Ok(true)
}

async fn put(client: &mut Client, rows: impl Iterator<Item = &CallRow>) -> Outcome<()> {
    let transaction = client.transaction().await?;
    let statement = transaction.prepare(&put_sql()).await?;
    for row in rows {
        let owned = Owned::new(row);
        transaction.execute(&statement, &owned.parameters()).await?;
    }
    Ok(transaction.commit().await?)
}

fn put_sql() -> String {
    let places: Vec<String> = (1..=COLUMNS.len())
        .map(|n| if n == 1 { "$1::text::uuid".to_owned() } else { format!("${n}") })
        .collect();
    let updates: Vec<String> =
        COLUMNS[1..].iter().map(|column| format!("{column} = excluded.{column}")).collect();
    format!(
        "INSERT INTO goastgateway_calls ({}) VALUES ({}) ON CONFLICT (id) DO UPDATE SET {}",
        COLUMNS.join(", "),
        places.join(", "),
        updates.join(", ")
    )
}

/// A row in the types that PostgreSQL takes.
struct Owned(Vec<Box<dyn ToSql + Sync + Send>>);

impl Owned {
    fn new(row: &CallRow) -> Self {
        let time = |time: Utc| std::time::SystemTime::from(time);
        let name = |ext: &Option<Extension>| ext.as_ref().map(|ext| clean(ext.as_str()));
        let count = |frames: u64| i64::try_from(frames).unwrap_or(i64::MAX);
        let audio = &row.audio;
        Self(vec![
            Box::new(row.id.to_string()),
            Box::new(clean(&row.channel)),
            Box::new(clean(&row.channel_id)),
            Box::new(row.direction.as_str()),
            Box::new(row.caller_number.as_deref().map(clean)),
            Box::new(row.caller_name.as_deref().map(clean)),
            Box::new(name(&row.dialled)),
            Box::new(name(&row.group)),
            Box::new(name(&row.answered_by)),
            Box::new(time(row.began)),
            Box::new(row.rang.map(time)),
            Box::new(row.answered.map(time)),
            Box::new(row.ended.map(time)),
            Box::new(row.ring_seconds),
            Box::new(row.talk_seconds),
            Box::new(row.ending.map(|ending| ending.as_str())),
            Box::new(row.side.map(|side| side.as_str())),
            Box::new(count(audio.to_phone)),
            Box::new(count(audio.from_phone)),
            Box::new(count(audio.filled)),
            Box::new(count(audio.dropped_phone_slow)),
            Box::new(count(audio.dropped_late)),
            Box::new(count(audio.dropped_ahead)),
            Box::new(count(audio.dropped_asterisk_full)),
            Box::new(count(audio.asterisk_queue_ms)),
            Box::new(i32::try_from(row.streams).unwrap_or(i32::MAX)),
            Box::new(row.recording.as_deref().map(clean)),
            Box::new(pauses(row)),
        ])
    }

    fn parameters(&self) -> Vec<&(dyn ToSql + Sync)> {
        self.0.iter().map(|value| &**value as &(dyn ToSql + Sync)).collect()
    }
}

/// Who paused and when, as JSON; nothing where nobody has.
fn pauses(row: &CallRow) -> Option<String> {
    let paused = Some(&row.pauses).filter(|pauses| !pauses.is_empty())?;
    serde_json::to_string(paused).ok()
}

/// PostgreSQL's texts hold no zero byte; one of a caller's name must not stop all that follows.
fn clean(text: &str) -> String {
    text.replace('\0', "")
}

async fn age_out(table: &Table, client: &Client) -> Outcome<()> {
    let before = Utc::now().minus(table.settings.load().records.table.retain);
    let before = std::time::SystemTime::from(before);
    timely(async {
        let sql = "DELETE FROM goastgateway_calls WHERE began < $1";
        Ok(client.execute(sql, &[&before]).await.map(|_| ())?)
    })
    .await
}
