//! Answers that are kept for repeated requests. What a key and a request hash to is the caller's business.

use crate::{Service, error::ServiceError};
use std::time::Duration;
use store::{Answer, IdempotencyHash};

/// How long an answer is kept.
pub const KEPT: Duration = Duration::from_secs(12 * 3600);

impl Service {
    /// The answer that was kept under a hash.
    pub async fn kept_answer(&self, hash: IdempotencyHash) -> Result<Option<Answer>, ServiceError> {
        Ok(self.store.kept_answer(hash, self.now().minus(KEPT)).await?)
    }
    /// Keeps an answer.
    pub async fn keep_answer(&self, hash: IdempotencyHash, answer: Answer) -> Result<(), ServiceError> {
        Ok(self.store.keep_answer(hash, answer, self.now()).await?)
    }
}
