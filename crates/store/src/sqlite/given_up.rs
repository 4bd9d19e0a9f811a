//! Counts of messages that were given up, by endpoint and hour; written with the results that they come from.

use super::{failed, writer::Tx};
use crate::{error::StoreError, queue::hour_of};
use domain::{Endpoint, EndpointRef, GivenUp, GivenUpCount, Timestamp};
use rusqlite::{Connection, params};

/// Counts one message, and tells the engine how many there are in a day now.
pub(super) fn count(tx: &mut Tx<'_>, to: EndpointRef, what: GivenUp, now: Timestamp) -> Result<(), StoreError> {
    let (timeouts, errors) = match what {
        GivenUp::Timeout => (1, 0),
        GivenUp::Error => (0, 1),
    };
    let hour = hour_of(now);
    tx.conn
        .prepare_cached(
            "INSERT INTO given_up (app, endpoint, hour, timeouts, errors) VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT (app, endpoint, hour)
             DO UPDATE SET timeouts = timeouts + excluded.timeouts, errors = errors + excluded.errors",
        )
        .and_then(|mut s| s.execute(params![to.app.0, to.endpoint.0, hour, timeouts, errors]))
        .map_err(failed)?;
    let count = tx
        .conn
        .prepare_cached(
            "SELECT sum(timeouts), sum(errors) FROM given_up
             WHERE app = ?1 AND endpoint = ?2 AND hour > ?3 AND hour <= ?4",
        )
        .and_then(|mut s| {
            s.query_row(params![to.app.0, to.endpoint.0, hour - GivenUpCount::HOURS, hour], |r| {
                Ok(GivenUpCount { timeouts: natural(r.get(0)?), errors: natural(r.get(1)?) })
            })
        })
        .map_err(failed)?;
    // Of several in one commit, the last one says it all.
    tx.commit.given_up.retain(|(of, _)| *of != to);
    tx.commit.given_up.push((to, count));
    Ok(())
}

fn natural(n: i64) -> u64 {
    u64::try_from(n).unwrap_or_default()
}

/// The count of an endpoint that is switched off begins anew.
pub(super) fn begin_anew(conn: &Connection, endpoint: &Endpoint) -> Result<(), StoreError> {
    conn.prepare_cached("DELETE FROM given_up WHERE app = ?1 AND endpoint = ?2")
        .and_then(|mut s| s.execute(params![endpoint.app.0, endpoint.key.0]))
        .map(|_| ())
        .map_err(failed)
}

/// Removes what counts no more.
pub(super) fn forget_old(conn: &Connection, now: Timestamp, limit: usize) -> Result<(), StoreError> {
    conn.prepare_cached(
        "DELETE FROM given_up WHERE (app, endpoint, hour) IN
            (SELECT app, endpoint, hour FROM given_up WHERE hour <= ?1 LIMIT ?2)",
    )
    .and_then(|mut s| s.execute(params![hour_of(now) - GivenUpCount::HOURS, limit as i64]))
    .map(|_| ())
    .map_err(failed)
}
