//! Counting by the hour: one node at a time, in one transaction for each step. Reads what lies between two keys by the
//! index of page ranges, so steps are stretches of time that adapt to how much is in them.

use super::{
    Postgres, failed,
    partitions::first_key,
    pool::Tx,
    rows::{self, corrupt, in_range},
};
use crate::{
    error::StoreError,
    hourly::{
        ALL_TYPES, AttemptTally, CountedAttempt, HOURS, HourCount, Hourly, Hours, MessageTally, Piece, Rolled,
        Uncounted, add_stored, hour_of_key, more_keys, pieces, read_keys,
    },
};
use async_trait::async_trait;
use domain::{AppKey, Durations, EndpointRef, EventTypeName, Ksuid, Pick};
use futures_util::{StreamExt as _, pin_mut};
use std::{
    ops::Range,
    sync::atomic::{AtomicI64, Ordering},
};
use tokio_postgres::Row;

/// None if another node counts at the moment.
const ALONE: &str = "SELECT key FROM counted WHERE what = $1 FOR UPDATE SKIP LOCKED";
const COUNTED: &str = "SELECT key FROM counted WHERE what = $1";
const MOVE_ON: &str = "UPDATE counted SET key = $2 WHERE what = $1";
/// An index of page ranges is read as a bitmap, which nothing else here may use.
pub(super) const BY_PAGES: &str = "SET LOCAL enable_bitmapscan = on";
pub(super) const ATTEMPTS: &str = "SELECT a.key, a.app, a.endpoint, a.status, a.duration_ms, m.event_type
    FROM attempt a LEFT JOIN message m ON m.app = a.app AND m.key = a.message";
pub(super) const MESSAGES: &str = "SELECT a.key, a.app, a.event_type FROM message a";
const STORED: &str = "SELECT h.app, h.endpoint, h.event_type, h.hour, h.delivered, h.failed, h.took
    FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::bigint[]) AS k (app, endpoint, event_type, hour)
    JOIN attempt_hour h ON h.app = k.app AND h.endpoint = k.endpoint AND h.event_type = k.event_type COLLATE \"C\"
        AND h.hour = k.hour";
const KEEP: &str = "INSERT INTO attempt_hour (app, endpoint, event_type, hour, delivered, failed, took)
    SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bytea[])
    ON CONFLICT (app, endpoint, event_type, hour) DO UPDATE
    SET delivered = excluded.delivered, failed = excluded.failed, took = excluded.took";
const STORED_KEYS: &str = "SELECT h.app, h.event_type, h.hour, h.keys
    FROM unnest($1::bigint[], $2::text[], $3::bigint[]) AS k (app, event_type, hour)
    JOIN message_hour h ON h.app = k.app AND h.event_type = k.event_type COLLATE \"C\" AND h.hour = k.hour";
const KEEP_KEYS: &str = "INSERT INTO message_hour (app, event_type, hour, keys)
    SELECT * FROM unnest($1::bigint[], $2::text[], $3::bigint[], $4::bytea[])
    ON CONFLICT (app, event_type, hour) DO UPDATE SET keys = excluded.keys";
/// With how far all is counted, in the same state of the database.
const ATTEMPT_HOURS: &str = "SELECT NULL::bigint, key, 0::bigint, ''::bytea FROM counted WHERE what = 'attempts'
    UNION ALL SELECT hour, delivered, failed, took FROM attempt_hour
    WHERE app = $1 AND endpoint = $2 AND event_type = $3 AND hour >= $4 AND hour < $5";
const NEWEST_HOURS: &str = "SELECT hour, keys FROM message_hour
    WHERE app = $1 AND event_type = $2 AND hour >= $3 AND hour <= $4 ORDER BY hour DESC LIMIT $5";
const OLDEST_HOURS: &str = "SELECT hour, keys FROM message_hour
    WHERE app = $1 AND event_type = $2 AND hour >= $3 AND hour <= $4 ORDER BY hour LIMIT $5";
const OF_TYPE: &str = concat!(
    "SELECT a.key, a.tail, a.status, a.duration_ms,
        (SELECT m.event_type = $7 FROM message m WHERE m.app = $1 AND m.key = a.message)
     FROM attempt a WHERE a.app = $1 AND a.endpoint = $6 AND ",
    in_range!("a.key", "a.tail"),
    " ORDER BY a.key DESC LIMIT $8"
);
const OLD: [&str; 2] = [
    "DELETE FROM attempt_hour WHERE (app, endpoint, event_type, hour) IN
        (SELECT app, endpoint, event_type, hour FROM attempt_hour WHERE hour < $1 LIMIT $2 FOR UPDATE SKIP LOCKED)",
    "DELETE FROM message_hour WHERE (app, event_type, hour) IN
        (SELECT app, event_type, hour FROM message_hour WHERE hour < $1 LIMIT $2 FOR UPDATE SKIP LOCKED)",
];
/// Rows in a step beyond which the next one is shorter, and below which it is longer.
const MANY: u64 = 20_000;
const FEW: u64 = 2_000;
/// The upper half of a key counts seconds.
const SECOND: i64 = 1 << 32;
/// Stretches that a step looks at before it says that there is more.
const LOOKS: u32 = 40;

/// How long a stretch of keys a step takes at once.
pub(super) struct Stride(AtomicI64);

impl Default for Stride {
    fn default() -> Self {
        Self(AtomicI64::new(60 * SECOND))
    }
}

impl Stride {
    fn get(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
    /// The next one, after one in which so many rows were.
    fn adapt(&self, rows: u64) {
        let now = self.get();
        let next = match rows {
            MANY.. => now / 2,
            FEW.. => now,
            _ => now.saturating_mul(2),
        };
        self.0.store(next.clamp(SECOND / 16, 7 * 24 * 3600 * SECOND), Ordering::Relaxed);
    }
}

/// What a step adds up.
trait Tally: Default {
    const WHAT: &'static str;
    const SELECT: &'static str;
    fn add(&mut self, row: &Row) -> Result<(), StoreError>;
    fn so_far(&self) -> (u64, Option<i64>);
    async fn keep(self, tx: &Tx) -> Result<(), StoreError>;
}

impl Tally for AttemptTally {
    const WHAT: &'static str = "attempts";
    const SELECT: &'static str = ATTEMPTS;

    fn add(&mut self, row: &Row) -> Result<(), StoreError> {
        Self::add(
            self,
            &CountedAttempt {
                key: rows::col(row, 0)?,
                app: rows::col(row, 1)?,
                endpoint: rows::col(row, 2)?,
                success: rows::col::<i16>(row, 3)? == 0,
                duration_ms: rows::small(row, 4, "attempt")?,
                event_type: rows::col(row, 5)?,
            },
        );
        Ok(())
    }

    fn so_far(&self) -> (u64, Option<i64>) {
        (self.rows, self.last)
    }

    async fn keep(mut self, tx: &Tx) -> Result<(), StoreError> {
        let apps: Vec<i64> = self.counts.keys().map(|k| k.0).collect();
        let endpoints: Vec<i64> = self.counts.keys().map(|k| k.1).collect();
        let types: Vec<String> = self.counts.keys().map(|k| k.2.clone()).collect();
        let hours: Vec<i64> = self.counts.keys().map(|k| k.3).collect();
        for row in &tx.all(STORED, &[&apps, &endpoints, &types, &hours]).await? {
            let of = (rows::col(row, 0)?, rows::col(row, 1)?, rows::col(row, 2)?, rows::col(row, 3)?);
            add_stored(&mut self.counts, of, &count(row, 4)?);
        }
        let delivered: Vec<i64> = self.counts.values().map(|n| natural(n.delivered)).collect();
        let failures: Vec<i64> = self.counts.values().map(|n| natural(n.failed)).collect();
        let took: Vec<Vec<u8>> = self.counts.values().map(|n| n.took.to_bytes()).collect();
        tx.execute(KEEP, &[&apps, &endpoints, &types, &hours, &delivered, &failures, &took]).await.map(|_| ())
    }
}

impl Tally for MessageTally {
    const WHAT: &'static str = "messages";
    const SELECT: &'static str = MESSAGES;

    fn add(&mut self, row: &Row) -> Result<(), StoreError> {
        Self::add(self, rows::col(row, 0)?, rows::col(row, 1)?, rows::col(row, 2)?);
        Ok(())
    }

    fn so_far(&self) -> (u64, Option<i64>) {
        (self.rows, self.last)
    }

    async fn keep(self, tx: &Tx) -> Result<(), StoreError> {
        let apps: Vec<i64> = self.hours.keys().map(|k| k.0).collect();
        let types: Vec<String> = self.hours.keys().map(|k| k.1.clone()).collect();
        let hours: Vec<i64> = self.hours.keys().map(|k| k.2).collect();
        let mut stored = std::collections::HashMap::new();
        for row in &tx.all(STORED_KEYS, &[&apps, &types, &hours]).await? {
            let of: (i64, String, i64) = (rows::col(row, 0)?, rows::col(row, 1)?, rows::col(row, 2)?);
            stored.insert(of, rows::col::<Option<Vec<u8>>>(row, 3)?);
        }
        let keys: Vec<Option<Vec<u8>>> = self
            .hours
            .iter()
            .map(|(of, new)| match stored.get(of) {
                Some(stored) => more_keys(stored.as_deref(), new.as_ref()),
                None => more_keys(Some(&[]), new.as_ref()),
            })
            .collect();
        tx.execute(KEEP_KEYS, &[&apps, &types, &hours, &keys]).await.map(|_| ())
    }
}

/// Counts from these columns: delivered, failed, how long.
fn count(row: &Row, column: usize) -> Result<HourCount, StoreError> {
    let took = Durations::from_bytes(rows::col(row, column + 2)?);
    Ok(HourCount {
        delivered: rows::col::<i64>(row, column)?.unsigned_abs(),
        failed: rows::col::<i64>(row, column + 1)?.unsigned_abs(),
        took: took.ok_or_else(|| corrupt("attempt_hour", "took", "", "not what was written"))?,
    })
}

fn natural(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

/// Removes counts of attempts before this hour, and of messages as far as no week from before it is left.
pub(super) async fn forget_old(tx: &Tx, hour: i64, first_week: Option<i64>, limit: i64) -> Result<(), StoreError> {
    let oldest = first_week.map_or(hour, |week| hour_of_key(first_key(week)));
    for (sql, before) in OLD.into_iter().zip([hour, hour.min(oldest)]) {
        tx.execute(sql, &[&before, &limit]).await?;
    }
    Ok(())
}

impl Postgres {
    async fn roll<T: Tally>(&self, until: Ksuid) -> Result<Rolled, StoreError> {
        let until = until.head();
        let Some(first_week) = self.partitions.weeks().await?.first().copied() else { return Ok(Rolled::default()) };
        let tx = self.pool.begin().await?;
        let Some(row) = tx.first(ALONE, &[&T::WHAT]).await? else { return Ok(Rolled::default()) };
        let mut from = rows::col::<i64>(&row, 0)?.max(first_key(first_week));
        tx.batch(BY_PAGES).await?;
        for _ in 0..LOOKS {
            if from >= until {
                return Ok(Rolled::default());
            }
            let end = from.saturating_add(self.stride.get()).min(until);
            let tally: T = tally(&tx, from..end).await?;
            let (rows, last) = tally.so_far();
            self.stride.adapt(rows);
            if let Some(last) = last {
                tally.keep(&tx).await?;
                tx.execute(MOVE_ON, &[&T::WHAT, &last.saturating_add(1)]).await?;
                tx.commit().await?;
                return Ok(Rolled { rows, more: end < until });
            }
            from = end;
        }
        // So far nothing: worth remembering, or the next step would not come further.
        tx.execute(MOVE_ON, &[&T::WHAT, &from]).await?;
        tx.commit().await?;
        Ok(Rolled { rows: 0, more: true })
    }

    /// Where to look for messages of an event type.
    pub(super) async fn where_messages_are(
        &self,
        app: AppKey,
        event_type: &str,
        within: Range<i64>,
        pick: Pick,
    ) -> Result<Vec<Piece>, StoreError> {
        // Before the hours: what is counted meanwhile is looked at as if it were not.
        let counted = self.pool.read_first(COUNTED, &[&MessageTally::WHAT]).await?;
        let counted = counted.map(|row| rows::col(&row, 0)).transpose()?.unwrap_or(0);
        let sql = if pick == Pick::Newest { NEWEST_HOURS } else { OLDEST_HOURS };
        let (from, until) = (hour_of_key(within.start), hour_of_key(within.end));
        let found = self.pool.read(sql, &[&app.0, &event_type, &from, &until, &HOURS]).await?;
        let read = |row| Ok((rows::col::<i64>(row, 0)?, rows::col::<Option<&[u8]>>(row, 1)?.map(read_keys)));
        let hours = found.iter().map(read).collect::<Result<Vec<_>, StoreError>>()?;
        Ok(pieces(hours, counted, within, pick))
    }
}

/// Adds up the rows with keys in a range.
async fn tally<T: Tally>(tx: &Tx, keys: Range<i64>) -> Result<T, StoreError> {
    let sql = format!("{} WHERE a.key >= {} AND a.key < {}", T::SELECT, keys.start, keys.end);
    let found = tx.stream(&sql).await?;
    pin_mut!(found);
    let mut tally = T::default();
    while let Some(row) = found.next().await {
        tally.add(&row.map_err(failed)?)?;
    }
    Ok(tally)
}

#[async_trait]
impl Hourly for Postgres {
    async fn roll_attempts(&self, until: Ksuid) -> Result<Rolled, StoreError> {
        self.roll::<AttemptTally>(until).await
    }

    async fn roll_messages(&self, until: Ksuid) -> Result<Rolled, StoreError> {
        self.roll::<MessageTally>(until).await
    }

    async fn attempt_hours(
        &self,
        to: EndpointRef,
        of: Option<&EventTypeName>,
        hours: Range<i64>,
    ) -> Result<Hours, StoreError> {
        let event_type = of.map_or(ALL_TYPES, |of| of.as_str());
        let window: [&(dyn tokio_postgres::types::ToSql + Sync); 5] =
            [&to.app.0, &to.endpoint.0, &event_type, &hours.start, &hours.end];
        let mut found = Hours { counted: Ksuid::MIN, hours: Default::default() };
        for row in &self.pool.read(ATTEMPT_HOURS, &window).await? {
            match rows::col::<Option<i64>>(row, 0)? {
                None => found.counted = Ksuid::from_parts(rows::col(row, 1)?, [0; 12]),
                Some(hour) => {
                    found.hours.insert(hour, count(row, 1)?);
                }
            }
        }
        Ok(found)
    }

    async fn attempts_of_type(
        &self,
        to: EndpointRef,
        of: &EventTypeName,
        from: Ksuid,
        until: Ksuid,
        looks: usize,
    ) -> Result<Uncounted, StoreError> {
        let (from_tail, until_tail, most) = (from.tail(), until.tail(), natural(looks as u64));
        let (from, until, event_type) = (from.head(), until.head(), of.as_str());
        let window: [&(dyn tokio_postgres::types::ToSql + Sync); 8] =
            [&to.app.0, &from, &&from_tail[..], &until, &&until_tail[..], &to.endpoint.0, &event_type, &most];
        let found = self.pool.read(OF_TYPE, &window).await?;
        let mut attempts = Vec::new();
        for row in &found {
            if rows::col::<Option<bool>>(row, 4)? == Some(true) {
                let id = rows::keyed_ksuid(row, 0, 1, "attempt")?;
                attempts.push((id, rows::col::<i16>(row, 2)? == 0, rows::small(row, 3, "attempt")?));
            }
        }
        Ok(Uncounted { attempts, all: found.len() < looks })
    }
}
