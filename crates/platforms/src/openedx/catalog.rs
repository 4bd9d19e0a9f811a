//! The catalogue, made of what the event library says of itself (`events.json`): its signals and the classes of their data.

use crate::catalog::{CatalogEntry, DataClass, PersonalData};
use domain::EventTypeName;
use serde::Deserialize;
use serde_json::{Map, Value, json, value::RawValue};
use std::{collections::HashMap, sync::LazyLock};

/// A signal of the event library.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Signal {
    /// `SESSION_LOGIN_COMPLETED`: what the plugin stores and shows.
    pub(super) name: String,
    /// `org.openedx.learning.auth.session.login.completed.v1`
    pub(super) event_type: String,
    domain: String,
    description: String,
    /// `user`: the name of what it carries.
    pub(super) argument: String,
    /// `openedx_events.learning.data.UserData`: the class of that.
    pub(super) class: String,
    fired_by: Vec<String>,
    versions: Vec<String>,
    /// Versions of the plugin that offer it.
    offered: Vec<u8>,
    /// Whether the plugin hears it in Studio too.
    studio: bool,
    /// Data as it looks on the wire, in the order of its fields.
    pub(super) sample: Box<RawValue>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Field {
    name: String,
    wire: Wire,
    required: bool,
}

/// What a value is on the wire.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Wire {
    /// Of the class of this name.
    Ref(String),
    List(Box<Wire>),
    Map(Box<Wire>),
    #[serde(untagged)]
    Plain(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Library {
    events: Vec<Signal>,
    types: HashMap<String, Vec<Field>>,
}

static LIBRARY: LazyLock<Library> = LazyLock::new(|| {
    // The file is part of the program, and a test reads it.
    #[allow(clippy::expect_used)]
    serde_json::from_str(include_str!("events.json")).expect("the file is well-formed")
});

/// All signals.
pub(super) fn signals() -> &'static [Signal] {
    &LIBRARY.events
}

/// The metadata in examples.
pub(super) const METADATA: &str = r#"{"event_type": "$type", "id": "457f0c26-a1a5-11ed-afe6-0242ac140007", "minorversion": 0, "source": "openedx/lms/web", "sourcehost": "lms-7c9d5", "time": "2026-01-31T20:24:32.598387+00:00", "sourcelib": [11, 2, 0]}"#;

/// The payload that the connector publishes of this signal with this data and metadata.
pub(super) fn payload(signal: &Signal, data: &str, metadata: &str) -> String {
    format!(
        "{{\"data\": {{\"{argument}\": {data}}}, \"types\": {{\"{argument}\": \"{class}\"}}, \"metadata\": {metadata}}}",
        argument = signal.argument,
        class = signal.class,
    )
}

/// The catalogue.
pub(super) fn read() -> Vec<CatalogEntry> {
    signals().iter().map(entry).collect()
}

fn entry(signal: &Signal) -> CatalogEntry {
    let mut personal = Vec::new();
    let mut path = format!("$.data.{}", signal.argument);
    let data = of_class(&signal.class, &mut path, &mut personal);
    let example = payload(signal, signal.sample.get(), &METADATA.replace("$type", &signal.event_type));
    // Built from the program's own file; the tests of the catalogue look at every example and name.
    #[allow(clippy::expect_used)]
    let (example, name) = (
        serde_json::from_str(&example).expect("a sample is JSON"),
        EventTypeName::new(&signal.event_type).expect("a signal's type is a name"),
    );
    let offered = !signal.offered.is_empty();
    CatalogEntry {
        name,
        description: match offered {
            true => signal.description.clone(),
            false => format!("{} (Not offered by the platform's own webhook plugin.)", signal.description),
        },
        group: group(&signal.domain, offered).to_owned(),
        inferred: None,
        occurred_at: Some("/metadata/time".to_owned()),
        subject: subject(&example, &signal.argument),
        personal_data: personal,
        schema: schema(signal, data),
        examples: vec![example],
    }
}

fn group(domain: &str, offered: bool) -> &'static str {
    match (domain, offered) {
        ("learning", _) => "Learning",
        ("content_authoring", _) => "Content authoring",
        ("authz", _) => "Authorization",
        ("enterprise", _) => "Enterprise (not in the plugin)",
        _ => "Analytics (not in the plugin)",
    }
}

/// What it is about: the first of the ids that events have, from the learner's to the library's.
fn subject(example: &Value, argument: &str) -> Option<String> {
    const PLACES: [&str; 14] = [
        "user/id",
        "student_user/id",
        "id",
        "user_id",
        "usage_key",
        "course_key",
        "object_id",
        "collection_key",
        "container_key",
        "library_key",
        "lms_user_id",
        "uuid",
        "subject",
        "name",
    ];
    let places = PLACES.iter().map(|place| format!("/data/{argument}/{place}"));
    places.into_iter().find(|place| example.pointer(place).is_some_and(|v| v.is_string() || v.is_number()))
}

/// What the whole looks like, and where it comes from.
fn schema(signal: &Signal, data: Value) -> Value {
    let mut data = told(data);
    data["description"] = json!("What the event carries.");
    json!({
        "type": "object",
        "required": ["data"],
        "properties": {
            "data": {
                "type": "object",
                "description": "The arguments of the signal.",
                "required": [signal.argument],
                "properties": { &signal.argument: data },
            },
            "types": {
                "type": "object",
                "description": "The dotted name of the class of each argument; what the catalogue knows if absent.",
                "additionalProperties": { "type": "string" },
                "examples": [{ &signal.argument: signal.class }],
            },
            "metadata": metadata(),
        },
        "x-openedx": {
            "signal": signal.name,
            "argument": signal.argument,
            "class": signal.class,
            "offeredByPlugin": signal.offered,
            "heardInStudio": signal.studio,
            "firedBy": signal.fired_by,
            "openedxEvents": signal.versions,
        },
    })
}

fn metadata() -> Value {
    let text = |words: &str| json!({ "type": "string", "description": words });
    let facts = told(json!({
        "properties": {
            "event_type": text("The signal's event type."),
            "id": text("Id of the event, a UUID: the same at all endpoints."),
            "minorversion": { "type": "integer", "description": "Minor version of the event's definition." },
            "source": text("The service that it happened in: openedx/lms/web."),
            "sourcehost": text("The host that it happened on."),
            "time": text("When it happened, in UTC: RFC 3339."),
            "sourcelib": {
                "type": "array",
                "description": "Version of the event library.",
                "items": { "type": "integer" },
            },
        },
    }));
    json!({
        "type": "object",
        "description": "Where and when it happened; what is missing follows from the message.",
        "properties": facts["properties"],
    })
}

/// Turns what a schema asks into what it tells (`x-type`, `x-required`). The platform does not check the types of its own
/// fields: an event that looks a little different is better than one that is refused, and so lost.
fn told(mut schema: Value) -> Value {
    if let Value::Object(members) = &mut schema {
        for (asks, tells) in [("type", "x-type"), ("required", "x-required")] {
            if let Some(value) = members.remove(asks) {
                members.insert(tells.to_owned(), value);
            }
        }
        if let Some(Value::Object(properties)) = members.get_mut("properties") {
            properties.values_mut().for_each(|p| *p = told(p.take()));
        }
        for inner in ["items", "additionalProperties"] {
            if let Some(inner) = members.get_mut(inner) {
                *inner = told(inner.take());
            }
        }
    }
    schema
}

fn of_class(class: &str, path: &mut String, personal: &mut Vec<PersonalData>) -> Value {
    let fields = LIBRARY.types.get(class).map(Vec::as_slice).unwrap_or_default();
    let mut properties = Map::new();
    for field in fields {
        let length = path.len();
        path.push('.');
        path.push_str(&field.name);
        if let Some(how) = about_people(class, &field.name) {
            let items = if matches!(field.wire, Wire::List(_)) { "[*]" } else { "" };
            personal.push(PersonalData { path: format!("{path}{items}"), class: how });
        }
        let mut value = of_wire(&field.wire, path, personal);
        if !field.required {
            may_be_null(&mut value);
        }
        value["description"] = json!(described(&field.name, &field.wire));
        properties.insert(field.name.clone(), value);
        path.truncate(length);
    }
    let required: Vec<_> = fields.iter().filter(|f| f.required).map(|f| f.name.as_str()).collect();
    json!({ "type": "object", "required": required, "properties": properties })
}

fn of_wire(wire: &Wire, path: &mut String, personal: &mut Vec<PersonalData>) -> Value {
    match wire {
        Wire::Ref(class) => of_class(class, path, personal),
        Wire::List(item) => {
            let length = path.len();
            path.push_str("[*]");
            let items = of_wire(item, path, personal);
            path.truncate(length);
            json!({ "type": "array", "items": items })
        }
        Wire::Map(value) => json!({ "type": "object", "additionalProperties": of_wire(value, path, personal) }),
        Wire::Plain(kind) => match kind.as_str() {
            "any" => json!({}),
            other => json!({ "type": other.split_once(':').map_or(other, |(kind, _)| kind) }),
        },
    }
}

fn may_be_null(schema: &mut Value) {
    if let Some(Value::String(kind)) = schema.get("type").cloned() {
        schema["type"] = json!([kind, "null"]);
    }
}

/// The field's name as words, and what stands in it.
fn described(name: &str, wire: &Wire) -> String {
    let words = name.replace('_', " ");
    let mut letters = words.chars();
    let words: String = letters.next().into_iter().flat_map(char::to_uppercase).chain(letters).collect();
    let kind = match wire {
        Wire::Ref(class) => return format!("{words}: {}.", class.rsplit('.').next().unwrap_or(class)),
        Wire::List(_) => "a list",
        Wire::Map(_) => "keys and values",
        Wire::Plain(kind) => match kind.as_str() {
            "string:datetime" => "a time in UTC, such as 2026-01-31 20:24:32.598387+00:00",
            "string:uuid" => "a UUID",
            "string:opaque-key" => "the text of a course, usage or library key",
            "any" => "anything",
            _ => return format!("{words}."),
        },
    };
    format!("{words}: {kind}.")
}

/// How closely a field belongs to a person.
fn about_people(class: &str, field: &str) -> Option<DataClass> {
    let class = class.rsplit('.').next().unwrap_or(class);
    Some(match (class, field) {
        ("UserPersonalData", _) | ("CertificateData" | "VerificationAttemptData", "name") => DataClass::Direct,
        ("CcxCourseData", "coach_email") | ("CertificateSignatoryData", "name" | "image") => DataClass::Direct,
        ("UserData", "id") | ("RoleAssignmentData", "subject" | "actor_id") => DataClass::Indirect,
        (_, "user_id" | "user_ids" | "lms_user_id" | "anonymous_user_id" | "idempotency_key") => DataClass::Indirect,
        ("CertificateData", "grade" | "mode" | "current_status" | "previous_status" | "download_url") => {
            DataClass::Record
        }
        ("CourseEnrollmentData", "mode" | "is_active" | "creation_date") => DataClass::Record,
        ("PersistentCourseGradeData", "percent_grade" | "letter_grade" | "passed_timestamp") => DataClass::Record,
        ("CoursePassingStatusData" | "CcxCoursePassingStatusData", "is_passing") => DataClass::Record,
        ("ExternalGraderScoreData", "points_earned" | "score_msg") => DataClass::Record,
        ("VerificationAttemptData" | "ProgramCertificateData", "status") => DataClass::Record,
        ("CohortData", "name") | ("CourseAccessRoleData" | "RoleAssignmentData", "role") => DataClass::Record,
        ("ORASubmissionData", "submitted_at") | ("TrackingLogData", "data" | "context") => DataClass::Record,
        ("XBlockSkillVerificationData", "verified_skills" | "ignored_skills") => DataClass::Record,
        ("DiscussionThreadData", "body" | "title") => DataClass::Content,
        ("ORASubmissionAnswer", "parts" | "file_names" | "file_descriptions" | "file_urls") => DataClass::Content,
        _ => return None,
    })
}
