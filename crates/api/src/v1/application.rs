//! Applications.

use super::{
    Api, AppPath,
    endpoint::{EndpointDefaultsIn, EndpointDefaultsOut},
};
use crate::{
    answer::{ListOut, json, no_content, ok},
    auth::Caller,
    extract::{At, Params, RawBody, patch, present},
    page::PageParams,
    problem::Problem,
};
use axum::{extract::State, response::Response};
use domain::{Application, ApplicationId, EndpointDefaults, Order, Retention, RetrySchedule, Timestamp};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use service::{
    Patch, Saved,
    applications::{ApplicationChange, ApplicationExtras, ApplicationInput},
    platform::about,
};
use std::collections::BTreeMap;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(list, create)).routes(routes!(get, update, patch_one, delete))
}

/// How long things are kept.
#[derive(Deserialize, Serialize, ToSchema, Clone, Copy, Debug)]
#[serde(rename_all = "camelCase")]
#[schema(as = Retention)]
pub(crate) struct RetentionIo {
    /// Days until payloads are removed, 1 to 90.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    payload_days: Option<u16>,
    /// Days until messages, deliveries and attempts are removed, 1 to 3650.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    attempt_days: Option<u16>,
}

impl From<RetentionIo> for Retention {
    fn from(r: RetentionIo) -> Self {
        Self { payload_days: r.payload_days, attempt_days: r.attempt_days }
    }
}

impl From<Retention> for RetentionIo {
    fn from(r: Retention) -> Self {
        Self { payload_days: r.payload_days, attempt_days: r.attempt_days }
    }
}

/// An application to create or put.
#[derive(Deserialize, ToSchema, Debug)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ApplicationIn {
    /// For people.
    name: String,
    /// Your own name for it, unique in the organization.
    uid: Option<String>,
    /// Deliveries per second over all endpoints.
    #[schema(minimum = 1)]
    throttle_rate: Option<u16>,
    /// The old name of `throttleRate`.
    #[schema(deprecated)]
    rate_limit: Option<u16>,
    /// Your own notes, at most 4096 bytes as JSON.
    metadata: Option<BTreeMap<String, String>>,
    /// The platform whose catalogue and defaults it has.
    #[serde(default, deserialize_with = "patch")]
    #[schema(value_type = Option<String>)]
    platform: Patch<String>,
    /// Waits between tries, such as `["5s", "5m"]`.
    #[serde(default, deserialize_with = "patch")]
    #[schema(value_type = Option<Vec<String>>)]
    retry_schedule: Patch<RetrySchedule>,
    /// What new endpoints start out with, where it is not to be as the platform says; null: as the platform says.
    #[serde(default, deserialize_with = "patch")]
    #[schema(value_type = Option<EndpointDefaultsIn>)]
    endpoint_defaults: Patch<EndpointDefaultsIn>,
    /// How long things are kept.
    #[serde(default, deserialize_with = "patch")]
    #[schema(value_type = Option<RetentionIo>)]
    retention: Patch<RetentionIo>,
    /// Whether anybody may see the application's event catalogue, at `/catalogue/{app_id}`.
    #[serde(default, deserialize_with = "patch")]
    #[schema(value_type = Option<bool>)]
    public_catalogue: Patch<bool>,
}

impl From<ApplicationIn> for ApplicationInput {
    fn from(a: ApplicationIn) -> Self {
        Self {
            name: a.name,
            uid: a.uid,
            throttle_rate: a.throttle_rate.or(a.rate_limit),
            metadata: a.metadata.unwrap_or_default(),
            extras: ApplicationExtras {
                platform: a.platform,
                retry_schedule: a.retry_schedule,
                endpoint_defaults: a.endpoint_defaults.map(Into::into),
                retention: a.retention.map(Into::into),
                public_catalogue: a.public_catalogue,
            },
        }
    }
}

/// A change of an application. What is left out stays.
#[derive(Deserialize, ToSchema, Debug)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ApplicationPatch {
    /// For people.
    #[serde(default, deserialize_with = "present")]
    name: Option<String>,
    /// Your own name for it, unique in the organization.
    #[serde(default, deserialize_with = "patch")]
    #[schema(value_type = Option<String>)]
    uid: Patch<String>,
    /// Deliveries per second over all endpoints.
    #[serde(default, deserialize_with = "patch")]
    #[schema(value_type = Option<u16>)]
    throttle_rate: Patch<u16>,
    /// The old name of `throttleRate`.
    #[serde(default, deserialize_with = "patch")]
    #[schema(value_type = Option<u16>, deprecated)]
    rate_limit: Patch<u16>,
    /// Your own notes, replaced as a whole.
    #[serde(default, deserialize_with = "patch")]
    #[schema(value_type = Option<BTreeMap<String, String>>)]
    metadata: Patch<BTreeMap<String, String>>,
    /// The platform whose catalogue and defaults it has.
    #[serde(default, deserialize_with = "patch")]
    #[schema(value_type = Option<String>)]
    platform: Patch<String>,
    /// Waits between tries, such as `["5s", "5m"]`.
    #[serde(default, deserialize_with = "patch")]
    #[schema(value_type = Option<Vec<String>>)]
    retry_schedule: Patch<RetrySchedule>,
    /// What new endpoints start out with, where it is not to be as the platform says; null: as the platform says.
    #[serde(default, deserialize_with = "patch")]
    #[schema(value_type = Option<EndpointDefaultsIn>)]
    endpoint_defaults: Patch<EndpointDefaultsIn>,
    /// How long things are kept.
    #[serde(default, deserialize_with = "patch")]
    #[schema(value_type = Option<RetentionIo>)]
    retention: Patch<RetentionIo>,
    /// Whether anybody may see the application's event catalogue, at `/catalogue/{app_id}`.
    #[serde(default, deserialize_with = "patch")]
    #[schema(value_type = Option<bool>)]
    public_catalogue: Patch<bool>,
}

impl From<ApplicationPatch> for ApplicationChange {
    fn from(a: ApplicationPatch) -> Self {
        Self {
            name: a.name,
            uid: a.uid,
            throttle_rate: super::either(a.throttle_rate, a.rate_limit),
            metadata: super::emptied(a.metadata),
            extras: ApplicationExtras {
                platform: a.platform,
                retry_schedule: a.retry_schedule,
                endpoint_defaults: a.endpoint_defaults.map(Into::into),
                retention: a.retention.map(Into::into),
                public_catalogue: a.public_catalogue,
            },
        }
    }
}

/// An application.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ApplicationOut {
    /// Its id.
    #[schema(value_type = String)]
    id: ApplicationId,
    /// For people.
    name: String,
    /// Your own name for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    uid: Option<String>,
    /// Deliveries per second over all endpoints.
    throttle_rate: Option<u16>,
    /// The old name of `throttleRate`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(deprecated)]
    rate_limit: Option<u16>,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// When it last changed.
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
    /// Your own notes.
    metadata: BTreeMap<String, String>,
    /// The platform whose catalogue and defaults it has.
    #[serde(skip_serializing_if = "Option::is_none")]
    platform: Option<String>,
    /// Waits between tries.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<String>>)]
    retry_schedule: Option<RetrySchedule>,
    /// What new endpoints start out with, as was set here or as the platform says; left out if there is nothing to say.
    #[serde(skip_serializing_if = "Option::is_none")]
    endpoint_defaults: Option<EndpointDefaultsOut>,
    /// How long things are kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    retention: Option<RetentionIo>,
    /// Whether anybody may see its event catalogue; left out if not.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    public_catalogue: bool,
}

impl From<Application> for ApplicationOut {
    fn from(a: Application) -> Self {
        let defaults = about(&a).defaults;
        Self {
            id: a.id,
            name: a.name,
            uid: a.uid.map(Into::into),
            throttle_rate: a.throttle_rate,
            rate_limit: a.throttle_rate,
            created_at: a.created_at,
            updated_at: a.updated_at,
            metadata: a.metadata,
            platform: a.options.platform,
            retry_schedule: a.options.retry_schedule,
            public_catalogue: a.options.public_catalogue,
            endpoint_defaults: (defaults != EndpointDefaults::default()).then(|| defaults.into()),
            retention: (!a.options.retention.is_default()).then_some(a.options.retention.into()),
        }
    }
}

fn saved(saved: Saved<Application>) -> Response {
    match saved {
        Saved::Created(app) => json(StatusCode::CREATED, &ApplicationOut::from(app)),
        Saved::Existing(app) => ok(&ApplicationOut::from(app)),
    }
}

/// List applications.
#[utoipa::path(get, path = "/api/v1/app", operation_id = "v1.application.list", tag = "Application",
    params(PageParams), responses((status = 200, body = ListOut<ApplicationOut>)))]
async fn list(State(api): State<Api>, caller: Caller, Params(page): Params<PageParams>) -> Result<Response, Problem> {
    caller.0.must_be_organization()?;
    let page = page.query(Order::Ascending, |id| id.parse::<ApplicationId>().map(|id| id.0))?;
    let page = api.service.applications(&caller.0, page).await?;
    Ok(ok(&ListOut::of(page, |a| a.id.to_string(), ApplicationOut::from)))
}

/// What to do if the uid is in use.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct CreateParams {
    /// Answer with the application that has the uid already, instead of an error.
    #[serde(default)]
    get_if_exists: bool,
}

/// Create an application.
#[utoipa::path(post, path = "/api/v1/app", operation_id = "v1.application.create", tag = "Application",
    params(CreateParams), request_body = ApplicationIn,
    responses((status = 201, body = ApplicationOut), (status = 200, body = ApplicationOut)))]
async fn create(
    State(api): State<Api>,
    caller: Caller,
    Params(params): Params<CreateParams>,
    body: RawBody,
) -> Result<Response, Problem> {
    caller.0.must_be_organization()?;
    let input: ApplicationIn = body.json()?;
    Ok(saved(api.service.create_application(&caller.0, input.into(), params.get_if_exists).await?))
}

/// Get an application.
#[utoipa::path(get, path = "/api/v1/app/{app_id}", operation_id = "v1.application.get", tag = "Application",
    params(AppPath), responses((status = 200, body = ApplicationOut)))]
async fn get(State(api): State<Api>, caller: Caller, At(path): At<AppPath>) -> Result<Response, Problem> {
    let scope = api.service.open(&caller.0, &path.app_id).await?;
    Ok(ok(&ApplicationOut::from(api.service.application(&scope)?.clone())))
}

/// Replace an application, or create it.
#[utoipa::path(put, path = "/api/v1/app/{app_id}", operation_id = "v1.application.update", tag = "Application",
    params(AppPath), request_body = ApplicationIn,
    responses((status = 200, body = ApplicationOut), (status = 201, body = ApplicationOut)))]
async fn update(
    State(api): State<Api>,
    caller: Caller,
    At(path): At<AppPath>,
    body: RawBody,
) -> Result<Response, Problem> {
    caller.0.must_be_organization()?;
    let input: ApplicationIn = body.json()?;
    Ok(saved(api.service.put_application(&caller.0, &path.app_id, input.into()).await?))
}

/// Change an application.
#[utoipa::path(patch, path = "/api/v1/app/{app_id}", operation_id = "v1.application.patch", tag = "Application",
    params(AppPath), request_body = ApplicationPatch, responses((status = 200, body = ApplicationOut)))]
async fn patch_one(
    State(api): State<Api>,
    caller: Caller,
    At(path): At<AppPath>,
    body: RawBody,
) -> Result<Response, Problem> {
    let scope = api.service.open_managed(&caller.0, &path.app_id).await?;
    let change: ApplicationPatch = body.json()?;
    Ok(ok(&ApplicationOut::from(api.service.patch_application(&scope, change.into()).await?)))
}

/// Delete an application with everything below it.
#[utoipa::path(delete, path = "/api/v1/app/{app_id}", operation_id = "v1.application.delete", tag = "Application",
    params(AppPath), responses((status = 204)))]
async fn delete(State(api): State<Api>, caller: Caller, At(path): At<AppPath>) -> Result<Response, Problem> {
    let scope = api.service.open_managed(&caller.0, &path.app_id).await?;
    api.service.delete_application(&scope).await?;
    Ok(no_content())
}
