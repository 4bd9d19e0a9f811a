//! Asking webfilters, trying them, and the filters that there are.

use super::log::RunOut;
use crate::{
    answer::ok,
    auth::Caller,
    extract::{At, RawBody},
    problem::Problem,
    v1::{Api, AppPath},
};
use axum::{extract::State, response::Response};
use domain::{Json, json::Members, webfilter::Change};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use service::webfilters::{FilterInfo, GivenAnswer, Said, TryInput};
use std::collections::BTreeMap;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(run)).routes(routes!(try_out)).routes(routes!(filters)).routes(routes!(filter))
}

/// What to ask.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct RunIn<'a> {
    /// The filter.
    filter: String,
    /// What it is about: an object.
    #[serde(borrow)]
    #[schema(value_type = Object)]
    payload: &'a RawValue,
    /// Milliseconds that the whole run may take; the server's limit at most.
    #[schema(minimum = 1, maximum = 60000)]
    deadline_ms: Option<i64>,
}

/// Ask all enabled webfilters of a filter, at the same time. Apply `data`, then raise `exception` if there is one.
#[utoipa::path(post, path = "/api/v1/app/{app_id}/webfilter/run", operation_id = "v1.webfilter.run", tag = "Webfilter",
    params(AppPath), request_body = RunIn, responses((status = 200, body = RunOut)))]
async fn run(
    State(api): State<Api>,
    caller: Caller,
    At(path): At<AppPath>,
    body: RawBody,
) -> Result<Response, Problem> {
    let scope = api.service.open(&caller.0, &path.app_id).await?;
    let input: RunIn<'_> = body.json()?;
    let run = api.service.run_webfilters(&scope, &input.filter, input.payload.get(), input.deadline_ms).await?;
    Ok(ok(&RunOut::answer(run)))
}

/// What to try.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct TryIn<'a> {
    /// The filter.
    filter: String,
    /// What it is about: an object. The catalogue's example if absent.
    #[serde(borrow)]
    #[schema(value_type = Option<Object>)]
    payload: Option<&'a RawValue>,
    /// Answers that are taken as given, instead of asking.
    #[serde(default, borrow)]
    answers: Vec<GivenIn<'a>>,
    /// These webfilters, enabled or not; the enabled ones if absent.
    webfilters: Option<Vec<String>>,
    /// Whether those without a given answer are really asked.
    #[serde(default)]
    call: bool,
    /// Milliseconds that it may take.
    #[schema(minimum = 1, maximum = 60000)]
    deadline_ms: Option<i64>,
}

/// An answer that is taken as given.
#[derive(Deserialize, ToSchema)]
struct GivenIn<'a> {
    /// Whose, by id or uid.
    webfilter: String,
    /// The HTTP status; 200 if absent.
    status: Option<u16>,
    /// The body: a text, or JSON.
    #[serde(borrow)]
    #[schema(value_type = Option<Object>)]
    body: Option<&'a RawValue>,
    /// `silent` or `failed`: there is no answer.
    failure: Option<FailureIn>,
}

/// How there is no answer.
#[derive(Deserialize, ToSchema, Clone, Copy)]
#[serde(rename_all = "lowercase")]
enum FailureIn {
    Silent,
    Failed,
}

impl From<GivenIn<'_>> for GivenAnswer {
    fn from(given: GivenIn<'_>) -> Self {
        let said = match given.failure {
            Some(FailureIn::Silent) => Said::Silent,
            Some(FailureIn::Failed) => Said::Failed,
            None => {
                let json = given.body.map(RawValue::get).unwrap_or_default();
                // A text is the body itself; other JSON is its own text.
                let body = serde_json::from_str::<String>(json).unwrap_or_else(|_| json.to_owned());
                Said::Answer { status: given.status.unwrap_or(200), body }
            }
        };
        Self { webfilter: given.webfilter, said }
    }
}

/// What would happen.
#[derive(Serialize, ToSchema)]
struct TryOut {
    #[serde(flatten)]
    run: RunOut,
    /// What each piece of data would change.
    changes: Vec<ChangeOut>,
}

/// One thing that would become different.
#[derive(Serialize, ToSchema)]
struct ChangeOut {
    /// Where: `profile.name`.
    path: String,
    /// What the platform does there.
    effect: &'static str,
    /// What is there now; null if nothing is.
    #[schema(value_type = Object)]
    before: Json,
    /// What would be there; null if nothing would.
    #[schema(value_type = Object)]
    after: Json,
}

impl From<Change> for ChangeOut {
    fn from(change: Change) -> Self {
        Self {
            path: change.path,
            effect: change.effect.name(),
            before: change.before.unwrap_or_default(),
            after: change.after.unwrap_or_default(),
        }
    }
}

/// Try webfilters out: with answers that are given, or by really asking them with `call`.
#[utoipa::path(post, path = "/api/v1/app/{app_id}/webfilter/try", operation_id = "v1.webfilter.try", tag = "Webfilter",
    params(AppPath), request_body = TryIn, responses((status = 200, body = TryOut)))]
async fn try_out(
    State(api): State<Api>,
    caller: Caller,
    At(path): At<AppPath>,
    body: RawBody,
) -> Result<Response, Problem> {
    let scope = api.service.open(&caller.0, &path.app_id).await?;
    let input: TryIn<'_> = body.json()?;
    let input = TryInput {
        filter: input.filter,
        payload: input.payload.map(|payload| payload.get().to_owned()),
        answers: input.answers.into_iter().map(Into::into).collect(),
        webfilters: input.webfilters,
        call: input.call,
        deadline_ms: input.deadline_ms,
    };
    let (run, changes) = api.service.try_webfilters(&scope, input).await?;
    Ok(ok(&TryOut { run: RunOut::answer(run), changes: changes.into_iter().map(Into::into).collect() }))
}

/// A filter.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct FilterOut {
    /// What runs and requests call it.
    name: String,
    /// The platform's own string for it; null for a filter of your own.
    r#type: Option<String>,
    /// For people.
    description: String,
    /// Its family.
    group: String,
    /// Whether the original plugin offers it.
    offered: bool,
    /// How many enabled webfilters it has.
    webfilters: usize,
    /// Keys of its payload.
    request: Vec<String>,
    /// Keys of data that it takes, and what becomes of each.
    updates: BTreeMap<String, &'static str>,
    /// Whether other keys of data are handed on too.
    accepts_other_data: bool,
    /// The exceptions that it has, the first that was named counts; null if any will do.
    exceptions: Option<Vec<ExceptionOut>>,
    /// The exception that halts raise; null if there is none.
    halt_exception: Option<String>,
    /// Whether a webfilter may halt it.
    can_halt: bool,
    /// Whether a halt can send the person somewhere.
    can_redirect: bool,
    /// Whether an exception comes before the data, which then does not count.
    raises_first: bool,
    /// The name that the original plugin stored up to version 21.
    stored_as: Option<String>,
    /// A payload as it would come.
    #[schema(value_type = Option<Object>)]
    example: Option<Json>,
}

/// An exception.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ExceptionOut {
    /// Its name.
    name: String,
    /// What it takes.
    arguments: Vec<String>,
    /// Whether it takes any other too.
    accepts_other_arguments: bool,
}

impl From<FilterInfo> for FilterOut {
    fn from(FilterInfo { rules, webfilters }: FilterInfo) -> Self {
        let exceptions = rules.exceptions.as_ref().map(|all| {
            let out = |e: &domain::webfilter::ExceptionRules| ExceptionOut {
                name: e.name.clone(),
                arguments: e.arguments.clone(),
                accepts_other_arguments: e.accepts_other_arguments,
            };
            all.iter().map(out).collect()
        });
        Self {
            name: rules.name.to_string(),
            r#type: rules.filter_type.clone(),
            description: rules.description.clone(),
            group: rules.group.clone(),
            offered: rules.offered,
            webfilters,
            request: rules.request.clone(),
            updates: rules.updates.iter().map(|(key, effect)| (key.clone(), effect.name())).collect(),
            accepts_other_data: rules.accepts_other_data,
            exceptions,
            halt_exception: rules.halt_exception.clone(),
            can_halt: rules.can_halt(),
            can_redirect: rules.can_redirect(None),
            raises_first: rules.raises_first,
            stored_as: rules.stored_as.clone(),
            example: rules.example.clone(),
        }
    }
}

/// The filters of an application.
#[derive(Serialize, ToSchema)]
struct FiltersOut {
    /// Those of the platform's catalogue, then those of the application's own.
    data: Vec<FilterOut>,
}

/// List the filters that there are.
#[utoipa::path(get, path = "/api/v1/app/{app_id}/webfilter/filter", operation_id = "v1.webfilter.list-filters",
    tag = "Webfilter", params(AppPath), responses((status = 200, body = FiltersOut)))]
async fn filters(State(api): State<Api>, caller: Caller, At(path): At<AppPath>) -> Result<Response, Problem> {
    let scope = api.service.open(&caller.0, &path.app_id).await?;
    let data = api.service.filters(&scope)?.into_iter().map(Into::into).collect();
    Ok(ok(&FiltersOut { data }))
}

/// Names a filter.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
struct FilterPath {
    /// The application's id or uid.
    app_id: String,
    /// The filter's name.
    name: String,
}

/// Get what is known of a filter.
#[utoipa::path(get, path = "/api/v1/app/{app_id}/webfilter/filter/{name}", operation_id = "v1.webfilter.get-filter",
    tag = "Webfilter", params(FilterPath), responses((status = 200, body = FilterOut)))]
async fn filter(State(api): State<Api>, caller: Caller, At(path): At<FilterPath>) -> Result<Response, Problem> {
    let scope = api.service.open(&caller.0, &path.app_id).await?;
    Ok(ok(&FilterOut::from(api.service.filter(&scope, &path.name)?)))
}

/// The members of an object, as they are written.
pub(super) fn object(members: Members) -> Json {
    Json::Object(members)
}
