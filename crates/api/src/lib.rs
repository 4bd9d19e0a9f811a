//! Inbound HTTP: Svix's REST API and what Schoolbell adds to it, the document that describes it, health and metrics.
//!
//! A handler decodes, calls one operation of `service`, and encodes. Contains no SQL and no rules.

mod answer;
mod auth;
mod cors;
mod docs_page;
mod extract;
pub mod figures;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod health;
mod idempotency;
mod lti;
mod openapi;
mod page;
mod problem;
mod state;
mod v1;

pub use problem::Problem;
pub use state::ApiState;

use axum::{Router, response::Redirect, routing::get};
use std::sync::Arc;
use tower_http::{catch_panic::CatchPanicLayer, normalize_path::NormalizePath};

/// A router that lets every path end with a slash or not.
pub type Slashes = NormalizePath<Router>;

/// Everything on one router: the API, its reference, health and metrics, and a way from `/` to the reference.
pub fn router(state: Arc<ApiState>) -> Slashes {
    trim_slashes(routes(state).route("/", get(|| async { Redirect::temporary("/docs") })))
}

/// The same without `/` and without the trimming of slashes, to be merged with other doors.
pub fn routes(state: Arc<ApiState>) -> Router {
    let (v1, document) = v1::routes(&state);
    figures::describe();
    let panics = CatchPanicLayer::custom(|_| Problem::Panicked.into_response_parts());
    v1.merge(openapi::routes(&document))
        .merge(docs_page::routes(&document))
        .merge(health::routes())
        .route("/metrics", get(figures::show))
        .with_state(state)
        // As one, because each layer of a router costs every request a box.
        .layer((panics, cors::AnyOrigin::new()))
}

/// Lets every path end with a slash or not.
pub fn trim_slashes(router: Router) -> Slashes {
    // Around the router, because it must happen before a route is looked for.
    NormalizePath::trim_trailing_slash(router)
}

/// The API's description as JSON.
pub fn openapi_json(state: &Arc<ApiState>) -> String {
    openapi::to_json(&v1::routes(state).1)
}
