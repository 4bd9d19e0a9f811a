//! The keys that sign bodies of one application: the one in use, the one before it, and the one after it.
//!
//! Receivers find the public halves of all three in a published set. So a key is known before it signs, and what it signed
//! can still be checked for a while after. Keys are made and used in `outbound`.

use crate::{ids::AppKey, time::Timestamp};
use serde::{Deserialize, Serialize};
use std::fmt;

/// An RSA key. Its private half is never printed by `Debug`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BodyKey {
    /// What names it: in the head of what it signed, and in the published set.
    pub kid: String,
    /// The modulus, big-endian in base64url without padding.
    pub n: String,
    /// The exponent, likewise.
    pub e: String,
    /// The whole key, PKCS #8 in base64.
    pub private: String,
}

impl fmt::Debug for BodyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BodyKey({}, …)", self.kid)
    }
}

/// The keys of one application.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeySet {
    /// Whose they are.
    pub app: AppKey,
    /// Signed until the last change; none before the first.
    pub previous: Option<BodyKey>,
    /// Signs.
    pub current: BodyKey,
    /// Will sign after the next change.
    pub next: BodyKey,
    /// When the current key began to sign.
    pub rotated_at: Timestamp,
    /// Grows with each change; a change names the revision it saw. 0 before it is stored.
    pub revision: i64,
}

impl KeySet {
    /// The first keys of an application.
    pub fn new(app: AppKey, current: BodyKey, next: BodyKey, now: Timestamp) -> Self {
        Self { app, previous: None, current, next, rotated_at: now, revision: 0 }
    }
    /// The keys after a change: each moves one place on, and a new one comes after them.
    pub fn rotated(self, new: BodyKey, now: Timestamp) -> Self {
        Self { previous: Some(self.current), current: self.next, next: new, rotated_at: now, ..self }
    }
    /// All of them, the one in use in the middle.
    pub fn all(&self) -> impl Iterator<Item = &BodyKey> {
        self.previous.iter().chain([&self.current, &self.next])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(kid: &str) -> BodyKey {
        BodyKey { kid: kid.into(), n: "n".into(), e: "AQAB".into(), private: "hidden".into() }
    }

    #[test]
    fn a_key_is_published_before_it_signs_and_after_it_did() {
        let set = KeySet::new(AppKey(1), key("a"), key("b"), Timestamp::from_micros(1));
        let kids = |set: &KeySet| set.all().map(|k| k.kid.clone()).collect::<Vec<_>>();
        assert_eq!((kids(&set), set.current.kid.as_str()), (vec!["a".into(), "b".into()], "a"));
        let set = set.rotated(key("c"), Timestamp::from_micros(2)).rotated(key("d"), Timestamp::from_micros(3));
        assert_eq!((kids(&set), set.current.kid.as_str()), (vec!["b".into(), "c".into(), "d".into()], "c"));
        assert_eq!(set.rotated_at, Timestamp::from_micros(3));
        assert!(!format!("{set:?}").contains("hidden"));
    }
}
