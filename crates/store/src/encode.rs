//! How values are written into columns and read back, the same for every engine: JSON for what SQL never looks into, and
//! what could let somebody in (secrets, headers, the user info of an address) sealed for its place.

use crate::{error::StoreError, seal::Sealer};
use bytes::Bytes;
use domain::{
    AppKey, BodyKey, BodySecret, DisabledBecause, Endpoint, EndpointId, Secret, Secrets, Timestamp, WebfilterId,
    lti::SharedSecret, queue::QueueKey,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::collections::BTreeSet;

/// A column whose text or bytes do not fit its type.
pub(crate) fn corrupt(
    table: &'static str,
    column: &'static str,
    row: impl ToString,
    problem: impl ToString,
) -> StoreError {
    StoreError::Corrupt { table, column, row: row.to_string(), problem: problem.to_string() }
}

/// Writes a set as JSON; nothing if it is empty.
pub(crate) fn set_to_json<T: Serialize>(set: &BTreeSet<T>) -> Option<String> {
    if set.is_empty() { None } else { Some(to_json(set)) }
}

/// Writes a value of ours as JSON.
pub(crate) fn to_json<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_else(|_| unreachable!("our own types have text keys and no failing parts"))
}

/// Reads a JSON column.
pub(crate) fn from_json<T: DeserializeOwned>(
    text: &str,
    table: &'static str,
    column: &'static str,
    row: impl ToString,
) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|e| corrupt(table, column, row, e))
}

/// What a sealed value belongs to: it opens nowhere else.
pub(crate) fn place(column: &str, id: EndpointId) -> Vec<u8> {
    format!("endpoint/{column}/{id}").into_bytes()
}

pub(crate) fn open(sealer: &Sealer, sealed: &[u8], column: &'static str, id: EndpointId) -> Result<String, StoreError> {
    let plain = sealer.open(sealed, &place(column, id)).map_err(|e| corrupt("endpoint", column, id, e))?;
    // The error of a conversion would show what should stay hidden.
    String::from_utf8(plain).map_err(|_| corrupt("endpoint", column, id, "not a text"))
}

pub(crate) fn sealed_headers(sealer: &Sealer, endpoint: &Endpoint) -> Option<Vec<u8>> {
    let headers = &endpoint.headers;
    (!headers.is_empty()).then(|| sealer.seal(to_json(headers).as_bytes(), &place("headers", endpoint.id)))
}

/// Secrets as they are written before they are sealed.
#[derive(Serialize, Deserialize)]
struct WrittenSecrets {
    current: String,
    /// With microseconds.
    retired: Vec<(String, i64)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    body: Option<String>,
    /// Id and secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    queue: Option<(String, String)>,
}

pub(crate) fn sealed_secrets(sealer: &Sealer, endpoint: &Endpoint) -> Vec<u8> {
    sealer.seal(write_secrets(&endpoint.secrets).as_bytes(), &place("secrets", endpoint.id))
}

/// Secrets as text, to be sealed.
pub(crate) fn write_secrets(secrets: &Secrets) -> String {
    let written = WrittenSecrets {
        current: secrets.current.expose(),
        retired: secrets.retired.iter().map(|(s, until)| (s.expose(), until.as_micros())).collect(),
        body: secrets.body.as_ref().map(|s| s.expose().to_owned()),
        queue: secrets.queue.as_ref().map(|k| (k.id.clone(), k.secret.expose().to_owned())),
    };
    to_json(&written)
}

pub(crate) fn read_secrets(text: &str, id: EndpointId) -> Result<Secrets, StoreError> {
    parse_secrets(text).ok_or_else(|| corrupt("endpoint", "secrets", id, "not a list of secrets"))
}

/// What [`write_secrets`] wrote. Errors of the parsers may quote what they read, so none of their words go on.
pub(crate) fn parse_secrets(text: &str) -> Option<Secrets> {
    let written: WrittenSecrets = serde_json::from_str(text).ok()?;
    let retired = |(text, until): &(String, i64)| Some((Secret::parse(text).ok()?, Timestamp::from_micros(*until)));
    Some(Secrets {
        current: Secret::parse(&written.current).ok()?,
        retired: written.retired.iter().map(retired).collect::<Option<_>>()?,
        body: written.body.map(BodySecret::new),
        queue: written.queue.map(|(id, secret)| QueueKey { id, secret: SharedSecret::new(secret) }),
    })
}

/// What a sealed value of a webfilter belongs to.
fn webfilter_place(column: &str, id: WebfilterId) -> Vec<u8> {
    format!("webfilter/{column}/{id}").into_bytes()
}

pub(crate) fn sealed_webfilter(sealer: &Sealer, plain: &str, column: &str, id: WebfilterId) -> Vec<u8> {
    sealer.seal(plain.as_bytes(), &webfilter_place(column, id))
}

pub(crate) fn open_webfilter(
    sealer: &Sealer,
    sealed: &[u8],
    column: &'static str,
    id: WebfilterId,
) -> Result<String, StoreError> {
    let plain = sealer.open(sealed, &webfilter_place(column, id)).map_err(|e| corrupt("webfilter", column, id, e))?;
    // The error of a conversion would show what should stay hidden.
    String::from_utf8(plain).map_err(|_| corrupt("webfilter", column, id, "not a text"))
}

/// What a sealed key belongs to. Keys move from column to column, so the column is no part of it.
fn key_place(app: AppKey) -> Vec<u8> {
    format!("key_set {}", app.0).into_bytes()
}

pub(crate) fn sealed_key(sealer: &Sealer, app: AppKey, key: &BodyKey) -> Vec<u8> {
    sealer.seal(to_json(key).as_bytes(), &key_place(app))
}

pub(crate) fn open_key(
    sealer: &Sealer,
    app: AppKey,
    column: &'static str,
    sealed: &[u8],
) -> Result<BodyKey, StoreError> {
    let plain = sealer.open(sealed, &key_place(app)).map_err(|e| corrupt("key_set", column, app.0, e))?;
    // The parser's error may quote what it read.
    serde_json::from_slice(&plain).map_err(|_| corrupt("key_set", column, app.0, "not a key"))
}

/// What a kept answer belongs to.
fn answer_place(hash: &[u8; 32]) -> Vec<u8> {
    [b"idempotency ".as_slice(), hash].concat()
}

/// The body of a kept answer: it may repeat credentials of an address.
pub(crate) fn sealed_answer(sealer: &Sealer, hash: &[u8; 32], body: &[u8]) -> Vec<u8> {
    sealer.seal(body, &answer_place(hash))
}

pub(crate) fn open_answer(sealer: &Sealer, hash: &[u8; 32], sealed: &[u8]) -> Result<Bytes, StoreError> {
    let plain = sealer.open(sealed, &answer_place(hash)).map_err(|e| corrupt("idempotency", "body", "", e))?;
    Ok(plain.into())
}

/// What a shared secret of a tool, or of who vouches for it, belongs to.
fn shared_place(table: &str, name: &str) -> Vec<u8> {
    format!("{table}/{name}").into_bytes()
}

pub(crate) fn sealed_shared(sealer: &Sealer, secret: &SharedSecret, table: &str, name: &str) -> Vec<u8> {
    sealer.seal(secret.expose().as_bytes(), &shared_place(table, name))
}

pub(crate) fn open_shared(
    sealer: &Sealer,
    sealed: &[u8],
    table: &'static str,
    name: &str,
) -> Result<SharedSecret, StoreError> {
    let plain = sealer.open(sealed, &shared_place(table, name)).map_err(|e| corrupt(table, "secret", name, e))?;
    // The error of a conversion would show what should stay hidden.
    let text = String::from_utf8(plain).map_err(|_| corrupt(table, "secret", name, "not a text"))?;
    Ok(SharedSecret::new(text))
}

pub(crate) fn disabled_text(because: DisabledBecause) -> &'static str {
    match because {
        DisabledBecause::Asked => "asked",
        DisabledBecause::Failing => "failing",
        DisabledBecause::Gone => "gone",
    }
}

pub(crate) fn read_disabled(text: &str, id: EndpointId) -> Result<DisabledBecause, StoreError> {
    [DisabledBecause::Asked, DisabledBecause::Failing, DisabledBecause::Gone]
        .into_iter()
        .find(|because| disabled_text(*because) == text)
        .ok_or_else(|| corrupt("endpoint", "disabled", id, text))
}

/// Where in an address its authority (user info, host, port) stands.
fn authority(url: &str) -> std::ops::Range<usize> {
    let start = url.find("://").map_or(url.len(), |at| at + 3);
    let end = url[start..].find(['/', '?', '#']).map_or(url.len(), |at| start + at);
    start..end
}

/// An address without its user info, and the user info.
pub(crate) fn split_user_info(url: &str) -> (String, Option<&str>) {
    let authority = authority(url);
    let start = authority.start;
    match url[authority].rfind('@') {
        Some(at) => (format!("{}{}", &url[..start], &url[start + at + 1..]), Some(&url[start..start + at])),
        None => (url.to_owned(), None),
    }
}

pub(crate) fn join_user_info(url: &str, user_info: &str) -> String {
    let (before, after) = url.split_at(authority(url).start);
    format!("{before}{user_info}@{after}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seal::MainKey;
    use domain::Ksuid;

    #[test]
    fn the_user_info_of_an_address_is_kept_apart_and_joined_as_it_was() {
        for (url, bare, user_info) in [
            ("https://u:p@host:8443/a?b=c@d#e", "https://host:8443/a?b=c@d#e", Some("u:p")),
            ("https://host/user@mail", "https://host/user@mail", None),
            ("https://u%40x@host/", "https://host/", Some("u%40x")),
            ("https://@host/", "https://host/", Some("")),
            ("https://host?x=@", "https://host?x=@", None),
            ("arn:aws:sqs:eu-west-1:1:q", "arn:aws:sqs:eu-west-1:1:q", None),
        ] {
            let split = split_user_info(url);
            assert_eq!((split.0.as_str(), split.1), (bare, user_info), "{url}");
            if let Some(user_info) = user_info {
                assert_eq!(join_user_info(bare, user_info), url);
            }
        }
    }

    #[test]
    fn a_sealed_column_opens_in_its_own_place_only_and_its_error_hides_it() {
        let sealer = Sealer::new(&MainKey::generate());
        let (a, b) = (EndpointId(Ksuid([1; 20])), EndpointId(Ksuid([2; 20])));
        let sealed = sealer.seal(b"hidden", &place("headers", a));
        assert_eq!(open(&sealer, &sealed, "headers", a).unwrap(), "hidden");
        assert!(open(&sealer, &sealed, "secrets", a).is_err());
        assert!(open(&sealer, &sealed, "headers", b).is_err());
        assert!(!read_secrets("hidden", a).unwrap_err().to_string().contains("hidden"));
    }
}
