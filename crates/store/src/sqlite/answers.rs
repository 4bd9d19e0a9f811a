//! Answers of the API that are kept for repeated requests. The other use of their table, messages found again by the
//! hash of a repeated request, belongs to accepting.

use super::{
    failed,
    rows::{col, execute, first},
};
use crate::{
    encode::{open_answer, sealed_answer},
    error::StoreError,
    seal::Sealer,
    views::Answer,
};
use domain::Timestamp;
use rusqlite::{Connection, params};

pub(super) fn kept(
    conn: &Connection,
    sealer: &Sealer,
    hash: &[u8; 32],
    not_before: Timestamp,
) -> Result<Option<Answer>, StoreError> {
    first(
        conn,
        "SELECT status, body FROM idempotency WHERE hash = ?1 AND at >= ?2 AND status IS NOT NULL",
        params![hash, not_before.as_micros()],
        |row| {
            let body: Vec<u8> = col(row, 1)?;
            Ok(Answer { status: col(row, 0)?, body: open_answer(sealer, hash, &body)? })
        },
    )
}

pub(super) fn keep(
    conn: &Connection,
    sealer: &Sealer,
    hash: &[u8; 32],
    answer: &Answer,
    now: Timestamp,
) -> Result<(), StoreError> {
    execute(
        conn,
        "INSERT INTO idempotency (hash, at, status, body) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (hash) DO UPDATE SET at = ?2, message = NULL, status = ?3, body = ?4",
        params![hash, now.as_micros(), answer.status, sealed_answer(sealer, hash, &answer.body)],
    )
    .map_err(failed)?;
    Ok(())
}
