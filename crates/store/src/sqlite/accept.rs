//! Storing a message with its deliveries, inside the shared transaction.

use super::{failed, rows::execute, writer::Tx};
use crate::{
    error::StoreError,
    queue::{Accept, Accepted, Birth, Commit, Leased, NewDelivery},
};
use bytes::Bytes;
use domain::{DeliveryRef, EndpointKey, Message, MessageId, OrderKey, Trigger};
use rusqlite::{OptionalExtension as _, params};

const INSERT_TAG: &str = "INSERT INTO message_tag (app, tag, message) VALUES (?1, ?2, ?3)";

/// Stores one message, unless it is in already.
pub(super) fn accept(tx: &Tx<'_>, accept: &Accept) -> Result<Accepted, StoreError> {
    let meta = &accept.message.meta;
    if let Some(hash) = &accept.idempotency
        && let Some(first) = repeated(tx, hash, accept.repeat_since.as_micros())?
    {
        return Ok(Accepted::Repeated(first));
    }
    let id = meta.id.0;
    let channels = super::rows::set_to_json(&meta.channels);
    let stored = tx
        .conn
        .prepare_cached(
            "INSERT INTO message (key, tail, app, event_type, event_id, channels, order_key, created_at, expires_hour, payload)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
             ON CONFLICT (app, event_id) WHERE event_id IS NOT NULL DO NOTHING",
        )
        .and_then(|mut s| {
            s.execute(params![
                id.head(),
                id.tail(),
                meta.app.0,
                meta.event_type.as_str(),
                meta.event_id.as_ref().map(|u| u.as_str()),
                channels,
                meta.order_key.as_ref().map(|k| k.as_str()),
                meta.created_at.as_micros(),
                accept.expires_hour,
                &accept.message.payload[..],
            ])
        })
        .map_err(failed)?;
    if stored == 0 {
        return same_event(tx, accept);
    }
    if let Some(hash) = &accept.idempotency {
        tx.conn
            .prepare_cached(
                "INSERT INTO idempotency (hash, at, message) VALUES (?1, ?2, ?3)
                 ON CONFLICT (hash) DO UPDATE SET at = ?2, message = ?3, status = NULL, body = NULL",
            )
            .and_then(|mut s| s.execute(params![hash, meta.created_at.as_micros(), id.head()]))
            .map_err(failed)?;
    }
    for tag in &meta.tags {
        execute(tx.conn, INSERT_TAG, params![meta.app.0, tag.as_str(), id.head()]).map_err(failed)?;
    }
    for delivery in &accept.deliveries {
        insert_delivery(tx, accept, delivery)?;
    }
    Ok(Accepted::New)
}

fn insert_delivery(tx: &Tx<'_>, accept: &Accept, delivery: &NewDelivery) -> Result<(), StoreError> {
    let meta = &accept.message.meta;
    let now = Some(meta.created_at.as_micros());
    let (state, due, lease, order_key) = match &delivery.birth {
        Birth::Leased(_) => (1, now, Some(tx.boot), None),
        Birth::Waiting => (0, now, None, None),
        Birth::InOrder(key) if earlier_is_open(tx, delivery.to.endpoint, key)? => (5, None, None, Some(key)),
        Birth::InOrder(key) => (0, now, None, Some(key)),
    };
    tx.conn
        .prepare_cached(
            "INSERT INTO delivery (endpoint, message, app, state, queue, due_at, tries, trigger, lease, order_key)
             VALUES (?1, ?2, ?3, ?4, 0, ?5, 0, 0, ?6, ?7)",
        )
        .and_then(|mut s| {
            s.execute(params![
                delivery.to.endpoint.0,
                meta.id.0.head(),
                meta.app.0,
                state,
                due,
                lease,
                order_key.map(|k| k.as_str())
            ])
        })
        .map_err(failed)?;
    Ok(())
}

fn earlier_is_open(tx: &Tx<'_>, endpoint: EndpointKey, key: &OrderKey) -> Result<bool, StoreError> {
    tx.conn
        .prepare_cached(
            "SELECT 1 FROM delivery WHERE endpoint = ?1 AND order_key = ?2 AND order_key IS NOT NULL
             AND state IN (0, 1, 5) LIMIT 1",
        )
        .and_then(|mut s| s.exists(params![endpoint.0, key.as_str()]))
        .map_err(failed)
}

fn repeated(tx: &Tx<'_>, hash: &[u8; 32], since: i64) -> Result<Option<Message>, StoreError> {
    let key: Option<i64> = tx
        .conn
        .prepare_cached("SELECT message FROM idempotency WHERE hash = ?1 AND at >= ?2 AND message IS NOT NULL")
        .and_then(|mut s| s.query_row(params![hash, since], |r| r.get(0)).optional())
        .map_err(failed)?;
    match key {
        Some(key) => super::rows::message_by_key(tx.conn, key, true),
        None => Ok(None),
    }
}

/// The event id is taken: by the same event, or by another.
fn same_event(tx: &Tx<'_>, accept: &Accept) -> Result<Accepted, StoreError> {
    let meta = &accept.message.meta;
    let key: i64 = tx
        .conn
        .prepare_cached("SELECT key FROM message WHERE app = ?1 AND event_id = ?2 AND event_id IS NOT NULL")
        .and_then(|mut s| s.query_row(params![meta.app.0, meta.event_id.as_ref().map(|u| u.as_str())], |r| r.get(0)))
        .map_err(failed)?;
    let first = super::rows::message_by_key(tx.conn, key, true)?.ok_or(StoreError::NotFound)?;
    let same_payload = first.payload.as_ref().is_none_or(|p: &Bytes| *p == accept.message.payload);
    if same_payload && first.meta.event_type == meta.event_type {
        Ok(Accepted::Repeated(first))
    } else {
        Ok(Accepted::Conflict(MessageId(first.meta.id.0)))
    }
}

/// After the commit: what is leased goes to the engine; where something waits, the engine hears of it.
pub(super) fn hand_over(accept: Accept, commit: &mut Commit) {
    let message = accept.message;
    let id = message.meta.id;
    for delivery in accept.deliveries {
        match delivery.birth {
            Birth::Leased(ticket) => commit.leased.push(Leased {
                delivery: DeliveryRef { to: delivery.to, message: id },
                message: message.clone(),
                tries: 0,
                trigger: Trigger::Scheduled,
                ticket: Some(ticket),
            }),
            Birth::Waiting | Birth::InOrder(_) => commit.due.push((delivery.to, message.meta.created_at)),
        }
    }
}
