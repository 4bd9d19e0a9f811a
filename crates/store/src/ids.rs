//! The one source of new ids in a process: greater than all that are stored, with the instant that belongs to each.

use crate::{Queue, error::StoreError, seal::fill_random};
use domain::{Clock, IdGenerator, Ksuid, Timestamp};
use std::sync::{Arc, Mutex, PoisonError};

/// Hands out ids.
pub struct Ids {
    clock: Arc<dyn Clock>,
    generator: Mutex<IdGenerator>,
}

impl Ids {
    /// Goes on after the greatest id in the store.
    pub async fn after(store: &(impl Queue + ?Sized), clock: Arc<dyn Clock>) -> Result<Self, StoreError> {
        let last = store.last_id().await?;
        let generator = match store.id_slot() {
            Some(slot) => IdGenerator::after(last).of_node(slot),
            None => IdGenerator::after(last),
        };
        Ok(Self { clock, generator: Mutex::new(generator) })
    }
    /// A new id, and its instant: now, or never earlier than that of the id before.
    pub fn next(&self) -> (Ksuid, Timestamp) {
        let now = self.clock.now();
        self.generator.lock().unwrap_or_else(PoisonError::into_inner).next(now, &mut fill_random)
    }
    /// What time it is for lists: now, or the instant of the latest id if the clock stepped back behind it.
    pub fn latest(&self) -> Timestamp {
        self.generator.lock().unwrap_or_else(PoisonError::into_inner).latest().max(self.clock.now())
    }
    /// What time it is.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }
}
