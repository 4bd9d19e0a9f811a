//! Webfilters and the log of their runs. What could let somebody in (secrets, the user info of the address) is sealed as
//! that of endpoints is.

use super::{
    Sqlite, applications, failed, failed_or_taken,
    rows::{Way, all, col, corrupt, execute, exists, first, from_json, ksuid, to_json},
};
use crate::{
    encode::{join_user_info, open_webfilter, parse_secrets, sealed_webfilter, split_user_info, write_secrets},
    error::StoreError,
    seal::Sealer,
    webfilters::{RunFilter, Webfilters},
};
use async_trait::async_trait;
use domain::{
    AppKey, FilterName, IdOrUid, Ksuid, PageOf, PageQuery, Timestamp, Uid, Webfilter, WebfilterId, WebfilterKey,
    WebfilterRunId,
    webfilter::{Outcome, Run},
};
use rusqlite::{Connection, Row, params};

macro_rules! select_alive {
    ($rest:literal) => {
        concat!(
            "SELECT w.key, w.app, w.id, w.uid, w.filter, w.url, w.user_info, w.secrets, w.settings, w.created_at,
             w.updated_at, w.revision
             FROM webfilter w WHERE EXISTS (SELECT 1 FROM app a WHERE a.key = ?1 AND a.deleted_at IS NULL) AND ",
            $rest
        )
    };
}
macro_rules! select_runs {
    ($rest:literal) => {
        concat!(
            "SELECT r.id, r.app, r.filter, r.at, r.duration_us, r.test, r.outcome, r.report
             FROM webfilter_run r WHERE EXISTS (SELECT 1 FROM app a WHERE a.key = ?1 AND a.deleted_at IS NULL) AND ",
            $rest
        )
    };
}

const BY_ID: &str = select_alive!("w.app = ?1 AND w.id = ?2");
const BY_UID: &str = select_alive!("w.app = ?1 AND w.uid = ?2 AND w.uid IS NOT NULL");
const ALL: &str = select_alive!("w.app = ?1 ORDER BY w.id");
const RUN: &str = select_runs!("r.app = ?1 AND r.id = ?2");
const RUNS_UP: &str = select_runs!(
    "r.app = ?1 AND r.id > ?2 AND (?4 IS NULL OR r.filter = ?4) AND (?5 IS NULL OR r.outcome = ?5)
     ORDER BY r.id LIMIT ?3"
);
const RUNS_DOWN: &str = select_runs!(
    "r.app = ?1 AND r.id < ?2 AND (?4 IS NULL OR r.filter = ?4) AND (?5 IS NULL OR r.outcome = ?5)
     ORDER BY r.id DESC LIMIT ?3"
);
const OLD: &str = "SELECT r.app, r.id FROM webfilter_run r WHERE r.at < ?1 ORDER BY r.at LIMIT ?2";
const BEYOND: &str = "SELECT r.app, r.id FROM webfilter_run r WHERE r.app = ?1 ORDER BY r.id DESC LIMIT ?3 OFFSET ?2";

#[async_trait]
impl Webfilters for Sqlite {
    async fn create_webfilter(&self, new: Webfilter) -> Result<Webfilter, StoreError> {
        let sealer = self.sealer.clone();
        self.write(move |tx| create(tx.conn, &sealer, new)).await
    }
    async fn webfilter(&self, app: AppKey, which: &IdOrUid<WebfilterId>) -> Result<Option<Webfilter>, StoreError> {
        let (sealer, which) = (self.sealer.clone(), which.clone());
        self.read(move |conn| match &which {
            IdOrUid::Id(id) => first(conn, BY_ID, params![app.0, id.0.0], |row| webfilter(row, &sealer)),
            IdOrUid::Uid(uid) => first(conn, BY_UID, params![app.0, uid], |row| webfilter(row, &sealer)),
        })
        .await
    }
    async fn webfilters_of(&self, app: AppKey) -> Result<Vec<Webfilter>, StoreError> {
        let sealer = self.sealer.clone();
        self.read(move |conn| all(conn, ALL, [app.0], |row| webfilter(row, &sealer))).await
    }
    async fn save_webfilter(&self, changed: Webfilter) -> Result<Webfilter, StoreError> {
        let sealer = self.sealer.clone();
        self.write(move |tx| save(tx.conn, &sealer, changed)).await
    }
    async fn delete_webfilter(&self, app: AppKey, key: WebfilterKey) -> Result<(), StoreError> {
        self.write(move |tx| {
            let sql = "DELETE FROM webfilter WHERE key = ?1 AND app = ?2";
            let deleted = applications::is_alive(tx.conn, app)?
                && execute(tx.conn, sql, params![key.0, app.0]).map_err(failed)? == 1;
            if deleted { Ok(()) } else { Err(StoreError::NotFound) }
        })
        .await
    }

    async fn log_runs(&self, runs: Vec<Run>) -> Result<(), StoreError> {
        self.write(move |tx| {
            for run in &runs {
                execute(
                    tx.conn,
                    "INSERT OR IGNORE INTO webfilter_run (app, id, filter, at, duration_us, test, outcome, report)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
                    params![
                        run.app.0,
                        run.id.0.0,
                        run.filter.as_str(),
                        run.at.as_micros(),
                        i64::try_from(run.duration_us).unwrap_or(i64::MAX),
                        run.test,
                        run.outcome.name(),
                        to_json(&run.report),
                    ],
                )
                .map_err(failed)?;
            }
            Ok(())
        })
        .await
    }
    async fn runs(&self, app: AppKey, filter: &RunFilter, page: PageQuery<Ksuid>) -> Result<PageOf<Run>, StoreError> {
        let filter = filter.clone();
        self.read(move |conn| {
            let way = Way::by_id(page);
            let sql = if way.ascending { RUNS_UP } else { RUNS_DOWN };
            let name = filter.filter.as_ref().map(FilterName::as_str);
            let outcome = filter.outcome.map(Outcome::name);
            Ok(way.cut(all(conn, sql, params![app.0, way.bound, way.rows(), name, outcome], run)?))
        })
        .await
    }
    async fn run(&self, app: AppKey, id: WebfilterRunId) -> Result<Option<Run>, StoreError> {
        self.read(move |conn| first(conn, RUN, params![app.0, id.0.0], run)).await
    }
    async fn purge_runs(
        &self,
        before: Timestamp,
        apps: Vec<AppKey>,
        keep: usize,
        limit: usize,
    ) -> Result<usize, StoreError> {
        // Looked for on a reading connection, so that the writer is held up by what goes only.
        let (keep, limit) = (i64::try_from(keep).unwrap_or(i64::MAX), i64::try_from(limit).unwrap_or(i64::MAX));
        let old = self
            .read(move |conn| {
                let place = |row: &Row<'_>| Ok((col::<i64>(row, 0)?, col::<[u8; 20]>(row, 1)?));
                let mut old = all(conn, OLD, params![before.as_micros(), limit], place)?;
                for app in apps {
                    old.extend(all(conn, BEYOND, params![app.0, keep, limit], place)?);
                }
                Ok(old)
            })
            .await?;
        if old.is_empty() {
            return Ok(0);
        }
        self.write(move |tx| {
            let mut removed = 0;
            for (app, id) in &old {
                let sql = "DELETE FROM webfilter_run WHERE app = ?1 AND id = ?2";
                removed += execute(tx.conn, sql, params![app, id]).map_err(failed)?;
            }
            Ok(removed)
        })
        .await
    }
}

fn create(conn: &Connection, sealer: &Sealer, mut new: Webfilter) -> Result<Webfilter, StoreError> {
    if !applications::is_alive(conn, new.app)? {
        return Err(StoreError::NotFound);
    }
    let (url, user_info) = split_user_info(&new.url);
    execute(
        conn,
        "INSERT INTO webfilter (app, id, uid, filter, url, user_info, secrets, settings, created_at, updated_at, revision)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
        params![
            new.app.0,
            new.id.0.0,
            new.uid.as_ref().map(Uid::as_str),
            new.filter.as_str(),
            url,
            user_info.map(|u| sealed_webfilter(sealer, u, "user_info", new.id)),
            sealed_webfilter(sealer, &write_secrets(&new.secrets), "secrets", new.id),
            to_json(&new.settings),
            new.created_at.as_micros(),
            new.updated_at.as_micros(),
            new.revision,
        ],
    )
    .map_err(failed_or_taken)?;
    new.key = WebfilterKey(conn.last_insert_rowid());
    Ok(new)
}

fn save(conn: &Connection, sealer: &Sealer, mut changed: Webfilter) -> Result<Webfilter, StoreError> {
    if !applications::is_alive(conn, changed.app)? {
        return Err(StoreError::NotFound);
    }
    let (url, user_info) = split_user_info(&changed.url);
    let saved = execute(
        conn,
        "UPDATE webfilter SET uid = ?4, filter = ?5, url = ?6, user_info = ?7, secrets = ?8, settings = ?9,
         updated_at = ?10, revision = revision + 1
         WHERE key = ?1 AND app = ?2 AND revision = ?3",
        params![
            changed.key.0,
            changed.app.0,
            changed.revision,
            changed.uid.as_ref().map(Uid::as_str),
            changed.filter.as_str(),
            url,
            user_info.map(|u| sealed_webfilter(sealer, u, "user_info", changed.id)),
            sealed_webfilter(sealer, &write_secrets(&changed.secrets), "secrets", changed.id),
            to_json(&changed.settings),
            changed.updated_at.as_micros(),
        ],
    )
    .map_err(failed_or_taken)?;
    if saved == 0 {
        let sql = "SELECT 1 FROM webfilter WHERE key = ?1 AND app = ?2";
        let is_there = exists(conn, sql, params![changed.key.0, changed.app.0])?;
        return Err(if is_there { StoreError::Changed } else { StoreError::NotFound });
    }
    changed.revision += 1;
    Ok(changed)
}

fn webfilter(row: &Row<'_>, sealer: &Sealer) -> Result<Webfilter, StoreError> {
    let id = WebfilterId(ksuid(col(row, 2)?));
    let uid: Option<String> = col(row, 3)?;
    let filter: String = col(row, 4)?;
    let url: String = col(row, 5)?;
    let user_info: Option<Vec<u8>> = col(row, 6)?;
    let secrets = open_webfilter(sealer, &col::<Vec<u8>>(row, 7)?, "secrets", id)?;
    Ok(Webfilter {
        key: WebfilterKey(col(row, 0)?),
        app: AppKey(col(row, 1)?),
        id,
        uid: uid.map(|u| Uid::new(&u)).transpose().map_err(|e| corrupt("webfilter", "uid", id, e))?,
        filter: FilterName::new(&filter).map_err(|e| corrupt("webfilter", "filter", id, e))?,
        url: match user_info {
            Some(sealed) => join_user_info(&url, &open_webfilter(sealer, &sealed, "user_info", id)?),
            None => url,
        },
        secrets: parse_secrets(&secrets).ok_or_else(|| corrupt("webfilter", "secrets", id, "not a list of secrets"))?,
        settings: from_json(&col::<String>(row, 8)?, "webfilter", "settings", id)?,
        created_at: Timestamp::from_micros(col(row, 9)?),
        updated_at: Timestamp::from_micros(col(row, 10)?),
        revision: col(row, 11)?,
    })
}

fn run(row: &Row<'_>) -> Result<Run, StoreError> {
    let id = WebfilterRunId(ksuid(col(row, 0)?));
    let filter: String = col(row, 2)?;
    let outcome: String = col(row, 6)?;
    Ok(Run {
        id,
        app: AppKey(col(row, 1)?),
        filter: FilterName::new(&filter).map_err(|e| corrupt("webfilter_run", "filter", id, e))?,
        at: Timestamp::from_micros(col(row, 3)?),
        duration_us: u64::try_from(col::<i64>(row, 4)?).unwrap_or(0),
        test: col(row, 5)?,
        outcome: outcome.parse().map_err(|e| corrupt("webfilter_run", "outcome", id, e))?,
        report: from_json(&col::<String>(row, 7)?, "webfilter_run", "report", id)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sqlite::rows::assert_indexed;

    #[test]
    fn webfilters_and_runs_are_found_by_index() {
        for sql in [BY_ID, BY_UID, ALL, RUN, RUNS_UP, RUNS_DOWN, OLD, BEYOND] {
            assert_indexed(sql);
        }
    }
}
