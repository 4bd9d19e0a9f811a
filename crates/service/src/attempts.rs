//! Attempts: reading them, expunging what was answered, and asking for another one.

use crate::{
    Service, Window, access::AppScope, actor::Capability, check::read_id, error::ServiceError, messages::MessagesOf,
};
use domain::{Action, Attempt, AttemptId, AttemptStatus, DeliveryRef, Ksuid, Order, PageOf, PageQuery};
use store::{AttemptFilter, AttemptedDestination, AttemptedMessage, AttemptsOf, DeliveryFilter};

/// Which attempts a list shows, as it was asked for.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct AttemptsLike {
    /// With this status.
    pub status: Option<AttemptStatus>,
    /// With an HTTP status of this hundred; 0: no answer.
    pub status_code_class: Option<u16>,
    /// Of messages like these.
    pub messages: MessagesOf,
}

impl AttemptsLike {
    fn checked(&self, scope: &AppScope) -> Result<AttemptFilter, ServiceError> {
        Ok(AttemptFilter {
            status: self.status,
            status_code_class: self.status_code_class,
            messages: self.messages.checked(scope)?,
            endpoints: None,
        })
    }
}

impl Service {
    /// Attempts to an endpoint, newest first.
    pub async fn attempts_to_endpoint(
        &self,
        scope: &AppScope,
        endpoint: &str,
        window: &Window,
        like: &AttemptsLike,
        with_content: bool,
    ) -> Result<PageOf<Attempt>, ServiceError> {
        scope.must_have(Capability::ViewBase)?;
        let endpoint = self.find_endpoint(scope, endpoint).await?;
        let of = AttemptsOf::Endpoint(scope.endpoint_ref(&endpoint));
        let shown = scope.shows_payloads(with_content);
        Ok(self.store.attempts(of, window.range(self.ids.latest()), &like.checked(scope)?, shown).await?)
    }

    /// Attempts of a message, newest first; to one endpoint if given.
    pub async fn attempts_of_message(
        &self,
        scope: &AppScope,
        message: &str,
        endpoint: Option<&str>,
        window: &Window,
        like: &AttemptsLike,
        with_content: bool,
    ) -> Result<PageOf<Attempt>, ServiceError> {
        scope.must_have(Capability::ViewBase)?;
        let id = self.message_id(scope, message).await?;
        let mut filter = like.checked(scope)?;
        filter.endpoints = match endpoint {
            Some(endpoint) => Some([self.find_endpoint(scope, endpoint).await?.key].into()),
            None => self.shown_endpoints(scope, id).await?,
        };
        let of = AttemptsOf::Message(scope.key(), id);
        let shown = scope.shows_payloads(with_content);
        Ok(self.store.attempts(of, window.range(self.ids.latest()), &filter, shown).await?)
    }

    /// One attempt of a message.
    pub async fn attempt(&self, scope: &AppScope, message: &str, attempt: &str) -> Result<Attempt, ServiceError> {
        scope.must_have(Capability::ViewBase)?;
        let attempt = read_id::<AttemptId>("attempt_id", attempt)?;
        let id = self.message_id(scope, message).await?;
        let attempt = attempt.ok_or(ServiceError::NO_ATTEMPT)?;
        let mut found = self.store.attempt(scope.key(), id, attempt).await?.ok_or(ServiceError::NO_ATTEMPT)?;
        if scope.confines().is_some() {
            let whole = PageQuery { limit: usize::MAX, cursor: None, order: Order::Ascending };
            let shown = self.destinations(scope, id, whole).await?;
            if !shown.items.iter().any(|d| d.endpoint.id == found.endpoint) {
                return Err(ServiceError::NO_ATTEMPT);
            }
        }
        if !scope.shows_payloads(true) {
            // Receivers repeat what they were sent.
            found.response.clear();
        }
        Ok(found)
    }

    /// Removes what was answered to an attempt.
    pub async fn expunge_attempt(&self, scope: &AppScope, message: &str, attempt: &str) -> Result<(), ServiceError> {
        scope.must_be_organization()?;
        let attempt = read_id::<AttemptId>("attempt_id", attempt)?;
        let id = self.message_id(scope, message).await?;
        let attempt = attempt.ok_or(ServiceError::NO_ATTEMPT)?;
        self.store.expunge_attempt(scope.key(), id, attempt).await.map_err(|e| match e {
            store::StoreError::NotFound => ServiceError::NO_ATTEMPT,
            e => e.into(),
        })?;
        self.note_in(scope, Action::PayloadExpunged, attempt, "").await;
        Ok(())
    }

    /// Messages that were tried to an endpoint, with how the latest attempt went.
    pub async fn attempted_messages(
        &self,
        scope: &AppScope,
        endpoint: &str,
        window: &Window,
        status: Option<AttemptStatus>,
        of: &MessagesOf,
        with_payload: bool,
    ) -> Result<PageOf<AttemptedMessage>, ServiceError> {
        scope.must_have(Capability::ViewBase)?;
        let endpoint = self.find_endpoint(scope, endpoint).await?;
        let filter = DeliveryFilter { status, messages: of.checked(scope)? };
        let range = window.range(self.ids.latest());
        let (to, shown) = (scope.endpoint_ref(&endpoint), scope.shows_payloads(with_payload));
        let page = self.store.attempted_messages(to, range, &filter, shown).await?;
        if shown && page.items.iter().any(|m| m.message.payload.is_some()) {
            self.note_look(scope, endpoint.id, "a list of messages").await;
        }
        Ok(page)
    }

    /// Endpoints that a message was tried to, with how the latest attempt went.
    pub async fn attempted_destinations(
        &self,
        scope: &AppScope,
        message: &str,
        page: PageQuery<Ksuid>,
    ) -> Result<PageOf<AttemptedDestination>, ServiceError> {
        scope.must_have(Capability::ViewBase)?;
        let id = self.message_id(scope, message).await?;
        let mut found = self.destinations(scope, id, page).await?;
        found.items.iter_mut().for_each(|d| scope.hide_credentials(&mut d.endpoint.url));
        Ok(found)
    }

    /// Asks for one more attempt, whatever became of earlier ones and whatever the endpoint selects. To an endpoint
    /// that is switched off, nothing is sent.
    pub async fn resend(&self, scope: &AppScope, message: &str, endpoint: &str) -> Result<(), ServiceError> {
        scope.must_have(Capability::CreateAttempts)?;
        let message = self.find_message(scope, message, true).await?;
        let endpoint = self.find_endpoint(scope, endpoint).await?;
        if message.payload.is_none() {
            return Err(ServiceError::MissingPayload);
        }
        if endpoint.disabled.is_some() {
            return Ok(());
        }
        let endpoint = self.mark_before_sending(scope, endpoint).await?;
        let delivery = DeliveryRef { to: scope.endpoint_ref(&endpoint), message: message.meta.id };
        if !self.store.resend(delivery, self.now()).await? {
            return Err(ServiceError::MissingPayload);
        }
        self.note_in(scope, Action::MessageResent, message.meta.id, format!("to {}", endpoint.id)).await;
        Ok(())
    }
}
