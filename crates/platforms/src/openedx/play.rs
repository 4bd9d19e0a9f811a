//! A site: learners sign in, enrol, are graded, and get their certificates; around them everything else that can happen.

use super::{
    catalog::{METADATA, Signal, payload, signals},
    time_text,
};
use crate::simulate::{Dice, PEOPLE, Scene, Steps, scenes};
use domain::Timestamp;
use serde_json::value::RawValue;
use std::time::Duration;

const COURSES: [(&str, &str); 3] = [
    ("RiverX+HYD101+2026_T3", "Rivers and how they move"),
    ("RiverX+STAT1+2026_T3", "Statistics without fear"),
    ("RiverX+LAW2+2026_T3", "Tenants' law for everybody"),
];

/// What happens to every learner in time, with the milliseconds after signing in.
const JOURNEY: [(&str, u64); 7] = [
    ("STUDENT_REGISTRATION_COMPLETED", 0),
    ("SESSION_LOGIN_COMPLETED", 2_000),
    ("COURSE_ENROLLMENT_CREATED", 20_000),
    ("COURSE_UNENROLLMENT_COMPLETED", 45_000),
    ("PERSISTENT_GRADE_SUMMARY_CHANGED", 60_000),
    ("COURSE_PASSING_STATUS_UPDATED", 60_150),
    ("CERTIFICATE_CREATED", 61_000),
];

/// Somebody in a course.
struct Learner {
    number: u64,
    first: &'static str,
    last: &'static str,
    course: (&'static str, &'static str),
    percent: u64,
}

/// Scenes without end. Whatever the journey does not hold is told one after the other, so that each event has its turn.
pub(super) fn site(seed: u64, start: Timestamp) -> Steps {
    let mut dice = Dice::new(seed);
    let rest: Vec<&Signal> = signals().iter().filter(|s| JOURNEY.iter().all(|(name, _)| s.name != *name)).collect();
    let mut turn = dice.between(0, rest.len() as u64) as usize;
    scenes(start, move |begins| {
        let number = dice.between(0, PEOPLE.len() as u64);
        let (first, last) = PEOPLE[number as usize];
        let (course, percent) = (*dice.pick(&COURSES), dice.between(55, 100));
        let learner = Learner { number: 2_000 + number, first, last, course, percent };
        let mut scene = Scene::about(&format!("course-v1:{}", course.0), &format!("user:{}", learner.number));
        let mut tell = |signal: &Signal, at: u64, dice: &mut Dice| {
            let now = begins.plus(Duration::from_millis(at));
            if let Ok(payload) = RawValue::from_string(told(signal, &learner, now, dice)) {
                scene.add(at, &signal.event_type, &payload);
            }
        };
        let registers = dice.chance(40);
        let leaves = dice.chance(20);
        let journey = JOURNEY.iter().filter(|(name, at)| match *name {
            "STUDENT_REGISTRATION_COMPLETED" => registers,
            "COURSE_UNENROLLMENT_COMPLETED" => leaves,
            _ => !leaves || *at < 45_000,
        });
        for (name, at) in journey {
            if let Some(signal) = signals().iter().find(|s| s.name == *name) {
                tell(signal, *at, &mut dice);
            }
        }
        for at in [30_000, 50_000] {
            tell(rest[turn % rest.len()], at, &mut dice);
            turn += 1;
        }
        (scene, 61_000 + dice.between(1_000, 20_000))
    })
}

/// The signal's sample, about this learner and this moment.
fn told(signal: &Signal, learner: &Learner, now: Timestamp, dice: &mut Dice) -> String {
    let Learner { number, first, last, course: (course, title), percent } = learner;
    let plain = |text: &str| text.chars().filter(char::is_ascii_alphabetic).collect::<String>().to_ascii_lowercase();
    let login = format!("{}.{}", plain(first), plain(last));
    let active = signal.name != "COURSE_UNENROLLMENT_COMPLETED";
    let data = signal
        .sample
        .get()
        .replace("OrgX+CS101+2026_T1", course)
        .replace("Intro to CS", title)
        .replace("\"id\": 4,", &format!("\"id\": {number},"))
        .replace("user_id\": 4", &format!("user_id\": {number}"))
        .replace("\"user_ids\": [4]", &format!("\"user_ids\": [{number}]"))
        .replace("jane@example.com", &format!("{login}@students.example.edu"))
        .replace("\"jane\"", &format!("\"{login}\""))
        .replace("user^jane", &format!("user^{login}"))
        .replace("Jane Doe", &format!("{first} {last}"))
        .replace("\"percent_grade\": 0.9", &format!("\"percent_grade\": 0.{percent:02}"))
        .replace("\"grade\": \"0.9\"", &format!("\"grade\": \"0.{percent:02}\""))
        .replace("\"mode\": \"honor\", \"is_active\": true", &format!("\"mode\": \"honor\", \"is_active\": {active}"))
        .replace("457f0c26-a1a5-11ed-afe6-0242ac140007", &dice.uuid())
        .replace("2026-01-31 20:24:32.598387+00:00", &time_text(now));
    let metadata = METADATA
        .replace("$type", &signal.event_type)
        .replace("457f0c26-a1a5-11ed-afe6-0242ac140007", &dice.uuid())
        .replace("2026-01-31T20:24:32.598387+00:00", &now.to_string());
    payload(signal, &data, &metadata)
}
