//! What was done by whom, and what the operator is told of. Entries of the audit log are added and, when they are past
//! their time, removed; nothing changes them.

use crate::error::StoreError;
use async_trait::async_trait;
use domain::{Action, Alert, AlertId, ApplicationId, AuditEntry, Ksuid, OrganizationId, PageOf, PageQuery, Timestamp};

/// Which entries a list shows.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct AuditFilter {
    /// In this application.
    pub application: Option<ApplicationId>,
    /// Of this actor.
    pub actor: Option<String>,
    /// Of this kind.
    pub action: Option<Action>,
    /// About this object.
    pub object: Option<String>,
    /// Not before.
    pub since: Option<Timestamp>,
    /// Not after.
    pub until: Option<Timestamp>,
}

/// The audit log and alerts.
#[async_trait]
pub trait Audit: Send + Sync {
    /// Adds entries.
    async fn add_audit(&self, new: Vec<AuditEntry>) -> Result<(), StoreError>;
    /// A page of them, by id.
    async fn audit(
        &self,
        organization: &OrganizationId,
        filter: &AuditFilter,
        page: PageQuery<Ksuid>,
    ) -> Result<PageOf<AuditEntry>, StoreError>;
    /// Removes entries and put-away alerts older than `before`, at most `limit` of each; answers how many.
    async fn clear_audit(&self, before: Timestamp, limit: usize) -> Result<u64, StoreError>;

    /// Adds an alert, or says of the open one at this endpoint of this kind that it was seen again. `Ok(true)` if it is
    /// new.
    async fn raise_alert(&self, alert: Alert) -> Result<bool, StoreError>;
    /// A page of the open ones, by id.
    async fn alerts(&self, organization: &OrganizationId, page: PageQuery<Ksuid>) -> Result<PageOf<Alert>, StoreError>;
    /// How many are open.
    async fn count_alerts(&self, organization: &OrganizationId) -> Result<u64, StoreError>;
    /// Puts one away, or all; answers how many.
    async fn dismiss_alerts(
        &self,
        organization: &OrganizationId,
        which: Option<AlertId>,
        now: Timestamp,
    ) -> Result<u64, StoreError>;
}
