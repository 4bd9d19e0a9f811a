//! From written to durable: a commit is in the log when SQLite has written it, and counts when the log is synced. Only then is
//! anybody answered, and only then does anything go out.
//!
//! SQLite itself is told not to sync its commits, because it would sync within the transaction: the next one could not even
//! begin. Here the writing thread syncs where nobody else waits, and leaves it to a second thread where many do.

use super::{
    accept,
    writer::{AcceptAnswer, Answer, Call, Ran},
};
use crate::{
    error::StoreError,
    queue::{Accepted, Commit},
};
use std::{
    fs::File,
    io,
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc as std_mpsc,
    },
};
use tokio::sync::mpsc;

/// Syncs the log.
pub(super) type SyncLog = Arc<dyn Fn() -> io::Result<()> + Send + Sync>;

/// The log, and whether it may have a hole: after a sync that failed, a later one that succeeds proves nothing of what was
/// written before. So no commit counts until all of the log is in the database.
#[derive(Clone)]
struct Log {
    sync: SyncLog,
    /// Whose turn it is: the system tells of a failure once, and it counts for all that is written.
    turn: Arc<Mutex<()>>,
    /// Changes only within a turn.
    in_doubt: Arc<AtomicBool>,
}

impl Log {
    fn turn(&self) -> MutexGuard<'_, ()> {
        // There is nothing in it that could be half done.
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sync(&self) -> Result<(), StoreError> {
        let _turn = self.turn();
        if self.in_doubt.load(Ordering::Acquire) {
            return Err(StoreError::Unavailable("the disk did not confirm what was written just before".into()));
        }
        (self.sync)().map_err(|error| {
            self.in_doubt.store(true, Ordering::Release);
            tracing::error!(%error, "the disk does not confirm what was written");
            StoreError::Unavailable(format!("the disk does not confirm what was written: {error}"))
        })
    }
}

/// The way to sync the log of a database at this path.
pub(super) fn log_of(database: &Path) -> io::Result<SyncLog> {
    let mut name = database.as_os_str().to_owned();
    name.push("-wal");
    // SQLite writes through another handle; a sync is of the file, whoever wrote to it.
    let log = File::options().write(true).open(Path::new(&name))?;
    Ok(Arc::new(move || log.sync_data()))
}

/// A commit that is in the log.
pub(super) struct Written {
    pub(super) ran: Vec<Ran>,
    pub(super) commit: Commit,
}

/// Tells everybody what became of a commit.
#[derive(Clone)]
pub(super) struct Answering {
    pub(super) answers: mpsc::UnboundedSender<Vec<Answer>>,
    pub(super) commits: mpsc::UnboundedSender<Commit>,
    pub(super) waiting: Arc<AtomicUsize>,
}

impl Answering {
    /// After the sync. If that failed nobody is told that it is on disk, but it is in the database, so it goes out.
    fn synced(&self, Written { ran, mut commit }: Written, synced: &Result<(), StoreError>) {
        let mut answers = Vec::new();
        for ran in ran {
            match ran {
                Ran::Accept { messages, results, answer } => {
                    let count = messages.len();
                    for (message, result) in messages.into_iter().zip(&results) {
                        if matches!(result, Accepted::New) {
                            accept::hand_over(message, &mut commit);
                        }
                    }
                    match synced {
                        Ok(()) => {
                            self.waiting.fetch_sub(count, Ordering::Relaxed);
                            answers.push((answer, results));
                        }
                        Err(error) => self.refuse(count, answer, error),
                    }
                }
                // Its ticket is dropped here: the seat is free when the result is on disk.
                Ran::Record(_) => {}
                Ran::Write(done) => done(synced.clone()),
            }
        }
        if !answers.is_empty() {
            // The task ends with the runtime; nobody waits for an answer then.
            let _ = self.answers.send(answers);
        }
        let quiet = commit.leased.is_empty() && commit.due.is_empty() && commit.lost.is_empty();
        if !(quiet && commit.given_up.is_empty()) {
            self.hand_on(commit);
        }
    }

    pub(super) fn refuse(&self, messages: usize, answer: AcceptAnswer, error: &StoreError) {
        self.waiting.fetch_sub(messages, Ordering::Relaxed);
        let _ = answer.send(Err(error.clone()));
    }

    pub(super) fn hand_on(&self, commit: Commit) {
        // Nobody listens only while the server stops.
        let _ = self.commits.send(commit);
    }
}

/// Syncs commits and answers them, here or on a thread of its own.
pub(super) struct Syncing {
    log: Log,
    pub(super) answering: Answering,
    beside: Option<std_mpsc::Sender<Written>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Syncing {
    /// The thread says through `calls` how many commits it has done.
    pub(super) fn start(sync: SyncLog, answering: Answering, calls: std_mpsc::Sender<Call>) -> Self {
        let log = Log { sync, turn: Arc::default(), in_doubt: Arc::default() };
        let (beside, written) = std_mpsc::channel::<Written>();
        let thread = std::thread::Builder::new().name("sync".into()).spawn({
            let (log, answering) = (log.clone(), answering.clone());
            move || {
                while let Ok(first) = written.recv() {
                    let commits: Vec<Written> = std::iter::once(first).chain(written.try_iter()).collect();
                    let synced = log.sync();
                    // First whoever has more to write. Nobody hears it only while the server stops.
                    let _ = calls.send(Call::Synced { commits: commits.len() });
                    for commit in commits {
                        answering.synced(commit, &synced);
                    }
                }
            }
        });
        Self { log, answering, beside: Some(beside), thread: thread.ok() }
    }

    /// Syncs, then answers.
    pub(super) fn now(&self, written: Written) {
        let synced = self.log.sync();
        self.answering.synced(written, &synced);
    }

    /// After a sync that failed: `rescue` brings what the log holds into the database and syncs it there.
    pub(super) fn out_of_doubt(&self, rescue: impl FnOnce() -> Result<(), StoreError>) -> Result<(), StoreError> {
        // Nearly always; and a sync that goes on meanwhile is not waited for.
        if !self.log.in_doubt.load(Ordering::Acquire) {
            return Ok(());
        }
        let _turn = self.log.turn();
        rescue()?;
        self.log.in_doubt.store(false, Ordering::Release);
        Ok(())
    }

    /// Has it synced and answered on the other thread. Gives it back if there is none.
    pub(super) fn beside(&self, written: Written) -> Option<Written> {
        match &self.beside {
            Some(thread) => thread.send(written).err().map(|unsent| unsent.0),
            None => Some(written),
        }
    }

    /// Waits until all is synced and answered.
    pub(super) fn finish(&mut self) {
        self.beside = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::sqlite::{
        connect,
        writer::{Tx, Writer},
    };
    use rusqlite::Connection;
    use std::{
        io,
        path::Path,
        pin::Pin,
        sync::{Arc, Barrier, Mutex, mpsc as std_mpsc},
        task::{Context, Waker},
    };
    use tokio::sync::mpsc;

    type Waiting<'a> = Pin<Box<dyn Future<Output = Result<(), crate::StoreError>> + 'a>>;
    type Syncs = Box<dyn Fn() -> io::Result<()> + Send + Sync>;

    fn start(path: &Path, log: Syncs) -> Arc<Writer> {
        let conn = connect(path, 1024, false).unwrap();
        conn.pragma_update(None, "journal_mode", "WAL").unwrap();
        conn.execute_batch("CREATE TABLE row (n INTEGER); PRAGMA synchronous = NORMAL").unwrap();
        let (commits, _) = mpsc::unbounded_channel();
        Arc::new(Writer::start(conn, connect(path, 1024, false).unwrap(), Arc::from(log), 1, commits))
    }

    fn insert(tx: &mut Tx<'_>) -> Result<(), crate::StoreError> {
        tx.conn.execute("INSERT INTO row (n) VALUES (1)", []).map(|_| ()).map_err(crate::sqlite::failed)
    }

    fn rows(conn: &Connection) -> i64 {
        conn.query_row("SELECT count(*) FROM row", [], |r| r.get(0)).unwrap()
    }

    fn all_wait(writes: &mut [Waiting<'_>]) -> bool {
        let mut asked = Context::from_waker(Waker::noop());
        writes.iter_mut().all(|w| w.as_mut().poll(&mut asked).is_pending())
    }

    /// 41 writes that are in the log, the first in a commit of its own, while a sync does not end. The first transaction
    /// ends when many wait, so that its sync is not left to the writing thread.
    fn written_by_many<'a>(writer: &'a Writer, path: &Path) -> Vec<Waiting<'a>> {
        let many_wait = Arc::new(Barrier::new(2));
        let held = many_wait.clone();
        let mut writes: Vec<Waiting<'a>> = vec![Box::pin(writer.write(move |tx| {
            held.wait();
            insert(tx)
        }))];
        writes.extend((0..40).map(|_| Box::pin(writer.write(insert)) as Waiting<'a>));
        assert!(all_wait(&mut writes));
        many_wait.wait();
        let reader = connect(path, 1024, true).unwrap();
        while rows(&reader) < 41 {
            std::thread::yield_now();
        }
        writes
    }

    #[tokio::test]
    async fn a_sync_that_fails_is_told_and_the_log_goes_into_the_database_before_anything_else_is_promised() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.db");
        let results = Mutex::new(vec![Ok(()), Err(io::Error::other("torn off"))]);
        let writer = start(&path, Box::new(move || results.lock().unwrap().pop().unwrap_or(Ok(()))));
        let refused = writer.write(insert).await.unwrap_err();
        assert!(refused.to_string().contains("torn off"), "{refused}");
        let log = || std::fs::metadata(folder.path().join("x.db-wal")).unwrap().len();
        assert!(log() > 0);
        writer.write(|_| Ok(())).await.unwrap();
        assert_eq!(log(), 0, "all of it is in the database");
        assert_eq!(rows(&connect(&path, 1024, true).unwrap()), 1);
    }

    #[tokio::test]
    async fn what_was_written_beside_a_sync_that_fails_is_refused_with_it_and_what_comes_after_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.db");
        let (gate, go) = std_mpsc::channel::<io::Result<()>>();
        let go = Mutex::new(go);
        // Says what the next sync comes to; fine when nobody says.
        let writer = start(&path, Box::new(move || go.lock().unwrap().recv().unwrap_or(Ok(()))));
        let writes = written_by_many(&writer, &path);
        gate.send(Err(io::Error::other("torn off"))).unwrap();
        drop(gate);
        for write in writes {
            write.await.unwrap_err();
        }
        writer.write(insert).await.unwrap();
        assert_eq!(rows(&connect(&path, 1024, true).unwrap()), 42, "what was refused may be there all the same");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn after_a_loss_of_power_everything_that_was_promised_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.db");
        let disk = folder.path().join("disk");
        std::fs::create_dir(&disk).unwrap();
        // What a sync found in the files is what a machine finds that starts again.
        let written = folder.path().to_owned();
        let synced = disk.clone();
        let power = Arc::new(Mutex::new(()));
        let on = power.clone();
        let writer = start(
            &path,
            Box::new(move || {
                let _on = on.lock().unwrap();
                for file in ["x.db", "x.db-wal"] {
                    std::fs::copy(written.join(file), synced.join(file))?;
                }
                Ok(())
            }),
        );
        let producers = (0..40).map(|producer| {
            let (writer, power, disk) = (writer.clone(), power.clone(), disk.clone());
            tokio::spawn(async move {
                for n in 0..10 {
                    let row = producer * 10 + n;
                    let insert = move |tx: &mut Tx<'_>| {
                        tx.conn.execute("INSERT INTO row (n) VALUES (?1)", [row]).map_err(crate::sqlite::failed)
                    };
                    writer.write(insert).await.unwrap();
                    let _off = power.lock().unwrap();
                    let again = Connection::open(disk.join("x.db")).unwrap();
                    let found = again.query_row("SELECT count(*) FROM row WHERE n = ?1", [row], |r| r.get::<_, i64>(0));
                    assert_eq!(found.unwrap(), 1, "row {row}");
                }
            })
        });
        for producer in producers.collect::<Vec<_>>() {
            producer.await.unwrap();
        }
    }

    #[tokio::test]
    async fn many_that_wait_are_written_beside_a_sync_and_answered_after_their_own() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.db");
        let (gate, go) = std_mpsc::channel::<()>();
        let go = Mutex::new(go);
        let writer = start(
            &path,
            Box::new(move || {
                let _ = go.lock().unwrap().recv();
                Ok(())
            }),
        );
        let mut writes = written_by_many(&writer, &path);
        assert!(all_wait(&mut writes), "nothing is on the disk yet");
        drop(gate);
        for write in writes {
            write.await.unwrap();
        }
    }
}
