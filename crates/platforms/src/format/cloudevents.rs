//! CloudEvents 1.0 over HTTP: <https://cloudevents.io>. `source` and `id` together are what receivers dedupe on.

use super::{RenderInput, Rendered, occurred, quoted, subject};
use bytes::Bytes;
use domain::MessageMeta;

/// Attributes in the order in which they are written.
fn attributes(input: &RenderInput<'_>, meta: &MessageMeta, payload: &[u8]) -> Vec<(&'static str, String)> {
    let mut all = vec![
        ("specversion", "1.0".to_owned()),
        ("id", meta.id.to_string()),
        ("source", format!("{}/api/v1/app/{}", input.public_url, input.application.id)),
        ("type", meta.event_type.to_string()),
    ];
    all.extend(subject(input, meta, payload).filter(|s| !s.is_empty()).map(|s| ("subject", s)));
    all.push(("time", occurred(input, meta, payload).to_string()));
    all
}

/// All in the body; the payload goes in as it is.
pub(super) fn structured(input: &RenderInput<'_>, meta: &MessageMeta, payload: &[u8]) -> Rendered {
    let mut body = Vec::with_capacity(payload.len() + 400);
    let mut first = true;
    for (name, value) in attributes(input, meta, payload) {
        body.push(if first { b'{' } else { b',' });
        first = false;
        body.extend_from_slice(format!("\"{name}\":{}", quoted(&value)).as_bytes());
    }
    body.extend_from_slice(b",\"datacontenttype\":\"application/json\",\"data\":");
    body.extend_from_slice(payload.trim_ascii());
    body.push(b'}');
    Rendered { body: body.into(), content_type: "application/cloudevents+json", headers: Vec::new() }
}

/// Attributes in headers; the payload is the body.
pub(super) fn binary(input: &RenderInput<'_>, meta: &MessageMeta, payload: Bytes) -> Rendered {
    let header = |name| match name {
        "specversion" => "ce-specversion",
        "id" => "ce-id",
        "source" => "ce-source",
        "type" => "ce-type",
        "subject" => "ce-subject",
        _ => "ce-time",
    };
    let attributes = attributes(input, meta, &payload);
    let headers = attributes.into_iter().map(|(name, value)| (header(name), in_header(&value))).collect();
    Rendered { headers, ..Rendered::json(payload) }
}

/// Percent-encodes what may not stand in a header's value: space, double quote, percent, and all but visible ASCII.
fn in_header(value: &str) -> String {
    let mut encoded = String::with_capacity(value.len());
    for byte in value.bytes() {
        match byte {
            b'!' | b'#'..=b'$' | b'&'..=b'~' => encoded.push(char::from(byte)),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    #[test]
    fn header_values_are_percent_encoded_where_the_binding_says_so() {
        assert_eq!(super::in_header("Euro € \u{1F600}"), "Euro%20%E2%82%AC%20%F0%9F%98%80");
        assert_eq!(super::in_header("a\"b%c\r\n~!"), "a%22b%25c%0D%0A~!");
        assert_eq!(super::in_header("https://x/y?z=1#a"), "https://x/y?z=1#a");
    }
}
