//! The embedded engine against the behaviour suite.

use async_trait::async_trait;
use std::sync::Arc;
use store::{Commit, MainKey, Store, conformance::Fixture, sqlite::Sqlite};
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
}

#[async_trait]
impl Fixture for OnDisk {
    async fn open(&self) -> (Arc<dyn Store>, UnboundedReceiver<Commit>) {
        let (store, commits) = Sqlite::open(&self.folder.path().join("store.db"), &self.key).expect("the store opens");
        (Arc::new(store), commits)
    }
}

mod sqlite {
    use super::*;
    store::conformance!(OnDisk::fresh());
}
