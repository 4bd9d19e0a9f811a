//! Leasing what is due, giving it back, and the other moves of a delivery that are not the result of a try.

use super::{Sqlite, failed, record::release_first_held, rows, writer::Tx};
use crate::{
    error::StoreError,
    queue::{Claimed, Leased, Outgoing},
};
use domain::{AppKey, DeliveryRef, EndpointKey, EndpointRef, Ksuid, MessageId, OrderKey, Timestamp, Trigger};
use rusqlite::{Connection, OptionalExtension as _, params};
use std::sync::Arc;

impl Sqlite {
    pub(super) async fn claim_due(
        &self,
        to: EndpointRef,
        now: Timestamp,
        limit: usize,
        max_bytes: usize,
        fresh_only: bool,
    ) -> Result<Claimed, StoreError> {
        self.write(move |tx| {
            let mut deliveries = Vec::new();
            let mut bytes = 0;
            let queues: &[i64] = if fresh_only { &[0] } else { &[0, 1] };
            for queue in queues {
                for due in due_in(tx, to, *queue, now, limit - deliveries.len())? {
                    if bytes > max_bytes {
                        break;
                    }
                    if let Some(leased) = lease(tx, to, due)? {
                        bytes += leased.message.payload.len();
                        deliveries.push(leased);
                    }
                }
            }
            Ok(Claimed { deliveries, next_due: next_due(tx.conn, to.endpoint, tx.boot)? })
        })
        .await
    }

    pub(super) async fn give_back(&self, deliveries: Vec<DeliveryRef>, now: Timestamp) -> Result<(), StoreError> {
        self.write(move |tx| {
            for d in deliveries {
                let changed = tx
                    .conn
                    .prepare_cached(
                        "UPDATE delivery SET state = 0, lease = NULL
                         WHERE endpoint = ?1 AND message = ?2 AND state = 1 AND lease = ?3",
                    )
                    .and_then(|mut s| s.execute(params![d.to.endpoint.0, d.message.0.head(), tx.boot]))
                    .map_err(failed)?;
                if changed == 1 {
                    tx.commit.due.push((d.to, now));
                }
            }
            Ok(())
        })
        .await
    }

    pub(super) async fn endpoints_with_backlog(&self) -> Result<Vec<(EndpointRef, Timestamp)>, StoreError> {
        let boot = self.boot;
        self.read(move |conn| {
            let mut found = Vec::new();
            let mut after = i64::MIN;
            // One seek per endpoint, however much waits there.
            while let Some((endpoint, app)) = conn
                .prepare_cached(
                    "SELECT endpoint, app FROM delivery INDEXED BY delivery_open
                     WHERE state IN (0, 1) AND endpoint > ?1 ORDER BY endpoint LIMIT 1",
                )
                .and_then(|mut s| s.query_row([after], |r| Ok((r.get(0)?, r.get(1)?))).optional())
                .map_err(failed)?
            {
                after = endpoint;
                if let Some(due) = next_due(conn, EndpointKey(endpoint), boot)? {
                    found.push((EndpointRef { app: AppKey(app), endpoint: EndpointKey(endpoint) }, due));
                }
            }
            Ok(found)
        })
        .await
    }

    pub(super) async fn count_open(&self) -> Result<(u64, Option<Timestamp>), StoreError> {
        self.read(|conn| {
            let (n, oldest): (i64, Option<i64>) = conn
                .prepare_cached(
                    "SELECT count(*), min(due_at) FROM delivery INDEXED BY delivery_open WHERE state IN (0, 1)",
                )
                .and_then(|mut s| s.query_row([], |r| Ok((r.get(0)?, r.get(1)?))))
                .map_err(failed)?;
            let held: i64 = conn
                .prepare_cached(
                    "SELECT count(*) FROM delivery INDEXED BY delivery_order
                     WHERE order_key IS NOT NULL AND state IN (0, 1, 5) AND state = 5",
                )
                .and_then(|mut s| s.query_row([], |r| r.get(0)))
                .map_err(failed)?;
            Ok((u64::try_from(n + held).unwrap_or(0), oldest.map(Timestamp::from_micros)))
        })
        .await
    }

    pub(super) async fn ask_again(&self, d: DeliveryRef, now: Timestamp) -> Result<bool, StoreError> {
        self.write(move |tx| {
            let Some(message) = rows::message_to_send(tx.conn, d.message.0.head(), false)? else {
                return Err(StoreError::NotFound);
            };
            if message.meta.id != d.message || message.meta.app != d.to.app {
                return Err(StoreError::NotFound);
            }
            let there: bool = tx
                .conn
                .prepare_cached("SELECT payload IS NOT NULL FROM message WHERE key = ?1")
                .and_then(|mut s| s.query_row([d.message.0.head()], |r| r.get(0)))
                .map_err(failed)?;
            if there {
                manual_try(tx, d, now)?;
            }
            Ok(there)
        })
        .await
    }

    pub(super) async fn cancel(&self, to: EndpointRef, before: Timestamp, limit: usize) -> Result<usize, StoreError> {
        self.write(move |tx| cancel_some(tx, to, before, limit)).await
    }
}

/// Cancels up to `limit` deliveries that wait or are held.
pub(super) fn cancel_some(
    tx: &mut Tx<'_>,
    to: EndpointRef,
    before: Timestamp,
    limit: usize,
) -> Result<usize, StoreError> {
    let before = Ksuid::lowest_at(before).head();
    let mut statement = tx
        .conn
        .prepare_cached(
            // By the indexes that hold open ones only: settled ones may be millions.
            "SELECT message, order_key FROM delivery INDEXED BY delivery_open
                     WHERE endpoint = ?1 AND message < ?2 AND state IN (0, 1) AND (state = 0 OR lease <> ?3)
                     UNION ALL
                     SELECT message, order_key FROM delivery INDEXED BY delivery_order
                     WHERE endpoint = ?1 AND message < ?2 AND order_key IS NOT NULL AND state IN (0, 1, 5) AND state = 5
                     LIMIT ?4",
        )
        .map_err(failed)?;
    let found: Vec<(i64, Option<String>)> = statement
        .query_map(params![to.endpoint.0, before, tx.boot, limit as i64], |r| Ok((r.get(0)?, r.get(1)?)))
        .and_then(Iterator::collect)
        .map_err(failed)?;
    for (message, _) in &found {
        tx.conn
            .prepare_cached(
                // A manual try of a settled delivery leaves it as it was.
                "UPDATE delivery SET due_at = NULL, lease = NULL, resume_state = NULL, resume_due = NULL,
                                again = 0, trigger = 0,
                                state = iif(trigger = 1 AND resume_state IN (2, 3), resume_state, 4)
                         WHERE endpoint = ?1 AND message = ?2",
            )
            .and_then(|mut s| s.execute(params![to.endpoint.0, message]))
            .map_err(failed)?;
    }
    // A key whose open deliveries are gone lets its next one go.
    let mut keys: Vec<_> = found.iter().filter_map(|(m, k)| Some((*m, k.as_deref()?))).collect();
    keys.sort_unstable_by_key(|(_, k)| *k);
    keys.dedup_by_key(|(_, k)| *k);
    for (message, key) in keys {
        if let Ok(key) = OrderKey::new(key) {
            let delivery = DeliveryRef { to, message: MessageId(Ksuid::from_parts(message, [0; 12])) };
            release_first_held(tx, delivery, &key, Timestamp::from_micros(0))?;
        }
    }
    Ok(found.len())
}

struct Due {
    message: i64,
    tries: u32,
    trigger: i64,
}

/// Deliveries of one queue that are due and that this run does not hold, by due time.
fn due_in(tx: &Tx<'_>, to: EndpointRef, queue: i64, now: Timestamp, limit: usize) -> Result<Vec<Due>, StoreError> {
    let mut statement = tx
        .conn
        .prepare_cached(
            "SELECT message, tries, trigger FROM delivery INDEXED BY delivery_open
             WHERE endpoint = ?1 AND queue = ?2 AND due_at <= ?3 AND state IN (0, 1)
               AND (state = 0 OR lease <> ?4)
             ORDER BY due_at LIMIT ?5",
        )
        .map_err(failed)?;
    statement
        .query_map(params![to.endpoint.0, queue, now.as_micros(), tx.boot, limit as i64], |r| {
            Ok(Due { message: r.get(0)?, tries: r.get(1)?, trigger: r.get(2)? })
        })
        .and_then(Iterator::collect)
        .map_err(failed)
}

/// Leases one delivery. Without its payload it can never be sent: it is cancelled instead.
fn lease(tx: &Tx<'_>, to: EndpointRef, due: Due) -> Result<Option<Leased>, StoreError> {
    let message = rows::message_to_send(tx.conn, due.message, true)?;
    let sendable = message.and_then(|m| m.payload.map(|payload| (m.meta, payload)));
    let Some((meta, payload)) = sendable else {
        tx.conn
            .prepare_cached(
                "UPDATE delivery SET state = 4, due_at = NULL, lease = NULL, again = 0 WHERE endpoint = ?1 AND message = ?2",
            )
            .and_then(|mut s| s.execute(params![to.endpoint.0, due.message]))
            .map_err(failed)?;
        return Ok(None);
    };
    tx.conn
        .prepare_cached("UPDATE delivery SET state = 1, lease = ?3 WHERE endpoint = ?1 AND message = ?2")
        .and_then(|mut s| s.execute(params![to.endpoint.0, due.message, tx.boot]))
        .map_err(failed)?;
    Ok(Some(Leased {
        delivery: DeliveryRef { to, message: meta.id },
        message: Arc::new(Outgoing { meta, payload, budget: None }),
        tries: due.tries,
        trigger: if due.trigger == 0 { Trigger::Scheduled } else { Trigger::Manual },
        ticket: None,
    }))
}

/// When the first delivery of an endpoint that this run does not hold is due.
fn next_due(conn: &Connection, endpoint: EndpointKey, boot: i64) -> Result<Option<Timestamp>, StoreError> {
    let mut first: Option<i64> = None;
    for queue in [0, 1] {
        let due: Option<i64> = conn
            .prepare_cached(
                "SELECT due_at FROM delivery INDEXED BY delivery_open
                 WHERE endpoint = ?1 AND queue = ?2 AND state IN (0, 1) AND (state = 0 OR lease <> ?3)
                 ORDER BY due_at LIMIT 1",
            )
            .and_then(|mut s| s.query_row(params![endpoint.0, queue, boot], |r| r.get(0)).optional())
            .map_err(failed)?;
        first = match (first, due) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
    }
    Ok(first.map(Timestamp::from_micros))
}

/// Puts one manual try into the queue. What was planned stays planned, should the try fail.
pub(super) fn manual_try(tx: &mut Tx<'_>, d: DeliveryRef, now: Timestamp) -> Result<(), StoreError> {
    let (endpoint, message) = (d.to.endpoint.0, d.message.0.head());
    // A new delivery; or one that is settled, waits or is held; or, on the wire, one more try after it.
    tx.conn
        .prepare_cached(
            "INSERT INTO delivery (endpoint, message, app, state, queue, due_at, tries, trigger, resume_state)
             VALUES (?1, ?2, ?3, 0, 1, ?4, 0, 1, 3)
             ON CONFLICT (endpoint, message) DO UPDATE SET
                again = iif(state = 1, 1, 0),
                resume_state = iif(state = 1 OR (state = 0 AND trigger = 1), resume_state, state),
                resume_due = iif(state = 1 OR (state = 0 AND trigger = 1), resume_due, due_at),
                trigger = iif(state = 1, trigger, 1),
                queue = iif(state = 1, queue, 1),
                due_at = iif(state = 1, due_at, ?4),
                state = iif(state = 1, 1, 0)",
        )
        .and_then(|mut s| s.execute(params![endpoint, message, d.to.app.0, now.as_micros()]))
        .map_err(failed)?;
    tx.commit.due.push((d.to, now));
    Ok(())
}
