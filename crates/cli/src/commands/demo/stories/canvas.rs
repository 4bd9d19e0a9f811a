//! A Canvas root account: students hand in and discuss, teachers grade.

use super::{Event, Scene, Story, Tenant, scene};
use crate::commands::demo::dice::{Dice, Person, STUDENTS, TEACHERS, millis};
use domain::Timestamp;
use serde_json::{Value, json};

pub(super) const TENANT: Tenant = Tenant {
    platform: "Canvas",
    uid: "canvas-northfield",
    name: "Northfield University",
    receiver: "Plagiarism check",
    event_types: &[
        ("logged_in", "A user signs in"),
        ("submission_created", "A student hands in an assignment"),
        ("submission_updated", "A submission changed or was graded"),
        ("grade_change", "A submission got a new grade"),
        ("plagiarism_resubmit", "Somebody asks for a new check of a submission"),
        ("quiz_submitted", "A student turns in a quiz"),
        ("discussion_entry_created", "Somebody answers in a discussion"),
    ],
    story: Story::Told(coursework),
};

/// Global ids of Canvas begin with the number of the institution.
const SHARD: u64 = 21_070_000_000_000_000;
const COURSES: [(u64, &str); 2] = [(565, "HIST-210"), (571, "BIO-101")];

/// What one student does for one course.
#[derive(Clone)]
struct Work {
    course: (u64, &'static str),
    assignment: u64,
    submission: u64,
    lti_assignment: String,
    student: Person,
    teacher: Person,
    score: u64,
}

fn coursework(dice: &mut Dice) -> Vec<Scene> {
    let course = *dice.pick(&COURSES);
    let work = Work {
        course,
        assignment: course.0 * 10 + dice.below(4),
        submission: dice.between(11_000_000, 11_999_999),
        lti_assignment: dice.uuid(),
        student: *dice.pick(&STUDENTS),
        teacher: *dice.pick(&TEACHERS),
        score: dice.between(60, 100),
    };
    let mut scenes = vec![work.told(
        "logged_in",
        "StudentEnrollment",
        |_, _, _| json!({ "redirect_url": "https://northfield.example/dashboard" }),
    )];
    match dice.below(4) {
        0 => scenes.push(work.told("quiz_submitted", "StudentEnrollment", |work, _, dice| {
            json!({ "quiz_id": global(dice.between(2_000, 2_999)), "submission_id": global(work.submission) })
        })),
        1 => scenes.push(work.told("discussion_entry_created", "StudentEnrollment", Work::entry)),
        _ => {
            scenes.push(work.told("submission_created", "StudentEnrollment", |w, now, _| w.submission(now, "submitted")));
            if dice.chance(25) {
                scenes.push(work.told("plagiarism_resubmit", "TeacherEnrollment", |w, now, _| {
                    w.submission(now, "submitted")
                }));
            }
            scenes.push(work.told("submission_updated", "TeacherEnrollment", |w, now, _| w.submission(now, "graded")));
            scenes.push(work.told("grade_change", "TeacherEnrollment", |work, _, _| work.grade()));
        }
    }
    scenes
}

fn global(id: u64) -> String {
    (SHARD + id).to_string()
}

impl Work {
    /// A scene whose event has this name and is caused by somebody in this role.
    fn told(
        &self,
        event_name: &'static str,
        role: &'static str,
        body: impl FnOnce(&Self, Timestamp, &mut Dice) -> Value + Send + 'static,
    ) -> Scene {
        let work = self.clone();
        scene(move |now, dice| {
            let body = body(&work, now, dice);
            let actor = if role == "TeacherEnrollment" { work.teacher } else { work.student };
            let metadata = json!({
                "event_name": event_name,
                "event_time": millis(now),
                "producer": "canvas",
                "root_account_id": global(1),
                "root_account_uuid": "vN3qZ7yT1kW9sB4xC6mR8pL2dF5hJ0aGtUeQoIiY",
                "root_account_lti_guid": "vN3qZ7yT1kW9sB4xC6mR8pL2dF5hJ0aGtUeQoIiY.northfield.example",
                "request_id": dice.uuid(),
                "session_id": dice.word(32),
                "hostname": "northfield.example",
                "http_method": "POST",
                "user_id": global(u64::from(actor.number)),
                "user_login": actor.email(),
                "user_sis_id": null,
                "user_account_id": global(1),
                "time_zone": "America/Chicago",
                "context_type": "Course",
                "context_id": global(work.course.0),
                "context_account_id": global(79),
                "context_sis_source_id": work.course.1,
                "context_role": role,
            });
            let channels = match event_name {
                "logged_in" => vec![],
                _ => vec![format!("course:{}", work.course.0), format!("assignment:{}", work.assignment)],
            };
            Event { event_type: event_name, channels, payload: json!({ "metadata": metadata, "body": body }) }
        })
    }

    fn submission(&self, now: Timestamp, state: &str) -> Value {
        let graded = state == "graded";
        json!({
            "submission_id": global(self.submission),
            "assignment_id": global(self.assignment),
            "user_id": global(u64::from(self.student.number)),
            "attempt": 1,
            "submission_type": "online_text_entry",
            "body": "<p>The harbour silted up within two generations.</p>",
            "url": null,
            "workflow_state": state,
            "submitted_at": millis(now),
            "graded_at": graded.then(|| millis(now)),
            "updated_at": millis(now),
            "score": graded.then_some(self.score),
            "grade": graded.then(|| self.score.to_string()),
            "late": false,
            "missing": false,
            "group_id": null,
            "lti_assignment_id": self.lti_assignment,
            "lti_user_id": null,
        })
    }

    fn grade(&self) -> Value {
        json!({
            "submission_id": global(self.submission),
            "assignment_id": global(self.assignment),
            "assignment_name": "Essay",
            "student_id": global(u64::from(self.student.number)),
            "user_id": global(u64::from(self.student.number)),
            "student_sis_id": null,
            "grader_id": global(u64::from(self.teacher.number)),
            "grade": self.score.to_string(),
            "old_grade": null,
            "score": self.score,
            "old_score": null,
            "points_possible": 100,
            "old_points_possible": 100,
            "grading_complete": true,
            "muted": false,
        })
    }

    fn entry(&self, now: Timestamp, dice: &mut Dice) -> Value {
        json!({
            "created_at": millis(now),
            "discussion_entry_id": dice.between(62_000, 62_999).to_string(),
            "discussion_topic_id": dice.between(3_000, 3_020).to_string(),
            "parent_discussion_entry_id": null,
            "text": "<p>I read it the other way round: the trade moved first.</p>",
            "user_id": self.student.number.to_string(),
        })
    }
}
