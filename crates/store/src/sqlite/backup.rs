//! A consistent copy of the database file, while whoever uses it goes on.

use super::failed;
use crate::error::StoreError;
use rusqlite::{Connection, OpenFlags};
use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

/// Copies the database at `from` as it is at this moment to `to`, which must not exist. Answers the copy's bytes. The copy
/// is checked and synced before it gets its name; only its owner can read it.
pub fn backup(from: &Path, to: &Path) -> Result<u64, StoreError> {
    let trouble = |path: &Path, e: io::Error| StoreError::Unavailable(format!("{}: {e}", path.display()));
    if !from.exists() {
        return Err(trouble(from, io::ErrorKind::NotFound.into()));
    }
    if to.exists() {
        return Err(StoreError::Unavailable(format!("{} is there already; give a new name", to.display())));
    }
    let partial = partial_name(to);
    let source = Connection::open_with_flags(from, OpenFlags::SQLITE_OPEN_READ_ONLY).map_err(failed)?;
    source.busy_timeout(Duration::from_secs(30)).map_err(failed)?;
    // Made empty first, since SQLite would let others read it. What a copy that broke off left behind goes.
    let _ = fs::remove_file(&partial);
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&partial);
    made.map_err(|e| trouble(&partial, e))?;
    let copied = copy(&source, &partial);
    let done = copied.and_then(|()| {
        let file = File::open(&partial).map_err(|e| trouble(&partial, e))?;
        file.sync_all().map_err(|e| trouble(&partial, e))?;
        let bytes = file.metadata().map_err(|e| trouble(&partial, e))?.len();
        fs::rename(&partial, to).map_err(|e| trouble(to, e))?;
        let folder = to.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(folder).and_then(|f| f.sync_all()).map_err(|e| trouble(folder, e))?;
        Ok(bytes)
    });
    if done.is_err() {
        let _ = fs::remove_file(&partial);
    }
    done
}

/// Reads a database through, while others use it; says what is wrong with it.
pub fn check(path: &Path) -> Result<(), StoreError> {
    let conn = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).map_err(failed)?;
    let verdict: String = conn.query_row("PRAGMA quick_check", [], |r| r.get(0)).map_err(failed)?;
    match verdict.as_str() {
        "ok" => Ok(()),
        _ => Err(StoreError::Unavailable(format!("{} is damaged: {verdict}", path.display()))),
    }
}

fn partial_name(to: &Path) -> PathBuf {
    let mut name = to.as_os_str().to_owned();
    name.push(".partial");
    PathBuf::from(name)
}

/// One read transaction, so it is the state of one moment; then the copy is read through.
fn copy(source: &Connection, to: &Path) -> Result<(), StoreError> {
    let name = to.to_str().ok_or_else(|| StoreError::Unavailable("the name is not UTF-8".into()))?;
    source.execute("VACUUM INTO ?1", [name]).map_err(failed)?;
    check(to)
}
