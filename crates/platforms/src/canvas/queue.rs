//! What Canvas says beside the body of a message in a queue: its first description of live events names two attributes.

use domain::MessageMeta;
use serde::Deserialize;

#[derive(Deserialize)]
struct Event<'a> {
    #[serde(borrow)]
    metadata: Option<Metadata<'a>>,
}

#[derive(Deserialize)]
struct Metadata<'a> {
    #[serde(borrow)]
    event_time: Option<std::borrow::Cow<'a, str>>,
}

/// `event_name` and `event_time`: when it happened, or when it was accepted if the payload does not say.
pub fn attributes(meta: &MessageMeta, payload: &[u8]) -> [(&'static str, String); 2] {
    let said = serde_json::from_slice::<Event<'_>>(payload).ok().and_then(|e| e.metadata?.event_time);
    // An attribute must not be empty.
    let time = said.filter(|t| (1..=64).contains(&t.len()) && t.bytes().all(|b| b.is_ascii_graphic()));
    let time = time.map_or_else(|| crate::format::millis(meta.created_at), Into::into);
    [("event_name", meta.event_type.to_string()), ("event_time", time)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::{AppKey, EventTypeName, Ksuid, MessageId, Timestamp};

    #[test]
    fn the_time_is_the_events_or_that_of_its_acceptance() {
        let meta = MessageMeta {
            id: MessageId(Ksuid::MIN),
            app: AppKey(1),
            event_type: EventTypeName::new("submission_created").unwrap(),
            event_id: None,
            channels: Default::default(),
            tags: Default::default(),
            order_key: None,
            created_at: Timestamp::parse("2026-05-01T00:00:00Z").unwrap(),
        };
        let time = |payload: &str| attributes(&meta, payload.as_bytes())[1].1.clone();
        assert_eq!(
            time(r#"{"metadata":{"event_time":"2019-11-01T19:11:21.419Z","x":[1]},"body":{}}"#),
            "2019-11-01T19:11:21.419Z"
        );
        for odd in [
            "{}",
            "[]",
            "no",
            r#"{"metadata":{"event_time":""}}"#,
            r#"{"metadata":{"event_time":3}}"#,
            r#"{"metadata":1}"#,
        ] {
            assert_eq!(time(odd), "2026-05-01T00:00:00.000Z", "{odd}");
        }
        assert_eq!(attributes(&meta, b"")[0], ("event_name", "submission_created".to_owned()));
    }
}
