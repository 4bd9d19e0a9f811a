//! Lists and counts for screens. None looks at more rows than it was told, and each finds them by key or index.

use super::{
    Sqlite, applications, attempts, endpoints, failed,
    hourly::where_messages_are,
    messages::{Sieve, is_there},
    rows::{Keyed, all, col, corrupt, first, keys_between, message_by_key},
};
use crate::{
    desk::{Counted, DeliveryView, Desk, Looked, Standing},
    error::StoreError,
    views::MessageFilter,
};
use async_trait::async_trait;
use domain::{
    AppKey, Application, ApplicationId, DeliveryState, Endpoint, EndpointKey, EndpointRef, IdRange, Ksuid, Message,
    MessageId, Pick, TaskId, TaskKind, Timestamp,
};
use rusqlite::{Connection, Row, Rows, params};
use std::{
    ops::Range,
    time::{Duration, Instant},
};

macro_rules! deliveries {
    ($which:literal, $order:literal) => {
        concat!(
            "SELECT message, app, state, due_at FROM delivery ",
            $which,
            " AND message >= ?2 AND message < ?3 AND ?4 IS NULL AND app = ?5 ORDER BY message ",
            $order
        )
    };
}

const NEWEST_FAILED: &str =
    deliveries!("INDEXED BY delivery_ended WHERE endpoint = ?1 AND state IN (3, 4) AND state = 3", "DESC");
const OLDEST_FAILED: &str =
    deliveries!("INDEXED BY delivery_ended WHERE endpoint = ?1 AND state IN (3, 4) AND state = 3", "ASC");
const NEWEST_CANCELLED: &str =
    deliveries!("INDEXED BY delivery_ended WHERE endpoint = ?1 AND state IN (3, 4) AND state = 4", "DESC");
const OLDEST_CANCELLED: &str =
    deliveries!("INDEXED BY delivery_ended WHERE endpoint = ?1 AND state IN (3, 4) AND state = 4", "ASC");
const ONE: &str = "SELECT message, app, state, due_at FROM delivery WHERE endpoint = ?1 AND message = ?2";
const ENDPOINTS: &str = "SELECT key FROM endpoint WHERE app = ?1 ORDER BY id";
const MESSAGES: &str = "SELECT m.key FROM message m INDEXED BY message_app
    WHERE m.app = ?1 AND m.key >= ?2 AND m.key < ?3 ORDER BY m.key";
const LATEST: &str = "SELECT max(key) FROM attempt INDEXED BY attempt_message WHERE message = ?1 AND endpoint = ?2";
/// Failed ones, and those given up or planned again after a try.
const FAILED: &str = "SELECT count(*) FROM (SELECT 1 FROM delivery INDEXED BY delivery_ended
    WHERE endpoint = ?1 AND state IN (3, 4) AND state = 3 AND message >= ?2 AND message < ?3 LIMIT ?4)";
const GIVEN_UP: &str = "SELECT count(*), count(*) FILTER (WHERE tries > 0) FROM
    (SELECT tries FROM delivery INDEXED BY delivery_ended
     WHERE endpoint = ?1 AND state IN (3, 4) AND state = 4 AND message >= ?2 AND message < ?3 LIMIT ?4)";
const PLANNED: &str =
    "SELECT count(*), count(*) FILTER (WHERE state = 0 AND tries > 0 AND message >= ?2 AND message < ?3)
    FROM (SELECT state, tries, message FROM delivery INDEXED BY delivery_open
          WHERE endpoint = ?1 AND queue = 1 AND state IN (0, 1) LIMIT ?4)";
const WAITING: &str = "SELECT count(*) FROM (SELECT 1 FROM delivery INDEXED BY delivery_open
    WHERE endpoint = ?1 AND state IN (0, 1) AND state = 0 LIMIT ?2)";
const HELD: &str = "SELECT count(*) FROM (SELECT 1 FROM delivery INDEXED BY delivery_order
    WHERE endpoint = ?1 AND order_key IS NOT NULL AND state IN (0, 1, 5) AND state = 5 LIMIT ?2)";
const MISSING: &str = "SELECT state FROM delivery WHERE endpoint = ?1 AND message = ?2";
const NEXT_DUE: &str = "SELECT due_at FROM delivery INDEXED BY delivery_open
    WHERE endpoint = ?1 AND queue = ?2 AND state IN (0, 1) AND state = 0 ORDER BY due_at LIMIT 1";
const DURATIONS: &str = "SELECT a.duration_ms FROM (SELECT key FROM attempt INDEXED BY attempt_endpoint
    WHERE endpoint = ?1 AND key >= ?2 AND key < ?3 AND status = 0 ORDER BY key DESC LIMIT ?4) k
    JOIN attempt a ON a.key = k.key";

/// So many rows are looked at in any case…
const LOOKS_AT_LEAST: usize = 500;
/// …and more of them for so long: rows that have to come from the disk take fifty times as long as others.
const LOOKS_FOR: Duration = Duration::from_millis(20);

/// A walk over rows whose first column is a message's key, newest or oldest first, as far as its looks and its time allow.
struct Look<T> {
    pick: Pick,
    limit: usize,
    looks: usize,
    looked: usize,
    until: Instant,
    items: Vec<T>,
    last: Option<Ksuid>,
    next: Option<Ksuid>,
}

impl<T> Look<T> {
    fn begin(range: &IdRange, looks: usize) -> Self {
        let items = Vec::with_capacity(range.limit);
        let until = Instant::now() + LOOKS_FOR;
        Self { pick: range.pick, limit: range.limit, looks, looked: 0, until, items, last: None, next: None }
    }

    /// Looks at the rows of these ranges, one range after the other; `sql` is asked with `window`'s values for each.
    fn over<P: rusqlite::Params>(
        &mut self,
        conn: &Connection,
        sql: &str,
        ranges: Vec<Range<i64>>,
        window: impl Fn(&Range<i64>) -> P,
        mut read: impl FnMut(&Row<'_>) -> Result<Option<(Ksuid, T)>, StoreError>,
    ) -> Result<(), StoreError> {
        let mut statement = conn.prepare_cached(sql).map_err(failed)?;
        for range in ranges {
            if self.has_looked_enough() {
                self.next = self.last;
            }
            if self.next.is_some() {
                break;
            }
            let before = self.looked;
            self.over_rows(statement.query(window(&range)).map_err(failed)?, &mut read)?;
            // Looking in vain costs as much.
            if self.looked == before && range.end == range.start.saturating_add(1) {
                self.looked += 1;
                self.last = Some(self.beyond(range.start));
            }
        }
        Ok(())
    }

    fn over_rows(
        &mut self,
        mut rows: Rows<'_>,
        read: &mut impl FnMut(&Row<'_>) -> Result<Option<(Ksuid, T)>, StoreError>,
    ) -> Result<(), StoreError> {
        while let Some(row) = rows.next().map_err(failed)? {
            if self.items.len() == self.limit || self.has_looked_enough() {
                self.next = self.last;
                break;
            }
            self.looked += 1;
            self.last = Some(self.beyond(col(row, 0)?));
            if let Some((id, item)) = read(row)? {
                self.last = Some(id);
                self.items.push(item);
            }
        }
        Ok(())
    }

    fn has_looked_enough(&self) -> bool {
        self.looked >= self.looks || (self.looked >= LOOKS_AT_LEAST && Instant::now() >= self.until)
    }

    /// Just beyond a row, whatever the rest of its id is.
    fn beyond(&self, key: i64) -> Ksuid {
        Ksuid::from_parts(key, if self.pick == Pick::Newest { [0; 12] } else { [0xff; 12] })
    }

    fn end(mut self) -> Looked<T> {
        if self.pick == Pick::Oldest {
            self.items.reverse();
        }
        Looked { items: self.items, next: self.next }
    }
}

/// Where messages that pass a sieve may be: the hours of an event type, where one is asked for.
fn where_to_look(
    conn: &Connection,
    app: AppKey,
    sieve: &Sieve,
    keys: Range<i64>,
    pick: Pick,
) -> Result<Vec<Range<i64>>, StoreError> {
    match sieve.only_type() {
        // What has a tag is found by it.
        Some(event_type) if sieve.tag().is_none() => where_messages_are(conn, app, event_type, keys, pick),
        _ => Ok(vec![keys]),
    }
}

fn state_of(row: &Row<'_>) -> Result<DeliveryState, StoreError> {
    let due = || Ok::<_, StoreError>(Timestamp::from_micros(col::<Option<i64>>(row, 3)?.unwrap_or_default()));
    Ok(match col::<u8>(row, 2)? {
        0 => DeliveryState::Waiting { due_at: due()? },
        1 => DeliveryState::Sending,
        2 => DeliveryState::Delivered,
        3 => DeliveryState::Failed,
        4 => DeliveryState::Cancelled,
        5 => DeliveryState::Held,
        other => return Err(corrupt("delivery", "state", col::<i64>(row, 0)?, other)),
    })
}

/// What a list says about the delivery in a row of [`ONE`]; none if its message is gone.
fn view(conn: &Connection, to: EndpointKey, row: &Row<'_>) -> Result<Option<DeliveryView>, StoreError> {
    let key: i64 = col(row, 0)?;
    let Some(message) = message_by_key(conn, key, false)? else { return Ok(None) };
    let latest = match first(conn, LATEST, params![key, to.0], |row| col::<Option<i64>>(row, 0))?.flatten() {
        Some(attempt) => attempts::without_response(conn, attempt)?,
        None => None,
    };
    Ok(Some(DeliveryView { meta: message.meta, state: state_of(row)?, latest }))
}

fn count(conn: &Connection, sql: &str, params: impl rusqlite::Params) -> Result<u64, StoreError> {
    Ok(first(conn, sql, params, |row| col::<i64>(row, 0))?.unwrap_or_default().unsigned_abs())
}

/// What was looked at, and what of it counts.
fn two(conn: &Connection, sql: &str, params: impl rusqlite::Params) -> Result<(u64, u64), StoreError> {
    let both = first(conn, sql, params, |row| Ok((col::<i64>(row, 0)?, col::<i64>(row, 1)?)))?.unwrap_or_default();
    Ok((both.0.unsigned_abs(), both.1.unsigned_abs()))
}

fn count_failed(conn: &Connection, to: EndpointKey, from: i64, until: i64, looks: i64) -> Result<Counted, StoreError> {
    let window = params![to.0, from, until, looks];
    let (failed, most) = (count(conn, FAILED, window)?, looks.unsigned_abs());
    let (seen, given_up) = two(conn, GIVEN_UP, window)?;
    let (open, planned) = two(conn, PLANNED, window)?;
    Ok(Counted { found: failed + given_up + planned, all: failed < most && seen < most && open < most })
}

fn count_waiting(conn: &Connection, to: EndpointKey, looks: i64) -> Result<Counted, StoreError> {
    let (waiting, held) = (count(conn, WAITING, params![to.0, looks])?, count(conn, HELD, params![to.0, looks])?);
    let most = looks.unsigned_abs();
    Ok(Counted { found: waiting + held, all: waiting < most && held < most })
}

fn count_missing(conn: &Connection, e: &Endpoint, from: i64, until: i64, looks: usize) -> Result<Counted, StoreError> {
    let mut counted = Counted { found: 0, all: true };
    if e.disabled.is_some() {
        return Ok(counted);
    }
    let mut statement = conn.prepare_cached(MESSAGES).map_err(failed)?;
    let mut rows = statement.query(params![e.app.0, from, until]).map_err(failed)?;
    let mut looked = 0;
    while let Some(row) = rows.next().map_err(failed)? {
        if looked == looks {
            counted.all = false;
            break;
        }
        looked += 1;
        let key: i64 = col(row, 0)?;
        // A delivery that was cancelled before its first try never got there.
        let state = first(conn, MISSING, params![e.key.0, key], |row| col::<u8>(row, 0))?;
        let untried = match state {
            None => true,
            Some(4) => {
                first(conn, LATEST, params![key, e.key.0], |row| col::<Option<i64>>(row, 0))?.flatten().is_none()
            }
            Some(_) => false,
        };
        if untried
            && let Some(message) = message_by_key(conn, key, false)?
            && e.takes(&message.meta.event_type, &message.meta.channels)
        {
            counted.found += 1;
        }
    }
    Ok(counted)
}

#[async_trait]
impl Desk for Sqlite {
    async fn deliveries(
        &self,
        to: EndpointRef,
        range: IdRange,
        standing: Option<Standing>,
        of: &MessageFilter,
        looks: usize,
    ) -> Result<Looked<DeliveryView>, StoreError> {
        let sieve = Sieve::new(of);
        self.read(move |conn| {
            let keys = keys_between(conn, Keyed::Message, range.from, range.until)?;
            let sql = match (standing, range.pick) {
                // What has a tag is found by it.
                _ if sieve.tag().is_some() => sieve.deliveries(range.pick),
                (Some(Standing::Failed), Pick::Newest) => NEWEST_FAILED,
                (Some(Standing::Failed), Pick::Oldest) => OLDEST_FAILED,
                (Some(Standing::Cancelled), Pick::Newest) => NEWEST_CANCELLED,
                (Some(Standing::Cancelled), Pick::Oldest) => OLDEST_CANCELLED,
                (_, pick) => sieve.deliveries(pick),
            };
            let ranges = where_to_look(conn, to.app, &sieve, keys, range.pick)?;
            let (endpoint, app, tag) = (to.endpoint.0, to.app.0, sieve.tag());
            let mut look = Look::begin(&range, looks);
            look.over(
                conn,
                sql,
                ranges,
                |keys| (endpoint, keys.start, keys.end, tag, app),
                |row| {
                    let fits = col::<i64>(row, 1)? == to.app.0
                        && standing.is_none_or(|s| state_of(row).is_ok_and(|state| Standing::of(state) == s))
                        && sieve.passes_key(conn, col(row, 0)?)?;
                    if !fits {
                        return Ok(None);
                    }
                    Ok(view(conn, to.endpoint, row)?.map(|v| (v.meta.id.0, v)))
                },
            )?;
            Ok(look.end())
        })
        .await
    }

    async fn deliveries_of(
        &self,
        app: AppKey,
        message: MessageId,
        limit: usize,
    ) -> Result<Vec<(Endpoint, DeliveryView)>, StoreError> {
        let sealer = self.sealer.clone();
        self.read(move |conn| {
            let mut found = Vec::new();
            if !is_there(conn, app, message)? {
                return Ok(found);
            }
            for key in all(conn, ENDPOINTS, [app.0], |row| col::<i64>(row, 0))? {
                if found.len() == limit {
                    break;
                }
                let to = EndpointKey(key);
                let delivery = first(conn, ONE, params![key, message.0.head()], |row| view(conn, to, row))?.flatten();
                if let Some(delivery) = delivery
                    && let Some(endpoint) = endpoints::any_by_key(conn, &sealer, to)?
                {
                    found.push((endpoint, delivery));
                }
            }
            Ok(found)
        })
        .await
    }

    async fn search(
        &self,
        app: AppKey,
        range: IdRange,
        of: &MessageFilter,
        looks: usize,
    ) -> Result<Looked<Message>, StoreError> {
        let sieve = Sieve::new(of);
        self.read(move |conn| {
            let keys = keys_between(conn, Keyed::Message, range.from, range.until)?;
            let ranges = where_to_look(conn, app, &sieve, keys, range.pick)?;
            let (sql, tag) = (sieve.messages(range.pick), sieve.tag());
            let mut look = Look::begin(&range, looks);
            look.over(
                conn,
                sql,
                ranges,
                |keys| (app.0, keys.start, keys.end, tag),
                |row| {
                    if !sieve.passes(row, 1, 2)? {
                        return Ok(None);
                    }
                    Ok(message_by_key(conn, col(row, 0)?, false)?.map(|m| (m.meta.id.0, m)))
                },
            )?;
            Ok(look.end())
        })
        .await
    }

    async fn count_for_task(
        &self,
        endpoint: &Endpoint,
        kind: TaskKind,
        since: Timestamp,
        until: Timestamp,
        looks: usize,
    ) -> Result<Counted, StoreError> {
        let e = endpoint.clone();
        self.read(move |conn| {
            let (from, until) = (Ksuid::lowest_at(since).head(), Ksuid::lowest_at(until).head());
            let most = i64::try_from(looks).unwrap_or(i64::MAX);
            match kind {
                TaskKind::Recover => count_failed(conn, e.key, from, until, most),
                TaskKind::ReplayMissing => count_missing(conn, &e, from, until, looks),
                TaskKind::CancelWaiting => count_waiting(conn, e.key, most),
            }
        })
        .await
    }

    async fn next_due(&self, to: EndpointRef) -> Result<Option<Timestamp>, StoreError> {
        self.read(move |conn| {
            let due = |queue: i64| first(conn, NEXT_DUE, params![to.endpoint.0, queue], |row| col::<i64>(row, 0));
            Ok(due(0)?.into_iter().chain(due(1)?).min().map(Timestamp::from_micros))
        })
        .await
    }

    async fn durations(
        &self,
        to: EndpointRef,
        from: Ksuid,
        until: Ksuid,
        sample: usize,
    ) -> Result<Vec<u32>, StoreError> {
        self.read(move |conn| {
            let keys = keys_between(conn, Keyed::Attempt, from, until)?;
            let most = i64::try_from(sample).unwrap_or(i64::MAX);
            all(conn, DURATIONS, params![to.endpoint.0, keys.start, keys.end, most], |row| col(row, 0))
        })
        .await
    }

    async fn public_application(&self, id: ApplicationId) -> Result<Option<Application>, StoreError> {
        let found = self.read(move |conn| applications::by_id(conn, id)).await?;
        Ok(found.filter(|app| app.options.public_catalogue))
    }

    async fn task_position(&self, task: TaskId) -> Result<Option<Timestamp>, StoreError> {
        self.read(move |conn| {
            let sql = "SELECT position FROM task WHERE id = ?1";
            let position = first(conn, sql, [task.0.0], |row| col::<i64>(row, 0))?;
            Ok(position.map(|key| Ksuid::from_parts(key, [0; 12]).timestamp()))
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::rows::{assert_indexed, plan},
        *,
    };

    #[test]
    fn lists_and_counts_find_their_rows_by_key_and_index() {
        for sql in [
            NEWEST_FAILED,
            OLDEST_FAILED,
            NEWEST_CANCELLED,
            OLDEST_CANCELLED,
            ONE,
            ENDPOINTS,
            MESSAGES,
            LATEST,
            MISSING,
            NEXT_DUE,
        ] {
            assert_indexed(sql);
        }
        // The subqueries are walked through, which is a scan of what was found and of nothing else.
        for (sql, index) in [
            (FAILED, "COVERING INDEX delivery_ended"),
            (GIVEN_UP, "INDEX delivery_ended"),
            (PLANNED, "INDEX delivery_open"),
            (WAITING, "INDEX delivery_open"),
            (HELD, "INDEX delivery_order"),
            (DURATIONS, "INDEX attempt_endpoint"),
        ] {
            let plan = plan(sql);
            assert!(plan.contains(index) && !plan.contains("TEMP B-TREE"), "{sql}\n{plan}");
        }
    }

    #[test]
    fn a_walk_ends_with_its_looks_or_after_its_time_but_not_before_a_few_hundred_rows() {
        let range = IdRange { from: Ksuid::MIN, until: Ksuid::MAX, pick: Pick::Newest, limit: 50 };
        let after = |looked, until| Look { looked, until, ..Look::<()>::begin(&range, 2_000) }.has_looked_enough();
        let (passed, ahead) = (Instant::now(), Instant::now() + Duration::from_secs(3600));
        assert_eq!([499, 500, 2_000].map(|looked| after(looked, passed)), [false, true, true]);
        assert_eq!([499, 500, 2_000].map(|looked| after(looked, ahead)), [false, false, true]);
    }
}
