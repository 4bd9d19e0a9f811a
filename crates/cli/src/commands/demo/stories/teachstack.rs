//! A Teachstack account: lessons in virtual rooms, from the bell to the recording.

use super::{Event, Scene, Tenant, scene};
use crate::commands::demo::dice::{Dice, Person, STUDENTS, TEACHERS, millis};
use domain::Timestamp;
use serde_json::{Value, json};
use std::time::Duration;

pub(super) const TENANT: Tenant = Tenant {
    platform: "Teachstack",
    uid: "teachstack-harbour",
    name: "Harbour Tutoring",
    receiver: "Attendance sheet",
    event_types: &[
        ("room.created", "A teacher starts a class"),
        ("room.closed", "A class ends"),
        ("peer.joined", "Somebody joins a class"),
        ("peer.left", "Somebody leaves a class"),
        ("recording.processed", "The recording of a class is ready"),
        ("recording.failed", "The recording of a class could not be made"),
        ("whiteboard.new_file_saved", "A whiteboard is saved during a class"),
    ],
    story: lesson,
};

const ROOMS: [(&str, &str); 3] =
    [("algebra-9b", "Algebra, 9b"), ("french-evening", "French in the evening"), ("chem-lab-2", "Chemistry lab 2")];
/// How long a lesson is in the story; the demo does not wait for it.
const LESSON: Duration = Duration::from_secs(50 * 60);

/// What the events of one lesson have in common.
#[derive(Clone)]
struct Lesson {
    room: (&'static str, &'static str),
    session: String,
    teacher: Person,
    students: usize,
}

fn lesson(dice: &mut Dice) -> Vec<Scene> {
    let count = dice.between(2, 4) as usize;
    let lesson =
        Lesson { room: *dice.pick(&ROOMS), session: dice.uuid(), teacher: *dice.pick(&TEACHERS), students: count };
    let students: Vec<_> =
        dice.some(&STUDENTS, count).into_iter().map(|s| (s, format!("p_{}", dice.word(4)))).collect();

    let mut scenes = vec![lesson.told("room.created", Lesson::created)];
    for (student, peer) in students.clone() {
        scenes.push(lesson.told("peer.joined", move |l, now, _| l.joined(now, student, &peer)));
    }
    if dice.chance(60) {
        scenes.push(lesson.told("whiteboard.new_file_saved", Lesson::whiteboard));
    }
    for (student, peer) in students {
        scenes.push(lesson.told("peer.left", move |l, now, dice| l.left(now, dice, student, &peer)));
    }
    scenes.push(lesson.told("room.closed", Lesson::closed));
    scenes.push(match dice.chance(85) {
        true => lesson.told("recording.processed", Lesson::recorded),
        false => lesson.told("recording.failed", Lesson::not_recorded),
    });
    scenes
}

impl Lesson {
    /// A scene whose event has this type, in the envelope that all seven share.
    fn told(
        &self,
        event_type: &'static str,
        data: impl FnOnce(&Self, Timestamp, &mut Dice) -> Value + Send + 'static,
    ) -> Scene {
        let lesson = self.clone();
        scene(move |now, dice| {
            let mut data = data(&lesson, now, dice);
            let (id, name) = lesson.room;
            data["room"] = json!({ "room_id": id, "class_id": format!("harbour::{id}"), "name": name });
            data["session_id"] = lesson.session.clone().into();
            Event {
                event_type,
                channels: vec![format!("room:{id}")],
                payload: json!({
                    "id": format!("evt_{}", dice.word(26)),
                    "event": event_type,
                    "version": "1.0",
                    "created_at": millis(now),
                    "account_id": "harbour",
                    "data": data,
                }),
            }
        })
    }

    fn host(&self) -> Value {
        json!({
            "user_id": format!("teacher_{:02}", self.teacher.number),
            "name": self.teacher.name(),
            "type": 1,
            "role": "host",
        })
    }

    fn created(&self, now: Timestamp, _: &mut Dice) -> Value {
        json!({ "started_at": millis(now), "host": self.host(), "is_recording_on": true })
    }

    fn closed(&self, now: Timestamp, _: &mut Dice) -> Value {
        json!({
            "started_at": millis(now.minus(LESSON)),
            "ended_at": millis(now),
            "duration": LESSON.as_secs(),
            "host": self.host(),
            "is_recording_on": true,
            "reason": "end_for_all",
            "peer_count": self.students + 1,
            "recording_saved": true,
            "whiteboard_saved": true,
        })
    }

    fn peer(student: Person, peer: &str) -> Value {
        json!({
            "peer_id": peer,
            "user_id": format!("student_{}", student.number),
            "name": student.name(),
            "type": 2,
            "role": "student",
        })
    }

    fn joined(&self, now: Timestamp, student: Person, peer: &str) -> Value {
        json!({ "peer": Self::peer(student, peer), "joined_at": millis(now) })
    }

    fn left(&self, now: Timestamp, dice: &mut Dice, student: Person, peer: &str) -> Value {
        let stayed = dice.between(600, LESSON.as_secs());
        json!({
            "peer": Self::peer(student, peer),
            "joined_at": millis(now.minus(Duration::from_secs(stayed))),
            "left_at": millis(now),
            "duration": stayed,
            "reason": *dice.pick(&["left", "left", "left", "connection_lost", "removed"]),
        })
    }

    fn whiteboard(&self, now: Timestamp, dice: &mut Dice) -> Value {
        let id = dice.word(4);
        json!({
            "file": {
                "file_id": format!("wb_{id}"),
                "name": "Board 1.pdf",
                "content_type": "application/pdf",
                "size": dice.between(20_000, 90_000),
                "pages": dice.between(1, 5),
                "source": "whiteboard",
                "url": format!("https://classroom.example/w/{id}?sig={}", dice.word(12)),
                "expires_at": millis(now.plus(Duration::from_secs(86_400))),
            },
            "saved_by": self.host(),
            "saved_at": millis(now),
        })
    }

    fn recording(now: Timestamp, dice: &mut Dice, status: &str) -> Value {
        json!({
            "uuid": dice.uuid(),
            "status": status,
            "duration": LESSON.as_secs() - 60,
            "mode": "landscape",
            "version": "1.0.0",
            "started_at": millis(now.minus(LESSON)),
            "stopped_at": millis(now.minus(Duration::from_secs(60))),
        })
    }

    fn recorded(&self, now: Timestamp, dice: &mut Dice) -> Value {
        let mut recording = Self::recording(now, dice, "PROCESSED");
        let short = recording["uuid"].as_str().unwrap_or_default().chars().take(8).collect::<String>();
        let signature = dice.word(12);
        let path = |ending: &str| format!("https://classroom.example/r/{short}.{ending}?sig={signature}");
        recording["size"] = dice.between(80_000_000, 200_000_000).into();
        recording["processed_path"] = path("mp4").into();
        recording["raw_path"] = path("webm").into();
        recording["thumbnail_path"] = path("png").into();
        recording["expires_at"] = millis(now.plus(Duration::from_secs(86_400))).into();
        json!({ "recording": recording })
    }

    fn not_recorded(&self, now: Timestamp, dice: &mut Dice) -> Value {
        let mut recording = Self::recording(now, dice, "FAILED");
        recording["error"] = json!({
            "type": "UPLOAD_ERROR",
            "message": "The store of recordings closed the connection",
            "retryable": false,
        });
        json!({ "recording": recording })
    }
}
