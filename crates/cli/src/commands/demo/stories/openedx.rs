//! An Open edX site: learners enrol, pass, and get their certificates.

use super::{Event, Scene, Story, Tenant, scene};
use crate::commands::demo::dice::{Dice, Person, STUDENTS};
use domain::Timestamp;
use serde_json::{Value, json};

pub(super) const TENANT: Tenant = Tenant {
    platform: "Open edX",
    uid: "openedx-riverbank",
    name: "Riverbank Open Campus",
    receiver: "Student records",
    event_types: &[
        (REGISTERED, "Somebody registers at the site"),
        (LOGGED_IN, "Somebody signs in"),
        (ENROLLED, "A learner enrols in a course"),
        (GRADED, "A learner's grade in a course changed"),
        (PASSING, "Whether a learner passes a course changed"),
        (CERTIFIED, "A learner gets a certificate"),
        (UNENROLLED, "A learner leaves a course"),
    ],
    story: Story::Told(course),
};

const REGISTERED: &str = "org.openedx.learning.student.registration.completed.v1";
const LOGGED_IN: &str = "org.openedx.learning.auth.session.login.completed.v1";
const ENROLLED: &str = "org.openedx.learning.course.enrollment.created.v1";
const GRADED: &str = "org.openedx.learning.course.persistent_grade_summary.changed.v1";
const PASSING: &str = "org.openedx.learning.course.passing.status.updated.v1";
const CERTIFIED: &str = "org.openedx.learning.certificate.created.v1";
const UNENROLLED: &str = "org.openedx.learning.course.unenrollment.completed.v1";

const COURSES: [(&str, &str); 3] = [
    ("course-v1:RiverX+HYD101+2026_T3", "Rivers and how they move"),
    ("course-v1:RiverX+STAT1+2026_T3", "Statistics without fear"),
    ("course-v1:RiverX+LAW2+2026_T3", "Tenants' law for everybody"),
];

fn course(dice: &mut Dice) -> Vec<Scene> {
    let learner = *dice.pick(&STUDENTS);
    let course = *dice.pick(&COURSES);
    let mut scenes = vec![];
    let mut tell = |event_type, class, data: fn(Timestamp, Person, Value) -> Value| {
        scenes.push(scene(move |now, dice| event(now, dice, event_type, class, course, learner, data)));
    };
    if dice.chance(40) {
        tell(REGISTERED, "UserData", |_, learner, _| user(learner));
    }
    tell(LOGGED_IN, "UserData", |_, learner, _| user(learner));
    tell(ENROLLED, "CourseEnrollmentData", |now, learner, course| enrollment(now, learner, course, true));
    if dice.chance(20) {
        tell(UNENROLLED, "CourseEnrollmentData", |now, learner, course| enrollment(now, learner, course, false));
        return scenes;
    }
    tell(GRADED, "PersistentCourseGradeData", grade);
    tell(
        PASSING,
        "CoursePassingStatusData",
        |_, learner, course| json!({ "is_passing": true, "course": course, "user": user(learner) }),
    );
    tell(CERTIFIED, "CertificateData", certificate);
    scenes
}

fn event(
    now: Timestamp,
    dice: &mut Dice,
    event_type: &'static str,
    class: &str,
    course: (&str, &str),
    learner: Person,
    data: fn(Timestamp, Person, Value) -> Value,
) -> Event {
    let (key, name) = course;
    let course = json!({ "course_key": key, "display_name": name, "start": null, "end": null });
    let mut payload = json!({
        "event_metadata": {
            "event_type": event_type,
            "id": dice.uuid(),
            "minorversion": 0,
            "source": "openedx/lms/web",
            "sourcehost": "lms-7c9d5",
            "time": python_time(now),
            "sourcelib": [11, 2, 0],
        },
    });
    payload[format!("openedx_events.learning.data.{class}")] = data(now, learner, course);
    let channels = if class == "UserData" { vec![] } else { vec![key.to_owned()] };
    Event { event_type, channels, payload }
}

fn user(learner: Person) -> Value {
    json!({
        "id": learner.number,
        "is_active": true,
        "pii": { "username": learner.login(), "email": learner.email(), "name": learner.name() },
    })
}

fn enrollment(now: Timestamp, learner: Person, course: Value, active: bool) -> Value {
    json!({
        "user": user(learner),
        "course": course,
        "mode": "honor",
        "is_active": active,
        "creation_date": python_time(now),
        "created_by": user(learner),
    })
}

fn grade(now: Timestamp, learner: Person, course: Value) -> Value {
    json!({
        "user_id": learner.number,
        "course": course,
        "course_edited_timestamp": python_time(now),
        "course_version": "6900f1c2",
        "grading_policy_hash": "q2F0bGFzdA==",
        "percent_grade": 0.87,
        "letter_grade": "B",
        "passed_timestamp": python_time(now),
    })
}

fn certificate(_: Timestamp, learner: Person, course: Value) -> Value {
    json!({
        "user": user(learner),
        "course": course,
        "mode": "honor",
        "grade": "0.87",
        "download_url": "https://campus.example/certificates/a1b2c3.pdf",
        "name": learner.name(),
        "current_status": "downloadable",
        "previous_status": "unverified",
    })
}

/// As Python prints an instant in UTC.
fn python_time(at: Timestamp) -> String {
    at.to_string().replace('T', " ").replace('Z', "+00:00")
}
