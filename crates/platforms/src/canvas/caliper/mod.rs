//! IMS Caliper 1.1: an envelope with one event, made from what was published.
//!
//! Canvas gave thirty of its event types such a form. `plagiarism_resubmit`, which tools may subscribe to in either format,
//! takes that of its relative `submission_updated`; for the others there is none, and none is made up. Members come in the
//! order in which Canvas wrote them; what is null is left out; times have milliseconds and end with `Z`.

mod objects;
mod tree;

use crate::format::{Format, RenderError, RenderInput, Rendered, millis};
use domain::{EventTypeName, MessageMeta, Timestamp};
use serde_json::{Map, Value};
use tree::{Node, Object};

/// The context of Caliper 1.1.
const CONTEXT: &str = "http://purl.imsglobal.org/ctx/caliper/v1p1";
/// The key of Canvas's own members.
const OURS: &str = "com.instructure.canvas";
/// Event types, by their beginnings, whose `body` names the user who did it.
const OWN_WORK: [&str; 3] = ["submission_", "attachment_", "discussion_entry_"];
/// The host of events that no request raised.
const NO_HOST: &str = "www.canvaslms.com";

/// Whether events of this type have a form.
pub(crate) fn has_form(event_type: &EventTypeName) -> bool {
    objects::form(event_type.as_str()).is_some()
}

/// The envelope around one event.
pub(crate) fn render(input: &RenderInput<'_>, meta: &MessageMeta, payload: &[u8]) -> Result<Rendered, RenderError> {
    let no_form = || RenderError::NoSuchForm { format: Format::Caliper, event_type: meta.event_type.clone() };
    let form = objects::form(meta.event_type.as_str()).ok_or_else(no_form)?;
    let source = Source::read(payload, meta)?;
    let happened = (form.make)(&source)?;
    let actor = happened.actor.unwrap_or_else(|| source.actor());
    let membership = match (&actor.user, &happened.place) {
        (Some(user), Some(place)) => Some(source.membership(user, place)),
        _ => None,
    };
    let group = happened.place.filter(|p| p.is_shown).map(|p| p.group());

    let event = Object::new()
        .with("@context", CONTEXT)
        .with("id", format!("urn:uuid:{}", crate::replit::body_secret(event_uuid(meta))))
        .with("type", form.kind)
        .with("actor", actor.node)
        .with("action", form.action)
        .with("object", happened.object)
        .with("eventTime", source.event_time.clone())
        .with("generated", happened.generated)
        .with("referrer", source.meta("referrer"))
        .with("edApp", source.application())
        .with("group", group)
        .with("membership", membership)
        .with("session", source.meta_id("session_id").map(|id| entity(urn("session", &id), "Session")))
        .with("extensions", source.request());
    let envelope = Object::new()
        .with("sensor", source.host_url())
        .with("sendTime", millis(input.now))
        .with("dataVersion", CONTEXT)
        .with("data", Node::List(vec![event.into()]))
        .with("subscription", input.subscription_id.map(|id| Object::new().with("id", id)));
    let body = serde_json::to_vec(&envelope).map_err(|e| misfit("", e.to_string()))?;
    Ok(Rendered::json(body))
}

/// What makes the event's id: the message's own, so that it is the same at each try.
fn event_uuid(meta: &MessageMeta) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&meta.id.0.0[4..]);
    bytes
}

fn misfit(path: &str, problem: impl Into<String>) -> RenderError {
    RenderError::Payload { format: Format::Caliper, path: path.to_owned(), problem: problem.into() }
}

/// `urn:instructure:canvas:course:45`
fn urn(kind: &str, id: &str) -> String {
    format!("urn:instructure:canvas:{kind}:{id}")
}

/// An object of which only the id and the type are known.
fn entity(id: impl Into<Node>, kind: &str) -> Object {
    Object::new().with("id", id).with("type", kind)
}

/// Canvas's own members, if there are any.
fn extensions(members: Object) -> Option<Object> {
    (!members.is_empty()).then(|| Object::new().with(OURS, members))
}

/// Times as Caliper wants them: UTC, with milliseconds. Canvas writes several forms, also `2026-10-05 05:38:00 -0800`.
fn time(text: &str) -> Option<String> {
    let offset = [" +", " -"].into_iter().filter_map(|sign| text.rfind(sign)).max();
    let joined = match offset {
        Some(at) => format!("{}{}", &text[..at], &text[at + 1..]),
        None => text.to_owned(),
    };
    Timestamp::parse(&joined).map(millis)
}

/// Who acts.
struct Actor {
    node: Object,
    /// The user's id, if it is one.
    user: Option<String>,
}

/// The course or section in which it happened.
struct Place {
    course: String,
    section: Option<String>,
    /// Whether it is shown as the event's group.
    is_shown: bool,
}

impl Place {
    fn course(id: String) -> Self {
        Self { course: id, section: None, is_shown: true }
    }
    fn urn(&self) -> String {
        match &self.section {
            Some(section) => format!("{}:section:{section}", urn("course", &self.course)),
            None => urn("course", &self.course),
        }
    }
    fn kind(&self) -> &'static str {
        if self.section.is_some() { "CourseSection" } else { "CourseOffering" }
    }
    fn group(&self) -> Object {
        let ours = Object::new().with("context_type", "Course").with("entity_id", self.course.clone());
        entity(self.urn(), self.kind()).with("extensions", extensions(ours))
    }
    fn organization(&self) -> Object {
        let whole = self.section.as_ref().map(|_| entity(urn("course", &self.course), "CourseOffering"));
        entity(self.urn(), self.kind()).with("subOrganizationOf", whole)
    }
}

/// What an event type makes of its event.
struct Happened {
    object: Object,
    generated: Option<Object>,
    /// Who acts, if not the one in `metadata`.
    actor: Option<Actor>,
    place: Option<Place>,
}

/// What was published, for reading.
struct Source {
    metadata: Map<String, Value>,
    body: Map<String, Value>,
    event_time: String,
    /// Whether the user in `body` is who did it.
    own_work: bool,
}

impl Source {
    fn read(payload: &[u8], meta: &MessageMeta) -> Result<Self, RenderError> {
        let mut whole: Map<String, Value> = serde_json::from_slice(payload).map_err(|e| misfit("", e.to_string()))?;
        let mut part = |name: &str| match whole.remove(name) {
            Some(Value::Object(members)) => Ok(members),
            Some(_) => Err(misfit(name, "is not an object")),
            None => Err(misfit(name, "is missing")),
        };
        let (metadata, body) = (part("metadata")?, part("body")?);
        let event_time = metadata.get("event_time").and_then(Value::as_str).and_then(time);
        let event_time = event_time.unwrap_or_else(|| millis(meta.created_at));
        let own_work = OWN_WORK.iter().any(|start| meta.event_type.as_str().starts_with(start));
        Ok(Self { metadata, body, event_time, own_work })
    }
    /// A member of `metadata` that is not null.
    fn meta(&self, name: &str) -> Option<Node> {
        self.metadata.get(name).filter(|v| !v.is_null()).cloned().map(Node::Plain)
    }
    fn meta_id(&self, name: &str) -> Option<String> {
        self.metadata.get(name).and_then(id_text)
    }
    /// A member of `body` that is not null.
    fn body(&self, name: &str) -> Option<Node> {
        self.body.get(name).filter(|v| !v.is_null()).cloned().map(Node::Plain)
    }
    fn body_id(&self, name: &str) -> Option<String> {
        self.body.get(name).and_then(id_text)
    }
    fn needed_id(&self, name: &str) -> Result<String, RenderError> {
        self.body_id(name).ok_or_else(|| misfit(&format!("body.{name}"), "is missing: its id is made from it"))
    }
    /// A time in `body`; as it is if it cannot be read.
    fn body_time(&self, name: &str) -> Option<Node> {
        let text = self.body.get(name)?.as_str()?;
        Some(time(text).unwrap_or_else(|| text.to_owned()).into())
    }

    fn host_url(&self) -> String {
        format!("http://{}/", self.metadata.get("hostname").and_then(Value::as_str).unwrap_or(NO_HOST))
    }
    fn application(&self) -> Object {
        entity(self.host_url(), "SoftwareApplication")
    }
    /// Who acts: the user in `metadata`; else the one in `body`, where that is who did it and not whom it was done to.
    fn user(&self) -> Option<String> {
        self.meta_id("user_id").or_else(|| self.body_id("user_id").filter(|_| self.own_work))
    }
    fn actor(&self) -> Actor {
        let Some(user) = self.user() else { return Actor { node: self.application(), user: None } };
        let ours = Object::new()
            .with("user_login", self.meta("user_login"))
            .with("user_sis_id", self.meta("user_sis_id"))
            .with("root_account_id", self.meta("root_account_id"))
            .with("root_account_lti_guid", self.meta("root_account_lti_guid"))
            .with("root_account_uuid", self.meta("root_account_uuid"))
            .with("entity_id", user.clone())
            .with("real_user_id", self.meta("real_user_id"));
        let node = entity(urn("user", &user), "Person").with("extensions", extensions(ours));
        Actor { node, user: Some(user) }
    }
    /// The course in `metadata`.
    fn context(&self) -> Option<Place> {
        let is_course = self.metadata.get("context_type").and_then(Value::as_str) == Some("Course");
        self.meta_id("context_id").filter(|_| is_course).map(Place::course)
    }
    /// The course in `body`, else the one in `metadata`.
    fn own_context(&self) -> Option<Place> {
        let kind = self.body.get("context_type").and_then(Value::as_str);
        match self.body_id("context_id") {
            Some(id) if kind == Some("Course") => Some(Place::course(id)),
            // It belongs to something else than a course.
            Some(_) if kind.is_some() => None,
            _ => self.context(),
        }
    }
    fn membership(&self, user: &str, place: &Place) -> Object {
        // The role in `metadata` is that of the user in `metadata`.
        let role = self.metadata.get("context_role").and_then(Value::as_str).and_then(role);
        let role = role.filter(|_| self.meta_id("user_id").as_deref() == Some(user));
        let urn_of_place = place.urn();
        let id = match role {
            Some(role) => format!("{urn_of_place}:{role}:{user}"),
            None => format!("{urn_of_place}:user:{user}"),
        };
        entity(id, "Membership")
            .with("member", entity(urn("user", user), "Person"))
            .with("organization", place.organization())
            .with("roles", role.map(|role| Node::List(vec![role.into()])))
    }
    fn request(&self) -> Option<Object> {
        let ours = Object::new()
            .with("hostname", self.meta("hostname"))
            .with("request_id", self.meta("request_id"))
            .with("user_agent", self.meta("user_agent"))
            .with("client_ip", self.meta("client_ip"))
            .with("request_url", self.meta("url"))
            .with("version", "1.0.0")
            .with("job_id", self.meta("job_id"))
            .with("job_tag", self.meta("job_tag"));
        extensions(ours)
    }
}

/// An id as text, whether it was published as a text or as a number.
fn id_text(value: &Value) -> Option<String> {
    match value {
        Value::String(s) => Some(s.clone()),
        Value::Number(n) => Some(n.to_string()),
        _ => None,
    }
}

/// Caliper's word for a role of Canvas. Roles that an institution made itself have none.
fn role(canvas: &str) -> Option<&'static str> {
    match canvas {
        "StudentEnrollment" => Some("Learner"),
        "TeacherEnrollment" => Some("Instructor"),
        "TaEnrollment" => Some("TeachingAssistant"),
        "DesignerEnrollment" => Some("ContentDeveloper"),
        "ObserverEnrollment" => Some("Mentor"),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
