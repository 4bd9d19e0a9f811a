//! Attempts, and what they say about messages and endpoints: how the latest one went, how many went well.

use super::{
    Sqlite, endpoints, failed,
    messages::{self, Sieve, weighed},
    rows::{Keyed, Walk, all, col, corrupt, execute, first, keys_between, ksuid, message_by_key},
};
use crate::{
    error::StoreError,
    pages::cut,
    seal::Sealer,
    views::{AttemptFilter, AttemptedDestination, AttemptedMessage, AttemptsOf, DeliveryFilter, Stats},
};
use domain::{
    AppKey, Attempt, AttemptId, AttemptStatus, EndpointId, EndpointKey, EndpointRef, FailureReason, IdRange, Ksuid,
    MessageId, PageOf, PageQuery, Pick, Timestamp, Trigger,
};
use rusqlite::{Connection, Row, params};
use std::{collections::BTreeMap, ops::Range};

macro_rules! list {
    ($by:literal, $order:literal) => {
        concat!(
            "SELECT a.key, a.app, a.endpoint, a.message, a.status, a.response_status FROM attempt a INDEXED BY ",
            $by,
            " = ?1 AND a.key >= ?2 AND a.key < ?3 ORDER BY a.key ",
            $order
        )
    };
}
macro_rules! select {
    ($response:literal) => {
        concat!(
            "SELECT a.key, a.tail, m.key, m.tail, e.id, a.url, a.at, a.status, a.trigger, a.response_status,
             a.duration_ms, a.reason, ",
            $response,
            " FROM attempt a JOIN message m ON m.key = a.message JOIN endpoint e ON e.key = a.endpoint
             WHERE a.key = ?1"
        )
    };
}

const NEWEST_TO_ENDPOINT: &str = list!("attempt_endpoint WHERE a.endpoint", "DESC");
const OLDEST_TO_ENDPOINT: &str = list!("attempt_endpoint WHERE a.endpoint", "ASC");
const NEWEST_OF_MESSAGE: &str = list!("attempt_message WHERE a.message", "DESC");
const OLDEST_OF_MESSAGE: &str = list!("attempt_message WHERE a.message", "ASC");
const WHOLE: &str = select!("a.response");
const WITHOUT_RESPONSE: &str = select!("''");
const BY_ID: &str = "SELECT 1 FROM attempt WHERE key = ?1 AND tail = ?2 AND app = ?3 AND message = ?4";
/// Latest first.
const STATUSES: &str = "SELECT endpoint, status FROM attempt INDEXED BY attempt_message WHERE message = ?1
    ORDER BY key DESC";
const DUE: &str = "SELECT due_at FROM delivery WHERE endpoint = ?1 AND message = ?2 AND state = 0";
const COUNT: &str = "SELECT count(*), count(*) FILTER (WHERE status = 0), max(key) FROM
    (SELECT status, key FROM attempt INDEXED BY attempt_endpoint
     WHERE endpoint = ?1 AND key >= ?2 AND key < ?3 ORDER BY key LIMIT ?4)";

/// Attempts counted before the connection is given back to others that wait for one.
const COUNTED: i64 = 200_000;

/// [`crate::Log::attempts`].
pub(super) async fn list(
    store: &Sqlite,
    of: AttemptsOf,
    range: IdRange,
    filter: &AttemptFilter,
    with_content: bool,
) -> Result<PageOf<Attempt>, StoreError> {
    // What is stored is over: a success or a failure.
    if matches!(filter.status, Some(AttemptStatus::Pending | AttemptStatus::Sending | AttemptStatus::Canceled)) {
        return Ok(PageOf::empty());
    }
    let (status, class, only_to) = (filter.status, filter.status_code_class, filter.endpoints.clone());
    let sieve = Sieve::new(&filter.messages);
    store
        .walk(Keyed::Attempt, range, move |conn, walk: &mut Walk<Attempt>| {
            let newest = walk.pick == Pick::Newest;
            let (app, whose, sql) = match of {
                AttemptsOf::Endpoint(to) => {
                    (to.app, to.endpoint.0, if newest { NEWEST_TO_ENDPOINT } else { OLDEST_TO_ENDPOINT })
                }
                AttemptsOf::Message(app, id) if messages::is_there(conn, app, id)? => {
                    (app, id.0.head(), if newest { NEWEST_OF_MESSAGE } else { OLDEST_OF_MESSAGE })
                }
                AttemptsOf::Message(..) => {
                    walk.left = 0..0;
                    return Ok(());
                }
            };
            let mut statement = conn.prepare_cached(sql).map_err(failed)?;
            let rows = statement.query(params![whose, walk.left.start, walk.left.end]).map_err(failed)?;
            walk.over(rows, |row| {
                let to = EndpointRef { app: AppKey(col(row, 1)?), endpoint: EndpointKey(col(row, 2)?) };
                let answered: u16 = col(row, 5)?;
                let stands = read_status(row, 4)?;
                let fits = to.app == app
                    && only_to.as_ref().is_none_or(|only| only.contains(&to.endpoint))
                    && status.is_none_or(|status| status == stands)
                    && class.is_none_or(|class| class == answered / 100 * 100)
                    && sieve.passes_key(conn, col(row, 3)?)?;
                if !fits {
                    return Ok(None);
                }
                let sql = if with_content { WHOLE } else { WITHOUT_RESPONSE };
                let found = first(conn, sql, [col::<i64>(row, 0)?], attempt)?;
                Ok(found.map(|a| {
                    let weight = a.response.len();
                    (a, weight)
                }))
            })
        })
        .await
}

/// [`crate::Log::attempt`].
pub(super) fn one(
    conn: &Connection,
    app: AppKey,
    message: MessageId,
    id: AttemptId,
) -> Result<Option<Attempt>, StoreError> {
    if is_there(conn, app, message, id)? { first(conn, WHOLE, [id.0.head()], attempt) } else { Ok(None) }
}

/// [`crate::Log::expunge_attempt`].
pub(super) fn expunge(conn: &Connection, app: AppKey, message: MessageId, id: AttemptId) -> Result<(), StoreError> {
    if !is_there(conn, app, message, id)? {
        return Err(StoreError::NotFound);
    }
    execute(conn, "UPDATE attempt SET response = 'EXPUNGED' WHERE key = ?1", [id.0.head()]).map_err(failed)?;
    Ok(())
}

/// An attempt by its key, its answer left out.
pub(super) fn without_response(conn: &Connection, key: i64) -> Result<Option<Attempt>, StoreError> {
    first(conn, WITHOUT_RESPONSE, [key], attempt)
}

fn is_there(conn: &Connection, app: AppKey, message: MessageId, id: AttemptId) -> Result<bool, StoreError> {
    let wanted = params![id.0.head(), id.0.tail(), app.0, message.0.head()];
    Ok(super::rows::exists(conn, BY_ID, wanted)? && messages::is_there(conn, app, message)?)
}

/// [`crate::Log::attempted_messages`].
///
/// Every attempted message has exactly one of the filter's statuses: 0 as soon as any attempt succeeded, else 3 as long
/// as its delivery is open, else 2.
pub(super) async fn messages_to(
    store: &Sqlite,
    to: EndpointRef,
    range: IdRange,
    filter: &DeliveryFilter,
    with_payload: bool,
) -> Result<PageOf<AttemptedMessage>, StoreError> {
    if matches!(filter.status, Some(AttemptStatus::Pending | AttemptStatus::Canceled)) {
        return Ok(PageOf::empty());
    }
    let status = filter.status;
    let sieve = Sieve::new(&filter.messages);
    store
        .walk(Keyed::Message, range, move |conn, walk: &mut Walk<AttemptedMessage>| {
            let mut statement = conn.prepare_cached(sieve.deliveries(walk.pick)).map_err(failed)?;
            let window = params![to.endpoint.0, walk.left.start, walk.left.end, sieve.tag(), to.app.0];
            let rows = statement.query(window).map_err(failed)?;
            walk.over(rows, |row| {
                let key: i64 = col(row, 0)?;
                if col::<i64>(row, 1)? != to.app.0 || !sieve.passes_key(conn, key)? {
                    return Ok(None);
                }
                let Some(past) = past_of(conn, key, to.endpoint)? else { return Ok(None) };
                let state: u8 = col(row, 2)?;
                let is_open = matches!(state, WAITING | SENDING | HELD);
                let stands = match (past.succeeded, is_open) {
                    (true, _) => AttemptStatus::Success,
                    (false, true) => AttemptStatus::Sending,
                    (false, false) => AttemptStatus::Fail,
                };
                if status.is_some_and(|wanted| wanted != stands) {
                    return Ok(None);
                }
                let due: Option<i64> = col(row, 3)?;
                let found = message_by_key(conn, key, with_payload)?.map(weighed);
                Ok(found.map(|(message, weight)| {
                    let open_again = is_open && past.latest == AttemptStatus::Fail;
                    let latest = if open_again { AttemptStatus::Sending } else { past.latest };
                    let next_attempt = due.filter(|_| state == WAITING).map(Timestamp::from_micros);
                    (AttemptedMessage { message, latest, next_attempt }, weight)
                }))
            })
        })
        .await
}

/// States of a delivery as they are stored.
const WAITING: u8 = 0;
const SENDING: u8 = 1;
const HELD: u8 = 5;

/// How the attempts of a message to an endpoint went.
struct Past {
    latest: AttemptStatus,
    succeeded: bool,
}

fn past_of(conn: &Connection, message: i64, endpoint: EndpointKey) -> Result<Option<Past>, StoreError> {
    let mut past: Option<Past> = None;
    for (to, status) in all(conn, STATUSES, [message], |row| Ok((col::<i64>(row, 0)?, read_status(row, 1)?)))? {
        if to == endpoint.0 {
            let succeeded = status == AttemptStatus::Success;
            past.get_or_insert(Past { latest: status, succeeded }).succeeded |= succeeded;
        }
    }
    Ok(past)
}

/// [`crate::Log::attempted_destinations`].
pub(super) fn destinations(
    conn: &Connection,
    sealer: &Sealer,
    app: AppKey,
    message: MessageId,
    page: PageQuery<Ksuid>,
) -> Result<PageOf<AttemptedDestination>, StoreError> {
    if !messages::is_there(conn, app, message)? {
        return Ok(PageOf::empty());
    }
    let mut latest = BTreeMap::new();
    for (to, status) in all(conn, STATUSES, [message.0.head()], |row| Ok((col::<i64>(row, 0)?, read_status(row, 1)?)))?
    {
        latest.entry(to).or_insert(status);
    }
    // As many as the message has destinations; only those on the page are read whole.
    let mut by_id = Vec::with_capacity(latest.len());
    for (to, status) in latest {
        let id = first(conn, "SELECT id FROM endpoint WHERE key = ?1", [to], |row| Ok(ksuid(col(row, 0)?)))?;
        by_id.extend(id.map(|id| (id, EndpointKey(to), status)));
    }
    by_id.sort_unstable_by_key(|(id, ..)| *id);
    let page = cut(by_id, &page);
    let mut items = Vec::with_capacity(page.items.len());
    for (_, to, latest) in page.items {
        let Some(endpoint) = endpoints::any_by_key(conn, sealer, to)? else { continue };
        let due = first(conn, DUE, params![to.0, message.0.head()], |row| col::<i64>(row, 0))?;
        items.push(AttemptedDestination { endpoint, latest, next_attempt: due.map(Timestamp::from_micros) });
    }
    Ok(PageOf { items, more: page.more })
}

/// [`crate::Log::endpoint_stats`].
pub(super) async fn stats(store: &Sqlite, to: EndpointRef, from: Ksuid, until: Ksuid) -> Result<Stats, StoreError> {
    let mut left: Range<i64> = store
        .read(move |conn| {
            let sql = "SELECT 1 FROM endpoint WHERE key = ?1 AND app = ?2";
            let is_there = super::rows::exists(conn, sql, params![to.endpoint.0, to.app.0])?;
            if is_there { keys_between(conn, Keyed::Attempt, from, until) } else { Ok(0..0) }
        })
        .await?;
    let mut stats = Stats::default();
    while !left.is_empty() {
        let range = left.clone();
        let (counted, succeeded, last) = store
            .read(move |conn| {
                let window = params![to.endpoint.0, range.start, range.end, COUNTED];
                let count = |row: &Row<'_>| Ok((col::<i64>(row, 0)?, col::<i64>(row, 1)?, col::<Option<i64>>(row, 2)?));
                Ok(first(conn, COUNT, window, count)?.unwrap_or_default())
            })
            .await?;
        stats.success += succeeded.unsigned_abs();
        stats.fail += (counted - succeeded).unsigned_abs();
        left.start = match last {
            Some(last) if counted == COUNTED => last + 1,
            _ => left.end,
        };
    }
    Ok(stats)
}

fn read_status(row: &Row<'_>, index: usize) -> Result<AttemptStatus, StoreError> {
    let number: u8 = col(row, index)?;
    AttemptStatus::from_number(number).ok_or_else(|| corrupt("attempt", "status", "", number))
}

fn attempt(row: &Row<'_>) -> Result<Attempt, StoreError> {
    let id = AttemptId(Ksuid::from_parts(col(row, 0)?, col(row, 1)?));
    let reason: Option<String> = col(row, 11)?;
    let unknown = |code: String| corrupt("attempt", "reason", id, format!("'{code}' is no known reason"));
    Ok(Attempt {
        id,
        message: MessageId(Ksuid::from_parts(col(row, 2)?, col(row, 3)?)),
        endpoint: EndpointId(ksuid(col(row, 4)?)),
        url: col(row, 5)?,
        at: Timestamp::from_micros(col(row, 6)?),
        status: read_status(row, 7)?,
        trigger: match col::<u8>(row, 8)? {
            0 => Trigger::Scheduled,
            _ => Trigger::Manual,
        },
        response_status: col(row, 9)?,
        duration_ms: col(row, 10)?,
        reason: match reason {
            Some(code) => Some(FailureReason::from_code(&code).ok_or_else(|| unknown(code))?),
            None => None,
        },
        response: col(row, 12)?,
    })
}

#[cfg(test)]
mod tests {
    use super::{super::rows::assert_indexed, *};

    #[test]
    fn attempts_and_deliveries_are_found_by_key_and_index() {
        for sql in [
            NEWEST_TO_ENDPOINT,
            OLDEST_TO_ENDPOINT,
            NEWEST_OF_MESSAGE,
            OLDEST_OF_MESSAGE,
            WHOLE,
            WITHOUT_RESPONSE,
            BY_ID,
            STATUSES,
            DUE,
        ] {
            assert_indexed(sql);
        }
        // The subquery is walked through, which is a scan of what it found and of nothing else.
        let plan = super::super::rows::plan(COUNT);
        assert!(plan.contains("USING COVERING INDEX attempt_endpoint") && !plan.contains("TEMP B-TREE"), "{plan}");
    }
}
