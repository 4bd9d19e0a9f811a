//! A tool's subscriptions.

use super::{Bearer, LtiErrorOut, LtiProblem, params::Params};
use crate::{
    answer::ok,
    extract::{At, RawBody},
    v1::Api,
};
use axum::{extract::State, response::Response};
use domain::{
    Timestamp,
    lti::{SubscriptionId, ToolGuid},
};
use http::{HeaderMap, HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};
use serde_json::json;
use service::lti::{LtiError, SUBSCRIPTIONS, StartKey, SubscriptionView, ToolActor};
use std::collections::BTreeSet;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

const START_KEY: HeaderName = HeaderName::from_static("startkey");
const END_KEY: HeaderName = HeaderName::from_static("endkey");

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(create, list)).routes(routes!(show, update, remove))
}

/// Names a subscription.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
struct SubscriptionPath {
    /// The subscription's `Id`.
    id: String,
}

/// What a tool subscribes to. As JSON, or form-encoded: `subscription[EventTypes][]=…`.
#[derive(ToSchema)]
#[allow(dead_code)] // Only described here; `Params` reads it.
struct ToolSubscriptionIn {
    /// The subscription.
    subscription: ToolSubscriptionFields,
}

/// The fields of a subscription.
#[derive(ToSchema)]
#[schema(rename_all = "PascalCase")]
#[allow(dead_code)] // Only described here; `Params` reads it.
struct ToolSubscriptionFields {
    /// An account's uuid, or a numeric id in its short or its long form.
    context_id: String,
    /// `assignment`, `course`, `account` or `root_account`.
    context_type: String,
    /// Event types in either spelling, or `all`.
    event_types: Vec<String>,
    /// `live-event` or `caliper`.
    format: String,
    /// `https` or `sqs`.
    transport_type: String,
    /// Where to.
    transport_metadata: TransportMetadata,
}

/// Where a subscription's events go.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
struct TransportMetadata {
    /// An address, or a queue's URL or ARN.
    url: String,
}

/// A subscription of a tool.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
struct ToolSubscriptionOut {
    /// Its id; deliveries carry it.
    #[schema(value_type = String)]
    id: SubscriptionId,
    /// The context's id, as it was given.
    context_id: String,
    /// The kind of context.
    context_type: &'static str,
    /// Event types.
    event_types: Vec<String>,
    /// `live-event` or `caliper`.
    format: &'static str,
    /// `https` or `sqs`.
    transport_type: &'static str,
    /// Where to.
    transport_metadata: TransportMetadata,
    /// The root account.
    root_account_id: String,
    /// The root account.
    #[serde(rename = "RootAccountUUID")]
    root_account_uuid: String,
    /// The key of the tool's vendor.
    developer_key: String,
    /// Event types of background jobs, where they were given apart.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<String>>)]
    system_event_types: Option<BTreeSet<String>>,
    /// Event types of web requests, where they were given apart.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<String>>)]
    user_event_types: Option<BTreeSet<String>>,
    /// Only events of assignments that this tool checks.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    associated_integration_id: Option<ToolGuid>,
    /// `Active`, or `Inactive` if it was switched off.
    state: &'static str,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// When it last changed.
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
}

impl From<SubscriptionView> for ToolSubscriptionOut {
    fn from(v: SubscriptionView) -> Self {
        Self {
            id: v.subscription.id,
            context_id: v.subscription.context_id,
            context_type: v.subscription.context_type.name(),
            event_types: v.event_types,
            format: v.format,
            transport_type: v.transport,
            transport_metadata: TransportMetadata { url: v.url },
            root_account_id: v.account_id.to_string(),
            root_account_uuid: v.account_uuid,
            developer_key: v.developer_key.to_string(),
            system_event_types: v.subscription.system_event_types,
            user_event_types: v.subscription.user_event_types,
            associated_integration_id: v.subscription.integration,
            state: if v.active { "Active" } else { "Inactive" },
            created_at: v.created_at,
            updated_at: v.updated_at,
        }
    }
}

async fn tool(api: &Api, token: &Bearer, method: &str) -> Result<ToolActor, LtiProblem> {
    Ok(api.service.tool_of(token.0.as_deref(), SUBSCRIPTIONS, method).await?)
}

/// Subscribe a tool. The subscription is an endpoint of the root account's application.
#[utoipa::path(post, path = "/api/lti/subscriptions", operation_id = "lti.subscriptions.create", tag = "LTI",
    security(("HTTPBearer" = [])), request_body = ToolSubscriptionIn, responses((status = 200, body = ToolSubscriptionOut),
    (status = 400, body = LtiErrorOut, description = "The subscription cannot be."),
    (status = 401, body = LtiErrorOut, description = "The token, an event type or the context is not the tool's.")))]
async fn create(
    State(api): State<Api>,
    token: Bearer,
    headers: HeaderMap,
    body: RawBody,
) -> Result<Response, LtiProblem> {
    let actor = tool(&api, &token, "POST").await?;
    let input = Params::read(&headers, &body.0).subscription();
    let created = api.service.create_subscription(&actor, input).await?;
    Ok(ok(&ToolSubscriptionOut::from(created)))
}

/// List the tool's subscriptions, 100 on a page. If more follow, the answer's header `EndKey` is the next request's
/// `StartKey`.
#[utoipa::path(get, path = "/api/lti/subscriptions", operation_id = "lti.subscriptions.list", tag = "LTI",
    security(("HTTPBearer" = [])), params(("StartKey" = Option<String>, Header, description = "The `EndKey` of the page before.")),
    responses((status = 200, body = Vec<ToolSubscriptionOut>, headers(("EndKey" = String, description = "Where the next page begins."))),
    (status = 401, body = LtiErrorOut, description = "The token is not good for this.")))]
async fn list(State(api): State<Api>, token: Bearer, headers: HeaderMap) -> Result<Response, LtiProblem> {
    let actor = tool(&api, &token, "GET").await?;
    let start = headers.get(START_KEY).map(start_key).transpose()?;
    let page = api.service.subscriptions(&actor, start).await?;
    let developer_key = page.items.last().map(|last| last.developer_key.to_string());
    let items: Vec<_> = page.items.into_iter().map(ToolSubscriptionOut::from).collect();
    let mut response = ok(&items);
    if let Some(StartKey(id)) = page.next {
        let key = json!({"Id": id, "DeveloperKey": developer_key}).to_string();
        if let Ok(value) = HeaderValue::from_str(&key) {
            response.headers_mut().insert(END_KEY, value);
        }
    }
    Ok(response)
}

fn start_key(header: &HeaderValue) -> Result<StartKey, LtiError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Key {
        id: SubscriptionId,
    }
    let key: Key = serde_json::from_slice(header.as_bytes()).map_err(|_| LtiError::InvalidStartKey)?;
    Ok(StartKey(key.id))
}

/// Get one of the tool's subscriptions.
#[utoipa::path(get, path = "/api/lti/subscriptions/{id}", operation_id = "lti.subscriptions.get", tag = "LTI",
    security(("HTTPBearer" = [])), params(SubscriptionPath), responses((status = 200, body = ToolSubscriptionOut),
    (status = 401, body = LtiErrorOut, description = "The token is not good for this."),
    (status = 404, body = Object, description = "The tool has no such subscription.")))]
async fn show(State(api): State<Api>, At(path): At<SubscriptionPath>, token: Bearer) -> Result<Response, LtiProblem> {
    let actor = tool(&api, &token, "GET").await?;
    let found = api.service.subscription(&actor, &path.id).await?;
    Ok(ok(&ToolSubscriptionOut::from(found)))
}

/// Replace one of the tool's subscriptions.
#[utoipa::path(put, path = "/api/lti/subscriptions/{id}", operation_id = "lti.subscriptions.update", tag = "LTI",
    security(("HTTPBearer" = [])), params(SubscriptionPath), request_body = ToolSubscriptionIn,
    responses((status = 200, body = ToolSubscriptionOut),
    (status = 400, body = LtiErrorOut, description = "The subscription cannot be."),
    (status = 401, body = LtiErrorOut, description = "The token, an event type or the context is not the tool's."),
    (status = 404, body = Object, description = "The tool has no such subscription.")))]
async fn update(
    State(api): State<Api>,
    At(path): At<SubscriptionPath>,
    token: Bearer,
    headers: HeaderMap,
    body: RawBody,
) -> Result<Response, LtiProblem> {
    let actor = tool(&api, &token, "PUT").await?;
    let input = Params::read(&headers, &body.0).subscription();
    let saved = api.service.update_subscription(&actor, &path.id, input).await?;
    Ok(ok(&ToolSubscriptionOut::from(saved)))
}

/// End one of the tool's subscriptions.
#[utoipa::path(delete, path = "/api/lti/subscriptions/{id}", operation_id = "lti.subscriptions.delete", tag = "LTI",
    security(("HTTPBearer" = [])), params(SubscriptionPath), responses((status = 200, body = Object),
    (status = 401, body = LtiErrorOut, description = "The token is not good for this."),
    (status = 404, body = Object, description = "The tool has no such subscription.")))]
async fn remove(State(api): State<Api>, At(path): At<SubscriptionPath>, token: Bearer) -> Result<Response, LtiProblem> {
    let actor = tool(&api, &token, "DELETE").await?;
    api.service.delete_subscription(&actor, &path.id).await?;
    Ok(ok(&json!({})))
}
