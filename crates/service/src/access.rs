//! The way to an application: found and permitted in one step.

use crate::{
    Service,
    actor::{Actor, Capability, Permission},
    error::ServiceError,
};
use domain::{AppKey, Application, EndpointId, EndpointRef, IdOrUid, MessageId};
use domain::{Endpoint, Message};
use std::sync::Arc;
use store::AppEntry;
use url::Url;

/// An application that an actor may act in. Only [`Service::open`] makes it, so that whoever holds one was let in.
#[derive(Clone, Debug)]
pub struct AppScope {
    entry: Arc<AppEntry>,
    actor: Actor,
}

impl AppScope {
    /// The application.
    pub fn application(&self) -> &Application {
        &self.entry.application
    }
    /// Its short key.
    pub fn key(&self) -> AppKey {
        self.entry.application.key
    }
    /// The application with its endpoints, as they were when the scope was opened.
    pub(crate) fn entry(&self) -> &Arc<AppEntry> {
        &self.entry
    }
    /// Who acts.
    pub fn actor(&self) -> &Actor {
        &self.actor
    }
    pub(crate) fn must_be_organization(&self) -> Result<(), ServiceError> {
        self.actor.must_be_organization().map(|_| ())
    }
    pub(crate) fn must_have(&self, capability: Capability) -> Result<(), ServiceError> {
        self.actor.must_have(capability)
    }
    pub(crate) fn must(&self, permission: Permission) -> Result<(), ServiceError> {
        self.actor.must(permission)
    }
    /// Whether what was asked for may hold payloads: it was wanted, and may be seen.
    pub(crate) fn shows_payloads(&self, wanted: bool) -> bool {
        wanted && self.actor.may(Permission::SeePayloads)
    }
    /// An address as this actor may see it: a name and a password in it are for those who may write addresses.
    pub(crate) fn hide_credentials(&self, address: &mut String) {
        if self.must_have(Capability::ManageEndpoint).is_ok() {
            return;
        }
        let Ok(mut url) = Url::parse(address) else { return };
        if !url.username().is_empty() || url.password().is_some() {
            // Both only fail on addresses without a host, which nothing that is asked or sent to has.
            let _ = url.set_username("***");
            let _ = url.set_password(None);
            *address = url.into();
        }
    }
    pub(crate) fn endpoint_ref(&self, endpoint: &Endpoint) -> EndpointRef {
        EndpointRef { app: self.key(), endpoint: endpoint.key }
    }
}

impl Service {
    /// Opens an application by the id or uid in a path, for the organization, the application itself, or who has a role in it.
    pub async fn open(&self, actor: &Actor, app: &str) -> Result<AppScope, ServiceError> {
        let entry = self.directory.find(actor.organization(), app).await?.ok_or(ServiceError::NO_APPLICATION)?;
        // As if it did not exist: whoever may not see it must not learn which others do.
        let actor = actor.acting_in(entry.application.id).ok_or(ServiceError::NO_APPLICATION)?;
        Ok(AppScope { entry, actor })
    }

    /// Opens an application for the organization only.
    pub async fn open_managed(&self, actor: &Actor, app: &str) -> Result<AppScope, ServiceError> {
        actor.must_be_organization()?;
        self.open(actor, app).await
    }

    /// An endpoint by id or uid, to be shown.
    pub async fn endpoint(&self, scope: &AppScope, which: &str) -> Result<Endpoint, ServiceError> {
        scope.must_have(Capability::ViewBase)?;
        let mut endpoint = self.find_endpoint(scope, which).await?;
        scope.hide_credentials(&mut endpoint.url);
        Ok(endpoint)
    }

    /// A message by id or event id.
    pub async fn message(&self, scope: &AppScope, which: &str, with_payload: bool) -> Result<Message, ServiceError> {
        scope.must_have(Capability::ViewBase)?;
        let shown = scope.shows_payloads(with_payload);
        let message = self.find_message(scope, which, shown).await?;
        if shown && message.payload.is_some() {
            self.note_look(scope, message.meta.id, "").await;
        }
        Ok(message)
    }

    /// An endpoint as it is, for operations that say themselves who may do them.
    pub(crate) async fn find_endpoint(&self, scope: &AppScope, which: &str) -> Result<Endpoint, ServiceError> {
        let which = IdOrUid::<EndpointId>::read(which);
        let found = self.store.endpoint(scope.key(), &which).await?;
        found.filter(|e| scope.sees_endpoint(e)).ok_or(ServiceError::NO_ENDPOINT)
    }

    pub(crate) async fn find_message(
        &self,
        scope: &AppScope,
        which: &str,
        with_payload: bool,
    ) -> Result<Message, ServiceError> {
        let which = IdOrUid::<MessageId>::read(which);
        let found = self.store.message(scope.key(), &which, with_payload).await?;
        found.filter(|m| scope.sees_message(m)).ok_or(ServiceError::NO_MESSAGE)
    }
}
