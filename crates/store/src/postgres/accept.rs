//! Storing messages with their deliveries: many in one transaction, as one statement per table.

use super::{
    connect::{Conn, Params},
    locks,
    rows::{self, message_columns, set_to_json, tag_column},
};
use crate::{
    error::StoreError,
    queue::{Accept, Accepted, Birth, Commit, IdempotencyHash, Leased, NewDelivery},
};
use domain::{AppKey, DeliveryRef, EndpointKey, Message, MessageId, OrderKey, Trigger};
use std::collections::{HashMap, HashSet};

const INSERT_MESSAGES: &str = "INSERT INTO message
    (app, key, tail, created_at, expires_hour, event_type, event_id, channels, order_key, payload)
    SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bytea[], $4::bigint[], $5::bigint[], $6::text[], $7::text[],
        $8::text[], $9::text[], $10::bytea[])";
/// A lease needs its node: where that is gone there is none, and the table's check refuses the row.
const INSERT_DELIVERIES: &str = "INSERT INTO delivery
    (app, endpoint, message, due_at, lease, tries, state, queue, trigger, order_key, place)
    SELECT n.app, n.endpoint, n.message, CASE WHEN s.state <> 5 THEN n.due_at END,
        CASE WHEN s.state = 1 THEN (SELECT id FROM node WHERE id = $1 AND NOT gone) END, 0, s.state, 0, 0, n.order_key,
        CASE WHEN n.order_key IS NOT NULL THEN nextval('delivery_place') END
    FROM unnest($2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::smallint[], $7::text[])
            AS n (app, endpoint, message, due_at, state, order_key),
        LATERAL (SELECT CASE WHEN n.order_key IS NOT NULL AND n.state = 0 AND EXISTS (
            SELECT 1 FROM delivery o WHERE o.app = n.app AND o.endpoint = n.endpoint AND o.order_key = n.order_key
                AND o.order_key IS NOT NULL AND o.state IN (0, 1, 5)) THEN 5::smallint ELSE n.state END AS state) s";
const INSERT_TAGS: &str = "INSERT INTO message_tag (app, tag, message)
    SELECT * FROM unnest($1::bigint[], $2::text[], $3::bigint[])";
/// The same where no delivery waits for an earlier one of its order key.
pub(super) const INSERT_PLAIN_DELIVERIES: &str = "INSERT INTO delivery
    (app, endpoint, message, due_at, lease, tries, state, queue, trigger)
    SELECT app, endpoint, message, due_at,
        CASE WHEN state = 1 THEN (SELECT id FROM node WHERE id = $1 AND NOT gone) END, 0, state, 0, 0
    FROM unnest($2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::smallint[])
            AS n (app, endpoint, message, due_at, state)";
const TAKE_EVENT_IDS: &str = "INSERT INTO event_id (app, event_id, message)
    SELECT * FROM unnest($1::bigint[], $2::text[], $3::bigint[]) AS n (app, event_id, message)
    ORDER BY app, event_id COLLATE \"C\" ON CONFLICT (app, event_id) DO NOTHING RETURNING message";
const KEEP_HASHES: &str = "INSERT INTO idempotency (hash, at, app, message)
    SELECT * FROM unnest($1::bytea[], $2::bigint[], $3::bigint[], $4::bigint[]) AS n (hash, at, app, message)
    ORDER BY hash ON CONFLICT (hash) DO UPDATE
    SET at = excluded.at, app = excluded.app, message = excluded.message, status = NULL, body = NULL";
const BY_HASH: &str = concat!(
    "SELECT ",
    message_columns!(),
    ", m.payload, ",
    tag_column!(),
    ", i.hash, i.at FROM idempotency i JOIN message m ON m.app = i.app AND m.key = i.message
     WHERE i.hash = ANY ($1::bytea[])"
);
const BY_EVENT_ID: &str = concat!(
    "SELECT ",
    message_columns!(),
    ", m.payload, ",
    tag_column!(),
    " FROM unnest($1::bigint[], $2::text[]) AS n (app, event_id)
     JOIN event_id e ON e.app = n.app AND e.event_id = n.event_id
     JOIN message m ON m.app = e.app AND m.key = e.message"
);
const IS_STORED: &str = "SELECT 1 FROM message WHERE app = $1 AND key = $2 AND tail = $3";

/// What a connection that accepts has to know before its first pipeline.
pub(super) const STATEMENTS: &[&str] = &[INSERT_MESSAGES, INSERT_PLAIN_DELIVERIES, INSERT_TAGS];

/// Stores messages in one transaction. `results` says what became of each as soon as the commit is on its way, so that
/// whoever loses the connection then knows what to ask for ([`is_stored`]).
pub(super) async fn accept_all(
    conn: &Conn,
    lease: i64,
    accepts: &[&Accept],
    results: &mut Option<Vec<Accepted>>,
) -> Result<(), StoreError> {
    if accepts.iter().all(|a| is_plain(a)) {
        let all: Vec<usize> = (0..accepts.len()).collect();
        let messages = Messages::of(accepts, &all);
        let deliveries = Deliveries::of(accepts, &all);
        *results = Some(vec![Accepted::New; accepts.len()]);
        // One round trip for all of it.
        tokio::try_join!(
            biased;
            conn.batch("BEGIN"),
            messages.insert(conn),
            deliveries.insert_plain(conn, lease),
            insert_tags(conn, accepts, &all),
            conn.batch("COMMIT"),
        )?;
        return Ok(());
    }
    conn.batch("BEGIN").await?;
    let stored = with_lookups(conn, lease, accepts).await;
    match stored {
        Ok(stored) => {
            *results = Some(stored);
            conn.batch("COMMIT").await
        }
        Err(e) => {
            // Without the connection there is nothing to undo.
            let _ = conn.batch("ROLLBACK").await;
            Err(e)
        }
    }
}

/// Whether nothing has to be looked up for it.
fn is_plain(accept: &Accept) -> bool {
    accept.idempotency.is_none()
        && accept.message.meta.event_id.is_none()
        && !accept.deliveries.iter().any(|d| matches!(d.birth, Birth::InOrder(_)))
}

/// Whether the new ones among these are on disk: all or none, they share a commit.
pub(super) async fn is_stored(conn: &Conn, accepts: &[&Accept], results: &[Accepted]) -> Result<bool, StoreError> {
    let new = accepts.iter().zip(results).find(|(_, r)| matches!(r, Accepted::New));
    let Some((accept, _)) = new else { return Ok(true) };
    let (app, id) = (accept.message.meta.app, accept.message.meta.id.0);
    Ok(conn.first(IS_STORED, &[&app.0, &id.head(), &&id.tail()[..]]).await?.is_some())
}

/// In rounds: of those that say they are the same event or request, each round takes one, and the next one sees it.
async fn with_lookups(conn: &Conn, lease: i64, accepts: &[&Accept]) -> Result<Vec<Accepted>, StoreError> {
    let hashes = accepts.iter().filter_map(|a| a.idempotency.as_ref()).map(locks::of_hash);
    let ordered = accepts.iter().flat_map(|a| &a.deliveries).filter(|d| matches!(d.birth, Birth::InOrder(_)));
    locks::take(conn, hashes.chain(ordered.map(|d| locks::of_endpoint(d.to))).collect()).await?;
    let mut results: Vec<Option<Accepted>> = accepts.iter().map(|_| None).collect();
    let mut left: Vec<usize> = (0..accepts.len()).collect();
    while !left.is_empty() {
        let (mut hashes, mut events) = (HashSet::new(), HashSet::new());
        let mut later = Vec::new();
        left.retain(|&i| {
            let meta = &accepts[i].message.meta;
            let same_hash = accepts[i].idempotency.is_some_and(|h| hashes.contains(&h));
            let same_event = meta.event_id.as_ref().is_some_and(|e| events.contains(&(meta.app, e)));
            if same_hash || same_event {
                later.push(i);
                return false;
            }
            hashes.extend(accepts[i].idempotency);
            events.extend(meta.event_id.as_ref().map(|e| (meta.app, e)));
            true
        });
        round(conn, lease, accepts, &left, &mut results).await?;
        left = later;
    }
    Ok(results.into_iter().map(|r| r.unwrap_or(Accepted::New)).collect())
}

/// One round over `these`, no two of which are the same event or request.
async fn round(
    conn: &Conn,
    lease: i64,
    accepts: &[&Accept],
    these: &[usize],
    results: &mut [Option<Accepted>],
) -> Result<(), StoreError> {
    let mut new = these.to_vec();
    let asked: Vec<&[u8]> = new.iter().filter_map(|&i| accepts[i].idempotency.as_ref().map(|h| &h[..])).collect();
    if !asked.is_empty() {
        let first = first_by_hash(conn, &asked).await?;
        new.retain(|&i| {
            let found = accepts[i].idempotency.and_then(|h| first.get(&h));
            match found.filter(|(at, _)| *at >= accepts[i].repeat_since.as_micros()) {
                Some((_, message)) => {
                    results[i] = Some(Accepted::Repeated(message.clone()));
                    false
                }
                None => true,
            }
        });
    }
    let named: Vec<usize> = new.iter().copied().filter(|&i| accepts[i].message.meta.event_id.is_some()).collect();
    if !named.is_empty() {
        let taken = take_event_ids(conn, accepts, &named).await?;
        let refused: Vec<usize> =
            named.into_iter().filter(|&i| !taken.contains(&accepts[i].message.meta.id.0.head())).collect();
        if !refused.is_empty() {
            let first = first_by_event_id(conn, accepts, &refused).await?;
            for &i in &refused {
                results[i] = Some(same_event(accepts[i], &first)?);
            }
            new.retain(|i| !refused.contains(i));
        }
    }
    if new.is_empty() {
        return Ok(());
    }
    Messages::of(accepts, &new).insert(conn).await?;
    Deliveries::of(accepts, &new).insert(conn, lease).await?;
    insert_tags(conn, accepts, &new).await?;
    keep_hashes(conn, accepts, &new).await
}

async fn first_by_hash(conn: &Conn, hashes: &[&[u8]]) -> Result<HashMap<IdempotencyHash, (i64, Message)>, StoreError> {
    let rows = conn.all(BY_HASH, &[&hashes]).await?;
    let mut first = HashMap::with_capacity(rows.len());
    for row in &rows {
        let hash: &[u8] = rows::col(row, 10)?;
        let odd = |_| rows::corrupt("idempotency", "hash", "", "not 32 bytes");
        first.insert(hash.try_into().map_err(odd)?, (rows::col(row, 11)?, with_tags(row)?));
    }
    Ok(first)
}

fn with_tags(row: &tokio_postgres::Row) -> Result<Message, StoreError> {
    let mut message = rows::message(row, true)?;
    message.meta.tags = rows::tags(row, 9)?;
    Ok(message)
}

/// Of messages that have none, nothing is sent.
async fn insert_tags(conn: &Conn, accepts: &[&Accept], these: &[usize]) -> Result<(), StoreError> {
    let (mut apps, mut tags, mut keys) = (Vec::new(), Vec::new(), Vec::new());
    for meta in these.iter().map(|&i| &accepts[i].message.meta) {
        for tag in &meta.tags {
            apps.push(meta.app.0);
            tags.push(tag.as_str());
            keys.push(meta.id.0.head());
        }
    }
    if keys.is_empty() {
        return Ok(());
    }
    conn.execute(INSERT_TAGS, &[&apps, &tags, &keys]).await.map(|_| ())
}

/// The messages whose event ids were free, by key.
async fn take_event_ids(conn: &Conn, accepts: &[&Accept], named: &[usize]) -> Result<HashSet<i64>, StoreError> {
    let meta = |i: &usize| &accepts[*i].message.meta;
    let apps: Vec<i64> = named.iter().map(|i| meta(i).app.0).collect();
    let ids: Vec<&str> = named.iter().filter_map(|i| meta(i).event_id.as_ref().map(|e| e.as_str())).collect();
    let keys: Vec<i64> = named.iter().map(|i| meta(i).id.0.head()).collect();
    let rows = conn.all(TAKE_EVENT_IDS, &[&apps, &ids, &keys]).await?;
    rows.iter().map(|row| rows::col(row, 0)).collect()
}

async fn first_by_event_id(
    conn: &Conn,
    accepts: &[&Accept],
    refused: &[usize],
) -> Result<HashMap<(AppKey, String), Message>, StoreError> {
    let meta = |i: &usize| &accepts[*i].message.meta;
    let apps: Vec<i64> = refused.iter().map(|i| meta(i).app.0).collect();
    let ids: Vec<&str> = refused.iter().filter_map(|i| meta(i).event_id.as_ref().map(|e| e.as_str())).collect();
    let rows = conn.all(BY_EVENT_ID, &[&apps, &ids]).await?;
    let mut first = HashMap::with_capacity(rows.len());
    for row in &rows {
        let message = with_tags(row)?;
        let event_id = message.meta.event_id.as_ref().map(|e| e.as_str().to_owned()).unwrap_or_default();
        first.insert((message.meta.app, event_id), message);
    }
    Ok(first)
}

/// The event id is taken: by the same event, or by another.
fn same_event(accept: &Accept, first: &HashMap<(AppKey, String), Message>) -> Result<Accepted, StoreError> {
    let meta = &accept.message.meta;
    let event_id = meta.event_id.as_ref().map(|e| e.as_str().to_owned()).unwrap_or_default();
    let first = first.get(&(meta.app, event_id)).ok_or(StoreError::NotFound)?;
    let same_payload = first.payload.as_ref().is_none_or(|p| *p == accept.message.payload);
    if same_payload && first.meta.event_type == meta.event_type {
        Ok(Accepted::Repeated(first.clone()))
    } else {
        Ok(Accepted::Conflict(first.meta.id))
    }
}

async fn keep_hashes(conn: &Conn, accepts: &[&Accept], new: &[usize]) -> Result<(), StoreError> {
    let hashed: Vec<&Accept> = new.iter().map(|&i| accepts[i]).filter(|a| a.idempotency.is_some()).collect();
    if hashed.is_empty() {
        return Ok(());
    }
    let hashes: Vec<&[u8]> = hashed.iter().filter_map(|a| a.idempotency.as_ref().map(|h| &h[..])).collect();
    let at: Vec<i64> = hashed.iter().map(|a| a.message.meta.created_at.as_micros()).collect();
    let apps: Vec<i64> = hashed.iter().map(|a| a.message.meta.app.0).collect();
    let keys: Vec<i64> = hashed.iter().map(|a| a.message.meta.id.0.head()).collect();
    conn.execute(KEEP_HASHES, &[&hashes, &at, &apps, &keys]).await.map(|_| ())
}

/// Columns of new messages.
struct Messages<'a> {
    apps: Vec<i64>,
    keys: Vec<i64>,
    tails: Vec<[u8; 12]>,
    created_at: Vec<i64>,
    expires_hour: Vec<i64>,
    event_types: Vec<&'a str>,
    event_ids: Vec<Option<&'a str>>,
    channels: Vec<Option<String>>,
    order_keys: Vec<Option<&'a str>>,
    payloads: Vec<&'a [u8]>,
}

impl<'a> Messages<'a> {
    fn of(accepts: &[&'a Accept], these: &[usize]) -> Self {
        let all: Vec<&'a Accept> = these.iter().map(|&i| accepts[i]).collect();
        Self {
            apps: all.iter().map(|a| a.message.meta.app.0).collect(),
            keys: all.iter().map(|a| a.message.meta.id.0.head()).collect(),
            tails: all.iter().map(|a| a.message.meta.id.0.tail()).collect(),
            created_at: all.iter().map(|a| a.message.meta.created_at.as_micros()).collect(),
            expires_hour: all.iter().map(|a| a.expires_hour).collect(),
            event_types: all.iter().map(|a| a.message.meta.event_type.as_str()).collect(),
            event_ids: all.iter().map(|a| a.message.meta.event_id.as_ref().map(|e| e.as_str())).collect(),
            channels: all.iter().map(|a| set_to_json(&a.message.meta.channels)).collect(),
            order_keys: all.iter().map(|a| a.message.meta.order_key.as_ref().map(|k| k.as_str())).collect(),
            payloads: all.iter().map(|a| &a.message.payload[..]).collect(),
        }
    }

    async fn insert(&self, conn: &Conn) -> Result<(), StoreError> {
        let tails: Vec<&[u8]> = self.tails.iter().map(|t| &t[..]).collect();
        conn.execute(
            INSERT_MESSAGES,
            &[
                &self.apps,
                &self.keys,
                &tails,
                &self.created_at,
                &self.expires_hour,
                &self.event_types,
                &self.event_ids,
                &self.channels,
                &self.order_keys,
                &self.payloads,
            ],
        )
        .await
        .map(|_| ())
    }
}

/// Columns of new deliveries.
#[derive(Default)]
struct Deliveries<'a> {
    apps: Vec<i64>,
    endpoints: Vec<i64>,
    messages: Vec<i64>,
    due_at: Vec<i64>,
    states: Vec<i16>,
    order_keys: Vec<Option<&'a str>>,
}

impl<'a> Deliveries<'a> {
    fn of(accepts: &[&'a Accept], these: &[usize]) -> Self {
        let mut columns = Self::default();
        let mut ordered: HashSet<(EndpointKey, &OrderKey)> = HashSet::new();
        for &i in these {
            for delivery in &accepts[i].deliveries {
                // The first of its key in this commit looks at the table; those behind it are held anyway.
                let (state, order_key) = match &delivery.birth {
                    Birth::Leased(_) => (1, None),
                    Birth::Waiting => (0, None),
                    Birth::InOrder(key) if ordered.insert((delivery.to.endpoint, key)) => (0, Some(key.as_str())),
                    Birth::InOrder(key) => (5, Some(key.as_str())),
                };
                columns.push(accepts[i], delivery, state, order_key);
            }
        }
        columns
    }

    fn push(&mut self, accept: &Accept, delivery: &NewDelivery, state: i16, order_key: Option<&'a str>) {
        let meta = &accept.message.meta;
        self.apps.push(meta.app.0);
        self.endpoints.push(delivery.to.endpoint.0);
        self.messages.push(meta.id.0.head());
        self.due_at.push(meta.created_at.as_micros());
        self.states.push(state);
        self.order_keys.push(order_key);
    }

    async fn insert_plain(&self, conn: &Conn, lease: i64) -> Result<(), StoreError> {
        if self.apps.is_empty() {
            return Ok(());
        }
        let Self { apps, endpoints, messages, due_at, states, .. } = self;
        let values: Params<'_> = &[&lease, apps, endpoints, messages, due_at, states];
        conn.execute(INSERT_PLAIN_DELIVERIES, values).await.map(|_| ())
    }

    async fn insert(&self, conn: &Conn, lease: i64) -> Result<(), StoreError> {
        if self.apps.is_empty() {
            return Ok(());
        }
        let Self { apps, endpoints, messages, due_at, states, order_keys } = self;
        conn.execute(INSERT_DELIVERIES, &[&lease, apps, endpoints, messages, due_at, states, order_keys])
            .await
            .map(|_| ())
    }
}

/// After the commit: what is leased goes to the engine; where something waits, the engine hears of it.
pub(super) fn hand_over(accept: Accept, commit: &mut Commit) {
    let message = accept.message;
    let id: MessageId = message.meta.id;
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
