//! Reading rows back into the domain's types, and cutting lists into pages. A row that makes no sense becomes a sentence
//! with its place.

use super::{Sqlite, failed};
pub(super) use crate::encode::{corrupt, from_json, set_to_json, to_json};
use crate::error::StoreError;
pub(super) use crate::pages::Way;
use bytes::Bytes;
use domain::{
    AppKey, Channel, EventTypeName, IdRange, Ksuid, Message, MessageId, MessageMeta, OrderKey, PageOf, Pick, Tag,
    Timestamp, Uid,
};
use rusqlite::{Connection, OptionalExtension as _, Params, Row, Rows, types::FromSql};
use std::collections::BTreeSet;

/// The columns that [`message`] reads, in its order; `payload` is added where it is wanted.
pub(super) const MESSAGE: &str =
    "m.key, m.tail, m.app, m.event_type, m.event_id, m.channels, m.order_key, m.created_at";

const TAGS: &str = "SELECT tag FROM message_tag INDEXED BY message_tag_message WHERE message = ?1";

/// Reads an id of 20 bytes.
pub(super) fn ksuid(bytes: [u8; 20]) -> Ksuid {
    Ksuid(bytes)
}

/// A message from a row of [`MESSAGE`], its tags left out, with the payload in the column after it if `with_payload`.
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
            tags: BTreeSet::new(),
            order_key: order_key
                .map(|k| OrderKey::new(&k))
                .transpose()
                .map_err(|e| corrupt("message", "order_key", id, e))?,
            created_at: Timestamp::from_micros(created_at),
        },
        payload: payload.map(Bytes::from),
    })
}

/// A message by its key, with its tags.
pub(super) fn message_by_key(conn: &Connection, key: i64, with_payload: bool) -> Result<Option<Message>, StoreError> {
    let Some(mut message) = message_to_send(conn, key, with_payload)? else { return Ok(None) };
    let tag = |row: &Row<'_>| Tag::new(&col::<String>(row, 0)?).map_err(|e| corrupt("message_tag", "tag", key, e));
    message.meta.tags = all(conn, TAGS, [key], tag)?.into_iter().collect();
    Ok(Some(message))
}

/// A message by its key, as it is sent: without its tags.
pub(super) fn message_to_send(conn: &Connection, key: i64, with_payload: bool) -> Result<Option<Message>, StoreError> {
    let sql = if with_payload { const_format(MESSAGE, ", m.payload") } else { const_format(MESSAGE, "") };
    let mut statement = conn.prepare_cached(&sql).map_err(failed)?;
    let found = statement.query_row([key], |row| Ok(message(row, with_payload))).optional().map_err(failed)?;
    found.transpose()
}

fn const_format(columns: &str, more: &str) -> String {
    format!("SELECT {columns}{more} FROM message m WHERE m.key = ?1")
}

/// One column of a row.
pub(super) fn col<T: FromSql>(row: &Row<'_>, index: usize) -> Result<T, StoreError> {
    row.get(index).map_err(failed)
}

/// Runs a fixed statement that answers no rows; says how many rows it changed. The caller sorts the error.
pub(super) fn execute(conn: &Connection, sql: &str, params: impl Params) -> rusqlite::Result<usize> {
    conn.prepare_cached(sql)?.execute(params)
}

/// Whether a fixed query has a row.
pub(super) fn exists(conn: &Connection, sql: &str, params: impl Params) -> Result<bool, StoreError> {
    conn.prepare_cached(sql).and_then(|mut s| s.exists(params)).map_err(failed)
}

/// The first row of a fixed query.
pub(super) fn first<T>(
    conn: &Connection,
    sql: &str,
    params: impl Params,
    read: impl FnOnce(&Row<'_>) -> Result<T, StoreError>,
) -> Result<Option<T>, StoreError> {
    let mut statement = conn.prepare_cached(sql).map_err(failed)?;
    let mut rows = statement.query(params).map_err(failed)?;
    rows.next().map_err(failed)?.map(read).transpose()
}

/// All rows of a fixed query.
pub(super) fn all<T>(
    conn: &Connection,
    sql: &str,
    params: impl Params,
    mut read: impl FnMut(&Row<'_>) -> Result<T, StoreError>,
) -> Result<Vec<T>, StoreError> {
    let mut statement = conn.prepare_cached(sql).map_err(failed)?;
    let mut rows = statement.query(params).map_err(failed)?;
    let mut items = Vec::new();
    while let Some(row) = rows.next().map_err(failed)? {
        items.push(read(row)?);
    }
    Ok(items)
}

/// Rows looked at before the connection is given back to others that wait for one.
const PIECE: usize = 20_000;
/// Rows looked at after which a page that has something is handed out although it is not full.
const ENOUGH: usize = 100_000;
/// What the items of a page may weigh together; one that is heavier comes alone.
const PAGE_BYTES: usize = 32 * 1024 * 1024;

/// The tables whose keys are the first eight bytes of an id, the other twelve in `tail`.
#[derive(Clone, Copy)]
pub(super) enum Keyed {
    /// `message`.
    Message,
    /// `attempt`.
    Attempt,
}

/// The keys of a table's rows in `from..until`, with the bounds exact to the last byte of the ids.
pub(super) fn keys_between(
    conn: &Connection,
    table: Keyed,
    from: Ksuid,
    until: Ksuid,
) -> Result<std::ops::Range<i64>, StoreError> {
    // The least key whose id is not below `id`: that of `id`, unless the row there has a lesser tail.
    let key_of = |id: Ksuid| -> Result<i64, StoreError> {
        let sql = match table {
            Keyed::Message => "SELECT 1 FROM message WHERE key = ?1 AND tail < ?2",
            Keyed::Attempt => "SELECT 1 FROM attempt WHERE key = ?1 AND tail < ?2",
        };
        let below = id.tail() != [0; 12] && exists(conn, sql, (id.head(), id.tail()))?;
        Ok(id.head().saturating_add(i64::from(below)))
    };
    Ok(key_of(from)?..key_of(until)?)
}

/// A walk over a range of a time-ordered list, in pieces, until a page is full.
///
/// A filter that matches seldom makes a walk long; so it gives the connection back after each piece, and a page that has
/// something but is not full after a good while is handed out as it is, with `more` set: its last item leads on. With
/// nothing found it goes on, because an empty page could lead nowhere. Without filters a walk looks at one row more
/// than the page holds.
pub(super) struct Walk<T> {
    /// Keys not looked at yet.
    pub(super) left: std::ops::Range<i64>,
    /// From which end.
    pub(super) pick: Pick,
    limit: usize,
    items: Vec<T>,
    weight: usize,
    looked_at: usize,
    full: bool,
}

impl<T> Walk<T> {
    fn begin(conn: &Connection, table: Keyed, range: &IdRange) -> Result<Self, StoreError> {
        Ok(Self {
            left: keys_between(conn, table, range.from, range.until)?,
            pick: range.pick,
            limit: range.limit,
            items: Vec::new(),
            weight: 0,
            looked_at: 0,
            full: false,
        })
    }

    /// Looks at the next piece of `rows`: those with keys in `left`, from the end that `pick` says, key in the first
    /// column. `read` answers the item and its weight in bytes if the row fits.
    pub(super) fn over(
        &mut self,
        mut rows: Rows<'_>,
        mut read: impl FnMut(&Row<'_>) -> Result<Option<(T, usize)>, StoreError>,
    ) -> Result<(), StoreError> {
        for _ in 0..PIECE {
            let Some(row) = rows.next().map_err(failed)? else {
                self.left = 0..0;
                return Ok(());
            };
            let key: i64 = col(row, 0)?;
            match self.pick {
                Pick::Newest => self.left.end = key,
                Pick::Oldest => self.left.start = key.saturating_add(1),
            }
            self.looked_at += 1;
            if let Some((item, weight)) = read(row)? {
                self.full = self.items.len() >= self.limit
                    || (!self.items.is_empty() && self.weight.saturating_add(weight) > PAGE_BYTES);
                if self.full {
                    return Ok(());
                }
                self.items.push(item);
                self.weight = self.weight.saturating_add(weight);
            }
        }
        Ok(())
    }

    fn is_over(&self) -> bool {
        self.full || self.left.is_empty() || (self.looked_at >= ENOUGH && !self.items.is_empty())
    }

    fn page(mut self) -> PageOf<T> {
        if self.pick == Pick::Oldest {
            self.items.reverse();
        }
        PageOf { more: self.full || !self.left.is_empty(), items: self.items }
    }
}

impl Sqlite {
    /// A page of a time-ordered list. `piece` runs the list's query over what is left and hands it to [`Walk::over`].
    pub(super) async fn walk<T: Send + 'static>(
        &self,
        table: Keyed,
        range: IdRange,
        piece: impl Fn(&Connection, &mut Walk<T>) -> Result<(), StoreError> + Send + Sync + 'static,
    ) -> Result<PageOf<T>, StoreError> {
        let piece = std::sync::Arc::new(piece);
        let mut so_far = None;
        loop {
            let (piece, range) = (piece.clone(), range.clone());
            let walk = self
                .read(move |conn| {
                    let mut walk = match so_far {
                        Some(walk) => walk,
                        None => Walk::begin(conn, table, &range)?,
                    };
                    piece(conn, &mut walk)?;
                    Ok(walk)
                })
                .await?;
            if walk.is_over() {
                return Ok(walk.page());
            }
            so_far = Some(walk);
        }
    }
}

/// How SQLite would run a query on the current tables.
#[cfg(test)]
pub(super) fn plan(sql: &str) -> String {
    let mut conn = Connection::open_in_memory().unwrap();
    super::embedded::migrations::runner().run(&mut conn).unwrap();
    let mut statement = conn.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
    let mut rows = statement.raw_query();
    let mut text = String::new();
    while let Some(row) = rows.next().unwrap() {
        text += &row.get::<_, String>(3).unwrap();
        text.push('\n');
    }
    text
}

/// Fails unless a query finds its rows by key or index and in order, so that its cost does not grow with the table.
#[cfg(test)]
pub(super) fn assert_indexed(sql: &str) {
    let plan = plan(sql);
    assert!(plan.contains("SEARCH") && !plan.contains("SCAN") && !plan.contains("TEMP B-TREE"), "{sql}\n{plan}");
}
