//! Canvas's API for tools below `/api/lti`: tokens, registration, subscriptions. Bodies, statuses and errors are those that
//! tools know from Canvas, not those of the rest of the API.

pub(crate) mod params;
mod registration;
mod subscriptions;
mod tokens;

use crate::{answer::json, v1::Api};
use axum::{
    extract::FromRequestParts,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, StatusCode, header, request::Parts};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json as object};
use service::{
    ServiceError,
    lti::{LtiError, SignedRequest},
};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;

pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().merge(tokens::routes()).merge(registration::routes()).merge(subscriptions::routes())
}

/// The media types of LTI 2.
pub(crate) const PROFILE_TYPE: &str = "application/vnd.ims.lti.v2.toolconsumerprofile+json";
pub(crate) const PROXY_TYPE: &str = "application/vnd.ims.lti.v2.toolproxy+json";
pub(crate) const PROXY_ID_TYPE: &str = "application/vnd.ims.lti.v2.toolproxy.id+json";

/// Names an account or a course of Canvas.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct ContextPath {
    /// The account's or the course's id.
    id: String,
}

/// An error as Canvas writes it.
#[derive(Serialize, ToSchema)]
#[allow(dead_code)] // Only described here; `LtiProblem` writes it.
pub(crate) struct LtiErrorOut {
    /// What is wrong.
    error: String,
    /// Which field, where that helps.
    detail: Option<String>,
}

/// Why a tool does not get what it asked for.
pub(crate) struct LtiProblem(LtiError);

impl From<LtiError> for LtiProblem {
    fn from(e: LtiError) -> Self {
        Self(e)
    }
}

impl IntoResponse for LtiProblem {
    fn into_response(self) -> Response {
        let error = |status, text: &str| json(status, &object!({ "error": text }));
        let message = |status, text: &str| json(status, &object!({"errors": [{"message": text}]}));
        match self.0 {
            e @ LtiError::InvalidGrant => error(StatusCode::BAD_REQUEST, &e.to_string()),
            e @ (LtiError::Unauthorized | LtiError::UnauthorizedSubscription) => {
                error(StatusCode::UNAUTHORIZED, &e.to_string())
            }
            e @ LtiError::InvalidStartKey => error(StatusCode::BAD_REQUEST, &e.to_string()),
            e @ LtiError::Missing => message(StatusCode::BAD_REQUEST, &e.to_string()),
            e @ LtiError::Unauthenticated => {
                let body = object!({"status": "unauthenticated", "errors": [{"message": e.to_string()}]});
                let mut response = json(StatusCode::UNAUTHORIZED, &body);
                let realm = HeaderValue::from_static("Bearer realm=\"canvas-lms\"");
                response.headers_mut().insert(header::WWW_AUTHENTICATE, realm);
                response
            }
            LtiError::InvalidSubscription(detail) => {
                json(StatusCode::BAD_REQUEST, &object!({"error": "Invalid subscription", "detail": detail}))
            }
            LtiError::NoSubscription | LtiError::Service(ServiceError::NotFound(_)) => {
                json(StatusCode::NOT_FOUND, &object!({}))
            }
            LtiError::InvalidProxy(problems) => {
                let mut fields = Map::new();
                for (field, problem) in problems {
                    let list = fields.entry(field).or_insert_with(|| Value::Array(Vec::new()));
                    if let Value::Array(list) = list {
                        list.push(problem.into());
                    }
                }
                json(StatusCode::BAD_REQUEST, &fields)
            }
            LtiError::Service(e @ (ServiceError::StorageFull | ServiceError::TooBusy | ServiceError::Unavailable)) => {
                message(StatusCode::SERVICE_UNAVAILABLE, &e.to_string())
            }
            LtiError::Service(e @ (ServiceError::LimitReached(_) | ServiceError::Conflict(_))) => {
                message(StatusCode::BAD_REQUEST, &e.to_string())
            }
            LtiError::Service(error) => {
                tracing::error!(%error, "a tool's request failed");
                let body =
                    object!({"errors": [{"message": "An error occurred.", "error_code": "internal_server_error"}]});
                json(StatusCode::INTERNAL_SERVER_ERROR, &body)
            }
        }
    }
}

/// The token of a request: of its `Authorization`, or the parameter `access_token` without one.
pub(crate) struct Bearer(pub(crate) Option<String>);

impl<S: Send + Sync> FromRequestParts<S> for Bearer {
    type Rejection = std::convert::Infallible;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        if parts.headers.contains_key(header::AUTHORIZATION) {
            return Ok(Self(crate::auth::bearer(parts).map(str::to_owned)));
        }
        let query = parts.uri.query().unwrap_or_default();
        let found = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "access_token");
        Ok(Self(found.map(|(_, value)| value.into_owned())))
    }
}

/// What a tool without a token shows instead: a signature, where the header has one.
pub(crate) struct Signed {
    method: String,
    path: String,
    query: String,
    authorization: String,
}

impl<S: Send + Sync> FromRequestParts<S> for Signed {
    type Rejection = std::convert::Infallible;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        let header = parts.headers.get(header::AUTHORIZATION).and_then(|v| v.to_str().ok());
        Ok(Self {
            method: parts.method.to_string(),
            path: parts.uri.path().to_owned(),
            query: parts.uri.query().unwrap_or_default().to_owned(),
            authorization: header.unwrap_or_default().to_owned(),
        })
    }
}

impl Signed {
    /// With the body that belongs to it, if it claims to be signed.
    fn request<'a>(&'a self, body: &'a [u8]) -> Option<SignedRequest<'a>> {
        let Self { method, path, query, authorization } = self;
        let request = SignedRequest { method, path, query, authorization, body };
        request.is_signed().then_some(request)
    }
}

/// A JSON answer of one of LTI's own types.
fn typed(status: StatusCode, media_type: &'static str, value: &impl Serialize) -> Response {
    let mut response = json(status, value);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    response
}
