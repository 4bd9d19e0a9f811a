//! Endpoints. What could let somebody in (secrets, headers, the user info of an address) is sealed before it is bound
//! to a statement and opened after it was read.

use super::{Postgres, applications::is_alive, given_up, rows};
use crate::{
    encode::{
        disabled_text, join_user_info, open, place, read_disabled, read_secrets, sealed_headers, sealed_secrets,
        split_user_info,
    },
    error::StoreError,
    pages::Way,
    queue::Changed,
    seal::Sealer,
};
use domain::{AppKey, Endpoint, EndpointId, EndpointKey, Header, IdOrUid, Ksuid, PageOf, PageQuery, Timestamp, Uid};
use rows::{from_json, to_json};
use tokio_postgres::Row;

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT e.key, e.app, e.id, e.uid, e.url, e.user_info, e.description, e.disabled, e.event_types, e.channels,
             e.throttle_rate, e.version, e.metadata, e.headers, e.secrets, e.options, e.failing_since, e.created_at,
             e.updated_at, e.revision
             FROM endpoint e WHERE e.app = $1 AND ",
            $rest
        )
    };
}
macro_rules! select_alive {
    ($rest:literal) => {
        concat!(
            select!("e.deleted_at IS NULL AND EXISTS (SELECT 1 FROM app a WHERE a.key = $1 AND a.deleted_at IS NULL)"),
            " AND ",
            $rest
        )
    };
}

const BY_KEYS: &str = select!("e.key = ANY ($2::bigint[])");
const BY_ID: &str = select_alive!("e.id = $2");
const BY_UID: &str = select_alive!("e.uid = $2 AND e.uid IS NOT NULL");
const ALL: &str = select_alive!("true ORDER BY e.id");
const ASCENDING: &str = select_alive!("e.id > $2 ORDER BY e.id LIMIT $3");
const DESCENDING: &str = select_alive!("e.id < $2 ORDER BY e.id DESC LIMIT $3");
const INSERT: &str = "INSERT INTO endpoint (app, id, uid, url, user_info, description, disabled, event_types, channels,
    throttle_rate, version, metadata, headers, secrets, options, failing_since, created_at, updated_at, revision)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19) RETURNING key";
const UPDATE: &str = "UPDATE endpoint SET uid = $4, url = $5, user_info = $6, description = $7, disabled = $8,
    event_types = $9, channels = $10, throttle_rate = $11, version = $12, metadata = $13, headers = $14, secrets = $15,
    options = $16, failing_since = $17, updated_at = $18, revision = revision + 1
    WHERE app = $1 AND key = $2 AND revision = $3 AND deleted_at IS NULL";
const IS_THERE: &str = "SELECT 1 FROM endpoint WHERE app = $1 AND key = $2 AND deleted_at IS NULL";
const DELETE: &str = "UPDATE endpoint SET deleted_at = $3, revision = revision + 1
    WHERE app = $1 AND key = $2 AND deleted_at IS NULL";

impl Postgres {
    /// Endpoints by their keys, deleted or not.
    pub(super) async fn endpoints_by_key(&self, app: AppKey, keys: &[i64]) -> Result<Vec<Endpoint>, StoreError> {
        self.read_endpoints(&self.pool.read(BY_KEYS, &[&app.0, &keys]).await?)
    }

    fn read_endpoints(&self, found: &[Row]) -> Result<Vec<Endpoint>, StoreError> {
        found.iter().map(|row| endpoint(row, &self.sealer)).collect()
    }

    pub(super) async fn one_endpoint(
        &self,
        app: AppKey,
        which: &IdOrUid<EndpointId>,
    ) -> Result<Option<Endpoint>, StoreError> {
        let row = match which {
            IdOrUid::Id(id) => self.pool.read_first(BY_ID, &[&app.0, &&id.0.0[..]]).await?,
            IdOrUid::Uid(uid) => self.pool.read_first(BY_UID, &[&app.0, &rows::text(uid)]).await?,
        };
        row.map(|row| endpoint(&row, &self.sealer)).transpose()
    }

    pub(super) async fn all_endpoints(&self, app: AppKey) -> Result<Vec<Endpoint>, StoreError> {
        self.read_endpoints(&self.pool.read(ALL, &[&app.0]).await?)
    }

    pub(super) async fn page_of_endpoints(
        &self,
        app: AppKey,
        page: PageQuery<Ksuid>,
    ) -> Result<PageOf<Endpoint>, StoreError> {
        let way = Way::by_id(page);
        let sql = if way.ascending { ASCENDING } else { DESCENDING };
        let found = self.pool.read(sql, &[&app.0, &way.bound, &way.rows()]).await?;
        Ok(way.cut(self.read_endpoints(&found)?))
    }

    pub(super) async fn insert_endpoint(&self, mut new: Endpoint) -> Result<Endpoint, StoreError> {
        let tx = self.pool.begin().await?;
        if !is_alive(&tx, new.app).await? {
            return Err(StoreError::NotFound);
        }
        let (url, user_info) = split_user_info(&new.url);
        let row = tx
            .one(
                INSERT,
                &[
                    &new.app.0,
                    &&new.id.0.0[..],
                    &new.uid.as_ref().map(Uid::as_str),
                    &rows::text(&url),
                    &user_info.map(|u| self.sealer.seal(u.as_bytes(), &place("user_info", new.id))),
                    &rows::text(&new.description),
                    &new.disabled.map(disabled_text),
                    &new.event_types.as_ref().map(to_json),
                    &new.channels.as_ref().map(to_json),
                    &new.throttle_rate.map(i64::from),
                    &i64::from(new.version),
                    &to_json(&new.metadata),
                    &sealed_headers(&self.sealer, &new),
                    &sealed_secrets(&self.sealer, &new),
                    &to_json(&new.options),
                    &new.failing_since.map(Timestamp::as_micros),
                    &new.created_at.as_micros(),
                    &new.updated_at.as_micros(),
                    &new.revision,
                ],
            )
            .await?;
        self.commit_change(tx, Changed::Application(new.app)).await?;
        new.key = EndpointKey(rows::col(&row, 0)?);
        Ok(new)
    }

    pub(super) async fn update_endpoint(&self, mut new: Endpoint) -> Result<Endpoint, StoreError> {
        let tx = self.pool.begin().await?;
        if !is_alive(&tx, new.app).await? {
            return Err(StoreError::NotFound);
        }
        let (url, user_info) = split_user_info(&new.url);
        let saved = tx
            .execute(
                UPDATE,
                &[
                    &new.app.0,
                    &new.key.0,
                    &new.revision,
                    &new.uid.as_ref().map(Uid::as_str),
                    &rows::text(&url),
                    &user_info.map(|u| self.sealer.seal(u.as_bytes(), &place("user_info", new.id))),
                    &rows::text(&new.description),
                    &new.disabled.map(disabled_text),
                    &new.event_types.as_ref().map(to_json),
                    &new.channels.as_ref().map(to_json),
                    &new.throttle_rate.map(i64::from),
                    &i64::from(new.version),
                    &to_json(&new.metadata),
                    &sealed_headers(&self.sealer, &new),
                    &sealed_secrets(&self.sealer, &new),
                    &to_json(&new.options),
                    &new.failing_since.map(Timestamp::as_micros),
                    &new.updated_at.as_micros(),
                ],
            )
            .await?;
        if saved == 0 {
            let is_there = tx.first(IS_THERE, &[&new.app.0, &new.key.0]).await?.is_some();
            return Err(if is_there { StoreError::Changed } else { StoreError::NotFound });
        }
        if new.disabled.is_some() {
            given_up::begin_anew(&tx, &new).await?;
        }
        self.commit_change(tx, Changed::Application(new.app)).await?;
        new.revision += 1;
        Ok(new)
    }

    pub(super) async fn remove_endpoint(
        &self,
        app: AppKey,
        key: EndpointKey,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let tx = self.pool.begin().await?;
        if !is_alive(&tx, app).await? || tx.execute(DELETE, &[&app.0, &key.0, &now.as_micros()]).await? == 0 {
            return Err(StoreError::NotFound);
        }
        self.commit_change(tx, Changed::Application(app)).await
    }
}

fn endpoint(row: &Row, sealer: &Sealer) -> Result<Endpoint, StoreError> {
    let id = EndpointId(rows::ksuid(row, 2, "endpoint")?);
    let uid: Option<&str> = rows::col(row, 3)?;
    let url: &str = rows::col(row, 4)?;
    let user_info: Option<&[u8]> = rows::col(row, 5)?;
    let disabled: Option<&str> = rows::col(row, 7)?;
    let event_types: Option<&str> = rows::col(row, 8)?;
    let channels: Option<&str> = rows::col(row, 9)?;
    let headers: Option<&[u8]> = rows::col(row, 13)?;
    Ok(Endpoint {
        key: EndpointKey(rows::col(row, 0)?),
        app: AppKey(rows::col(row, 1)?),
        id,
        uid: uid.map(Uid::new).transpose().map_err(|e| rows::corrupt("endpoint", "uid", id, e))?,
        url: match user_info {
            Some(sealed) => join_user_info(url, &open(sealer, sealed, "user_info", id)?),
            None => url.to_owned(),
        },
        description: rows::col(row, 6)?,
        disabled: disabled.map(|text| read_disabled(text, id)).transpose()?,
        event_types: event_types.map(|text| from_json(text, "endpoint", "event_types", id)).transpose()?,
        channels: channels.map(|text| from_json(text, "endpoint", "channels", id)).transpose()?,
        throttle_rate: rows::small_or_none(row, 10, "endpoint")?,
        version: rows::small(row, 11, "endpoint")?,
        metadata: from_json(rows::col(row, 12)?, "endpoint", "metadata", id)?,
        headers: match headers {
            Some(sealed) => from_json::<Vec<Header>>(&open(sealer, sealed, "headers", id)?, "endpoint", "headers", id)?,
            None => Vec::new(),
        },
        secrets: read_secrets(&open(sealer, rows::col(row, 14)?, "secrets", id)?, id)?,
        options: from_json(rows::col(row, 15)?, "endpoint", "options", id)?,
        failing_since: rows::col::<Option<i64>>(row, 16)?.map(Timestamp::from_micros),
        created_at: Timestamp::from_micros(rows::col(row, 17)?),
        updated_at: Timestamp::from_micros(rows::col(row, 18)?),
        revision: rows::col(row, 19)?,
    })
}
