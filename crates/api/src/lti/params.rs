//! What a tool sends in a body: form-encoded in Rails' spelling, as `multipart/form-data`, or JSON.

use domain::{lti::SharedSecret, queue::QueueKey};
use http::{HeaderMap, header};
use serde_json::Value;
use service::{lti::SubscriptionInput, queues::QueueInput};

/// Names and values at most; what comes after them is not looked at.
const PAIRS_MAX: usize = 1_000;

/// A body that was read.
pub(crate) enum Params {
    /// Names with their values, in their order.
    Pairs(Vec<(String, String)>),
    /// Anything.
    Json(Value),
}

impl Params {
    /// Reads a body by its type. What cannot be read is empty.
    pub(crate) fn read(headers: &HeaderMap, body: &[u8]) -> Self {
        let kind = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
        let (media, rest) = kind.split_once(';').unwrap_or((kind, ""));
        let media = media.trim().to_ascii_lowercase();
        if media == "application/json" || media.ends_with("+json") {
            return Self::Json(serde_json::from_slice(body).unwrap_or(Value::Null));
        }
        if media == "multipart/form-data" {
            return Self::Pairs(boundary(rest).map(|b| multipart(&b, body)).unwrap_or_default());
        }
        Self::Pairs(form_urlencoded::parse(body).into_owned().take(PAIRS_MAX).collect())
    }

    /// One text.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        match self {
            Self::Pairs(pairs) => pairs.iter().find(|(n, _)| n == name).map(|(_, v)| v.clone()),
            Self::Json(value) => text(value.get(name)?),
        }
    }

    /// The whole as JSON, if it is that.
    pub(super) fn json(&self) -> Option<&Value> {
        match self {
            Self::Json(value) => Some(value),
            Self::Pairs(_) => None,
        }
    }

    /// What stands under `subscription`; nothing if there is nothing.
    pub(crate) fn subscription(&self) -> Option<SubscriptionInput> {
        match self {
            Self::Json(value) => of_json(value.get("subscription")?),
            Self::Pairs(pairs) => of_pairs(pairs),
        }
    }
}

/// A text, or a number as text.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// A list of texts; one text is a list of one.
fn texts(value: &Value) -> Option<Vec<String>> {
    match value {
        Value::Array(items) => items.iter().map(text).collect(),
        value => text(value).map(|t| vec![t]),
    }
}

fn of_json(value: &Value) -> Option<SubscriptionInput> {
    let object = value.as_object().filter(|o| !o.is_empty())?;
    let one = |name: &str| object.get(name).and_then(text);
    let list = |name: &str| object.get(name).and_then(texts);
    Some(SubscriptionInput {
        context_id: one("ContextId"),
        context_type: one("ContextType"),
        event_types: list("EventTypes"),
        system_event_types: list("SystemEventTypes"),
        user_event_types: list("UserEventTypes"),
        format: one("Format"),
        transport_type: one("TransportType"),
        url: object.get("TransportMetadata").and_then(|m| m.get("Url")).and_then(text),
        integration: one("AssociatedIntegrationId"),
        queue: queue(|name| object.get("TransportMetadata").and_then(|m| m.get(name)).and_then(text)),
    })
}

/// `subscription[EventTypes][]=…`; the brackets of a list may hold a number.
fn of_pairs(pairs: &[(String, String)]) -> Option<SubscriptionInput> {
    let mut found = SubscriptionInput::default();
    let mut any = false;
    for (name, value) in pairs {
        let Some(rest) = name.strip_prefix("subscription[") else { continue };
        let Some((field, rest)) = rest.split_once(']') else { continue };
        any = true;
        let is_item = rest
            .strip_prefix('[')
            .and_then(|r| r.strip_suffix(']'))
            .is_some_and(|r| r.bytes().all(|b| b.is_ascii_digit()));
        let add = |list: &mut Option<Vec<String>>| list.get_or_insert_default().push(value.clone());
        match (field, rest) {
            ("ContextId", "") => found.context_id = Some(value.clone()),
            ("ContextType", "") => found.context_type = Some(value.clone()),
            ("Format", "") => found.format = Some(value.clone()),
            ("TransportType", "") => found.transport_type = Some(value.clone()),
            ("AssociatedIntegrationId", "") => found.integration = Some(value.clone()),
            ("TransportMetadata", "[Url]") => found.url = Some(value.clone()),
            ("EventTypes", r) if r.is_empty() || is_item => add(&mut found.event_types),
            ("SystemEventTypes", r) if r.is_empty() || is_item => add(&mut found.system_event_types),
            ("UserEventTypes", r) if r.is_empty() || is_item => add(&mut found.user_event_types),
            _ => {}
        }
    }
    let of_queue = |name: &str| {
        let full = format!("subscription[TransportMetadata][{name}]");
        pairs.iter().find(|(n, _)| *n == full).map(|(_, v)| v.clone())
    };
    found.queue = queue(of_queue);
    any.then_some(found)
}

/// What a queue needs beside its URL; nothing if nothing of it is there.
fn queue(find: impl Fn(&str) -> Option<String>) -> Option<QueueInput> {
    let (region, id, secret) = (find("Region"), find("AccessKeyId"), find("SecretAccessKey"));
    let key = match (id, secret) {
        (None, None) => None,
        (id, secret) => {
            Some(QueueKey { id: id.unwrap_or_default(), secret: SharedSecret::new(secret.unwrap_or_default()) })
        }
    };
    (region.is_some() || key.is_some()).then_some(QueueInput { region, key })
}

/// The boundary of a multipart body, 1 to 70 characters.
fn boundary(parameters: &str) -> Option<String> {
    let (_, value) = parameters
        .split(';')
        .filter_map(|p| p.trim().split_once('='))
        .find(|(n, _)| n.eq_ignore_ascii_case("boundary"))?;
    let value = value.trim_matches('"');
    (1..=70).contains(&value.len()).then(|| value.to_owned())
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|w| w == needle)
}

/// The fields of a multipart body that are texts.
fn multipart(boundary: &str, body: &[u8]) -> Vec<(String, String)> {
    let mut pairs = Vec::new();
    let delimiter = format!("\r\n--{boundary}").into_bytes();
    // Each boundary stands behind the end of a line, but for the first, which may be where the body begins.
    let first = &delimiter[2..];
    let mut rest = match body.strip_prefix(first) {
        Some(rest) => rest,
        None => find(body, &delimiter).map_or(&[][..], |at| &body[at + delimiter.len()..]),
    };
    for _ in 0..PAIRS_MAX {
        let Some(part) = rest.strip_prefix(b"\r\n") else { break };
        let end = find(part, &delimiter);
        let whole = &part[..end.unwrap_or(part.len())];
        if let Some(split) = find(whole, b"\r\n\r\n")
            && let Some(name) = name_of(&whole[..split])
        {
            pairs.push((name, String::from_utf8_lossy(&whole[split + 4..]).into_owned()));
        }
        let Some(end) = end else { break };
        rest = &part[end + delimiter.len()..];
    }
    pairs
}

/// The name in the head of a part that is no file.
fn name_of(head: &[u8]) -> Option<String> {
    let head = std::str::from_utf8(head).ok()?;
    let line = head.lines().find(|l| l.to_ascii_lowercase().starts_with("content-disposition:"))?;
    if line.contains("filename=") {
        return None;
    }
    let from = line.find("name=\"")? + 6;
    line[from..].split('"').next().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(kind: &str, body: &str) -> Params {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, kind.parse().unwrap());
        Params::read(&headers, body.as_bytes())
    }
    const FORM: &str = "application/x-www-form-urlencoded";

    fn whole() -> SubscriptionInput {
        let some = |text: &str| Some(text.to_owned());
        SubscriptionInput {
            context_id: some("7"),
            context_type: some("assignment"),
            event_types: Some(vec!["a".into(), "b".into()]),
            format: some("live-event"),
            transport_type: some("https"),
            url: some("https://x.example/e"),
            ..SubscriptionInput::default()
        }
    }

    #[test]
    fn rails_spelling_and_json_say_the_same() {
        let form = "subscription[ContextId]=7&subscription%5BContextType%5D=assignment&subscription[EventTypes][]=a\
                    &subscription[EventTypes][1]=b&subscription[Format]=live-event&subscription[TransportType]=https\
                    &subscription[TransportMetadata][Url]=https%3A%2F%2Fx.example%2Fe&subscription[Other]=1&x=2";
        assert_eq!(read(FORM, form).subscription(), Some(whole()));
        let json = r#"{"subscription": {"ContextId": 7, "ContextType": "assignment", "EventTypes": ["a", "b"], "Other": {},
            "Format": "live-event", "TransportType": "https", "TransportMetadata": {"Url": "https://x.example/e"}}}"#;
        assert_eq!(read("application/json; charset=utf-8", json).subscription(), Some(whole()));
    }

    #[test]
    fn nothing_under_the_key_is_nothing() {
        for (kind, body) in [
            (FORM, ""),
            (FORM, "subscription=1"),
            (FORM, "a[ContextId]=1"),
            ("application/json", "{}"),
            ("application/json", "{\"subscription\": {}}"),
            ("application/json", "{\"subscription\": 3}"),
            ("application/json", "no json"),
            ("multipart/form-data", "x"),
        ] {
            assert_eq!(read(kind, body).subscription(), None, "{body}");
        }
    }

    #[test]
    fn multipart_fields_are_read_and_files_are_not() {
        let body = "--xx\r\nContent-Disposition: form-data; name=\"grant_type\"\r\n\r\njwt\r\n--xx\r\n\
                    content-disposition: form-data; name=\"f\"; filename=\"a\"\r\n\r\nfile\r\n--xx\r\n\
                    Content-Disposition: form-data; name=\"assertion\"\r\nContent-Type: text/plain\r\n\r\na\r\n--x\r\n--xx--\r\n";
        let params = read("multipart/form-data; boundary=\"xx\"", body);
        assert_eq!(params.text("grant_type").as_deref(), Some("jwt"));
        assert_eq!(params.text("assertion").as_deref(), Some("a\r\n--x"));
        assert_eq!(params.text("f"), None);
    }

    #[test]
    fn a_cut_or_foreign_multipart_body_ends_without_a_field() {
        for body in ["", "--xx", "--xx\r\n", "--xx\r\n\r\n", "--xx--", "--xx\r\nname=\"a\"\r\n\r\n", "--yy\r\n\r\nx"] {
            let Params::Pairs(pairs) = read("multipart/form-data; boundary=xx", body) else { panic!() };
            assert_eq!(pairs, [], "{body:?}");
        }
    }
}
