//! What goes on beside delivery: background tasks (recover, replay), retention, and counting what happened by the hour; all
//! in small steps.

use domain::{EndpointRef, Ksuid, Task};
use std::{sync::Arc, time::Duration};
use store::{Directory, Ids, Purge, StoreError};
use tokio::sync::Notify;

/// Rows that a step of a background task looks at.
const TASK_STEP: usize = 500;
/// Rows of each kind that a retention step removes.
const PURGE_STEP: usize = 500;
/// Between two steps of the same work, so that accepts and results come in between.
const BREATH: Duration = Duration::from_millis(20);
/// Between two looks for something to remove.
const PURGE_EVERY: Duration = Duration::from_secs(60);
/// Between two looks for tasks that another node left behind.
const TASKS_EVERY: Duration = Duration::from_secs(5);
/// Between two looks for something to count.
const COUNT_EVERY: Duration = Duration::from_secs(300);
/// So long after its beginning no attempt is recorded any more: a request ends after five minutes at the latest, and its
/// result may wait for a database that was away. What came later all the same is missing in the counts, not in the log.
const ATTEMPTS_SETTLED: Duration = Duration::from_secs(15 * 60);
/// So long after its id was made no message is accepted any more: producers are told to come back within seconds. The rest is
/// for clocks of nodes that differ.
const MESSAGES_SETTLED: Duration = Duration::from_secs(5 * 60);
/// After something failed.
const TRY_AGAIN: Duration = Duration::from_secs(1);

/// Settings of the upkeep.
#[derive(Clone, Copy, Debug)]
pub struct UpkeepSettings {
    /// Rows of messages, deliveries and attempts are kept this long where nobody says otherwise.
    pub attempt_retention: Duration,
    /// Answers to requests with an idempotency key are kept this long.
    pub answer_retention: Duration,
    /// Entries of the audit log are kept this long.
    pub audit_retention: Duration,
}

/// Runs background tasks and retention until it is stopped.
pub struct Upkeep {
    tasks_changed: Arc<Notify>,
    running: Vec<tokio::task::JoinHandle<()>>,
}

impl Upkeep {
    /// Goes on with tasks that were not finished, and begins to remove what is past its time.
    pub fn start(directory: Arc<Directory>, ids: Arc<Ids>, settings: UpkeepSettings) -> Self {
        let tasks_changed = Arc::new(Notify::new());
        let running = vec![
            tokio::spawn(run_tasks(directory.clone(), ids.clone(), tasks_changed.clone())),
            tokio::spawn(run_retention(directory.clone(), ids.clone(), settings)),
            tokio::spawn(run_clearing(directory.clone(), ids.clone(), settings)),
            tokio::spawn(run_counting(directory, ids)),
        ];
        Self { tasks_changed, running }
    }
    /// A task was created.
    pub fn bell(&self) -> Arc<Notify> {
        self.tasks_changed.clone()
    }
}

impl Upkeep {
    /// Ends it. A step is one commit, so breaking off between two loses nothing.
    pub async fn stop(self) {
        for task in self.running {
            task.abort();
            // Cancelled, as asked.
            let _ = task.await;
        }
    }
}

async fn run_tasks(directory: Arc<Directory>, ids: Arc<Ids>, changed: Arc<Notify>) {
    loop {
        let bell = changed.notified();
        match directory.store().running_tasks().await {
            Ok(tasks) if tasks.is_empty() => {
                // Rung, or time to look again: both mean the same.
                let _ = tokio::time::timeout(TASKS_EVERY, bell).await;
            }
            // In turn, a step each, so that a long one does not hold up the others.
            Ok(tasks) => {
                for task in tasks {
                    if let Err(error) = step(&directory, &ids, &task).await {
                        tracing::error!(%error, task = %task.id, "a step of a background task failed; trying again");
                        tokio::time::sleep(TRY_AGAIN).await;
                    }
                }
                tokio::time::sleep(BREATH).await;
            }
            Err(error) => {
                tracing::error!(%error, "failed to read background tasks; trying again");
                tokio::time::sleep(TRY_AGAIN).await;
            }
        }
    }
}

async fn step(directory: &Directory, ids: &Ids, task: &Task) -> Result<(), StoreError> {
    let EndpointRef { app, endpoint } = task.to;
    let entry = directory.by_key(app).await?;
    match entry.as_ref().and_then(|e| e.endpoint(endpoint)) {
        Some(endpoint) => directory.store().step_task(task.id, endpoint, TASK_STEP, ids.now()).await.map(|_| ()),
        None => directory.store().fail_task(task.id, ids.now()).await,
    }
}

async fn run_retention(directory: Arc<Directory>, ids: Arc<Ids>, settings: UpkeepSettings) {
    loop {
        let now = ids.now();
        let purge = Purge {
            now,
            payload_hour: now.as_seconds() / 3600,
            rows_before: now.minus(settings.attempt_retention),
            answers_before: now.minus(settings.answer_retention),
            limit: PURGE_STEP,
            lazily: true,
        };
        match directory.store().purge(purge).await {
            Ok(purged) => {
                if purged.payloads + purged.messages + purged.answers > 0 {
                    tracing::debug!(?purged, "removed what is past its time");
                }
                tokio::time::sleep(if purged.more { BREATH } else { PURGE_EVERY }).await;
            }
            Err(error) => {
                tracing::error!(%error, "failed to remove what is past its time; trying again");
                tokio::time::sleep(PURGE_EVERY).await;
            }
        }
    }
}

/// Sessions and invitations that have ended, and what the audit log need not keep any longer.
async fn run_clearing(directory: Arc<Directory>, ids: Arc<Ids>, settings: UpkeepSettings) {
    loop {
        let (store, now) = (directory.store(), ids.now());
        let cleared = match store.clear_ended(now, PURGE_STEP).await {
            Ok(ended) => {
                store.clear_audit(now.minus(settings.audit_retention), PURGE_STEP).await.map(|old| ended + old)
            }
            Err(error) => Err(error),
        };
        match cleared {
            Ok(n) => tokio::time::sleep(if n >= PURGE_STEP as u64 { BREATH } else { PURGE_EVERY }).await,
            Err(error) => {
                tracing::error!(%error, "failed to remove sessions and entries past their time; trying again");
                tokio::time::sleep(PURGE_EVERY).await;
            }
        }
    }
}

/// Counts by the hour what is settled. Where nothing happened, a look is all that it costs.
async fn run_counting(directory: Arc<Directory>, ids: Arc<Ids>) {
    loop {
        let (store, now) = (directory.store(), ids.now());
        let until = |settled| Ksuid::lowest_at(now.minus(settled));
        let counted = match store.roll_attempts(until(ATTEMPTS_SETTLED)).await {
            Ok(attempts) => {
                store.roll_messages(until(MESSAGES_SETTLED)).await.map(|messages| attempts.more || messages.more)
            }
            Err(error) => Err(error),
        };
        match counted {
            Ok(more) => tokio::time::sleep(if more { BREATH } else { COUNT_EVERY }).await,
            Err(error) => {
                tracing::error!(%error, "failed to count what happened; trying again");
                tokio::time::sleep(PURGE_EVERY).await;
            }
        }
    }
}
