//! Plays tracks: a user claims an invite, waits for a sandbox, works through the challenges with more or less luck, stops or
//! completes, reviews, and everything is cleaned up.

use crate::{
    format::millis,
    simulate::{Dice, Scene, Steps, scenes},
};
use domain::Timestamp;
use serde::Serialize;
use std::collections::BTreeMap;

type Parameters = BTreeMap<&'static str, &'static str>;

#[derive(Serialize, Clone)]
struct Track {
    #[serde(rename = "type")]
    kind: &'static str,
    timestamp: String,
    organization_id: &'static str,
    track_id: &'static str,
    track_slug: &'static str,
    participant_id: String,
    user_id: String,
    invite_id: Option<String>,
    mode: &'static str,
    is_developer_play: bool,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    challenge: Option<Challenge>,
    #[serde(skip_serializing_if = "Option::is_none")]
    completed: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    duration: Option<u64>,
    custom_parameters: Parameters,
}

#[derive(Serialize, Clone)]
struct Challenge {
    challenge_id: String,
    challenge_index: u64,
    total_challenges: u64,
}

#[derive(Serialize, Clone)]
struct Sandbox {
    #[serde(rename = "type")]
    kind: &'static str,
    timestamp: String,
    track_id: &'static str,
    track_slug: &'static str,
    participant_id: String,
    user_id: String,
    invite_id: Option<String>,
    claim_id: Option<String>,
    pooled: bool,
    is_developer_play: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    duration: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    custom_parameters: Parameters,
}

#[derive(Serialize)]
struct Invite {
    #[serde(rename = "type")]
    kind: &'static str,
    timestamp: String,
    invite_id: String,
    claim_id: String,
    user_id: String,
    team_id: &'static str,
    team_slug: &'static str,
    custom_parameters: Parameters,
}

#[derive(Serialize)]
struct Review {
    #[serde(rename = "type")]
    kind: &'static str,
    timestamp: String,
    review_id: String,
    organization_id: &'static str,
    track_id: &'static str,
    track_slug: &'static str,
    user_id: String,
    score: u64,
    content: &'static str,
}

const SECOND: u64 = 1_000;
const MINUTE: u64 = 60 * SECOND;

const TRACKS: &[(&str, &str, u64)] = &[
    ("rzwlxtp92ted", "intro-to-widgets", 4),
    ("b4kq0m7vnd2s", "widgets-in-production", 6),
    ("x81hjc5tqe0y", "first-steps", 3),
];

const WORDS: &[&str] = &["Clear and fun.", "", "The second challenge took me a while.", "More like this, please."];

/// Play after play, overlapping as they would: each scene is a few users.
pub(super) fn tracks(seed: u64, start: Timestamp) -> Steps {
    let mut dice = Dice::new(seed);
    scenes(start, move |begins| {
        let mut scene = Scene::default();
        let users = dice.between(2, 5);
        let ends = (0..users).map(|_| {
            let from = dice.between(SECOND, 5 * MINUTE);
            play(&mut dice, &mut scene, begins, from)
        });
        let over = ends.max().unwrap_or(MINUTE);
        (scene, over + MINUTE)
    })
}

/// One user's play of one track. Gives the time of its last event.
fn play(dice: &mut Dice, scene: &mut Scene, begins: Timestamp, from: u64) -> u64 {
    let time = |ms: u64| millis(begins.plus(std::time::Duration::from_millis(ms)));
    let (track_id, track_slug, total_challenges) = *dice.pick(TRACKS);
    let (participant_id, user_id) = (dice.word(12), dice.word(28));
    scene.now_about(&format!("track:{track_slug}"), &participant_id);
    let is_developer_play = dice.chance(5);
    let custom_parameters: Parameters = if dice.chance(50) {
        [("campaign", *dice.pick(&["spring", "docs", "partner"]))].into()
    } else {
        Parameters::new()
    };

    let mut at = from;
    let invited = dice.chance(60).then(|| (dice.word(12), dice.word(12)));
    if let Some((invite_id, claim_id)) = &invited {
        let claimed = Invite {
            kind: "invite.claimed",
            timestamp: time(at),
            invite_id: invite_id.clone(),
            claim_id: claim_id.clone(),
            user_id: user_id.clone(),
            team_id: "t9ae4ms0zqlb",
            team_slug: "acme",
            custom_parameters: custom_parameters.clone(),
        };
        scene.add(at, "invite.claimed", &claimed);
        at += dice.between(2 * SECOND, 10 * SECOND);
    }
    let invite_id = invited.as_ref().map(|(invite, _)| invite.clone());
    let pooled = dice.chance(40);
    let sandbox = |kind, at: u64, duration, reason| Sandbox {
        kind,
        timestamp: time(at),
        track_id,
        track_slug,
        participant_id: participant_id.clone(),
        user_id: user_id.clone(),
        invite_id: invite_id.clone(),
        claim_id: invited.as_ref().map(|(_, claim)| claim.clone()),
        pooled,
        is_developer_play,
        duration,
        reason,
        custom_parameters: custom_parameters.clone(),
    };
    let track = |kind, at: u64| Track {
        kind,
        timestamp: time(at),
        organization_id: "acme",
        track_id,
        track_slug,
        participant_id: participant_id.clone(),
        user_id: user_id.clone(),
        invite_id: invite_id.clone(),
        mode: if is_developer_play { "DEVELOPER" } else { "NORMAL" },
        is_developer_play,
        challenge: None,
        completed: None,
        reason: None,
        duration: None,
        custom_parameters: custom_parameters.clone(),
    };

    scene.add(at, "sandbox.creating", &sandbox("sandbox.creating", at, None, None));
    let makes = dice.between(3, 60);
    at += makes * SECOND;
    if dice.chance(6) {
        scene.add(at, "sandbox.failed", &sandbox("sandbox.failed", at, Some(makes), Some("setup_script_failed")));
        return at;
    }
    scene.add(at, "sandbox.created", &sandbox("sandbox.created", at, Some(makes), None));
    at += dice.between(SECOND, 5 * SECOND);
    let started = at;
    scene.add(at, "track.started", &track("track.started", at));

    let stops_before = if dice.chance(20) { dice.between(1, total_challenges) } else { total_challenges };
    for challenge_index in 0..stops_before {
        let challenge = Some(Challenge { challenge_id: dice.word(12), challenge_index, total_challenges });
        let here = |kind, at| Track { challenge: challenge.clone(), ..track(kind, at) };
        at += dice.between(SECOND, 8 * SECOND);
        scene.add(at, "track.challenge_created", &here("track.challenge_created", at));
        at += dice.between(SECOND, 5 * SECOND);
        scene.add(at, "track.challenge_started", &here("track.challenge_started", at));
        if dice.chance(8) {
            at += dice.between(5 * SECOND, 40 * SECOND);
            scene.add(at, "track.challenge_skipped", &here("track.challenge_skipped", at));
        } else {
            for _ in 0..*dice.pick(&[0, 0, 0, 1, 1, 2]) {
                at += dice.between(30 * SECOND, 4 * MINUTE);
                let attempt = Track { completed: Some(false), ..here("track.challenge_attempted", at) };
                scene.add(at, "track.challenge_attempted", &attempt);
            }
            at += dice.between(40 * SECOND, 5 * MINUTE);
            let attempt = Track { completed: Some(true), ..here("track.challenge_attempted", at) };
            scene.add(at, "track.challenge_attempted", &attempt);
            at += 400;
            scene.add(at, "track.challenge_completed", &here("track.challenge_completed", at));
        }
        at += dice.between(SECOND, 3 * SECOND);
        scene.add(at, "track.challenge_cleaned_up", &here("track.challenge_cleaned_up", at));
    }

    at += dice.between(SECOND, 20 * SECOND);
    if stops_before < total_challenges {
        let stopped = Track { reason: Some(*dice.pick(&["user_stopped", "timed_out"])), ..track("track.stopped", at) };
        scene.add(at, "track.stopped", &stopped);
    } else {
        let completed = Track { duration: Some((at - started) / SECOND), ..track("track.completed", at) };
        scene.add(at, "track.completed", &completed);
        if dice.chance(50) {
            at += dice.between(20 * SECOND, 2 * MINUTE);
            let mut review = Review {
                kind: "review.created",
                timestamp: time(at),
                review_id: dice.word(12),
                organization_id: "acme",
                track_id,
                track_slug,
                user_id: user_id.clone(),
                score: dice.between(3, 6),
                content: dice.pick::<&str>(WORDS),
            };
            scene.add(at, "review.created", &review);
            if dice.chance(25) {
                at += dice.between(MINUTE, 3 * MINUTE);
                review.kind = "review.updated";
                review.timestamp = time(at);
                review.score = 5;
                scene.add(at, "review.updated", &review);
            }
        }
    }
    at += dice.between(10 * SECOND, MINUTE);
    scene.add(at, "sandbox.cleaned", &sandbox("sandbox.cleaned", at, None, None));
    at += SECOND;
    scene.add(at, "track.cleaned_up", &track("track.cleaned_up", at));
    at
}
