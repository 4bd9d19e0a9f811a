//! The test bench: what would happen, with answers that are given or with real ones.

use super::{all, effect_words, frame, log::RunShown, room, spoken};
use crate::{
    form::{Fields, Form, Query},
    page::{Answer, Frame, Page, PageError, is_about_input, problem_of, show},
    session::Visitor,
};
use askama::Template;
use axum::{extract::Path, response::IntoResponse};
use domain::{Json, Webfilter, json::pretty, webfilter::Change};
use service::{
    AppScope, Capability, ServiceError,
    webfilters::{GivenAnswer, Said, TryInput},
};

/// One webfilter on the bench.
struct Seat {
    id: String,
    address: String,
    description: String,
    enabled: bool,
    path: String,
    does: String,
    status: String,
    body: String,
}

impl Seat {
    fn is(&self, word: &str) -> bool {
        self.does == word
    }
}

/// One thing that would become different.
struct ChangeShown {
    path: String,
    effect: &'static str,
    before: String,
    after: String,
}

impl From<Change> for ChangeShown {
    fn from(change: Change) -> Self {
        let text = |value: Option<Json>| match value {
            None => String::new(),
            Some(Json::Text(text)) => format!("“{text}”"),
            Some(value) => value.to_text(),
        };
        Self {
            path: change.path,
            effect: effect_words(change.effect),
            before: text(change.before),
            after: text(change.after),
        }
    }
}

#[derive(Template)]
#[template(path = "webfilter_bench.html")]
struct BenchPage {
    frame: Frame,
    room: String,
    filters: Vec<(String, String)>,
    filter: String,
    spoken: String,
    payload: String,
    has_example: bool,
    seats: Vec<Seat>,
    may_call: bool,
    payload_problem: String,
    problem: String,
    result: Option<RunShown>,
    changes: Vec<ChangeShown>,
}

async fn page(visitor: &Visitor, scope: &AppScope, fields: &Fields) -> Result<BenchPage, PageError> {
    let app = scope.application();
    let room = room(app);
    let there = all(visitor, scope).await?;
    let mut filters: Vec<(String, String)> =
        there.iter().map(|w| (w.filter.to_string(), spoken(w.filter.as_str()))).collect();
    filters.dedup();
    let filter = fields.some("filter").or_else(|| filters.first().map(|f| f.0.clone())).unwrap_or_default();
    let known = visitor.service().filter(scope, &filter).ok();
    let name = known.as_ref().map(|f| f.rules.name.clone());
    let example = known.as_ref().and_then(|f| f.rules.example.as_ref()).map(Json::to_text);
    let may_call = visitor.can(Capability::CreateAttempts);
    let seat = |w: &Webfilter| {
        let id = w.id.to_string();
        let usual = if w.settings.enabled && may_call { "ask" } else { "out" };
        Seat {
            does: fields.some(&format!("do-{id}")).unwrap_or_else(|| usual.to_owned()),
            status: fields.some(&format!("status-{id}")).unwrap_or_else(|| "200".to_owned()),
            body: fields.get(&format!("body-{id}")).to_owned(),
            address: w.shown_url(),
            description: w.settings.description.clone(),
            enabled: w.settings.enabled,
            path: format!("{room}/{id}"),
            id,
        }
    };
    Ok(BenchPage {
        frame: frame(visitor, app, "Test bench"),
        has_example: example.is_some(),
        payload: fields
            .some("payload")
            .unwrap_or_else(|| pretty(example.unwrap_or_else(|| "{}".to_owned()).as_bytes())),
        spoken: spoken(&filter),
        seats: there.iter().filter(|w| name.as_ref() == Some(&w.filter)).map(seat).collect(),
        filters,
        filter,
        may_call,
        payload_problem: String::new(),
        problem: String::new(),
        result: None,
        changes: Vec::new(),
        room,
    })
}

pub(super) async fn open(visitor: Visitor, Path(app): Path<String>, Query(query): Query) -> Page {
    let scope = visitor.service().open(&visitor.actor, &app).await?;
    show(&page(&visitor, &scope, &query).await?)
}

pub(super) async fn run(visitor: Visitor, Path(app): Path<String>, Form(form): Form) -> Answer {
    let scope = visitor.service().open(&visitor.actor, &app).await?;
    let mut page = page(&visitor, &scope, &form).await?;
    let tried = match input(&page) {
        Ok(input) => visitor.service().try_webfilters(&scope, input).await,
        Err(e) => Err(e),
    };
    match tried {
        Ok((run, changes)) => {
            page.result = Some(RunShown::of(&run, &page.room));
            page.changes = changes.into_iter().map(Into::into).collect();
        }
        Err(e) if is_about_input(&e) => {
            page.payload_problem = problem_of(&e, "payload");
            page.problem = crate::page::in_words(&e);
        }
        Err(e) => return Err(e.into()),
    }
    Ok(show(&page)?.into_response())
}

/// What is tried: whoever is left out is not there.
fn input(page: &BenchPage) -> Result<TryInput, ServiceError> {
    let mut answers = Vec::new();
    let mut seated = Vec::new();
    let mut call = false;
    for seat in page.seats.iter().filter(|s| !s.is("out")) {
        seated.push(seat.id.clone());
        let said = match seat.does.as_str() {
            "answer" => {
                let status = seat.status.parse().ok().filter(|s| (100..=599).contains(s));
                let odd = || {
                    let msg = format!("'{}' is not an HTTP status", seat.status);
                    ServiceError::invalid(&["body", "answers"], msg)
                };
                Said::Answer { status: status.ok_or_else(odd)?, body: seat.body.clone() }
            }
            "silent" => Said::Silent,
            "failed" => Said::Failed,
            _ => {
                call = true;
                continue;
            }
        };
        answers.push(GivenAnswer { webfilter: seat.id.clone(), said });
    }
    Ok(TryInput {
        filter: page.filter.clone(),
        payload: Some(page.payload.clone()),
        answers,
        webfilters: Some(seated),
        call,
        deadline_ms: None,
    })
}
