//! Reading rows back into the domain's types. A row that makes no sense becomes a sentence with its place.

use super::failed;
use crate::error::StoreError;
use bytes::Bytes;
use domain::{
    AppKey, Channel, EventTypeName, Ksuid, Message, MessageId, MessageMeta, OrderKey, Timestamp, Uid,
};
use rusqlite::{Connection, OptionalExtension as _, Row};
use serde::{Serialize, de::DeserializeOwned};
use std::collections::BTreeSet;

/// The columns that [`message`] reads, in its order; `payload` is added where it is wanted.
pub(super) const MESSAGE: &str = "m.key, m.tail, m.app, m.event_type, m.event_id, m.channels, m.order_key, m.created_at";

/// A column whose text or bytes do not fit its type.
pub(super) fn corrupt(table: &'static str, column: &'static str, row: impl ToString, problem: impl ToString) -> StoreError {
    StoreError::Corrupt { table, column, row: row.to_string(), problem: problem.to_string() }
}

/// Writes a set as JSON; nothing if it is empty.
pub(super) fn set_to_json<T: Serialize>(set: &BTreeSet<T>) -> Option<String> {
    if set.is_empty() { None } else { Some(to_json(set)) }
}

/// Writes a value of ours as JSON.
pub(super) fn to_json<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_else(|_| unreachable!("our own types have text keys and no failing parts"))
}

/// Reads a JSON column.
pub(super) fn from_json<T: DeserializeOwned>(
    text: &str,
    table: &'static str,
    column: &'static str,
    row: impl ToString,
) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|e| corrupt(table, column, row, e))
}

/// Reads an id of 20 bytes.
pub(super) fn ksuid(bytes: [u8; 20]) -> Ksuid {
    Ksuid(bytes)
}

/// A message from a row of [`MESSAGE`], with the payload in the column after it if `with_payload`.
pub(super) fn message(row: &Row<'_>, with_payload: bool) -> Result<Message, StoreError> {
    let get = || -> rusqlite::Result<_> {
        Ok((
            row.get::<_, i64>(0)?,
            row.get::<_, [u8; 12]>(1)?,
            row.get::<_, i64>(2)?,
            row.get::<_, String>(3)?,
            row.get::<_, Option<String>>(4)?,
            row.get::<_, Option<String>>(5)?,
            row.get::<_, Option<String>>(6)?,
            row.get::<_, i64>(7)?,
            if with_payload { row.get::<_, Option<Vec<u8>>>(8)? } else { None },
        ))
    };
    let (key, tail, app, event_type, event_id, channels, order_key, created_at, payload) = get().map_err(failed)?;
    let id = MessageId(Ksuid::from_parts(key, tail));
    let channels: BTreeSet<Channel> = match channels {
        Some(text) => from_json(&text, "message", "channels", id)?,
        None => BTreeSet::new(),
    };
    Ok(Message {
        meta: MessageMeta {
            id,
            app: AppKey(app),
            event_type: EventTypeName::new(&event_type).map_err(|e| corrupt("message", "event_type", id, e))?,
            event_id: event_id.map(|u| Uid::new(&u)).transpose().map_err(|e| corrupt("message", "event_id", id, e))?,
            channels,
            order_key: order_key
                .map(|k| OrderKey::new(&k))
                .transpose()
                .map_err(|e| corrupt("message", "order_key", id, e))?,
            created_at: Timestamp::from_micros(created_at),
        },
        payload: payload.map(Bytes::from),
    })
}

/// A message by its key.
pub(super) fn message_by_key(conn: &Connection, key: i64, with_payload: bool) -> Result<Option<Message>, StoreError> {
    let sql = if with_payload {
        const_format(MESSAGE, ", m.payload")
    } else {
        const_format(MESSAGE, "")
    };
    let mut statement = conn.prepare_cached(&sql).map_err(failed)?;
    let found = statement.query_row([key], |row| Ok(message(row, with_payload))).optional().map_err(failed)?;
    found.transpose()
}

fn const_format(columns: &str, more: &str) -> String {
    format!("SELECT {columns}{more} FROM message m WHERE m.key = ?1")
}
