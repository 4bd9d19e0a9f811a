//! Applications and what organizations decide; and the door to all of the configuration, which hands on to its
//! neighbours for endpoints and event types.

use super::{
    Sqlite, endpoints, event_types, failed, failed_or_taken,
    rows::{Way, all, col, corrupt, execute, exists, first, from_json, ksuid, to_json},
};
use crate::{
    error::StoreError,
    views::{Config, EventTypeFilter, OrganizationOptions},
};
use async_trait::async_trait;
use domain::{
    AppKey, Application, ApplicationId, Endpoint, EndpointId, EndpointKey, EventType, EventTypeName, IdOrUid, Ksuid,
    OrganizationId, PageOf, PageQuery, Timestamp, Uid,
};
use rusqlite::{Connection, Row, params};
use std::collections::BTreeSet;

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT key, id, org, uid, name, throttle_rate, metadata, options, created_at, updated_at, revision
             FROM app WHERE deleted_at IS NULL AND ",
            $rest
        )
    };
}

const BY_KEY: &str = select!("key = ?1");
const BY_ID: &str = select!("org = ?1 AND id = ?2");
const BY_ID_ALONE: &str = select!("id = ?1");
const BY_UID: &str = select!("org = ?1 AND uid = ?2 AND uid IS NOT NULL");
const ASCENDING: &str = select!("org = ?1 AND id > ?2 ORDER BY id LIMIT ?3");
const DESCENDING: &str = select!("org = ?1 AND id < ?2 ORDER BY id DESC LIMIT ?3");

fn application(row: &Row<'_>) -> Result<Application, StoreError> {
    let id = ApplicationId(ksuid(col(row, 1)?));
    let organization: String = col(row, 2)?;
    let uid: Option<String> = col(row, 3)?;
    Ok(Application {
        key: AppKey(col(row, 0)?),
        id,
        organization: organization.parse().map_err(|e| corrupt("app", "org", id, e))?,
        uid: uid.map(|u| Uid::new(&u)).transpose().map_err(|e| corrupt("app", "uid", id, e))?,
        name: col(row, 4)?,
        throttle_rate: col(row, 5)?,
        metadata: from_json(&col::<String>(row, 6)?, "app", "metadata", id)?,
        options: from_json(&col::<String>(row, 7)?, "app", "options", id)?,
        created_at: Timestamp::from_micros(col(row, 8)?),
        updated_at: Timestamp::from_micros(col(row, 9)?),
        revision: col(row, 10)?,
    })
}

/// By its id, whoever runs it.
pub(super) fn by_id(conn: &Connection, id: ApplicationId) -> Result<Option<Application>, StoreError> {
    first(conn, BY_ID_ALONE, [id.0.0], application)
}

/// Whether an application is there and not deleted.
pub(super) fn is_alive(conn: &Connection, key: AppKey) -> Result<bool, StoreError> {
    exists(conn, "SELECT 1 FROM app WHERE key = ?1 AND deleted_at IS NULL", [key.0])
}

fn create(conn: &Connection, mut new: Application) -> Result<Application, StoreError> {
    execute(
        conn,
        "INSERT INTO app (id, org, uid, name, throttle_rate, metadata, options, created_at, updated_at, revision)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        params![
            new.id.0.0,
            new.organization.as_str(),
            new.uid.as_ref().map(Uid::as_str),
            new.name,
            new.throttle_rate,
            to_json(&new.metadata),
            to_json(&new.options),
            new.created_at.as_micros(),
            new.updated_at.as_micros(),
            new.revision,
        ],
    )
    .map_err(failed_or_taken)?;
    new.key = AppKey(conn.last_insert_rowid());
    Ok(new)
}

fn save(conn: &Connection, mut changed: Application) -> Result<Application, StoreError> {
    let saved = execute(
        conn,
        "UPDATE app SET uid = ?3, name = ?4, throttle_rate = ?5, metadata = ?6, options = ?7, updated_at = ?8,
         revision = revision + 1
         WHERE key = ?1 AND revision = ?2 AND deleted_at IS NULL",
        params![
            changed.key.0,
            changed.revision,
            changed.uid.as_ref().map(Uid::as_str),
            changed.name,
            changed.throttle_rate,
            to_json(&changed.metadata),
            to_json(&changed.options),
            changed.updated_at.as_micros(),
        ],
    )
    .map_err(failed_or_taken)?;
    if saved == 0 {
        return Err(if is_alive(conn, changed.key)? { StoreError::Changed } else { StoreError::NotFound });
    }
    changed.revision += 1;
    Ok(changed)
}

#[async_trait]
impl Config for Sqlite {
    async fn create_application(&self, new: Application) -> Result<Application, StoreError> {
        let created = self.write(move |tx| create(tx.conn, new)).await;
        self.own_terms.forget();
        created
    }

    async fn application(
        &self,
        organization: &OrganizationId,
        which: &IdOrUid<ApplicationId>,
    ) -> Result<Option<Application>, StoreError> {
        let (organization, which) = (organization.clone(), which.clone());
        self.read(move |conn| match &which {
            IdOrUid::Id(id) => first(conn, BY_ID, params![organization.as_str(), id.0.0], application),
            IdOrUid::Uid(uid) => first(conn, BY_UID, params![organization.as_str(), uid], application),
        })
        .await
    }

    async fn application_by_key(&self, key: AppKey) -> Result<Option<Application>, StoreError> {
        self.read(move |conn| first(conn, BY_KEY, [key.0], application)).await
    }

    async fn applications(
        &self,
        organization: &OrganizationId,
        page: PageQuery<Ksuid>,
    ) -> Result<PageOf<Application>, StoreError> {
        let organization = organization.clone();
        self.read(move |conn| {
            let way = Way::by_id(page);
            let sql = if way.ascending { ASCENDING } else { DESCENDING };
            let found = all(conn, sql, params![organization.as_str(), way.bound, way.rows()], application)?;
            Ok(way.cut(found))
        })
        .await
    }

    async fn save_application(&self, changed: Application) -> Result<Application, StoreError> {
        let saved = self.write(move |tx| save(tx.conn, changed)).await;
        self.own_terms.forget();
        saved
    }

    async fn delete_application(&self, key: AppKey, now: Timestamp) -> Result<(), StoreError> {
        self.write(move |tx| {
            // What is below is not found any more because this row says so; only keys, and what people hold of it, are not
            // kept for later.
            execute(tx.conn, "DELETE FROM key_set WHERE app = ?1", params![key.0]).map_err(failed)?;
            let sql = "UPDATE app SET deleted_at = ?2, revision = revision + 1 WHERE key = ?1 AND deleted_at IS NULL
                       RETURNING id";
            let removed = first(tx.conn, sql, params![key.0, now.as_micros()], |row| col::<Vec<u8>>(row, 0))?;
            let id = removed.ok_or(StoreError::NotFound)?;
            let (id, at) = (&id[..], now.as_micros());
            let put_away = "UPDATE alert SET dismissed_at = ?2 WHERE app = ?1 AND dismissed_at IS NULL";
            execute(tx.conn, "DELETE FROM membership WHERE app = ?1", [id]).map_err(failed)?;
            execute(tx.conn, "DELETE FROM invitation WHERE app = ?1 AND app IS NOT NULL", [id]).map_err(failed)?;
            execute(tx.conn, put_away, params![id, at]).map_err(failed)?;
            Ok(())
        })
        .await
    }

    async fn create_endpoint(&self, new: Endpoint) -> Result<Endpoint, StoreError> {
        let sealer = self.sealer.clone();
        self.write(move |tx| endpoints::create(tx.conn, &sealer, new)).await
    }

    async fn endpoint(&self, app: AppKey, which: &IdOrUid<EndpointId>) -> Result<Option<Endpoint>, StoreError> {
        let (sealer, which) = (self.sealer.clone(), which.clone());
        self.read(move |conn| endpoints::one(conn, &sealer, app, &which)).await
    }

    async fn endpoints_of(&self, app: AppKey) -> Result<Vec<Endpoint>, StoreError> {
        let sealer = self.sealer.clone();
        self.read(move |conn| endpoints::all_of(conn, &sealer, app)).await
    }

    async fn endpoints(&self, app: AppKey, page: PageQuery<Ksuid>) -> Result<PageOf<Endpoint>, StoreError> {
        let sealer = self.sealer.clone();
        self.read(move |conn| endpoints::page(conn, &sealer, app, page)).await
    }

    async fn save_endpoint(&self, changed: Endpoint) -> Result<Endpoint, StoreError> {
        let sealer = self.sealer.clone();
        self.write(move |tx| endpoints::save(tx.conn, &sealer, changed)).await
    }

    async fn delete_endpoint(&self, app: AppKey, key: EndpointKey, now: Timestamp) -> Result<(), StoreError> {
        self.write(move |tx| endpoints::delete(tx.conn, app, key, now)).await
    }

    async fn put_event_type(
        &self,
        organization: &OrganizationId,
        event_type: EventType,
        only_new: bool,
    ) -> Result<bool, StoreError> {
        let organization = organization.clone();
        self.write(move |tx| event_types::put(tx.conn, &organization, &event_type, only_new)).await
    }

    async fn event_type(
        &self,
        organization: &OrganizationId,
        name: &EventTypeName,
    ) -> Result<Option<EventType>, StoreError> {
        let (organization, name) = (organization.clone(), name.clone());
        self.read(move |conn| event_types::one(conn, &organization, &name)).await
    }

    async fn event_types(
        &self,
        organization: &OrganizationId,
        filter: &EventTypeFilter,
        page: PageQuery<EventTypeName>,
    ) -> Result<PageOf<EventType>, StoreError> {
        let (organization, filter) = (organization.clone(), filter.clone());
        self.read(move |conn| event_types::page(conn, &organization, &filter, page)).await
    }

    async fn remove_event_type(&self, organization: &OrganizationId, name: &EventTypeName) -> Result<bool, StoreError> {
        let (organization, name) = (organization.clone(), name.clone());
        self.write(move |tx| event_types::remove(tx.conn, &organization, &name)).await
    }

    async fn unknown_event_types(
        &self,
        organization: &OrganizationId,
        names: &BTreeSet<EventTypeName>,
    ) -> Result<Vec<EventTypeName>, StoreError> {
        let (organization, names) = (organization.clone(), names.clone());
        self.read(move |conn| event_types::unknown(conn, &organization, names)).await
    }

    async fn organization_options(&self, organization: &OrganizationId) -> Result<OrganizationOptions, StoreError> {
        let organization = organization.clone();
        self.read(move |conn| {
            let sql = "SELECT options FROM organization WHERE org = ?1";
            let options = first(conn, sql, [organization.as_str()], |row| {
                from_json(&col::<String>(row, 0)?, "organization", "options", &organization)
            })?;
            Ok(options.unwrap_or_default())
        })
        .await
    }

    async fn save_organization_options(
        &self,
        organization: &OrganizationId,
        options: &OrganizationOptions,
    ) -> Result<(), StoreError> {
        let (organization, options) = (organization.clone(), to_json(options));
        self.write(move |tx| {
            let sql = "INSERT INTO organization (org, options) VALUES (?1, ?2)
                       ON CONFLICT (org) DO UPDATE SET options = ?2";
            execute(tx.conn, sql, params![organization.as_str(), options]).map_err(failed)?;
            Ok(())
        })
        .await?;
        self.own_terms.forget();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::rows::assert_indexed;

    #[test]
    fn applications_are_found_by_index() {
        for sql in [super::BY_KEY, super::BY_ID, super::BY_ID_ALONE, super::BY_UID, super::ASCENDING, super::DESCENDING]
        {
            assert_indexed(sql);
        }
    }
}
