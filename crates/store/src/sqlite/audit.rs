//! The audit log, and alerts.

use super::{
    Sqlite, failed,
    rows::{Way, all, col, corrupt, execute, first, ksuid},
};
use crate::{
    audit::{Audit, AuditFilter},
    error::StoreError,
};
use async_trait::async_trait;
use domain::{
    Alert, AlertId, ApplicationId, AuditEntry, AuditId, EndpointId, Ksuid, OrganizationId, PageOf, PageQuery, Timestamp,
};
use rusqlite::{Connection, Row, params};

macro_rules! select {
    ($where:literal, $order:literal) => {
        concat!(
            "SELECT id, org, app, at, actor_kind, actor, action, object, detail FROM audit WHERE org = ?1 AND ",
            $where,
            " AND (?4 IS NULL OR actor = ?4) AND (?5 IS NULL OR action = ?5) AND (?6 IS NULL OR object = ?6)
              AND (?7 IS NULL OR at >= ?7) AND (?8 IS NULL OR at <= ?8) ",
            $order
        )
    };
}

const ASCENDING: &str = select!("id > ?2", "ORDER BY id LIMIT ?3");
const DESCENDING: &str = select!("id < ?2", "ORDER BY id DESC LIMIT ?3");
const OF_APP_ASCENDING: &str = select!("app = ?9 AND app IS NOT NULL AND id > ?2", "ORDER BY id LIMIT ?3");
const OF_APP_DESCENDING: &str = select!("app = ?9 AND app IS NOT NULL AND id < ?2", "ORDER BY id DESC LIMIT ?3");

macro_rules! alerts {
    ($rest:literal) => {
        concat!(
            "SELECT id, org, app, endpoint, kind, first_at, last_at FROM alert WHERE org = ?1 AND dismissed_at IS NULL
             AND ",
            $rest
        )
    };
}
const ALERTS_ASCENDING: &str = alerts!("id > ?2 ORDER BY id LIMIT ?3");
const ALERTS_DESCENDING: &str = alerts!("id < ?2 ORDER BY id DESC LIMIT ?3");
const COUNT_ALERTS: &str = "SELECT count(*) FROM alert WHERE org = ?1 AND dismissed_at IS NULL";

fn entry(row: &Row<'_>) -> Result<AuditEntry, StoreError> {
    let id = AuditId(ksuid(col(row, 0)?));
    let (organization, kind, action): (String, String, String) = (col(row, 1)?, col(row, 4)?, col(row, 6)?);
    Ok(AuditEntry {
        id,
        organization: organization.parse().map_err(|e| corrupt("audit", "org", id, e))?,
        application: col::<Option<[u8; 20]>>(row, 2)?.map(|app| ApplicationId(ksuid(app))),
        at: Timestamp::from_micros(col(row, 3)?),
        actor_kind: kind.parse().map_err(|e| corrupt("audit", "actor_kind", id, e))?,
        actor: col(row, 5)?,
        action: action.parse().map_err(|e| corrupt("audit", "action", id, e))?,
        object: col(row, 7)?,
        detail: col(row, 8)?,
    })
}

fn add(conn: &Connection, new: &AuditEntry) -> Result<(), StoreError> {
    execute(
        conn,
        "INSERT INTO audit (id, org, app, at, actor_kind, actor, action, object, detail)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        params![
            &new.id.0.0[..],
            new.organization.as_str(),
            new.application.map(|app| app.0.0.to_vec()),
            new.at.as_micros(),
            new.actor_kind.text(),
            new.actor,
            new.action.text(),
            new.object,
            new.detail,
        ],
    )
    .map_err(failed)?;
    Ok(())
}

fn page(
    conn: &Connection,
    organization: &OrganizationId,
    filter: &AuditFilter,
    page: PageQuery<Ksuid>,
) -> Result<PageOf<AuditEntry>, StoreError> {
    let way = Way::by_id(page);
    let (org, rows) = (organization.as_str(), way.rows());
    let action = filter.action.map(domain::Action::text);
    let (since, until) = (filter.since.map(Timestamp::as_micros), filter.until.map(Timestamp::as_micros));
    let found = match filter.application {
        None => {
            let sql = if way.ascending { ASCENDING } else { DESCENDING };
            let narrow = params![org, way.bound, rows, filter.actor, action, filter.object, since, until];
            all(conn, sql, narrow, entry)?
        }
        Some(app) => {
            let sql = if way.ascending { OF_APP_ASCENDING } else { OF_APP_DESCENDING };
            let app = &app.0.0[..];
            let narrow = params![org, way.bound, rows, filter.actor, action, filter.object, since, until, app];
            all(conn, sql, narrow, entry)?
        }
    };
    Ok(way.cut(found))
}

fn raise(conn: &Connection, alert: &Alert) -> Result<bool, StoreError> {
    let (endpoint, kind, at) = (&alert.endpoint.0.0[..], alert.kind.text(), alert.last_at.as_micros());
    let sql = "UPDATE alert SET last_at = ?3 WHERE endpoint = ?1 AND kind = ?2 AND dismissed_at IS NULL";
    if execute(conn, sql, params![endpoint, kind, at]).map_err(failed)? > 0 {
        return Ok(false);
    }
    execute(
        conn,
        "INSERT INTO alert (id, org, app, endpoint, kind, first_at, last_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        params![
            &alert.id.0.0[..],
            alert.organization.as_str(),
            &alert.application.0.0[..],
            endpoint,
            kind,
            alert.first_at.as_micros(),
            at,
        ],
    )
    .map_err(failed)?;
    Ok(true)
}

fn alert(row: &Row<'_>) -> Result<Alert, StoreError> {
    let id = AlertId(ksuid(col(row, 0)?));
    let (organization, kind): (String, String) = (col(row, 1)?, col(row, 4)?);
    Ok(Alert {
        id,
        organization: organization.parse().map_err(|e| corrupt("alert", "org", id, e))?,
        application: ApplicationId(ksuid(col(row, 2)?)),
        endpoint: EndpointId(ksuid(col(row, 3)?)),
        kind: kind.parse().map_err(|e| corrupt("alert", "kind", id, e))?,
        first_at: Timestamp::from_micros(col(row, 5)?),
        last_at: Timestamp::from_micros(col(row, 6)?),
    })
}

#[async_trait]
impl Audit for Sqlite {
    async fn add_audit(&self, new: Vec<AuditEntry>) -> Result<(), StoreError> {
        self.write(move |tx| new.iter().try_for_each(|entry| add(tx.conn, entry))).await
    }

    async fn audit(
        &self,
        organization: &OrganizationId,
        filter: &AuditFilter,
        query: PageQuery<Ksuid>,
    ) -> Result<PageOf<AuditEntry>, StoreError> {
        let (organization, filter) = (organization.clone(), filter.clone());
        self.read(move |conn| page(conn, &organization, &filter, query)).await
    }

    async fn clear_audit(&self, before: Timestamp, limit: usize) -> Result<u64, StoreError> {
        self.write(move |tx| {
            let (at, limit) = (before.as_micros(), i64::try_from(limit).unwrap_or(i64::MAX));
            let oldest = Ksuid::lowest_at(before);
            let sql = "DELETE FROM audit WHERE id IN (SELECT id FROM audit WHERE id < ?1 LIMIT ?2)";
            let entries = execute(tx.conn, sql, params![&oldest.0[..], limit]).map_err(failed)?;
            let sql = "DELETE FROM alert WHERE id IN
                       (SELECT id FROM alert WHERE last_at < ?1 AND dismissed_at IS NOT NULL LIMIT ?2)";
            let alerts = execute(tx.conn, sql, params![at, limit]).map_err(failed)?;
            Ok((entries + alerts) as u64)
        })
        .await
    }

    async fn raise_alert(&self, alert: Alert) -> Result<bool, StoreError> {
        self.write(move |tx| raise(tx.conn, &alert)).await
    }

    async fn alerts(&self, organization: &OrganizationId, page: PageQuery<Ksuid>) -> Result<PageOf<Alert>, StoreError> {
        let organization = organization.clone();
        self.read(move |conn| {
            let way = Way::by_id(page);
            let sql = if way.ascending { ALERTS_ASCENDING } else { ALERTS_DESCENDING };
            let found = all(conn, sql, params![organization.as_str(), way.bound, way.rows()], alert)?;
            Ok(way.cut(found))
        })
        .await
    }

    async fn count_alerts(&self, organization: &OrganizationId) -> Result<u64, StoreError> {
        let organization = organization.clone();
        self.read(move |conn| {
            let n: Option<i64> = first(conn, COUNT_ALERTS, [organization.as_str()], |row| col(row, 0))?;
            Ok(n.unwrap_or(0).unsigned_abs())
        })
        .await
    }

    async fn dismiss_alerts(
        &self,
        organization: &OrganizationId,
        which: Option<AlertId>,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        let organization = organization.clone();
        self.write(move |tx| {
            let sql = "UPDATE alert SET dismissed_at = ?3
                       WHERE org = ?1 AND dismissed_at IS NULL AND (?2 IS NULL OR id = ?2)";
            let id = which.map(|id| id.0.0.to_vec());
            let put_away = execute(tx.conn, sql, params![organization.as_str(), id, now.as_micros()]);
            Ok(put_away.map_err(failed)? as u64)
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::super::rows::assert_indexed;

    #[test]
    fn entries_and_alerts_are_found_by_index() {
        use super::*;
        let lists = [ASCENDING, DESCENDING, OF_APP_ASCENDING, OF_APP_DESCENDING];
        for sql in lists.iter().chain(&[ALERTS_ASCENDING, ALERTS_DESCENDING, COUNT_ALERTS]) {
            assert_indexed(sql);
        }
    }
}
