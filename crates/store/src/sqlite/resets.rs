//! Links to a new password.

use super::{
    Sqlite, failed,
    rows::{col, execute, first, ksuid},
    sessions,
};
use crate::{
    error::StoreError,
    people::KeyHash,
    resets::{Reset, Resets},
};
use async_trait::async_trait;
use domain::{Timestamp, UserId};
use rusqlite::{Connection, params};

const BY_HASH: &str = "SELECT person, expires_at FROM password_reset WHERE hash = ?1 AND expires_at > ?2";
const KEEP: &str = "INSERT INTO password_reset (person, hash, expires_at) SELECT id, ?2, ?3 FROM person WHERE id = ?1
    ON CONFLICT (person) DO UPDATE SET hash = ?2, expires_at = ?3";
pub(super) const REMOVE: &str = "DELETE FROM password_reset WHERE person = ?1";
pub(super) const CLEAR: &str =
    "DELETE FROM password_reset WHERE person IN (SELECT person FROM password_reset WHERE expires_at <= ?1 LIMIT ?2)";

fn one(conn: &Connection, hash: &KeyHash, now: Timestamp) -> Result<Option<Reset>, StoreError> {
    first(conn, BY_HASH, params![hash, now.as_micros()], |row| {
        Ok(Reset { user: UserId(ksuid(col(row, 0)?)), expires_at: Timestamp::from_micros(col(row, 1)?) })
    })
}

#[async_trait]
impl Resets for Sqlite {
    async fn create_reset(&self, hash: KeyHash, new: Reset) -> Result<(), StoreError> {
        self.write(move |tx| {
            let kept = params![&new.user.0.0[..], hash, new.expires_at.as_micros()];
            match execute(tx.conn, KEEP, kept).map_err(failed)? {
                0 => Err(StoreError::NotFound),
                _ => Ok(()),
            }
        })
        .await
    }

    async fn reset(&self, hash: KeyHash, now: Timestamp) -> Result<Option<Reset>, StoreError> {
        self.read(move |conn| one(conn, &hash, now)).await
    }

    async fn use_reset(&self, hash: KeyHash, now: Timestamp, password: String) -> Result<Option<UserId>, StoreError> {
        self.write(move |tx| {
            let Some(Reset { user, .. }) = one(tx.conn, &hash, now)? else { return Ok(None) };
            let person = &user.0.0[..];
            execute(tx.conn, REMOVE, [person]).map_err(failed)?;
            execute(tx.conn, "UPDATE person SET password = ?2 WHERE id = ?1", params![person, password])
                .map_err(failed)?;
            sessions::end_of(tx.conn, user, None)?;
            Ok(Some(user))
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::{super::rows::assert_indexed, *};

    #[test]
    fn resets_are_found_by_index() {
        for sql in [BY_HASH, REMOVE, CLEAR] {
            assert_indexed(sql);
        }
    }
}
