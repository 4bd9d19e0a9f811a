//! An attempt: one try of a delivery, with what was answered.

use crate::{
    failure::FailureReason,
    ids::{AttemptId, EndpointId, MessageId},
    time::Timestamp,
};
use bytes::Bytes;
use std::time::Duration;

/// Why a try was made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Trigger {
    /// By the schedule: the first try or a retry.
    Scheduled,
    /// A person or a program asked: resend, recover, replay.
    Manual,
}

/// How an attempt stands, in Svix's words and numbers.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum AttemptStatus {
    /// Any 2xx.
    Success = 0,
    /// Not tried yet.
    Pending = 1,
    /// Anything else.
    Fail = 2,
    /// A try is planned or under way.
    Sending = 3,
    /// Given up on purpose.
    Canceled = 4,
}

impl AttemptStatus {
    /// From Svix's number.
    pub fn from_number(n: u8) -> Option<Self> {
        [Self::Success, Self::Pending, Self::Fail, Self::Sending, Self::Canceled].into_iter().find(|s| *s as u8 == n)
    }
    /// Svix's word.
    pub fn text(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Pending => "pending",
            Self::Fail => "fail",
            Self::Sending => "sending",
            Self::Canceled => "canceled",
        }
    }
}

/// What came of a try.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// A whole answer: any 2xx is success, anything else failure.
    Answered {
        /// The HTTP status.
        status: u16,
        /// The first 20,000 bytes of the answer, decompressed.
        body: Bytes,
        /// How long the receiver asked us to wait.
        retry_after: Option<Duration>,
    },
    /// No whole answer.
    Failed {
        /// What happened.
        reason: FailureReason,
        /// The status, where the head of an answer came before the failure.
        status: Option<u16>,
        /// Details for whoever repairs it; never a secret.
        detail: String,
    },
}

impl Outcome {
    /// Whether the receiver took the message.
    pub fn is_success(&self) -> bool {
        matches!(self, Self::Answered { status: 200..=299, .. })
    }
    /// The HTTP status, 0 if there was none.
    pub fn status(&self) -> u16 {
        match self {
            Self::Answered { status, .. } => *status,
            Self::Failed { status, .. } => status.unwrap_or(0),
        }
    }
    /// Why it failed, if it did.
    pub fn reason(&self) -> Option<FailureReason> {
        match self {
            Self::Answered { status, .. } => FailureReason::of_status(*status),
            Self::Failed { reason, .. } => Some(*reason),
        }
    }
}

/// An attempt as it is stored and shown.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Attempt {
    /// The public id; holds the same instant as `at`.
    pub id: AttemptId,
    /// Which message.
    pub message: MessageId,
    /// Which endpoint.
    pub endpoint: EndpointId,
    /// The address at that time, without user info.
    pub url: String,
    /// When it began.
    pub at: Timestamp,
    /// `Success` or `Fail`.
    pub status: AttemptStatus,
    /// Why it was made.
    pub trigger: Trigger,
    /// What was answered, or a sentence about why nothing was. `EXPUNGED` after its removal.
    pub response: String,
    /// The HTTP status, 0 if there was none.
    pub response_status: u16,
    /// Milliseconds from the beginning to the end.
    pub duration_ms: u32,
    /// Why it failed, if it did.
    pub reason: Option<FailureReason>,
}
