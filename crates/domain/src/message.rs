//! A message: one event that happened, kept as the bytes that came in.

use crate::{
    ids::{AppKey, MessageId},
    names::{Channel, EventTypeName, OrderKey, Tag, Uid},
    time::Timestamp,
};
use bytes::Bytes;
use std::collections::BTreeSet;

/// The channel of test events: what has it is delivered with the header `webhook-test: true`.
pub const TEST_CHANNEL: &str = "webhook-test";

/// All of a message but its payload.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MessageMeta {
    /// The public id; what receivers dedupe on.
    pub id: MessageId,
    /// Whose it is.
    pub app: AppKey,
    /// What happened.
    pub event_type: EventTypeName,
    /// The producer's own id; unique in the application.
    pub event_id: Option<Uid>,
    /// Labels, at most 10.
    pub channels: BTreeSet<Channel>,
    /// What it is found by, at most 5; endpoints do not select by them.
    pub tags: BTreeSet<Tag>,
    /// What it is ordered with, on endpoints that keep order.
    pub order_key: Option<OrderKey>,
    /// When it was accepted; the same instant as in the id.
    pub created_at: Timestamp,
}

/// A message with its payload, or without it after it expired or was expunged.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Message {
    /// All but the payload.
    pub meta: MessageMeta,
    /// The bytes as they came in.
    pub payload: Option<Bytes>,
}
