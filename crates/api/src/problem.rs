//! Every way a request can fail, and the one place that turns it into a status and a body.

use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use serde_json::{Value, json};
use service::{Problem as FieldProblem, ServiceError, TokenError};
use std::borrow::Cow;

/// Why a request failed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Problem {
    /// The operation says so.
    #[error(transparent)]
    Service(#[from] ServiceError),
    /// The token is not taken.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The body is not JSON.
    #[error("The body is not valid JSON: {0}")]
    InvalidJson(String),
    /// The query or the path cannot be read.
    #[error("{0}")]
    Unreadable(String),
    /// The body is larger than 2 MiB.
    #[error("Request payload is too large.")]
    TooLarge,
    /// A fault on our side.
    #[error("An internal error occurred.")]
    Panicked,
}

#[derive(Serialize)]
struct Plain<'a> {
    code: &'static str,
    detail: Cow<'a, str>,
}

impl Problem {
    /// One field of the query or the body that cannot be taken.
    pub(crate) fn field(loc: &[&'static str], msg: impl Into<Cow<'static, str>>) -> Self {
        ServiceError::invalid(loc, msg).into()
    }

    /// A body whose JSON does not fit: where, and why.
    pub(crate) fn undecodable(path: &str, msg: String) -> Self {
        let segments = path.split('.').map(|s| Cow::Owned(s.to_owned()));
        let loc = std::iter::once(Cow::Borrowed("body")).chain(segments).collect();
        let problem = FieldProblem { loc, msg: msg.into(), kind: FieldProblem::DECODE };
        ServiceError::Invalid(vec![problem]).into()
    }

    /// The status, the code, and whether the fields are listed instead of a code.
    fn status_and_code(&self) -> (StatusCode, &'static str) {
        match self {
            Self::InvalidJson(_) => (StatusCode::BAD_REQUEST, "invalid_json"),
            Self::Unreadable(_) => (StatusCode::BAD_REQUEST, "generic_error"),
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "payload_too_large"),
            Self::Panicked => (StatusCode::INTERNAL_SERVER_ERROR, "server_error"),
            Self::Token(e) => match e {
                TokenError::Invalid | TokenError::SecretInsteadOfToken | TokenError::NoSubject => {
                    (StatusCode::UNAUTHORIZED, "authentication_failed")
                }
                TokenError::NotAnOrganization | TokenError::NotAnApplication => (StatusCode::BAD_REQUEST, "bad_token"),
            },
            Self::Service(e) => match e {
                ServiceError::NotFound(_) => (StatusCode::NOT_FOUND, "not_found"),
                ServiceError::Conflict(_) => (StatusCode::CONFLICT, "conflict"),
                ServiceError::EventTypeExists => (StatusCode::CONFLICT, "event_type_exists"),
                ServiceError::Invalid(_) => (StatusCode::UNPROCESSABLE_ENTITY, "validation"),
                // With a space, as Svix has it.
                ServiceError::Forbidden => (StatusCode::FORBIDDEN, "insufficient access"),
                ServiceError::LimitReached(_) => (StatusCode::BAD_REQUEST, "limit_reached"),
                ServiceError::InvalidRange(_) => (StatusCode::BAD_REQUEST, "invalid_range"),
                ServiceError::MissingPayload => (StatusCode::BAD_REQUEST, "missing_payload"),
                ServiceError::InvalidScheme => (StatusCode::BAD_REQUEST, "invalid_scheme"),
                ServiceError::StorageFull => (StatusCode::SERVICE_UNAVAILABLE, "storage_full"),
                ServiceError::TooBusy => (StatusCode::SERVICE_UNAVAILABLE, "busy"),
                ServiceError::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
                ServiceError::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "server_error"),
            },
        }
    }

    /// The status.
    pub(crate) fn status(&self) -> StatusCode {
        self.status_and_code().0
    }

    /// The body.
    pub(crate) fn body(&self) -> Value {
        if let Self::Service(ServiceError::Invalid(problems)) = self {
            let detail: Vec<Value> =
                problems.iter().map(|p| json!({"loc": p.loc, "msg": p.msg, "type": p.kind})).collect();
            return json!({ "detail": detail });
        }
        let plain = Plain { code: self.status_and_code().1, detail: self.to_string().into() };
        serde_json::to_value(plain).unwrap_or_default()
    }

    /// The whole response, with a body of known length.
    pub(crate) fn into_response_parts(self) -> http::Response<http_body_util::Full<Bytes>> {
        let mut response = http::Response::new(http_body_util::Full::new(Bytes::from(self.body().to_string())));
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if self == Self::Service(ServiceError::TooBusy) {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        self.into_response_parts().into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_errors_have_a_code_and_a_detail() {
        let p = Problem::from(ServiceError::Forbidden);
        assert_eq!(p.status(), 403);
        assert_eq!(
            p.body(),
            json!({"code": "insufficient access", "detail": "Insufficient access for the given operation."})
        );
        assert_eq!(Problem::from(TokenError::Invalid).status(), 401);
        assert_eq!(Problem::from(TokenError::NotAnApplication).body()["code"], "bad_token");
    }

    #[test]
    fn fields_are_listed() {
        let p = Problem::undecodable("metadata.a", "invalid type".into());
        assert_eq!(p.status(), 422);
        assert_eq!(
            p.body(),
            json!({"detail": [
                {"loc": ["body", "metadata", "a"], "msg": "invalid type", "type": "value_error.jsondecode"}
            ]})
        );
        // The root's path is a full stop.
        assert_eq!(Problem::undecodable(".", String::new()).body()["detail"][0]["loc"], json!(["body", "", ""]));
    }

    #[test]
    fn a_busy_server_says_when_to_come_back_and_nothing_internal_leaks() {
        let response = Problem::from(ServiceError::TooBusy).into_response();
        assert_eq!((response.status().as_u16(), response.headers()["retry-after"].to_str().unwrap()), (503, "1"));
        let e = ServiceError::from(store_error());
        assert!(!Problem::from(e).body().to_string().contains("/var/lib"));
    }

    fn store_error() -> store::StoreError {
        store::StoreError::Unavailable("cannot open /var/lib/x".into())
    }
}
