//! What handlers take from a request, with the API's own errors: path, query, body.

use crate::problem::Problem;
use axum::{
    RequestPartsExt as _,
    body::HttpBody as _,
    extract::{FromRequest, FromRequestParts, Path, Query, Request},
};
use bytes::Bytes;
use http::{StatusCode, request::Parts};
use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use serde_json::error::Category;
use service::Patch;

/// The variable parts of a path.
pub(crate) struct At<T>(pub(crate) T);

impl<T: DeserializeOwned + Send + 'static, S: Send + Sync> FromRequestParts<S> for At<T> {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        match parts.extract::<Path<T>>().await {
            Ok(Path(path)) => Ok(Self(path)),
            Err(e) => Err(Problem::Unreadable(e.body_text())),
        }
    }
}

/// The query. Parameters that nobody knows are ignored.
pub(crate) struct Params<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Params<T> {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        match Query::try_from_uri(&parts.uri) {
            Ok(Query(query)) => Ok(Self(query)),
            Err(e) => Err(Problem::Unreadable(e.body_text())),
        }
    }
}

/// The event types that a list is narrowed to, in every spelling: `event_types=a,b`, repeated, `event_types[]=a`,
/// `event_types[0]=a`.
pub(crate) struct EventTypes(pub(crate) Vec<String>);

impl<S: Send + Sync> FromRequestParts<S> for EventTypes {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Ok(Self(event_types(parts.uri.query().unwrap_or_default())))
    }
}

fn event_types(query: &str) -> Vec<String> {
    let is_one = |name: &str| {
        name.strip_prefix("event_types").is_some_and(|rest| {
            let index = rest.strip_prefix('[').and_then(|r| r.strip_suffix(']'));
            rest.is_empty() || index.is_some_and(|i| i.bytes().all(|b| b.is_ascii_digit()))
        })
    };
    form_urlencoded::parse(query.as_bytes())
        .filter(|(name, value)| is_one(name) && !value.is_empty())
        .flat_map(|(_, value)| value.split(',').map(str::to_owned).collect::<Vec<_>>())
        .collect()
}

/// Bytes of a body at most, as axum reads them.
const BODY_MAX: u64 = 2 * 1024 * 1024;

/// The body as it came in. At most 2 MiB, whatever its type says it is.
pub(crate) struct RawBody(pub(crate) Bytes);

impl<S: Send + Sync> FromRequest<S> for RawBody {
    type Rejection = Problem;
    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        // A body that says itself that it is too large is not waited for.
        if request.body().size_hint().lower() > BODY_MAX {
            return Err(Problem::TooLarge);
        }
        match Bytes::from_request(request, state).await {
            Ok(body) => Ok(Self(body)),
            Err(e) if e.status() == StatusCode::PAYLOAD_TOO_LARGE => Err(Problem::TooLarge),
            Err(_) => Err(Problem::Unreadable("The body could not be read.".to_owned())),
        }
    }
}

impl RawBody {
    /// Reads JSON.
    pub(crate) fn json<'de, T: Deserialize<'de>>(&'de self) -> Result<T, Problem> {
        decode(&self.0)
    }
}

/// Reads the first JSON value of a body; what follows it is ignored.
pub(crate) fn decode<'de, T: Deserialize<'de>>(body: &'de [u8]) -> Result<T, Problem> {
    T::deserialize(&mut serde_json::Deserializer::from_slice(body)).map_err(|e| explain::<T>(body, &e))
}

/// Decodes again, slower, to learn which field was wrong.
fn explain<'de, T: Deserialize<'de>>(body: &'de [u8], error: &serde_json::Error) -> Problem {
    let is_empty = body.iter().all(u8::is_ascii_whitespace);
    if matches!(error.classify(), Category::Syntax | Category::Eof) && !is_empty {
        return Problem::InvalidJson(error.to_string());
    }
    match serde_path_to_error::deserialize::<_, T>(&mut serde_json::Deserializer::from_slice(body)) {
        Err(e) => Problem::undecodable(&e.path().to_string(), e.inner().to_string()),
        Ok(_) => Problem::undecodable(".", error.to_string()),
    }
}

/// A field of a change that may be absent or null.
pub(crate) fn patch<'de, D: Deserializer<'de>, T: Deserialize<'de>>(d: D) -> Result<Patch<T>, D::Error> {
    Option::deserialize(d).map(Patch::replace)
}

/// A field of a change that may be absent, but not null.
pub(crate) fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(d: D) -> Result<Option<T>, D::Error> {
    T::deserialize(d).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize, Debug, Default, PartialEq)]
    #[serde(rename_all = "camelCase")]
    struct Thing {
        name: String,
        #[serde(default, deserialize_with = "patch")]
        uid: Patch<String>,
        #[serde(default, deserialize_with = "present")]
        throttle_rate: Option<u16>,
    }
    fn read(body: &str) -> Result<Thing, Problem> {
        decode(body.as_bytes())
    }
    fn loc(body: &str) -> String {
        read(body).unwrap_err().body()["detail"][0]["loc"].to_string()
    }

    #[test]
    fn absent_null_and_a_value_are_three_things() {
        let thing = |uid| Thing { name: "x".into(), uid, throttle_rate: None };
        assert_eq!(read(r#"{"name":"x"}"#).unwrap(), thing(Patch::Keep));
        assert_eq!(read(r#"{"name":"x","uid":null}"#).unwrap(), thing(Patch::Clear));
        assert_eq!(read(r#"{"name":"x","uid":"y"}"#).unwrap(), thing(Patch::Set("y".into())));
        assert_eq!(loc(r#"{"name":"x","throttleRate":null}"#), r#"["body","throttleRate"]"#);
    }

    #[test]
    fn what_does_not_fit_is_422_with_its_place() {
        assert_eq!(loc("{}"), r#"["body","",""]"#);
        assert_eq!(loc(""), r#"["body","",""]"#);
        assert_eq!(loc("  "), r#"["body","",""]"#);
        assert_eq!(loc(r#"{"name":3}"#), r#"["body","name"]"#);
        assert_eq!(loc(r#"{"name":"x","throttleRate":70000}"#), r#"["body","throttleRate"]"#);
        assert_eq!(loc(r#"{"name":"x","name":"y"}"#), r#"["body","",""]"#);
    }

    #[test]
    fn what_is_not_json_is_400_and_what_follows_a_value_is_ignored() {
        for bad in ["{", "nope", r#"{"name":"x","#, r#"{"name":"x" "uid"}"#] {
            assert!(matches!(read(bad), Err(Problem::InvalidJson(_))), "{bad}");
        }
        assert!(read(r#"{"name":"x"} and more"#).is_ok());
    }

    #[test]
    fn event_types_are_read_in_every_spelling() {
        assert_eq!(event_types("event_types=a,b&event_types=c"), ["a", "b", "c"]);
        assert_eq!(event_types("event_types[]=a&event_types%5B0%5D=b&limit=3"), ["a", "b"]);
        assert_eq!(event_types("event_typesx=a&event_types[x]=b&event_types="), [] as [&str; 0]);
    }
}
