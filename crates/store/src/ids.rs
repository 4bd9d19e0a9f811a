//! The one source of new ids in a process: greater than all that are stored, with the instant that belongs to each.

use crate::{Queue, error::StoreError, seal::fill_random};
use domain::{Clock, IdGenerator, Ksuid, Timestamp};
use std::sync::{Arc, Mutex, PoisonError};

/// Hands out ids.
pub struct Ids {
    clock: Arc<dyn Clock>,
    generating: Mutex<Generating>,
}

struct Generating {
    generator: IdGenerator,
    random: Ahead,
}

/// Random bytes fetched ahead: many small requests cost far more than a large one. For ids, which are no secrets.
struct Ahead {
    bytes: [u8; 960],
    used: usize,
}

impl Ahead {
    fn fill(&mut self, buffer: &mut [u8]) {
        if self.used + buffer.len() > self.bytes.len() {
            fill_random(&mut self.bytes);
            self.used = 0;
        }
        match self.bytes.get(self.used..self.used + buffer.len()) {
            Some(next) => buffer.copy_from_slice(next),
            // More than all of them.
            None => fill_random(buffer),
        }
        self.used += buffer.len();
    }
}

impl Ids {
    /// Goes on after the greatest id in the store.
    pub async fn after(store: &(impl Queue + ?Sized), clock: Arc<dyn Clock>) -> Result<Self, StoreError> {
        let last = store.last_id().await?;
        let generator = match store.id_slot() {
            Some(slot) => IdGenerator::after(last).of_node(slot),
            None => IdGenerator::after(last),
        };
        let random = Ahead { bytes: [0; 960], used: 960 };
        Ok(Self { clock, generating: Mutex::new(Generating { generator, random }) })
    }
    /// A new id, and its instant: now, or never earlier than that of the id before.
    pub fn next(&self) -> (Ksuid, Timestamp) {
        let now = self.clock.now();
        let mut generating = self.generating.lock().unwrap_or_else(PoisonError::into_inner);
        let Generating { generator, random } = &mut *generating;
        generator.next(now, &mut |buffer: &mut [u8]| random.fill(buffer))
    }
    /// What time it is for lists: now, or the instant of the latest id if the clock stepped back behind it.
    pub fn latest(&self) -> Timestamp {
        let generating = self.generating.lock().unwrap_or_else(PoisonError::into_inner);
        generating.generator.latest().max(self.clock.now())
    }
    /// What time it is.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }
}
