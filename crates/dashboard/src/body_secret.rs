//! The secret that travels in the body of what an endpoint gets: shown, and refreshed.

use crate::{
    applications::ConfirmPage,
    endpoint::{address, frame, path},
    form::Form,
    page::{Answer, Frame, Page, PageError, go, in_words, is_about_input, show as render},
    session::Visitor,
};
use askama::Template;
use axum::{extract::Path, response::IntoResponse};
use domain::Endpoint;
use service::{AppScope, Capability};

type At = Path<(String, String)>;

#[derive(Template)]
#[template(path = "body_secret.html")]
struct SecretPage {
    frame: Frame,
    path: String,
    /// Empty while it is hidden.
    secret: String,
    may_see: bool,
    may_rotate: bool,
    problem: String,
}

fn page(visitor: &Visitor, scope: &AppScope, e: &Endpoint, secret: String) -> SecretPage {
    let here = path(scope.application(), e);
    SecretPage {
        frame: frame(visitor, scope.application(), "Secret in the body").below(address(e), here.clone()),
        path: here,
        secret,
        may_see: visitor.can(Capability::ViewEndpointSecret),
        may_rotate: visitor.can(Capability::ManageEndpointSecret),
        problem: String::new(),
    }
}

pub(crate) async fn show(visitor: Visitor, Path((app, endpoint)): At) -> Page {
    let scope = visitor.service().open(&visitor.actor, &app).await?;
    let e = visitor.service().endpoint(&scope, &endpoint).await?;
    if e.secrets.body.is_none() {
        return Err(PageError::NotFound);
    }
    render(&page(&visitor, &scope, &e, String::new()))
}

/// Shows it once, or takes one of the visitor's own.
pub(crate) async fn reveal(visitor: Visitor, Path((app, endpoint)): At, Form(form): Form) -> Answer {
    let scope = visitor.service().open(&visitor.actor, &app).await?;
    let e = visitor.service().endpoint(&scope, &endpoint).await?;
    if let Some(own) = form.some("key") {
        match visitor.service().rotate_body_secret(&scope, &endpoint, Some(&own)).await {
            Ok(_) => {
                visitor.say("The secret was replaced. It counts at once, also for what is tried again.");
                return Ok(go(&format!("{}/body-secret", path(scope.application(), &e))));
            }
            Err(error) if is_about_input(&error) => {
                let mut page = page(&visitor, &scope, &e, String::new());
                page.problem = in_words(&error);
                return Ok(render(&page)?.into_response());
            }
            Err(error) => return Err(error.into()),
        }
    }
    let secret = visitor.service().endpoint_body_secret(&scope, &endpoint).await?;
    Ok(render(&page(&visitor, &scope, &e, secret))?.into_response())
}

pub(crate) async fn confirm(visitor: Visitor, Path((app, endpoint)): At) -> Page {
    visitor.actor.must_have(Capability::ManageEndpointSecret)?;
    let scope = visitor.service().open(&visitor.actor, &app).await?;
    let e = visitor.service().endpoint(&scope, &endpoint).await?;
    let here = path(scope.application(), &e);
    render(&ConfirmPage {
        frame: frame(&visitor, scope.application(), "Refresh the secret in the body?").below(address(&e), here.clone()),
        text: vec![
            format!("What {} gets carries a new secret at once, also what is tried again.", address(&e)),
            "The receiver refuses it until it knows the new one.".to_owned(),
        ],
        action: format!("{here}/body-secret/refresh"),
        button: "Refresh secret".to_owned(),
        back: format!("{here}/body-secret"),
        dangerous: false,
    })
}

pub(crate) async fn refresh(visitor: Visitor, Path((app, endpoint)): At) -> Answer {
    let scope = visitor.service().open(&visitor.actor, &app).await?;
    visitor.service().rotate_body_secret(&scope, &endpoint, None).await?;
    let e = visitor.service().endpoint(&scope, &endpoint).await?;
    visitor.say("There is a new secret in the body. Show it, and tell the receiver.");
    Ok(go(&format!("{}/body-secret", path(scope.application(), &e))))
}
