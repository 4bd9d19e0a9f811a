//! The dashboard: pages for people, made on the server. A page decodes what was asked, calls operations of `service`, and
//! encodes what came of it as HTML.
//!
//! Knows no SQL and no rules: what is allowed, and what may be seen, is decided in `service` alone. Every page works
//! without script; the one small script only refreshes, copies, and opens confirmations in place.

mod account;
mod activity;
mod applications;
mod assets;
mod audit;
mod body_secret;
mod classroom;
mod components;
mod door;
mod endpoint;
mod endpoint_defaults;
mod endpoints;
mod events;
mod expressions;
mod form;
mod health;
mod logs;
mod messages;
mod moment;
mod more;
mod page;
mod people;
mod period;
mod public;
mod queue;
mod repair;
mod session;
mod settings;
mod settings_of_endpoint;
mod sign_in;
mod standing;
mod student_data;
mod submissions;
mod theme;
mod tools;
mod typed;
mod webfilters;
mod words;

use axum::{
    Router, middleware,
    routing::{get, post},
};
use ipnet::IpNet;
use service::Service;
use sign_in::Tries;
use std::sync::Arc;

/// What the operator decides about pages.
#[derive(Clone, Debug, Default)]
pub struct DashboardSettings {
    /// Origins whose pages may show a portal in a frame.
    pub frame_origins: Vec<String>,
    /// Proxies that are believed when they say where a request came from.
    pub trusted_proxies: Vec<IpNet>,
}

/// What all pages share.
pub struct Dashboard {
    service: Arc<Service>,
    tries: Tries,
    /// Whether people reach us through https, so that cookies may insist on it.
    secure: bool,
    /// As a content security policy writes them.
    frame_origins: String,
    trusted_proxies: Vec<IpNet>,
}

impl Dashboard {
    /// Over the operations.
    pub fn new(service: Arc<Service>, settings: DashboardSettings) -> Arc<Self> {
        let secure = service.public_url().starts_with("https://");
        let DashboardSettings { frame_origins, trusted_proxies } = settings;
        Arc::new(Self {
            service,
            tries: Tries::default(),
            secure,
            frame_origins: frame_origins.join(" "),
            trusted_proxies,
        })
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
        .route("/catalogue/{app}", get(public::catalogue))
        .route("/components", get(components::show))
        .route("/sign-in/password", post(sign_in::with_password))
        .route("/sign-in/provider", post(sign_in::depart))
        .route("/sign-in/provider/return", get(sign_in::come_back))
        .route("/invitation", get(people::welcome).post(people::accept))
        .route("/invitation/join", post(people::join))
        .route("/reset", get(account::choose_password).post(account::reset_password))
        .route("/account", get(account::show))
        .route("/account/password", post(account::change_password))
        .route("/account/sign-out-elsewhere", post(account::sign_out_elsewhere))
        .route("/settings", get(settings::first))
        .route("/settings/operator", get(people::new_operator).post(people::create_operator))
        .route("/settings/people", get(people::all).post(people::invite_operator))
        .route("/settings/people/{user}", get(people::user).post(people::change_user))
        .route("/settings/people/{user}/reset", get(people::confirm_reset).post(people::reset))
        .route("/settings/people/{user}/delete", get(people::confirm_delete).post(people::delete))
        .route("/settings/invitations/{invitation}/withdraw", post(people::withdraw))
        .route("/settings/tokens", get(settings::tokens).post(settings::create_token))
        .route("/settings/alerts", get(settings::alerts).post(settings::dismiss))
        .route("/settings/alerts/emails", post(settings::save_emails))
        .route("/settings/alerts/webhooks", post(settings::add_webhook))
        .route("/settings/alerts/webhooks/{endpoint}/secret", post(settings::reveal_webhook))
        .route("/settings/alerts/webhooks/{endpoint}/delete", post(settings::remove_webhook))
        .route("/settings/retention", get(settings::retention).post(settings::save_retention))
        .route("/settings/branding", get(settings::branding).post(settings::save_branding))
        .route("/settings/audit", get(audit::all))
        .route(&app("/people"), get(people::of_application).post(people::invite))
        .route(&app("/people/{user}"), post(people::change_role))
        .route(&app("/invitations/{invitation}/withdraw"), post(people::withdraw_from))
        .route(&app("/token"), post(settings::create_application_token))
        .route(&app("/audit"), get(audit::of_application))
        .route("/portal", get(sign_in::portal).post(sign_in::open_portal))
        .route("/applications", get(applications::list).post(applications::create))
        .route("/applications/new", get(applications::new))
        .route(APP, get(endpoints::list))
        .route(&app("/settings"), get(applications::settings).post(applications::save))
        .route(&app("/settings/endpoints"), get(endpoint_defaults::edit).post(endpoint_defaults::save))
        .route(&app("/delete"), get(applications::confirm_delete).post(applications::delete))
        .route(&app("/endpoints/new"), get(endpoints::new).post(endpoints::step))
        .route(&app("/recipients"), get(student_data::recipients))
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
        .route(&endpoint("/logs"), get(logs::show_logs))
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
        .route(&endpoint("/cancel-waiting"), get(repair::confirm_cancel).post(repair::cancel))
        .route(&endpoint("/tasks/{task}"), get(repair::task))
        .merge(webfilters::routes(APP))
        .layer(middleware::from_fn_with_state(dashboard.clone(), door::guard))
        .merge(assets::routes())
        .with_state(dashboard)
}
