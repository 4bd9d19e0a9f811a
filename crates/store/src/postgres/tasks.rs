//! Background tasks: each step finds a page, puts it into the queue and moves on, in one commit; so a task goes on after
//! a restart exactly where it was, on whichever node.

use super::{
    Postgres,
    claim::{cancel_some, manual_tries},
    locks,
    pool::Tx,
    rows::{self, message_columns},
};
use crate::{
    error::StoreError,
    queue::{Commit, Step},
};
use domain::{
    AppKey, Endpoint, EndpointKey, EndpointRef, IdRange, Ksuid, OrganizationId, PageOf, Pick, Task, TaskId, TaskKind,
    TaskStatus, Timestamp,
};
use tokio_postgres::Row;

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT t.id, t.app, t.endpoint, t.kind, t.status, t.since, t.until, t.sent, t.updated_at FROM task t ",
            $rest
        )
    };
}

const INSERT: &str = "INSERT INTO task (id, app, endpoint, kind, status, since, until, position, sent, updated_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
const ONE: &str =
    select!("JOIN app a ON a.key = t.app WHERE t.id = $1 AND a.org = $2 AND ($3::bigint IS NULL OR t.app = $3)");
const NEWEST: &str = select!(
    "JOIN app a ON a.key = t.app WHERE t.id >= $1 AND t.id < $2 AND a.org = $3
     AND ($4::bigint IS NULL OR t.app = $4) ORDER BY t.id DESC LIMIT $5"
);
const OLDEST: &str = select!(
    "JOIN app a ON a.key = t.app WHERE t.id >= $1 AND t.id < $2 AND a.org = $3
     AND ($4::bigint IS NULL OR t.app = $4) ORDER BY t.id LIMIT $5"
);
const RUNNING: &str = select!("WHERE t.status = 'running' ORDER BY t.id");
/// One step at a time, whoever makes it.
const AT: &str = "SELECT kind, until, position FROM task WHERE id = $1 AND status = 'running' FOR UPDATE";
const MOVE_ON: &str = "UPDATE task SET position = $2, sent = sent + $3, updated_at = $4,
    status = CASE WHEN $5 THEN 'finished' ELSE 'running' END WHERE id = $1";
const FAIL: &str = "UPDATE task SET status = 'failed', updated_at = $2 WHERE id = $1 AND status = 'running'";
const FAILED_ONES: &str = "SELECT d.message,
        (d.state = 3 OR (d.state IN (0, 4) AND EXISTS (SELECT 1 FROM attempt a
            WHERE a.app = $1 AND a.message = d.message AND a.key >= d.message AND a.endpoint = $2)))
        AND m.payload IS NOT NULL
        AND NOT EXISTS (SELECT 1 FROM attempt a WHERE a.app = $1 AND a.message = d.message AND a.key >= d.message
            AND a.endpoint = $2 AND a.status = 0)
    FROM (SELECT message, state FROM delivery WHERE app = $1 AND endpoint = $2 AND message > $3 AND message < $4
          ORDER BY message LIMIT $5) d
    JOIN message m ON m.app = $1 AND m.key = d.message ORDER BY d.message";
const MISSING_ONES: &str = concat!(
    "SELECT ",
    message_columns!(),
    ", m.payload IS NOT NULL
        AND NOT EXISTS (SELECT 1 FROM delivery d
            WHERE d.app = $1 AND d.endpoint = $2 AND d.message = m.key AND d.state <> 4)
        AND NOT EXISTS (SELECT 1 FROM attempt a
            WHERE a.app = $1 AND a.message = m.key AND a.key >= m.key AND a.endpoint = $2)
    FROM message m WHERE m.app = $1 AND m.key > $3 AND m.key < $4 ORDER BY m.key LIMIT $5"
);

fn task(row: &Row) -> Result<Task, StoreError> {
    let id = TaskId(rows::ksuid(row, 0, "task")?);
    let (kind, status): (&str, &str) = (rows::col(row, 3)?, rows::col(row, 4)?);
    Ok(Task {
        id,
        kind: TaskKind::from_text(kind).ok_or_else(|| rows::corrupt("task", "kind", id, kind))?,
        status: TaskStatus::from_text(status).ok_or_else(|| rows::corrupt("task", "status", id, status))?,
        to: EndpointRef { app: AppKey(rows::col(row, 1)?), endpoint: EndpointKey(rows::col(row, 2)?) },
        since: Timestamp::from_micros(rows::col(row, 5)?),
        until: Timestamp::from_micros(rows::col(row, 6)?),
        sent: rows::small(row, 7, "task")?,
        updated_at: Timestamp::from_micros(rows::col(row, 8)?),
    })
}

impl Postgres {
    pub(super) async fn insert_task(&self, t: Task) -> Result<(), StoreError> {
        // The position starts below the window's first message.
        let position = Ksuid::lowest_at(t.since).head() - 1;
        let conn = self.pool.lend().await?;
        conn.execute(
            INSERT,
            &[
                &&t.id.0.0[..],
                &t.to.app.0,
                &t.to.endpoint.0,
                &t.kind.text(),
                &t.status.text(),
                &t.since.as_micros(),
                &t.until.as_micros(),
                &position,
                &(t.sent as i64),
                &t.updated_at.as_micros(),
            ],
        )
        .await
        .map(|_| ())
    }

    pub(super) async fn one_task(
        &self,
        organization: &OrganizationId,
        app: Option<AppKey>,
        id: TaskId,
    ) -> Result<Option<Task>, StoreError> {
        let org = rows::text(organization.as_str());
        let row = self.pool.read_first(ONE, &[&&id.0.0[..], &org, &app.map(|a| a.0)]).await?;
        row.map(|row| task(&row)).transpose()
    }

    pub(super) async fn page_of_tasks(
        &self,
        organization: &OrganizationId,
        app: Option<AppKey>,
        range: IdRange,
    ) -> Result<PageOf<Task>, StoreError> {
        let sql = if range.pick == Pick::Newest { NEWEST } else { OLDEST };
        let bounds = rows::Bounds::of(&range);
        let (org, app) = (rows::text(organization.as_str()), app.map(|a| a.0));
        let found = self.pool.read(sql, &[&&range.from.0[..], &&range.until.0[..], &org, &app, &bounds.rows]).await?;
        let tasks = found.iter().map(task).collect::<Result<Vec<_>, _>>()?;
        let (items, more) = bounds.cut(tasks.into_iter().map(|t| (t, 0)).collect());
        Ok(bounds.page(items, more))
    }

    pub(super) async fn unfinished_tasks(&self) -> Result<Vec<Task>, StoreError> {
        self.pool.read(RUNNING, &[]).await?.iter().map(task).collect()
    }

    pub(super) async fn step(
        &self,
        id: TaskId,
        endpoint: &Endpoint,
        limit: usize,
        now: Timestamp,
    ) -> Result<Step, StoreError> {
        let to = EndpointRef { app: endpoint.app, endpoint: endpoint.key };
        let tx = self.pool.begin().await?;
        // Two tasks over the same window: the second sees what the first has put into the queue.
        locks::take(&tx, vec![locks::of_endpoint(to)]).await?;
        let row = tx.first(AT, &[&&id.0.0[..]]).await?.ok_or(StoreError::NotFound)?;
        let (kind, until, position): (&str, i64, i64) = (rows::col(&row, 0)?, rows::col(&row, 1)?, rows::col(&row, 2)?);
        let kind = TaskKind::from_text(kind).ok_or_else(|| rows::corrupt("task", "kind", id, kind))?;
        let until = Timestamp::from_micros(until);
        let end = Ksuid::lowest_at(until).head();
        let mut commit = Commit::default();
        let page = match kind {
            TaskKind::Recover => failed_ones(&tx, to, position, end, limit).await?,
            TaskKind::ReplayMissing => missing_ones(&tx, endpoint, position, end, limit).await?,
            TaskKind::CancelWaiting => {
                let taken = cancel_some(&tx, to, until, limit, &mut commit).await?;
                Page { taken, messages: Vec::new(), position, last: taken < limit }
            }
        };
        manual_tries(&tx, to, &page.messages, now, &mut commit).await?;
        let sent = page.taken as i64;
        tx.execute(MOVE_ON, &[&&id.0.0[..], &page.position, &sent, &now.as_micros(), &page.last]).await?;
        tx.commit().await?;
        self.tell(commit);
        Ok(Step { sent: sent.unsigned_abs(), done: page.last })
    }

    pub(super) async fn end_task(&self, id: TaskId, now: Timestamp) -> Result<(), StoreError> {
        self.pool.execute(FAIL, &[&&id.0.0[..], &now.as_micros()]).await.map(|_| ())
    }
}

/// What a step found among the rows that it looked at.
struct Page {
    /// How many it takes up.
    taken: usize,
    /// Those to try.
    messages: Vec<i64>,
    /// The last row looked at.
    position: i64,
    /// Whether the window ends there.
    last: bool,
}

/// Looks at `limit` deliveries, however few of them failed: a step never takes long.
async fn failed_ones(tx: &Tx, to: EndpointRef, position: i64, until: i64, limit: usize) -> Result<Page, StoreError> {
    let found = tx.all(FAILED_ONES, &[&to.app.0, &to.endpoint.0, &position, &until, &(limit as i64)]).await?;
    let seen = found.iter().map(|row| Ok((rows::col(row, 0)?, rows::col(row, 1)?)));
    Ok(page_of(seen.collect::<Result<_, StoreError>>()?, position, limit))
}

/// Looks at `limit` messages of the application; those that the endpoint takes and that were never tried there count.
async fn missing_ones(tx: &Tx, e: &Endpoint, position: i64, until: i64, limit: usize) -> Result<Page, StoreError> {
    let found = tx.all(MISSING_ONES, &[&e.app.0, &e.key.0, &position, &until, &(limit as i64)]).await?;
    let mut seen = Vec::with_capacity(found.len());
    for row in &found {
        let meta = rows::message(row, false)?.meta;
        let missing: bool = rows::col(row, 8)?;
        let wanted = missing && e.disabled.is_none() && e.takes(&meta.event_type, &meta.channels);
        seen.push((meta.id.0.head(), wanted));
    }
    Ok(page_of(seen, position, limit))
}

fn page_of(seen: Vec<(i64, bool)>, position: i64, limit: usize) -> Page {
    let messages: Vec<i64> = seen.iter().filter(|s| s.1).map(|s| s.0).collect();
    Page { taken: messages.len(), messages, position: seen.last().map_or(position, |s| s.0), last: seen.len() < limit }
}
