//! Everything that is SQL: applications, endpoints, event types, messages, deliveries, attempts, background tasks,
//! people and their sessions, the audit log.
//!
//! [`Store`] is what the other rooms see: operations, never queries. One engine is embedded ([`sqlite`]), the other one is
//! for many nodes ([`postgres`]); both implement the same traits and pass the same behaviour suite (feature `conformance`).
//!
//! Must not decide anything about delivery: when to try again, whom to switch off and what counts as success are told
//! to it. Secrets, credentials and custom headers are sealed before they reach a table ([`seal`]).

pub mod audit;
#[cfg(feature = "conformance")]
pub mod conformance;
pub mod desk;
pub mod directory;
mod encode;
pub mod error;
pub mod hourly;
pub mod ids;
pub mod key_sets;
pub mod lti;
pub mod moving;
mod pages;
pub mod people;
pub mod postgres;
pub mod queue;
pub mod resets;
pub mod seal;
pub mod sqlite;
pub mod views;
pub mod webfilters;

pub use audit::{Audit, AuditFilter};
pub use desk::{Counted, DeliveryView, Desk, Looked, Standing};
pub use directory::{AppEntry, Directory};
pub use error::StoreError;
pub use hourly::{HourCount, Hourly, Hours, Rolled, Uncounted};
pub use ids::Ids;
pub use key_sets::KeySets;
pub use lti::Lti;
pub use people::{Guest, KeyHash, Notice, People, Session, UserChange};
pub use queue::{
    Accept, Accepted, Birth, Changed, Claimed, Commit, IdempotencyHash, Leased, Leases, NewAttempt, NewDelivery,
    Outgoing, Purge, Purged, Queue, Record, Settle, Step, Ticket,
};
pub use resets::{Reset, Resets};
pub use seal::{MainKey, Sealer};
pub use views::{
    Answer, AttemptFilter, AttemptedDestination, AttemptedMessage, AttemptsOf, Branding, Config, DeliveryFilter,
    EventTypeFilter, Log, MessageFilter, OrganizationOptions, Stats,
};
pub use webfilters::{RunFilter, Webfilters};

/// All that a storage engine does.
pub trait Store: Config + Log + Queue + Lti + KeySets + Webfilters + People + Resets + Audit + Desk + Hourly {}
impl<T: Config + Log + Queue + Lti + KeySets + Webfilters + People + Resets + Audit + Desk + Hourly> Store for T {}
