//! Who calls: the bearer of a token.

use crate::{problem::Problem, state::ApiState};
use axum::extract::FromRequestParts;
use http::{header, request::Parts};
use service::{Actor, TokenError};
use std::sync::Arc;

/// Who calls.
pub(crate) struct Caller(pub(crate) Actor);

impl FromRequestParts<Arc<ApiState>> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &Arc<ApiState>) -> Result<Self, Problem> {
        let token = bearer(parts).ok_or(TokenError::Invalid)?;
        let service = &state.service;
        Ok(Self(service.tokens().read(token, service.now())?))
    }
}

/// The token of a request, verified by nobody yet.
pub(crate) fn bearer(parts: &Parts) -> Option<&str> {
    let value = parts.headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}
