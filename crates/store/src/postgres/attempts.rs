//! Attempts, and what they say about messages and endpoints: how the latest one went, how many went well.

use super::{
    Postgres,
    messages::{Sieve, within},
    rows::{self, Bounds, corrupt, in_range, these_keys},
};
use crate::{
    error::StoreError,
    pages::cut,
    views::{AttemptFilter, AttemptedDestination, AttemptedMessage, AttemptsOf, DeliveryFilter, Stats},
};
use domain::{
    AppKey, Attempt, AttemptId, AttemptStatus, EndpointId, EndpointKey, EndpointRef, FailureReason, IdRange, Ksuid,
    MessageId, PageOf, PageQuery, Pick, Timestamp, Trigger,
};
use std::collections::HashMap;
use tokio_postgres::Row;

/// Keys first, with what their answers weigh: contents are read for one page only.
macro_rules! list {
    ($whose:literal, $order:literal) => {
        concat!(
            "SELECT a.key, CASE WHEN $7 THEN octet_length(a.response) END FROM attempt a
             WHERE a.app = $1 AND ",
            $whose,
            " = $6 AND ",
            in_range!("a.key", "a.tail"),
            " AND ($8::bigint[] IS NULL OR a.endpoint = ANY ($8)) AND ($9::smallint IS NULL OR a.status = $9)
              AND ($10::integer IS NULL OR a.response_status / 100 * 100 = $10)
              AND (($11::text[] IS NULL AND $12::text IS NULL AND $14::text[] IS NULL) OR EXISTS (SELECT 1 FROM message m
                   WHERE m.app = $1 AND m.key = a.message AND ($11::text[] IS NULL OR m.event_type = ANY ($11))
                     AND ($12::text IS NULL OR position($12 IN m.channels) > 0) AND ",
            within!("$14"),
            "))
              AND ($15::text IS NULL OR EXISTS (SELECT 1 FROM message_tag t
                   WHERE t.app = $1 AND t.tag = $15 AND t.message = a.message))
            ORDER BY a.key ",
            $order,
            " LIMIT $13"
        )
    };
}
macro_rules! select {
    ($response:literal) => {
        concat!(
            "SELECT a.key, a.tail, m.key, m.tail, e.id, a.url, a.at, a.status, a.trigger, a.response_status,
             a.duration_ms, a.reason, ",
            $response,
            " FROM ",
            these_keys!(),
            " JOIN attempt a ON a.app = k.app AND a.key = k.key JOIN message m ON m.app = a.app AND m.key = a.message
              JOIN endpoint e ON e.app = a.app AND e.key = a.endpoint"
        )
    };
}
/// Every attempted message has exactly one of these statuses: 0 as soon as any attempt succeeded, else 3 as long as its
/// delivery is open, else 2.
macro_rules! attempted {
    ($of:literal, $order:literal) => {
        concat!(
            "SELECT d.message, CASE WHEN $6 THEN octet_length(m.payload) END, past.latest, d.state, d.due_at
             FROM ",
            $of,
            " JOIN message m ON m.app = $1 AND m.key = d.message,
                LATERAL (SELECT (array_agg(a.status ORDER BY a.key DESC))[1] AS latest, bool_or(a.status = 0) AS succeeded
                         FROM attempt a WHERE a.app = $1 AND a.message = d.message AND a.key >= d.message
                            AND a.endpoint = $7 HAVING count(*) > 0) past
             WHERE d.app = $1 AND d.endpoint = $7 AND ",
            in_range!("d.message", "m.tail"),
            " AND ($8::text[] IS NULL OR m.event_type = ANY ($8))
              AND ($9::text IS NULL OR position($9 IN m.channels) > 0)
              AND ",
            within!("$12"),
            "
              AND ($10::smallint IS NULL OR $10 =
                   CASE WHEN past.succeeded THEN 0 WHEN d.state IN (0, 1, 5) THEN 3 ELSE 2 END)
             ORDER BY d.message ",
            $order,
            " LIMIT $11"
        )
    };
}

const NEWEST_TO_ENDPOINT: &str = list!("a.endpoint", "DESC");
const OLDEST_TO_ENDPOINT: &str = list!("a.endpoint", "ASC");
const NEWEST_OF_MESSAGE: &str = list!("a.message", "DESC");
const OLDEST_OF_MESSAGE: &str = list!("a.message", "ASC");
const WHOLE: &str = select!("a.response");
const WITHOUT_RESPONSE: &str = select!("''::bytea");
const BY_ID: &str = "SELECT 1 FROM attempt a JOIN message m ON m.app = $1 AND m.key = a.message
    WHERE a.app = $1 AND a.key = $2 AND a.tail = $3 AND m.key = $4 AND m.tail = $5";
const EXPUNGE: &str = "UPDATE attempt a SET response = 'EXPUNGED'::bytea FROM message m
    WHERE a.app = $1 AND a.key = $2 AND a.tail = $3 AND m.app = $1 AND m.key = a.message AND m.key = $4 AND m.tail = $5";
const NEWEST_ATTEMPTED: &str = attempted!("(SELECT * FROM delivery WHERE $13::text IS NULL) d", "DESC");
const OLDEST_ATTEMPTED: &str = attempted!("(SELECT * FROM delivery WHERE $13::text IS NULL) d", "ASC");
const NEWEST_TAGGED: &str =
    attempted!("message_tag t JOIN delivery d ON t.app = $1 AND t.tag = $13 AND t.message = d.message", "DESC");
const OLDEST_TAGGED: &str =
    attempted!("message_tag t JOIN delivery d ON t.app = $1 AND t.tag = $13 AND t.message = d.message", "ASC");
/// As many as the message has destinations, each with its latest attempt.
const DESTINATIONS: &str = "SELECT e.id, e.key, past.status, d.due_at
    FROM (SELECT a.endpoint, (array_agg(a.status ORDER BY a.key DESC))[1] AS status
          FROM attempt a WHERE a.app = $1 AND a.message = $2 AND a.key >= $2 GROUP BY a.endpoint) past
    JOIN endpoint e ON e.app = $1 AND e.key = past.endpoint
    LEFT JOIN delivery d ON d.app = $1 AND d.endpoint = past.endpoint AND d.message = $2 AND d.state = 0
    ORDER BY e.id";
const COUNT: &str = concat!(
    "SELECT count(*) FILTER (WHERE a.status = 0), count(*) FILTER (WHERE a.status <> 0) FROM attempt a
     WHERE a.app = $1 AND a.endpoint = $6 AND ",
    in_range!("a.key", "a.tail")
);

/// States of a delivery as they are stored.
const WAITING: i16 = 0;
const SENDING: i16 = 1;
const HELD: i16 = 5;

impl Postgres {
    pub(super) async fn list_attempts(
        &self,
        of: AttemptsOf,
        range: IdRange,
        filter: &AttemptFilter,
        with_content: bool,
    ) -> Result<PageOf<Attempt>, StoreError> {
        // What is stored is over: a success or a failure.
        if matches!(filter.status, Some(AttemptStatus::Pending | AttemptStatus::Sending | AttemptStatus::Canceled)) {
            return Ok(PageOf::empty());
        }
        let newest = range.pick == Pick::Newest;
        let (app, whose, sql) = match of {
            AttemptsOf::Endpoint(to) => {
                (to.app, to.endpoint.0, if newest { NEWEST_TO_ENDPOINT } else { OLDEST_TO_ENDPOINT })
            }
            AttemptsOf::Message(app, id) if self.has_message(app, id).await? => {
                (app, id.0.head(), if newest { NEWEST_OF_MESSAGE } else { OLDEST_OF_MESSAGE })
            }
            AttemptsOf::Message(..) => return Ok(PageOf::empty()),
        };
        let (bounds, sieve) = (Bounds::of(&range), Sieve::new(&filter.messages));
        let only_to: Option<Vec<i64>> = filter.endpoints.as_ref().map(|keys| keys.iter().map(|e| e.0).collect());
        let found = self
            .pool
            .read(
                sql,
                &[
                    &app.0,
                    &bounds.from,
                    &&bounds.from_tail[..],
                    &bounds.until,
                    &&bounds.until_tail[..],
                    &whose,
                    &with_content,
                    &only_to,
                    &filter.status.map(|s| s as i16),
                    &filter.status_code_class.map(i32::from),
                    &sieve.event_types,
                    &sieve.channel,
                    &bounds.rows,
                    &sieve.within,
                    &sieve.tag,
                ],
            )
            .await?;
        let weighed = found
            .iter()
            .map(|row| Ok((rows::col(row, 0)?, i64::from(rows::col::<Option<i32>>(row, 1)?.unwrap_or(0)))))
            .collect::<Result<Vec<(i64, i64)>, StoreError>>()?;
        let (keys, more) = bounds.cut(weighed);
        Ok(bounds.page(self.attempts_by_key(app, &keys, with_content).await?, more))
    }

    pub(super) async fn attempts_by_key(
        &self,
        app: AppKey,
        keys: &[i64],
        with_content: bool,
    ) -> Result<Vec<Attempt>, StoreError> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let sql = if with_content { WHOLE } else { WITHOUT_RESPONSE };
        let found = self.pool.read(sql, &[&app.0, &keys]).await?;
        let mut by_key = HashMap::with_capacity(found.len());
        for row in &found {
            by_key.insert(rows::col::<i64>(row, 0)?, attempt(row)?);
        }
        Ok(keys.iter().filter_map(|key| by_key.remove(key)).collect())
    }

    pub(super) async fn one_attempt(
        &self,
        app: AppKey,
        message: MessageId,
        id: AttemptId,
    ) -> Result<Option<Attempt>, StoreError> {
        let (m, a) = (message.0, id.0);
        let there =
            self.pool.read_first(BY_ID, &[&app.0, &a.head(), &&a.tail()[..], &m.head(), &&m.tail()[..]]).await?;
        match there {
            Some(_) => Ok(self.attempts_by_key(app, &[a.head()], true).await?.pop()),
            None => Ok(None),
        }
    }

    pub(super) async fn expunge_response(
        &self,
        app: AppKey,
        message: MessageId,
        id: AttemptId,
    ) -> Result<(), StoreError> {
        let (m, a) = (message.0, id.0);
        match self.pool.execute(EXPUNGE, &[&app.0, &a.head(), &&a.tail()[..], &m.head(), &&m.tail()[..]]).await? {
            0 => Err(StoreError::NotFound),
            _ => Ok(()),
        }
    }

    pub(super) async fn list_attempted_messages(
        &self,
        to: EndpointRef,
        range: IdRange,
        filter: &DeliveryFilter,
        with_payload: bool,
    ) -> Result<PageOf<AttemptedMessage>, StoreError> {
        if matches!(filter.status, Some(AttemptStatus::Pending | AttemptStatus::Canceled)) {
            return Ok(PageOf::empty());
        }
        let (bounds, sieve) = (Bounds::of(&range), Sieve::new(&filter.messages));
        let sql = match (&sieve.tag, range.pick) {
            (None, Pick::Newest) => NEWEST_ATTEMPTED,
            (None, Pick::Oldest) => OLDEST_ATTEMPTED,
            (Some(_), Pick::Newest) => NEWEST_TAGGED,
            (Some(_), Pick::Oldest) => OLDEST_TAGGED,
        };
        let found = self
            .pool
            .read(
                sql,
                &[
                    &to.app.0,
                    &bounds.from,
                    &&bounds.from_tail[..],
                    &bounds.until,
                    &&bounds.until_tail[..],
                    &with_payload,
                    &to.endpoint.0,
                    &sieve.event_types,
                    &sieve.channel,
                    &filter.status.map(|s| s as i16),
                    &bounds.rows,
                    &sieve.within,
                    &sieve.tag,
                ],
            )
            .await?;
        let mut weighed = Vec::with_capacity(found.len());
        for row in &found {
            let weight = i64::from(rows::col::<Option<i32>>(row, 1)?.unwrap_or(0));
            weighed.push((Past::read(row)?, weight));
        }
        let (page, more) = bounds.cut(weighed);
        let keys: Vec<i64> = page.iter().map(|past| past.message).collect();
        let messages = self.messages_by_key(to.app, &keys, with_payload).await?;
        let mut by_key: HashMap<i64, _> = messages.into_iter().map(|m| (m.meta.id.0.head(), m)).collect();
        let items = page.into_iter().filter_map(|past| {
            let message = by_key.remove(&past.message)?;
            let is_open = matches!(past.state, WAITING | SENDING | HELD);
            let open_again = is_open && past.latest == AttemptStatus::Fail;
            let latest = if open_again { AttemptStatus::Sending } else { past.latest };
            let next_attempt = past.due.filter(|_| past.state == WAITING).map(Timestamp::from_micros);
            Some(AttemptedMessage { message, latest, next_attempt })
        });
        Ok(bounds.page(items.collect(), more))
    }

    pub(super) async fn list_destinations(
        &self,
        app: AppKey,
        message: MessageId,
        page: PageQuery<Ksuid>,
    ) -> Result<PageOf<AttemptedDestination>, StoreError> {
        if !self.has_message(app, message).await? {
            return Ok(PageOf::empty());
        }
        let found = self.pool.read(DESTINATIONS, &[&app.0, &message.0.head()]).await?;
        let mut by_id = Vec::with_capacity(found.len());
        for row in &found {
            let key: i64 = rows::col(row, 1)?;
            by_id.push((rows::ksuid(row, 0, "endpoint")?, key, (status(row, 2)?, rows::col::<Option<i64>>(row, 3)?)));
        }
        let page = cut(by_id, &page);
        let keys: Vec<i64> = page.items.iter().map(|(_, key, _)| *key).collect();
        let endpoints = self.endpoints_by_key(app, &keys).await?;
        let mut by_key: HashMap<EndpointKey, _> = endpoints.into_iter().map(|e| (e.key, e)).collect();
        let items = page.items.into_iter().filter_map(|(_, key, (latest, due))| {
            let endpoint = by_key.remove(&EndpointKey(key))?;
            Some(AttemptedDestination { endpoint, latest, next_attempt: due.map(Timestamp::from_micros) })
        });
        Ok(PageOf { items: items.collect(), more: page.more })
    }

    pub(super) async fn count_attempts(&self, to: EndpointRef, from: Ksuid, until: Ksuid) -> Result<Stats, StoreError> {
        let (from_tail, until_tail) = (from.tail(), until.tail());
        let window: [&(dyn tokio_postgres::types::ToSql + Sync); 6] =
            [&to.app.0, &from.head(), &&from_tail[..], &until.head(), &&until_tail[..], &to.endpoint.0];
        let row = self.pool.read_first(COUNT, &window).await?.ok_or(StoreError::NotFound)?;
        let (success, fail): (i64, i64) = (rows::col(&row, 0)?, rows::col(&row, 1)?);
        Ok(Stats { success: success.unsigned_abs(), fail: fail.unsigned_abs() })
    }
}

/// How the attempts of a message to an endpoint went.
struct Past {
    message: i64,
    latest: AttemptStatus,
    state: i16,
    due: Option<i64>,
}

impl Past {
    fn read(row: &Row) -> Result<Self, StoreError> {
        let (message, state, due) = (rows::col(row, 0)?, rows::col(row, 3)?, rows::col(row, 4)?);
        Ok(Self { message, latest: status(row, 2)?, state, due })
    }
}

fn status(row: &Row, index: usize) -> Result<AttemptStatus, StoreError> {
    let number: i16 = rows::col(row, index)?;
    let known = u8::try_from(number).ok().and_then(AttemptStatus::from_number);
    known.ok_or_else(|| corrupt("attempt", "status", "", number))
}

fn attempt(row: &Row) -> Result<Attempt, StoreError> {
    let id = AttemptId(rows::keyed_ksuid(row, 0, 1, "attempt")?);
    let reason: Option<&str> = rows::col(row, 11)?;
    let unknown = |code: &str| corrupt("attempt", "reason", id, format!("'{code}' is no known reason"));
    let answered: i32 = rows::col(row, 9)?;
    Ok(Attempt {
        id,
        message: MessageId(rows::keyed_ksuid(row, 2, 3, "message")?),
        endpoint: EndpointId(rows::ksuid(row, 4, "endpoint")?),
        url: rows::col(row, 5)?,
        at: Timestamp::from_micros(rows::col(row, 6)?),
        status: status(row, 7)?,
        trigger: match rows::col::<i16>(row, 8)? {
            0 => Trigger::Scheduled,
            _ => Trigger::Manual,
        },
        response_status: u16::try_from(answered).map_err(|_| corrupt("attempt", "response_status", id, answered))?,
        duration_ms: rows::small(row, 10, "attempt")?,
        reason: match reason {
            Some(code) => Some(FailureReason::from_code(code).ok_or_else(|| unknown(code))?),
            None => None,
        },
        response: String::from_utf8_lossy(rows::col(row, 12)?).into_owned(),
    })
}
