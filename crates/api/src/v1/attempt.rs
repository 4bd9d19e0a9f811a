//! Attempts, and what was tried where.

use super::{Api, EndpointPath, MessagePath, endpoint::EndpointFields};
use crate::{
    answer::{ListOut, json, no_content, ok},
    auth::Caller,
    extract::{At, Params},
    page::{PageParams, WindowParams},
    problem::Problem,
    v1::message::{
        ChannelParams, ContentParams, EventTypesParams, Listing, MessageOut, stored_payload, without_payload,
    },
};
use axum::{extract::State, response::Response, routing};
use domain::{Attempt, AttemptId, AttemptStatus, EndpointId, MessageId, Order, Timestamp, Trigger};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use service::{attempts::AttemptsLike, messages::MessagesOf};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list_by_endpoint))
        .routes(routes!(list_by_message))
        .routes(routes!(get))
        .routes(routes!(expunge))
        .routes(routes!(list_attempted_messages))
        .routes(routes!(list_attempted_destinations))
        .routes(routes!(resend))
        // Old names that old SDKs still use.
        .route("/api/v1/app/{app_id}/msg/{msg_id}/attempt", routing::get(list_by_message))
        .route("/api/v1/app/{app_id}/msg/{msg_id}/endpoint/{endpoint_id}/attempt", routing::get(list_by_both))
}

/// Names an attempt.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
struct AttemptPath {
    /// The application's id or uid.
    app_id: String,
    /// The message's id or event id.
    msg_id: String,
    /// The attempt's id.
    attempt_id: String,
}

/// Names a message and an endpoint.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
struct DeliveryPath {
    /// The application's id or uid.
    app_id: String,
    /// The message's id or event id.
    msg_id: String,
    /// The endpoint's id or uid.
    endpoint_id: String,
}

/// Which attempts.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct AttemptParams {
    /// 0 success, 1 pending, 2 fail, 3 sending, 4 canceled.
    #[param(minimum = 0, maximum = 4)]
    status: Option<u8>,
    /// 0 for no answer, or 100, 200, 300, 400, 500.
    status_code_class: Option<u16>,
}

fn status(number: Option<u8>) -> Result<Option<AttemptStatus>, Problem> {
    let read = |n| AttemptStatus::from_number(n).ok_or_else(|| Problem::Unreadable(format!("{n} is not a status")));
    number.map(read).transpose()
}

impl AttemptParams {
    fn like(self, messages: MessagesOf) -> Result<AttemptsLike, Problem> {
        if let Some(class) = self.status_code_class
            && !matches!(class, 0 | 100 | 200 | 300 | 400 | 500)
        {
            return Err(Problem::Unreadable(format!("{class} is not a class of statuses")));
        }
        Ok(AttemptsLike { status: status(self.status)?, status_code_class: self.status_code_class, messages })
    }
}

/// Attempts to one endpoint only.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct ToParams {
    /// The endpoint's id or uid.
    endpoint_id: Option<String>,
}

/// An attempt.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct MessageAttemptOut {
    /// Its id.
    #[schema(value_type = String)]
    id: AttemptId,
    /// The message.
    #[schema(value_type = String)]
    msg_id: MessageId,
    /// The endpoint.
    #[schema(value_type = String)]
    endpoint_id: EndpointId,
    /// The address at that time.
    url: String,
    /// When it began.
    #[schema(value_type = String, format = DateTime)]
    timestamp: Timestamp,
    /// 0 success, 1 pending, 2 fail, 3 sending, 4 canceled.
    status: u8,
    /// The same as a word.
    status_text: &'static str,
    /// 0 by schedule, 1 on request.
    trigger_type: u8,
    /// What was answered, or why nothing was.
    response: String,
    /// The HTTP status, 0 if there was none.
    response_status_code: u16,
    /// How long it took.
    response_duration_ms: u32,
}

impl MessageAttemptOut {
    fn of(a: Attempt, with_content: bool) -> Self {
        Self {
            id: a.id,
            msg_id: a.message,
            endpoint_id: a.endpoint,
            url: a.url,
            timestamp: a.at,
            status: a.status as u8,
            status_text: a.status.text(),
            trigger_type: match a.trigger {
                Trigger::Scheduled => 0,
                Trigger::Manual => 1,
            },
            response: if with_content { a.response } else { "{}".to_owned() },
            response_status_code: a.response_status,
            response_duration_ms: a.duration_ms,
        }
    }
}

fn attempt_id(text: &str) -> Result<domain::Ksuid, domain::ids::IdError> {
    text.parse::<AttemptId>().map(|id| id.0)
}

fn page_of_attempts(page: domain::PageOf<Attempt>, with_content: bool) -> Response {
    ok(&ListOut::of(page, |a| a.id.to_string(), |a| MessageAttemptOut::of(a, with_content)))
}

/// List attempts to an endpoint, newest first.
#[utoipa::path(get, path = "/api/v1/app/{app_id}/attempt/endpoint/{endpoint_id}", tag = "Message Attempt",
    operation_id = "v1.message-attempt.list-by-endpoint",
    params(EndpointPath, WindowParams, AttemptParams, ChannelParams, EventTypesParams, ContentParams),
    responses((status = 200, body = ListOut<MessageAttemptOut>)))]
async fn list_by_endpoint(
    State(api): State<Api>,
    caller: Caller,
    At(path): At<EndpointPath>,
    Params(attempts): Params<AttemptParams>,
    listing: Listing,
) -> Result<Response, Problem> {
    let Listing { window, of, with_content } = listing;
    let like = attempts.like(of)?;
    let scope = api.service.open(&caller.0, &path.app_id).await?;
    let window = window.window(attempt_id)?;
    let page = api.service.attempts_to_endpoint(&scope, &path.endpoint_id, &window, &like, with_content).await?;
    Ok(page_of_attempts(page, with_content))
}

/// List attempts of a message, newest first.
#[utoipa::path(get, path = "/api/v1/app/{app_id}/attempt/msg/{msg_id}", tag = "Message Attempt",
    operation_id = "v1.message-attempt.list-by-msg",
    params(MessagePath, WindowParams, AttemptParams, ToParams, ChannelParams, EventTypesParams, ContentParams),
    responses((status = 200, body = ListOut<MessageAttemptOut>)))]
async fn list_by_message(
    State(api): State<Api>,
    caller: Caller,
    At(path): At<MessagePath>,
    Params(attempts): Params<AttemptParams>,
    Params(to): Params<ToParams>,
    listing: Listing,
) -> Result<Response, Problem> {
    of_message(&api, &caller, &path.app_id, &path.msg_id, to.endpoint_id.as_deref(), attempts, listing).await
}

async fn list_by_both(
    State(api): State<Api>,
    caller: Caller,
    At(path): At<DeliveryPath>,
    Params(attempts): Params<AttemptParams>,
    listing: Listing,
) -> Result<Response, Problem> {
    of_message(&api, &caller, &path.app_id, &path.msg_id, Some(&path.endpoint_id), attempts, listing).await
}

/// Both lists of a message's attempts.
async fn of_message(
    api: &Api,
    caller: &Caller,
    app: &str,
    message: &str,
    to: Option<&str>,
    attempts: AttemptParams,
    listing: Listing,
) -> Result<Response, Problem> {
    let Listing { window, of, with_content } = listing;
    let like = attempts.like(of)?;
    let scope = api.service.open(&caller.0, app).await?;
    let window = window.window(attempt_id)?;
    let page = api.service.attempts_of_message(&scope, message, to, &window, &like, with_content).await?;
    Ok(page_of_attempts(page, with_content))
}

/// Get an attempt.
#[utoipa::path(get, path = "/api/v1/app/{app_id}/msg/{msg_id}/attempt/{attempt_id}", tag = "Message Attempt",
    operation_id = "v1.message-attempt.get", params(AttemptPath),
    responses((status = 200, body = MessageAttemptOut)))]
async fn get(State(api): State<Api>, caller: Caller, At(path): At<AttemptPath>) -> Result<Response, Problem> {
    let scope = api.service.open(&caller.0, &path.app_id).await?;
    let attempt = api.service.attempt(&scope, &path.msg_id, &path.attempt_id).await?;
    Ok(ok(&MessageAttemptOut::of(attempt, true)))
}

/// Remove what was answered to an attempt.
#[utoipa::path(delete, path = "/api/v1/app/{app_id}/msg/{msg_id}/attempt/{attempt_id}/content",
    tag = "Message Attempt", operation_id = "v1.message-attempt.expunge-content", params(AttemptPath),
    responses((status = 204)))]
async fn expunge(State(api): State<Api>, caller: Caller, At(path): At<AttemptPath>) -> Result<Response, Problem> {
    let scope = api.service.open_managed(&caller.0, &path.app_id).await?;
    api.service.expunge_attempt(&scope, &path.msg_id, &path.attempt_id).await?;
    Ok(no_content())
}

/// Which attempted messages.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct DeliveryParams {
    /// 0 delivered, 2 failed for good, 3 a next try is planned.
    #[param(minimum = 0, maximum = 4)]
    status: Option<u8>,
}

/// A message with how its latest attempt to an endpoint went.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct EndpointMessageOut<'a> {
    #[serde(flatten)]
    message: MessageOut<'a>,
    /// 0 success, 2 fail, 3 a next try is planned.
    status: u8,
    /// The same as a word.
    status_text: &'static str,
    /// When the next try is planned.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    next_attempt: Option<Timestamp>,
}

/// List messages that were tried to an endpoint, newest first.
#[utoipa::path(get, path = "/api/v1/app/{app_id}/endpoint/{endpoint_id}/msg", tag = "Message Attempt",
    operation_id = "v1.message-attempt.list-attempted-messages",
    params(EndpointPath, WindowParams, DeliveryParams, ChannelParams, EventTypesParams, ContentParams),
    responses((status = 200, body = ListOut<EndpointMessageOut>)))]
async fn list_attempted_messages(
    State(api): State<Api>,
    caller: Caller,
    At(path): At<EndpointPath>,
    Params(delivery): Params<DeliveryParams>,
    listing: Listing,
) -> Result<Response, Problem> {
    let Listing { window, of, with_content } = listing;
    let status = status(delivery.status)?;
    let scope = api.service.open(&caller.0, &path.app_id).await?;
    let window = window.window(|id| id.parse::<MessageId>().map(|id| id.0))?;
    let page = api.service.attempted_messages(&scope, &path.endpoint_id, &window, status, &of, with_content).await?;
    let list = ListOut::of(
        page.as_ref(),
        |m| m.message.meta.id.to_string(),
        |m| {
            let payload = if with_content { stored_payload(m.message.payload.as_ref()) } else { without_payload() };
            let status = if m.next_attempt.is_some() { AttemptStatus::Sending } else { m.latest };
            EndpointMessageOut {
                message: MessageOut::of(&m.message.meta, payload),
                status: status as u8,
                status_text: status.text(),
                next_attempt: m.next_attempt,
            }
        },
    );
    Ok(ok(&list))
}

/// An endpoint with how the latest attempt of a message went there.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct MessageEndpointOut {
    #[serde(flatten)]
    endpoint: EndpointFields,
    /// 0 success, 2 fail.
    status: u8,
    /// The same as a word.
    status_text: &'static str,
    /// When the next try is planned.
    #[schema(value_type = Option<String>, format = DateTime)]
    next_attempt: Option<Timestamp>,
}

/// List endpoints that a message was tried to.
#[utoipa::path(get, path = "/api/v1/app/{app_id}/msg/{msg_id}/endpoint", tag = "Message Attempt",
    operation_id = "v1.message-attempt.list-attempted-destinations", params(MessagePath, PageParams),
    responses((status = 200, body = ListOut<MessageEndpointOut>)))]
async fn list_attempted_destinations(
    State(api): State<Api>,
    caller: Caller,
    At(path): At<MessagePath>,
    Params(page): Params<PageParams>,
) -> Result<Response, Problem> {
    let scope = api.service.open(&caller.0, &path.app_id).await?;
    let page = page.query(Order::Ascending, |id| id.parse::<EndpointId>().map(|id| id.0))?;
    let page = api.service.attempted_destinations(&scope, &path.msg_id, page).await?;
    let list = ListOut::of(
        page,
        |d| d.endpoint.id.to_string(),
        |d| MessageEndpointOut {
            endpoint: (&d.endpoint).into(),
            status: d.latest as u8,
            status_text: d.latest.text(),
            next_attempt: d.next_attempt,
        },
    );
    Ok(ok(&list))
}

/// Nothing to say.
#[derive(Serialize, ToSchema)]
struct EmptyResponse {}

/// Try a message once more.
#[utoipa::path(post, path = "/api/v1/app/{app_id}/msg/{msg_id}/endpoint/{endpoint_id}/resend",
    tag = "Message Attempt", operation_id = "v1.message-attempt.resend", params(DeliveryPath),
    responses((status = 202, body = EmptyResponse)))]
async fn resend(State(api): State<Api>, caller: Caller, At(path): At<DeliveryPath>) -> Result<Response, Problem> {
    let scope = api.service.open(&caller.0, &path.app_id).await?;
    api.service.resend(&scope, &path.msg_id, &path.endpoint_id).await?;
    Ok(json(StatusCode::ACCEPTED, &EmptyResponse {}))
}
