//! The audit log.

use super::{Api, AppPath};
use crate::{
    answer::{ListOut, ok},
    auth::Caller,
    extract::{At, Params},
    page::PageParams,
    problem::Problem,
};
use axum::{extract::State, response::Response};
use domain::{ApplicationId, AuditEntry, AuditId, Order, Timestamp};
use serde::{Deserialize, Serialize};
use service::audit::AuditOf;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(list_of))
}

/// Who did what to what, and when.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct AuditOut {
    /// Its id.
    #[schema(value_type = String)]
    id: AuditId,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    /// `user`, `link`, `token`, `application` or `guest`.
    actor_kind: &'static str,
    /// A user's e-mail address, or an id.
    actor: String,
    /// What, such as `secret.revealed`.
    action: &'static str,
    /// To what: an id, or a name.
    object: String,
    /// More about it. Never a secret, never a payload.
    detail: String,
    /// In which application.
    #[schema(value_type = Option<String>)]
    app_id: Option<ApplicationId>,
}

impl From<AuditEntry> for AuditOut {
    fn from(e: AuditEntry) -> Self {
        Self {
            id: e.id,
            at: e.at,
            actor_kind: e.actor_kind.text(),
            actor: e.actor,
            action: e.action.text(),
            object: e.object,
            detail: e.detail,
            app_id: e.application,
        }
    }
}

/// Which entries.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct AuditParams {
    /// Of this actor.
    actor: Option<String>,
    /// Of this action.
    action: Option<String>,
    /// About this object.
    object: Option<String>,
    /// Not before.
    #[param(value_type = Option<String>, format = DateTime)]
    after: Option<Timestamp>,
    /// Not after.
    #[param(value_type = Option<String>, format = DateTime)]
    before: Option<Timestamp>,
}

impl From<AuditParams> for AuditOf {
    fn from(p: AuditParams) -> Self {
        Self { actor: p.actor, action: p.action, object: p.object, since: p.after, until: p.before }
    }
}

/// List what was done in the organization, newest first.
#[utoipa::path(get, path = "/api/v1/audit", operation_id = "v1.audit.list", tag = "Audit",
    params(PageParams, AuditParams), responses((status = 200, body = ListOut<AuditOut>)))]
async fn list(
    State(api): State<Api>,
    caller: Caller,
    Params(page): Params<PageParams>,
    Params(which): Params<AuditParams>,
) -> Result<Response, Problem> {
    let page = page.query(Order::Descending, |id| id.parse::<AuditId>().map(|id| id.0))?;
    let page = api.service.audit(&caller.0, which.into(), page).await?;
    Ok(ok(&ListOut::of(page, |e| e.id.to_string(), AuditOut::from)))
}

/// List what was done in an application, newest first.
#[utoipa::path(get, path = "/api/v1/app/{app_id}/audit", operation_id = "v1.audit.list-by-app", tag = "Audit",
    params(AppPath, PageParams, AuditParams), responses((status = 200, body = ListOut<AuditOut>)))]
async fn list_of(
    State(api): State<Api>,
    caller: Caller,
    At(path): At<AppPath>,
    Params(page): Params<PageParams>,
    Params(which): Params<AuditParams>,
) -> Result<Response, Problem> {
    let scope = api.service.open(&caller.0, &path.app_id).await?;
    let page = page.query(Order::Descending, |id| id.parse::<AuditId>().map(|id| id.0))?;
    let page = api.service.audit_of(&scope, which.into(), page).await?;
    Ok(ok(&ListOut::of(page, |e| e.id.to_string(), AuditOut::from)))
}
