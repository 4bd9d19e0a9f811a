//! The words of the domain: what can be read can be written, and reads back as the same.
#![no_main]

use domain::{
    ApplicationId, AttemptId, Channel, EndpointId, EventTypeName, IdOrUid, MessageId, OrderKey, OrganizationId,
    RetrySchedule, TaskId, Timestamp, Uid, retry::parse_duration,
};
use libfuzzer_sys::fuzz_target;
use std::{fmt::Display, str::FromStr, time::Duration};

fuzz_target!(|text: &str| {
    id::<ApplicationId>(text);
    id::<EndpointId>(text);
    id::<MessageId>(text);
    id::<AttemptId>(text);
    id::<TaskId>(text);
    if let Ok(organization) = text.parse::<OrganizationId>() {
        assert!(organization.as_str() == text && text.starts_with("org_"));
    }

    let is_name = |extra: &str| {
        let fits = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c) || extra.contains(c);
        (1..=256).contains(&text.len()) && text.chars().all(fits)
    };
    assert_eq!(EventTypeName::new(text).is_ok(), is_name(""));
    assert_eq!(Uid::new(text).is_ok(), is_name(""));
    assert_eq!(Channel::new(text).is_ok(), is_name(":+"));
    assert_eq!(OrderKey::new(text).is_ok(), is_name(":+"));

    if let Some(t) = Timestamp::parse(text) {
        assert_eq!(Timestamp::parse(&t.to_string()), Some(t));
        let json = serde_json::to_string(&t).unwrap();
        assert_eq!(serde_json::from_str::<Timestamp>(&json).unwrap(), t);
    }
    if let Ok(schedule) = text.parse::<RetrySchedule>() {
        assert!(
            schedule.waits().len() <= 64 && schedule.waits().iter().all(|w| *w <= Duration::from_secs(31 * 86_400))
        );
        assert_eq!(schedule.to_string().parse::<RetrySchedule>(), Ok(schedule));
    }
    if let Ok(schedule) = serde_json::from_str::<RetrySchedule>(text) {
        let json = serde_json::to_string(&schedule).unwrap();
        assert_eq!(serde_json::from_str::<RetrySchedule>(&json).unwrap(), schedule);
    }
    if let Some(d) = parse_duration(text) {
        assert_eq!(parse_duration(&domain::retry::format_duration(d)), Some(d));
    }
});

fn id<I: FromStr + Display + PartialEq + std::fmt::Debug>(text: &str) {
    match IdOrUid::<I>::read(text) {
        IdOrUid::Id(id) => assert_eq!(id.to_string(), text, "an id has one written form"),
        IdOrUid::Uid(uid) => assert_eq!(uid, text),
    }
}
