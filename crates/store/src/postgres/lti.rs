//! Tools and those who vouch for them. Shared secrets are sealed before they are bound to a statement.

use super::{
    Postgres,
    applications::is_alive,
    pool::Tx,
    rows::{self, corrupt, from_json, to_json},
};
use crate::{
    encode::{open_shared, sealed_shared},
    error::StoreError,
    lti::Lti,
    seal::Sealer,
};
use async_trait::async_trait;
use domain::{
    AppKey, Timestamp,
    lti::{DeveloperKey, GlobalId, Registration, RootAccount, Subject, Tool, ToolGuid, ToolState},
};
use tokio_postgres::Row;

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

const ACCOUNT: &str = alive!("SELECT t.app, t.uuid, t.global_id, t.guid, t.platform FROM lti_account t", "t.app = $1");
const PUT_ACCOUNT: &str = "INSERT INTO lti_account AS t (app, uuid, global_id, guid, platform)
    VALUES ($1, $2, $3, $4, $5) ON CONFLICT (app) DO UPDATE SET uuid = $2, global_id = $3, guid = $4, platform = $5
    WHERE NOT $6";
const KEY: &str = keys!("t.id = $1");
const KEYS: &str = keys!("t.app = $1 ORDER BY t.created_at, t.id");
const INSERT_KEY: &str = "INSERT INTO lti_developer_key (id, app, name, secret, active, capabilities, created_at,
    updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
const UPDATE_KEY: &str = "UPDATE lti_developer_key SET name = $3, secret = $4, active = $5, capabilities = $6,
    updated_at = $7 WHERE id = $1 AND app = $2";
const DELETE_KEY: &str = "DELETE FROM lti_developer_key WHERE id = $1 AND app = $2";
const TOOL: &str = tools!("t.guid = $1");
const TOOLS: &str = tools!("t.app = $1 ORDER BY t.created_at, t.guid");
const INSERT_TOOL: &str = "INSERT INTO lti_tool (guid, app, developer_key, name, secret, split_secret, capabilities,
    services, event_url, state, created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)";
const UPDATE_TOOL: &str = "UPDATE lti_tool SET developer_key = $3, name = $4, secret = $5, split_secret = $6,
    capabilities = $7, services = $8, event_url = $9, state = $10, updated_at = $11 WHERE guid = $1 AND app = $2";
const DELETE_TOOL: &str = "DELETE FROM lti_tool WHERE guid = $1 AND app = $2";
const REGISTRATION: &str = registrations!("t.key = $1");
const REGISTRATIONS: &str = registrations!("t.app = $1 ORDER BY t.created_at, t.key");
const INSERT_REGISTRATION: &str = "INSERT INTO lti_registration (key, app, password, created_at, expires_at)
    VALUES ($1, $2, $3, $4, $5)";
const REGISTRATIONS_OVER: &str = "DELETE FROM lti_registration WHERE app = $1 AND expires_at <= $2";
const DELETE_REGISTRATION: &str = "DELETE FROM lti_registration WHERE key = $1 AND app = $2";
const NONCES_OVER: &str = "DELETE FROM lti_nonce WHERE (subject, jti) IN
    (SELECT subject, jti FROM lti_nonce WHERE until <= $1 ORDER BY until LIMIT $2 FOR UPDATE SKIP LOCKED)";
const USE_NONCE: &str = "INSERT INTO lti_nonce (subject, jti, until) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";

fn number(id: GlobalId) -> i64 {
    // Larger ones are refused where they come in.
    i64::try_from(id.0).unwrap_or(i64::MAX)
}

fn global(number: i64) -> GlobalId {
    GlobalId(number.unsigned_abs())
}

fn guid(table: &'static str, text: &str) -> Result<ToolGuid, StoreError> {
    text.parse().map_err(|e| corrupt(table, "guid", text, e))
}

fn at(row: &Row, index: usize) -> Result<Timestamp, StoreError> {
    Ok(Timestamp::from_micros(rows::col(row, index)?))
}

fn account(row: &Row) -> Result<RootAccount, StoreError> {
    Ok(RootAccount {
        app: AppKey(rows::col(row, 0)?),
        uuid: rows::col(row, 1)?,
        id: global(rows::col(row, 2)?),
        guid: rows::col(row, 3)?,
        platform_url: rows::col(row, 4)?,
    })
}

fn developer_key(row: &Row, sealer: &Sealer) -> Result<DeveloperKey, StoreError> {
    const TABLE: &str = "lti_developer_key";
    let id = global(rows::col(row, 0)?);
    Ok(DeveloperKey {
        id,
        app: AppKey(rows::col(row, 1)?),
        name: rows::col(row, 2)?,
        secret: open_shared(sealer, rows::col(row, 3)?, TABLE, &id.to_string())?,
        active: rows::col(row, 4)?,
        capabilities: from_json(rows::col(row, 5)?, TABLE, "capabilities", id)?,
        created_at: at(row, 6)?,
        updated_at: at(row, 7)?,
    })
}

fn tool(row: &Row, sealer: &Sealer) -> Result<Tool, StoreError> {
    const TABLE: &str = "lti_tool";
    let (name, state): (&str, &str) = (rows::col(row, 0)?, rows::col(row, 9)?);
    Ok(Tool {
        guid: guid(TABLE, name)?,
        app: AppKey(rows::col(row, 1)?),
        developer_key: rows::col::<Option<i64>>(row, 2)?.map(global),
        name: rows::col(row, 3)?,
        secret: open_shared(sealer, rows::col(row, 4)?, TABLE, name)?,
        split_secret: rows::col(row, 5)?,
        capabilities: from_json(rows::col(row, 6)?, TABLE, "capabilities", name)?,
        services: from_json(rows::col(row, 7)?, TABLE, "services", name)?,
        event_url: rows::col(row, 8)?,
        state: [ToolState::Active, ToolState::Disabled]
            .into_iter()
            .find(|s| s.name() == state)
            .ok_or_else(|| corrupt(TABLE, "state", name, state))?,
        created_at: at(row, 10)?,
        updated_at: at(row, 11)?,
    })
}

fn registration(row: &Row, sealer: &Sealer) -> Result<Registration, StoreError> {
    const TABLE: &str = "lti_registration";
    let name: &str = rows::col(row, 0)?;
    Ok(Registration {
        key: guid(TABLE, name)?,
        app: AppKey(rows::col(row, 1)?),
        password: open_shared(sealer, rows::col(row, 2)?, TABLE, name)?,
        created_at: at(row, 3)?,
        expires_at: at(row, 4)?,
    })
}

impl Postgres {
    /// A transaction about an application that is there.
    async fn begin_for(&self, app: AppKey) -> Result<Tx, StoreError> {
        let tx = self.pool.begin().await?;
        if is_alive(&tx, app).await? { Ok(tx) } else { Err(StoreError::NotFound) }
    }
}

/// Ends a transaction whose change has to have met a row.
async fn commit_one(tx: Tx, changed: u64) -> Result<(), StoreError> {
    if changed == 0 { Err(StoreError::NotFound) } else { tx.commit().await }
}

#[async_trait]
impl Lti for Postgres {
    async fn root_account(&self, app: AppKey) -> Result<Option<RootAccount>, StoreError> {
        self.pool.read_first(ACCOUNT, &[&app.0]).await?.map(|row| account(&row)).transpose()
    }

    async fn put_root_account(&self, new: RootAccount, only_new: bool) -> Result<RootAccount, StoreError> {
        let tx = self.begin_for(new.app).await?;
        let (uuid, guid) = (rows::text(&new.uuid), rows::text(&new.guid));
        let platform = new.platform_url.as_deref().map(rows::text);
        tx.execute(PUT_ACCOUNT, &[&new.app.0, &uuid, &number(new.id), &guid, &platform, &only_new]).await?;
        let kept = account(&tx.one(ACCOUNT, &[&new.app.0]).await?)?;
        tx.commit().await?;
        Ok(kept)
    }

    async fn create_developer_key(&self, new: DeveloperKey) -> Result<(), StoreError> {
        let secret = sealed_shared(&self.sealer, &new.secret, "lti_developer_key", &new.id.to_string());
        let tx = self.begin_for(new.app).await?;
        tx.execute(
            INSERT_KEY,
            &[
                &number(new.id),
                &new.app.0,
                &rows::text(&new.name),
                &secret,
                &new.active,
                &to_json(&new.capabilities),
                &new.created_at.as_micros(),
                &new.updated_at.as_micros(),
            ],
        )
        .await?;
        tx.commit().await
    }

    async fn developer_keys(&self, app: AppKey) -> Result<Vec<DeveloperKey>, StoreError> {
        let found = self.pool.read(KEYS, &[&app.0]).await?;
        found.iter().map(|row| developer_key(row, &self.sealer)).collect()
    }

    async fn save_developer_key(&self, changed: DeveloperKey) -> Result<(), StoreError> {
        let secret = sealed_shared(&self.sealer, &changed.secret, "lti_developer_key", &changed.id.to_string());
        let tx = self.begin_for(changed.app).await?;
        let saved = tx
            .execute(
                UPDATE_KEY,
                &[
                    &number(changed.id),
                    &changed.app.0,
                    &rows::text(&changed.name),
                    &secret,
                    &changed.active,
                    &to_json(&changed.capabilities),
                    &changed.updated_at.as_micros(),
                ],
            )
            .await?;
        commit_one(tx, saved).await
    }

    async fn delete_developer_key(&self, app: AppKey, id: GlobalId) -> Result<(), StoreError> {
        let tx = self.begin_for(app).await?;
        let deleted = tx.execute(DELETE_KEY, &[&number(id), &app.0]).await?;
        commit_one(tx, deleted).await
    }

    async fn create_tool(&self, new: Tool, used: Option<ToolGuid>) -> Result<(), StoreError> {
        let secret = sealed_shared(&self.sealer, &new.secret, "lti_tool", new.guid.as_str());
        let tx = self.begin_for(new.app).await?;
        if let Some(key) = used
            && tx.execute(DELETE_REGISTRATION, &[&key.as_str(), &new.app.0]).await? == 0
        {
            return Err(StoreError::NotFound);
        }
        tx.execute(
            INSERT_TOOL,
            &[
                &new.guid.as_str(),
                &new.app.0,
                &new.developer_key.map(number),
                &rows::text(&new.name),
                &secret,
                &new.split_secret,
                &to_json(&new.capabilities),
                &to_json(&new.services),
                &new.event_url.as_deref().map(rows::text),
                &new.state.name(),
                &new.created_at.as_micros(),
                &new.updated_at.as_micros(),
            ],
        )
        .await?;
        tx.commit().await
    }

    async fn tools(&self, app: AppKey) -> Result<Vec<Tool>, StoreError> {
        let found = self.pool.read(TOOLS, &[&app.0]).await?;
        found.iter().map(|row| tool(row, &self.sealer)).collect()
    }

    async fn save_tool(&self, changed: Tool) -> Result<(), StoreError> {
        let secret = sealed_shared(&self.sealer, &changed.secret, "lti_tool", changed.guid.as_str());
        let tx = self.begin_for(changed.app).await?;
        let saved = tx
            .execute(
                UPDATE_TOOL,
                &[
                    &changed.guid.as_str(),
                    &changed.app.0,
                    &changed.developer_key.map(number),
                    &rows::text(&changed.name),
                    &secret,
                    &changed.split_secret,
                    &to_json(&changed.capabilities),
                    &to_json(&changed.services),
                    &changed.event_url.as_deref().map(rows::text),
                    &changed.state.name(),
                    &changed.updated_at.as_micros(),
                ],
            )
            .await?;
        commit_one(tx, saved).await
    }

    async fn delete_tool(&self, app: AppKey, guid: &ToolGuid) -> Result<(), StoreError> {
        let tx = self.begin_for(app).await?;
        let deleted = tx.execute(DELETE_TOOL, &[&guid.as_str(), &app.0]).await?;
        commit_one(tx, deleted).await
    }

    async fn create_registration(&self, new: Registration, now: Timestamp) -> Result<(), StoreError> {
        let password = sealed_shared(&self.sealer, &new.password, "lti_registration", new.key.as_str());
        let tx = self.begin_for(new.app).await?;
        tx.execute(REGISTRATIONS_OVER, &[&new.app.0, &now.as_micros()]).await?;
        let (created_at, expires_at) = (new.created_at.as_micros(), new.expires_at.as_micros());
        tx.execute(INSERT_REGISTRATION, &[&new.key.as_str(), &new.app.0, &password, &created_at, &expires_at]).await?;
        tx.commit().await
    }

    async fn registrations(&self, app: AppKey) -> Result<Vec<Registration>, StoreError> {
        let found = self.pool.read(REGISTRATIONS, &[&app.0]).await?;
        found.iter().map(|row| registration(row, &self.sealer)).collect()
    }

    async fn delete_registration(&self, app: AppKey, key: &ToolGuid) -> Result<(), StoreError> {
        let tx = self.begin_for(app).await?;
        let deleted = tx.execute(DELETE_REGISTRATION, &[&key.as_str(), &app.0]).await?;
        commit_one(tx, deleted).await
    }

    async fn lti_subject(&self, name: &str) -> Result<Option<Subject>, StoreError> {
        // No key has the number 0.
        let id = name.parse::<i64>().unwrap_or_default();
        let name = rows::text(name);
        let key = self.pool.read_first(KEY, &[&id]).await?;
        let tools = self.pool.read_first(TOOL, &[&name]).await?;
        let registrations = self.pool.read_first(REGISTRATION, &[&name]).await?;
        let sealer = &self.sealer;
        let key = key.map(|row| developer_key(&row, sealer)).transpose()?.map(Box::new).map(Subject::DeveloperKey);
        let tool = tools.map(|row| tool(&row, sealer)).transpose()?.map(Box::new).map(Subject::Tool);
        let invited = registrations.map(|row| registration(&row, sealer)).transpose()?;
        Ok(tool.or(key).or(invited.map(Box::new).map(Subject::Registration)))
    }

    async fn use_nonce(&self, subject: &str, jti: &str, until: Timestamp, now: Timestamp) -> Result<bool, StoreError> {
        let tx = self.pool.begin().await?;
        tx.execute(NONCES_OVER, &[&now.as_micros(), &SWEEP]).await?;
        let used = tx.execute(USE_NONCE, &[&rows::text(subject), &rows::text(jti), &until.as_micros()]).await?;
        tx.commit().await?;
        Ok(used == 1)
    }
}
