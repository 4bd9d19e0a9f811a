//! Publishing: from one event that happened to a message on disk and its deliveries on their way.
//!
//! This is the hot path. It reads nothing from the database: applications, endpoints and schemas are in memory, and the
//! payload is passed on as the bytes that came in.

use crate::{
    Service,
    access::AppScope,
    actor::{Actor, Capability},
    applications::{ApplicationChange, ApplicationInput},
    check::Check,
    error::{Problem, ServiceError},
    idempotency,
};
use bytes::Bytes;
use domain::{
    Action, Channel, Endpoint, EndpointRef, EventTypeName, Message, MessageId, MessageMeta, OrderKey, Tag, Timestamp,
    Uid, ids::OrganizationId, message::TEST_CHANNEL,
};
use std::{borrow::Cow, collections::BTreeSet, sync::Arc};
use store::{Accept, Accepted, AppEntry, Birth, IdempotencyHash, NewDelivery, Outgoing, StoreError};

/// Messages at most that are published at once.
pub const BATCH_MAX: usize = 1_000;
/// The event type that every endpoint can be tested with.
const PING: &str = "svix.ping";
const HOUR: i64 = 3600;
/// Memory of a delivery that shares its message with others, roughly.
const DELIVERY_BYTES: usize = 256;
/// Levels of a payload at most; many parsers stop here.
const DEPTH_MAX: usize = 127;
/// The longest that a payload is kept, in days.
const PAYLOAD_DAYS_MAX: i64 = 90;

/// An event to publish.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewMessage<'a> {
    /// What happened.
    pub event_type: Cow<'a, str>,
    /// Valid JSON; must be an object.
    pub payload: Bytes,
    /// Sent instead of the payload, if present; need not be JSON.
    pub raw_payload: Option<Bytes>,
    /// The producer's own id.
    pub event_id: Option<Cow<'a, str>>,
    /// Labels.
    pub channels: Option<Vec<Cow<'a, str>>>,
    /// What it is found by.
    pub tags: Option<Vec<Cow<'a, str>>>,
    /// What it is ordered with.
    pub order_key: Option<Cow<'a, str>>,
    /// Days until its payload is removed.
    pub retention_days: Option<i64>,
    /// Hours until its payload is removed; wins over days.
    pub retention_hours: Option<i64>,
    /// Made if the application does not exist.
    pub application: Option<ApplicationInput>,
}

impl<'a> NewMessage<'a> {
    /// With nothing but a type and a payload.
    pub fn new(event_type: impl Into<Cow<'a, str>>, payload: Bytes) -> Self {
        Self {
            event_type: event_type.into(),
            payload,
            raw_payload: None,
            event_id: None,
            channels: None,
            tags: None,
            order_key: None,
            retention_days: None,
            retention_hours: None,
            application: None,
        }
    }

    fn check(self) -> Result<Checked, ServiceError> {
        let mut check = Check::body();
        let event_type = check.event_type("event_type", &self.event_type);
        let event_id = self.event_id.and_then(|id| check.uid(&id, MessageId::PREFIX));
        let channels = self.channels.map(|c| check.channels(&c)).unwrap_or_default();
        let tags = self.tags.map(|t| check.tags(&t)).unwrap_or_default();
        let order_key = self.order_key.and_then(|key| check.order_key(&key));
        if self.payload.first() != Some(&b'{') {
            check.fail(&["payload"], "Payload must be an object.");
        } else if is_deep(&self.payload) {
            check.fail(&["payload"], "Payload must not be nested deeper than 127 levels.");
        }
        check.range("payload_retention_period", self.retention_days, 1..=PAYLOAD_DAYS_MAX);
        check.range("payload_retention_hours", self.retention_hours, 1..=PAYLOAD_DAYS_MAX * 24);
        if let Some(application) = &self.application {
            let mut nested = Check::at(&["body", "application"]);
            ApplicationChange::from(application.clone()).check(&mut nested);
            check.absorb(nested);
        }
        let Some(event_type) = event_type else { return Err(check.into_error()) };
        check.finish()?;
        Ok(Checked {
            event_type,
            event_id,
            channels,
            tags,
            order_key,
            payload: self.raw_payload.unwrap_or(self.payload),
            retention_hours: self.retention_hours.or(self.retention_days.map(|days| days * 24)),
            application: self.application,
        })
    }
}

/// Whether valid JSON is nested so deeply that it could exhaust the stack of a receiver.
fn is_deep(json: &[u8]) -> bool {
    let opens = |b: u8| matches!(b, b'{' | b'[');
    // Nearly every payload has too few brackets for that altogether.
    if json.iter().filter(|b| opens(**b)).count() <= DEPTH_MAX {
        return false;
    }
    let (mut depth, mut in_string, mut escaped) = (0, false, false);
    for &byte in json {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            _ if opens(byte) => depth += 1,
            b'}' | b']' => depth -= 1,
            _ => {}
        }
        if depth > DEPTH_MAX {
            return true;
        }
    }
    false
}

/// A message whose rules were checked.
struct Checked {
    event_type: EventTypeName,
    event_id: Option<Uid>,
    channels: BTreeSet<Channel>,
    tags: BTreeSet<Tag>,
    order_key: Option<OrderKey>,
    payload: Bytes,
    retention_hours: Option<i64>,
    application: Option<ApplicationInput>,
}

/// A message that is on disk.
#[derive(Clone)]
pub enum Published {
    /// Since now.
    New(Arc<Outgoing>),
    /// Since an earlier request that this one repeats.
    Repeated(Message),
}

impl Published {
    /// All but the payload.
    pub fn meta(&self) -> &MessageMeta {
        match self {
            Self::New(outgoing) => &outgoing.meta,
            Self::Repeated(message) => &message.meta,
        }
    }
    /// The payload; absent if it is gone already.
    pub fn payload(&self) -> Option<&Bytes> {
        match self {
            Self::New(outgoing) => Some(&outgoing.payload),
            Self::Repeated(message) => message.payload.as_ref(),
        }
    }
}

impl Service {
    /// Publishes a message to an application. It is on disk when this returns.
    pub async fn publish(
        &self,
        actor: &Actor,
        app: &str,
        message: NewMessage<'_>,
        idempotency: Option<IdempotencyHash>,
    ) -> Result<Published, ServiceError> {
        let organization = actor.must_be_organization()?;
        let checked = message.check()?;
        let entry = self.find_or_create(organization, app, checked.application.as_ref()).await?;
        self.accept_one(&entry, checked, idempotency).await
    }

    /// Publishes a message to an application that was found already.
    pub(crate) async fn publish_to(
        &self,
        entry: &AppEntry,
        message: NewMessage<'_>,
        idempotency: Option<IdempotencyHash>,
    ) -> Result<Published, ServiceError> {
        self.accept_one(entry, message.check()?, idempotency).await
    }

    async fn accept_one(
        &self,
        entry: &AppEntry,
        checked: Checked,
        idempotency: Option<IdempotencyHash>,
    ) -> Result<Published, ServiceError> {
        self.must_fit(&entry.application, &checked.event_type, &checked.payload).await?;
        let accept = self.prepare(entry, checked, idempotency, Endpoint::takes);
        let outgoing = accept.message.clone();
        let accepted = self.store.accept(vec![accept]).await?.pop().ok_or(ServiceError::Internal)?;
        self.published(accepted, outgoing)
    }

    /// Publishes messages in one shared commit, each on its own: what is wrong with one does not harm the others.
    pub async fn publish_batch(
        &self,
        actor: &Actor,
        app: &str,
        messages: Vec<(NewMessage<'_>, Option<IdempotencyHash>)>,
    ) -> Result<Vec<Result<Published, ServiceError>>, ServiceError> {
        let organization = actor.must_be_organization()?;
        let application = messages.iter().find_map(|(m, _)| m.application.clone());
        let entry = match self.find_or_create(organization, app, application.as_ref()).await {
            // All messages name it, so all get the same answer.
            Err(ServiceError::Invalid(problems)) => {
                return Ok(messages.iter().map(|_| Err(ServiceError::Invalid(problems.clone()))).collect());
            }
            entry => entry?,
        };
        let mut accepts = Vec::with_capacity(messages.len());
        let mut results = Vec::with_capacity(messages.len());
        for (message, idempotency) in messages {
            let checked = match message.check() {
                Ok(checked) => checked,
                Err(refused) => {
                    results.push(Err(refused));
                    continue;
                }
            };
            if let Err(refused) = self.must_fit(&entry.application, &checked.event_type, &checked.payload).await {
                results.push(Err(refused));
                continue;
            }
            let accept = self.prepare(&entry, checked, idempotency, Endpoint::takes);
            results.push(Ok(accept.message.clone()));
            accepts.push(accept);
        }
        let mut accepted = self.store.accept(accepts).await?.into_iter();
        let settle = |prepared: Result<Arc<Outgoing>, ServiceError>| {
            let outgoing = prepared?;
            self.published(accepted.next().ok_or(ServiceError::Internal)?, outgoing)
        };
        Ok(results.into_iter().map(settle).collect())
    }

    fn published(&self, accepted: Accepted, outgoing: Arc<Outgoing>) -> Result<Published, ServiceError> {
        match accepted {
            Accepted::New => {
                self.accepted.increment(1);
                Ok(Published::New(outgoing))
            }
            Accepted::Repeated(first) => Ok(Published::Repeated(first)),
            Accepted::Conflict(first) => Err(ServiceError::Conflict(format!(
                "Another message with this eventId exists already: {first}. Its event type or payload differs."
            ))),
        }
    }

    /// The application of a path, made if it does not exist and the message says how.
    pub(crate) async fn find_or_create(
        &self,
        organization: &OrganizationId,
        app: &str,
        application: Option<&ApplicationInput>,
    ) -> Result<Arc<AppEntry>, ServiceError> {
        if let Some(entry) = self.directory.find(organization, app).await? {
            return Ok(entry);
        }
        let input = application.ok_or(ServiceError::NO_APPLICATION)?;
        let refuse = |kind, msg: &'static str| {
            ServiceError::Invalid(vec![Problem::new(&["body", "application", "uid"], msg).of_kind(kind)])
        };
        match input.uid.as_deref() {
            None => return Err(refuse("application_uid_missing", "Application UID not set in body")),
            Some(uid) if uid != app => {
                let msg = "Application UID in the path and body must match";
                return Err(refuse("application_uid_mismatch", msg));
            }
            Some(_) => {}
        }
        let mut check = Check::at(&["body", "application"]);
        let checked = ApplicationChange::from(input.clone()).check(&mut check);
        check.finish()?;
        match self.insert_application(organization, checked).await {
            // Taken: somebody else created it since we looked.
            Ok(_) | Err(StoreError::UidTaken) => {}
            Err(e) => return Err(e.into()),
        }
        self.directory.find(organization, app).await?.ok_or(ServiceError::NO_APPLICATION)
    }

    /// Everything but the writing: an id, the endpoints that take it, their seats, the hour its payload goes.
    fn prepare(
        &self,
        entry: &AppEntry,
        message: Checked,
        idempotency: Option<IdempotencyHash>,
        takes: impl Fn(&Endpoint, &EventTypeName, &BTreeSet<Channel>) -> bool,
    ) -> Accept {
        let (id, now) = self.next_id();
        let app = entry.application.key;
        let mut deliveries: Vec<NewDelivery> = entry
            .endpoints
            .iter()
            .filter(|e| takes(e, &message.event_type, &message.channels))
            .map(|e| NewDelivery {
                to: EndpointRef { app, endpoint: e.key },
                birth: match &message.order_key {
                    Some(key) if e.options.ordered => Birth::InOrder(key.clone()),
                    _ => Birth::Waiting,
                },
            })
            .collect();
        let budget = if deliveries.iter().any(|d| matches!(d.birth, Birth::Waiting)) {
            self.admission.budget(message.payload.len() + deliveries.len() * DELIVERY_BYTES)
        } else {
            None
        };
        if budget.is_some() {
            for delivery in &mut deliveries {
                if matches!(delivery.birth, Birth::Waiting) {
                    delivery.birth = self.admission.admit(delivery.to);
                }
            }
        }
        Accept {
            expires_hour: self.expires_hour(entry, message.retention_hours, now),
            message: Arc::new(Outgoing {
                meta: MessageMeta {
                    id: MessageId(id),
                    app,
                    event_type: message.event_type,
                    event_id: message.event_id,
                    channels: message.channels,
                    tags: message.tags,
                    order_key: message.order_key,
                    created_at: now,
                },
                payload: message.payload,
                budget,
            }),
            deliveries,
            idempotency,
            repeat_since: now.minus(idempotency::KEPT),
        }
    }

    /// The hour after which the payload is removed: as the message says, or its application, its organization, the
    /// operator.
    fn expires_hour(&self, entry: &AppEntry, message_hours: Option<i64>, now: Timestamp) -> i64 {
        let hours = message_hours.unwrap_or_else(|| {
            let decided = entry.application.options.retention.or(entry.organization.retention).payload_days;
            i64::from(decided.unwrap_or(self.settings.payload_days)) * 24
        });
        now.as_seconds().div_euclid(HOUR) + hours
    }

    /// Sends the example of an event type to one endpoint, as an ordinary message that says it is a test. The endpoint must be switched on and
    /// take the event type.
    pub async fn send_example(
        &self,
        scope: &AppScope,
        which: &str,
        event_type: &str,
        index: usize,
    ) -> Result<Published, ServiceError> {
        scope.must_be_organization()?;
        let endpoint = self.find_endpoint(scope, which).await?;
        let mut check = Check::body();
        let Some(name) = check.event_type("event_type", event_type) else { return Err(check.into_error()) };
        let payload = if event_type == PING {
            Bytes::from_static(br#"{"success":true}"#)
        } else {
            let found = self.store.event_type(&scope.application().organization, &name).await?;
            let event_type = found.ok_or(ServiceError::NO_ENTITY)?;
            let example = event_type.example(index).filter(|e| e.is_object()).ok_or(ServiceError::InvalidScheme)?;
            serde_json::to_vec(example).map_err(|_| ServiceError::Internal)?.into()
        };
        self.send_to_one(scope, &endpoint, name.as_str(), payload).await
    }

    /// Sends a payload that a person wrote to one endpoint, as an ordinary message. The endpoint must be switched on and
    /// take the event type, which must exist.
    pub async fn send_test(
        &self,
        scope: &AppScope,
        which: &str,
        event_type: &str,
        payload: Bytes,
    ) -> Result<Published, ServiceError> {
        scope.must_have(Capability::CreateAttempts)?;
        let endpoint = self.find_endpoint(scope, which).await?;
        if endpoint.disabled.is_some() {
            return Err(ServiceError::Conflict("The endpoint is switched off; switch it on first".to_owned()));
        }
        if event_type != PING {
            self.event_type(scope.actor(), event_type).await?;
        }
        if let Err(e) = serde_json::from_slice::<serde::de::IgnoredAny>(&payload) {
            return Err(ServiceError::invalid(&["body", "payload"], format!("This is not JSON: {e}")));
        }
        let takes = endpoint.event_types.as_ref().is_none_or(|types| types.iter().any(|t| t.as_str() == event_type));
        if !takes {
            return Err(ServiceError::invalid(&["body", "event_type"], "The endpoint does not listen to this event"));
        }
        self.send_to_one(scope, &endpoint, event_type, payload).await
    }

    async fn send_to_one(
        &self,
        scope: &AppScope,
        endpoint: &Endpoint,
        event_type: &str,
        payload: Bytes,
    ) -> Result<Published, ServiceError> {
        let mut message = NewMessage::new(event_type, payload);
        let mut channels = vec![TEST_CHANNEL.into()];
        if scope.confines().is_some() || endpoint.options.confined {
            // So that it is theirs to see, and goes there: it is for them.
            let room = Check::CHANNELS_MAX - channels.len();
            channels.extend(endpoint.channels.iter().flatten().take(room).map(|c| c.to_string().into()));
        }
        message.channels = Some(channels);
        let accept = self.prepare(scope.entry(), message.check()?, None, |e, event_type, _| {
            let types = e.event_types.as_ref();
            e.key == endpoint.key && e.disabled.is_none() && types.is_none_or(|t| t.contains(event_type))
        });
        let outgoing = accept.message.clone();
        let accepted = self.store.accept(vec![accept]).await?.pop().ok_or(ServiceError::Internal)?;
        self.note_in(scope, Action::TestSent, endpoint.id, event_type).await;
        self.published(accepted, outgoing)
    }

    /// Whether a message of this type and with these channels would go to any endpoint.
    pub async fn would_reach_any(
        &self,
        scope: &AppScope,
        event_type: &str,
        channels: Option<&[String]>,
    ) -> Result<bool, ServiceError> {
        let mut check = Check::body();
        let name = check.event_type("event_type", event_type);
        let channels = channels.map(|c| check.channels(c)).unwrap_or_default();
        let Some(name) = name else { return Err(check.into_error()) };
        check.finish()?;
        Ok(scope.endpoints().any(|e| e.takes(&name, &channels)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message() -> NewMessage<'static> {
        NewMessage::new("track.started", Bytes::from_static(b"{}"))
    }
    fn problems(message: NewMessage<'_>) -> Vec<(String, String)> {
        match message.check() {
            Ok(_) => Vec::new(),
            Err(ServiceError::Invalid(list)) => list.iter().map(|p| (p.loc.join("/"), p.msg.to_string())).collect(),
            Err(e) => panic!("{e:?}"),
        }
    }

    #[test]
    fn a_payload_is_an_object() {
        for payload in [&b"[]"[..], b"\"x\"", b"null", b"1", b""] {
            let found = problems(NewMessage { payload: Bytes::from_static(payload), ..message() });
            assert_eq!(found, [("body/payload".to_owned(), "Payload must be an object.".to_owned())]);
        }
        assert_eq!(problems(message()), []);
    }

    #[test]
    fn a_payload_is_not_too_deep_for_receivers() {
        let nested = |n: usize| format!("{}1{}", r#"{"a":"#.repeat(n), "}".repeat(n));
        assert!(!is_deep(nested(127).as_bytes()) && is_deep(nested(128).as_bytes()));
        let wide = format!(r#"{{"a":[{}],"b":"{}"}}"#, vec!["[]"; 200].join(","), r#"\"["#.repeat(200));
        assert!(!is_deep(wide.as_bytes()));
    }

    #[test]
    fn every_field_is_checked_also_those_of_an_application_to_make() {
        let found = problems(NewMessage {
            event_type: "not a name".into(),
            event_id: Some("msg_1".into()),
            channels: Some(vec!["a b".into()]),
            tags: Some(vec!["a:b".into()]),
            order_key: Some("".into()),
            retention_days: Some(0),
            retention_hours: Some(2161),
            application: Some(ApplicationInput::default()),
            ..message()
        });
        let locs: Vec<_> = found.iter().map(|(loc, _)| loc.as_str()).collect();
        assert_eq!(
            locs,
            [
                "body/event_type/__all__",
                "body/uid/__all__",
                "body/channels/[0]/__all__",
                "body/tags/[0]/__all__",
                "body/order_key/__all__",
                "body/payload_retention_period",
                "body/payload_retention_hours",
                "body/application/name",
            ]
        );
    }

    #[test]
    fn five_tags_are_enough_and_none_is_as_good_as_absent() {
        let tags = |n: usize| NewMessage { tags: Some((0..n).map(|i| i.to_string().into()).collect()), ..message() };
        assert_eq!(problems(tags(0)), []);
        assert_eq!(problems(tags(5)), []);
        assert_eq!(problems(tags(6)), [("body/tags".to_owned(), "Tags must have at most 5 items.".to_owned())]);
    }

    #[test]
    fn hours_win_over_days_and_the_raw_payload_over_the_payload() {
        let checked = NewMessage {
            retention_days: Some(2),
            retention_hours: Some(5),
            raw_payload: Some(Bytes::from_static(b"plain text")),
            ..message()
        }
        .check()
        .unwrap_or_else(|e| panic!("{e:?}"));
        assert_eq!(checked.retention_hours, Some(5));
        assert_eq!(checked.payload, "plain text");
    }
}
