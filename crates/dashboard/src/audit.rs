//! The audit log: who changed, revealed, resent or viewed what, and when.

use crate::{
    applications::around,
    form::{Query, link},
    moment::{Moment, WRONG},
    page::{Frame, Page, PageError, Room, app_path, in_words, is_about_input, show as render},
    session::Visitor,
    words::When,
};
use askama::Template;
use axum::extract::Path;
use domain::{Action, AuditEntry, AuditId, Cursor, Order, PageOf, PageQuery};
use service::{AppScope, audit::AuditOf};
use std::collections::{HashMap, hash_map::Entry};

const PAGE: usize = 50;

struct Row {
    id: String,
    when: When,
    kind: &'static str,
    actor: String,
    sentence: &'static str,
    object: String,
    /// Where the object is, if it has a page.
    path: String,
    detail: String,
    /// The name of the application that it was in, and where that is.
    application: Option<(String, String)>,
}

#[derive(Template)]
#[template(path = "audit.html")]
struct AuditPage {
    frame: Frame,
    path: String,
    in_settings: bool,
    rows: Vec<Row>,
    actions: Vec<(&'static str, &'static str)>,
    action: String,
    actor: String,
    object: String,
    since: Moment,
    until: Moment,
    narrowed: bool,
    problem: String,
    newer: String,
    older: String,
}

/// Where something that an entry names can be looked at.
fn place(entry: &AuditEntry) -> String {
    let Some(app) = entry.application.map(|app| format!("/applications/{app}")) else {
        return if entry.object.starts_with("usr_") {
            format!("/settings/people/{}", entry.object)
        } else {
            String::new()
        };
    };
    match entry.object.split_once('_').map(|(kind, _)| kind) {
        Some("ep") => format!("{app}/endpoints/{}", entry.object),
        Some("msg") => format!("{app}/messages/{}", entry.object),
        Some("app") => app,
        _ => String::new(),
    }
}

async fn page(
    visitor: &Visitor,
    scope: Option<&AppScope>,
    query: &crate::form::Fields,
) -> Result<AuditPage, PageError> {
    let (service, now) = (visitor.service(), visitor.now());
    let id = |text: &str| text.parse::<AuditId>().ok().map(|id| id.0);
    let cursor = id(query.get("older")).map(Cursor::After).or_else(|| id(query.get("newer")).map(Cursor::Before));
    let asked = PageQuery { limit: PAGE, cursor: cursor.clone(), order: Order::Descending };
    let (since, until) = (Moment::read(query, "since"), Moment::read(query, "until"));
    let mut problem = if since.is_wrong() || until.is_wrong() { WRONG.to_owned() } else { String::new() };
    let of = AuditOf {
        actor: query.some("actor"),
        action: query.some("action"),
        object: query.some("object"),
        since: since.at(),
        until: until.at(),
    };
    let narrowed = of != AuditOf::default() || !problem.is_empty();
    let found = match scope {
        Some(scope) => service.audit_of(scope, of, asked).await,
        None => service.audit(&visitor.actor, of, asked).await,
    };
    let found = match found {
        Err(e) if is_about_input(&e) => {
            problem = in_words(&e);
            PageOf::empty()
        }
        other => other?,
    };
    let (frame, path) = match scope {
        Some(scope) => {
            let app = scope.application();
            (Frame::of(visitor, app, Room::Audit, "Audit log"), format!("{}/audit", app_path(app)))
        }
        None => (Frame::new(visitor, "Audit log"), "/settings/audit".to_owned()),
    };
    let mut applications = HashMap::new();
    for id in found.items.iter().filter(|_| scope.is_none()).filter_map(|e| e.application) {
        if let Entry::Vacant(free) = applications.entry(id) {
            // One that was deleted has its name in the entry about that.
            let scope = service.open(&visitor.actor, &id.to_string()).await.ok();
            free.insert(scope.map(|s| (s.application().name.clone(), app_path(s.application()))));
        }
    }
    let rows: Vec<Row> = found
        .items
        .iter()
        .map(|e| Row {
            id: e.id.to_string(),
            when: When::new(e.at, now),
            kind: e.actor_kind.sentence(),
            actor: e.actor.clone(),
            sentence: e.action.sentence(),
            object: e.object.clone(),
            path: place(e),
            detail: e.detail.clone(),
            application: e.application.and_then(|id| applications.get(&id).cloned().flatten()),
        })
        .collect();
    let (action, actor, object) =
        (query.get("action").to_owned(), query.get("actor").to_owned(), query.get("object").to_owned());
    let (newer, older) = around(&cursor, found.more);
    let (after, before) = (since.in_address(), until.in_address());
    let to = |name: &str, row: Option<&Row>| {
        let id = row.map(|r| r.id.as_str()).unwrap_or_default();
        let fields = [
            ("action", &*action),
            ("actor", &actor),
            ("object", &object),
            ("since", &after),
            ("until", &before),
            (name, id),
        ];
        link(&path, &fields)
    };
    Ok(AuditPage {
        newer: if newer { to("newer", rows.first()) } else { String::new() },
        older: if older { to("older", rows.last()) } else { String::new() },
        in_settings: scope.is_none(),
        actions: Action::ALL.iter().map(|a| (a.text(), a.sentence())).collect(),
        frame,
        path,
        rows,
        narrowed,
        problem,
        action,
        actor,
        object,
        since,
        until,
    })
}

pub(crate) async fn all(visitor: Visitor, Query(query): Query) -> Page {
    render(&page(&visitor, None, &query).await?)
}

pub(crate) async fn of_application(visitor: Visitor, Path(app): Path<String>, Query(query): Query) -> Page {
    let scope = visitor.service().open(&visitor.actor, &app).await?;
    render(&page(&visitor, Some(&scope), &query).await?)
}
