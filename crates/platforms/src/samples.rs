//! Ready-made messages for tests.

use domain::{AppKey, EventTypeName, MessageId, MessageMeta};

/// A message of this type, made at a fixed time.
pub(crate) fn meta(event_type: &str) -> MessageMeta {
    let id: MessageId = "msg_2srOrx2ZWZBpBUvZwXKQmoEYga2".parse().unwrap();
    MessageMeta {
        id,
        app: AppKey(1),
        event_type: EventTypeName::new(event_type).unwrap(),
        event_id: None,
        channels: Default::default(),
        order_key: None,
        created_at: id.0.timestamp(),
    }
}
