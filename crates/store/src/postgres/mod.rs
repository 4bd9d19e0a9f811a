//! The engine for more than one machine: PostgreSQL, and any number of equal nodes.
//!
//! Two lines write (`writer.rs`): one accepts, one records, many jobs in each commit. Everything else shares a few
//! sessions (`pool.rs`). Nodes know each other by their rows (`node.rs`). Tables and columns are those of the embedded
//! engine, with the application at the beginning of every key.

mod accept;
mod answers;
mod applications;
mod attempts;
mod audit;
mod claim;
mod connect;
mod desk;
mod endpoints;
mod event_types;
mod examine;
mod given_up;
mod hourly;
mod key_sets;
mod locks;
mod lti;
mod messages;
mod node;
mod partitions;
mod people;
#[cfg(test)]
mod plans;
mod pool;
mod purge;
mod queue;
mod record;
mod resets;
mod rows;
mod target;
mod tasks;
mod tls;
mod webfilters;
mod writer;

use crate::{
    error::StoreError,
    queue::{Changed, Commit},
    seal::{MainKey, Sealer},
};
use connect::{Address, refuse_transaction_pooler};
use node::Node;
use partitions::Partitions;
use pool::{Pool, Tx};
use std::{sync::Arc, time::Duration};
use tokio::{sync::mpsc, task::AbortHandle, time::sleep};
use tokio_postgres::error::{DbError, SqlState};
use writer::{Parts, Writer};

pub use examine::{Examination, examine};
pub(crate) use target::Target;

/// The oldest server that has all that is used.
const OLDEST_SERVER: i32 = 140_000;
/// How long a node waits while another one brings the tables up to date.
const MIGRATED_WITHIN: Duration = Duration::from_secs(300);

mod embedded {
    refinery::embed_migrations!("migrations/postgres");
}

/// The store of many nodes.
pub struct Postgres {
    pool: Pool,
    writer: Writer,
    node: Arc<Node>,
    partitions: Partitions,
    sealer: Arc<Sealer>,
    commits: mpsc::UnboundedSender<Commit>,
    stride: hourly::Stride,
    life: AbortHandle,
}

impl Postgres {
    /// Connects to the database at `url` (`postgres://…`), brings its tables up to date, and takes a place among the
    /// nodes under `name`: a node of that name that ran before is over. What commits bring about comes out of the receiver.
    pub async fn open(
        url: &str,
        name: &str,
        key: &MainKey,
    ) -> Result<(Self, mpsc::UnboundedReceiver<Commit>), StoreError> {
        let address = Address::read(url)?;
        refuse_transaction_pooler(&address).await?;
        migrate(&address).await?;
        let pool = Pool::new(address.clone());
        let sealer = Arc::new(Sealer::new(key));
        check_key(&pool, &sealer).await?;
        target::refuse_half_moved(&pool).await?;
        let node = Arc::new(Node::register(&pool, name).await?);
        let partitions = Partitions::new(pool.clone());
        let (commits, receiver) = mpsc::unbounded_channel();
        let parts = Parts {
            address: address.clone(),
            node: node.clone(),
            partitions: partitions.clone(),
            commits: commits.clone(),
        };
        let writer = Writer::start(parts);
        let life = tokio::spawn(node.clone().live(address, pool.clone(), commits.clone())).abort_handle();
        let stride = Default::default();
        Ok((Self { pool, writer, node, partitions, sealer, commits, stride, life }, receiver))
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.life.abort();
    }
}

/// Brings the tables up to date; nodes that start at the same time take turns.
async fn migrate(address: &Address) -> Result<(), StoreError> {
    let mut conn = address.connect().await?;
    let version = conn.one("SELECT current_setting('server_version_num')::integer", &[]).await?;
    if rows::col::<i32>(&version, 0)? < OLDEST_SERVER {
        return Err(StoreError::Unavailable("PostgreSQL is too old: version 14 or newer is needed".into()));
    }
    // Asked again and again: waiting for the lock would itself hold up what builds indexes beside others.
    let begun = tokio::time::Instant::now();
    while !rows::col::<bool>(&conn.one("SELECT pg_try_advisory_lock($1)", &[&locks::MIGRATION]).await?, 0)? {
        if begun.elapsed() > MIGRATED_WITHIN {
            return Err(StoreError::Unavailable("another node has been changing the tables for five minutes".into()));
        }
        sleep(Duration::from_millis(50)).await;
    }
    conn.batch("SET statement_timeout = 0").await?;
    let done = embedded::migrations::runner().run_async(conn.client()).await;
    // The lock goes with the connection.
    done.map(|_| ()).map_err(|e| {
        let why = std::error::Error::source(&e).map(|s| format!(": {s}")).unwrap_or_default();
        StoreError::Unavailable(format!("failed to bring the tables up to date: {e}{why}"))
    })
}

/// Refuses to go on with another key than the one that sealed what is stored.
async fn check_key(pool: &Pool, sealer: &Sealer) -> Result<(), StoreError> {
    const CHECK: &[u8] = b"schoolbell";
    let sealed = sealer.seal(CHECK, b"key_check");
    let keep = "INSERT INTO meta (name, value) VALUES ('key_check', $1) ON CONFLICT DO NOTHING";
    pool.execute(keep, &[&sealed]).await?;
    let kept = pool.read_first("SELECT value FROM meta WHERE name = 'key_check'", &[]).await?;
    let kept: Vec<u8> = kept.map(|row| rows::col(&row, 0)).transpose()?.unwrap_or_default();
    match sealer.open(&kept, b"key_check") {
        Ok(plain) if plain == CHECK => Ok(()),
        _ => Err(StoreError::WrongKey),
    }
}

impl Postgres {
    /// Ends a transaction that changed something that nodes keep in memory, and tells them.
    async fn commit_change(&self, tx: Tx, changed: Changed) -> Result<(), StoreError> {
        const CHANGED: &str = "WITH r AS (UPDATE revision SET n = n + 1 RETURNING n),
            c AS (INSERT INTO change (n, app) SELECT n, $1 FROM r)
            SELECT n, pg_notify('schoolbell', '')::text FROM r";
        // No application has the number 0.
        let what = match changed {
            Changed::Application(app) => Some(app.0),
            Changed::EventTypes => Some(0),
            Changed::Everything => None,
        };
        let n: i64 = rows::col(&tx.one(CHANGED, &[&what]).await?, 0)?;
        tx.commit().await?;
        self.node.changed_here(n);
        Ok(())
    }
}

fn stopping() -> StoreError {
    StoreError::Unavailable("the server is stopping".into())
}

fn silent() -> StoreError {
    StoreError::Unavailable("PostgreSQL did not answer in time".into())
}

/// Sorts an error by what the caller can do.
fn failed(e: tokio_postgres::Error) -> StoreError {
    let Some(db) = e.as_db_error() else {
        let why = std::error::Error::source(&e).map(|s| format!(": {s}")).unwrap_or_default();
        return StoreError::Unavailable(format!("{e}{why}"));
    };
    match db.code() {
        &SqlState::UNIQUE_VIOLATION if is_uid(db) => StoreError::UidTaken,
        &SqlState::DISK_FULL => StoreError::Full,
        &SqlState::T_R_DEADLOCK_DETECTED
        | &SqlState::T_R_SERIALIZATION_FAILURE
        | &SqlState::LOCK_NOT_AVAILABLE
        | &SqlState::QUERY_CANCELED => StoreError::Busy,
        &SqlState::TOO_MANY_CONNECTIONS => StoreError::Unavailable(
            "PostgreSQL takes no more connections: each node needs 10, so raise its max_connections".into(),
        ),
        &SqlState::READ_ONLY_SQL_TRANSACTION => {
            StoreError::Unavailable("PostgreSQL is read-only: is this the standby?".into())
        }
        _ => {
            let name = db.constraint().map(|c| format!(" ({c})")).unwrap_or_default();
            StoreError::Unavailable(format!("{}{name}", db.message()))
        }
    }
}

/// Whether the name of something is taken, for names that belong to one thing only.
fn is_uid(e: &DbError) -> bool {
    const NAMES: [&str; 8] = [
        "app_uid",
        "endpoint_uid",
        "webfilter_uid",
        "person_email",
        "person_subject",
        "lti_developer_key_pkey",
        "lti_tool_pkey",
        "lti_registration_pkey",
    ];
    e.constraint().is_some_and(|name| NAMES.contains(&name))
}
