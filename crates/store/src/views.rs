//! Operations on configuration (applications, endpoints, event types) and on what happened (messages, attempts).

use crate::error::StoreError;
use async_trait::async_trait;
use bytes::Bytes;
use domain::{
    AppKey, Application, ApplicationId, Attempt, AttemptId, AttemptStatus, Channel, Confines, Endpoint, EndpointId,
    EndpointKey, EndpointRef, EventType, EventTypeName, IdOrUid, IdRange, Ksuid, Message, MessageId, OrganizationId,
    PageOf, PageQuery, Retention, RetrySchedule, Tag, Timestamp,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// What an organization decides for its applications.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct OrganizationOptions {
    /// How long things are kept where the application does not say.
    pub retention: Retention,
    /// Waits between tries where neither endpoint nor application says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_schedule: Option<RetrySchedule>,
    /// How its pages look.
    #[serde(skip_serializing_if = "Branding::is_empty")]
    pub branding: Branding,
    /// Addresses that alerts are mailed to.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub alert_emails: Vec<String>,
}

/// How an organization's pages look.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Branding {
    /// What stands at the top instead of the product's name.
    pub name: String,
    /// Up to three characters in the place of the bell.
    pub mark: String,
    /// The accent, six hexadecimal digits.
    pub accent: String,
}

impl Branding {
    /// Whether nothing was decided.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Which event types a list shows.
#[derive(Clone, Debug, Default)]
pub struct EventTypeFilter {
    /// Archived ones too.
    pub include_archived: bool,
    /// With schemas.
    pub with_content: bool,
    /// Only those without a feature flag or with one of these; all if absent.
    pub visible_flags: Option<BTreeSet<EventTypeName>>,
}

/// Applications, endpoints, event types. New objects come with id, timestamps and revision 0 set; `key` is given by the
/// store and ignored on input. A change names the revision that it saw and gets [`StoreError::Changed`] if that is not
/// the current one; the stored object has the next revision.
#[async_trait]
pub trait Config: Send + Sync {
    /// Stores a new application. [`StoreError::UidTaken`] if the organization has one with this uid.
    async fn create_application(&self, new: Application) -> Result<Application, StoreError>;
    /// By id or uid; deleted ones are not found.
    async fn application(
        &self,
        organization: &OrganizationId,
        which: &IdOrUid<ApplicationId>,
    ) -> Result<Option<Application>, StoreError>;
    /// By the short key; deleted ones are not found.
    async fn application_by_key(&self, key: AppKey) -> Result<Option<Application>, StoreError>;
    /// A page of the organization's applications, by id.
    async fn applications(
        &self,
        organization: &OrganizationId,
        page: PageQuery<Ksuid>,
    ) -> Result<PageOf<Application>, StoreError>;
    /// Replaces an application.
    async fn save_application(&self, changed: Application) -> Result<Application, StoreError>;
    /// Deletes an application: nothing below it is found any more, its uid is free.
    async fn delete_application(&self, key: AppKey, now: Timestamp) -> Result<(), StoreError>;

    /// Stores a new endpoint. [`StoreError::UidTaken`] if the application has one with this uid.
    async fn create_endpoint(&self, new: Endpoint) -> Result<Endpoint, StoreError>;
    /// By id or uid; deleted ones are not found.
    async fn endpoint(&self, app: AppKey, which: &IdOrUid<EndpointId>) -> Result<Option<Endpoint>, StoreError>;
    /// All endpoints of an application that are not deleted, by id.
    async fn endpoints_of(&self, app: AppKey) -> Result<Vec<Endpoint>, StoreError>;
    /// A page of them.
    async fn endpoints(&self, app: AppKey, page: PageQuery<Ksuid>) -> Result<PageOf<Endpoint>, StoreError>;
    /// Replaces an endpoint, secrets, headers and `failing_since` included.
    async fn save_endpoint(&self, changed: Endpoint) -> Result<Endpoint, StoreError>;
    /// Deletes an endpoint: not found any more (its attempts are), its uid is free.
    async fn delete_endpoint(&self, app: AppKey, key: EndpointKey, now: Timestamp) -> Result<(), StoreError>;

    /// Stores an event type, or replaces the one of that name. With `only_new`, an active one of that name gives
    /// `Ok(false)` and stays (an archived one is replaced).
    async fn put_event_type(
        &self,
        organization: &OrganizationId,
        event_type: EventType,
        only_new: bool,
    ) -> Result<bool, StoreError>;
    /// By name, archived or not.
    async fn event_type(
        &self,
        organization: &OrganizationId,
        name: &EventTypeName,
    ) -> Result<Option<EventType>, StoreError>;
    /// A page of them, by name.
    async fn event_types(
        &self,
        organization: &OrganizationId,
        filter: &EventTypeFilter,
        page: PageQuery<EventTypeName>,
    ) -> Result<PageOf<EventType>, StoreError>;
    /// Removes the row of an event type. `Ok(false)` if there was none.
    async fn remove_event_type(&self, organization: &OrganizationId, name: &EventTypeName) -> Result<bool, StoreError>;
    /// Those of `names` that are not active event types.
    async fn unknown_event_types(
        &self,
        organization: &OrganizationId,
        names: &BTreeSet<EventTypeName>,
    ) -> Result<Vec<EventTypeName>, StoreError>;

    /// What an organization decided; all absent if nothing.
    async fn organization_options(&self, organization: &OrganizationId) -> Result<OrganizationOptions, StoreError>;
    /// Replaces that.
    async fn save_organization_options(
        &self,
        organization: &OrganizationId,
        options: &OrganizationOptions,
    ) -> Result<(), StoreError>;
}

/// Which messages a list shows.
#[derive(Clone, Debug, Default)]
pub struct MessageFilter {
    /// Of one of these types; all if absent.
    pub event_types: Option<BTreeSet<EventTypeName>>,
    /// With this channel.
    pub channel: Option<Channel>,
    /// With this tag.
    pub tag: Option<Tag>,
    /// Within these.
    pub within: Option<Confines>,
}

impl MessageFilter {
    /// Whether nothing is asked of a message.
    pub fn is_empty(&self) -> bool {
        self.event_types.is_none() && self.channel.is_none() && self.within.is_none() && self.tag.is_none()
    }
}

/// Which attempts a list shows.
#[derive(Clone, Debug, Default)]
pub struct AttemptFilter {
    /// With this status.
    pub status: Option<AttemptStatus>,
    /// With an HTTP status in `class..class + 100` (0: no answer).
    pub status_code_class: Option<u16>,
    /// Of messages that fit.
    pub messages: MessageFilter,
    /// To one of these endpoints (for lists by message).
    pub endpoints: Option<BTreeSet<EndpointKey>>,
}

/// Whose attempts a list shows.
#[derive(Clone, Copy, Debug)]
pub enum AttemptsOf {
    /// An endpoint's.
    Endpoint(EndpointRef),
    /// A message's.
    Message(AppKey, MessageId),
}

/// Which attempted messages a list shows.
#[derive(Clone, Debug, Default)]
pub struct DeliveryFilter {
    /// 0: delivered; 2: failed for good; 3: a next try is planned; 1: none.
    pub status: Option<AttemptStatus>,
    /// Messages that fit.
    pub messages: MessageFilter,
}

/// A message with how its latest attempt to one endpoint went.
#[derive(Clone, Debug)]
pub struct AttemptedMessage {
    /// The message.
    pub message: Message,
    /// The latest attempt's status.
    pub latest: AttemptStatus,
    /// When the next try is due, if one is planned.
    pub next_attempt: Option<Timestamp>,
}

/// An endpoint (deleted ones included) with how the latest attempt of one message went there.
#[derive(Clone, Debug)]
pub struct AttemptedDestination {
    /// The endpoint.
    pub endpoint: Endpoint,
    /// The latest attempt's status.
    pub latest: AttemptStatus,
    /// When the next try is due, if one is planned.
    pub next_attempt: Option<Timestamp>,
}

/// Attempts of an endpoint in a window, counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Stats {
    /// Succeeded.
    pub success: u64,
    /// Failed.
    pub fail: u64,
}

/// An answer of the API that is kept for repeated requests.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// The body.
    pub body: Bytes,
}

/// What happened: messages, attempts, and kept answers. Everything is found only below the application that is named.
#[async_trait]
pub trait Log: Send + Sync {
    /// Messages of an application in an id range, newest first.
    async fn messages(
        &self,
        app: AppKey,
        range: IdRange,
        filter: &MessageFilter,
        with_payload: bool,
    ) -> Result<PageOf<Message>, StoreError>;
    /// One, by id or event id.
    async fn message(
        &self,
        app: AppKey,
        which: &IdOrUid<MessageId>,
        with_payload: bool,
    ) -> Result<Option<Message>, StoreError>;
    /// Removes a payload for good. [`StoreError::NotFound`] if there is no such message.
    async fn expunge_payload(&self, app: AppKey, message: MessageId) -> Result<(), StoreError>;

    /// Attempts in an id range, newest first. `with_content` false leaves `response` empty.
    async fn attempts(
        &self,
        of: AttemptsOf,
        range: IdRange,
        filter: &AttemptFilter,
        with_content: bool,
    ) -> Result<PageOf<Attempt>, StoreError>;
    /// One attempt of a message.
    async fn attempt(&self, app: AppKey, message: MessageId, attempt: AttemptId)
    -> Result<Option<Attempt>, StoreError>;
    /// Replaces the stored answer of an attempt by `EXPUNGED`.
    async fn expunge_attempt(&self, app: AppKey, message: MessageId, attempt: AttemptId) -> Result<(), StoreError>;

    /// Messages with at least one attempt to an endpoint, in a range of message ids, newest first.
    async fn attempted_messages(
        &self,
        to: EndpointRef,
        range: IdRange,
        filter: &DeliveryFilter,
        with_payload: bool,
    ) -> Result<PageOf<AttemptedMessage>, StoreError>;
    /// Endpoints with at least one attempt of a message, by endpoint id.
    async fn attempted_destinations(
        &self,
        app: AppKey,
        message: MessageId,
        page: PageQuery<Ksuid>,
    ) -> Result<PageOf<AttemptedDestination>, StoreError>;
    /// Attempts of an endpoint with ids in `from..until`, counted.
    async fn endpoint_stats(&self, to: EndpointRef, from: Ksuid, until: Ksuid) -> Result<Stats, StoreError>;

    /// The answer kept under a hash since `not_before`, if any.
    async fn kept_answer(&self, hash: [u8; 32], not_before: Timestamp) -> Result<Option<Answer>, StoreError>;
    /// Keeps an answer.
    async fn keep_answer(&self, hash: [u8; 32], answer: Answer, now: Timestamp) -> Result<(), StoreError>;
}
