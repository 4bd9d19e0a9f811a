//! This node among the others: its row and heartbeat, what it hears of changes, and whose leases it takes over.
//!
//! A node that was not seen for [`DEAD_AFTER`], by the database's clock, counts as gone: whoever notices first marks its
//! row, and its leases are free. A node that comes back finds its row marked or gone, takes a new number, and throws away
//! what it held. It never sends without a heartbeat that is younger than [`SURE_FOR`], by its own monotonic clock: before
//! others may take its deliveries, it has stopped.

use super::{
    connect::{Address, COMPANY, Conn},
    locks,
    pool::Pool,
    rows,
};
use crate::{
    error::StoreError,
    queue::{Changed, Commit, Leases},
};
use domain::AppKey;
use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicI64, AtomicU16, Ordering},
    },
    time::Duration,
};
use tokio::{
    sync::{Notify, mpsc, watch},
    time::{Instant, sleep, timeout},
};

/// Between two heartbeats.
const BEAT: Duration = Duration::from_secs(2);
/// Between two looks for changes, should no notification come.
const LOOK: Duration = Duration::from_millis(500);
/// How long after its last heartbeat a node may still send.
const SURE_FOR: Duration = Duration::from_secs(8);
/// How long after its last heartbeat others take a node's work: longer than [`SURE_FOR`] by more than clocks and answers
/// may be late.
const DEAD_AFTER: &str = "10 seconds";
/// How long each look may take before its connection counts as lost.
const WITHIN: Duration = Duration::from_secs(3);
/// Between two tries to get a connection.
const PAUSE: Duration = Duration::from_millis(300);
/// Between two looks at what waits in the table that nobody here knows of.
const BACKLOG_EVERY: Duration = Duration::from_secs(30);
/// Leases taken over in one commit.
const STEP: i64 = 2000;
/// Changes read at once; if there are more, everything is forgotten.
const CHANGES: i64 = 1000;

const LOCK: &str = "SELECT pg_advisory_xact_lock($1)";
const FREE_SLOT: &str = "SELECT s FROM generate_series(0, 63) AS s WHERE NOT EXISTS
    (SELECT 1 FROM node WHERE slot = s) ORDER BY (s + $1::integer) % 64 LIMIT 1";
const INSERT: &str = "INSERT INTO node (name, slot, version) VALUES ($1, $2, $3)
    ON CONFLICT DO NOTHING RETURNING id";
const BEAT_ROW: &str = "UPDATE node SET seen_at = now() WHERE id = $1 AND NOT gone";
const TELL: &str = "SELECT pg_notify('schoolbell', $1)";
const LIVE: &str = "SELECT id FROM node WHERE NOT gone";
/// Also one that was seen in the future, before the database's clock stepped back: whoever lives begins anew, and whoever
/// does not must not be waited for until the clock is there again.
const MARK_DEAD: &str = "UPDATE node SET gone = true WHERE id IN (SELECT id FROM node
    WHERE NOT gone AND (seen_at < now() - $1::text::interval OR seen_at > now() + $1::text::interval)
    FOR UPDATE SKIP LOCKED) RETURNING name";
/// Rows of the gone keep their slot for a while: one that was only paused may still hold ids of it.
const FORGET_DEAD: &str = "DELETE FROM node WHERE gone AND seen_at < now() - interval '10 minutes'";
/// Numbers that hold leases without a node that lives: one step in the index for each number.
const ORPHANED: &str = "WITH RECURSIVE held (lease) AS (
        (SELECT lease FROM delivery WHERE state = 1 ORDER BY lease LIMIT 1)
        UNION ALL
        SELECT (SELECT d.lease FROM delivery d WHERE d.state = 1 AND d.lease > h.lease ORDER BY d.lease LIMIT 1)
        FROM held h WHERE h.lease IS NOT NULL)
    SELECT lease FROM held WHERE lease IS NOT NULL
        AND NOT EXISTS (SELECT 1 FROM node WHERE id = lease AND NOT gone)";
const FREE: &str = "WITH d AS (SELECT app, endpoint, message FROM delivery WHERE lease = $1 AND state = 1
        ORDER BY due_at LIMIT $2 FOR UPDATE SKIP LOCKED)
    UPDATE delivery SET state = 0, lease = NULL FROM d
    WHERE delivery.app = d.app AND delivery.endpoint = d.endpoint AND delivery.message = d.message";
const REVISION: &str = "SELECT n FROM revision";
const CHANGED: &str = "SELECT n, app FROM change WHERE n > $1 ORDER BY n LIMIT $2";

/// This node.
pub(super) struct Node {
    name: String,
    /// Keeps its ids apart from those of other nodes.
    pub(super) slot: u8,
    /// The number of its leases, and a way to wait for the next one.
    lease: watch::Sender<i64>,
    /// When the latest heartbeat that arrived was sent.
    beat: Mutex<Instant>,
    /// How many nodes there are, this one included.
    company: AtomicU16,
    /// Whether the engine was told that the leases are in doubt.
    doubted: AtomicBool,
    /// Rung when a look at the table is worth it.
    backlog: Notify,
    /// Rung when the heartbeat should come now.
    now: Notify,
    revision: AtomicI64,
    /// Changes that this node made, and has forgotten its own copies for.
    own_changes: Mutex<BTreeSet<i64>>,
}

impl Node {
    /// Takes a place among the nodes. One of the same name that was here before is over.
    pub(super) async fn register(pool: &Pool, name: &str) -> Result<Self, StoreError> {
        let beat = Instant::now();
        let tx = pool.begin().await?;
        tx.all(LOCK, &[&locks::NODES]).await?;
        tx.execute("DELETE FROM node WHERE name = $1", &[&name]).await?;
        let mut random = [0; 1];
        crate::seal::fill_random(&mut random);
        let slot: i32 = match tx.first(FREE_SLOT, &[&i32::from(random[0])]).await? {
            Some(row) => rows::col(&row, 0)?,
            None => {
                return Err(StoreError::Unavailable(
                    "64 nodes run on this database; there is no place for more".into(),
                ));
            }
        };
        let slot = i16::try_from(slot).unwrap_or_default();
        let id = insert(&tx, name, slot).await?.ok_or_else(|| StoreError::InUse(format!("the node name {name}")))?;
        let revision: i64 = rows::col(&tx.one(REVISION, &[]).await?, 0)?;
        let live = tx.all(LIVE, &[]).await?.len();
        // The others have a smaller share of each rate from now on.
        tx.all(TELL, &[&COMPANY]).await?;
        tx.commit().await?;
        let node = Self {
            name: name.to_owned(),
            slot: u8::try_from(slot).unwrap_or_default(),
            lease: watch::Sender::new(id),
            beat: Mutex::new(beat),
            company: AtomicU16::new(count(live)),
            doubted: AtomicBool::new(false),
            backlog: Notify::new(),
            now: Notify::new(),
            revision: AtomicI64::new(revision),
            own_changes: Mutex::default(),
        };
        take_over(pool).await?;
        Ok(node)
    }

    /// The number of its leases.
    pub(super) fn lease(&self) -> i64 {
        *self.lease.borrow()
    }

    /// How many nodes there are, this one included.
    pub(super) fn company(&self) -> u16 {
        self.company.load(Ordering::Relaxed)
    }

    /// Whether it may send: nobody else can have its deliveries.
    pub(super) fn is_sure(&self) -> bool {
        let sure = self.beat.lock().unwrap_or_else(PoisonError::into_inner).elapsed() < SURE_FOR;
        if !sure {
            self.doubted.store(true, Ordering::Relaxed);
        }
        sure
    }

    /// A change that need not come back to whoever made it. Should it come before this is called, nothing is lost.
    pub(super) fn changed_here(&self, n: i64) {
        self.own_changes.lock().unwrap_or_else(PoisonError::into_inner).insert(n);
    }

    /// Looks at the table soon.
    pub(super) fn look_at_backlog(&self) {
        self.backlog.notify_one();
    }

    /// Waits for a new lease number, but not for ever.
    pub(super) async fn renewed(&self) {
        let mut lease = self.lease.subscribe();
        self.now.notify_one();
        // Whoever waited in vain finds out when it tries again.
        let _ = timeout(WITHIN, lease.changed()).await;
    }

    /// Gives up its place, after its leases were given back.
    pub(super) async fn leave(&self, pool: &Pool) -> Result<(), StoreError> {
        let id = self.lease();
        pool.execute("DELETE FROM node WHERE id = $1", &[&id]).await?;
        free(pool, id).await?;
        pool.read(TELL, &[&COMPANY]).await.map(|_| ())
    }

    /// Beats and listens until it is aborted.
    pub(super) async fn live(self: Arc<Self>, address: Address, pool: Pool, commits: mpsc::UnboundedSender<Commit>) {
        let mut watcher =
            Watcher { node: self, pool, commits, others: BTreeSet::new(), looked_at_backlog: Instant::now() };
        let mut next_beat = Instant::now();
        loop {
            match watcher.session(&address, &mut next_beat).await {
                Err(error) => tracing::warn!(%error, "lost sight of the other nodes; trying again"),
                Ok(()) => return,
            }
            sleep(PAUSE).await;
        }
    }
}

/// As many as there are rows, but never none.
fn count(live: usize) -> u16 {
    u16::try_from(live).unwrap_or(u16::MAX).max(1)
}

async fn insert(conn: &Conn, name: &str, slot: i16) -> Result<Option<i64>, StoreError> {
    let row = conn.first(INSERT, &[&name, &slot, &env!("CARGO_PKG_VERSION")]).await?;
    row.map(|row| rows::col(&row, 0)).transpose()
}

/// Frees the leases of a number; says how many there were.
async fn free(pool: &Pool, lease: i64) -> Result<u64, StoreError> {
    let mut freed = 0;
    loop {
        match pool.execute(FREE, &[&lease, &STEP]).await? {
            0 => return Ok(freed),
            n => freed += n,
        }
    }
}

/// Frees all leases without a node that lives.
async fn take_over(pool: &Pool) -> Result<u64, StoreError> {
    let mut freed = 0;
    for row in pool.read(ORPHANED, &[]).await? {
        freed += free(pool, rows::col(&row, 0)?).await?;
    }
    Ok(freed)
}

struct Watcher {
    node: Arc<Node>,
    pool: Pool,
    commits: mpsc::UnboundedSender<Commit>,
    /// Nodes that lived at the last look.
    others: BTreeSet<i64>,
    looked_at_backlog: Instant,
}

impl Watcher {
    /// One connection's life. Ends well only when nobody hears it any more.
    async fn session(&mut self, address: &Address, next_beat: &mut Instant) -> Result<(), StoreError> {
        let conn = address.connect().await?;
        conn.batch("LISTEN schoolbell").await?;
        // A node that could not look was perhaps taken for dead; it must not judge others before it was heard again.
        let mut heard_before = false;
        loop {
            if self.commits.is_closed() {
                return Ok(());
            }
            in_time(self.look_for_changes(&conn)).await?;
            if Instant::now() >= *next_beat {
                *next_beat = Instant::now() + BEAT;
                in_time(self.beat(&conn)).await?;
                in_time(self.look_after_others(&conn, heard_before)).await?;
                heard_before = true;
                if self.looked_at_backlog.elapsed() > BACKLOG_EVERY {
                    self.node.look_at_backlog();
                }
            }
            tokio::select! {
                () = conn.rung.notified() => if conn.is_closed() {
                    return Err(StoreError::Unavailable("the connection was cut".into()));
                },
                () = self.node.now.notified() => *next_beat = Instant::now(),
                () = conn.company.notified() => {
                    self.tell_backlog();
                    *next_beat = Instant::now();
                }
                () = self.node.backlog.notified() => self.tell_backlog(),
                () = sleep(LOOK) => {}
            }
        }
    }

    async fn beat(&mut self, conn: &Conn) -> Result<(), StoreError> {
        let sent = Instant::now();
        if conn.execute(BEAT_ROW, &[&self.node.lease()]).await? == 1 {
            *self.node.beat.lock().unwrap_or_else(PoisonError::into_inner) = sent;
            if self.node.doubted.swap(false, Ordering::Relaxed) {
                self.tell(Leases::Kept);
            }
            return Ok(());
        }
        // Its own row, marked by somebody else, makes place; that of another process under the same name does not.
        conn.execute("DELETE FROM node WHERE name = $1 AND gone", &[&self.node.name]).await?;
        match insert(conn, &self.node.name, i16::from(self.node.slot)).await? {
            Some(id) => {
                tracing::warn!(
                    "others took this node for dead; it begins anew, and what it held goes to whoever is first"
                );
                *self.node.beat.lock().unwrap_or_else(PoisonError::into_inner) = sent;
                self.node.doubted.store(false, Ordering::Relaxed);
                self.node.lease.send_replace(id);
                self.tell(Leases::Lost);
                self.node.look_at_backlog();
                Ok(())
            }
            None => Err(StoreError::Unavailable(format!(
                "another process took the place of this node: is the node name '{}' used twice?",
                self.node.name
            ))),
        }
    }

    fn tell(&self, leases: Leases) {
        // Nobody listens only while the server stops.
        let _ = self.commits.send(Commit { leases: Some(leases), ..Commit::default() });
    }

    /// Marks the dead, frees what they held, and looks at the table when somebody is gone.
    async fn look_after_others(&mut self, conn: &Conn, may_judge: bool) -> Result<(), StoreError> {
        if may_judge {
            for row in conn.all(MARK_DEAD, &[&DEAD_AFTER]).await? {
                let node: &str = rows::col(&row, 0)?;
                tracing::warn!(node, "a node was not seen for 10 seconds; others take its work");
            }
        }
        let freed = take_over(&self.pool).await?;
        if freed > 0 {
            tracing::info!(deliveries = freed, "took over deliveries of nodes that are gone");
        }
        conn.execute(FORGET_DEAD, &[]).await?;
        let live: BTreeSet<i64> =
            conn.all(LIVE, &[]).await?.iter().map(|row| rows::col(row, 0)).collect::<Result<_, _>>()?;
        if freed > 0 || !self.others.is_subset(&live) {
            self.node.look_at_backlog();
        }
        self.node.company.store(count(live.len()), Ordering::Relaxed);
        self.others = live;
        Ok(())
    }

    /// Hands on what waits in the table: what a node that is gone knew of, nobody else does. Beside the heartbeat, which
    /// must not wait for a long list.
    fn tell_backlog(&mut self) {
        self.looked_at_backlog = Instant::now();
        let (pool, commits) = (self.pool.clone(), self.commits.clone());
        tokio::spawn(async move {
            match super::claim::endpoints_with_backlog(&pool).await {
                Ok(due) if due.is_empty() => {}
                // Nobody listens only while the server stops.
                Ok(due) => drop(commits.send(Commit { due, ..Commit::default() })),
                Err(error) => tracing::warn!(%error, "failed to look for what waits; it is looked for again"),
            }
        });
    }

    /// What changed elsewhere is forgotten here.
    async fn look_for_changes(&mut self, conn: &Conn) -> Result<(), StoreError> {
        let seen = self.node.revision.load(Ordering::Relaxed);
        let now: i64 = rows::col(&conn.one(REVISION, &[]).await?, 0)?;
        if now == seen {
            return Ok(());
        }
        let found = conn.all(CHANGED, &[&seen, &CHANGES]).await?;
        let own = std::mem::take(&mut *self.node.own_changes.lock().unwrap_or_else(PoisonError::into_inner));
        let mut changed: Vec<Changed> = Vec::with_capacity(found.len());
        for row in &found {
            if !own.contains(&rows::col(row, 0)?) {
                changed.push(match rows::col(row, 1)? {
                    None => Changed::Everything,
                    Some(0) => Changed::EventTypes,
                    Some(app) => Changed::Application(AppKey(app)),
                });
            }
        }
        let last = found.last().map_or(Ok(now), |row| rows::col(row, 0))?;
        if last - seen != found.len() as i64 || last < now {
            // More than fits, or some are no longer kept.
            changed = vec![Changed::Everything];
        }
        changed.sort_unstable();
        changed.dedup();
        let seen = last.max(now);
        self.node.revision.store(seen, Ordering::Relaxed);
        let later = own.into_iter().filter(|n| *n > seen);
        self.node.own_changes.lock().unwrap_or_else(PoisonError::into_inner).extend(later);
        if changed.is_empty() {
            return Ok(());
        }
        // Nobody listens only while the server stops.
        let _ = self.commits.send(Commit { changed, ..Commit::default() });
        Ok(())
    }
}

async fn in_time<T>(look: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    timeout(WITHIN, look).await.unwrap_or_else(|_| Err(super::silent()))
}
