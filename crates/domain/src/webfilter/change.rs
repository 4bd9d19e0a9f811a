//! What data would change in a payload, for people who look before they leap.

use super::{Effect, FilterRules};
use crate::json::{Json, Members};
use indexmap::IndexMap;

/// Changes that are listed at most.
const CHANGES_MAX: usize = 200;

/// One thing that would become different.
#[derive(Clone, PartialEq, Debug)]
pub struct Change {
    /// Where: `profile.name`.
    pub path: String,
    /// What the platform does there.
    pub effect: Effect,
    /// What is there now; none if nothing is.
    pub before: Option<Json>,
    /// What would be there; none if nothing would.
    pub after: Option<Json>,
}

/// What `data` would change in `payload`, leaf by leaf.
pub fn changes(
    rules: &FilterRules,
    payload: &Members,
    data: &Members,
    effects: &IndexMap<String, Effect>,
) -> Vec<Change> {
    let mut found = Vec::new();
    for (key, value) in data {
        let effect = effects.get(key).copied().unwrap_or_default();
        let is_flat = rules.flat.as_ref() == Some(key);
        match (effect, value) {
            (Effect::Save | Effect::Memory | Effect::Merge, Json::Object(fields)) => {
                let now = if is_flat { Some(payload) } else { payload.get(key).and_then(Json::as_object) };
                for (field, after) in fields {
                    let path = if is_flat { field.clone() } else { format!("{key}.{field}") };
                    differ(&path, effect, now.and_then(|now| now.get(field)), Some(after), &mut found);
                }
            }
            (Effect::Replace, _) => differ(key, effect, payload.get(key), Some(value), &mut found),
            _ => note(key, effect, None, Some(value), &mut found),
        }
    }
    found
}

fn note(path: &str, effect: Effect, before: Option<&Json>, after: Option<&Json>, found: &mut Vec<Change>) {
    if found.len() < CHANGES_MAX {
        found.push(Change { path: path.to_owned(), effect, before: before.cloned(), after: after.cloned() });
    }
}

fn differ(path: &str, effect: Effect, before: Option<&Json>, after: Option<&Json>, found: &mut Vec<Change>) {
    match (before, after) {
        (before, after) if before == after => {}
        (Some(Json::Object(old)), Some(Json::Object(new))) => {
            for (key, after) in new {
                differ(&format!("{path}.{key}"), effect, old.get(key), Some(after), found);
            }
            for (key, before) in old.iter().filter(|(key, _)| !new.contains_key(*key)) {
                note(&format!("{path}.{key}"), effect, Some(before), None, found);
            }
        }
        (before, after) => note(path, effect, before, after, found),
    }
}
