//! The two secrets of the server, `JWT_SECRET` and `MAIN_KEY`: as set, or kept in files beside the embedded database, or
//! where the server runs.
//!
//! A file is made whole or not at all, with mode 0600, and synced before anybody relies on it. Files that others could
//! read are refused. Must not log or print what it holds.

use crate::settings::{Database, Hidden, Settings};
use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};
use store::MainKey;

/// Bytes of a new `JWT_SECRET`, before it is written in base64.
const JWT_SECRET_BYTES: usize = 48;

/// Why a secret cannot be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SecretsError {
    /// Somebody else may read the file.
    #[error(
        "{} can be read by others (its mode is {mode:03o}): run `chmod 600 {}`, and change the secret if somebody may \
         have seen it",
        path.display(),
        path.display()
    )]
    Open {
        /// Which file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// The database is there, but not the key of what is in it.
    #[error(
        "{} is there, but the key that its secrets are encrypted with is not in {}: put that file back from your \
         backup, or set MAIN_KEY",
        database.display(),
        path.display()
    )]
    Missing {
        /// The database.
        database: PathBuf,
        /// Where the key should be.
        path: PathBuf,
    },
    /// The file holds something else.
    #[error("{} does not hold a secret: {problem}", path.display())]
    Content {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// The file cannot be read or written.
    #[error("{} cannot be {done}: {error}", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// What was tried.
        done: &'static str,
        /// Why not.
        error: io::Error,
    },
}

/// Whether what signs tokens was set, and to less than HS256 asks for. It works, since other programs may have it already.
pub(crate) fn jwt_secret_is_short(settings: &Settings) -> bool {
    settings.jwt_secret.as_ref().is_some_and(|secret| secret.expose().len() < 32)
}

/// What to do about a `JWT_SECRET` that is short.
pub(crate) const JWT_SECRET_IS_SHORT: &str =
    "JWT_SECRET has less than 32 characters: whoever has one token can guess it and make others; set a longer one";

/// What signs tokens: as set, else from its file beside the database, which is made if it is not there.
pub(crate) fn jwt_secret(settings: &Settings) -> Result<Hidden, SecretsError> {
    if let Some(secret) = &settings.jwt_secret {
        return Ok(secret.clone());
    }
    let path = beside(place(settings), ".jwt-secret");
    let text = match read(&path)? {
        Some(text) => text,
        None => make(&path, &random_text())?,
    };
    Ok(Hidden::new(text))
}

/// What encrypts secrets at rest: as set, else from its file beside the database, which is made together with the
/// database, but not for one that is already there.
pub(crate) fn main_key(settings: &Settings) -> Result<MainKey, SecretsError> {
    if let Some(key) = &settings.main_key {
        return Ok(key.clone());
    }
    let database = place(settings);
    let path = beside(database, ".main-key");
    let embedded = matches!(settings.database, Database::Sqlite(_));
    let text = match read(&path)? {
        Some(text) => text,
        None if embedded && fs::metadata(database).is_ok_and(|m| m.len() > 0) => {
            return Err(SecretsError::Missing { database: database.to_owned(), path });
        }
        None => make(&path, &MainKey::generate().expose())?,
    };
    text.parse().map_err(|problem| SecretsError::Content { path, problem })
}

/// Makes the database's file, if it is not there, so that only its owner can read what it will hold.
pub(crate) fn make_private(database: &Path) -> Result<(), SecretsError> {
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(database) {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => {
            Err(SecretsError::Io { path: database.to_owned(), done: "made", error: e })
        }
        _ => Ok(()),
    }
}

/// Where the files are kept: beside the embedded database, and with PostgreSQL in the folder that the server runs in. A
/// node elsewhere needs the same files or settings, and is refused with another `MAIN_KEY`.
fn place(settings: &Settings) -> &Path {
    match &settings.database {
        Database::Sqlite(database) => database,
        Database::Postgres(_) => Path::new("schoolbell"),
    }
}

/// Where a secret that is not set is kept.
pub(crate) fn kept_in(settings: &Settings, ending: &str) -> PathBuf {
    beside(place(settings), ending)
}

fn beside(database: &Path, ending: &str) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}

fn random_text() -> String {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    let mut bytes = [0; JWT_SECRET_BYTES];
    store::seal::fill_random(&mut bytes);
    URL_SAFE_NO_PAD.encode(bytes)
}

/// What the file holds, or nothing if there is no such file.
fn read(path: &Path) -> Result<Option<String>, SecretsError> {
    let failed = |error| SecretsError::Io { path: path.to_owned(), done: "read", error };
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(failed(e)),
    };
    let mode = file.metadata().map_err(failed)?.mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(SecretsError::Open { path: path.to_owned(), mode });
    }
    let mut text = String::new();
    file.read_to_string(&mut text).map_err(failed)?;
    match text.trim() {
        "" => Err(SecretsError::Content { path: path.to_owned(), problem: "the file is empty".into() }),
        secret => Ok(Some(secret.to_owned())),
    }
}

/// Keeps a new secret and answers what is kept: if somebody else was quicker, theirs.
fn make(path: &Path, secret: &str) -> Result<String, SecretsError> {
    let failed = |error| SecretsError::Io { path: path.to_owned(), done: "written", error };
    // Written under another name and then linked: a crash leaves no half secret, and a link never replaces a file.
    let draft = beside(path, &format!(".{}.new", std::process::id()));
    let _ = fs::remove_file(&draft);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft).map_err(failed)?;
    let written = writeln!(file, "{secret}").and_then(|()| file.sync_all());
    let linked = written.and_then(|()| fs::hard_link(&draft, path));
    let _ = fs::remove_file(&draft);
    match linked {
        Ok(()) => {}
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
        Err(e) => return Err(failed(e)),
    }
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)?;
    read(path)?.ok_or_else(|| failed(io::ErrorKind::NotFound.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn settings(folder: &Path) -> Settings {
        let mut settings = Settings::defaults();
        settings.database = Database::Sqlite(folder.join("x.db"));
        settings
    }

    #[test]
    fn secrets_are_made_once_and_only_for_their_owner() {
        let dir = tempfile::tempdir().unwrap();
        let settings = settings(dir.path());
        let (jwt, key) = (jwt_secret(&settings).unwrap(), main_key(&settings).unwrap());
        assert!(jwt.expose().len() >= 64);
        assert_eq!(jwt_secret(&settings).unwrap(), jwt);
        assert_eq!(main_key(&settings).unwrap(), key);
        let mut names: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|f| f.unwrap()).collect();
        names.sort_by_key(|f| f.file_name());
        assert_eq!(names.iter().map(|f| f.file_name()).collect::<Vec<_>>(), ["x.db.jwt-secret", "x.db.main-key"]);
        for file in names {
            assert_eq!(file.metadata().unwrap().mode() & 0o777, 0o600);
        }
    }

    #[test]
    fn a_file_that_others_can_read_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let settings = settings(dir.path());
        jwt_secret(&settings).unwrap();
        let path = dir.path().join("x.db.jwt-secret");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let error = jwt_secret(&settings).unwrap_err().to_string();
        assert!(error.contains("can be read by others (its mode is 640): run `chmod 600 "), "{error}");
    }

    #[test]
    fn a_database_without_its_key_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let settings = settings(dir.path());
        fs::write(dir.path().join("x.db"), "SQLite").unwrap();
        let error = main_key(&settings).unwrap_err().to_string();
        assert!(error.contains("x.db.main-key: put that file back from your backup, or set MAIN_KEY"), "{error}");
        assert!(!dir.path().join("x.db.main-key").exists());
    }

    #[test]
    fn an_empty_or_wrong_file_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let settings = settings(dir.path());
        let path = dir.path().join("x.db.main-key");
        main_key(&settings).unwrap();
        for content in ["", "\n", "short"] {
            fs::write(&path, content).unwrap();
            assert!(matches!(main_key(&settings), Err(SecretsError::Content { .. })), "{content:?}");
        }
    }

    #[test]
    fn what_is_set_counts_and_no_file_is_made() {
        let dir = tempfile::tempdir().unwrap();
        let mut settings = settings(dir.path());
        settings.jwt_secret = Some(Hidden::new("mine".into()));
        settings.main_key = Some(MainKey::generate());
        assert_eq!(jwt_secret(&settings).unwrap().expose(), "mine");
        main_key(&settings).unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
