//! What a form or an address says, with names that may come more than once.

use crate::page::PageError;
use axum::{
    body::Bytes,
    extract::{FromRequest, FromRequestParts, Request},
};
use http::request::Parts;

/// Names and values, in their order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fields(Vec<(String, String)>);

impl Fields {
    pub(crate) fn read(text: &[u8]) -> Self {
        Self(form_urlencoded::parse(text).into_owned().collect())
    }
    /// The first value, spaces around it left out; empty if there is none.
    pub(crate) fn get(&self, name: &str) -> &str {
        self.0.iter().find(|(n, _)| n == name).map_or("", |(_, v)| v.trim())
    }
    /// The first value just as it was typed: spaces belong to a password.
    pub(crate) fn raw(&self, name: &str) -> &str {
        self.0.iter().find(|(n, _)| n == name).map_or("", |(_, v)| v)
    }
    /// The same as [`Self::get`], absent if empty.
    pub(crate) fn some(&self, name: &str) -> Option<String> {
        Some(self.get(name)).filter(|v| !v.is_empty()).map(str::to_owned)
    }
    /// All values that are not empty.
    pub(crate) fn all(&self, name: &str) -> Vec<String> {
        self.0.iter().filter(|(n, v)| n == name && !v.is_empty()).map(|(_, v)| v.clone()).collect()
    }
    /// Whether a box is ticked.
    pub(crate) fn ticked(&self, name: &str) -> bool {
        !self.get(name).is_empty()
    }
}

/// The fields of a form that was sent.
pub(crate) struct Form(pub(crate) Fields);

impl<S: Send + Sync> FromRequest<S> for Form {
    type Rejection = PageError;
    async fn from_request(request: Request, state: &S) -> Result<Self, PageError> {
        let bytes = Bytes::from_request(request, state).await.map_err(|_| PageError::TooLarge)?;
        Ok(Self(Fields::read(&bytes)))
    }
}

/// The fields after the question mark.
pub(crate) struct Query(pub(crate) Fields);

impl<S: Send + Sync> FromRequestParts<S> for Query {
    type Rejection = std::convert::Infallible;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(Self(Fields::read(parts.uri.query().unwrap_or_default().as_bytes())))
    }
}

/// An address with these fields, those that are empty left out.
pub(crate) fn link(path: &str, fields: &[(&str, &str)]) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    let kept: Vec<_> = fields.iter().filter(|(_, v)| !v.is_empty()).collect();
    if kept.is_empty() {
        return path.to_owned();
    }
    format!("{path}?{}", query.extend_pairs(kept).finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_may_come_more_than_once() {
        let fields = Fields::read(b"a=1&b=+x+&a=2&c=");
        assert_eq!(fields.all("a"), ["1", "2"]);
        assert_eq!((fields.get("b"), fields.some("c"), fields.ticked("a")), ("x", None, true));
        assert_eq!(link("/x", &[("a", "1 &"), ("b", "")]), "/x?a=1+%26");
        assert_eq!(link("/x", &[("b", "")]), "/x");
    }
}
