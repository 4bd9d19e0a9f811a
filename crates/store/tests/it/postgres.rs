//! The engine of many nodes against the behaviour suite, and what it does in its own way.
//!
//! Needs a server that may make and drop databases: `SCHOOLBELL_TEST_POSTGRES=postgres://…`, which `scripts/test` sets to
//! a cluster of its own. Without it these tests pass without having tested anything, and say so.

use async_trait::async_trait;
use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};
use store::{Commit, MainKey, Queue as _, Store, StoreError, conformance::Fixture, postgres::Postgres};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio_postgres::NoTls;

const VARIABLE: &str = "SCHOOLBELL_TEST_POSTGRES";

/// Whether there is a server to test against.
fn there() -> bool {
    let there = std::env::var_os(VARIABLE).is_some();
    if !there {
        eprintln!("{VARIABLE} is not set: nothing was tested");
    }
    there
}

/// A database of its own.
struct OnServer {
    server: String,
    name: String,
    key: MainKey,
}

impl OnServer {
    fn fresh() -> Self {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let name = format!("test_{}_{}", std::process::id(), MADE.fetch_add(1, Ordering::Relaxed));
        Self { server: std::env::var(VARIABLE).expect("it was looked for before"), name, key: MainKey::generate() }
    }
    /// The address of a database on the server.
    fn url(&self, database: &str) -> String {
        let mut url: url::Url = self.server.parse().expect("an address");
        url.set_path(database);
        url.into()
    }
    /// Runs a statement in the server's own database.
    async fn run(&self, database: &str, sql: &str) -> Result<(), tokio_postgres::Error> {
        let (client, connection) = tokio_postgres::connect(&self.url(database), NoTls).await?;
        let driver = tokio::spawn(connection);
        let done = client.batch_execute(sql).await;
        driver.abort();
        done
    }
    async fn node(&self, name: &str) -> Result<(Postgres, UnboundedReceiver<Commit>), StoreError> {
        // An error means that it is there already.
        let _ = self.run("postgres", &format!("CREATE DATABASE {}", self.name)).await;
        Postgres::open(&self.url(&self.name), name, &self.key).await
    }
}

impl Drop for OnServer {
    fn drop(&mut self) {
        let (url, sql) = (self.url("postgres"), format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name));
        let dropped = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let (client, connection) = tokio_postgres::connect(&url, NoTls).await.expect("the server answers");
                let driver = tokio::spawn(connection);
                client.batch_execute(&sql).await.expect("the database goes");
                driver.abort();
            });
        });
        let _ = dropped.join();
    }
}

#[async_trait]
impl Fixture for OnServer {
    async fn open(&self) -> (Arc<dyn Store>, UnboundedReceiver<Commit>) {
        let (store, commits) = self.node("one").await.expect("the store opens");
        (Arc::new(store), commits)
    }
}

store::conformance_tests!(OnServer::fresh(), if there());

/// Waits until it is so, but not for ever.
async fn becomes(what: impl Fn() -> bool) -> bool {
    for _ in 0..500 {
        if what() {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    false
}

#[tokio::test]
async fn nodes_know_how_many_they_are_also_when_the_databases_clock_stepped_back() {
    if !there() {
        return;
    }
    let server = OnServer::fresh();
    let (one, _commits) = server.node("one").await.expect("the store opens");
    assert_eq!(one.nodes(), 1);
    let (other, _other_commits) = server.node("other").await.expect("the store opens");
    assert_eq!(other.nodes(), 2, "a newcomer knows at once");
    assert!(becomes(|| one.nodes() == 2).await);
    // As a crash does: it says nothing, and was last seen at an hour that is still to come.
    drop(other);
    let later = "UPDATE node SET seen_at = now() + interval '10 minutes' WHERE name = 'other'";
    server.run(&server.name, later).await.expect("its row is there");
    assert!(becomes(|| one.nodes() == 1).await, "nobody waits until the clock is there again");
}
