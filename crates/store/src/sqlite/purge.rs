//! Retention: removing what is past its time in small steps, so that delivery never waits long for one.

use super::{Sqlite, failed, rows, writer::Tx};
use crate::{
    error::StoreError,
    queue::{Purge, Purged},
    views::OrganizationOptions,
};
use domain::{Ksuid, Timestamp, application::ApplicationOptions};
use rusqlite::params;
use std::time::Duration;

/// Free pages given back to the file system in a step (4 KiB each).
const VACUUM_PAGES: usize = 500;

impl Sqlite {
    pub(super) async fn purge_step(&self, purge: Purge) -> Result<Purged, StoreError> {
        let own = self.read(move |conn| own_terms(conn, purge.now)).await?;
        self.write(move |tx| {
            let payloads = expired_payloads(tx, &purge)?;
            let mut messages = 0;
            for (app, before) in &own {
                messages += old_messages(tx, Some(*app), *before, purge.limit)?;
            }
            messages += old_messages_of_the_rest(tx, &own, purge.rows_before, purge.limit)?;
            let answers = tx
                .conn
                .prepare_cached(
                    "DELETE FROM idempotency WHERE n IN
                        (SELECT n FROM idempotency ORDER BY n LIMIT ?2) AND at < ?1",
                )
                .and_then(|mut s| s.execute(params![purge.answers_before.as_micros(), purge.limit as i64]))
                .map_err(failed)?;
            let limit = purge.limit;
            let more = payloads >= limit || messages >= limit || answers >= limit;
            tx.conn.execute_batch(&format!("PRAGMA incremental_vacuum({VACUUM_PAGES})")).map_err(failed)?;
            Ok(Purged { payloads: payloads as u64, messages: messages as u64, answers: answers as u64, more })
        })
        .await
    }
}

/// Applications that keep rows for another time than the rest, and since when.
fn own_terms(conn: &rusqlite::Connection, now: Timestamp) -> Result<Vec<(i64, i64)>, StoreError> {
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
            let before = now.minus(Duration::from_secs(u64::from(days) * 86_400));
            terms.push((key, Ksuid::lowest_at(before).head()));
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

fn old_messages_of_the_rest(
    tx: &Tx<'_>,
    own: &[(i64, i64)],
    before: Timestamp,
    limit: usize,
) -> Result<usize, StoreError> {
    if own.is_empty() {
        return old_messages(tx, None, Ksuid::lowest_at(before).head(), limit);
    }
    // With exceptions about, the rest goes application by application.
    let before = Ksuid::lowest_at(before).head();
    let mut statement = tx.conn.prepare_cached("SELECT key FROM app").map_err(failed)?;
    let apps: Vec<i64> = statement.query_map([], |r| r.get(0)).and_then(Iterator::collect).map_err(failed)?;
    let mut removed = 0;
    for app in apps.into_iter().filter(|a| !own.iter().any(|(key, _)| key == a)) {
        removed += old_messages(tx, Some(app), before, limit - removed)?;
        if removed >= limit {
            break;
        }
    }
    Ok(removed)
}

/// Removes settled messages made before a key, with their deliveries and attempts. One that is still open stays.
fn old_messages(tx: &Tx<'_>, app: Option<i64>, before: i64, limit: usize) -> Result<usize, StoreError> {
    let sql = match app {
        Some(_) => "SELECT key, app FROM message WHERE app = ?1 AND key < ?2 ORDER BY key LIMIT ?3",
        None => "SELECT key, app FROM message WHERE ?1 IS NULL AND key < ?2 ORDER BY key LIMIT ?3",
    };
    let mut statement = tx.conn.prepare_cached(sql).map_err(failed)?;
    let old: Vec<(i64, i64)> = statement
        .query_map(params![app, before, limit as i64], |r| Ok((r.get(0)?, r.get(1)?)))
        .and_then(Iterator::collect)
        .map_err(failed)?;
    let mut removed = 0;
    for (message, app) in &old {
        let open: bool = tx
            .conn
            .prepare_cached(
                "SELECT EXISTS (SELECT 1 FROM endpoint e JOIN delivery d ON d.endpoint = e.key AND d.message = ?1
                 WHERE e.app = ?2 AND d.state IN (0, 1, 5))",
            )
            .and_then(|mut s| s.query_row(params![message, app], |r| r.get(0)))
            .map_err(failed)?;
        if open {
            continue;
        }
        for sql in [
            "DELETE FROM delivery WHERE message = ?1 AND endpoint IN (SELECT key FROM endpoint WHERE app = ?2)",
            "DELETE FROM attempt WHERE message = ?1 AND app = ?2",
            "DELETE FROM message WHERE key = ?1 AND app = ?2",
        ] {
            tx.conn.prepare_cached(sql).and_then(|mut s| s.execute(params![message, app])).map_err(failed)?;
        }
        removed += 1;
    }
    Ok(removed)
}
