//! The verbs of the queue: accept, claim, record, and what keeps it in order. None is open while a receiver is talked to.
//!
//! All that waits to be written shares one transaction and one sync ([`Commit`]). After it, what this node may send now
//! leaves the store in memory, already leased, over the channel that came with the store; so the hot path never reads
//! anything back.

use crate::error::StoreError;
use async_trait::async_trait;
use bytes::Bytes;
use domain::{
    AppKey, AttemptId, DeliveryRef, Endpoint, EndpointRef, FailureReason, Message, MessageId, MessageMeta, OrderKey,
    Task, TaskId, Timestamp, Trigger, ids::OrganizationId,
};
use std::{any::Any, sync::Arc};

/// Whatever the engine wants kept as long as a delivery is in memory; dropping it gives the seat back.
pub type Ticket = Box<dyn Any + Send + Sync>;

/// A message in memory on its way out, shared by its deliveries.
pub struct Outgoing {
    /// All but the payload.
    pub meta: MessageMeta,
    /// The bytes as they came in.
    pub payload: Bytes,
    /// A share of the memory budget, given back with the last delivery.
    pub budget: Option<SharedTicket>,
}

/// As [`Ticket`], for what several deliveries share.
pub type SharedTicket = Ticket;

/// How a delivery is born.
pub enum Birth {
    /// Leased to this node, handed over after the commit.
    Leased(Ticket),
    /// Waiting in the table, because this node has enough in memory.
    Waiting,
    /// For an ordered endpoint: waiting in the table, or held there as long as an earlier one of this key is not settled.
    InOrder(OrderKey),
}

/// A delivery to store with its message.
pub struct NewDelivery {
    /// To whom.
    pub to: EndpointRef,
    /// Leased or waiting.
    pub birth: Birth,
}

/// Scope, authorization and key of a repeated request, hashed.
pub type IdempotencyHash = [u8; 32];

/// A message to store.
pub struct Accept {
    /// The message.
    pub message: Arc<Outgoing>,
    /// The hour (since the Unix epoch) in which its payload is removed.
    pub expires_hour: i64,
    /// To whom it goes.
    pub deliveries: Vec<NewDelivery>,
    /// The first answer is given again for the same hash within `repeat_since..`.
    pub idempotency: Option<IdempotencyHash>,
    /// How far back a repetition counts.
    pub repeat_since: Timestamp,
}

/// What became of a message to store.
#[derive(Debug, Clone)]
pub enum Accepted {
    /// It is on disk.
    New,
    /// It was already in: the same idempotency hash, or the same event id with the same type and payload. This is the
    /// first one.
    Repeated(Message),
    /// Another message has its event id.
    Conflict(MessageId),
}

/// A delivery that this node holds and may send.
pub struct Leased {
    /// Which.
    pub delivery: DeliveryRef,
    /// Its message.
    pub message: Arc<Outgoing>,
    /// Scheduled tries so far.
    pub tries: u32,
    /// Why it is tried now.
    pub trigger: Trigger,
    /// The engine's seat; absent for claimed ones.
    pub ticket: Option<Ticket>,
}

/// What is known of an attempt when it is stored.
#[derive(Clone, Debug)]
pub struct NewAttempt {
    /// Its id; holds the instant `at`.
    pub id: AttemptId,
    /// When it began.
    pub at: Timestamp,
    /// The address, without user info.
    pub url: Arc<str>,
    /// Whether the receiver took the message.
    pub success: bool,
    /// Why it was made.
    pub trigger: Trigger,
    /// What was answered, or why nothing was.
    pub response: String,
    /// HTTP status, 0 if none.
    pub response_status: u16,
    /// Milliseconds.
    pub duration_ms: u32,
    /// Why it failed, if it did.
    pub reason: Option<FailureReason>,
}

/// Where a delivery stands after an attempt.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Settle {
    /// The receiver took it.
    Delivered,
    /// Try again then.
    RetryAt(Timestamp),
    /// Failed for good.
    Failed,
    /// A manual try failed: back to what was planned before it.
    AsPlanned,
    /// Not sent: its endpoint is switched off or gone.
    Cancelled,
}

/// The result of a try. If its lease is no longer ours, nothing changes.
pub struct Record {
    /// Which delivery.
    pub delivery: DeliveryRef,
    /// The try; absent when none was made.
    pub attempt: Option<NewAttempt>,
    /// What next.
    pub settle: Settle,
    /// Scheduled tries so far, this one included.
    pub tries: u32,
    /// The message's order key: settling it releases the next of its key.
    pub order_key: Option<OrderKey>,
    /// Now.
    pub now: Timestamp,
    /// Given back when it is on disk.
    pub ticket: Option<Ticket>,
}

/// What a commit brought about, for the engine.
#[derive(Default)]
pub struct Commit {
    /// Deliveries that this node now holds.
    pub leased: Vec<Leased>,
    /// Endpoints that have something waiting in the table, and when the first of it is due.
    pub due: Vec<(EndpointRef, Timestamp)>,
    /// Records whose lease was no longer ours.
    pub lost: Vec<DeliveryRef>,
    /// Records that could not be written, with why: hand them in again.
    pub unrecorded: Vec<Record>,
    /// Why they could not.
    pub error: Option<StoreError>,
    /// What changed on another node, to be forgotten.
    pub changed: Vec<Changed>,
    /// What became of this node's leases after they were in doubt.
    pub leases: Option<Leases>,
}

/// Something that nodes keep in memory and that changed on another one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Changed {
    /// An application, or something of it.
    Application(AppKey),
    /// Event types of some organization.
    EventTypes,
    /// Anything.
    Everything,
}

/// What a node that could not be sure of its leases learns when it can see the others again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Leases {
    /// They are its own still: it may go on.
    Kept,
    /// Others have them: what it holds in memory is not its own any more.
    Lost,
}

/// Due deliveries of an endpoint, now leased to this node.
pub struct Claimed {
    /// First tries before others, then by due time.
    pub deliveries: Vec<Leased>,
    /// When the next one that was left is due (may be past: there are more).
    pub next_due: Option<Timestamp>,
}

/// A step of a background task.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Step {
    /// Messages put into the queue by this step.
    pub sent: u64,
    /// Whether the task is finished.
    pub done: bool,
}

/// What a retention step may remove.
#[derive(Clone, Copy, Debug)]
pub struct Purge {
    /// Now.
    pub now: Timestamp,
    /// Payloads of earlier hours go.
    pub payload_hour: i64,
    /// Rows of messages, deliveries and attempts older than this go, where no application or organization says
    /// otherwise.
    pub rows_before: Timestamp,
    /// Kept answers older than this go.
    pub answers_before: Timestamp,
    /// Rows per kind and step.
    pub limit: usize,
    /// Rows may stay some days longer, where the engine can then remove many of them at once.
    pub lazily: bool,
}

/// What a retention step removed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Purged {
    /// Payloads.
    pub payloads: u64,
    /// Messages with their deliveries and attempts.
    pub messages: u64,
    /// Kept answers.
    pub answers: u64,
    /// Whether another step would remove more.
    pub more: bool,
}

/// The queue.
#[async_trait]
pub trait Queue: Send + Sync {
    /// Stores messages with their deliveries in one shared commit, each on its own: one that conflicts does not harm
    /// the others. Answers in the order given, when they are on disk.
    async fn accept(&self, messages: Vec<Accept>) -> Result<Vec<Accepted>, StoreError>;
    /// Hands in the result of a try. It is written within milliseconds, and before a [`Self::release`] that is asked for
    /// later is answered; failures come back in [`Commit`].
    fn record(&self, record: Record);
    /// Leases up to `limit` due deliveries of an endpoint, with at most about `max_bytes` of payload.
    /// `fresh_only` leaves out retries.
    async fn claim(
        &self,
        to: EndpointRef,
        now: Timestamp,
        limit: usize,
        max_bytes: usize,
        fresh_only: bool,
    ) -> Result<Claimed, StoreError>;
    /// Gives leased deliveries back, due now.
    async fn release(&self, deliveries: Vec<DeliveryRef>, now: Timestamp) -> Result<(), StoreError>;
    /// Endpoints with open deliveries that nobody holds, and when the first of each is due.
    async fn backlog(&self) -> Result<Vec<(EndpointRef, Timestamp)>, StoreError>;
    /// How many deliveries are open (waiting, held or on the wire), and when the oldest of them was due.
    async fn open_deliveries(&self) -> Result<(u64, Option<Timestamp>), StoreError>;
    /// Puts one manual try of a message into the queue. `Ok(false)` if the payload is gone;
    /// [`StoreError::NotFound`] if the message is.
    async fn resend(&self, delivery: DeliveryRef, now: Timestamp) -> Result<bool, StoreError>;
    /// Cancels up to `limit` deliveries of an endpoint that are waiting or held, of messages made before `before`.
    /// Says how many; fewer than `limit` means that none are left.
    async fn cancel_open(&self, to: EndpointRef, before: Timestamp, limit: usize) -> Result<usize, StoreError>;

    /// Stores a new background task.
    async fn create_task(&self, task: Task) -> Result<(), StoreError>;
    /// One task of an organization; of one application if `app` is given.
    async fn task(
        &self,
        organization: &OrganizationId,
        app: Option<AppKey>,
        id: TaskId,
    ) -> Result<Option<Task>, StoreError>;
    /// An organization's tasks, newest first, by range.
    async fn tasks(
        &self,
        organization: &OrganizationId,
        app: Option<AppKey>,
        range: domain::IdRange,
    ) -> Result<domain::PageOf<Task>, StoreError>;
    /// All tasks that are not finished.
    async fn running_tasks(&self) -> Result<Vec<Task>, StoreError>;
    /// One page of a task: puts what it finds into the queue and moves on, in one commit.
    async fn step_task(
        &self,
        task: TaskId,
        endpoint: &Endpoint,
        limit: usize,
        now: Timestamp,
    ) -> Result<Step, StoreError>;
    /// Ends a task whose endpoint went away.
    async fn fail_task(&self, task: TaskId, now: Timestamp) -> Result<(), StoreError>;

    /// One small step of retention.
    async fn purge(&self, purge: Purge) -> Result<Purged, StoreError>;
    /// The greatest id that is stored, so that new ids are greater.
    async fn last_id(&self) -> Result<Option<domain::Ksuid>, StoreError>;
    /// Whether the store answers: reads something, in little time.
    async fn ping(&self) -> Result<(), StoreError>;

    /// Whether what this node holds is certainly its own: nothing may be sent otherwise. [`Commit::leases`] says when that
    /// is known again.
    fn holds_leases(&self) -> bool {
        true
    }
    /// A number that no other node on the same store has, to keep their ids apart; none where there is one node.
    fn id_slot(&self) -> Option<u8> {
        None
    }
    /// How many nodes share what is to be done, this one included: at least 1.
    fn nodes(&self) -> u16 {
        1
    }
    /// This node stops: whatever it still holds is for others.
    async fn leave(&self) -> Result<(), StoreError> {
        Ok(())
    }
}
