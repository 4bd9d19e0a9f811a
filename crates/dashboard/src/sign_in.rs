//! The ways in and out: the operator's link that works once, and the portal's link for one application.

use crate::{
    Dashboard,
    form::{Form, Query},
    page::{Answer, Frame, Page, PageError, app_path, go, show as render},
    session::Visitor,
};
use askama::Template;
use axum::{
    extract::State,
    response::{IntoResponse, Redirect, Response},
};
use http::{HeaderMap, StatusCode, header};
use service::{Actor, sign_in::SignInError};
use std::sync::Arc;

#[derive(Template)]
#[template(path = "sign_in.html")]
struct SignInPage {
    frame: Frame,
    token: String,
    problem: String,
}

#[derive(Template)]
#[template(path = "portal.html")]
struct PortalPage {
    frame: Frame,
    problem: String,
}

/// `/`: to the first page that there is for the visitor.
pub(crate) async fn home(visitor: Visitor) -> Answer {
    Ok(match &visitor.actor {
        Actor::Organization(_) => go("/applications"),
        Actor::Application(a) => {
            let scope = visitor.service().open(&visitor.actor, &a.application.to_string()).await?;
            go(&app_path(scope.application()))
        }
    })
}

/// The link leads here. It signs in only when a person presses the button: programs that look at links in mails and
/// chats must not use it up.
pub(crate) async fn show(Query(query): Query) -> Page {
    let frame = Frame::outside("Sign in");
    render(&SignInPage { frame, token: query.get("token").to_owned(), problem: String::new() })
}

pub(crate) async fn sign_in(State(dashboard): State<Arc<Dashboard>>, Form(form): Form) -> Answer {
    may_try(&dashboard)?;
    // People paste the whole link.
    let text = form.get("token");
    let token = text.rsplit_once("token=").map_or(text, |(_, token)| token);
    match dashboard.service.sign_in(token).await {
        Ok(actor) => begin(&dashboard, actor),
        Err(SignInError::Service(e)) => Err(e.into()),
        Err(e) => {
            let page = SignInPage { frame: Frame::outside("Sign in"), token: String::new(), problem: e.to_string() };
            Ok((StatusCode::UNAUTHORIZED, render(&page)?).into_response())
        }
    }
}

pub(crate) async fn sign_out(State(dashboard): State<Arc<Dashboard>>, headers: HeaderMap) -> Response {
    let cookie = dashboard.sessions.end(&headers, dashboard.secure);
    ([(header::SET_COOKIE, cookie)], Redirect::to("/sign-in")).into_response()
}

/// A portal link leads here, with its token behind the hash sign, which browsers keep to themselves: the script puts it
/// into the form. Without script the form takes the whole link.
pub(crate) async fn portal() -> Page {
    render(&PortalPage { frame: Frame::outside("Open the portal"), problem: String::new() })
}

pub(crate) async fn open_portal(State(dashboard): State<Arc<Dashboard>>, Form(form): Form) -> Answer {
    may_try(&dashboard)?;
    let text = form.get("key");
    let token = text.rsplit_once("key=").map_or(text, |(_, token)| token);
    let service = &dashboard.service;
    match service.tokens().read(token, service.now()) {
        // Only application tokens: an organization's token in a form would be the whole server to lose.
        Ok(actor @ Actor::Application(_)) => begin(&dashboard, actor),
        _ => {
            let problem =
                "This link is not valid any more. Go back to where you found it and open it again.".to_owned();
            let page = PortalPage { frame: Frame::outside("Open the portal"), problem };
            Ok((StatusCode::UNAUTHORIZED, render(&page)?).into_response())
        }
    }
}

fn may_try(dashboard: &Dashboard) -> Result<(), PageError> {
    if dashboard.sessions.may_try(dashboard.service.now()) { Ok(()) } else { Err(PageError::TooOften) }
}

fn begin(dashboard: &Dashboard, actor: Actor) -> Answer {
    let cookie = dashboard
        .sessions
        .begin(actor, dashboard.service.now(), dashboard.secure)
        .ok_or(service::ServiceError::Internal)?;
    Ok(([(header::SET_COOKIE, cookie)], Redirect::to("/")).into_response())
}
