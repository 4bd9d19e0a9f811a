//! Counting by the hour: read beside the writer, written in one short job of its own.

use super::{
    Sqlite, failed,
    rows::{Keyed, all, col, corrupt, execute, first, keys_between},
    writer::Tx,
};
use crate::{
    error::StoreError,
    hourly::{
        ALL_TYPES, AttemptTally, CountedAttempt, HOURS, HourCount, Hourly, Hours, MessageTally, Piece, Rolled,
        STEP_COUNTS, STEP_ROWS, Uncounted, hour_of_key, more_keys, pieces, read_keys,
    },
};
use async_trait::async_trait;
use domain::{AppKey, Durations, EndpointRef, EventTypeName, Ksuid, Pick};
use rusqlite::{Connection, Row, params};
use std::ops::Range;

const COUNTED: &str = "SELECT key FROM counted WHERE what = ?1";
const MOVE_ON: &str = "UPDATE counted SET key = ?2 WHERE what = ?1";
const ATTEMPTS: &str = "SELECT a.key, a.app, a.endpoint, a.status, a.duration_ms, m.event_type
    FROM attempt a LEFT JOIN message m ON m.key = a.message WHERE a.key >= ?1 AND a.key < ?2 ORDER BY a.key LIMIT ?3";
const MESSAGES: &str = "SELECT key, app, event_type FROM message WHERE key >= ?1 AND key < ?2 ORDER BY key LIMIT ?3";
const COUNT: &str = "SELECT delivered, failed, took FROM attempt_hour
    WHERE app = ?1 AND endpoint = ?2 AND event_type = ?3 AND hour = ?4";
const KEEP_COUNT: &str = "REPLACE INTO attempt_hour (app, endpoint, event_type, hour, delivered, failed, took)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
const KEYS: &str = "SELECT keys FROM message_hour WHERE app = ?1 AND event_type = ?2 AND hour = ?3";
const KEEP_KEYS: &str = "REPLACE INTO message_hour (app, event_type, hour, keys) VALUES (?1, ?2, ?3, ?4)";
/// With how far all is counted, in the same state of the database.
const ATTEMPT_HOURS: &str = "SELECT NULL, key, 0, x'' FROM counted WHERE what = 'attempts'
    UNION ALL SELECT hour, delivered, failed, took FROM attempt_hour
    WHERE app = ?1 AND endpoint = ?2 AND event_type = ?3 AND hour >= ?4 AND hour < ?5";
const NEWEST_HOURS: &str = "SELECT hour, keys FROM message_hour
    WHERE app = ?1 AND event_type = ?2 AND hour >= ?3 AND hour <= ?4 ORDER BY hour DESC LIMIT ?5";
const OLDEST_HOURS: &str = "SELECT hour, keys FROM message_hour
    WHERE app = ?1 AND event_type = ?2 AND hour >= ?3 AND hour <= ?4 ORDER BY hour LIMIT ?5";
const OF_TYPE: &str = "SELECT a.key, a.tail, a.status, a.duration_ms, m.event_type = ?4
    FROM attempt a INDEXED BY attempt_endpoint LEFT JOIN message m ON m.key = a.message
    WHERE a.endpoint = ?1 AND a.key >= ?2 AND a.key < ?3 ORDER BY a.key DESC LIMIT ?5";
const OLDEST: &str = "SELECT min(key) FROM message";
const OLD: [&str; 2] = [
    "DELETE FROM attempt_hour WHERE (app, endpoint, event_type, hour) IN
        (SELECT app, endpoint, event_type, hour FROM attempt_hour INDEXED BY attempt_hour_old WHERE hour < ?1 LIMIT ?2)",
    "DELETE FROM message_hour WHERE (app, event_type, hour) IN
        (SELECT app, event_type, hour FROM message_hour INDEXED BY message_hour_old WHERE hour < ?1 LIMIT ?2)",
];

fn counted(conn: &Connection, what: &str) -> Result<i64, StoreError> {
    Ok(first(conn, COUNTED, [what], |row| col(row, 0))?.unwrap_or(0))
}

/// Moves on from where the step began. `false` if another one was there meanwhile: nothing of this one counts then.
fn move_on(conn: &Connection, what: &str, begun: i64, last: i64) -> Result<bool, StoreError> {
    if counted(conn, what)? != begun {
        return Ok(false);
    }
    execute(conn, MOVE_ON, params![what, last.saturating_add(1)]).map_err(failed)?;
    Ok(true)
}

fn tally_attempts(conn: &Connection, begun: i64, until: i64) -> Result<(AttemptTally, bool), StoreError> {
    let mut tally = AttemptTally::default();
    let mut statement = conn.prepare_cached(ATTEMPTS).map_err(failed)?;
    let mut rows = statement.query(params![begun, until, STEP_ROWS]).map_err(failed)?;
    while let Some(row) = rows.next().map_err(failed)? {
        let event_type = row.get_ref(5).map_err(failed)?;
        tally.add(&CountedAttempt {
            key: col(row, 0)?,
            app: col(row, 1)?,
            endpoint: col(row, 2)?,
            success: col::<u8>(row, 3)? == 0,
            duration_ms: col(row, 4)?,
            event_type: event_type.as_str_or_null().map_err(|e| failed(e.into()))?,
        });
        if tally.counts.len() >= STEP_COUNTS {
            return Ok((tally, true));
        }
    }
    let more = tally.rows >= STEP_ROWS.unsigned_abs();
    Ok((tally, more))
}

fn tally_messages(conn: &Connection, begun: i64, until: i64) -> Result<(MessageTally, bool), StoreError> {
    let mut tally = MessageTally::default();
    let mut statement = conn.prepare_cached(MESSAGES).map_err(failed)?;
    let mut rows = statement.query(params![begun, until, STEP_ROWS]).map_err(failed)?;
    while let Some(row) = rows.next().map_err(failed)? {
        let event_type = row.get_ref(2).map_err(failed)?;
        tally.add(col(row, 0)?, col(row, 1)?, event_type.as_str().map_err(|e| failed(e.into()))?);
        if tally.hours.len() >= STEP_COUNTS {
            return Ok((tally, true));
        }
    }
    let more = tally.rows >= STEP_ROWS.unsigned_abs();
    Ok((tally, more))
}

/// Counts from these columns: delivered, failed, how long.
fn count(row: &Row<'_>, column: usize) -> Result<HourCount, StoreError> {
    let bytes = row.get_ref(column + 2).map_err(failed)?;
    let took = Durations::from_bytes(bytes.as_blob().map_err(|e| failed(e.into()))?);
    Ok(HourCount {
        delivered: col::<i64>(row, column)?.unsigned_abs(),
        failed: col::<i64>(row, column + 1)?.unsigned_abs(),
        took: took.ok_or_else(|| corrupt("attempt_hour", "took", "", "not what was written"))?,
    })
}

fn natural(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

fn keep_attempts(tx: &Tx<'_>, tally: &AttemptTally) -> Result<(), StoreError> {
    for ((app, endpoint, event_type, hour), new) in &tally.counts {
        let mut sum =
            first(tx.conn, COUNT, params![app, endpoint, event_type, hour], |row| count(row, 0))?.unwrap_or_default();
        sum.merge(new);
        let (delivered, failures, took) = (natural(sum.delivered), natural(sum.failed), sum.took.to_bytes());
        execute(tx.conn, KEEP_COUNT, params![app, endpoint, event_type, hour, delivered, failures, took])
            .map_err(failed)?;
    }
    Ok(())
}

fn keep_messages(tx: &Tx<'_>, tally: &MessageTally) -> Result<(), StoreError> {
    for ((app, event_type, hour), new) in &tally.hours {
        let stored = first(tx.conn, KEYS, params![app, event_type, hour], |row| col::<Option<Vec<u8>>>(row, 0))?;
        // None yet is not the same as too many.
        let stored = stored.unwrap_or_else(|| Some(Vec::new()));
        let keys = more_keys(stored.as_deref(), new.as_ref());
        execute(tx.conn, KEEP_KEYS, params![app, event_type, hour, keys]).map_err(failed)?;
    }
    Ok(())
}

/// Removes counts of attempts before this hour, and of messages as far as none from before it is left.
pub(super) fn forget_old(conn: &Connection, hour: i64, limit: usize) -> Result<(), StoreError> {
    let oldest = first(conn, OLDEST, [], |row| col::<Option<i64>>(row, 0))?.flatten().map_or(hour, hour_of_key);
    for (sql, before) in OLD.into_iter().zip([hour, hour.min(oldest)]) {
        execute(conn, sql, params![before, natural(limit as u64)]).map_err(failed)?;
    }
    Ok(())
}

/// Where to look for messages of an event type: each range of keys, in the order of `pick`.
pub(super) fn where_messages_are(
    conn: &Connection,
    app: AppKey,
    event_type: &str,
    within: Range<i64>,
    pick: Pick,
) -> Result<Vec<Range<i64>>, StoreError> {
    // Before the hours: what is counted meanwhile is then looked at twice as far, never left out.
    let counted = counted(conn, "messages")?;
    let sql = if pick == Pick::Newest { NEWEST_HOURS } else { OLDEST_HOURS };
    let window = params![app.0, event_type, hour_of_key(within.start), hour_of_key(within.end), HOURS];
    let hours = all(conn, sql, window, |row| {
        Ok((col::<i64>(row, 0)?, col::<Option<Vec<u8>>>(row, 1)?.map(|bytes| read_keys(&bytes))))
    })?;
    let pieces = pieces(hours, counted, within, pick);
    Ok(pieces
        .into_iter()
        .flat_map(|piece| match piece {
            Piece::Span(span) => vec![span],
            Piece::Keys(keys) => keys.into_iter().map(|key| key..key.saturating_add(1)).collect(),
        })
        .collect())
}

#[async_trait]
impl Hourly for Sqlite {
    async fn roll_attempts(&self, until: Ksuid) -> Result<Rolled, StoreError> {
        let (begun, (tally, more)) = self
            .read(move |conn| {
                let begun = counted(conn, "attempts")?;
                Ok((begun, tally_attempts(conn, begun, until.head())?))
            })
            .await?;
        // Nothing new costs no commit.
        let Some(last) = tally.last else { return Ok(Rolled::default()) };
        self.write(move |tx| {
            if !move_on(tx.conn, "attempts", begun, last)? {
                return Ok(Rolled { rows: 0, more: true });
            }
            keep_attempts(tx, &tally)?;
            Ok(Rolled { rows: tally.rows, more })
        })
        .await
    }

    async fn roll_messages(&self, until: Ksuid) -> Result<Rolled, StoreError> {
        let (begun, (tally, more)) = self
            .read(move |conn| {
                let begun = counted(conn, "messages")?;
                Ok((begun, tally_messages(conn, begun, until.head())?))
            })
            .await?;
        let Some(last) = tally.last else { return Ok(Rolled::default()) };
        self.write(move |tx| {
            if !move_on(tx.conn, "messages", begun, last)? {
                return Ok(Rolled { rows: 0, more: true });
            }
            keep_messages(tx, &tally)?;
            Ok(Rolled { rows: tally.rows, more })
        })
        .await
    }

    async fn attempt_hours(
        &self,
        to: EndpointRef,
        of: Option<&EventTypeName>,
        hours: Range<i64>,
    ) -> Result<Hours, StoreError> {
        let event_type = of.map_or(ALL_TYPES, |of| of.as_str()).to_owned();
        self.read(move |conn| {
            let mut found = Hours { counted: Ksuid::MIN, hours: Default::default() };
            let window = params![to.app.0, to.endpoint.0, event_type, hours.start, hours.end];
            let mut statement = conn.prepare_cached(ATTEMPT_HOURS).map_err(failed)?;
            let mut rows = statement.query(window).map_err(failed)?;
            while let Some(row) = rows.next().map_err(failed)? {
                match col::<Option<i64>>(row, 0)? {
                    None => found.counted = Ksuid::from_parts(col(row, 1)?, [0; 12]),
                    Some(hour) => {
                        found.hours.insert(hour, count(row, 1)?);
                    }
                }
            }
            Ok(found)
        })
        .await
    }

    async fn attempts_of_type(
        &self,
        to: EndpointRef,
        of: &EventTypeName,
        from: Ksuid,
        until: Ksuid,
        looks: usize,
    ) -> Result<Uncounted, StoreError> {
        let event_type = of.as_str().to_owned();
        self.read(move |conn| {
            let keys = keys_between(conn, Keyed::Attempt, from, until)?;
            let window = params![to.endpoint.0, keys.start, keys.end, event_type, natural(looks as u64)];
            let mut looked = 0;
            let mut found = Uncounted::default();
            let mut statement = conn.prepare_cached(OF_TYPE).map_err(failed)?;
            let mut rows = statement.query(window).map_err(failed)?;
            while let Some(row) = rows.next().map_err(failed)? {
                looked += 1;
                if col::<Option<bool>>(row, 4)? == Some(true) {
                    let id = Ksuid::from_parts(col(row, 0)?, col(row, 1)?);
                    found.attempts.push((id, col::<u8>(row, 2)? == 0, col(row, 3)?));
                }
            }
            found.all = looked < looks;
            Ok(found)
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::rows::{assert_indexed, plan},
        *,
    };

    #[test]
    fn counts_are_found_by_key_and_rows_to_count_in_order() {
        for sql in [ATTEMPTS, MESSAGES, COUNT, KEYS, NEWEST_HOURS, OLDEST_HOURS, OF_TYPE] {
            assert_indexed(sql);
        }
        for sql in OLD {
            assert!(plan(sql).contains("COVERING INDEX"), "{sql}\n{}", plan(sql));
        }
        assert!(!plan(ATTEMPT_HOURS).contains("SCAN"), "{}", plan(ATTEMPT_HOURS));
    }
}
