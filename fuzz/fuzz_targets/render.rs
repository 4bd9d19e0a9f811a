//! What goes over the wire: whatever a payload holds, a format makes a whole body and clean headers of it, or says why
//! not, and a masked one shows no secret.
//!
//! Input: format (with `+form` behind it for the encoding), a space, platform, a space, event type, a line feed, the payload.
#![no_main]

use bytes::Bytes;
use domain::{AppKey, ApplicationId, EventTypeName, Ksuid, MessageId, MessageMeta, Timestamp, Uid};
use http::{HeaderName, HeaderValue};
use libfuzzer_sys::fuzz_target;
use platforms::{
    ApplicationFacts, Encoding, Format,
    format::{RenderInput, render},
};
use serde::de::IgnoredAny;

const SECRET: &str = "5e3cf0c1-1b1a-4c1e-9b57-0d0e8f1a2b3c";

fuzz_target!(|data: &[u8]| {
    let Some(at) = data.iter().position(|b| *b == b'\n') else { return };
    let mut words = std::str::from_utf8(&data[..at]).unwrap_or_default().split(' ');
    let mut word = || words.next().unwrap_or_default();
    let format = word();
    let (format, encoding) = match format.strip_suffix("+form") {
        Some(format) => (format, Encoding::Form),
        None => (format, Encoding::Json),
    };
    let (Ok(format), platform, Ok(event_type)) = (format.parse::<Format>(), word(), EventTypeName::new(word())) else {
        return;
    };
    assert_eq!(format.to_string().parse(), Ok(format));
    let payload = Bytes::copy_from_slice(&data[at + 1..]);
    let meta = MessageMeta {
        id: MessageId(Ksuid::MAX),
        app: AppKey(1),
        event_type,
        event_id: Uid::new("e-1").ok(),
        channels: Default::default(),
        tags: Default::default(),
        order_key: None,
        created_at: Timestamp::default(),
    };
    let input = RenderInput {
        format,
        encoding,
        transform: None,
        body_secret: Some(SECRET),
        application: ApplicationFacts {
            id: ApplicationId(Ksuid::MIN),
            uid: Some("acme"),
            platform: platforms::by_name(platform),
        },
        public_url: "https://hooks.example.edu",
        subscription_id: Some("71d6dfba"),
        now: Timestamp::default(),
    };
    let Ok(rendered) = render(&input, &meta, &payload) else { return };
    assert_eq!(render(&input, &meta, &payload).as_ref(), Ok(&rendered), "not the same twice");
    for (name, value) in &rendered.headers {
        assert!(HeaderName::from_static(name).as_str() == *name);
        assert!(HeaderValue::from_str(value).is_ok_and(|v| v.to_str().is_ok()), "{name}: {value:?}");
    }
    HeaderValue::from_static(rendered.content_type);
    let is_json = |bytes: &[u8]| serde_json::from_slice::<IgnoredAny>(bytes).is_ok();
    match format {
        _ if encoding == Encoding::Form => assert!(rendered.body.is_ascii(), "{:?}", rendered.body),
        Format::Standard | Format::CloudeventsBinary => assert_eq!(rendered.body, payload),
        _ => assert!(!is_json(&payload) || is_json(&rendered.body), "{:?}", rendered.body),
    }
    let contains = |bytes: &[u8]| bytes.windows(SECRET.len()).any(|w| w == SECRET.as_bytes());
    if !contains(data) {
        assert!(format.needs_body_secret() || !contains(&rendered.body), "{format} holds the secret");
        let masked = render(&input.masked(), &meta, &payload).unwrap();
        assert!(!contains(&masked.body), "the secret is shown");
    }
});
