//! An Instruqt organization: somebody claims an invite and plays a track.

use super::{Event, Scene, Tenant, scene};
use crate::commands::demo::dice::{Dice, STUDENTS};
use domain::Timestamp;
use serde_json::{Value, json};

pub(super) const TENANT: Tenant = Tenant {
    platform: "Instruqt",
    uid: "instruqt-brightline",
    name: "Brightline Labs",
    receiver: "Sales dashboard",
    event_types: &[
        ("invite.claimed", "A user claims an invite"),
        ("sandbox.created", "The sandbox of a track is ready"),
        ("sandbox.cleaned", "The sandbox of a track is gone"),
        ("track.started", "A user starts a track"),
        ("track.challenge_started", "A user starts a challenge"),
        ("track.challenge_attempted", "A user has a challenge checked"),
        ("track.challenge_completed", "A user completes a challenge"),
        ("track.completed", "A user completes a track"),
        ("track.stopped", "A track is stopped before its end"),
        ("review.created", "A user reviews a track"),
    ],
    story: play,
};

const TRACKS: [(&str, &str, u64); 3] = [
    ("rzwlxtp92ted", "intro-to-widgets", 3),
    ("k8qv3m1yh0sd", "first-steps-with-pipelines", 2),
    ("ayw6c2nf7tbe", "debugging-a-cluster", 4),
];

/// One user's play of one track.
#[derive(Clone)]
struct Play {
    track: (&'static str, &'static str, u64),
    participant: String,
    user: String,
    invite: String,
}

fn play(dice: &mut Dice) -> Vec<Scene> {
    let track = *dice.pick(&TRACKS);
    let user = format!("u{:027}", dice.pick(&STUDENTS).number);
    let play = Play { track, participant: dice.word(12), user, invite: dice.word(12) };
    let mut scenes = vec![
        play.told("invite.claimed", |play, dice| {
            json!({ "claim_id": dice.word(12), "team_id": "t9ae4ms0zqlb", "team_slug": "brightline", "user_id": play.user })
        }),
        play.told("sandbox.created", |_, dice| json!({ "pooled": true, "duration": dice.between(20, 60) })),
        play.told("track.started", |_, _| json!({})),
    ];
    let stops = dice.chance(25);
    for index in 0..if stops { 1 } else { track.2 } {
        let challenge = dice.word(12);
        let mut tell = |event_type, completed: Option<bool>| {
            let challenge = challenge.clone();
            scenes.push(play.told(event_type, move |play, _| {
                let mut data = json!({
                    "challenge_id": challenge,
                    "challenge_index": index,
                    "total_challenges": play.track.2,
                });
                if let Some(completed) = completed {
                    data["completed"] = completed.into();
                }
                data
            }));
        };
        tell("track.challenge_started", None);
        if dice.chance(40) {
            tell("track.challenge_attempted", Some(false));
        }
        tell("track.challenge_attempted", Some(true));
        tell("track.challenge_completed", None);
    }
    if stops {
        scenes.push(play.told("track.stopped", |_, _| json!({ "reason": "user_stopped" })));
    } else {
        scenes.push(play.told("track.completed", |_, dice| json!({ "duration": dice.between(600, 3_600) })));
        scenes.push(play.told("review.created", |_, dice| {
            let content = *dice.pick(&["Clear and fun.", "The third challenge took me a while.", ""]);
            json!({ "review_id": dice.word(12), "score": dice.between(3, 5), "content": content })
        }));
    }
    scenes.push(play.told("sandbox.cleaned", |_, _| json!({ "pooled": true })));
    scenes
}

impl Play {
    fn told(&self, event_type: &'static str, own: impl FnOnce(&Self, &mut Dice) -> Value + Send + 'static) -> Scene {
        let play = self.clone();
        scene(move |now: Timestamp, dice| {
            let (track, slug, _) = play.track;
            let mut payload = json!({
                "type": event_type,
                "timestamp": now.to_string(),
                "organization_id": "brightline",
                "track_id": track,
                "track_slug": slug,
                "participant_id": play.participant,
                "user_id": play.user,
                "invite_id": play.invite,
                "mode": "NORMAL",
                "is_developer_play": false,
                "custom_parameters": { "campaign": "autumn" },
            });
            let own = own(&play, dice);
            if let (Some(payload), Value::Object(own)) = (payload.as_object_mut(), own) {
                payload.extend(own);
            }
            Event { event_type, channels: vec![format!("track:{slug}")], payload }
        })
    }
}
