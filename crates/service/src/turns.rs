//! Changes take turns: each reads a thing, changes it and saves it, and has to begin again if another was quicker. Here, on
//! one node, they wait for each other instead; between nodes the store tells who came too late.

use domain::AppKey;
use tokio::sync::{Mutex, MutexGuard};

/// Changes of so many applications go on at the same time, unless two of them happen to share a turn.
const TURNS: usize = 64;

/// A turn for each application, shared by some.
pub(crate) struct Turns([Mutex<()>; TURNS]);

impl Turns {
    pub(crate) fn new() -> Self {
        Self(std::array::from_fn(|_| Mutex::new(())))
    }
    /// Waits for the changes before. One turn at a time: whoever has one must not ask for another.
    pub(crate) async fn of(&self, app: AppKey) -> MutexGuard<'_, ()> {
        self.0[app.0.unsigned_abs() as usize % TURNS].lock().await
    }
}
