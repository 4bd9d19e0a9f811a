//! Open edX: every public event of the platform, in the words of its own event library.
//!
//! Producers publish what was given to the event: the data by the name of its argument, and the event's metadata. What is
//! delivered is what the webhook plugin of the platform sends, to the byte, in the shape of its version 22, of those from 2
//! to 21, or of those before.

mod catalog;
mod play;

use crate::{
    catalog::{EndpointDefaults, Platform},
    format::{Format, RenderError, RenderInput, Rendered, ordered::Json, python},
};
use domain::{MessageMeta, Timestamp};
use std::{borrow::Cow, sync::LazyLock};

/// The platform.
pub static PLATFORM: Platform = Platform {
    name: "openedx",
    title: "Open edX",
    noun: "site",
    catalog: LazyLock::new(catalog::read),
    defaults: || EndpointDefaults { format: Format::OpenedxV22, ..EndpointDefaults::default() },
    simulate: Some(play::site),
};

/// The event type of a signal: `SESSION_LOGIN_COMPLETED`.
pub fn event_type_of_signal(signal: &str) -> Option<&'static str> {
    catalog::signals().iter().find(|s| s.name == signal).map(|s| s.event_type.as_str())
}

/// Keys that version 22 leaves out wherever they stand.
const CREDENTIALS: [&str; 13] = [
    "password",
    "password1",
    "password2",
    "old_password",
    "new_password",
    "token",
    "id_token",
    "access_token",
    "refresh_token",
    "client_secret",
    "authorization",
    "cookie",
    "csrfmiddlewaretoken",
];

/// The one key of a form, in the formats where it is not a list but a tuple of the original's language.
pub(crate) fn tuple_in(format: Format) -> Option<&'static str> {
    matches!(format, Format::OpenedxV21 | Format::OpenedxV1).then_some("event_metadata_sourcelib")
}

/// The body: the data under the name of its class (or argument), then the metadata.
pub(crate) fn render(input: &RenderInput<'_>, meta: &MessageMeta, payload: &[u8]) -> Result<Rendered, RenderError> {
    let format = input.format;
    let misfit = |path: &str, problem: String| RenderError::Payload { format, path: path.to_owned(), problem };
    let payload = Json::read(payload).map_err(|problem| misfit("", problem))?;
    let data = payload.get("data").and_then(Json::members);
    let data = data.ok_or_else(|| misfit("data", "is not an object with the event's data in it".to_owned()))?;
    let mut body = Vec::with_capacity(data.len() + 1);
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
        body.push((key, value.clone()));
    }
    body.push((Cow::Borrowed("event_metadata"), metadata(&payload, meta)));
    let mut body = Json::Object(body);
    if format == Format::OpenedxV22 {
        leave_credentials_out(&mut body);
    }
    let accept = ("accept", "text/plain".to_owned());
    Ok(Rendered { headers: vec![accept], ..Rendered::json(python::json(&body)) })
}

/// The dotted name of an argument's class: what the producer says, else what the catalogue knows.
fn class_of<'a>(payload: &Json<'a>, meta: &MessageMeta, argument: &str) -> Option<Cow<'a, str>> {
    if let Some(Json::Text(class)) = payload.get("types").and_then(|types| types.get(argument)) {
        return Some(class.clone());
    }
    let mut signals = catalog::signals().iter();
    let known = signals.find(|s| s.event_type == meta.event_type.as_str() && s.argument == argument);
    known.map(|signal| Cow::Borrowed(signal.class.as_str()))
}

/// All seven facts, in the original's order. Those that the producer did not give follow from the message.
fn metadata<'a>(payload: &Json<'a>, meta: &MessageMeta) -> Json<'a> {
    let given = |name: &str| payload.get("metadata").and_then(|m| m.get(name)).filter(|v| **v != Json::Null).cloned();
    let text = |text: String| Json::Text(Cow::Owned(text));
    let time = match given("time") {
        // What is no time stays as it came: the receiver sees what the producer said.
        Some(Json::Text(written)) => text(Timestamp::parse(&written).map_or_else(|| written.into_owned(), time_text)),
        other => other.unwrap_or_else(|| text(time_text(meta.created_at))),
    };
    let own_id = || text(meta.event_id.as_ref().map_or_else(|| meta.id.to_string(), ToString::to_string));
    let version = || Json::List(["11", "2", "0"].map(Json::Number).into());
    Json::Object(vec![
        (Cow::Borrowed("event_type"), text(meta.event_type.to_string())),
        (Cow::Borrowed("id"), given("id").unwrap_or_else(own_id)),
        (Cow::Borrowed("minorversion"), given("minorversion").unwrap_or(Json::Number("0"))),
        (Cow::Borrowed("source"), given("source").unwrap_or_else(|| text("openedx/lms/web".to_owned()))),
        (Cow::Borrowed("sourcehost"), given("sourcehost").unwrap_or_else(|| text(String::new()))),
        (Cow::Borrowed("time"), time),
        (Cow::Borrowed("sourcelib"), given("sourcelib").unwrap_or_else(version)),
    ])
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

fn leave_credentials_out(value: &mut Json<'_>) {
    match value {
        Json::Object(members) => {
            members.retain(|(name, _)| !CREDENTIALS.iter().any(|c| name.eq_ignore_ascii_case(c)));
            members.iter_mut().for_each(|(_, member)| leave_credentials_out(member));
        }
        Json::List(items) => items.iter_mut().for_each(leave_credentials_out),
        _ => {}
    }
}

#[cfg(test)]
mod tests;
