//! Leasing what is due, giving it back, and the other moves of a delivery that are not the result of a try.

use super::{
    Postgres, locks,
    pool::{Pool, Tx},
    record::release_first_held,
    rows::{self, message_columns, these_deliveries, these_keys},
};
use crate::{
    error::StoreError,
    queue::{Claimed, Commit, Leased, Outgoing},
};
use domain::{AppKey, DeliveryRef, EndpointKey, EndpointRef, Ksuid, Timestamp, Trigger};
use std::{collections::HashMap, sync::Arc};

/// What another node is about to lease is passed over. Without its message or its payload a delivery weighs nothing.
const DUE: &str = "SELECT d.message, d.tries, d.trigger, octet_length(m.payload)
    FROM (SELECT message, tries, trigger, due_at FROM delivery
          WHERE app = $1 AND endpoint = $2 AND queue = $3 AND due_at <= $4 AND state = 0
          ORDER BY due_at LIMIT $5 FOR UPDATE SKIP LOCKED) d
    LEFT JOIN message m ON m.app = $1 AND m.key = d.message ORDER BY d.due_at, d.message";
pub(super) const LEASE: &str = concat!(
    "UPDATE delivery d SET state = 1, lease = (SELECT id FROM node WHERE id = $4 AND NOT gone) FROM ",
    these_deliveries!(),
    " WHERE d.app = k.app AND d.endpoint = k.endpoint AND d.message = k.message"
);
const CANCEL_WITHOUT_PAYLOAD: &str = concat!(
    "UPDATE delivery d SET state = 4, due_at = NULL, again = false FROM ",
    these_deliveries!(),
    " WHERE d.app = k.app AND d.endpoint = k.endpoint AND d.message = k.message"
);
pub(super) const CONTENT: &str = concat!(
    "SELECT ",
    message_columns!(),
    ", m.payload FROM ",
    these_keys!(),
    " JOIN message m ON m.app = k.app AND m.key = k.key"
);
const NEXT_DUE: &str = "SELECT least(
    (SELECT due_at FROM delivery WHERE app = $1 AND endpoint = $2 AND queue = 0 AND state = 0 ORDER BY due_at LIMIT 1),
    (SELECT due_at FROM delivery WHERE app = $1 AND endpoint = $2 AND queue = 1 AND state = 0 ORDER BY due_at LIMIT 1))";
/// The lease stands among the keys for the reason that [`these_keys`] gives.
pub(super) const GIVE_BACK: &str = "UPDATE delivery d SET state = 0, lease = NULL
    FROM (SELECT app, endpoint, message, $1::bigint AS lease, 1::smallint AS sending
          FROM unnest($2::bigint[], $3::bigint[], $4::bigint[]) AS n (app, endpoint, message) OFFSET 0) AS k
    WHERE d.app = k.app AND d.endpoint = k.endpoint AND d.message = k.message AND d.state = k.sending AND d.lease = k.lease
    RETURNING d.app, d.endpoint";
/// One step in the index for each endpoint, however much waits there.
const BACKLOG: &str = "WITH RECURSIVE lane (app, endpoint) AS (
        (SELECT app, endpoint FROM delivery WHERE state = 0 AND (app, endpoint) > ($1, $2)
         ORDER BY app, endpoint LIMIT 1)
        UNION ALL
        SELECT n.app, n.endpoint FROM lane l, LATERAL (
            SELECT d.app, d.endpoint FROM delivery d
            WHERE d.state = 0 AND (d.app, d.endpoint) > (l.app, l.endpoint) ORDER BY d.app, d.endpoint LIMIT 1) n)
    SELECT l.app, l.endpoint, least(
        (SELECT due_at FROM delivery WHERE app = l.app AND endpoint = l.endpoint AND queue = 0 AND state = 0
         ORDER BY due_at LIMIT 1),
        (SELECT due_at FROM delivery WHERE app = l.app AND endpoint = l.endpoint AND queue = 1 AND state = 0
         ORDER BY due_at LIMIT 1))
    FROM lane l LIMIT $3";
const OPEN: &str = "SELECT
    (SELECT count(*) FROM delivery WHERE state = 0) + (SELECT count(*) FROM delivery WHERE state = 1)
        + (SELECT count(*) FROM delivery WHERE order_key IS NOT NULL AND state IN (0, 1, 5) AND state = 5),
    least((SELECT min(due_at) FROM delivery WHERE state = 0), (SELECT min(due_at) FROM delivery WHERE state = 1))";
const HAS_PAYLOAD: &str = "SELECT payload IS NOT NULL FROM message WHERE app = $1 AND key = $2 AND tail = $3";
/// A new delivery; or one that is settled, waits or is held; or, on the wire, one more try after it.
const MANUAL_TRY: &str =
    "INSERT INTO delivery AS d (app, endpoint, message, state, queue, due_at, tries, trigger, resume_state)
    SELECT $1, $2, k, 0, 1, $4, 0, 1, 3 FROM unnest($3::bigint[]) AS k ORDER BY k
    ON CONFLICT (app, endpoint, message) DO UPDATE SET
        again = d.state = 1,
        resume_state = CASE WHEN d.state = 1 OR (d.state = 0 AND d.trigger = 1) THEN d.resume_state ELSE d.state END,
        resume_due = CASE WHEN d.state = 1 OR (d.state = 0 AND d.trigger = 1) THEN d.resume_due ELSE d.due_at END,
        trigger = CASE WHEN d.state = 1 THEN d.trigger ELSE 1 END,
        queue = CASE WHEN d.state = 1 THEN d.queue ELSE 1 END,
        due_at = CASE WHEN d.state = 1 THEN d.due_at ELSE excluded.due_at END,
        state = CASE WHEN d.state = 1 THEN 1 ELSE 0 END";
/// By the indexes that hold open ones only: settled ones may be millions.
const CANCELLABLE: &str = "(SELECT message, order_key FROM delivery
        WHERE app = $1 AND endpoint = $2 AND queue IN (0, 1) AND message < $3 AND state = 0 LIMIT $4)
    UNION ALL
    (SELECT message, order_key FROM delivery
        WHERE app = $1 AND endpoint = $2 AND message < $3 AND order_key IS NOT NULL AND state IN (0, 1, 5) AND state = 5
        LIMIT $4)
    LIMIT $4";
/// A manual try of a settled delivery leaves it as it was.
const CANCEL: &str = concat!(
    "UPDATE delivery d SET due_at = NULL, lease = NULL, resume_state = NULL, resume_due = NULL,
        again = false, trigger = 0,
        state = CASE WHEN trigger = 1 AND resume_state IN (2, 3) THEN resume_state ELSE 4 END FROM ",
    these_deliveries!(),
    " WHERE d.app = k.app AND d.endpoint = k.endpoint AND d.message = k.message AND d.state IN (0, 5)"
);

/// Endpoints asked for at once.
const LANES: i64 = 1000;

impl Postgres {
    pub(super) async fn claim_due(
        &self,
        to: EndpointRef,
        now: Timestamp,
        limit: usize,
        max_bytes: usize,
        fresh_only: bool,
    ) -> Result<Claimed, StoreError> {
        let tx = self.pool.begin().await?;
        let (mut taken, mut gone) = (Vec::new(), Vec::new());
        let mut bytes = 0;
        let queues: &[i16] = if fresh_only { &[0] } else { &[0, 1] };
        for queue in queues {
            let room = i64::try_from(limit - taken.len()).unwrap_or(i64::MAX);
            let found = tx.all(DUE, &[&to.app.0, &to.endpoint.0, queue, &now.as_micros(), &room]).await?;
            for row in &found {
                if bytes > max_bytes {
                    break;
                }
                let due = Due::read(row)?;
                match rows::col::<Option<i32>>(row, 3)? {
                    Some(length) => {
                        bytes += usize::try_from(length).unwrap_or(0);
                        taken.push(due);
                    }
                    // Without its payload it can never be sent.
                    None => gone.push(due.message),
                }
            }
        }
        if !gone.is_empty() {
            tx.execute(CANCEL_WITHOUT_PAYLOAD, &[&to.app.0, &to.endpoint.0, &gone]).await?;
        }
        let deliveries = if taken.is_empty() { Vec::new() } else { lease(&tx, to, taken, self.node.lease()).await? };
        let next = tx.one(NEXT_DUE, &[&to.app.0, &to.endpoint.0]).await?;
        tx.commit().await?;
        Ok(Claimed { deliveries, next_due: rows::col::<Option<i64>>(&next, 0)?.map(Timestamp::from_micros) })
    }

    pub(super) async fn give_back(&self, deliveries: Vec<DeliveryRef>, now: Timestamp) -> Result<(), StoreError> {
        // After the results that were handed in before.
        self.writer.flush().await?;
        if deliveries.is_empty() {
            return Ok(());
        }
        let apps: Vec<i64> = deliveries.iter().map(|d| d.to.app.0).collect();
        let endpoints: Vec<i64> = deliveries.iter().map(|d| d.to.endpoint.0).collect();
        let messages: Vec<i64> = deliveries.iter().map(|d| d.message.0.head()).collect();
        let conn = self.pool.lend().await?;
        let freed = conn.all(GIVE_BACK, &[&self.node.lease(), &apps, &endpoints, &messages]).await?;
        let mut commit = Commit::default();
        for row in &freed {
            commit.due.push((endpoint_of(row)?, now));
        }
        self.tell(commit);
        Ok(())
    }

    pub(super) async fn count_open(&self) -> Result<(u64, Option<Timestamp>), StoreError> {
        let row = self.pool.read_first(OPEN, &[]).await?.ok_or(StoreError::NotFound)?;
        let (open, oldest): (i64, Option<i64>) = (rows::col(&row, 0)?, rows::col(&row, 1)?);
        Ok((u64::try_from(open).unwrap_or(0), oldest.map(Timestamp::from_micros)))
    }

    pub(super) async fn ask_again(&self, d: DeliveryRef, now: Timestamp) -> Result<bool, StoreError> {
        let tx = self.pool.begin().await?;
        let id = d.message.0;
        let found = tx.first(HAS_PAYLOAD, &[&d.to.app.0, &id.head(), &&id.tail()[..]]).await?;
        let there: bool = rows::col(&found.ok_or(StoreError::NotFound)?, 0)?;
        let mut commit = Commit::default();
        if there {
            manual_tries(&tx, d.to, &[id.head()], now, &mut commit).await?;
        }
        tx.commit().await?;
        self.tell(commit);
        Ok(there)
    }

    pub(super) async fn cancel(&self, to: EndpointRef, before: Timestamp, limit: usize) -> Result<usize, StoreError> {
        let tx = self.pool.begin().await?;
        locks::take(&tx, vec![locks::of_endpoint(to)]).await?;
        let mut commit = Commit::default();
        let cancelled = cancel_some(&tx, to, before, limit, &mut commit).await?;
        tx.commit().await?;
        self.tell(commit);
        Ok(cancelled)
    }

    /// Tells the engine what a commit brought about.
    pub(super) fn tell(&self, commit: Commit) {
        if !commit.due.is_empty() {
            // Nobody listens only while the server stops.
            let _ = self.commits.send(commit);
        }
    }
}

/// Cancels up to `limit` deliveries of an endpoint that are waiting or held, of messages made before `before`, in a
/// transaction that holds the endpoint's lock.
pub(super) async fn cancel_some(
    tx: &Tx,
    to: EndpointRef,
    before: Timestamp,
    limit: usize,
    commit: &mut Commit,
) -> Result<usize, StoreError> {
    let before = Ksuid::lowest_at(before).head();
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let found = tx.all(CANCELLABLE, &[&to.app.0, &to.endpoint.0, &before, &limit]).await?;
    let messages: Vec<i64> = found.iter().map(|row| rows::col(row, 0)).collect::<Result<_, _>>()?;
    tx.execute(CANCEL, &[&to.app.0, &to.endpoint.0, &messages]).await?;
    // A key whose open deliveries are gone lets its next one go.
    let keys: Vec<Option<&str>> = found.iter().map(|row| rows::col(row, 1)).collect::<Result<_, _>>()?;
    let keys = keys.into_iter().flatten().map(|key| (to, key, Timestamp::from_micros(0))).collect();
    release_first_held(tx, keys, commit).await?;
    Ok(found.len())
}

/// Endpoints with deliveries that nobody holds, and when the first of each is due.
pub(super) async fn endpoints_with_backlog(pool: &Pool) -> Result<Vec<(EndpointRef, Timestamp)>, StoreError> {
    let mut found: Vec<(EndpointRef, Timestamp)> = Vec::new();
    loop {
        let (app, endpoint) = found.last().map_or((i64::MIN, i64::MIN), |(to, _)| (to.app.0, to.endpoint.0));
        let page = pool.read(BACKLOG, &[&app, &endpoint, &LANES]).await?;
        for row in &page {
            // Claimed between two looks of the same query.
            if let Some(due) = rows::col::<Option<i64>>(row, 2)? {
                found.push((endpoint_of(row)?, Timestamp::from_micros(due)));
            }
        }
        if (page.len() as i64) < LANES {
            return Ok(found);
        }
    }
}

fn endpoint_of(row: &tokio_postgres::Row) -> Result<EndpointRef, StoreError> {
    Ok(EndpointRef { app: AppKey(rows::col(row, 0)?), endpoint: EndpointKey(rows::col(row, 1)?) })
}

struct Due {
    message: i64,
    tries: u32,
    trigger: Trigger,
}

impl Due {
    fn read(row: &tokio_postgres::Row) -> Result<Self, StoreError> {
        Ok(Self {
            message: rows::col(row, 0)?,
            tries: u32::try_from(rows::col::<i32>(row, 1)?).unwrap_or(0),
            trigger: if rows::col::<i16>(row, 2)? == 0 { Trigger::Scheduled } else { Trigger::Manual },
        })
    }
}

/// Leases deliveries that this transaction has locked, in their order.
async fn lease(tx: &Tx, to: EndpointRef, due: Vec<Due>, lease: i64) -> Result<Vec<Leased>, StoreError> {
    let keys: Vec<i64> = due.iter().map(|d| d.message).collect();
    tx.execute(LEASE, &[&to.app.0, &to.endpoint.0, &keys, &lease]).await?;
    let mut messages = HashMap::with_capacity(keys.len());
    for row in &tx.all(CONTENT, &[&to.app.0, &keys]).await? {
        let message = rows::message(row, true)?;
        messages.insert(message.meta.id.0.head(), message);
    }
    let mut leased = Vec::with_capacity(due.len());
    for due in due {
        // Expunged between the two statements: found again, and cancelled, when its lease is free.
        let Some(message) = messages.remove(&due.message) else { continue };
        let Some(payload) = message.payload else { continue };
        leased.push(Leased {
            delivery: DeliveryRef { to, message: message.meta.id },
            message: Arc::new(Outgoing { meta: message.meta, payload, budget: None }),
            tries: due.tries,
            trigger: due.trigger,
            ticket: None,
        });
    }
    Ok(leased)
}

/// Puts one manual try of each message into the queue. What was planned stays planned, should the try fail.
pub(super) async fn manual_tries(
    tx: &Tx,
    to: EndpointRef,
    messages: &[i64],
    now: Timestamp,
    commit: &mut Commit,
) -> Result<(), StoreError> {
    if messages.is_empty() {
        return Ok(());
    }
    tx.execute(MANUAL_TRY, &[&to.app.0, &to.endpoint.0, &messages, &now.as_micros()]).await?;
    commit.due.push((to, now));
    Ok(())
}
