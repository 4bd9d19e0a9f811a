//! Counts of messages that were given up, by endpoint and hour; written with the results that they come from.

use super::{connect::Conn, pool::Tx, rows};
use crate::{
    error::StoreError,
    queue::{Commit, Record, hour_of},
};
use domain::{AppKey, Endpoint, EndpointKey, EndpointRef, GivenUp, GivenUpCount, Timestamp};
use std::collections::BTreeMap;

/// In the order of the keys, so that nodes do not wait for each other in a circle.
const ADD: &str = "INSERT INTO given_up AS g (app, endpoint, hour, timeouts, errors)
    SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[])
    ON CONFLICT (app, endpoint, hour)
    DO UPDATE SET timeouts = g.timeouts + excluded.timeouts, errors = g.errors + excluded.errors";
const SUMS: &str = "SELECT k.app, k.endpoint, sum(g.timeouts)::bigint, sum(g.errors)::bigint
    FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS k (app, endpoint, hour)
    JOIN given_up g ON g.app = k.app AND g.endpoint = k.endpoint AND g.hour > k.hour - $4 AND g.hour <= k.hour
    GROUP BY k.app, k.endpoint, k.hour ORDER BY k.hour";
const BEGIN_ANEW: &str = "DELETE FROM given_up WHERE app = $1 AND endpoint = $2";
const FORGET: &str = "DELETE FROM given_up WHERE (app, endpoint, hour) IN
    (SELECT app, endpoint, hour FROM given_up WHERE hour <= $1 LIMIT $2 FOR UPDATE SKIP LOCKED)";

/// Counts the messages of these results, and tells the engine how many there are in a day now. Within a transaction.
pub(super) async fn count(
    conn: &Conn,
    records: impl Iterator<Item = &Record>,
    commit: &mut Commit,
) -> Result<(), StoreError> {
    let mut new: BTreeMap<(EndpointRef, i64), (i64, i64)> = BTreeMap::new();
    for record in records {
        let Some(what) = record.given_up else { continue };
        let (timeouts, errors) = new.entry((record.delivery.to, hour_of(record.now))).or_default();
        match what {
            GivenUp::Timeout => *timeouts += 1,
            GivenUp::Error => *errors += 1,
        }
    }
    if new.is_empty() {
        return Ok(());
    }
    let apps: Vec<i64> = new.keys().map(|(to, _)| to.app.0).collect();
    let endpoints: Vec<i64> = new.keys().map(|(to, _)| to.endpoint.0).collect();
    let hours: Vec<i64> = new.keys().map(|(_, hour)| *hour).collect();
    let timeouts: Vec<i64> = new.values().map(|n| n.0).collect();
    let errors: Vec<i64> = new.values().map(|n| n.1).collect();
    conn.execute(ADD, &[&apps, &endpoints, &hours, &timeouts, &errors]).await?;
    for row in &conn.all(SUMS, &[&apps, &endpoints, &hours, &GivenUpCount::HOURS]).await? {
        let to = EndpointRef { app: AppKey(rows::col(row, 0)?), endpoint: EndpointKey(rows::col(row, 1)?) };
        let sum = |n| rows::col::<i64>(row, n).map(|sum| u64::try_from(sum).unwrap_or_default());
        let count = GivenUpCount { timeouts: sum(2)?, errors: sum(3)? };
        commit.given_up.retain(|(of, _)| *of != to);
        commit.given_up.push((to, count));
    }
    Ok(())
}

/// The count of an endpoint that is switched off begins anew.
pub(super) async fn begin_anew(tx: &Tx, endpoint: &Endpoint) -> Result<(), StoreError> {
    tx.execute(BEGIN_ANEW, &[&endpoint.app.0, &endpoint.key.0]).await.map(|_| ())
}

/// Removes what counts no more.
pub(super) async fn forget_old(tx: &Tx, now: Timestamp, limit: i64) -> Result<(), StoreError> {
    tx.execute(FORGET, &[&(hour_of(now) - GivenUpCount::HOURS), &limit]).await.map(|_| ())
}
