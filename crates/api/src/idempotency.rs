//! The header `idempotency-key`: the same request with the same key gets the first answer again.
//!
//! Publishing hands its hash to the store, which keeps it in the same commit as the message. Everything else is answered
//! here from a kept answer.

use crate::{problem::Problem, state::ApiState};
use aws_lc_rs::digest::{Context, SHA256};
use axum::{
    body::{Body, to_bytes},
    extract::{FromRequestParts, Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, Method, StatusCode, header, request::Parts};
use service::idempotency::{Answer, IdempotencyHash};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
};
use tokio::sync::{Mutex as Turn, OwnedMutexGuard};

const HEADER: &str = "idempotency-key";
/// Larger answers are not kept; none of ours is.
const ANSWER_MAX: usize = 1024 * 1024;

/// The hash of a request that names a key.
pub(crate) struct Idempotency(pub(crate) Option<IdempotencyHash>);

impl<S: Send + Sync> FromRequestParts<S> for Idempotency {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Ok(Self(hash(&parts.headers, &parts.uri)))
    }
}

fn hash(headers: &http::HeaderMap, uri: &http::Uri) -> Option<IdempotencyHash> {
    let key = headers.get(HEADER)?.as_bytes();
    if key.is_empty() {
        return None;
    }
    let authorization = headers.get(header::AUTHORIZATION).map(HeaderValue::as_bytes).unwrap_or_default();
    let mut context = Context::new(&SHA256);
    // Each part with its length, so that no two lists of parts run together to the same bytes.
    for part in [key, authorization, uri.path().as_bytes(), uri.query().unwrap_or_default().as_bytes()] {
        context.update(&part.len().to_be_bytes());
        context.update(part);
    }
    finish(context)
}

fn finish(context: Context) -> Option<IdempotencyHash> {
    context.finish().as_ref().try_into().ok()
}

/// The hash of one item of a request with several.
pub(crate) fn of_item(whole: IdempotencyHash, index: usize) -> Option<IdempotencyHash> {
    let mut context = Context::new(&SHA256);
    context.update(&whole);
    context.update(&index.to_be_bytes());
    finish(context)
}

/// Lets requests with the same hash in one after the other.
#[derive(Default)]
pub(crate) struct Turns(Mutex<HashMap<IdempotencyHash, Weak<Turn<()>>>>);

impl Turns {
    /// Waits for the requests before.
    pub(crate) async fn wait(&self, hash: IdempotencyHash) -> OwnedMutexGuard<()> {
        let turn = {
            // Nothing in here panics half-way, so what a poisoned lock guards is whole.
            let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if turns.len() >= 1024 && turns.len() == turns.capacity() {
                turns.retain(|_, turn| turn.strong_count() > 0);
            }
            match turns.get(&hash).and_then(Weak::upgrade) {
                Some(turn) => turn,
                None => {
                    let turn = Arc::new(Turn::new(()));
                    turns.insert(hash, Arc::downgrade(&turn));
                    turn
                }
            }
        };
        turn.lock_owned().await
    }
}

/// Answers a repeated POST as the first time. Only successes are kept.
pub(crate) async fn replay(State(api): State<Arc<ApiState>>, request: Request, next: Next) -> Response {
    if request.method() != Method::POST {
        return next.run(request).await;
    }
    let Some(hash) = hash(request.headers(), request.uri()) else { return next.run(request).await };
    let _turn = api.turns.wait(hash).await;
    match api.service.kept_answer(hash).await {
        Ok(Some(answer)) => again(answer),
        Ok(None) => {
            let response = next.run(request).await;
            if response.status().is_success() { keep(&api, hash, response).await } else { response }
        }
        Err(e) => Problem::from(e).into_response(),
    }
}

fn again(answer: Answer) -> Response {
    let is_empty = answer.body.is_empty();
    let mut response = Response::new(Body::from(answer.body));
    *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::OK);
    if !is_empty {
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    response
}

async fn keep(api: &ApiState, hash: IdempotencyHash, response: Response) -> Response {
    let (parts, body) = response.into_parts();
    let Ok(body) = to_bytes(body, ANSWER_MAX).await else { return Problem::Panicked.into_response() };
    let answer = Answer { status: parts.status.as_u16(), body: body.clone() };
    if let Err(error) = api.service.keep_answer(hash, answer).await {
        // It was done and is answered; only a repetition would be done again.
        tracing::warn!(%error, "an answer could not be kept for its idempotency key");
    }
    Response::from_parts(parts, Body::from(body))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderMap;

    fn of(key: &str, token: &str, uri: &str) -> Option<IdempotencyHash> {
        let mut headers = HeaderMap::new();
        headers.insert(HEADER, key.parse().unwrap());
        headers.insert(header::AUTHORIZATION, token.parse().unwrap());
        hash(&headers, &uri.parse().unwrap())
    }

    #[test]
    fn a_hash_depends_on_key_token_path_and_query_and_on_nothing_else() {
        let first = of("k", "Bearer a", "/api/v1/app?x=1");
        assert!(first.is_some());
        assert_eq!(first, of("k", "Bearer a", "/api/v1/app?x=1"));
        for other in [
            of("k2", "Bearer a", "/api/v1/app?x=1"),
            of("k", "Bearer b", "/api/v1/app?x=1"),
            of("k", "Bearer a", "/api/v1/apps?x=1"),
            of("k", "Bearer a", "/api/v1/app?x=2"),
            of("kB", "earer a", "/api/v1/app?x=1"),
        ] {
            assert_ne!(first, other);
        }
        assert_eq!(of("", "Bearer a", "/"), None);
        assert_ne!(of_item(first.unwrap(), 0), of_item(first.unwrap(), 1));
    }

    #[tokio::test]
    async fn requests_with_the_same_hash_wait_for_each_other() {
        let turns = Turns::default();
        let first = turns.wait([1; 32]).await;
        let _other = turns.wait([2; 32]).await;
        let second = turns.wait([1; 32]);
        tokio::pin!(second);
        assert!(tokio::time::timeout(std::time::Duration::ZERO, &mut second).await.is_err());
        drop(first);
        second.await;
    }
}
