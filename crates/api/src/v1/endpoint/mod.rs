//! Endpoints.

mod defaults;
mod details;
mod models;
mod sending;

pub(crate) use defaults::{EndpointDefaultsIn, EndpointDefaultsOut};
pub(crate) use models::EndpointFields;

use super::{Api, AppPath, EndpointPath};
use crate::{
    answer::{ListOut, json, no_content, ok},
    auth::Caller,
    extract::{At, Params, RawBody},
    page::PageParams,
    problem::Problem,
};
use axum::{extract::State, response::Response};
use domain::{EndpointId, Order};
use http::StatusCode;
use models::{EndpointIn, EndpointOut, EndpointPatch};
use service::Saved;
use utoipa_axum::{router::OpenApiRouter, routes};

pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(get, update, patch_one, delete))
        .merge(details::routes())
        .merge(sending::routes())
}

/// The routes that settle a repeated key by themselves.
pub(crate) fn unreplayed() -> OpenApiRouter<Api> {
    details::rotation()
}

/// List an application's endpoints.
#[utoipa::path(get, path = "/api/v1/app/{app_id}/endpoint", operation_id = "v1.endpoint.list", tag = "Endpoint",
    params(AppPath, PageParams), responses((status = 200, body = ListOut<EndpointOut>)))]
async fn list(
    State(api): State<Api>,
    caller: Caller,
    At(path): At<AppPath>,
    Params(page): Params<PageParams>,
) -> Result<Response, Problem> {
    let scope = api.service.open(&caller.0, &path.app_id).await?;
    let page = page.query(Order::Descending, |id| id.parse::<EndpointId>().map(|id| id.0))?;
    let page = api.service.endpoints(&scope, page).await?;
    Ok(ok(&ListOut::of(page, |e| e.id.to_string(), EndpointOut::from)))
}

/// Create an endpoint.
#[utoipa::path(post, path = "/api/v1/app/{app_id}/endpoint", operation_id = "v1.endpoint.create", tag = "Endpoint",
    params(AppPath), request_body = EndpointIn, responses((status = 201, body = EndpointOut)))]
async fn create(
    State(api): State<Api>,
    caller: Caller,
    At(path): At<AppPath>,
    body: RawBody,
) -> Result<Response, Problem> {
    let scope = api.service.open(&caller.0, &path.app_id).await?;
    let input: EndpointIn = body.json()?;
    let created = api.service.create_endpoint(&scope, input.into()).await?;
    Ok(json(StatusCode::CREATED, &EndpointOut::from(created)))
}

/// Get an endpoint.
#[utoipa::path(get, path = "/api/v1/app/{app_id}/endpoint/{endpoint_id}", operation_id = "v1.endpoint.get",
    tag = "Endpoint", params(EndpointPath), responses((status = 200, body = EndpointOut)))]
async fn get(State(api): State<Api>, caller: Caller, At(path): At<EndpointPath>) -> Result<Response, Problem> {
    let scope = api.service.open(&caller.0, &path.app_id).await?;
    Ok(ok(&EndpointOut::from(api.service.endpoint(&scope, &path.endpoint_id).await?)))
}

/// Replace an endpoint but for its secret, or create it.
#[utoipa::path(put, path = "/api/v1/app/{app_id}/endpoint/{endpoint_id}", operation_id = "v1.endpoint.update",
    tag = "Endpoint", params(EndpointPath), request_body = EndpointIn,
    responses((status = 200, body = EndpointOut), (status = 201, body = EndpointOut)))]
async fn update(
    State(api): State<Api>,
    caller: Caller,
    At(path): At<EndpointPath>,
    body: RawBody,
) -> Result<Response, Problem> {
    let scope = api.service.open(&caller.0, &path.app_id).await?;
    let input: EndpointIn = body.json()?;
    Ok(match api.service.put_endpoint(&scope, &path.endpoint_id, input.into()).await? {
        Saved::Created(e) => json(StatusCode::CREATED, &EndpointOut::from(e)),
        Saved::Existing(e) => ok(&EndpointOut::from(e)),
    })
}

/// Change an endpoint.
#[utoipa::path(patch, path = "/api/v1/app/{app_id}/endpoint/{endpoint_id}", operation_id = "v1.endpoint.patch",
    tag = "Endpoint", params(EndpointPath), request_body = EndpointPatch,
    responses((status = 200, body = EndpointOut)))]
async fn patch_one(
    State(api): State<Api>,
    caller: Caller,
    At(path): At<EndpointPath>,
    body: RawBody,
) -> Result<Response, Problem> {
    let scope = api.service.open(&caller.0, &path.app_id).await?;
    let change: EndpointPatch = body.json()?;
    Ok(ok(&EndpointOut::from(api.service.patch_endpoint(&scope, &path.endpoint_id, change.into()).await?)))
}

/// Delete an endpoint. Its attempts stay readable through the messages.
#[utoipa::path(delete, path = "/api/v1/app/{app_id}/endpoint/{endpoint_id}", operation_id = "v1.endpoint.delete",
    tag = "Endpoint", params(EndpointPath), responses((status = 204)))]
async fn delete(State(api): State<Api>, caller: Caller, At(path): At<EndpointPath>) -> Result<Response, Problem> {
    let scope = api.service.open(&caller.0, &path.app_id).await?;
    api.service.delete_endpoint(&scope, &path.endpoint_id).await?;
    Ok(no_content())
}
