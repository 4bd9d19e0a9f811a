//! LTI 2 registration: what is offered to a tool, and the tool installing itself.

use super::{
    Bearer, ContextPath, LtiErrorOut, LtiProblem, PROFILE_TYPE, PROXY_ID_TYPE, PROXY_TYPE, Signed, params::Params,
    typed,
};
use crate::{
    extract::{At, RawBody},
    v1::Api,
};
use axum::{extract::State, response::Response, routing::get};
use domain::lti::Tool;
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use service::lti::{LtiError, Profile, Registrant};
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(profile_of_account))
        .routes(routes!(profile_of_course))
        .routes(routes!(install_in_account))
        .routes(routes!(install_in_course))
        .routes(routes!(show_proxy))
        // With the name of the profile behind it: the token decides which one it is.
        .route("/api/lti/accounts/{id}/tool_consumer_profile/{guid}", get(named_profile_of_account))
        .route("/api/lti/courses/{id}/tool_consumer_profile/{guid}", get(named_profile_of_course))
}

fn shown(profile: &Profile) -> Value {
    let services: Vec<Value> = profile
        .services
        .iter()
        .map(|s| {
            json!({
                "endpoint": s.endpoint,
                "format": s.formats,
                "action": s.actions,
                "@id": format!("{}#{}", profile.id, s.name),
                "@type": "RestService",
            })
        })
        .collect();
    let text = |value: &str, key: &str| json!({"default_value": value, "key": key});
    json!({
        "lti_version": "LTI-2p0",
        "guid": profile.guid,
        "capability_offered": profile.capabilities,
        "security_profile": [
            {"security_profile_name": "lti_oauth_hash_message_security", "digest_algorithm": "HMAC-SHA1"},
            {"security_profile_name": "oauth2_access_token_ws_security", "digest_algorithm": "HS256"},
        ],
        "product_instance": {
            "guid": profile.account_guid,
            "product_info": {
                "product_version": env!("CARGO_PKG_VERSION"),
                "product_family": {
                    "code": "canvas",
                    "vendor": {
                        "code": "https://schoolbell.invalid",
                        "vendor_name": text("Schoolbell", "vendor.name"),
                        "timestamp": "2026-01-01T00:00:00Z",
                    },
                },
                "product_name": text("Schoolbell", "product.name"),
            },
            "service_owner": {
                "description": text(&profile.account_name, "service_owner.description"),
                "service_owner_name": text(&profile.account_name, "service_owner.name"),
            },
        },
        "service_offered": services,
        "@id": profile.id,
        "@type": "ToolConsumerProfile",
        "@context": ["http://purl.imsglobal.org/ctx/lti/v2/ToolConsumerProfile"],
    })
}

/// Who registers: by a token, or by a signature of this very request.
async fn registrant(api: &Api, token: &Bearer, signed: &Signed, body: &[u8]) -> Result<Registrant, LtiError> {
    match signed.request(body) {
        Some(request) => api.service.registrant_signed(&request).await,
        None => api.service.registrant_of(token.0.as_deref()).await,
    }
}

async fn profile(api: &Api, token: Bearer, signed: &Signed, context: String) -> Result<Response, LtiProblem> {
    let registrant = registrant(api, &token, signed, b"").await?;
    let profile = api.service.lti_profile(&registrant, &context).await?;
    Ok(typed(StatusCode::OK, PROFILE_TYPE, &shown(&profile)))
}

/// Get the tool consumer profile: what a tool may be given, and where. With a developer key's token, all of it.
#[utoipa::path(get, path = "/api/lti/accounts/{id}/tool_consumer_profile", operation_id = "lti.profile.account", tag = "LTI",
    params(ContextPath), security(("HTTPBearer" = [])), responses((status = 200, body = Object, content_type = "application/vnd.ims.lti.v2.toolconsumerprofile+json"),
    (status = 401, body = LtiErrorOut, description = "The token is not good for this.")))]
async fn profile_of_account(
    State(api): State<Api>,
    At(path): At<ContextPath>,
    token: Bearer,
    signed: Signed,
) -> Result<Response, LtiProblem> {
    profile(&api, token, &signed, format!("accounts/{}", path.id)).await
}

/// The same for a tool of a course.
#[utoipa::path(get, path = "/api/lti/courses/{id}/tool_consumer_profile", operation_id = "lti.profile.course", tag = "LTI",
    params(ContextPath), security(("HTTPBearer" = [])), responses((status = 200, body = Object, content_type = "application/vnd.ims.lti.v2.toolconsumerprofile+json"),
    (status = 401, body = LtiErrorOut, description = "The token is not good for this.")))]
async fn profile_of_course(
    State(api): State<Api>,
    At(path): At<ContextPath>,
    token: Bearer,
    signed: Signed,
) -> Result<Response, LtiProblem> {
    profile(&api, token, &signed, format!("courses/{}", path.id)).await
}

async fn named_profile_of_account(
    State(api): State<Api>,
    At((id, _)): At<(String, String)>,
    token: Bearer,
    signed: Signed,
) -> Result<Response, LtiProblem> {
    profile(&api, token, &signed, format!("accounts/{id}")).await
}

async fn named_profile_of_course(
    State(api): State<Api>,
    At((id, _)): At<(String, String)>,
    token: Bearer,
    signed: Signed,
) -> Result<Response, LtiProblem> {
    profile(&api, token, &signed, format!("courses/{id}")).await
}

async fn install(
    api: &Api,
    token: Bearer,
    signed: &Signed,
    context: String,
    headers: &HeaderMap,
    body: &RawBody,
) -> Result<Response, LtiProblem> {
    let registrant = registrant(api, &token, signed, &body.0).await?;
    let params = Params::read(headers, &body.0);
    let not_json = || LtiError::InvalidProxy(vec![("errors", "the body is not JSON".to_owned())]);
    let proxy = params.json().filter(|v| v.is_object()).ok_or_else(not_json)?;
    let installed = api.service.install_tool(&registrant, &context, proxy).await?;
    let mut out = json!({
        "@context": "http://purl.imsglobal.org/ctx/lti/v2/ToolProxyId",
        "@type": "ToolProxy",
        "@id": null,
        "tool_proxy_guid": installed.guid,
    });
    if let Some(half) = installed.half_secret {
        out["tc_half_shared_secret"] = half.into();
    }
    Ok(typed(StatusCode::CREATED, PROXY_ID_TYPE, &out))
}

/// Install a tool in an account: it sends its tool proxy, with the token of its registration or signed with its
/// password (OAuth 1, HMAC-SHA1 with a hash of the body).
#[utoipa::path(post, path = "/api/lti/accounts/{id}/tool_proxy", operation_id = "lti.install.account", tag = "LTI",
    params(ContextPath), security(("HTTPBearer" = [])),
    request_body(content = Object, content_type = "application/vnd.ims.lti.v2.toolproxy+json"),
    responses((status = 201, body = Object, content_type = "application/vnd.ims.lti.v2.toolproxy.id+json"),
    (status = 400, body = Object, description = "What is wrong with the proxy, by field."),
    (status = 401, body = LtiErrorOut, description = "The token is not good for this.")))]
async fn install_in_account(
    State(api): State<Api>,
    At(path): At<ContextPath>,
    token: Bearer,
    signed: Signed,
    headers: HeaderMap,
    body: RawBody,
) -> Result<Response, LtiProblem> {
    install(&api, token, &signed, format!("accounts/{}", path.id), &headers, &body).await
}

/// Install a tool in a course.
#[utoipa::path(post, path = "/api/lti/courses/{id}/tool_proxy", operation_id = "lti.install.course", tag = "LTI",
    params(ContextPath), security(("HTTPBearer" = [])),
    request_body(content = Object, content_type = "application/vnd.ims.lti.v2.toolproxy+json"),
    responses((status = 201, body = Object, content_type = "application/vnd.ims.lti.v2.toolproxy.id+json"),
    (status = 400, body = Object, description = "What is wrong with the proxy, by field."),
    (status = 401, body = LtiErrorOut, description = "The token is not good for this.")))]
async fn install_in_course(
    State(api): State<Api>,
    At(path): At<ContextPath>,
    token: Bearer,
    signed: Signed,
    headers: HeaderMap,
    body: RawBody,
) -> Result<Response, LtiProblem> {
    install(&api, token, &signed, format!("courses/{}", path.id), &headers, &body).await
}

/// Names an installed tool.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
struct ProxyPath {
    /// The tool's guid.
    guid: String,
}

fn proxy_of(tool: &Tool) -> Value {
    json!({
        "@context": ["http://purl.imsglobal.org/ctx/lti/v2/ToolProxy"],
        "@type": "ToolProxy",
        "lti_version": "LTI-2p0",
        "tool_proxy_guid": tool.guid,
        "enabled_capability": tool.capabilities,
        "security_contract": {"tool_service": tool.services},
    })
}

/// Get the tool's own proxy, with its token or signed with its shared secret.
#[utoipa::path(get, path = "/api/lti/tool_proxy/{guid}", operation_id = "lti.proxy", tag = "LTI",
    params(ProxyPath), security(("HTTPBearer" = [])), responses((status = 200, body = Object, content_type = "application/vnd.ims.lti.v2.toolproxy+json"),
    (status = 401, body = LtiErrorOut, description = "The token is not this tool's.")))]
async fn show_proxy(
    State(api): State<Api>,
    At(path): At<ProxyPath>,
    token: Bearer,
    signed: Signed,
) -> Result<Response, LtiProblem> {
    let own = match signed.request(b"") {
        Some(request) => api.service.tool_signed(&request).await,
        None => api.service.tool_of_token(token.0.as_deref()).await.map(|actor| actor.tool().clone()),
    };
    let own = own.map_err(|e| match e {
        LtiError::Unauthenticated => LtiError::Unauthorized,
        e => e,
    })?;
    Ok(typed(StatusCode::OK, PROXY_TYPE, &proxy_of(api.service.own_proxy(&own, &path.guid)?)))
}
