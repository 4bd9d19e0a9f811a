//! Plays a campus: students sign in, look around, hand in, discuss and take quizzes; teachers comment and grade; and
//! between that the office does what offices do, one event of every other type after the next.

use super::{PLATFORM, subscribing::ContextType};
use crate::{
    format::millis,
    simulate::{Dice, PEOPLE, Scene, Steps, scenes},
};
use domain::{Channel, Timestamp};
use serde_json::{Map, Value, json};
use std::{collections::BTreeSet, time::Duration};

/// Global ids begin with the number of the institution.
const SHARD: u64 = 70_000_000_000_000;
/// The institution, as in the catalogue's examples.
const ROOT_ACCOUNT: &str = "Xq7mR2vT9kLw4bNc8ZsY1dHf6jPg3aEu5oVi0tMC";
/// The part of it that has the courses.
const FACULTY: &str = "5CbrF14kBjd7xlwvhckaforldZuGzJwZotX2u73I";
const HOST: &str = "canvas.example.edu";
const COURSES: [(u64, &str); 3] = [(565, "BIO-101"), (571, "HIST-210"), (602, "CS-101")];
const TEACHER: (u64, &str) = (987, "tara.teacher");

const SECOND: u64 = 1_000;
const MINUTE: u64 = 60 * SECOND;
/// Events of the office in each scene.
const OFFICE: usize = 4;
/// What the story itself tells.
const STORY: [&str; 14] = [
    "logged_in",
    "asset_accessed",
    "attachment_created",
    "submission_created",
    "submission_comment_created",
    "plagiarism_resubmit",
    "submission_updated",
    "grade_change",
    "course_grade_change",
    "discussion_entry_created",
    "discussion_entry_submitted",
    "quiz_submitted",
    "rubric_assessed",
    "logged_out",
];

fn global(local: u64) -> String {
    (SHARD + local).to_string()
}

/// Day after day.
pub(super) fn campus(seed: u64, start: Timestamp) -> Steps {
    let mut dice = Dice::new(seed);
    let mut told = 0;
    scenes(start, move |begins| {
        told += 1;
        let work = Work::new(&mut dice, begins);
        work.play(&mut dice, told)
    })
}

/// What one student does for one course.
struct Work {
    begins: Timestamp,
    course: (u64, &'static str),
    assignment: u64,
    submission: u64,
    lti_assignment: String,
    student: (u64, String),
    score: u64,
}

#[derive(Clone, Copy, PartialEq)]
enum Who {
    Student,
    Teacher,
}

impl Work {
    fn new(dice: &mut Dice, begins: Timestamp) -> Self {
        let course = *dice.pick(&COURSES);
        let number = dice.between(0, PEOPLE.len() as u64);
        let login = format!("{}@example.edu", dice.word(8));
        Self {
            begins,
            course,
            assignment: course.0 * 10 + dice.between(0, 4),
            submission: dice.between(1_000_000, 1_999_999),
            lti_assignment: dice.uuid(),
            student: (2_000 + number, login),
            score: dice.between(11, 20),
        }
    }

    fn time(&self, at: u64) -> String {
        millis(self.begins.plus(Duration::from_millis(at)))
    }

    /// Who, where and when.
    fn metadata(&self, dice: &mut Dice, who: Who, event: &str, at: u64) -> Value {
        let (user, login, role) = match who {
            Who::Student => (self.student.0, self.student.1.clone(), "StudentEnrollment"),
            Who::Teacher => (TEACHER.0, format!("{}@example.edu", TEACHER.1), "TeacherEnrollment"),
        };
        let mut metadata = json!({
            "root_account_uuid": ROOT_ACCOUNT,
            "root_account_id": global(1),
            "root_account_lti_guid": format!("{ROOT_ACCOUNT}.{HOST}"),
            "user_login": login,
            "user_account_id": global(1),
            "user_sis_id": null,
            "user_id": global(user),
            "time_zone": "Europe/Berlin",
            "request_id": dice.uuid(),
            "session_id": dice.uuid().replace('-', ""),
            "hostname": HOST,
            "http_method": if event == "asset_accessed" { "GET" } else { "POST" },
            "user_agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
            "client_ip": "192.0.2.34",
            "url": format!("https://{HOST}/courses/{}", self.course.0),
            "referrer": null,
            "producer": "canvas",
            "event_name": event,
            "event_time": self.time(at),
        });
        let context = json!({
            "context_type": "Course",
            "context_id": global(self.course.0),
            "context_account_id": global(79),
            "context_sis_source_id": self.course.1,
            "context_role": role,
        });
        if let (Value::Object(all), Value::Object(context)) = (&mut metadata, context)
            && !event.starts_with("logged_")
        {
            all.extend(context);
        }
        metadata
    }

    fn channels(&self, event: &str) -> BTreeSet<Channel> {
        let course = self.course.0.to_string();
        let assignment = self.assignment.to_string();
        let mut contexts = vec![(ContextType::RootAccount, ROOT_ACCOUNT)];
        if !event.starts_with("logged_") {
            contexts.extend([(ContextType::Account, FACULTY), (ContextType::Course, &course)]);
        }
        let about_work =
            ["submission_", "grade_change", "plagiarism_", "quiz_", "rubric_", "discussion_entry_submitted"];
        if about_work.iter().any(|start| event.starts_with(start)) {
            contexts.push((ContextType::Assignment, &assignment));
        }
        contexts.into_iter().filter_map(|(context, id)| context.channel(id)).collect()
    }

    fn tell(&self, scene: &mut Scene, dice: &mut Dice, who: Who, event: &str, at: u64, body: Value) {
        let order_key = format!("submission:{}", self.submission);
        scene.now_about_all(self.channels(event), &order_key);
        let metadata = self.metadata(dice, who, event, at);
        scene.add(at, event, &json!({ "metadata": metadata, "body": body }));
    }

    fn play(&self, dice: &mut Dice, told: usize) -> (Scene, u64) {
        let mut scene = Scene::default();
        let mut at = dice.between(2 * SECOND, 30 * SECOND);
        let student = global(self.student.0);
        self.tell(&mut scene, dice, Who::Student, "logged_in", at, json!({"redirect_url": format!("https://{HOST}/")}));
        at += dice.between(5 * SECOND, MINUTE);
        let opened = json!({
            "asset_name": "Cells", "asset_type": "assignment", "asset_id": global(self.assignment), "asset_subtype": null,
            "category": "assignments", "role": "StudentEnrollment", "level": "participate",
        });
        self.tell(&mut scene, dice, Who::Student, "asset_accessed", at, opened);
        at += dice.between(MINUTE, 20 * MINUTE);
        match told % 4 {
            1 => self.quiz(&mut scene, dice, at),
            3 => self.discuss(&mut scene, dice, at, &student),
            _ => self.hand_in(&mut scene, dice, &mut at, &student),
        }
        at += dice.between(10 * SECOND, 2 * MINUTE);
        self.tell(&mut scene, dice, Who::Student, "logged_out", at, json!({}));
        for n in 0..OFFICE {
            at += dice.between(5 * SECOND, 3 * MINUTE);
            self.office(&mut scene, dice, at, told * OFFICE + n);
        }
        (scene, at + MINUTE)
    }

    fn quiz(&self, scene: &mut Scene, dice: &mut Dice, at: u64) {
        let body = json!({ "quiz_id": global(2_000 + self.assignment), "submission_id": global(self.submission) });
        self.tell(scene, dice, Who::Student, "quiz_submitted", at, body);
    }

    fn discuss(&self, scene: &mut Scene, dice: &mut Dice, at: u64, student: &str) {
        let entry = json!({
            "created_at": self.time(at),
            "discussion_entry_id": dice.between(62_000, 62_999).to_string(),
            "discussion_topic_id": dice.between(3_000, 3_020).to_string(),
            "parent_discussion_entry_id": null,
            "text": "<p>I read it the other way round.</p>",
            "user_id": student,
        });
        self.tell(scene, dice, Who::Student, "discussion_entry_created", at, entry.clone());
        let mut graded = entry;
        graded["assignment_id"] = json!(self.assignment.to_string());
        graded["submission_id"] = json!(self.submission.to_string());
        self.tell(scene, dice, Who::Student, "discussion_entry_submitted", at + 1, graded);
    }

    fn hand_in(&self, scene: &mut Scene, dice: &mut Dice, at: &mut u64, student: &str) {
        let handed_in = *at;
        if dice.chance(60) {
            let attachment = json!({
                "attachment_id": global(self.submission + 7), "content_type": "application/pdf",
                "context_id": student, "context_type": "User", "display_name": "cells.pdf", "filename": "cells.pdf",
                "folder_id": global(1_359), "lock_at": null, "unlock_at": null, "updated_at": self.time(*at),
                "user_id": student,
            });
            self.tell(scene, dice, Who::Student, "attachment_created", *at, attachment);
            *at += SECOND;
        }
        let state = |at: u64, graded: bool| {
            json!({
                "assignment_id": global(self.assignment), "attempt": 1,
                "body": "<p>Photosynthesis happens in the chloroplasts.</p>",
                "grade": graded.then(|| self.score.to_string()), "graded_at": graded.then(|| self.time(at)),
                "group_id": null, "late": false, "lti_assignment_id": self.lti_assignment, "lti_user_id": null,
                "missing": false, "score": graded.then_some(self.score), "submission_id": global(self.submission),
                "submission_type": "online_text_entry", "submitted_at": self.time(handed_in),
                "updated_at": self.time(at), "url": null, "user_id": student,
                "workflow_state": if graded { "graded" } else { "submitted" },
            })
        };
        self.tell(scene, dice, Who::Student, "submission_created", *at, state(*at, false));
        *at += dice.between(MINUTE, 10 * MINUTE);
        if dice.chance(40) {
            self.tell(scene, dice, Who::Teacher, "plagiarism_resubmit", *at, state(*at, false));
            *at += dice.between(MINUTE, 5 * MINUTE);
        }
        let comment = json!({
            "attachment_ids": [], "body": "Well observed.", "created_at": self.time(*at),
            "submission_comment_id": dice.between(900, 9_999).to_string(),
            "submission_id": self.submission.to_string(), "user_id": TEACHER.0.to_string(),
        });
        self.tell(scene, dice, Who::Teacher, "submission_comment_created", *at, comment);
        *at += SECOND;
        let rubric = json!({
            "id": dice.between(100, 999).to_string(), "aligned_to_outcomes": true,
            "artifact_id": self.submission.to_string(), "artifact_type": "Submission", "assessment_type": "grading",
            "context_uuid": FACULTY, "submitted_at": self.time(handed_in), "created_at": self.time(*at),
            "updated_at": self.time(*at), "attempt": 1,
        });
        self.tell(scene, dice, Who::Teacher, "rubric_assessed", *at, rubric);
        self.tell(scene, dice, Who::Teacher, "submission_updated", *at + 1, state(*at, true));
        let grade = json!({
            "assignment_id": global(self.assignment), "assignment_name": "Cells", "grade": self.score.to_string(),
            "grader_id": global(TEACHER.0), "grading_complete": true, "muted": false, "old_grade": null,
            "old_points_possible": 20, "old_score": null, "points_possible": 20, "score": self.score,
            "student_id": student, "student_sis_id": null, "submission_id": global(self.submission),
            "user_id": student,
        });
        self.tell(scene, dice, Who::Teacher, "grade_change", *at + 2, grade);
        let percent = self.score * 5;
        let total = json!({
            "user_id": self.student.0.to_string(), "course_id": self.course.0.to_string(), "workflow_state": "active",
            "created_at": self.time(handed_in), "updated_at": self.time(*at), "current_score": percent,
            "old_current_score": null, "final_score": percent, "old_final_score": null,
            "unposted_current_score": percent, "old_unposted_current_score": null,
            "unposted_final_score": percent, "old_unposted_final_score": null,
        });
        self.tell(scene, dice, Who::Teacher, "course_grade_change", *at + 3, total);
    }

    /// The catalogue's example of a type that the story does not tell, as if it happened now.
    fn office(&self, scene: &mut Scene, dice: &mut Dice, at: u64, turn: usize) {
        let others: Vec<_> = PLATFORM.event_types().iter().filter(|t| !STORY.contains(&t.name.as_str())).collect();
        let Some(entry) = others.get(turn % others.len().max(1)) else { return };
        let mut payload = entry.examples.first().cloned().unwrap_or_default();
        let mut now = Map::from_iter([("event_time".to_owned(), json!(self.time(at)))]);
        if payload.pointer("/metadata/request_id").is_some() {
            now.insert("request_id".to_owned(), json!(dice.uuid()));
        }
        if payload.pointer("/metadata/context_type") == Some(&json!("Course")) {
            now.insert("context_id".to_owned(), json!(global(self.course.0)));
        }
        if let Some(metadata) = payload.pointer_mut("/metadata").and_then(Value::as_object_mut) {
            metadata.extend(now);
        }
        if let Some(subject) = entry.subject.as_ref().and_then(|pointer| payload.pointer_mut(pointer)) {
            *subject = json!(global(dice.between(100, 99_999)));
        }
        scene.now_about_all(self.channels(entry.name.as_str()), &format!("course:{}", self.course.0));
        scene.add(at, entry.name.as_str(), &payload);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_student_hands_in_is_labelled_with_all_its_contexts() {
        let start = Timestamp::parse("2026-05-02T08:00:00Z").unwrap();
        let step = campus(1, start).find(|s| s.event_type.as_str() == "submission_created").unwrap();
        let contexts: BTreeSet<_> =
            step.channels.iter().filter_map(ContextType::of_channel).map(|(context, _)| context).collect();
        assert_eq!(contexts, BTreeSet::from(ContextType::ALL));
        let payload: Value = serde_json::from_slice(&step.payload).unwrap();
        let local = payload["body"]["assignment_id"].as_str().unwrap();
        assert!(step.channels.contains(&ContextType::Assignment.channel(local).unwrap()), "by its local id");
    }
}
