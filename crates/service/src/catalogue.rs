//! The event catalogue of one application as anybody may see it, if the application says so: what can happen and what it
//! looks like. Nothing that did happen, and nobody who listens.

use crate::{Service, error::ServiceError};
use domain::{Application, ApplicationId, EventType, Order, PageQuery};
use store::EventTypeFilter;

/// Event types at most on a public page.
const MOST: usize = 1_000;

impl Service {
    /// An application's public catalogue: its application, and the event types that are neither archived nor behind a
    /// flag, with schemas. [`ServiceError::NotFound`] unless it was switched on.
    pub async fn public_catalogue(&self, id: &str) -> Result<(Application, Vec<EventType>), ServiceError> {
        let id: ApplicationId = id.parse().map_err(|_| ServiceError::NO_APPLICATION)?;
        let application = self.store.public_application(id).await?.ok_or(ServiceError::NO_APPLICATION)?;
        let filter = EventTypeFilter {
            include_archived: false,
            with_content: true,
            visible_flags: Some(std::collections::BTreeSet::new()),
        };
        let page = PageQuery { limit: MOST, cursor: None, order: Order::Ascending };
        let types = self.store.event_types(&application.organization, &filter, page).await?;
        Ok((application, types.items))
    }
}
