//! Connections without use, kept by origin for the next request.
//!
//! Bounded in number and in time. Nothing is polled while it lies here, except by the sweep that runs as long as there
//! is anything to sweep.

use super::connection::Connection;
use crate::target::Origin;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::{Duration, Instant},
};

/// How long a connection is used at most: a busy one would otherwise never notice that its name has moved.
const AGE_MAX: Duration = Duration::from_secs(600);

#[derive(Debug)]
pub(crate) struct Pool {
    idle_timeout: Duration,
    per_origin: usize,
    total: usize,
    idle: Mutex<Idle>,
}

#[derive(Debug, Default)]
struct Idle {
    by_origin: HashMap<Arc<Origin>, Vec<(Connection, Instant)>>,
    count: usize,
    sweeping: bool,
}

impl Pool {
    pub(super) fn new(idle_timeout: Duration, per_origin: usize, total: usize) -> Self {
        Self { idle_timeout, per_origin, total, idle: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Idle> {
        // Nothing between lock and unlock leaves the map half changed.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection to this origin that seems to be alive, the one used last first.
    pub(crate) fn take(&self, origin: &Origin) -> Option<Connection> {
        loop {
            let (mut connection, since) = {
                let mut idle = self.lock();
                let found = idle.by_origin.get_mut(origin)?.pop()?;
                idle.count -= 1;
                found
            };
            if since.elapsed() < self.idle_timeout && connection.is_ready() {
                return Some(connection);
            }
        }
    }

    /// Keeps a connection, unless there are enough.
    pub(crate) fn put(self: &Arc<Self>, origin: &Arc<Origin>, connection: Connection) {
        let now = Instant::now();
        if now.duration_since(connection.opened()) > AGE_MAX {
            return;
        }
        let mut idle = self.lock();
        if idle.count >= self.total {
            return;
        }
        let kept = match idle.by_origin.get_mut(origin) {
            Some(kept) => kept,
            None => idle.by_origin.entry(Arc::clone(origin)).or_default(),
        };
        if kept.len() >= self.per_origin {
            return;
        }
        kept.push((connection, now));
        idle.count += 1;
        if !idle.sweeping {
            idle.sweeping = true;
            tokio::spawn(sweep(Arc::downgrade(self), self.idle_timeout / 4));
        }
    }

    /// Drops what is too old or was closed by the peer. False if nothing is left.
    fn sweep(&self) -> bool {
        let mut idle = self.lock();
        for kept in idle.by_origin.values_mut() {
            kept.retain_mut(|(connection, since)| since.elapsed() < self.idle_timeout && connection.is_ready());
        }
        idle.by_origin.retain(|_, kept| !kept.is_empty());
        idle.count = idle.by_origin.values().map(Vec::len).sum();
        idle.sweeping = idle.count > 0;
        idle.sweeping
    }
}

async fn sweep(pool: Weak<Pool>, every: Duration) {
    loop {
        tokio::time::sleep(every).await;
        // The client is gone, or the last connection is: the next one that is kept starts a new sweep.
        if !pool.upgrade().is_some_and(|pool| pool.sweep()) {
            return;
        }
    }
}
