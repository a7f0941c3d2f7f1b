//! What is to be delivered and isn't yet: a file in `state_dir`, so that nothing is lost when the
//! gateway stops in between.
//!
//! Bounded by [`MOST_WAITING`] and [`KEEP`]; what is over is given up, oldest first, and counted.

use std::time::Duration;

use rusqlite::{Connection, params};
use uuid::Uuid;

use super::message::Message;
use crate::report::time::Utc;

/// The file in `state_dir`.
pub const FILE: &str = "webhooks.db";
/// Deliveries that may wait for one receiver, some 1.5 KiB each: a day of a thousand calls an
/// hour.
pub const MOST_WAITING: u32 = 100_000;
/// How long a delivery is tried: over a weekend.
pub const KEEP: Duration = Duration::from_secs(72 * 3600);
/// Between two attempts at one delivery, at first and at most.
pub const PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(300));

/// Every version of the file since the first, oldest first.
pub const STEPS: &[&str] = &["
CREATE TABLE deliveries (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    webhook TEXT NOT NULL,
    id TEXT NOT NULL,
    call TEXT NOT NULL,
    event TEXT NOT NULL,
    body TEXT NOT NULL,
    made INTEGER NOT NULL,
    due INTEGER NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    UNIQUE (webhook, id)
) STRICT;
CREATE INDEX deliveries_by_call ON deliveries (webhook, call, seq);
CREATE INDEX deliveries_by_due ON deliveries (webhook, due);
"];

/// One delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    pub seq: i64,
    pub id: Uuid,
    pub event: String,
    pub body: String,
    /// Attempts that have failed.
    pub attempts: u32,
}

/// Keeps deliveries, all or none. What is there already stays as it is.
pub fn put(db: &mut Connection, new: &[(String, Message)], now: Utc) -> rusqlite::Result<()> {
    let transaction = db.transaction()?;
    {
        let mut put = transaction.prepare(
            "INSERT OR IGNORE INTO deliveries (webhook, id, call, event, body, made, due) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6)",
        )?;
        for (webhook, message) in new {
            put.execute(params![
                webhook,
                message.id.to_string(),
                message.call.to_string(),
                message.event,
                message.body,
                now.millis(),
            ])?;
        }
    }
    transaction.commit()
}

/// Some that may be delivered now, none of which waits for an earlier one of its call.
pub fn due(db: &Connection, webhook: &str, now: Utc, most: u32) -> rusqlite::Result<Vec<Delivery>> {
    // What is due later than any pause can mean was put off before the clock was set.
    let mut statement = db.prepare(
        "SELECT seq, id, event, body, attempts FROM deliveries d \
         WHERE webhook = ?1 AND (due <= ?2 OR due > ?3) AND NOT EXISTS \
         (SELECT 1 FROM deliveries e WHERE e.webhook = d.webhook AND e.call = d.call \
          AND e.seq < d.seq) ORDER BY seq LIMIT ?4",
    )?;
    let impossible = now.plus(PAUSE.1 * 2);
    let rows =
        statement.query_map(params![webhook, now.millis(), impossible.millis(), most], |row| {
            let id: String = row.get(1)?;
            Ok(Delivery {
                seq: row.get(0)?,
                id: Uuid::try_parse(&id).unwrap_or_default(),
                event: row.get(2)?,
                body: row.get(3)?,
                attempts: row.get(4)?,
            })
        })?;
    rows.collect()
}

/// When the next is due, if any waits.
pub fn next_due(db: &Connection, webhook: &str) -> rusqlite::Result<Option<Utc>> {
    let sql = "SELECT min(due) FROM deliveries d WHERE webhook = ?1 AND NOT EXISTS \
               (SELECT 1 FROM deliveries e WHERE e.webhook = d.webhook AND e.call = d.call \
               AND e.seq < d.seq)";
    let due: Option<i64> = db.query_row(sql, [webhook], |row| row.get(0))?;
    Ok(due.map(Utc::from_millis))
}

/// The receiver has it.
pub fn delivered(db: &Connection, seq: i64) -> rusqlite::Result<()> {
    db.execute("DELETE FROM deliveries WHERE seq = ?1", [seq]).map(|_| ())
}

/// It is tried again at this time.
pub fn failed(db: &Connection, seq: i64, due: Utc) -> rusqlite::Result<()> {
    let sql = "UPDATE deliveries SET attempts = attempts + 1, due = ?2 WHERE seq = ?1";
    db.execute(sql, params![seq, due.millis()]).map(|_| ())
}

/// How many wait.
pub fn waiting(db: &Connection, webhook: &str) -> rusqlite::Result<u32> {
    let sql = "SELECT count(*) FROM deliveries WHERE webhook = ?1";
    db.query_row(sql, [webhook], |row| row.get(0))
}

/// Gives up what is too old or too much; tells how many.
pub fn give_up(db: &Connection, webhook: &str, now: Utc, most: u32) -> rusqlite::Result<usize> {
    let old = db.execute(
        "DELETE FROM deliveries WHERE webhook = ?1 AND made < ?2",
        params![webhook, now.minus(KEEP).millis()],
    )?;
    let over = waiting(db, webhook)?.saturating_sub(most);
    if over == 0 {
        return Ok(old);
    }
    let many = db.execute(
        "DELETE FROM deliveries WHERE seq IN \
         (SELECT seq FROM deliveries WHERE webhook = ?1 ORDER BY seq LIMIT ?2)",
        params![webhook, over],
    )?;
    Ok(old + many)
}

/// Gives up what waits for webhooks that aren't configured any more; tells how many.
pub fn forget_others(db: &Connection, known: &[&str]) -> rusqlite::Result<usize> {
    let marks = vec!["?"; known.len()].join(", ");
    let sql = format!("DELETE FROM deliveries WHERE webhook NOT IN ({marks})");
    db.execute(&sql, rusqlite::params_from_iter(known))
}

/// How long a delivery that has failed so often is put off; `chance` from 0 to 1 spreads those of
/// many.
pub fn pause(attempts: u32, chance: f64) -> Duration {
    let whole = PAUSE.0.saturating_mul(1 << attempts.min(20)).min(PAUSE.1);
    whole.mul_f64(0.75 + 0.25 * chance.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::state::StateDir;

    fn spool(folder: &tempfile::TempDir) -> (StateDir, Connection) {
        let state = StateDir::open(folder.path()).unwrap();
        let db = state.database(FILE, STEPS).unwrap();
        (state, db)
    }

    fn message(call: u128, id: u128) -> (String, Message) {
        let [id, call] = [id, call].map(Uuid::from_u128);
        ("a".into(), Message { id, call, event: "call_ended".into(), body: "{}".into() })
    }

    fn at(second: u64) -> Utc {
        Utc::from_millis(1_795_000_000_000).plus(Duration::from_secs(second))
    }

    fn ids(db: &Connection, now: Utc) -> Vec<u128> {
        due(db, "a", now, 100).unwrap().iter().map(|d| d.id.as_u128()).collect()
    }

    #[test]
    fn a_call_s_events_stay_in_order_and_calls_don_t_wait_for_each_other() {
        let folder = tempfile::tempdir().unwrap();
        let (_state, mut db) = spool(&folder);
        put(&mut db, &[message(1, 11), message(1, 12), message(2, 21)], at(0)).unwrap();
        assert_eq!(ids(&db, at(0)), [11, 21]);
        let first = due(&db, "a", at(0), 1).unwrap().remove(0);
        failed(&db, first.seq, at(60)).unwrap();
        assert_eq!(ids(&db, at(1)), [21], "12 waits for 11");
        assert_eq!(next_due(&db, "a").unwrap(), Some(at(0)));
        assert_eq!(ids(&db, at(60)), [11, 21]);
        delivered(&db, first.seq).unwrap();
        assert_eq!(ids(&db, at(60)), [12, 21]);
        assert!(due(&db, "b", at(60), 100).unwrap().is_empty(), "another webhook's");
    }

    #[test]
    fn what_waits_outlives_the_process_and_isn_t_doubled() {
        let folder = tempfile::tempdir().unwrap();
        let (state, mut db) = spool(&folder);
        put(&mut db, &[message(1, 11)], at(0)).unwrap();
        drop((state, db));
        let (_state, mut db) = spool(&folder);
        put(&mut db, &[message(1, 11)], at(5)).unwrap();
        assert_eq!((ids(&db, at(5)), waiting(&db, "a").unwrap()), (vec![11], 1));
    }

    #[test]
    fn it_is_bounded_by_number_and_by_age() {
        let folder = tempfile::tempdir().unwrap();
        let (_state, mut db) = spool(&folder);
        let many: Vec<_> = (0..20).map(|n| message(n, n)).collect();
        put(&mut db, &many, at(0)).unwrap();
        assert_eq!(give_up(&db, "a", at(1), 15).unwrap(), 5);
        assert_eq!(ids(&db, at(1))[0], 5, "the oldest are given up");
        put(&mut db, &[message(99, 99)], at(10)).unwrap();
        assert_eq!(give_up(&db, "a", at(5).plus(KEEP), 15).unwrap(), 15);
        assert_eq!(ids(&db, at(20)), [99]);
        assert_eq!(forget_others(&db, &["a"]).unwrap(), 0);
        assert_eq!(forget_others(&db, &[]).unwrap(), 1);
    }

    #[test]
    fn a_clock_that_was_set_back_delays_nothing_for_long() {
        let folder = tempfile::tempdir().unwrap();
        let (_state, mut db) = spool(&folder);
        put(&mut db, &[message(1, 11)], at(1_000_000)).unwrap();
        assert_eq!(ids(&db, at(0)), [11]);
    }

    #[test]
    fn pauses_grow_to_a_bound() {
        assert!(pause(0, 1.0) <= Duration::from_secs(1));
        assert!(pause(3, 0.0) >= Duration::from_secs(6));
        assert_eq!(pause(u32::MAX, 1.0), PAUSE.1);
    }
}
