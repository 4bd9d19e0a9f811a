//! Repl.it Classroom: one event, a student hands in an assignment.
//!
//! Producers publish what the catalogue describes: the assignment with its original files, and all files of the student.
//! What is delivered is the body that receivers written for the original know, to the byte: its keys and their order, ids
//! as numbers, times with three digits, the endpoint's secret inside, and of the files only what was changed.

mod play;

use crate::{
    catalog::{self, Platform},
    format::{Format, RenderError, Rendered, millis},
};
use domain::{EndpointDefaults, EndpointOptions, Timestamp};
use serde::{Deserialize, Serialize};
use std::{borrow::Cow, collections::HashMap, sync::LazyLock};

/// The platform.
pub static PLATFORM: Platform = Platform {
    name: "replit",
    title: "Repl.it Classroom",
    noun: "classroom",
    catalog: LazyLock::new(|| catalog::read(include_str!("catalog.json"))),
    defaults,
    warning: Some(
        "Names, e-mail addresses and the work of students will be sent to this address, outside of this system. \
         Make sure you know who runs it, what it keeps, and that your school allows it.",
    ),
    simulate: Some(play::classes),
};

fn defaults() -> EndpointDefaults {
    let preset = catalog::retry_presets().into_iter().find(|p| p.name == "replit");
    EndpointDefaults {
        options: EndpointOptions {
            format: Format::Replit,
            final_statuses: preset.as_ref().map(|p| p.final_statuses.clone()).unwrap_or_default(),
            retry_schedule: preset.map(|p| p.schedule),
            ..EndpointOptions::default()
        },
        body_secret: true,
    }
}

/// A new body secret: a random UUID, as the original had it, from 16 random bytes.
pub fn body_secret(random: [u8; 16]) -> String {
    let mut b = random;
    // Version 4, variant 1.
    b[6] = b[6] & 0x0f | 0x40;
    b[8] = b[8] & 0x3f | 0x80;
    let hex: String = b.iter().map(|x| format!("{x:02x}")).collect();
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

/// Whether a text can be a body secret: a UUID in lower case.
pub fn is_body_secret(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(i, c)| match i {
            8 | 13 | 18 | 23 => c == b'-',
            _ => c.is_ascii_digit() || (b'a'..=b'f').contains(&c),
        })
}

/// The event's name; the last member of the body.
pub const EVENT: &str = "student_submits_assignment";

/// A whole number, however it was written: `5.0` fits the schema too. It is delivered as `5`.
#[derive(Clone, Copy, Serialize)]
struct Id(i64);

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: serde::Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        let number = serde_json::Number::deserialize(reader)?;
        // The schema has ids within 31 bits, where every whole number is one of these exactly.
        let whole = |f: f64| (f.fract() == 0.0 && f.abs() < 2f64.powi(53)).then_some(f as i64);
        let id = number.as_i64().or_else(|| number.as_f64().and_then(whole));
        id.map(Self).ok_or_else(|| serde::de::Error::custom(format!("{number} is not a whole number")))
    }
}

/// What producers publish.
#[derive(Deserialize)]
struct Published<'a> {
    #[serde(borrow)]
    assignment: Assignment<'a>,
    #[serde(borrow)]
    classroom: Classroom<'a>,
    #[serde(borrow)]
    submission: Submission<'a>,
    #[serde(borrow)]
    student: Student<'a>,
}

#[derive(Deserialize)]
struct Assignment<'a> {
    id: Id,
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    main_file: Option<Cow<'a, str>>,
    #[serde(borrow)]
    files: Vec<SourceFile<'a>>,
}

#[derive(Deserialize)]
struct Classroom<'a> {
    id: Id,
    #[serde(borrow)]
    name: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Submission<'a> {
    id: Id,
    #[serde(borrow)]
    status: Cow<'a, str>,
    time_submitted: Timestamp,
    time_created: Timestamp,
    #[serde(borrow, default)]
    teacher_url: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    student_url: Option<Cow<'a, str>>,
    #[serde(borrow)]
    files: Vec<SourceFile<'a>>,
}

#[derive(Deserialize, Serialize)]
struct Student<'a> {
    id: Id,
    #[serde(borrow)]
    first_name: Cow<'a, str>,
    #[serde(borrow)]
    last_name: Cow<'a, str>,
    #[serde(borrow)]
    email: Cow<'a, str>,
}

#[derive(Deserialize, Serialize)]
struct SourceFile<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow)]
    content: Cow<'a, str>,
}

/// What is delivered. The order of the fields is the order on the wire.
#[derive(Serialize)]
struct Delivered<'a> {
    assignment: DeliveredAssignment<'a>,
    classroom: DeliveredClassroom<'a>,
    submission: DeliveredSubmission<'a>,
    student: Student<'a>,
    event_name: &'static str,
}

#[derive(Serialize)]
struct DeliveredAssignment<'a> {
    id: Id,
    name: Cow<'a, str>,
    #[serde(rename = "type")]
    kind: Cow<'a, str>,
}

#[derive(Serialize)]
struct DeliveredClassroom<'a> {
    id: Id,
    name: Cow<'a, str>,
    webhook_secret: &'a str,
}

#[derive(Serialize)]
struct DeliveredSubmission<'a> {
    id: Id,
    status: Cow<'a, str>,
    time_submitted: String,
    time_created: String,
    teacher_url: Cow<'a, str>,
    student_url: Cow<'a, str>,
    files: Vec<SourceFile<'a>>,
}

/// Whose work of what a published payload is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HandedIn {
    /// The student's id.
    pub student: i64,
    /// The assignment's id.
    pub assignment: i64,
}

/// Reads whose work of what a payload is; nothing if it is not one that was handed in.
pub fn handed_in(payload: &[u8]) -> Option<HandedIn> {
    #[derive(Deserialize)]
    struct Named {
        id: Id,
    }
    #[derive(Deserialize)]
    struct Ids {
        student: Named,
        assignment: Named,
    }
    let twice = || serde_json::from_value(serde_json::from_slice(payload).ok()?).ok();
    let ids: Ids = serde_json::from_slice(payload).ok().or_else(twice)?;
    Some(HandedIn { student: ids.student.id.0, assignment: ids.assignment.id.0 })
}

/// What is delivered of a payload, for showing it: without the secret.
pub fn shown(payload: &[u8]) -> Option<serde_json::Value> {
    let rendered = render(Some(""), payload).ok()?;
    let mut body: serde_json::Value = serde_json::from_slice(&rendered.body).ok()?;
    body.get_mut("classroom")?.as_object_mut()?.remove("webhook_secret");
    Some(body)
}

/// The body as receivers know it, with this secret in it.
pub(crate) fn render(secret: Option<&str>, payload: &[u8]) -> Result<Rendered, RenderError> {
    let secret = secret.ok_or(RenderError::NoBodySecret(Format::Replit))?;
    let misfit = |path: String, problem: String| RenderError::Payload { format: Format::Replit, path, problem };
    let mut reader = serde_json::Deserializer::from_slice(payload);
    let read: Result<Published<'_>, _> = serde_path_to_error::deserialize(&mut reader);
    let with_last_of_each: serde_json::Value;
    let published = match read {
        Ok(published) => published,
        // A key that stands there twice: the last counts, as for the schema that the payload was checked against.
        Err(e) => {
            with_last_of_each = serde_json::from_slice(payload).unwrap_or_default();
            Published::deserialize(&with_last_of_each)
                .map_err(|_| misfit(e.path().to_string(), e.into_inner().to_string()))?
        }
    };
    let Published { assignment, classroom, submission, student } = published;

    let url = |given: Option<Cow<'_, str>>, whose: &str| {
        given.map_or_else(|| format!("https://repl.it/{whose}/submissions/{}", submission.id.0), Cow::into_owned).into()
    };
    let delivered = Delivered {
        classroom: DeliveredClassroom { id: classroom.id, name: classroom.name, webhook_secret: secret },
        submission: DeliveredSubmission {
            id: submission.id,
            time_submitted: millis(submission.time_submitted),
            time_created: millis(submission.time_created),
            teacher_url: url(submission.teacher_url, "teacher"),
            student_url: url(submission.student_url, "student"),
            status: submission.status,
            files: changed(&assignment.files, assignment.main_file.as_deref(), submission.files),
        },
        assignment: DeliveredAssignment { id: assignment.id, name: assignment.name, kind: assignment.kind },
        student,
        event_name: EVENT,
    };
    let body = serde_json::to_vec(&delivered).map_err(|e| misfit(String::new(), e.to_string()))?;
    Ok(Rendered::json(body))
}

/// The student's files that differ from the original ones or were added: the main file first, then in the order of the
/// originals, then the added ones in the student's order.
///
/// The main file is the one that the assignment names; else the first original whose name is `main` with any ending, else
/// the first such one of the student's; else the first. Where a name occurs twice among the originals, the last counts.
fn changed<'a>(
    originals: &[SourceFile<'_>],
    main: Option<&str>,
    handed_in: Vec<SourceFile<'a>>,
) -> Vec<SourceFile<'a>> {
    let positions: HashMap<&str, usize> = originals.iter().enumerate().map(|(i, f)| (f.name.as_ref(), i)).collect();
    let is_main = |name: &str| {
        let file = name.rsplit('/').next().unwrap_or(name);
        file == "main" || file.strip_prefix("main.").is_some_and(|ending| !ending.contains('.'))
    };
    let main = main
        .or_else(|| originals.iter().map(|f| f.name.as_ref()).find(|n| is_main(n)))
        .or_else(|| handed_in.iter().map(|f| f.name.as_ref()).find(|n| is_main(n)))
        .map(ToOwned::to_owned);

    let mut files: Vec<SourceFile<'a>> = handed_in
        .into_iter()
        .filter(|f| positions.get(f.name.as_ref()).is_none_or(|i| originals[*i].content != f.content))
        .collect();
    // Stable: what is equal here stays in the student's order.
    files.sort_by_key(|f| {
        let is_main = main.as_deref() == Some(f.name.as_ref());
        (!is_main, positions.get(f.name.as_ref()).copied().unwrap_or(usize::MAX))
    });
    files
}

#[cfg(test)]
mod tests;
