//! Both engines against the behaviour suite, and what the embedded one does in its own way.

mod postgres;

use async_trait::async_trait;
use domain::{
    AppKey, Application, ApplicationId, BodySecret, Endpoint, EndpointId, EndpointKey, Header, Ksuid, Secret, Secrets,
    Timestamp, lti::SharedSecret, queue::QueueKey,
};
use std::{path::PathBuf, sync::Arc};
use store::{Commit, Config as _, MainKey, Purge, Queue as _, Store, StoreError, conformance::Fixture, sqlite::Sqlite};
use tempfile::TempDir;
use tokio::sync::mpsc::UnboundedReceiver;

/// A database file in a folder of its own.
struct OnDisk {
    folder: TempDir,
    key: MainKey,
}

impl OnDisk {
    fn fresh() -> Self {
        Self { folder: tempfile::tempdir().expect("a folder for scratch files"), key: MainKey::generate() }
    }
    fn path(&self) -> PathBuf {
        self.folder.path().join("store.db")
    }
}

#[async_trait]
impl Fixture for OnDisk {
    async fn open(&self) -> (Arc<dyn Store>, UnboundedReceiver<Commit>) {
        let (store, commits) = Sqlite::open(&self.path(), &self.key).expect("the store opens");
        (Arc::new(store), commits)
    }
}

const MADE: Timestamp = Timestamp::from_micros(1_700_000_000_000_000);

fn application(id: u8) -> Application {
    Application {
        key: AppKey(0),
        id: ApplicationId(Ksuid([id; 20])),
        organization: "org_a".parse().expect("an organization's id"),
        uid: None,
        name: "Room 7".into(),
        throttle_rate: None,
        metadata: Default::default(),
        options: Default::default(),
        created_at: MADE,
        updated_at: MADE,
        revision: 0,
    }
}

fn endpoint(app: AppKey, id: u8) -> Endpoint {
    Endpoint {
        key: EndpointKey(0),
        app,
        id: EndpointId(Ksuid([id; 20])),
        uid: None,
        url: "https://hooks.example.edu/in".into(),
        description: String::new(),
        disabled: None,
        event_types: None,
        channels: None,
        throttle_rate: None,
        version: 1,
        metadata: Default::default(),
        headers: Vec::new(),
        secrets: Secrets::new(Secret::Hmac(vec![7; 24])),
        options: Default::default(),
        failing_since: None,
        created_at: MADE,
        updated_at: MADE,
        revision: 0,
    }
}

mod sqlite {
    use super::*;
    store::conformance_tests!(OnDisk::fresh());
}

#[tokio::test]
async fn a_second_store_on_the_same_file_is_refused_until_the_first_is_closed() {
    let disk = OnDisk::fresh();
    let first = Sqlite::open(&disk.path(), &disk.key).expect("the store opens");
    assert!(matches!(Sqlite::open(&disk.path(), &disk.key), Err(StoreError::InUse(_))));
    drop(first);
    assert!(Sqlite::open(&disk.path(), &disk.key).is_ok());
}

#[tokio::test]
async fn another_key_is_refused() {
    let disk = OnDisk::fresh();
    drop(Sqlite::open(&disk.path(), &disk.key).expect("the store opens"));
    assert!(matches!(Sqlite::open(&disk.path(), &MainKey::generate()), Err(StoreError::WrongKey)));
    assert!(Sqlite::open(&disk.path(), &disk.key).is_ok());
}

#[tokio::test]
async fn nothing_that_lets_somebody_in_is_readable_in_the_files() {
    let disk = OnDisk::fresh();
    let (store, _commits) = Sqlite::open(&disk.path(), &disk.key).expect("the store opens");
    let new = Application { name: "can be read".into(), ..application(1) };
    let app = store.create_application(new).await.expect("it is stored");
    let (current, retired) = (Secret::Hmac(b"first key of the endpoint".into()), Secret::Ed25519([0x2a; 64]));
    let words = [&current, &retired].map(|s| s.expose());
    let endpoint = Endpoint {
        url: "https://hidden-user:hidden-password@hooks.example.edu/".into(),
        headers: vec![Header { name: "Authorization".into(), value: "hidden-token".into() }],
        secrets: Secrets {
            current,
            retired: vec![(retired, MADE)],
            body: Some(BodySecret::new("hidden-body".into())),
            queue: Some(QueueKey { id: "AKIA-hidden".into(), secret: SharedSecret::new("hidden-queue".into()) }),
        },
        ..endpoint(app.key, 2)
    };
    store.create_endpoint(endpoint).await.expect("it is stored");
    let read_all = || {
        let entries = std::fs::read_dir(disk.folder.path()).expect("the folder is there");
        entries.flat_map(|e| std::fs::read(e.expect("an entry").path()).expect("a file")).collect::<Vec<u8>>()
    };
    // With the log, and after it went into the database.
    let open = read_all();
    drop(store);
    for bytes in [open, read_all()] {
        let has = |word: &str| bytes.windows(word.len()).any(|w| w == word.as_bytes());
        assert!(has("can be read") && has("hooks.example.edu"));
        let secret = ["hidden-", "first key of the endpoint", &words[0], &words[1], &disk.key.expose()];
        assert_eq!(secret.into_iter().find(|word| has(word)), None);
    }
}

/// Rows of a table.
fn rows(disk: &OnDisk, table: &str) -> i64 {
    let conn = rusqlite::Connection::open(disk.path()).expect("the file opens");
    conn.query_row(&format!("SELECT count(*) FROM {table}"), [], |r| r.get(0)).expect("the table is there")
}

#[tokio::test]
async fn nothing_is_left_of_what_was_removed_long_ago() {
    let disk = OnDisk::fresh();
    let (store, _commits) = Sqlite::open(&disk.path(), &disk.key).expect("the store opens");
    let removed = store.create_application(application(1)).await.expect("stored");
    store.create_endpoint(endpoint(removed.key, 2)).await.expect("stored");
    let kept = store.create_application(application(3)).await.expect("stored");
    let gone = store.create_endpoint(endpoint(kept.key, 4)).await.expect("stored");
    store.create_endpoint(endpoint(kept.key, 5)).await.expect("stored");
    let now = Timestamp::parse("2026-01-02T03:04:05Z").expect("a time");
    store.delete_application(removed.key, now).await.expect("removed");
    store.delete_endpoint(kept.key, gone.key, now).await.expect("removed");
    let purge = |rows_before| Purge { now, payload_hour: 0, rows_before, answers_before: now, limit: 1, lazily: false };
    for _ in 0..4 {
        store.purge(purge(now)).await.expect("a step");
    }
    assert_eq!((rows(&disk, "app"), rows(&disk, "endpoint")), (2, 3));
    let later = now.plus(std::time::Duration::from_secs(1));
    for _ in 0..4 {
        store.purge(purge(later)).await.expect("a step");
    }
    assert_eq!((rows(&disk, "app"), rows(&disk, "endpoint")), (1, 1));
}
