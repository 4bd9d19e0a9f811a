//! The body as receivers of the original know it.

use super::*;
use crate::{
    format,
    samples::{self, SECRET, fixture, fixtures},
};
use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Value, json};

fn body_of(payload: &Value) -> Value {
    serde_json::from_slice(&render(Some(SECRET), payload.to_string().as_bytes()).unwrap().body).unwrap()
}

fn example() -> Value {
    PLATFORM.event_types()[0].examples[0].clone()
}

#[test]
fn every_body_is_the_fixture_byte_for_byte() {
    let validator = PLATFORM.event_types()[0].validator();
    let all = fixtures("replit", ".payload.json");
    assert!(all.len() >= 15);
    for name in all {
        let payload = fixture(&format!("{name}.payload.json"));
        assert_eq!(validator.validate(&serde_json::from_slice(&payload).unwrap()), Ok(()), "{name}");
        let rendered = render(Some(SECRET), &payload).unwrap();
        assert_eq!(rendered.content_type, "application/json");
        let want = fixture(&format!("{name}.body.json"));
        assert_eq!(String::from_utf8_lossy(&rendered.body), String::from_utf8_lossy(&want), "{name}");
    }
}

#[test]
fn a_receiver_that_reads_like_the_published_ones_finds_all_it_reads() {
    let body = body_of(&example());
    for top in ["classroom", "student", "assignment", "submission"] {
        assert!(body[top].as_object().is_some_and(|o| !o.is_empty()));
    }
    for id in ["/assignment/id", "/classroom/id", "/submission/id", "/student/id"] {
        assert!(body.pointer(id).unwrap().as_i64().is_some_and(|n| n < 1 << 31), "{id}");
    }
    assert_eq!(body["submission"]["files"][0]["name"], "main.py");
    assert_eq!(body["submission"]["files"].as_array().unwrap().len(), 1);
    assert_eq!(body["classroom"]["webhook_secret"], SECRET);
    assert_eq!(body["event_name"], "student_submits_assignment");
}

#[test]
fn a_megabyte_of_content_arrives_as_it_was() {
    let content: String = (0..1 << 20).map(|i| ['a', 'é', '"', '\\', '\n', '/', '\u{1}'][i % 7]).collect();
    let mut payload = example();
    payload["submission"]["files"][0]["content"] = json!(content);
    assert_eq!(body_of(&payload)["submission"]["files"][0]["content"], json!(content));
}

#[test]
fn the_secret_is_the_one_of_this_try_and_is_masked_in_views() {
    let payload = Bytes::from(example().to_string());
    let meta = samples::meta(EVENT);
    let input = samples::input("replit", Format::Replit);
    let text = |input| String::from_utf8(format::render(&input, &meta, &payload).unwrap().body.to_vec()).unwrap();
    let sent = text(input);
    assert!(sent.contains(&format!(r#""webhook_secret":"{SECRET}""#)));
    let other = "00000000-0000-4000-8000-000000000000";
    assert_eq!(text(format::RenderInput { body_secret: Some(other), ..input }), sent.replace(SECRET, other));
    assert_eq!(text(input.masked()), sent.replace(SECRET, format::MASKED_SECRET));
    assert!(!format!("{input:?}").contains(SECRET));
    let none = format::RenderInput { body_secret: None, ..input };
    assert_eq!(format::render(&none, &meta, &payload), Err(RenderError::NoBodySecret(Format::Replit)));
}

#[test]
fn what_does_not_fit_is_refused_with_the_path() {
    let validator = PLATFORM.event_types()[0].validator();
    for (pointer, value, want) in [
        ("/classroom", json!({"id": 1, "name": "x", "webhook_secret": SECRET}), "/classroom/webhook_secret"),
        ("/student/id", json!("12"), "/student/id"),
        ("/student/id", json!(2_147_483_648_u32), "/student/id"),
        ("/submission/time_submitted", json!("yesterday"), "/submission/time_submitted"),
        ("/submission/status", json!("done"), "/submission/status"),
        ("/submission/files/0", json!({"name": "a"}), "/submission/files/0/content"),
        ("/assignment", json!({"id": 1, "name": "x", "type": "manual"}), "/assignment/files"),
    ] {
        let mut payload = example();
        *payload.pointer_mut(pointer).unwrap() = value;
        let problems = validator.validate(&payload).unwrap_err();
        assert_eq!(problems[0].path, want, "{problems:?}");
    }
    let mut payload = example();
    payload["student"]["id"] = json!("x");
    match render(Some(SECRET), payload.to_string().as_bytes()) {
        Err(RenderError::Payload { path, .. }) => assert_eq!(path, "student.id"),
        other => panic!("{other:?}"),
    }
    assert!(matches!(render(Some(SECRET), b"[]"), Err(RenderError::Payload { .. })));
}

#[test]
fn what_the_schema_takes_is_delivered_however_it_was_written() {
    let text = example().to_string();
    let validator = PLATFORM.event_types()[0].validator();
    let plain = render(Some(SECRET), text.as_bytes()).unwrap().body;
    let student = example()["student"]["id"].to_string();
    for (from, to) in [
        (format!("\"id\":{student}"), format!("\"id\":{student}.0")),
        (format!("\"id\":{student}"), format!("\"id\":1,\"id\":{student}")),
        ("\"student\":".to_owned(), "\"student\":{},\"student\":".to_owned()),
    ] {
        let written = text.replacen(&from, &to, 1);
        assert_ne!(written, text);
        assert_eq!(validator.validate(&serde_json::from_str(&written).unwrap()), Ok(()), "{written}");
        assert_eq!(render(Some(SECRET), written.as_bytes()).unwrap().body, plain, "{written}");
        assert_eq!(handed_in(written.as_bytes()), handed_in(text.as_bytes()));
    }
}

#[test]
fn a_body_secret_is_a_random_uuid() {
    assert_eq!(body_secret([0xff; 16]), "ffffffff-ffff-4fff-bfff-ffffffffffff");
    assert_eq!(body_secret([0; 16]), "00000000-0000-4000-8000-000000000000");
    assert!(is_body_secret(&body_secret([7; 16])) && is_body_secret(SECRET));
    assert!(
        !is_body_secret(&SECRET.to_uppercase()) && !is_body_secret("") && !is_body_secret(&SECRET.replace('-', "a"))
    );
}

type Files = Vec<(String, String)>;

/// Few names, so that they meet; contents that differ in a byte, and contents that JSON has to escape.
fn files() -> impl Strategy<Value = Files> {
    let name =
        prop_oneof!["[ab]\\.py", Just("main.py".to_owned()), Just("src/main.rs".to_owned()), Just("main".to_owned())];
    let content = prop_oneof!["[ab]{0,2}", "(?s).{0,12}"];
    prop::collection::vec((name, content), 0..6)
}

fn delivered(originals: &Files, handed_in: &Files, main: Option<&str>) -> Files {
    let as_json = |files: &Files| -> Value { files.iter().map(|(n, c)| json!({"name": n, "content": c})).collect() };
    let mut payload = example();
    payload["assignment"]["files"] = as_json(originals);
    payload["submission"]["files"] = as_json(handed_in);
    if let Some(main) = main {
        payload["assignment"]["main_file"] = json!(main);
    }
    let text = |v: &Value| v.as_str().unwrap().to_owned();
    let body = body_of(&payload);
    body["submission"]["files"].as_array().unwrap().iter().map(|f| (text(&f["name"]), text(&f["content"]))).collect()
}

/// What the teacher gave under this name.
fn original<'a>(originals: &'a Files, name: &str) -> Option<&'a str> {
    originals.iter().rev().find(|(n, _)| n == name).map(|(_, c)| c.as_str())
}

proptest! {
    #[test]
    fn no_changed_byte_is_dropped_and_no_unchanged_file_leaks(originals in files(), handed_in in files()) {
        let mut got = delivered(&originals, &handed_in, None);
        for (name, content) in &got {
            prop_assert_ne!(original(&originals, name), Some(content.as_str()));
        }
        let mut want: Files =
            handed_in.iter().filter(|(n, c)| original(&originals, n) != Some(c.as_str())).cloned().collect();
        got.sort();
        want.sort();
        prop_assert_eq!(got, want);
    }

    #[test]
    fn one_changed_byte_is_enough(content in "(?s).{1,40}", at in 0usize..40, by in "(?s).") {
        let mut other: Vec<char> = content.chars().collect();
        let at = at % other.len();
        other[at] = by.chars().next().unwrap();
        let other: String = other.into_iter().collect();
        let file = |c: &str| vec![("a".to_owned(), c.to_owned())];
        let got = delivered(&file(&content), &file(&other), None);
        prop_assert_eq!(got, if other == content { Vec::new() } else { file(&other) });
    }

    #[test]
    fn the_main_file_is_first_and_the_order_is_the_same_whatever_the_student_s(
        originals in files(),
        handed_in in files(),
        main in prop::option::of(Just("b.py")),
    ) {
        let got = delivered(&originals, &handed_in, main);
        let names: Vec<_> = got.iter().map(|f| f.0.as_str()).collect();
        if let Some(main) = main && names.contains(&main) {
            prop_assert_eq!(names[0], main);
        }
        // Added files keep the student's order; so only turn round what the assignment knows.
        let known: Files = handed_in.iter().filter(|f| original(&originals, &f.0).is_some()).cloned().collect();
        let unique: std::collections::BTreeSet<_> = known.iter().map(|f| &f.0).collect();
        if unique.len() == known.len() {
            let turned: Files = known.iter().rev().cloned().collect();
            prop_assert_eq!(delivered(&originals, &known, main), delivered(&originals, &turned, main));
        }
    }
}
