//! What an endpoint is sent on request: an example, what failed, what it missed.

use super::{Api, EndpointPath};
use crate::{
    answer::{json, no_content, ok},
    auth::Caller,
    extract::{At, RawBody, patch},
    problem::Problem,
    v1::{
        background_task::TaskOut,
        message::{MessageOut, without_payload},
    },
};
use axum::{extract::State, response::Response};
use bytes::Bytes;
use domain::Timestamp;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use service::{
    Patch,
    dry_run::{DryRun, DryRunInput, DryRunResult},
};
use std::collections::BTreeMap;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(send_example))
        .routes(routes!(dry_run))
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

/// A message to try, and settings to try it with before they are saved.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct DryRunIn<'a> {
    /// What happened.
    event_type: String,
    /// A JSON object.
    #[serde(borrow)]
    #[schema(value_type = Object)]
    payload: &'a RawValue,
    /// Labels.
    channels: Option<Vec<String>>,
    /// Instead of the endpoint's format.
    #[serde(default, deserialize_with = "patch")]
    #[schema(value_type = Option<String>)]
    format: Patch<String>,
    /// Instead of the endpoint's encoding.
    #[serde(default, deserialize_with = "patch")]
    #[schema(value_type = Option<String>)]
    encoding: Patch<String>,
    /// Instead of the endpoint's filter; null for none.
    #[serde(default, deserialize_with = "patch")]
    #[schema(value_type = Option<String>)]
    filter: Patch<String>,
    /// Instead of the endpoint's transform; null for none.
    #[serde(default, deserialize_with = "patch")]
    #[schema(value_type = Option<String>)]
    transform: Patch<String>,
}

/// Why nothing would be sent.
#[derive(Serialize, ToSchema)]
struct DryRunError {
    /// `payload`, `filter`, `transform` or `format`.
    stage: &'static str,
    /// What is wrong, and where.
    message: String,
}

/// What would be sent.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct DryRunOut {
    /// Whether the endpoint takes messages of this type and with these channels.
    matches: bool,
    /// Whether the filter lets the message through and nothing fails.
    send: bool,
    /// The body as text, the secret in it masked.
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<String>,
    /// The body's type.
    #[serde(skip_serializing_if = "Option::is_none")]
    content_type: Option<&'static str>,
    /// What the format puts beside the body. Signatures and the endpoint's own headers come on top.
    headers: BTreeMap<&'static str, String>,
    /// Why nothing would be sent, if something fails.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<DryRunError>,
}

impl From<DryRun> for DryRunOut {
    fn from(run: DryRun) -> Self {
        let nothing = Self {
            matches: run.matches,
            send: false,
            body: None,
            content_type: None,
            headers: BTreeMap::new(),
            error: None,
        };
        match run.result {
            DryRunResult::FilteredOut => nothing,
            DryRunResult::Fails { stage, message } => {
                Self { error: Some(DryRunError { stage: stage.text(), message }), ..nothing }
            }
            DryRunResult::Send { body, content_type, headers } => Self {
                send: true,
                body: Some(String::from_utf8_lossy(&body).into_owned()),
                content_type: Some(content_type),
                headers: headers.into_iter().collect(),
                ..nothing
            },
        }
    }
}

/// Show what would be sent to this endpoint, without sending it.
#[utoipa::path(post, path = "/api/v1/app/{app_id}/endpoint/{endpoint_id}/dry-run", tag = "Endpoint",
    operation_id = "v1.endpoint.dry-run", params(EndpointPath), request_body = DryRunIn,
    responses((status = 200, body = DryRunOut)))]
async fn dry_run(
    State(api): State<Api>,
    caller: Caller,
    At(path): At<EndpointPath>,
    body: RawBody,
) -> Result<Response, Problem> {
    let scope = api.service.open(&caller.0, &path.app_id).await?;
    let input: DryRunIn<'_> = body.json()?;
    let input = DryRunInput {
        event_type: input.event_type,
        payload: Bytes::copy_from_slice(input.payload.get().as_bytes()),
        channels: input.channels,
        format: input.format,
        encoding: input.encoding,
        filter: input.filter,
        transform: input.transform,
    };
    Ok(ok(&DryRunOut::from(api.service.dry_run(&scope, &path.endpoint_id, input).await?)))
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
