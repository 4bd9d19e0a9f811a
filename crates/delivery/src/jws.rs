//! Bodies that go out signed: finds the application's key, and signs where it holds up nobody.

use crate::prepare::{Content, NotSent, failed};
use bytes::Bytes;
use domain::{AppKey, FailureReason, Timestamp};
use outbound::jws::{BodySigner, CONTENT_TYPE};
use quick_cache::sync::Cache;
use std::{sync::Arc, time::Duration};
use store::Store;

/// Keys kept ready.
const SIGNERS: usize = 1_000;
/// How long a key is used before the store is asked again: one that was replaced signs that much longer. It is still
/// published then, as the one before.
const ASK_AGAIN: Duration = Duration::from_secs(2);

/// Keys made ready, by application.
pub(crate) struct Signers {
    store: Arc<dyn Store>,
    ready: Cache<AppKey, Ready>,
}

#[derive(Clone)]
struct Ready {
    kid: Arc<str>,
    signer: Arc<BodySigner>,
    asked_at: Timestamp,
}

impl Signers {
    pub(crate) fn new(store: Arc<dyn Store>) -> Self {
        Self { store, ready: Cache::new(SIGNERS) }
    }

    /// The content with its body signed.
    pub(crate) async fn sign(&self, app: AppKey, now: Timestamp, content: Content) -> Result<Content, NotSent> {
        // The members of the body are the token's claims.
        if content.body.iter().find(|b| !b.is_ascii_whitespace()) != Some(&b'{') {
            let why = "the body is not an object: only an object can be sent as a signed token";
            return Err(failed(FailureReason::FormatFailed, why.to_owned()));
        }
        let signer = self.signer(app, now).await?;
        let body = content.body.clone();
        // Half a millisecond of arithmetic.
        let signed = tokio::task::spawn_blocking(move || signer.sign(&body)).await;
        let broken = |why: String| failed(FailureReason::BadRequest, why);
        let token = signed.map_err(|e| broken(format!("signing broke off: {e}")))?;
        let token = token.map_err(|e| broken(e.to_string()))?;
        Ok(Content { body: Bytes::from(token), content_type: CONTENT_TYPE, ..content })
    }

    async fn signer(&self, app: AppKey, now: Timestamp) -> Result<Arc<BodySigner>, NotSent> {
        let kept = self.ready.get(&app);
        if let Some(ready) = &kept
            && now.since(ready.asked_at) < ASK_AGAIN
            && now >= ready.asked_at
        {
            return Ok(ready.signer.clone());
        }
        let set = match self.store.key_set(app).await {
            Ok(Some(set)) => set,
            Ok(None) => {
                let why = "there is no key to sign with: save the endpoint again, which makes one";
                return Err(failed(FailureReason::BadRequest, why.to_owned()));
            }
            Err(error) => {
                tracing::error!(%error, "failed to read the keys that sign bodies");
                // With the one that is known; what it signed can still be checked.
                return match kept {
                    Some(ready) => Ok(ready.signer),
                    None => Err(failed(FailureReason::BadRequest, "the key could not be read".to_owned())),
                };
            }
        };
        let signer = match kept {
            Some(ready) if *ready.kid == *set.current.kid => ready.signer,
            _ => {
                let signer = BodySigner::new(&set.current);
                Arc::new(signer.map_err(|e| failed(FailureReason::BadRequest, e.to_string()))?)
            }
        };
        self.ready.insert(app, Ready { kid: set.current.kid.into(), signer: signer.clone(), asked_at: now });
        Ok(signer)
    }
}
