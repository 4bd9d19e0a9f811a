//! Links to a new password.

use super::{Postgres, rows};
use crate::{
    error::StoreError,
    people::KeyHash,
    resets::{Reset, Resets},
};
use async_trait::async_trait;
use domain::{Timestamp, UserId};

const BY_HASH: &str = "SELECT person, expires_at FROM password_reset WHERE hash = $1 AND expires_at > $2";
const KEEP: &str = "INSERT INTO password_reset (person, hash, expires_at) SELECT id, $2, $3 FROM person WHERE id = $1
    ON CONFLICT (person) DO UPDATE SET hash = excluded.hash, expires_at = excluded.expires_at";
/// Whoever removes it has it to themselves: of two who come with the same link, one finds nothing.
const TAKE: &str = "DELETE FROM password_reset WHERE hash = $1 AND expires_at > $2 RETURNING person";
const SET: &str = "UPDATE person SET password = $2 WHERE id = $1";
const END_SESSIONS: &str = "DELETE FROM session WHERE person = $1 AND person IS NOT NULL";
pub(super) const REMOVE: &str = "DELETE FROM password_reset WHERE person = $1";
pub(super) const CLEAR: &str =
    "DELETE FROM password_reset WHERE person IN (SELECT person FROM password_reset WHERE expires_at <= $1 LIMIT $2)";

#[async_trait]
impl Resets for Postgres {
    async fn create_reset(&self, hash: KeyHash, new: Reset) -> Result<(), StoreError> {
        match self.pool.execute(KEEP, &[&&new.user.0.0[..], &&hash[..], &new.expires_at.as_micros()]).await? {
            0 => Err(StoreError::NotFound),
            _ => Ok(()),
        }
    }

    async fn reset(&self, hash: KeyHash, now: Timestamp) -> Result<Option<Reset>, StoreError> {
        let Some(row) = self.pool.read_first(BY_HASH, &[&&hash[..], &now.as_micros()]).await? else { return Ok(None) };
        let user = UserId(rows::ksuid(&row, 0, "password_reset")?);
        Ok(Some(Reset { user, expires_at: Timestamp::from_micros(rows::col(&row, 1)?) }))
    }

    async fn use_reset(&self, hash: KeyHash, now: Timestamp, password: String) -> Result<Option<UserId>, StoreError> {
        let tx = self.pool.begin().await?;
        let taken = tx.all(TAKE, &[&&hash[..], &now.as_micros()]).await?;
        let Some(row) = taken.first() else { return Ok(None) };
        let user = UserId(rows::ksuid(row, 0, "password_reset")?);
        tx.execute(SET, &[&&user.0.0[..], &rows::text(&password)]).await?;
        tx.execute(END_SESSIONS, &[&&user.0.0[..]]).await?;
        tx.commit().await?;
        Ok(Some(user))
    }
}
