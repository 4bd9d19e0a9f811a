//! Fields that stay inside: they neither leave with a payload nor come back with an answer, at any depth.

use super::WireVersion;
use crate::json::{Json, Members};
use std::collections::BTreeSet;

/// Always protected.
const PROTECTED: [&str; 3] = ["password", "is_staff", "is_superuser"];
/// Credentials: version 22 never sends or saves them.
const CREDENTIALS: [&str; 13] = [
    "password",
    "password1",
    "password2",
    "old_password",
    "new_password",
    "token",
    "id_token",
    "access_token",
    "refresh_token",
    "client_secret",
    "authorization",
    "cookie",
    "csrfmiddlewaretoken",
];
/// Whether a key holds a credential, in any case.
pub fn is_credential(key: &str) -> bool {
    CREDENTIALS.iter().any(|c| key.eq_ignore_ascii_case(c))
}

/// Fields of a stored object that version 22 never saves, beside credentials.
const NEVER_SAVED: [&str; 6] = ["id", "is_staff", "is_superuser", "is_active", "last_login", "date_joined"];

/// Which fields are protected, and from what.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Protection {
    names: BTreeSet<String>,
    /// Whether they may leave all the same.
    pub may_leave: bool,
    /// Whether answers may set them all the same.
    pub may_be_set: bool,
}

impl Default for Protection {
    fn default() -> Self {
        Self::with([])
    }
}

impl Protection {
    /// The usual names and more.
    pub fn with(more: impl IntoIterator<Item = String>) -> Self {
        let names =
            PROTECTED.into_iter().map(str::to_owned).chain(more.into_iter().map(|n| n.to_lowercase())).collect();
        Self { names, may_leave: false, may_be_set: false }
    }

    fn has(&self, key: &str) -> bool {
        is_one_of(key, |key| self.names.contains(key))
    }

    /// A payload as it may leave.
    pub fn outgoing(&self, payload: &mut Json, version: WireVersion) {
        let stays = |key: &str| {
            (!self.may_leave && self.has(key))
                || (version == WireVersion::V22 && is_one_of(key, |key| CREDENTIALS.contains(&key)))
        };
        strip(payload, &stays, "", &mut |_| {});
    }

    /// A value of data as it may count. Calls `removed` with the path of what went.
    pub(super) fn incoming(&self, value: &mut Json, path: &str, removed: &mut dyn FnMut(&str)) {
        if !self.may_be_set {
            strip(value, &|key| self.has(key), path, removed);
        }
    }

    /// Removes what is protected, whatever the operator says: for what is kept.
    pub fn remove_from(&self, members: &mut Members) {
        members.retain(|key, _| !self.has(key));
        for value in members.values_mut() {
            strip(value, &|key| self.has(key), "", &mut |_| {});
        }
    }

    /// Whether a top-level key of data is protected.
    pub(super) fn refuses(&self, key: &str) -> bool {
        !self.may_be_set && self.has(key)
    }
}

/// Removes the fields of an object that the original does not set: of one that is saved, or of one in memory only.
pub(super) fn only_settable(object: &mut Members, saved: bool, version: WireVersion, removed: &mut dyn FnMut(&str)) {
    object.retain(|key, _| {
        let refused = match version {
            WireVersion::V22 => is_one_of(key, |key| NEVER_SAVED.contains(&key) || CREDENTIALS.contains(&key)),
            WireVersion::V21 => saved && key == "id",
        };
        if refused {
            removed(key);
        }
        !refused
    });
}

fn is_one_of(key: &str, has: impl Fn(&str) -> bool) -> bool {
    // Most keys are lower case already.
    if key.bytes().any(|b| b.is_ascii_uppercase()) || !key.is_ascii() { has(&key.to_lowercase()) } else { has(key) }
}

fn strip(value: &mut Json, stays: &dyn Fn(&str) -> bool, path: &str, removed: &mut dyn FnMut(&str)) {
    match value {
        Json::Object(members) => {
            members.retain(|key, _| {
                let refused = stays(key);
                if refused {
                    removed(&join(path, key));
                }
                !refused
            });
            for (key, inner) in members.iter_mut().filter(|(_, inner)| matches!(inner, Json::Object(_) | Json::List(_)))
            {
                strip(inner, stays, &join(path, key), removed);
            }
        }
        Json::List(items) => {
            for inner in items {
                strip(inner, stays, path, removed);
            }
        }
        _ => {}
    }
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left(text: &str, protection: &Protection, version: WireVersion) -> String {
        let mut payload = Json::parse(text.as_bytes()).unwrap();
        protection.outgoing(&mut payload, version);
        payload.to_text()
    }

    #[test]
    fn protected_fields_never_leave_at_any_depth_and_in_any_case() {
        let payload =
            r#"{"user":{"PassWord":"x","is_staff":true,"name":"J"},"rows":[{"is_superuser":1,"SSN":2,"a":3}]}"#;
        let more = Protection::with(["Ssn".to_owned()]);
        for version in [WireVersion::V21, WireVersion::V22] {
            assert_eq!(left(payload, &more, version), r#"{"user":{"name":"J"},"rows":[{"a":3}]}"#);
        }
    }

    #[test]
    fn version_21_keeps_the_id_of_what_it_saves_and_sets_that_of_what_is_in_memory() {
        let refused = |saved, version| {
            let Ok(Json::Object(mut object)) = Json::parse(br#"{"id":7,"is_active":true,"name":"x"}"#) else {
                panic!("an object")
            };
            let mut refused = Vec::new();
            only_settable(&mut object, saved, version, &mut |key| refused.push(key.to_owned()));
            refused
        };
        assert_eq!(refused(true, WireVersion::V21), ["id"]);
        assert!(refused(false, WireVersion::V21).is_empty());
        for saved in [true, false] {
            assert_eq!(refused(saved, WireVersion::V22), ["id", "is_active"]);
        }
    }

    #[test]
    fn version_22_keeps_credentials_inside_whatever_the_operator_says() {
        let open = Protection { may_leave: true, ..Protection::default() };
        let payload = r#"{"password":"p","Token":"t","is_staff":true}"#;
        assert_eq!(left(payload, &open, WireVersion::V22), r#"{"is_staff":true}"#);
        assert_eq!(left(payload, &open, WireVersion::V21), payload);
        assert_eq!(left(payload, &Protection::default(), WireVersion::V21), r#"{"Token":"t"}"#);
    }
}
