//! What students handed in.

use super::{Api, AppPath};
use crate::{
    answer::ok,
    auth::Caller,
    extract::{At, Params},
    page::limit,
    problem::Problem,
};
use axum::{extract::State, response::Response};
use domain::{MessageId, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use service::history::{Submission, SubmissionsOf};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(list))
}

/// Which submissions.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct SubmissionParams {
    /// Of the student with this id.
    student: Option<i64>,
    /// For the assignment with this id.
    assignment: Option<i64>,
    /// Items at most.
    #[param(minimum = 0, maximum = 250, default = 50)]
    limit: Option<u64>,
    /// The `iterator` of the page before.
    iterator: Option<String>,
}

/// What a student handed in.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct SubmissionOut {
    /// The message that said so.
    #[schema(value_type = String)]
    message_id: MessageId,
    /// When it was published.
    #[schema(value_type = String, format = DateTime)]
    timestamp: Timestamp,
    /// What receivers are sent of it: the changed files only, and no secret.
    #[schema(value_type = Object)]
    delivered: Value,
}

impl From<Submission> for SubmissionOut {
    fn from(s: Submission) -> Self {
        Self { message_id: s.message, timestamp: s.at, delivered: s.delivered }
    }
}

/// A page of submissions, newest first.
#[derive(Serialize, ToSchema)]
struct SubmissionListOut {
    /// The submissions; may be fewer than asked for, and even none, before the end.
    data: Vec<SubmissionOut>,
    /// Give this as `iterator` to get the next page.
    #[schema(value_type = Option<String>)]
    iterator: Option<MessageId>,
    /// Whether there is nothing further.
    done: bool,
}

/// List what was handed in, newest first, as far as its messages are still stored.
#[utoipa::path(get, path = "/api/v1/app/{app_id}/submission-history", operation_id = "v1.submission-history.list",
    tag = "Submission history", params(AppPath, SubmissionParams),
    responses((status = 200, body = SubmissionListOut)))]
async fn list(
    State(api): State<Api>,
    caller: Caller,
    At(path): At<AppPath>,
    Params(params): Params<SubmissionParams>,
) -> Result<Response, Problem> {
    let scope = api.service.open(&caller.0, &path.app_id).await?;
    let after = params.iterator.as_deref().map(str::parse::<MessageId>).transpose();
    let after = after.map_err(|e| Problem::field(&["query", "iterator"], e.to_string()))?;
    let of = SubmissionsOf { student: params.student, assignment: params.assignment };
    let limit = limit(params.limit)?.max(1);
    let page = api.service.submission_history(&scope, of, limit, after.map(|id| id.0)).await?;
    let data = page.items.into_iter().map(Into::into).collect();
    Ok(ok(&SubmissionListOut { data, done: page.next.is_none(), iterator: page.next }))
}
