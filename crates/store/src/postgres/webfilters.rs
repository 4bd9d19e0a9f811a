//! Webfilters and the log of their runs. What could let somebody in (secrets, the user info of the address) is sealed as
//! that of endpoints is.

use super::{
    Postgres,
    applications::is_alive,
    rows::{self, col, corrupt, from_json, ksuid, to_json},
};
use crate::{
    encode::{join_user_info, open_webfilter, parse_secrets, sealed_webfilter, split_user_info, write_secrets},
    error::StoreError,
    pages::Way,
    queue::Changed,
    seal::Sealer,
    webfilters::{RunFilter, Webfilters},
};
use async_trait::async_trait;
use domain::{
    AppKey, FilterName, IdOrUid, Ksuid, PageOf, PageQuery, Timestamp, Uid, Webfilter, WebfilterId, WebfilterKey,
    WebfilterRunId,
    webfilter::{Outcome, Run},
};
use tokio_postgres::Row;

macro_rules! select_alive {
    ($rest:literal) => {
        concat!(
            "SELECT w.key, w.app, w.id, w.uid, w.filter, w.url, w.user_info, w.secrets, w.settings, w.created_at,
             w.updated_at, w.revision
             FROM webfilter w WHERE EXISTS (SELECT 1 FROM app a WHERE a.key = $1 AND a.deleted_at IS NULL) AND ",
            $rest
        )
    };
}
macro_rules! select_runs {
    ($rest:literal) => {
        concat!(
            "SELECT r.id, r.app, r.filter, r.at, r.duration_us, r.test, r.outcome, r.report
             FROM webfilter_run r WHERE EXISTS (SELECT 1 FROM app a WHERE a.key = $1 AND a.deleted_at IS NULL) AND ",
            $rest
        )
    };
}

const BY_ID: &str = select_alive!("w.app = $1 AND w.id = $2");
const BY_UID: &str = select_alive!("w.app = $1 AND w.uid = $2 AND w.uid IS NOT NULL");
const ALL: &str = select_alive!("w.app = $1 ORDER BY w.id");
const INSERT: &str = "INSERT INTO webfilter (app, id, uid, filter, url, user_info, secrets, settings, created_at,
    updated_at, revision) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) RETURNING key";
const UPDATE: &str =
    "UPDATE webfilter SET uid = $4, filter = $5, url = $6, user_info = $7, secrets = $8, settings = $9,
    updated_at = $10, revision = revision + 1 WHERE app = $1 AND key = $2 AND revision = $3";
const IS_THERE: &str = "SELECT 1 FROM webfilter WHERE app = $1 AND key = $2";
const DELETE: &str = "DELETE FROM webfilter WHERE app = $1 AND key = $2";
const LOG_RUN: &str = "INSERT INTO webfilter_run (app, id, filter, at, duration_us, test, outcome, report)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING";
const RUN: &str = select_runs!("r.app = $1 AND r.id = $2");
const RUNS_UP: &str = select_runs!(
    "r.app = $1 AND r.id > $2 AND ($4::text IS NULL OR r.filter = $4) AND ($5::text IS NULL OR r.outcome = $5)
     ORDER BY r.id LIMIT $3"
);
const RUNS_DOWN: &str = select_runs!(
    "r.app = $1 AND r.id < $2 AND ($4::text IS NULL OR r.filter = $4) AND ($5::text IS NULL OR r.outcome = $5)
     ORDER BY r.id DESC LIMIT $3"
);
const REMOVE_OLD: &str = "DELETE FROM webfilter_run WHERE (app, id) IN
    (SELECT app, id FROM webfilter_run WHERE at < $1 ORDER BY at LIMIT $2 FOR UPDATE SKIP LOCKED)";
const REMOVE_BEYOND: &str = "DELETE FROM webfilter_run WHERE (app, id) IN
    (SELECT app, id FROM webfilter_run WHERE app = $1 ORDER BY id DESC LIMIT $3 OFFSET $2)";

fn webfilter(row: &Row, sealer: &Sealer) -> Result<Webfilter, StoreError> {
    let id = WebfilterId(ksuid(row, 2, "webfilter")?);
    let (uid, user_info): (Option<&str>, Option<&[u8]>) = (col(row, 3)?, col(row, 6)?);
    let url: &str = col(row, 5)?;
    let secrets = open_webfilter(sealer, col(row, 7)?, "secrets", id)?;
    Ok(Webfilter {
        key: WebfilterKey(col(row, 0)?),
        app: AppKey(col(row, 1)?),
        id,
        uid: uid.map(Uid::new).transpose().map_err(|e| corrupt("webfilter", "uid", id, e))?,
        filter: FilterName::new(col(row, 4)?).map_err(|e| corrupt("webfilter", "filter", id, e))?,
        url: match user_info {
            Some(sealed) => join_user_info(url, &open_webfilter(sealer, sealed, "user_info", id)?),
            None => url.to_owned(),
        },
        secrets: parse_secrets(&secrets).ok_or_else(|| corrupt("webfilter", "secrets", id, "not a list of secrets"))?,
        settings: from_json(col(row, 8)?, "webfilter", "settings", id)?,
        created_at: Timestamp::from_micros(col(row, 9)?),
        updated_at: Timestamp::from_micros(col(row, 10)?),
        revision: col(row, 11)?,
    })
}

fn run(row: &Row) -> Result<Run, StoreError> {
    let id = WebfilterRunId(ksuid(row, 0, "webfilter_run")?);
    let outcome: &str = col(row, 6)?;
    Ok(Run {
        id,
        app: AppKey(col(row, 1)?),
        filter: FilterName::new(col(row, 2)?).map_err(|e| corrupt("webfilter_run", "filter", id, e))?,
        at: Timestamp::from_micros(col(row, 3)?),
        duration_us: rows::small(row, 4, "webfilter_run")?,
        test: col(row, 5)?,
        outcome: outcome.parse().map_err(|e| corrupt("webfilter_run", "outcome", id, e))?,
        report: from_json(col(row, 7)?, "webfilter_run", "report", id)?,
    })
}

#[async_trait]
impl Webfilters for Postgres {
    async fn create_webfilter(&self, mut new: Webfilter) -> Result<Webfilter, StoreError> {
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
                    &new.filter.as_str(),
                    &rows::text(&url),
                    &user_info.map(|u| sealed_webfilter(&self.sealer, u, "user_info", new.id)),
                    &sealed_webfilter(&self.sealer, &write_secrets(&new.secrets), "secrets", new.id),
                    &to_json(&new.settings),
                    &new.created_at.as_micros(),
                    &new.updated_at.as_micros(),
                    &new.revision,
                ],
            )
            .await?;
        self.commit_change(tx, Changed::Application(new.app)).await?;
        new.key = WebfilterKey(col(&row, 0)?);
        Ok(new)
    }

    async fn webfilter(&self, app: AppKey, which: &IdOrUid<WebfilterId>) -> Result<Option<Webfilter>, StoreError> {
        let found = match which {
            IdOrUid::Id(id) => self.pool.read_first(BY_ID, &[&app.0, &&id.0.0[..]]).await?,
            IdOrUid::Uid(uid) => self.pool.read_first(BY_UID, &[&app.0, &rows::text(uid)]).await?,
        };
        found.map(|row| webfilter(&row, &self.sealer)).transpose()
    }

    async fn webfilters_of(&self, app: AppKey) -> Result<Vec<Webfilter>, StoreError> {
        let found = self.pool.read(ALL, &[&app.0]).await?;
        found.iter().map(|row| webfilter(row, &self.sealer)).collect()
    }

    async fn save_webfilter(&self, mut new: Webfilter) -> Result<Webfilter, StoreError> {
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
                    &new.filter.as_str(),
                    &rows::text(&url),
                    &user_info.map(|u| sealed_webfilter(&self.sealer, u, "user_info", new.id)),
                    &sealed_webfilter(&self.sealer, &write_secrets(&new.secrets), "secrets", new.id),
                    &to_json(&new.settings),
                    &new.updated_at.as_micros(),
                ],
            )
            .await?;
        if saved == 0 {
            let is_there = tx.first(IS_THERE, &[&new.app.0, &new.key.0]).await?.is_some();
            return Err(if is_there { StoreError::Changed } else { StoreError::NotFound });
        }
        self.commit_change(tx, Changed::Application(new.app)).await?;
        new.revision += 1;
        Ok(new)
    }

    async fn delete_webfilter(&self, app: AppKey, key: WebfilterKey) -> Result<(), StoreError> {
        let tx = self.pool.begin().await?;
        if !is_alive(&tx, app).await? || tx.execute(DELETE, &[&app.0, &key.0]).await? == 0 {
            return Err(StoreError::NotFound);
        }
        self.commit_change(tx, Changed::Application(app)).await
    }

    async fn log_runs(&self, runs: Vec<Run>) -> Result<(), StoreError> {
        let tx = self.pool.begin().await?;
        for run in &runs {
            tx.execute(
                LOG_RUN,
                &[
                    &run.app.0,
                    &&run.id.0.0[..],
                    &run.filter.as_str(),
                    &run.at.as_micros(),
                    &i64::try_from(run.duration_us).unwrap_or(i64::MAX),
                    &run.test,
                    &run.outcome.name(),
                    &to_json(&run.report),
                ],
            )
            .await?;
        }
        tx.commit().await
    }

    async fn runs(&self, app: AppKey, filter: &RunFilter, page: PageQuery<Ksuid>) -> Result<PageOf<Run>, StoreError> {
        let way = Way::by_id(page);
        let sql = if way.ascending { RUNS_UP } else { RUNS_DOWN };
        let name = filter.filter.as_ref().map(FilterName::as_str);
        let outcome = filter.outcome.map(Outcome::name);
        let found = self.pool.read(sql, &[&app.0, &way.bound, &way.rows(), &name, &outcome]).await?;
        Ok(way.cut(found.iter().map(run).collect::<Result<_, _>>()?))
    }

    async fn run(&self, app: AppKey, id: WebfilterRunId) -> Result<Option<Run>, StoreError> {
        let found = self.pool.read_first(RUN, &[&app.0, &&id.0.0[..]]).await?;
        found.map(|row| run(&row)).transpose()
    }

    async fn purge_runs(
        &self,
        before: Timestamp,
        apps: Vec<AppKey>,
        keep: usize,
        limit: usize,
    ) -> Result<usize, StoreError> {
        let (keep, limit) = (i64::try_from(keep).unwrap_or(i64::MAX), i64::try_from(limit).unwrap_or(i64::MAX));
        let mut removed = self.pool.execute(REMOVE_OLD, &[&before.as_micros(), &limit]).await?;
        for app in apps {
            removed += self.pool.execute(REMOVE_BEYOND, &[&app.0, &keep, &limit]).await?;
        }
        Ok(usize::try_from(removed).unwrap_or(usize::MAX))
    }
}
