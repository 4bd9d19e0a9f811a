//! What new endpoints of an application start out with, as JSON.

use super::models::DeactivateAfterIo;
use crate::extract::patch;
use domain::{BodySigning, DeactivateAfter, Encoding, EndpointDefaults, Format, RetrySchedule};
use serde::{Deserialize, Serialize};
use service::{Patch, applications::EndpointDefaultsChange, endpoints::EndpointExtras};
use std::collections::BTreeSet;
use utoipa::ToSchema;

/// A change of what new endpoints start out with. What is left out stays; null is what an endpoint has that says nothing.
#[derive(Deserialize, ToSchema, Debug)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EndpointDefaultsIn {
    /// Waits between tries, such as `["5s", "5m"]`.
    #[serde(default, deserialize_with = "patch")]
    #[schema(value_type = Option<Vec<String>>)]
    retry_schedule: Patch<RetrySchedule>,
    /// HTTP statuses after which no try follows.
    #[serde(default, deserialize_with = "patch")]
    #[schema(value_type = Option<Vec<u16>>)]
    final_statuses: Patch<BTreeSet<u16>>,
    /// Switched off after so many messages given up in 24 hours.
    #[serde(default, deserialize_with = "patch")]
    #[schema(value_type = Option<DeactivateAfterIo>)]
    deactivate_after: Patch<DeactivateAfter>,
    /// A named choice of the three above. What is given beside it counts more. Not stored.
    #[serde(default, deserialize_with = "patch")]
    #[schema(value_type = Option<String>)]
    retry_preset: Patch<String>,
    /// Requests at the same time, 1 to 256.
    #[serde(default, deserialize_with = "patch")]
    #[schema(value_type = Option<u16>)]
    concurrency: Patch<u16>,
    /// Whether messages with the same `orderKey` are sent one after the other.
    #[serde(default, deserialize_with = "patch")]
    #[schema(value_type = Option<bool>)]
    ordered: Patch<bool>,
    /// How the payload is put on the wire.
    #[serde(default, deserialize_with = "patch")]
    #[schema(value_type = Option<String>)]
    format: Patch<String>,
    /// In which encoding the body travels: `json` or `form`.
    #[serde(default, deserialize_with = "patch")]
    #[schema(value_type = Option<String>)]
    encoding: Patch<String>,
    /// Whether the signature headers are sent.
    #[serde(default, deserialize_with = "patch")]
    #[schema(value_type = Option<bool>)]
    signature_headers: Patch<bool>,
    /// `jwt`: the body is a signed JSON Web Token.
    #[serde(default, deserialize_with = "patch")]
    #[schema(value_type = Option<String>)]
    body_signing: Patch<String>,
    /// Whether they get a secret that travels in the body.
    #[serde(default, deserialize_with = "patch")]
    #[schema(value_type = Option<bool>)]
    body_secret: Patch<bool>,
    /// Whether only `https` addresses are taken.
    #[serde(default, deserialize_with = "patch")]
    #[schema(value_type = Option<bool>)]
    https_only: Patch<bool>,
    /// Whether nothing is sent, instead of everything, while no event type is selected.
    #[serde(default, deserialize_with = "patch")]
    #[schema(value_type = Option<bool>)]
    only_selected: Patch<bool>,
}

impl From<EndpointDefaultsIn> for EndpointDefaultsChange {
    fn from(d: EndpointDefaultsIn) -> Self {
        let extras = EndpointExtras {
            retry_schedule: d.retry_schedule,
            final_statuses: d.final_statuses,
            deactivate_after: d.deactivate_after,
            retry_preset: d.retry_preset,
            concurrency: d.concurrency,
            ordered: d.ordered,
            format: d.format,
            encoding: d.encoding,
            signature_headers: d.signature_headers,
            body_signing: d.body_signing,
            https_only: d.https_only,
            only_selected: d.only_selected,
            ..EndpointExtras::default()
        };
        Self { extras, body_secret: d.body_secret }
    }
}

/// What new endpoints start out with.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EndpointDefaultsOut {
    /// Waits between tries; the application's or the server's if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<String>>)]
    retry_schedule: Option<RetrySchedule>,
    /// HTTP statuses after which no try follows.
    #[schema(value_type = Vec<u16>)]
    final_statuses: BTreeSet<u16>,
    /// Switched off after so many messages given up in 24 hours.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<DeactivateAfterIo>)]
    deactivate_after: Option<DeactivateAfter>,
    /// Requests at the same time; the server's number if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    concurrency: Option<u16>,
    /// Whether messages with the same `orderKey` are sent one after the other.
    ordered: bool,
    /// How the payload is put on the wire.
    #[schema(value_type = String)]
    format: Format,
    /// In which encoding the body travels.
    #[schema(value_type = String)]
    encoding: Encoding,
    /// Whether the signature headers are sent.
    signature_headers: bool,
    /// What the body is signed as.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    body_signing: Option<BodySigning>,
    /// Whether they get a secret that travels in the body.
    body_secret: bool,
    /// Whether only `https` addresses are taken.
    https_only: bool,
    /// Whether nothing is sent while no event type is selected.
    only_selected: bool,
}

impl From<EndpointDefaults> for EndpointDefaultsOut {
    fn from(EndpointDefaults { options, body_secret }: EndpointDefaults) -> Self {
        Self {
            retry_schedule: options.retry_schedule,
            final_statuses: options.final_statuses,
            deactivate_after: options.deactivate_after,
            concurrency: options.concurrency,
            ordered: options.ordered,
            format: options.format,
            encoding: options.encoding,
            signature_headers: !options.unsigned,
            body_signing: options.body_signing,
            body_secret,
            https_only: options.https_only,
            only_selected: options.only_selected,
        }
    }
}
