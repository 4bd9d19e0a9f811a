//! Headers that the user adds to what an endpoint gets: which are allowed, and the operations on them.

use crate::{
    Service,
    access::AppScope,
    actor::Capability,
    error::{Problem, ServiceError},
};
use domain::{Action, Endpoint, Header};
use std::collections::BTreeMap;

/// Bytes of a value at most.
const VALUE_MAX: usize = 4096;
/// Headers of an endpoint at most.
const COUNT_MAX: usize = 64;

const FORBIDDEN: [&str; 19] = [
    "user-agent",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "trailers",
    "transfer-encoding",
    "upgrade",
    "age",
    "cache-control",
    "clear-site-data",
    "expires",
    "pragma",
    "warning",
    "content-length",
    "content-type",
    "content-encoding",
    "content-language",
    "content-location",
];
const FORBIDDEN_PREFIXES: [&str; 9] =
    ["x-amz-", "x-amzn-", "x-google", "x-goog-", "x-gfe", "x-azure-", "x-fd-", "x-svix-", "svix-"];

/// Why a header is refused.
pub(crate) fn problem(name: &str, value: Option<&str>) -> Option<&'static str> {
    let is_token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    if name.is_empty() || !name.bytes().all(is_token) {
        return Some("Invalid Header Name.");
    }
    let lower = name.to_ascii_lowercase();
    if FORBIDDEN.contains(&lower.as_str()) {
        return Some("Header uses a forbidden key.");
    }
    if FORBIDDEN_PREFIXES.iter().any(|p| lower.starts_with(p)) {
        return Some("Header starts with a forbidden prefix.");
    }
    let value = value?;
    if value.len() > VALUE_MAX {
        return Some("Maximum header length is 4096 bytes");
    }
    if !value.bytes().all(|b| b == b'\t' || (b >= 0x20 && b != 0x7f)) {
        return Some("Invalid Header Value.");
    }
    None
}

/// Checks a whole set of headers.
pub(crate) fn checked(headers: BTreeMap<String, String>) -> Result<Vec<Header>, &'static str> {
    let mut list: Vec<Header> = Vec::with_capacity(headers.len());
    for (name, value) in headers {
        if let Some(problem) = problem(&name, Some(&value)) {
            return Err(problem);
        }
        put(&mut list, Header { name, value });
    }
    if list.len() > COUNT_MAX { Err("At most 64 headers are allowed.") } else { Ok(list) }
}

/// Header names differ in more than their case.
fn put(list: &mut Vec<Header>, header: Header) {
    list.retain(|h| !h.name.eq_ignore_ascii_case(&header.name));
    list.push(header);
}

/// Headers as they may be shown.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ShownHeaders {
    /// Those whose values are shown.
    pub headers: BTreeMap<String, String>,
    /// The names of those whose values are not.
    pub sensitive: Vec<String>,
}

impl From<&[Header]> for ShownHeaders {
    fn from(list: &[Header]) -> Self {
        let (sensitive, shown): (Vec<_>, Vec<_>) = list.iter().partition(|h| h.is_sensitive());
        Self {
            headers: shown.into_iter().map(|h| (h.name.clone(), h.value.clone())).collect(),
            sensitive: sensitive.into_iter().map(|h| h.name.clone()).collect(),
        }
    }
}

impl Service {
    /// An endpoint's headers, values of sensitive ones left out.
    pub async fn endpoint_headers(&self, scope: &AppScope, which: &str) -> Result<ShownHeaders, ServiceError> {
        scope.must_have(Capability::ViewBase)?;
        Ok(self.find_endpoint(scope, which).await?.headers.as_slice().into())
    }

    /// Replaces all of an endpoint's headers.
    pub async fn put_endpoint_headers(
        &self,
        scope: &AppScope,
        which: &str,
        headers: BTreeMap<String, String>,
    ) -> Result<(), ServiceError> {
        scope.must_have(Capability::ManageEndpoint)?;
        let headers = checked(headers).map_err(|msg| {
            ServiceError::Invalid(vec![Problem::new(&["body", "headers"], msg).of_kind(Problem::DECODE)])
        })?;
        let saved = self
            .change_endpoint(scope, which, |endpoint| {
                endpoint.headers = headers.clone();
                Ok(())
            })
            .await?;
        let names: Vec<_> = headers.iter().map(|h| h.name.as_str()).collect();
        self.note_in(scope, Action::HeadersUpdated, saved.id, names.join(", ")).await;
        Ok(())
    }

    /// Merges headers into an endpoint's; `None` removes one.
    pub async fn patch_endpoint_headers(
        &self,
        scope: &AppScope,
        which: &str,
        changes: BTreeMap<String, Option<String>>,
    ) -> Result<(), ServiceError> {
        scope.must_have(Capability::ManageEndpoint)?;
        let refuse = |msg: &'static str| ServiceError::invalid(&["body", "headers", "__all__"], msg);
        if let Some(msg) = changes.iter().find_map(|(name, value)| problem(name, value.as_deref())) {
            return Err(refuse(msg));
        }
        let change = |endpoint: &mut Endpoint| {
            for (name, value) in &changes {
                match value {
                    Some(value) => {
                        put(&mut endpoint.headers, Header { name: name.clone(), value: value.clone() });
                    }
                    None => endpoint.headers.retain(|h| !h.name.eq_ignore_ascii_case(name)),
                }
            }
            if endpoint.headers.len() > COUNT_MAX { Err(refuse("At most 64 headers are allowed.")) } else { Ok(()) }
        };
        let saved = self.change_endpoint(scope, which, change).await?;
        let names: Vec<_> = changes.keys().map(String::as_str).collect();
        self.note_in(scope, Action::HeadersUpdated, saved.id, names.join(", ")).await;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_the_server_or_a_proxy_sets_are_refused() {
        assert_eq!(problem("X-My-Header", Some("v")), None);
        assert_eq!(problem("Host", Some("v")), None);
        assert_eq!(problem("webhook-extra", Some("v")), None);
        assert_eq!(problem("authorization", Some("Bearer x")), None);
        assert_eq!(problem("Content-Type", Some("v")), Some("Header uses a forbidden key."));
        assert_eq!(problem("SVIX-Id", Some("v")), Some("Header starts with a forbidden prefix."));
        assert_eq!(problem("a b", Some("v")), Some("Invalid Header Name."));
        assert_eq!(problem("", None), Some("Invalid Header Name."));
        assert_eq!(problem("x", Some("a\nb")), Some("Invalid Header Value."));
        assert_eq!(problem("x", Some(&"v".repeat(4097))), Some("Maximum header length is 4096 bytes"));
        assert_eq!(problem("x", Some(&"v".repeat(4096))), None);
    }

    #[test]
    fn sensitive_values_are_not_shown() {
        let list = checked(BTreeMap::from([
            ("Authorization".to_owned(), "Bearer secret".to_owned()),
            ("X-Plain".to_owned(), "shown".to_owned()),
        ]))
        .unwrap();
        let shown = ShownHeaders::from(list.as_slice());
        assert_eq!(shown.sensitive, ["Authorization"]);
        assert_eq!(shown.headers, BTreeMap::from([("X-Plain".to_owned(), "shown".to_owned())]));
    }

    #[test]
    fn names_that_differ_only_in_case_are_the_same_header() {
        let list = checked(BTreeMap::from([("X-A".to_owned(), "1".to_owned()), ("x-a".to_owned(), "2".to_owned())]));
        assert_eq!(list.unwrap(), [Header { name: "x-a".to_owned(), value: "2".to_owned() }]);
    }
}
