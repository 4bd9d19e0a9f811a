//! Signing secrets in the written forms of Standard Webhooks: `whsec_`, `whsk_`, `whpk_`. Text and rules only; keys are
//! made and used in `outbound`.

use crate::{queue::QueueKey, time::Timestamp};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use std::fmt;

/// A secret that signs what an endpoint gets. Never printed by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub enum Secret {
    /// HMAC-SHA256 key, 24 to 75 bytes (Standard Webhooks asks for 24 to 64, Svix takes up to 75).
    Hmac(Vec<u8>),
    /// ed25519: 32 bytes of seed, then the 32 bytes of the public key.
    Ed25519([u8; 64]),
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Hmac(_) => "Secret::Hmac(…)",
            Self::Ed25519(_) => "Secret::Ed25519(…)",
        })
    }
}

/// Why a text is not a secret. The messages are those of Svix's API.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// Neither `whsec_` nor `whsk_`.
    #[error("invalid prefix")]
    Prefix,
    /// The part after the prefix is not base64.
    #[error("{0}")]
    Base64(String),
    /// Too few or too many bytes.
    #[error("secret length invalid")]
    Length,
}

impl Secret {
    /// Reads `whsec_…` or `whsk_…`.
    pub fn parse(text: &str) -> Result<Self, SecretError> {
        let decode = |rest: &str| STANDARD.decode(rest).map_err(|e| SecretError::Base64(e.to_string()));
        if let Some(rest) = text.strip_prefix("whsec_") {
            let key = decode(rest)?;
            if (24..=75).contains(&key.len()) { Ok(Self::Hmac(key)) } else { Err(SecretError::Length) }
        } else if let Some(rest) = text.strip_prefix("whsk_") {
            let key = decode(rest)?;
            key.try_into().map(Self::Ed25519).map_err(|_| SecretError::Length)
        } else {
            Err(SecretError::Prefix)
        }
    }
    /// The whole secret, for keeping it: `whsec_…` or `whsk_…`.
    pub fn expose(&self) -> String {
        match self {
            Self::Hmac(key) => format!("whsec_{}", STANDARD.encode(key)),
            Self::Ed25519(key) => format!("whsk_{}", STANDARD.encode(key)),
        }
    }
    /// What a receiver needs to verify: the HMAC key itself, or the public key as `whpk_…`.
    pub fn for_receiver(&self) -> String {
        match self {
            Self::Hmac(_) => self.expose(),
            Self::Ed25519(key) => format!("whpk_{}", STANDARD.encode(&key[32..])),
        }
    }
}

/// A secret that travels in the body of what an endpoint gets, for receivers that compare it. Never printed by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct BodySecret(String);

impl BodySecret {
    /// From its text; what it looks like is its format's business.
    pub fn new(text: String) -> Self {
        Self(text)
    }
    /// The whole secret, for keeping and sending it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for BodySecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BodySecret(…)")
    }
}

/// The secrets of one endpoint: the current one, and those that still sign for a while after a rotation.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Secrets {
    /// Signs first.
    pub current: Secret,
    /// In the order they were retired, each with the instant it stops signing.
    pub retired: Vec<(Secret, Timestamp)>,
    /// Travels in the body, where the endpoint's format carries one. Replaced at once: a body holds one only.
    pub body: Option<BodySecret>,
    /// Opens its queue; the server's own access if absent.
    pub queue: Option<QueueKey>,
}

impl Secrets {
    /// A single secret.
    pub fn new(current: Secret) -> Self {
        Self { current, retired: Vec::new(), body: None, queue: None }
    }
    /// All that sign at `now`, in the order of the signature header.
    pub fn valid_at(&self, now: Timestamp) -> impl Iterator<Item = &Secret> {
        std::iter::once(&self.current).chain(self.retired.iter().filter(move |(_, until)| *until > now).map(|(s, _)| s))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn secrets_read_back_and_hide() {
        let s = Secret::parse("whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX").unwrap();
        assert_eq!(s.expose(), "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX");
        assert_eq!(format!("{s:?}"), "Secret::Hmac(…)");
        assert_eq!(format!("{:?}", BodySecret::new("hidden".into())), "BodySecret(…)");
        assert_eq!(Secret::parse("AAEC"), Err(SecretError::Prefix));
        assert_eq!(Secret::parse("whpk_AAEC"), Err(SecretError::Prefix));
        assert_eq!(Secret::parse("whsec_AAEC"), Err(SecretError::Length));
        assert!(matches!(Secret::parse("whsec_%%%"), Err(SecretError::Base64(_))));
        let k = "whsk_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8DoQe/884Qvh1w3RjnS8CZZ+TWMJulDV8d3IZkElUxuA==";
        assert_eq!(Secret::parse(k).unwrap().for_receiver(), "whpk_A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg=");
    }

    proptest! {
        #[test]
        fn a_secret_of_any_allowed_length_reads_back(key in prop::collection::vec(any::<u8>(), 0..90)) {
            let text = format!("whsec_{}", STANDARD.encode(&key));
            match Secret::parse(&text) {
                Ok(secret) => {
                    prop_assert!((24..=75).contains(&key.len()));
                    prop_assert_eq!(secret.expose(), text);
                }
                Err(e) => prop_assert!(e == SecretError::Length && !(24..=75).contains(&key.len())),
            }
        }

        #[test]
        fn retired_secrets_sign_until_their_instant_and_the_current_one_always(untils in prop::collection::vec(0..100i64, 0..8), now in 0..100i64) {
            let secret = |n: usize| Secret::Hmac(vec![n as u8; 24]);
            let retired = untils.iter().enumerate().map(|(n, t)| (secret(n + 1), Timestamp::from_micros(*t))).collect();
            let secrets = Secrets { current: secret(0), retired, body: None, queue: None };
            let valid: Vec<_> = secrets.valid_at(Timestamp::from_micros(now)).cloned().collect();
            let want: Vec<_> = std::iter::once(secret(0))
                .chain(untils.iter().enumerate().filter(|(_, t)| **t > now).map(|(n, _)| secret(n + 1)))
                .collect();
            prop_assert_eq!(valid, want);
        }
    }
}
