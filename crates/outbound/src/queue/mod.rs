//! Queues of Amazon SQS, and of what speaks its protocol: messages go there in batches, each with its own outcome.
//!
//! The protocol, the signing of requests and the search for credentials are the SDK's; what is below HTTP is ours
//! (`door`), so that the guard decides about every address here too. Retries are the caller's.

#[cfg(feature = "sqs")]
mod access;
#[cfg(feature = "sqs")]
mod door;
#[cfg(feature = "sqs")]
mod sdk;
mod verdict;

#[cfg(feature = "sqs")]
pub(crate) use access::OwnAccess;

use crate::{client::Client, target::TargetError};
use bytes::Bytes;
use domain::{Endpoint, Outcome, Timestamp, queue::QueueAddress};
use std::time::{Duration, Instant};
use url::Url;

/// Messages in one request at most.
pub const BATCH_MAX: usize = 10;
/// Bytes of all messages of a request together. Queues may take more, but need not.
pub const BATCH_BYTES: usize = 256 * 1024;
/// Bytes of one message with its attributes: what the largest queue takes.
pub const MESSAGE_MAX: usize = 1024 * 1024;

/// What the operator decides about queues.
#[derive(Clone, Debug, Default)]
pub struct QueueOptions {
    /// Whether this server's own access (its role, its environment) is used for queues without a key of their own.
    pub own_access: bool,
    /// Where queues are that are named by an ARN; Amazon's own if absent.
    pub endpoint: Option<Url>,
}

/// A message on its way into a queue.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct QueueMessage {
    /// What receivers dedupe on.
    pub id: String,
    /// The body: text.
    pub body: Bytes,
    /// Names and values beside the body.
    pub attributes: Vec<(&'static str, String)>,
    /// What it is ordered with, in a queue that keeps order.
    pub order_key: Option<String>,
}

impl QueueMessage {
    /// What it counts for against the limits of a request.
    pub fn size(&self) -> usize {
        // An attribute has a type too: `String`.
        self.body.len() + self.attributes.iter().map(|(name, value)| name.len() + value.len() + 6).sum::<usize>()
    }
}

/// A queue made ready for sending. Cheap to share, made anew when its endpoint changes.
pub struct Queue {
    address: QueueAddress,
    #[cfg(feature = "sqs")]
    sender: sdk::Sender,
}

impl std::fmt::Debug for Queue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Queue({})", self.address.url)
    }
}

impl Queue {
    /// Its URL, for records of attempts.
    pub fn shown_url(&self) -> &str {
        self.address.url.as_str()
    }
}

impl Client {
    /// Makes an endpoint's queue ready. Says what is missing, if nothing could be sent.
    pub fn queue(&self, endpoint: &Endpoint) -> Result<Queue, TargetError> {
        let bad = |e: &dyn std::fmt::Display| TargetError::Address(e.to_string());
        let region = endpoint.options.queue_region.as_deref();
        let mut address = QueueAddress::read(&endpoint.url, region).map_err(|e| bad(&e))?;
        let elsewhere = self.queues.endpoint.as_ref().filter(|_| address.by_arn);
        if let Some(base) = elsewhere {
            address.url = base.join(address.url.path()).map_err(|e| bad(&e))?;
        }
        self.guard().check_url(&address.url).map_err(|e| bad(&e))?;
        let own = endpoint.secrets.queue.is_none();
        if own && !self.queues.own_access {
            return Err(TargetError::Access(
                "give it an access key; this server's own access is not used unless the operator sets SQS_OWN_ACCESS",
            ));
        }
        // Whoever names another host could otherwise learn of this server's session.
        if own && elsewhere.is_none() && !address.is_amazons() {
            return Err(TargetError::Access("give it an access key; this server's own is for Amazon's queues only"));
        }
        self.ready(address, endpoint)
    }

    #[cfg(not(feature = "sqs"))]
    fn ready(&self, _: QueueAddress, _: &Endpoint) -> Result<Queue, TargetError> {
        Err(TargetError::Access("this server was built without queues (the feature `sqs`)"))
    }

    /// Sends up to [`BATCH_MAX`] messages in one request; an outcome for each, in their order, and how long it took. The
    /// time goes into the signature.
    pub async fn send_to_queue(
        &self,
        queue: &Queue,
        messages: &[QueueMessage],
        now: Timestamp,
    ) -> (Vec<Outcome>, Duration) {
        let started = Instant::now();
        let sent = tokio::time::timeout(self.timeout(), self.enqueue(queue, messages, now)).await;
        let outcomes = sent.unwrap_or_else(|_| {
            let detail = format!("the deadline of {:?} passed while waiting for the queue's answer", self.timeout());
            vec![failed(domain::FailureReason::ResponseTimeout, None, detail); messages.len()]
        });
        (outcomes, started.elapsed())
    }

    #[cfg(not(feature = "sqs"))]
    async fn enqueue(&self, _: &Queue, messages: &[QueueMessage], _: Timestamp) -> Vec<Outcome> {
        let detail = "this server was built without queues".to_owned();
        vec![failed(domain::FailureReason::BadRequest, None, detail); messages.len()]
    }
}

fn failed(reason: domain::FailureReason, status: Option<u16>, detail: String) -> Outcome {
    Outcome::Failed { reason, status, detail }
}
