//! The one thread that writes. It takes all that waits (accepts, records, anything else) into one transaction, syncs
//! once, then answers everybody. While it syncs, the next batch gathers by itself; where that is large already, the sync goes
//! on beside its transaction (`durable.rs`). Somebody waits for an accept, nobody for a record: few records stay back for a
//! moment, so that an accept's commit is small and the records' one is shared.

use super::{
    accept,
    durable::{Answering, SyncLog, Syncing, Written},
    failed, record,
};
use crate::{
    error::StoreError,
    queue::{Accept, Accepted, Commit, Record},
};
use rusqlite::{Connection, hooks::Wal};
use std::{
    ffi::c_int,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI64, AtomicUsize, Ordering},
        mpsc as std_mpsc,
    },
    time::{Duration, Instant},
};
use tokio::sync::{mpsc, oneshot};

/// Jobs in one transaction at most: beyond some hundreds a commit gets no cheaper, only later.
const BATCH: usize = 1024;
/// Messages that may wait to be accepted; more are told to come back.
const WAITING_MAX: usize = 20_000;
/// New pages in the write-ahead log (4 KiB each) at which the checkpointer copies them. The more at once, the fewer: a
/// page that was written ten times is copied once.
const CHECKPOINT_PAGES: i64 = 4_000;
/// Pages at which the log is to begin anew, so that it does not grow for ever under load…
const RESTART_PAGES: i64 = 16_000;
/// …for which the writer copies the rest itself, once the checkpointer has left this little: it holds up commits.
const RESTART_REST: i64 = 1_000;
/// So many records are worth a commit of their own.
const ENOUGH: usize = 32;
/// With so many jobs that wait after a transaction, its sync is left to another thread…
const OVERLAP: usize = 8;
/// …and so many are worth a transaction beside it.
const GATHERED: usize = 16;
/// How long fewer records wait for others.
const LINGER: Duration = Duration::from_millis(4);

/// A transaction as a job sees it.
pub(super) struct Tx<'a> {
    /// The connection, inside a transaction.
    pub(super) conn: &'a Connection,
    /// This run's lease number.
    pub(super) boot: i64,
    /// What to tell the engine after the commit.
    pub(super) commit: &'a mut Commit,
}

thread_local! {
    /// Pages in the write-ahead log after the latest commit of this thread's connection.
    static LOG_PAGES: std::cell::Cell<i32> = const { std::cell::Cell::new(0) };
}

pub(super) type Done = Box<dyn FnOnce(Result<(), StoreError>) + Send>;
type WriteFn = Box<dyn FnOnce(&mut Tx<'_>) -> Done + Send>;

pub(super) type AcceptAnswer = oneshot::Sender<Result<Vec<Accepted>, StoreError>>;

/// An answer that is ready to be given.
pub(super) type Answer = (AcceptAnswer, Vec<Accepted>);

pub(super) enum Job {
    Accept { messages: Vec<Accept>, answer: AcceptAnswer },
    Record(Record),
    Write(WriteFn),
}

/// What the writing thread is woken with.
pub(super) enum Call {
    /// Somebody waits for this.
    Now(Job),
    /// There are records.
    Records(Patience),
    /// So many commits are on the disk now, or refused.
    Synced { commits: usize },
    /// Nothing comes any more but what is synced.
    Close,
}

/// Whether a record may wait for others.
#[derive(PartialEq, Eq)]
pub(super) enum Patience {
    /// It may.
    Lingering,
    /// There are enough, or one lets the next of its order key go.
    Spent,
}

/// Records that wait to go along with a commit.
#[derive(Default)]
struct Records(Mutex<Vec<Record>>);

impl Records {
    fn lock(&self) -> MutexGuard<'_, Vec<Record>> {
        // A vector of finished records is whole whatever panicked beside it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says what to tell the writing thread, if anything.
    fn add(&self, record: Record) -> Option<Patience> {
        let ordered = record.order_key.is_some();
        let mut records = self.lock();
        records.push(record);
        match records.len() {
            ENOUGH => Some(Patience::Spent),
            _ if ordered => Some(Patience::Spent),
            1 => Some(Patience::Lingering),
            _ => None,
        }
    }

    fn take(&self) -> impl Iterator<Item = Job> {
        // With room for as many again: growing would move them over and over.
        let mut records = self.lock();
        let room = records.len();
        std::mem::replace(&mut *records, Vec::with_capacity(room)).into_iter().map(Job::Record)
    }
}

/// What a job became in the transaction, until the commit decides.
pub(super) enum Ran {
    Accept { messages: Vec<Accept>, results: Vec<Accepted>, answer: AcceptAnswer },
    Record(Record),
    Write(Done),
}

/// Answers all producers of a commit from within the runtime: waking each from the writing thread would cost it a system
/// call per producer.
async fn give_answers(mut ready: mpsc::UnboundedReceiver<Vec<Answer>>) {
    while let Some(answers) = ready.recv().await {
        for (answer, results) in answers {
            // The producer may have gone away: the event is in and goes out all the same.
            let _ = answer.send(Ok(results));
        }
    }
}

/// The way to the writing thread.
pub(super) struct Writer {
    calls: std_mpsc::Sender<Call>,
    records: Arc<Records>,
    waiting: Arc<AtomicUsize>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Writer {
    pub(super) fn start(
        conn: Connection,
        checkpointer: Connection,
        log: SyncLog,
        boot: i64,
        commits: mpsc::UnboundedSender<Commit>,
    ) -> Self {
        let (calls, called) = std_mpsc::channel();
        let records = Arc::new(Records::default());
        let waiting = Arc::new(AtomicUsize::new(0));
        let copied = Arc::new(AtomicI64::new(0));
        let (wake, woken) = std_mpsc::sync_channel::<()>(1);
        let checkpoints = std::thread::Builder::new()
            .name("checkpoint".into())
            .spawn({
                let copied = copied.clone();
                move || {
                    while woken.recv().is_ok() {
                        match checkpoint(&checkpointer) {
                            Ok(pages) => copied.store(pages, Ordering::Relaxed),
                            Err(error) => {
                                tracing::warn!(%error, "failed to copy the write-ahead log into the database");
                            }
                        }
                    }
                }
            })
            .ok();
        let (answers, ready) = mpsc::unbounded_channel();
        tokio::spawn(give_answers(ready));
        let answering = Answering { answers, commits, waiting: waiting.clone() };
        let syncing = Syncing::start(log, answering, calls.clone());
        let run = Run { conn, boot, syncing, wake, woken_at: 0, copied, figures: Figures::new() };
        let inbox = Inbox { calls: called, records: records.clone(), records_due: None, unsynced: 0, closed: false };
        let thread = std::thread::Builder::new()
            .name("writer".into())
            .spawn(move || {
                run.until_closed(inbox);
                if let Some(c) = checkpoints {
                    let _ = c.join();
                }
            })
            .ok();
        Self { calls, records, waiting, thread }
    }

    fn call(&self, call: Call) -> Result<(), StoreError> {
        self.calls.send(call).map_err(|_| stopped())
    }

    pub(super) async fn accept(&self, messages: Vec<Accept>) -> Result<Vec<Accepted>, StoreError> {
        let n = messages.len();
        if self.waiting.fetch_add(n, Ordering::Relaxed) > WAITING_MAX {
            self.waiting.fetch_sub(n, Ordering::Relaxed);
            return Err(StoreError::Busy);
        }
        let (answer, answered) = oneshot::channel();
        self.call(Call::Now(Job::Accept { messages, answer }))?;
        answered.await.map_err(|_| stopped())?
    }

    pub(super) fn record(&self, record: Record) {
        if let Some(patience) = self.records.add(record) {
            // After the writer has stopped, the lease stays with this run and the next run takes the delivery up.
            let _ = self.call(Call::Records(patience));
        }
    }

    pub(super) async fn write<T: Send + 'static>(
        &self,
        f: impl FnOnce(&mut Tx<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (answer, answered) = oneshot::channel();
        let job: WriteFn = Box::new(move |tx| {
            let result = in_savepoint(tx, f);
            Box::new(move |commit| {
                // The caller may have gone away; what it asked for is done all the same.
                let _ = answer.send(commit.and(result));
            })
        });
        self.call(Call::Now(Job::Write(job)))?;
        answered.await.map_err(|_| stopped())?
    }
}

impl Drop for Writer {
    /// Writes what is waiting, then ends the thread.
    fn drop(&mut self) {
        // Fails only where the thread is gone already.
        let _ = self.call(Call::Close);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn stopped() -> StoreError {
    StoreError::Unavailable("the server is stopping".into())
}

fn in_savepoint<T>(tx: &mut Tx<'_>, f: impl FnOnce(&mut Tx<'_>) -> Result<T, StoreError>) -> Result<T, StoreError> {
    tx.conn.prepare_cached("SAVEPOINT job").and_then(|mut s| s.execute([])).map_err(failed)?;
    let result = f(tx);
    let end = if result.is_ok() { "RELEASE job" } else { "ROLLBACK TO job" };
    // After a full disk the whole transaction may be gone, and the savepoint with it; the batch notices.
    if !tx.conn.is_autocommit() {
        tx.conn.execute_batch(end).map_err(failed)?;
        if result.is_err() {
            tx.conn.execute_batch("RELEASE job").map_err(failed)?;
        }
    }
    result
}

/// Copies what it can of the log without waiting for anybody; answers how many of its pages are copied.
fn checkpoint(conn: &Connection) -> Result<i64, StoreError> {
    conn.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |r| r.get(2)).map_err(failed)
}

struct Figures {
    size: metrics::Histogram,
    seconds: metrics::Histogram,
}

impl Figures {
    fn new() -> Self {
        Self {
            size: metrics::histogram!("schoolbell_commit_size"),
            seconds: metrics::histogram!("schoolbell_commit_duration_seconds"),
        }
    }
}

struct Run {
    conn: Connection,
    boot: i64,
    syncing: Syncing,
    wake: std_mpsc::SyncSender<()>,
    /// Pages of the log when the checkpointer was last woken.
    woken_at: i64,
    /// How many of them it has copied.
    copied: Arc<AtomicI64>,
    figures: Figures,
}

/// What comes to the writing thread, and what it knows of what it has written.
struct Inbox {
    calls: std_mpsc::Receiver<Call>,
    records: Arc<Records>,
    /// When the records get their commit; none wait without it.
    records_due: Option<Instant>,
    /// Commits that are being synced beside.
    unsynced: usize,
    /// Nothing comes any more.
    closed: bool,
}

impl Inbox {
    /// Waits for a call, or until records are due, and takes all that is there.
    fn wait(&mut self, batch: &mut Vec<Job>) {
        let call = match self.records_due {
            None => self.calls.recv().ok(),
            Some(due) => self.calls.recv_timeout(due.saturating_duration_since(Instant::now())).ok(),
        };
        match call {
            Some(call) => {
                self.sort(call, batch);
                self.take_waiting(batch);
            }
            None => self.records_due = Some(Instant::now()),
        }
    }

    fn take_waiting(&mut self, batch: &mut Vec<Job>) {
        while batch.len() < BATCH
            && let Ok(call) = self.calls.try_recv()
        {
            self.sort(call, batch);
        }
    }

    /// Whether to wait for the end of a sync before these are written: few gather more, and two commits without theirs are
    /// enough.
    fn gathers(&self, batch: &[Job]) -> bool {
        match self.unsynced {
            0 => false,
            1 => batch.len() < GATHERED && !self.closed,
            _ => !self.closed,
        }
    }

    fn sort(&mut self, call: Call, batch: &mut Vec<Job>) {
        match call {
            Call::Now(job) => {
                // What is written after a record finds it.
                if matches!(job, Job::Write(_)) {
                    self.records_due = Some(Instant::now());
                }
                batch.push(job);
            }
            Call::Records(Patience::Lingering) => {
                self.records_due.get_or_insert_with(|| Instant::now() + LINGER);
            }
            Call::Records(Patience::Spent) => self.records_due = Some(Instant::now()),
            Call::Synced { commits } => self.unsynced -= commits,
            Call::Close => {
                self.closed = true;
                self.records_due = Some(Instant::now());
            }
        }
    }

    /// The records, if they are due.
    fn take_due_records(&mut self, batch: &mut Vec<Job>) {
        if self.records_due.is_some_and(|due| due <= Instant::now()) {
            self.records_due = None;
            batch.extend(self.records.take());
        }
    }
}

impl Run {
    fn until_closed(mut self, mut inbox: Inbox) {
        let hooked = self.conn.wal_hook(Some(|_: &mut Wal, pages: c_int| {
            LOG_PAGES.set(pages);
            Ok(())
        }));
        if let Err(error) = hooked {
            tracing::warn!(%error, "the write-ahead log's length is not known, so it may grow");
        }
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            // What came during the commit before is there already.
            if !inbox.closed && (batch.is_empty() || inbox.gathers(&batch)) {
                inbox.wait(&mut batch);
            }
            inbox.take_due_records(&mut batch);
            if batch.is_empty() && inbox.closed {
                break;
            }
            if batch.is_empty() || inbox.gathers(&batch) {
                continue;
            }
            let begun = Instant::now();
            let size = batch.len();
            let jobs = std::mem::replace(&mut batch, Vec::with_capacity(2 * size));
            self.one_commit(jobs, &mut inbox, &mut batch);
            self.figures.size.record(size as f64);
            self.figures.seconds.record(begun.elapsed());
            self.keep_log_short();
        }
        self.syncing.finish();
        let _ = self.conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
    }

    /// One transaction, one sync; then everybody is answered. If a job broke the transaction, each is tried alone. What waits
    /// meanwhile comes into `next`.
    fn one_commit(&mut self, jobs: Vec<Job>, inbox: &mut Inbox, next: &mut Vec<Job>) {
        if let Err(error) = self.syncing.out_of_doubt(|| self.log_into_database()) {
            tracing::error!(%error, "failed to make sure of what was written; nothing more is written before that");
            return self.refuse(jobs, &error);
        }
        match self.try_commit(jobs) {
            Ok(written) => {
                inbox.take_waiting(next);
                let here = if inbox.unsynced == 0 && next.len() < OVERLAP {
                    Some(written)
                } else {
                    self.syncing.beside(written)
                };
                match here {
                    Some(written) => self.syncing.now(written),
                    None => inbox.unsynced += 1,
                }
            }
            Err((jobs, error)) => {
                let alone = jobs.len() > 1 && !matches!(error, StoreError::Full | StoreError::Busy);
                if alone {
                    tracing::warn!(%error, jobs = jobs.len(), "a shared commit failed; trying each of its jobs alone");
                    for job in jobs {
                        match self.try_commit(vec![job]) {
                            Ok(written) => self.syncing.now(written),
                            Err((jobs, error)) => self.refuse(jobs, &error),
                        }
                    }
                } else {
                    tracing::error!(%error, "failed to write to the database");
                    self.refuse(jobs, &error);
                }
            }
        }
    }

    fn log_into_database(&self) -> Result<(), StoreError> {
        let busy: bool = self.conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |r| r.get(0)).map_err(failed)?;
        if busy {
            return Err(StoreError::Busy);
        }
        Ok(())
    }

    fn refuse(&mut self, jobs: Vec<Job>, error: &StoreError) {
        let mut commit = Commit { error: Some(error.clone()), ..Commit::default() };
        for job in jobs {
            match job {
                Job::Accept { messages, answer } => self.syncing.answering.refuse(messages.len(), answer, error),
                Job::Record(record) => commit.unrecorded.push(record),
                // Their callers hear that the answer's channel closed.
                Job::Write(_) => {}
            }
        }
        if !commit.unrecorded.is_empty() {
            self.syncing.answering.hand_on(commit);
        }
    }

    fn try_commit(&mut self, jobs: Vec<Job>) -> Result<Written, (Vec<Job>, StoreError)> {
        if let Err(e) = self.conn.prepare_cached("BEGIN IMMEDIATE").and_then(|mut s| s.execute([])) {
            return Err((jobs, failed(e)));
        }
        let mut commit = Commit::default();
        let mut ran = Vec::with_capacity(jobs.len());
        let mut jobs = jobs.into_iter();
        let mut broken = None;
        for job in jobs.by_ref() {
            let mut tx = Tx { conn: &self.conn, boot: self.boot, commit: &mut commit };
            let error = match job {
                Job::Accept { messages, answer } => {
                    let mut results = Vec::with_capacity(messages.len());
                    let mut error = None;
                    for message in &messages {
                        match accept::accept(&tx, message) {
                            Ok(accepted) => results.push(accepted),
                            Err(e) => {
                                error = Some(e);
                                break;
                            }
                        }
                    }
                    ran.push(Ran::Accept { messages, results, answer });
                    error
                }
                Job::Record(record) => {
                    let result = record::record(&mut tx, &record);
                    ran.push(Ran::Record(record));
                    result.err()
                }
                Job::Write(f) => {
                    ran.push(Ran::Write(f(&mut tx)));
                    None
                }
            };
            if let Some(error) = error {
                broken = Some(error);
            } else if self.conn.is_autocommit() {
                broken = Some(StoreError::Full);
            }
            if broken.is_some() {
                break;
            }
        }
        let result = match broken {
            Some(error) => Err(error),
            None => self.conn.prepare_cached("COMMIT").and_then(|mut s| s.execute([])).map(|_| ()).map_err(failed),
        };
        match result {
            Ok(()) => Ok(Written { ran, commit }),
            Err(error) => {
                if !self.conn.is_autocommit() {
                    let _ = self.conn.execute_batch("ROLLBACK");
                }
                Err((back_to_jobs(ran, jobs, &error), error))
            }
        }
    }

    /// The log begins anew with the first commit that finds all of it copied and nobody reading it.
    fn keep_log_short(&mut self) {
        let pages = i64::from(LOG_PAGES.get());
        if pages < self.woken_at {
            // It has begun anew.
            self.woken_at = 0;
            self.copied.store(0, Ordering::Relaxed);
        }
        let rest = pages - self.copied.load(Ordering::Relaxed);
        if pages > RESTART_PAGES && rest < RESTART_REST {
            match checkpoint(&self.conn) {
                // With a reader in the way this is tried again after the checkpointer's next turn.
                Ok(_) => self.copied.store(0, Ordering::Relaxed),
                Err(error) => tracing::warn!(%error, "failed to copy the rest of the write-ahead log"),
            }
        } else if pages > self.woken_at + CHECKPOINT_PAGES {
            self.woken_at = pages;
            // Full means that the checkpointer is at it already.
            let _ = self.wake.try_send(());
        }
    }
}

fn back_to_jobs(ran: Vec<Ran>, rest: impl Iterator<Item = Job>, error: &StoreError) -> Vec<Job> {
    let mut jobs = Vec::new();
    for ran in ran {
        match ran {
            Ran::Accept { messages, answer, .. } => jobs.push(Job::Accept { messages, answer }),
            Ran::Record(record) => jobs.push(Job::Record(record)),
            Ran::Write(done) => done(Err(error.clone())),
        }
    }
    jobs.extend(rest);
    jobs
}
