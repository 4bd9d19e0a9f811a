//! What holds for every page: nobody else's page may send our forms, no page runs what is not ours, and who is looking
//! is looked up once.

use crate::{
    Dashboard,
    page::PageError,
    session::{Found, REFRESH, Said, key_in},
};
use askama::Template;
use axum::{
    extract::{ConnectInfo, Request, State},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use http::{HeaderMap, HeaderValue, Method, header};
use ipnet::IpNet;
use service::ServiceError;
use std::{
    net::{IpAddr, SocketAddr},
    sync::{Arc, PoisonError},
};

/// Nothing inline, nothing from elsewhere.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; \
                      form-action 'self'; base-uri 'none'; frame-ancestors";

/// The policy of a page whose form goes to another origin too.
pub(crate) fn policy_for(origin: &str) -> String {
    format!("{} 'none'", POLICY.replace("form-action 'self'", &format!("form-action 'self' {origin}")))
}

/// Where a request came from, for counting failures to sign in.
#[derive(Clone, Debug)]
pub(crate) struct CameFrom(pub(crate) String);

/// Refuses forms that another site sends, looks up the session, and sets the headers that keep pages to themselves.
pub(crate) async fn guard(State(dashboard): State<Arc<Dashboard>>, mut request: Request, next: Next) -> Response {
    let is_portal_door = request.uri().path() == "/portal";
    let (found, response) = if changes(request.method()) && !ours(request.headers()) {
        (None, PageError::Foreign.page())
    } else if let Some(corner) = corner(&request, dashboard.secure) {
        (None, corner)
    } else {
        let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|peer| peer.0.ip());
        let from = came_from(peer, request.headers(), &dashboard.trusted_proxies);
        request.extensions_mut().insert(CameFrom(from));
        match find(&dashboard, request.headers()).await {
            Ok(found) => {
                if let Some(found) = &found {
                    request.extensions_mut().insert(found.clone());
                }
                (found, next.run(request).await)
            }
            Err(e) => (None, PageError::from(e).into_response()),
        }
    };
    if let Some(found) = &found {
        keep_notice(&dashboard, found).await;
    }
    let framable = is_portal_door || found.is_some_and(|f| f.session.portal.is_some());
    let mut response = response;
    let headers = response.headers_mut();
    // A page may have said itself where its form goes.
    headers.entry(header::CONTENT_SECURITY_POLICY).or_insert_with(|| dashboard.policy(framable));
    for (name, value) in [
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (header::REFERRER_POLICY, HeaderValue::from_static("same-origin")),
        // Pages hold names and work of students: they belong in no cache.
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ] {
        headers.insert(name, value);
    }
    response
}

impl Dashboard {
    fn policy(&self, framable: bool) -> HeaderValue {
        let ancestors = if framable && !self.frame_origins.is_empty() { &self.frame_origins } else { "'none'" };
        HeaderValue::from_str(&format!("{POLICY} {ancestors}"))
            .unwrap_or_else(|_| HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"))
    }
}

/// A page that leads to itself.
#[derive(Template)]
#[template(path = "corner.html")]
struct Corner {
    here: String,
}

/// Our cookie stays at home when a link on another site is followed, so whoever follows one would look signed out. They get
/// a page of ours that leads to the same address: from there, the cookie comes along. Only once: the second request says
/// that it comes from us.
fn corner(request: &Request, secure: bool) -> Option<Response> {
    let headers = request.headers();
    let says = |name, what| headers.get(name).is_some_and(|v: &HeaderValue| v == what);
    let from_elsewhere = says("sec-fetch-site", "cross-site") || says("sec-fetch-site", "same-site");
    let followed = says("sec-fetch-mode", "navigate") && says("sec-fetch-dest", "document");
    let uri = request.uri();
    // These need no session; and the portal's key is behind the hash sign, which would get lost.
    let open = ["/sign-in", "/portal", "/catalogue/", "/reset"].iter().any(|door| uri.path().starts_with(door));
    let here = uri.path_and_query()?.as_str();
    // Two slashes would lead to another host.
    let leads_here = here.starts_with('/') && !here.starts_with("//") && !here.starts_with("/\\");
    let needed = request.method() == Method::GET && from_elsewhere && followed && !open && leads_here;
    if !needed || key_in(headers, secure).is_some() {
        return None;
    }
    Some(axum::response::Html(Corner { here: here.to_owned() }.render().ok()?).into_response())
}

fn changes(method: &Method) -> bool {
    method != Method::GET && method != Method::HEAD
}

async fn find(dashboard: &Dashboard, headers: &HeaderMap) -> Result<Option<Found>, ServiceError> {
    let Some(key) = key_in(headers, dashboard.secure) else { return Ok(None) };
    let service = &dashboard.service;
    let Some(session) = service.session(key, !headers.contains_key(REFRESH)).await? else { return Ok(None) };
    let branding = service.branding(&session.actor).await?;
    let alerts = service.count_alerts(&session.actor).await?;
    Ok(Some(Found { session: Arc::new(session), branding, alerts, said: Arc::default() }))
}

async fn keep_notice(dashboard: &Dashboard, found: &Found) {
    let said = found.said.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let notice = match said {
        Said::Nothing => return,
        Said::Shown => None,
        Said::Next(notice) => Some(notice),
    };
    // The page is done; a sentence less on the next one is all that is lost.
    if let Err(error) = dashboard.service.put_notice(&found.session, notice).await {
        tracing::warn!(%error, "a notice got lost");
    }
}

/// Whether the browser says that the form is one of ours. Browsers say so in `Sec-Fetch-Site`; older ones name the
/// `Origin`. Whoever says neither is no browser with our cookie.
fn ours(headers: &HeaderMap) -> bool {
    let text = |name: header::HeaderName| headers.get(name).and_then(|v| v.to_str().ok());
    if let Some(site) = text(header::HeaderName::from_static("sec-fetch-site")) {
        return site == "same-origin";
    }
    match (text(header::ORIGIN), text(header::HOST)) {
        (Some(origin), Some(host)) => origin.split_once("://").is_some_and(|(_, o)| o == host),
        _ => false,
    }
}

/// The address of the client: of the connection, or what the nearest proxy that we do not trust was seen at.
fn came_from(peer: Option<IpAddr>, headers: &HeaderMap, trusted: &[IpNet]) -> String {
    let Some(mut address) = peer else { return String::new() };
    let named = headers.get_all("x-forwarded-for").iter().filter_map(|v| v.to_str().ok());
    let mut hops: Vec<&str> = named.flat_map(|v| v.split(',')).map(str::trim).collect();
    while trusted.iter().any(|net| net.contains(&address)) {
        match hops.pop().and_then(|hop| hop.parse().ok()) {
            Some(hop) => address = hop,
            None => break,
        }
    }
    match address {
        // One household or school has a whole /64.
        IpAddr::V6(v6) => v6.segments()[..4].iter().map(|s| format!("{s:x}")).collect::<Vec<_>>().join(":"),
        v4 => v4.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(n, v)| (header::HeaderName::from_static(n), HeaderValue::from_static(v))).collect()
    }

    #[test]
    fn forms_of_other_sites_are_refused() {
        assert!(ours(&with(&[("sec-fetch-site", "same-origin")])));
        assert!(!ours(&with(&[("sec-fetch-site", "cross-site"), ("origin", "http://a"), ("host", "a")])));
        assert!(!ours(&with(&[("sec-fetch-site", "same-site")])));
        assert!(ours(&with(&[("origin", "http://a:1"), ("host", "a:1")])));
        assert!(!ours(&with(&[("origin", "http://b"), ("host", "a")])));
        assert!(!ours(&with(&[("origin", "null"), ("host", "a")])));
        assert!(!ours(&with(&[])));
    }

    fn arriving(path: &str, pairs: &[(&'static str, &'static str)]) -> Request {
        let mut request = Request::get(path).body(axum::body::Body::empty()).unwrap();
        *request.headers_mut() = with(pairs);
        request
    }

    #[test]
    fn who_follows_a_link_from_elsewhere_is_led_around_the_corner_once() {
        const FOLLOWED: [(&str, &str); 3] =
            [("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")];
        let turns =
            |path: &str, pairs: &[(&'static str, &'static str)]| corner(&arriving(path, pairs), false).is_some();
        assert!(turns("/applications/app_1?a=1", &FOLLOWED));
        assert!(turns("/invitation?key=x", &FOLLOWED), "whoever is signed in may join as who they are");
        for door in ["/portal", "/sign-in/provider/return?code=1", "/reset?key=x", "//elsewhere.example/"] {
            assert!(!turns(door, &FOLLOWED), "{door}");
        }
        let from_us = [("sec-fetch-site", "same-origin"), FOLLOWED[1], FOLLOWED[2]];
        let by_hand = [("sec-fetch-site", "none"), FOLLOWED[1], FOLLOWED[2]];
        let framed = [FOLLOWED[0], FOLLOWED[1], ("sec-fetch-dest", "iframe")];
        let with_cookie = [FOLLOWED[0], FOLLOWED[1], FOLLOWED[2], ("cookie", "schoolbell_session=x")];
        for pairs in [&from_us[..], &by_hand, &framed, &with_cookie, &[]] {
            assert!(!turns("/applications", pairs), "{pairs:?}");
        }
        let text = Corner { here: "/a?b=\"><script>".to_owned() }.render().unwrap();
        assert!(!text.contains("<script>"), "{text}");
    }

    #[test]
    fn only_trusted_proxies_may_say_where_a_request_came_from() {
        let (peer, trusted) = ("10.0.0.1".parse().ok(), ["10.0.0.0/8".parse().unwrap()]);
        let forwarded = with(&[("x-forwarded-for", "6.6.6.6, 1.2.3.4, 10.0.0.2")]);
        assert_eq!(came_from(peer, &forwarded, &[]), "10.0.0.1");
        assert_eq!(came_from(peer, &forwarded, &trusted), "1.2.3.4");
        assert_eq!(came_from(peer, &with(&[("x-forwarded-for", "nonsense")]), &trusted), "10.0.0.1");
        assert_eq!(came_from("2001:db8:1:2:3::4".parse().ok(), &with(&[]), &[]), "2001:db8:1:2");
        assert_eq!(came_from(None, &forwarded, &trusted), "");
    }
}
