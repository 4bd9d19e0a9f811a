//! Key sets: one row for each application, each key sealed in its place.

use super::{Sqlite, failed};
use crate::{
    encode::{open_key as opened, sealed_key as sealed},
    error::StoreError,
    key_sets::KeySets,
    seal::Sealer,
};
use async_trait::async_trait;
use domain::{AppKey, ApplicationId, KeySet, Timestamp};
use rusqlite::{Connection, OptionalExtension as _, Params, Row, params};
use std::sync::Arc;

const SELECT: &str = "SELECT k.app, k.previous, k.current, k.next, k.rotated_at, k.revision
    FROM key_set k JOIN app a ON a.key = k.app AND a.deleted_at IS NULL";

const OLDEST: &str = "SELECT k.app FROM key_set k JOIN app a ON a.key = k.app AND a.deleted_at IS NULL
    WHERE k.rotated_at <= ?1 ORDER BY k.rotated_at LIMIT ?2";

/// A row as it is.
struct Sealed {
    app: AppKey,
    previous: Option<Vec<u8>>,
    current: Vec<u8>,
    next: Vec<u8>,
    rotated_at: i64,
    revision: i64,
}

fn row(row: &Row<'_>) -> rusqlite::Result<Sealed> {
    Ok(Sealed {
        app: AppKey(row.get(0)?),
        previous: row.get(1)?,
        current: row.get(2)?,
        next: row.get(3)?,
        rotated_at: row.get(4)?,
        revision: row.get(5)?,
    })
}

fn one(conn: &Connection, sealer: &Sealer, condition: &str, params: impl Params) -> Result<Option<KeySet>, StoreError> {
    let found = conn
        .prepare_cached(&format!("{SELECT} WHERE {condition}"))
        .and_then(|mut s| s.query_row(params, row).optional())
        .map_err(failed)?;
    let Some(found) = found else { return Ok(None) };
    let open = |column, sealed: &[u8]| opened(sealer, found.app, column, sealed);
    Ok(Some(KeySet {
        app: found.app,
        previous: found.previous.as_deref().map(|sealed| open("previous", sealed)).transpose()?,
        current: open("current", &found.current)?,
        next: open("next", &found.next)?,
        rotated_at: Timestamp::from_micros(found.rotated_at),
        revision: found.revision,
    }))
}

#[async_trait]
impl KeySets for Sqlite {
    async fn key_set(&self, app: AppKey) -> Result<Option<KeySet>, StoreError> {
        let sealer = self.sealer.clone();
        self.read(move |conn| one(conn, &sealer, "k.app = ?1", [app.0])).await
    }

    async fn key_set_of(&self, app: ApplicationId) -> Result<Option<KeySet>, StoreError> {
        let sealer = self.sealer.clone();
        self.read(move |conn| one(conn, &sealer, "a.id = ?1", [app.0.0])).await
    }

    async fn save_key_set(&self, set: KeySet) -> Result<KeySet, StoreError> {
        let sealer: Arc<Sealer> = self.sealer.clone();
        self.write(move |tx| {
            let previous = set.previous.as_ref().map(|key| sealed(&sealer, set.app, key));
            let (current, next) = (sealed(&sealer, set.app, &set.current), sealed(&sealer, set.app, &set.next));
            let rotated_at = set.rotated_at.as_micros();
            // A set that is there already, or that moved on, is left alone.
            let changed = if set.revision == 0 {
                tx.conn
                    .prepare_cached(
                        "INSERT INTO key_set (app, previous, current, next, rotated_at, revision)
                         VALUES (?1, ?2, ?3, ?4, ?5, 1) ON CONFLICT (app) DO NOTHING",
                    )
                    .and_then(|mut s| s.execute(params![set.app.0, previous, current, next, rotated_at]))
            } else {
                tx.conn
                    .prepare_cached(
                        "UPDATE key_set SET previous = ?2, current = ?3, next = ?4, rotated_at = ?5,
                         revision = revision + 1 WHERE app = ?1 AND revision = ?6",
                    )
                    .and_then(|mut s| s.execute(params![set.app.0, previous, current, next, rotated_at, set.revision]))
            };
            match changed.map_err(failed)? {
                0 => Err(StoreError::Changed),
                _ => Ok(KeySet { revision: set.revision + 1, ..set }),
            }
        })
        .await
    }

    async fn key_sets_rotated_before(&self, at: Timestamp, limit: usize) -> Result<Vec<AppKey>, StoreError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.read(move |conn| {
            let mut found = conn.prepare_cached(OLDEST).map_err(failed)?;
            let keys = found.query_map(params![at.as_micros(), limit], |r| r.get(0).map(AppKey)).map_err(failed)?;
            keys.collect::<Result<_, _>>().map_err(failed)
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::super::rows::assert_indexed;

    #[test]
    fn key_sets_are_found_by_index() {
        for condition in ["k.app = ?1", "a.id = ?1"] {
            assert_indexed(&format!("{} WHERE {condition}", super::SELECT));
        }
        assert_indexed(super::OLDEST);
    }
}
