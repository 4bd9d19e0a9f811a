//! Applications and what organizations decide; and the door to all of the configuration, which hands on to its
//! neighbours for endpoints and event types.

use super::{
    Postgres,
    connect::Conn,
    pool::Pool,
    rows::{self, from_json, to_json},
};
use crate::{
    error::StoreError,
    pages::Way,
    queue::Changed,
    views::{Config, EventTypeFilter, OrganizationOptions},
};
use async_trait::async_trait;
use domain::{
    AppKey, Application, ApplicationId, Endpoint, EndpointId, EndpointKey, EventType, EventTypeName, IdOrUid, Ksuid,
    OrganizationId, PageOf, PageQuery, Timestamp, Uid,
};
use std::collections::BTreeSet;
use tokio_postgres::Row;

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT key, id, org, uid, name, throttle_rate, metadata, options, created_at, updated_at, revision
             FROM app WHERE deleted_at IS NULL AND ",
            $rest
        )
    };
}

const BY_KEY: &str = select!("key = $1");
const BY_ID: &str = select!("org = $1 AND id = $2");
const BY_UID: &str = select!("org = $1 AND uid = $2 AND uid IS NOT NULL");
const BY_ID_ALONE: &str = select!("id = $1");
const ASCENDING: &str = select!("org = $1 AND id > $2 ORDER BY id LIMIT $3");
const DESCENDING: &str = select!("org = $1 AND id < $2 ORDER BY id DESC LIMIT $3");
const INSERT: &str = "INSERT INTO app (id, org, uid, name, throttle_rate, metadata, options, created_at, updated_at,
    revision) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) RETURNING key";
const UPDATE: &str = "UPDATE app SET uid = $3, name = $4, throttle_rate = $5, metadata = $6, options = $7,
    updated_at = $8, revision = revision + 1 WHERE key = $1 AND revision = $2 AND deleted_at IS NULL";
const DELETE: &str =
    "UPDATE app SET deleted_at = $2, revision = revision + 1 WHERE key = $1 AND deleted_at IS NULL RETURNING id";
const ALIVE: &str = "SELECT 1 FROM app WHERE key = $1 AND deleted_at IS NULL";
const OPTIONS: &str = "SELECT options FROM organization WHERE org = $1";
const SAVE_OPTIONS: &str = "INSERT INTO organization (org, options) VALUES ($1, $2)
    ON CONFLICT (org) DO UPDATE SET options = $2";

fn application(row: &Row) -> Result<Application, StoreError> {
    let id = ApplicationId(rows::ksuid(row, 1, "app")?);
    let (organization, uid): (&str, Option<&str>) = (rows::col(row, 2)?, rows::col(row, 3)?);
    Ok(Application {
        key: AppKey(rows::col(row, 0)?),
        id,
        organization: organization.parse().map_err(|e| rows::corrupt("app", "org", id, e))?,
        uid: uid.map(Uid::new).transpose().map_err(|e| rows::corrupt("app", "uid", id, e))?,
        name: rows::col(row, 4)?,
        throttle_rate: rows::small_or_none(row, 5, "app")?,
        metadata: from_json(rows::col(row, 6)?, "app", "metadata", id)?,
        options: from_json(rows::col(row, 7)?, "app", "options", id)?,
        created_at: Timestamp::from_micros(rows::col(row, 8)?),
        updated_at: Timestamp::from_micros(rows::col(row, 9)?),
        revision: rows::col(row, 10)?,
    })
}

/// An application by its id alone, if its catalogue is public.
pub(super) async fn public_by_id(pool: &Pool, id: ApplicationId) -> Result<Option<Application>, StoreError> {
    let found = pool.read_first(BY_ID_ALONE, &[&&id.0.0[..]]).await?.map(|row| application(&row)).transpose()?;
    Ok(found.filter(|app| app.options.public_catalogue))
}

/// Whether an application is there and not deleted.
pub(super) async fn is_alive(conn: &Conn, key: AppKey) -> Result<bool, StoreError> {
    Ok(conn.first(ALIVE, &[&key.0]).await?.is_some())
}

#[async_trait]
impl Config for Postgres {
    async fn create_application(&self, mut new: Application) -> Result<Application, StoreError> {
        let conn = self.pool.lend().await?;
        let row = conn
            .one(
                INSERT,
                &[
                    &&new.id.0.0[..],
                    &rows::text(new.organization.as_str()),
                    &new.uid.as_ref().map(Uid::as_str),
                    &rows::text(&new.name),
                    &new.throttle_rate.map(i64::from),
                    &to_json(&new.metadata),
                    &to_json(&new.options),
                    &new.created_at.as_micros(),
                    &new.updated_at.as_micros(),
                    &new.revision,
                ],
            )
            .await?;
        new.key = AppKey(rows::col(&row, 0)?);
        Ok(new)
    }

    async fn application(
        &self,
        organization: &OrganizationId,
        which: &IdOrUid<ApplicationId>,
    ) -> Result<Option<Application>, StoreError> {
        let org = rows::text(organization.as_str());
        let row = match which {
            IdOrUid::Id(id) => self.pool.read_first(BY_ID, &[&org, &&id.0.0[..]]).await?,
            IdOrUid::Uid(uid) => self.pool.read_first(BY_UID, &[&org, &rows::text(uid)]).await?,
        };
        row.map(|row| application(&row)).transpose()
    }

    async fn application_by_key(&self, key: AppKey) -> Result<Option<Application>, StoreError> {
        self.pool.read_first(BY_KEY, &[&key.0]).await?.map(|row| application(&row)).transpose()
    }

    async fn applications(
        &self,
        organization: &OrganizationId,
        page: PageQuery<Ksuid>,
    ) -> Result<PageOf<Application>, StoreError> {
        let way = Way::by_id(page);
        let sql = if way.ascending { ASCENDING } else { DESCENDING };
        let found = self.pool.read(sql, &[&rows::text(organization.as_str()), &way.bound, &way.rows()]).await?;
        Ok(way.cut(found.iter().map(application).collect::<Result<_, _>>()?))
    }

    async fn save_application(&self, mut new: Application) -> Result<Application, StoreError> {
        let tx = self.pool.begin().await?;
        let saved = tx
            .execute(
                UPDATE,
                &[
                    &new.key.0,
                    &new.revision,
                    &new.uid.as_ref().map(Uid::as_str),
                    &rows::text(&new.name),
                    &new.throttle_rate.map(i64::from),
                    &to_json(&new.metadata),
                    &to_json(&new.options),
                    &new.updated_at.as_micros(),
                ],
            )
            .await?;
        if saved == 0 {
            return Err(if is_alive(&tx, new.key).await? { StoreError::Changed } else { StoreError::NotFound });
        }
        self.commit_change(tx, Changed::Application(new.key)).await?;
        new.revision += 1;
        Ok(new)
    }

    async fn delete_application(&self, key: AppKey, now: Timestamp) -> Result<(), StoreError> {
        // What is below is not found any more because this row says so; only keys, and what people hold of it, are not
        // kept for later.
        let tx = self.pool.begin().await?;
        let removed = tx.first(DELETE, &[&key.0, &now.as_micros()]).await?.ok_or(StoreError::NotFound)?;
        let id: &[u8] = rows::col(&removed, 0)?;
        tx.execute("DELETE FROM key_set WHERE app = $1", &[&key.0]).await?;
        tx.execute("DELETE FROM membership WHERE app = $1", &[&id]).await?;
        tx.execute("DELETE FROM invitation WHERE app = $1 AND app IS NOT NULL", &[&id]).await?;
        let put_away = "UPDATE alert SET dismissed_at = $2 WHERE app = $1 AND dismissed_at IS NULL";
        tx.execute(put_away, &[&id, &now.as_micros()]).await?;
        self.commit_change(tx, Changed::Application(key)).await
    }

    async fn create_endpoint(&self, new: Endpoint) -> Result<Endpoint, StoreError> {
        self.insert_endpoint(new).await
    }

    async fn endpoint(&self, app: AppKey, which: &IdOrUid<EndpointId>) -> Result<Option<Endpoint>, StoreError> {
        self.one_endpoint(app, which).await
    }

    async fn endpoints_of(&self, app: AppKey) -> Result<Vec<Endpoint>, StoreError> {
        self.all_endpoints(app).await
    }

    async fn endpoints(&self, app: AppKey, page: PageQuery<Ksuid>) -> Result<PageOf<Endpoint>, StoreError> {
        self.page_of_endpoints(app, page).await
    }

    async fn save_endpoint(&self, changed: Endpoint) -> Result<Endpoint, StoreError> {
        self.update_endpoint(changed).await
    }

    async fn delete_endpoint(&self, app: AppKey, key: EndpointKey, now: Timestamp) -> Result<(), StoreError> {
        self.remove_endpoint(app, key, now).await
    }

    async fn put_event_type(
        &self,
        organization: &OrganizationId,
        event_type: EventType,
        only_new: bool,
    ) -> Result<bool, StoreError> {
        self.store_event_type(organization, &event_type, only_new).await
    }

    async fn event_type(
        &self,
        organization: &OrganizationId,
        name: &EventTypeName,
    ) -> Result<Option<EventType>, StoreError> {
        self.one_event_type(organization, name).await
    }

    async fn event_types(
        &self,
        organization: &OrganizationId,
        filter: &EventTypeFilter,
        page: PageQuery<EventTypeName>,
    ) -> Result<PageOf<EventType>, StoreError> {
        self.page_of_event_types(organization, filter, page).await
    }

    async fn remove_event_type(&self, organization: &OrganizationId, name: &EventTypeName) -> Result<bool, StoreError> {
        self.delete_event_type(organization, name).await
    }

    async fn unknown_event_types(
        &self,
        organization: &OrganizationId,
        names: &BTreeSet<EventTypeName>,
    ) -> Result<Vec<EventTypeName>, StoreError> {
        self.missing_event_types(organization, names).await
    }

    async fn organization_options(&self, organization: &OrganizationId) -> Result<OrganizationOptions, StoreError> {
        let row = self.pool.read_first(OPTIONS, &[&rows::text(organization.as_str())]).await?;
        let options = row.map(|row| from_json(rows::col(&row, 0)?, "organization", "options", organization));
        Ok(options.transpose()?.unwrap_or_default())
    }

    async fn save_organization_options(
        &self,
        organization: &OrganizationId,
        options: &OrganizationOptions,
    ) -> Result<(), StoreError> {
        let tx = self.pool.begin().await?;
        tx.execute(SAVE_OPTIONS, &[&rows::text(organization.as_str()), &to_json(options)]).await?;
        self.commit_change(tx, Changed::Everything).await
    }
}
