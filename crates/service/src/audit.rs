//! The audit log: one entry for each operation that changes, reveals, resends or views, whichever door it came through.
//!
//! Operations call `Service::note` when they are done, and before they reveal. Where an entry cannot be stored, the
//! server's log gets it: an operation does not fail for want of a note.

use crate::{
    Service,
    access::AppScope,
    actor::{Actor, Permission},
    check::Check,
    endpoints::EndpointChange,
    error::ServiceError,
    patch::Patch,
};
use domain::{
    Action, ActorKind, ApplicationId, AuditEntry, AuditId, Endpoint, Ksuid, OrganizationId, PageOf, PageQuery,
    Timestamp,
};
use std::time::Duration;
use store::AuditFilter;
use url::Url;

/// Pages read themselves again and programs poll: the same look by the same actor is noted once in this time.
const SAME_LOOK: Duration = Duration::from_secs(10 * 60);

/// Which entries a list shows, as it was asked for.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct AuditOf {
    /// Of this actor: an e-mail address, or an id.
    pub actor: Option<String>,
    /// Of this action, such as `secret.revealed`.
    pub action: Option<String>,
    /// About this object.
    pub object: Option<String>,
    /// Not before.
    pub since: Option<Timestamp>,
    /// Not after.
    pub until: Option<Timestamp>,
}

impl AuditOf {
    fn checked(self, application: Option<ApplicationId>) -> Result<AuditFilter, ServiceError> {
        let mut check = Check::at(&["query"]);
        let action = self.action.and_then(|word| {
            word.parse().map_err(|_| check.fail(&["action"], format!("'{word}' is no action of the audit log"))).ok()
        });
        check.finish()?;
        let Self { actor, object, since, until, .. } = self;
        Ok(AuditFilter { application, actor, action, object, since, until })
    }
}

impl EndpointChange {
    /// The fields that it names, for the audit log. Values may be secrets.
    pub(crate) fn in_words(&self) -> String {
        let (e, is_given) = (&self.extras, |is_kept: bool| !is_kept);
        let fields = [
            ("url", self.url.is_some()),
            ("description", self.description.is_some()),
            ("uid", is_given(self.uid == Patch::Keep)),
            ("disabled", self.disabled.is_some()),
            ("eventTypes", is_given(self.event_types == Patch::Keep)),
            ("channels", is_given(self.channels == Patch::Keep)),
            ("throttleRate", is_given(self.throttle_rate == Patch::Keep)),
            ("metadata", self.metadata.is_some()),
            ("headers", self.headers.is_some()),
            ("retrySchedule", is_given(e.retry_schedule == Patch::Keep)),
            ("finalStatuses", is_given(e.final_statuses == Patch::Keep)),
            ("concurrency", is_given(e.concurrency == Patch::Keep)),
            ("ordered", is_given(e.ordered == Patch::Keep)),
            ("format", is_given(e.format == Patch::Keep)),
            ("filter", is_given(e.filter == Patch::Keep)),
            ("transform", is_given(e.transform == Patch::Keep)),
            ("signatureHeaders", is_given(e.signature_headers == Patch::Keep)),
            ("httpsOnly", is_given(e.https_only == Patch::Keep)),
            ("onlySelected", is_given(e.only_selected == Patch::Keep)),
            ("retryPreset", is_given(e.retry_preset == Patch::Keep)),
            ("deactivateAfter", is_given(e.deactivate_after == Patch::Keep)),
            ("subscriptionId", is_given(e.subscription_id == Patch::Keep)),
            ("studentData", is_given(e.student_data == Patch::Keep)),
            ("bodySigning", is_given(e.body_signing == Patch::Keep)),
        ];
        let given: Vec<_> = fields.iter().filter(|(_, given)| *given).map(|(name, _)| *name).collect();
        match self.disabled {
            Some(off) if given.len() == 1 => if off { "switched off" } else { "switched on" }.to_owned(),
            _ => given.join(", "),
        }
    }
}

/// Where an endpoint is, without what may be secret in its address.
pub(crate) fn place(endpoint: &Endpoint) -> String {
    let Ok(url) = Url::parse(&endpoint.url) else { return String::new() };
    let port = url.port().map(|p| format!(":{p}")).unwrap_or_default();
    format!("{}://{}{port}", url.scheme(), url.host_str().unwrap_or_default())
}

impl Service {
    /// Notes what was done.
    pub(crate) async fn note(
        &self,
        actor: &Actor,
        application: Option<ApplicationId>,
        action: Action,
        object: impl ToString,
        detail: impl Into<String>,
    ) {
        let (kind, name) = actor.in_the_log();
        self.note_as(actor.organization(), (kind, name), application, action, object, detail).await;
    }

    /// Notes what was done in an application.
    pub(crate) async fn note_in(
        &self,
        scope: &AppScope,
        action: Action,
        object: impl ToString,
        detail: impl Into<String>,
    ) {
        self.note(scope.actor(), Some(scope.application().id), action, object, detail).await;
    }

    /// Notes a look, unless the same one was noted a moment ago.
    pub(crate) async fn note_look(&self, scope: &AppScope, object: impl ToString, detail: &str) {
        let (object, now) = (object.to_string(), self.now());
        let (kind, actor) = scope.actor().in_the_log();
        let look = format!("{kind} {actor} {} {object} {detail}", scope.application().id);
        if self.looks.get(look.as_str()).is_some_and(|at| now.since(at) < SAME_LOOK) {
            return;
        }
        self.looks.insert(look.into(), now);
        self.note_in(scope, Action::PayloadViewed, object, detail).await;
    }

    pub(crate) async fn note_as(
        &self,
        organization: &OrganizationId,
        (actor_kind, actor): (ActorKind, String),
        application: Option<ApplicationId>,
        action: Action,
        object: impl ToString,
        detail: impl Into<String>,
    ) {
        let (id, at) = self.next_id();
        let entry = AuditEntry {
            id: AuditId(id),
            organization: organization.clone(),
            application,
            at,
            actor_kind,
            actor,
            action,
            object: object.to_string(),
            detail: detail.into(),
        };
        if let Err(error) = self.store.add_audit(vec![entry.clone()]).await {
            tracing::error!(%error, ?entry, "the audit log could not take an entry");
        }
    }

    /// A page of the organization's audit log.
    pub async fn audit(
        &self,
        actor: &Actor,
        of: AuditOf,
        page: PageQuery<Ksuid>,
    ) -> Result<PageOf<AuditEntry>, ServiceError> {
        let organization = actor.must_be_organization()?;
        Ok(self.store.audit(organization, &of.checked(None)?, page).await?)
    }

    /// A page of what was done in one application.
    pub async fn audit_of(
        &self,
        scope: &AppScope,
        of: AuditOf,
        page: PageQuery<Ksuid>,
    ) -> Result<PageOf<AuditEntry>, ServiceError> {
        scope.must(Permission::SeeAudit)?;
        let filter = of.checked(Some(scope.application().id))?;
        Ok(self.store.audit(&scope.application().organization, &filter, page).await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_named_by_its_fields_never_by_their_values() {
        let url = Some("https://u:secret@example.edu".to_owned());
        let change = EndpointChange { url, channels: Patch::Clear, ..EndpointChange::default() };
        assert_eq!(change.in_words(), "url, channels");
        assert_eq!(EndpointChange { disabled: Some(true), ..EndpointChange::default() }.in_words(), "switched off");
    }
}
