//! REST hooks: subscribe, unsubscribe, sample and `me`, as Zapier and its like call them.

use super::{Api, AppPath};
use crate::{
    answer::{json, no_content, ok},
    auth::Caller,
    extract::{At, Params, RawBody, patch},
    problem::Problem,
};
use axum::{extract::State, response::Response};
use domain::{ApplicationId, EndpointId};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use service::{Patch, hooks::Subscription};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(subscribe))
        .routes(routes!(sample))
        .routes(routes!(unsubscribe))
        .routes(routes!(me))
}

/// Whose token it is.
#[derive(Serialize, ToSchema)]
struct MeOut {
    /// The organization.
    organization: String,
    /// The application, if it is an application's token.
    #[serde(skip_serializing_if = "Option::is_none")]
    application: Option<MyApplication>,
}

/// The application that a token is for.
#[derive(Serialize, ToSchema)]
struct MyApplication {
    /// Its id.
    #[schema(value_type = String)]
    id: ApplicationId,
    /// The user's own name for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    uid: Option<String>,
    /// For people.
    name: String,
}

/// Check a token: whose is it?
#[utoipa::path(get, path = "/api/v1/me", operation_id = "v1.me", tag = "REST hooks",
    responses((status = 200, body = MeOut)))]
async fn me(State(api): State<Api>, caller: Caller) -> Result<Response, Problem> {
    let me = api.service.me(&caller.0).await?;
    let application =
        me.application.map(|a| MyApplication { id: a.id, uid: a.uid.map(|uid| uid.to_string()), name: a.name });
    Ok(ok(&MeOut { organization: me.organization.to_string(), application }))
}

/// What to subscribe to.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct SubscribeIn {
    /// Where events go. Also `target_url`, `hookUrl`, `hook_url` or `url`.
    #[serde(alias = "target_url", alias = "hookUrl", alias = "hook_url", alias = "url")]
    target_url: String,
    /// Only this event type. Without one, what endpoints of this application start out with.
    event: Option<String>,
    /// Only these event types.
    events: Option<Vec<String>>,
    /// How payloads are put on the wire.
    #[serde(default, deserialize_with = "patch")]
    #[schema(value_type = Option<String>)]
    format: Patch<String>,
    /// Asks the address first, and subscribes it only if it agrees: `hook-secret` or `cloudevents`.
    #[serde(default, deserialize_with = "patch")]
    #[schema(value_type = Option<String>)]
    handshake: Patch<String>,
}

/// A subscription, which is an endpoint.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct SubscriptionOut {
    /// For unsubscribing.
    #[schema(value_type = String)]
    id: EndpointId,
    /// Where events go.
    target_url: String,
    /// Only these event types.
    events: Option<Vec<String>>,
}

/// Subscribe an address to events.
#[utoipa::path(post, path = "/api/v1/app/{app_id}/hooks", operation_id = "v1.hooks.subscribe", tag = "REST hooks",
    params(AppPath), request_body = SubscribeIn, responses((status = 201, body = SubscriptionOut)))]
async fn subscribe(
    State(api): State<Api>,
    caller: Caller,
    At(path): At<AppPath>,
    body: RawBody,
) -> Result<Response, Problem> {
    let scope = api.service.open(&caller.0, &path.app_id).await?;
    let input: SubscribeIn = body.json()?;
    let event_types = input.events.or(input.event.map(|event| vec![event]));
    let subscription =
        Subscription { target_url: input.target_url, event_types, format: input.format, handshake: input.handshake };
    let endpoint = api.service.subscribe(&scope, subscription).await?;
    let out = SubscriptionOut {
        id: endpoint.id,
        target_url: endpoint.url,
        events: endpoint.event_types.map(|types| types.iter().map(ToString::to_string).collect()),
    };
    Ok(json(StatusCode::CREATED, &out))
}

/// Names a subscription.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
struct HookPath {
    /// The application's id or uid.
    app_id: String,
    /// The subscription's id.
    hook_id: String,
}

/// End a subscription. Also 204 if there is none of this id any more.
#[utoipa::path(delete, path = "/api/v1/app/{app_id}/hooks/{hook_id}", operation_id = "v1.hooks.unsubscribe",
    tag = "REST hooks", params(HookPath), responses((status = 204)))]
async fn unsubscribe(State(api): State<Api>, caller: Caller, At(path): At<HookPath>) -> Result<Response, Problem> {
    let scope = api.service.open(&caller.0, &path.app_id).await?;
    api.service.unsubscribe(&scope, &path.hook_id).await?;
    Ok(no_content())
}

/// Which examples.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct SampleParams {
    /// Of this event type.
    event: String,
    /// In this format; that of the application's new endpoints if absent.
    format: Option<String>,
}

/// Get examples of an event, in the shape in which live events arrive. Always a list.
#[utoipa::path(get, path = "/api/v1/app/{app_id}/hooks/sample", operation_id = "v1.hooks.sample", tag = "REST hooks",
    params(AppPath, SampleParams), responses((status = 200, body = Vec<Object>)))]
async fn sample(
    State(api): State<Api>,
    caller: Caller,
    At(path): At<AppPath>,
    Params(which): Params<SampleParams>,
) -> Result<Response, Problem> {
    let scope = api.service.open(&caller.0, &path.app_id).await?;
    let samples: Vec<Value> = api.service.samples(&scope, &which.event, which.format.as_deref()).await?;
    Ok(ok(&samples))
}
