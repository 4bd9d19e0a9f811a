//! Webfilters as JSON.

use crate::extract::patch;
use domain::{Timestamp, Webfilter, WebfilterId};
use serde::{Deserialize, Serialize};
use service::{
    Patch,
    webfilters::{WebfilterChange, WebfilterInput},
};
use utoipa::ToSchema;

/// A webfilter to create, put or change.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct WebfilterIn {
    /// Which filter asks it: one of the catalogue, or a name with a full stop.
    #[serde(alias = "event")]
    filter: Option<String>,
    /// Where it is asked: `https` or `http`.
    url: Option<String>,
    /// Your own name for it, unique in the application.
    #[serde(default, deserialize_with = "patch")]
    #[schema(value_type = Option<String>)]
    uid: Patch<String>,
    /// For people.
    #[serde(default, deserialize_with = "patch")]
    #[schema(value_type = Option<String>)]
    description: Patch<String>,
    /// Whether it is asked; true by default.
    #[serde(default, deserialize_with = "patch")]
    #[schema(value_type = Option<bool>)]
    enabled: Patch<bool>,
    /// Webfilters of one filter are combined by this, then by age. Later wins.
    #[serde(default, deserialize_with = "patch")]
    #[schema(value_type = Option<i32>)]
    order: Patch<i32>,
    /// `json` (by default) or `form`.
    #[serde(default, deserialize_with = "patch")]
    #[schema(value_type = Option<String>)]
    encoding: Patch<String>,
    /// `v22` (by default) or `v21`.
    #[serde(default, deserialize_with = "patch")]
    #[schema(value_type = Option<String>)]
    wire_version: Patch<String>,
    /// Leaves the data of its answers unused.
    #[serde(default, deserialize_with = "patch")]
    #[schema(value_type = Option<bool>)]
    disable_filtering: Patch<bool>,
    /// Leaves the exceptions of its answers unused.
    #[serde(default, deserialize_with = "patch")]
    #[schema(value_type = Option<bool>)]
    disable_halting: Patch<bool>,
    /// A 4xx halts.
    #[serde(default, deserialize_with = "patch", rename = "haltOn4xx")]
    #[schema(value_type = Option<bool>)]
    halt_on_4xx: Patch<bool>,
    /// Where to send the person then.
    #[serde(default, deserialize_with = "patch", rename = "redirectOn4xx")]
    #[schema(value_type = Option<String>)]
    redirect_on_4xx: Patch<String>,
    /// A 5xx halts.
    #[serde(default, deserialize_with = "patch", rename = "haltOn5xx")]
    #[schema(value_type = Option<bool>)]
    halt_on_5xx: Patch<bool>,
    /// Where to send the person then.
    #[serde(default, deserialize_with = "patch", rename = "redirectOn5xx")]
    #[schema(value_type = Option<String>)]
    redirect_on_5xx: Patch<String>,
    /// A call that fails halts.
    #[serde(default, deserialize_with = "patch")]
    #[schema(value_type = Option<bool>)]
    halt_on_request_exception: Patch<bool>,
    /// Where to send the person then.
    #[serde(default, deserialize_with = "patch")]
    #[schema(value_type = Option<String>)]
    redirect_on_request_exception: Patch<String>,
    /// `pass` (by default) or `halt`: whether silence alone halts.
    #[serde(default, deserialize_with = "patch")]
    #[schema(value_type = Option<String>)]
    on_silence: Patch<String>,
    /// The exception that its halts raise; the filter's usual one by default.
    #[serde(default, deserialize_with = "patch")]
    #[schema(value_type = Option<String>)]
    halt_exception: Patch<String>,
    /// Milliseconds it may take; the server's default by default.
    #[serde(default, deserialize_with = "patch")]
    #[schema(value_type = Option<u32>, minimum = 1, maximum = 60000)]
    deadline_ms: Patch<u32>,
    /// Signs what is sent: `whsec_…` or `whsk_…`. Made if absent; only looked at when it is created.
    secret: Option<String>,
}

impl From<WebfilterIn> for WebfilterInput {
    fn from(i: WebfilterIn) -> Self {
        Self {
            secret: i.secret,
            change: WebfilterChange {
                filter: i.filter,
                url: i.url,
                uid: i.uid,
                description: i.description,
                enabled: i.enabled,
                order: i.order,
                encoding: i.encoding,
                wire_version: i.wire_version,
                disable_filtering: i.disable_filtering,
                disable_halting: i.disable_halting,
                halt_on_4xx: i.halt_on_4xx,
                redirect_on_4xx: i.redirect_on_4xx,
                halt_on_5xx: i.halt_on_5xx,
                redirect_on_5xx: i.redirect_on_5xx,
                halt_on_request_exception: i.halt_on_request_exception,
                redirect_on_request_exception: i.redirect_on_request_exception,
                on_silence: i.on_silence,
                halt_exception: i.halt_exception,
                deadline_ms: i.deadline_ms,
            },
        }
    }
}

/// A webfilter.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct WebfilterOut {
    /// Its id.
    #[schema(value_type = String)]
    id: WebfilterId,
    /// Your own name for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    uid: Option<String>,
    /// Which filter asks it.
    filter: String,
    /// Where it is asked.
    url: String,
    /// For people.
    description: String,
    /// Whether it is asked.
    enabled: bool,
    /// Its place among those of its filter.
    order: i32,
    /// `json` or `form`.
    encoding: &'static str,
    /// `v22` or `v21`.
    wire_version: &'static str,
    /// Whether the data of its answers is left unused.
    disable_filtering: bool,
    /// Whether the exceptions of its answers are left unused.
    disable_halting: bool,
    /// Whether a 4xx halts.
    #[serde(rename = "haltOn4xx")]
    halt_on_4xx: bool,
    /// Where to send the person then.
    #[serde(rename = "redirectOn4xx")]
    redirect_on_4xx: Option<String>,
    /// Whether a 5xx halts.
    #[serde(rename = "haltOn5xx")]
    halt_on_5xx: bool,
    /// Where to send the person then.
    #[serde(rename = "redirectOn5xx")]
    redirect_on_5xx: Option<String>,
    /// Whether a call that fails halts.
    halt_on_request_exception: bool,
    /// Where to send the person then.
    redirect_on_request_exception: Option<String>,
    /// `pass` or `halt`.
    on_silence: &'static str,
    /// The exception that its halts raise; the filter's usual one if null.
    halt_exception: Option<String>,
    /// Milliseconds it may take; the server's default if null.
    deadline_ms: Option<u32>,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// When it last changed.
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
}

impl From<Webfilter> for WebfilterOut {
    fn from(w: Webfilter) -> Self {
        let s = w.settings;
        Self {
            id: w.id,
            uid: w.uid.map(|uid| uid.to_string()),
            filter: w.filter.to_string(),
            url: w.url,
            description: s.description,
            enabled: s.enabled,
            order: s.order,
            encoding: s.encoding.name(),
            wire_version: s.wire_version.name(),
            disable_filtering: s.disable_filtering,
            disable_halting: s.disable_halting,
            halt_on_4xx: s.on_4xx.halts,
            redirect_on_4xx: s.on_4xx.redirect,
            halt_on_5xx: s.on_5xx.halts,
            redirect_on_5xx: s.on_5xx.redirect,
            halt_on_request_exception: s.on_request_exception.halts,
            redirect_on_request_exception: s.on_request_exception.redirect,
            on_silence: s.on_silence.name(),
            halt_exception: s.halt_exception,
            deadline_ms: s.deadline_ms,
            created_at: w.created_at,
            updated_at: w.updated_at,
        }
    }
}

/// A webfilter's secret as a receiver needs it.
#[derive(Serialize, ToSchema)]
pub(super) struct WebfilterSecretOut {
    /// `whsec_…`, or the public key `whpk_…`.
    pub(super) key: String,
}

/// A new secret, and how long the old one goes on signing.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct WebfilterSecretRotateIn {
    /// The new secret: `whsec_…` or `whsk_…`. Made if absent.
    pub(super) key: Option<String>,
    /// Seconds for which the old secret goes on signing, 0 to 604800; one day if absent.
    #[schema(minimum = 0, maximum = 604800, default = 86400)]
    pub(super) grace_period_seconds: Option<i64>,
}
