//! Endpoints that are queues: what they need beside an address, and what has to hold of them.

use crate::{Service, check::Check, endpoints::EndpointExtras, error::ServiceError, patch::Patch};
use domain::{
    Endpoint,
    queue::{QueueAddress, QueueKey, Transport, is_arn},
};

/// What a queue needs beside its address. What is absent stays.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct QueueInput {
    /// Where it is, if its address does not say.
    pub region: Option<String>,
    /// The endpoint's own key, and what signs with it: both or none.
    pub key: Option<QueueKey>,
}

pub(crate) fn check(extras: &EndpointExtras, check: &mut Check) {
    if let Some(Err(e)) = extras.transport.value().map(|name| name.parse::<Transport>()) {
        check.fail(&["transport"], e.to_string());
    }
    let Some(queue) = extras.queue.value() else { return };
    let visible = |text: &str, max| (1..=max).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
    if queue.region.as_ref().is_some_and(|r| !visible(r, 32)) {
        check.fail(&["queue", "region"], "must be the name of a region, such as eu-west-1");
    }
    if queue.key.as_ref().is_some_and(|k| !visible(&k.id, 128) || !visible(k.secret.expose(), 256)) {
        check.fail(&["queue", "accessKeyId"], "must be an access key id with its secret");
    }
}

pub(crate) fn apply(extras: &EndpointExtras, endpoint: &mut Endpoint) {
    let options = &mut endpoint.options;
    match &extras.transport {
        Patch::Keep => {}
        Patch::Clear => options.transport = Transport::Https,
        // Checked before.
        Patch::Set(name) => options.transport = name.parse().unwrap_or_default(),
    }
    match &extras.queue {
        Patch::Keep => {}
        Patch::Clear => (options.queue_region, endpoint.secrets.queue) = (None, None),
        Patch::Set(queue) => {
            options.queue_region = queue.region.clone().or(options.queue_region.take());
            endpoint.secrets.queue = queue.key.clone().or(endpoint.secrets.queue.take());
        }
    }
}

/// Whether an endpoint is a queue; its address has to name one then. `Some` with where its requests go.
pub(crate) fn url_of(endpoint: &mut Endpoint) -> Result<Option<String>, ServiceError> {
    if is_arn(&endpoint.url) {
        endpoint.options.transport = Transport::Sqs;
    }
    if endpoint.options.transport == Transport::Https {
        return Ok(None);
    }
    let address = QueueAddress::read(&endpoint.url, endpoint.options.queue_region.as_deref());
    let address = address.map_err(|e| ServiceError::invalid(&["body", "url"], e.to_string()))?;
    Ok(Some(address.url.into()))
}

impl Service {
    /// Refuses a queue that nothing could ever be sent to.
    pub(crate) fn must_be_sendable(&self, endpoint: &Endpoint) -> Result<(), ServiceError> {
        if endpoint.options.transport == Transport::Https {
            return Ok(());
        }
        self.guard.check_queue(endpoint).map_err(|why| ServiceError::invalid(&["body", "url"], why))
    }
}
