//! Plays lessons: a teacher opens a room, students come and go, some with two devices, a board is saved, the class ends,
//! and a while later its recording is ready, or is not.

use crate::{
    format::millis,
    simulate::{Dice, PEOPLE, Scene, Steps, scenes},
};
use domain::Timestamp;
use serde::Serialize;

#[derive(Serialize, Clone)]
struct Common {
    room: Room,
    session_id: String,
}

#[derive(Serialize, Clone)]
struct Room {
    room_id: String,
    class_id: String,
    name: String,
}

#[derive(Serialize, Clone)]
struct User {
    user_id: String,
    name: String,
    #[serde(rename = "type")]
    kind: u8,
    role: &'static str,
}

#[derive(Serialize)]
struct Peer {
    peer_id: String,
    #[serde(flatten)]
    user: User,
}

#[derive(Serialize)]
struct Started {
    #[serde(flatten)]
    common: Common,
    started_at: String,
    host: User,
    is_recording_on: bool,
}

#[derive(Serialize)]
struct Closed {
    #[serde(flatten)]
    started: Started,
    ended_at: String,
    duration: u64,
    reason: &'static str,
    peer_count: usize,
    recording_saved: bool,
    whiteboard_saved: bool,
}

#[derive(Serialize)]
struct Joined {
    #[serde(flatten)]
    common: Common,
    peer: Peer,
    joined_at: String,
}

#[derive(Serialize)]
struct Left {
    #[serde(flatten)]
    joined: Joined,
    left_at: String,
    duration: u64,
    reason: &'static str,
}

#[derive(Serialize)]
struct Recorded {
    #[serde(flatten)]
    common: Common,
    recording: Recording,
}

#[derive(Serialize)]
struct Recording {
    uuid: String,
    status: &'static str,
    duration: u64,
    size: u64,
    mode: &'static str,
    version: &'static str,
    started_at: String,
    stopped_at: String,
    #[serde(flatten)]
    outcome: Outcome,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Outcome {
    Ready { processed_path: String, raw_path: String, thumbnail_path: String, expires_at: String },
    Failed { error: Failure },
}

#[derive(Serialize)]
struct Failure {
    #[serde(rename = "type")]
    kind: &'static str,
    message: &'static str,
    retryable: bool,
}

#[derive(Serialize)]
struct Saved {
    #[serde(flatten)]
    common: Common,
    file: Board,
    saved_by: User,
    saved_at: String,
}

#[derive(Serialize)]
struct Board {
    file_id: String,
    name: String,
    content_type: &'static str,
    size: u64,
    pages: u64,
    source: &'static str,
    url: String,
    expires_at: String,
}

const SECOND: u64 = 1_000;
const MINUTE: u64 = 60 * SECOND;
const DAY: u64 = 24 * 60 * MINUTE;

const ROOMS: &[(&str, &str)] = &[
    ("red-wizard", "Red Wizard"),
    ("blue-owl", "Blue Owl"),
    ("maths-7b", "Maths 7b"),
    ("reading-circle", "Reading Circle"),
];

/// Lesson after lesson.
pub(super) fn lessons(seed: u64, start: Timestamp) -> Steps {
    let mut dice = Dice::new(seed);
    scenes(start, move |begins| lesson(&mut dice, begins))
}

fn lesson(dice: &mut Dice, begins: Timestamp) -> (Scene, u64) {
    let time = |ms: u64| millis(begins.plus(std::time::Duration::from_millis(ms)));
    let (room_id, room_name) = *dice.pick(ROOMS);
    let common = Common {
        room: Room { room_id: room_id.into(), class_id: format!("acme::{room_id}"), name: room_name.into() },
        session_id: dice.uuid(),
    };
    let mut scene = Scene::about(&format!("room:{room_id}"), &common.session_id);

    let opens = dice.between(2 * SECOND, 20 * SECOND);
    let ends = opens + dice.between(25 * MINUTE, 50 * MINUTE);
    let is_recording_on = dice.chance(80);
    let host = User { user_id: "teacher_01".into(), name: "Tara Teacher".into(), kind: 1, role: "host" };
    let started = || Started { common: common.clone(), started_at: time(opens), host: host.clone(), is_recording_on };
    scene.add(opens, "room.created", &started());

    // Who is connected, from when to when, and why it ended.
    let mut connections = vec![(host.clone(), opens + SECOND, ends, "room_closed")];
    let students = dice.between(6, 15) as usize;
    for (i, (first, last)) in PEOPLE.iter().enumerate().take(students) {
        let viewer = dice.chance(10);
        let user = User {
            user_id: format!("student_{:02}", i + 1),
            name: format!("{first} {last}"),
            kind: if viewer { 3 } else { 2 },
            role: if viewer { "viewer" } else { "student" },
        };
        let joins = opens + dice.between(5 * SECOND, 6 * MINUTE);
        match dice.between(0, 10) {
            // Loses the connection and comes back.
            0 | 1 => {
                let lost = joins + dice.between(3 * MINUTE, 10 * MINUTE);
                connections.push((user.clone(), joins, lost, "connection_lost"));
                connections.push((user, lost + dice.between(10 * SECOND, 2 * MINUTE), ends, "room_closed"));
            }
            // A second device for a while.
            2 => {
                let second = joins + dice.between(MINUTE, 4 * MINUTE);
                connections.push((user.clone(), second, second + dice.between(MINUTE, 9 * MINUTE), "left"));
                connections.push((user, joins, ends, "room_closed"));
            }
            // Leaves early, or is sent out.
            3 => connections.push((user, joins, joins + dice.between(8 * MINUTE, 15 * MINUTE), "left")),
            4 if dice.chance(30) => connections.push((user, joins, joins + 7 * MINUTE, "removed")),
            _ => connections.push((user, joins, ends, "room_closed")),
        }
    }
    for (user, from, upto, reason) in connections {
        let peer_id = format!("p_{}", dice.word(6));
        let joined = || Joined {
            common: common.clone(),
            peer: Peer { peer_id: peer_id.clone(), user: user.clone() },
            joined_at: time(from),
        };
        scene.add(from, "peer.joined", &joined());
        let left = Left { joined: joined(), left_at: time(upto), duration: (upto - from) / SECOND, reason };
        scene.add(upto, "peer.left", &left);
    }

    let boards = dice.between(0, 3);
    for n in 1..=boards {
        let at = opens + n * 8 * MINUTE + dice.between(0, 2 * MINUTE);
        let id = dice.word(4);
        let file = Board {
            file_id: format!("wb_{id}"),
            name: format!("Board {n}.pdf"),
            content_type: "application/pdf",
            size: dice.between(20_000, 90_000),
            pages: dice.between(1, 5),
            source: dice.pick::<&str>(&["whiteboard", "pdf", "image"]),
            url: format!("https://classroom.example/w/{id}?sig={}", dice.word(8)),
            expires_at: time(at + DAY),
        };
        let saved = Saved { common: common.clone(), file, saved_by: host.clone(), saved_at: time(at) };
        scene.add(at, "whiteboard.new_file_saved", &saved);
    }

    let closed = Closed {
        started: started(),
        ended_at: time(ends),
        duration: (ends - opens) / SECOND,
        reason: if dice.chance(85) { "end_for_all" } else { "timeout" },
        peer_count: students + 1,
        recording_saved: is_recording_on,
        whiteboard_saved: boards > 0,
    };
    scene.add(ends, "room.closed", &closed);

    let mut over = ends + MINUTE;
    if is_recording_on {
        let at = ends + dice.between(MINUTE, 4 * MINUTE);
        let (uuid, sign) = (dice.uuid(), dice.word(8));
        let path = |ending: &str| format!("https://classroom.example/r/{}.{ending}?sig={sign}", &uuid[..8]);
        let ready = dice.chance(88);
        let outcome = if ready {
            Outcome::Ready {
                processed_path: path("mp4"),
                raw_path: path("webm"),
                thumbnail_path: path("png"),
                expires_at: time(at + DAY),
            }
        } else {
            let error = Failure { kind: "UPLOAD_ERROR", message: "The storage did not answer.", retryable: true };
            Outcome::Failed { error }
        };
        let recording = Recording {
            status: if ready { "PROCESSED" } else { "FAILED" },
            duration: (ends - opens) / SECOND - 20,
            size: (ends - opens) * 46,
            mode: "landscape",
            version: "1.0.0",
            started_at: time(opens + 20 * SECOND),
            stopped_at: time(ends),
            outcome,
            uuid,
        };
        let event = if ready { "recording.processed" } else { "recording.failed" };
        scene.add(at, event, &Recorded { common: common.clone(), recording });
        over = at + MINUTE;
    }
    (scene, over)
}
