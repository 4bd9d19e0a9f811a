//! Answers as JSON.

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use domain::PageOf;
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use utoipa::ToSchema;

/// A JSON answer.
pub(crate) fn json(status: StatusCode, value: &impl Serialize) -> Response {
    let mut body = Vec::with_capacity(512);
    if let Err(error) = serde_json::to_writer(&mut body, value) {
        tracing::error!(%error, "an answer could not be written as JSON");
        return crate::Problem::Panicked.into_response();
    }
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// A JSON answer with 200.
pub(crate) fn ok(value: &impl Serialize) -> Response {
    json(StatusCode::OK, value)
}

/// An answer without a body.
pub(crate) fn no_content() -> Response {
    StatusCode::NO_CONTENT.into_response()
}

/// A page of a list.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ListResponse)]
pub(crate) struct ListOut<T> {
    data: Vec<T>,
    /// Give this as `iterator` to get the next page.
    iterator: Option<String>,
    /// Give this as `iterator` to get the page before.
    #[serde(skip_serializing_if = "Option::is_none")]
    prev_iterator: Option<String>,
    /// Whether there is nothing further in the direction that was asked for.
    done: bool,
}

impl<T> ListOut<T> {
    /// From a page, with what names each item in an iterator.
    pub(crate) fn of<I>(page: PageOf<I>, name: impl Fn(&I) -> String, mut shown: impl FnMut(I) -> T) -> Self {
        Self {
            iterator: page.items.last().map(&name),
            prev_iterator: page.items.first().map(|first| format!("-{}", name(first))),
            done: !page.more,
            data: page.items.into_iter().map(&mut shown).collect(),
        }
    }
}
