//! A delivery: one message on its way to one endpoint, and where it stands.

use crate::{
    ids::{AppKey, EndpointKey, MessageId},
    time::Timestamp,
};

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
