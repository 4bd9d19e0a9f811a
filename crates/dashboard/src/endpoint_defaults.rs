//! What new endpoints of an application start out with: one form, and a way back to what the platform says.

use crate::{
    form::{Fields, Form},
    page::{Answer, Frame, Page, Room, app_path, go, in_words, is_about_input, problem_of, show},
    session::Visitor,
    typed,
};
use askama::Template;
use axum::{extract::Path, response::IntoResponse};
use domain::{Application, EndpointDefaults};
use service::{
    Patch, Permission,
    applications::{ApplicationChange, EndpointDefaultsChange},
    endpoints::EndpointExtras,
    platform::about,
};

#[derive(Template)]
#[template(path = "endpoint_defaults.html")]
struct DefaultsPage {
    frame: Frame,
    action: String,
    back: String,
    /// What the platform is called; empty without one.
    platform: &'static str,
    is_changed: bool,
    formats: Vec<(&'static str, &'static str)>,
    encodings: Vec<(&'static str, &'static str)>,
    format: String,
    encoding: String,
    waits: String,
    waits_problem: String,
    statuses: String,
    statuses_problem: String,
    concurrency: String,
    concurrency_problem: String,
    ordered: bool,
    signed: bool,
    jwt: bool,
    body_secret: bool,
    https_only: bool,
    only_selected: bool,
    problem: String,
}

fn page(visitor: &Visitor, app: &Application) -> DefaultsPage {
    let about = about(app);
    let EndpointDefaults { options, body_secret } = about.defaults;
    DefaultsPage {
        frame: Frame::of(visitor, app, Room::Settings, "New endpoints")
            .below("Settings", format!("{}/settings", app_path(app))),
        back: format!("{}/settings", app_path(app)),
        action: format!("{}/settings/endpoints", app_path(app)),
        platform: about.title,
        is_changed: about.has_own_defaults,
        formats: typed::formats(),
        encodings: typed::encodings(),
        format: options.format.name().to_owned(),
        encoding: options.encoding.name().to_owned(),
        waits: options.retry_schedule.as_ref().map(typed::waits_in_field).unwrap_or_default(),
        waits_problem: String::new(),
        statuses: typed::list(&options.final_statuses),
        statuses_problem: String::new(),
        concurrency: options.concurrency.map(|n| n.to_string()).unwrap_or_default(),
        concurrency_problem: String::new(),
        ordered: options.ordered,
        signed: !options.unsigned,
        jwt: options.body_signing.is_some(),
        body_secret,
        https_only: options.https_only,
        only_selected: options.only_selected,
        problem: String::new(),
    }
}

pub(crate) async fn edit(visitor: Visitor, Path(app): Path<String>) -> Page {
    let scope = visitor.service().open(&visitor.actor, &app).await?;
    visitor.actor.must(Permission::ManageApplication)?;
    show(&page(&visitor, scope.application()))
}

/// What the form says, as a change; what cannot be read is said on the page. What is allowed, the operation decides.
fn change(form: &Fields, page: &mut DefaultsPage) -> Option<EndpointDefaultsChange> {
    let waits = typed::waits(form.get("waits")).map_err(|problem| page.waits_problem = problem);
    let statuses = typed::statuses(form.get("statuses")).map_err(|problem| page.statuses_problem = problem);
    let concurrency = typed::number(form.get("concurrency")).map_err(|problem| page.concurrency_problem = problem);
    let (Ok(waits), Ok(statuses), Ok(concurrency)) = (waits, statuses, concurrency) else { return None };
    Some(EndpointDefaultsChange {
        extras: EndpointExtras {
            retry_schedule: waits,
            final_statuses: Patch::Set(statuses),
            concurrency,
            ordered: Patch::Set(form.ticked("ordered")),
            format: Patch::Set(form.get("format").to_owned()),
            encoding: Patch::Set(form.get("encoding").to_owned()),
            signature_headers: Patch::Set(form.ticked("signed")),
            body_signing: Patch::replace(form.ticked("jwt").then(|| "jwt".to_owned())),
            https_only: Patch::Set(form.ticked("https_only")),
            only_selected: Patch::Set(form.ticked("only_selected")),
            ..EndpointExtras::default()
        },
        body_secret: Patch::Set(form.ticked("body_secret")),
    })
}

/// The page with what was filled in.
fn filled(page: DefaultsPage, form: &Fields) -> DefaultsPage {
    DefaultsPage {
        format: form.get("format").to_owned(),
        encoding: form.get("encoding").to_owned(),
        waits: form.get("waits").to_owned(),
        statuses: form.get("statuses").to_owned(),
        concurrency: form.get("concurrency").to_owned(),
        ordered: form.ticked("ordered"),
        signed: form.ticked("signed"),
        jwt: form.ticked("jwt"),
        body_secret: form.ticked("body_secret"),
        https_only: form.ticked("https_only"),
        only_selected: form.ticked("only_selected"),
        ..page
    }
}

pub(crate) async fn save(visitor: Visitor, Path(app): Path<String>, Form(form): Form) -> Answer {
    let scope = visitor.service().open(&visitor.actor, &app).await?;
    let mut page = page(&visitor, scope.application());
    let defaults = if form.ticked("reset") {
        Patch::Clear
    } else {
        match change(&form, &mut page) {
            Some(change) => Patch::Set(change),
            None => return Ok(show(&filled(page, &form))?.into_response()),
        }
    };
    let mut change = ApplicationChange::default();
    change.extras.endpoint_defaults = defaults;
    match visitor.service().patch_application(&scope, change).await {
        Ok(_) => {
            visitor.say("Saved. Endpoints that are added from now on start out like this.");
            Ok(go(&page.action))
        }
        Err(e) if is_about_input(&e) => {
            let of = |field| problem_of(&e, field);
            (page.waits_problem, page.statuses_problem) = (of("retrySchedule"), of("finalStatuses"));
            page.concurrency_problem = of("concurrency");
            if [&page.waits_problem, &page.statuses_problem, &page.concurrency_problem].iter().all(|p| p.is_empty()) {
                page.problem = in_words(&e);
            }
            Ok(show(&filled(page, &form))?.into_response())
        }
        Err(e) => Err(e.into()),
    }
}
