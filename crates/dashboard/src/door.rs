//! What holds for every page: nobody else's page may send our forms, and no page runs what is not ours.

use axum::{extract::Request, middleware::Next, response::Response};
use http::{HeaderMap, HeaderValue, Method, header};

/// Nothing inline, nothing from elsewhere, in nobody's frame.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; \
                      form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// The same for a page whose form goes to another origin too.
pub(crate) fn policy_for(origin: &str) -> String {
    POLICY.replace("form-action 'self'", &format!("form-action 'self' {origin}"))
}

/// Refuses forms that another site sends, and sets the headers that keep pages to themselves.
pub(crate) async fn guard(request: Request, next: Next) -> Response {
    let mut response =
        if request.method() != Method::GET && request.method() != Method::HEAD && !ours(request.headers()) {
            crate::page::PageError::Foreign.page()
        } else {
            next.run(request).await
        };
    let headers = response.headers_mut();
    // A page may have said itself where its form goes.
    headers.entry(header::CONTENT_SECURITY_POLICY).or_insert(HeaderValue::from_static(POLICY));
    for (name, value) in [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "same-origin"),
        // Pages hold names and work of students: they belong in no cache.
        (header::CACHE_CONTROL, "no-store"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
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
}
