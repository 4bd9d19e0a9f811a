//! The ways in and out: password, OpenID provider, the operator's link that works once, and the portal's link for one
//! application.

use crate::{
    Dashboard,
    door::CameFrom,
    form::{Form, Query},
    page::{Answer, Frame, Page, PageError, app_path, go, show as render},
    session::{Reach, Visitor, cookie, cookie_in, key_in},
    theme::{read_colour, read_font},
};
use askama::Template;
use axum::{
    Extension,
    extract::State,
    response::{IntoResponse, Redirect, Response},
};
use domain::Timestamp;
use http::{HeaderMap, StatusCode, header};
use service::{
    Actor,
    oidc::Return,
    sessions::{LIFETIME, Theme},
    sign_in::SignInError,
};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

/// Tries with links per minute and address that are looked at: links cannot be guessed, but checking them costs. A whole
/// school may come from one address.
const TRIES_PER_MINUTE: u32 = 300;
/// Addresses that are counted; beyond these, the minute is full.
const ADDRESSES: usize = 20_000;
/// What the browser keeps while its person is at the provider.
const AWAY: &str = "schoolbell_away";
const AWAY_SECONDS: u64 = 15 * 60;

/// The minute that is counted, and the tries in it by address.
#[derive(Default)]
pub(crate) struct Tries(Mutex<(i64, HashMap<String, u32>)>);

impl Tries {
    fn may(&self, from: &str, now: Timestamp) -> bool {
        let minute = now.as_seconds().div_euclid(60);
        let mut tries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if tries.0 != minute {
            *tries = (minute, HashMap::new());
        }
        let counted = &mut tries.1;
        if counted.len() >= ADDRESSES && !counted.contains_key(from) {
            return false;
        }
        let n = counted.entry(from.to_owned()).or_default();
        *n += 1;
        *n <= TRIES_PER_MINUTE
    }
}

#[derive(Template)]
#[template(path = "sign_in.html")]
struct SignInPage {
    frame: Frame,
    token: String,
    email: String,
    provider: String,
    problem: String,
}

#[derive(Template)]
#[template(path = "portal.html")]
struct PortalPage {
    frame: Frame,
    problem: String,
    /// How it shall look, handed on with the key.
    look: Vec<(String, String)>,
}

#[derive(Template)]
#[template(path = "nothing_yet.html")]
struct NothingYetPage {
    frame: Frame,
    name: String,
}

/// `/`: to the first page that there is for the visitor.
pub(crate) async fn home(visitor: Visitor) -> Answer {
    let app = match &visitor.actor {
        Actor::Application(a) => a.application,
        Actor::Person(p) if !p.operator && p.roles.is_empty() => {
            let page = NothingYetPage { frame: Frame::new(&visitor, "Nothing to see yet"), name: p.name.clone() };
            return Ok((StatusCode::FORBIDDEN, render(&page)?).into_response());
        }
        _ => return Ok(go("/applications")),
    };
    let scope = visitor.service().open(&visitor.actor, &app.to_string()).await?;
    Ok(go(&app_path(scope.application())))
}

fn page(dashboard: &Dashboard, problem: String) -> SignInPage {
    let provider = dashboard.service.provider().map(|p| p.name().to_owned()).unwrap_or_default();
    SignInPage { frame: Frame::outside("Sign in"), token: String::new(), email: String::new(), provider, problem }
}

/// The link leads here. It signs in only when a person presses the button: programs that look at links in mails and
/// chats must not use it up.
pub(crate) async fn show(State(dashboard): State<Arc<Dashboard>>, Query(query): Query) -> Page {
    render(&SignInPage { token: query.get("token").to_owned(), ..page(&dashboard, String::new()) })
}

fn refused(page: SignInPage, e: SignInError) -> Answer {
    let status = match e {
        SignInError::Service(e) => return Err(e.into()),
        SignInError::TooOften => StatusCode::TOO_MANY_REQUESTS,
        SignInError::Uninvited(_) => StatusCode::FORBIDDEN,
        _ => StatusCode::UNAUTHORIZED,
    };
    Ok((status, render(&page)?).into_response())
}

pub(crate) async fn sign_in(
    State(dashboard): State<Arc<Dashboard>>,
    Extension(from): Extension<CameFrom>,
    Form(form): Form,
) -> Answer {
    may_try(&dashboard, &from)?;
    // People paste the whole link.
    let text = form.get("token");
    let token = text.rsplit_once("token=").map_or(text, |(_, token)| token);
    match dashboard.service.sign_in(token).await {
        Ok(key) => Ok(begin(&dashboard, &key, Reach::Ours, "/")),
        Err(e) => refused(page(&dashboard, e.to_string()), e),
    }
}

pub(crate) async fn with_password(
    State(dashboard): State<Arc<Dashboard>>,
    Extension(CameFrom(address)): Extension<CameFrom>,
    Form(form): Form,
) -> Answer {
    let (email, password) = (form.get("email"), form.raw("password"));
    match dashboard.service.sign_in_with_password(email, password, &address).await {
        Ok(key) => Ok(begin(&dashboard, &key, Reach::Ours, "/")),
        Err(e) => refused(SignInPage { email: email.to_owned(), ..page(&dashboard, e.to_string()) }, e),
    }
}

fn away_cookie(value: &str, seconds: u64, secure: bool) -> String {
    let secure = if secure { "; Secure" } else { "" };
    // Lax: the provider sends people back from its own site.
    format!("{AWAY}={value}; Path=/sign-in/provider; HttpOnly; SameSite=Lax; Max-Age={seconds}{secure}")
}

/// To the provider, perhaps with an invitation.
pub(crate) async fn depart(
    State(dashboard): State<Arc<Dashboard>>,
    Extension(from): Extension<CameFrom>,
    Form(form): Form,
) -> Answer {
    may_try(&dashboard, &from)?;
    match dashboard.service.depart(form.some("key")).await {
        Ok(departure) => {
            let cookie = away_cookie(&departure.cookie, AWAY_SECONDS, dashboard.secure);
            let page = DeparturePage { frame: Frame::outside("Continue to your sign-in provider"), url: departure.url };
            Ok(([(header::SET_COOKIE, cookie)], render(&page)?).into_response())
        }
        Err(e) => refused(page(&dashboard, e.to_string()), e),
    }
}

/// A form may only lead to pages of ours (`form-action`), so this page is between its button and the provider.
#[derive(Template)]
#[template(path = "departure.html")]
struct DeparturePage {
    frame: Frame,
    url: String,
}

/// And back from there.
pub(crate) async fn come_back(
    State(dashboard): State<Arc<Dashboard>>,
    Extension(from): Extension<CameFrom>,
    headers: HeaderMap,
    Query(query): Query,
) -> Answer {
    may_try(&dashboard, &from)?;
    let text = |name| query.get(name).to_owned();
    let back = Return { state: text("state"), code: text("code"), error: text("error"), issuer: text("iss") };
    let away = cookie_in(&headers, AWAY).unwrap_or_default();
    let mut answer = match dashboard.service.come_back(away, back).await {
        Ok(key) => begin(&dashboard, &key, Reach::Ours, "/"),
        Err(e) => refused(page(&dashboard, e.to_string()), e)?,
    };
    if let Ok(forget) = away_cookie("", 0, dashboard.secure).parse() {
        answer.headers_mut().append(header::SET_COOKIE, forget);
    }
    Ok(answer)
}

pub(crate) async fn sign_out(State(dashboard): State<Arc<Dashboard>>, headers: HeaderMap) -> Answer {
    if let Some(key) = key_in(&headers, dashboard.secure) {
        dashboard.service.sign_out(key).await?;
    }
    let forget = cookie("", 0, dashboard.secure, Reach::Ours);
    Ok(([(header::SET_COOKIE, forget)], Redirect::to("/sign-in")).into_response())
}

/// The parameters of a portal's address that say how it looks; the first names are Svix's.
const LOOK: [&str; 6] = ["darkMode", "primaryColor", "fontFamily", "noGutters", "hideNavigation", "theme"];

fn theme_of(get: impl Fn(&str) -> String) -> Theme {
    let on = |name: &str| get(name) == "true" || get(name) == "1";
    let dark = match (get("darkMode").as_str(), get("theme").as_str()) {
        ("true" | "1", _) | (_, "dark") => Some(true),
        ("false" | "0", _) | (_, "light") => Some(false),
        _ => None,
    };
    Theme {
        dark,
        accent: read_colour(&get("primaryColor")),
        font: read_font(&get("fontFamily")),
        no_gutters: on("noGutters"),
        no_navigation: on("hideNavigation"),
    }
}

fn portal_page(problem: String, get: impl Fn(&str) -> String) -> PortalPage {
    let look = LOOK.iter().map(|name| ((*name).to_owned(), get(name))).filter(|(_, v)| !v.is_empty()).collect();
    PortalPage { frame: Frame::outside("Open the portal"), problem, look }
}

/// A portal link leads here, with its token behind the hash sign, which browsers keep to themselves: the script puts it
/// into the form. Without script the form takes the whole link.
pub(crate) async fn portal(Query(query): Query) -> Page {
    render(&portal_page(String::new(), |name| query.get(name).to_owned()))
}

pub(crate) async fn open_portal(
    State(dashboard): State<Arc<Dashboard>>,
    Extension(from): Extension<CameFrom>,
    Form(form): Form,
) -> Answer {
    may_try(&dashboard, &from)?;
    let text = form.get("key");
    let token = text.rsplit_once("key=").map_or(text, |(_, token)| token);
    let get = |name: &str| form.get(name).to_owned();
    let reach = if dashboard.frame_origins.is_empty() { Reach::Ours } else { Reach::Frames };
    match dashboard.service.open_portal(token, theme_of(get)).await? {
        Some(key) => Ok(begin(&dashboard, &key, reach, "/")),
        None => {
            let problem = "This link is not valid any more. Go back to where you found it and open it again.";
            Ok((StatusCode::UNAUTHORIZED, render(&portal_page(problem.to_owned(), get))?).into_response())
        }
    }
}

pub(crate) fn may_try(dashboard: &Dashboard, from: &CameFrom) -> Result<(), PageError> {
    if dashboard.tries.may(&from.0, dashboard.service.now()) { Ok(()) } else { Err(PageError::TooOften) }
}

/// Gives the browser its session.
pub(crate) fn begin(dashboard: &Dashboard, key: &str, reach: Reach, to: &str) -> Response {
    let cookie = cookie(key, LIFETIME.as_secs(), dashboard.secure, reach);
    ([(header::SET_COOKIE, cookie)], Redirect::to(to)).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn tries_to_sign_in_are_limited() {
        let (tries, now) = (Tries::default(), Timestamp::from_micros(0));
        assert!((0..TRIES_PER_MINUTE).all(|_| tries.may("1.2.3.4", now)));
        assert!(!tries.may("1.2.3.4", now) && tries.may("5.6.7.8", now));
        assert!(tries.may("1.2.3.4", now.plus(Duration::from_secs(60))));
    }

    #[test]
    fn a_portal_looks_as_its_address_says_and_nothing_else_gets_in() {
        let query =
            |text: &'static str| move |name: &str| crate::form::Fields::read(text.as_bytes()).get(name).to_owned();
        let theme = theme_of(query("darkMode=true&primaryColor=%235D4FFF&noGutters=true&fontFamily=Open+Sans"));
        assert_eq!((theme.dark, theme.accent.as_deref(), theme.no_gutters), (Some(true), Some("5d4fff"), true));
        assert_eq!((theme.font.as_deref(), theme.no_navigation), (Some("Open Sans"), false));
        assert_eq!(theme_of(query("darkMode=false")).dark, Some(false));
        assert_eq!(theme_of(query("primaryColor=}body{&fontFamily=%22;x&darkMode=maybe")), Theme::default());
    }
}
