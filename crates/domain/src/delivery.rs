//! A delivery: one message on its way to one endpoint, and where it stands.

use crate::{
    ids::{AppKey, EndpointKey, MessageId},
    time::Timestamp,
};
use std::collections::HashSet;

/// An endpoint by the store's short names.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct EndpointRef {
    /// Its application.
    pub app: AppKey,
    /// Itself.
    pub endpoint: EndpointKey,
}

/// Names a delivery: there is one per message and endpoint.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct DeliveryRef {
    /// To whom.
    pub to: EndpointRef,
    /// What.
    pub message: MessageId,
}

/// What waits for an endpoint in the memory of a node: taken out of the table, and not yet on the wire. Such deliveries are
/// [`DeliveryState::Sending`] to everybody but the node that holds them.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct InLine {
    /// The messages.
    pub messages: HashSet<MessageId>,
    /// What they wait for, and whatever else there is for the endpoint with them; absent if it has no lane at all.
    pub waits_for: Option<WaitsFor>,
}

/// What the deliveries of an endpoint wait for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WaitsFor {
    /// The endpoint is paused, since the receiver failed many times in a row: until then, when one delivery tries it again.
    Receiver(Timestamp),
    /// The endpoint's own rate.
    EndpointRate,
    /// The rate of its application.
    ApplicationRate,
    /// Those before them.
    Turn,
}

/// Where a delivery stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DeliveryState {
    /// Will be tried at an instant.
    Waiting {
        /// When.
        due_at: Timestamp,
    },
    /// Leased: a node has it in memory or on the wire.
    Sending,
    /// Waits for an earlier message of its order key to be settled.
    Held,
    /// The receiver took it.
    Delivered,
    /// No try is left, or the receiver said never again.
    Failed,
    /// Given up on purpose: by a person, or because its endpoint was switched off or removed.
    Cancelled,
}
