//! Webfilters: the list, what each filter can do, and the form with every setting.

mod bench;
mod form;
mod log;

use crate::{
    Dashboard,
    applications::ConfirmPage,
    form::Query,
    page::{Answer, Frame, Page, Room, app_path, go, show},
    session::Visitor,
    words::{Mark, count},
};
use askama::Template;
use axum::{Router, extract::Path, routing::get};
use domain::{
    Application, Order, PageQuery, Webfilter,
    webfilter::{Because, Effect, FilterRules, OnSilence},
};
use service::{AppScope, Capability, ServiceError};
use std::sync::Arc;

/// As many as an application may have.
const MOST: usize = 500;

/// The pages below an application's address.
pub(crate) fn routes(app: &str) -> Router<Arc<Dashboard>> {
    let at = |path: &str| format!("{app}/webfilters{path}");
    Router::new()
        .route(&at(""), get(list))
        .route(&at("/new"), get(form::new).post(form::create))
        .route(&at("/filters"), get(filters))
        .route(&at("/log"), get(log::list))
        .route(&at("/log/{run}"), get(log::show_run))
        .route(&at("/bench"), get(bench::open).post(bench::run))
        .route(&at("/{webfilter}"), get(form::edit).post(form::save))
        .route(&at("/{webfilter}/secret"), axum::routing::post(form::reveal))
        .route(&at("/{webfilter}/rotate"), get(confirm_rotate).post(rotate))
        .route(&at("/{webfilter}/delete"), get(confirm_delete).post(delete))
}

/// The frame of a page about webfilters.
fn frame(visitor: &Visitor, app: &Application, title: impl Into<String>) -> Frame {
    Frame::of(visitor, app, Room::Webfilters, title).below("Webfilters", room(app))
}

/// The address of the room.
fn room(app: &Application) -> String {
    format!("{}/webfilters", app_path(app))
}

/// All webfilters of an application, in the order in which each filter's are combined.
async fn all(visitor: &Visitor, scope: &AppScope) -> Result<Vec<Webfilter>, ServiceError> {
    let page = PageQuery { limit: MOST, cursor: None, order: Order::Ascending };
    let mut all = visitor.service().webfilters(scope, None, page).await?.items;
    all.sort_by(|a, b| (&a.filter, a.place()).cmp(&(&b.filter, b.place())));
    Ok(all)
}

/// The name of a filter as people read it: `Student Login Requested`, `IDV Page URL Requested`.
fn spoken(name: &str) -> String {
    if name.contains(['.', '_', '-']) {
        return name.to_owned();
    }
    let chars: Vec<char> = name.chars().collect();
    let mut out = String::with_capacity(name.len() + 8);
    for (n, c) in chars.iter().enumerate() {
        let begins_word = n > 0
            && c.is_uppercase()
            && (chars[n - 1].is_lowercase() || chars.get(n + 1).is_some_and(|next| next.is_lowercase()));
        if begins_word {
            out.push(' ');
        }
        out.push(*c);
    }
    out
}

/// What the platform does with a piece of data, in words.
fn effect_words(effect: Effect) -> &'static str {
    match effect {
        Effect::Replace => "replaced",
        Effect::Merge => "merged",
        Effect::Save => "changed and saved",
        Effect::Memory => "changed, not saved",
        Effect::Narrow => "narrows the list",
        Effect::Add => "added",
    }
}

struct Row {
    address: String,
    path: String,
    description: String,
    /// Only where it differs from the row above.
    filter: String,
    spoken: String,
    mark: Mark,
    word: &'static str,
    halts: String,
}

#[derive(Template)]
#[template(path = "webfilters.html")]
struct ListPage {
    frame: Frame,
    path: String,
    rows: Vec<Row>,
    may_manage: bool,
}

async fn list(visitor: Visitor, Path(app): Path<String>) -> Page {
    let scope = visitor.service().open(&visitor.actor, &app).await?;
    let app = scope.application();
    let path = room(app);
    let row = |w: Webfilter| {
        let (mark, word) = if w.settings.enabled { (Mark::Delivered, "On") } else { (Mark::Off, "Switched off") };
        Row {
            address: w.shown_url(),
            path: format!("{path}/{}", w.id),
            spoken: spoken(w.filter.as_str()),
            filter: w.filter.to_string(),
            halts: halts_words(&w),
            description: w.settings.description,
            mark,
            word,
        }
    };
    show(&ListPage {
        frame: Frame::of(&visitor, app, Room::Webfilters, "Webfilters"),
        rows: all(&visitor, &scope).await?.into_iter().map(row).collect(),
        may_manage: visitor.can(Capability::ManageEndpoint),
        path,
    })
}

/// When a webfilter halts, in a few words.
fn halts_words(w: &Webfilter) -> String {
    let s = &w.settings;
    let mut on: Vec<&str> = s
        .halts()
        .into_iter()
        .filter(|(_, rule)| rule.halts)
        .map(|(because, _)| match because {
            Because::Status4xx => "4xx",
            Because::Status5xx => "5xx",
            Because::RequestException | Because::Silence => "a failed call",
        })
        .collect();
    if s.on_silence == OnSilence::Halt && !s.on_request_exception.halts {
        on.push("silence");
    }
    let halts = if on.is_empty() { String::new() } else { format!("halts on {}", on.join(", ")) };
    let unused = match (s.disable_filtering, s.disable_halting) {
        (true, true) => "only watches",
        (true, false) => "data unused",
        (false, true) => "exceptions unused",
        (false, false) => "",
    };
    [halts.as_str(), unused].into_iter().filter(|w| !w.is_empty()).collect::<Vec<_>>().join("; ")
}

struct FilterRow {
    name: String,
    spoken: String,
    description: String,
    takes: Vec<(String, &'static str)>,
    raises: Vec<String>,
    halts: String,
    offered: bool,
    webfilters: String,
}

impl FilterRow {
    fn of(rules: &FilterRules, webfilters: usize) -> Self {
        let own = rules.exceptions.is_none();
        Self {
            name: rules.name.to_string(),
            spoken: spoken(rules.name.as_str()),
            description: if own { "A filter of your own.".to_owned() } else { rules.description.clone() },
            takes: rules.updates.iter().map(|(key, effect)| (key.clone(), effect_words(*effect))).collect(),
            raises: rules.exceptions.iter().flatten().map(|e| e.name.clone()).collect(),
            halts: match (&rules.halt_exception, own) {
                (_, true) => "yes, with any exception".to_owned(),
                (Some(name), _) if rules.can_redirect(None) => format!("yes, with {name}, and can redirect"),
                (Some(name), _) => format!("yes, with {name}"),
                (None, _) => "no".to_owned(),
            },
            offered: rules.offered,
            webfilters: if webfilters == 0 { String::new() } else { count(webfilters, "webfilter") },
        }
    }
}

#[derive(Template)]
#[template(path = "webfilter_filters.html")]
struct FiltersPage {
    frame: Frame,
    path: String,
    rows: Vec<FilterRow>,
}

async fn filters(visitor: Visitor, Path(app): Path<String>, Query(_): Query) -> Page {
    let scope = visitor.service().open(&visitor.actor, &app).await?;
    let app = scope.application();
    show(&FiltersPage {
        frame: frame(&visitor, app, "What each filter can do"),
        path: room(app),
        rows: visitor.service().filters(&scope)?.iter().map(|f| FilterRow::of(&f.rules, f.webfilters)).collect(),
    })
}

async fn confirm_rotate(visitor: Visitor, Path((app, webfilter)): Path<(String, String)>) -> Page {
    visitor.actor.must_have(Capability::ManageEndpointSecret)?;
    let scope = visitor.service().open(&visitor.actor, &app).await?;
    let w = visitor.service().webfilter(&scope, &webfilter).await?;
    let here = format!("{}/{}", room(scope.application()), w.id);
    show(&ConfirmPage {
        frame: frame(&visitor, scope.application(), "Rotate the signing secret?").below(w.shown_url(), here.clone()),
        text: vec![
            format!("Requests to {} are signed with a new secret from now on.", w.shown_url()),
            "For one day the old one signs as well, so that the receiver can be changed without a gap.".to_owned(),
        ],
        action: format!("{here}/rotate"),
        button: "Rotate secret".to_owned(),
        back: here,
        dangerous: false,
    })
}

async fn rotate(visitor: Visitor, Path((app, webfilter)): Path<(String, String)>) -> Answer {
    let scope = visitor.service().open(&visitor.actor, &app).await?;
    visitor.service().rotate_webfilter_secret(&scope, &webfilter, None, None).await?;
    visitor.say("The secret was rotated. The old one goes on signing for one day.");
    Ok(go(&format!("{}/{webfilter}", room(scope.application()))))
}

async fn confirm_delete(visitor: Visitor, Path((app, webfilter)): Path<(String, String)>) -> Page {
    visitor.actor.must_have(Capability::ManageEndpoint)?;
    let scope = visitor.service().open(&visitor.actor, &app).await?;
    let w = visitor.service().webfilter(&scope, &webfilter).await?;
    let here = format!("{}/{}", room(scope.application()), w.id);
    show(&ConfirmPage {
        frame: frame(&visitor, scope.application(), "Delete this webfilter?").below(w.shown_url(), here.clone()),
        text: vec![
            format!("{} is not asked about {} any more.", w.shown_url(), spoken(w.filter.as_str())),
            "What it answered before stays in the log.".to_owned(),
        ],
        action: format!("{here}/delete"),
        button: "Delete webfilter".to_owned(),
        back: here,
        dangerous: true,
    })
}

async fn delete(visitor: Visitor, Path((app, webfilter)): Path<(String, String)>) -> Answer {
    let scope = visitor.service().open(&visitor.actor, &app).await?;
    visitor.service().delete_webfilter(&scope, &webfilter).await?;
    visitor.say("The webfilter was deleted.");
    Ok(go(&room(scope.application())))
}

#[cfg(test)]
mod tests {
    #[test]
    fn names_of_filters_are_spoken_in_words() {
        for (name, words) in [
            ("StudentLoginRequested", "Student Login Requested"),
            ("IDVPageURLRequested", "IDV Page URL Requested"),
            ("RenderXBlockStarted", "Render X Block Started"),
            ("campus.room.booked", "campus.room.booked"),
        ] {
            assert_eq!(super::spoken(name), words);
        }
    }
}
