//! The dashboard: pages for people, made on the server. A page decodes what was asked, calls operations of `service`, and
//! encodes what came of it as HTML.
//!
//! Knows no SQL and no rules: what is allowed, and what may be seen, is decided in `service` alone. Every page works
//! without script; the one small script only refreshes, copies, and opens confirmations in place.

mod activity;
mod applications;
mod assets;
mod body_secret;
mod classroom;
mod door;
mod endpoint;
mod endpoints;
mod events;
mod expressions;
mod form;
mod health;
mod messages;
mod page;
mod queue;
mod repair;
mod session;
mod settings_of_endpoint;
mod sign_in;
mod student_data;
mod submissions;
mod tools;
mod words;

use axum::{
    Router, middleware,
    routing::{get, post},
};
use service::Service;
use session::Sessions;
use std::sync::Arc;

/// What all pages share.
pub struct Dashboard {
    service: Arc<Service>,
    sessions: Sessions,
    /// Whether people reach us through https, so that cookies may insist on it.
    secure: bool,
}

impl Dashboard {
    /// Over the operations.
    pub fn new(service: Arc<Service>) -> Arc<Self> {
        let secure = service.public_url().starts_with("https://");
        Arc::new(Self { service, sessions: Sessions::default(), secure })
    }
}

/// The pages, from `/` on; to be merged with other doors.
pub fn routes(dashboard: Arc<Dashboard>) -> Router {
    const APP: &str = "/applications/{app}";
    const ENDPOINT: &str = "/applications/{app}/endpoints/{endpoint}";
    let app = |path: &str| format!("{APP}{path}");
    let endpoint = |path: &str| format!("{ENDPOINT}{path}");
    Router::new()
        .route("/", get(sign_in::home))
        .route("/sign-in", get(sign_in::show).post(sign_in::sign_in))
        .route("/sign-out", post(sign_in::sign_out))
        .route("/portal", get(sign_in::portal).post(sign_in::open_portal))
        .route("/applications", get(applications::list).post(applications::create))
        .route("/applications/new", get(applications::new))
        .route(APP, get(endpoints::list))
        .route(&app("/settings"), get(applications::settings).post(applications::save))
        .route(&app("/delete"), get(applications::confirm_delete).post(applications::delete))
        .route(&app("/endpoints/new"), get(endpoints::new).post(endpoints::step))
        .route(&app("/messages"), get(messages::list))
        .route(&app("/messages/{message}"), get(messages::show))
        .route(&app("/messages/{message}/resend"), post(messages::resend))
        .route(&app("/tools"), get(tools::list))
        .route(&app("/tools/account"), post(tools::save_account))
        .route(&app("/tools/keys"), post(tools::create_key))
        .route(&app("/tools/keys/{key}/state"), post(tools::switch_key))
        .route(&app("/tools/keys/{key}/delete"), get(tools::confirm_delete_key).post(tools::delete_key))
        .route(&app("/tools/installed"), post(tools::create_tool))
        .route(&app("/tools/installed/{tool}/state"), post(tools::switch_tool))
        .route(&app("/tools/installed/{tool}/delete"), get(tools::confirm_delete_tool).post(tools::delete_tool))
        .route(&app("/tools/invitations"), post(tools::invite))
        .route(&app("/tools/invitations/{key}/withdraw"), post(tools::withdraw))
        .route(&app("/webhook"), get(classroom::show).post(classroom::save))
        .route(&app("/submissions"), get(submissions::list))
        .route(&app("/events"), get(events::list))
        .route(&app("/events/{name}"), get(events::show))
        .route(ENDPOINT, get(endpoint::overview))
        .route(&endpoint("/testing"), get(endpoint::testing).post(endpoint::send_test))
        .route(&endpoint("/logs"), get(endpoint::logs))
        .route(&endpoint("/activity"), get(activity::show))
        .route(&endpoint("/advanced"), get(settings_of_endpoint::advanced))
        .route(&endpoint("/edit/{fact}"), get(settings_of_endpoint::edit).post(settings_of_endpoint::save))
        .route(&endpoint("/expressions"), get(expressions::show).post(expressions::run))
        .route(&endpoint("/student-data"), get(student_data::show).post(student_data::save))
        .route(&endpoint("/body-secret"), get(body_secret::show).post(body_secret::reveal))
        .route(&endpoint("/body-secret/refresh"), get(body_secret::confirm).post(body_secret::refresh))
        .route(&endpoint("/state"), post(settings_of_endpoint::switch))
        .route(&endpoint("/secret"), post(settings_of_endpoint::reveal))
        .route(&endpoint("/rotate"), get(settings_of_endpoint::confirm_rotate).post(settings_of_endpoint::rotate))
        .route(&endpoint("/delete"), get(settings_of_endpoint::confirm_delete).post(settings_of_endpoint::delete))
        .route(&endpoint("/recover"), get(repair::confirm_recover).post(repair::recover))
        .route(&endpoint("/replay-missing"), get(repair::confirm_replay).post(repair::replay))
        .layer(middleware::from_fn(door::guard))
        .merge(assets::routes())
        .with_state(dashboard)
}
