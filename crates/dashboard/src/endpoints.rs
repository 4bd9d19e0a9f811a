//! An application's endpoints: the list, and adding one in three steps.

use crate::{
    applications::around,
    endpoint::{address, path},
    events::{Group, catalogue, grouped},
    form::{Fields, Form, Query, link},
    health,
    more::{self, More},
    page::{Answer, Frame, Page, Room, app_path, go, in_words, is_about_input, show},
    session::Visitor,
    student_data::{Asked, agreed},
    words::{Mark, count, thousands},
};
use askama::Template;
use axum::{extract::Path, response::IntoResponse};
use domain::{Cursor, Endpoint, EndpointId, Ksuid, Order, PageQuery};
use service::{
    AppScope, Capability, Patch, ServiceError,
    endpoints::{EndpointChange, EndpointExtras, EndpointInput},
};
use std::collections::BTreeMap;

/// Endpoints on one page.
const PAGE: usize = 25;

struct Row {
    address: String,
    path: String,
    description: String,
    events: String,
    mark: Mark,
    word: &'static str,
    stats: String,
}

#[derive(Template)]
#[template(path = "endpoints.html")]
struct ListPage {
    frame: Frame,
    path: String,
    rows: Vec<Row>,
    may_manage: bool,
    /// The channels that the visitor is limited to, in words.
    limited_to: String,
    newer: String,
    older: String,
}

pub(crate) async fn list(visitor: Visitor, Path(app): Path<String>, Query(query): Query) -> Page {
    let scope = visitor.service().open(&visitor.actor, &app).await?;
    let app = scope.application();
    let id = |text: &str| text.parse::<EndpointId>().ok().map(|id| id.0);
    let cursor =
        id(query.get("older")).map(Cursor::After::<Ksuid>).or_else(|| id(query.get("newer")).map(Cursor::Before));
    let page = PageQuery { limit: PAGE, cursor: cursor.clone(), order: Order::Descending };
    let found = visitor.service().endpoints(&scope, page).await?;
    let mut rows = Vec::new();
    for e in &found.items {
        let (mut mark, mut word) = health::of_endpoint(e);
        let (success, fail) = health::of_last_day(&visitor, &scope, e).await?;
        // Switched on again a moment ago, and still nothing gets through.
        if e.disabled.is_none() && success == 0 && fail > 0 {
            (mark, word) = (Mark::Failing, "Failing");
        }
        rows.push(Row {
            address: address(e),
            path: path(app, e),
            description: e.description.clone(),
            events: listens_to(e),
            mark,
            word,
            stats: match success + fail {
                0 => "nothing sent".to_owned(),
                all => format!("{} of {}", thousands(success), thousands(all)),
            },
        });
    }
    let here = app_path(app);
    let (newer, older) = around(&cursor, found.more);
    let to = |name, e: Option<&Endpoint>| {
        let id = e.map(|e| e.id.to_string()).unwrap_or_default();
        link(&here, &[(name, &id)])
    };
    show(&ListPage {
        frame: Frame::of(&visitor, app, Room::Endpoints, "Endpoints"),
        newer: if newer { to("newer", found.items.first()) } else { String::new() },
        older: if older { to("older", found.items.last()) } else { String::new() },
        path: here.clone(),
        rows,
        limited_to: scope.confines().map(ToString::to_string).unwrap_or_default(),
        may_manage: visitor.can(Capability::ManageEndpoint),
    })
}

/// What it selected, in words.
pub(crate) fn listens_to(e: &Endpoint) -> String {
    match &e.event_types {
        None if e.options.only_selected => "nothing until events are ticked".to_owned(),
        None => "all events".to_owned(),
        Some(types) if types.len() == 1 => types.iter().map(ToString::to_string).collect(),
        Some(types) => count(types.len(), "event type"),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    Address,
    Events,
    Review,
}

/// The three steps. Without script, each is a form that carries along what the others said.
#[derive(Template)]
#[template(path = "endpoint_new.html")]
struct NewPage {
    frame: Frame,
    path: String,
    step: Step,
    url: String,
    description: String,
    events: Vec<String>,
    /// What else was set, as it was typed.
    more: More,
    /// Whether expressions may be written.
    may_filter: bool,
    groups: Vec<Group>,
    total: usize,
    /// Whether nothing is sent while nothing is ticked.
    only_selected: bool,
    /// How the address is asked before it is saved.
    handshake: String,
    /// What is asked before student data leaves, if any does.
    asked: Option<Asked>,
    url_problem: String,
    problem: String,
}

impl NewPage {
    fn is(&self, step: &str) -> bool {
        step == match self.step {
            Step::Address => "address",
            Step::Events => "events",
            Step::Review => "review",
        }
    }
}

async fn new_page(visitor: &Visitor, scope: &AppScope, form: &Fields, step: Step) -> Result<NewPage, ServiceError> {
    let app = scope.application();
    let types = catalogue(visitor, scope, false).await?;
    let events = form.all("event");
    let asked = match step {
        Step::Review => {
            let disclosure = visitor.service().disclosure_of_new(scope, change(form)?).await?;
            disclosure.is_asked().then(|| Asked::of(disclosure, form))
        }
        Step::Address | Step::Events => None,
    };
    let path = app_path(app);
    Ok(NewPage {
        frame: Frame::of(visitor, app, Room::Endpoints, "Add an endpoint").below("Endpoints", path.clone()),
        step,
        url: form.some("url").unwrap_or_else(|| "https://".to_owned()),
        description: form.get("description").to_owned(),
        groups: grouped(&types, &events, &path),
        total: types.len(),
        only_selected: service::platform::about(app).defaults.options.only_selected,
        handshake: form.get("handshake").to_owned(),
        more: More::of(form),
        may_filter: visitor.can(Capability::ManageTransformations),
        events,
        asked,
        url_problem: String::new(),
        problem: String::new(),
        path,
    })
}

/// What the form says so far. What it does not say is as the application's platform has it.
fn change(form: &Fields) -> Result<EndpointChange, ServiceError> {
    let events = form.all("event");
    let more = understood(form)?;
    Ok(EndpointChange {
        url: Some(form.get("url").to_owned()),
        event_types: if events.is_empty() { Patch::Keep } else { Patch::Set(events) },
        channels: more.channels.map_or(Patch::Keep, Patch::Set),
        throttle_rate: more.throttle_rate.map_or(Patch::Keep, Patch::Set),
        headers: more.headers,
        extras: more.extras,
        ..EndpointChange::default()
    })
}

fn understood(form: &Fields) -> Result<more::Settings, ServiceError> {
    More::of(form).understood().map_err(|problem| ServiceError::invalid(&["body"], problem))
}

pub(crate) async fn new(visitor: Visitor, Path(app): Path<String>) -> Page {
    visitor.actor.must_have(Capability::ManageEndpoint)?;
    let scope = visitor.service().open(&visitor.actor, &app).await?;
    show(&new_page(&visitor, &scope, &Fields::default(), Step::Address).await?)
}

/// One step forward or back. The address is checked at the first step already, by the rule that creating has.
pub(crate) async fn step(visitor: Visitor, Path(app): Path<String>, Form(form): Form) -> Answer {
    let scope = visitor.service().open(&visitor.actor, &app).await?;
    let app = scope.application();
    let wanted = match form.get("go") {
        "address" => Step::Address,
        "events" => Step::Events,
        _ => Step::Review,
    };
    if wanted != Step::Address
        && let Err(e) = visitor.service().may_have_address(&scope, form.get("url")).await
    {
        if !is_about_input(&e) {
            return Err(e.into());
        }
        let mut page = new_page(&visitor, &scope, &form, Step::Address).await?;
        page.url_problem = in_words(&e);
        return Ok(show(&page)?.into_response());
    }
    // What else was set is looked at before the next step too.
    if wanted != Step::Address {
        let looked_at = match change(&form) {
            Ok(change) => visitor.service().disclosure_of_new(&scope, change).await.map(|_| ()),
            Err(e) => Err(e),
        };
        match looked_at {
            Err(e) if is_about_input(&e) => {
                let mut page = new_page(&visitor, &scope, &form, Step::Address).await?;
                page.problem = in_words(&e);
                return Ok(show(&page)?.into_response());
            }
            looked_at => looked_at?,
        }
    }
    if form.get("go") != "create" {
        return Ok(show(&new_page(&visitor, &scope, &form, wanted).await?)?.into_response());
    }
    let agreed = agreed(&form);
    if agreed == Patch::Keep {
        let page = new_page(&visitor, &scope, &form, Step::Review).await?;
        if page.asked.is_some() {
            return Ok(show(&page)?.into_response());
        }
    }
    let events = form.all("event");
    let more = understood(&form)?;
    let input = EndpointInput {
        url: form.get("url").to_owned(),
        description: form.get("description").to_owned(),
        uid: None,
        disabled: false,
        event_types: (!events.is_empty()).then_some(events),
        channels: more.channels,
        throttle_rate: more.throttle_rate,
        secret: None,
        metadata: BTreeMap::new(),
        version: 1,
        headers: more.headers,
        extras: EndpointExtras {
            student_data: agreed,
            handshake: Patch::replace(form.some("handshake")),
            ..more.extras
        },
    };
    match visitor.service().create_endpoint(&scope, input).await {
        Ok(endpoint) => {
            visitor.say("The endpoint was added. Send a test to see whether the receiver answers.");
            Ok(go(&path(app, &endpoint)))
        }
        Err(e) if is_about_input(&e) => {
            let mut page = new_page(&visitor, &scope, &form, Step::Review).await?;
            page.problem = in_words(&e);
            Ok(show(&page)?.into_response())
        }
        Err(e) => Err(e.into()),
    }
}
