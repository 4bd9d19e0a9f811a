//! Event types of organizations.

use super::{
    Postgres,
    rows::{self, corrupt, from_json, to_json},
};
use crate::{error::StoreError, pages::Way, queue::Changed, views::EventTypeFilter};
use domain::{EventType, EventTypeName, OrganizationId, PageOf, PageQuery, Timestamp};
use std::collections::BTreeSet;
use tokio_postgres::Row;

macro_rules! select {
    ($schemas:literal, $rest:literal) => {
        concat!(
            "SELECT name, description, archived, deprecated, feature_flag, group_name, created_at, updated_at, ",
            $schemas,
            " FROM event_type WHERE org = $1 AND ",
            $rest
        )
    };
}
macro_rules! shown {
    ($rest:literal) => {
        concat!(
            select!("CASE WHEN $3 THEN schemas END", "($4 OR NOT archived)"),
            " AND ($5::text[] IS NULL OR feature_flag IS NULL OR feature_flag = ANY ($5)) AND ",
            $rest
        )
    };
}

const BY_NAME: &str = select!("schemas", "name = $2");
const ASCENDING: &str = shown!("name > $2 ORDER BY name LIMIT $6");
const DESCENDING: &str = shown!("name < $2 ORDER BY name DESC LIMIT $6");
/// An active one stays as it is where only new ones are wanted.
const PUT: &str = "INSERT INTO event_type AS e (org, name, description, archived, deprecated, schemas, feature_flag,
    group_name, created_at, updated_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
    ON CONFLICT (org, name) DO UPDATE SET description = $3, archived = $4, deprecated = $5, schemas = $6,
        feature_flag = $7, group_name = $8, created_at = $9, updated_at = $10
    WHERE e.archived OR NOT $11";
const REMOVE: &str = "DELETE FROM event_type WHERE org = $1 AND name = $2";
const ACTIVE: &str = "SELECT name FROM event_type WHERE org = $1 AND name = ANY ($2::text[]) AND NOT archived";

impl Postgres {
    pub(super) async fn store_event_type(
        &self,
        organization: &OrganizationId,
        e: &EventType,
        only_new: bool,
    ) -> Result<bool, StoreError> {
        let tx = self.pool.begin().await?;
        let stored = tx
            .execute(
                PUT,
                &[
                    &rows::text(organization.as_str()),
                    &e.name.as_str(),
                    &rows::text(&e.description),
                    &e.archived,
                    &e.deprecated,
                    &e.schemas.as_ref().map(to_json),
                    &e.feature_flag.as_ref().map(EventTypeName::as_str),
                    &e.group_name.as_deref().map(rows::text),
                    &e.created_at.as_micros(),
                    &e.updated_at.as_micros(),
                    &only_new,
                ],
            )
            .await?;
        match stored {
            0 => tx.commit().await?,
            _ => self.commit_change(tx, Changed::EventTypes).await?,
        }
        Ok(stored == 1)
    }

    pub(super) async fn one_event_type(
        &self,
        organization: &OrganizationId,
        name: &EventTypeName,
    ) -> Result<Option<EventType>, StoreError> {
        let found = self.pool.read_first(BY_NAME, &[&rows::text(organization.as_str()), &name.as_str()]).await?;
        found.map(|row| event_type(&row)).transpose()
    }

    pub(super) async fn page_of_event_types(
        &self,
        organization: &OrganizationId,
        filter: &EventTypeFilter,
        page: PageQuery<EventTypeName>,
    ) -> Result<PageOf<EventType>, StoreError> {
        let way = Way::by_name(page);
        let sql = if way.ascending { ASCENDING } else { DESCENDING };
        let flags: Option<Vec<&str>> =
            filter.visible_flags.as_ref().map(|flags| flags.iter().map(EventTypeName::as_str).collect());
        let org = rows::text(organization.as_str());
        let found = self
            .pool
            .read(sql, &[&org, &way.bound, &filter.with_content, &filter.include_archived, &flags, &way.rows()])
            .await?;
        Ok(way.cut(found.iter().map(event_type).collect::<Result<_, _>>()?))
    }

    pub(super) async fn delete_event_type(
        &self,
        organization: &OrganizationId,
        name: &EventTypeName,
    ) -> Result<bool, StoreError> {
        let tx = self.pool.begin().await?;
        let removed = tx.execute(REMOVE, &[&rows::text(organization.as_str()), &name.as_str()]).await?;
        self.commit_change(tx, Changed::EventTypes).await?;
        Ok(removed == 1)
    }

    pub(super) async fn missing_event_types(
        &self,
        organization: &OrganizationId,
        names: &BTreeSet<EventTypeName>,
    ) -> Result<Vec<EventTypeName>, StoreError> {
        let asked: Vec<&str> = names.iter().map(EventTypeName::as_str).collect();
        let found = self.pool.read(ACTIVE, &[&rows::text(organization.as_str()), &asked]).await?;
        let active: BTreeSet<&str> = found.iter().map(|row| rows::col(row, 0)).collect::<Result<_, _>>()?;
        Ok(names.iter().filter(|name| !active.contains(name.as_str())).cloned().collect())
    }
}

fn event_type(row: &Row) -> Result<EventType, StoreError> {
    let name: &str = rows::col(row, 0)?;
    let flag: Option<&str> = rows::col(row, 4)?;
    let schemas: Option<&str> = rows::col(row, 8)?;
    Ok(EventType {
        description: rows::col(row, 1)?,
        archived: rows::col(row, 2)?,
        deprecated: rows::col(row, 3)?,
        schemas: schemas.map(|text| from_json(text, "event_type", "schemas", name)).transpose()?,
        feature_flag: flag
            .map(EventTypeName::new)
            .transpose()
            .map_err(|e| corrupt("event_type", "feature_flag", name, e))?,
        group_name: rows::col(row, 5)?,
        created_at: Timestamp::from_micros(rows::col(row, 6)?),
        updated_at: Timestamp::from_micros(rows::col(row, 7)?),
        name: EventTypeName::new(name).map_err(|e| corrupt("event_type", "name", name, e))?,
    })
}
