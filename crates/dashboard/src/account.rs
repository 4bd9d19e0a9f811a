//! A user's own page: their password, their sessions, their roles.

use crate::{
    form::Form,
    page::{Answer, Frame, Page, PageError, go, in_words, is_about_input, problem_of, show as render},
    session::Visitor,
    words::count,
};
use askama::Template;
use axum::response::IntoResponse;
use domain::User;

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
