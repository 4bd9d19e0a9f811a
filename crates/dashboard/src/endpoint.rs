//! One endpoint: how it is doing, and testing it.

use crate::{
    events::catalogue,
    form::{Fields, Form, Query, link},
    health::{self, Health},
    page::{Answer, Frame, Page, Room, app_path, go, in_words, is_about_input, show},
    session::Visitor,
    standing::{Ahead, Standing},
    student_data::ConsentShown,
    words::{Mark, When, millis, status_code},
};
use askama::Template;
use axum::{extract::Path, response::IntoResponse};
use bytes::Bytes;
use domain::{Application, Attempt, AttemptStatus, Endpoint, TaskKind, Trigger, json::pretty};
use service::{AppScope, Capability, ServiceError, Window, attempts::AttemptsLike, sent::SentHeaders};
use std::collections::HashMap;

/// The address of an endpoint's page.
pub(crate) fn path(app: &Application, endpoint: &Endpoint) -> String {
    format!("{}/endpoints/{}", app_path(app), endpoint.id)
}

/// Its address as it may be shown: a password in it stays hidden.
pub(crate) fn address(endpoint: &Endpoint) -> String {
    let Ok(mut url) = url::Url::parse(&endpoint.url) else { return endpoint.url.clone() };
    if !url.username().is_empty() || url.password().is_some() {
        // Both only fail on addresses without a host, which no endpoint has.
        let _ = url.set_username("…");
        let _ = url.set_password(None);
    }
    url.to_string().replacen("%E2%80%A6@", "…@", 1)
}

/// What stands above every tab.
pub(crate) struct Head {
    pub(crate) path: String,
    pub(crate) app_path: String,
    pub(crate) address: String,
    pub(crate) id: String,
    pub(crate) health: Health,
    pub(crate) enabled: bool,
    pub(crate) may_manage: bool,
    pub(crate) may_send: bool,
    pub(crate) tab: &'static str,
    /// Repairs that are under way: address and words.
    pub(crate) running: Vec<(String, &'static str)>,
}

impl Head {
    pub(crate) async fn read(
        visitor: &Visitor,
        scope: &AppScope,
        endpoint: &Endpoint,
        tab: &'static str,
    ) -> Result<Self, ServiceError> {
        let here = path(scope.application(), endpoint);
        let running = visitor.service().running_tasks_to(scope, endpoint).await?;
        let words = |kind| match kind {
            TaskKind::Recover => "Failed messages are being resent.",
            TaskKind::ReplayMissing => "Missing messages are being sent.",
            TaskKind::CancelWaiting => "What waits is being cancelled.",
        };
        Ok(Self {
            running: running.iter().map(|t| (format!("{here}/tasks/{}", t.id), words(t.kind))).collect(),
            path: here,
            app_path: app_path(scope.application()),
            address: address(endpoint),
            id: endpoint.id.to_string(),
            health: health::read(visitor, scope, endpoint).await?,
            enabled: endpoint.disabled.is_none(),
            may_manage: visitor.can(Capability::ManageEndpoint),
            may_send: visitor.can(Capability::CreateAttempts),
            tab,
        })
    }
    pub(crate) fn is(&self, tab: &str) -> bool {
        self.tab == tab
    }
}

/// The frame of a page about an endpoint.
pub(crate) fn frame(visitor: &Visitor, app: &Application, title: impl Into<String>) -> Frame {
    Frame::of(visitor, app, Room::Endpoints, title).below("Endpoints", app_path(app))
}

#[derive(Template)]
#[template(path = "endpoint_overview.html")]
pub(crate) struct OverviewPage {
    frame: Frame,
    head: Head,
    description: String,
    events: Vec<String>,
    listens_to: String,
    channels: Vec<String>,
    secret: String,
    may_see_secret: bool,
    may_rotate: bool,
    old_secrets: usize,
    has_body_secret: bool,
    consent: ConsentShown,
    created: When,
    updated: When,
    attempts: Vec<Row>,
}

impl OverviewPage {
    /// With the secret shown, if there is one.
    pub(crate) async fn read(
        visitor: &Visitor,
        scope: &AppScope,
        e: &Endpoint,
        secret: String,
    ) -> Result<Self, ServiceError> {
        let now = visitor.now();
        let attempts = visitor
            .service()
            .attempts_to_endpoint(scope, &e.id.to_string(), &Window::newest(8), &AttemptsLike::default(), false)
            .await?;
        Ok(Self {
            frame: frame(visitor, scope.application(), address(e)),
            head: Head::read(visitor, scope, e, "overview").await?,
            description: e.description.clone(),
            events: e.event_types.iter().flatten().map(ToString::to_string).collect(),
            listens_to: crate::endpoints::listens_to(e),
            channels: e.channels.iter().flatten().map(ToString::to_string).collect(),
            secret,
            may_see_secret: visitor.can(Capability::ViewEndpointSecret),
            may_rotate: visitor.can(Capability::ManageEndpointSecret),
            old_secrets: e.secrets.valid_at(now).count() - 1,
            has_body_secret: e.secrets.body.is_some(),
            consent: ConsentShown::read(visitor, scope, e).await?,
            created: When::new(e.created_at, now),
            updated: When::new(e.updated_at, now),
            attempts: rows(visitor, scope, &attempts.items).await?,
        })
    }
}

pub(crate) async fn overview(visitor: Visitor, Path((app, endpoint)): Path<(String, String)>) -> Page {
    let scope = visitor.service().open(&visitor.actor, &app).await?;
    let e = visitor.service().endpoint(&scope, &endpoint).await?;
    show(&OverviewPage::read(&visitor, &scope, &e, String::new()).await?)
}

/// An attempt in a table.
pub(crate) struct Row {
    pub(crate) mark: Mark,
    pub(crate) word: &'static str,
    pub(crate) event_type: String,
    pub(crate) message: String,
    pub(crate) path: String,
    pub(crate) code: String,
    pub(crate) duration: String,
    pub(crate) when: When,
    pub(crate) manual: bool,
    pub(crate) why: &'static str,
}

/// Attempts with the event types of their messages.
async fn rows(visitor: &Visitor, scope: &AppScope, attempts: &[Attempt]) -> Result<Vec<Row>, ServiceError> {
    let now = visitor.now();
    let mut types: HashMap<String, String> = HashMap::new();
    let mut rows = Vec::with_capacity(attempts.len());
    for a in attempts {
        let message = a.message.to_string();
        if !types.contains_key(&message) {
            let event_type = match visitor.service().message(scope, &message, false).await {
                Ok(found) => found.meta.event_type.to_string(),
                // Its row is past its time, the attempt's not yet.
                Err(ServiceError::NotFound(_)) => String::new(),
                Err(e) => return Err(e),
            };
            types.insert(message.clone(), event_type);
        }
        let ok = a.status == AttemptStatus::Success;
        rows.push(Row {
            mark: if ok { Mark::Delivered } else { Mark::Failed },
            word: if ok { "Delivered" } else { "Failed" },
            event_type: types.get(&message).cloned().unwrap_or_default(),
            path: format!("{}/messages/{message}", app_path(scope.application())),
            message,
            code: status_code(a.response_status),
            duration: millis(a.duration_ms),
            when: When::new(a.at, now),
            manual: a.trigger == Trigger::Manual,
            why: a.reason.map(|r| r.sentence()).unwrap_or_default(),
        });
    }
    Ok(rows)
}

#[derive(Template)]
#[template(path = "endpoint_testing.html")]
struct TestingPage {
    frame: Frame,
    head: Head,
    types: Vec<String>,
    event: String,
    payload: String,
    has_example: bool,
    event_problem: String,
    payload_problem: String,
    sent: Option<Sent>,
}

/// A test that was sent, and what came back so far.
struct Sent {
    message: String,
    path: String,
    answers: Vec<AnswerShown>,
    /// Where it stands before there is an answer.
    standing: Option<Standing>,
}

/// An attempt with what was answered.
pub(crate) struct AnswerShown {
    pub(crate) mark: Mark,
    pub(crate) word: &'static str,
    pub(crate) code: String,
    pub(crate) duration: String,
    pub(crate) when: When,
    pub(crate) why: &'static str,
    pub(crate) advice: &'static str,
    pub(crate) answer: String,
    pub(crate) manual: bool,
    pub(crate) url: String,
    pub(crate) id: String,
    /// The request's headers, secrets masked; none if the endpoint is gone.
    pub(crate) sent: Vec<(String, String)>,
    /// Whether the endpoint changed since, so that they may have been others.
    pub(crate) changed: bool,
}

impl AnswerShown {
    /// With what was sent, if its endpoint is still there; for somebody who may see answers, or not.
    pub(crate) fn with_request(
        may_see: bool,
        a: &Attempt,
        now: domain::Timestamp,
        e: &Endpoint,
        sent: Option<&SentHeaders>,
    ) -> Self {
        let shown = Self {
            sent: sent.map(|s| s.at(a.at)).unwrap_or_default(),
            changed: e.updated_at > a.at,
            ..Self::of(a, now)
        };
        if may_see { shown } else { Self { answer: "Your role does not show answers.".to_owned(), ..shown } }
    }
    pub(crate) fn of(a: &Attempt, now: domain::Timestamp) -> Self {
        let ok = a.status == AttemptStatus::Success;
        Self {
            mark: if ok { Mark::Delivered } else { Mark::Failed },
            word: if ok { "Delivered" } else { "Failed" },
            code: status_code(a.response_status),
            duration: millis(a.duration_ms),
            when: When::new(a.at, now),
            why: a.reason.map(|r| r.sentence()).unwrap_or_default(),
            advice: a.reason.map(|r| r.advice()).unwrap_or_default(),
            answer: a.response.clone(),
            manual: a.trigger == Trigger::Manual,
            url: a.url.clone(),
            id: a.id.to_string(),
            sent: Vec::new(),
            changed: false,
        }
    }
}

async fn testing_page(
    visitor: &Visitor,
    scope: &AppScope,
    e: &Endpoint,
    fields: &Fields,
) -> Result<TestingPage, ServiceError> {
    let head = Head::read(visitor, scope, e, "testing").await?;
    let listens = |name: &str| e.event_types.as_ref().is_none_or(|t| t.iter().any(|t| t.as_str() == name));
    let types = catalogue(visitor, scope, true).await?;
    let types: Vec<_> = types.into_iter().filter(|t| listens(t.name.as_str())).collect();
    let event = fields.some("event").or_else(|| types.first().map(|t| t.name.to_string())).unwrap_or_default();
    let example = types.iter().find(|t| t.name.as_str() == event).and_then(|t| t.example(0));
    let mut sent = None;
    if let Some(message) = fields.some("message") {
        let window = Window::newest(10);
        let like = AttemptsLike::default();
        let endpoint = head.id.as_str();
        let attempts =
            visitor.service().attempts_of_message(scope, &message, Some(endpoint), &window, &like, true).await?;
        let known = visitor.service().message(scope, &message, false).await?;
        let may_see = visitor.may(service::Permission::SeePayloads);
        let headers = visitor.service().sent_headers(scope, e, &known).await?;
        let shown = |a: &Attempt| AnswerShown::with_request(may_see, a, visitor.now(), e, Some(&headers));
        let answers: Vec<_> = attempts.items.iter().map(shown).collect();
        let found = visitor.service().deliveries_of(scope, &known).await?;
        let ahead = Ahead::new(e, true, visitor.service().in_line(scope, e)?, scope.application().throttle_rate);
        let standing = found
            .iter()
            .find(|(to, _)| to.key == e.key)
            .map(|(_, d)| ahead.of(known.meta.id, d.state, d.latest.is_some(), visitor.now()));
        sent = Some(Sent { path: format!("{}/messages/{message}", head.app_path), message, answers, standing });
    }
    Ok(TestingPage {
        frame: frame(visitor, scope.application(), format!("Test {}", head.address)),
        has_example: example.is_some(),
        payload: fields.some("payload").unwrap_or_else(|| {
            example.map_or_else(|| "{}".to_owned(), |example| pretty(example.to_string().as_bytes()))
        }),
        types: types.iter().map(|t| t.name.to_string()).collect(),
        head,
        event,
        event_problem: String::new(),
        payload_problem: String::new(),
        sent,
    })
}

pub(crate) async fn testing(
    visitor: Visitor,
    Path((app, endpoint)): Path<(String, String)>,
    Query(query): Query,
) -> Page {
    let scope = visitor.service().open(&visitor.actor, &app).await?;
    let e = visitor.service().endpoint(&scope, &endpoint).await?;
    visitor.actor.must_have(Capability::CreateAttempts)?;
    show(&testing_page(&visitor, &scope, &e, &query).await?)
}

pub(crate) async fn send_test(
    visitor: Visitor,
    Path((app, endpoint)): Path<(String, String)>,
    Form(form): Form,
) -> Answer {
    let scope = visitor.service().open(&visitor.actor, &app).await?;
    let payload = Bytes::from(form.get("payload").to_owned());
    let event = form.get("event");
    match visitor.service().send_test(&scope, &endpoint, event, payload).await {
        Ok(published) => {
            let e = visitor.service().endpoint(&scope, &endpoint).await?;
            let message = published.meta().id.to_string();
            let here = format!("{}/testing", path(scope.application(), &e));
            Ok(go(&link(&here, &[("event", event), ("message", &message)])))
        }
        Err(error) if is_about_input(&error) => {
            let e = visitor.service().endpoint(&scope, &endpoint).await?;
            let mut page = testing_page(&visitor, &scope, &e, &form).await?;
            page.payload_problem = crate::page::problem_of(&error, "payload");
            if page.payload_problem.is_empty() {
                page.event_problem = in_words(&error);
            }
            Ok(show(&page)?.into_response())
        }
        Err(e) => Err(e.into()),
    }
}
