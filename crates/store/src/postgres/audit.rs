//! The audit log, and alerts.

use super::{
    Postgres,
    connect::Params,
    rows::{self, col, corrupt, ksuid},
};
use crate::{
    audit::{Audit, AuditFilter},
    error::StoreError,
    pages::Way,
};
use async_trait::async_trait;
use domain::{
    Alert, AlertId, ApplicationId, AuditEntry, AuditId, EndpointId, Ksuid, OrganizationId, PageOf, PageQuery, Timestamp,
};
use tokio_postgres::Row;

macro_rules! select {
    ($where:literal, $order:literal) => {
        concat!(
            "SELECT id, org, app, at, actor_kind, actor, action, object, detail FROM audit WHERE org = $1 AND ",
            $where,
            " AND ($4::text IS NULL OR actor = $4) AND ($5::text IS NULL OR action = $5)
              AND ($6::text IS NULL OR object = $6) AND ($7::bigint IS NULL OR at >= $7)
              AND ($8::bigint IS NULL OR at <= $8) ",
            $order
        )
    };
}
macro_rules! alerts {
    ($rest:literal) => {
        concat!(
            "SELECT id, org, app, endpoint, kind, first_at, last_at FROM alert WHERE org = $1 AND dismissed_at IS NULL
             AND ",
            $rest
        )
    };
}

const ASCENDING: &str = select!("id > $2", "ORDER BY id LIMIT $3");
const DESCENDING: &str = select!("id < $2", "ORDER BY id DESC LIMIT $3");
const OF_APP_ASCENDING: &str = select!("app = $9 AND app IS NOT NULL AND id > $2", "ORDER BY id LIMIT $3");
const OF_APP_DESCENDING: &str = select!("app = $9 AND app IS NOT NULL AND id < $2", "ORDER BY id DESC LIMIT $3");
const ADD: &str = "INSERT INTO audit (id, org, app, at, actor_kind, actor, action, object, detail)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
const CLEAR_ENTRIES: &str = "DELETE FROM audit WHERE id IN (SELECT id FROM audit WHERE id < $1 LIMIT $2)";
const CLEAR_ALERTS: &str = "DELETE FROM alert WHERE id IN
    (SELECT id FROM alert WHERE last_at < $1 AND dismissed_at IS NOT NULL LIMIT $2)";
/// New only if none of its kind is open there; `xmax` is 0 in a row that was not there before.
const RAISE: &str = "INSERT INTO alert (id, org, app, endpoint, kind, first_at, last_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7)
    ON CONFLICT (endpoint, kind) WHERE dismissed_at IS NULL DO UPDATE SET last_at = excluded.last_at
    RETURNING xmax = 0";
const ALERTS_ASCENDING: &str = alerts!("id > $2 ORDER BY id LIMIT $3");
const ALERTS_DESCENDING: &str = alerts!("id < $2 ORDER BY id DESC LIMIT $3");
const COUNT_ALERTS: &str = "SELECT count(*) FROM alert WHERE org = $1 AND dismissed_at IS NULL";
const DISMISS: &str = "UPDATE alert SET dismissed_at = $3
    WHERE org = $1 AND dismissed_at IS NULL AND ($2::bytea IS NULL OR id = $2)";

fn entry(row: &Row) -> Result<AuditEntry, StoreError> {
    let id = AuditId(ksuid(row, 0, "audit")?);
    let (kind, action): (&str, &str) = (col(row, 4)?, col(row, 6)?);
    let app: Option<&[u8]> = col(row, 2)?;
    Ok(AuditEntry {
        id,
        organization: col::<&str>(row, 1)?.parse().map_err(|e| corrupt("audit", "org", id, e))?,
        application: app.map(|_| ksuid(row, 2, "audit").map(ApplicationId)).transpose()?,
        at: Timestamp::from_micros(col(row, 3)?),
        actor_kind: kind.parse().map_err(|e| corrupt("audit", "actor_kind", id, e))?,
        actor: col(row, 5)?,
        action: action.parse().map_err(|e| corrupt("audit", "action", id, e))?,
        object: col(row, 7)?,
        detail: col(row, 8)?,
    })
}

fn alert(row: &Row) -> Result<Alert, StoreError> {
    let id = AlertId(ksuid(row, 0, "alert")?);
    Ok(Alert {
        id,
        organization: col::<&str>(row, 1)?.parse().map_err(|e| corrupt("alert", "org", id, e))?,
        application: ApplicationId(ksuid(row, 2, "alert")?),
        endpoint: EndpointId(ksuid(row, 3, "alert")?),
        kind: col::<&str>(row, 4)?.parse().map_err(|e| corrupt("alert", "kind", id, e))?,
        first_at: Timestamp::from_micros(col(row, 5)?),
        last_at: Timestamp::from_micros(col(row, 6)?),
    })
}

impl Postgres {
    /// The number that a query answers.
    pub(super) async fn count(&self, sql: &'static str, params: Params<'_>) -> Result<u64, StoreError> {
        let row = self.pool.read_first(sql, params).await?.ok_or(StoreError::NotFound)?;
        Ok(col::<i64>(&row, 0)?.unsigned_abs())
    }
}

#[async_trait]
impl Audit for Postgres {
    async fn add_audit(&self, new: Vec<AuditEntry>) -> Result<(), StoreError> {
        let tx = self.pool.begin().await?;
        for entry in &new {
            tx.execute(
                ADD,
                &[
                    &&entry.id.0.0[..],
                    &rows::text(entry.organization.as_str()),
                    &entry.application.map(|app| app.0.0.to_vec()),
                    &entry.at.as_micros(),
                    &entry.actor_kind.text(),
                    &rows::text(&entry.actor),
                    &entry.action.text(),
                    &rows::text(&entry.object),
                    &rows::text(&entry.detail),
                ],
            )
            .await?;
        }
        tx.commit().await
    }

    async fn audit(
        &self,
        organization: &OrganizationId,
        filter: &AuditFilter,
        query: PageQuery<Ksuid>,
    ) -> Result<PageOf<AuditEntry>, StoreError> {
        let way = Way::by_id(query);
        let (org, limit) = (rows::text(organization.as_str()), way.rows());
        let (actor, object) = (filter.actor.as_deref().map(rows::text), filter.object.as_deref().map(rows::text));
        let action = filter.action.map(domain::Action::text);
        let (since, until) = (filter.since.map(Timestamp::as_micros), filter.until.map(Timestamp::as_micros));
        let found = match filter.application {
            None => {
                let sql = if way.ascending { ASCENDING } else { DESCENDING };
                self.pool.read(sql, &[&org, &way.bound, &limit, &actor, &action, &object, &since, &until]).await?
            }
            Some(app) => {
                let sql = if way.ascending { OF_APP_ASCENDING } else { OF_APP_DESCENDING };
                let app = &app.0.0[..];
                self.pool.read(sql, &[&org, &way.bound, &limit, &actor, &action, &object, &since, &until, &app]).await?
            }
        };
        Ok(way.cut(found.iter().map(entry).collect::<Result<_, _>>()?))
    }

    async fn clear_audit(&self, before: Timestamp, limit: usize) -> Result<u64, StoreError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let entries = self.pool.execute(CLEAR_ENTRIES, &[&&Ksuid::lowest_at(before).0[..], &limit]).await?;
        Ok(entries + self.pool.execute(CLEAR_ALERTS, &[&before.as_micros(), &limit]).await?)
    }

    async fn raise_alert(&self, alert: Alert) -> Result<bool, StoreError> {
        let conn = self.pool.lend().await?;
        let row = conn
            .one(
                RAISE,
                &[
                    &&alert.id.0.0[..],
                    &rows::text(alert.organization.as_str()),
                    &&alert.application.0.0[..],
                    &&alert.endpoint.0.0[..],
                    &alert.kind.text(),
                    &alert.first_at.as_micros(),
                    &alert.last_at.as_micros(),
                ],
            )
            .await?;
        col(&row, 0)
    }

    async fn alerts(&self, organization: &OrganizationId, page: PageQuery<Ksuid>) -> Result<PageOf<Alert>, StoreError> {
        let way = Way::by_id(page);
        let sql = if way.ascending { ALERTS_ASCENDING } else { ALERTS_DESCENDING };
        let found = self.pool.read(sql, &[&rows::text(organization.as_str()), &way.bound, &way.rows()]).await?;
        Ok(way.cut(found.iter().map(alert).collect::<Result<_, _>>()?))
    }

    async fn count_alerts(&self, organization: &OrganizationId) -> Result<u64, StoreError> {
        self.count(COUNT_ALERTS, &[&rows::text(organization.as_str())]).await
    }

    async fn dismiss_alerts(
        &self,
        organization: &OrganizationId,
        which: Option<AlertId>,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        let id = which.map(|id| id.0.0.to_vec());
        self.pool.execute(DISMISS, &[&rows::text(organization.as_str()), &id, &now.as_micros()]).await
    }
}
