//! Who asks: an organization with everything below it, or one application.

use crate::error::ServiceError;
use domain::{ApplicationId, EventTypeName, OrganizationId};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, sync::Arc};

/// Who asks.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Actor {
    /// Whoever runs the organization: may do everything in it.
    Organization(OrganizationId),
    /// One application: sees and changes only itself.
    Application(Arc<ApplicationActor>),
}

/// One application as an actor.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ApplicationActor {
    /// Whose application it is.
    pub organization: OrganizationId,
    /// Itself.
    pub application: ApplicationId,
    /// Event types with one of these flags are shown to it.
    pub feature_flags: BTreeSet<EventTypeName>,
    /// What it may do; everything that applications may if absent.
    pub capabilities: Option<BTreeSet<Capability>>,
}

/// What the bearer of a portal link may do. The words are Svix's.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Capability {
    /// See endpoints, messages and attempts.
    ViewBase,
    /// See an endpoint's signing secret.
    ViewEndpointSecret,
    /// Rotate it.
    ManageEndpointSecret,
    /// Change an endpoint's transformation.
    ManageTransformations,
    /// Resend and recover.
    CreateAttempts,
    /// Create, change and remove endpoints.
    ManageEndpoint,
}

impl Capability {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::ViewBase,
        Self::ViewEndpointSecret,
        Self::ManageEndpointSecret,
        Self::ManageTransformations,
        Self::CreateAttempts,
        Self::ManageEndpoint,
    ];
}

impl Actor {
    /// The organization that is acted in.
    pub fn organization(&self) -> &OrganizationId {
        match self {
            Self::Organization(organization) => organization,
            Self::Application(a) => &a.organization,
        }
    }

    /// The organization, if the actor may do everything in it.
    pub fn must_be_organization(&self) -> Result<&OrganizationId, ServiceError> {
        match self {
            Self::Organization(organization) => Ok(organization),
            Self::Application(_) => Err(ServiceError::Forbidden),
        }
    }

    /// Refuses an application that was not given this capability.
    pub fn must_have(&self, capability: Capability) -> Result<(), ServiceError> {
        match self {
            Self::Application(a) if a.capabilities.as_ref().is_some_and(|c| !c.contains(&capability)) => {
                Err(ServiceError::Forbidden)
            }
            _ => Ok(()),
        }
    }

    /// The flags whose event types are shown; all if absent.
    pub fn visible_flags(&self) -> Option<&BTreeSet<EventTypeName>> {
        match self {
            Self::Organization(_) => None,
            Self::Application(a) => Some(&a.feature_flags),
        }
    }
}
