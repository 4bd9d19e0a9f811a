//! One form with every setting of a webfilter, for a new one and for one that is there.

use super::{FilterRow, frame, room, spoken};
use crate::{
    form::{Fields, Form},
    page::{Answer, Frame, Page, PageError, go, is_about_input, problem_of, show},
    session::Visitor,
};
use askama::Template;
use axum::{extract::Path, response::IntoResponse};
use domain::{Webfilter, WebfilterSettings, webfilter::HaltRule};
use service::{
    AppScope, Capability, Patch, ServiceError,
    webfilters::{WebfilterChange, WebfilterInput},
};

/// A family of filters to choose from.
struct Family {
    name: String,
    choices: Vec<Choice>,
}

struct Choice {
    name: String,
    spoken: String,
    chosen: bool,
}

/// A halt as the form shows it.
struct HaltFields {
    /// What the names of its fields begin with.
    halt: &'static str,
    redirect: &'static str,
    label: &'static str,
    redirect_label: &'static str,
    halts: bool,
    to: String,
}

#[derive(Template)]
#[template(path = "webfilter_form.html")]
struct FormPage {
    frame: Frame,
    room: String,
    /// The address of the webfilter; empty for a new one.
    here: String,
    id: String,
    families: Vec<Family>,
    own: String,
    about: Option<FilterRow>,
    url: String,
    uid: String,
    deadline: String,
    order: String,
    settings: WebfilterSettings,
    halts: Vec<HaltFields>,
    secret: Option<String>,
    may_manage: bool,
    may_see_secret: bool,
    error: Option<ServiceError>,
}

impl FormPage {
    fn problem(&self, field: impl AsRef<str>) -> String {
        self.error.as_ref().map(|e| problem_of(e, field.as_ref())).unwrap_or_default()
    }
    /// What is wrong, where no field says so.
    fn other_problem(&self) -> String {
        match &self.error {
            Some(ServiceError::Invalid(_)) => "Some of this cannot be saved: see below.".to_owned(),
            Some(e) => e.to_string(),
            None => String::new(),
        }
    }
    fn is_encoding(&self, word: &str) -> bool {
        self.settings.encoding.name() == word
    }
    fn is_version(&self, word: &str) -> bool {
        self.settings.wire_version.name() == word
    }
    fn is_silence(&self, word: &str) -> bool {
        self.settings.on_silence.name() == word
    }
    fn halt_exception(&self) -> &str {
        self.settings.halt_exception.as_deref().unwrap_or_default()
    }
}

/// What a form holds before anything was typed.
fn blank(visitor: &Visitor, scope: &AppScope, filter: &str) -> Result<FormPage, ServiceError> {
    page(visitor, scope, None, filter, WebfilterSettings::default())
}

fn page(
    visitor: &Visitor,
    scope: &AppScope,
    webfilter: Option<&Webfilter>,
    filter: &str,
    settings: WebfilterSettings,
) -> Result<FormPage, ServiceError> {
    let app = scope.application();
    let known = visitor.service().filters(scope)?;
    let mut families: Vec<Family> = Vec::new();
    for info in known.iter().filter(|f| f.rules.exceptions.is_some()) {
        let name = if info.rules.offered { spoken_family(&info.rules.group) } else { "Others".to_owned() };
        let choice = Choice {
            name: info.rules.name.to_string(),
            spoken: spoken(info.rules.name.as_str()),
            chosen: info.rules.name.as_str() == filter,
        };
        match families.iter_mut().find(|f| f.name == name) {
            Some(family) => family.choices.push(choice),
            None => families.push(Family { name, choices: vec![choice] }),
        }
    }
    families.sort_by(|a, b| (a.name == "Others", &a.name).cmp(&(b.name == "Others", &b.name)));
    let in_list = families.iter().flat_map(|f| &f.choices).any(|c| c.chosen);
    let room = room(app);
    let title = match webfilter {
        None => "Add a webfilter".to_owned(),
        Some(w) => format!("Webfilter of {}", spoken(w.filter.as_str())),
    };
    let halt = |halt, redirect, label, redirect_label, rule: &HaltRule| HaltFields {
        halt,
        redirect,
        label,
        redirect_label,
        halts: rule.halts,
        to: rule.redirect.clone().unwrap_or_default(),
    };
    let halts = vec![
        halt("haltOn4xx", "redirectOn4xx", "Halt on 4xx", "Redirect on 4xx", &settings.on_4xx),
        halt("haltOn5xx", "redirectOn5xx", "Halt on 5xx", "Redirect on 5xx", &settings.on_5xx),
        halt(
            "haltOnRequestException",
            "redirectOnRequestException",
            "Halt on request exception",
            "Redirect on request exception",
            &settings.on_request_exception,
        ),
    ];
    let about = visitor.service().filter(scope, filter).ok().map(|f| FilterRow::of(&f.rules, f.webfilters));
    Ok(FormPage {
        frame: frame(visitor, app, title),
        here: webfilter.map(|w| format!("{room}/{}", w.id)).unwrap_or_default(),
        id: webfilter.map(|w| w.id.to_string()).unwrap_or_default(),
        room,
        families,
        own: if in_list { String::new() } else { filter.to_owned() },
        about,
        url: webfilter.map_or_else(|| "https://".to_owned(), |w| w.url.clone()),
        uid: webfilter.and_then(|w| w.uid.as_ref()).map(ToString::to_string).unwrap_or_default(),
        deadline: settings.deadline_ms.map(|ms| ms.to_string()).unwrap_or_default(),
        order: settings.order.to_string(),
        halts,
        settings,
        secret: None,
        may_manage: visitor.can(Capability::ManageEndpoint),
        may_see_secret: visitor.can(Capability::ViewEndpointSecret),
        error: None,
    })
}

fn spoken_family(group: &str) -> String {
    let mut words = group.replace('_', " ");
    if let Some(first) = words.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    words
}

/// A whole number, or a complaint beside its field.
fn number<T: std::str::FromStr>(form: &Fields, field: &'static str) -> Result<Patch<T>, ServiceError> {
    match form.get(field) {
        "" => Ok(Patch::Clear),
        text => text
            .parse()
            .map(Patch::Set)
            .map_err(|_| ServiceError::invalid(&["body", field], format!("'{text}' is not a whole number that fits"))),
    }
}

/// What the form says. Whether it is allowed, the operation decides.
fn change(form: &Fields) -> Result<WebfilterChange, ServiceError> {
    let text = |field: &str| Patch::replace(form.some(field));
    let ticked = |field: &str| Patch::Set(form.ticked(field));
    Ok(WebfilterChange {
        filter: Some(filter_in(form)),
        url: Some(form.get("url").to_owned()),
        uid: text("uid"),
        description: text("description"),
        enabled: ticked("enabled"),
        order: number(form, "order")?,
        encoding: Patch::Set(if form.ticked("form") { "form" } else { "json" }.to_owned()),
        wire_version: text("wireVersion"),
        disable_filtering: ticked("disableFiltering"),
        disable_halting: ticked("disableHalting"),
        halt_on_4xx: ticked("haltOn4xx"),
        redirect_on_4xx: text("redirectOn4xx"),
        halt_on_5xx: ticked("haltOn5xx"),
        redirect_on_5xx: text("redirectOn5xx"),
        halt_on_request_exception: ticked("haltOnRequestException"),
        redirect_on_request_exception: text("redirectOnRequestException"),
        on_silence: text("onSilence"),
        halt_exception: text("haltException"),
        deadline_ms: number(form, "deadlineMs")?,
    })
}

/// A name of one's own counts before the list.
fn filter_in(form: &Fields) -> String {
    form.some("own").unwrap_or_else(|| form.get("filter").to_owned())
}

/// The form as it was sent, with what was wrong.
fn again(mut page: FormPage, form: &Fields, error: ServiceError) -> Answer {
    page.url = form.get("url").to_owned();
    page.uid = form.get("uid").to_owned();
    page.deadline = form.get("deadlineMs").to_owned();
    page.order = form.get("order").to_owned();
    page.own = form.get("own").to_owned();
    for halt in &mut page.halts {
        halt.halts = form.ticked(halt.halt);
        halt.to = form.get(halt.redirect).to_owned();
    }
    let s = &mut page.settings;
    s.description = form.get("description").to_owned();
    s.enabled = form.ticked("enabled");
    s.disable_filtering = form.ticked("disableFiltering");
    s.disable_halting = form.ticked("disableHalting");
    s.halt_exception = form.some("haltException");
    s.encoding = if form.ticked("form") { "form" } else { "json" }.parse().unwrap_or_default();
    s.wire_version = form.get("wireVersion").parse().unwrap_or_default();
    s.on_silence = form.get("onSilence").parse().unwrap_or_default();
    page.error = Some(error);
    Ok(show(&page)?.into_response())
}

pub(super) async fn new(
    visitor: Visitor,
    Path(app): Path<String>,
    crate::form::Query(query): crate::form::Query,
) -> Page {
    visitor.actor.must_have(Capability::ManageEndpoint)?;
    let scope = visitor.service().open(&visitor.actor, &app).await?;
    show(&blank(&visitor, &scope, query.get("filter"))?)
}

pub(super) async fn create(visitor: Visitor, Path(app): Path<String>, Form(form): Form) -> Answer {
    let scope = visitor.service().open(&visitor.actor, &app).await?;
    let created = match change(&form) {
        Ok(change) => visitor.service().create_webfilter(&scope, WebfilterInput { change, secret: None }).await,
        Err(e) => Err(e),
    };
    match created {
        Ok(webfilter) => {
            visitor.say("The webfilter was added. Try it on the test bench before people depend on it.");
            Ok(go(&format!("{}/{}", room(scope.application()), webfilter.id)))
        }
        Err(e) if is_about_input(&e) => again(blank(&visitor, &scope, &filter_in(&form))?, &form, e),
        Err(e) => Err(e.into()),
    }
}

async fn existing(visitor: &Visitor, app: &str, webfilter: &str) -> Result<(AppScope, Webfilter, FormPage), PageError> {
    let scope = visitor.service().open(&visitor.actor, app).await?;
    let w = visitor.service().webfilter(&scope, webfilter).await?;
    let page = page(visitor, &scope, Some(&w), w.filter.as_str(), w.settings.clone())?;
    Ok((scope, w, page))
}

pub(super) async fn edit(visitor: Visitor, Path((app, webfilter)): Path<(String, String)>) -> Page {
    show(&existing(&visitor, &app, &webfilter).await?.2)
}

pub(super) async fn save(visitor: Visitor, Path((app, webfilter)): Path<(String, String)>, Form(form): Form) -> Answer {
    let (scope, w, shown) = existing(&visitor, &app, &webfilter).await?;
    let saved = match change(&form) {
        Ok(change) => visitor.service().patch_webfilter(&scope, &webfilter, change).await,
        Err(e) => Err(e),
    };
    match saved {
        Ok(_) => {
            visitor.say("The webfilter was saved.");
            Ok(go(&shown.here))
        }
        Err(e) if is_about_input(&e) => {
            let page = page(&visitor, &scope, Some(&w), &filter_in(&form), w.settings.clone())?;
            again(page, &form, e)
        }
        Err(e) => Err(e.into()),
    }
}

pub(super) async fn reveal(visitor: Visitor, Path((app, webfilter)): Path<(String, String)>) -> Page {
    let (scope, _, mut page) = existing(&visitor, &app, &webfilter).await?;
    page.secret = Some(visitor.service().webfilter_secret(&scope, &webfilter).await?);
    show(&page)
}
