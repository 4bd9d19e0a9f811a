//! An event type: a name, a description, a JSON Schema per version, an example.

use crate::{names::EventTypeName, time::Timestamp};

/// A kind of event. Belongs to an organization.
#[derive(Clone, PartialEq, Debug)]
pub struct EventType {
    /// `track.started`.
    pub name: EventTypeName,
    /// For people.
    pub description: String,
    /// Not offered any more, but still known.
    pub archived: bool,
    /// Offered with a warning.
    pub deprecated: bool,
    /// JSON Schemas by version as text; `schemas["1"].examples[0]` is the example.
    pub schemas: Option<serde_json::Map<String, serde_json::Value>>,
    /// Only tokens with this flag see it.
    pub feature_flag: Option<EventTypeName>,
    /// The family it is shown in.
    pub group_name: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

impl EventType {
    /// The newest version of its schema: the one whose number is highest.
    pub fn newest_schema(&self) -> Option<&serde_json::Value> {
        let schemas = self.schemas.as_ref()?;
        schemas.iter().max_by_key(|(version, _)| version.parse::<u64>().unwrap_or(0)).map(|(_, schema)| schema)
    }
    /// The example of version 1, if its schema has one.
    pub fn example(&self, index: usize) -> Option<&serde_json::Value> {
        self.schemas.as_ref()?.get("1")?.get("examples")?.get(index)
    }
}
