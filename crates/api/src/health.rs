//! Whether the server lives and can work, and its figures.

use crate::{answer::json, state::ApiState};
use axum::{
    Router,
    extract::State,
    response::{IntoResponse, Response},
    routing::get,
};
use http::{StatusCode, header};
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
    responses((status = 200, description = "Every part works."), (status = 500, description = "A part fails.")))]
pub(crate) async fn get_health(State(api): State<Arc<ApiState>>) -> Response {
    answer(&api, StatusCode::INTERNAL_SERVER_ERROR).await
}

async fn ready(State(api): State<Arc<ApiState>>) -> Response {
    answer(&api, StatusCode::SERVICE_UNAVAILABLE).await
}

async fn alive() -> StatusCode {
    StatusCode::NO_CONTENT
}

/// The figures in Prometheus' text form.
async fn figures(State(api): State<Arc<ApiState>>) -> Response {
    let Some(handle) = &api.metrics else { return StatusCode::NOT_FOUND.into_response() };
    // Counted when asked for, so that an idle server does not count all the time.
    if let Ok(Ok((open, oldest))) = tokio::time::timeout(PATIENCE, api.service.open_deliveries()).await {
        let age = oldest.map_or(0.0, |due| api.service.now().since(due).as_secs_f64());
        metrics::gauge!("schoolbell_waiting").set(open as f64);
        metrics::gauge!("schoolbell_oldest_waiting_seconds").set(age);
    }
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], handle.render()).into_response()
}

/// The routes beside the API.
pub(crate) fn routes() -> Router<Arc<ApiState>> {
    metrics::describe_gauge!("schoolbell_waiting", "Deliveries that are waiting, held or on the wire.");
    metrics::describe_gauge!(
        "schoolbell_oldest_waiting_seconds",
        "How long ago the oldest delivery that is not settled was due."
    );
    Router::new()
        .route("/health", get(ready))
        .route("/health/ready", get(ready))
        .route("/health/live", get(alive))
        .route("/health/ping", get(alive))
        .route("/api/v1/health/ping", get(alive))
        .route("/metrics", get(figures))
}
