//! Endpoints. What could let somebody in (secrets, headers, the user info of the address) is sealed before it is bound
//! to a statement and opened after it was read.

use super::{
    applications, failed, failed_or_taken, given_up,
    rows::{Way, all, col, corrupt, execute, exists, first, from_json, ksuid, to_json},
};
use crate::{
    encode::{
        disabled_text, join_user_info, open, place, read_disabled, read_secrets, sealed_headers, sealed_secrets,
        split_user_info,
    },
    error::StoreError,
    seal::Sealer,
};
use domain::{AppKey, Endpoint, EndpointId, EndpointKey, Header, IdOrUid, Ksuid, PageOf, PageQuery, Timestamp, Uid};
use rusqlite::{Connection, Row, params};

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT e.key, e.app, e.id, e.uid, e.url, e.user_info, e.description, e.disabled, e.event_types, e.channels,
             e.throttle_rate, e.version, e.metadata, e.headers, e.secrets, e.options, e.failing_since, e.created_at,
             e.updated_at, e.revision
             FROM endpoint e WHERE ",
            $rest
        )
    };
}
macro_rules! select_alive {
    ($rest:literal) => {
        concat!(
            select!("e.deleted_at IS NULL AND EXISTS (SELECT 1 FROM app a WHERE a.key = ?1 AND a.deleted_at IS NULL)"),
            " AND ",
            $rest
        )
    };
}

const BY_KEY: &str = select!("e.key = ?1");
const BY_ID: &str = select_alive!("e.app = ?1 AND e.id = ?2");
const BY_UID: &str = select_alive!("e.app = ?1 AND e.uid = ?2 AND e.uid IS NOT NULL");
const ALL: &str = select_alive!("e.app = ?1 ORDER BY e.id");
const ASCENDING: &str = select_alive!("e.app = ?1 AND e.id > ?2 ORDER BY e.id LIMIT ?3");
const DESCENDING: &str = select_alive!("e.app = ?1 AND e.id < ?2 ORDER BY e.id DESC LIMIT ?3");

/// An endpoint by its key, deleted or not.
pub(super) fn any_by_key(conn: &Connection, sealer: &Sealer, key: EndpointKey) -> Result<Option<Endpoint>, StoreError> {
    first(conn, BY_KEY, [key.0], |row| endpoint(row, sealer))
}

pub(super) fn one(
    conn: &Connection,
    sealer: &Sealer,
    app: AppKey,
    which: &IdOrUid<EndpointId>,
) -> Result<Option<Endpoint>, StoreError> {
    let read = |row: &Row<'_>| endpoint(row, sealer);
    match which {
        IdOrUid::Id(id) => first(conn, BY_ID, params![app.0, id.0.0], read),
        IdOrUid::Uid(uid) => first(conn, BY_UID, params![app.0, uid], read),
    }
}

pub(super) fn all_of(conn: &Connection, sealer: &Sealer, app: AppKey) -> Result<Vec<Endpoint>, StoreError> {
    all(conn, ALL, [app.0], |row| endpoint(row, sealer))
}

pub(super) fn page(
    conn: &Connection,
    sealer: &Sealer,
    app: AppKey,
    page: PageQuery<Ksuid>,
) -> Result<PageOf<Endpoint>, StoreError> {
    let way = Way::by_id(page);
    let sql = if way.ascending { ASCENDING } else { DESCENDING };
    let found = all(conn, sql, params![app.0, way.bound, way.rows()], |row| endpoint(row, sealer))?;
    Ok(way.cut(found))
}

pub(super) fn create(conn: &Connection, sealer: &Sealer, mut new: Endpoint) -> Result<Endpoint, StoreError> {
    if !applications::is_alive(conn, new.app)? {
        return Err(StoreError::NotFound);
    }
    let (url, user_info) = split_user_info(&new.url);
    execute(
        conn,
        "INSERT INTO endpoint (app, id, uid, url, user_info, description, disabled, event_types, channels,
         throttle_rate, version, metadata, headers, secrets, options, failing_since, created_at, updated_at, revision)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19)",
        params![
            new.app.0,
            new.id.0.0,
            new.uid.as_ref().map(Uid::as_str),
            url,
            user_info.map(|u| sealer.seal(u.as_bytes(), &place("user_info", new.id))),
            new.description,
            new.disabled.map(disabled_text),
            new.event_types.as_ref().map(to_json),
            new.channels.as_ref().map(to_json),
            new.throttle_rate,
            new.version,
            to_json(&new.metadata),
            sealed_headers(sealer, &new),
            sealed_secrets(sealer, &new),
            to_json(&new.options),
            new.failing_since.map(Timestamp::as_micros),
            new.created_at.as_micros(),
            new.updated_at.as_micros(),
            new.revision,
        ],
    )
    .map_err(failed_or_taken)?;
    new.key = EndpointKey(conn.last_insert_rowid());
    Ok(new)
}

pub(super) fn save(conn: &Connection, sealer: &Sealer, mut changed: Endpoint) -> Result<Endpoint, StoreError> {
    if !applications::is_alive(conn, changed.app)? {
        return Err(StoreError::NotFound);
    }
    let (url, user_info) = split_user_info(&changed.url);
    let saved = execute(
        conn,
        "UPDATE endpoint SET uid = ?4, url = ?5, user_info = ?6, description = ?7, disabled = ?8, event_types = ?9,
         channels = ?10, throttle_rate = ?11, version = ?12, metadata = ?13, headers = ?14, secrets = ?15,
         options = ?16, failing_since = ?17, updated_at = ?18, revision = revision + 1
         WHERE key = ?1 AND app = ?2 AND revision = ?3 AND deleted_at IS NULL",
        params![
            changed.key.0,
            changed.app.0,
            changed.revision,
            changed.uid.as_ref().map(Uid::as_str),
            url,
            user_info.map(|u| sealer.seal(u.as_bytes(), &place("user_info", changed.id))),
            changed.description,
            changed.disabled.map(disabled_text),
            changed.event_types.as_ref().map(to_json),
            changed.channels.as_ref().map(to_json),
            changed.throttle_rate,
            changed.version,
            to_json(&changed.metadata),
            sealed_headers(sealer, &changed),
            sealed_secrets(sealer, &changed),
            to_json(&changed.options),
            changed.failing_since.map(Timestamp::as_micros),
            changed.updated_at.as_micros(),
        ],
    )
    .map_err(failed_or_taken)?;
    if saved == 0 {
        let sql = "SELECT 1 FROM endpoint WHERE key = ?1 AND app = ?2 AND deleted_at IS NULL";
        let is_there = exists(conn, sql, params![changed.key.0, changed.app.0])?;
        return Err(if is_there { StoreError::Changed } else { StoreError::NotFound });
    }
    if changed.disabled.is_some() {
        given_up::begin_anew(conn, &changed)?;
    }
    changed.revision += 1;
    Ok(changed)
}

pub(super) fn delete(conn: &Connection, app: AppKey, key: EndpointKey, now: Timestamp) -> Result<(), StoreError> {
    let deleted = applications::is_alive(conn, app)?
        && execute(
            conn,
            "UPDATE endpoint SET deleted_at = ?3, revision = revision + 1
             WHERE key = ?1 AND app = ?2 AND deleted_at IS NULL",
            params![key.0, app.0, now.as_micros()],
        )
        .map_err(failed)?
            == 1;
    if deleted { Ok(()) } else { Err(StoreError::NotFound) }
}

fn endpoint(row: &Row<'_>, sealer: &Sealer) -> Result<Endpoint, StoreError> {
    let id = EndpointId(ksuid(col(row, 2)?));
    let uid: Option<String> = col(row, 3)?;
    let url: String = col(row, 4)?;
    let user_info: Option<Vec<u8>> = col(row, 5)?;
    let disabled: Option<String> = col(row, 7)?;
    let event_types: Option<String> = col(row, 8)?;
    let channels: Option<String> = col(row, 9)?;
    let headers: Option<Vec<u8>> = col(row, 13)?;
    Ok(Endpoint {
        key: EndpointKey(col(row, 0)?),
        app: AppKey(col(row, 1)?),
        id,
        uid: uid.map(|u| Uid::new(&u)).transpose().map_err(|e| corrupt("endpoint", "uid", id, e))?,
        url: match user_info {
            Some(sealed) => join_user_info(&url, &open(sealer, &sealed, "user_info", id)?),
            None => url,
        },
        description: col(row, 6)?,
        disabled: disabled.map(|text| read_disabled(&text, id)).transpose()?,
        event_types: event_types.map(|text| from_json(&text, "endpoint", "event_types", id)).transpose()?,
        channels: channels.map(|text| from_json(&text, "endpoint", "channels", id)).transpose()?,
        throttle_rate: col(row, 10)?,
        version: col(row, 11)?,
        metadata: from_json(&col::<String>(row, 12)?, "endpoint", "metadata", id)?,
        headers: match headers {
            Some(sealed) => {
                from_json::<Vec<Header>>(&open(sealer, &sealed, "headers", id)?, "endpoint", "headers", id)?
            }
            None => Vec::new(),
        },
        secrets: read_secrets(&open(sealer, &col::<Vec<u8>>(row, 14)?, "secrets", id)?, id)?,
        options: from_json(&col::<String>(row, 15)?, "endpoint", "options", id)?,
        failing_since: col::<Option<i64>>(row, 16)?.map(Timestamp::from_micros),
        created_at: Timestamp::from_micros(col(row, 17)?),
        updated_at: Timestamp::from_micros(col(row, 18)?),
        revision: col(row, 19)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sqlite::rows::assert_indexed;

    #[test]
    fn endpoints_are_found_by_index() {
        for sql in [BY_KEY, BY_ID, BY_UID, ALL, ASCENDING, DESCENDING] {
            assert_indexed(sql);
        }
    }
}
