//! Background tasks: sending again what failed or was missed, and asking how far that is; and giving up what waits.

use crate::{
    Service, access::AppScope, actor::Actor, actor::Capability, check::read_id, endpoints::SLACK, error::ServiceError,
};
use domain::{
    Action, Cursor, Endpoint, EndpointRef, IdRange, Ksuid, Order, PageOf, PageQuery, Pick, Task, TaskId, TaskKind,
    TaskStatus, Timestamp,
};
use std::time::Duration;
use store::Counted;

/// How far back failed messages are sent again.
const RECOVER_WINDOW: Duration = Duration::from_secs(14 * 24 * 3600);
/// Pages that are read at most to fill one page of a filtered list.
const READS_MAX: usize = 40;
/// Rows looked at for a number that is shown before a task begins.
const COUNTED: usize = 10_000;
/// The same where each row is held against the endpoint.
const COUNTED_BY_MESSAGE: usize = 1_500;

impl Service {
    /// Sends each failed message of a window once more.
    pub async fn recover(
        &self,
        scope: &AppScope,
        which: &str,
        since: Timestamp,
        until: Option<Timestamp>,
    ) -> Result<Task, ServiceError> {
        if self.now().since(since) > RECOVER_WINDOW + SLACK {
            let msg = "Cannot recover more than 14 days of messages";
            return Err(ServiceError::invalid(&["body", "since"], msg));
        }
        self.begin_task(scope, which, TaskKind::Recover, since, until).await
    }

    /// Sends each message of a window that was never tried to this endpoint.
    pub async fn replay_missing(
        &self,
        scope: &AppScope,
        which: &str,
        since: Timestamp,
        until: Option<Timestamp>,
    ) -> Result<Task, ServiceError> {
        self.begin_task(scope, which, TaskKind::ReplayMissing, since, until).await
    }

    /// Cancels what waits for an endpoint, in the background: what was published until now.
    pub async fn cancel_waiting(&self, scope: &AppScope, which: &str) -> Result<Task, ServiceError> {
        // Nothing is older; the window's end is what counts.
        self.begin_task(scope, which, TaskKind::CancelWaiting, Timestamp::default(), None).await
    }

    /// How many messages a task would take up if it began now; counted no further than is quick.
    pub async fn count_for_task(
        &self,
        scope: &AppScope,
        endpoint: &Endpoint,
        kind: TaskKind,
        since: Timestamp,
    ) -> Result<Counted, ServiceError> {
        scope.must_have(Capability::CreateAttempts)?;
        let looks = if kind == TaskKind::ReplayMissing { COUNTED_BY_MESSAGE } else { COUNTED };
        Ok(self.store.count_for_task(endpoint, kind, since, self.now(), looks).await?)
    }

    /// A task to this endpoint, and how far it is in hundredths.
    pub async fn task_progress(
        &self,
        scope: &AppScope,
        endpoint: &Endpoint,
        id: &str,
    ) -> Result<(Task, u8), ServiceError> {
        scope.must_have(Capability::ViewBase)?;
        let id = read_id::<TaskId>("task_id", id)?.ok_or(ServiceError::NO_ENTITY)?;
        let organization = &scope.application().organization;
        let task = self.store.task(organization, Some(scope.key()), id).await?.ok_or(ServiceError::NO_ENTITY)?;
        if task.to.endpoint != endpoint.key {
            return Err(ServiceError::NO_ENTITY);
        }
        if task.status == TaskStatus::Finished {
            return Ok((task, 100));
        }
        let share = if task.kind == TaskKind::CancelWaiting {
            let left = self.store.count_for_task(endpoint, task.kind, task.since, task.until, COUNTED).await?.found;
            hundredths(task.sent, task.sent + left)
        } else {
            let position = self.store.task_position(id).await?.unwrap_or(task.since);
            let length = |until: Timestamp| until.since(task.since).as_secs();
            hundredths(length(position), length(task.until))
        };
        Ok((task, share))
    }

    /// Tasks to an endpoint that are not finished.
    pub async fn running_tasks_to(&self, scope: &AppScope, endpoint: &Endpoint) -> Result<Vec<Task>, ServiceError> {
        scope.must_have(Capability::ViewBase)?;
        let mut running = self.store.running_tasks().await?;
        running.retain(|t| t.to == scope.endpoint_ref(endpoint));
        Ok(running)
    }

    /// Cancels what waits for an endpoint: deliveries of messages made before an instant.
    pub async fn cancel_open(&self, scope: &AppScope, which: &str, before: Timestamp) -> Result<(), ServiceError> {
        scope.must_have(Capability::CreateAttempts)?;
        let endpoint = self.find_endpoint(scope, which).await?;
        self.cancel_all(scope.endpoint_ref(&endpoint), before).await?;
        self.note_in(scope, Action::DeliveriesCancelled, endpoint.id, format!("made before {before}")).await;
        Ok(())
    }

    pub(crate) async fn cancel_all(&self, to: EndpointRef, before: Timestamp) -> Result<(), ServiceError> {
        const STEP: usize = 1_000;
        while self.store.cancel_open(to, before, STEP).await? >= STEP {}
        Ok(())
    }

    async fn begin_task(
        &self,
        scope: &AppScope,
        which: &str,
        kind: TaskKind,
        since: Timestamp,
        until: Option<Timestamp>,
    ) -> Result<Task, ServiceError> {
        scope.must_have(Capability::CreateAttempts)?;
        let endpoint = self.find_endpoint(scope, which).await?;
        let endpoint = self.mark_before_sending(scope, endpoint).await?;
        let (id, now) = self.next_id();
        let until = until.unwrap_or(now);
        if until < since {
            return Err(ServiceError::invalid(&["body", "until"], "'until' must not be before 'since'"));
        }
        let task = Task {
            id: TaskId(id),
            kind,
            status: TaskStatus::Running,
            to: scope.endpoint_ref(&endpoint),
            since,
            until,
            sent: 0,
            updated_at: now,
        };
        self.store.create_task(task.clone()).await?;
        self.admission.tasks_changed();
        let action = match kind {
            TaskKind::Recover => Action::RecoveryStarted,
            TaskKind::ReplayMissing => Action::ReplayStarted,
            TaskKind::CancelWaiting => Action::DeliveriesCancelled,
        };
        let window = match kind {
            TaskKind::CancelWaiting => format!("made before {until}"),
            _ => format!("from {since} to {until}"),
        };
        self.note_in(scope, action, endpoint.id, window).await;
        Ok(task)
    }

    /// One task. An application sees its own.
    pub async fn task(&self, actor: &Actor, id: &str) -> Result<Task, ServiceError> {
        let id = read_id::<TaskId>("task_id", id)?.ok_or(ServiceError::NO_ENTITY)?;
        let scope = self.own_scope(actor).await?;
        let app = scope.as_ref().map(AppScope::key);
        let found = self.store.task(actor.organization(), app, id).await?;
        found.filter(|t| Self::sees_task_to(scope.as_ref(), t.to)).ok_or(ServiceError::NO_ENTITY)
    }

    /// The application that an actor's tasks are of; absent for who may see all of the organization's.
    async fn own_scope(&self, actor: &Actor) -> Result<Option<AppScope>, ServiceError> {
        match actor {
            Actor::Organization(_) => Ok(None),
            Actor::Application(a) => Ok(Some(self.open(actor, &a.application.to_string()).await?)),
            Actor::Person(p) if p.operator => Ok(None),
            Actor::Person(p) => {
                let app = p.acting_in.ok_or(ServiceError::Forbidden)?;
                Ok(Some(self.open(actor, &app.to_string()).await?))
            }
        }
    }

    /// A page of tasks, of one kind and status if asked for.
    pub async fn tasks(
        &self,
        actor: &Actor,
        page: PageQuery<Ksuid>,
        kind: Option<TaskKind>,
        status: Option<TaskStatus>,
    ) -> Result<PageOf<Task>, ServiceError> {
        let scope = self.own_scope(actor).await?;
        let app = scope.as_ref().map(AppScope::key);
        let fits = |t: &Task| {
            kind.is_none_or(|k| k == t.kind)
                && status.is_none_or(|s| s == t.status)
                && Self::sees_task_to(scope.as_ref(), t.to)
        };
        let mut range = tasks_range(&page);
        let mut items: Vec<Task> = Vec::new();
        for _ in 0..READS_MAX {
            let read = self.store.tasks(actor.organization(), app, range.clone()).await?;
            let ends = (read.items.first().map(|t| t.id.0), read.items.last().map(|t| t.id.0));
            match (range.pick, ends) {
                (Pick::Newest, (_, Some(oldest))) => range.until = oldest,
                (Pick::Oldest, (Some(newest), _)) => range.from = crate::window::successor(newest),
                _ => {}
            }
            let mut found: Vec<Task> = read.items.into_iter().filter(fits).collect();
            if range.pick == Pick::Newest {
                items.extend(found);
            } else {
                found.extend(items);
                items = found;
            }
            if !read.more || items.len() > page.limit || page.limit == 0 {
                return Ok(cut(items, read.more, &page, range.pick));
            }
        }
        Ok(cut(items, true, &page, range.pick))
    }
}

/// How much of a whole, at most 99: only what is finished is all of it.
fn hundredths(part: u64, whole: u64) -> u8 {
    let share = part.saturating_mul(100).checked_div(whole).unwrap_or(0);
    u8::try_from(share).unwrap_or(99).min(99)
}

/// Tasks come newest first from the store; a page in ascending order is read from the other end.
fn tasks_range(page: &PageQuery<Ksuid>) -> IdRange {
    let (mut from, mut until) = (Ksuid::MIN, Ksuid::MAX);
    let mut pick = if page.order == Order::Descending { Pick::Newest } else { Pick::Oldest };
    match (&page.cursor, page.order) {
        (None, _) => {}
        (Some(Cursor::After(id)), Order::Descending) | (Some(Cursor::Before(id)), Order::Ascending) => {
            until = *id;
            pick = Pick::Newest;
        }
        (Some(Cursor::Before(id)), Order::Descending) | (Some(Cursor::After(id)), Order::Ascending) => {
            from = crate::window::successor(*id);
            pick = Pick::Oldest;
        }
    }
    IdRange { from, until, pick, limit: page.limit }
}

fn cut(mut newest_first: Vec<Task>, more: bool, page: &PageQuery<Ksuid>, pick: Pick) -> PageOf<Task> {
    let over = newest_first.len().saturating_sub(page.limit);
    match pick {
        Pick::Newest => newest_first.truncate(page.limit),
        Pick::Oldest => {
            newest_first.drain(..over);
        }
    }
    if page.order == Order::Ascending {
        newest_first.reverse();
    }
    PageOf { items: newest_first, more: more || over > 0 }
}
