//! A Repl.it classroom: students hand in programs, some of them twice.

use super::{Event, Scene, Tenant, scene};
use crate::commands::demo::dice::{Dice, Person, STUDENTS, millis};
use domain::Timestamp;
use serde_json::json;
use std::time::Duration;

pub(super) const TENANT: Tenant = Tenant {
    platform: "Repl.it",
    uid: "replit-cs101",
    name: "Maple Street CS 101",
    receiver: "Program checker of the teacher",
    event_types: &[("student_submits_assignment", "A student hands in an assignment")],
    story: hand_ins,
};

/// Number, name, how it is corrected, a first and a better solution.
type Assignment = (u32, &'static str, &'static str, &'static str, &'static str);

const ASSIGNMENTS: [Assignment; 3] = [
    (
        3_530_417,
        "Loops: 3) Countdown",
        "input_output",
        "n = int(input())\nwhile n > 0:\n  print(n)\n",
        "n = int(input())\nwhile n > 0:\n  print(n)\n  n -= 1\n",
    ),
    (
        3_530_422,
        "Lists: 1) Largest (without max)",
        "unit_test",
        "def largest(xs):\n  return xs[0]\n",
        "def largest(xs):\n  best = xs[0]\n  for x in xs:\n    if x > best:\n      best = x\n  return best\n",
    ),
    (
        3_530_430,
        "Project: text adventure",
        "manual",
        "print(\"You are in a dark room.\")\n",
        "rooms = {\"dark\": \"You are in a dark room.\", \"hall\": \"A hall with \\\"echo\\\".\"}\nprint(rooms[\"dark\"])\n",
    ),
];

fn hand_ins(dice: &mut Dice) -> Vec<Scene> {
    let assignment = *dice.pick(&ASSIGNMENTS);
    let mut scenes = Vec::new();
    for student in dice.some(&STUDENTS, 3) {
        if dice.chance(50) {
            scenes.push(scene(move |now, dice| hand_in(now, dice, student, assignment, false)));
        }
        scenes.push(scene(move |now, dice| hand_in(now, dice, student, assignment, true)));
    }
    scenes
}

fn hand_in(now: Timestamp, dice: &mut Dice, student: Person, assignment: Assignment, good: bool) -> Event {
    let (id, name, corrected_by, first, better) = assignment;
    let submission = dice.between(8_700_000, 8_799_999);
    let status = match (corrected_by, good) {
        ("manual", _) => "submitted",
        (_, true) => "complete",
        (_, false) => "submitted_incomplete",
    };
    let opened = now.minus(Duration::from_secs(dice.between(20, 1_800)));
    Event {
        event_type: "student_submits_assignment",
        channels: vec![format!("assignment:{id}")],
        payload: json!({
            "assignment": { "id": id, "name": name, "type": corrected_by },
            "classroom": { "id": 140_061, "name": "2026-27 / CS 101 / Fundamentals" },
            "submission": {
                "id": submission,
                "status": status,
                "time_submitted": millis(now),
                "time_created": millis(opened),
                "teacher_url": format!("https://repl.it/teacher/submissions/{submission}"),
                "student_url": format!("https://repl.it/student/submissions/{submission}"),
                "files": [{ "name": "main.py", "content": if good { better } else { first } }],
            },
            "student": {
                "id": 2_029_000 + student.number,
                "first_name": student.first,
                "last_name": student.last,
                "email": student.email(),
            },
            "event_name": "student_submits_assignment",
        }),
    }
}
