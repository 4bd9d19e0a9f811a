//! Sending again: what failed since a time, and what was never tried.

use crate::{
    endpoint::{address, frame, path},
    form::Form,
    page::{Answer, Frame, Page, PageError, go, in_words, is_about_input, show},
    session::Visitor,
};
use askama::Template;
use axum::{extract::Path, response::IntoResponse};
use domain::{TaskKind, Timestamp};
use service::Capability;
use std::time::Duration;

type At = Path<(String, String)>;

/// Where a window may begin: its name in forms, its words, hours back.
const CHOICES: [(&str, &str, u64); 5] = [
    ("8h", "8 hours ago", 8),
    ("1d", "Yesterday", 24),
    ("3d", "3 days ago", 72),
    ("7d", "Last week", 168),
    ("14d", "2 weeks ago", 336),
];

#[derive(Template)]
#[template(path = "repair.html")]
struct RepairPage {
    frame: Frame,
    kind: TaskKind,
    address: String,
    choices: Vec<(&'static str, &'static str)>,
    action: String,
    back: String,
    problem: String,
}

impl RepairPage {
    fn recovers(&self) -> bool {
        self.kind == TaskKind::Recover
    }
}

async fn page(visitor: &Visitor, app: &str, endpoint: &str, kind: TaskKind) -> Result<RepairPage, PageError> {
    visitor.actor.must_have(Capability::CreateAttempts)?;
    let scope = visitor.service().open(&visitor.actor, app).await?;
    let e = visitor.service().endpoint(&scope, endpoint).await?;
    let here = path(scope.application(), &e);
    let (title, word) = match kind {
        TaskKind::Recover => ("Recover failed messages", "recover"),
        TaskKind::ReplayMissing => ("Replay missing messages", "replay-missing"),
    };
    Ok(RepairPage {
        frame: frame(visitor, scope.application(), title).below(address(&e), here.clone()),
        kind,
        address: address(&e),
        choices: CHOICES.iter().map(|(value, words, _)| (*value, *words)).collect(),
        action: format!("{here}/{word}"),
        back: here,
        problem: String::new(),
    })
}

pub(crate) async fn confirm_recover(visitor: Visitor, Path((app, endpoint)): At) -> Page {
    show(&page(&visitor, &app, &endpoint, TaskKind::Recover).await?)
}
pub(crate) async fn confirm_replay(visitor: Visitor, Path((app, endpoint)): At) -> Page {
    show(&page(&visitor, &app, &endpoint, TaskKind::ReplayMissing).await?)
}
pub(crate) async fn recover(visitor: Visitor, Path((app, endpoint)): At, Form(form): Form) -> Answer {
    begin(&visitor, &app, &endpoint, TaskKind::Recover, &form).await
}
pub(crate) async fn replay(visitor: Visitor, Path((app, endpoint)): At, Form(form): Form) -> Answer {
    begin(&visitor, &app, &endpoint, TaskKind::ReplayMissing, &form).await
}

async fn begin(visitor: &Visitor, app: &str, endpoint: &str, kind: TaskKind, form: &crate::form::Fields) -> Answer {
    let since = since(form.get("since"), form.get("at"), visitor.now());
    let (service, scope) = (visitor.service(), visitor.service().open(&visitor.actor, app).await?);
    let problem = match since {
        None => "Give a date and time such as 2026-05-01 09:14 (UTC).".to_owned(),
        Some(since) => {
            let begun = match kind {
                TaskKind::Recover => service.recover(&scope, endpoint, since, None).await,
                TaskKind::ReplayMissing => service.replay_missing(&scope, endpoint, since, None).await,
            };
            match begun {
                Ok(_) => {
                    visitor.say("It runs in the background. New attempts show up in the log, marked as by hand.");
                    let e = service.endpoint(&scope, endpoint).await?;
                    return Ok(go(&format!("{}/logs", path(scope.application(), &e))));
                }
                Err(e) if is_about_input(&e) => in_words(&e),
                Err(e) => return Err(e.into()),
            }
        }
    };
    let mut page = page(visitor, app, endpoint, kind).await?;
    page.problem = problem;
    Ok(show(&page)?.into_response())
}

/// The beginning of the window: one of the choices, or a time of one's own in UTC.
fn since(choice: &str, at: &str, now: Timestamp) -> Option<Timestamp> {
    if let Some((_, _, hours)) = CHOICES.iter().find(|(value, ..)| *value == choice) {
        return Some(now.minus(Duration::from_secs(hours * 3600)));
    }
    read_time(at).ok()
}

/// A time that somebody typed, in UTC.
pub(crate) fn read_time(text: &str) -> Result<Timestamp, String> {
    let text = text.replace('T', " ");
    let text = if text.len() == "2026-05-01 09:14".len() { format!("{text}:00") } else { text };
    Timestamp::parse(&format!("{}Z", text.trim_end_matches('Z')))
        .ok_or_else(|| "Give a date and time such as 2026-05-01 09:14 (UTC).".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_begins_at_a_choice_or_at_a_time_of_ones_own() {
        let now = Timestamp::parse("2026-05-02T09:14:00Z").unwrap();
        let own = Timestamp::parse("2026-05-01T09:14:00Z");
        assert_eq!(since("1d", "", now), own);
        assert_eq!(since("", "2026-05-01T09:14", now), own);
        assert_eq!(since("", "2026-05-01 09:14:00", now), own);
        assert_eq!(since("", "tomorrow", now), None);
    }
}
