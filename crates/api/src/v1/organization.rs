//! What an organization decides for its applications.

use super::{Api, application::RetentionIo};
use crate::{answer::ok, auth::Caller, extract::RawBody, problem::Problem};
use axum::{extract::State, response::Response};
use domain::RetrySchedule;
use serde::{Deserialize, Serialize};
use service::organization::OrganizationOptions;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(get, update))
}

/// What an organization decides for its applications.
#[derive(Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct OrganizationSettings {
    /// How long things are kept where the application does not say.
    retention: Option<RetentionIo>,
    /// Waits between tries where neither endpoint nor application says, such as `["5s", "5m"]`.
    #[schema(value_type = Option<Vec<String>>)]
    retry_schedule: Option<RetrySchedule>,
}

impl From<OrganizationOptions> for OrganizationSettings {
    fn from(o: OrganizationOptions) -> Self {
        let retention = (!o.retention.is_default()).then_some(o.retention.into());
        Self { retention, retry_schedule: o.retry_schedule }
    }
}

impl From<OrganizationSettings> for OrganizationOptions {
    fn from(s: OrganizationSettings) -> Self {
        let retention = s.retention.map(Into::into).unwrap_or_default();
        Self { retention, retry_schedule: s.retry_schedule, ..Self::default() }
    }
}

/// Get what the organization decided.
#[utoipa::path(get, path = "/api/v1/organization/settings", operation_id = "v1.organization.get-settings",
    tag = "Organization", responses((status = 200, body = OrganizationSettings)))]
async fn get(State(api): State<Api>, caller: Caller) -> Result<Response, Problem> {
    Ok(ok(&OrganizationSettings::from(api.service.organization_options(&caller.0).await?)))
}

/// Replace what the organization decided.
#[utoipa::path(put, path = "/api/v1/organization/settings", operation_id = "v1.organization.update-settings",
    tag = "Organization", request_body = OrganizationSettings,
    responses((status = 200, body = OrganizationSettings)))]
async fn update(State(api): State<Api>, caller: Caller, body: RawBody) -> Result<Response, Problem> {
    caller.0.must_be_organization()?;
    let settings: OrganizationSettings = body.json()?;
    let saved = api.service.put_organization_options(&caller.0, settings.into()).await?;
    Ok(ok(&OrganizationSettings::from(saved)))
}
