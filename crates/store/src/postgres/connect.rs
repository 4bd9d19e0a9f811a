//! Connections: how one is made, what every session is told, and how statements run on it.

use super::{
    failed,
    tls::{Peer, Tls},
};
use crate::error::StoreError;
use futures_util::{StreamExt as _, stream};
use percent_encoding::percent_decode_str;
use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::{sync::Notify, task::AbortHandle, time::Instant};
use tokio_postgres::{AsyncMessage, Client, Config, Row, SimpleQueryMessage, Statement, types::ToSql};

/// How long a connection may take to come about.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the network may leave bytes unanswered before the connection counts as cut.
const SILENCE: Duration = Duration::from_secs(10);
/// What every session is told. Statistics of a queue are always of yesterday, when it was empty or full: plans are made
/// by index, as for large tables, and kept ([`Conn::replan`]). Accepted means on disk, whatever the server's own default is.
const SESSION: &str = "SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off; SET enable_hashjoin = off;
    SET enable_mergejoin = off; SET enable_bitmapscan = off; SET jit = off; SET client_min_messages = warning;
    SET idle_in_transaction_session_timeout = '60s'; SET statement_timeout = '30s';
    SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') IN ('off', 'local')";

/// The notification of a node that came, or that leaves its work to the others.
pub(super) const COMPANY: &str = "company";

/// Where the database is, and how to speak to it.
#[derive(Clone)]
pub(super) struct Address {
    config: Config,
    tls: Tls,
}

impl Address {
    /// Reads `postgres://…`.
    pub(super) fn read(url: &str) -> Result<Self, StoreError> {
        let wrong = |e: &dyn std::fmt::Display| StoreError::Unavailable(format!("DATABASE is not understood: {e}"));
        let (url, peer) = whom_to_trust(url);
        let mut config: Config = url.parse().map_err(|e| wrong(&e))?;
        if config.get_user().is_none() || config.get_hosts().is_empty() {
            return Err(wrong(
                &"it needs a host and a user, such as postgres://schoolbell:secret@db.example.edu/schoolbell",
            ));
        }
        if config.get_application_name().is_none() {
            config.application_name("schoolbell");
        }
        config.connect_timeout(CONNECT_TIMEOUT).tcp_user_timeout(SILENCE).keepalives_idle(SILENCE);
        let tls = Tls::new(&peer).map_err(|e| wrong(&e))?;
        Ok(Self { config, tls })
    }

    /// A new session.
    pub(super) async fn connect(&self) -> Result<Conn, StoreError> {
        let connecting = self.config.connect(self.tls.clone());
        let late = |_| StoreError::Unavailable("PostgreSQL did not answer within 5 seconds".into());
        let (client, mut connection) =
            tokio::time::timeout(CONNECT_TIMEOUT, connecting).await.map_err(late)?.map_err(failed)?;
        let (rung, company) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (bell, nodes) = (rung.clone(), company.clone());
        let driver = tokio::spawn(async move {
            let mut messages = stream::poll_fn(move |cx| connection.poll_message(cx));
            while let Some(Ok(message)) = messages.next().await {
                match message {
                    AsyncMessage::Notification(n) if n.payload() == COMPANY => nodes.notify_one(),
                    AsyncMessage::Notification(_) => bell.notify_one(),
                    AsyncMessage::Notice(notice) => tracing::debug!(%notice, "PostgreSQL says"),
                    _ => {}
                }
            }
            // Whoever waits for the bell learns that nothing rings it any more.
            bell.notify_one();
        });
        let conn = Conn {
            client,
            statements: Mutex::default(),
            driver: driver.abort_handle(),
            rung,
            company,
            spoilt: AtomicBool::new(false),
            planned: Mutex::new(Instant::now()),
        };
        conn.batch(SESSION).await?;
        Ok(conn)
    }
}

/// Takes out of an address what the driver does not know of `sslmode`, and `sslrootcert`.
fn whom_to_trust(url: &str) -> (String, Peer) {
    let Some((address, query)) = url.split_once('?') else { return (url.to_owned(), Peer::Anybody) };
    let (mut mode, mut roots, mut rest) = (None, None, Vec::new());
    for pair in query.split('&') {
        match pair.split_once('=') {
            Some(("sslmode", value)) => mode = Some(value),
            Some(("sslrootcert", path)) => roots = Some(percent_decoded(path)),
            _ => rest.push(pair.to_owned()),
        }
    }
    let roots = roots.filter(|path| path != "system").map(PathBuf::from);
    let peer = match (mode, roots) {
        (Some("verify-full"), Some(roots)) => Peer::Signed { roots, named: true },
        (Some("require" | "verify-ca"), Some(roots)) => Peer::Signed { roots, named: false },
        (Some("verify-full" | "verify-ca"), None) => Peer::Known,
        _ => Peer::Anybody,
    };
    match mode {
        Some("verify-full" | "verify-ca") => rest.push("sslmode=require".to_owned()),
        Some(mode) => rest.push(format!("sslmode={mode}")),
        None => {}
    }
    let url = if rest.is_empty() { address.to_owned() } else { format!("{address}?{}", rest.join("&")) };
    (url, peer)
}

/// `%2F` is `/`. What is no escape stays as it is.
fn percent_decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

/// One session with its prepared statements.
pub(super) struct Conn {
    client: Client,
    statements: Mutex<HashMap<&'static str, Statement>>,
    driver: AbortHandle,
    /// Rings when something changed, and when the connection ended.
    pub(super) rung: Arc<Notify>,
    /// Rings when a node came, or left its work to the others.
    pub(super) company: Arc<Notify>,
    /// Whether it must not be used again.
    spoilt: AtomicBool,
    /// When plans were thrown away last.
    planned: Mutex<Instant>,
}

impl Drop for Conn {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// Values for a statement.
pub(super) type Params<'a> = &'a [&'a (dyn ToSql + Sync)];

impl Conn {
    /// Whether it can no longer be used.
    pub(super) fn is_closed(&self) -> bool {
        self.client.is_closed() || self.spoilt.load(Ordering::Relaxed)
    }

    /// Never use it again: nobody knows what state it is in.
    pub(super) fn spoil(&self) {
        self.spoilt.store(true, Ordering::Relaxed);
        self.driver.abort();
    }

    /// Throws away plans that are kept longer than this. A plan is made for the size that a table has at the moment, and
    /// each week begins with tables of a few rows, for which reading all of them is best.
    pub(super) async fn replan(&self, after: Duration) -> Result<(), StoreError> {
        {
            let mut planned = self.planned.lock().unwrap_or_else(PoisonError::into_inner);
            if planned.elapsed() < after {
                return Ok(());
            }
            *planned = Instant::now();
        }
        self.batch("DISCARD PLANS").await
    }

    /// The driver's client, for what needs more than a statement.
    pub(super) fn client(&mut self) -> &mut Client {
        &mut self.client
    }

    async fn prepared(&self, sql: &'static str) -> Result<Statement, tokio_postgres::Error> {
        let kept = self.statements.lock().unwrap_or_else(PoisonError::into_inner).get(sql).cloned();
        match kept {
            Some(statement) => Ok(statement),
            None => {
                let statement = self.client.prepare(sql).await?;
                self.statements.lock().unwrap_or_else(PoisonError::into_inner).insert(sql, statement.clone());
                Ok(statement)
            }
        }
    }

    /// Statements without values or answers, such as `BEGIN`. Sent when first polled, as all of these.
    pub(super) async fn batch(&self, sql: &str) -> Result<(), StoreError> {
        self.client.batch_execute(sql).await.map_err(failed)
    }

    /// All rows of a statement.
    pub(super) async fn all(&self, sql: &'static str, params: Params<'_>) -> Result<Vec<Row>, StoreError> {
        let statement = self.prepared(sql).await.map_err(failed)?;
        self.client.query(&statement, params).await.map_err(failed)
    }

    /// The first row of a statement.
    pub(super) async fn first(&self, sql: &'static str, params: Params<'_>) -> Result<Option<Row>, StoreError> {
        let statement = self.prepared(sql).await.map_err(failed)?;
        self.client.query_opt(&statement, params).await.map_err(failed)
    }

    /// The row of a statement that always has one.
    pub(super) async fn one(&self, sql: &'static str, params: Params<'_>) -> Result<Row, StoreError> {
        let statement = self.prepared(sql).await.map_err(failed)?;
        self.client.query_one(&statement, params).await.map_err(failed)
    }

    /// How many rows a statement changed.
    pub(super) async fn execute(&self, sql: &'static str, params: Params<'_>) -> Result<u64, StoreError> {
        let statement = self.prepared(sql).await.map_err(failed)?;
        self.client.execute(&statement, params).await.map_err(failed)
    }

    /// A statement that is made for one time only.
    pub(super) async fn execute_once(&self, sql: &str, params: Params<'_>) -> Result<(), StoreError> {
        self.client.execute(sql, params).await.map(|_| ()).map_err(failed)
    }

    /// Rows one by one, for more of them than memory should hold.
    pub(super) async fn stream(&self, sql: &str) -> Result<tokio_postgres::RowStream, StoreError> {
        let nothing: [&(dyn ToSql + Sync); 0] = [];
        self.client.query_raw(sql, nothing).await.map_err(failed)
    }

    /// Prepares what a pipeline will use: a statement that has to be prepared first would fall out of line.
    pub(super) async fn prepare_all(&self, statements: &[&'static str]) -> Result<(), StoreError> {
        for sql in statements {
            self.prepared(sql).await.map_err(failed)?;
        }
        Ok(())
    }

    /// Several statements at once, and all that they answer, as text.
    #[cfg(test)]
    pub(super) async fn ask(&self, sql: &str) -> Result<Vec<SimpleQueryMessage>, StoreError> {
        self.client.simple_query(sql).await.map_err(failed)
    }

    /// The server's process behind it. Asked without a prepared statement, since a pooler may be in between.
    pub(super) async fn backend(&self) -> Result<i32, StoreError> {
        let answer = self.client.simple_query("SELECT pg_backend_pid()").await.map_err(failed)?;
        let pid = answer.iter().find_map(|m| match m {
            SimpleQueryMessage::Row(row) => row.get(0)?.parse().ok(),
            _ => None,
        });
        pid.ok_or_else(|| StoreError::Unavailable("PostgreSQL does not say which process serves us".into()))
    }
}

/// Refuses a pooler that hands each transaction to another session: prepared statements, locks and notifications belong
/// to a session.
pub(super) async fn refuse_transaction_pooler(address: &Address) -> Result<(), StoreError> {
    let (one, other) = (address.connect().await?, address.connect().await?);
    for _ in 0..3 {
        let first = one.backend().await?;
        // Given back by now, if there is a pooler in between: it hands out again what was used last.
        other.batch("BEGIN").await?;
        let second = other.backend().await?;
        let again = one.backend().await?;
        other.batch("COMMIT").await?;
        if first == second || first != again {
            return Err(StoreError::Unavailable(
                "the address is that of a pooler in transaction mode, which cannot work: give the address of PostgreSQL \
                 itself, or a pool in session mode"
                    .into(),
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_to_be_at_the_other_end_is_what_libpq_means() {
        let signed = |named| Peer::Signed { roots: "/etc/a b.pem".into(), named };
        for (query, rest, peer) in [
            ("", "", Peer::Anybody),
            ("?sslmode=disable", "?sslmode=disable", Peer::Anybody),
            ("?sslmode=require", "?sslmode=require", Peer::Anybody),
            ("?sslmode=verify-full", "?sslmode=require", Peer::Known),
            ("?sslmode=verify-ca&sslrootcert=system", "?sslmode=require", Peer::Known),
            ("?sslrootcert=%2Fetc/a%20b.pem&sslmode=verify-full", "?sslmode=require", signed(true)),
            ("?a=b&sslmode=verify-ca&sslrootcert=/etc/a%20b.pem", "?a=b&sslmode=require", signed(false)),
            ("?sslmode=require&sslrootcert=/etc/a b.pem", "?sslmode=require", signed(false)),
        ] {
            let found = whom_to_trust(&format!("postgres://me@db/x{query}"));
            assert_eq!(found, (format!("postgres://me@db/x{rest}"), peer), "{query}");
        }
        assert_eq!(percent_decoded("100%/%zz%4"), "100%/%zz%4");
    }

    #[tokio::test]
    async fn an_address_names_a_host_and_a_user() {
        for right in [
            "postgres://me@localhost/db",
            "postgresql://me:secret@[::1]:5433/db?sslmode=verify-full",
            "postgres://me@db/x?sslmode=disable",
        ] {
            assert!(Address::read(right).is_ok(), "{right}");
        }
        for wrong in [
            "postgres://",
            "postgres:///db",
            "postgres://me@h/db?sslmode=perhaps",
            "sqlite:x",
            "postgres://me@h/db?sslmode=verify-full&sslrootcert=/not/there",
        ] {
            assert!(Address::read(wrong).is_err(), "{wrong}");
        }
    }
}
