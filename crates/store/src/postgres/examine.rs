//! What an operator wants to know of a PostgreSQL database before or while nodes use it. Changes nothing that stays.

use super::{
    connect::{Address, Conn, refuse_transaction_pooler},
    rows,
};
use crate::error::StoreError;
use domain::Timestamp;
use std::time::Duration;
use tokio::time::Instant;

/// Commits that are timed.
const COMMITS: usize = 9;

/// What was found.
#[derive(Clone, Debug)]
pub struct Examination {
    /// The server's version.
    pub version: String,
    /// Sessions that the server takes.
    pub max_connections: i64,
    /// Sessions now.
    pub connections: i64,
    /// How long the server takes to answer; the median of a few.
    pub answer: Duration,
    /// How long a commit takes to be on disk; the median of a few.
    pub commit: Duration,
    /// The server's clock.
    pub clock: Timestamp,
    /// Whether tables can be made.
    pub may_create: bool,
    /// Whether it is a standby.
    pub read_only: bool,
    /// Nodes by name, with seconds since they were last seen; none if the tables are not there yet.
    pub nodes: Vec<(String, i64)>,
}

/// Connects and looks.
pub async fn examine(url: &str) -> Result<Examination, StoreError> {
    let address = Address::read(url)?;
    refuse_transaction_pooler(&address).await?;
    let conn = address.connect().await?;
    let row = conn
        .one(
            "SELECT current_setting('server_version'), current_setting('max_connections')::bigint,
                (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'),
                has_schema_privilege(coalesce(current_schema(), 'public'), 'CREATE'), pg_is_in_recovery(),
                to_regclass('node') IS NOT NULL",
            &[],
        )
        .await?;
    let recovering: bool = rows::col(&row, 4)?;
    let nodes = if rows::col::<bool>(&row, 5)? { nodes(&conn).await? } else { Vec::new() };
    let answer = half(&conn, "SELECT 1").await?;
    // Nothing is written but the record that a message was to be logged: the least that a commit syncs.
    let sync = "SELECT pg_logical_emit_message(true, 'schoolbell', 'doctor')";
    let commit = if recovering { Duration::ZERO } else { half(&conn, sync).await? };
    let clock = conn.one("SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint", &[]).await?;
    Ok(Examination {
        version: rows::col(&row, 0)?,
        max_connections: rows::col(&row, 1)?,
        connections: rows::col(&row, 2)?,
        may_create: rows::col(&row, 3)?,
        read_only: recovering,
        answer,
        commit,
        clock: Timestamp::from_micros(rows::col(&clock, 0)?),
        nodes,
    })
}

async fn nodes(conn: &Conn) -> Result<Vec<(String, i64)>, StoreError> {
    let sql = "SELECT name, extract(epoch FROM now() - seen_at)::bigint FROM node WHERE NOT gone ORDER BY name";
    conn.all(sql, &[]).await?.iter().map(|row| Ok((rows::col(row, 0)?, rows::col(row, 1)?))).collect()
}

/// The median time of a statement.
async fn half(conn: &Conn, sql: &str) -> Result<Duration, StoreError> {
    let mut took = Vec::with_capacity(COMMITS);
    for _ in 0..COMMITS {
        let begun = Instant::now();
        conn.batch(sql).await?;
        took.push(begun.elapsed());
    }
    took.sort_unstable();
    Ok(took[COMMITS / 2])
}
