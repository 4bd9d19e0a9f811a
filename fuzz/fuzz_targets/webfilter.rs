//! Answers of webfilters: whatever they say, what is protected is not in what counts, and notes stay few.
#![no_main]

use domain::{
    AppKey, FilterName, Json, Ksuid, Secret, Secrets, Timestamp, Webfilter, WebfilterId, WebfilterKey,
    WebfilterSettings,
    webfilter::{FilterRules, Heard, Outcome, Protection, WireVersion, combine},
};
use libfuzzer_sys::fuzz_target;
use std::time::Duration;

fuzz_target!(|data: &[u8]| {
    let Some((how, body)) = data.split_first() else { return };
    if let Ok(json) = Json::parse(body) {
        assert_eq!(Json::parse(json.to_text().as_bytes()), Ok(json), "what was written reads back as something else");
    }
    let name = FilterName::new("room.join").unwrap();
    let known = platforms::webfilter::catalogue(Some("openedx")).unwrap().filters();
    let rules = match how & 1 {
        0 => FilterRules::own(name.clone()),
        _ => FilterRules::clone(&known[usize::from(how >> 2) % known.len()]),
    };
    let wire_version = if how & 2 == 0 { WireVersion::V22 } else { WireVersion::V21 };
    let webfilter = Webfilter {
        key: WebfilterKey(1),
        app: AppKey(1),
        id: WebfilterId(Ksuid::MIN),
        uid: None,
        filter: name,
        url: "https://example.com/".into(),
        secrets: Secrets::new(Secret::Hmac(vec![7; 24])),
        settings: WebfilterSettings { wire_version, ..WebfilterSettings::default() },
        created_at: Timestamp::default(),
        updated_at: Timestamp::default(),
        revision: 0,
    };
    let heard = [(webfilter, Heard::Answered { status: 200, body: body.to_vec().into() }, Duration::ZERO)];
    let combined = combine(&rules, &heard, &Protection::default());
    let report = &combined.report;
    assert!(report.answers[0].notes.len() <= 21 && report.answers[0].notes.iter().all(|n| n.len() < 1_000));
    assert!(!report.data.iter().any(|(key, value)| protected(key) || holds_protected(value)));
    assert_eq!(combined.outcome == Outcome::Raise, report.exception.is_some());
    if let Some(raised) = &report.exception {
        assert!(rules.has_exception(&raised.name) && raised.arguments.contains_key("message"));
    }
});

fn protected(key: &str) -> bool {
    ["password", "is_staff", "is_superuser"].iter().any(|name| key.eq_ignore_ascii_case(name))
}

fn holds_protected(value: &Json) -> bool {
    match value {
        Json::Object(members) => members.iter().any(|(key, value)| protected(key) || holds_protected(value)),
        Json::List(items) => items.iter().any(holds_protected),
        _ => false,
    }
}
