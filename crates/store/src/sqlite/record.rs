//! Writing the result of a try, inside the shared transaction. Guarded by the lease: a late result changes nothing.

use super::{failed, given_up, writer::Tx};
use crate::{
    error::StoreError,
    queue::{NewAttempt, Record, Settle},
};
use domain::{AppKey, DeliveryRef, OrderKey, Timestamp, Trigger};
use rusqlite::{OptionalExtension as _, params};

/// Where a delivery goes: the columns `state`, `due_at`, `resume_state`, `resume_due`, `trigger`.
#[derive(Clone, Copy)]
struct Next {
    state: i64,
    due: Option<i64>,
    resume: Option<(i64, Option<i64>)>,
    trigger: i64,
}

impl Next {
    fn settled(state: i64) -> Self {
        Self { state, due: None, resume: None, trigger: 0 }
    }
    fn waiting(due: i64) -> Self {
        Self { state: 0, due: Some(due), resume: None, trigger: 0 }
    }
}

/// Writes one result.
pub(super) fn record(tx: &mut Tx<'_>, record: &Record) -> Result<(), StoreError> {
    let plain = match record.settle {
        Settle::Delivered => Some(Next::settled(2)),
        Settle::Failed => Some(Next::settled(3)),
        Settle::Cancelled => Some(Next::settled(4)),
        Settle::RetryAt(at) => Some(Next::waiting(at.as_micros())),
        Settle::AsPlanned => None,
    };
    let quick = match plain {
        Some(next) => settle(tx, record, next, true)?,
        None => false,
    };
    if !quick && !slow(tx, record, plain)? {
        tx.commit.lost.push(record.delivery);
        return Ok(());
    }
    if let Some(attempt) = &record.attempt {
        insert_attempt(tx, &record.delivery, attempt)?;
    }
    if let Some(what) = record.given_up {
        given_up::count(tx, record.delivery.to, what, record.now)?;
    }
    if let Some(key) = &record.order_key {
        release_next(tx, record, key)?;
    }
    Ok(())
}

/// Moves the delivery on. With `unless_again`, only if no manual try was asked for meanwhile.
fn settle(tx: &mut Tx<'_>, record: &Record, next: Next, unless_again: bool) -> Result<bool, StoreError> {
    let (resume_state, resume_due) = next.resume.map_or((None, None), |(s, d)| (Some(s), d));
    let changed = tx
        .conn
        .prepare_cached(
            "UPDATE delivery SET state = ?4, due_at = ?5, tries = ?6, queue = 1, trigger = ?7, lease = NULL,
                    resume_state = ?8, resume_due = ?9, again = 0
             WHERE endpoint = ?1 AND message = ?2 AND state = 1 AND lease = ?3 AND (again = 0 OR ?10 = 0)",
        )
        .and_then(|mut s| {
            s.execute(params![
                record.delivery.to.endpoint.0,
                record.delivery.message.0.head(),
                tx.boot,
                next.state,
                next.due,
                record.tries,
                next.trigger,
                resume_state,
                resume_due,
                unless_again,
            ])
        })
        .map_err(failed)?;
    if changed == 1
        && let Some(due) = next.due
    {
        tx.commit.due.push((record.delivery.to, Timestamp::from_micros(due)));
    }
    Ok(changed == 1)
}

/// The cases that need to look first: a manual try that failed, or one that was asked for meanwhile.
fn slow(tx: &mut Tx<'_>, record: &Record, plain: Option<Next>) -> Result<bool, StoreError> {
    let row: Option<(bool, Option<i64>, Option<i64>)> = tx
        .conn
        .prepare_cached(
            "SELECT again, resume_state, resume_due FROM delivery
             WHERE endpoint = ?1 AND message = ?2 AND state = 1 AND lease = ?3",
        )
        .and_then(|mut s| {
            s.query_row(params![record.delivery.to.endpoint.0, record.delivery.message.0.head(), tx.boot], |r| {
                Ok((r.get(0)?, r.get(1)?, r.get(2)?))
            })
            .optional()
        })
        .map_err(failed)?;
    let Some((again, resume_state, resume_due)) = row else { return Ok(false) };
    let planned = plain.unwrap_or(match (resume_state, resume_due) {
        (Some(0), Some(due)) => Next::waiting(due),
        (Some(state), _) if state != 0 => Next::settled(state),
        _ => Next::settled(3),
    });
    let next = if again && record.settle != Settle::Cancelled {
        Next { state: 0, due: Some(record.now.as_micros()), resume: Some((planned.state, planned.due)), trigger: 1 }
    } else {
        planned
    };
    settle(tx, record, next, false)
}

fn insert_attempt(tx: &Tx<'_>, delivery: &DeliveryRef, attempt: &NewAttempt) -> Result<(), StoreError> {
    let AppKey(app) = delivery.to.app;
    tx.conn
        .prepare_cached(
            "INSERT INTO attempt (key, tail, app, endpoint, message, at, status, trigger, response_status, duration_ms,
                                  reason, url, response)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
        )
        .and_then(|mut s| {
            s.execute(params![
                attempt.id.0.head(),
                attempt.id.0.tail(),
                app,
                delivery.to.endpoint.0,
                delivery.message.0.head(),
                attempt.at.as_micros(),
                if attempt.success { 0 } else { 2 },
                match attempt.trigger {
                    Trigger::Scheduled => 0,
                    Trigger::Manual => 1,
                },
                attempt.response_status,
                attempt.duration_ms,
                attempt.reason.map(|r| r.code()),
                &*attempt.url,
                attempt.response,
            ])
        })
        .map_err(failed)?;
    Ok(())
}

/// A settled delivery lets the next of its order key go.
fn release_next(tx: &mut Tx<'_>, record: &Record, key: &OrderKey) -> Result<(), StoreError> {
    if matches!(record.settle, Settle::RetryAt(_)) {
        return Ok(());
    }
    release_first_held(tx, record.delivery, key, record.now)
}

/// Lets the first held delivery of an order key go, if none of the key is open.
pub(super) fn release_first_held(
    tx: &mut Tx<'_>,
    delivery: DeliveryRef,
    key: &OrderKey,
    now: Timestamp,
) -> Result<(), StoreError> {
    let released = tx
        .conn
        .prepare_cached(
            "UPDATE delivery SET state = 0, due_at = ?3
             WHERE endpoint = ?1 AND message = (
                SELECT message FROM delivery
                WHERE endpoint = ?1 AND order_key = ?2 AND order_key IS NOT NULL AND state IN (0, 1, 5)
                ORDER BY message LIMIT 1)
             AND state = 5",
        )
        .and_then(|mut s| s.execute(params![delivery.to.endpoint.0, key.as_str(), now.as_micros()]))
        .map_err(failed)?;
    if released == 1 {
        tx.commit.due.push((delivery.to, now));
    }
    Ok(())
}
