//! Webhook settings of a classroom: the address, the secret that events carry, and how long to try. For applications whose
//! platform puts the secret into the body; each of their endpoints is shown, and most have one.

use crate::{
    endpoint::{address, path},
    form::{Fields, Form},
    health,
    page::{Answer, Frame, Page, PageError, Room, app_path, go, in_words, is_about_input, show as render},
    session::Visitor,
    settings_of_endpoint::preset,
    student_data::{Asked, ConsentShown, agreed},
    words::Mark,
};
use askama::Template;
use axum::{extract::Path, response::IntoResponse};
use domain::Endpoint;
use service::{
    AppScope, Capability, ServiceError,
    endpoints::{EndpointChange, EndpointExtras},
    platform::{about, retry_presets},
};

/// The longer choice.
const PATIENT: &str = "patient";

/// Endpoints at most on the page.
const MOST: usize = 100;

/// A choice of how long to try.
struct Choice {
    name: &'static str,
    title: &'static str,
    chosen: bool,
}

/// The settings of one endpoint.
struct Settings {
    id: String,
    path: String,
    /// Its address as it may be shown to everybody.
    address: String,
    /// The same in full, for those who may change it.
    url: String,
    mark: Mark,
    word: &'static str,
    /// Empty while it is hidden.
    secret: String,
    choices: Vec<Choice>,
    /// Its own waits, if they are none of the choices.
    other: String,
    consent: ConsentShown,
    asked: Option<Asked>,
    problem: String,
}

#[derive(Template)]
#[template(path = "classroom.html")]
struct ClassroomPage {
    frame: Frame,
    path: String,
    noun: &'static str,
    endpoints: Vec<Settings>,
    may_manage: bool,
    may_see: bool,
    may_rotate: bool,
    may_send: bool,
}

async fn settings(visitor: &Visitor, scope: &AppScope, e: &Endpoint) -> Result<Settings, ServiceError> {
    let (mark, word) = health::of_endpoint(e);
    let options = &e.options;
    let usual = about(scope.application()).defaults.options.retry_schedule;
    let choices: Vec<_> = retry_presets()
        .filter(|p| Some(&p.schedule) == usual.as_ref() || p.name == PATIENT)
        .map(|p| Choice {
            name: p.name,
            title: p.title,
            chosen: options.retry_schedule.as_ref() == Some(&p.schedule) && options.final_statuses == p.final_statuses,
        })
        .collect();
    let waits = options.retry_schedule.as_ref();
    let other = waits
        .map_or_else(|| "as the application or the server decides".to_owned(), |w| w.to_string().replace(',', ", "));
    Ok(Settings {
        id: e.id.to_string(),
        path: path(scope.application(), e),
        address: address(e),
        url: e.url.clone(),
        mark,
        word,
        secret: String::new(),
        other: if choices.iter().any(|c| c.chosen) { String::new() } else { other },
        choices,
        consent: ConsentShown::read(visitor, scope, e).await?,
        asked: None,
        problem: String::new(),
    })
}

async fn page(visitor: &Visitor, scope: &AppScope) -> Result<ClassroomPage, PageError> {
    let app = scope.application();
    let about = about(app);
    if !about.has_body_secrets {
        return Err(PageError::NotFound);
    }
    let mut endpoints = Vec::new();
    // In memory already, with all that belongs to the application.
    for e in scope.endpoints().rev().filter(|e| e.secrets.body.is_some()).take(MOST) {
        endpoints.push(settings(visitor, scope, e).await?);
    }
    Ok(ClassroomPage {
        frame: Frame::of(visitor, app, Room::WebhookSettings, "Webhook settings"),
        path: app_path(app),
        noun: about.noun,
        endpoints,
        may_manage: visitor.can(Capability::ManageEndpoint),
        may_see: visitor.can(Capability::ViewEndpointSecret),
        may_rotate: visitor.can(Capability::ManageEndpointSecret),
        may_send: visitor.can(Capability::CreateAttempts),
    })
}

pub(crate) async fn show(visitor: Visitor, Path(app): Path<String>) -> Page {
    let scope = visitor.service().open(&visitor.actor, &app).await?;
    render(&page(&visitor, &scope).await?)
}

/// The change that the form asks for.
fn change(form: &Fields) -> EndpointChange {
    let mut extras = match form.some("retry") {
        Some(name) if name != "other" => preset(&name),
        _ => EndpointExtras::default(),
    };
    extras.student_data = agreed(form);
    EndpointChange { url: Some(form.get("url").to_owned()), extras, ..EndpointChange::default() }
}

/// Shows the secret of one endpoint, once; or saves its settings.
pub(crate) async fn save(visitor: Visitor, Path(app): Path<String>, Form(form): Form) -> Answer {
    let scope = visitor.service().open(&visitor.actor, &app).await?;
    let id = form.get("endpoint");
    let mut page = page(&visitor, &scope).await?;
    let Some(at) = page.endpoints.iter_mut().find(|e| e.id == id) else { return Err(PageError::NotFound) };
    if form.get("go") == "reveal" {
        at.secret = visitor.service().endpoint_body_secret(&scope, id).await?;
        return Ok(render(&page)?.into_response());
    }
    at.url = form.get("url").to_owned();
    if let Some(wanted) = form.some("retry") {
        at.choices.iter_mut().for_each(|c| c.chosen = c.name == wanted);
    }
    match save_one(&visitor, &scope, id, change(&form), &form, at).await? {
        Ok(true) => {
            visitor.say("The settings were saved. The next try uses them.");
            Ok(go(&format!("{}/webhook", page.path)))
        }
        Ok(false) => Ok(render(&page)?.into_response()),
        Err(problem) => {
            at.problem = problem;
            Ok(render(&page)?.into_response())
        }
    }
}

/// Whether it was saved; not if something has to be agreed to first. Or what is wrong with it.
async fn save_one(
    visitor: &Visitor,
    scope: &AppScope,
    id: &str,
    change: EndpointChange,
    form: &Fields,
    at: &mut Settings,
) -> Result<Result<bool, String>, PageError> {
    let service = visitor.service();
    let asked =
        if form.ticked("agreed") { Ok(None) } else { service.disclosure_after(scope, id, change.clone()).await };
    let done = match asked {
        Ok(Some(disclosure)) => {
            at.asked = Some(Asked::of(disclosure, form));
            return Ok(Ok(false));
        }
        Ok(None) => service.patch_endpoint(scope, id, change).await.map(|_| true),
        Err(error) => Err(error),
    };
    match done {
        Err(error) if is_about_input(&error) => Ok(Err(in_words(&error))),
        done => Ok(Ok(done?)),
    }
}
