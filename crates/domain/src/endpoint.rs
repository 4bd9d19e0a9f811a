//! An endpoint: where messages go and how; and which messages it takes.

use crate::{
    application::Application,
    ids::{AppKey, EndpointId, EndpointKey},
    names::{Channel, EventTypeName, Uid},
    retry::RetrySchedule,
    secret::Secrets,
    time::Timestamp,
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Where messages of one application go, and how.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Endpoint {
    /// The store's short name.
    pub key: EndpointKey,
    /// The application it belongs to.
    pub app: AppKey,
    /// The public id.
    pub id: EndpointId,
    /// The user's own name for it, unique in the application.
    pub uid: Option<Uid>,
    /// The address, normalised as a WHATWG URL; may hold user info, a query and a fragment.
    pub url: String,
    /// For people.
    pub description: String,
    /// Switched off, and by whom or what.
    pub disabled: Option<DisabledBecause>,
    /// Takes only these event types; all if absent.
    pub event_types: Option<BTreeSet<EventTypeName>>,
    /// Takes only messages with one of these channels; all if absent.
    pub channels: Option<BTreeSet<Channel>>,
    /// Deliveries per second, at least 1; no limit if absent.
    pub throttle_rate: Option<u16>,
    /// Svix's deprecated number, only echoed.
    pub version: u16,
    /// The user's own notes, at most 4096 bytes as JSON.
    pub metadata: BTreeMap<String, String>,
    /// Headers that the user adds, in the user's spelling.
    pub headers: Vec<Header>,
    /// What signs.
    pub secrets: Secrets,
    /// What Schoolbell adds to Svix's endpoint.
    pub options: EndpointOptions,
    /// Since when every attempt has failed; absent after a success.
    pub failing_since: Option<Timestamp>,
    /// When it was made; the same instant as in the id.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// Grows with each change; a change names the revision it saw.
    pub revision: i64,
}

/// Who or what switched an endpoint off.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum DisabledBecause {
    /// A person or a program, through the API or the dashboard.
    Asked,
    /// Nothing but failures for as long as the setting `DISABLE_AFTER` says.
    Failing,
    /// The receiver answered 410 Gone.
    Gone,
}

/// A header that the user adds to what an endpoint gets.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// In the user's spelling.
    pub name: String,
    /// At most 4096 bytes.
    pub value: String,
}

impl std::fmt::Debug for Header {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Values may be credentials whatever the name says.
        write!(f, "{}: …", self.name)
    }
}

impl Header {
    /// Whether its value is never shown again.
    pub fn is_sensitive(&self) -> bool {
        const NAMES: [&str; 6] = [
            "authorization",
            "x-auth-token",
            "x-api-key",
            "www-authenticate",
            "proxy-authenticate",
            "proxy-authorization",
        ];
        NAMES.iter().any(|n| n.eq_ignore_ascii_case(&self.name))
    }
}

/// What Schoolbell adds to Svix's endpoint. All optional; a PUT that leaves one out keeps what is stored.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EndpointOptions {
    /// Waits between tries; the application's or the server's if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_schedule: Option<RetrySchedule>,
    /// Answers after which no try follows, e.g. 404.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub final_statuses: BTreeSet<u16>,
    /// Requests at the same time, 1 to 256; the server's default if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<u16>,
    /// Messages with the same order key are delivered one after the other.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub ordered: bool,
}

impl Endpoint {
    /// Whether a new message of this type and with these channels goes to this endpoint. (Manual tries skip this.)
    ///
    /// A message without channels does not reach an endpoint that has channels; an endpoint without channels gets all.
    pub fn takes(&self, event_type: &EventTypeName, channels: &BTreeSet<Channel>) -> bool {
        self.disabled.is_none()
            && self.event_types.as_ref().is_none_or(|types| types.contains(event_type))
            && self.channels.as_ref().is_none_or(|mine| mine.iter().any(|c| channels.contains(c)))
    }
    /// The waits between tries that hold for it: its own, its application's, or the server's.
    pub fn schedule<'a>(&'a self, app: &'a Application, server: &'a RetrySchedule) -> &'a RetrySchedule {
        self.options.retry_schedule.as_ref().or(app.options.retry_schedule.as_ref()).unwrap_or(server)
    }
}
