//! What an endpoint is sent on request: an example, what failed, what it missed.

use super::{Api, EndpointPath};
use crate::{
    answer::{json, no_content, ok},
    auth::Caller,
    extract::{At, RawBody},
    problem::Problem,
    v1::{
        background_task::TaskOut,
        message::{MessageOut, without_payload},
    },
};
use axum::{extract::State, response::Response};
use domain::Timestamp;
use http::StatusCode;
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(send_example))
        .routes(routes!(recover))
        .routes(routes!(replay_missing))
        .routes(routes!(cancel_messages))
}

/// Which example.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct EventExampleIn {
    /// The event type whose example is sent; `svix.ping` needs none.
    event_type: String,
    /// Which of its examples, beginning with 0.
    #[serde(default)]
    example_index: usize,
}

/// Send an event type's example to this endpoint.
#[utoipa::path(post, path = "/api/v1/app/{app_id}/endpoint/{endpoint_id}/send-example", tag = "Endpoint",
    operation_id = "v1.endpoint.send-example", params(EndpointPath), request_body = EventExampleIn,
    responses((status = 200, body = MessageOut)))]
async fn send_example(
    State(api): State<Api>,
    caller: Caller,
    At(path): At<EndpointPath>,
    body: RawBody,
) -> Result<Response, Problem> {
    let scope = api.service.open_managed(&caller.0, &path.app_id).await?;
    let input: EventExampleIn = body.json()?;
    let (event_type, index) = (&input.event_type, input.example_index);
    let sent = api.service.send_example(&scope, &path.endpoint_id, event_type, index).await?;
    Ok(ok(&MessageOut::of(sent.meta(), without_payload())))
}

/// A window of time.
#[derive(Deserialize, ToSchema)]
#[schema(as = RecoverIn)]
struct TimesIn {
    /// From this instant on.
    #[schema(value_type = String, format = DateTime)]
    since: Timestamp,
    /// Until before this instant; now if absent.
    #[schema(value_type = Option<String>, format = DateTime)]
    until: Option<Timestamp>,
}

/// Send each failed message of a window once more.
#[utoipa::path(post, path = "/api/v1/app/{app_id}/endpoint/{endpoint_id}/recover", tag = "Endpoint",
    operation_id = "v1.endpoint.recover", params(EndpointPath), request_body = TimesIn,
    responses((status = 202, body = TaskOut)))]
async fn recover(
    State(api): State<Api>,
    caller: Caller,
    At(path): At<EndpointPath>,
    body: RawBody,
) -> Result<Response, Problem> {
    let scope = api.service.open(&caller.0, &path.app_id).await?;
    let times: TimesIn = body.json()?;
    let task = api.service.recover(&scope, &path.endpoint_id, times.since, times.until).await?;
    Ok(json(StatusCode::ACCEPTED, &TaskOut::begun(task)))
}

/// Send each message of a window that was never tried to this endpoint.
#[utoipa::path(post, path = "/api/v1/app/{app_id}/endpoint/{endpoint_id}/replay-missing", tag = "Endpoint",
    operation_id = "v1.endpoint.replay-missing", params(EndpointPath), request_body = TimesIn,
    responses((status = 202, body = TaskOut)))]
async fn replay_missing(
    State(api): State<Api>,
    caller: Caller,
    At(path): At<EndpointPath>,
    body: RawBody,
) -> Result<Response, Problem> {
    let scope = api.service.open(&caller.0, &path.app_id).await?;
    let times: TimesIn = body.json()?;
    let task = api.service.replay_missing(&scope, &path.endpoint_id, times.since, times.until).await?;
    Ok(json(StatusCode::ACCEPTED, &TaskOut::begun(task)))
}

/// Which deliveries to cancel.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct CancelMessagesIn {
    /// Those of messages made before this instant.
    #[schema(value_type = String, format = DateTime)]
    created_before: Timestamp,
}

/// Cancel what waits for this endpoint.
#[utoipa::path(post, path = "/api/v1/app/{app_id}/endpoint/{endpoint_id}/cancel-msgs", tag = "Endpoint",
    operation_id = "v1.endpoint.cancel-msgs", params(EndpointPath), request_body = CancelMessagesIn,
    responses((status = 204)))]
async fn cancel_messages(
    State(api): State<Api>,
    caller: Caller,
    At(path): At<EndpointPath>,
    body: RawBody,
) -> Result<Response, Problem> {
    let scope = api.service.open(&caller.0, &path.app_id).await?;
    let input: CancelMessagesIn = body.json()?;
    api.service.cancel_open(&scope, &path.endpoint_id, input.created_before).await?;
    Ok(no_content())
}
