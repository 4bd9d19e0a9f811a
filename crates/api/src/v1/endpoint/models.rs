//! Endpoints as JSON.

use crate::extract::{patch, present};
use crate::v1::{either, emptied};
use domain::{
    BodySigning, DeactivateAfter, Encoding, Endpoint, EndpointId, Format, RetrySchedule, StudentDataConfirmation,
    Timestamp,
    lti::{SharedSecret, Subscription},
    queue::{QueueKey, Transport},
};
use serde::{Deserialize, Serialize};
use service::{
    Patch,
    endpoints::{EndpointChange, EndpointExtras, EndpointInput},
    queues::QueueInput,
};
use std::collections::{BTreeMap, BTreeSet};
use utoipa::ToSchema;

fn first_version() -> u16 {
    1
}

/// What a queue needs beside its address. What is left out stays.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct QueueIn {
    /// Where it is, if its address does not say.
    region: Option<String>,
    /// The key to write with; the server's own access if absent.
    access_key_id: Option<String>,
    /// What signs with it. Never shown.
    secret_access_key: Option<String>,
}

impl From<QueueIn> for QueueInput {
    fn from(q: QueueIn) -> Self {
        let key = match (q.access_key_id, q.secret_access_key) {
            (None, None) => None,
            // Half a key is none, which its rule says.
            (id, secret) => {
                Some(QueueKey { id: id.unwrap_or_default(), secret: SharedSecret::new(secret.unwrap_or_default()) })
            }
        };
        Self { region: q.region, key }
    }
}

/// What is shown of a queue beside its address.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct QueueOut {
    /// Where it is, if its address does not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    region: Option<String>,
    /// The key to write with, its middle left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    access_key_id: Option<String>,
}

/// How many messages may be given up within 24 hours. A message counts once, when its last try failed.
#[derive(ToSchema)]
#[allow(dead_code)] // Only described here; the type of the domain reads and writes it.
#[schema(as = DeactivateAfter)]
pub(super) struct DeactivateAfterIo {
    /// Because no answer came in time.
    #[schema(minimum = 1)]
    timeouts: u32,
    /// Because of anything else that the receiver did.
    #[schema(minimum = 1)]
    errors: u32,
}

/// An endpoint to create or put.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct EndpointIn {
    /// The address: `https` or `http`.
    url: String,
    /// For people.
    #[serde(default)]
    description: String,
    /// Your own name for it, unique in the application.
    uid: Option<String>,
    /// Switched off.
    #[serde(default)]
    disabled: bool,
    /// Takes only these event types; all if null.
    #[serde(alias = "filterTypes")]
    event_types: Option<Vec<String>>,
    /// Takes only messages with one of these channels; all if null.
    channels: Option<Vec<String>>,
    /// Deliveries per second.
    #[schema(minimum = 1)]
    throttle_rate: Option<u16>,
    /// The old name of `throttleRate`.
    #[schema(deprecated)]
    rate_limit: Option<u16>,
    /// Signs what is sent: `whsec_…` or `whsk_…`. Made if absent. A put does not look at it.
    secret: Option<String>,
    /// Your own notes, at most 4096 bytes as JSON.
    metadata: Option<BTreeMap<String, String>>,
    /// Not used any more.
    #[serde(default = "first_version")]
    #[schema(deprecated)]
    version: u16,
    /// Headers to send.
    headers: Option<BTreeMap<String, String>>,
    /// Waits between tries, such as `["5s", "5m"]`.
    #[serde(default, deserialize_with = "patch")]
    #[schema(value_type = Option<Vec<String>>)]
    retry_schedule: Patch<RetrySchedule>,
    /// HTTP statuses after which no try follows.
    #[serde(default, deserialize_with = "patch")]
    #[schema(value_type = Option<Vec<u16>>)]
    final_statuses: Patch<BTreeSet<u16>>,
    /// Requests at the same time, 1 to 256.
    #[serde(default, deserialize_with = "patch")]
    #[schema(value_type = Option<u16>)]
    concurrency: Patch<u16>,
    /// Whether messages with the same `orderKey` are sent one after the other.
    #[serde(default, deserialize_with = "patch")]
    #[schema(value_type = Option<bool>)]
    ordered: Patch<bool>,
    /// How the payload is put on the wire: `standard`, `replit`, `teachstack`, `cloudevents`, `cloudevents-binary`,
    /// `thin`, `openedx-v22`, `openedx-v21`, `openedx-v1`, `live-event` or `caliper`.
    #[serde(default, deserialize_with = "patch")]
    #[schema(value_type = Option<String>)]
    format: Patch<String>,
    /// In which encoding the body travels: `json` or `form`.
    #[serde(default, deserialize_with = "patch")]
    #[schema(value_type = Option<String>)]
    encoding: Patch<String>,
    /// A jq expression: a message is sent if it gives neither false nor null.
    #[serde(default, deserialize_with = "patch")]
    #[schema(value_type = Option<String>)]
    filter: Patch<String>,
    /// A jq expression: gives the new payload.
    #[serde(default, deserialize_with = "patch")]
    #[schema(value_type = Option<String>)]
    transform: Patch<String>,
    /// Whether the signature headers are sent.
    #[serde(default, deserialize_with = "patch")]
    #[schema(value_type = Option<bool>)]
    signature_headers: Patch<bool>,
    /// Whether only `https` addresses are taken, but for literal addresses of private networks.
    #[serde(default, deserialize_with = "patch")]
    #[schema(value_type = Option<bool>)]
    https_only: Patch<bool>,
    /// Whether nothing is sent, instead of everything, while no event type is selected.
    #[serde(default, deserialize_with = "patch")]
    #[schema(value_type = Option<bool>)]
    only_selected: Patch<bool>,
    /// Asks the address first, and saves the endpoint only if it agrees: `hook-secret` or `cloudevents`. Not stored.
    #[serde(default, deserialize_with = "patch")]
    #[schema(value_type = Option<String>)]
    handshake: Patch<String>,
    /// How what it gets travels: `https`, or `sqs` for a queue, whose URL or ARN is the address.
    #[serde(default, deserialize_with = "patch")]
    #[schema(value_type = Option<String>)]
    transport: Patch<String>,
    /// What a queue needs beside its address.
    #[serde(default, deserialize_with = "patch")]
    #[schema(value_type = Option<QueueIn>)]
    queue: Patch<QueueIn>,
    /// A named choice of `retrySchedule`, `finalStatuses` and `deactivateAfter`: `standard`, `patient`, `replit`,
    /// `canvas-plagiarism` or `canvas-live-events`. What is given beside it counts more. Not stored.
    #[serde(default, deserialize_with = "patch")]
    #[schema(value_type = Option<String>)]
    retry_preset: Patch<String>,
    /// Switched off after so many messages given up in 24 hours.
    #[serde(default, deserialize_with = "patch")]
    #[schema(value_type = Option<DeactivateAfterIo>)]
    deactivate_after: Patch<DeactivateAfter>,
    /// What is sent names this as the subscription that asked for it, in formats that have a place for one.
    #[serde(default, deserialize_with = "patch")]
    #[schema(value_type = Option<String>)]
    subscription_id: Patch<String>,
    /// `jwt`: the body is a signed JSON Web Token whose claims are what would have been sent.
    #[serde(default, deserialize_with = "patch")]
    #[schema(value_type = Option<String>)]
    body_signing: Patch<String>,
    /// Writes down that somebody agreed to what the address learns about people: a name, such as `Ada Example, head`, or
    /// an empty text. Null takes it back. It does not last: another address or a wider selection asks anew.
    #[serde(default, deserialize_with = "patch")]
    #[schema(value_type = Option<String>)]
    student_data_confirmed_by: Patch<String>,
}

impl From<EndpointIn> for EndpointInput {
    fn from(e: EndpointIn) -> Self {
        Self {
            url: e.url,
            description: e.description,
            uid: e.uid,
            disabled: e.disabled,
            event_types: e.event_types,
            channels: e.channels,
            throttle_rate: e.throttle_rate.or(e.rate_limit),
            secret: e.secret,
            metadata: e.metadata.unwrap_or_default(),
            version: e.version,
            headers: e.headers,
            extras: EndpointExtras {
                retry_schedule: e.retry_schedule,
                final_statuses: e.final_statuses,
                concurrency: e.concurrency,
                ordered: e.ordered,
                format: e.format,
                encoding: e.encoding,
                filter: e.filter,
                transform: e.transform,
                signature_headers: e.signature_headers,
                https_only: e.https_only,
                only_selected: e.only_selected,
                handshake: e.handshake,
                transport: e.transport,
                queue: e.queue.map(Into::into),
                subscription: Patch::Keep,
                retry_preset: e.retry_preset,
                deactivate_after: e.deactivate_after,
                subscription_id: e.subscription_id,
                body_signing: e.body_signing,
                student_data: e.student_data_confirmed_by,
            },
        }
    }
}

/// A change of an endpoint. What is left out stays.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct EndpointPatch {
    /// The address: `https` or `http`.
    #[serde(default, deserialize_with = "present")]
    url: Option<String>,
    /// For people.
    #[serde(default, deserialize_with = "present")]
    description: Option<String>,
    /// Your own name for it, unique in the application.
    #[serde(default, deserialize_with = "patch")]
    #[schema(value_type = Option<String>)]
    uid: Patch<String>,
    /// Switched off.
    #[serde(default, deserialize_with = "present")]
    disabled: Option<bool>,
    /// Takes only these event types; all if null.
    #[serde(default, deserialize_with = "patch", alias = "filterTypes")]
    #[schema(value_type = Option<Vec<String>>)]
    event_types: Patch<Vec<String>>,
    /// Takes only messages with one of these channels; all if null.
    #[serde(default, deserialize_with = "patch")]
    #[schema(value_type = Option<Vec<String>>)]
    channels: Patch<Vec<String>>,
    /// Deliveries per second.
    #[serde(default, deserialize_with = "patch")]
    #[schema(value_type = Option<u16>)]
    throttle_rate: Patch<u16>,
    /// The old name of `throttleRate`.
    #[serde(default, deserialize_with = "patch")]
    #[schema(value_type = Option<u16>, deprecated)]
    rate_limit: Patch<u16>,
    /// Your own notes, replaced as a whole.
    #[serde(default, deserialize_with = "patch")]
    #[schema(value_type = Option<BTreeMap<String, String>>)]
    metadata: Patch<BTreeMap<String, String>>,
    /// Not used any more.
    #[serde(default, deserialize_with = "present")]
    #[schema(deprecated)]
    version: Option<u16>,
    /// Waits between tries, such as `["5s", "5m"]`.
    #[serde(default, deserialize_with = "patch")]
    #[schema(value_type = Option<Vec<String>>)]
    retry_schedule: Patch<RetrySchedule>,
    /// HTTP statuses after which no try follows.
    #[serde(default, deserialize_with = "patch")]
    #[schema(value_type = Option<Vec<u16>>)]
    final_statuses: Patch<BTreeSet<u16>>,
    /// Requests at the same time, 1 to 256.
    #[serde(default, deserialize_with = "patch")]
    #[schema(value_type = Option<u16>)]
    concurrency: Patch<u16>,
    /// Whether messages with the same `orderKey` are sent one after the other.
    #[serde(default, deserialize_with = "patch")]
    #[schema(value_type = Option<bool>)]
    ordered: Patch<bool>,
    /// How the payload is put on the wire: `standard`, `replit`, `teachstack`, `cloudevents`, `cloudevents-binary`,
    /// `thin`, `openedx-v22`, `openedx-v21`, `openedx-v1`, `live-event` or `caliper`.
    #[serde(default, deserialize_with = "patch")]
    #[schema(value_type = Option<String>)]
    format: Patch<String>,
    /// In which encoding the body travels: `json` or `form`.
    #[serde(default, deserialize_with = "patch")]
    #[schema(value_type = Option<String>)]
    encoding: Patch<String>,
    /// A jq expression: a message is sent if it gives neither false nor null.
    #[serde(default, deserialize_with = "patch")]
    #[schema(value_type = Option<String>)]
    filter: Patch<String>,
    /// A jq expression: gives the new payload.
    #[serde(default, deserialize_with = "patch")]
    #[schema(value_type = Option<String>)]
    transform: Patch<String>,
    /// Whether the signature headers are sent.
    #[serde(default, deserialize_with = "patch")]
    #[schema(value_type = Option<bool>)]
    signature_headers: Patch<bool>,
    /// Whether only `https` addresses are taken, but for literal addresses of private networks.
    #[serde(default, deserialize_with = "patch")]
    #[schema(value_type = Option<bool>)]
    https_only: Patch<bool>,
    /// Whether nothing is sent, instead of everything, while no event type is selected.
    #[serde(default, deserialize_with = "patch")]
    #[schema(value_type = Option<bool>)]
    only_selected: Patch<bool>,
    /// Asks the address first, and saves the endpoint only if it agrees: `hook-secret` or `cloudevents`. Not stored.
    #[serde(default, deserialize_with = "patch")]
    #[schema(value_type = Option<String>)]
    handshake: Patch<String>,
    /// How what it gets travels: `https`, or `sqs` for a queue, whose URL or ARN is the address.
    #[serde(default, deserialize_with = "patch")]
    #[schema(value_type = Option<String>)]
    transport: Patch<String>,
    /// What a queue needs beside its address.
    #[serde(default, deserialize_with = "patch")]
    #[schema(value_type = Option<QueueIn>)]
    queue: Patch<QueueIn>,
    /// A named choice of `retrySchedule`, `finalStatuses` and `deactivateAfter`: `standard`, `patient`, `replit`,
    /// `canvas-plagiarism` or `canvas-live-events`. What is given beside it counts more. Not stored.
    #[serde(default, deserialize_with = "patch")]
    #[schema(value_type = Option<String>)]
    retry_preset: Patch<String>,
    /// Switched off after so many messages given up in 24 hours.
    #[serde(default, deserialize_with = "patch")]
    #[schema(value_type = Option<DeactivateAfterIo>)]
    deactivate_after: Patch<DeactivateAfter>,
    /// What is sent names this as the subscription that asked for it, in formats that have a place for one.
    #[serde(default, deserialize_with = "patch")]
    #[schema(value_type = Option<String>)]
    subscription_id: Patch<String>,
    /// `jwt`: the body is a signed JSON Web Token whose claims are what would have been sent.
    #[serde(default, deserialize_with = "patch")]
    #[schema(value_type = Option<String>)]
    body_signing: Patch<String>,
    /// Writes down that somebody agreed to what the address learns about people: a name, such as `Ada Example, head`, or
    /// an empty text. Null takes it back. It does not last: another address or a wider selection asks anew.
    #[serde(default, deserialize_with = "patch")]
    #[schema(value_type = Option<String>)]
    student_data_confirmed_by: Patch<String>,
}

impl From<EndpointPatch> for EndpointChange {
    fn from(e: EndpointPatch) -> Self {
        Self {
            url: e.url,
            description: e.description,
            uid: e.uid,
            disabled: e.disabled,
            event_types: e.event_types,
            channels: e.channels,
            throttle_rate: either(e.throttle_rate, e.rate_limit),
            metadata: emptied(e.metadata),
            version: e.version,
            headers: None,
            extras: EndpointExtras {
                retry_schedule: e.retry_schedule,
                final_statuses: e.final_statuses,
                concurrency: e.concurrency,
                ordered: e.ordered,
                format: e.format,
                encoding: e.encoding,
                filter: e.filter,
                transform: e.transform,
                signature_headers: e.signature_headers,
                https_only: e.https_only,
                only_selected: e.only_selected,
                handshake: e.handshake,
                transport: e.transport,
                queue: e.queue.map(Into::into),
                subscription: Patch::Keep,
                retry_preset: e.retry_preset,
                deactivate_after: e.deactivate_after,
                subscription_id: e.subscription_id,
                body_signing: e.body_signing,
                student_data: e.student_data_confirmed_by,
            },
        }
    }
}

/// What every view of an endpoint shows.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EndpointFields {
    /// Its id.
    #[schema(value_type = String)]
    id: EndpointId,
    /// Your own name for it.
    uid: Option<String>,
    /// The address.
    url: String,
    /// For people.
    description: String,
    /// Switched off.
    disabled: bool,
    /// Takes only these event types; all if null.
    event_types: Option<Vec<String>>,
    /// The old name of `eventTypes`.
    #[schema(deprecated)]
    filter_types: Option<Vec<String>>,
    /// Takes only messages with one of these channels; all if null.
    channels: Option<Vec<String>>,
    /// Deliveries per second.
    throttle_rate: Option<u16>,
    /// The old name of `throttleRate`.
    #[schema(deprecated)]
    rate_limit: Option<u16>,
    /// Not used any more.
    #[schema(deprecated)]
    version: u16,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// When it last changed.
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
}

impl From<&Endpoint> for EndpointFields {
    fn from(e: &Endpoint) -> Self {
        let event_types: Option<Vec<String>> =
            e.event_types.as_ref().map(|types| types.iter().map(ToString::to_string).collect());
        Self {
            id: e.id,
            uid: e.uid.as_ref().map(ToString::to_string),
            url: e.url.clone(),
            description: e.description.clone(),
            disabled: e.disabled.is_some(),
            filter_types: event_types.clone(),
            event_types,
            channels: e.channels.as_ref().map(|channels| channels.iter().map(ToString::to_string).collect()),
            throttle_rate: e.throttle_rate,
            rate_limit: e.throttle_rate,
            version: e.version,
            created_at: e.created_at,
            updated_at: e.updated_at,
        }
    }
}

/// Who agreed that the address gets data about people.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct StudentDataOut {
    /// The name that was given, or what kind of access it was.
    confirmed_by: String,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    confirmed_at: Timestamp,
    /// The host that was named as the one who gets it.
    recipient: String,
    /// False since the endpoint got another address, or gets more: somebody has to agree anew.
    current: bool,
}

impl From<StudentDataConfirmation> for StudentDataOut {
    fn from(c: StudentDataConfirmation) -> Self {
        Self { confirmed_by: c.by, confirmed_at: c.at, recipient: c.recipient, current: !c.outdated }
    }
}

/// An endpoint. Its secret and its headers are shown elsewhere.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct EndpointOut {
    #[serde(flatten)]
    fields: EndpointFields,
    /// Your own notes.
    metadata: BTreeMap<String, String>,
    /// Waits between tries.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<String>>)]
    retry_schedule: Option<RetrySchedule>,
    /// HTTP statuses after which no try follows.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    #[schema(value_type = Vec<u16>, required = false)]
    final_statuses: BTreeSet<u16>,
    /// Requests at the same time.
    #[serde(skip_serializing_if = "Option::is_none")]
    concurrency: Option<u16>,
    /// Whether messages with the same `orderKey` are sent one after the other.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    ordered: bool,
    /// How the payload is put on the wire; `standard` if absent.
    #[serde(skip_serializing_if = "Format::is_default")]
    #[schema(value_type = String, required = false)]
    format: Format,
    /// In which encoding the body travels; `json` if absent.
    #[serde(skip_serializing_if = "Encoding::is_default")]
    #[schema(value_type = String, required = false)]
    encoding: Encoding,
    /// A jq expression: whether a message is sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    filter: Option<String>,
    /// A jq expression: gives the new payload.
    #[serde(skip_serializing_if = "Option::is_none")]
    transform: Option<String>,
    /// False if the signature headers are left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    signature_headers: Option<bool>,
    /// Whether only `https` addresses are taken.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    https_only: bool,
    /// Whether nothing is sent while no event type is selected.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    only_selected: bool,
    /// How what it gets travels; `https` if absent.
    #[serde(skip_serializing_if = "Transport::is_default")]
    #[schema(value_type = String, required = false)]
    transport: Transport,
    /// What its queue needs beside the address.
    #[serde(skip_serializing_if = "Option::is_none")]
    queue: Option<QueueOut>,
    /// What makes it a subscription of a tool of Canvas.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    subscription: Option<Subscription>,
    /// Switched off after so many messages given up in 24 hours.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<DeactivateAfterIo>)]
    deactivate_after: Option<DeactivateAfter>,
    /// What is sent names this as the subscription that asked for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    subscription_id: Option<String>,
    /// What the body is signed as.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    body_signing: Option<BodySigning>,
    /// Who agreed that the address gets data about people; absent if nobody did.
    #[serde(skip_serializing_if = "Option::is_none")]
    student_data: Option<StudentDataOut>,
}

impl From<Endpoint> for EndpointOut {
    fn from(e: Endpoint) -> Self {
        Self {
            fields: (&e).into(),
            metadata: e.metadata,
            retry_schedule: e.options.retry_schedule,
            final_statuses: e.options.final_statuses,
            concurrency: e.options.concurrency,
            ordered: e.options.ordered,
            format: e.options.format,
            encoding: e.options.encoding,
            filter: e.options.filter,
            transform: e.options.transform,
            signature_headers: e.options.unsigned.then_some(false),
            https_only: e.options.https_only,
            only_selected: e.options.only_selected,
            transport: e.options.transport,
            queue: (e.options.transport == Transport::Sqs).then(|| QueueOut {
                region: e.options.queue_region,
                access_key_id: e.secrets.queue.as_ref().map(QueueKey::masked),
            }),
            subscription: e.options.subscription,
            deactivate_after: e.options.deactivate_after,
            subscription_id: e.options.subscription_id.map(Into::into),
            body_signing: e.options.body_signing,
            student_data: e.options.student_data.map(Into::into),
        }
    }
}
