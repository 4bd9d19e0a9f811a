//! Who is signed in: a random id in a cookie, and what it stands for in memory.
//!
//! In memory on purpose for now: there is one node, and a restart asks people to sign in again. With several nodes, or
//! with users who stay signed in, this becomes a table.

use crate::{Dashboard, page::PageError};
use aws_lc_rs::rand;
use axum::extract::FromRequestParts;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use domain::Timestamp;
use http::{HeaderMap, header, request::Parts};
use service::{Actor, Capability};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// Without a click for this long, one has to sign in again.
const IDLE: Duration = Duration::from_secs(60 * 60);
/// And in any case after this long.
const LIFETIME: Duration = Duration::from_secs(12 * 3600);
/// Sessions at most; beyond these the one that was idle longest ends.
const SESSIONS_MAX: usize = 10_000;
/// Tries to sign in per minute that are looked at, over all people: tokens cannot be guessed, but checking them costs.
const TRIES_PER_MINUTE: u32 = 60;
const COOKIE: &str = "schoolbell_session";
/// What the script sends when it reads a page again by itself: that is no sign of a person.
const REFRESH: &str = "x-refresh";

/// What is said once, on the next page.
#[derive(Clone, Debug)]
pub(crate) struct Notice {
    pub(crate) text: String,
    pub(crate) bad: bool,
}

struct Session {
    actor: Actor,
    since: Timestamp,
    seen: Timestamp,
    notice: Option<Notice>,
}

#[derive(Default)]
struct Inner {
    sessions: HashMap<String, Session>,
    /// The minute that is counted, and the tries in it.
    tries: (i64, u32),
}

/// All sessions.
#[derive(Default)]
pub(crate) struct Sessions(Mutex<Inner>);

impl Sessions {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        // What is in there is whole after each statement.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a try to sign in is looked at now.
    pub(crate) fn may_try(&self, now: Timestamp) -> bool {
        let minute = now.as_seconds().div_euclid(60);
        let mut inner = self.inner();
        if inner.tries.0 != minute {
            inner.tries = (minute, 0);
        }
        inner.tries.1 += 1;
        inner.tries.1 <= TRIES_PER_MINUTE
    }

    /// Begins a session; the answer is its cookie. `None` if the system has no random numbers.
    pub(crate) fn begin(&self, actor: Actor, now: Timestamp, secure: bool) -> Option<String> {
        let mut random = [0; 32];
        rand::fill(&mut random).ok()?;
        let id = URL_SAFE_NO_PAD.encode(random);
        let mut inner = self.inner();
        inner.sessions.retain(|_, s| s.lives(now));
        if inner.sessions.len() >= SESSIONS_MAX
            && let Some(oldest) = inner.sessions.iter().min_by_key(|(_, s)| s.seen).map(|(id, _)| id.clone())
        {
            inner.sessions.remove(&oldest);
        }
        inner.sessions.insert(id.clone(), Session { actor, since: now, seen: now, notice: None });
        Some(cookie(&id, LIFETIME.as_secs(), secure))
    }

    /// Ends the session of a request; the answer is the cookie that forgets it.
    pub(crate) fn end(&self, headers: &HeaderMap, secure: bool) -> String {
        if let Some(id) = id_in(headers) {
            self.inner().sessions.remove(id);
        }
        cookie("", 0, secure)
    }

    fn find(&self, id: &str, now: Timestamp, by_person: bool) -> Option<(Actor, Option<Notice>)> {
        let mut inner = self.inner();
        let session = inner.sessions.get_mut(id).filter(|s| s.lives(now))?;
        if by_person {
            session.seen = now;
        }
        Some((session.actor.clone(), session.notice.clone()))
    }

    fn notice(&self, id: &str, notice: Option<Notice>) {
        if let Some(session) = self.inner().sessions.get_mut(id) {
            session.notice = notice;
        }
    }
}

impl Session {
    fn lives(&self, now: Timestamp) -> bool {
        now.since(self.seen) < IDLE && now.since(self.since) < LIFETIME
    }
}

fn cookie(id: &str, seconds: u64, secure: bool) -> String {
    let secure = if secure { "; Secure" } else { "" };
    format!("{COOKIE}={id}; Path=/; HttpOnly; SameSite=Lax; Max-Age={seconds}{secure}")
}

fn id_in(headers: &HeaderMap) -> Option<&str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|v| v.to_str().ok())
        .flat_map(|v| v.split(';'))
        .find_map(|pair| pair.trim().strip_prefix(COOKIE)?.strip_prefix('='))
}

/// Somebody who is signed in.
pub(crate) struct Visitor {
    pub(crate) dashboard: Arc<Dashboard>,
    pub(crate) actor: Actor,
    id: String,
    notice: Option<Notice>,
    by_person: bool,
}

impl Visitor {
    /// Whether controls that need this are shown. Whether it is allowed, the operation itself decides.
    pub(crate) fn can(&self, capability: Capability) -> bool {
        self.actor.must_have(capability).is_ok()
    }
    /// Whether it is the operator.
    pub(crate) fn is_operator(&self) -> bool {
        matches!(self.actor, Actor::Organization(_))
    }
    /// What is to be said on this page; only once.
    pub(crate) fn take_notice(&self) -> Option<Notice> {
        if !self.by_person {
            return None;
        }
        if self.notice.is_some() {
            self.dashboard.sessions.notice(&self.id, None);
        }
        self.notice.clone()
    }
    /// Says something on the next page.
    pub(crate) fn say(&self, text: impl Into<String>) {
        self.dashboard.sessions.notice(&self.id, Some(Notice { text: text.into(), bad: false }));
    }
    /// Complains on the next page.
    pub(crate) fn complain(&self, text: impl Into<String>) {
        self.dashboard.sessions.notice(&self.id, Some(Notice { text: text.into(), bad: true }));
    }
    pub(crate) fn service(&self) -> &service::Service {
        &self.dashboard.service
    }
    pub(crate) fn now(&self) -> Timestamp {
        self.dashboard.service.now()
    }
}

impl FromRequestParts<Arc<Dashboard>> for Visitor {
    type Rejection = PageError;
    async fn from_request_parts(parts: &mut Parts, dashboard: &Arc<Dashboard>) -> Result<Self, PageError> {
        let id = id_in(&parts.headers).ok_or(PageError::SignedOut)?;
        let by_person = !parts.headers.contains_key(REFRESH);
        let found = dashboard.sessions.find(id, dashboard.service.now(), by_person);
        let (actor, notice) = found.ok_or(PageError::SignedOut)?;
        Ok(Self { dashboard: dashboard.clone(), actor, id: id.to_owned(), notice, by_person })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::OrganizationId;

    fn headers(cookie: &str) -> HeaderMap {
        HeaderMap::from_iter([(header::COOKIE, cookie.split(';').next().unwrap().parse().unwrap())])
    }

    #[test]
    fn a_session_ends_when_idle_after_its_lifetime_and_on_request() {
        let sessions = Sessions::default();
        let operator = Actor::Organization(OrganizationId::DEFAULT.parse().unwrap());
        let start = Timestamp::from_micros(0);
        let cookie = sessions.begin(operator.clone(), start, true).unwrap();
        assert!(cookie.ends_with("; Path=/; HttpOnly; SameSite=Lax; Max-Age=43200; Secure"));
        let headers = headers(&cookie);
        let id = id_in(&headers).unwrap();
        let find = |id, minutes, by_person| {
            sessions.find(id, start.plus(Duration::from_secs(60) * minutes), by_person).is_some()
        };
        assert!(find(id, 59, true));
        assert!(find(id, 118, true), "each click counts");
        assert!(find(id, 170, false) && !find(id, 178, true), "what refreshes itself does not");
        assert!(!find("", 0, true));
        sessions.end(&headers, false);
        assert!(!find(id, 0, true));
    }

    #[test]
    fn tries_to_sign_in_are_limited() {
        let (sessions, now) = (Sessions::default(), Timestamp::from_micros(0));
        assert!((0..TRIES_PER_MINUTE).all(|_| sessions.may_try(now)));
        assert!(!sessions.may_try(now));
        assert!(sessions.may_try(now.plus(Duration::from_secs(60))));
    }
}
