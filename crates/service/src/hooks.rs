//! REST hooks: what Zapier and its like need of a sender. A subscription is an ordinary endpoint.

use crate::{
    Service,
    access::AppScope,
    actor::{Actor, Capability},
    check::Check,
    dry_run::facts,
    endpoints::{EndpointExtras, EndpointInput},
    error::ServiceError,
    patch::Patch,
    platform,
};
use domain::{Application, Encoding, Endpoint, Format, MessageId, MessageMeta, OrganizationId, message::TEST_CHANNEL};
use platforms::RenderInput;
use serde_json::Value;
use std::collections::BTreeMap;

/// Examples that are shown at most.
const SAMPLES: usize = 3;

/// What to subscribe to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Subscription {
    /// Where events go.
    pub target_url: String,
    /// Only these event types; what the application's platform has as default if absent.
    pub event_types: Option<Vec<String>>,
    /// How payloads are put on the wire.
    pub format: Patch<String>,
    /// How the address is asked first.
    pub handshake: Patch<String>,
}

/// Whose token it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Me {
    /// The organization.
    pub organization: OrganizationId,
    /// The application, if it is the token of one.
    pub application: Option<Application>,
}

/// What is wrong with an endpoint, by the names that a subscription has for its fields.
fn in_words_of_hooks(error: ServiceError) -> ServiceError {
    let ServiceError::Invalid(mut problems) = error else { return error };
    for field in problems.iter_mut().filter_map(|p| p.loc.get_mut(1)) {
        match field.as_ref() {
            "url" => *field = "targetUrl".into(),
            "eventTypes" | "event_types" => *field = "events".into(),
            _ => {}
        }
    }
    ServiceError::Invalid(problems)
}

impl Service {
    /// Whose token it is: for checking one that a person pasted somewhere.
    pub async fn me(&self, actor: &Actor) -> Result<Me, ServiceError> {
        let application = match actor {
            Actor::Organization(_) | Actor::Person(_) => None,
            Actor::Application(a) => Some(self.open(actor, &a.application.to_string()).await?.application().clone()),
        };
        Ok(Me { organization: actor.organization().clone(), application })
    }

    /// Subscribes an address to events.
    pub async fn subscribe(&self, scope: &AppScope, subscription: Subscription) -> Result<Endpoint, ServiceError> {
        let input = EndpointInput {
            url: subscription.target_url,
            description: "Subscribed by a REST hook".to_owned(),
            uid: None,
            disabled: false,
            event_types: subscription.event_types,
            channels: None,
            throttle_rate: None,
            secret: None,
            metadata: BTreeMap::from([("subscribed-by".to_owned(), "rest-hook".to_owned())]),
            version: 1,
            headers: None,
            extras: EndpointExtras {
                format: subscription.format,
                handshake: subscription.handshake,
                ..EndpointExtras::default()
            },
        };
        self.create_endpoint(scope, input).await.map_err(in_words_of_hooks)
    }

    /// Ends a subscription. One that is not there any more is ended already.
    pub async fn unsubscribe(&self, scope: &AppScope, which: &str) -> Result<(), ServiceError> {
        match self.delete_endpoint(scope, which).await {
            Err(ServiceError::NotFound(_)) => Ok(()),
            done => done,
        }
    }

    /// Examples of an event type in the shape in which live events of this application arrive.
    pub async fn samples(
        &self,
        scope: &AppScope,
        event_type: &str,
        format: Option<&str>,
    ) -> Result<Vec<Value>, ServiceError> {
        scope.must_have(Capability::ViewBase)?;
        let mut check = Check::at(&["query"]);
        let name = check.event_type("event", event_type);
        let format = match format.map(str::parse::<Format>) {
            None => platform::defaults(scope.application()).options.format,
            Some(Ok(format)) => format,
            Some(Err(e)) => {
                check.fail(&["format"], e.to_string());
                Format::Standard
            }
        };
        let Some(name) = name else { return Err(check.into_error()) };
        check.finish()?;
        let found = self.event_type(scope.actor(), name.as_str()).await?;
        let input = RenderInput {
            format,
            encoding: Encoding::Json,
            transform: None,
            body_secret: Some(platforms::MASKED_SECRET),
            application: facts(scope),
            public_url: &self.settings.public_url,
            subscription_id: None,
            now: self.now(),
        };
        let mut samples = Vec::new();
        for example in (0..SAMPLES).map_while(|index| found.example(index)).filter(|e| e.is_object()) {
            let (id, now) = self.next_id();
            let meta = MessageMeta {
                id: MessageId(id),
                app: scope.key(),
                event_type: name.clone(),
                event_id: None,
                channels: domain::Channel::new(TEST_CHANNEL).into_iter().collect(),
                tags: Default::default(),
                order_key: None,
                created_at: now,
            };
            let payload = serde_json::to_vec(example).map_err(|_| ServiceError::Internal)?.into();
            let rendered = platforms::format::render(&input, &meta, &payload).ok();
            samples.extend(rendered.and_then(|r| serde_json::from_slice::<Value>(&r.body).ok()));
        }
        Ok(samples)
    }
}
