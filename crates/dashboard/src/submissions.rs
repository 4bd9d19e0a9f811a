//! What students handed in: of a student, of an assignment, or of both, newest first. From stored messages, so as far back
//! as payloads are kept.

use crate::{
    form::{Query, link},
    page::{Frame, Page, PageError, Room, app_path, show},
    session::Visitor,
    words::When,
};
use askama::Template;
use axum::extract::Path;
use domain::MessageId;
use serde_json::Value;
use service::history::{Submission, SubmissionsOf};

/// Hand-ins on one page.
const PAGE: usize = 25;

struct File {
    name: String,
    content: String,
}

struct Row {
    path: String,
    /// The submission's own id.
    id: String,
    student: String,
    student_link: String,
    email: String,
    assignment: String,
    assignment_link: String,
    status: String,
    files: Vec<File>,
    when: When,
}

#[derive(Template)]
#[template(path = "submissions.html")]
struct ListPage {
    frame: Frame,
    path: String,
    rows: Vec<Row>,
    student: String,
    assignment: String,
    /// Who and what is looked at, in names, where they are known.
    of: String,
    problem: String,
    older: String,
    first: String,
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

fn row(here: &str, app: &str, found: &Submission, visitor: &Visitor) -> Row {
    let d = &found.delivered;
    let (student, assignment) = (text(&d["student"]["id"]), text(&d["assignment"]["id"]));
    let name = format!("{} {}", text(&d["student"]["first_name"]), text(&d["student"]["last_name"]));
    let files = d["submission"]["files"].as_array().into_iter().flatten();
    Row {
        path: format!("{app}/messages/{}", found.message),
        id: text(&d["submission"]["id"]),
        student: name.trim().to_owned(),
        student_link: link(here, &[("student", &student)]),
        email: text(&d["student"]["email"]),
        assignment: text(&d["assignment"]["name"]),
        assignment_link: link(here, &[("student", &student), ("assignment", &assignment)]),
        status: text(&d["submission"]["status"]).replace('_', " "),
        files: files.map(|f| File { name: text(&f["name"]), content: text(&f["content"]) }).collect(),
        when: When::new(found.at, visitor.now()),
    }
}

pub(crate) async fn list(visitor: Visitor, Path(app): Path<String>, Query(query): Query) -> Page {
    let scope = visitor.service().open(&visitor.actor, &app).await?;
    let app = scope.application();
    if !service::platform::about(app).has_submissions {
        return Err(PageError::NotFound);
    }
    let (student, assignment) = (query.get("student").to_owned(), query.get("assignment").to_owned());
    let mut problem = "";
    let mut number = |text: &str| {
        let read = text.parse::<i64>().ok();
        if read.is_none() && !text.is_empty() {
            problem = "Ids of students and assignments are whole numbers.";
        }
        read
    };
    let of = SubmissionsOf { student: number(&student), assignment: number(&assignment) };
    let after = query.get("older").parse::<MessageId>().ok().map(|id| id.0);
    let found = match problem {
        "" => visitor.service().submission_history(&scope, of, PAGE, after).await?,
        _ => Default::default(),
    };
    let base = app_path(app);
    let here = format!("{base}/submissions");
    let rows: Vec<_> = found.items.iter().map(|s| row(&here, &base, s, &visitor)).collect();
    let page = |older: &str| link(&here, &[("student", &student), ("assignment", &assignment), ("older", older)]);
    let named = match (rows.first(), of.student, of.assignment) {
        (Some(r), Some(_), Some(_)) => format!("{}, {}", r.student, r.assignment),
        (Some(r), Some(_), None) => r.student.clone(),
        (Some(r), None, Some(_)) => r.assignment.clone(),
        _ => String::new(),
    };
    show(&ListPage {
        frame: Frame::of(&visitor, app, Room::Submissions, "Submissions"),
        older: found.next.map(|id| page(&id.to_string())).unwrap_or_default(),
        first: if after.is_some() { page("") } else { String::new() },
        path: here,
        rows,
        of: named,
        problem: problem.to_owned(),
        student,
        assignment,
    })
}
