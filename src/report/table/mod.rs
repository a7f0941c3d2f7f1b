//! The call table: one row a call, in SQLite, and in PostgreSQL as well where that is configured.
//!
//! Promises: no call waits for it. A database that is slow, locked, full or away makes changes
//! wait, up to [`MOST_WAITING`]; beyond that the oldest are dropped, counted and said. A row that
//! is in the file outlives the process and the power.

pub mod postgres;
pub mod query;
pub mod sqlite;

use std::{
    cell::RefCell,
    collections::VecDeque,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
    time::SystemTime,
};

use rusqlite::Connection;
use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};
use tracing::{error, info, warn};

use self::query::{Cursor, Filter};
use super::{
    Settings,
    feed::{Happened, Subscription},
    metrics::Metrics,
    row::CallRow,
    state::{StateDir, StateError, open_to_read},
    time::Utc,
};
use crate::{call::CallId, tap::event};

/// The file in `state_dir`.
pub const FILE: &str = "calls.db";
/// Changes that may wait for the database, some 700 bytes each: an hour of five calls a second.
const MOST_WAITING: usize = 20_000;
/// Changes that are written at once, under one wait for the disk.
const BATCH: usize = 256;
/// How long a database that failed is left alone.
const PAUSE: Duration = Duration::from_secs(2);
/// How often it is looked for what is too old.
const CLEAN_EVERY: Duration = Duration::from_secs(3600);
/// Between two pieces of one clean-up.
const CLEAN_PAUSE: Duration = Duration::from_millis(50);

/// What is written down.
#[derive(Debug, Clone)]
pub enum Change {
    Row(Arc<CallRow>),
    /// One more connection of a stream listens.
    Streamed(CallId),
    /// Where the recording is.
    Recorded(CallId, String),
    /// Whoever listens is given silence from then on, and who wanted that; or hears again.
    Paused(CallId, SystemTime, String),
    Resumed(CallId, SystemTime, String),
}

impl Change {
    /// What has to be written down of what happened.
    fn of(happened: Happened) -> Option<Self> {
        match happened {
            Happened::Call(call) => Some(Change::Row(call.call)),
            Happened::Tap(told) => {
                let call = CallId::from_uuid(told.call.call_id);
                match &told.what {
                    event::What::StreamStarted { gap_ms: None, .. } => Some(Change::Streamed(call)),
                    event::What::RecordingStored { place, .. } => {
                        Some(Change::Recorded(call, place.clone()))
                    }
                    event::What::Paused { by } => Some(Change::Paused(call, told.at, by.clone())),
                    event::What::Resumed { by } => Some(Change::Resumed(call, told.at, by.clone())),
                    _ => None,
                }
            }
        }
    }
}

/// The table, on the thread that writes it.
pub struct Table {
    state: Arc<StateDir>,
    metrics: Arc<Metrics>,
    settings: Settings,
    db: RefCell<Option<Connection>>,
    /// Rings when something was written.
    pub written: Notify,
}

/// Changes that are not yet in the file.
struct Backlog {
    changes: VecDeque<Change>,
    /// Not to be tried before.
    pause: Option<Instant>,
}

impl Table {
    pub fn new(state: Arc<StateDir>, metrics: Arc<Metrics>, settings: Settings) -> Self {
        Self { state, metrics, settings, db: RefCell::default(), written: Notify::new() }
    }

    /// Writes down what happens until nothing happens any more.
    pub async fn keep(&self, mut happenings: Subscription) {
        let mut backlog = Backlog { changes: VecDeque::new(), pause: None };
        self.try_write(&mut backlog);
        let mut clean_at = Instant::now();
        let mut batch = Vec::new();
        loop {
            let retry = backlog.pause.unwrap_or_else(Instant::now);
            tokio::select! {
                got = happenings.next_many(&mut batch, BATCH) => {
                    self.metrics.records.table_dropped.inc_by(happenings.take_dropped());
                    backlog.changes.extend(batch.drain(..).filter_map(Change::of));
                    if got == 0 {
                        backlog.pause = None;
                        self.try_write(&mut backlog);
                        break;
                    }
                }
                () = sleep_until(retry), if backlog.pause.is_some() => backlog.pause = None,
                () = sleep_until(clean_at) => {
                    let more = self.clean();
                    clean_at = Instant::now() + if more { CLEAN_PAUSE } else { CLEAN_EVERY };
                    continue;
                }
            }
            self.bound(&mut backlog);
            if backlog.pause.is_none() {
                self.try_write(&mut backlog);
            }
        }
        if !backlog.changes.is_empty() {
            let lost = backlog.changes.len();
            self.metrics.records.table_dropped.inc_by(lost as u64);
            error!(lost, "the call table could not be written before the stop");
        }
        self.written.notify_one();
    }

    fn bound(&self, backlog: &mut Backlog) {
        let over = backlog.changes.len().saturating_sub(MOST_WAITING);
        if over > 0 {
            backlog.changes.drain(..over);
            let before = self.metrics.records.table_dropped.inc_by(over as u64);
            let dropped = before + over as u64;
            if before == 0 || before.ilog2() != dropped.ilog2() {
                error!(dropped, "the call table can't be written: changes of calls were dropped");
            }
        }
    }

    fn try_write(&self, backlog: &mut Backlog) {
        let result = self.write(&mut backlog.changes);
        self.metrics.records.table_waiting.set(backlog.changes.len() as i64);
        let was_up = self.metrics.records.table_up.set(i64::from(result.is_ok())) == 1;
        match result {
            Ok(()) if !was_up => {
                info!(file = %self.state.file(FILE).display(), "calls are written down")
            }
            Ok(()) => {}
            Err(error) => {
                backlog.pause = Some(Instant::now() + PAUSE);
                if was_up || self.db.borrow().is_none() {
                    error!(%error, waiting = backlog.changes.len(),
                        "the call table can't be written; calls go on, and it is tried again");
                }
            }
        }
    }

    fn write(&self, changes: &mut VecDeque<Change>) -> Result<(), StateError> {
        let mut db = self.db.borrow_mut();
        let db = match &mut *db {
            Some(db) => db,
            none => none.insert(self.open()?),
        };
        let fault = |source| StateError::Database { path: self.state.file(FILE), source };
        while !changes.is_empty() {
            let some = changes.len().min(BATCH);
            sqlite::write(db, &changes.make_contiguous()[..some]).map_err(fault)?;
            changes.drain(..some);
            self.written.notify_one();
        }
        Ok(())
    }

    fn open(&self) -> Result<Connection, StateError> {
        let db = self.state.database(FILE, sqlite::STEPS)?;
        match sqlite::close_what_was_up(&db) {
            Ok(0) => {}
            Ok(calls) => warn!(calls, "calls that were up when the gateway died got an end"),
            Err(source) => {
                return Err(StateError::Database { path: self.state.file(FILE), source });
            }
        }
        Ok(db)
    }

    /// Takes away what is too old; true if there may be more.
    fn clean(&self) -> bool {
        let before = Utc::now().minus(self.settings.load().records.table.retain);
        let result = self.with(|db| sqlite::age_out(db, before));
        match result {
            Some(Ok(more)) => more,
            Some(Err(error)) => {
                warn!(%error, "old calls could not be removed; tried again in an hour");
                false
            }
            None => false,
        }
    }

    /// Does something with the database, if it is open.
    fn with<T>(&self, what: impl FnOnce(&mut Connection) -> T) -> Option<T> {
        self.db.borrow_mut().as_mut().map(what)
    }
}

/// The table for those who ask; it can be asked while it is written.
#[derive(Debug, Clone)]
pub struct Reader(PathBuf);

/// A page of calls, and where the next one begins.
#[derive(Debug, Clone)]
pub struct Page {
    pub calls: Vec<CallRow>,
    pub next: Option<Cursor>,
}

impl Reader {
    pub fn new(state_dir: &Path) -> Self {
        Self(state_dir.join(FILE))
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Blocks on the disk.
    pub fn page(&self, filter: &Filter) -> rusqlite::Result<Page> {
        let db = open_to_read(&self.0)?;
        // One more than is shown tells whether there are more.
        let wanted = filter.page();
        let calls = sqlite::page(&db, filter, wanted + 1)?;
        let more = calls.len() > wanted as usize;
        let calls: Vec<CallRow> = calls.into_iter().take(wanted as usize).collect();
        let last = calls.last().filter(|_| more);
        let next = last.map(|call| Cursor { began: call.began, id: call.id });
        Ok(Page { calls, next })
    }

    /// Blocks on the disk.
    pub fn one(&self, id: CallId) -> rusqlite::Result<Option<CallRow>> {
        sqlite::one(&open_to_read(&self.0)?, id)
    }
}

#[cfg(test)]
mod tests {
    use arc_swap::ArcSwap;

    use super::*;
    use crate::report::testing::{answered_call, config_with};

    fn table(folder: &tempfile::TempDir) -> Table {
        let state = Arc::new(StateDir::open(folder.path()).unwrap());
        let config = config_with(&serde_json::json!({}));
        Table::new(state, Arc::default(), Arc::new(ArcSwap::from_pointee(config)))
    }

    fn rows(count: u64) -> VecDeque<Change> {
        let row = |n| answered_call(u128::from(n), Utc::from_millis(1_795_000_000_000 + n as i64));
        (0..count).map(|n| Change::Row(Arc::new(row(n)))).collect()
    }

    #[test]
    fn a_full_disk_makes_changes_wait_and_room_lets_them_in() {
        let folder = tempfile::tempdir().unwrap();
        let table = table(&folder);
        let mut backlog = Backlog { changes: VecDeque::new(), pause: None };
        table.try_write(&mut backlog);
        assert_eq!(table.metrics.records.table_up.get(), 1);
        let room = |pages: u32| {
            table.with(|db| db.pragma_update(None, "max_page_count", pages)).unwrap().unwrap();
        };
        room(30);
        backlog.changes = rows(2_000);
        table.try_write(&mut backlog);
        assert_eq!(table.metrics.records.table_up.get(), 0);
        assert!(backlog.pause.is_some());
        let waiting = backlog.changes.len();
        assert!(waiting > 1_000, "{waiting}");
        assert_eq!(table.metrics.records.table_waiting.get(), waiting as i64);
        room(1_000_000);
        table.try_write(&mut backlog);
        assert_eq!((table.metrics.records.table_up.get(), backlog.changes.len()), (1, 0));
        let reader = Reader::new(folder.path());
        let page = reader.page(&Filter { limit: 500, ..Filter::default() }).unwrap();
        assert_eq!((page.calls.len(), page.next.is_some()), (500, true));
    }

    #[test]
    fn what_waits_is_bounded_and_the_oldest_goes_first() {
        let folder = tempfile::tempdir().unwrap();
        let table = table(&folder);
        let mut backlog = Backlog { changes: rows(MOST_WAITING as u64 + 7), pause: None };
        table.bound(&mut backlog);
        assert_eq!(backlog.changes.len(), MOST_WAITING);
        let Some(Change::Row(first)) = backlog.changes.front() else { panic!("a row") };
        assert_eq!(first.id.uuid().as_u128(), 7);
        assert_eq!(table.metrics.records.table_dropped.get(), 7);
    }
}
