//! Ready-made messages and fixtures for tests.

use crate::{ApplicationFacts, Format, RenderInput};
use domain::{AppKey, ApplicationId, EventTypeName, MessageId, MessageMeta, Timestamp};
use std::path::PathBuf;

/// A message of this type, made at a fixed time.
pub(crate) fn meta(event_type: &str) -> MessageMeta {
    let id: MessageId = "msg_2srOrx2ZWZBpBUvZwXKQmoEYga2".parse().unwrap();
    MessageMeta {
        id,
        app: AppKey(1),
        event_type: EventTypeName::new(event_type).unwrap(),
        event_id: None,
        channels: Default::default(),
        tags: Default::default(),
        order_key: None,
        created_at: id.0.timestamp(),
    }
}

/// The secret in the fixtures' bodies.
pub(crate) const SECRET: &str = "5c0f8e1a-7d0b-4b7e-9a55-0e6d1f3b2a90";

/// An endpoint with this format, of an application `acme` of this platform.
pub(crate) fn input(platform: &str, format: Format) -> RenderInput<'static> {
    let id: ApplicationId = "app_2srOrx2ZWZBpBUvZwXKQmoEYga2".parse().unwrap();
    RenderInput {
        format,
        encoding: crate::format::Encoding::Json,
        transform: None,
        body_secret: Some(SECRET),
        application: ApplicationFacts { id, uid: Some("acme"), platform: crate::by_name(platform) },
        public_url: "https://hooks.example.edu",
        subscription_id: None,
        now: Timestamp::parse("2024-05-02T08:00:01.25Z").unwrap(),
    }
}

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name)
}

/// A fixture's bytes.
pub(crate) fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(path(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
}

/// The names of the fixtures in a folder that end so, without the ending.
pub(crate) fn fixtures(folder: &str, ending: &str) -> Vec<String> {
    let names = std::fs::read_dir(path(folder)).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.filter_map(|n| n.strip_suffix(ending).map(|n| format!("{folder}/{n}"))).collect();
    names.sort();
    assert!(!names.is_empty(), "no fixtures in {folder}");
    names
}

/// Compares byte for byte. With `UPDATE_FIXTURES` set it writes instead: look at the difference before you keep it.
#[track_caller]
pub(crate) fn same_as_fixture(name: &str, got: &[u8]) {
    if std::env::var_os("UPDATE_FIXTURES").is_some() {
        std::fs::write(path(name), got).unwrap();
    }
    let want = fixture(name);
    if got != want {
        let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
        panic!("{name} differs\n got: {}\nwant: {}", text(got), text(&want));
    }
}
