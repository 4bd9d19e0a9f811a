//! Runs: as they are answered, and as the log has them.

use super::asking::object;
use crate::{
    answer::{ListOut, ok},
    auth::Caller,
    extract::{At, Params},
    page::PageParams,
    problem::Problem,
    v1::{Api, AppPath},
};
use axum::{extract::State, response::Response};
use domain::{
    Json, Order, Timestamp, WebfilterId, WebfilterRunId,
    webfilter::{Halt, Raised, Reading, Run},
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(get))
}

/// What came of a run.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct RunOut {
    /// Its id, which is also the `webhook-id` of its requests.
    #[schema(value_type = String)]
    id: WebfilterRunId,
    /// The filter.
    filter: String,
    /// When it began; only in the log.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    at: Option<Timestamp>,
    /// Whether it was a test; only in the log.
    #[serde(skip_serializing_if = "Option::is_none")]
    test: Option<bool>,
    /// `pass`, `change`, `raise` or `halt`.
    outcome: &'static str,
    /// What to apply, by top-level key.
    #[schema(value_type = Object)]
    data: Json,
    /// What becomes of each key of it.
    effects: BTreeMap<String, &'static str>,
    /// Whether the log left data out, because it was too large; only in the log.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    data_left_out: bool,
    /// What to raise then.
    exception: Option<RaisedOut>,
    /// Why it halted.
    halt: Option<HaltOut>,
    /// One for each webfilter, in their order.
    answers: Vec<AnswerOut>,
    /// From the beginning to the end.
    duration_ms: f64,
}

impl RunOut {
    /// As the answer to whoever asked.
    pub(super) fn answer(run: Run) -> Self {
        let report = run.report;
        Self {
            id: run.id,
            filter: run.filter.to_string(),
            at: None,
            test: None,
            outcome: run.outcome.name(),
            data: object(report.data),
            effects: report.effects.into_iter().map(|(key, effect)| (key, effect.name())).collect(),
            data_left_out: report.data_left_out,
            exception: report.exception.map(Into::into),
            halt: report.halt.map(Into::into),
            answers: report.answers.into_iter().map(Into::into).collect(),
            duration_ms: milliseconds(run.duration_us),
        }
    }
    /// As a line of the log.
    fn line(run: Run) -> Self {
        let (at, test) = (run.at, run.test);
        Self { at: Some(at), test: Some(test), ..Self::answer(run) }
    }
}

fn milliseconds(us: u64) -> f64 {
    us as f64 / 1000.0
}

/// An exception to raise.
#[derive(Serialize, ToSchema)]
struct RaisedOut {
    /// Its name.
    name: String,
    /// Its arguments.
    #[schema(value_type = Object)]
    arguments: Json,
}

impl From<Raised> for RaisedOut {
    fn from(raised: Raised) -> Self {
        Self { name: raised.name, arguments: object(raised.arguments) }
    }
}

/// Why a run halted.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct HaltOut {
    /// Whose rule it was.
    #[schema(value_type = String)]
    webfilter: WebfilterId,
    /// `status4xx`, `status5xx`, `requestException` or `silence`.
    because: &'static str,
    /// The HTTP status, where there was one.
    status: Option<u16>,
    /// The code of the failure, as of attempts.
    reason: Option<String>,
    /// In words.
    message: String,
    /// Where to send the person.
    redirect_to: Option<String>,
}

impl From<Halt> for HaltOut {
    fn from(halt: Halt) -> Self {
        Self {
            webfilter: halt.webfilter,
            because: halt.because.name(),
            status: halt.status,
            reason: halt.reason,
            message: halt.message,
            redirect_to: halt.redirect_to,
        }
    }
}

/// What became of one webfilter.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct AnswerOut {
    /// Which.
    #[schema(value_type = String)]
    webfilter: WebfilterId,
    /// Its address, without user info and query.
    url: String,
    /// `used`, `empty`, `notJson`, `notObject`, `halted`, `failed`, `silent`, `paused` or `unneeded`.
    result: &'static str,
    /// The HTTP status, where there was one.
    status: Option<u16>,
    /// How long it took.
    duration_ms: f64,
    /// The code of the failure, as of attempts.
    reason: Option<String>,
    /// Keys of its data that counted.
    data: Vec<String>,
    /// Its exceptions that counted.
    exceptions: Vec<String>,
    /// What did not count, and why.
    notes: Vec<String>,
}

impl From<Reading> for AnswerOut {
    fn from(reading: Reading) -> Self {
        Self {
            webfilter: reading.webfilter,
            url: reading.url,
            result: reading.result.name(),
            status: reading.status,
            duration_ms: milliseconds(reading.duration_us),
            reason: reading.reason,
            data: reading.data,
            exceptions: reading.exceptions,
            notes: reading.notes,
        }
    }
}

/// Which runs.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct RunParams {
    /// Only those of this filter.
    filter: Option<String>,
    /// Only those with this outcome.
    outcome: Option<String>,
}

/// List runs, newest first.
#[utoipa::path(get, path = "/api/v1/app/{app_id}/webfilter/log", operation_id = "v1.webfilter.list-runs",
    tag = "Webfilter", params(AppPath, PageParams, RunParams), responses((status = 200, body = ListOut<RunOut>)))]
async fn list(
    State(api): State<Api>,
    caller: Caller,
    At(path): At<AppPath>,
    Params(page): Params<PageParams>,
    Params(which): Params<RunParams>,
) -> Result<Response, Problem> {
    let scope = api.service.open(&caller.0, &path.app_id).await?;
    let page = page.query(Order::Descending, |id| id.parse::<WebfilterRunId>().map(|id| id.0))?;
    let page = api.service.webfilter_runs(&scope, which.filter.as_deref(), which.outcome.as_deref(), page).await?;
    Ok(ok(&ListOut::of(page, |run| run.id.to_string(), RunOut::line)))
}

/// Names a run.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
struct RunPath {
    /// The application's id or uid.
    app_id: String,
    /// The run's id.
    run_id: String,
}

/// Get a run.
#[utoipa::path(get, path = "/api/v1/app/{app_id}/webfilter/log/{run_id}", operation_id = "v1.webfilter.get-run",
    tag = "Webfilter", params(RunPath), responses((status = 200, body = RunOut)))]
async fn get(State(api): State<Api>, caller: Caller, At(path): At<RunPath>) -> Result<Response, Problem> {
    let scope = api.service.open(&caller.0, &path.app_id).await?;
    Ok(ok(&RunOut::line(api.service.webfilter_run(&scope, &path.run_id).await?)))
}
