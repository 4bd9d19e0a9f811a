//! Weeks of messages, deliveries and attempts: each week of keys has its partition of each table, made before its first
//! row and dropped as a whole.

use super::{locks, pool::Pool, rows};
use crate::error::StoreError;
use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
};

/// Seconds in a partition. The upper half of a key counts seconds.
const WEEK: i64 = 7 * 24 * 3600;
/// The tables that come in weeks.
const TABLES: [&str; 3] = ["message", "delivery", "attempt"];

const THERE: &str = "SELECT substring(c.relname FROM 'message_w(\\d+)')::bigint FROM pg_inherits i
    JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = 'message'::regclass
    AND c.relname ~ '^message_w\\d+$' ORDER BY 1";
const LOCK: &str = "SELECT pg_advisory_xact_lock($1)";

/// The week that a key belongs to.
pub(super) fn week_of(key: i64) -> i64 {
    (key >> 32) / WEEK
}

/// The first key of a week.
pub(super) fn first_key(week: i64) -> i64 {
    week.saturating_mul(WEEK).saturating_mul(1 << 32)
}

/// Which weeks there are, as far as this node knows.
#[derive(Clone)]
pub(super) struct Partitions {
    pool: Pool,
    known: Arc<Mutex<HashSet<i64>>>,
}

impl Partitions {
    pub(super) fn new(pool: Pool) -> Self {
        Self { pool, known: Arc::default() }
    }

    /// Makes the partitions of these keys, if they are not there. Known ones cost nothing.
    pub(super) async fn ensure(&self, keys: impl Iterator<Item = i64>) -> Result<(), StoreError> {
        let missing: HashSet<i64> = {
            let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            keys.map(week_of).filter(|week| !known.contains(week)).collect()
        };
        for week in missing {
            self.make(week).await?;
            self.known.lock().unwrap_or_else(PoisonError::into_inner).insert(week);
        }
        Ok(())
    }

    /// Attached rather than made in place, which would wait for every reader of the table and hold up all others.
    async fn make(&self, week: i64) -> Result<(), StoreError> {
        let tx = self.pool.begin().await?;
        tx.all(LOCK, &[&locks::PARTITIONS]).await?;
        if !there(&tx).await?.contains(&week) {
            for table in TABLES {
                let (from, until) = (first_key(week), first_key(week + 1));
                tx.batch(&format!(
                    "CREATE TABLE {table}_w{week} (LIKE {table} INCLUDING ALL)
                        WITH (autovacuum_vacuum_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.05);
                     ALTER TABLE {table} ATTACH PARTITION {table}_w{week} FOR VALUES FROM ({from}) TO ({until})"
                ))
                .await?;
            }
            tracing::info!(week, "made the tables of a week");
        }
        tx.commit().await
    }

    /// All weeks, oldest first.
    pub(super) async fn weeks(&self) -> Result<Vec<i64>, StoreError> {
        let rows = self.pool.read(THERE, &[]).await?;
        rows.iter().map(|row| rows::col(row, 0)).collect()
    }

    /// Drops a week with all that is in it. Gives up at once if somebody reads for long, such as a backup: everybody who
    /// writes waits behind this, and there is a next time.
    pub(super) async fn drop_week(&self, week: i64) -> Result<(), StoreError> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).remove(&week);
        let tx = self.pool.begin().await?;
        tx.all(LOCK, &[&locks::PARTITIONS]).await?;
        tx.batch("SET LOCAL lock_timeout = '100ms'").await?;
        for table in TABLES {
            tx.batch(&format!("DROP TABLE IF EXISTS {table}_w{week}")).await?;
        }
        tx.commit().await?;
        tracing::info!(week, "dropped the tables of a week that is past its time");
        Ok(())
    }
}

async fn there(tx: &super::pool::Tx) -> Result<HashSet<i64>, StoreError> {
    tx.all(THERE, &[]).await?.iter().map(|row| rows::col(row, 0)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::{Ksuid, Timestamp};
    use std::time::Duration;

    #[test]
    fn a_key_lies_in_its_week() {
        let at = Timestamp::parse("2026-01-02T03:04:05Z").unwrap();
        for days in 0..30 {
            let key = Ksuid::lowest_at(at.plus(Duration::from_secs(days * 86_400))).head();
            let week = week_of(key);
            assert!(first_key(week) <= key && key < first_key(week + 1));
        }
        assert_eq!(week_of(first_key(7)), 7);
        assert!(first_key(week_of(i64::MAX) + 1) > 0, "the last week has an end");
    }
}
