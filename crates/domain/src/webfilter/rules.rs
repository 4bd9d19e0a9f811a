//! What is known of a filter: which data it takes, which exceptions it has. Told by a platform's catalogue, or the open
//! rules for a filter that an application made up itself.

use super::UnknownChoice;
use super::choice;
use crate::{json::Json, names::FilterName};
use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

choice! {
    /// What the platform does with a piece of data.
    Effect {
        /// Takes the value as a whole.
        #[default] Replace = "replace",
        /// Merges it into a dictionary, one level deep.
        Merge = "merge",
        /// Sets the fields of a stored object and saves it.
        Save = "save",
        /// Sets the fields of an object in use.
        Memory = "memory",
        /// Applies it as look-ups to a query set.
        Narrow = "narrow",
        /// Adds its members to a set.
        Add = "add"
    }
}

impl Effect {
    /// Whether the platform can take such a value.
    pub fn fits(self, value: &Json) -> bool {
        match self {
            Self::Replace => true,
            Self::Merge | Self::Save | Self::Memory | Self::Narrow => value.as_object().is_some(),
            Self::Add => matches!(value, Json::List(items) if items.iter().all(|i| matches!(i, Json::Text(_)))),
        }
    }
}

/// What is known of a filter.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FilterRules {
    /// What requests call it.
    pub name: FilterName,
    /// The platform's own string for it; none for a filter that an application made up.
    #[serde(rename = "type")]
    pub filter_type: Option<String>,
    /// The name that the original plugin stored up to version 21.
    pub stored_as: Option<String>,
    /// For people.
    pub description: String,
    /// The family it is shown in.
    pub group: String,
    /// Whether the original plugin offers it.
    pub offered: bool,
    /// Keys of its payload.
    pub request: Vec<String>,
    /// Keys of data that it takes, and what becomes of each.
    pub updates: IndexMap<String, Effect>,
    /// The same for version 21, where it differs.
    #[serde(default)]
    pub updates_in_v21: IndexMap<String, Effect>,
    /// Whether other keys of data are handed on too.
    pub accepts_other_data: bool,
    /// The key of data whose fields stand at the top of the payload, if there is one.
    #[serde(default)]
    pub flat: Option<String>,
    /// The exceptions that it has, the first that was named counts; any if absent.
    pub exceptions: Option<Vec<ExceptionRules>>,
    /// The exception that halts raise; none, and no halts, if absent (any name will do where exceptions are open).
    pub halt_exception: Option<String>,
    /// Whether an exception comes before the data, which then does not count.
    pub raises_first: bool,
    /// A payload as it would come.
    pub example: Option<Json>,
}

/// What is known of an exception.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ExceptionRules {
    /// Its name.
    pub name: String,
    /// What it takes.
    pub arguments: Vec<String>,
    /// Those of them that it cannot do without.
    #[serde(default)]
    pub required: Vec<String>,
    /// Whether it takes any other too.
    pub accepts_other_arguments: bool,
}

impl ExceptionRules {
    /// Whether it takes this argument.
    pub fn takes(&self, argument: &str) -> bool {
        self.accepts_other_arguments || self.arguments.iter().any(|a| a == argument)
    }
    /// Whether it stands for a whole HTTP answer.
    pub fn is_response(&self) -> bool {
        self.arguments.iter().any(|a| a == "response")
    }
}

impl FilterRules {
    /// The rules of a filter that an application made up: everything goes.
    pub fn own(name: FilterName) -> Self {
        Self {
            name,
            filter_type: None,
            stored_as: None,
            description: String::new(),
            group: String::new(),
            offered: true,
            request: Vec::new(),
            updates: IndexMap::new(),
            updates_in_v21: IndexMap::new(),
            accepts_other_data: true,
            flat: None,
            exceptions: None,
            halt_exception: None,
            raises_first: true,
            example: None,
        }
    }
    /// Whether a webfilter may halt it.
    pub fn can_halt(&self) -> bool {
        self.exceptions.is_none() || self.halt_exception.is_some()
    }
    /// Whether it has this exception.
    pub fn has_exception(&self, name: &str) -> bool {
        self.exceptions.is_none() || self.exception(name).is_some()
    }
    /// What is known of one of its exceptions.
    pub fn exception(&self, name: &str) -> Option<&ExceptionRules> {
        self.exceptions.as_ref()?.iter().find(|e| e.name == name)
    }
    /// Whether a halt with this exception, its usual one if absent, can send the person somewhere.
    pub fn can_redirect(&self, exception: Option<&str>) -> bool {
        if self.exceptions.is_none() {
            return true;
        }
        let name = exception.or(self.halt_exception.as_deref());
        name.and_then(|name| self.exception(name)).is_some_and(|e| e.takes("redirect_to"))
    }
    /// What becomes of a key of data.
    pub fn effect(&self, key: &str, version: super::WireVersion) -> Option<Effect> {
        let older = (version == super::WireVersion::V21).then(|| self.updates_in_v21.get(key)).flatten();
        let known = older.or_else(|| self.updates.get(key)).copied();
        known.or_else(|| self.accepts_other_data.then_some(Effect::Replace))
    }
}
