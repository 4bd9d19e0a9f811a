//! Retention: whole weeks by dropping their tables, and what goes before its week does in small steps.

use super::{
    Postgres, given_up, hourly, locks,
    partitions::{first_key, week_of},
    pool::Tx,
    rows::{self, these_keys},
};
use crate::{
    error::StoreError,
    hourly::hour_of_key,
    queue::{Purge, Purged},
    views::OrganizationOptions,
};
use domain::{Ksuid, Timestamp, application::ApplicationOptions};
use std::{collections::HashMap, time::Duration};

/// One node at a time removes; the others need not wait.
const ALONE: &str = "SELECT pg_try_advisory_xact_lock($1)";
const PAYLOADS: &str = "UPDATE message SET payload = NULL, expires_hour = NULL
    FROM (SELECT app, key FROM message WHERE expires_hour IS NOT NULL AND expires_hour < $1
          ORDER BY expires_hour LIMIT $2 FOR UPDATE SKIP LOCKED) old
    WHERE message.app = old.app AND message.key = old.key";
const ANSWERS: &str = "DELETE FROM idempotency WHERE hash IN
    (SELECT hash FROM idempotency WHERE at < $1 ORDER BY at LIMIT $2 FOR UPDATE SKIP LOCKED)";
const CHANGES: &str = "DELETE FROM change WHERE n < (SELECT n FROM revision) - 10000";
const TERMS: &str = "SELECT a.key, a.options, o.options FROM app a LEFT JOIN organization o ON o.org = a.org
    WHERE a.options LIKE '%attemptDays%' OR o.options LIKE '%attemptDays%'";
const APPS: &str = "SELECT key FROM app";
/// Messages of one application before a key of which no delivery is open.
const SETTLED: &str = "SELECT m.key FROM message m WHERE m.app = $1 AND m.key < $2 AND NOT EXISTS (
        SELECT 1 FROM endpoint e JOIN delivery d ON d.app = $1 AND d.endpoint = e.key AND d.message = m.key
        WHERE e.app = $1 AND d.state IN (0, 1, 5))
    ORDER BY m.key LIMIT $3";
const REMOVE_DELIVERIES: &str = concat!(
    "DELETE FROM delivery d USING (SELECT k.app, e.key AS endpoint, k.key AS message FROM endpoint e, ",
    these_keys!(),
    " WHERE e.app = k.app OFFSET 0) AS k WHERE d.app = k.app AND d.endpoint = k.endpoint AND d.message = k.message"
);
const REMOVE_ATTEMPTS: &str = concat!(
    "DELETE FROM attempt a USING ",
    these_keys!(),
    " WHERE a.app = k.app AND a.message = k.key AND a.key >= k.key"
);
const REMOVE_EVENT_IDS: &str = "DELETE FROM event_id WHERE message = ANY ($2::bigint[]) AND app = $1";
const REMOVE_TAGS: &str = "DELETE FROM message_tag WHERE message = ANY ($2::bigint[]) AND app = $1";
const REMOVE_MESSAGES: &str =
    concat!("DELETE FROM message m USING ", these_keys!(), " WHERE m.app = k.app AND m.key = k.key");
const OPEN_BEFORE: &str = "SELECT 1 FROM delivery WHERE message < $1 AND state IN (0, 1, 5) LIMIT 1";
const OLD_EVENT_IDS: &str = "DELETE FROM event_id WHERE (app, event_id) IN
    (SELECT app, event_id FROM event_id WHERE message < $1 ORDER BY message LIMIT $2)";
const OLD_TAGS: &str = "DELETE FROM message_tag WHERE (app, tag, message) IN
    (SELECT app, tag, message FROM message_tag WHERE message < $1 ORDER BY message LIMIT $2)";

/// Ended tasks, and removed endpoints and applications once nothing of theirs is left. The endpoints of a removed
/// application do not say themselves that they are. These are few: no step needs to say that there are more.
const ENDED: [&str; 6] = [
    "DELETE FROM task WHERE id IN
        (SELECT id FROM task WHERE status <> 'running' AND updated_at < $1 ORDER BY updated_at LIMIT $2)",
    "DELETE FROM endpoint WHERE (app, key) IN
        (SELECT e.app, e.key FROM endpoint e WHERE e.deleted_at < $1
            AND NOT EXISTS (SELECT 1 FROM delivery d WHERE d.app = e.app AND d.endpoint = e.key)
            AND NOT EXISTS (SELECT 1 FROM attempt a WHERE a.app = e.app AND a.endpoint = e.key)
         ORDER BY e.deleted_at LIMIT $2)",
    "UPDATE endpoint SET deleted_at = a.deleted_at FROM app a WHERE a.key = endpoint.app AND endpoint.key IN
        (SELECT e.key FROM app r JOIN endpoint e ON e.app = r.key
         WHERE r.deleted_at < $1 AND e.deleted_at IS NULL LIMIT $2) AND a.deleted_at < $1",
    "DELETE FROM webfilter_run WHERE (app, id) IN
        (SELECT r.app, r.id FROM app a JOIN webfilter_run r ON r.app = a.key WHERE a.deleted_at < $1 LIMIT $2)",
    "DELETE FROM webfilter WHERE (app, key) IN
        (SELECT w.app, w.key FROM app a JOIN webfilter w ON w.app = a.key WHERE a.deleted_at < $1 LIMIT $2)",
    "DELETE FROM app WHERE key IN
        (SELECT a.key FROM app a WHERE a.deleted_at < $1
            AND NOT EXISTS (SELECT 1 FROM webfilter w WHERE w.app = a.key)
            AND NOT EXISTS (SELECT 1 FROM webfilter_run r WHERE r.app = a.key)
            AND NOT EXISTS (SELECT 1 FROM endpoint e WHERE e.app = a.key)
            AND NOT EXISTS (SELECT 1 FROM message m WHERE m.app = a.key)
         ORDER BY a.deleted_at LIMIT $2)",
];

impl Postgres {
    pub(super) async fn purge_step(&self, purge: Purge) -> Result<Purged, StoreError> {
        let alone = self.pool.begin().await?;
        if !rows::col::<bool>(&alone.one(ALONE, &[&locks::PURGE]).await?, 0)? {
            return Ok(Purged::default());
        }
        let terms = Terms::read(&alone, &purge).await?;
        let weeks_left = if purge.lazily { self.drop_weeks(&terms, purge.limit).await? } else { false };
        let first_week = self.partitions.weeks().await?.first().copied();
        let limit = purge.limit as i64;
        let tx = self.pool.begin().await?;
        let payloads = tx.execute(PAYLOADS, &[&purge.payload_hour, &limit]).await?;
        let messages = terms.remove_messages(&tx, &purge).await?;
        let answers = tx.execute(ANSWERS, &[&purge.answers_before.as_micros(), &limit]).await?;
        tx.execute(CHANGES, &[]).await?;
        for sql in ENDED {
            tx.execute(sql, &[&purge.rows_before.as_micros(), &limit]).await?;
        }
        given_up::forget_old(&tx, purge.now, limit).await?;
        // Counts stay as long as any application keeps its rows.
        hourly::forget_old(&tx, hour_of_key(terms.longest), first_week, limit).await?;
        tx.commit().await?;
        alone.commit().await?;
        let full = |n: u64| n >= purge.limit as u64;
        let more = weeks_left || full(payloads) || full(messages) || full(answers);
        Ok(Purged { payloads, messages, answers, more })
    }

    /// Drops weeks in which everything is past its time, oldest first, as long as nothing in them is open. Attempts of a
    /// week belong to messages of that week or of one before it, so what is left behind has its messages. Answers whether
    /// event ids or tags of such a week are left, which go first.
    async fn drop_weeks(&self, terms: &Terms, limit: usize) -> Result<bool, StoreError> {
        for week in self.partitions.weeks().await? {
            let end = first_key(week + 1);
            if end > terms.longest || week >= week_of(terms.longest) {
                return Ok(false);
            }
            if !self.pool.read(OPEN_BEFORE, &[&end]).await?.is_empty() {
                return Ok(false);
            }
            for sql in [OLD_EVENT_IDS, OLD_TAGS] {
                if self.pool.execute(sql, &[&end, &(limit as i64)]).await? >= limit as u64 {
                    return Ok(true);
                }
            }
            match self.partitions.drop_week(week).await {
                Ok(()) => {}
                Err(StoreError::Busy) => return Ok(false),
                Err(e) => return Err(e),
            }
        }
        Ok(false)
    }
}

/// Before which keys messages may go.
struct Terms {
    /// Where nobody says otherwise.
    rest: i64,
    /// Applications that say otherwise, or whose organizations do.
    own: HashMap<i64, i64>,
    /// The earliest of all.
    longest: i64,
}

impl Terms {
    async fn read(tx: &Tx, purge: &Purge) -> Result<Self, StoreError> {
        let rest = Ksuid::lowest_at(purge.rows_before).head();
        let mut own = HashMap::new();
        for row in &tx.all(TERMS, &[]).await? {
            let key: i64 = rows::col(row, 0)?;
            let app: ApplicationOptions = rows::from_json(rows::col(row, 1)?, "app", "options", key)?;
            let organization = match rows::col::<Option<&str>>(row, 2)? {
                Some(text) => rows::from_json::<OrganizationOptions>(text, "organization", "options", key)?.retention,
                None => Default::default(),
            };
            if let Some(days) = app.retention.or(organization).attempt_days {
                own.insert(key, key_before(purge.now, days.into()));
            }
        }
        let longest = own.values().copied().chain([rest]).min().unwrap_or(rest);
        Ok(Self { rest, own, longest })
    }

    /// Removes messages one by one: of applications whose time is shorter than that of the weeks, and of the others unless
    /// they may go with their week.
    async fn remove_messages(&self, tx: &Tx, purge: &Purge) -> Result<u64, StoreError> {
        let mut removed = 0;
        let apps: Vec<i64> = match purge.lazily && self.rest == self.longest {
            true => self.own.keys().copied().collect(),
            false => tx.all(APPS, &[]).await?.iter().map(|row| rows::col(row, 0)).collect::<Result<_, _>>()?,
        };
        for app in apps {
            let before = self.own.get(&app).copied().unwrap_or(self.rest);
            if purge.lazily && before <= self.longest {
                continue;
            }
            let left = (purge.limit as i64).saturating_sub(removed as i64);
            if left <= 0 {
                break;
            }
            let found = tx.all(SETTLED, &[&app, &before, &left]).await?;
            let keys: Vec<i64> = found.iter().map(|row| rows::col(row, 0)).collect::<Result<_, _>>()?;
            for sql in [REMOVE_DELIVERIES, REMOVE_ATTEMPTS, REMOVE_EVENT_IDS, REMOVE_TAGS, REMOVE_MESSAGES] {
                tx.execute(sql, &[&app, &keys]).await?;
            }
            removed += keys.len() as u64;
        }
        Ok(removed)
    }
}

fn key_before(now: Timestamp, days: u64) -> i64 {
    Ksuid::lowest_at(now.minus(Duration::from_secs(days * 86_400))).head()
}
