//! New passwords for people who forgot theirs: links that work once, as hashes.

use crate::{error::StoreError, people::KeyHash};
use async_trait::async_trait;
use domain::{Timestamp, UserId};

/// Somebody may choose a new password.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reset {
    /// Who.
    pub user: UserId,
    /// When its link ends.
    pub expires_at: Timestamp,
}

/// Links to a new password. A user has one at most; it goes with the user.
#[async_trait]
pub trait Resets: Send + Sync {
    /// Stores one under the hash of its link; an earlier one of the same user is worth nothing any more.
    /// [`StoreError::NotFound`] if there is no such user.
    async fn create_reset(&self, hash: KeyHash, new: Reset) -> Result<(), StoreError>;
    /// That of a link that has not ended at `now`.
    async fn reset(&self, hash: KeyHash, now: Timestamp) -> Result<Option<Reset>, StoreError>;
    /// Uses one up: sets the password (a hash) and ends all sessions of its user, all or nothing. `Ok(None)` if it is not
    /// there any more.
    async fn use_reset(&self, hash: KeyHash, now: Timestamp, password: String) -> Result<Option<UserId>, StoreError>;
}
