//! The embedded engine: SQLite in WAL mode with full sync, one file, one process.
//!
//! One thread writes (`writer.rs`) and shares each commit between all that wait; a few read-only connections serve lists.
//! A lock file beside the database keeps a second process out.

mod accept;
mod answers;
mod applications;
mod attempts;
mod audit;
mod backup;
mod claim;
mod desk;
mod durable;
mod endpoints;
mod event_types;
mod given_up;
mod hourly;
mod key_sets;
mod lti;
mod messages;
mod people;
mod purge;
mod queue;
mod record;
mod resets;
mod rows;
mod sessions;
mod source;
mod tasks;
mod webfilters;
mod writer;

use crate::{
    error::StoreError,
    queue::Commit,
    seal::{MainKey, Sealer},
};
use rusqlite::{Connection, OpenFlags};
use std::{
    fs::{File, OpenOptions, TryLockError},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::sync::{Semaphore, mpsc};

pub use backup::{backup, check};
use durable::SyncLog;
pub(crate) use source::{Source, SourceTable};
use writer::{Tx, Writer};

/// Read-only connections; lists wait for one, delivery never does.
const READERS: usize = 4;
/// Page cache of the writer, in KiB; of a reader, a quarter.
const CACHE_KIB: i64 = 32 * 1024;

mod embedded {
    refinery::embed_migrations!("migrations/sqlite");
}

/// The embedded store.
pub struct Sqlite {
    writer: Writer,
    readers: Arc<Readers>,
    sealer: Arc<Sealer>,
    own_terms: Arc<purge::OwnTerms>,
    /// Tells this run's leases from those of runs before.
    boot: i64,
    /// Held as long as the store is open.
    _lock: File,
}

struct Readers {
    idle: Mutex<Vec<Connection>>,
    seats: Semaphore,
}

impl Sqlite {
    /// Opens or makes the database at `path`, brings its tables up to date, and starts the writer. What commits bring
    /// about comes out of the receiver. Must be called within a Tokio runtime.
    pub fn open(path: &Path, key: &MainKey) -> Result<(Self, mpsc::UnboundedReceiver<Commit>), StoreError> {
        let lock = lock_beside(path)?;
        let mut conn = connect(path, CACHE_KIB, false)?;
        conn.pragma_update(None, "auto_vacuum", "INCREMENTAL").map_err(failed)?;
        conn.pragma_update(None, "journal_mode", "WAL").map_err(failed)?;
        // All in one transaction: one by one, a change and the note that it was made would be two.
        embedded::migrations::runner()
            .set_grouped(true)
            .run(&mut conn)
            .map_err(|e| StoreError::Unavailable(format!("failed to bring the tables up to date: {e}")))?;
        let sealer = Arc::new(Sealer::new(key));
        check_key(&conn, &sealer)?;
        let boot = next_boot(&conn)?;
        let readers =
            (0..READERS).map(|_| connect(path, CACHE_KIB / 4, true)).collect::<Result<Vec<_>, StoreError>>()?;
        let checkpointer = connect(path, 1024, false)?;
        let (commits, receiver) = mpsc::unbounded_channel();
        let log = sync_log_of(&conn)?;
        let writer = Writer::start(conn, checkpointer, log, boot, commits);
        let readers = Arc::new(Readers { idle: Mutex::new(readers), seats: Semaphore::new(READERS) });
        let own_terms = Arc::default();
        Ok((Self { writer, readers, sealer, own_terms, boot, _lock: lock }, receiver))
    }

    /// Runs `f` on a read-only connection, on a thread where it may block.
    async fn read<T: Send + 'static>(
        &self,
        f: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let readers = self.readers.clone();
        let stopped = || StoreError::Unavailable("the server is stopping".into());
        // The seat moves into the thread: a caller that goes away frees it only when the query is over.
        let run = async {
            let _seat = readers.seats.acquire().await.map_err(|_| stopped())?;
            let inner = readers.clone();
            tokio::task::spawn_blocking(move || {
                let pop = || inner.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
                // As many seats as connections, but a caller that went away may still hold one for a moment.
                let conn = loop {
                    match pop() {
                        Some(conn) => break conn,
                        None => std::thread::yield_now(),
                    }
                };
                let result = f(&conn);
                inner.idle.lock().unwrap_or_else(PoisonError::into_inner).push(conn);
                result
            })
            .await
            .map_err(|e| StoreError::Unavailable(format!("a query broke off: {e}")))?
        };
        run.await
    }

    /// Runs `f` in the writer's next transaction; answers when it is on disk. An error of `f` undoes `f` alone.
    async fn write<T: Send + 'static>(
        &self,
        f: impl FnOnce(&mut Tx<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.writer.write(f).await
    }
}

/// Takes over from SQLite when commits are synced: from now on `durable.rs` does it, before anybody hears of them.
fn sync_log_of(conn: &Connection) -> Result<SyncLog, StoreError> {
    // As SQLite has it: the file itself, where the path is that of a link.
    let path = conn.path().unwrap_or_default();
    let log = durable::log_of(Path::new(path))
        .map_err(|e| StoreError::Unavailable(format!("failed to open the write-ahead log of {path}: {e}")))?;
    conn.pragma_update(None, "synchronous", "NORMAL").map_err(failed)?;
    Ok(log)
}

fn lock_beside(path: &Path) -> Result<File, StoreError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(PathBuf::from(&name))
        .map_err(|e| StoreError::Unavailable(format!("failed to open {}: {e}", Path::new(&name).display())))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::InUse(path.display().to_string())),
        Err(TryLockError::Error(e)) => Err(StoreError::Unavailable(format!("failed to lock {}: {e}", path.display()))),
    }
}

fn connect(path: &Path, cache_kib: i64, read_only: bool) -> Result<Connection, StoreError> {
    let flags = if read_only {
        OpenFlags::SQLITE_OPEN_READ_ONLY
    } else {
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE
    };
    let conn = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)
        .map_err(|e| StoreError::Unavailable(format!("failed to open {}: {e}", path.display())))?;
    conn.busy_timeout(Duration::from_secs(5)).map_err(failed)?;
    conn.set_prepared_statement_cache_capacity(128);
    for (name, value) in [("cache_size", -cache_kib), ("mmap_size", 0), ("foreign_keys", 0), ("temp_store", 2)] {
        conn.pragma_update(None, name, value).map_err(failed)?;
    }
    if !read_only {
        conn.pragma_update(None, "synchronous", "FULL").map_err(failed)?;
        conn.pragma_update(None, "wal_autocheckpoint", 0).map_err(failed)?;
    }
    Ok(conn)
}

/// Refuses to go on with another key than the one that sealed what is stored.
fn check_key(conn: &Connection, sealer: &Sealer) -> Result<(), StoreError> {
    use rusqlite::OptionalExtension as _;
    const CHECK: &[u8] = b"schoolbell";
    let kept: Option<Vec<u8>> = conn
        .query_row("SELECT value FROM meta WHERE name = 'key_check'", [], |r| r.get(0))
        .optional()
        .map_err(failed)?;
    match kept {
        Some(sealed) => match sealer.open(&sealed, b"key_check") {
            Ok(plain) if plain == CHECK => Ok(()),
            _ => Err(StoreError::WrongKey),
        },
        None => {
            let sealed = sealer.seal(CHECK, b"key_check");
            conn.execute("INSERT INTO meta (name, value) VALUES ('key_check', ?1)", [sealed]).map_err(failed)?;
            Ok(())
        }
    }
}

fn next_boot(conn: &Connection) -> Result<i64, StoreError> {
    conn.query_row(
        "INSERT INTO meta (name, value) VALUES ('boot', 1)
         ON CONFLICT (name) DO UPDATE SET value = value + 1 RETURNING value",
        [],
        |r| r.get(0),
    )
    .map_err(failed)
}

/// Sorts an error of SQLite by what the caller can do.
fn failed(e: rusqlite::Error) -> StoreError {
    use rusqlite::ErrorCode as C;
    match e.sqlite_error_code() {
        Some(C::DiskFull) => StoreError::Full,
        Some(C::DatabaseBusy | C::DatabaseLocked) => StoreError::Busy,
        _ => StoreError::Unavailable(e.to_string()),
    }
}

/// As [`failed`], where a broken uniqueness means that a uid is taken.
fn failed_or_taken(e: rusqlite::Error) -> StoreError {
    match &e {
        rusqlite::Error::SqliteFailure(f, _) if f.extended_code == rusqlite::ffi::SQLITE_CONSTRAINT_UNIQUE => {
            StoreError::UidTaken
        }
        _ => failed(e),
    }
}
