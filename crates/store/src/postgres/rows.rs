//! Reading rows back into the domain's types, and what lists by time have in common.

pub(super) use crate::encode::{corrupt, from_json, set_to_json, to_json};
use crate::error::StoreError;
use bytes::Bytes;
use domain::{
    AppKey, Channel, EventTypeName, IdRange, Ksuid, Message, MessageId, MessageMeta, OrderKey, PageOf, Pick, Tag,
    Timestamp, Uid,
};
use std::{borrow::Cow, collections::BTreeSet};
use tokio_postgres::{Row, types::FromSql};

/// What the items of a page may weigh together; one that is heavier comes alone.
const PAGE_BYTES: i64 = 32 * 1024 * 1024;

/// The columns that [`message`] reads, in its order; `payload` is added where it is wanted.
macro_rules! message_columns {
    () => {
        "m.key, m.tail, m.app, m.event_type, m.event_id, m.channels, m.order_key, m.created_at"
    };
}
pub(super) use message_columns;

/// The keys `$2` of the application `$1`, as `k`, for a statement that looks for the row of each.
///
/// The planner must not see one application in the condition of the other table: as long as it knows little about a week's
/// table, it takes an application to be a few rows, reads all of them, and looks at each for its key. `OFFSET 0` keeps what
/// is equal apart, and what remains is one look into the index for each key.
macro_rules! these_keys {
    () => {
        "(SELECT $1::bigint AS app, key FROM unnest($2::bigint[]) AS key OFFSET 0) AS k"
    };
}
pub(super) use these_keys;

/// The deliveries of the messages `$3` to the endpoint `$2` of the application `$1`, as `k`; see [`these_keys`].
macro_rules! these_deliveries {
    () => {
        "(SELECT $1::bigint AS app, $2::bigint AS endpoint, message FROM unnest($3::bigint[]) AS message OFFSET 0) AS k"
    };
}
pub(super) use these_deliveries;

/// One column of a row.
pub(super) fn col<'a, T: FromSql<'a>>(row: &'a Row, index: usize) -> Result<T, StoreError> {
    row.try_get(index).map_err(super::failed)
}

/// A number that the domain holds in a smaller type.
pub(super) fn small<T: TryFrom<i64>>(row: &Row, index: usize, table: &'static str) -> Result<T, StoreError> {
    let number: i64 = col(row, index)?;
    T::try_from(number).map_err(|_| corrupt(table, "a number", "", number))
}

/// As [`small`], where there may be none.
pub(super) fn small_or_none<T: TryFrom<i64>>(
    row: &Row,
    index: usize,
    table: &'static str,
) -> Result<Option<T>, StoreError> {
    let number: Option<i64> = col(row, index)?;
    number.map(|n| T::try_from(n).map_err(|_| corrupt(table, "a number", "", n))).transpose()
}

/// An id of 20 bytes.
pub(super) fn ksuid(row: &Row, index: usize, table: &'static str) -> Result<Ksuid, StoreError> {
    let bytes: &[u8] = col(row, index)?;
    bytes.try_into().map(Ksuid).map_err(|_| corrupt(table, "id", "", "not 20 bytes"))
}

/// An id whose key and tail stand in two columns.
pub(super) fn keyed_ksuid(row: &Row, key: usize, tail: usize, table: &'static str) -> Result<Ksuid, StoreError> {
    let (key, tail): (i64, &[u8]) = (col(row, key)?, col(row, tail)?);
    let tail = tail.try_into().map_err(|_| corrupt(table, "tail", key, "not 12 bytes"))?;
    Ok(Ksuid::from_parts(key, tail))
}

/// A text as PostgreSQL takes it: it has no way to write the character U+0000.
pub(super) fn text(text: &str) -> Cow<'_, str> {
    if text.contains('\0') { Cow::Owned(text.replace('\0', "\u{fffd}")) } else { Cow::Borrowed(text) }
}

/// A message from a row of [`message_columns`], its tags left out, with the payload in the column after it if `with_payload`.
pub(super) fn message(row: &Row, with_payload: bool) -> Result<Message, StoreError> {
    let id = MessageId(keyed_ksuid(row, 0, 1, "message")?);
    let odd = |column, problem: &dyn std::fmt::Display| corrupt("message", column, id, problem);
    let channels: BTreeSet<Channel> = match col::<Option<&str>>(row, 5)? {
        Some(text) => from_json(text, "message", "channels", id)?,
        None => BTreeSet::new(),
    };
    let event_id: Option<&str> = col(row, 4)?;
    let order_key: Option<&str> = col(row, 6)?;
    let payload: Option<&[u8]> = if with_payload { col(row, 8)? } else { None };
    Ok(Message {
        meta: MessageMeta {
            id,
            app: AppKey(col(row, 2)?),
            event_type: EventTypeName::new(col(row, 3)?).map_err(|e| odd("event_type", &e))?,
            event_id: event_id.map(Uid::new).transpose().map_err(|e| odd("event_id", &e))?,
            channels,
            tags: BTreeSet::new(),
            order_key: order_key.map(OrderKey::new).transpose().map_err(|e| odd("order_key", &e))?,
            created_at: Timestamp::from_micros(col(row, 7)?),
        },
        payload: payload.map(Bytes::copy_from_slice),
    })
}

/// The tags of a message `m`, to be read by [`tags`].
macro_rules! tag_column {
    () => {
        "(SELECT array_agg(t.tag) FROM message_tag t WHERE t.app = m.app AND t.message = m.key)"
    };
}
pub(super) use tag_column;

/// The tags in a column.
pub(super) fn tags(row: &Row, index: usize) -> Result<BTreeSet<Tag>, StoreError> {
    let found: Option<Vec<&str>> = col(row, index)?;
    let read = |tag| Tag::new(tag).map_err(|e| corrupt("message_tag", "tag", tag, e));
    found.unwrap_or_default().into_iter().map(read).collect()
}

/// An id range as the values of a query: keys and tails of both ends, and how many rows to read.
pub(super) struct Bounds {
    pub(super) from: i64,
    pub(super) from_tail: [u8; 12],
    pub(super) until: i64,
    pub(super) until_tail: [u8; 12],
    pub(super) rows: i64,
    limit: usize,
    pick: Pick,
}

impl Bounds {
    pub(super) fn of(range: &IdRange) -> Self {
        Self {
            from: range.from.head(),
            from_tail: range.from.tail(),
            until: range.until.head(),
            until_tail: range.until.tail(),
            rows: i64::try_from(range.limit).unwrap_or(i64::MAX).saturating_add(1),
            limit: range.limit,
            pick: range.pick,
        }
    }

    /// Of keys in the order of the walk with what each weighs, those that make the page; and whether more follow.
    pub(super) fn cut<T>(&self, found: Vec<(T, i64)>) -> (Vec<T>, bool) {
        let rows = found.len();
        let mut weight = 0_i64;
        let mut kept = Vec::new();
        for (key, w) in found {
            weight = weight.saturating_add(w);
            if kept.len() >= self.limit || (!kept.is_empty() && weight > PAGE_BYTES) {
                break;
            }
            kept.push(key);
        }
        let more = kept.len() < rows;
        (kept, more)
    }

    /// The page, newest first, of items in the order of the walk.
    pub(super) fn page<T>(&self, mut items: Vec<T>, more: bool) -> PageOf<T> {
        if self.pick == Pick::Oldest {
            items.reverse();
        }
        PageOf { items, more }
    }
}

/// The condition that a key and its tail lie in a range whose ends are the parameters 2 to 5, exact to the last byte; so
/// written that partitions and indexes are found by the key alone.
macro_rules! in_range {
    ($key:literal, $tail:literal) => {
        concat!(
            $key,
            " >= $2 AND ",
            $key,
            " <= $4 AND (",
            $key,
            " > $2 OR ",
            $tail,
            " >= $3) AND (",
            $key,
            " < $4 OR ",
            $tail,
            " < $5)"
        )
    };
}
pub(super) use in_range;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_ends_at_its_limit_and_at_its_weight_and_has_at_least_one() {
        let bounds = |limit| Bounds::of(&IdRange { from: Ksuid::MIN, until: Ksuid::MAX, pick: Pick::Newest, limit });
        assert_eq!(bounds(2).cut(vec![(1, 5), (2, 5), (3, 5)]), (vec![1, 2], true));
        assert_eq!(bounds(3).cut(vec![(1, 5), (2, 5), (3, 5)]), (vec![1, 2, 3], false));
        assert_eq!(bounds(3).cut(vec![(1, PAGE_BYTES * 2), (2, 1)]), (vec![1], true));
        assert_eq!(bounds(3).cut(vec![(1, 1), (2, PAGE_BYTES)]), (vec![1], true));
    }

    #[test]
    fn a_text_without_the_null_character_stays_as_it_is() {
        assert_eq!(text("a\0b"), "a\u{fffd}b");
        assert!(matches!(text("ab"), Cow::Borrowed("ab")));
    }
}
