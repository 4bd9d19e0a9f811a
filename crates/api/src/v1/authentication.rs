//! Portal links.

use super::{Api, AppPath, application::ApplicationIn};
use crate::{
    answer::{no_content, ok},
    auth::Caller,
    extract::{At, RawBody},
    problem::Problem,
};
use axum::{extract::State, response::Response, routing::post};
use serde::{Deserialize, Serialize};
use service::{
    Capability,
    portal::{PortalAccess, PortalRequest},
};
use std::collections::BTreeSet;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(app_portal_access))
        .routes(routes!(logout))
        // The old name that old SDKs still use.
        .route("/api/v1/auth/dashboard-access/{app_id}", post(dashboard_access))
}

/// What a portal link should allow.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct AppPortalAccessIn {
    /// Event types with one of these flags are shown.
    feature_flags: Option<Vec<String>>,
    /// What its bearer may do: `ViewBase`, `ViewEndpointSecret`, `ManageEndpointSecret`, `ManageTransformations`,
    /// `CreateAttempts`, `ManageEndpoint`. Everything if absent.
    #[schema(value_type = Option<Vec<String>>)]
    capabilities: Option<BTreeSet<Capability>>,
    /// Limits the bearer to one course, one room, one track: to endpoints and messages of these channels, such as
    /// `course:45`. Everything if absent.
    channels: Option<Vec<String>>,
    /// The bearer may only look.
    #[schema(deprecated)]
    read_only: Option<bool>,
    /// Seconds until it ends, 3600 to 604800; 28 days if absent.
    #[schema(minimum = 3600, maximum = 604800)]
    expiry: Option<i64>,
    /// Made if the application does not exist.
    application: Option<ApplicationIn>,
}

/// A way into the portal.
#[derive(Serialize, ToSchema)]
struct AppPortalAccessOut {
    /// Where to send the person.
    url: String,
    /// The application token that is in it.
    token: String,
}

impl From<PortalAccess> for AppPortalAccessOut {
    fn from(p: PortalAccess) -> Self {
        Self { url: p.url, token: p.token }
    }
}

/// Make a link to the portal of an application.
#[utoipa::path(post, path = "/api/v1/auth/app-portal-access/{app_id}", tag = "Authentication",
    operation_id = "v1.authentication.app-portal-access", params(AppPath), request_body = AppPortalAccessIn,
    responses((status = 200, body = AppPortalAccessOut)))]
async fn app_portal_access(
    State(api): State<Api>,
    caller: Caller,
    At(path): At<AppPath>,
    body: RawBody,
) -> Result<Response, Problem> {
    caller.0.must_be_organization()?;
    let input: AppPortalAccessIn = body.json()?;
    // Whoever says both means the narrower.
    let looks_only = input.read_only == Some(true);
    let request = PortalRequest {
        feature_flags: input.feature_flags.unwrap_or_default(),
        capabilities: if looks_only { Some([Capability::ViewBase].into()) } else { input.capabilities },
        channels: input.channels,
        expiry: input.expiry,
        application: input.application.map(Into::into),
    };
    let access = api.service.portal_access(&caller.0, &path.app_id, request).await?;
    Ok(ok(&AppPortalAccessOut::from(access)))
}

/// The same without wishes; the body is not looked at.
async fn dashboard_access(State(api): State<Api>, caller: Caller, At(path): At<AppPath>) -> Result<Response, Problem> {
    let access = api.service.portal_access(&caller.0, &path.app_id, PortalRequest::default()).await?;
    Ok(ok(&AppPortalAccessOut::from(access)))
}

/// End a session. Tokens end by themselves, so this does nothing.
#[utoipa::path(post, path = "/api/v1/auth/logout", tag = "Authentication", security(()),
    operation_id = "v1.authentication.logout", responses((status = 204)))]
async fn logout() -> Response {
    no_content()
}
