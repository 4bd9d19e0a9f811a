//! Background tasks: each step finds a page, puts it into the queue and moves on, in one commit; so a task goes on after
//! a restart exactly where it was.

use super::{
    Sqlite,
    claim::{cancel_some, manual_try},
    failed, rows,
    writer::Tx,
};
use crate::{error::StoreError, queue::Step};
use domain::{
    AppKey, DeliveryRef, Endpoint, EndpointKey, EndpointRef, IdRange, Ksuid, MessageId, OrganizationId, PageOf, Pick,
    Task, TaskId, TaskKind, TaskStatus, Timestamp,
};
use rusqlite::{OptionalExtension as _, Row, params};

const COLUMNS: &str = "t.id, t.app, t.endpoint, t.kind, t.status, t.since, t.until, t.sent, t.updated_at";

fn task(row: &Row<'_>) -> Result<Task, StoreError> {
    let get = || -> rusqlite::Result<_> {
        Ok((
            row.get::<_, [u8; 20]>(0)?,
            row.get::<_, i64>(1)?,
            row.get::<_, i64>(2)?,
            row.get::<_, String>(3)?,
            row.get::<_, String>(4)?,
            row.get::<_, i64>(5)?,
            row.get::<_, i64>(6)?,
            row.get::<_, i64>(7)?,
            row.get::<_, i64>(8)?,
        ))
    };
    let (id, app, endpoint, kind, status, since, until, sent, updated_at) = get().map_err(failed)?;
    let id = TaskId(Ksuid(id));
    Ok(Task {
        id,
        kind: TaskKind::from_text(&kind).ok_or_else(|| rows::corrupt("task", "kind", id, kind))?,
        status: TaskStatus::from_text(&status).ok_or_else(|| rows::corrupt("task", "status", id, status))?,
        to: EndpointRef { app: AppKey(app), endpoint: EndpointKey(endpoint) },
        since: Timestamp::from_micros(since),
        until: Timestamp::from_micros(until),
        sent: u64::try_from(sent).unwrap_or(0),
        updated_at: Timestamp::from_micros(updated_at),
    })
}

impl Sqlite {
    pub(super) async fn insert_task(&self, t: Task) -> Result<(), StoreError> {
        self.write(move |tx| {
            // The position starts below the window's first message.
            let position = Ksuid::lowest_at(t.since).head() - 1;
            tx.conn
                .prepare_cached(
                    "INSERT INTO task (id, app, endpoint, kind, status, since, until, position, sent, updated_at)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
                )
                .and_then(|mut s| {
                    s.execute(params![
                        t.id.0.0,
                        t.to.app.0,
                        t.to.endpoint.0,
                        t.kind.text(),
                        t.status.text(),
                        t.since.as_micros(),
                        t.until.as_micros(),
                        position,
                        t.sent as i64,
                        t.updated_at.as_micros()
                    ])
                })
                .map_err(failed)?;
            Ok(())
        })
        .await
    }

    pub(super) async fn one_task(
        &self,
        organization: &OrganizationId,
        app: Option<AppKey>,
        id: TaskId,
    ) -> Result<Option<Task>, StoreError> {
        let organization = organization.to_string();
        self.read(move |conn| {
            conn.prepare_cached(&format!(
                "SELECT {COLUMNS} FROM task t JOIN app a ON a.key = t.app
                 WHERE t.id = ?1 AND a.org = ?2 AND (?3 IS NULL OR t.app = ?3)"
            ))
            .and_then(|mut s| s.query_row(params![id.0.0, organization, app.map(|a| a.0)], |r| Ok(task(r))).optional())
            .map_err(failed)?
            .transpose()
        })
        .await
    }

    pub(super) async fn page_of_tasks(
        &self,
        organization: &OrganizationId,
        app: Option<AppKey>,
        range: IdRange,
    ) -> Result<PageOf<Task>, StoreError> {
        let organization = organization.to_string();
        self.read(move |conn| {
            let direction = if range.pick == Pick::Newest { "DESC" } else { "ASC" };
            let mut statement = conn
                .prepare_cached(&format!(
                    "SELECT {COLUMNS} FROM task t JOIN app a ON a.key = t.app
                     WHERE t.id >= ?1 AND t.id < ?2 AND a.org = ?3 AND (?4 IS NULL OR t.app = ?4)
                     ORDER BY t.id {direction} LIMIT ?5"
                ))
                .map_err(failed)?;
            let arguments =
                params![range.from.0, range.until.0, organization, app.map(|a| a.0), range.limit as i64 + 1];
            let mut items = Vec::new();
            let mut found = statement.query(arguments).map_err(failed)?;
            while let Some(row) = found.next().map_err(failed)? {
                items.push(task(row)?);
            }
            let more = items.len() > range.limit;
            items.truncate(range.limit);
            if range.pick == Pick::Oldest {
                items.reverse();
            }
            Ok(PageOf { items, more })
        })
        .await
    }

    pub(super) async fn unfinished_tasks(&self) -> Result<Vec<Task>, StoreError> {
        self.read(|conn| {
            let mut statement = conn
                .prepare_cached(&format!("SELECT {COLUMNS} FROM task t WHERE t.status = 'running' ORDER BY t.id"))
                .map_err(failed)?;
            let mut found = statement.query([]).map_err(failed)?;
            let mut tasks = Vec::new();
            while let Some(row) = found.next().map_err(failed)? {
                tasks.push(task(row)?);
            }
            Ok(tasks)
        })
        .await
    }

    pub(super) async fn step(
        &self,
        id: TaskId,
        endpoint: &Endpoint,
        limit: usize,
        now: Timestamp,
    ) -> Result<Step, StoreError> {
        let endpoint = endpoint.clone();
        self.write(move |tx| {
            let (kind, until, position): (String, i64, i64) = tx
                .conn
                .prepare_cached("SELECT kind, until, position FROM task WHERE id = ?1 AND status = 'running'")
                .and_then(|mut s| s.query_row([id.0.0], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?))).optional())
                .map_err(failed)?
                .ok_or(StoreError::NotFound)?;
            let kind = TaskKind::from_text(&kind).ok_or_else(|| rows::corrupt("task", "kind", id, kind))?;
            let until = Ksuid::lowest_at(Timestamp::from_micros(until));
            let to = EndpointRef { app: endpoint.app, endpoint: endpoint.key };
            let page = match kind {
                TaskKind::Recover => failed_ones(tx, &endpoint, position, until.head(), limit)?,
                TaskKind::ReplayMissing => missing_ones(tx, &endpoint, position, until.head(), limit)?,
                TaskKind::CancelWaiting => {
                    let cancelled = cancel_some(tx, to, until.timestamp(), limit)?;
                    Page { taken: cancelled, messages: Vec::new(), position, last: cancelled < limit }
                }
            };
            for message in &page.messages {
                manual_try(tx, DeliveryRef { to, message: *message }, now)?;
            }
            let sent = page.taken as u64;
            tx.conn
                .prepare_cached(
                    "UPDATE task SET position = ?2, sent = sent + ?3, updated_at = ?4,
                            status = iif(?5, 'finished', 'running') WHERE id = ?1",
                )
                .and_then(|mut s| s.execute(params![id.0.0, page.position, sent as i64, now.as_micros(), page.last]))
                .map_err(failed)?;
            Ok(Step { sent, done: page.last })
        })
        .await
    }

    pub(super) async fn end_task(&self, id: TaskId, now: Timestamp) -> Result<(), StoreError> {
        self.write(move |tx| {
            tx.conn
                .prepare_cached(
                    "UPDATE task SET status = 'failed', updated_at = ?2 WHERE id = ?1 AND status = 'running'",
                )
                .and_then(|mut s| s.execute(params![id.0.0, now.as_micros()]))
                .map_err(failed)?;
            Ok(())
        })
        .await
    }
}

/// What a step found among the rows that it looked at.
struct Page {
    /// How many it takes up.
    taken: usize,
    /// Those to try.
    messages: Vec<MessageId>,
    /// The last row looked at.
    position: i64,
    /// Whether the window ends there.
    last: bool,
}

/// Looks at `limit` deliveries, however few of them failed: a step never takes long.
fn failed_ones(tx: &Tx<'_>, e: &Endpoint, position: i64, until: i64, limit: usize) -> Result<Page, StoreError> {
    let mut statement = tx
        .conn
        .prepare_cached(
            "SELECT d.message, m.tail,
                    (d.state = 3 OR (d.state IN (0, 4) AND EXISTS (
                        SELECT 1 FROM attempt a WHERE a.message = d.message AND a.endpoint = d.endpoint)))
                    AND m.payload IS NOT NULL
                    AND NOT EXISTS (SELECT 1 FROM attempt a
                        WHERE a.message = d.message AND a.endpoint = d.endpoint AND a.status = 0)
             FROM (SELECT endpoint, message, state FROM delivery
                   WHERE endpoint = ?1 AND message > ?2 AND message < ?3 ORDER BY message LIMIT ?4) d
             JOIN message m ON m.key = d.message ORDER BY d.message",
        )
        .map_err(failed)?;
    let seen: Vec<(i64, [u8; 12], bool)> = statement
        .query_map(params![e.key.0, position, until, limit as i64], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?)))
        .and_then(Iterator::collect)
        .map_err(failed)?;
    Ok(page_of(seen, position, limit))
}

/// Looks at `limit` messages of the application; those that the endpoint takes and that were never tried there count.
fn missing_ones(tx: &Tx<'_>, e: &Endpoint, position: i64, until: i64, limit: usize) -> Result<Page, StoreError> {
    let mut statement = tx
        .conn
        .prepare_cached(&format!(
            "SELECT {}, m.payload IS NOT NULL AND NOT EXISTS (
                        SELECT 1 FROM delivery d WHERE d.endpoint = ?2 AND d.message = m.key AND d.state <> 4)
                    AND NOT EXISTS (SELECT 1 FROM attempt a WHERE a.message = m.key AND a.endpoint = ?2)
             FROM message m WHERE m.app = ?1 AND m.key > ?3 AND m.key < ?4 ORDER BY m.key LIMIT ?5",
            rows::MESSAGE
        ))
        .map_err(failed)?;
    let mut found = statement.query(params![e.app.0, e.key.0, position, until, limit as i64]).map_err(failed)?;
    let mut seen = Vec::new();
    while let Some(row) = found.next().map_err(failed)? {
        let meta = rows::message(row, false)?.meta;
        let missing: bool = row.get(8).map_err(failed)?;
        let wanted = missing && e.disabled.is_none() && e.takes(&meta.event_type, &meta.channels);
        seen.push((meta.id.0.head(), meta.id.0.tail(), wanted));
    }
    Ok(page_of(seen, position, limit))
}

fn page_of(seen: Vec<(i64, [u8; 12], bool)>, position: i64, limit: usize) -> Page {
    let messages: Vec<_> = seen.iter().filter(|s| s.2).map(|s| MessageId(Ksuid::from_parts(s.0, s.1))).collect();
    Page { taken: messages.len(), messages, position: seen.last().map_or(position, |s| s.0), last: seen.len() < limit }
}
