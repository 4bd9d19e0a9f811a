//! Lists and counts for screens. None looks at more rows than it was told, and each finds them by key or index.

use super::{
    Postgres,
    applications::public_by_id,
    messages::{Sieve, within},
    rows::{self, corrupt, in_range},
};
use crate::{
    desk::{Counted, DeliveryView, Desk, Looked, Standing},
    error::StoreError,
    hourly::Piece,
    views::MessageFilter,
};
use async_trait::async_trait;
use domain::{
    AppKey, Application, ApplicationId, Attempt, DeliveryState, Endpoint, EndpointKey, EndpointRef, IdRange, Ksuid,
    Message, MessageId, Pick, TaskId, TaskKind, Timestamp,
};
use std::collections::HashMap;
use tokio_postgres::Row;

/// What a filter lets through, of a message's event type and channels.
macro_rules! sieve {
    ($types:literal, $channel:literal, $within:literal) => {
        concat!(
            "(",
            $types,
            "::text[] IS NULL OR m.event_type = ANY (",
            $types,
            ")) AND (",
            $channel,
            "::text IS NULL OR coalesce(position(",
            $channel,
            " IN m.channels), 0) > 0) AND ",
            within!($within)
        )
    };
}
/// So many deliveries by message: key and tail of the message, state, when it is due, whether the filter lets it through.
macro_rules! deliveries {
    ($which:literal, $order:literal) => {
        concat!(
            "SELECT d.message, m.tail, d.state, d.due_at, m.key IS NOT NULL AND ",
            sieve!("$5", "$6", "$8"),
            " FROM (SELECT message, state, due_at FROM delivery
                    WHERE app = $1 AND endpoint = $2 AND message >= $3 AND message <= $4 ",
            $which,
            " AND $9::text IS NULL AND $10::bigint[] IS NULL ORDER BY message ",
            $order,
            " LIMIT $7) d LEFT JOIN message m ON m.app = $1 AND m.key = d.message ORDER BY d.message ",
            $order
        )
    };
}
/// The same of messages with these keys ($10).
macro_rules! keyed_deliveries {
    ($order:literal) => {
        concat!(
            "SELECT d.message, m.tail, d.state, d.due_at, m.key IS NOT NULL AND ",
            sieve!("$5", "$6", "$8"),
            " FROM (SELECT d.message, d.state, d.due_at FROM (SELECT key FROM unnest($10::bigint[]) AS key OFFSET 0) k
                    JOIN delivery d ON d.app = $1 AND d.endpoint = $2 AND d.message = k.key
                    WHERE k.key >= $3 AND k.key <= $4 AND $9::text IS NULL ORDER BY k.key ",
            $order,
            " LIMIT $7) d LEFT JOIN message m ON m.app = $1 AND m.key = d.message ORDER BY d.message ",
            $order
        )
    };
}
/// The same of those messages with a tag ($9), found by it.
macro_rules! tagged_deliveries {
    ($order:literal) => {
        concat!(
            "SELECT d.message, m.tail, d.state, d.due_at, m.key IS NOT NULL AND ",
            sieve!("$5", "$6", "$8"),
            " FROM (SELECT d.message, d.state, d.due_at FROM message_tag t
                    JOIN delivery d ON d.app = $1 AND d.endpoint = $2 AND d.message = t.message
                    WHERE t.app = $1 AND t.tag = $9 AND t.message >= $3 AND t.message <= $4
                        AND d.message >= $3 AND d.message <= $4 AND $10::bigint[] IS NULL ORDER BY t.message ",
            $order,
            " LIMIT $7) d LEFT JOIN message m ON m.app = $1 AND m.key = d.message ORDER BY d.message ",
            $order
        )
    };
}
macro_rules! messages {
    ($order:literal) => {
        concat!(
            "SELECT m.key, m.tail, ",
            sieve!("$4", "$5", "$7"),
            " FROM (SELECT key, tail, event_type, channels FROM message
                    WHERE app = $1 AND key >= $2 AND key <= $3 AND $8::text IS NULL AND $9::bigint[] IS NULL
                    ORDER BY key ",
            $order,
            " LIMIT $6) m ORDER BY m.key ",
            $order
        )
    };
}
/// The same of those with these keys ($9).
macro_rules! keyed_messages {
    ($order:literal) => {
        concat!(
            "SELECT m.key, m.tail, ",
            sieve!("$4", "$5", "$7"),
            " FROM (SELECT key FROM unnest($9::bigint[]) AS key WHERE key >= $2 AND key <= $3 AND $8::text IS NULL
                    ORDER BY key ",
            $order,
            " LIMIT $6) k JOIN message m ON m.app = $1 AND m.key = k.key ORDER BY k.key ",
            $order
        )
    };
}

/// The same of those with a tag ($8), found by it.
macro_rules! tagged_messages {
    ($order:literal) => {
        concat!(
            "SELECT m.key, m.tail, ",
            sieve!("$4", "$5", "$7"),
            " FROM (SELECT message FROM message_tag WHERE app = $1 AND tag = $8 AND message >= $2 AND message <= $3
                    AND $9::bigint[] IS NULL ORDER BY message ",
            $order,
            " LIMIT $6) t JOIN message m ON m.app = $1 AND m.key = t.message ORDER BY t.message ",
            $order
        )
    };
}

const NEWEST: &str = deliveries!("", "DESC");
const OLDEST: &str = deliveries!("", "ASC");
const NEWEST_FAILED: &str = deliveries!("AND state IN (3, 4) AND state = 3", "DESC");
const OLDEST_FAILED: &str = deliveries!("AND state IN (3, 4) AND state = 3", "ASC");
const NEWEST_CANCELLED: &str = deliveries!("AND state IN (3, 4) AND state = 4", "DESC");
const OLDEST_CANCELLED: &str = deliveries!("AND state IN (3, 4) AND state = 4", "ASC");
const NEWEST_KEYED: &str = keyed_deliveries!("DESC");
const OLDEST_KEYED: &str = keyed_deliveries!("ASC");
const NEWEST_KEYED_MESSAGES: &str = keyed_messages!("DESC");
const OLDEST_KEYED_MESSAGES: &str = keyed_messages!("ASC");
const NEWEST_MESSAGES: &str = messages!("DESC");
const OLDEST_MESSAGES: &str = messages!("ASC");
const NEWEST_TAGGED: &str = tagged_messages!("DESC");
const OLDEST_TAGGED: &str = tagged_messages!("ASC");
const NEWEST_TAGGED_TO: &str = tagged_deliveries!("DESC");
const OLDEST_TAGGED_TO: &str = tagged_deliveries!("ASC");
/// The latest attempts of messages to an endpoint.
const LATEST_TO: &str = "SELECT k, (SELECT max(a.key) FROM attempt a
        WHERE a.app = $1 AND a.message = k AND a.key >= k AND a.endpoint = $2)
    FROM unnest($3::bigint[]) AS k";
/// The latest attempts of a message, by endpoint.
const LATEST_OF: &str = "SELECT a.endpoint, max(a.key) FROM attempt a
    WHERE a.app = $1 AND a.message = $2 AND a.key >= $2 GROUP BY a.endpoint";
const DELIVERIES_OF: &str = "SELECT e.key, d.state, d.due_at FROM endpoint e
    JOIN delivery d ON d.app = $1 AND d.endpoint = e.key AND d.message = $2 WHERE e.app = $1 ORDER BY e.id LIMIT $3";
/// Failed ones, and those given up or planned again after a try; of each what was looked at, and what counts.
const FAILED: &str = "SELECT count(*), count(*) FROM (SELECT 1 FROM delivery
    WHERE app = $1 AND endpoint = $2 AND state IN (3, 4) AND state = 3 AND message >= $3 AND message < $4 LIMIT $5) d";
const GIVEN_UP: &str = "SELECT count(*), count(*) FILTER (WHERE tries > 0) FROM (SELECT tries FROM delivery
    WHERE app = $1 AND endpoint = $2 AND state IN (3, 4) AND state = 4 AND message >= $3 AND message < $4 LIMIT $5) d";
const PLANNED: &str = "SELECT count(*), count(*) FILTER (WHERE tries > 0 AND message >= $3 AND message < $4)
    FROM (SELECT tries, message FROM delivery WHERE app = $1 AND endpoint = $2 AND queue = 1 AND state = 0 LIMIT $5) d";
const WAITING: &str = "SELECT count(*), count(*) FROM (SELECT 1 FROM delivery
    WHERE app = $1 AND endpoint = $2 AND state = 0 LIMIT $3) d";
const HELD: &str = "SELECT count(*), count(*) FROM (SELECT 1 FROM delivery
    WHERE app = $1 AND endpoint = $2 AND order_key IS NOT NULL AND state IN (0, 1, 5) AND state = 5 LIMIT $3) d";
/// Messages, and whether an endpoint never got them: a delivery that was cancelled before its first try never got there.
const MISSING: &str = "SELECT m.key, NOT EXISTS (SELECT 1 FROM delivery d
            WHERE d.app = $1 AND d.endpoint = $2 AND d.message = m.key AND d.state <> 4)
        AND NOT EXISTS (SELECT 1 FROM attempt a
            WHERE a.app = $1 AND a.message = m.key AND a.key >= m.key AND a.endpoint = $2)
    FROM (SELECT key FROM message WHERE app = $1 AND key >= $3 AND key < $4 ORDER BY key LIMIT $5) m ORDER BY m.key";
const NEXT_DUE: &str = "SELECT least(
    (SELECT due_at FROM delivery WHERE app = $1 AND endpoint = $2 AND queue = 0 AND state = 0 ORDER BY due_at LIMIT 1),
    (SELECT due_at FROM delivery WHERE app = $1 AND endpoint = $2 AND queue = 1 AND state = 0 ORDER BY due_at LIMIT 1))";
const DURATIONS: &str = concat!(
    "SELECT a.duration_ms FROM attempt a WHERE a.app = $1 AND a.endpoint = $6 AND a.status = 0 AND ",
    in_range!("a.key", "a.tail"),
    " ORDER BY a.key DESC LIMIT $7"
);
const POSITION: &str = "SELECT position FROM task WHERE id = $1";

/// A walk over rows whose first columns are a message's key and tail (absent if it is gone), newest or oldest first, as far
/// as its looks allow; see [`rows_for`].
struct Look<T> {
    range: IdRange,
    looks: usize,
    looked: usize,
    items: Vec<(Ksuid, T)>,
    last: Option<Ksuid>,
    next: Option<Ksuid>,
}

impl<T> Look<T> {
    fn begin(range: &IdRange, looks: usize) -> Self {
        Self { range: range.clone(), looks, looked: 0, items: Vec::new(), last: None, next: None }
    }

    /// How many more rows may be looked at; none if the walk is over.
    fn left(&mut self) -> Option<usize> {
        if self.looked >= self.looks {
            self.next = self.last;
        }
        self.next.is_none().then(|| self.looks - self.looked)
    }

    fn over(
        &mut self,
        found: &[Row],
        mut read: impl FnMut(&Row) -> Result<Option<T>, StoreError>,
    ) -> Result<(), StoreError> {
        for row in found {
            let is_there = rows::col::<Option<&[u8]>>(row, 1)?.is_some();
            let id = if is_there { rows::keyed_ksuid(row, 0, 1, "message")? } else { self.beyond(rows::col(row, 0)?) };
            if is_there && !(self.range.from..self.range.until).contains(&id) {
                continue;
            }
            if self.items.len() == self.range.limit || self.looked >= self.looks {
                self.next = self.last;
                break;
            }
            self.looked += 1;
            self.last = Some(id);
            if is_there && let Some(item) = read(row)? {
                self.items.push((id, item));
            }
        }
        Ok(())
    }

    /// Looked for these keys, the last one last. Looking in vain costs as much.
    fn looked_for(&mut self, keys: &[i64], found: usize) {
        self.looked = self.looked.saturating_add(keys.len().saturating_sub(found));
        if self.next.is_none() {
            self.last = keys.last().map(|key| self.beyond(*key)).or(self.last);
        }
    }

    /// Just beyond a row, whatever the rest of its id is.
    fn beyond(&self, key: i64) -> Ksuid {
        Ksuid::from_parts(key, if self.range.pick == Pick::Newest { [0; 12] } else { [0xff; 12] })
    }

    fn end(mut self) -> Looked<(Ksuid, T)> {
        if self.range.pick == Pick::Oldest {
            self.items.reverse();
        }
        Looked { items: self.items, next: self.next }
    }
}

/// What a query for a piece takes: its first and last key, and its keys where they are known.
fn window(piece: &Piece) -> (i64, i64, Option<&[i64]>) {
    match piece {
        Piece::Span(span) => (span.start, span.end.saturating_sub(1), None),
        Piece::Keys(keys) => (i64::MIN, i64::MAX, Some(keys)),
    }
}

/// How many rows to ask for: one more tells whether the range ends there, and a row at each end may lie just outside.
fn rows_for(looks: usize) -> i64 {
    limit(looks).saturating_add(3)
}

fn limit(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn state(row: &Row, state: usize, due: usize) -> Result<DeliveryState, StoreError> {
    Ok(match rows::col::<i16>(row, state)? {
        0 => {
            let due_at = Timestamp::from_micros(rows::col::<Option<i64>>(row, due)?.unwrap_or_default());
            DeliveryState::Waiting { due_at }
        }
        1 => DeliveryState::Sending,
        2 => DeliveryState::Delivered,
        3 => DeliveryState::Failed,
        4 => DeliveryState::Cancelled,
        5 => DeliveryState::Held,
        other => return Err(corrupt("delivery", "state", "", other)),
    })
}

impl Postgres {
    /// Where messages that pass a sieve may be: the hours of an event type, where one is asked for.
    async fn where_to_look(&self, app: AppKey, sieve: &Sieve, range: &IdRange) -> Result<Vec<Piece>, StoreError> {
        let keys = range.from.head()..range.until.head().saturating_add(1);
        match sieve.only_type() {
            // What has a tag is found by it.
            Some(event_type) if sieve.tag.is_none() => self.where_messages_are(app, event_type, keys, range.pick).await,
            _ => Ok(vec![Piece::Span(keys)]),
        }
    }

    /// The attempts that a query of two columns names, their answers left out, by its first column.
    async fn latest_by(&self, app: AppKey, found: &[Row]) -> Result<HashMap<i64, Attempt>, StoreError> {
        let mut whose = HashMap::with_capacity(found.len());
        for row in found {
            if let Some(attempt) = rows::col::<Option<i64>>(row, 1)? {
                whose.insert(attempt, rows::col::<i64>(row, 0)?);
            }
        }
        let keys: Vec<i64> = whose.keys().copied().collect();
        let attempts = self.attempts_by_key(app, &keys, false).await?;
        Ok(attempts.into_iter().filter_map(|a| Some((*whose.get(&a.id.0.head())?, a))).collect())
    }

    /// What was looked at, and what of it counts.
    async fn two(
        &self,
        sql: &'static str,
        params: &[&(dyn tokio_postgres::types::ToSql + Sync)],
    ) -> Result<(u64, u64), StoreError> {
        let row = self.pool.read_first(sql, params).await?.ok_or(StoreError::NotFound)?;
        Ok((rows::small(&row, 0, "delivery")?, rows::small(&row, 1, "delivery")?))
    }

    async fn count_missing(&self, e: &Endpoint, from: i64, until: i64, looks: usize) -> Result<Counted, StoreError> {
        if e.disabled.is_some() {
            return Ok(Counted { found: 0, all: true });
        }
        let one_more = limit(looks).saturating_add(1);
        let found = self.pool.read(MISSING, &[&e.app.0, &e.key.0, &from, &until, &one_more]).await?;
        let mut untried = Vec::new();
        for row in found.iter().take(looks) {
            if rows::col(row, 1)? {
                untried.push(rows::col::<i64>(row, 0)?);
            }
        }
        let messages = self.messages_by_key(e.app, &untried, false).await?;
        let taken = messages.iter().filter(|m| e.takes(&m.meta.event_type, &m.meta.channels)).count();
        Ok(Counted { found: taken as u64, all: found.len() <= looks })
    }
}

#[async_trait]
impl Desk for Postgres {
    async fn deliveries(
        &self,
        to: EndpointRef,
        range: IdRange,
        standing: Option<Standing>,
        of: &MessageFilter,
        looks: usize,
    ) -> Result<Looked<DeliveryView>, StoreError> {
        let sieve = Sieve::new(of);
        let sql = match (standing, range.pick) {
            // What has a tag is found by it.
            (_, Pick::Newest) if sieve.tag.is_some() => NEWEST_TAGGED_TO,
            (_, Pick::Oldest) if sieve.tag.is_some() => OLDEST_TAGGED_TO,
            (Some(Standing::Failed), Pick::Newest) => NEWEST_FAILED,
            (Some(Standing::Failed), Pick::Oldest) => OLDEST_FAILED,
            (Some(Standing::Cancelled), Pick::Newest) => NEWEST_CANCELLED,
            (Some(Standing::Cancelled), Pick::Oldest) => OLDEST_CANCELLED,
            (_, Pick::Newest) => NEWEST,
            (_, Pick::Oldest) => OLDEST,
        };
        let keyed = if range.pick == Pick::Newest { NEWEST_KEYED } else { OLDEST_KEYED };
        let (app, endpoint, Sieve { event_types, channel, within, tag }) = (to.app.0, to.endpoint.0, &sieve);
        let mut look = Look::begin(&range, looks);
        for piece in self.where_to_look(to.app, &sieve, &range).await? {
            let Some(left) = look.left() else { break };
            let ((from, until, keys), rows) = (window(&piece), rows_for(left));
            let values: [&(dyn tokio_postgres::types::ToSql + Sync); 10] =
                [&app, &endpoint, &from, &until, event_types, channel, &rows, within, tag, &keys];
            let found = self.pool.read(if keys.is_some() { keyed } else { sql }, &values).await?;
            look.over(&found, |row| {
                let state = state(row, 2, 3)?;
                let fits = rows::col(row, 4)? && standing.is_none_or(|s| Standing::of(state) == s);
                Ok(fits.then_some(state))
            })?;
            look.looked_for(keys.unwrap_or_default(), found.len());
        }
        let looked = look.end();
        let keys: Vec<i64> = looked.items.iter().map(|(id, _)| id.head()).collect();
        let latest = self.pool.read(LATEST_TO, &[&app, &endpoint, &keys]).await?;
        let mut latest = self.latest_by(to.app, &latest).await?;
        let messages = self.messages_by_key(to.app, &keys, false).await?;
        let mut metas: HashMap<_, _> = messages.into_iter().map(|m| (m.meta.id.0, m.meta)).collect();
        let views = looked.items.into_iter().filter_map(|(id, state)| {
            Some(DeliveryView { meta: metas.remove(&id)?, state, latest: latest.remove(&id.head()) })
        });
        Ok(Looked { items: views.collect(), next: looked.next })
    }

    async fn deliveries_of(
        &self,
        app: AppKey,
        message: MessageId,
        most: usize,
    ) -> Result<Vec<(Endpoint, DeliveryView)>, StoreError> {
        let key = message.0.head();
        let meta = match self.has_message(app, message).await? {
            true => self.messages_by_key(app, &[key], false).await?.pop(),
            false => None,
        };
        let Some(Message { meta, .. }) = meta else { return Ok(Vec::new()) };
        let found = self.pool.read(DELIVERIES_OF, &[&app.0, &key, &limit(most)]).await?;
        let mut latest = self.latest_by(app, &self.pool.read(LATEST_OF, &[&app.0, &key]).await?).await?;
        let keys = found.iter().map(|row| rows::col(row, 0)).collect::<Result<Vec<i64>, _>>()?;
        let endpoints = self.endpoints_by_key(app, &keys).await?;
        let mut by_key: HashMap<EndpointKey, _> = endpoints.into_iter().map(|e| (e.key, e)).collect();
        let mut views = Vec::with_capacity(found.len());
        for (row, key) in found.iter().zip(keys) {
            if let Some(endpoint) = by_key.remove(&EndpointKey(key)) {
                let view = DeliveryView { meta: meta.clone(), state: state(row, 1, 2)?, latest: latest.remove(&key) };
                views.push((endpoint, view));
            }
        }
        Ok(views)
    }

    async fn search(
        &self,
        app: AppKey,
        range: IdRange,
        of: &MessageFilter,
        looks: usize,
    ) -> Result<Looked<Message>, StoreError> {
        let sieve = Sieve::new(of);
        let sql = match (&sieve.tag, range.pick) {
            (None, Pick::Newest) => NEWEST_MESSAGES,
            (None, Pick::Oldest) => OLDEST_MESSAGES,
            (Some(_), Pick::Newest) => NEWEST_TAGGED,
            (Some(_), Pick::Oldest) => OLDEST_TAGGED,
        };
        let keyed = if range.pick == Pick::Newest { NEWEST_KEYED_MESSAGES } else { OLDEST_KEYED_MESSAGES };
        let Sieve { event_types, channel, within, tag } = &sieve;
        let mut look = Look::begin(&range, looks);
        for piece in self.where_to_look(app, &sieve, &range).await? {
            let Some(left) = look.left() else { break };
            let ((from, until, keys), rows) = (window(&piece), rows_for(left));
            let values: [&(dyn tokio_postgres::types::ToSql + Sync); 9] =
                [&app.0, &from, &until, event_types, channel, &rows, within, tag, &keys];
            let found = self.pool.read(if keys.is_some() { keyed } else { sql }, &values).await?;
            look.over(&found, |row| Ok(rows::col::<bool>(row, 2)?.then_some(())))?;
            look.looked_for(keys.unwrap_or_default(), found.len());
        }
        let looked = look.end();
        let keys: Vec<i64> = looked.items.iter().map(|(id, ())| id.head()).collect();
        Ok(Looked { items: self.messages_by_key(app, &keys, false).await?, next: looked.next })
    }

    async fn count_for_task(
        &self,
        endpoint: &Endpoint,
        kind: TaskKind,
        since: Timestamp,
        until: Timestamp,
        looks: usize,
    ) -> Result<Counted, StoreError> {
        let (from, until) = (Ksuid::lowest_at(since).head(), Ksuid::lowest_at(until).head());
        let (app, key, most) = (endpoint.app.0, endpoint.key.0, limit(looks));
        let counts = match kind {
            TaskKind::Recover => {
                let window: [&(dyn tokio_postgres::types::ToSql + Sync); 5] = [&app, &key, &from, &until, &most];
                let failed = self.two(FAILED, &window).await?;
                vec![failed, self.two(GIVEN_UP, &window).await?, self.two(PLANNED, &window).await?]
            }
            TaskKind::ReplayMissing => return self.count_missing(endpoint, from, until, looks).await,
            TaskKind::CancelWaiting => {
                vec![self.two(WAITING, &[&app, &key, &most]).await?, self.two(HELD, &[&app, &key, &most]).await?]
            }
        };
        Ok(Counted {
            found: counts.iter().map(|(_, found)| found).sum(),
            all: counts.iter().all(|(looked, _)| *looked < most.unsigned_abs()),
        })
    }

    async fn next_due(&self, to: EndpointRef) -> Result<Option<Timestamp>, StoreError> {
        let row = self.pool.read_first(NEXT_DUE, &[&to.app.0, &to.endpoint.0]).await?;
        let due = row.map(|row| rows::col::<Option<i64>>(&row, 0)).transpose()?.flatten();
        Ok(due.map(Timestamp::from_micros))
    }

    async fn durations(
        &self,
        to: EndpointRef,
        from: Ksuid,
        until: Ksuid,
        sample: usize,
    ) -> Result<Vec<u32>, StoreError> {
        let (from_tail, until_tail, most) = (from.tail(), until.tail(), limit(sample));
        let (app, endpoint, from, until) = (to.app.0, to.endpoint.0, from.head(), until.head());
        let found = self
            .pool
            .read(DURATIONS, &[&app, &from, &&from_tail[..], &until, &&until_tail[..], &endpoint, &most])
            .await?;
        found.iter().map(|row| rows::small(row, 0, "attempt")).collect()
    }

    async fn public_application(&self, id: ApplicationId) -> Result<Option<Application>, StoreError> {
        public_by_id(&self.pool, id).await
    }

    async fn task_position(&self, task: TaskId) -> Result<Option<Timestamp>, StoreError> {
        let row = self.pool.read_first(POSITION, &[&&task.0.0[..]]).await?;
        let position = row.map(|row| rows::col::<i64>(&row, 0)).transpose()?;
        Ok(position.map(|key| Ksuid::from_parts(key, [0; 12]).timestamp()))
    }
}
