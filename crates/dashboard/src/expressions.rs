//! Filter and transform of an endpoint: written, tried on an event, and saved, on one page. Trying sends nothing.

use crate::{
    endpoint::{address, frame, path},
    events::catalogue,
    form::{Fields, Form, Query},
    page::{Answer, Frame, Page, go, in_words, is_about_input, problem_of, show as render},
    session::Visitor,
    student_data::{Asked, agreed},
    typed,
};
use askama::Template;
use axum::{extract::Path, response::IntoResponse};
use bytes::Bytes;
use domain::{Endpoint, json::pretty};
use service::{
    AppScope, Capability, Patch, ServiceError,
    dry_run::{DryRun, DryRunInput, DryRunResult},
    endpoints::{EndpointChange, EndpointExtras},
};

type At = Path<(String, String)>;

/// What came of a try.
struct Tried {
    matches: bool,
    /// `sent`, `kept` or `failed`.
    outcome: &'static str,
    /// Where it failed, in a word.
    stage: &'static str,
    message: String,
    body: String,
    headers: Vec<(String, String)>,
}

impl Tried {
    fn of(run: DryRun) -> Self {
        let mut tried = Self {
            matches: run.matches,
            outcome: "kept",
            stage: "",
            message: String::new(),
            body: String::new(),
            headers: Vec::new(),
        };
        match run.result {
            DryRunResult::Send { body, content_type, headers } => {
                tried.outcome = "sent";
                tried.body = pretty(&body);
                tried.headers.push(("content-type".to_owned(), content_type.to_owned()));
                tried.headers.extend(headers.into_iter().map(|(name, value)| (name.to_owned(), value)));
            }
            DryRunResult::FilteredOut => {}
            DryRunResult::Fails { stage, message } => {
                (tried.outcome, tried.stage, tried.message) = ("failed", stage.text(), message);
            }
        }
        tried
    }
    fn is(&self, outcome: &str) -> bool {
        self.outcome == outcome
    }
}

#[derive(Template)]
#[template(path = "expressions.html")]
struct ExpressionsPage {
    frame: Frame,
    path: String,
    address: String,
    types: Vec<String>,
    event: String,
    payload: String,
    channels: String,
    formats: Vec<(&'static str, &'static str)>,
    format: String,
    filter: String,
    transform: String,
    may_save: bool,
    filter_problem: String,
    transform_problem: String,
    payload_problem: String,
    problem: String,
    tried: Option<Tried>,
    /// What is asked before more may leave.
    asked: Option<Asked>,
}

async fn page(
    visitor: &Visitor,
    scope: &AppScope,
    e: &Endpoint,
    form: &Fields,
) -> Result<ExpressionsPage, ServiceError> {
    let types = catalogue(visitor, scope, true).await?;
    let sent = form.ticked("go");
    let first = types.iter().find(|t| e.selects(&t.name)).or(types.first());
    let event = form.some("event").or_else(|| first.map(|t| t.name.to_string())).unwrap_or_default();
    let example = types.iter().find(|t| t.name.as_str() == event).and_then(|t| t.example(0));
    let asks_example = !sent || form.get("go") == "example";
    let example = || example.map_or_else(|| "{}".to_owned(), |example| pretty(example.to_string().as_bytes()));
    let text = |field, stored: &str| if sent { form.get(field).to_owned() } else { stored.to_owned() };
    let may_save = visitor.can(Capability::ManageEndpoint) && visitor.can(Capability::ManageTransformations);
    Ok(ExpressionsPage {
        frame: frame(visitor, scope.application(), "Filter and transform")
            .below(address(e), path(scope.application(), e)),
        path: path(scope.application(), e),
        address: address(e),
        types: types.iter().map(|t| t.name.to_string()).collect(),
        payload: if asks_example { example() } else { form.get("payload").to_owned() },
        event,
        channels: form.get("channels").to_owned(),
        formats: typed::formats(),
        format: text("format", e.options.format.name()),
        filter: text("filter", e.options.filter.as_deref().unwrap_or_default()),
        transform: text("transform", e.options.transform.as_deref().unwrap_or_default()),
        may_save,
        filter_problem: String::new(),
        transform_problem: String::new(),
        payload_problem: String::new(),
        problem: String::new(),
        tried: None,
        asked: None,
    })
}

pub(crate) async fn show(visitor: Visitor, Path((app, endpoint)): At, Query(query): Query) -> Page {
    let scope = visitor.service().open(&visitor.actor, &app).await?;
    let e = visitor.service().endpoint(&scope, &endpoint).await?;
    render(&page(&visitor, &scope, &e, &query).await?)
}

/// An expression as it was typed: browsers end lines with two characters.
fn expression(form: &Fields, field: &str) -> Patch<String> {
    Patch::replace(form.some(field).map(|text| text.replace("\r\n", "\n")))
}

fn dry_run(form: &Fields) -> DryRunInput {
    let channels: Vec<_> =
        form.get("channels").split([',', ' ']).filter(|c| !c.is_empty()).map(str::to_owned).collect();
    DryRunInput {
        event_type: form.get("event").to_owned(),
        payload: Bytes::from(form.get("payload").to_owned()),
        channels: (!channels.is_empty()).then_some(channels),
        format: Patch::replace(form.some("format")),
        encoding: Patch::Keep,
        filter: expression(form, "filter"),
        transform: expression(form, "transform"),
    }
}

/// Tries, shows another example, or saves.
pub(crate) async fn run(visitor: Visitor, Path((app, endpoint)): At, Form(form): Form) -> Answer {
    let scope = visitor.service().open(&visitor.actor, &app).await?;
    let e = visitor.service().endpoint(&scope, &endpoint).await?;
    let mut page = page(&visitor, &scope, &e, &form).await?;
    let outcome = match form.get("go") {
        "example" => Ok(()),
        "save" => {
            let extras = EndpointExtras {
                filter: expression(&form, "filter"),
                transform: expression(&form, "transform"),
                ..EndpointExtras::default()
            };
            let mut change = EndpointChange { extras, ..EndpointChange::default() };
            change.extras.student_data = agreed(&form);
            // Another expression may let more out than somebody agreed to.
            let stands = e.options.student_data.as_ref().is_some_and(|given| !given.outdated);
            if stands
                && change.extras.student_data == Patch::Keep
                && let Ok(Some(more)) = visitor.service().disclosure_after(&scope, &endpoint, change.clone()).await
            {
                page.asked = Some(Asked::of(more, &form));
                return Ok(render(&page)?.into_response());
            }
            match visitor.service().patch_endpoint(&scope, &endpoint, change).await {
                Ok(_) => {
                    visitor.say("Filter and transform were saved. The next try uses them.");
                    return Ok(go(&format!("{}/advanced", page.path)));
                }
                Err(error) => Err(error),
            }
        }
        _ if serde_json::from_str::<serde::de::IgnoredAny>(&page.payload).is_err() => {
            page.payload_problem = "This is not JSON.".to_owned();
            Ok(())
        }
        _ => visitor
            .service()
            .dry_run(&scope, &endpoint, dry_run(&form))
            .await
            .map(|run| page.tried = Some(Tried::of(run))),
    };
    match outcome {
        Ok(()) => {}
        Err(error) if is_about_input(&error) => {
            page.filter_problem = problem_of(&error, "filter");
            page.transform_problem = problem_of(&error, "transform");
            page.payload_problem = problem_of(&error, "payload");
            if page.filter_problem.is_empty() && page.transform_problem.is_empty() && page.payload_problem.is_empty() {
                page.problem = in_words(&error);
            }
        }
        Err(error) => return Err(error.into()),
    }
    Ok(render(&page)?.into_response())
}
