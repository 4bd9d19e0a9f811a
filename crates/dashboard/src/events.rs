//! The event catalogue: types by group, what they mean, what is in them.

use crate::{
    page::{Frame, Page, Room, app_path, show as render},
    session::Visitor,
};
use askama::Template;
use axum::extract::Path;
use domain::{EventType, json::pretty};
use serde_json::Value;
use service::{
    AppScope, ServiceError,
    student_data::{DataClass, personal_fields},
};

/// Endpoints at most that an event type's page names.
const LISTENERS: usize = 100;

/// An event type in a list or a form.
pub(crate) struct Choice {
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) deprecated: bool,
    pub(crate) chosen: bool,
    pub(crate) path: String,
}

/// A family of event types.
pub(crate) struct Group {
    pub(crate) name: String,
    pub(crate) choices: Vec<Choice>,
    pub(crate) chosen: usize,
}

/// All event types that an application's endpoints can choose from.
pub(crate) async fn catalogue(
    visitor: &Visitor,
    scope: &AppScope,
    with_content: bool,
) -> Result<Vec<EventType>, ServiceError> {
    visitor.service().offered_event_types(scope, with_content).await
}

/// By family: as the catalogue says, or else by the first word of the name.
pub(crate) fn grouped(types: &[EventType], chosen: &[String], app: &str) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for t in types {
        let first = t.name.as_str().split('.').next().unwrap_or_default();
        let family = t.group_name.as_deref().unwrap_or(first);
        let choice = Choice {
            name: t.name.to_string(),
            description: t.description.clone(),
            deprecated: t.deprecated,
            chosen: chosen.iter().any(|c| c == t.name.as_str()),
            path: format!("{app}/events/{}", t.name),
        };
        let at = groups.iter().position(|g| g.name == family).unwrap_or_else(|| {
            groups.push(Group { name: family.to_owned(), choices: Vec::new(), chosen: 0 });
            groups.len() - 1
        });
        groups[at].chosen += usize::from(choice.chosen);
        groups[at].choices.push(choice);
    }
    groups
}

/// A field of a schema, indented by its depth.
pub(crate) struct Field {
    pub(crate) depth: usize,
    pub(crate) name: String,
    pub(crate) kind: String,
    pub(crate) required: bool,
    pub(crate) description: String,
}

/// A schema's fields, at most 200 and six deep: what is deeper is in the schema itself.
fn fields(schema: &Value, depth: usize, out: &mut Vec<Field>) {
    let required = schema["required"].as_array().cloned().unwrap_or_default();
    let Some(properties) = schema["properties"].as_object() else { return };
    for (name, property) in properties {
        if out.len() >= 200 {
            return;
        }
        let kind = match &property["type"] {
            Value::String(s) => s.clone(),
            Value::Array(all) => all.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" or "),
            _ => "any".to_owned(),
        };
        out.push(Field {
            depth,
            name: name.clone(),
            kind,
            required: required.iter().any(|r| r == name),
            description: property["description"].as_str().unwrap_or_default().to_owned(),
        });
        if depth < 5 {
            fields(property, depth + 1, out);
            fields(&property["items"], depth + 1, out);
        }
    }
}

/// The fields of an event type, by the first version of its schema.
pub(crate) fn fields_of(event_type: &EventType) -> Vec<Field> {
    let mut found = Vec::new();
    if let Some(schema) = event_type.newest_schema() {
        fields(schema, 0, &mut found);
    }
    found
}

/// JSON for people; empty if there is none.
pub(crate) fn text_of(value: Option<&Value>) -> String {
    value.map(|v| pretty(v.to_string().as_bytes())).unwrap_or_default()
}

/// What of a type's payload is about a person, in words.
pub(crate) fn personal(event_type: &EventType) -> Vec<(&'static str, Vec<String>)> {
    by_class(personal_fields(event_type))
}

/// Pieces of data by how closely they belong to a person, in words; what names somebody comes first.
pub(crate) fn by_class(fields: impl IntoIterator<Item = (String, DataClass)>) -> Vec<(&'static str, Vec<String>)> {
    let mut groups = [
        (DataClass::Direct, "Names a person", Vec::new()),
        (DataClass::Indirect, "Can be traced to a person", Vec::new()),
        (DataClass::Record, "What a person did or achieved", Vec::new()),
        (DataClass::Content, "What a person made or said", Vec::new()),
    ];
    for (path, class) in fields {
        if let Some((_, _, paths)) = groups.iter_mut().find(|(of, ..)| *of == class) {
            paths.push(path);
        }
    }
    groups.into_iter().filter(|(_, _, paths)| !paths.is_empty()).map(|(_, words, paths)| (words, paths)).collect()
}

#[derive(Template)]
#[template(path = "events.html")]
struct ListPage {
    frame: Frame,
    groups: Vec<Group>,
    total: usize,
}

pub(crate) async fn list(visitor: Visitor, Path(app): Path<String>) -> Page {
    let scope = visitor.service().open(&visitor.actor, &app).await?;
    let app = scope.application();
    let types = catalogue(&visitor, &scope, false).await?;
    let frame = Frame::of(&visitor, app, Room::Events, "Event types");
    render(&ListPage { frame, groups: grouped(&types, &[], &app_path(app)), total: types.len() })
}

#[derive(Template)]
#[template(path = "event.html")]
struct ShowPage {
    frame: Frame,
    name: String,
    description: String,
    deprecated: bool,
    archived: bool,
    group: String,
    fields: Vec<Field>,
    example: String,
    schema: String,
    personal: Vec<(&'static str, Vec<String>)>,
    listeners: Vec<(String, String)>,
}

pub(crate) async fn show(visitor: Visitor, Path((app, name)): Path<(String, String)>) -> Page {
    let scope = visitor.service().open(&visitor.actor, &app).await?;
    let app = scope.application();
    let t = visitor.service().event_type(&visitor.actor, &name).await?;
    let mut shown = t.newest_schema().cloned();
    if let Some(Value::Object(members)) = &mut shown {
        members.remove("examples");
    }
    let endpoints = scope.endpoints().rev();
    let listeners = endpoints
        .filter(|e| e.disabled.is_none() && e.selects(&t.name))
        .take(LISTENERS)
        .map(|e| (crate::endpoint::address(e), crate::endpoint::path(app, e)))
        .collect();
    let path = app_path(app);
    render(&ShowPage {
        frame: Frame::of(&visitor, app, Room::Events, t.name.as_str()).below("Event types", format!("{path}/events")),
        name: t.name.to_string(),
        description: t.description.clone(),
        deprecated: t.deprecated,
        archived: t.archived,
        group: t.group_name.clone().unwrap_or_default(),
        fields: fields_of(&t),
        example: text_of(t.example(0)),
        schema: text_of(shown.as_ref()),
        personal: personal(&t),
        listeners,
    })
}
