//! Webfilters: keeping them.

mod asking;
mod log;
mod models;

use super::{Api, AppPath};
use crate::{
    answer::{ListOut, json, no_content, ok},
    auth::Caller,
    extract::{At, Params, RawBody},
    idempotency::Idempotency,
    page::PageParams,
    problem::Problem,
};
use axum::{extract::State, response::Response};
use bytes::Bytes;
use domain::{Order, WebfilterId};
use http::StatusCode;
use models::{WebfilterIn, WebfilterOut, WebfilterSecretOut, WebfilterSecretRotateIn};
use serde::Deserialize;
use service::{Saved, idempotency::Answer};
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};

pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(get, update, patch_one, delete))
        .routes(routes!(get_secret))
        .merge(log::routes())
}

/// The routes that are not answered from kept answers: runs would be slower, and secrets must not be kept.
pub(crate) fn unreplayed() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(rotate_secret)).merge(asking::routes())
}

/// Names a webfilter.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
struct WebfilterPath {
    /// The application's id or uid.
    app_id: String,
    /// The webfilter's id or uid.
    webfilter_id: String,
}

/// Which webfilters.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct WebfilterParams {
    /// Only those of this filter.
    filter: Option<String>,
}

/// List an application's webfilters.
#[utoipa::path(get, path = "/api/v1/app/{app_id}/webfilter", operation_id = "v1.webfilter.list", tag = "Webfilter",
    params(AppPath, PageParams, WebfilterParams), responses((status = 200, body = ListOut<WebfilterOut>)))]
async fn list(
    State(api): State<Api>,
    caller: Caller,
    At(path): At<AppPath>,
    Params(page): Params<PageParams>,
    Params(which): Params<WebfilterParams>,
) -> Result<Response, Problem> {
    let scope = api.service.open(&caller.0, &path.app_id).await?;
    let page = page.query(Order::Ascending, |id| id.parse::<WebfilterId>().map(|id| id.0))?;
    let page = api.service.webfilters(&scope, which.filter.as_deref(), page).await?;
    Ok(ok(&ListOut::of(page, |w| w.id.to_string(), WebfilterOut::from)))
}

/// Create a webfilter.
#[utoipa::path(post, path = "/api/v1/app/{app_id}/webfilter", operation_id = "v1.webfilter.create", tag = "Webfilter",
    params(AppPath), request_body = WebfilterIn, responses((status = 201, body = WebfilterOut)))]
async fn create(
    State(api): State<Api>,
    caller: Caller,
    At(path): At<AppPath>,
    body: RawBody,
) -> Result<Response, Problem> {
    let scope = api.service.open(&caller.0, &path.app_id).await?;
    let input: WebfilterIn = body.json()?;
    let created = api.service.create_webfilter(&scope, input.into()).await?;
    Ok(json(StatusCode::CREATED, &WebfilterOut::from(created)))
}

/// Get a webfilter.
#[utoipa::path(get, path = "/api/v1/app/{app_id}/webfilter/{webfilter_id}", operation_id = "v1.webfilter.get",
    tag = "Webfilter", params(WebfilterPath), responses((status = 200, body = WebfilterOut)))]
async fn get(State(api): State<Api>, caller: Caller, At(path): At<WebfilterPath>) -> Result<Response, Problem> {
    let scope = api.service.open(&caller.0, &path.app_id).await?;
    Ok(ok(&WebfilterOut::from(api.service.webfilter(&scope, &path.webfilter_id).await?)))
}

/// Replace a webfilter but for its secret, or create it. What is left out gets its default.
#[utoipa::path(put, path = "/api/v1/app/{app_id}/webfilter/{webfilter_id}", operation_id = "v1.webfilter.update",
    tag = "Webfilter", params(WebfilterPath), request_body = WebfilterIn,
    responses((status = 200, body = WebfilterOut), (status = 201, body = WebfilterOut)))]
async fn update(
    State(api): State<Api>,
    caller: Caller,
    At(path): At<WebfilterPath>,
    body: RawBody,
) -> Result<Response, Problem> {
    let scope = api.service.open(&caller.0, &path.app_id).await?;
    let input: WebfilterIn = body.json()?;
    Ok(match api.service.put_webfilter(&scope, &path.webfilter_id, input.into()).await? {
        Saved::Created(w) => json(StatusCode::CREATED, &WebfilterOut::from(w)),
        Saved::Existing(w) => ok(&WebfilterOut::from(w)),
    })
}

/// Change a webfilter. What is left out stays; null sets the default.
#[utoipa::path(patch, path = "/api/v1/app/{app_id}/webfilter/{webfilter_id}", operation_id = "v1.webfilter.patch",
    tag = "Webfilter", params(WebfilterPath), request_body = WebfilterIn,
    responses((status = 200, body = WebfilterOut)))]
async fn patch_one(
    State(api): State<Api>,
    caller: Caller,
    At(path): At<WebfilterPath>,
    body: RawBody,
) -> Result<Response, Problem> {
    let scope = api.service.open(&caller.0, &path.app_id).await?;
    let input: WebfilterIn = body.json()?;
    let input = service::webfilters::WebfilterInput::from(input);
    Ok(ok(&WebfilterOut::from(api.service.patch_webfilter(&scope, &path.webfilter_id, input.change).await?)))
}

/// Delete a webfilter. Its runs stay in the log.
#[utoipa::path(delete, path = "/api/v1/app/{app_id}/webfilter/{webfilter_id}", operation_id = "v1.webfilter.delete",
    tag = "Webfilter", params(WebfilterPath), responses((status = 204)))]
async fn delete(State(api): State<Api>, caller: Caller, At(path): At<WebfilterPath>) -> Result<Response, Problem> {
    let scope = api.service.open(&caller.0, &path.app_id).await?;
    api.service.delete_webfilter(&scope, &path.webfilter_id).await?;
    Ok(no_content())
}

/// Get what a receiver needs to verify signatures.
#[utoipa::path(get, path = "/api/v1/app/{app_id}/webfilter/{webfilter_id}/secret", tag = "Webfilter",
    operation_id = "v1.webfilter.get-secret", params(WebfilterPath),
    responses((status = 200, body = WebfilterSecretOut)))]
async fn get_secret(State(api): State<Api>, caller: Caller, At(path): At<WebfilterPath>) -> Result<Response, Problem> {
    let scope = api.service.open(&caller.0, &path.app_id).await?;
    Ok(ok(&WebfilterSecretOut { key: api.service.webfilter_secret(&scope, &path.webfilter_id).await? }))
}

/// Replace the secret. The old one goes on signing for a while. Answers with what a receiver needs now.
#[utoipa::path(post, path = "/api/v1/app/{app_id}/webfilter/{webfilter_id}/secret/rotate", tag = "Webfilter",
    operation_id = "v1.webfilter.rotate-secret", params(WebfilterPath), request_body = WebfilterSecretRotateIn,
    responses((status = 200, body = WebfilterSecretOut), (status = 204, description = "The token may not see it.")))]
async fn rotate_secret(
    State(api): State<Api>,
    caller: Caller,
    At(path): At<WebfilterPath>,
    Idempotency(hash): Idempotency,
    body: RawBody,
) -> Result<Response, Problem> {
    let service = &api.service;
    let scope = service.open(&caller.0, &path.app_id).await?;
    let input: WebfilterSecretRotateIn = body.json()?;
    let rotated = |key: Option<String>| key.map_or_else(no_content, |key| ok(&WebfilterSecretOut { key }));
    let (key, grace) = (input.key.as_deref(), input.grace_period_seconds);
    let Some(hash) = hash else {
        return Ok(rotated(service.rotate_webfilter_secret(&scope, &path.webfilter_id, key, grace).await?));
    };
    let _turn = api.turns.wait(hash).await;
    if service.kept_answer(hash).await?.is_some() {
        // Rotated by the first request of this key; what is valid now is read again.
        return Ok(rotated(service.webfilter_secret(&scope, &path.webfilter_id).await.ok()));
    }
    let key = service.rotate_webfilter_secret(&scope, &path.webfilter_id, key, grace).await?;
    let done = Answer { status: StatusCode::NO_CONTENT.as_u16(), body: Bytes::new() };
    if let Err(error) = service.keep_answer(hash, done).await {
        tracing::warn!(%error, "a rotation could not be kept for its idempotency key");
    }
    Ok(rotated(key))
}
