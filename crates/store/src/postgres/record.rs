//! Writing the results of tries: many in one statement. Guarded by the lease: a late result changes nothing.

use super::{connect::Conn, locks, rows};
use crate::{
    error::StoreError,
    queue::{Commit, Record, Settle},
};
use domain::{AppKey, EndpointKey, EndpointRef, Timestamp, Trigger};

/// Where a delivery stands if nobody asked for another try: as the result says, or as was planned before a manual try.
macro_rules! planned_state {
    () => {
        "CASE WHEN r.state >= 0 THEN r.state WHEN d.resume_state = 0 AND d.resume_due IS NULL THEN 3
              ELSE coalesce(d.resume_state, 3) END"
    };
}
macro_rules! planned_due {
    () => {
        "CASE WHEN r.state >= 0 THEN r.due_at WHEN d.resume_state = 0 THEN d.resume_due END"
    };
}

/// Moves deliveries on and stores their attempts; answers the places of those whose lease was ours, with what they are
/// now. `state` of a result is -1 where a manual try failed: back to what was planned. A manual try that was asked for
/// meanwhile (`again`) follows now, and what would have come instead is planned after it.
///
/// What is asked of a delivery beside its key comes with the keys, out of the planner's sight (`OFFSET 0`): it would take
/// "leased to this node" to be the rarer condition, and go through all that is on its way once for each batch.
pub(super) const RECORD: &str = concat!(
    "WITH r AS (
        SELECT n.*, $1::bigint AS lease, 1::smallint AS sending
        FROM unnest($2::bigint[], $3::bigint[], $4::bigint[], $5::smallint[], $6::bigint[], $7::integer[],
            $8::bigint[], $9::bigint[], $10::bytea[], $11::bigint[], $12::bigint[], $13::integer[], $14::smallint[],
            $15::smallint[], $16::text[], $17::text[], $18::bytea[]) WITH ORDINALITY
        AS n (app, endpoint, message, state, due_at, tries, now, key, tail, at, duration_ms, response_status, status,
            trigger, reason, url, response, place) OFFSET 0
    ), u AS (
        UPDATE delivery d SET
            state = CASE WHEN d.again AND r.state <> 4 THEN 0 ELSE ",
    planned_state!(),
    " END, due_at = CASE WHEN d.again AND r.state <> 4 THEN r.now ELSE ",
    planned_due!(),
    " END, resume_state = CASE WHEN d.again AND r.state <> 4 THEN ",
    planned_state!(),
    " END, resume_due = CASE WHEN d.again AND r.state <> 4 THEN ",
    planned_due!(),
    " END, trigger = CASE WHEN d.again AND r.state <> 4 THEN 1 ELSE 0 END,
            tries = r.tries, queue = 1, lease = NULL, again = false
        FROM r
        WHERE d.app = r.app AND d.endpoint = r.endpoint AND d.message = r.message AND d.state = r.sending
            AND d.lease = r.lease
        RETURNING r.*, d.due_at AS next_due
    ), a AS (
        INSERT INTO attempt (app, key, tail, endpoint, message, at, duration_ms, response_status, status, trigger,
            reason, url, response)
        SELECT app, key, tail, endpoint, message, at, duration_ms, response_status, status, trigger, reason, url,
            response
        FROM u WHERE key IS NOT NULL
    )
    SELECT place, next_due FROM u"
);
/// Lets the first held delivery of each order key go, in the order of commits, if none of the key is open.
pub(super) const RELEASE: &str = "UPDATE delivery d SET state = 0, due_at = k.now
    FROM (SELECT n.app, n.endpoint, n.now, f.message, f.state
        FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::bigint[]) AS n (app, endpoint, order_key, now),
            LATERAL (SELECT f.message, f.state FROM delivery f
                WHERE f.app = n.app AND f.endpoint = n.endpoint AND f.order_key = n.order_key AND f.order_key IS NOT NULL
                    AND f.state IN (0, 1, 5) ORDER BY f.place NULLS FIRST, f.message LIMIT 1) f
        WHERE f.state = 5 OFFSET 0) AS k
    WHERE d.app = k.app AND d.endpoint = k.endpoint AND d.message = k.message AND d.state = k.state
    RETURNING d.app, d.endpoint, d.due_at";

/// What a connection that records prepares first.
pub(super) const STATEMENTS: &[&str] = &[RECORD];

/// Writes results in one transaction, and says in `commit` what the engine has to hear.
pub(super) async fn record_all(
    conn: &Conn,
    lease: i64,
    records: &[&Record],
    commit: &mut Commit,
) -> Result<(), StoreError> {
    let keyed: Vec<&Record> = records.iter().copied().filter(|r| r.order_key.is_some()).collect();
    if keyed.is_empty() {
        // One statement is a transaction by itself.
        return write(conn, lease, records, commit).await.map(|_| ());
    }
    conn.batch("BEGIN").await?;
    let written = async {
        locks::take(conn, keyed.iter().map(|r| locks::of_endpoint(r.delivery.to)).collect()).await?;
        let ours = write(conn, lease, records, commit).await?;
        let settled = records.iter().zip(ours).filter(|(r, ours)| *ours && !matches!(r.settle, Settle::RetryAt(_)));
        let keys = settled.filter_map(|(r, _)| Some((r.delivery.to, r.order_key.as_ref()?.as_str(), r.now)));
        release_first_held(conn, keys.collect(), commit).await
    };
    match written.await {
        Ok(()) => conn.batch("COMMIT").await,
        Err(e) => {
            // Without the connection there is nothing to undo.
            let _ = conn.batch("ROLLBACK").await;
            Err(e)
        }
    }
}

/// Whether each result's lease was ours.
async fn write(conn: &Conn, lease: i64, records: &[&Record], commit: &mut Commit) -> Result<Vec<bool>, StoreError> {
    let each = |f: fn(&Record) -> i64| records.iter().map(|r| f(r)).collect::<Vec<i64>>();
    let attempts = || records.iter().map(|r| r.attempt.as_ref());
    let states: Vec<i16> = records.iter().map(|r| state(r.settle)).collect();
    let due: Vec<Option<i64>> = records.iter().map(|r| due(r.settle)).collect();
    let tries: Vec<i32> = records.iter().map(|r| i32::try_from(r.tries).unwrap_or(i32::MAX)).collect();
    let keys: Vec<Option<i64>> = attempts().map(|a| a.map(|a| a.id.0.head())).collect();
    let tails: Vec<Option<[u8; 12]>> = attempts().map(|a| a.map(|a| a.id.0.tail())).collect();
    let tails: Vec<Option<&[u8]>> = tails.iter().map(|t| t.as_ref().map(|t| &t[..])).collect();
    let at: Vec<Option<i64>> = attempts().map(|a| a.map(|a| a.at.as_micros())).collect();
    let duration: Vec<Option<i64>> = attempts().map(|a| a.map(|a| i64::from(a.duration_ms))).collect();
    let answered: Vec<Option<i32>> = attempts().map(|a| a.map(|a| i32::from(a.response_status))).collect();
    let status: Vec<Option<i16>> = attempts().map(|a| a.map(|a| if a.success { 0 } else { 2 })).collect();
    let trigger: Vec<Option<i16>> = attempts()
        .map(|a| {
            a.map(|a| match a.trigger {
                Trigger::Scheduled => 0,
                Trigger::Manual => 1,
            })
        })
        .collect();
    let reason: Vec<Option<&str>> = attempts().map(|a| a.and_then(|a| a.reason).map(|r| r.code())).collect();
    let url: Vec<Option<&str>> = attempts().map(|a| a.map(|a| &*a.url)).collect();
    let response: Vec<Option<&[u8]>> = attempts().map(|a| a.map(|a| a.response.as_bytes())).collect();
    let written = conn
        .all(
            RECORD,
            &[
                &lease,
                &each(|r| r.delivery.to.app.0),
                &each(|r| r.delivery.to.endpoint.0),
                &each(|r| r.delivery.message.0.head()),
                &states,
                &due,
                &tries,
                &each(|r| r.now.as_micros()),
                &keys,
                &tails,
                &at,
                &duration,
                &answered,
                &status,
                &trigger,
                &reason,
                &url,
                &response,
            ],
        )
        .await?;
    let mut ours = vec![false; records.len()];
    for row in &written {
        let place = usize::try_from(rows::col::<i64>(row, 0)? - 1).unwrap_or(usize::MAX);
        let Some(record) = records.get(place) else { continue };
        ours[place] = true;
        if let Some(due) = rows::col::<Option<i64>>(row, 1)? {
            commit.due.push((record.delivery.to, Timestamp::from_micros(due)));
        }
    }
    commit.lost.extend(records.iter().zip(&ours).filter(|(_, ours)| !**ours).map(|(r, _)| r.delivery));
    Ok(ours)
}

fn state(settle: Settle) -> i16 {
    match settle {
        Settle::RetryAt(_) => 0,
        Settle::Delivered => 2,
        Settle::Failed => 3,
        Settle::Cancelled => 4,
        Settle::AsPlanned => -1,
    }
}

fn due(settle: Settle) -> Option<i64> {
    match settle {
        Settle::RetryAt(at) => Some(at.as_micros()),
        _ => None,
    }
}

/// Lets the next of each order key go. The caller holds the endpoints' locks.
pub(super) async fn release_first_held(
    conn: &Conn,
    mut keys: Vec<(EndpointRef, &str, Timestamp)>,
    commit: &mut Commit,
) -> Result<(), StoreError> {
    keys.sort_unstable();
    keys.dedup_by_key(|(to, key, _)| (*to, *key));
    if keys.is_empty() {
        return Ok(());
    }
    let apps: Vec<i64> = keys.iter().map(|k| k.0.app.0).collect();
    let endpoints: Vec<i64> = keys.iter().map(|k| k.0.endpoint.0).collect();
    let names: Vec<&str> = keys.iter().map(|k| k.1).collect();
    let now: Vec<i64> = keys.iter().map(|k| k.2.as_micros()).collect();
    for row in &conn.all(RELEASE, &[&apps, &endpoints, &names, &now]).await? {
        let to = EndpointRef { app: AppKey(rows::col(row, 0)?), endpoint: EndpointKey(rows::col(row, 1)?) };
        commit.due.push((to, Timestamp::from_micros(rows::col(row, 2)?)));
    }
    Ok(())
}
