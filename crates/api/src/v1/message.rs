//! Messages: publishing them, one or many, and reading them.

use super::{Api, AppPath, MessagePath};
use crate::{
    answer::{ListOut, json, no_content, ok},
    auth::Caller,
    extract::{At, EventTypes, Params, RawBody, decode},
    idempotency::{self, Idempotency},
    page::WindowParams,
    problem::Problem,
    v1::application::ApplicationIn,
};
use axum::{
    extract::{FromRequestParts, State},
    response::Response,
};
use bytes::Bytes;
use domain::{MessageId, MessageMeta, Timestamp};
use http::{StatusCode, request::Parts};
use serde::{Deserialize, Serialize};
use serde_json::{Value, value::RawValue};
use service::{
    messages::MessagesOf,
    publish::{BATCH_MAX, NewMessage, Published},
};
use std::borrow::Cow;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

/// The routes that publish.
pub(crate) fn publishing() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(create)).routes(routes!(create_batch))
}

/// The routes that read.
pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(get))
        .routes(routes!(get_raw))
        .routes(routes!(expunge))
        .routes(routes!(precheck))
}

/// What is sent instead of the payload.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct TransformationsParams {
    /// The body, byte for byte.
    raw_payload: Option<String>,
}

/// An event to publish.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct MessageIn<'a> {
    /// What happened, such as `track.started`.
    #[serde(borrow)]
    event_type: Cow<'a, str>,
    /// A JSON object; sent as the bytes that come in.
    #[serde(borrow, alias = "data")]
    #[schema(value_type = Object)]
    payload: &'a RawValue,
    /// Your own id of the event. The same id, type and payload again is answered as the first time.
    #[serde(borrow)]
    event_id: Option<Cow<'a, str>>,
    /// Labels that endpoints can select, at most 10.
    #[serde(borrow)]
    channels: Option<Vec<Cow<'a, str>>>,
    /// What it is found by, at most 5; endpoints do not select by them.
    #[serde(borrow)]
    tags: Option<Vec<Cow<'a, str>>>,
    /// Days until the payload is removed.
    #[schema(minimum = 1, maximum = 90)]
    payload_retention_period: Option<i64>,
    /// Hours until the payload is removed; wins over days.
    #[schema(minimum = 1, maximum = 2160)]
    payload_retention_hours: Option<i64>,
    /// Messages with the same key reach an ordered endpoint one after the other.
    #[serde(borrow)]
    order_key: Option<Cow<'a, str>>,
    /// Made if the application does not exist.
    application: Option<ApplicationIn>,
    /// What is sent instead of the payload.
    transformations_params: Option<TransformationsParams>,
}

impl<'a> MessageIn<'a> {
    /// For the service. `body` is what this was read from.
    fn into_new(self, body: &Bytes) -> NewMessage<'a> {
        let raw = self.transformations_params.and_then(|p| p.raw_payload);
        NewMessage {
            event_type: self.event_type,
            payload: part_of(body, self.payload.get().as_bytes()),
            raw_payload: raw.map(Bytes::from),
            event_id: self.event_id,
            channels: self.channels,
            tags: self.tags,
            order_key: self.order_key,
            retention_days: self.payload_retention_period,
            retention_hours: self.payload_retention_hours,
            application: self.application.map(Into::into),
        }
    }
}

/// Payloads up to this size are copied: sharing would keep the connection's buffer, which is larger, and cost it a new one.
const COPIED: usize = 4096;

/// A part of a body: a copy where it is small, so that it does not keep much more in memory for as long as it waits; shared
/// with it where it is large and most of it.
fn part_of(body: &Bytes, part: &[u8]) -> Bytes {
    if part.len() <= COPIED || part.len() < body.len() / 2 {
        Bytes::copy_from_slice(part)
    } else {
        body.slice_ref(part)
    }
}

/// A message.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct MessageOut<'a> {
    /// Its id; receivers see it in the headers.
    #[schema(value_type = String)]
    id: MessageId,
    /// What happened.
    event_type: &'a str,
    /// The producer's own id.
    event_id: Option<&'a str>,
    /// As it came in; `{"expired": true}` once it is removed.
    #[schema(value_type = Object)]
    payload: Cow<'a, RawValue>,
    /// Labels.
    channels: Option<Vec<&'a str>>,
    /// What it is found by.
    #[serde(skip_serializing_if = "Option::is_none")]
    tags: Option<Vec<&'a str>>,
    /// When it was accepted.
    #[schema(value_type = String, format = DateTime)]
    timestamp: Timestamp,
    /// What it is ordered with.
    #[serde(skip_serializing_if = "Option::is_none")]
    order_key: Option<&'a str>,
}

impl<'a> MessageOut<'a> {
    pub(crate) fn of(meta: &'a MessageMeta, payload: Cow<'a, RawValue>) -> Self {
        Self {
            id: meta.id,
            event_type: meta.event_type.as_str(),
            event_id: meta.event_id.as_ref().map(|id| id.as_str()),
            payload,
            channels: (!meta.channels.is_empty()).then(|| meta.channels.iter().map(|c| c.as_str()).collect()),
            tags: (!meta.tags.is_empty()).then(|| meta.tags.iter().map(|t| t.as_str()).collect()),
            timestamp: meta.created_at,
            order_key: meta.order_key.as_ref().map(|key| key.as_str()),
        }
    }
}

fn raw(json: String) -> Cow<'static, RawValue> {
    Cow::Owned(RawValue::from_string(json).unwrap_or_else(|e| unreachable!("only called with valid JSON: {e}")))
}

/// What stands for a payload that was not asked for.
pub(crate) fn without_payload() -> Cow<'static, RawValue> {
    raw("{}".to_owned())
}

/// A stored payload. Those that are gone say so; a raw one that is no object is wrapped into one, because clients expect
/// an object.
pub(crate) fn stored_payload(payload: Option<&Bytes>) -> Cow<'_, RawValue> {
    let Some(payload) = payload else { return raw(r#"{"expired":true}"#.to_owned()) };
    match serde_json::from_slice::<&RawValue>(payload) {
        Ok(json) if json.get().starts_with('{') => Cow::Borrowed(json),
        _ => raw(serde_json::json!({ "raw": String::from_utf8_lossy(payload) }).to_string()),
    }
}

/// The payload of a message that was just published: what came in, unless this repeats an earlier request.
fn shown<'a>(published: &'a Published, came_in: &'a RawValue, is_raw: bool, with_content: bool) -> Cow<'a, RawValue> {
    match published {
        _ if !with_content => without_payload(),
        Published::New(_) if !is_raw => Cow::Borrowed(came_in),
        _ => stored_payload(published.payload()),
    }
}

fn yes() -> bool {
    true
}

/// How much of a message.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct ContentParams {
    /// With payload or response.
    #[serde(default = "yes")]
    pub(crate) with_content: bool,
}

/// Which messages.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct ChannelParams {
    /// Only messages with this channel.
    channel: Option<String>,
    /// Only messages with this tag.
    tag: Option<String>,
}

/// Only messages of these types.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code)] // Only described here; `EventTypes` reads it, in more spellings.
pub(crate) struct EventTypesParams {
    /// Only messages of these types, separated by commas.
    #[param(style = Form, explode = false)]
    event_types: Option<Vec<String>>,
}

/// What every list of messages and attempts is narrowed by: [`WindowParams`], [`ChannelParams`], [`EventTypesParams`] and
/// [`ContentParams`] together.
pub(crate) struct Listing {
    pub(crate) window: WindowParams,
    pub(crate) of: MessagesOf,
    pub(crate) with_content: bool,
}

impl<S: Send + Sync> FromRequestParts<S> for Listing {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Params(window) = Params::from_request_parts(parts, state).await?;
        let Params(ChannelParams { channel, tag }) = Params::from_request_parts(parts, state).await?;
        let Params(ContentParams { with_content }) = Params::from_request_parts(parts, state).await?;
        let EventTypes(event_types) = EventTypes::from_request_parts(parts, state).await?;
        Ok(Self { window, of: MessagesOf { event_types, channel, tag }, with_content })
    }
}

/// Publish an event. It is on disk when this answers.
#[utoipa::path(post, path = "/api/v1/app/{app_id}/msg", operation_id = "v1.message.create", tag = "Message",
    params(AppPath, ContentParams), request_body = MessageIn, responses((status = 202, body = MessageOut)))]
async fn create(
    State(api): State<Api>,
    caller: Caller,
    At(path): At<AppPath>,
    Params(content): Params<ContentParams>,
    Idempotency(hash): Idempotency,
    body: RawBody,
) -> Result<Response, Problem> {
    caller.0.must_be_organization()?;
    let message: MessageIn<'_> = body.json()?;
    let came_in = message.payload;
    let message = message.into_new(&body.0);
    let is_raw = message.raw_payload.is_some();
    let published = api.service.publish(&caller.0, &path.app_id, message, hash).await?;
    let payload = shown(&published, came_in, is_raw, content.with_content);
    Ok(json(StatusCode::ACCEPTED, &MessageOut::of(published.meta(), payload)))
}

/// Events to publish together.
#[derive(Deserialize, ToSchema)]
struct MessageBatchIn<'a> {
    /// At most 1,000, each like the body of a single one.
    #[serde(borrow)]
    #[schema(value_type = Vec<MessageIn>)]
    messages: Vec<&'a RawValue>,
}

/// What became of one of several events.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
enum BatchItem<'a> {
    /// It is on disk.
    Accepted {
        /// 202.
        status: u16,
        /// The message.
        message: MessageOut<'a>,
    },
    /// It was refused.
    Refused {
        /// What a single publish would have answered with.
        status: u16,
        /// What a single publish would have answered.
        #[schema(value_type = Object)]
        error: Value,
    },
}

impl BatchItem<'_> {
    fn refused(problem: &Problem) -> Self {
        Self::Refused { status: problem.status().as_u16(), error: problem.body() }
    }
}

/// What became of several events.
#[derive(Serialize, ToSchema)]
struct MessageBatchOut<'a> {
    /// In the order given.
    data: Vec<BatchItem<'a>>,
}

/// Publish up to 1,000 events in one commit, each on its own: what is wrong with one does not harm the others.
#[utoipa::path(post, path = "/api/v1/app/{app_id}/msg/batch", operation_id = "v1.message.create-batch",
    tag = "Message", params(AppPath, ContentParams), request_body = MessageBatchIn,
    responses((status = 200, body = MessageBatchOut)))]
async fn create_batch(
    State(api): State<Api>,
    caller: Caller,
    At(path): At<AppPath>,
    Params(content): Params<ContentParams>,
    Idempotency(hash): Idempotency,
    body: RawBody,
) -> Result<Response, Problem> {
    caller.0.must_be_organization()?;
    let batch: MessageBatchIn<'_> = body.json()?;
    if batch.messages.len() > BATCH_MAX {
        return Err(Problem::field(&["body", "messages"], format!("At most {BATCH_MAX} messages at once.")));
    }
    let mut messages = Vec::with_capacity(batch.messages.len());
    let mut read = Vec::with_capacity(batch.messages.len());
    for (index, item) in batch.messages.iter().enumerate() {
        read.push(decode::<MessageIn<'_>>(item.get().as_bytes()).map(|message| {
            let came_in = message.payload;
            let message = message.into_new(&body.0);
            let is_raw = message.raw_payload.is_some();
            messages.push((message, hash.and_then(|hash| idempotency::of_item(hash, index))));
            (came_in, is_raw)
        }));
    }
    let published = api.service.publish_batch(&caller.0, &path.app_id, messages).await?;
    let mut published = published.iter();
    let data = read.iter().map(|item| match item {
        Err(problem) => BatchItem::refused(problem),
        Ok((came_in, is_raw)) => match published.next() {
            Some(Ok(p)) => {
                let payload = shown(p, came_in, *is_raw, content.with_content);
                BatchItem::Accepted { status: 202, message: MessageOut::of(p.meta(), payload) }
            }
            Some(Err(e)) => BatchItem::refused(&Problem::from(e.clone())),
            None => BatchItem::refused(&Problem::Panicked),
        },
    });
    Ok(ok(&MessageBatchOut { data: data.collect() }))
}

/// List messages, newest first.
#[utoipa::path(get, path = "/api/v1/app/{app_id}/msg", operation_id = "v1.message.list", tag = "Message",
    params(AppPath, WindowParams, ChannelParams, EventTypesParams, ContentParams),
    responses((status = 200, body = ListOut<MessageOut>)))]
async fn list(
    State(api): State<Api>,
    caller: Caller,
    At(path): At<AppPath>,
    listing: Listing,
) -> Result<Response, Problem> {
    let scope = api.service.open(&caller.0, &path.app_id).await?;
    let Listing { window, of, with_content } = listing;
    let window = window.window(|id| id.parse::<MessageId>().map(|id| id.0))?;
    let page = api.service.messages(&scope, &window, &of, with_content).await?;
    let list = ListOut::of(
        page.as_ref(),
        |m| m.meta.id.to_string(),
        |m| {
            let payload = if with_content { stored_payload(m.payload.as_ref()) } else { without_payload() };
            MessageOut::of(&m.meta, payload)
        },
    );
    Ok(ok(&list))
}

/// Get a message.
#[utoipa::path(get, path = "/api/v1/app/{app_id}/msg/{msg_id}", operation_id = "v1.message.get", tag = "Message",
    params(MessagePath, ContentParams), responses((status = 200, body = MessageOut)))]
async fn get(
    State(api): State<Api>,
    caller: Caller,
    At(path): At<MessagePath>,
    Params(content): Params<ContentParams>,
) -> Result<Response, Problem> {
    let scope = api.service.open(&caller.0, &path.app_id).await?;
    let message = api.service.message(&scope, &path.msg_id, content.with_content).await?;
    let payload = if content.with_content { stored_payload(message.payload.as_ref()) } else { without_payload() };
    Ok(ok(&MessageOut::of(&message.meta, payload)))
}

/// A payload as text.
#[derive(Serialize, ToSchema)]
struct MessageRawPayloadOut<'a> {
    /// The bytes that are sent.
    payload: Cow<'a, str>,
}

/// Get a message's payload as the text that is sent.
#[utoipa::path(get, path = "/api/v1/app/{app_id}/msg/{msg_id}/raw", operation_id = "v1.message.get-raw-payload",
    tag = "Message", params(MessagePath), responses((status = 200, body = MessageRawPayloadOut)))]
async fn get_raw(State(api): State<Api>, caller: Caller, At(path): At<MessagePath>) -> Result<Response, Problem> {
    let scope = api.service.open(&caller.0, &path.app_id).await?;
    let message = api.service.message(&scope, &path.msg_id, true).await?;
    let payload = message.payload.ok_or(service::ServiceError::MissingPayload)?;
    Ok(ok(&MessageRawPayloadOut { payload: String::from_utf8_lossy(&payload) }))
}

/// Remove a message's payload for good.
#[utoipa::path(delete, path = "/api/v1/app/{app_id}/msg/{msg_id}/content", tag = "Message",
    operation_id = "v1.message.expunge-content", params(MessagePath), responses((status = 204)))]
async fn expunge(State(api): State<Api>, caller: Caller, At(path): At<MessagePath>) -> Result<Response, Problem> {
    let scope = api.service.open_managed(&caller.0, &path.app_id).await?;
    api.service.expunge_payload(&scope, &path.msg_id).await?;
    Ok(no_content())
}

/// A message that might be published.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct MessagePrecheckIn {
    /// Of this type.
    event_type: String,
    /// With these channels.
    channels: Option<Vec<String>>,
}

/// Whether a message would reach anybody.
#[derive(Serialize, ToSchema)]
struct MessagePrecheckOut {
    /// Whether any endpoint would take it.
    active: bool,
}

/// Ask whether a message would reach any endpoint.
#[utoipa::path(post, path = "/api/v1/app/{app_id}/msg/precheck/active", operation_id = "v1.message.precheck",
    tag = "Message", params(AppPath), request_body = MessagePrecheckIn,
    responses((status = 200, body = MessagePrecheckOut)))]
async fn precheck(
    State(api): State<Api>,
    caller: Caller,
    At(path): At<AppPath>,
    body: RawBody,
) -> Result<Response, Problem> {
    let scope = api.service.open(&caller.0, &path.app_id).await?;
    let input: MessagePrecheckIn = body.json()?;
    let active = api.service.would_reach_any(&scope, &input.event_type, input.channels.as_deref()).await?;
    Ok(ok(&MessagePrecheckOut { active }))
}
