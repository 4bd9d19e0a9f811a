//! Why an operation did not happen, by what the caller can do about it.

use std::borrow::Cow;
use store::StoreError;

/// A field that breaks a rule.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problem {
    /// Where: `body` or `query`, then the field.
    pub loc: Vec<Cow<'static, str>>,
    /// What is wrong, for people.
    pub msg: Cow<'static, str>,
    /// What is wrong, for programs.
    pub kind: &'static str,
}

impl Problem {
    /// The kind of a field that breaks a rule.
    pub const RULE: &'static str = "value_error";
    /// The kind of a field that cannot be read at all.
    pub const DECODE: &'static str = "value_error.jsondecode";

    /// A rule that is broken at `loc`.
    pub fn new(loc: &[&'static str], msg: impl Into<Cow<'static, str>>) -> Self {
        Self { loc: loc.iter().map(|l| Cow::Borrowed(*l)).collect(), msg: msg.into(), kind: Self::RULE }
    }
    /// The same with another kind.
    pub fn of_kind(mut self, kind: &'static str) -> Self {
        self.kind = kind;
        self
    }
}

/// Why an operation did not happen. Nothing of it is stored.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ServiceError {
    /// There is no such object, or it is not the actor's to see.
    #[error("{0}")]
    NotFound(&'static str),
    /// Another object is in the way.
    #[error("{0}")]
    Conflict(String),
    /// An active event type of this name exists.
    #[error("An event_type with this name already exists")]
    EventTypeExists,
    /// Fields break rules: all of them.
    #[error("{} field(s) break a rule", .0.len())]
    Invalid(Vec<Problem>),
    /// The actor may not do this.
    #[error("Insufficient access for the given operation.")]
    Forbidden,
    /// Too many of something; says of what, and when there is room again.
    #[error("{0}")]
    LimitReached(String),
    /// A window of time that is not allowed.
    #[error("{0}")]
    InvalidRange(&'static str),
    /// The payload is expired or removed.
    #[error("Unable to resend message. Payload has been deleted")]
    MissingPayload,
    /// The event type has no example.
    #[error("Unable to generate example message from event-type schema")]
    InvalidScheme,
    /// The disk is full.
    #[error("The server's disk is full; nothing was stored. Try again when the operator has made room.")]
    StorageFull,
    /// Too much is going on; the same call works in a moment.
    #[error("The server is busy; nothing was stored. Try again in a moment.")]
    TooBusy,
    /// The database is away; the same call works when it is back.
    #[error("The database cannot be reached; nothing was stored. Try again later.")]
    Unavailable,
    /// A fault on our side; the log says which.
    #[error("An internal error occurred.")]
    Internal,
}

impl ServiceError {
    pub(crate) const NO_APPLICATION: Self = Self::NotFound("Application not found");
    pub(crate) const NO_ENDPOINT: Self = Self::NotFound("Entity not found");
    pub(crate) const NO_MESSAGE: Self = Self::NotFound("Message not found");
    pub(crate) const NO_ATTEMPT: Self = Self::NotFound("Message attempt not found");
    pub(crate) const NO_USER: Self = Self::NotFound("User not found");
    pub(crate) const NO_INVITATION: Self =
        Self::NotFound("This invitation was used already, has ended, or was withdrawn");
    pub(crate) const NO_RESET: Self = Self::NotFound("This link was used already, or has ended");
    pub(crate) const NO_ENTITY: Self = Self::NotFound("Entity not found");

    /// One broken rule.
    pub fn invalid(loc: &[&'static str], msg: impl Into<Cow<'static, str>>) -> Self {
        Self::Invalid(vec![Problem::new(loc, msg)])
    }
}

impl From<StoreError> for ServiceError {
    fn from(e: StoreError) -> Self {
        match e {
            StoreError::NotFound => Self::NO_ENTITY,
            StoreError::UidTaken => Self::Conflict("A conflict has occurred".to_owned()),
            StoreError::Changed => Self::Conflict("The object was changed by somebody else meanwhile".to_owned()),
            StoreError::Full => Self::StorageFull,
            StoreError::Busy => Self::TooBusy,
            StoreError::Unavailable(_) => {
                tracing::error!(error = %e, "the store is not available");
                Self::Unavailable
            }
            StoreError::InUse(_) | StoreError::WrongKey | StoreError::Corrupt { .. } => {
                tracing::error!(error = %e, "the store cannot be used");
                Self::Internal
            }
        }
    }
}
