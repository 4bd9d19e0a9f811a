//! Who is looking: the session of a request, looked up once, and what is said on the next page. Sessions themselves are
//! `service`'s.

use crate::{Dashboard, page::PageError};
use axum::extract::FromRequestParts;
use http::{HeaderMap, header, request::Parts};
use service::{Actor, Capability, Permission, organization::Branding, sessions::OpenSession};
use std::sync::{Arc, Mutex, PoisonError};

pub(crate) use service::sessions::Notice;

/// The cookie's name; with https, browsers hold us to what the prefix promises.
const COOKIE: &str = "schoolbell_session";
const HOST_COOKIE: &str = "__Host-schoolbell_session";
/// What the script sends when it reads a page again by itself: that is no sign of a person.
pub(crate) const REFRESH: &str = "x-refresh";

/// Where a cookie may be sent along.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Reach {
    /// From our own pages alone. Who follows a link from elsewhere is led once around our own corner (`door`).
    Ours,
    /// In frames of other sites too, each with a jar of its own: only for portals, only with https.
    Frames,
}

/// A cookie of the session.
pub(crate) fn cookie(id: &str, seconds: u64, secure: bool, reach: Reach) -> String {
    let name = if secure { HOST_COOKIE } else { COOKIE };
    let reach = match (reach, secure) {
        (Reach::Frames, true) => "SameSite=None; Partitioned",
        _ => "SameSite=Strict",
    };
    let secure = if secure { "; Secure" } else { "" };
    format!("{name}={id}; Path=/; HttpOnly; {reach}; Max-Age={seconds}{secure}")
}

/// A cookie of a request.
pub(crate) fn cookie_in<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|v| v.to_str().ok())
        .flat_map(|v| v.split(';'))
        .find_map(|pair| pair.trim().strip_prefix(name)?.strip_prefix('='))
}

/// The session's cookie in a request.
pub(crate) fn key_in(headers: &HeaderMap, secure: bool) -> Option<&str> {
    cookie_in(headers, if secure { HOST_COOKIE } else { COOKIE }).filter(|key| !key.is_empty())
}

/// What is to happen to the notice when the page is done.
#[derive(Clone, Debug, Default)]
pub(crate) enum Said {
    /// Nothing.
    #[default]
    Nothing,
    /// It was shown.
    Shown,
    /// Something is to be said on the next page.
    Next(Notice),
}

/// What was found out about a request before its page is made.
#[derive(Clone)]
pub(crate) struct Found {
    pub(crate) session: Arc<OpenSession>,
    pub(crate) branding: Branding,
    /// Open alerts, for operators.
    pub(crate) alerts: u64,
    pub(crate) said: Arc<Mutex<Said>>,
}

/// Somebody who is signed in.
pub(crate) struct Visitor {
    pub(crate) dashboard: Arc<Dashboard>,
    /// Who acts; in the application that the page is about, if it is about one.
    pub(crate) actor: Actor,
    pub(crate) found: Found,
}

impl Visitor {
    /// Whether controls that need this are shown. Whether it is allowed, the operation itself decides.
    pub(crate) fn can(&self, capability: Capability) -> bool {
        self.actor.must_have(capability).is_ok()
    }
    /// The same for what only people may.
    pub(crate) fn may(&self, permission: Permission) -> bool {
        self.actor.may(permission)
    }
    /// Whether it is the operator.
    pub(crate) fn is_operator(&self) -> bool {
        self.actor.must_be_organization().is_ok()
    }
    /// Whether it is a person with a place above applications, rather than the portal of one.
    pub(crate) fn is_person(&self) -> bool {
        matches!(self.actor, Actor::Person(_))
    }
    pub(crate) fn session(&self) -> &OpenSession {
        &self.found.session
    }
    fn leave(&self, said: Said) {
        *self.found.said.lock().unwrap_or_else(PoisonError::into_inner) = said;
    }
    /// What is to be said on this page; only once.
    pub(crate) fn take_notice(&self) -> Option<Notice> {
        let notice = self.found.session.notice.clone();
        if notice.is_some() {
            self.leave(Said::Shown);
        }
        notice
    }
    /// Says something on the next page.
    pub(crate) fn say(&self, text: impl Into<String>) {
        self.leave(Said::Next(Notice { text: text.into(), bad: false }));
    }
    /// Complains on the next page.
    pub(crate) fn complain(&self, text: impl Into<String>) {
        self.leave(Said::Next(Notice { text: text.into(), bad: true }));
    }
    pub(crate) fn service(&self) -> &service::Service {
        &self.dashboard.service
    }
    pub(crate) fn now(&self) -> domain::Timestamp {
        self.dashboard.service.now()
    }
}

/// The application that a path is about.
fn application_of(path: &str) -> Option<&str> {
    let name = path.strip_prefix("/applications/")?.split('/').next()?;
    (!name.is_empty() && name != "new").then_some(name)
}

impl FromRequestParts<Arc<Dashboard>> for Visitor {
    type Rejection = PageError;
    async fn from_request_parts(parts: &mut Parts, dashboard: &Arc<Dashboard>) -> Result<Self, PageError> {
        let framed = parts.headers.get("sec-fetch-dest").is_some_and(|d| d == "iframe");
        let gone = if framed { PageError::PortalClosed } else { PageError::SignedOut };
        let found = parts.extensions.get::<Found>().cloned().ok_or(gone)?;
        let mut actor = found.session.actor.clone();
        if let Some(name) = application_of(parts.uri.path())
            && let Ok(scope) = dashboard.service.open(&actor, name).await
        {
            actor = scope.actor().clone();
        }
        Ok(Self { dashboard: dashboard.clone(), actor, found })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_are_for_us_alone_unless_a_portal_is_framed_over_https() {
        assert_eq!(
            cookie("x", 60, true, Reach::Ours),
            "__Host-schoolbell_session=x; Path=/; HttpOnly; SameSite=Strict; Max-Age=60; Secure"
        );
        let framed = cookie("x", 60, true, Reach::Frames);
        assert!(framed.contains("SameSite=None; Partitioned") && framed.ends_with("; Secure"));
        let unsafe_frame = cookie("x", 60, false, Reach::Frames);
        assert!(unsafe_frame.contains("schoolbell_session=x; Path=/; HttpOnly; SameSite=Strict"));
    }

    #[test]
    fn the_cookie_is_found_among_others() {
        let headers = HeaderMap::from_iter([(header::COOKIE, "a=1; schoolbell_session=x; b=2".parse().unwrap())]);
        assert_eq!(key_in(&headers, false), Some("x"));
        assert_eq!(key_in(&headers, true), None);
    }

    #[test]
    fn a_path_says_which_application_it_is_about() {
        assert_eq!(application_of("/applications/app_1/messages"), Some("app_1"));
        assert_eq!(application_of("/applications/app_1"), Some("app_1"));
        for other in ["/applications/new", "/applications", "/applications/", "/settings/people"] {
            assert_eq!(application_of(other), None, "{other}");
        }
    }
}
