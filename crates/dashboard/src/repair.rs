//! Repair: sending again what failed since a time or a message, sending what was never tried, cancelling what waits. Each
//! says how many before, and how far it is after.

use crate::{
    endpoint::{address, frame, path},
    form::{Fields, Form, Query, link},
    moment::{Moment, WRONG},
    page::{Answer, Frame, Page, PageError, go, in_words, is_about_input, show},
    session::Visitor,
    words::{When, count, thousands},
};
use askama::Template;
use axum::{extract::Path, response::IntoResponse};
use domain::{TaskKind, TaskStatus, Timestamp};
use service::{Capability, desk::Counted};
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
/// Chosen unless something else is.
const DEFAULT: &str = "1d";
/// Taken off the longest choice: people read before they press.
const READING: Duration = Duration::from_secs(600);

#[derive(Template)]
#[template(path = "repair.html")]
struct RepairPage {
    frame: Frame,
    kind: TaskKind,
    address: String,
    choices: Vec<(&'static str, &'static str)>,
    choice: String,
    own: Moment,
    /// Counted from here, and done from here.
    since: Option<When>,
    /// The message that the window begins with.
    message: String,
    counted: Counted,
    sentence: String,
    button: String,
    action: String,
    back: String,
    problem: String,
}

impl RepairPage {
    fn recovers(&self) -> bool {
        self.kind == TaskKind::Recover
    }
    fn cancels(&self) -> bool {
        self.kind == TaskKind::CancelWaiting
    }
}

fn word(kind: TaskKind) -> &'static str {
    match kind {
        TaskKind::Recover => "recover",
        TaskKind::ReplayMissing => "replay-missing",
        TaskKind::CancelWaiting => "cancel-waiting",
    }
}

/// What the count means, and what the button does.
fn sentences(kind: TaskKind, counted: Counted) -> (String, String) {
    let n = thousands(counted.found);
    let (few, more) = (counted.found, !counted.all);
    let number = match (more, few) {
        (true, 0) => "None so far; only the first part of the window was counted".to_owned(),
        (true, _) => format!("More than {n}"),
        (false, _) => n.clone(),
    };
    let messages = if few == 1 && !more { "message" } else { "messages" };
    match kind {
        TaskKind::Recover => (
            format!("{number} {messages} failed since then."),
            if more { "Resend all that failed".to_owned() } else { format!("Resend {n} failed {messages}") },
        ),
        TaskKind::ReplayMissing if more && few == 0 => (format!("{number}."), "Send all that are missing".to_owned()),
        TaskKind::ReplayMissing => (
            format!(
                "{number} {messages} since then {} never tried here.",
                if messages == "message" { "was" } else { "were" }
            ),
            if more { "Send all that are missing".to_owned() } else { format!("Send {n} missing {messages}") },
        ),
        TaskKind::CancelWaiting => {
            let deliveries = if few == 1 && !more { "delivery" } else { "deliveries" };
            let wait = if few == 1 && !more { "waits" } else { "wait" };
            (
                format!("{number} {deliveries} {wait} for this endpoint."),
                if more { "Cancel all that wait".to_owned() } else { format!("Cancel {n} waiting {deliveries}") },
            )
        }
    }
}

async fn page(
    visitor: &Visitor,
    app: &str,
    endpoint: &str,
    kind: TaskKind,
    fields: &Fields,
) -> Result<RepairPage, PageError> {
    visitor.actor.must_have(Capability::CreateAttempts)?;
    let (service, now) = (visitor.service(), visitor.now());
    let scope = service.open(&visitor.actor, app).await?;
    let e = service.endpoint(&scope, endpoint).await?;
    let here = path(scope.application(), &e);
    let title = match kind {
        TaskKind::Recover => "Resend failed messages",
        TaskKind::ReplayMissing => "Replay missing messages",
        TaskKind::CancelWaiting => "Cancel waiting deliveries",
    };
    let (mut problem, mut message) = (String::new(), String::new());
    let mut choice = fields.some("since").unwrap_or_else(|| DEFAULT.to_owned());
    let own = Moment::read(fields, "at");
    let mut since = match fields.some("message") {
        Some(id) => {
            let found = service.message(&scope, &id, false).await?;
            message = found.meta.id.to_string();
            Some(found.meta.created_at)
        }
        None => since(&choice, &own, now),
    };
    if !own.is_none() || !message.is_empty() {
        choice = "own".to_owned();
    }
    if kind == TaskKind::CancelWaiting {
        since = Some(Timestamp::default());
    }
    let counted = match since {
        Some(since) => service.count_for_task(&scope, &e, kind, since).await?,
        None => {
            problem = if own.is_wrong() { WRONG } else { "Choose since when." }.to_owned();
            Counted { found: 0, all: true }
        }
    };
    let (sentence, button) = sentences(kind, counted);
    Ok(RepairPage {
        frame: frame(visitor, scope.application(), title).below(address(&e), here.clone()),
        kind,
        address: address(&e),
        choices: CHOICES.iter().map(|(value, words, _)| (*value, *words)).collect(),
        choice,
        own,
        since: since.map(|at| When::new(at, now)),
        message,
        counted,
        sentence,
        button,
        action: format!("{here}/{}", word(kind)),
        back: here,
        problem,
    })
}

pub(crate) async fn confirm_recover(visitor: Visitor, Path((app, endpoint)): At, Query(query): Query) -> Page {
    show(&page(&visitor, &app, &endpoint, TaskKind::Recover, &query).await?)
}
pub(crate) async fn confirm_replay(visitor: Visitor, Path((app, endpoint)): At, Query(query): Query) -> Page {
    show(&page(&visitor, &app, &endpoint, TaskKind::ReplayMissing, &query).await?)
}
pub(crate) async fn confirm_cancel(visitor: Visitor, Path((app, endpoint)): At, Query(query): Query) -> Page {
    show(&page(&visitor, &app, &endpoint, TaskKind::CancelWaiting, &query).await?)
}
pub(crate) async fn recover(visitor: Visitor, Path((app, endpoint)): At, Form(form): Form) -> Answer {
    begin(&visitor, &app, &endpoint, TaskKind::Recover, &form).await
}
pub(crate) async fn replay(visitor: Visitor, Path((app, endpoint)): At, Form(form): Form) -> Answer {
    begin(&visitor, &app, &endpoint, TaskKind::ReplayMissing, &form).await
}
pub(crate) async fn cancel(visitor: Visitor, Path((app, endpoint)): At, Form(form): Form) -> Answer {
    begin(&visitor, &app, &endpoint, TaskKind::CancelWaiting, &form).await
}

async fn begin(visitor: &Visitor, app: &str, endpoint: &str, kind: TaskKind, form: &Fields) -> Answer {
    let since = since(form.get("since"), &Moment::read(form, "at"), visitor.now());
    let (service, scope) = (visitor.service(), visitor.service().open(&visitor.actor, app).await?);
    let begun = match (kind, since) {
        (TaskKind::CancelWaiting, _) => Some(service.cancel_waiting(&scope, endpoint).await),
        (TaskKind::Recover, Some(since)) => Some(service.recover(&scope, endpoint, since, None).await),
        (TaskKind::ReplayMissing, Some(since)) => Some(service.replay_missing(&scope, endpoint, since, None).await),
        (_, None) => None,
    };
    let problem = match begun {
        Some(Ok(task)) => {
            let e = service.endpoint(&scope, endpoint).await?;
            let here = format!("{}/tasks/{}", path(scope.application(), &e), task.id);
            return Ok(go(&link(&here, &[("of", form.get("of"))])));
        }
        Some(Err(e)) if is_about_input(&e) => in_words(&e),
        Some(Err(e)) => return Err(e.into()),
        None => String::new(),
    };
    let mut page = page(visitor, app, endpoint, kind, form).await?;
    if !problem.is_empty() {
        page.problem = problem;
    }
    Ok(show(&page)?.into_response())
}

/// The beginning of the window: a time of one's own, or one of the choices.
fn since(choice: &str, own: &Moment, now: Timestamp) -> Option<Timestamp> {
    if !own.is_none() {
        return own.at();
    }
    let (name, _, hours) = CHOICES.iter().find(|(value, ..)| *value == choice)?;
    let back = Duration::from_secs(hours * 3600);
    Some(now.minus(if *name == "14d" { back - READING } else { back }))
}

#[derive(Template)]
#[template(path = "task.html")]
struct TaskPage {
    frame: Frame,
    path: String,
    done: bool,
    failed: bool,
    cancels: bool,
    share: u8,
    words: String,
    updated: When,
}

/// How far a repair is.
pub(crate) async fn task(
    visitor: Visitor,
    Path((app, endpoint, id)): Path<(String, String, String)>,
    Query(query): Query,
) -> Page {
    let service = visitor.service();
    let scope = service.open(&visitor.actor, &app).await?;
    let e = service.endpoint(&scope, &endpoint).await?;
    let (task, share) = service.task_progress(&scope, &e, &id).await?;
    let here = path(scope.application(), &e);
    let cancels = task.kind == TaskKind::CancelWaiting;
    let title = match (task.kind, task.status) {
        (TaskKind::Recover, TaskStatus::Running) => "Resending failed messages",
        (TaskKind::Recover, _) => "Failed messages were resent",
        (TaskKind::ReplayMissing, TaskStatus::Running) => "Sending missing messages",
        (TaskKind::ReplayMissing, _) => "Missing messages were sent",
        (TaskKind::CancelWaiting, TaskStatus::Running) => "Cancelling what waits",
        (TaskKind::CancelWaiting, _) => "What waited was cancelled",
    };
    let sent = thousands(task.sent);
    let of = query.get("of").parse::<u64>().ok().filter(|of| *of >= task.sent && *of > 0);
    let what = if cancels { "cancelled" } else { "put into the queue" };
    let words = match (task.status, of) {
        (TaskStatus::Running, Some(of)) => format!("{sent} of about {} {what} so far.", thousands(of)),
        (TaskStatus::Running, None) => format!("{sent} {what} so far."),
        (TaskStatus::Finished, _) if task.sent == 0 => "There was nothing to do.".to_owned(),
        (TaskStatus::Finished, _) => {
            let n = usize::try_from(task.sent).unwrap_or(usize::MAX);
            let subject = if cancels { "delivery" } else { "message" };
            let verb = if n == 1 { "was" } else { "were" };
            let subject = if cancels && n != 1 {
                format!("{sent} deliveries")
            } else if n == 1 {
                count(1, subject)
            } else {
                format!("{sent} {subject}s")
            };
            format!("{subject} {verb} {what}.")
        }
        (TaskStatus::Failed, _) => "It ended because the endpoint or the application was deleted.".to_owned(),
    };
    show(&TaskPage {
        frame: frame(&visitor, scope.application(), title).below(address(&e), here.clone()),
        path: here,
        done: task.status != TaskStatus::Running,
        failed: task.status == TaskStatus::Failed,
        cancels,
        share,
        words,
        updated: When::new(task.updated_at, visitor.now()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_begins_at_a_choice_or_at_a_time_of_ones_own() {
        let now = Timestamp::parse("2026-05-02T09:14:00Z").unwrap();
        let own = Timestamp::parse("2026-05-01T09:14:00Z").unwrap();
        assert_eq!(since("1d", &Moment::None, now), Some(own));
        assert_eq!(since("8h", &Moment::At(own), now), Some(own));
        assert_eq!(since("8h", &Moment::Wrong("tomorrow".to_owned()), now), None);
        assert_eq!(since("own", &Moment::None, now), None);
    }

    #[test]
    fn the_button_says_what_it_does() {
        let of = |kind, found, all| sentences(kind, Counted { found, all });
        let (sentence, button) = of(TaskKind::Recover, 37, true);
        assert_eq!(
            (sentence.as_str(), button.as_str()),
            ("37 messages failed since then.", "Resend 37 failed messages")
        );
        let (sentence, button) = of(TaskKind::Recover, 10_000, false);
        assert_eq!(sentence, "More than 10,000 messages failed since then.");
        assert_eq!(button, "Resend all that failed");
        assert_eq!(of(TaskKind::ReplayMissing, 1, true).1, "Send 1 missing message");
        assert_eq!(of(TaskKind::ReplayMissing, 1, true).0, "1 message since then was never tried here.");
        assert_eq!(of(TaskKind::CancelWaiting, 1, true).0, "1 delivery waits for this endpoint.");
    }
}
