//! Answers of the API that are kept for repeated requests. The other use of their table, messages found again by the
//! hash of a repeated request, belongs to accepting.

use super::{Postgres, rows};
use crate::{
    encode::{open_answer, sealed_answer},
    error::StoreError,
    views::Answer,
};
use domain::Timestamp;

const KEPT: &str = "SELECT status, body FROM idempotency WHERE hash = $1 AND at >= $2 AND status IS NOT NULL";
const KEEP: &str = "INSERT INTO idempotency (hash, at, status, body) VALUES ($1, $2, $3, $4)
    ON CONFLICT (hash) DO UPDATE SET at = $2, app = NULL, message = NULL, status = $3, body = $4";

impl Postgres {
    pub(super) async fn find_answer(&self, hash: [u8; 32], since: Timestamp) -> Result<Option<Answer>, StoreError> {
        let Some(row) = self.pool.read_first(KEPT, &[&&hash[..], &since.as_micros()]).await? else { return Ok(None) };
        let status: i32 = rows::col(&row, 0)?;
        let body: &[u8] = rows::col(&row, 1)?;
        let status = u16::try_from(status).map_err(|_| rows::corrupt("idempotency", "status", "", status))?;
        Ok(Some(Answer { status, body: open_answer(&self.sealer, &hash, body)? }))
    }

    pub(super) async fn store_answer(&self, hash: [u8; 32], answer: &Answer, now: Timestamp) -> Result<(), StoreError> {
        let sealed = sealed_answer(&self.sealer, &hash, &answer.body);
        let kept: [&(dyn tokio_postgres::types::ToSql + Sync); 4] =
            [&&hash[..], &now.as_micros(), &i32::from(answer.status), &sealed];
        self.pool.execute(KEEP, &kept).await.map(|_| ())
    }
}
