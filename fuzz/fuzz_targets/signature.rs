//! Signatures: only what a key made is taken, over exactly what was signed.
//!
//! Input, by lines: id, timestamp, signature header, a secret; then the body.
#![no_main]

use domain::{Secret, Timestamp};
use http::{HeaderMap, HeaderName, HeaderValue};
use libfuzzer_sys::fuzz_target;
use outbound::{SigningKey, VerifyingKey, sign_header, verify};
use std::{sync::LazyLock, time::Duration};

const SECRETS: [&str; 2] = [
    "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX",
    "whsk_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8DoQe/884Qvh1w3RjnS8CZZ+TWMJulDV8d3IZkElUxuA==",
];

/// Each secret as the sender and as the receiver has it.
static KEYS: LazyLock<[(SigningKey, VerifyingKey); 2]> = LazyLock::new(|| {
    SECRETS.map(|text| {
        let secret = Secret::parse(text).unwrap();
        (SigningKey::new(&secret).unwrap(), secret.for_receiver().parse().unwrap())
    })
});

fuzz_target!(|data: &[u8]| {
    let mut lines = data.splitn(5, |b| *b == b'\n');
    let mut line = || lines.next().unwrap_or_default();
    let (id, timestamp, signature, secret, body) = (line(), line(), line(), line(), line());
    any_secret(&String::from_utf8_lossy(secret));
    let family = if body.len() % 2 == 0 { "svix" } else { "webhook" };
    let Some(headers) = headers(family, [id, timestamp, signature]) else { return };
    for (signing, verifying) in KEYS.iter() {
        foreign(&headers, family, signing, verifying, body);
    }
    if let Ok(id) = std::str::from_utf8(id) {
        own(id, timestamp.len() as i64, body);
    }
});

fn headers(family: &str, values: [&[u8]; 3]) -> Option<HeaderMap> {
    let mut headers = HeaderMap::new();
    for (part, value) in ["id", "timestamp", "signature"].into_iter().zip(values) {
        let name: HeaderName = format!("{family}-{part}").parse().unwrap();
        headers.insert(name, HeaderValue::from_bytes(value).ok()?);
    }
    Some(headers)
}

/// Taken only if the key itself makes one of the entries.
fn foreign(headers: &HeaderMap, family: &str, signing: &SigningKey, verifying: &VerifyingKey, body: &[u8]) {
    let now = Timestamp::from_micros(1_714_000_000_000_000);
    let tolerance = Some(Duration::from_secs(300));
    let strict = verify(verifying, headers, body, now, tolerance).is_ok();
    let lax = verify(verifying, headers, body, now, None).is_ok();
    assert!(!strict || lax);
    if !lax {
        return;
    }
    let text = |part: &str| headers[format!("{family}-{part}")].to_str().unwrap();
    let seconds: i64 = text("timestamp").parse().unwrap();
    assert!(!strict || (seconds - now.as_seconds()).abs() <= 300);
    // What is signed is the text of the timestamp; ours is the plain number.
    if seconds.to_string() == text("timestamp") {
        let right = sign_header([signing], text("id"), seconds, body);
        assert!(text("signature").split(' ').any(|entry| entry == right), "taken, but not made with this key");
    }
}

/// What is signed verifies, and nothing near it does.
fn own(id: &str, seconds: i64, body: &[u8]) {
    let other_body = [body, b"x"].concat();
    for (i, (signing, verifying)) in KEYS.iter().enumerate() {
        let signature = sign_header([signing], id, seconds, body);
        let time = seconds.to_string();
        let Some(h) = headers("webhook", [id.as_bytes(), time.as_bytes(), signature.as_bytes()]) else { return };
        // A header's value must be text to be read.
        if h["webhook-id"].to_str().is_err() {
            return;
        }
        let check = |h: &HeaderMap, body: &[u8]| verify(verifying, h, body, Timestamp::default(), None).is_ok();
        assert!(check(&h, body));
        assert!(!check(&h, &other_body));
        assert!(verify(&KEYS[1 - i].1, &h, body, Timestamp::default(), None).is_err(), "another key takes it");
        let later = (seconds + 1).to_string();
        let h = headers("webhook", [id.as_bytes(), later.as_bytes(), signature.as_bytes()]).unwrap();
        assert!(!check(&h, body), "the timestamp is not signed");
    }
}

/// Any text is a secret that can sign and verify, or an error.
fn any_secret(text: &str) {
    if let Ok(secret) = Secret::parse(text) {
        assert_eq!(secret.expose(), text, "a secret has one written form");
        if let Ok(key) = SigningKey::new(&secret) {
            let verifying: VerifyingKey = secret.for_receiver().parse().unwrap();
            let signature = sign_header([&key], "msg_1", 1, b"{}");
            let h = headers("svix", [b"msg_1", b"1", signature.as_bytes()]).unwrap();
            assert!(verify(&verifying, &h, b"{}", Timestamp::default(), None).is_ok());
        }
    }
    if let Ok(key) = text.parse::<VerifyingKey>() {
        let shown = format!("{key:?}");
        assert!(text.len() < 24 || !shown.contains(text), "a key shows itself");
    }
}
