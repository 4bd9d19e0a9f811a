//! Whether the server lives and can work.

use crate::{answer::json, state::ApiState};
use axum::{Router, extract::State, response::Response, routing::get};
use http::StatusCode;
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};

/// How long the store may take to answer.
const PATIENCE: Duration = Duration::from_secs(3);

/// What is known of each part, in Svix's shape. The database is also queue and cache.
async fn parts(api: &ApiState) -> (bool, Value) {
    let part = match tokio::time::timeout(PATIENCE, api.service.ping()).await {
        Ok(Ok(())) => json!({"status": "ok"}),
        Ok(Err(e)) => json!({"status": "error", "error": e.to_string()}),
        Err(_) => json!({"status": "error", "error": "The database does not answer."}),
    };
    let healthy = part["status"] == "ok";
    (healthy, json!({"database": part, "queue": part, "cache": {"status": "ok"}}))
}

async fn answer(api: &ApiState, failed: StatusCode) -> Response {
    let (healthy, body) = parts(api).await;
    json(if healthy { StatusCode::OK } else { failed }, &body)
}

/// Whether the server can work, for programs that speak Svix's API.
#[utoipa::path(get, path = "/api/v1/health", operation_id = "v1.health.get", tag = "Health", security(()),
    responses((status = 200, description = "Every part works.", body = Value),
        (status = 500, description = "A part fails.", body = Value)))]
pub(crate) async fn get_health(State(api): State<Arc<ApiState>>) -> Response {
    answer(&api, StatusCode::INTERNAL_SERVER_ERROR).await
}

async fn ready(State(api): State<Arc<ApiState>>) -> Response {
    answer(&api, StatusCode::SERVICE_UNAVAILABLE).await
}

/// Whether the server lives; checks nothing else.
#[utoipa::path(get, path = "/api/v1/health/ping", operation_id = "v1.health.ping", tag = "Health", security(()),
    responses((status = 204)))]
pub(crate) async fn alive() -> StatusCode {
    StatusCode::NO_CONTENT
}

/// The routes beside the API.
pub(crate) fn routes() -> Router<Arc<ApiState>> {
    Router::new()
        .route("/health", get(ready))
        .route("/health/ready", get(ready))
        .route("/health/live", get(alive))
        .route("/health/ping", get(alive))
}
