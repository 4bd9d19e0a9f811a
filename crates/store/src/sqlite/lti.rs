//! Tools and those who vouch for them. Shared secrets are sealed before they are bound to a statement.

use super::{
    Sqlite, applications, failed, failed_or_taken,
    rows::{all, col, corrupt, execute, first, from_json, to_json},
};
use crate::{
    encode::{open_shared as open, sealed_shared as seal},
    error::StoreError,
    lti::Lti,
    seal::Sealer,
};
use async_trait::async_trait;
use domain::{
    AppKey, Timestamp,
    lti::{DeveloperKey, GlobalId, Registration, RootAccount, Subject, Tool, ToolGuid, ToolState},
};
use rusqlite::{Connection, Row, params};

/// Nonces that are removed with each new one: more than one, so that the table shrinks.
const SWEEP: i64 = 20;

macro_rules! alive {
    ($select:literal, $rest:literal) => {
        concat!($select, " WHERE EXISTS (SELECT 1 FROM app a WHERE a.key = t.app AND a.deleted_at IS NULL) AND ", $rest)
    };
}
macro_rules! keys {
    ($rest:literal) => {
        alive!(
            "SELECT t.id, t.app, t.name, t.secret, t.active, t.capabilities, t.created_at, t.updated_at
             FROM lti_developer_key t",
            $rest
        )
    };
}
macro_rules! tools {
    ($rest:literal) => {
        alive!(
            "SELECT t.guid, t.app, t.developer_key, t.name, t.secret, t.split_secret, t.capabilities, t.services,
             t.event_url, t.state, t.created_at, t.updated_at FROM lti_tool t",
            $rest
        )
    };
}
macro_rules! registrations {
    ($rest:literal) => {
        alive!("SELECT t.key, t.app, t.password, t.created_at, t.expires_at FROM lti_registration t", $rest)
    };
}

const ACCOUNT: &str = alive!("SELECT t.app, t.uuid, t.global_id, t.guid, t.platform FROM lti_account t", "t.app = ?1");
const KEY: &str = keys!("t.id = ?1");
const KEYS: &str = keys!("t.app = ?1 ORDER BY t.created_at, t.id");
const TOOL: &str = tools!("t.guid = ?1");
const TOOLS: &str = tools!("t.app = ?1 ORDER BY t.created_at, t.guid");
const REGISTRATION: &str = registrations!("t.key = ?1");
const REGISTRATIONS: &str = registrations!("t.app = ?1 ORDER BY t.created_at, t.key");

fn guid(table: &'static str, text: &str) -> Result<ToolGuid, StoreError> {
    text.parse().map_err(|e| corrupt(table, "guid", text, e))
}

fn number(id: GlobalId) -> i64 {
    // Larger ones are refused where they come in.
    i64::try_from(id.0).unwrap_or(i64::MAX)
}

fn global(number: i64) -> GlobalId {
    GlobalId(number.unsigned_abs())
}

fn at(row: &Row<'_>, index: usize) -> Result<Timestamp, StoreError> {
    Ok(Timestamp::from_micros(col(row, index)?))
}

fn account(row: &Row<'_>) -> Result<RootAccount, StoreError> {
    Ok(RootAccount {
        app: AppKey(col(row, 0)?),
        uuid: col(row, 1)?,
        id: global(col(row, 2)?),
        guid: col(row, 3)?,
        platform_url: col(row, 4)?,
    })
}

fn developer_key(row: &Row<'_>, sealer: &Sealer) -> Result<DeveloperKey, StoreError> {
    const TABLE: &str = "lti_developer_key";
    let id = global(col(row, 0)?);
    Ok(DeveloperKey {
        id,
        app: AppKey(col(row, 1)?),
        name: col(row, 2)?,
        secret: open(sealer, &col::<Vec<u8>>(row, 3)?, TABLE, &id.to_string())?,
        active: col(row, 4)?,
        capabilities: from_json(&col::<String>(row, 5)?, TABLE, "capabilities", id)?,
        created_at: at(row, 6)?,
        updated_at: at(row, 7)?,
    })
}

fn tool(row: &Row<'_>, sealer: &Sealer) -> Result<Tool, StoreError> {
    const TABLE: &str = "lti_tool";
    let name: String = col(row, 0)?;
    let state: String = col(row, 9)?;
    Ok(Tool {
        guid: guid(TABLE, &name)?,
        app: AppKey(col(row, 1)?),
        developer_key: col::<Option<i64>>(row, 2)?.map(global),
        name: col(row, 3)?,
        secret: open(sealer, &col::<Vec<u8>>(row, 4)?, TABLE, &name)?,
        split_secret: col(row, 5)?,
        capabilities: from_json(&col::<String>(row, 6)?, TABLE, "capabilities", &name)?,
        services: from_json(&col::<String>(row, 7)?, TABLE, "services", &name)?,
        event_url: col(row, 8)?,
        state: [ToolState::Active, ToolState::Disabled]
            .into_iter()
            .find(|s| s.name() == state)
            .ok_or_else(|| corrupt(TABLE, "state", &name, &state))?,
        created_at: at(row, 10)?,
        updated_at: at(row, 11)?,
    })
}

fn registration(row: &Row<'_>, sealer: &Sealer) -> Result<Registration, StoreError> {
    const TABLE: &str = "lti_registration";
    let name: String = col(row, 0)?;
    Ok(Registration {
        key: guid(TABLE, &name)?,
        app: AppKey(col(row, 1)?),
        password: open(sealer, &col::<Vec<u8>>(row, 2)?, TABLE, &name)?,
        created_at: at(row, 3)?,
        expires_at: at(row, 4)?,
    })
}

fn must_be_alive(conn: &Connection, app: AppKey) -> Result<(), StoreError> {
    if applications::is_alive(conn, app)? { Ok(()) } else { Err(StoreError::NotFound) }
}

/// A change that has to meet exactly one row.
fn one(changed: rusqlite::Result<usize>) -> Result<(), StoreError> {
    match changed.map_err(failed)? {
        0 => Err(StoreError::NotFound),
        _ => Ok(()),
    }
}

#[async_trait]
impl Lti for Sqlite {
    async fn root_account(&self, app: AppKey) -> Result<Option<RootAccount>, StoreError> {
        self.read(move |conn| first(conn, ACCOUNT, [app.0], account)).await
    }

    async fn put_root_account(&self, new: RootAccount, only_new: bool) -> Result<RootAccount, StoreError> {
        self.write(move |tx| {
            must_be_alive(tx.conn, new.app)?;
            if only_new && let Some(kept) = first(tx.conn, ACCOUNT, [new.app.0], account)? {
                return Ok(kept);
            }
            execute(
                tx.conn,
                "INSERT OR REPLACE INTO lti_account (app, uuid, global_id, guid, platform) VALUES (?1, ?2, ?3, ?4, ?5)",
                params![new.app.0, new.uuid, number(new.id), new.guid, new.platform_url],
            )
            .map_err(failed)?;
            Ok(new)
        })
        .await
    }

    async fn create_developer_key(&self, new: DeveloperKey) -> Result<(), StoreError> {
        let secret = seal(&self.sealer, &new.secret, "lti_developer_key", &new.id.to_string());
        self.write(move |tx| {
            must_be_alive(tx.conn, new.app)?;
            execute(
                tx.conn,
                "INSERT INTO lti_developer_key (id, app, name, secret, active, capabilities, created_at, updated_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
                params![
                    number(new.id),
                    new.app.0,
                    new.name,
                    secret,
                    new.active,
                    to_json(&new.capabilities),
                    new.created_at.as_micros(),
                    new.updated_at.as_micros(),
                ],
            )
            .map_err(taken)?;
            Ok(())
        })
        .await
    }

    async fn developer_keys(&self, app: AppKey) -> Result<Vec<DeveloperKey>, StoreError> {
        let sealer = self.sealer.clone();
        self.read(move |conn| all(conn, KEYS, [app.0], |row| developer_key(row, &sealer))).await
    }

    async fn save_developer_key(&self, changed: DeveloperKey) -> Result<(), StoreError> {
        let secret = seal(&self.sealer, &changed.secret, "lti_developer_key", &changed.id.to_string());
        self.write(move |tx| {
            must_be_alive(tx.conn, changed.app)?;
            one(execute(
                tx.conn,
                "UPDATE lti_developer_key SET name = ?3, secret = ?4, active = ?5, capabilities = ?6, updated_at = ?7
                 WHERE id = ?1 AND app = ?2",
                params![
                    number(changed.id),
                    changed.app.0,
                    changed.name,
                    secret,
                    changed.active,
                    to_json(&changed.capabilities),
                    changed.updated_at.as_micros(),
                ],
            ))
        })
        .await
    }

    async fn delete_developer_key(&self, app: AppKey, id: GlobalId) -> Result<(), StoreError> {
        self.write(move |tx| {
            must_be_alive(tx.conn, app)?;
            let sql = "DELETE FROM lti_developer_key WHERE id = ?1 AND app = ?2";
            one(execute(tx.conn, sql, params![number(id), app.0]))
        })
        .await
    }

    async fn create_tool(&self, new: Tool, used: Option<ToolGuid>) -> Result<(), StoreError> {
        let secret = seal(&self.sealer, &new.secret, "lti_tool", new.guid.as_str());
        self.write(move |tx| {
            must_be_alive(tx.conn, new.app)?;
            if let Some(key) = used {
                let sql = "DELETE FROM lti_registration WHERE key = ?1 AND app = ?2";
                one(execute(tx.conn, sql, params![key.as_str(), new.app.0]))?;
            }
            execute(
                tx.conn,
                "INSERT INTO lti_tool (guid, app, developer_key, name, secret, split_secret, capabilities, services,
                 event_url, state, created_at, updated_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
                params![
                    new.guid.as_str(),
                    new.app.0,
                    new.developer_key.map(number),
                    new.name,
                    secret,
                    new.split_secret,
                    to_json(&new.capabilities),
                    to_json(&new.services),
                    new.event_url,
                    new.state.name(),
                    new.created_at.as_micros(),
                    new.updated_at.as_micros(),
                ],
            )
            .map_err(taken)?;
            Ok(())
        })
        .await
    }

    async fn tools(&self, app: AppKey) -> Result<Vec<Tool>, StoreError> {
        let sealer = self.sealer.clone();
        self.read(move |conn| all(conn, TOOLS, [app.0], |row| tool(row, &sealer))).await
    }

    async fn save_tool(&self, changed: Tool) -> Result<(), StoreError> {
        let secret = seal(&self.sealer, &changed.secret, "lti_tool", changed.guid.as_str());
        self.write(move |tx| {
            must_be_alive(tx.conn, changed.app)?;
            one(execute(
                tx.conn,
                "UPDATE lti_tool SET developer_key = ?3, name = ?4, secret = ?5, split_secret = ?6, capabilities = ?7,
                 services = ?8, event_url = ?9, state = ?10, updated_at = ?11
                 WHERE guid = ?1 AND app = ?2",
                params![
                    changed.guid.as_str(),
                    changed.app.0,
                    changed.developer_key.map(number),
                    changed.name,
                    secret,
                    changed.split_secret,
                    to_json(&changed.capabilities),
                    to_json(&changed.services),
                    changed.event_url,
                    changed.state.name(),
                    changed.updated_at.as_micros(),
                ],
            ))
        })
        .await
    }

    async fn delete_tool(&self, app: AppKey, guid: &ToolGuid) -> Result<(), StoreError> {
        let guid = guid.clone();
        self.write(move |tx| {
            must_be_alive(tx.conn, app)?;
            let sql = "DELETE FROM lti_tool WHERE guid = ?1 AND app = ?2";
            one(execute(tx.conn, sql, params![guid.as_str(), app.0]))
        })
        .await
    }

    async fn create_registration(&self, new: Registration, now: Timestamp) -> Result<(), StoreError> {
        let password = seal(&self.sealer, &new.password, "lti_registration", new.key.as_str());
        self.write(move |tx| {
            must_be_alive(tx.conn, new.app)?;
            let over = "DELETE FROM lti_registration WHERE app = ?1 AND expires_at <= ?2";
            execute(tx.conn, over, params![new.app.0, now.as_micros()]).map_err(failed)?;
            execute(
                tx.conn,
                "INSERT INTO lti_registration (key, app, password, created_at, expires_at) VALUES (?1, ?2, ?3, ?4, ?5)",
                params![new.key.as_str(), new.app.0, password, new.created_at.as_micros(), new.expires_at.as_micros()],
            )
            .map_err(taken)?;
            Ok(())
        })
        .await
    }

    async fn registrations(&self, app: AppKey) -> Result<Vec<Registration>, StoreError> {
        let sealer = self.sealer.clone();
        self.read(move |conn| all(conn, REGISTRATIONS, [app.0], |row| registration(row, &sealer))).await
    }

    async fn delete_registration(&self, app: AppKey, key: &ToolGuid) -> Result<(), StoreError> {
        let key = key.clone();
        self.write(move |tx| {
            must_be_alive(tx.conn, app)?;
            let sql = "DELETE FROM lti_registration WHERE key = ?1 AND app = ?2";
            one(execute(tx.conn, sql, params![key.as_str(), app.0]))
        })
        .await
    }

    async fn lti_subject(&self, name: &str) -> Result<Option<Subject>, StoreError> {
        let (name, sealer) = (name.to_owned(), self.sealer.clone());
        self.read(move |conn| {
            // No key has the number 0.
            let id = name.parse::<i64>().unwrap_or_default();
            let key = first(conn, KEY, [id], |row| developer_key(row, &sealer))?;
            let tool = first(conn, TOOL, [&name], |row| tool(row, &sealer))?;
            let registration = first(conn, REGISTRATION, [&name], |row| registration(row, &sealer))?;
            let (tool, key) = (tool.map(Box::new).map(Subject::Tool), key.map(Box::new).map(Subject::DeveloperKey));
            Ok(tool.or(key).or(registration.map(Box::new).map(Subject::Registration)))
        })
        .await
    }

    async fn use_nonce(&self, subject: &str, jti: &str, until: Timestamp, now: Timestamp) -> Result<bool, StoreError> {
        let (subject, jti) = (subject.to_owned(), jti.to_owned());
        self.write(move |tx| {
            execute(
                tx.conn,
                "DELETE FROM lti_nonce WHERE (subject, jti) IN
                 (SELECT subject, jti FROM lti_nonce WHERE until <= ?1 ORDER BY until LIMIT ?2)",
                params![now.as_micros(), SWEEP],
            )
            .map_err(failed)?;
            let sql = "INSERT INTO lti_nonce (subject, jti, until) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING";
            Ok(execute(tx.conn, sql, params![subject, jti, until.as_micros()]).map_err(failed)? == 1)
        })
        .await
    }
}

/// As [`failed_or_taken`]; a primary key that exists is a name that is taken too.
fn taken(e: rusqlite::Error) -> StoreError {
    match &e {
        rusqlite::Error::SqliteFailure(f, _) if f.extended_code == rusqlite::ffi::SQLITE_CONSTRAINT_PRIMARYKEY => {
            StoreError::UidTaken
        }
        _ => failed_or_taken(e),
    }
}

#[cfg(test)]
mod tests {
    use crate::sqlite::rows::assert_indexed;

    #[test]
    fn tools_are_found_by_index() {
        for sql in [
            super::ACCOUNT,
            super::KEY,
            super::KEYS,
            super::TOOL,
            super::TOOLS,
            super::REGISTRATION,
            super::REGISTRATIONS,
        ] {
            assert_indexed(sql);
        }
    }
}
