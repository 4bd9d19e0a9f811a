//! Event types of organizations.

use super::{
    failed,
    rows::{Way, col, corrupt, execute, exists, first, from_json, to_json},
};
use crate::{error::StoreError, views::EventTypeFilter};
use domain::{EventType, EventTypeName, OrganizationId, PageOf, PageQuery, Timestamp};
use rusqlite::{Connection, Row, params};
use std::collections::BTreeSet;

// `schemas` is last: a list without contents does not read it.
macro_rules! select {
    ($schemas:literal, $rest:literal) => {
        concat!(
            "SELECT name, description, archived, deprecated, feature_flag, group_name, created_at, updated_at, ",
            $schemas,
            " FROM event_type WHERE org = ?1 AND ",
            $rest
        )
    };
}

const BY_NAME: &str = select!("schemas", "name = ?2");
const ASCENDING: &str = select!("CASE ?3 WHEN 1 THEN schemas END", "name > ?2 ORDER BY name");
const DESCENDING: &str = select!("CASE ?3 WHEN 1 THEN schemas END", "name < ?2 ORDER BY name DESC");
const ACTIVE: &str = "SELECT 1 FROM event_type WHERE org = ?1 AND name = ?2 AND archived = 0";

pub(super) fn put(
    conn: &Connection,
    organization: &OrganizationId,
    event_type: &EventType,
    only_new: bool,
) -> Result<bool, StoreError> {
    let name = event_type.name.as_str();
    if only_new && exists(conn, ACTIVE, params![organization.as_str(), name])? {
        return Ok(false);
    }
    execute(
        conn,
        "INSERT OR REPLACE INTO event_type (org, name, description, archived, deprecated, schemas, feature_flag,
         group_name, created_at, updated_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        params![
            organization.as_str(),
            name,
            event_type.description,
            event_type.archived,
            event_type.deprecated,
            event_type.schemas.as_ref().map(to_json),
            event_type.feature_flag.as_ref().map(EventTypeName::as_str),
            event_type.group_name,
            event_type.created_at.as_micros(),
            event_type.updated_at.as_micros(),
        ],
    )
    .map_err(failed)?;
    Ok(true)
}

pub(super) fn one(
    conn: &Connection,
    organization: &OrganizationId,
    name: &EventTypeName,
) -> Result<Option<EventType>, StoreError> {
    first(conn, BY_NAME, params![organization.as_str(), name.as_str()], event_type)
}

pub(super) fn page(
    conn: &Connection,
    organization: &OrganizationId,
    filter: &EventTypeFilter,
    page: PageQuery<EventTypeName>,
) -> Result<PageOf<EventType>, StoreError> {
    let way = Way::by_name(page);
    let enough = usize::try_from(way.rows()).unwrap_or(usize::MAX);
    let sql = if way.ascending { ASCENDING } else { DESCENDING };
    let mut statement = conn.prepare_cached(sql).map_err(failed)?;
    let mut rows = statement.query(params![organization.as_str(), way.bound, filter.with_content]).map_err(failed)?;
    let mut found = Vec::new();
    while found.len() < enough
        && let Some(row) = rows.next().map_err(failed)?
    {
        let event_type = event_type(row)?;
        if shows(filter, &event_type) {
            found.push(event_type);
        }
    }
    Ok(way.cut(found))
}

fn shows(filter: &EventTypeFilter, event_type: &EventType) -> bool {
    let visible = match (&filter.visible_flags, &event_type.feature_flag) {
        (Some(flags), Some(flag)) => flags.contains(flag),
        _ => true,
    };
    visible && (filter.include_archived || !event_type.archived)
}

pub(super) fn remove(
    conn: &Connection,
    organization: &OrganizationId,
    name: &EventTypeName,
) -> Result<bool, StoreError> {
    let sql = "DELETE FROM event_type WHERE org = ?1 AND name = ?2";
    let removed = execute(conn, sql, params![organization.as_str(), name.as_str()]).map_err(failed)?;
    Ok(removed == 1)
}

pub(super) fn unknown(
    conn: &Connection,
    organization: &OrganizationId,
    names: BTreeSet<EventTypeName>,
) -> Result<Vec<EventTypeName>, StoreError> {
    let mut unknown = Vec::new();
    for name in names {
        if !exists(conn, ACTIVE, params![organization.as_str(), name.as_str()])? {
            unknown.push(name);
        }
    }
    Ok(unknown)
}

fn event_type(row: &Row<'_>) -> Result<EventType, StoreError> {
    let name: String = col(row, 0)?;
    let odd_name = |column, e| corrupt("event_type", column, &name, e);
    let flag: Option<String> = col(row, 4)?;
    let schemas: Option<String> = col(row, 8)?;
    Ok(EventType {
        description: col(row, 1)?,
        archived: col(row, 2)?,
        deprecated: col(row, 3)?,
        schemas: schemas.map(|text| from_json(&text, "event_type", "schemas", &name)).transpose()?,
        feature_flag: flag.map(|f| EventTypeName::new(&f)).transpose().map_err(|e| odd_name("feature_flag", e))?,
        group_name: col(row, 5)?,
        created_at: Timestamp::from_micros(col(row, 6)?),
        updated_at: Timestamp::from_micros(col(row, 7)?),
        name: EventTypeName::new(&name).map_err(|e| odd_name("name", e))?,
    })
}

#[cfg(test)]
mod tests {
    use super::super::rows::assert_indexed;

    #[test]
    fn event_types_are_found_by_key() {
        for sql in [super::BY_NAME, super::ASCENDING, super::DESCENDING, super::ACTIVE] {
            assert_indexed(sql);
        }
    }
}
