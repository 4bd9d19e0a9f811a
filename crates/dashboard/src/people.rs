//! Users and invitations: the whole organization's, an application's, and the page that an invitation leads to.

use crate::{
    Dashboard,
    applications::{ConfirmPage, around},
    door::CameFrom,
    form::{Fields, Form, Query, link},
    page::{Answer, Frame, Page, PageError, Room, app_path, go, in_words, is_about_input, problem_of, show as render},
    session::{Found, Reach, Visitor},
    sign_in::{begin, may_try},
    words::When,
};
use askama::Template;
use axum::{
    Extension,
    extract::{Path, State},
    response::IntoResponse,
};
use domain::{ApplicationId, Cursor, Grant, Invitation, Ksuid, Order, PageQuery, Role, Timestamp, User, UserId};
use http::StatusCode;
use service::{
    ServiceError,
    people::{NewUser, Standing},
};
use std::sync::Arc;

const PAGE: usize = 25;

struct Row {
    id: String,
    path: String,
    name: String,
    email: String,
    role: String,
    disabled: bool,
    myself: bool,
    since: When,
}

struct InvitationRow {
    id: String,
    for_whom: String,
    by: String,
    what: String,
    ends: When,
}

#[derive(Template)]
#[template(path = "people.html")]
struct ListPage {
    frame: Frame,
    /// Where forms go.
    path: String,
    /// The application's name; the whole organization if empty.
    application: String,
    rows: Vec<Row>,
    invitations: Vec<InvitationRow>,
    /// A new invitation's link, shown this once.
    link: String,
    for_whom: String,
    problem: String,
    newer: String,
    older: String,
}

#[derive(Template)]
#[template(path = "user.html")]
struct UserPage {
    frame: Frame,
    path: String,
    user: User,
    roles: Vec<(String, String, String)>,
    myself: bool,
    provider: String,
    since: When,
    /// Where what they did is listed.
    log: String,
    /// A link to a new password, shown this once.
    link: String,
}

#[derive(Template, Default)]
#[template(path = "new_user.html")]
struct NewUserPage {
    frame: Frame,
    action: &'static str,
    button: &'static str,
    intro: String,
    key: String,
    /// Whoever is signed in could join with the user they are.
    joins_as: String,
    provider: String,
    name: String,
    email: String,
    name_problem: String,
    email_problem: String,
    password_problem: String,
    problem: String,
}

fn is_me(visitor: &Visitor, id: UserId) -> bool {
    visitor.session().user.as_ref().is_some_and(|me| me.id == id)
}

fn what(grant: Grant) -> String {
    match grant {
        Grant::Operator => "operator".to_owned(),
        Grant::In(_, role) => role.to_string(),
    }
}

fn shown(invitations: &[Invitation], now: Timestamp) -> Vec<InvitationRow> {
    let row = |i: &Invitation| InvitationRow {
        id: i.id.to_string(),
        for_whom: i.for_whom.clone(),
        by: i.invited_by.clone(),
        what: what(i.grant),
        ends: When::new(i.expires_at, now),
    };
    invitations.iter().map(row).collect()
}

fn cursor_of(query: &Fields) -> Option<Cursor<Ksuid>> {
    let id = |text: &str| text.parse::<UserId>().ok().map(|id| id.0);
    id(query.get("older")).map(Cursor::After).or_else(|| id(query.get("newer")).map(Cursor::Before))
}

/// Of the organization, or of the application that the visitor looks at.
async fn list_page(visitor: &Visitor, app: Option<&str>, query: &Fields) -> Result<ListPage, PageError> {
    let (service, now) = (visitor.service(), visitor.now());
    let cursor = cursor_of(query);
    let page = PageQuery { limit: PAGE, cursor: cursor.clone(), order: Order::Descending };
    let (frame, path, application, users, invitations, app) = match app {
        Some(app) => {
            let scope = service.open(&visitor.actor, app).await?;
            let users = service.users_of(&scope, page).await?;
            let (app, invitations) = (scope.application(), service.invitations_to(&scope).await?);
            let frame = Frame::of(visitor, app, Room::People, "People");
            (frame, format!("{}/people", app_path(app)), app.name.clone(), users, invitations, Some(app.id))
        }
        None => {
            let users = service.users(&visitor.actor, page).await?;
            let invitations = service.invitations(&visitor.actor).await?;
            (Frame::new(visitor, "People"), "/settings/people".to_owned(), String::new(), users, invitations, None)
        }
    };
    let role = |user: &User| match app {
        Some(app) => user.roles.get(&app).map(ToString::to_string).unwrap_or_default(),
        None if user.operator => "operator".to_owned(),
        None => match user.roles.len() {
            0 => "none".to_owned(),
            1 => user.roles.values().next().map(|r| format!("{r} of 1 application")).unwrap_or_default(),
            n => format!("roles in {n} applications"),
        },
    };
    let rows: Vec<Row> = users
        .items
        .iter()
        .map(|user| Row {
            id: user.id.to_string(),
            path: format!("/settings/people/{}", user.id),
            name: user.name.clone(),
            email: user.email.clone(),
            role: role(user),
            disabled: user.disabled,
            myself: is_me(visitor, user.id),
            since: When::new(user.created_at, now),
        })
        .collect();
    let (newer, older) = around(&cursor, users.more);
    let end = |row: Option<&Row>| row.map(|r| r.id.clone()).unwrap_or_default();
    Ok(ListPage {
        newer: if newer { link(&path, &[("newer", &end(rows.first()))]) } else { String::new() },
        older: if older { link(&path, &[("older", &end(rows.last()))]) } else { String::new() },
        invitations: shown(&invitations, now),
        frame,
        path,
        application,
        rows,
        link: String::new(),
        for_whom: String::new(),
        problem: String::new(),
    })
}

pub(crate) async fn all(visitor: Visitor, Query(query): Query) -> Page {
    render(&list_page(&visitor, None, &query).await?)
}

pub(crate) async fn of_application(visitor: Visitor, Path(app): Path<String>, Query(query): Query) -> Page {
    render(&list_page(&visitor, Some(&app), &query).await?)
}

/// The link is shown in the answer itself: it is stored nowhere, so no other page could show it.
async fn invited(
    visitor: &Visitor,
    app: Option<&str>,
    form: &Fields,
    made: Result<(Invitation, String), ServiceError>,
) -> Answer {
    let page = list_page(visitor, app, &Fields::default()).await?;
    let page = match made {
        Ok((_, link)) => ListPage { link, ..page },
        Err(e) if is_about_input(&e) => {
            ListPage { problem: in_words(&e), for_whom: form.get("for").to_owned(), ..page }
        }
        Err(e) => return Err(e.into()),
    };
    Ok(render(&page)?.into_response())
}

pub(crate) async fn invite_operator(visitor: Visitor, Form(form): Form) -> Answer {
    let made = visitor.service().invite_operator(&visitor.actor, form.get("for")).await;
    invited(&visitor, None, &form, made).await
}

pub(crate) async fn invite(visitor: Visitor, Path(app): Path<String>, Form(form): Form) -> Answer {
    let scope = visitor.service().open(&visitor.actor, &app).await?;
    let made = match form.get("role").parse::<Role>() {
        Ok(role) => visitor.service().invite_to(&scope, role, form.get("for")).await,
        Err(e) => Err(ServiceError::invalid(&["body", "role"], e.to_string())),
    };
    invited(&visitor, Some(&app), &form, made).await
}

pub(crate) async fn withdraw(visitor: Visitor, Path(invitation): Path<String>) -> Answer {
    visitor.service().withdraw_user_invitation(&visitor.actor, &invitation).await?;
    visitor.say("The invitation was withdrawn: its link does not work any more.");
    Ok(go("/settings/people"))
}

pub(crate) async fn withdraw_from(visitor: Visitor, Path((app, invitation)): Path<(String, String)>) -> Answer {
    let scope = visitor.service().open(&visitor.actor, &app).await?;
    visitor.service().withdraw_invitation_to(&scope, &invitation).await?;
    visitor.say("The invitation was withdrawn: its link does not work any more.");
    Ok(go(&format!("{}/people", app_path(scope.application()))))
}

pub(crate) async fn change_role(
    visitor: Visitor,
    Path((app, user)): Path<(String, String)>,
    Form(form): Form,
) -> Answer {
    let scope = visitor.service().open(&visitor.actor, &app).await?;
    let role = form.get("role").parse::<Role>().ok();
    match visitor.service().change_role(&scope, &user, role).await {
        Ok(user) => visitor.say(match role {
            Some(role) => format!("{} is {role} now.", user.name),
            None => format!("{} has no access here any more.", user.name),
        }),
        Err(e) if is_about_input(&e) => visitor.complain(in_words(&e)),
        Err(e) => return Err(e.into()),
    }
    Ok(go(&format!("{}/people", app_path(scope.application()))))
}

pub(crate) async fn user(visitor: Visitor, Path(user): Path<String>) -> Page {
    let user = visitor.service().user(&visitor.actor, &user).await?;
    user_page(&visitor, user, String::new()).await
}

async fn user_page(visitor: &Visitor, user: User, new_link: String) -> Page {
    let mut roles = Vec::new();
    for (app, role) in &user.roles {
        let app: &ApplicationId = app;
        if let Ok(scope) = visitor.service().open(&visitor.actor, &app.to_string()).await {
            let app = scope.application();
            roles.push((app.name.clone(), format!("{}/people", app_path(app)), role.to_string()));
        }
    }
    render(&UserPage {
        frame: Frame::new(visitor, user.name.as_str()).below("People", "/settings/people"),
        path: format!("/settings/people/{}", user.id),
        roles,
        link: new_link,
        myself: is_me(visitor, user.id),
        provider: user.subject.as_ref().map(|s| s.issuer.clone()).unwrap_or_default(),
        since: When::new(user.created_at, visitor.now()),
        log: link("/settings/audit", &[("actor", &user.email)]),
        user,
    })
}

pub(crate) async fn change_user(visitor: Visitor, Path(user): Path<String>, Form(form): Form) -> Answer {
    let (to, done) = match form.get("to") {
        "operator" => (Standing::Operator(true), "is an operator now."),
        "member" => (Standing::Operator(false), "is not an operator any more."),
        "out" => (Standing::Disabled(true), "cannot sign in any more, and was signed out."),
        "in" => (Standing::Disabled(false), "can sign in again."),
        _ => return Err(PageError::NotFound),
    };
    match visitor.service().change_standing(&visitor.actor, &user, to).await {
        Ok(user) => visitor.say(format!("{} {done}", user.name)),
        Err(e) if is_about_input(&e) => visitor.complain(in_words(&e)),
        Err(e) => return Err(e.into()),
    }
    Ok(go(&format!("/settings/people/{user}")))
}

pub(crate) async fn confirm_reset(visitor: Visitor, Path(user): Path<String>) -> Page {
    let user = visitor.service().user(&visitor.actor, &user).await?;
    render(&ConfirmPage {
        frame: Frame::new(&visitor, format!("Reset the password of {}?", user.name))
            .below("People", "/settings/people"),
        text: vec![
            format!(
                "You get a link for {} ({}) that works once, within 24 hours. Nothing is sent: hand it on yourself.",
                user.name, user.email
            ),
            "They are signed out everywhere now. The current password works until the link is used.".to_owned(),
        ],
        action: format!("/settings/people/{}/reset", user.id),
        button: "Sign out and create link".to_owned(),
        back: format!("/settings/people/{}", user.id),
        dangerous: false,
    })
}

/// The link is shown in the answer itself: it is stored nowhere, so no other page could show it.
pub(crate) async fn reset(visitor: Visitor, Path(user): Path<String>) -> Answer {
    match visitor.service().create_password_reset(&visitor.actor, &user).await {
        Ok((user, link)) => Ok(user_page(&visitor, user, link).await?.into_response()),
        Err(e) if is_about_input(&e) => {
            visitor.complain(in_words(&e));
            Ok(go(&format!("/settings/people/{user}")))
        }
        Err(e) => Err(e.into()),
    }
}

pub(crate) async fn confirm_delete(visitor: Visitor, Path(user): Path<String>) -> Page {
    let user = visitor.service().user(&visitor.actor, &user).await?;
    render(&ConfirmPage {
        frame: Frame::new(&visitor, format!("Delete {}?", user.name)).below("People", "/settings/people"),
        text: vec![
            format!("{} ({}) is signed out and cannot sign in any more.", user.name, user.email),
            "What they did stays in the audit log. A new invitation brings them back.".to_owned(),
        ],
        action: format!("/settings/people/{}/delete", user.id),
        button: "Delete user".to_owned(),
        back: format!("/settings/people/{}", user.id),
        dangerous: true,
    })
}

pub(crate) async fn delete(visitor: Visitor, Path(user): Path<String>) -> Answer {
    match visitor.service().delete_user(&visitor.actor, &user).await {
        Ok(user) => visitor.say(format!("{} was removed.", user.name)),
        Err(e) if is_about_input(&e) => visitor.complain(in_words(&e)),
        Err(e) => return Err(e.into()),
    }
    Ok(go("/settings/people"))
}

fn operator_page(visitor: &Visitor) -> NewUserPage {
    NewUserPage {
        frame: Frame::new(visitor, "Create your user"),
        action: "/settings/operator",
        button: "Create user",
        intro: "An operator may do everything here. With a user of your own you sign in without a link, and the audit \
                log knows who did what."
            .to_owned(),
        ..NewUserPage::default()
    }
}

/// For whoever came with the link: a user to come back with.
pub(crate) async fn new_operator(visitor: Visitor) -> Page {
    visitor.actor.must_be_organization()?;
    render(&operator_page(&visitor))
}

fn read(form: &Fields) -> NewUser {
    NewUser {
        name: form.get("name").to_owned(),
        email: form.get("email").to_owned(),
        password: form.raw("password").to_owned(),
    }
}

fn filled(page: NewUserPage, form: &Fields, e: &ServiceError) -> NewUserPage {
    let of = |field| problem_of(e, field);
    let (name_problem, email_problem, password_problem) = (of("name"), of("email"), of("password"));
    let elsewhere = name_problem.is_empty() && email_problem.is_empty() && password_problem.is_empty();
    NewUserPage {
        name: form.get("name").to_owned(),
        email: form.get("email").to_owned(),
        problem: if elsewhere { in_words(e) } else { String::new() },
        name_problem,
        email_problem,
        password_problem,
        ..page
    }
}

pub(crate) async fn create_operator(visitor: Visitor, Form(form): Form) -> Answer {
    match visitor.service().create_operator(&visitor.actor, read(&form)).await {
        Ok(key) => Ok(begin(&visitor.dashboard, &key, Reach::Ours, "/applications")),
        Err(e) if is_about_input(&e) => Ok(render(&filled(operator_page(&visitor), &form, &e))?.into_response()),
        Err(e) => Err(e.into()),
    }
}

async fn welcome_page(dashboard: &Dashboard, found: Option<&Found>, key: &str) -> Result<NewUserPage, PageError> {
    let service = &dashboard.service;
    let welcome = service.welcome(key).await?.ok_or(PageError::NoInvitation)?;
    let by = &welcome.invitation.invited_by;
    let intro = match (welcome.invitation.grant, &welcome.application) {
        (Grant::In(_, role), Some(app)) => {
            let can = match role {
                Role::Owner => "do everything in it",
                Role::Assistant => "edit its webhooks and refresh their secrets",
                Role::Viewer => "look at it, without payloads and secrets",
            };
            format!("{by} invites you to {app} as {role}: you can {can}.")
        }
        _ => format!("{by} invites you as an operator: you can do everything on this server."),
    };
    let me = found.and_then(|f| f.session.user.as_ref());
    Ok(NewUserPage {
        frame: Frame::outside("You are invited"),
        action: "/invitation",
        button: "Create account",
        intro,
        key: key.to_owned(),
        joins_as: me.map(|user| user.email.clone()).unwrap_or_default(),
        provider: service.provider().map(|p| p.name().to_owned()).unwrap_or_default(),
        email: Some(&welcome.invitation.for_whom).filter(|f| f.contains('@')).cloned().unwrap_or_default(),
        ..NewUserPage::default()
    })
}

pub(crate) async fn welcome(
    State(dashboard): State<Arc<Dashboard>>,
    found: Option<Extension<Found>>,
    Query(query): Query,
) -> Page {
    render(&welcome_page(&dashboard, found.as_deref(), query.get("key")).await?)
}

pub(crate) async fn accept(
    State(dashboard): State<Arc<Dashboard>>,
    Extension(from): Extension<CameFrom>,
    Form(form): Form,
) -> Answer {
    may_try(&dashboard, &from)?;
    let key = form.get("key");
    match dashboard.service.accept_invitation(key, read(&form)).await {
        Ok(session) => Ok(begin(&dashboard, &session, Reach::Ours, "/")),
        Err(e) if is_about_input(&e) => {
            let page = welcome_page(&dashboard, None, key).await?;
            Ok((StatusCode::UNPROCESSABLE_ENTITY, render(&filled(page, &form, &e))?).into_response())
        }
        Err(ServiceError::NotFound(_)) => Err(PageError::NoInvitation),
        Err(e) => Err(e.into()),
    }
}

pub(crate) async fn join(visitor: Visitor, Form(form): Form) -> Answer {
    match visitor.service().join(visitor.session(), form.get("key")).await {
        Ok(()) => visitor.say("Welcome. You have a new role."),
        Err(ServiceError::NotFound(_)) => return Err(PageError::NoInvitation),
        Err(e) => return Err(e.into()),
    }
    Ok(go("/"))
}
