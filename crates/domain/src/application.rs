//! An application: one tenant. Everything below belongs to one.

use crate::{
    endpoint::EndpointDefaults,
    ids::{AppKey, ApplicationId, OrganizationId},
    names::Uid,
    retry::RetrySchedule,
    time::Timestamp,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One tenant: a classroom, an account, a site, a root account, an organization of the platform.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Application {
    /// The store's short name.
    pub key: AppKey,
    /// The public id.
    pub id: ApplicationId,
    /// Who runs it.
    pub organization: OrganizationId,
    /// The user's own name for it, unique in the organization.
    pub uid: Option<Uid>,
    /// For people.
    pub name: String,
    /// Deliveries per second over all endpoints, at least 1; no limit if absent.
    pub throttle_rate: Option<u16>,
    /// The user's own notes, at most 4096 bytes as JSON.
    pub metadata: BTreeMap<String, String>,
    /// What Schoolbell adds to Svix's application.
    pub options: ApplicationOptions,
    /// When it was made; the same instant as in the id.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// Grows with each change; a change names the revision it saw.
    pub revision: i64,
}

/// What Schoolbell adds to Svix's application.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ApplicationOptions {
    /// The platform whose catalogue and defaults it has; `standard` if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform: Option<String>,
    /// Waits between tries, for endpoints without a schedule of their own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_schedule: Option<RetrySchedule>,
    /// What new endpoints start out with; as the platform says if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint_defaults: Option<EndpointDefaults>,
    /// How long things are kept.
    #[serde(skip_serializing_if = "Retention::is_default")]
    pub retention: Retention,
    /// Whether anybody may see its event catalogue.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub public_catalogue: bool,
}

/// How long payloads and attempts are kept. An absent value is decided one level up: message, application,
/// organization, server.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Retention {
    /// Days until a payload is removed, 1 to 90.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payload_days: Option<u16>,
    /// Days until messages' rows, deliveries and attempts are removed, 1 to 3650.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempt_days: Option<u16>,
}

impl Retention {
    /// Whether nothing is set.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
    /// Takes from `lower` what is not set here.
    pub fn or(self, lower: Self) -> Self {
        Self {
            payload_days: self.payload_days.or(lower.payload_days),
            attempt_days: self.attempt_days.or(lower.attempt_days),
        }
    }
}
