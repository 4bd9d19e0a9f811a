//! What each event type is in Caliper: its class, its action, and the object that it is about.

use super::{Actor, Happened, Object, Place, Source, entity, extensions, misfit, urn};
use crate::format::RenderError;
use serde_json::Value;

/// The form of an event type.
pub(super) struct Form {
    /// The class of the event.
    pub(super) kind: &'static str,
    /// What was done.
    pub(super) action: &'static str,
    /// Makes the rest.
    pub(super) make: fn(&Source) -> Result<Happened, RenderError>,
}

/// The form of an event type, if it has one.
pub(super) fn form(event_type: &str) -> Option<&'static Form> {
    FORMS.iter().find(|(name, _)| *name == event_type).map(|(_, form)| form)
}

const fn form_of(kind: &'static str, action: &'static str, make: fn(&Source) -> Result<Happened, RenderError>) -> Form {
    Form { kind, action, make }
}

static FORMS: [(&str, Form); 31] = [
    ("asset_accessed", form_of("NavigationEvent", "NavigatedTo", asset)),
    ("assignment_created", form_of("Event", "Created", assignment_created)),
    ("assignment_override_created", form_of("Event", "Created", assignment_override)),
    ("assignment_override_updated", form_of("Event", "Modified", assignment_override)),
    ("assignment_updated", form_of("Event", "Modified", assignment_updated)),
    ("attachment_created", form_of("Event", "Created", |s| attachment(s, "dateCreated"))),
    ("attachment_deleted", form_of("Event", "Deleted", |s| attachment(s, "dateModified"))),
    ("attachment_updated", form_of("Event", "Modified", |s| attachment(s, "dateModified"))),
    ("course_created", form_of("Event", "Created", |s| course(s, false))),
    ("course_updated", form_of("Event", "Modified", |s| course(s, true))),
    ("discussion_entry_created", form_of("MessageEvent", "Posted", discussion_entry)),
    ("discussion_topic_created", form_of("ThreadEvent", "Created", discussion_topic)),
    ("enrollment_created", form_of("Event", "Created", |s| enrollment(s, false))),
    ("enrollment_state_created", form_of("Event", "Created", enrollment_state)),
    ("enrollment_state_updated", form_of("Event", "Modified", enrollment_state)),
    ("enrollment_updated", form_of("Event", "Modified", |s| enrollment(s, true))),
    ("grade_change", form_of("GradeEvent", "Graded", grade)),
    ("group_category_created", form_of("Event", "Created", group_category)),
    ("group_created", form_of("Event", "Created", group)),
    ("group_membership_created", form_of("Event", "Created", group_membership)),
    ("logged_in", form_of("SessionEvent", "LoggedIn", session)),
    ("logged_out", form_of("SessionEvent", "LoggedOut", session)),
    // Canvas offers it to tools in both formats, but never published this one.
    ("plagiarism_resubmit", form_of("Event", "Modified", plagiarism_resubmit)),
    ("quiz_submitted", form_of("AssessmentEvent", "Submitted", quiz)),
    ("submission_created", form_of("AssignableEvent", "Submitted", submission_created)),
    ("submission_updated", form_of("Event", "Modified", submission_updated)),
    ("syllabus_updated", form_of("Event", "Modified", syllabus)),
    ("user_account_association_created", form_of("Event", "Created", user_account)),
    ("wiki_page_created", form_of("Event", "Created", page)),
    ("wiki_page_deleted", form_of("Event", "Deleted", page)),
    ("wiki_page_updated", form_of("Event", "Modified", page)),
];

/// Something that happened to an object, by the user in `metadata`.
fn to(object: Object, place: Option<Place>) -> Result<Happened, RenderError> {
    Ok(Happened { object, generated: None, actor: None, place })
}

fn user(id: &str) -> Object {
    entity(urn("user", id), "Person")
}

/// The assignment that work was done for; left out where the event does not name it.
fn assignable(s: &Source) -> Option<Object> {
    s.body_id("assignment_id").map(|id| entity(urn("assignment", &id), "AssignableDigitalResource"))
}

/// Something that was opened. Three kinds have a class of their own; the others are told apart by their name.
fn asset(s: &Source) -> Result<Happened, RenderError> {
    let id = s.needed_id("asset_id")?;
    let kind = s.body.get("asset_type").and_then(Value::as_str);
    let kind = kind.ok_or_else(|| misfit("body.asset_type", "is missing: its id is made from it"))?;
    let list = s.body.get("asset_subtype").and_then(Value::as_str);
    let object = match (kind, list) {
        ("assignment", None) => entity(urn(kind, &id), "AssignableDigitalResource"),
        ("discussion_topic", None) => entity(urn("discussion", &id), "Thread"),
        ("wiki_page", None) => entity(urn("wikiPage", &id), "Page"),
        _ => entity(urn(kind, &id), "Entity").with("name", list.unwrap_or(kind)),
    };
    let ours = Object::new()
        .with("asset_name", s.body("asset_name"))
        .with("asset_type", kind)
        .with("asset_subtype", list)
        .with("entity_id", id)
        .with("context_account_id", s.meta("context_account_id"))
        .with("http_method", s.meta("http_method"))
        .with("developer_key_id", s.meta("developer_key_id"))
        .with("filename", s.body("filename"))
        .with("display_name", s.body("display_name"))
        .with("url", s.body("url"))
        .with("domain", s.body("domain"));
    to(object.with("extensions", extensions(ours)), s.context())
}

fn assignment(s: &Source, date: &'static str, state: bool) -> Result<Happened, RenderError> {
    let id = s.needed_id("assignment_id")?;
    let ours = Object::new()
        .with("lock_at", s.body_time("lock_at"))
        .with("workflow_state", s.body("workflow_state").filter(|_| state))
        .with("entity_id", id.clone());
    let object = entity(urn("assignment", &id), "AssignableDigitalResource")
        .with("name", s.body("title"))
        .with("description", s.body("description"))
        .with(date, s.body_time("updated_at"))
        .with("extensions", extensions(ours))
        .with("dateToShow", s.body_time("unlock_at"))
        .with("dateToSubmit", s.body_time("due_at"))
        .with("maxScore", s.body("points_possible"));
    to(object, s.own_context())
}

fn assignment_created(s: &Source) -> Result<Happened, RenderError> {
    assignment(s, "dateCreated", false)
}

fn assignment_updated(s: &Source) -> Result<Happened, RenderError> {
    assignment(s, "dateModified", true)
}

fn assignment_override(s: &Source) -> Result<Happened, RenderError> {
    let id = s.needed_id("assignment_override_id")?;
    let ours = Object::new()
        .with("lock_at", s.body_time("lock_at"))
        .with("entity_id", id.clone())
        .with("assignment_id", s.body_id("assignment_id"))
        .with("all_day", s.body("all_day"))
        .with("all_day_date", s.body_time("all_day_date"))
        .with("type", s.body("type"))
        .with("course_section_id", s.body_id("course_section_id"))
        .with("workflow_state", s.body("workflow_state"));
    let object = entity(urn("assignment_override", &id), "Entity")
        .with("extensions", extensions(ours))
        .with("dateToShow", s.body_time("unlock_at"))
        .with("dateToSubmit", s.body_time("due_at"));
    to(object, s.context())
}

fn attachment(s: &Source, date: &'static str) -> Result<Happened, RenderError> {
    let id = s.needed_id("attachment_id")?;
    let ours = Object::new()
        .with("context_id", s.body_id("context_id"))
        .with("context_type", s.body("context_type"))
        .with("filename", s.body("filename"))
        .with("folder_id", s.body_id("folder_id"))
        .with("entity_id", id.clone());
    let object = entity(urn("attachment", &id), "Document")
        .with("name", s.body("display_name"))
        .with(date, s.body_time("updated_at"))
        .with("extensions", extensions(ours))
        .with("mediaType", s.body("content_type"));
    to(object, s.own_context())
}

fn course(s: &Source, state: bool) -> Result<Happened, RenderError> {
    let id = s.needed_id("course_id")?;
    let ours =
        Object::new().with("entity_id", id.clone()).with("workflow_state", s.body("workflow_state").filter(|_| state));
    let object =
        entity(urn("course", &id), "CourseOffering").with("name", s.body("name")).with("extensions", extensions(ours));
    to(object, s.context())
}

fn discussion_entry(s: &Source) -> Result<Happened, RenderError> {
    let id = s.needed_id("discussion_entry_id")?;
    let thread = s.body_id("discussion_topic_id").map(|id| entity(urn("discussion", &id), "Thread"));
    let object = entity(urn("discussionEntry", &id), "Message")
        .with("extensions", extensions(Object::new().with("entity_id", id)))
        .with("isPartOf", thread)
        .with("body", s.body("text"));
    to(object, s.context())
}

fn discussion_topic(s: &Source) -> Result<Happened, RenderError> {
    let id = s.needed_id("discussion_topic_id")?;
    let ours = Object::new().with("is_announcement", s.body("is_announcement")).with("entity_id", id.clone());
    let object =
        entity(urn("discussion", &id), "Thread").with("name", s.body("title")).with("extensions", extensions(ours));
    to(object, s.own_context())
}

fn enrollment(s: &Source, modified: bool) -> Result<Happened, RenderError> {
    let id = s.needed_id("enrollment_id")?;
    let place =
        s.body_id("course_id").map(|course| Place { course, section: s.body_id("course_section_id"), is_shown: true });
    let ours = Object::new()
        .with("course_id", s.body_id("course_id").map(|id| urn("course", &id)))
        .with("course_section_id", place.as_ref().filter(|p| p.section.is_some()).map(Place::urn))
        .with("limit_privileges_to_course_section", s.body("limit_privileges_to_course_section"))
        .with("type", s.body("type"))
        .with("user_id", s.body_id("user_id").map(|id| urn("user", &id)))
        .with("user_name", s.body("user_name"))
        .with("workflow_state", s.body("workflow_state"))
        .with("entity_id", id.clone());
    let object = entity(urn("enrollment", &id), "Entity")
        .with("dateCreated", s.body_time("created_at"))
        .with("dateModified", s.body_time("updated_at").filter(|_| modified))
        .with("extensions", extensions(ours));
    to(object, place)
}

fn enrollment_state(s: &Source) -> Result<Happened, RenderError> {
    let id = s.needed_id("enrollment_id")?;
    let ours = Object::new()
        .with("access_is_current", s.body("access_is_current"))
        .with("restricted_access", s.body("restricted_access"))
        .with("state", s.body("state"))
        .with("state_is_current", s.body("state_is_current"))
        .with("state_valid_until", s.body_time("state_valid_until"))
        .with("entity_id", id.clone());
    let object = entity(urn("enrollment", &id), "Entity")
        .with("extensions", extensions(ours))
        .with("startedAtTime", s.body_time("state_started_at"));
    to(object, s.context())
}

/// By whoever graded, or by the software if nobody did by hand; the result is a score for the attempt.
fn grade(s: &Source) -> Result<Happened, RenderError> {
    let id = s.needed_id("submission_id")?;
    let student = s.body_id("student_id").or_else(|| s.body_id("user_id"));
    let known_as = extensions(Object::new().with("sis_id", s.body("student_sis_id")));
    let ours = Object::new().with("grade", s.body("grade")).with("entity_id", id.clone());
    let object = entity(urn("submission", &id), "Attempt")
        .with("extensions", extensions(ours.clone()))
        .with("assignee", student.map(|id| user(&id).with("extensions", known_as)))
        .with("assignable", assignable(s));

    let mut attempt = object.clone();
    let without_id = ours.clone().without("entity_id");
    if without_id.is_empty() {
        attempt = attempt.without("extensions");
    } else if let Some(inner) = attempt.member("extensions") {
        *inner = Object::new().with(super::OURS, without_id);
    }
    let grader = s.body_id("grader_id");
    let score = entity(urn("submission", &id), "Score")
        .with("extensions", extensions(ours))
        .with("attempt", attempt)
        .with("maxScore", s.body("points_possible"))
        .with("scoreGiven", s.body("score"))
        .with("scoredBy", grader.as_ref().map(|id| urn("user", id)));
    let actor = match grader {
        Some(id) => Actor { node: user(&id), user: Some(id) },
        None => Actor { node: s.application(), user: None },
    };
    Ok(Happened { object, generated: Some(score), actor: Some(actor), place: s.context() })
}

fn group_category(s: &Source) -> Result<Happened, RenderError> {
    let id = s.needed_id("group_category_id")?;
    let object = entity(urn("groupCategory", &id), "Entity")
        .with("name", s.body("group_category_name"))
        .with("extensions", extensions(Object::new().with("entity_id", id)));
    to(object, s.own_context())
}

/// A group, and the set that it is part of.
fn group_object(s: &Source, id: &str, entity_id: String) -> Object {
    let set = s
        .body_id("group_category_id")
        .map(|id| entity(urn("groupCategory", &id), "Entity").with("name", s.body("group_category_name")));
    entity(urn("group", id), "Group")
        .with("name", s.body("group_name"))
        .with("extensions", extensions(Object::new().with("entity_id", entity_id)))
        .with("isPartOf", set)
}

fn group(s: &Source) -> Result<Happened, RenderError> {
    let id = s.needed_id("group_id")?;
    to(group_object(s, &id, id.clone()), s.own_context())
}

fn group_membership(s: &Source) -> Result<Happened, RenderError> {
    let id = s.needed_id("group_membership_id")?;
    let object = entity(urn("groupMembership", &id), "Membership")
        .with("member", s.body_id("user_id").map(|id| user(&id)))
        .with("organization", s.body_id("group_id").map(|group| group_object(s, &group, id)));
    to(object, s.context())
}

fn session(s: &Source) -> Result<Happened, RenderError> {
    let ours = Object::new().with("redirect_url", s.body("redirect_url"));
    to(s.application().with("extensions", extensions(ours)), None)
}

fn quiz(s: &Source) -> Result<Happened, RenderError> {
    let id = s.needed_id("submission_id")?;
    let object = entity(urn("submission", &id), "Attempt")
        .with("extensions", extensions(Object::new().with("entity_id", id)))
        .with("assignee", s.user().map(|id| user(&id)))
        .with("assignable", s.body_id("quiz_id").map(|id| entity(urn("quiz", &id), "Assessment")));
    to(object, s.context())
}

fn submission(
    s: &Source,
    date: &'static str,
    from: &str,
    event_name: Option<&'static str>,
) -> Result<Happened, RenderError> {
    let id = s.needed_id("submission_id")?;
    let ours = Object::new()
        .with("event_name", event_name)
        .with("submission_type", s.body("submission_type"))
        .with("url", s.body("url"))
        .with("entity_id", id.clone());
    let object = entity(urn("submission", &id), "Attempt")
        .with(date, s.body_time(from))
        .with("extensions", extensions(ours))
        .with("assignee", s.body_id("user_id").map(|id| user(&id)))
        .with("assignable", assignable(s))
        .with("count", s.body("attempt"))
        .with("body", s.body("body"));
    to(object, s.context())
}

fn submission_created(s: &Source) -> Result<Happened, RenderError> {
    submission(s, "dateCreated", "submitted_at", None)
}

fn submission_updated(s: &Source) -> Result<Happened, RenderError> {
    submission(s, "dateModified", "updated_at", None)
}

/// The same object as an update, as both are made of the same body; it says in its extensions that it is none.
fn plagiarism_resubmit(s: &Source) -> Result<Happened, RenderError> {
    submission(s, "dateModified", "updated_at", Some("plagiarism_resubmit"))
}

fn syllabus(s: &Source) -> Result<Happened, RenderError> {
    let id = s.needed_id("course_id")?;
    let object = entity(urn("course", &id), "Document")
        .with("name", "Syllabus")
        .with("creators", s.user().map(|id| super::Node::List(vec![user(&id).into()])))
        .with("body", s.body("syllabus_body"));
    // The course is in `body` here: it is who edited what, and the group only if `metadata` names it too.
    let is_shown = s.context().is_some();
    to(object, Some(Place { is_shown, ..Place::course(id) }))
}

fn user_account(s: &Source) -> Result<Happened, RenderError> {
    let ours = Object::new()
        .with("is_admin", s.body("is_admin"))
        .with("user_id", s.body_id("user_id").map(|id| urn("user", &id)));
    let object = entity(urn("account", &s.needed_id("account_id")?), "Entity")
        .with("dateCreated", s.body_time("created_at"))
        .with("dateModified", s.body_time("updated_at"))
        .with("extensions", extensions(ours));
    to(object, s.context())
}

fn page(s: &Source) -> Result<Happened, RenderError> {
    let id = s.needed_id("wiki_page_id")?;
    let ours = Object::new().with("body", s.body("body")).with("entity_id", id.clone());
    let object =
        entity(urn("wikiPage", &id), "Page").with("name", s.body("title")).with("extensions", extensions(ours));
    to(object, s.context())
}
