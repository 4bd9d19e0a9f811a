//! Event types.

use crate::{
    Service,
    actor::Actor,
    check::Check,
    error::ServiceError,
    patch::{Patch, Saved},
    schemas,
};
use domain::{Action, EventType, EventTypeName, PageOf, PageQuery, Timestamp};
use serde_json::{Map, Value};
use store::EventTypeFilter;

/// A whole event type, as it is created or put.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct EventTypeInput {
    /// For people.
    pub description: String,
    /// Not offered any more.
    pub archived: bool,
    /// Offered with a warning.
    pub deprecated: bool,
    /// JSON Schemas by version.
    pub schemas: Option<Map<String, Value>>,
    /// Only tokens with this flag see it.
    pub feature_flag: Option<String>,
    /// The family it is shown in. Left out, it stays as it is.
    pub group_name: Patch<String>,
}

/// A change of an event type.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct EventTypeChange {
    /// For people.
    pub description: Option<String>,
    /// Not offered any more.
    pub archived: Option<bool>,
    /// Offered with a warning.
    pub deprecated: Option<bool>,
    /// JSON Schemas by version.
    pub schemas: Patch<Map<String, Value>>,
    /// Only tokens with this flag see it.
    pub feature_flag: Patch<String>,
    /// The family it is shown in.
    pub group_name: Patch<String>,
}

impl From<EventTypeInput> for EventTypeChange {
    fn from(i: EventTypeInput) -> Self {
        Self {
            description: Some(i.description),
            archived: Some(i.archived),
            deprecated: Some(i.deprecated),
            schemas: Patch::replace(i.schemas),
            feature_flag: Patch::replace(i.feature_flag),
            group_name: i.group_name,
        }
    }
}

impl EventTypeChange {
    fn apply(self, event_type: &mut EventType, mut check: Check, now: Timestamp) -> Result<(), ServiceError> {
        if let Some(description) = self.description {
            check.text("description", &description);
            event_type.description = description;
        }
        if let Some(group) = self.group_name.value() {
            check.text("group_name", group);
        }
        if let Some(problem) = self.schemas.value().and_then(schemas::problem) {
            check.unreadable("schemas", problem);
        }
        event_type.archived = self.archived.unwrap_or(event_type.archived);
        event_type.deprecated = self.deprecated.unwrap_or(event_type.deprecated);
        self.schemas.apply(&mut event_type.schemas);
        self.group_name.apply(&mut event_type.group_name);
        let flag = self.feature_flag.and_then(|f| check.event_type("feature_flag", &f));
        flag.apply(&mut event_type.feature_flag);
        event_type.updated_at = now;
        check.finish()
    }
}

fn blank(name: EventTypeName, now: Timestamp) -> EventType {
    EventType {
        name,
        description: String::new(),
        archived: false,
        deprecated: false,
        schemas: None,
        feature_flag: None,
        group_name: None,
        created_at: now,
        updated_at: now,
    }
}

fn path_name(name: &str) -> Result<EventTypeName, ServiceError> {
    EventTypeName::new(name).map_err(|e| ServiceError::invalid(&["path", "event_type_name", "__all__"], e.to_string()))
}

impl Service {
    /// A page of event types by name. An application sees those without a flag and those with one of its flags.
    pub async fn event_types(
        &self,
        actor: &Actor,
        include_archived: bool,
        with_content: bool,
        page: PageQuery<EventTypeName>,
    ) -> Result<PageOf<EventType>, ServiceError> {
        let visible_flags = actor.visible_flags().cloned();
        let filter = EventTypeFilter { include_archived, with_content, visible_flags };
        Ok(self.store.event_types(actor.organization(), &filter, page).await?)
    }

    /// One by name, archived or not.
    pub async fn event_type(&self, actor: &Actor, name: &str) -> Result<EventType, ServiceError> {
        let found = self.store.event_type(actor.organization(), &path_name(name)?).await?;
        found
            .filter(|t| match (actor.visible_flags(), &t.feature_flag) {
                (Some(mine), Some(flag)) => mine.contains(flag),
                _ => true,
            })
            .ok_or(ServiceError::NO_ENTITY)
    }

    /// Creates an event type, or brings an archived one back.
    pub async fn create_event_type(
        &self,
        actor: &Actor,
        name: &str,
        input: EventTypeInput,
    ) -> Result<EventType, ServiceError> {
        let organization = actor.must_be_organization()?;
        let mut check = Check::body();
        let Some(name) = check.event_type("name", name) else { return Err(check.into_error()) };
        let now = self.now();
        let mut event_type = blank(name, now);
        EventTypeChange::from(input).apply(&mut event_type, check, now)?;
        if !self.directory.put_event_type(organization, event_type.clone(), true).await? {
            return Err(ServiceError::EventTypeExists);
        }
        self.note(actor, None, Action::EventTypeCreated, &event_type.name, "").await;
        Ok(event_type)
    }

    /// Replaces an event type, or creates it.
    pub async fn put_event_type(
        &self,
        actor: &Actor,
        name: &str,
        input: EventTypeInput,
    ) -> Result<Saved<EventType>, ServiceError> {
        let organization = actor.must_be_organization()?;
        let (name, now) = (path_name(name)?, self.now());
        let existing = self.store.event_type(organization, &name).await?;
        let is_new = existing.is_none();
        let mut event_type = existing.unwrap_or_else(|| blank(name, now));
        EventTypeChange::from(input).apply(&mut event_type, Check::body(), now)?;
        self.directory.put_event_type(organization, event_type.clone(), false).await?;
        let action = if is_new { Action::EventTypeCreated } else { Action::EventTypeUpdated };
        self.note(actor, None, action, &event_type.name, "").await;
        Ok(if is_new { Saved::Created(event_type) } else { Saved::Existing(event_type) })
    }

    /// Changes an event type.
    pub async fn patch_event_type(
        &self,
        actor: &Actor,
        name: &str,
        change: EventTypeChange,
    ) -> Result<EventType, ServiceError> {
        let event_type = self.change_event_type(actor, name, change).await?;
        self.note(actor, None, Action::EventTypeUpdated, &event_type.name, "").await;
        Ok(event_type)
    }

    async fn change_event_type(
        &self,
        actor: &Actor,
        name: &str,
        change: EventTypeChange,
    ) -> Result<EventType, ServiceError> {
        let organization = actor.must_be_organization()?;
        let mut event_type = self.event_type(actor, name).await?;
        change.apply(&mut event_type, Check::body(), self.now())?;
        self.directory.put_event_type(organization, event_type.clone(), false).await?;
        Ok(event_type)
    }

    /// Archives an event type, or removes it.
    pub async fn delete_event_type(&self, actor: &Actor, name: &str, expunge: bool) -> Result<(), ServiceError> {
        let organization = actor.must_be_organization()?;
        if expunge {
            let was_there = self.directory.remove_event_type(organization, &path_name(name)?).await?;
            if !was_there {
                return Err(ServiceError::NO_ENTITY);
            }
        } else {
            let archive = EventTypeChange { archived: Some(true), ..EventTypeChange::default() };
            self.change_event_type(actor, name, archive).await?;
        }
        self.note(actor, None, Action::EventTypeDeleted, name, if expunge { "for good" } else { "archived" }).await;
        Ok(())
    }
}
