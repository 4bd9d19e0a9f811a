//! Tokens: only what the operator's secret signed is taken, and it stands for exactly what it says.
//!
//! Input: the header as JSON, a line feed, the claims as JSON. The whole is also tried as a token itself.
#![no_main]

use aws_lc_rs::hmac;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use domain::Timestamp;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use service::{Actor, TokenError, Tokens};
use std::{sync::LazyLock, time::Duration};

const SECRET: &str = "a secret of the operator";
static TOKENS: LazyLock<Tokens> = LazyLock::new(|| Tokens::new(SECRET));

fuzz_target!(|data: &[u8]| {
    let now = Timestamp::parse("2026-09-01T08:00:00Z").unwrap();
    let whole = String::from_utf8_lossy(data);
    // Nobody guesses a signature.
    let guessed = TOKENS.read(&whole, now);
    assert!(guessed.is_err(), "taken though nobody signed it: {whole}");
    if whole == SECRET {
        assert_eq!(guessed, Err(TokenError::SecretInsteadOfToken));
    }

    let Some(at) = data.iter().position(|b| *b == b'\n') else { return };
    let (header, claims) = (&data[..at], &data[at + 1..]);
    let content = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
    let signature = URL_SAFE_NO_PAD.encode(hmac::sign(&key, content.as_bytes()));
    let token = format!("{content}.{signature}");
    let Ok(actor) = TOKENS.read(&token, now) else { return };

    // Claims that nobody looks at need not be good JSON.
    let parsed = |json: &[u8]| serde_json::from_slice::<Value>(json).ok();
    let (Some(header), Some(claims)) = (parsed(header), parsed(claims)) else { return };
    assert_eq!(header["alg"], "HS256", "signed with HMAC-SHA256, taken as something else");
    for (claim, sign) in [("exp", 1.0), ("nbf", -1.0)] {
        if let Some(t) = claims[claim].as_f64() {
            assert!(sign * (t - now.as_seconds() as f64) >= -900.0, "{claim} is over the tolerance: {claims}");
        }
    }
    let again = match &actor {
        Actor::Organization(organization) => {
            assert_eq!((claims["sub"].as_str(), claims["org"].as_str()), (Some(organization.as_str()), None));
            TOKENS.for_organization(organization, now)
        }
        Actor::Application(app) => {
            assert_eq!(claims["sub"].as_str(), Some(app.application.to_string().as_str()));
            assert_eq!(claims["org"].as_str(), Some(app.organization.as_str()));
            TOKENS.for_application(app, now, Duration::from_secs(60))
        }
        Actor::Person(_) => panic!("people come with sessions, not with tokens"),
    };
    assert_eq!(TOKENS.read(&again, now), Ok(actor), "a token of ours for the same one reads differently");
    let tampered = format!("{content}.{}", URL_SAFE_NO_PAD.encode([0; 32]));
    assert_eq!(TOKENS.read(&tampered, now), Err(TokenError::Invalid));
});
