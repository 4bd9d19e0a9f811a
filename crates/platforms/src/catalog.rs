//! Platforms as data: what they are called, their event types, and what their endpoints start out with.
//!
//! A platform is a preset and nothing more. Everything it brings can be changed afterwards, and no other room asks which
//! platform an application has in order to decide something. Adding one is a folder with a `catalog.json`, and one line in
//! [`all`].

use crate::{schema::Validator, simulate::Steps};
use domain::{DeactivateAfter, EndpointDefaults, EventType, EventTypeName, RetrySchedule, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::LazyLock,
    time::Duration,
};

/// A platform.
pub struct Platform {
    /// `replit`: what settings and the API call it.
    pub name: &'static str,
    /// For people.
    pub title: &'static str,
    /// What an application is there: a classroom, an account, an organization.
    pub noun: &'static str,
    /// Its event types.
    pub(crate) catalog: LazyLock<Vec<CatalogEntry>>,
    /// What an endpoint starts out with.
    pub(crate) defaults: fn() -> EndpointDefaults,
    /// What has to be read and agreed to before personal data goes out; nothing if absent.
    pub warning: Option<&'static str>,
    /// A believable class without end; none where there is nothing to play.
    pub(crate) simulate: Option<fn(u64, Timestamp) -> Steps>,
}

impl std::fmt::Debug for Platform {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Platform({})", self.name)
    }
}

/// The platform of applications that do not say.
pub static STANDARD: Platform = Platform {
    name: "standard",
    title: "Standard",
    noun: "application",
    catalog: LazyLock::new(Vec::new),
    defaults: EndpointDefaults::default,
    warning: None,
    simulate: None,
};

/// All platforms, the one without a catalogue first.
pub fn all() -> &'static [&'static Platform] {
    static ALL: [&Platform; 6] = [
        &STANDARD,
        &crate::replit::PLATFORM,
        &crate::teachstack::PLATFORM,
        &crate::openedx::PLATFORM,
        &crate::instruqt::PLATFORM,
        &crate::canvas::PLATFORM,
    ];
    &ALL
}

/// The platform with this name.
pub fn by_name(name: &str) -> Option<&'static Platform> {
    all().iter().copied().find(|p| p.name == name)
}

impl Platform {
    /// Its event types, in the order in which they are shown.
    pub fn event_types(&self) -> &[CatalogEntry] {
        &self.catalog
    }
    /// One of them.
    pub fn event_type(&self, name: &EventTypeName) -> Option<&CatalogEntry> {
        self.catalog.iter().find(|t| t.name == *name)
    }
    /// What an endpoint starts out with.
    pub fn defaults(&self) -> EndpointDefaults {
        (self.defaults)()
    }
}

/// How closely a piece of data belongs to a person.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum DataClass {
    /// Names somebody: name, e-mail address.
    Direct,
    /// Leads to somebody with other knowledge: ids, exact times.
    Indirect,
    /// What somebody did or achieved: attendance, status, score.
    Record,
    /// What somebody made or said: files, recordings, comments.
    Content,
}

/// A field of a payload that is about a person.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PersonalData {
    /// A JSON path: `$.submission.files[*].content`.
    pub path: String,
    /// How closely.
    pub class: DataClass,
}

/// A part of the catalogue that the platform's vendor never wrote down.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Inferred {
    /// `name` or `payload`.
    pub what: String,
    /// What it rests on.
    pub because: String,
}

/// An event type as the catalogue describes it.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CatalogEntry {
    /// `track.started`.
    pub name: EventTypeName,
    /// When it fires, for people.
    pub description: String,
    /// The family it is shown in.
    pub group: String,
    /// Where the catalogue goes beyond what its vendor published.
    #[serde(default)]
    pub inferred: Option<Inferred>,
    /// JSON pointer to the instant it happened, in the payload; when it was published if absent.
    #[serde(default)]
    pub occurred_at: Option<String>,
    /// JSON pointer to the id of what it is about, in the payload.
    #[serde(default)]
    pub subject: Option<String>,
    /// The fields that are about people.
    #[serde(default)]
    pub personal_data: Vec<PersonalData>,
    /// JSON Schema (2020-12) of the payload, complete in itself.
    pub schema: Value,
    /// Payloads as they would be published; at least one.
    pub examples: Vec<Value>,
}

impl CatalogEntry {
    /// The event type to install. The schema carries the examples, and `x-personal-data` and `x-inferred`.
    pub fn to_event_type(&self, now: Timestamp) -> EventType {
        EventType {
            name: self.name.clone(),
            description: self.description.clone(),
            archived: false,
            deprecated: false,
            schemas: Some(Map::from_iter([("1".to_owned(), self.whole_schema())])),
            feature_flag: None,
            group_name: Some(self.group.clone()),
            created_at: now,
            updated_at: now,
        }
    }
    /// The schema with all that is known about the type.
    fn whole_schema(&self) -> Value {
        let mut schema = self.schema.clone();
        if let Value::Object(members) = &mut schema {
            members.insert("$schema".to_owned(), json!("https://json-schema.org/draft/2020-12/schema"));
            members.insert("title".to_owned(), json!(self.name));
            members.insert("examples".to_owned(), json!(self.examples));
            members.insert(PERSONAL_DATA.to_owned(), json!(self.personal_data));
            if let Some(inferred) = &self.inferred {
                members.insert("x-inferred".to_owned(), json!(inferred));
            }
        }
        schema
    }
    /// Its schema made ready.
    pub fn validator(&self) -> Validator {
        // A test compiles every schema that comes with the program.
        #[allow(clippy::expect_used)]
        Validator::compile(&self.schema).expect("schemas of the catalogue compile")
    }
}

/// The key of a schema under which its personal data is listed.
const PERSONAL_DATA: &str = "x-personal-data";

/// The fields about people that a stored schema lists, whoever wrote it.
pub fn personal_data(schema: &Value) -> Vec<PersonalData> {
    schema.get(PERSONAL_DATA).and_then(|v| serde_json::from_value(v.clone()).ok()).unwrap_or_default()
}

/// A choice of waits between tries, for settings.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RetryPreset {
    /// `replit`.
    pub name: &'static str,
    /// For people.
    pub title: &'static str,
    /// The waits.
    pub schedule: RetrySchedule,
    /// Answers after which no try follows.
    pub final_statuses: BTreeSet<u16>,
    /// How many messages may be given up before the endpoint is switched off; what the server does if absent.
    pub deactivate_after: Option<DeactivateAfter>,
}

/// One of them.
pub fn retry_preset(name: &str) -> Option<RetryPreset> {
    retry_presets().into_iter().find(|p| p.name == name)
}

/// The choices, the server's default first.
pub fn retry_presets() -> Vec<RetryPreset> {
    let waits = |seconds: &[u64]| {
        // A handful of waits, none longer than a day: within what a schedule allows.
        RetrySchedule::new(seconds.iter().copied().map(Duration::from_secs).collect()).unwrap_or_default()
    };
    vec![
        RetryPreset {
            name: "standard",
            title: "Eight tries in about a day",
            schedule: RetrySchedule::default(),
            final_statuses: BTreeSet::new(),
            deactivate_after: None,
        },
        RetryPreset {
            name: "replit",
            title: "Ten tries, ten seconds apart; 404 is final",
            schedule: waits(&[10; 9]),
            final_statuses: BTreeSet::from([404]),
            deactivate_after: None,
        },
        RetryPreset {
            name: "patient",
            title: "Ten tries in about three days",
            schedule: waits(&[5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400]),
            final_statuses: BTreeSet::new(),
            deactivate_after: None,
        },
        RetryPreset {
            name: "canvas-plagiarism",
            title: "Six tries, thirty seconds apart",
            schedule: waits(&[30; 5]),
            final_statuses: BTreeSet::new(),
            deactivate_after: None,
        },
        RetryPreset {
            name: "canvas-live-events",
            title: "Four tries in about a quarter of an hour; switched off after thousands of failures in a day",
            schedule: waits(&[120, 240, 480]),
            final_statuses: BTreeSet::new(),
            deactivate_after: Some(DeactivateAfter { timeouts: 9_500, errors: 28_000 }),
        },
    ]
}

/// A catalogue's file.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct CatalogFile {
    event_types: Vec<CatalogEntry>,
    /// Pieces of schemas by name, for `"$use": "name"` or `"$use": ["name", …]`.
    #[serde(default)]
    shared: BTreeMap<String, Value>,
}

/// Reads a catalogue: puts shared pieces in their places, and the event's name where `"$name"` stands.
pub(crate) fn read(text: &str) -> Vec<CatalogEntry> {
    // The file is part of the program, and tests read every one of them.
    #[allow(clippy::expect_used)]
    let mut file: CatalogFile = serde_json::from_str(text).expect("the catalogue's file is well-formed");
    for entry in &mut file.event_types {
        fill(&mut entry.schema, &entry.name, &file.shared);
        entry.examples.iter_mut().for_each(|e| fill(e, &entry.name, &file.shared));
    }
    file.event_types
}

fn fill(value: &mut Value, name: &EventTypeName, shared: &BTreeMap<String, Value>) {
    match value {
        Value::String(s) if s == "$name" => *s = name.to_string(),
        Value::Array(items) => items.iter_mut().for_each(|v| fill(v, name, shared)),
        Value::Object(members) => {
            if let Some(used) = members.remove("$use") {
                let names = match &used {
                    Value::Array(names) => names.iter().filter_map(Value::as_str).collect(),
                    other => other.as_str().into_iter().collect::<Vec<_>>(),
                };
                let mut whole = Map::new();
                for name in names {
                    // Tests read every catalogue: a name that is not there would show as a missing schema.
                    over(&mut whole, shared.get(name).and_then(Value::as_object).cloned().unwrap_or_default());
                }
                over(&mut whole, std::mem::take(members));
                *members = whole;
                // A shared piece may use another.
                if members.contains_key("$use") {
                    return fill(value, name, shared);
                }
            }
            members.values_mut().for_each(|v| fill(v, name, shared));
        }
        _ => {}
    }
}

/// Lays one piece of schema over another: objects are merged, lists of required names joined, all else replaced.
fn over(lower: &mut Map<String, Value>, upper: Map<String, Value>) {
    for (key, value) in upper {
        match (lower.get_mut(&key), value) {
            (Some(Value::Object(old)), Value::Object(new)) => over(old, new),
            (Some(Value::Array(old)), Value::Array(new)) if key == "required" => {
                new.into_iter().for_each(|v| {
                    if !old.contains(&v) {
                        old.push(v);
                    }
                });
            }
            (_, value) => {
                lower.insert(key, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_example_fits_its_schema_and_every_schema_is_complete() {
        for platform in all() {
            for entry in platform.event_types() {
                let validator = entry.validator();
                assert!(!entry.examples.is_empty(), "{}", entry.name);
                for example in &entry.examples {
                    assert_eq!(validator.validate(example), Ok(()), "{}", entry.name);
                }
                let text = entry.schema.to_string();
                assert!(!text.contains("$use") && !text.contains("$name") && !text.contains("$ref"), "{text}");
                assert!(Validator::compile(&entry.whole_schema()).is_ok());
            }
        }
    }

    #[test]
    fn every_pointer_and_path_leads_into_an_example() {
        fn reaches(value: &Value, path: &str) -> bool {
            let (step, rest) = path.split_once('.').unwrap_or((path, ""));
            let found = match step.strip_suffix("[*]") {
                Some(name) => value.get(name).and_then(|v| v.get(0)),
                None => value.get(step),
            };
            found.is_some_and(|v| rest.is_empty() || reaches(v, rest))
        }
        for platform in all() {
            for entry in platform.event_types() {
                for pointer in entry.occurred_at.iter().chain(&entry.subject) {
                    assert!(entry.examples[0].pointer(pointer).is_some(), "{} {pointer}", entry.name);
                }
                for data in &entry.personal_data {
                    let path = data.path.strip_prefix("$.").unwrap();
                    // Optional fields are not in every example: look into the schema as well.
                    let optional =
                        entry.schema.to_string().contains(&format!("\"{}\"", path.rsplit('.').next().unwrap()));
                    assert!(reaches(&entry.examples[0], path) || optional, "{} {}", entry.name, data.path);
                }
            }
        }
    }

    #[test]
    fn every_field_is_described() {
        fn check(schema: &Value, at: &str) {
            for (name, property) in schema["properties"].as_object().into_iter().flatten() {
                assert!(property["description"].is_string(), "{at}/{name}");
                check(property, &format!("{at}/{name}"));
                check(&property["items"], &format!("{at}/{name}[]"));
            }
        }
        for platform in all() {
            for entry in platform.event_types() {
                check(&entry.schema, entry.name.as_str());
            }
        }
    }

    #[test]
    fn the_catalogues_have_the_events_of_the_originals() {
        let count = |name| by_name(name).unwrap().event_types().len();
        assert_eq!((count("replit"), count("teachstack"), count("instruqt"), count("standard")), (1, 7, 17, 0));
        assert_eq!((count("canvas"), count("openedx")), (76, 75));
        assert!(by_name("nonsense").is_none());
        let names: BTreeSet<_> = all().iter().map(|p| p.name).collect();
        assert_eq!(names.len(), all().len());
    }

    #[test]
    fn an_installed_event_type_keeps_what_the_catalogue_knows() {
        let entry = &by_name("instruqt").unwrap().event_types()[2];
        assert_eq!(entry.name.as_str(), "track.cleaned_up");
        let installed = entry.to_event_type(Timestamp::from_micros(0));
        let schema = &installed.schemas.as_ref().unwrap()["1"];
        assert_eq!(personal_data(schema), entry.personal_data);
        assert_eq!(schema["x-inferred"]["what"], "name");
        assert_eq!(installed.example(0).unwrap()["type"], "track.cleaned_up");
        assert_eq!(schema["properties"]["type"]["const"], "track.cleaned_up");
    }

    #[test]
    fn the_canvas_presets_are_those_that_are_documented() {
        let plagiarism = retry_preset("canvas-plagiarism").unwrap();
        assert_eq!(plagiarism.schedule.to_string(), "30s,30s,30s,30s,30s");
        let live = retry_preset("canvas-live-events").unwrap();
        let spread: Duration = live.schedule.waits().iter().sum();
        assert_eq!((live.schedule.waits().len(), spread), (3, Duration::from_secs(14 * 60)));
        assert_eq!(live.deactivate_after, Some(DeactivateAfter { timeouts: 9_500, errors: 28_000 }));
        let options = by_name("canvas").unwrap().defaults().options;
        assert_eq!((options.retry_schedule, options.deactivate_after), (Some(live.schedule), live.deactivate_after));
    }

    #[test]
    fn the_replit_preset_makes_ten_tries_ten_seconds_apart() {
        let presets = retry_presets();
        let preset = presets.iter().find(|p| p.name == "replit").unwrap();
        assert_eq!(preset.schedule.to_string(), "10s,10s,10s,10s,10s,10s,10s,10s,10s");
        assert_eq!(preset.final_statuses, BTreeSet::from([404]));
        let defaults = by_name("replit").unwrap().defaults().options;
        assert_eq!(defaults.retry_schedule.as_ref(), Some(&preset.schedule));
        assert_eq!(defaults.final_statuses, preset.final_statuses);
    }
}
