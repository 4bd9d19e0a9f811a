//! Open edX: every public event of the platform, in the words of its own event library.
//!
//! Producers publish what was given to the event: the data by the name of its argument, and the event's metadata. What is
//! delivered is what the webhook plugin of the platform sends, to the byte, in the shape of its version 22, of those from 2
//! to 21, or of those before.

mod catalog;
mod play;

use crate::{
    catalog::Platform,
    format::{Format, RenderError, RenderInput, Rendered, python},
};
use domain::{
    EndpointDefaults, EndpointOptions, Json, MessageMeta, Timestamp, json::Members, webfilter::is_credential,
};
use std::sync::LazyLock;

/// The platform.
pub static PLATFORM: Platform = Platform {
    name: "openedx",
    title: "Open edX",
    noun: "site",
    catalog: LazyLock::new(catalog::read),
    defaults: || EndpointDefaults {
        options: EndpointOptions { format: Format::OpenedxV22, ..EndpointOptions::default() },
        body_secret: false,
    },
    warning: None,
    simulate: Some(play::site),
};

/// The event type of a signal: `SESSION_LOGIN_COMPLETED`.
pub fn event_type_of_signal(signal: &str) -> Option<&'static str> {
    catalog::signals().iter().find(|s| s.name == signal).map(|s| s.event_type.as_str())
}

/// The one key of a form, in the formats where it is not a list but a tuple of the original's language.
pub(crate) fn tuple_in(format: Format) -> Option<&'static str> {
    matches!(format, Format::OpenedxV21 | Format::OpenedxV1).then_some("event_metadata_sourcelib")
}

/// The body: the data under the name of its class (or argument), then the metadata.
pub(crate) fn render(input: &RenderInput<'_>, meta: &MessageMeta, payload: &[u8]) -> Result<Rendered, RenderError> {
    let format = input.format;
    let misfit = |path: &str, problem: String| RenderError::Payload { format, path: path.to_owned(), problem };
    let payload = Json::parse(payload).map_err(|e| misfit("", e.to_string()))?;
    let data = member(&payload, "data").and_then(Json::as_object);
    let data = data.ok_or_else(|| misfit("data", "is not an object with the event's data in it".to_owned()))?;
    let mut body = Members::with_capacity(data.len() + 1);
    for (argument, value) in data {
        let key = match format {
            Format::OpenedxV1 => argument.clone(),
            _ => class_of(&payload, meta, argument).ok_or_else(|| {
                misfit(
                    &format!("types.{argument}"),
                    "is missing, and the catalogue does not know this event".to_owned(),
                )
            })?,
        };
        body.insert(key, value.clone());
    }
    body.insert("event_metadata".to_owned(), metadata(&payload, meta));
    let mut body = Json::Object(body);
    if format == Format::OpenedxV22 {
        leave_credentials_out(&mut body);
    }
    let accept = ("accept", "text/plain".to_owned());
    Ok(Rendered { headers: vec![accept], ..Rendered::json(python::json(&body)) })
}

fn member<'a>(value: &'a Json, name: &str) -> Option<&'a Json> {
    value.as_object()?.get(name)
}

/// The dotted name of an argument's class: what the producer says, else what the catalogue knows.
fn class_of(payload: &Json, meta: &MessageMeta, argument: &str) -> Option<String> {
    if let Some(Json::Text(class)) = member(payload, "types").and_then(|types| member(types, argument)) {
        return Some(class.clone());
    }
    let mut signals = catalog::signals().iter();
    let known = signals.find(|s| s.event_type == meta.event_type.as_str() && s.argument == argument);
    known.map(|signal| signal.class.clone())
}

/// All seven facts, in the original's order. Those that the producer did not give follow from the message.
fn metadata(payload: &Json, meta: &MessageMeta) -> Json {
    let given = |name| member(payload, "metadata").and_then(|m| member(m, name)).filter(|v| **v != Json::Null).cloned();
    let time = match given("time") {
        // What is no time stays as it came: the receiver sees what the producer said.
        Some(Json::Text(written)) => Json::Text(Timestamp::parse(&written).map_or(written, time_text)),
        other => other.unwrap_or_else(|| Json::Text(time_text(meta.created_at))),
    };
    let own_id = || Json::Text(meta.event_id.as_ref().map_or_else(|| meta.id.to_string(), ToString::to_string));
    let version = || Json::List([11, 2, 0].map(Json::number).into());
    let facts = [
        ("event_type", Json::text(meta.event_type.as_str())),
        ("id", given("id").unwrap_or_else(own_id)),
        ("minorversion", given("minorversion").unwrap_or_else(|| Json::number(0))),
        ("source", given("source").unwrap_or_else(|| Json::text("openedx/lms/web"))),
        ("sourcehost", given("sourcehost").unwrap_or_else(|| Json::text(""))),
        ("time", time),
        ("sourcelib", given("sourcelib").unwrap_or_else(version)),
    ];
    Json::Object(facts.into_iter().map(|(name, fact)| (name.to_owned(), fact)).collect())
}

/// `2026-01-31 20:24:32.598387+00:00`; without a fraction if it is zero.
pub(crate) fn time_text(at: Timestamp) -> String {
    let Ok(time) = jiff::Timestamp::from_microsecond(at.as_micros()) else { return at.to_string() };
    let seconds = time.strftime("%Y-%m-%d %H:%M:%S");
    match at.as_micros().rem_euclid(1_000_000) {
        0 => format!("{seconds}+00:00"),
        micros => format!("{seconds}.{micros:06}+00:00"),
    }
}

/// Version 22 leaves them out wherever they stand.
fn leave_credentials_out(value: &mut Json) {
    match value {
        Json::Object(members) => {
            members.retain(|name, _| !is_credential(name));
            members.values_mut().for_each(leave_credentials_out);
        }
        Json::List(items) => items.iter_mut().for_each(leave_credentials_out),
        _ => {}
    }
}

#[cfg(test)]
mod tests;
