//! Operational webhooks: ordinary messages to whoever runs the server, about endpoints and failing deliveries.
//!
//! They go to the application of the management organization whose uid is the organization's id, if there is one.

use crate::{Service, actor::Actor, error::ServiceError, event_types::EventTypeInput, publish::NewMessage};
use domain::{
    Application, ApplicationId, AttemptId, Endpoint, EndpointId, GivenUpCount, MessageId, MessageMeta, OrganizationId,
    Timestamp, Uid,
};
use serde::Serialize;
use std::time::Duration;

/// How long an organization without an operator's application is left alone: with many failing endpoints there is much
/// to tell, and mostly nobody who wants to hear it.
const ASK_AGAIN: Duration = Duration::from_secs(10);

/// The event types, with a sentence about each.
const EVENT_TYPES: [(&str, &str); 7] = [
    ("endpoint.created", "An endpoint was created."),
    ("endpoint.updated", "An endpoint was changed, or its secret rotated."),
    ("endpoint.deleted", "An endpoint was deleted."),
    ("endpoint.disabled", "An endpoint was switched off because nothing reached it any more."),
    ("message.attempt.failing", "A message failed several times; it will be tried again."),
    ("message.attempt.exhausted", "A message failed for the last time; it will not be tried again."),
    ("message.attempt.recovered", "A message was delivered after it had failed several times."),
];

/// Which endpoint an event is about.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EndpointNames {
    /// Its application.
    pub app_id: ApplicationId,
    /// The user's own name of that.
    pub app_uid: Option<Uid>,
    /// The endpoint.
    pub endpoint_id: EndpointId,
    /// The user's own name of that.
    pub endpoint_uid: Option<Uid>,
}

impl EndpointNames {
    /// Of an endpoint.
    pub fn of(app: &Application, endpoint: &Endpoint) -> Self {
        Self { app_id: app.id, app_uid: app.uid.clone(), endpoint_id: endpoint.id, endpoint_uid: endpoint.uid.clone() }
    }
}

/// Which delivery an event is about.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AttemptNames {
    /// The application.
    pub app_id: ApplicationId,
    /// The user's own name of that.
    pub app_uid: Option<Uid>,
    /// The message.
    pub msg_id: MessageId,
    /// The producer's own name of that.
    pub msg_event_id: Option<Uid>,
    /// The endpoint.
    pub endpoint_id: EndpointId,
    /// The latest attempt.
    pub last_attempt: LastAttempt,
}

/// The latest attempt of a delivery.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LastAttempt {
    /// Its id.
    pub id: AttemptId,
    /// The HTTP status, 0 if there was none.
    pub response_status_code: u16,
    /// When it began.
    pub timestamp: Timestamp,
}

impl AttemptNames {
    /// Of a message on its way to an endpoint.
    pub fn of(app: &Application, message: &MessageMeta, endpoint: &Endpoint, last_attempt: LastAttempt) -> Self {
        Self {
            app_id: app.id,
            app_uid: app.uid.clone(),
            msg_id: message.id,
            msg_event_id: message.event_id.clone(),
            endpoint_id: endpoint.id,
            last_attempt,
        }
    }
}

/// Messages that were given up within 24 hours.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct GivenUpNumbers {
    /// Because no answer came in time.
    pub timeouts: u64,
    /// Because of anything else that the receiver did.
    pub errors: u64,
}

impl From<GivenUpCount> for GivenUpNumbers {
    fn from(GivenUpCount { timeouts, errors }: GivenUpCount) -> Self {
        Self { timeouts, errors }
    }
}

/// What the operator is told.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(tag = "type", content = "data")]
pub enum OperationalEvent {
    /// An endpoint was created.
    #[serde(rename = "endpoint.created")]
    EndpointCreated(EndpointNames),
    /// It was changed.
    #[serde(rename = "endpoint.updated")]
    EndpointUpdated(EndpointNames),
    /// It was deleted.
    #[serde(rename = "endpoint.deleted")]
    EndpointDeleted(EndpointNames),
    /// It was switched off by us.
    #[serde(rename = "endpoint.disabled", rename_all = "camelCase")]
    EndpointDisabled {
        /// Which.
        #[serde(flatten)]
        endpoint: EndpointNames,
        /// Since when nothing has reached it.
        fail_since: Timestamp,
        /// How many messages were given up within 24 hours, if that is why.
        #[serde(rename = "messagesGivenUp", skip_serializing_if = "Option::is_none")]
        given_up: Option<GivenUpNumbers>,
    },
    /// The fourth try of a message failed, and another one is planned.
    #[serde(rename = "message.attempt.failing")]
    AttemptFailing(AttemptNames),
    /// The last try failed.
    #[serde(rename = "message.attempt.exhausted")]
    AttemptExhausted(AttemptNames),
    /// The fifth or a later try succeeded.
    #[serde(rename = "message.attempt.recovered")]
    AttemptRecovered(AttemptNames),
}

impl OperationalEvent {
    /// The event type.
    pub fn event_type(&self) -> &'static str {
        match self {
            Self::EndpointCreated(_) => "endpoint.created",
            Self::EndpointUpdated(_) => "endpoint.updated",
            Self::EndpointDeleted(_) => "endpoint.deleted",
            Self::EndpointDisabled { .. } => "endpoint.disabled",
            Self::AttemptFailing(_) => "message.attempt.failing",
            Self::AttemptExhausted(_) => "message.attempt.exhausted",
            Self::AttemptRecovered(_) => "message.attempt.recovered",
        }
    }
}

impl Service {
    /// Tells the operator of an organization, as well as that goes: a failure is only logged.
    pub async fn operational(&self, organization: &OrganizationId, event: OperationalEvent) {
        // What happens to the operator's own endpoints is not told, or a failing one would feed itself.
        if organization.as_str() == OrganizationId::MANAGEMENT {
            return;
        }
        self.alert(organization, &event).await;
        if !self.settings.operational_webhooks {
            return;
        }
        if let Err(error) = self.publish_operational(organization, &event).await {
            tracing::warn!(%error, event_type = event.event_type(), %organization, "an operational webhook got lost");
        }
    }

    async fn publish_operational(
        &self,
        organization: &OrganizationId,
        event: &OperationalEvent,
    ) -> Result<(), ServiceError> {
        let (management, now) = (OrganizationId::management(), self.now());
        if self.not_listening.get(organization).is_some_and(|since| now.since(since) < ASK_AGAIN) {
            return Ok(());
        }
        let Some(entry) = self.directory.find(&management, organization.as_str()).await? else {
            self.not_listening.insert(organization.clone(), now);
            return Ok(());
        };
        let payload = serde_json::to_vec(event).map_err(|_| ServiceError::Internal)?;
        let message = NewMessage::new(event.event_type(), payload.into());
        self.publish_to(&entry, message, None).await.map(|_| ())
    }

    /// Makes sure that the operator can subscribe to the event types. Those that exist stay as they are.
    pub async fn seed_operational_event_types(&self) -> Result<(), ServiceError> {
        if !self.settings.operational_webhooks {
            return Ok(());
        }
        let actor = Actor::Organization(OrganizationId::management());
        for (name, description) in EVENT_TYPES {
            if let Err(ServiceError::NotFound(_)) = self.event_type(&actor, name).await {
                let input = EventTypeInput { description: description.to_owned(), ..EventTypeInput::default() };
                match self.create_event_type(&actor, name, input).await {
                    // Another node was faster.
                    Ok(_) | Err(ServiceError::EventTypeExists) => {}
                    Err(e) => return Err(e),
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::Ksuid;

    fn names() -> EndpointNames {
        EndpointNames {
            app_id: ApplicationId(Ksuid::MIN),
            app_uid: None,
            endpoint_id: EndpointId(Ksuid::MIN),
            endpoint_uid: Some(Uid::new("mine").unwrap()),
        }
    }

    #[test]
    fn events_have_the_shape_that_svix_sends() {
        let zeros = "0".repeat(27);
        let json = serde_json::to_value(OperationalEvent::EndpointDisabled {
            endpoint: names(),
            fail_since: Timestamp::parse("2026-05-01T00:00:00Z").unwrap(),
            given_up: None,
        })
        .unwrap();
        assert_eq!(
            json,
            serde_json::json!({"type": "endpoint.disabled", "data": {
                "appId": format!("app_{zeros}"), "appUid": null,
                "endpointId": format!("ep_{zeros}"), "endpointUid": "mine",
                "failSince": "2026-05-01T00:00:00Z",
            }})
        );
        let attempt = AttemptNames {
            app_id: ApplicationId(Ksuid::MIN),
            app_uid: None,
            msg_id: MessageId(Ksuid::MIN),
            msg_event_id: None,
            endpoint_id: EndpointId(Ksuid::MIN),
            last_attempt: LastAttempt {
                id: AttemptId(Ksuid::MIN),
                response_status_code: 500,
                timestamp: Timestamp::parse("2026-05-01T00:00:00Z").unwrap(),
            },
        };
        let json = serde_json::to_value(OperationalEvent::AttemptExhausted(attempt)).unwrap();
        assert_eq!(json["data"]["lastAttempt"]["responseStatusCode"], 500);
        assert_eq!(json["data"]["msgEventId"], serde_json::Value::Null);
    }

    #[test]
    fn every_event_has_its_seeded_type() {
        for event in [OperationalEvent::EndpointCreated(names()), OperationalEvent::EndpointDeleted(names())] {
            let json = serde_json::to_value(&event).unwrap();
            assert_eq!(json["type"], event.event_type());
            assert!(EVENT_TYPES.iter().any(|(name, _)| *name == event.event_type()));
        }
    }
}
