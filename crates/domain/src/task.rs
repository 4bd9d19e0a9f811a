//! A background task: many deliveries tried again, page by page, going on after a restart.

use crate::{delivery::EndpointRef, ids::TaskId, time::Timestamp};

/// What a task does. The words are Svix's where it has them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TaskKind {
    /// Sends each failed message of the window once.
    Recover,
    /// Sends each message of the window that was never attempted.
    ReplayMissing,
    /// Cancels what waits for the endpoint, of messages made before the window's end. The word is ours.
    CancelWaiting,
}

impl TaskKind {
    /// Svix's word.
    pub fn text(self) -> &'static str {
        match self {
            Self::Recover => "endpoint.recover",
            Self::ReplayMissing => "endpoint.replay",
            Self::CancelWaiting => "endpoint.cancel",
        }
    }
    /// From Svix's word.
    pub fn from_text(text: &str) -> Option<Self> {
        [Self::Recover, Self::ReplayMissing, Self::CancelWaiting].into_iter().find(|k| k.text() == text)
    }
}

/// How far a task is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TaskStatus {
    /// Pages are left.
    Running,
    /// Done.
    Finished,
    /// Its endpoint or application went away.
    Failed,
}

impl TaskStatus {
    /// Svix's word.
    pub fn text(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Finished => "finished",
            Self::Failed => "failed",
        }
    }
    /// From Svix's word.
    pub fn from_text(text: &str) -> Option<Self> {
        [Self::Running, Self::Finished, Self::Failed].into_iter().find(|s| s.text() == text)
    }
}

/// A background task.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Task {
    /// The public id.
    pub id: TaskId,
    /// What it does.
    pub kind: TaskKind,
    /// How far it is.
    pub status: TaskStatus,
    /// On which endpoint.
    pub to: EndpointRef,
    /// The window's beginning, inclusive.
    pub since: Timestamp,
    /// The window's end, exclusive.
    pub until: Timestamp,
    /// Messages sent (or cancelled) so far.
    pub sent: u64,
    /// When it last moved.
    pub updated_at: Timestamp,
}
