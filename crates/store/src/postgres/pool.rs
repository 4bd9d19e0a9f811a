//! A few sessions for everything that is not accepting or recording, and transactions on them.

use super::connect::{Address, Conn, Params};
use crate::error::StoreError;
use std::{
    ops::Deref,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};
use tokio_postgres::Row;

/// Sessions at the same time; more callers wait for one.
const SESSIONS: usize = 6;
/// How long a caller waits for a session, and a statement for its answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a session keeps its plans.
const PLANS_KEPT: Duration = Duration::from_secs(10);

/// The sessions.
#[derive(Clone)]
pub(super) struct Pool(Arc<Inner>);

struct Inner {
    address: Address,
    idle: Mutex<Vec<Conn>>,
    seats: Arc<Semaphore>,
}

impl Pool {
    pub(super) fn new(address: Address) -> Self {
        Self(Arc::new(Inner { address, idle: Mutex::default(), seats: Arc::new(Semaphore::new(SESSIONS)) }))
    }

    /// A session of its own until it is dropped.
    pub(super) async fn lend(&self) -> Result<Lent, StoreError> {
        let seat = timeout(PATIENCE, self.0.seats.clone().acquire_owned());
        let seat = seat.await.map_err(|_| StoreError::Busy)?.map_err(|_| super::stopping())?;
        // Those that were cut while they idled are thrown away here.
        let idle = {
            let mut idle = self.0.idle.lock().unwrap_or_else(PoisonError::into_inner);
            idle.retain(|c| !c.is_closed());
            idle.pop()
        };
        let conn = match idle {
            Some(conn) if in_time(&conn, conn.replan(PLANS_KEPT)).await.is_ok() => conn,
            // There is none, or it was cut.
            _ => self.0.address.connect().await?,
        };
        Ok(Lent { conn: Some(conn), pool: self.0.clone(), _seat: seat })
    }

    /// A transaction; undone unless it is committed.
    pub(super) async fn begin(&self) -> Result<Tx, StoreError> {
        let conn = self.lend().await?;
        let tx = Tx { conn: Some(conn) };
        tx.batch("BEGIN").await?;
        Ok(tx)
    }

    /// All rows of a query that changes nothing; asked again where the session turns out to be cut.
    pub(super) async fn read(&self, sql: &'static str, params: Params<'_>) -> Result<Vec<Row>, StoreError> {
        let conn = self.lend().await?;
        match in_time(&conn, conn.all(sql, params)).await {
            Err(StoreError::Unavailable(_)) if conn.is_closed() => {
                drop(conn);
                let conn = self.lend().await?;
                in_time(&conn, conn.all(sql, params)).await
            }
            result => result,
        }
    }

    /// The first row of a query that changes nothing.
    pub(super) async fn read_first(&self, sql: &'static str, params: Params<'_>) -> Result<Option<Row>, StoreError> {
        Ok(self.read(sql, params).await?.into_iter().next())
    }

    /// One statement that is a transaction by itself; says how many rows it changed.
    pub(super) async fn execute(&self, sql: &'static str, params: Params<'_>) -> Result<u64, StoreError> {
        let conn = self.lend().await?;
        in_time(&conn, conn.execute(sql, params)).await
    }
}

/// A server that is paused, or a network that swallows everything, must not hold anybody for ever.
async fn in_time<T>(conn: &Conn, answer: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    timeout(PATIENCE, answer).await.unwrap_or_else(|_| {
        conn.spoil();
        Err(super::silent())
    })
}

/// A session that goes back to the pool.
pub(super) struct Lent {
    conn: Option<Conn>,
    pool: Arc<Inner>,
    _seat: OwnedSemaphorePermit,
}

impl Deref for Lent {
    type Target = Conn;
    fn deref(&self) -> &Conn {
        self.conn.as_ref().unwrap_or_else(|| unreachable!("it is taken out in drop only"))
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(conn) = self.conn.take().filter(|c| !c.is_closed()) {
            self.pool.idle.lock().unwrap_or_else(PoisonError::into_inner).push(conn);
        }
    }
}

/// A transaction.
pub(super) struct Tx {
    conn: Option<Lent>,
}

impl Deref for Tx {
    type Target = Conn;
    fn deref(&self) -> &Conn {
        self.conn.as_deref().unwrap_or_else(|| unreachable!("it is taken out in commit and drop only"))
    }
}

impl Tx {
    /// Makes it last.
    pub(super) async fn commit(mut self) -> Result<(), StoreError> {
        let committed = in_time(self.deref(), self.batch("COMMIT")).await;
        if committed.is_ok() {
            // Over: nothing is left to undo.
            drop(self.conn.take());
        }
        committed
    }
}

impl Drop for Tx {
    /// Undoes what was not committed, in the background; a session in doubt is thrown away.
    fn drop(&mut self) {
        let Some(conn) = self.conn.take() else { return };
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) if !conn.is_closed() => {
                runtime.spawn(async move {
                    let undone = in_time(&conn, conn.batch("ROLLBACK")).await;
                    if undone.is_err() {
                        conn.spoil();
                    }
                });
            }
            _ => conn.spoil(),
        }
    }
}
