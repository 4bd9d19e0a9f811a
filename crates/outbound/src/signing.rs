//! Signatures in the way of Standard Webhooks: keys are made, used and checked here.
//!
//! What is signed is `id.timestamp.body`, the body being exactly the bytes that are sent. Secrets come in and go out as
//! `domain::Secret`; how they are kept is not decided here.

use aws_lc_rs::{
    hmac, rand,
    signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey},
};
use base64::{
    Engine as _,
    alphabet::STANDARD as ALPHABET,
    engine::{
        DecodePaddingMode,
        general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD},
    },
};
use domain::{Secret, Timestamp};
use http::HeaderMap;
use std::{fmt, str::FromStr, time::Duration};
use zeroize::Zeroize as _;

/// Bytes of a new HMAC key, as Svix makes them.
const HMAC_KEY_BYTES: usize = 24;

/// Receivers may have lost the padding while copying a secret.
const FORGIVING: GeneralPurpose = GeneralPurpose::new(
    &ALPHABET,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What new secrets are for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum SignatureKind {
    /// HMAC-SHA256, `v1`.
    #[default]
    Hmac256,
    /// ed25519, `v1a`.
    Ed25519,
}

/// A word that names no kind of signature.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("'{0}' is not a kind of signature: use hmac256 or ed25519")]
pub struct UnknownKind(String);

impl FromStr for SignatureKind {
    type Err = UnknownKind;
    fn from_str(word: &str) -> Result<Self, UnknownKind> {
        match word {
            "hmac256" => Ok(Self::Hmac256),
            "ed25519" => Ok(Self::Ed25519),
            _ => Err(UnknownKind(word.to_owned())),
        }
    }
}

impl fmt::Display for SignatureKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Hmac256 => "hmac256",
            Self::Ed25519 => "ed25519",
        })
    }
}

/// Makes a new secret from the system's random numbers.
#[expect(clippy::expect_used, reason = "a system without random numbers cannot run a server safely")]
pub fn generate_secret(kind: SignatureKind) -> Secret {
    match kind {
        SignatureKind::Hmac256 => {
            let mut key = vec![0; HMAC_KEY_BYTES];
            rand::fill(&mut key).expect("the system gives no random numbers");
            Secret::Hmac(key)
        }
        SignatureKind::Ed25519 => {
            let mut seed = [0; 32];
            rand::fill(&mut seed).expect("the system gives no random numbers");
            let pair = Ed25519KeyPair::from_seed_unchecked(&seed).expect("any 32 bytes are a seed");
            let mut both = [0; 64];
            both[..32].copy_from_slice(&seed);
            both[32..].copy_from_slice(pair.public_key().as_ref());
            seed.zeroize();
            Secret::Ed25519(both)
        }
    }
}

/// A text that is no usable key.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum KeyError {
    /// An ed25519 secret whose halves do not belong together.
    #[error("the public half of this whsk_ secret does not belong to its secret half")]
    Mismatch,
    /// Not base64.
    #[error("the part after the prefix is not base64")]
    Base64,
    /// Too few or too many bytes.
    #[error("the key has the wrong length")]
    Length,
}

/// A secret prepared for signing, once for many messages.
pub struct SigningKey(Inner);

enum Inner {
    // The hash's state after the key, 1.2 KB.
    Hmac(Box<hmac::Key>),
    Ed25519(Ed25519KeyPair),
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Inner::Hmac(_) => "SigningKey::Hmac(…)",
            Inner::Ed25519(_) => "SigningKey::Ed25519(…)",
        })
    }
}

impl SigningKey {
    /// Prepares a secret. Fails if the halves of an ed25519 pair do not belong together.
    pub fn new(secret: &Secret) -> Result<Self, KeyError> {
        Ok(Self(match secret {
            Secret::Hmac(key) => Inner::Hmac(Box::new(hmac::Key::new(hmac::HMAC_SHA256, key))),
            Secret::Ed25519(both) => {
                let (seed, public) = both.split_at(32);
                let pair = Ed25519KeyPair::from_seed_and_public_key(seed, public).map_err(|_| KeyError::Mismatch)?;
                Inner::Ed25519(pair)
            }
        }))
    }

    /// Appends `v1,…` or `v1a,…` to `buffer`, whose first `prefix` bytes are `id.timestamp.`, with both full stops.
    fn sign_into(&self, buffer: &mut Vec<u8>, prefix: usize, body: &[u8]) {
        match &self.0 {
            Inner::Hmac(key) => {
                let tag = hmac_tag(key, &buffer[..prefix], body);
                buffer.extend_from_slice(b"v1,");
                base64_into(buffer, tag.as_ref());
            }
            Inner::Ed25519(pair) => {
                // ed25519 reads its message twice, so the parts have to lie in one piece.
                let signature = pair.sign(&[&buffer[..prefix], body].concat());
                buffer.extend_from_slice(b"v1a,");
                base64_into(buffer, signature.as_ref());
            }
        }
    }
}

fn hmac_tag(key: &hmac::Key, prefix: &[u8], body: &[u8]) -> hmac::Tag {
    let mut context = hmac::Context::with_key(key);
    context.update(prefix);
    context.update(body);
    context.sign()
}

/// Appends without a string in between.
fn base64_into(out: &mut Vec<u8>, bytes: &[u8]) {
    let start = out.len();
    out.resize(start + bytes.len().div_ceil(3) * 4, 0);
    // Four characters for each three bytes begun always fit.
    let written = STANDARD.encode_slice(bytes, &mut out[start..]).unwrap_or(0);
    out.truncate(start + written);
}

/// Appends the value of the signature header to `buffer`, which holds `id.timestamp.`: one signature per key, in the
/// order of the keys.
pub(crate) fn sign_header_into<'a>(buffer: &mut Vec<u8>, keys: impl IntoIterator<Item = &'a SigningKey>, body: &[u8]) {
    let prefix = buffer.len();
    for (i, key) in keys.into_iter().enumerate() {
        if i > 0 {
            buffer.push(b' ');
        }
        key.sign_into(buffer, prefix, body);
    }
}

/// The value of the signature header: `v1,…` or `v1a,…` per key, separated by spaces, in the order of the keys.
pub fn sign_header<'a>(
    keys: impl IntoIterator<Item = &'a SigningKey>,
    id: &str,
    unix_seconds: i64,
    body: &[u8],
) -> String {
    let mut buffer = format!("{id}.{unix_seconds}.").into_bytes();
    let prefix = buffer.len();
    sign_header_into(&mut buffer, keys, body);
    // Only base64, commas and spaces were written.
    String::from_utf8(buffer.split_off(prefix)).unwrap_or_default()
}

/// What a receiver needs to check signatures. Reads `whsec_…` (also without the prefix, as all verifiers do),
/// `whpk_…` and `whsk_…`.
pub struct VerifyingKey(InnerVerifying);

enum InnerVerifying {
    Hmac(Box<hmac::Key>),
    Ed25519([u8; 32]),
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            InnerVerifying::Hmac(_) => "VerifyingKey::Hmac(…)",
            InnerVerifying::Ed25519(_) => "VerifyingKey::Ed25519(…)",
        })
    }
}

impl From<&Secret> for VerifyingKey {
    fn from(secret: &Secret) -> Self {
        match secret {
            Secret::Hmac(key) => Self::hmac(key),
            Secret::Ed25519(both) => {
                let mut public = [0; 32];
                public.copy_from_slice(&both[32..]);
                Self(InnerVerifying::Ed25519(public))
            }
        }
    }
}

impl FromStr for VerifyingKey {
    type Err = KeyError;
    fn from_str(text: &str) -> Result<Self, KeyError> {
        let decode = |rest: &str| FORGIVING.decode(rest).map_err(|_| KeyError::Base64);
        let text = text.trim();
        if let Some(rest) = text.strip_prefix("whpk_") {
            decode(rest)?.try_into().map(|key| Self(InnerVerifying::Ed25519(key))).map_err(|_| KeyError::Length)
        } else if let Some(rest) = text.strip_prefix("whsk_") {
            let both = decode(rest)?.try_into().map_err(|_| KeyError::Length)?;
            Ok(Self::from(&Secret::Ed25519(both)))
        } else {
            let key = decode(text.strip_prefix("whsec_").unwrap_or(text))?;
            if key.is_empty() { Err(KeyError::Length) } else { Ok(Self::hmac(&key)) }
        }
    }
}

impl VerifyingKey {
    fn hmac(key: &[u8]) -> Self {
        Self(InnerVerifying::Hmac(Box::new(hmac::Key::new(hmac::HMAC_SHA256, key))))
    }

    /// Whether one entry of the header fits. Entries of an unknown version are passed over.
    fn fits(&self, header: &str, prefix: &[u8], body: &[u8]) -> bool {
        let message = [prefix, body].concat();
        header.split(' ').filter_map(|entry| entry.split_once(',')).any(|(version, signature)| {
            let Ok(signature) = STANDARD.decode(signature) else { return false };
            // Both compare in constant time.
            match (&self.0, version) {
                (InnerVerifying::Hmac(key), "v1") => hmac::verify(key, &message, &signature).is_ok(),
                (InnerVerifying::Ed25519(key), "v1a") => {
                    UnparsedPublicKey::new(&ED25519, key).verify(&message, &signature).is_ok()
                }
                _ => false,
            }
        })
    }
}

/// Why a request is not to be trusted.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum VerifyError {
    /// A header that has to be there is not, in neither family.
    #[error("the header webhook-{0} (or svix-{0}) is missing")]
    MissingHeader(&'static str),
    /// The timestamp is not a number of seconds.
    #[error("the timestamp header is not a whole number of seconds")]
    UnreadableTimestamp,
    /// The timestamp is before the tolerance.
    #[error("the message is too old: its timestamp is {0} s behind this clock")]
    TooOld(u64),
    /// The timestamp is after the tolerance.
    #[error("the message is too new: its timestamp is {0} s ahead of this clock")]
    TooNew(u64),
    /// No signature was made with this key.
    #[error("no signature in the header was made with this secret over this id, timestamp and body")]
    NoMatch,
}

/// Checks a received request as the official libraries do: `svix-*` headers first, then `webhook-*`; the timestamp
/// within `tolerance` either way (not checked if absent); at least one signature made with `key`.
pub fn verify(
    key: &VerifyingKey,
    headers: &HeaderMap,
    body: &[u8],
    now: Timestamp,
    tolerance: Option<Duration>,
) -> Result<(), VerifyError> {
    let family = if headers.contains_key("svix-id") { "svix" } else { "webhook" };
    let get = |part: &'static str| {
        let value = headers.get(format!("{family}-{part}")).ok_or(VerifyError::MissingHeader(part))?;
        value.to_str().map_err(|_| VerifyError::MissingHeader(part))
    };
    let (id, timestamp, signatures) = (get("id")?, get("timestamp")?, get("signature")?);
    let seconds: i64 = timestamp.parse().map_err(|_| VerifyError::UnreadableTimestamp)?;
    if let Some(tolerance) = tolerance {
        let age = now.as_seconds().saturating_sub(seconds);
        if age.unsigned_abs() > tolerance.as_secs() {
            let by = age.unsigned_abs();
            return Err(if age > 0 { VerifyError::TooOld(by) } else { VerifyError::TooNew(by) });
        }
    }
    let prefix = format!("{id}.{timestamp}.");
    if key.fits(signatures, prefix.as_bytes(), body) { Ok(()) } else { Err(VerifyError::NoMatch) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const K24: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX";
    const K32: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    const K64: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4vMDEyMzQ1Njc4OTo7PD0+Pw==";
    const KOLD: &str = "whsec_ZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXp7";
    const PUBLISHED: &str =
        "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg==";
    const PUBLISHED_PUBLIC: &str = "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4=";
    const ED32: &str = "whsk_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8DoQe/884Qvh1w3RjnS8CZZ+TWMJulDV8d3IZkElUxuA==";
    const ED32_PUBLIC: &str = "whpk_A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg=";

    const ID_A: &str = "msg_2mTcXJ0N4pQ7Vb9dKf3hLs8wYzA";
    const BODY_A: &str = r#"{"type":"track.started","timestamp":"2024-04-24T23:06:40Z","data":{"track_slug":"intro"}}"#;
    const BODY_D: &str = "{\"name\":\"Zoë – 学習 🚀\"}";
    const SIG_A: &str = "v1,rw1stjAccZhhnnpHbis66g2wcALNqtsw5NrfBd6NTnA=";
    const SIG_A_OLD: &str = "v1,5XbHkb2A5vQw+1WoIyw9Svg/fm1TzX3BH98FAOdUAYs=";
    const SIG_EA: &str = "v1a,KmwrsRprFKcK5sGKW8M8HdUVpQHWP0eD870HvxCUYlLaXhu5bthGO3XoeQM4p6D0oWzY/39TSCduUp9JdTu1Bw==";

    /// Secret, id, timestamp, body, signature.
    const VECTORS: &[(&str, &str, i64, &str, &str)] = &[
        (
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1614265330,
            r#"{"test": 2432232314}"#,
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        ),
        (
            "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
            "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk",
            1649367553,
            r#"{"email":"test@example.com","username":"test_user"}"#,
            "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=",
        ),
        (K24, ID_A, 1714000000, BODY_A, SIG_A),
        (KOLD, ID_A, 1714000000, BODY_A, SIG_A_OLD),
        (K32, ID_A, 1714000000, "{}", "v1,KHqcGSfC3/1atVQ/bgPsxqYgJireirrKBH8O9zfUSqk="),
        (K64, "evt-00_1", 1, "{\"a\":1}\n", "v1,hRDBDIT81Vz+UYLA6r74af3Tsiu6ff+5SPABcaFHNNI="),
        (K24, "msg_unicode", 1714000001, BODY_D, "v1,Ms5FOjTPjzLkUMANkiRjVUzMKofWwdHcD8AkMHonlsU="),
        (K24, "msg_ws", 1714000002, "{ \"b\" : 2 ,\t\"a\" : 1.0 }", "v1,ZBEiEOgDWNKzJi6QkvKX3CJaCKS8OMmrpEFmGXInAzY="),
        (K24, "msg_ws", 1714000002, r#"{"a":1.0,"b":2}"#, "v1,/LpP1qb7wzo8FupUzhYhvsSLOkDyt9pLdDWs764r94o="),
        (K24, "msg_empty", 1714000003, "", "v1,g4c4jOhKkqhrlRM9I0+44GglZxNKPdvd1C2jElIbPM0="),
        (
            PUBLISHED,
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1614265330,
            r#"{"test": 2432232314}"#,
            "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg==",
        ),
        (ED32, ID_A, 1714000000, BODY_A, SIG_EA),
        (
            ED32,
            ID_A,
            1714000000,
            "{}",
            "v1a,wVAt0m/bsGNYvXW1TLWOipkjX1AXNSArk2ERH2GG/9emo5upKQJcX+YriajJIJuk0Iwu6zcmU+iKfPNW9hnIAg==",
        ),
        (
            ED32,
            "msg_unicode",
            1714000001,
            BODY_D,
            "v1a,+4jad/0dBqNhV+Am5wEHCcQxH7XKP9Riz+LSquMiBn8OBc/vnxRnSun7/ccp55dPf4x89TbrR67wO8KYe2ADAg==",
        ),
    ];

    fn signing(secret: &str) -> SigningKey {
        SigningKey::new(&Secret::parse(secret).unwrap()).unwrap()
    }

    fn headers(family: &str, id: &str, timestamp: &str, signature: &str) -> HeaderMap {
        [("id", id), ("timestamp", timestamp), ("signature", signature)]
            .into_iter()
            .map(|(part, value)| (format!("{family}-{part}").parse().unwrap(), value.parse().unwrap()))
            .collect::<HeaderMap>()
    }

    fn check(key: &str, headers: &HeaderMap, body: &str) -> Result<(), VerifyError> {
        verify(&key.parse().unwrap(), headers, body.as_bytes(), Timestamp::default(), None)
    }

    #[test]
    fn signatures_are_those_of_the_published_vectors() {
        for (secret, id, timestamp, body, signature) in VECTORS {
            assert_eq!(sign_header([&signing(secret)], id, *timestamp, body.as_bytes()), *signature, "{id}");
        }
    }

    #[test]
    fn the_published_vectors_verify_with_what_a_receiver_has() {
        for (secret, id, timestamp, body, signature) in VECTORS {
            let receiver = Secret::parse(secret).unwrap().for_receiver();
            for key in [*secret, receiver.as_str(), receiver.trim_end_matches('=')] {
                for family in ["svix", "webhook"] {
                    let h = headers(family, id, &timestamp.to_string(), signature);
                    assert_eq!(check(key, &h, body), Ok(()), "{id}");
                    assert_eq!(check(key, &h, &format!("{body} ")), Err(VerifyError::NoMatch), "{id}");
                }
            }
        }
        let bare = K24.trim_start_matches("whsec_");
        assert_eq!(check(bare, &headers("svix", ID_A, "1714000000", SIG_A), BODY_A), Ok(()));
        assert_eq!(Secret::parse(PUBLISHED).unwrap().for_receiver(), PUBLISHED_PUBLIC);
        assert_eq!(Secret::parse(ED32).unwrap().for_receiver(), ED32_PUBLIC);
    }

    #[test]
    fn a_header_is_accepted_when_any_entry_fits_and_refused_otherwise() {
        for accepted in [SIG_A.to_owned(), format!("{SIG_A_OLD} {SIG_A}"), format!("{SIG_EA} {SIG_A}")] {
            assert_eq!(check(K24, &headers("webhook", ID_A, "1714000000", &accepted), BODY_A), Ok(()), "{accepted}");
        }
        let unknown_version = SIG_A.replace("v1,", "v2,");
        let wrong_scheme = SIG_A.replace("v1,", "v1a,");
        let no_version = SIG_A.trim_start_matches("v1,");
        for refused in [&unknown_version, &wrong_scheme, SIG_A_OLD, "v1,", no_version, "", "v1,%%%", SIG_EA] {
            let h = headers("webhook", ID_A, "1714000000", refused);
            assert_eq!(check(K24, &h, BODY_A), Err(VerifyError::NoMatch), "{refused}");
        }
    }

    #[test]
    fn a_missing_header_is_named() {
        let whole = headers("webhook", ID_A, "1714000000", SIG_A);
        for part in ["id", "timestamp", "signature"] {
            let mut h = whole.clone();
            h.remove(format!("webhook-{part}"));
            assert_eq!(check(K24, &h, BODY_A), Err(VerifyError::MissingHeader(part)));
        }
    }

    #[test]
    fn the_timestamp_must_be_within_the_tolerance_either_way() {
        let now = Timestamp::from_micros(1_714_000_000_000_000);
        let at = |timestamp: &str| {
            let signature =
                sign_header([&signing(K24)], ID_A, timestamp.parse().unwrap_or_default(), BODY_A.as_bytes());
            let key = K24.parse().unwrap();
            let h = headers("svix", ID_A, timestamp, &signature);
            verify(&key, &h, BODY_A.as_bytes(), now, Some(Duration::from_secs(300)))
        };
        for fine in ["1713999700", "1714000000", "1714000300"] {
            assert_eq!(at(fine), Ok(()), "{fine}");
        }
        assert_eq!(at("1713999699"), Err(VerifyError::TooOld(301)));
        assert_eq!(at("1714000301"), Err(VerifyError::TooNew(301)));
        for unreadable in ["abc", "", "1714000000.5", "99999999999999999999"] {
            assert_eq!(at(unreadable), Err(VerifyError::UnreadableTimestamp), "{unreadable}");
        }
        assert!(matches!(at("-9223372036854775808"), Err(VerifyError::TooOld(_))));
    }

    #[test]
    fn after_a_rotation_all_keys_sign_in_order_whatever_their_kind() {
        let keys = [signing(K24), signing(ED32), signing(KOLD)];
        let header = sign_header(&keys, ID_A, 1714000000, BODY_A.as_bytes());
        assert_eq!(header, format!("{SIG_A} {SIG_EA} {SIG_A_OLD}"));
    }

    #[test]
    fn a_new_secret_is_of_the_right_kind_and_works() {
        for (kind, prefix) in [(SignatureKind::Hmac256, "whsec_"), (SignatureKind::Ed25519, "whsk_")] {
            let secret = generate_secret(kind);
            assert!(secret.expose().starts_with(prefix));
            assert!(Secret::parse(&secret.expose()).unwrap() == secret && generate_secret(kind) != secret);
            let signature = sign_header([&SigningKey::new(&secret).unwrap()], "msg_x", 1, b"{}");
            let h = headers("webhook", "msg_x", "1", &signature);
            assert_eq!(check(&secret.for_receiver(), &h, "{}"), Ok(()));
            assert_eq!(kind.to_string().parse(), Ok(kind));
        }
        assert!("rsa".parse::<SignatureKind>().is_err());
    }

    #[test]
    fn keys_that_cannot_work_are_refused() {
        let mut both = [7; 64];
        both[32..].fill(9);
        assert_eq!(SigningKey::new(&Secret::Ed25519(both)).unwrap_err(), KeyError::Mismatch);
        assert_eq!("whpk_AAEC".parse::<VerifyingKey>().unwrap_err(), KeyError::Length);
        assert_eq!("whsec_%%".parse::<VerifyingKey>().unwrap_err(), KeyError::Base64);
        assert_eq!("".parse::<VerifyingKey>().unwrap_err(), KeyError::Length);
    }

    proptest! {
        #[test]
        fn foreign_headers_never_verify_and_never_panic(id in "[ -~]{0,40}", timestamp in "[ -~]{0,20}", signature in "[ -~]{0,120}") {
            let h = headers("webhook", &id, &timestamp, &signature);
            for key in [K24, ED32_PUBLIC] {
                prop_assert!(check(key, &h, BODY_A).is_err());
            }
        }
    }
}
