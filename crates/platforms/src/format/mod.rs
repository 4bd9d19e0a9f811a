//! What goes over the wire: pure functions from a message and what its endpoint wants to a body, a content type and
//! headers.
//!
//! The order is always the same: the endpoint's `transform` makes a new payload, then its format puts that on the wire, in its
//! encoding.
//! `standard` without a transform hands the bytes on as they came in, without looking at them.

mod cloudevents;
pub(crate) mod python;
mod thin;

use crate::{
    canvas,
    catalog::Platform,
    expression::{Expression, ExpressionError},
    openedx, replit, teachstack,
};
use bytes::Bytes;
use domain::{ApplicationId, EventTypeName, Json, MessageMeta, Timestamp};
use std::fmt;

pub use domain::format::{Encoding, Format, UnknownFormat};

/// What goes over the wire.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rendered {
    /// The request's body.
    pub body: Bytes,
    /// Its content type.
    pub content_type: &'static str,
    /// Further headers; names in lower case, values in visible ASCII.
    pub headers: Vec<(&'static str, String)>,
}

impl Rendered {
    /// A body of JSON.
    pub(crate) fn json(body: impl Into<Bytes>) -> Self {
        Self { body: body.into(), content_type: "application/json", headers: Vec::new() }
    }
}

/// Why there is nothing to send. Final until the endpoint or the payload changes: a failed attempt.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RenderError {
    /// The endpoint's transform failed.
    #[error("transform: {0}")]
    Transform(ExpressionError),
    /// The payload is not what the format needs.
    #[error("the payload does not fit the format {format}: {problem} (at {path})")]
    Payload {
        /// The format.
        format: Format,
        /// Where in the payload.
        path: String,
        /// What is wrong there.
        problem: String,
    },
    /// The body cannot be a web form.
    #[error("the body {0}: only an object can be sent as a web form; choose the encoding json, or a transform")]
    NoForm(String),
    /// The format has no form for events of this type: they are left out, as if a filter said so.
    #[error("the format {format} has no form for {event_type}")]
    NoSuchForm {
        /// The format.
        format: Format,
        /// The event type.
        event_type: EventTypeName,
    },
    /// The format carries a secret in the body, and the endpoint has none.
    #[error("the format {0} carries a secret in the body, and this endpoint has none: make one in its settings")]
    NoBodySecret(Format),
}

/// What rendering needs to know of an application.
#[derive(Clone, Copy, Debug)]
pub struct ApplicationFacts<'a> {
    /// Its id.
    pub id: ApplicationId,
    /// The user's own name for it.
    pub uid: Option<&'a str>,
    /// Its platform, whose catalogue knows when an event happened and what it is about.
    pub platform: Option<&'static Platform>,
}

/// What rendering needs to know of an endpoint and around it.
#[derive(Clone, Copy)]
pub struct RenderInput<'a> {
    /// How the payload is put on the wire.
    pub format: Format,
    /// In which encoding the body travels.
    pub encoding: Encoding,
    /// Makes the payload anew first.
    pub transform: Option<&'a Expression>,
    /// The secret that travels in the body: the current one, at each try.
    pub body_secret: Option<&'a str>,
    /// Whose message it is.
    pub application: ApplicationFacts<'a>,
    /// Where this server is reached from outside, without a slash at the end: `https://hooks.example.edu`.
    pub public_url: &'a str,
    /// The subscription that asked for it, where a format names one.
    pub subscription_id: Option<&'a str>,
    /// When it is sent, where a format says so.
    pub now: Timestamp,
}

/// What is shown instead of a body secret.
pub const MASKED_SECRET: &str = "********-****-****-****-************";

impl RenderInput<'_> {
    /// The same for showing to people: with [`MASKED_SECRET`] for the secret.
    pub fn masked(self) -> Self {
        Self { body_secret: self.body_secret.map(|_| MASKED_SECRET), ..self }
    }
}

/// Shows all but the secret.
impl fmt::Debug for RenderInput<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RenderInput")
            .field("format", &self.format)
            .field("encoding", &self.encoding)
            .field("transform", &self.transform)
            .field("body_secret", &self.body_secret.map(|_| "…"))
            .field("application", &self.application)
            .field("public_url", &self.public_url)
            .field("subscription_id", &self.subscription_id)
            .field("now", &self.now)
            .finish()
    }
}

/// Renders a message: transform first, then the format, then the encoding.
pub fn render(input: &RenderInput<'_>, meta: &MessageMeta, payload: &Bytes) -> Result<Rendered, RenderError> {
    let payload = match input.transform {
        Some(transform) => transform.transform(payload, meta).map_err(RenderError::Transform)?,
        None => payload.clone(),
    };
    let rendered = match input.format {
        Format::Standard => Rendered::json(payload),
        Format::Replit => replit::render(input.body_secret, &payload)?,
        Format::Teachstack => teachstack::render(input, meta, &payload),
        Format::Cloudevents => cloudevents::structured(input, meta, &payload),
        Format::CloudeventsBinary => cloudevents::binary(input, meta, payload),
        Format::Thin => thin::render(input, meta),
        Format::OpenedxV22 | Format::OpenedxV21 | Format::OpenedxV1 => openedx::render(input, meta, &payload)?,
        Format::LiveEvent => canvas::live_event::render(input, meta, &payload)?,
        Format::Caliper => canvas::caliper::render(input, meta, &payload)?,
    };
    match input.encoding {
        Encoding::Json => Ok(rendered),
        Encoding::Form => as_form(input.format, rendered),
    }
}

/// The same as a web form. Headers stay.
fn as_form(format: Format, rendered: Rendered) -> Result<Rendered, RenderError> {
    let json = Json::parse(&rendered.body).map_err(|e| RenderError::NoForm(format!("cannot be read ({e})")))?;
    let form = python::form(&json, openedx::tuple_in(format));
    let body = form.ok_or_else(|| RenderError::NoForm("is not an object".to_owned()))?;
    Ok(Rendered { body: body.into(), content_type: "application/x-www-form-urlencoded", ..rendered })
}

/// Whether a format has a form for events of a type. Only `caliper` is choosy.
pub fn carries(format: Format, event_type: &EventTypeName) -> bool {
    format != Format::Caliper || canvas::caliper::has_form(event_type)
}

/// Whether a message is to be sent at all: what the endpoint's filter says, or yes.
pub fn should_send(filter: Option<&Expression>, meta: &MessageMeta, payload: &[u8]) -> Result<bool, ExpressionError> {
    filter.map_or(Ok(true), |f| f.accepts(payload, meta))
}

/// When the event happened, as far as its catalogue knows where to look; else when it was accepted.
pub(crate) fn occurred(input: &RenderInput<'_>, meta: &MessageMeta, payload: &[u8]) -> Timestamp {
    let entry = input.application.platform.and_then(|p| p.event_type(&meta.event_type));
    entry
        .and_then(|e| e.occurred_at.as_deref())
        .and_then(|pointer| text_at(payload, pointer))
        .and_then(|text| Timestamp::parse(&text))
        .unwrap_or(meta.created_at)
}

/// The id of what the event is about, if its catalogue knows where to look.
fn subject(input: &RenderInput<'_>, meta: &MessageMeta, payload: &[u8]) -> Option<String> {
    let entry = input.application.platform.and_then(|p| p.event_type(&meta.event_type))?;
    text_at(payload, entry.subject.as_deref()?)
}

/// A text or a number in a payload.
fn text_at(payload: &[u8], pointer: &str) -> Option<String> {
    let value: serde_json::Value = serde_json::from_slice(payload).ok()?;
    match value.pointer(pointer)? {
        serde_json::Value::String(s) => Some(s.clone()),
        serde_json::Value::Number(n) => Some(n.to_string()),
        _ => None,
    }
}

/// `2022-08-14T09:30:05.120Z`: always three digits, always UTC.
pub(crate) fn millis(at: Timestamp) -> String {
    match jiff::Timestamp::from_millisecond(at.as_millis()) {
        Ok(at) => at.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string(),
        // Beyond the year 9999: what the domain writes for it.
        Err(_) => at.to_string(),
    }
}

/// A text as JSON.
pub(crate) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests;
