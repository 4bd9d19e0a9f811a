//! The log of runs, written behind the backs of those who wait for an answer. Bounded three times: what waits to be
//! written, how long it is kept, and how much of it an application may have.

use domain::{AppKey, webfilter::Run};
use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use store::{Ids, Store};
use tokio::{
    sync::{Notify, mpsc},
    task::JoinHandle,
    time::MissedTickBehavior,
};

/// Runs that may wait to be written; more are dropped rather than slow anybody.
const WAITING_MAX: usize = 4096;
/// Runs written in one commit.
const BATCH: usize = 256;
/// Between two looks for something to remove.
const PURGE_EVERY: Duration = Duration::from_secs(60);
/// Runs removed in one step.
const PURGE_STEP: usize = 500;
/// How long the last lines may take when the server stops.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// How much of the log is kept.
#[derive(Clone, Copy, Debug)]
pub struct LogSettings {
    /// Runs are removed after this long.
    pub retention: Duration,
    /// Runs of one application at most.
    pub runs_max: usize,
}

pub(crate) struct Log {
    waiting: mpsc::Sender<Run>,
    stop: Arc<Notify>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

impl Log {
    pub(crate) fn start(store: Arc<dyn Store>, ids: Arc<Ids>, settings: LogSettings) -> Self {
        let (waiting, runs) = mpsc::channel(WAITING_MAX);
        let stop = Arc::new(Notify::new());
        let writer = Writer { store, ids, settings, written: BTreeSet::new() };
        let task = tokio::spawn(writer.write(runs, stop.clone()));
        Self { waiting, stop, writer: Mutex::new(Some(task)) }
    }

    pub(crate) fn keep(&self, run: Run) {
        if self.waiting.try_send(run).is_err() {
            metrics::counter!("schoolbell_webfilter_log_dropped_total").increment(1);
        }
    }

    pub(crate) async fn stop(&self) {
        self.stop.notify_one();
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(mut writer) = writer
            && tokio::time::timeout(LAST_WORDS, &mut writer).await.is_err()
        {
            tracing::warn!("the last runs of webfilters could not be written to the log in time");
            writer.abort();
        }
    }
}

struct Writer {
    store: Arc<dyn Store>,
    ids: Arc<Ids>,
    settings: LogSettings,
    /// Applications of which something was written since the last look for what is too much.
    written: BTreeSet<AppKey>,
}

impl Writer {
    async fn write(mut self, mut runs: mpsc::Receiver<Run>, stop: Arc<Notify>) {
        let mut purge = tokio::time::interval(PURGE_EVERY);
        purge.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let mut batch = Vec::new();
            tokio::select! {
                taken = runs.recv_many(&mut batch, BATCH) => {
                    if taken == 0 {
                        return;
                    }
                    self.append(batch).await;
                }
                _ = purge.tick() => self.purge().await,
                // What waits is still written, then `recv_many` says that it was all.
                () = stop.notified() => runs.close(),
            }
        }
    }

    async fn append(&mut self, batch: Vec<Run>) {
        self.written.extend(batch.iter().map(|run| run.app));
        let count = batch.len();
        if let Err(error) = self.store.log_runs(batch).await {
            tracing::error!(%error, runs = count, "failed to write runs of webfilters to the log; they are left out");
        }
    }

    async fn purge(&mut self) {
        let before = self.ids.now().minus(self.settings.retention);
        let apps: Vec<AppKey> = std::mem::take(&mut self.written).into_iter().collect();
        loop {
            let step = self.store.purge_runs(before, apps.clone(), self.settings.runs_max, PURGE_STEP).await;
            match step {
                Ok(removed) if removed >= PURGE_STEP => {}
                Ok(_) => return,
                Err(error) => {
                    tracing::error!(%error, "failed to remove old runs of webfilters; trying again later");
                    return;
                }
            }
        }
    }
}
