//! Retention: removing what is past its time in small steps, so that delivery never waits long for one.

use super::{Sqlite, failed, given_up, hourly, rows, writer::Tx};
use crate::{
    error::StoreError,
    queue::{Purge, Purged, hour_of},
    views::OrganizationOptions,
};
use domain::{Ksuid, Timestamp, application::ApplicationOptions};
use rusqlite::{Connection, params};
use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// Free pages given back to the file system in a step (4 KiB each).
const VACUUM_PAGES: usize = 500;

impl Sqlite {
    pub(super) async fn purge_step(&self, purge: Purge) -> Result<Purged, StoreError> {
        // Looked for on a reading connection, so that the writer is not held up by what may not go yet.
        let terms = self.own_terms.clone();
        let (old, counts_since) = self
            .read(move |conn| {
                let own = terms.get(conn)?;
                Ok((old_messages(conn, &own, &purge)?, counts_since(&own, &purge)))
            })
            .await?;
        self.write(move |tx| remove_old(tx, &old, counts_since, &purge)).await
    }
}

/// One step's removals.
fn remove_old(tx: &Tx<'_>, old: &[Old], counts_since: i64, purge: &Purge) -> Result<Purged, StoreError> {
    let payloads = expired_payloads(tx, purge)?;
    let mut messages = 0;
    for message in old {
        messages += remove(tx, message)?;
    }
    let answers = tx
        .conn
        .prepare_cached(
            "DELETE FROM idempotency WHERE n IN
                (SELECT n FROM idempotency ORDER BY n LIMIT ?2) AND at < ?1",
        )
        .and_then(|mut s| s.execute(params![purge.answers_before.as_micros(), purge.limit as i64]))
        .map_err(failed)?;
    ended(tx, purge)?;
    given_up::forget_old(tx.conn, purge.now, purge.limit)?;
    hourly::forget_old(tx.conn, counts_since, purge.limit)?;
    let limit = purge.limit;
    let more = payloads >= limit || old.len() >= limit || answers >= limit;
    tx.conn.execute_batch(&format!("PRAGMA incremental_vacuum({VACUUM_PAGES})")).map_err(failed)?;
    Ok(Purged { payloads: payloads as u64, messages: messages as u64, answers: answers as u64, more })
}

/// The hour from which on counts are kept: as long as any application keeps its rows.
fn counts_since(own: &[(i64, u16)], purge: &Purge) -> i64 {
    let longest = own.iter().map(|(_, days)| purge.now.minus(Duration::from_secs(u64::from(*days) * 86_400)));
    hour_of(longest.fold(purge.rows_before, Timestamp::min))
}

/// Applications that keep rows for another time than the rest, and for how many days.
type Terms = Arc<[(i64, u16)]>;

/// The terms, kept in memory: looking for them among all applications every minute would cost more with each.
#[derive(Default)]
pub(super) struct OwnTerms {
    known: Mutex<Option<Terms>>,
    /// Grows with each change; what was read before a change is not kept after it.
    changes: AtomicU64,
}

impl OwnTerms {
    fn lock(&self) -> MutexGuard<'_, Option<Terms>> {
        // Whole whatever panicked beside it.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What an application or organization decided has changed.
    pub(super) fn forget(&self) {
        self.changes.fetch_add(1, Ordering::AcqRel);
        *self.lock() = None;
    }

    fn get(&self, conn: &Connection) -> Result<Terms, StoreError> {
        if let Some(known) = &*self.lock() {
            return Ok(known.clone());
        }
        let seen = self.changes.load(Ordering::Acquire);
        let read: Terms = own_terms(conn)?.into();
        let mut known = self.lock();
        if self.changes.load(Ordering::Acquire) == seen {
            *known = Some(read.clone());
        }
        Ok(read)
    }
}

fn own_terms(conn: &Connection) -> Result<Vec<(i64, u16)>, StoreError> {
    let mut statement = conn
        .prepare_cached(
            "SELECT a.key, a.options, o.options FROM app a LEFT JOIN organization o ON o.org = a.org
             WHERE a.options LIKE '%attemptDays%' OR o.options LIKE '%attemptDays%'",
        )
        .map_err(failed)?;
    let mut found = statement.query([]).map_err(failed)?;
    let mut terms = Vec::new();
    while let Some(row) = found.next().map_err(failed)? {
        let key: i64 = row.get(0).map_err(failed)?;
        let app: ApplicationOptions =
            rows::from_json(&row.get::<_, String>(1).map_err(failed)?, "app", "options", key)?;
        let organization = match row.get::<_, Option<String>>(2).map_err(failed)? {
            Some(text) => rows::from_json::<OrganizationOptions>(&text, "organization", "options", key)?.retention,
            None => Default::default(),
        };
        if let Some(days) = app.retention.or(organization).attempt_days {
            terms.push((key, days));
        }
    }
    Ok(terms)
}

fn expired_payloads(tx: &Tx<'_>, purge: &Purge) -> Result<usize, StoreError> {
    tx.conn
        .prepare_cached(
            "UPDATE message SET payload = NULL, expires_hour = NULL WHERE key IN
                (SELECT key FROM message WHERE expires_hour IS NOT NULL AND expires_hour < ?1
                 ORDER BY expires_hour LIMIT ?2)",
        )
        .and_then(|mut s| s.execute(params![purge.payload_hour, purge.limit as i64]))
        .map_err(failed)
}

/// A message that is past its time.
struct Old {
    message: i64,
    app: i64,
}

/// Settled messages that are past the time of their application, up to the limit.
fn old_messages(conn: &Connection, own: &[(i64, u16)], purge: &Purge) -> Result<Vec<Old>, StoreError> {
    let since = |days: u16| Ksuid::lowest_at(purge.now.minus(Duration::from_secs(u64::from(days) * 86_400))).head();
    let rest = Ksuid::lowest_at(purge.rows_before).head();
    let mut old = Vec::new();
    if own.is_empty() {
        settled_before(conn, None, rest, purge.limit, &mut old)?;
        return Ok(old);
    }
    // With exceptions about, it goes application by application.
    let mut statement = conn.prepare_cached("SELECT key FROM app").map_err(failed)?;
    let apps: Vec<i64> = statement.query_map([], |r| r.get(0)).and_then(Iterator::collect).map_err(failed)?;
    for app in apps {
        let before = own.iter().find(|(key, _)| *key == app).map_or(rest, |(_, days)| since(*days));
        settled_before(conn, Some(app), before, purge.limit, &mut old)?;
    }
    Ok(old)
}

/// Adds messages made before a key of which no delivery is open, until there are `limit`.
fn settled_before(
    conn: &Connection,
    app: Option<i64>,
    before: i64,
    limit: usize,
    old: &mut Vec<Old>,
) -> Result<(), StoreError> {
    let sql = match app {
        Some(_) => "SELECT key, app FROM message WHERE app = ?1 AND key < ?2 ORDER BY key",
        None => "SELECT key, app FROM message WHERE ?1 IS NULL AND key < ?2 ORDER BY key",
    };
    let mut statement = conn.prepare_cached(sql).map_err(failed)?;
    let mut found = statement.query(params![app, before]).map_err(failed)?;
    while old.len() < limit
        && let Some(row) = found.next().map_err(failed)?
    {
        let candidate = Old { message: row.get(0).map_err(failed)?, app: row.get(1).map_err(failed)? };
        if !is_open(conn, &candidate)? {
            old.push(candidate);
        }
    }
    Ok(())
}

fn is_open(conn: &Connection, old: &Old) -> Result<bool, StoreError> {
    conn.prepare_cached(
        "SELECT 1 FROM endpoint e JOIN delivery d ON d.endpoint = e.key AND d.message = ?1
         WHERE e.app = ?2 AND d.state IN (0, 1, 5)",
    )
    .and_then(|mut s| s.exists(params![old.message, old.app]))
    .map_err(failed)
}

/// Removes a message with its deliveries and attempts, unless somebody asked for it again meanwhile.
fn remove(tx: &Tx<'_>, old: &Old) -> Result<usize, StoreError> {
    if is_open(tx.conn, old)? {
        return Ok(0);
    }
    for sql in [
        "DELETE FROM delivery WHERE message = ?1 AND endpoint IN (SELECT key FROM endpoint WHERE app = ?2)",
        "DELETE FROM attempt WHERE message = ?1 AND app = ?2",
        "DELETE FROM message_tag WHERE message = ?1 AND app = ?2",
        "DELETE FROM message WHERE key = ?1 AND app = ?2",
    ] {
        tx.conn.prepare_cached(sql).and_then(|mut s| s.execute(params![old.message, old.app])).map_err(failed)?;
    }
    Ok(1)
}

/// Removes ended tasks, and removed endpoints and applications once nothing of theirs is left. These are few: no step
/// needs to say that there are more.
fn ended(tx: &Tx<'_>, purge: &Purge) -> Result<(), StoreError> {
    for sql in [
        "DELETE FROM task WHERE id IN
            (SELECT id FROM task WHERE status <> 'running' AND updated_at < ?1 ORDER BY updated_at LIMIT ?2)",
        "DELETE FROM endpoint WHERE key IN
            (SELECT e.key FROM endpoint e WHERE e.deleted_at < ?1
                AND NOT EXISTS (SELECT 1 FROM delivery d WHERE d.endpoint = e.key)
                AND NOT EXISTS (SELECT 1 FROM attempt a WHERE a.endpoint = e.key)
             ORDER BY e.deleted_at LIMIT ?2)",
        // The endpoints of a removed application do not say themselves that they are.
        "UPDATE endpoint SET deleted_at = (SELECT a.deleted_at FROM app a WHERE a.key = endpoint.app) WHERE key IN
            (SELECT e.key FROM app a JOIN endpoint e ON e.app = a.key
             WHERE a.deleted_at < ?1 AND e.deleted_at IS NULL LIMIT ?2)",
        "DELETE FROM webfilter_run WHERE (app, id) IN
            (SELECT r.app, r.id FROM app a JOIN webfilter_run r ON r.app = a.key WHERE a.deleted_at < ?1 LIMIT ?2)",
        "DELETE FROM webfilter WHERE key IN
            (SELECT w.key FROM app a JOIN webfilter w ON w.app = a.key WHERE a.deleted_at < ?1 LIMIT ?2)",
        "DELETE FROM app WHERE key IN
            (SELECT a.key FROM app a WHERE a.deleted_at < ?1
                AND NOT EXISTS (SELECT 1 FROM endpoint e WHERE e.app = a.key)
                AND NOT EXISTS (SELECT 1 FROM webfilter w WHERE w.app = a.key)
                AND NOT EXISTS (SELECT 1 FROM webfilter_run r WHERE r.app = a.key)
                AND NOT EXISTS (SELECT 1 FROM message m WHERE m.app = a.key)
             ORDER BY a.deleted_at LIMIT ?2)",
    ] {
        tx.conn
            .prepare_cached(sql)
            .and_then(|mut s| s.execute(params![purge.rows_before.as_micros(), purge.limit as i64]))
            .map_err(failed)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Config as _, MainKey, Queue as _, queue::Commit, sqlite::connect};
    use domain::{AppKey, Application, ApplicationId};
    use std::{path::Path, sync::atomic::AtomicUsize};

    fn purge() -> Purge {
        let now = Timestamp::parse("2026-11-22T08:00:00Z").unwrap();
        let before = now.minus(Duration::from_secs(90 * 86_400));
        Purge {
            now,
            payload_hour: now.as_seconds() / 3600,
            rows_before: before,
            answers_before: before,
            limit: 500,
            lazily: true,
        }
    }

    /// Instructions of SQLite's machine that a step of retention takes, once it has been done before.
    async fn cost(store: &Sqlite, path: &Path) -> usize {
        store.purge(purge()).await.unwrap();
        let mut conn = connect(path, 1024, false).unwrap();
        let counter = Arc::new(AtomicUsize::new(0));
        let counts = counter.clone();
        let count = move || {
            counts.fetch_add(1, Ordering::Relaxed);
            false
        };
        conn.progress_handler(1, Some(count)).unwrap();
        let own = store.own_terms.get(&conn).unwrap();
        let old = old_messages(&conn, &own, &purge()).unwrap();
        let tx = Tx { conn: &conn, boot: 0, commit: &mut Commit::default() };
        remove_old(&tx, &old, counts_since(&own, &purge()), &purge()).unwrap();
        counter.load(Ordering::Relaxed)
    }

    fn application(n: u8) -> Application {
        let at = Timestamp::default();
        Application {
            key: AppKey(0),
            id: ApplicationId(Ksuid([n; 20])),
            organization: "org_x".parse().unwrap(),
            uid: None,
            name: "Room 7".into(),
            throttle_rate: None,
            metadata: Default::default(),
            options: Default::default(),
            created_at: at,
            updated_at: at,
            revision: 0,
        }
    }

    #[tokio::test]
    async fn idle_applications_cost_retention_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.db");
        let (store, _commits) = Sqlite::open(&path, &MainKey::generate()).unwrap();
        store.create_application(application(0)).await.unwrap();
        let few = cost(&store, &path).await;
        for n in 1..200 {
            store.create_application(application(n)).await.unwrap();
        }
        assert_eq!(cost(&store, &path).await, few);
    }
}
