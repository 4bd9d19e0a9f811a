//! Background tasks.

use super::Api;
use crate::{
    answer::{ListOut, ok},
    auth::Caller,
    extract::{At, Params},
    page::PageParams,
    problem::Problem,
};
use axum::{extract::State, response::Response};
use domain::{Order, Task, TaskId, TaskKind, TaskStatus, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(get))
}

/// How far a task is.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct TaskData {
    /// Messages sent so far.
    messages_sent: u64,
}

/// A background task.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = BackgroundTaskOut)]
pub(crate) struct TaskOut {
    /// Its id.
    #[schema(value_type = String)]
    id: TaskId,
    /// `running`, `finished` or `failed`.
    status: &'static str,
    /// `endpoint.recover`, `endpoint.replay` or `endpoint.cancel`.
    task: &'static str,
    /// When it last moved.
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
    /// How far it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<TaskData>,
}

impl TaskOut {
    /// A task that has just begun.
    pub(crate) fn begun(task: Task) -> Self {
        Self { data: None, ..Self::from(task) }
    }
}

impl From<Task> for TaskOut {
    fn from(t: Task) -> Self {
        Self {
            id: t.id,
            status: t.status.text(),
            task: t.kind.text(),
            updated_at: t.updated_at,
            data: Some(TaskData { messages_sent: t.sent }),
        }
    }
}

/// Which tasks.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct TaskParams {
    /// `running`, `finished` or `failed`.
    status: Option<String>,
    /// `endpoint.recover`, `endpoint.replay` or `endpoint.cancel`.
    task: Option<String>,
}

/// List background tasks, newest first.
#[utoipa::path(get, path = "/api/v1/background-task", operation_id = "v1.background-task.list",
    tag = "Background Task", params(PageParams, TaskParams), responses((status = 200, body = ListOut<TaskOut>)))]
async fn list(
    State(api): State<Api>,
    caller: Caller,
    Params(page): Params<PageParams>,
    Params(which): Params<TaskParams>,
) -> Result<Response, Problem> {
    let page = page.query(Order::Descending, |id| id.parse::<TaskId>().map(|id| id.0))?;
    let unreadable = |what: &str, text: &str| Problem::Unreadable(format!("'{text}' is not a {what}"));
    let status = which.status.as_deref().map(|s| TaskStatus::from_text(s).ok_or_else(|| unreadable("status", s)));
    let kind = which.task.as_deref().map(|s| TaskKind::from_text(s).ok_or_else(|| unreadable("task", s)));
    let page = api.service.tasks(&caller.0, page, kind.transpose()?, status.transpose()?).await?;
    Ok(ok(&ListOut::of(page, |t| t.id.to_string(), TaskOut::from)))
}

/// Names a task.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
struct TaskPath {
    /// The task's id.
    task_id: String,
}

/// Get a background task.
#[utoipa::path(get, path = "/api/v1/background-task/{task_id}", operation_id = "v1.background-task.get",
    tag = "Background Task", params(TaskPath), responses((status = 200, body = TaskOut)))]
async fn get(State(api): State<Api>, caller: Caller, At(path): At<TaskPath>) -> Result<Response, Problem> {
    Ok(ok(&TaskOut::from(api.service.task(&caller.0, &path.task_id).await?)))
}
