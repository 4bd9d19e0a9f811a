//! The two lines of writing: one accepts, one records. Each takes all that waits into one transaction, then answers
//! everybody; while it commits, the next batch gathers by itself.
//!
//! A connection that breaks during a commit leaves open whether it happened. The accepting line then asks before it tries
//! again; results of tries are guarded by their leases, and a second time changes nothing.

use super::{
    accept,
    connect::{Address, Conn},
    node::Node,
    partitions::Partitions,
    record, silent, stopping,
};
use crate::{
    error::StoreError,
    queue::{Accept, Accepted, Commit, Record},
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, sleep, timeout},
};

/// Jobs in one transaction at most.
const BATCH: usize = 512;
/// Messages that may wait to be accepted; more are told to come back.
const WAITING_MAX: usize = 20_000;
/// A commit of this many jobs says that many more are on their way: the next one waits for them…
const BUSY: usize = 8;
/// …for this long…
const GATHER: Duration = Duration::from_millis(1);
/// …unless this many are there already.
const ENOUGH: usize = 64;
/// So many results are worth a commit of their own: nobody waits for them.
const ENOUGH_RESULTS: usize = 32;
/// How long fewer results wait for others…
const LINGER: Duration = Duration::from_millis(4);
/// …and how often it is looked whether they have come: being woken by each would cost more.
const LOOK: Duration = Duration::from_millis(1);
/// How long a producer waits for its answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// How long one transaction may take before its connection counts as lost.
const COMMIT_WITHIN: Duration = Duration::from_secs(10);
/// How long a batch is tried again while the database is away.
const KEEP_TRYING: Duration = Duration::from_secs(5);
/// How long a line keeps its plans: making them costs a millisecond.
const PLANS_KEPT: Duration = Duration::from_secs(1);
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(100);

const BACKEND: &str = "SELECT pid, backend_start::text FROM pg_stat_activity WHERE pid = pg_backend_pid()";
const END_BACKEND: &str = "SELECT pg_terminate_backend(pid, 2000) FROM pg_stat_activity
    WHERE pid = $1 AND backend_start::text = $2";

type AcceptAnswer = oneshot::Sender<Result<Vec<Accepted>, StoreError>>;

struct AcceptJob {
    messages: Vec<Accept>,
    answer: AcceptAnswer,
}

enum RecordJob {
    Record(Box<Record>),
    /// Answered when all that was handed in before is written.
    Flush(oneshot::Sender<()>),
}

impl RecordJob {
    /// Whether somebody waits for it: for all that is written before, or for the next of an order key.
    fn hurries(&self) -> bool {
        match self {
            Self::Record(record) => record.order_key.is_some(),
            Self::Flush(_) => true,
        }
    }
}

/// What both lines need.
#[derive(Clone)]
pub(super) struct Parts {
    pub(super) address: Address,
    pub(super) node: Arc<Node>,
    pub(super) partitions: Partitions,
    pub(super) commits: mpsc::UnboundedSender<Commit>,
}

/// The way to the two lines.
pub(super) struct Writer {
    accepts: mpsc::UnboundedSender<AcceptJob>,
    records: mpsc::UnboundedSender<RecordJob>,
    waiting: Arc<AtomicUsize>,
}

impl Writer {
    pub(super) fn start(parts: Parts) -> Self {
        let (accepts, accept_jobs) = mpsc::unbounded_channel();
        let (records, record_jobs) = mpsc::unbounded_channel();
        let waiting = Arc::new(AtomicUsize::new(0));
        let accepting = Accepting {
            line: Line::new(parts.clone(), accept::STATEMENTS),
            waiting: waiting.clone(),
            in_doubt: None,
            figures: Figures::new(),
        };
        tokio::spawn(accepting.until_closed(accept_jobs));
        let recording = Recording { line: Line::new(parts, record::STATEMENTS), figures: Figures::new() };
        tokio::spawn(recording.until_closed(record_jobs));
        Self { accepts, records, waiting }
    }

    pub(super) async fn accept(&self, messages: Vec<Accept>) -> Result<Vec<Accepted>, StoreError> {
        let n = messages.len();
        if n == 0 {
            return Ok(Vec::new());
        }
        if self.waiting.fetch_add(n, Ordering::Relaxed) > WAITING_MAX {
            self.waiting.fetch_sub(n, Ordering::Relaxed);
            return Err(StoreError::Busy);
        }
        let (answer, answered) = oneshot::channel();
        self.accepts.send(AcceptJob { messages, answer }).map_err(|_| stopping())?;
        timeout(ANSWER_WITHIN, answered).await.map_err(|_| silent())?.map_err(|_| stopping())?
    }

    pub(super) fn record(&self, record: Record) {
        // After the line has stopped, the lease goes to somebody else.
        let _ = self.records.send(RecordJob::Record(Box::new(record)));
    }

    /// Waits until all results that were handed in before are written, or given back as unwritten.
    pub(super) async fn flush(&self) -> Result<(), StoreError> {
        let (done, flushed) = oneshot::channel();
        self.records.send(RecordJob::Flush(done)).map_err(|_| stopping())?;
        flushed.await.map_err(|_| stopping())
    }
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
    fn count(&self, jobs: usize, begun: Instant) {
        self.size.record(jobs as f64);
        self.seconds.record(begun.elapsed());
    }
}

/// Takes what waits; under load it gathers for a moment, since a commit costs the same for few as for many.
async fn gather<J>(jobs: &mut mpsc::UnboundedReceiver<J>, batch: &mut Vec<J>, was_busy: bool) {
    if was_busy && batch.len() < ENOUGH {
        sleep(GATHER).await;
        while batch.len() < BATCH
            && let Ok(job) = jobs.try_recv()
        {
            batch.push(job);
        }
    }
}

/// Lets few results wait for others, unless one of them is waited for.
async fn linger(jobs: &mut mpsc::UnboundedReceiver<RecordJob>, batch: &mut Vec<RecordJob>) {
    let since = Instant::now();
    while batch.len() < ENOUGH_RESULTS && since.elapsed() < LINGER && !batch.iter().any(RecordJob::hurries) {
        sleep(LOOK).await;
        while batch.len() < BATCH
            && let Ok(job) = jobs.try_recv()
        {
            batch.push(job);
        }
    }
}

/// A connection that comes back.
struct Line {
    parts: Parts,
    statements: &'static [&'static str],
    conn: Option<Conn>,
    /// The server's process behind the connection, as long as it may still be at work.
    backend: Option<(i32, String)>,
    /// Since when the database is away.
    away_since: Option<Instant>,
}

impl Line {
    fn new(parts: Parts, statements: &'static [&'static str]) -> Self {
        Self { parts, statements, conn: None, backend: None, away_since: None }
    }

    /// The connection; a new one if it is lost. What the old one was doing is over then.
    async fn ready(&mut self) -> Result<&Conn, StoreError> {
        if let Some(conn) = &self.conn
            && !conn.is_closed()
        {
            in_time(conn, conn.replan(PLANS_KEPT)).await?;
        } else {
            self.conn = None;
            let conn = self.parts.address.connect().await?;
            if let Some((pid, started)) = self.backend.take() {
                conn.all(END_BACKEND, &[&pid, &started]).await?;
                // Others may have missed what this one was about to hear.
                self.parts.node.look_at_backlog();
            }
            let row = conn.one(BACKEND, &[]).await?;
            self.backend = Some((super::rows::col(&row, 0)?, super::rows::col(&row, 1)?));
            conn.prepare_all(self.statements).await?;
            self.conn = Some(conn);
        }
        self.conn.as_ref().ok_or_else(stopping)
    }

    /// After an error: whether the connection is lost, and with it what became of the transaction.
    fn is_lost(&mut self) -> bool {
        let lost = self.conn.as_ref().is_none_or(Conn::is_closed);
        if lost {
            self.conn = None;
        }
        lost
    }

    /// Whether to try again, after a pause; not for ever.
    async fn pause(&mut self) -> bool {
        let since = *self.away_since.get_or_insert_with(Instant::now);
        if since.elapsed() > KEEP_TRYING {
            return false;
        }
        sleep(PAUSE).await;
        true
    }
}

/// Runs a transaction within its time; a connection that is silent is given up.
async fn in_time<T>(conn: &Conn, work: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    timeout(COMMIT_WITHIN, work).await.unwrap_or_else(|_| {
        conn.spoil();
        Err(silent())
    })
}

struct Accepting {
    line: Line,
    waiting: Arc<AtomicUsize>,
    /// What may be stored or not, its producers told to come back.
    in_doubt: Option<(Vec<AcceptJob>, Vec<Accepted>)>,
    figures: Figures,
}

impl Accepting {
    async fn until_closed(mut self, mut jobs: mpsc::UnboundedReceiver<AcceptJob>) {
        let mut batch = Vec::with_capacity(BATCH);
        let mut busy = false;
        loop {
            if let Some(not_stored) = self.resolve_doubt().await {
                // Their producers were told so.
                self.forget(&not_stored);
            }
            let doubtful = self.in_doubt.is_some();
            tokio::select! {
                n = jobs.recv_many(&mut batch, BATCH) => if n == 0 { return },
                () = sleep(PAUSE), if doubtful => continue,
            }
            gather(&mut jobs, &mut batch, busy).await;
            let begun = Instant::now();
            // Whoever went away was told, or told itself, that nothing is stored.
            let (wanted, left): (Vec<_>, Vec<_>) = batch.drain(..).partition(|job| !job.answer.is_closed());
            self.forget(&left);
            busy = wanted.len() >= BUSY;
            let size = wanted.len();
            if size > 0 {
                self.one_commit(wanted).await;
                self.figures.count(size, begun);
            }
        }
    }

    fn forget(&self, jobs: &[AcceptJob]) {
        let messages = jobs.iter().map(|j| j.messages.len()).sum();
        self.waiting.fetch_sub(messages, Ordering::Relaxed);
    }

    /// One transaction, then everybody is answered. If a job broke it, each is tried alone.
    async fn one_commit(&mut self, jobs: Vec<AcceptJob>) {
        let Err((jobs, error)) = self.try_commit(jobs).await else { return };
        let alone = matches!(&error, StoreError::Unavailable(_) | StoreError::NotFound | StoreError::Corrupt { .. });
        if alone && jobs.len() > 1 && self.line.away_since.is_none() {
            tracing::warn!(%error, jobs = jobs.len(), "a shared commit failed; trying each of its jobs alone");
            for job in jobs {
                if let Err((jobs, error)) = self.try_commit(vec![job]).await {
                    self.refuse(jobs, &error);
                }
            }
        } else {
            tracing::error!(%error, "failed to write to the database");
            self.refuse(jobs, &error);
        }
    }

    fn refuse(&self, jobs: Vec<AcceptJob>, error: &StoreError) {
        self.forget(&jobs);
        for job in jobs {
            // The producer may have gone away.
            let _ = job.answer.send(Err(error.clone()));
        }
    }

    /// Tries until it is stored, cannot be stored, or the database is away for too long.
    async fn try_commit(&mut self, mut jobs: Vec<AcceptJob>) -> Result<(), (Vec<AcceptJob>, StoreError)> {
        let mut fenced = false;
        loop {
            let mut results = None;
            let error = match self.store(&jobs, &mut results).await {
                Ok(()) => {
                    self.line.away_since = None;
                    self.answer(jobs, results.unwrap_or_default());
                    return Ok(());
                }
                Err(error) => error,
            };
            if self.line.is_lost() {
                if let Some(results) = results {
                    // The commit was on its way: ask before anything else.
                    match self.ask(jobs, results, &error).await {
                        Some(not_stored) => jobs = not_stored,
                        None => return Ok(()),
                    }
                } else if !self.line.pause().await {
                    return Err((jobs, error));
                }
            } else if is_fenced(&error) && !fenced {
                // Others took this node for dead; it needs a new lease number.
                fenced = true;
                self.line.parts.node.renewed().await;
            } else if !matches!(error, StoreError::Busy) || !self.line.pause().await {
                self.line.away_since = None;
                return Err((jobs, error));
            }
        }
    }

    /// Finds out what became of a commit. Answers the jobs if they have to be written again; nothing if they are stored,
    /// or nobody can say for now and their producers were told to come back.
    async fn ask(
        &mut self,
        jobs: Vec<AcceptJob>,
        results: Vec<Accepted>,
        error: &StoreError,
    ) -> Option<Vec<AcceptJob>> {
        self.in_doubt = Some((jobs, results));
        loop {
            let not_stored = self.resolve_doubt().await;
            if not_stored.is_some() || self.in_doubt.is_none() {
                return not_stored;
            }
            if !self.line.pause().await {
                for job in self.in_doubt.iter_mut().flat_map(|(jobs, _)| jobs) {
                    let (nobody, _) = oneshot::channel();
                    // The producer may have gone away.
                    let _ = std::mem::replace(&mut job.answer, nobody).send(Err(error.clone()));
                }
                return None;
            }
        }
    }

    async fn store(&mut self, jobs: &[AcceptJob], results: &mut Option<Vec<Accepted>>) -> Result<(), StoreError> {
        let messages: Vec<&Accept> = jobs.iter().flat_map(|j| &j.messages).collect();
        let lease = self.line.parts.node.lease();
        let partitions = self.line.parts.partitions.clone();
        let conn = self.line.ready().await?;
        partitions.ensure(messages.iter().map(|m| m.message.meta.id.0.head())).await?;
        in_time(conn, accept::accept_all(conn, lease, &messages, results)).await
    }

    /// Asks once what became of a commit: what is stored is handed over, what is not is given back, and what nobody can
    /// say stays in doubt.
    async fn resolve_doubt(&mut self) -> Option<Vec<AcceptJob>> {
        let (jobs, results) = self.in_doubt.take()?;
        let messages: Vec<&Accept> = jobs.iter().flat_map(|j| &j.messages).collect();
        let stored = match self.line.ready().await {
            Ok(conn) => in_time(conn, accept::is_stored(conn, &messages, &results)).await,
            Err(e) => Err(e),
        };
        match stored {
            Ok(true) => {
                self.answer(jobs, results);
                None
            }
            Ok(false) => Some(jobs),
            Err(_) => {
                self.line.conn = None;
                self.in_doubt = Some((jobs, results));
                None
            }
        }
    }

    fn answer(&self, jobs: Vec<AcceptJob>, results: Vec<Accepted>) {
        self.forget(&jobs);
        let mut results = results.into_iter();
        let mut commit = Commit::default();
        for job in jobs {
            let its: Vec<Accepted> = results.by_ref().take(job.messages.len()).collect();
            for (message, result) in job.messages.into_iter().zip(&its) {
                if matches!(result, Accepted::New) {
                    accept::hand_over(message, &mut commit);
                }
            }
            // The producer may have gone away: the event is in and goes out all the same.
            let _ = job.answer.send(Ok(its));
        }
        if !(commit.leased.is_empty() && commit.due.is_empty()) {
            // Nobody listens only while the server stops.
            let _ = self.line.parts.commits.send(commit);
        }
    }
}

/// Whether a lease was refused because its node counts as gone.
fn is_fenced(error: &StoreError) -> bool {
    matches!(error, StoreError::Unavailable(text) if text.contains("delivery_leased"))
}

struct Recording {
    line: Line,
    figures: Figures,
}

impl Recording {
    async fn until_closed(mut self, mut jobs: mpsc::UnboundedReceiver<RecordJob>) {
        let mut batch = Vec::with_capacity(BATCH);
        while jobs.recv_many(&mut batch, BATCH).await > 0 {
            linger(&mut jobs, &mut batch).await;
            let begun = Instant::now();
            let (mut records, mut flushed) = (Vec::new(), Vec::new());
            for job in batch.drain(..) {
                match job {
                    RecordJob::Record(record) => records.push(*record),
                    RecordJob::Flush(done) => flushed.push(done),
                }
            }
            let size = records.len();
            if size > 0 {
                self.one_commit(records).await;
                self.figures.count(size, begun);
            }
            for done in flushed {
                // Whoever asked may have gone away.
                let _ = done.send(());
            }
        }
    }

    /// One transaction; what it did not take goes back to the engine. If one result broke it, each is tried alone.
    async fn one_commit(&mut self, records: Vec<Record>) {
        match self.write(&records).await {
            Ok(()) => {}
            Err(error) if records.len() > 1 && !self.line.is_lost() && !matches!(error, StoreError::Full) => {
                tracing::warn!(%error, results = records.len(), "a shared commit failed; trying each result alone");
                for record in records {
                    if let Err(error) = self.write(std::slice::from_ref(&record)).await {
                        self.give_back(vec![record], error);
                    }
                }
            }
            Err(error) => self.give_back(records, error),
        }
    }

    /// Their tickets go with the records: a seat is free when its result is on disk.
    async fn write(&mut self, records: &[Record]) -> Result<(), StoreError> {
        let lease = self.line.parts.node.lease();
        let partitions = self.line.parts.partitions.clone();
        let mut commit = Commit::default();
        let conn = self.line.ready().await?;
        let attempts = records.iter().filter_map(|r| r.attempt.as_ref());
        partitions.ensure(attempts.map(|a| a.id.0.head())).await?;
        let all: Vec<&Record> = records.iter().collect();
        in_time(conn, record::record_all(conn, lease, &all, &mut commit)).await?;
        if !(commit.due.is_empty() && commit.lost.is_empty()) {
            // Nobody listens only while the server stops.
            let _ = self.line.parts.commits.send(commit);
        }
        Ok(())
    }

    fn give_back(&self, unrecorded: Vec<Record>, error: StoreError) {
        let _ = self.line.parts.commits.send(Commit { unrecorded, error: Some(error), ..Commit::default() });
    }
}
