//! What belongs to an endpoint: secret, headers, statistics.

use super::{Api, EndpointPath};
use crate::{
    answer::{no_content, ok},
    auth::Caller,
    extract::{At, Params, RawBody},
    idempotency::Idempotency,
    problem::Problem,
};
use axum::{extract::State, response::Response};
use bytes::Bytes;
use domain::Timestamp;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use service::idempotency::{Answer, IdempotencyHash};
use std::collections::BTreeMap;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(get_secret))
        .routes(routes!(get_body_secret))
        .routes(routes!(get_headers, update_headers, patch_headers))
        .routes(routes!(get_stats))
}

/// Rotation settles a repeated key by itself: an answer with a secret in it must not be kept.
pub(super) fn rotation() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(rotate_secret)).routes(routes!(rotate_body_secret))
}

/// An endpoint's secret as a receiver needs it.
#[derive(Serialize, ToSchema)]
struct EndpointSecretOut {
    /// `whsec_…`, or the public key `whpk_…`.
    key: String,
}

/// Get what a receiver needs to verify signatures.
#[utoipa::path(get, path = "/api/v1/app/{app_id}/endpoint/{endpoint_id}/secret", tag = "Endpoint",
    operation_id = "v1.endpoint.get-secret", params(EndpointPath),
    responses((status = 200, body = EndpointSecretOut)))]
async fn get_secret(State(api): State<Api>, caller: Caller, At(path): At<EndpointPath>) -> Result<Response, Problem> {
    let scope = api.service.open(&caller.0, &path.app_id).await?;
    Ok(ok(&EndpointSecretOut { key: api.service.endpoint_secret(&scope, &path.endpoint_id).await? }))
}

/// A new secret, and how long the old one goes on signing.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct EndpointSecretRotateIn {
    /// The new secret: `whsec_…` or `whsk_…`. Made if absent.
    key: Option<String>,
    /// Seconds for which the old secret goes on signing, 0 to 604800; one day if absent.
    #[schema(minimum = 0, maximum = 604800, default = 86400)]
    grace_period_seconds: Option<i64>,
}

/// Replace the secret. The old one goes on signing for a while. Answers with what a receiver needs now.
#[utoipa::path(post, path = "/api/v1/app/{app_id}/endpoint/{endpoint_id}/secret/rotate", tag = "Endpoint",
    operation_id = "v1.endpoint.rotate-secret", params(EndpointPath), request_body = EndpointSecretRotateIn,
    responses((status = 200, body = EndpointSecretOut), (status = 204, description = "The token may not see it.")))]
async fn rotate_secret(
    State(api): State<Api>,
    caller: Caller,
    At(path): At<EndpointPath>,
    Idempotency(hash): Idempotency,
    body: RawBody,
) -> Result<Response, Problem> {
    let service = &api.service;
    let scope = service.open(&caller.0, &path.app_id).await?;
    let input: EndpointSecretRotateIn = body.json()?;
    let (key, grace) = (input.key.as_deref(), input.grace_period_seconds);
    let Some(hash) = hash else {
        return Ok(rotated(service.rotate_secret(&scope, &path.endpoint_id, key, grace).await?));
    };
    let _turn = api.turns.wait(hash).await;
    if service.kept_answer(hash).await?.is_some() {
        // Rotated by the first request of this key; what is valid now is read again.
        return Ok(rotated(service.endpoint_secret(&scope, &path.endpoint_id).await.ok()));
    }
    let key = service.rotate_secret(&scope, &path.endpoint_id, key, grace).await?;
    keep_that_it_was_done(&api, hash).await;
    Ok(rotated(key))
}

fn rotated(key: Option<String>) -> Response {
    key.map_or_else(no_content, |key| ok(&EndpointSecretOut { key }))
}

/// Get the secret that travels in the body, where the endpoint's format carries one.
#[utoipa::path(get, path = "/api/v1/app/{app_id}/endpoint/{endpoint_id}/body-secret", tag = "Endpoint",
    operation_id = "v1.endpoint.get-body-secret", params(EndpointPath),
    responses((status = 200, body = EndpointSecretOut)))]
async fn get_body_secret(
    State(api): State<Api>,
    caller: Caller,
    At(path): At<EndpointPath>,
) -> Result<Response, Problem> {
    let scope = api.service.open(&caller.0, &path.app_id).await?;
    Ok(ok(&EndpointSecretOut { key: api.service.endpoint_body_secret(&scope, &path.endpoint_id).await? }))
}

/// A new secret for the body.
#[derive(Deserialize, ToSchema)]
struct EndpointBodySecretRotateIn {
    /// A UUID in lower case. Made if absent.
    key: Option<String>,
}

/// Replace the secret that travels in the body, at once: also what is tried again carries the new one.
#[utoipa::path(post, path = "/api/v1/app/{app_id}/endpoint/{endpoint_id}/body-secret/rotate", tag = "Endpoint",
    operation_id = "v1.endpoint.rotate-body-secret", params(EndpointPath), request_body = EndpointBodySecretRotateIn,
    responses((status = 200, body = EndpointSecretOut), (status = 204, description = "The token may not see it.")))]
async fn rotate_body_secret(
    State(api): State<Api>,
    caller: Caller,
    At(path): At<EndpointPath>,
    Idempotency(hash): Idempotency,
    body: RawBody,
) -> Result<Response, Problem> {
    let service = &api.service;
    let scope = service.open(&caller.0, &path.app_id).await?;
    let input: EndpointBodySecretRotateIn = body.json()?;
    let Some(hash) = hash else {
        return Ok(rotated(service.rotate_body_secret(&scope, &path.endpoint_id, input.key.as_deref()).await?));
    };
    let _turn = api.turns.wait(hash).await;
    if service.kept_answer(hash).await?.is_some() {
        return Ok(rotated(service.endpoint_body_secret(&scope, &path.endpoint_id).await.ok()));
    }
    let key = service.rotate_body_secret(&scope, &path.endpoint_id, input.key.as_deref()).await?;
    keep_that_it_was_done(&api, hash).await;
    Ok(rotated(key))
}

/// A repeat of a rotation must not rotate again; the secret itself is not kept.
async fn keep_that_it_was_done(api: &Api, hash: IdempotencyHash) {
    let done = Answer { status: StatusCode::NO_CONTENT.as_u16(), body: Bytes::new() };
    if let Err(error) = api.service.keep_answer(hash, done).await {
        tracing::warn!(%error, "a rotation could not be kept for its idempotency key");
    }
}

/// The headers that are sent along.
#[derive(Serialize, ToSchema)]
struct EndpointHeadersOut {
    /// Those whose values are shown.
    headers: BTreeMap<String, String>,
    /// The names of those whose values are not.
    sensitive: Vec<String>,
}

/// Get the headers that are sent along.
#[utoipa::path(get, path = "/api/v1/app/{app_id}/endpoint/{endpoint_id}/headers", tag = "Endpoint",
    operation_id = "v1.endpoint.get-headers", params(EndpointPath),
    responses((status = 200, body = EndpointHeadersOut)))]
async fn get_headers(State(api): State<Api>, caller: Caller, At(path): At<EndpointPath>) -> Result<Response, Problem> {
    let scope = api.service.open(&caller.0, &path.app_id).await?;
    let shown = api.service.endpoint_headers(&scope, &path.endpoint_id).await?;
    Ok(ok(&EndpointHeadersOut { headers: shown.headers, sensitive: shown.sensitive }))
}

/// All headers to send along.
#[derive(Deserialize, ToSchema)]
struct EndpointHeadersIn {
    /// Value by name.
    headers: BTreeMap<String, String>,
}

/// Replace all headers.
#[utoipa::path(put, path = "/api/v1/app/{app_id}/endpoint/{endpoint_id}/headers", tag = "Endpoint",
    operation_id = "v1.endpoint.update-headers", params(EndpointPath), request_body = EndpointHeadersIn,
    responses((status = 204)))]
async fn update_headers(
    State(api): State<Api>,
    caller: Caller,
    At(path): At<EndpointPath>,
    body: RawBody,
) -> Result<Response, Problem> {
    let scope = api.service.open(&caller.0, &path.app_id).await?;
    let input: EndpointHeadersIn = body.json()?;
    api.service.put_endpoint_headers(&scope, &path.endpoint_id, input.headers).await?;
    Ok(no_content())
}

/// A change of headers.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct EndpointHeadersPatchIn {
    /// Value by name; null removes one.
    headers: BTreeMap<String, Option<String>>,
    /// Names of headers to remove.
    #[serde(default)]
    delete_headers: Vec<String>,
}

/// Add, change or remove single headers.
#[utoipa::path(patch, path = "/api/v1/app/{app_id}/endpoint/{endpoint_id}/headers", tag = "Endpoint",
    operation_id = "v1.endpoint.patch-headers", params(EndpointPath), request_body = EndpointHeadersPatchIn,
    responses((status = 204)))]
async fn patch_headers(
    State(api): State<Api>,
    caller: Caller,
    At(path): At<EndpointPath>,
    body: RawBody,
) -> Result<Response, Problem> {
    let scope = api.service.open(&caller.0, &path.app_id).await?;
    let mut input: EndpointHeadersPatchIn = body.json()?;
    input.headers.extend(input.delete_headers.into_iter().map(|name| (name, None)));
    api.service.patch_endpoint_headers(&scope, &path.endpoint_id, input.headers).await?;
    Ok(no_content())
}

/// Which window.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct StatsParams {
    /// From this instant on; 28 days before the end if absent.
    #[param(value_type = Option<String>, format = DateTime)]
    since: Option<Timestamp>,
    /// Until before this instant; now if absent.
    #[param(value_type = Option<String>, format = DateTime)]
    until: Option<Timestamp>,
}

/// Attempts by status.
#[derive(Serialize, ToSchema)]
struct EndpointStats {
    /// Any 2xx.
    success: u64,
    /// Not tried yet.
    pending: u64,
    /// On the wire.
    sending: u64,
    /// Anything else.
    fail: u64,
    /// Given up on purpose.
    canceled: u64,
}

/// Count an endpoint's attempts.
#[utoipa::path(get, path = "/api/v1/app/{app_id}/endpoint/{endpoint_id}/stats", tag = "Endpoint",
    operation_id = "v1.endpoint.get-stats", params(EndpointPath, StatsParams),
    responses((status = 200, body = EndpointStats)))]
async fn get_stats(
    State(api): State<Api>,
    caller: Caller,
    At(path): At<EndpointPath>,
    Params(window): Params<StatsParams>,
) -> Result<Response, Problem> {
    let scope = api.service.open(&caller.0, &path.app_id).await?;
    let stats = api.service.endpoint_stats(&scope, &path.endpoint_id, window.since, window.until).await?;
    Ok(ok(&EndpointStats { success: stats.success, pending: 0, sending: 0, fail: stats.fail, canceled: 0 }))
}
