//! Access tokens for tools.

use super::{ContextPath, LtiErrorOut, LtiProblem, params::Params};
use crate::{
    answer::ok,
    extract::{At, RawBody},
    v1::Api,
};
use axum::{extract::State, response::Response};
use http::{HeaderMap, HeaderValue, Uri, header};
use serde::Serialize;
use service::lti::{GrantRequest, Place};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(authorize_account)).routes(routes!(authorize_course)).routes(routes!(authorize))
}

/// What asks for a token.
#[derive(ToSchema)]
#[allow(dead_code)] // Only described here; `Params` reads it.
struct GrantIn {
    /// `urn:ietf:params:oauth:grant-type:jwt-bearer` or `authorization_code`.
    grant_type: String,
    /// A JWT signed with HS256 and the secret of its `sub`: a tool's guid, a developer key's id, or a `reg_key`. With
    /// `aud` (this very address), `exp` (at most 60 seconds ahead), `iat` and a `jti` that was never used before.
    assertion: String,
    /// The `reg_key`, if `sub` is a developer key.
    code: Option<String>,
}

/// A token for a tool.
#[derive(Serialize, ToSchema)]
struct AccessTokenOut {
    /// The token.
    access_token: String,
    /// `bearer`.
    token_type: &'static str,
    /// Seconds, as a text.
    expires_in: String,
}

/// Get an access token, as a tool of an account.
#[utoipa::path(post, path = "/api/lti/accounts/{id}/authorize", operation_id = "lti.authorize.account", tag = "LTI",
    security(()), params(ContextPath), request_body(content = GrantIn, content_type = "application/x-www-form-urlencoded"),
    responses((status = 200, body = AccessTokenOut), (status = 400, body = LtiErrorOut, description = "No token for this.")))]
async fn authorize_account(
    State(api): State<Api>,
    At(path): At<ContextPath>,
    uri: Uri,
    headers: HeaderMap,
    body: RawBody,
) -> Result<Response, LtiProblem> {
    grant(&api, Place::Account(path.id), &uri, &headers, &body).await
}

/// Get an access token, as a tool of a course.
#[utoipa::path(post, path = "/api/lti/courses/{id}/authorize", operation_id = "lti.authorize.course", tag = "LTI",
    security(()), params(ContextPath), request_body(content = GrantIn, content_type = "application/x-www-form-urlencoded"),
    responses((status = 200, body = AccessTokenOut), (status = 400, body = LtiErrorOut, description = "No token for this.")))]
async fn authorize_course(
    State(api): State<Api>,
    At(path): At<ContextPath>,
    uri: Uri,
    headers: HeaderMap,
    body: RawBody,
) -> Result<Response, LtiProblem> {
    grant(&api, Place::Course(path.id), &uri, &headers, &body).await
}

/// Get an access token.
#[utoipa::path(post, path = "/api/lti/authorize", operation_id = "lti.authorize", tag = "LTI",
    security(()), request_body(content = GrantIn, content_type = "application/x-www-form-urlencoded"),
    responses((status = 200, body = AccessTokenOut), (status = 400, body = LtiErrorOut, description = "No token for this.")))]
async fn authorize(
    State(api): State<Api>,
    uri: Uri,
    headers: HeaderMap,
    body: RawBody,
) -> Result<Response, LtiProblem> {
    grant(&api, Place::Anywhere, &uri, &headers, &body).await
}

async fn grant(
    api: &Api,
    place: Place,
    uri: &Uri,
    headers: &HeaderMap,
    body: &RawBody,
) -> Result<Response, LtiProblem> {
    let params = Params::read(headers, &body.0);
    let request = GrantRequest {
        grant_type: params.text("grant_type"),
        assertion: params.text("assertion"),
        code: params.text("code").filter(|code| !code.is_empty()),
        place,
        path: uri.path().to_owned(),
    };
    let token = api.service.grant_to_tool(request).await?;
    let out =
        AccessTokenOut { access_token: token.token, token_type: "bearer", expires_in: token.expires_in.to_string() };
    let mut response = ok(&out);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}
