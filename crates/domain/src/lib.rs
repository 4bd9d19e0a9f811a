//! The words and the rules: ids, applications, endpoints, messages, matching, delivery states, retry arithmetic.
//!
//! Knows nobody: no I/O, no async, no SQL, no HTTP, and it never reads a clock or a random source itself (both are
//! handed in). Every other room speaks in these types.

pub mod application;
pub mod attempt;
pub mod audit;
pub mod breaker;
pub mod confines;
pub mod delivery;
pub mod durations;
pub mod endpoint;
pub mod event_type;
pub mod failure;
pub mod format;
pub mod given_up;
pub mod ids;
pub mod json;
pub mod key_set;
pub mod lti;
pub mod message;
pub mod names;
pub mod page;
pub mod people;
pub mod queue;
pub mod retry;
pub mod secret;
pub mod task;
pub mod time;
pub mod webfilter;

pub use application::{Application, Retention};
pub use attempt::{Attempt, AttemptStatus, Outcome, Trigger};
pub use audit::{Action, ActorKind, Alert, AlertKind, AuditEntry};
pub use confines::Confines;
pub use delivery::{DeliveryRef, DeliveryState, EndpointRef, InLine, WaitsFor};
pub use durations::Durations;
pub use endpoint::{
    BodySigning, DeactivateAfter, DisabledBecause, Endpoint, EndpointDefaults, EndpointOptions, Header,
    StudentDataConfirmation,
};
pub use event_type::EventType;
pub use failure::FailureReason;
pub use format::{Encoding, Format};
pub use given_up::{GivenUp, GivenUpCount};
pub use ids::{
    AlertId, AppKey, ApplicationId, AttemptId, AuditId, EndpointId, EndpointKey, IdGenerator, IdOrUid, InvitationId,
    Ksuid, MessageId, OrganizationId, TaskId, UserId, WebfilterId, WebfilterKey, WebfilterRunId,
};
pub use json::Json;
pub use key_set::{BodyKey, KeySet};
pub use message::{Message, MessageMeta};
pub use names::{Channel, EventTypeName, FilterName, NameError, OrderKey, Tag, Uid};
pub use page::{Cursor, IdRange, Order, PageOf, PageQuery, Pick};
pub use people::{Grant, Invitation, Role, Subject, User};
pub use retry::RetrySchedule;
pub use secret::{BodySecret, Secret, SecretError, Secrets};
pub use task::{Task, TaskKind, TaskStatus};
pub use time::{Clock, Timestamp};
pub use webfilter::{Webfilter, WebfilterSettings};
