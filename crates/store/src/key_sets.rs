//! The keys that sign bodies: read at every signed delivery that finds none in memory, changed once a month.

use crate::error::StoreError;
use async_trait::async_trait;
use domain::{AppKey, ApplicationId, KeySet, Timestamp};

/// Key sets of applications. Deleting an application removes its set at once.
#[async_trait]
pub trait KeySets: Send + Sync {
    /// An application's keys; none if it never asked for them, or is deleted.
    async fn key_set(&self, app: AppKey) -> Result<Option<KeySet>, StoreError>;
    /// The same by the application's public id, in whatever organization it is: public halves are for everybody.
    async fn key_set_of(&self, app: ApplicationId) -> Result<Option<KeySet>, StoreError>;
    /// Stores a set: a new one has revision 0, a changed one the revision that it saw; [`StoreError::Changed`] if another
    /// one is there by now. The stored set has the next revision.
    async fn save_key_set(&self, set: KeySet) -> Result<KeySet, StoreError>;
    /// Up to `limit` applications, not deleted, whose current key began to sign at or before `at`, the oldest first.
    async fn key_sets_rotated_before(&self, at: Timestamp, limit: usize) -> Result<Vec<AppKey>, StoreError>;
}
