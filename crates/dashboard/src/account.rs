//! A user's own page: their password, their sessions, their roles; and the page on which whoever forgot their password
//! chooses a new one.

use crate::{
    Dashboard,
    door::CameFrom,
    form::{Form, Query},
    page::{Answer, Frame, Page, PageError, go, in_words, is_about_input, problem_of, show as render},
    session::{Reach, Visitor},
    sign_in::{begin, may_try},
    words::count,
};
use askama::Template;
use axum::{Extension, extract::State, response::IntoResponse};
use domain::User;
use http::StatusCode;
use service::ServiceError;
use std::sync::Arc;

#[derive(Template, Default)]
#[template(path = "account.html")]
struct AccountPage {
    frame: Frame,
    name: String,
    email: String,
    /// What they may do where.
    roles: Vec<(String, String, String)>,
    operator: bool,
    has_password: bool,
    by_provider: String,
    others: String,
    old_problem: String,
    new_problem: String,
    problem: String,
}

fn user(visitor: &Visitor) -> Result<&User, PageError> {
    visitor.session().user.as_ref().ok_or(PageError::NotFound)
}

async fn page(visitor: &Visitor) -> Result<AccountPage, PageError> {
    let user = user(visitor)?;
    let mut roles = Vec::new();
    for (app, role) in &user.roles {
        // One that was deleted is not shown.
        if let Ok(scope) = visitor.service().open(&visitor.session().actor, &app.to_string()).await {
            let app = scope.application();
            roles.push((app.name.clone(), crate::page::app_path(app), role.to_string()));
        }
    }
    let others = visitor.service().sessions_of(user).await?.saturating_sub(1);
    Ok(AccountPage {
        frame: Frame::new(visitor, "Your account"),
        name: user.name.clone(),
        email: user.email.clone(),
        roles,
        operator: user.operator,
        has_password: user.password.is_some(),
        by_provider: user.subject.as_ref().map(|s| s.issuer.clone()).unwrap_or_default(),
        others: if others == 0 { String::new() } else { count(others as usize, "other session") },
        ..AccountPage::default()
    })
}

pub(crate) async fn show(visitor: Visitor) -> Page {
    render(&page(&visitor).await?)
}

pub(crate) async fn change_password(visitor: Visitor, Form(form): Form) -> Answer {
    let session = visitor.session();
    match visitor.service().change_password(session, form.raw("old"), form.raw("password")).await {
        Ok(()) => {
            visitor.say("The password was changed. Your other sessions have ended.");
            Ok(go("/account"))
        }
        Err(e) if is_about_input(&e) => {
            let (old, new) = (problem_of(&e, "old"), problem_of(&e, "password"));
            let problem = if old.is_empty() && new.is_empty() { in_words(&e) } else { String::new() };
            let shown = AccountPage { old_problem: old, new_problem: new, problem, ..page(&visitor).await? };
            Ok(render(&shown)?.into_response())
        }
        Err(e) => Err(e.into()),
    }
}

pub(crate) async fn sign_out_elsewhere(visitor: Visitor) -> Answer {
    let ended = visitor.service().sign_out_elsewhere(visitor.session()).await?;
    visitor.say(format!("{} ended.", count(ended as usize, "session")));
    Ok(go("/account"))
}

#[derive(Template)]
#[template(path = "reset.html")]
struct ResetPage {
    frame: Frame,
    key: String,
    email: String,
    problem: String,
}

async fn reset_page(dashboard: &Dashboard, key: &str, problem: String) -> Result<ResetPage, PageError> {
    let user = dashboard.service.password_reset(key).await?.ok_or(PageError::NoReset)?;
    Ok(ResetPage { frame: Frame::outside("Choose a new password"), key: key.to_owned(), email: user.email, problem })
}

/// The link leads here. Looking does not use it up.
pub(crate) async fn choose_password(State(dashboard): State<Arc<Dashboard>>, Query(query): Query) -> Page {
    render(&reset_page(&dashboard, query.get("key"), String::new()).await?)
}

pub(crate) async fn reset_password(
    State(dashboard): State<Arc<Dashboard>>,
    Extension(from): Extension<CameFrom>,
    Form(form): Form,
) -> Answer {
    may_try(&dashboard, &from)?;
    let key = form.get("key");
    match dashboard.service.reset_password(key, form.raw("password")).await {
        Ok(session) => Ok(begin(&dashboard, &session, Reach::Ours, "/")),
        Err(e) if is_about_input(&e) => {
            let page = reset_page(&dashboard, key, in_words(&e)).await?;
            Ok((StatusCode::UNPROCESSABLE_ENTITY, render(&page)?).into_response())
        }
        Err(ServiceError::NotFound(_)) => Err(PageError::NoReset),
        Err(e) => Err(e.into()),
    }
}
