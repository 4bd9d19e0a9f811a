//! The organization's settings: tokens, alerts, retention, branding. (Its people are in `people`, its log in `audit`.)

use crate::{
    applications::{around, days},
    form::{Form, Query, link},
    page::{Answer, Frame, Page, PageError, app_path, go, in_words, is_about_input, problem_of, show as render},
    session::Visitor,
    words::When,
};
use askama::Template;
use axum::{
    extract::Path,
    response::{IntoResponse, Response},
};
use domain::{AlertId, Cursor, Order, PageQuery, Retention};
use service::organization::Branding;

const PAGE: usize = 50;

#[derive(Template)]
#[template(path = "tokens.html")]
struct TokensPage {
    frame: Frame,
    /// Shown this once.
    token: String,
    of: String,
    organization: String,
}

struct AlertRow {
    id: String,
    sentence: &'static str,
    application: String,
    address: String,
    path: String,
    first: When,
    last: When,
}

struct Webhook {
    id: String,
    url: String,
    /// If it was asked for.
    secret: String,
}

#[derive(Template)]
#[template(path = "alerts.html")]
struct AlertsPage {
    frame: Frame,
    rows: Vec<AlertRow>,
    webhooks: Vec<Webhook>,
    url: String,
    problem: String,
    can_mail: bool,
    /// One on each line.
    emails: String,
    email_problem: String,
    newer: String,
    older: String,
}

#[derive(Template)]
#[template(path = "retention.html")]
struct RetentionPage {
    frame: Frame,
    payload_days: String,
    attempt_days: String,
    payload_problem: String,
    attempt_problem: String,
}

#[derive(Template)]
#[template(path = "branding.html")]
struct BrandingPage {
    frame: Frame,
    name: String,
    mark: String,
    accent: String,
    name_problem: String,
    mark_problem: String,
    accent_problem: String,
}

/// `/settings`: the first of its pages.
pub(crate) async fn first(visitor: Visitor) -> Answer {
    visitor.actor.must_be_organization()?;
    Ok(go("/settings/people"))
}

fn tokens_page(visitor: &Visitor, token: String) -> TokensPage {
    TokensPage {
        frame: Frame::new(visitor, "Tokens"),
        token,
        of: "the whole organization".to_owned(),
        organization: visitor.actor.organization().to_string(),
    }
}

pub(crate) async fn tokens(visitor: Visitor) -> Page {
    visitor.actor.must_be_organization()?;
    render(&tokens_page(&visitor, String::new()))
}

pub(crate) async fn create_token(visitor: Visitor) -> Page {
    let token = visitor.service().create_organization_token(&visitor.actor).await?;
    render(&tokens_page(&visitor, token))
}

pub(crate) async fn create_application_token(visitor: Visitor, Path(app): Path<String>) -> Page {
    let scope = visitor.service().open(&visitor.actor, &app).await?;
    let token = visitor.service().create_application_token(&scope).await?;
    let app = scope.application();
    let frame = Frame::of(&visitor, app, crate::page::Room::Settings, "A new token")
        .below("Settings", format!("{}/settings", app_path(app)));
    let organization = visitor.actor.organization().to_string();
    render(&ApplicationTokenPage { frame, token, name: app.name.clone(), organization })
}

#[derive(Template)]
#[template(path = "application_token.html")]
struct ApplicationTokenPage {
    frame: Frame,
    token: String,
    name: String,
    organization: String,
}

async fn alerts_page(visitor: &Visitor, query: &crate::form::Fields) -> Result<AlertsPage, PageError> {
    let (service, now) = (visitor.service(), visitor.now());
    let id = |text: &str| text.parse::<AlertId>().ok().map(|id| id.0);
    let cursor = id(query.get("older")).map(Cursor::After).or_else(|| id(query.get("newer")).map(Cursor::Before));
    let page = PageQuery { limit: PAGE, cursor: cursor.clone(), order: Order::Descending };
    let found = service.alerts(&visitor.actor, page).await?;
    let mut rows = Vec::new();
    for alert in &found.items {
        let (mut application, mut address, mut path) =
            ("a deleted application".to_owned(), String::new(), String::new());
        if let Ok(scope) = service.open(&visitor.actor, &alert.application.to_string()).await {
            application = scope.application().name.clone();
            let endpoint = scope.endpoints().find(|e| e.id == alert.endpoint);
            address = endpoint.map_or_else(|| alert.endpoint.to_string(), |e| crate::endpoint::address(e));
            if endpoint.is_some() {
                path = format!("{}/endpoints/{}", app_path(scope.application()), alert.endpoint);
            }
        }
        rows.push(AlertRow {
            id: alert.id.to_string(),
            sentence: alert.kind.sentence(),
            application,
            address,
            path,
            first: When::new(alert.first_at, now),
            last: When::new(alert.last_at, now),
        });
    }
    let webhooks = service.alert_webhooks(&visitor.actor).await?;
    let webhook = |e: &domain::Endpoint| Webhook {
        id: e.id.to_string(),
        url: crate::endpoint::address(e),
        secret: String::new(),
    };
    let (newer, older) = around(&cursor, found.more);
    let end = |row: Option<&AlertRow>| row.map(|r| r.id.clone()).unwrap_or_default();
    Ok(AlertsPage {
        frame: Frame::new(visitor, "Alerts"),
        newer: if newer { link("/settings/alerts", &[("newer", &end(rows.first()))]) } else { String::new() },
        older: if older { link("/settings/alerts", &[("older", &end(rows.last()))]) } else { String::new() },
        rows,
        webhooks: webhooks.iter().map(webhook).collect(),
        url: String::new(),
        problem: String::new(),
        can_mail: service.can_mail(),
        emails: service.alert_emails(&visitor.actor).await?.join("\n"),
        email_problem: String::new(),
    })
}

pub(crate) async fn alerts(visitor: Visitor, Query(query): Query) -> Page {
    render(&alerts_page(&visitor, &query).await?)
}

pub(crate) async fn dismiss(visitor: Visitor, Form(form): Form) -> Answer {
    let dismissed = visitor.service().dismiss_alerts(&visitor.actor, form.some("alert").as_deref()).await?;
    visitor.say(format!("{} dismissed.", crate::words::count(dismissed as usize, "alert")));
    Ok(go("/settings/alerts"))
}

pub(crate) async fn add_webhook(visitor: Visitor, Form(form): Form) -> Answer {
    match visitor.service().add_alert_webhook(&visitor.actor, form.get("url")).await {
        Ok(_) => {
            visitor.say("Operational webhooks go there from now on.");
            Ok(go("/settings/alerts"))
        }
        Err(e) if is_about_input(&e) => {
            let page = alerts_page(&visitor, &crate::form::Fields::default()).await?;
            let page = AlertsPage { url: form.get("url").to_owned(), problem: in_words(&e), ..page };
            Ok(render(&page)?.into_response())
        }
        Err(e) => Err(e.into()),
    }
}

pub(crate) async fn save_emails(visitor: Visitor, Form(form): Form) -> Answer {
    let text = form.get("emails");
    let words = text.split([' ', ',', ';', '\n', '\r']).filter(|w| !w.is_empty());
    let emails: Vec<String> = words.map(str::to_owned).collect();
    match visitor.service().put_alert_emails(&visitor.actor, &emails).await {
        Ok(()) => {
            visitor.say("Saved.");
            Ok(go("/settings/alerts"))
        }
        Err(e) if is_about_input(&e) => {
            let page = alerts_page(&visitor, &crate::form::Fields::default()).await?;
            let page = AlertsPage { emails: text.to_owned(), email_problem: in_words(&e), ..page };
            Ok(render(&page)?.into_response())
        }
        Err(e) => Err(e.into()),
    }
}

pub(crate) async fn reveal_webhook(visitor: Visitor, Path(endpoint): Path<String>) -> Page {
    let secret = visitor.service().alert_webhook_secret(&visitor.actor, &endpoint).await?;
    let mut page = alerts_page(&visitor, &crate::form::Fields::default()).await?;
    for webhook in page.webhooks.iter_mut().filter(|w| w.id == endpoint) {
        webhook.secret = secret.clone();
    }
    render(&page)
}

pub(crate) async fn remove_webhook(visitor: Visitor, Path(endpoint): Path<String>) -> Answer {
    visitor.service().remove_alert_webhook(&visitor.actor, &endpoint).await?;
    visitor.say("Nothing more is sent there.");
    Ok(go("/settings/alerts"))
}

fn number(days: Option<u16>) -> String {
    days.map(|d| d.to_string()).unwrap_or_default()
}

pub(crate) async fn retention(visitor: Visitor) -> Page {
    let now = visitor.service().organization_options(&visitor.actor).await?.retention;
    render(&RetentionPage {
        frame: Frame::new(&visitor, "Retention"),
        payload_days: number(now.payload_days),
        attempt_days: number(now.attempt_days),
        payload_problem: String::new(),
        attempt_problem: String::new(),
    })
}

pub(crate) async fn save_retention(visitor: Visitor, Form(form): Form) -> Answer {
    let service = visitor.service();
    let mut options = service.organization_options(&visitor.actor).await?;
    options.retention =
        Retention { payload_days: days(&form, "payload_days"), attempt_days: days(&form, "attempt_days") };
    match service.put_organization_options(&visitor.actor, options).await {
        Ok(_) => {
            visitor.say("Saved. It holds for what is published from now on; rows past their time go within a minute.");
            Ok(go("/settings/retention"))
        }
        Err(e) if is_about_input(&e) => Ok(render(&RetentionPage {
            frame: Frame::new(&visitor, "Retention"),
            payload_days: form.get("payload_days").to_owned(),
            attempt_days: form.get("attempt_days").to_owned(),
            payload_problem: problem_of(&e, "payloadDays"),
            attempt_problem: problem_of(&e, "attemptDays"),
        })?
        .into_response()),
        Err(e) => Err(e.into()),
    }
}

fn branding_page(visitor: &Visitor, b: Branding) -> BrandingPage {
    BrandingPage {
        frame: Frame::new(visitor, "Branding"),
        name: b.name,
        mark: b.mark,
        accent: b.accent,
        name_problem: String::new(),
        mark_problem: String::new(),
        accent_problem: String::new(),
    }
}

pub(crate) async fn branding(visitor: Visitor) -> Page {
    visitor.actor.must_be_organization()?;
    render(&branding_page(&visitor, visitor.found.branding.clone()))
}

pub(crate) async fn save_branding(visitor: Visitor, Form(form): Form) -> Answer {
    let accent = form.get("accent").trim_start_matches('#').to_ascii_lowercase();
    let wanted = Branding { name: form.get("name").to_owned(), mark: form.get("mark").to_owned(), accent };
    match visitor.service().put_branding(&visitor.actor, wanted.clone()).await {
        Ok(()) => {
            visitor.say("Saved. Portals look like this too, unless their links say otherwise.");
            Ok(go("/settings/branding"))
        }
        Err(e) if is_about_input(&e) => {
            let page = BrandingPage {
                name_problem: problem_of(&e, "name"),
                mark_problem: problem_of(&e, "mark"),
                accent_problem: problem_of(&e, "accent"),
                ..branding_page(&visitor, wanted)
            };
            Ok::<Response, PageError>(render(&page)?.into_response())
        }
        Err(e) => Err(e.into()),
    }
}
