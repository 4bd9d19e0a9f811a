//! Applications: the list, making one, its settings, its end.

use crate::{
    form::{Form, Query, link},
    health,
    page::{Answer, Frame, Page, Room, app_path, go, in_words, is_about_input, problem_of, show},
    session::Visitor,
    words::{Mark, When, count},
};
use askama::Template;
use axum::{extract::Path, response::IntoResponse};
use domain::{ApplicationId, Cursor, Ksuid, Order, PageQuery, Retention};
use service::{
    Patch, Permission,
    applications::{ApplicationChange, ApplicationInput, platforms},
};

const PAGE: usize = 25;

struct Row {
    name: String,
    id: String,
    uid: String,
    path: String,
    platform: String,
    /// Whether it is a classroom with settings of its own for one webhook.
    has_webhook_settings: bool,
    endpoints: String,
    mark: Mark,
    health: String,
    created: When,
}

#[derive(Template)]
#[template(path = "applications.html")]
struct ListPage {
    frame: Frame,
    rows: Vec<Row>,
    newer: String,
    older: String,
    /// Nobody could come back without the link.
    wants_operator: bool,
    may_create: bool,
}

#[derive(Template, Default)]
#[template(path = "application_form.html")]
struct FormPage {
    frame: Frame,
    action: String,
    button: &'static str,
    name: String,
    uid: String,
    platform: String,
    platforms: Vec<(&'static str, &'static str)>,
    rate: String,
    name_problem: String,
    uid_problem: String,
    problem: String,
    id: String,
    public: bool,
    may_delete: bool,
    /// Days that payloads and attempts are kept, if the application says so itself.
    payload_days: String,
    attempt_days: String,
    days_problem: String,
}

#[derive(Template)]
#[template(path = "confirm.html")]
pub(crate) struct ConfirmPage {
    pub(crate) frame: Frame,
    pub(crate) text: Vec<String>,
    pub(crate) action: String,
    pub(crate) button: String,
    pub(crate) back: String,
    pub(crate) dangerous: bool,
}

pub(crate) async fn list(visitor: Visitor, Query(query): Query) -> Page {
    let id = |text: &str| text.parse::<ApplicationId>().ok().map(|id| id.0);
    let cursor =
        id(query.get("older")).map(Cursor::After::<Ksuid>).or_else(|| id(query.get("newer")).map(Cursor::Before));
    let page = PageQuery { limit: PAGE, cursor: cursor.clone(), order: Order::Descending };
    let applications = visitor.service().applications(&visitor.actor, page).await?;
    let now = visitor.now();
    let mut rows = Vec::new();
    for app in &applications.items {
        let scope = visitor.service().open(&visitor.actor, &app.id.to_string()).await?;
        let endpoints: Vec<_> = scope.endpoints().cloned().collect();
        let (mark, health) = health::of_application(&endpoints);
        let about = service::platform::about(app);
        rows.push(Row {
            name: app.name.clone(),
            id: app.id.to_string(),
            uid: app.uid.as_ref().map(ToString::to_string).unwrap_or_default(),
            path: app_path(app),
            platform: about.title.to_owned(),
            has_webhook_settings: about.defaults.body_secret,
            endpoints: count(endpoints.len(), "endpoint"),
            mark,
            health,
            created: When::new(app.created_at, now),
        });
    }
    let (newer, older) = around(&cursor, applications.more);
    let end = |row: Option<&Row>| row.map(|r| r.id.clone()).unwrap_or_default();
    let newer = if newer { link("/applications", &[("newer", &end(rows.first()))]) } else { String::new() };
    let older = if older { link("/applications", &[("older", &end(rows.last()))]) } else { String::new() };
    show(&ListPage {
        frame: Frame::new(&visitor, "Applications"),
        rows,
        newer,
        older,
        wants_operator: visitor.service().wants_operator(&visitor.actor).await?,
        may_create: visitor.is_operator(),
    })
}

/// Whether there are newer and older items than a page's.
pub(crate) fn around(cursor: &Option<Cursor<Ksuid>>, more: bool) -> (bool, bool) {
    match cursor {
        None => (false, more),
        Some(Cursor::After(_)) => (true, more),
        Some(Cursor::Before(_)) => (more, true),
    }
}

pub(crate) async fn new(visitor: Visitor) -> Page {
    visitor.actor.must_be_organization()?;
    show(&new_form(&visitor))
}

fn new_form(visitor: &Visitor) -> FormPage {
    let frame = Frame::new(visitor, "Create an application").below("Applications", "/applications");
    let action = "/applications".to_owned();
    FormPage { frame, action, button: "Create application", platforms: platforms().collect(), ..FormPage::default() }
}

pub(crate) async fn create(visitor: Visitor, Form(form): Form) -> Answer {
    let mut extras = service::applications::ApplicationExtras::default();
    if let Some(platform) = form.some("platform") {
        extras.platform = Patch::Set(platform);
    }
    let input = ApplicationInput {
        name: form.get("name").to_owned(),
        uid: form.some("uid"),
        throttle_rate: form.get("rate").parse().ok(),
        extras,
        ..ApplicationInput::default()
    };
    match visitor.service().create_application(&visitor.actor, input, false).await {
        Ok(saved) => Ok(go(&app_path(&saved.into_inner()))),
        Err(e) if is_about_input(&e) => Ok(show(&filled(new_form(&visitor), &form, &e))?.into_response()),
        Err(e) => Err(e.into()),
    }
}

/// A number of days; one that is none is more than any rule allows.
pub(crate) fn days(form: &crate::form::Fields, name: &str) -> Option<u16> {
    form.some(name).map(|text| text.parse().unwrap_or(u16::MAX))
}

fn filled(page: FormPage, form: &crate::form::Fields, e: &service::ServiceError) -> FormPage {
    let (name_problem, uid_problem) = (problem_of(e, "name"), problem_of(e, "uid"));
    let days_problem = format!("{} {}", problem_of(e, "payloadDays"), problem_of(e, "attemptDays")).trim().to_owned();
    let elsewhere = name_problem.is_empty() && uid_problem.is_empty() && days_problem.is_empty();
    FormPage {
        name: form.get("name").to_owned(),
        uid: form.get("uid").to_owned(),
        platform: form.get("platform").to_owned(),
        rate: form.get("rate").to_owned(),
        problem: if elsewhere { in_words(e) } else { String::new() },
        payload_days: form.get("payload_days").to_owned(),
        attempt_days: form.get("attempt_days").to_owned(),
        name_problem,
        uid_problem,
        days_problem,
        ..page
    }
}

pub(crate) async fn settings(visitor: Visitor, Path(app): Path<String>) -> Page {
    let scope = visitor.service().open(&visitor.actor, &app).await?;
    visitor.actor.must(Permission::ManageApplication)?;
    show(&settings_form(&visitor, scope.application()))
}

fn settings_form(visitor: &Visitor, app: &domain::Application) -> FormPage {
    FormPage {
        frame: Frame::of(visitor, app, Room::Settings, "Settings"),
        action: format!("{}/settings", app_path(app)),
        button: "Save settings",
        platforms: platforms().collect(),
        name: app.name.clone(),
        uid: app.uid.as_ref().map(ToString::to_string).unwrap_or_default(),
        platform: app.options.platform.clone().unwrap_or_default(),
        rate: app.throttle_rate.map(|r| r.to_string()).unwrap_or_default(),
        id: app.id.to_string(),
        public: app.options.public_catalogue,
        may_delete: visitor.is_operator(),
        payload_days: app.options.retention.payload_days.map(|d| d.to_string()).unwrap_or_default(),
        attempt_days: app.options.retention.attempt_days.map(|d| d.to_string()).unwrap_or_default(),
        ..FormPage::default()
    }
}

pub(crate) async fn save(visitor: Visitor, Path(app): Path<String>, Form(form): Form) -> Answer {
    let scope = visitor.service().open(&visitor.actor, &app).await?;
    let mut change = ApplicationChange {
        name: Some(form.get("name").to_owned()),
        uid: Patch::replace(form.some("uid")),
        throttle_rate: Patch::replace(form.get("rate").parse().ok()),
        ..ApplicationChange::default()
    };
    change.extras.platform = Patch::replace(form.some("platform"));
    change.extras.public_catalogue = Patch::Set(form.ticked("public"));
    let retention = Retention { payload_days: days(&form, "payload_days"), attempt_days: days(&form, "attempt_days") };
    change.extras.retention = Patch::Set(retention);
    match visitor.service().patch_application(&scope, change).await {
        Ok(saved) => {
            visitor.say("The settings were saved.");
            Ok(go(&format!("{}/settings", app_path(&saved))))
        }
        Err(e) if is_about_input(&e) => {
            Ok(show(&filled(settings_form(&visitor, scope.application()), &form, &e))?.into_response())
        }
        Err(e) => Err(e.into()),
    }
}

pub(crate) async fn confirm_delete(visitor: Visitor, Path(app): Path<String>) -> Page {
    let scope = visitor.service().open_managed(&visitor.actor, &app).await?;
    let app = scope.application();
    let endpoints = scope.endpoints().count();
    show(&ConfirmPage {
        frame: Frame::of(&visitor, app, Room::Settings, format!("Delete {}?", app.name)),
        text: vec![
            format!("{} with its {} and everything in its log will be gone.", app.name, count(endpoints, "endpoint")),
            "What waits to be delivered is not sent any more. This cannot be undone.".to_owned(),
        ],
        action: format!("{}/delete", app_path(app)),
        button: "Delete application".to_owned(),
        back: format!("{}/settings", app_path(app)),
        dangerous: true,
    })
}

pub(crate) async fn delete(visitor: Visitor, Path(app): Path<String>) -> Answer {
    let scope = visitor.service().open_managed(&visitor.actor, &app).await?;
    visitor.service().delete_application(&scope).await?;
    visitor.say(format!("{} was deleted.", scope.application().name));
    Ok(go("/applications"))
}
