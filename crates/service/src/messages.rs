//! Reading and expunging messages.

use crate::{Service, Window, access::AppScope, actor::Capability, check::Check, error::ServiceError};
use domain::{Action, Channel, EventTypeName, Message, MessageId, PageOf, Tag};
use std::collections::BTreeSet;
use store::MessageFilter;

/// Which messages a list shows, as it was asked for.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct MessagesOf {
    /// Of one of these types; all if empty.
    pub event_types: Vec<String>,
    /// With this channel.
    pub channel: Option<String>,
    /// With this tag.
    pub tag: Option<String>,
}

impl MessagesOf {
    /// Whether it lets everything through.
    pub fn is_all(&self) -> bool {
        self.event_types.is_empty() && self.channel.is_none() && self.tag.is_none()
    }

    pub(crate) fn checked(&self, scope: &AppScope) -> Result<MessageFilter, ServiceError> {
        let mut check = Check::at(&["query"]);
        let mut event_types = BTreeSet::new();
        for name in &self.event_types {
            match EventTypeName::new(name) {
                Ok(name) => {
                    event_types.insert(name);
                }
                Err(e) => check.fail(&["__all__"], e.to_string()),
            }
        }
        let channel = self
            .channel
            .as_deref()
            .and_then(|c| Channel::new(c).map_err(|e| check.fail(&["channel", "__all__"], e.to_string())).ok());
        let tag = self
            .tag
            .as_deref()
            .and_then(|t| Tag::new(t).map_err(|e| check.fail(&["tag", "__all__"], e.to_string())).ok());
        check.finish()?;
        let event_types = (!event_types.is_empty()).then_some(event_types);
        Ok(scope.narrowed(MessageFilter { event_types, channel, tag, within: None }))
    }
}

impl Service {
    /// Messages of an application, newest first.
    pub async fn messages(
        &self,
        scope: &AppScope,
        window: &Window,
        of: &MessagesOf,
        with_payload: bool,
    ) -> Result<PageOf<Message>, ServiceError> {
        scope.must_have(Capability::ViewBase)?;
        let range = window.range(self.ids.latest());
        let shown = scope.shows_payloads(with_payload);
        let page = self.store.messages(scope.key(), range, &of.checked(scope)?, shown).await?;
        if shown && page.items.iter().any(|m| m.payload.is_some()) {
            self.note_look(scope, "", "a list of messages").await;
        }
        Ok(page)
    }

    /// Removes a message's payload for good.
    pub async fn expunge_payload(&self, scope: &AppScope, which: &str) -> Result<(), ServiceError> {
        scope.must_be_organization()?;
        let id = self.message_id(scope, which).await?;
        self.store.expunge_payload(scope.key(), id).await?;
        self.note_in(scope, Action::PayloadExpunged, id, "").await;
        Ok(())
    }

    /// The id of a message that exists.
    pub(crate) async fn message_id(&self, scope: &AppScope, which: &str) -> Result<MessageId, ServiceError> {
        Ok(self.find_message(scope, which, false).await?.meta.id)
    }
}
