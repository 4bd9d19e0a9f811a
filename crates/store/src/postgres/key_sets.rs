//! Key sets: one row for each application, each key sealed in its place.

use super::{Postgres, rows};
use crate::{
    encode::{open_key, sealed_key},
    error::StoreError,
    key_sets::KeySets,
    queue::Changed,
    seal::Sealer,
};
use async_trait::async_trait;
use domain::{AppKey, ApplicationId, KeySet, Timestamp};
use tokio_postgres::Row;

macro_rules! select {
    ($condition:literal) => {
        concat!(
            "SELECT k.app, k.previous, k.current, k.next, k.rotated_at, k.revision
             FROM key_set k JOIN app a ON a.key = k.app AND a.deleted_at IS NULL WHERE ",
            $condition
        )
    };
}

const BY_APP: &str = select!("k.app = $1");
const BY_ID: &str = select!("a.id = $1");
/// A set that is there already, or that moved on, is left alone.
const INSERT: &str = "INSERT INTO key_set (app, previous, current, next, rotated_at, revision)
    VALUES ($1, $2, $3, $4, $5, $6::bigint + 1) ON CONFLICT (app) DO NOTHING";
const UPDATE: &str = "UPDATE key_set SET previous = $2, current = $3, next = $4, rotated_at = $5,
    revision = revision + 1 WHERE app = $1 AND revision = $6";
const ROTATED_BEFORE: &str = "SELECT k.app FROM key_set k JOIN app a ON a.key = k.app AND a.deleted_at IS NULL
    WHERE k.rotated_at <= $1 ORDER BY k.rotated_at LIMIT $2";

fn key_set(row: &Row, sealer: &Sealer) -> Result<KeySet, StoreError> {
    let app = AppKey(rows::col(row, 0)?);
    let previous: Option<&[u8]> = rows::col(row, 1)?;
    Ok(KeySet {
        app,
        previous: previous.map(|sealed| open_key(sealer, app, "previous", sealed)).transpose()?,
        current: open_key(sealer, app, "current", rows::col(row, 2)?)?,
        next: open_key(sealer, app, "next", rows::col(row, 3)?)?,
        rotated_at: Timestamp::from_micros(rows::col(row, 4)?),
        revision: rows::col(row, 5)?,
    })
}

#[async_trait]
impl KeySets for Postgres {
    async fn key_set(&self, app: AppKey) -> Result<Option<KeySet>, StoreError> {
        let found = self.pool.read_first(BY_APP, &[&app.0]).await?;
        found.map(|row| key_set(&row, &self.sealer)).transpose()
    }

    async fn key_set_of(&self, app: ApplicationId) -> Result<Option<KeySet>, StoreError> {
        let found = self.pool.read_first(BY_ID, &[&&app.0.0[..]]).await?;
        found.map(|row| key_set(&row, &self.sealer)).transpose()
    }

    async fn save_key_set(&self, set: KeySet) -> Result<KeySet, StoreError> {
        let sealed = |key| sealed_key(&self.sealer, set.app, key);
        let previous = set.previous.as_ref().map(sealed);
        let (current, next) = (sealed(&set.current), sealed(&set.next));
        let sql = if set.revision == 0 { INSERT } else { UPDATE };
        let tx = self.pool.begin().await?;
        let values: [&(dyn tokio_postgres::types::ToSql + Sync); 6] =
            [&set.app.0, &previous, &current, &next, &set.rotated_at.as_micros(), &set.revision];
        if tx.execute(sql, &values).await? == 0 {
            return Err(StoreError::Changed);
        }
        self.commit_change(tx, Changed::Application(set.app)).await?;
        Ok(KeySet { revision: set.revision + 1, ..set })
    }

    async fn key_sets_rotated_before(&self, at: Timestamp, limit: usize) -> Result<Vec<AppKey>, StoreError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let found = self.pool.read(ROTATED_BEFORE, &[&at.as_micros(), &limit]).await?;
        found.iter().map(|row| rows::col(row, 0).map(AppKey)).collect()
    }
}
