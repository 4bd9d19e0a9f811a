//! What people at screens ask. Every answer costs little however much is stored: whoever asks says how many rows may be
//! looked at, and is told where to go on from.

use crate::{error::StoreError, views::MessageFilter};
use async_trait::async_trait;
use domain::{
    AppKey, Application, ApplicationId, Attempt, DeliveryState, Endpoint, EndpointRef, IdRange, Ksuid, Message,
    MessageId, MessageMeta, TaskId, TaskKind, Timestamp,
};

/// What was found within the rows that were looked at.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Looked<T> {
    /// Newest first.
    pub items: Vec<T>,
    /// Where to go on, as a cursor; absent if the range ends here. With fewer items than were asked for, the limit of rows
    /// was reached first.
    pub next: Option<Ksuid>,
}

/// How deliveries stand, as lists distinguish them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Standing {
    /// Waiting, held or on the wire.
    Open,
    /// The receiver took it.
    Delivered,
    /// Failed for good.
    Failed,
    /// Given up on purpose.
    Cancelled,
}

impl Standing {
    /// Of a state.
    pub fn of(state: DeliveryState) -> Self {
        match state {
            DeliveryState::Waiting { .. } | DeliveryState::Sending | DeliveryState::Held => Self::Open,
            DeliveryState::Delivered => Self::Delivered,
            DeliveryState::Failed => Self::Failed,
            DeliveryState::Cancelled => Self::Cancelled,
        }
    }
}

/// A delivery with what a row of a list says about it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DeliveryView {
    /// Its message.
    pub meta: MessageMeta,
    /// Where it stands.
    pub state: DeliveryState,
    /// The latest attempt, its answer left out; absent if it was never tried.
    pub latest: Option<Attempt>,
}

/// A number that was counted as far as was allowed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counted {
    /// Found.
    pub found: u64,
    /// Whether that is all; otherwise there may be more.
    pub all: bool,
}

/// Bounded lists and counts.
#[async_trait]
pub trait Desk: Send + Sync {
    /// Deliveries to an endpoint by message, tried or not.
    async fn deliveries(
        &self,
        to: EndpointRef,
        range: IdRange,
        standing: Option<Standing>,
        of: &MessageFilter,
        looks: usize,
    ) -> Result<Looked<DeliveryView>, StoreError>;
    /// A message's deliveries by endpoint id (those of deleted endpoints too), tried or not; the first `limit`.
    async fn deliveries_of(
        &self,
        app: AppKey,
        message: MessageId,
        limit: usize,
    ) -> Result<Vec<(Endpoint, DeliveryView)>, StoreError>;
    /// Messages of an application that fit, without payloads.
    async fn search(
        &self,
        app: AppKey,
        range: IdRange,
        of: &MessageFilter,
        looks: usize,
    ) -> Result<Looked<Message>, StoreError>;
    /// How many messages a task of this kind would take up if it began now. What cannot be sent because its payload is gone
    /// may be among them.
    async fn count_for_task(
        &self,
        endpoint: &Endpoint,
        kind: TaskKind,
        since: Timestamp,
        until: Timestamp,
        looks: usize,
    ) -> Result<Counted, StoreError>;
    /// When the next try to an endpoint is due, of those that wait.
    async fn next_due(&self, to: EndpointRef) -> Result<Option<Timestamp>, StoreError>;
    /// How long the latest successes in `from..until` took, in milliseconds; at most `sample` of them.
    async fn durations(
        &self,
        to: EndpointRef,
        from: Ksuid,
        until: Ksuid,
        sample: usize,
    ) -> Result<Vec<u32>, StoreError>;
    /// An application by its id alone, if its catalogue is public.
    async fn public_application(&self, id: ApplicationId) -> Result<Option<Application>, StoreError>;
    /// How far a task has come in its window; absent if there is no such task.
    async fn task_position(&self, task: TaskId) -> Result<Option<Timestamp>, StoreError>;
}
