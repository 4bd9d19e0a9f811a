//! The paths below `/api/v1`.

mod application;
mod attempt;
mod audit;
mod authentication;
mod background_task;
mod endpoint;
mod event_type;
mod hooks;
mod lti;
mod message;
mod organization;
mod signing_keys;
mod submission;
mod webfilter;

use crate::{idempotency, openapi, state::ApiState};
use axum::{Router, middleware::from_fn_with_state, routing::post};
use http::StatusCode;
use serde::Deserialize;
use service::Patch;
use std::sync::Arc;
use utoipa::{IntoParams, OpenApi as _, openapi::OpenApi};
use utoipa_axum::{router::OpenApiRouter, routes};

pub(crate) type Api = Arc<ApiState>;

/// Names an application.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct AppPath {
    /// The application's id or uid.
    app_id: String,
}

/// Names an endpoint.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct EndpointPath {
    /// The application's id or uid.
    app_id: String,
    /// The endpoint's id or uid.
    endpoint_id: String,
}

/// Names a message.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct MessagePath {
    /// The application's id or uid.
    app_id: String,
    /// The message's id or event id.
    msg_id: String,
}

/// The routes, and the document that describes them.
pub(crate) fn routes(state: &Api) -> (Router<Api>, OpenApi) {
    // A repeated key is answered from a kept answer everywhere but here: publishing settles it in its own commit, and
    // answers with a token or a secret must not be kept.
    let own = OpenApiRouter::with_openapi(openapi::Base::openapi())
        .merge(message::publishing())
        .merge(authentication::routes())
        .merge(endpoint::unreplayed())
        .merge(webfilter::unreplayed())
        .merge(lti::routes())
        .merge(crate::lti::routes())
        .merge(signing_keys::published())
        .routes(routes!(crate::health::get_health))
        .routes(routes!(crate::health::alive));
    let replayed = OpenApiRouter::new()
        .merge(application::routes())
        .merge(event_type::routes())
        .merge(endpoint::routes())
        .merge(message::routes())
        .merge(attempt::routes())
        .merge(audit::routes())
        .merge(background_task::routes())
        .merge(organization::routes())
        .merge(signing_keys::routes())
        .merge(hooks::routes())
        .merge(submission::routes())
        .merge(webfilter::routes())
        // There is no dead-letter queue to redrive: what failed stays in its table. Known to some scripts.
        .route("/api/v1/admin/redrive-dlq", post(redrive))
        .route_layer(from_fn_with_state(state.clone(), idempotency::replay));
    let (router, document) = own.merge(replayed).split_for_parts();
    (router, openapi::complete(document))
}

async fn redrive(caller: crate::auth::Caller) -> Result<StatusCode, crate::Problem> {
    caller.0.must_be_organization()?;
    Ok(StatusCode::NO_CONTENT)
}

/// A field that has an old name too: the new one wins.
fn either<T>(new: Patch<T>, old: Patch<T>) -> Patch<T> {
    if matches!(new, Patch::Keep) { old } else { new }
}

/// Metadata cannot be absent: null empties it.
fn emptied<T: Default>(metadata: Patch<T>) -> Option<T> {
    match metadata {
        Patch::Keep => None,
        Patch::Clear => Some(T::default()),
        Patch::Set(metadata) => Some(metadata),
    }
}
