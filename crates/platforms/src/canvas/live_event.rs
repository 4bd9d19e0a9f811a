//! Canvas's own format: `metadata` and `body` as they were published, and the subscription beside them.
//!
//! Nothing is written anew: both go out to the byte. What a receiver relies on in `metadata` is added where a producer
//! left it out.

use crate::format::{Format, RenderError, RenderInput, Rendered, millis, quoted};
use domain::MessageMeta;
use serde::{Deserialize, de::IgnoredAny};
use serde_json::value::RawValue;

/// A published event, its two parts as they came in.
#[derive(Deserialize)]
struct Published<'a> {
    #[serde(borrow)]
    metadata: &'a RawValue,
    #[serde(borrow)]
    body: &'a RawValue,
}

/// What is always in `metadata`.
#[derive(Deserialize)]
struct Always {
    event_name: Option<IgnoredAny>,
    event_time: Option<IgnoredAny>,
}

/// `{"metadata": …, "body": …}`, and `"subscription": {"id": …}` where there is one.
pub(crate) fn render(input: &RenderInput<'_>, meta: &MessageMeta, payload: &[u8]) -> Result<Rendered, RenderError> {
    let misfit = |path: &str, problem: String| RenderError::Payload {
        format: Format::LiveEvent,
        path: path.to_owned(),
        problem,
    };
    let published: Published<'_> = serde_json::from_slice(payload).map_err(|e| misfit("", e.to_string()))?;
    let always: Always =
        serde_json::from_str(published.metadata.get()).map_err(|e| misfit("metadata", e.to_string()))?;
    let mut missing = Vec::new();
    if always.event_name.is_none() {
        missing.push(("event_name", meta.event_type.to_string()));
    }
    if always.event_time.is_none() {
        missing.push(("event_time", millis(meta.created_at)));
    }

    let mut body = Vec::with_capacity(payload.len() + 160);
    body.extend_from_slice(b"{\"metadata\":");
    extend(&mut body, published.metadata.get(), &missing);
    body.extend_from_slice(b",\"body\":");
    body.extend_from_slice(published.body.get().as_bytes());
    if let Some(id) = input.subscription_id {
        body.extend_from_slice(format!(",\"subscription\":{{\"id\":{}}}", quoted(id)).as_bytes());
    }
    body.push(b'}');
    Ok(Rendered::json(body))
}

/// Appends an object with members added at its end.
fn extend(out: &mut Vec<u8>, object: &str, members: &[(&str, String)]) {
    if members.is_empty() {
        return out.extend_from_slice(object.as_bytes());
    }
    // It was read as an object, so it ends with a brace.
    let inner = object.strip_suffix('}').unwrap_or(object).trim_end();
    out.extend_from_slice(inner.as_bytes());
    for (name, value) in members {
        if !out.ends_with(b"{") {
            out.push(b',');
        }
        out.extend_from_slice(format!("\"{name}\":{}", quoted(value)).as_bytes());
    }
    out.push(b'}');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::{input, meta};

    fn sent(payload: &str) -> Result<String, String> {
        let input = RenderInput { subscription_id: Some("a\"b"), ..input("canvas", Format::LiveEvent) };
        let rendered = render(&input, &meta("grade_change"), payload.as_bytes()).map_err(|e| e.to_string())?;
        Ok(String::from_utf8(rendered.body.to_vec()).unwrap())
    }

    #[test]
    fn name_and_time_are_always_there_and_the_rest_stays_as_it_was() {
        let at = millis(meta("x").created_at);
        let added = format!(r#""event_name":"grade_change","event_time":"{at}""#);
        assert_eq!(
            sent("{\"body\" : { \"a\" : 1.0 },\n \"metadata\": { \"b\": null } }").unwrap(),
            format!(r#"{{"metadata":{{ "b": null,{added}}},"body":{{ "a" : 1.0 }},"subscription":{{"id":"a\"b"}}}}"#)
        );
        assert!(sent(r#"{"metadata":{ },"body":{}}"#).unwrap().starts_with(&format!(r#"{{"metadata":{{{added}}}"#)));
    }

    #[test]
    fn what_is_no_live_event_is_refused() {
        for payload in ["[]", "{}", "{\"metadata\":{}}", "{\"metadata\":[],\"body\":{}}"] {
            assert!(sent(payload).unwrap_err().contains("live-event"), "{payload}");
        }
    }
}
