//! The folder of what has to outlive the process (`state_dir`), and the databases in it.
//!
//! Promises: one gateway at a time works in a folder; a database that is broken is put aside and a
//! new one begun; one that a newer version has written is left alone.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::{Connection, ErrorCode, OpenFlags};
use tracing::error;

/// How long a database that somebody else has locked is waited for, on the thread that writes it.
const BUSY_TIME: Duration = Duration::from_millis(250);
/// Pages of 4 KiB that the log of a database may have before they are moved into it.
const CHECKPOINT_PAGES: u32 = 250;
/// What one connection may cache, in KiB.
const CACHE_KIB: i32 = 1024;

/// The folder, held by this process until it is dropped.
#[derive(Debug)]
pub struct StateDir {
    path: PathBuf,
    _lock: File,
}

/// Why the folder or a database in it can't be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    #[error("{}: {source}. Create it for the gateway's user, or name another \"state_dir\"", path.display())]
    Folder { path: PathBuf, source: io::Error },
    #[error("{}: another gateway works in it; give each its own \"state_dir\"", .0.display())]
    Taken(PathBuf),
    #[error("{}: {source}", path.display())]
    Database { path: PathBuf, source: rusqlite::Error },
    #[error("{}: written by a newer version of the gateway", .0.display())]
    Newer(PathBuf),
}

impl StateDir {
    /// Makes the folder if need be, for its owner alone, and takes it.
    pub fn open(path: &Path) -> Result<Self, StateError> {
        let fault = |source| StateError::Folder { path: path.to_owned(), source };
        if !path.is_dir() {
            use std::os::unix::fs::DirBuilderExt;
            fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(fault)?;
        }
        let lock = File::create(path.join("lock")).map_err(fault)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path: path.to_owned(), _lock: lock }),
            Err(fs::TryLockError::WouldBlock) => Err(StateError::Taken(path.to_owned())),
            Err(fs::TryLockError::Error(source)) => Err(fault(source)),
        }
    }

    /// A file in it.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Opens a database for writing; `steps` are all its migrations, oldest first.
    pub fn database(&self, name: &str, steps: &[&str]) -> Result<Connection, StateError> {
        let path = self.file(name);
        match open(&path, steps) {
            Err(StateError::Database { source, .. }) if is_broken(&source) => {
                let aside = path.with_extension("db.broken");
                error!(
                    %source, file = %path.display(), kept = %aside.display(),
                    "a database is broken: put aside, and a new one begun"
                );
                for suffix in ["", "-wal", "-shm"] {
                    let from = PathBuf::from(format!("{}{suffix}", path.display()));
                    let to = PathBuf::from(format!("{}{suffix}", aside.display()));
                    // The two others may not be there.
                    let _ = fs::rename(from, to);
                }
                open(&path, steps)
            }
            other => other,
        }
    }
}

fn is_broken(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt))
}

fn open(path: &Path, steps: &[&str]) -> Result<Connection, StateError> {
    let fault = |source| StateError::Database { path: path.to_owned(), source };
    let mut db = Connection::open(path).map_err(fault)?;
    prepare(&mut db).map_err(fault)?;
    let done = migrate(&mut db, steps).map_err(fault)?;
    if done { Ok(db) } else { Err(StateError::Newer(path.to_owned())) }
}

fn prepare(db: &mut Connection) -> rusqlite::Result<()> {
    db.busy_timeout(BUSY_TIME)?;
    // Before the first table, or it has no effect.
    db.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
    db.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    // Each commit is on the disk: it is a thread of its own that waits for it, once for many calls.
    db.pragma_update(None, "synchronous", "FULL")?;
    db.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
    db.pragma_update(None, "cache_size", -CACHE_KIB)
}

/// False if the database is newer than these steps.
fn migrate(db: &mut Connection, steps: &[&str]) -> rusqlite::Result<bool> {
    let transaction = db.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    let done: u32 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let done = done as usize;
    if done > steps.len() {
        return Ok(false);
    }
    for (version, step) in (1u32..).zip(steps).skip(done) {
        transaction.execute_batch(step)?;
        transaction.pragma_update(None, "user_version", version)?;
    }
    transaction.commit()?;
    Ok(true)
}

/// Opens a database for reading, beside whoever writes it.
pub fn open_to_read(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(path, flags)?;
    db.busy_timeout(BUSY_TIME)?;
    Ok(db)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: &str = "CREATE TABLE a (x INTEGER)";
    const SECOND: &str = "CREATE TABLE b (y INTEGER)";

    #[test]
    fn a_folder_is_one_gateway_s_at_a_time() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("new/state");
        let held = StateDir::open(&path).unwrap();
        assert!(matches!(StateDir::open(&path), Err(StateError::Taken(_))));
        drop(held);
        assert!(StateDir::open(&path).is_ok());
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named_with_a_remedy() {
        let error = StateDir::open(Path::new("/proc/no/such")).unwrap_err().to_string();
        assert!(error.contains("/proc/no/such") && error.contains("state_dir"), "{error}");
    }

    #[test]
    fn an_older_database_is_brought_up_and_a_newer_one_left_alone() {
        let place = tempfile::tempdir().unwrap();
        let state = StateDir::open(place.path()).unwrap();
        let db = state.database("x.db", &[FIRST]).unwrap();
        db.execute("INSERT INTO a VALUES (1)", []).unwrap();
        drop(db);
        let db = state.database("x.db", &[FIRST, SECOND]).unwrap();
        db.execute("INSERT INTO b SELECT x FROM a", []).unwrap();
        drop(db);
        assert!(matches!(state.database("x.db", &[FIRST]), Err(StateError::Newer(_))));
    }

    #[test]
    fn a_broken_database_is_put_aside_and_a_new_one_begun() {
        let place = tempfile::tempdir().unwrap();
        let state = StateDir::open(place.path()).unwrap();
        fs::write(state.file("x.db"), [b'x'; 8192]).unwrap();
        let db = state.database("x.db", &[FIRST]).unwrap();
        db.execute("INSERT INTO a VALUES (1)", []).unwrap();
        assert_eq!(fs::read(state.file("x.db.broken")).unwrap(), [b'x'; 8192]);
    }
}
