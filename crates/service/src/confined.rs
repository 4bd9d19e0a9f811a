//! Access that is limited to channels inside of an application: what it sees, and what its changes have to keep to.
//!
//! An operation asks here once; what lies outside of the confines is not found, as if it did not exist.

use crate::{Service, access::AppScope, actor::Permission, check::Check, error::ServiceError, lti, patch::Patch};
use domain::{
    Application, Channel, Confines, Endpoint, EndpointKey, EndpointRef, Ksuid, Message, MessageId, Order, PageOf,
    PageQuery,
    lti::{ContextType, channels_of},
};
use std::{collections::BTreeSet, sync::Arc};
use store::{AttemptedDestination, MessageFilter};

/// Endpoints that one message was tried to, and are looked through at most.
const DESTINATIONS: usize = 10_000;

impl AppScope {
    /// What the actor is limited to; nothing if absent.
    pub fn confines(&self) -> Option<&Confines> {
        self.actor().confines()
    }
    /// Refuses what belongs to the application as a whole to somebody who sees a part of it.
    pub(crate) fn must_see_whole(&self) -> Result<(), ServiceError> {
        self.must(Permission::SeeWhole).map_err(|_| ServiceError::NO_ENTITY)
    }
    pub(crate) fn sees_endpoint(&self, endpoint: &Endpoint) -> bool {
        self.confines().is_none_or(|confines| confines.hold_endpoint(endpoint))
    }
    pub(crate) fn sees_message(&self, message: &Message) -> bool {
        self.confines().is_none_or(|confines| confines.hold_message(&message.meta.channels))
    }
    /// The application's endpoints as they were when the scope was opened, as far as they are the actor's to see.
    pub fn endpoints(&self) -> impl DoubleEndedIterator<Item = &Arc<Endpoint>> {
        self.entry().endpoints.iter().filter(|e| self.sees_endpoint(e))
    }
    /// A list narrowed to what the actor may see.
    pub(crate) fn narrowed(&self, filter: MessageFilter) -> MessageFilter {
        MessageFilter { within: self.confines().cloned(), ..filter }
    }
    /// How many channels an endpoint may have that this actor writes.
    pub(crate) fn channels_max(&self) -> usize {
        self.confines().map_or(0, |c| c.channels().len()).max(Check::CHANNELS_MAX)
    }
    /// The channels of an endpoint that the actor writes: where it would have none, it gets those of the confines.
    pub(crate) fn confine(
        &self,
        channels: Patch<BTreeSet<Channel>>,
        is_new: bool,
    ) -> Result<Patch<BTreeSet<Channel>>, ServiceError> {
        let Some(confines) = self.confines() else { return Ok(channels) };
        match channels {
            Patch::Keep if !is_new => Ok(Patch::Keep),
            Patch::Keep | Patch::Clear => Ok(Patch::Set(confines.channels().clone())),
            Patch::Set(chosen) if confines.hold_selection(&chosen) => Ok(Patch::Set(chosen)),
            Patch::Set(_) => {
                let msg = format!("This access is limited to channels: choose from {confines}.");
                Err(ServiceError::invalid(&["body", "channels"], msg))
            }
        }
    }
    /// Marks an endpoint that the actor writes: nothing from outside goes there, not even what was planned before.
    pub(crate) fn mark(&self, endpoint: &mut Endpoint) {
        endpoint.options.confined |= self.confines().is_some();
    }
}

impl Service {
    /// An endpoint that is about to be sent what failed or was missed before, by somebody who is limited to channels: it is
    /// marked first, so that nothing else comes along.
    pub(crate) async fn mark_before_sending(
        &self,
        scope: &AppScope,
        endpoint: Endpoint,
    ) -> Result<Endpoint, ServiceError> {
        if scope.confines().is_none() || endpoint.options.confined {
            return Ok(endpoint);
        }
        self.change_endpoint(scope, &endpoint.id.to_string(), |_| Ok(())).await
    }

    /// Endpoints that a message was tried to, deleted ones too, as far as they are the actor's to see.
    pub(crate) async fn destinations(
        &self,
        scope: &AppScope,
        message: MessageId,
        page: PageQuery<Ksuid>,
    ) -> Result<PageOf<AttemptedDestination>, ServiceError> {
        if scope.confines().is_none() {
            return Ok(self.store.attempted_destinations(scope.key(), message, page).await?);
        }
        let whole = PageQuery { limit: DESTINATIONS, cursor: None, order: Order::Ascending };
        let mut found = self.store.attempted_destinations(scope.key(), message, whole).await?.items;
        found.retain(|d| scope.sees_endpoint(&d.endpoint));
        Ok(page.of_sorted(found, |d| d.endpoint.id.0))
    }

    /// Those of them whose attempts may be shown; all if absent.
    pub(crate) async fn shown_endpoints(
        &self,
        scope: &AppScope,
        message: MessageId,
    ) -> Result<Option<BTreeSet<EndpointKey>>, ServiceError> {
        if scope.confines().is_none() {
            return Ok(None);
        }
        let whole = PageQuery { limit: DESTINATIONS, cursor: None, order: Order::Ascending };
        let found = self.destinations(scope, message, whole).await?;
        Ok(Some(found.items.into_iter().map(|d| d.endpoint.key).collect()))
    }

    /// Whether a task's endpoint is the actor's to see.
    pub(crate) fn sees_task_to(scope: Option<&AppScope>, to: EndpointRef) -> bool {
        scope.is_none_or(|s| s.confines().is_none() || s.endpoints().any(|e| s.endpoint_ref(e) == to))
    }

    /// The confines of a new access, as they were asked for.
    pub(crate) async fn confines_of(
        &self,
        app: &Application,
        channels: Option<BTreeSet<Channel>>,
    ) -> Result<Option<Confines>, ServiceError> {
        let Some(named) = channels else { return Ok(None) };
        let mut channels = named.clone();
        if lti::has_tools(app) {
            // Messages, and subscriptions of tools, may carry the number of a context in its short and its long form.
            let account = self.account_of(app.key).await?;
            let contexts = named.iter().filter_map(ContextType::of_channel);
            channels.extend(contexts.filter_map(|(kind, id)| channels_of(kind, id, &account).ok()).flatten());
        }
        let confines =
            Confines::to(channels).map_err(|e| ServiceError::invalid(&["body", "channels"], e.to_string()))?;
        Ok(Some(confines))
    }
}
