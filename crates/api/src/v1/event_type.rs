//! Event types.

use super::Api;
use crate::{
    answer::{ListOut, json, no_content, ok},
    auth::Caller,
    extract::{At, Params, RawBody, patch, present},
    page::PageParams,
    problem::Problem,
};
use axum::{extract::State, response::Response};
use domain::{EventType, EventTypeName, Order, Timestamp};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use service::{
    Patch, Saved,
    event_types::{EventTypeChange, EventTypeInput},
};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(list, create)).routes(routes!(get, update, patch_one, delete))
}

/// Names an event type.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
struct NamePath {
    /// The event type's name.
    event_type_name: String,
}

/// An event type to create.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct EventTypeIn {
    /// Its name, such as `track.started`.
    name: String,
    /// For people.
    description: String,
    /// Not offered any more.
    #[serde(default)]
    archived: bool,
    /// Offered with a warning.
    #[serde(default)]
    deprecated: bool,
    /// A JSON Schema per version.
    #[schema(value_type = Option<Object>)]
    schemas: Option<Map<String, Value>>,
    /// Only application tokens with this flag see it.
    feature_flag: Option<String>,
    /// The family it is shown in.
    #[serde(default, deserialize_with = "patch")]
    #[schema(value_type = Option<String>)]
    group_name: Patch<String>,
}

/// An event type to put.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct EventTypeUpdate {
    /// For people.
    description: String,
    /// Not offered any more.
    #[serde(default)]
    archived: bool,
    /// Offered with a warning.
    #[serde(default)]
    deprecated: bool,
    /// A JSON Schema per version.
    #[schema(value_type = Option<Object>)]
    schemas: Option<Map<String, Value>>,
    /// Only application tokens with this flag see it.
    feature_flag: Option<String>,
    /// The family it is shown in.
    #[serde(default, deserialize_with = "patch")]
    #[schema(value_type = Option<String>)]
    group_name: Patch<String>,
}

impl From<EventTypeUpdate> for EventTypeInput {
    fn from(t: EventTypeUpdate) -> Self {
        Self {
            description: t.description,
            archived: t.archived,
            deprecated: t.deprecated,
            schemas: t.schemas,
            feature_flag: t.feature_flag,
            group_name: t.group_name,
        }
    }
}

/// A change of an event type. What is left out stays.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct EventTypePatch {
    /// For people.
    #[serde(default, deserialize_with = "present")]
    description: Option<String>,
    /// Not offered any more.
    #[serde(default, deserialize_with = "present")]
    archived: Option<bool>,
    /// Offered with a warning.
    #[serde(default, deserialize_with = "present")]
    deprecated: Option<bool>,
    /// A JSON Schema per version.
    #[serde(default, deserialize_with = "patch")]
    #[schema(value_type = Option<Object>)]
    schemas: Patch<Map<String, Value>>,
    /// Only application tokens with this flag see it.
    #[serde(default, deserialize_with = "patch")]
    #[schema(value_type = Option<String>)]
    feature_flag: Patch<String>,
    /// The family it is shown in.
    #[serde(default, deserialize_with = "patch")]
    #[schema(value_type = Option<String>)]
    group_name: Patch<String>,
}

impl From<EventTypePatch> for EventTypeChange {
    fn from(t: EventTypePatch) -> Self {
        Self {
            description: t.description,
            archived: t.archived,
            deprecated: t.deprecated,
            schemas: t.schemas,
            feature_flag: t.feature_flag,
            group_name: t.group_name,
        }
    }
}

/// An event type.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct EventTypeOut {
    /// Its name.
    name: String,
    /// For people.
    description: String,
    /// Not offered any more.
    archived: bool,
    /// Offered with a warning.
    deprecated: bool,
    /// A JSON Schema per version.
    #[schema(value_type = Option<Object>)]
    schemas: Option<Map<String, Value>>,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// When it last changed.
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
    /// Only application tokens with this flag see it.
    feature_flag: Option<String>,
    /// The family it is shown in.
    #[serde(skip_serializing_if = "Option::is_none")]
    group_name: Option<String>,
}

impl From<EventType> for EventTypeOut {
    fn from(t: EventType) -> Self {
        Self {
            name: t.name.into(),
            description: t.description,
            archived: t.archived,
            deprecated: t.deprecated,
            schemas: t.schemas,
            created_at: t.created_at,
            updated_at: t.updated_at,
            feature_flag: t.feature_flag.map(Into::into),
            group_name: t.group_name,
        }
    }
}

/// Which event types, and how much of them.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct ListParams {
    /// Archived ones too.
    #[serde(default)]
    include_archived: bool,
    /// With schemas.
    #[serde(default)]
    with_content: bool,
}

/// List event types by name.
#[utoipa::path(get, path = "/api/v1/event-type", operation_id = "v1.event-type.list", tag = "Event Type",
    params(PageParams, ListParams), responses((status = 200, body = ListOut<EventTypeOut>)))]
async fn list(
    State(api): State<Api>,
    caller: Caller,
    Params(page): Params<PageParams>,
    Params(params): Params<ListParams>,
) -> Result<Response, Problem> {
    let mut page = page.query(Order::Ascending, EventTypeName::new)?;
    // Svix takes the parameter and sorts by name anyhow.
    page.order = Order::Ascending;
    let page = api.service.event_types(&caller.0, params.include_archived, params.with_content, page).await?;
    Ok(ok(&ListOut::of(page, |t| t.name.to_string(), EventTypeOut::from)))
}

/// Create an event type, or bring an archived one back.
#[utoipa::path(post, path = "/api/v1/event-type", operation_id = "v1.event-type.create", tag = "Event Type",
    request_body = EventTypeIn, responses((status = 201, body = EventTypeOut)))]
async fn create(State(api): State<Api>, caller: Caller, body: RawBody) -> Result<Response, Problem> {
    caller.0.must_be_organization()?;
    let t: EventTypeIn = body.json()?;
    let input = EventTypeInput {
        description: t.description,
        archived: t.archived,
        deprecated: t.deprecated,
        schemas: t.schemas,
        feature_flag: t.feature_flag,
        group_name: t.group_name,
    };
    let created = api.service.create_event_type(&caller.0, &t.name, input).await?;
    Ok(json(StatusCode::CREATED, &EventTypeOut::from(created)))
}

/// Get an event type.
#[utoipa::path(get, path = "/api/v1/event-type/{event_type_name}", operation_id = "v1.event-type.get",
    tag = "Event Type", params(NamePath), responses((status = 200, body = EventTypeOut)))]
async fn get(State(api): State<Api>, caller: Caller, At(path): At<NamePath>) -> Result<Response, Problem> {
    Ok(ok(&EventTypeOut::from(api.service.event_type(&caller.0, &path.event_type_name).await?)))
}

/// Replace an event type, or create it.
#[utoipa::path(put, path = "/api/v1/event-type/{event_type_name}", operation_id = "v1.event-type.update",
    tag = "Event Type", params(NamePath), request_body = EventTypeUpdate,
    responses((status = 200, body = EventTypeOut), (status = 201, body = EventTypeOut)))]
async fn update(
    State(api): State<Api>,
    caller: Caller,
    At(path): At<NamePath>,
    body: RawBody,
) -> Result<Response, Problem> {
    caller.0.must_be_organization()?;
    let input: EventTypeUpdate = body.json()?;
    Ok(match api.service.put_event_type(&caller.0, &path.event_type_name, input.into()).await? {
        Saved::Created(t) => json(StatusCode::CREATED, &EventTypeOut::from(t)),
        Saved::Existing(t) => ok(&EventTypeOut::from(t)),
    })
}

/// Change an event type.
#[utoipa::path(patch, path = "/api/v1/event-type/{event_type_name}", operation_id = "v1.event-type.patch",
    tag = "Event Type", params(NamePath), request_body = EventTypePatch,
    responses((status = 200, body = EventTypeOut)))]
async fn patch_one(
    State(api): State<Api>,
    caller: Caller,
    At(path): At<NamePath>,
    body: RawBody,
) -> Result<Response, Problem> {
    caller.0.must_be_organization()?;
    let change: EventTypePatch = body.json()?;
    let changed = api.service.patch_event_type(&caller.0, &path.event_type_name, change.into()).await?;
    Ok(ok(&EventTypeOut::from(changed)))
}

/// How an event type is deleted.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct DeleteParams {
    /// Remove it for good instead of archiving it.
    #[serde(default)]
    expunge: bool,
}

/// Archive an event type, or remove it.
#[utoipa::path(delete, path = "/api/v1/event-type/{event_type_name}", operation_id = "v1.event-type.delete",
    tag = "Event Type", params(NamePath, DeleteParams), responses((status = 204)))]
async fn delete(
    State(api): State<Api>,
    caller: Caller,
    At(path): At<NamePath>,
    Params(params): Params<DeleteParams>,
) -> Result<Response, Problem> {
    caller.0.must_be_organization()?;
    api.service.delete_event_type(&caller.0, &path.event_type_name, params.expunge).await?;
    Ok(no_content())
}
