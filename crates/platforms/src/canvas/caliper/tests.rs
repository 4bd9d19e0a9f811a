//! Every recorded event, made from what was published.

use super::*;
use crate::{
    catalog,
    format::render as render_any,
    samples::{fixture, input, meta},
};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{json, value::RawValue};
use std::collections::BTreeSet;

/// A line of a recording.
#[derive(Deserialize)]
struct Recorded {
    event: String,
    #[serde(default)]
    subscription: Option<String>,
    canonical: Box<RawValue>,
    sent: Box<RawValue>,
}

fn recorded(name: &str) -> Vec<Recorded> {
    let text = String::from_utf8(fixture(&format!("canvas/{name}.jsonl"))).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn sent(format: Format, recorded: &Recorded) -> String {
    let subscription_id = recorded.subscription.as_deref();
    let input = RenderInput { subscription_id, ..input("canvas", format) };
    let payload = Bytes::from(recorded.canonical.get().to_owned());
    let rendered = render_any(&input, &meta(&recorded.event), &payload).unwrap();
    String::from_utf8(rendered.body.to_vec()).unwrap()
}

/// Puts the recorded id and time of sending where new ones were made.
fn as_recorded(body: &str, recorded: &str) -> String {
    let part = |text: &str, before: &str, length: usize| {
        let at = text.find(before).unwrap() + before.len();
        text[at..at + length].to_owned()
    };
    let mut body = body.to_owned();
    for (before, length) in [("\"id\":\"urn:uuid:", 36), ("\"sendTime\":\"", 24)] {
        body = body.replacen(&part(&body, before, length), &part(recorded, before, length), 1);
    }
    body
}

#[test]
fn live_events_are_the_recorded_ones_byte_for_byte() {
    let all = recorded("live-event");
    let names: BTreeSet<_> = all.iter().map(|r| r.event.as_str()).collect();
    assert_eq!((all.len(), names.len()), (115, 76));
    let platform = catalog::by_name("canvas").unwrap();
    for recorded in all.iter().chain(&recorded("subscription")) {
        assert_eq!(sent(Format::LiveEvent, recorded), recorded.sent.get(), "{}", recorded.event);
        let name = EventTypeName::new(&recorded.event).unwrap();
        let canonical: Value = serde_json::from_str(recorded.canonical.get()).unwrap();
        assert_eq!(platform.event_type(&name).unwrap().validator().validate(&canonical), Ok(()), "{name}");
    }
}

#[test]
fn what_a_schema_asks_for_is_enough_for_caliper() {
    let platform = catalog::by_name("canvas").unwrap();
    for event_type in platform.event_types() {
        let name = event_type.name.as_str();
        if !has_form(&EventTypeName::new(name).unwrap()) {
            continue;
        }
        let schema = &event_type.schema;
        let mut least = event_type.examples[0].clone();
        for part in ["metadata", "body"] {
            let needed = schema["properties"][part]["required"].as_array().cloned().unwrap_or_default();
            if let Some(members) = least[part].as_object_mut() {
                members.retain(|key, _| needed.contains(&json!(key)));
            }
        }
        assert_eq!(event_type.validator().validate(&least), Ok(()), "{name}");
        let rendered = render_any(&input("canvas", Format::Caliper), &meta(name), &Bytes::from(least.to_string()));
        assert!(rendered.is_ok(), "{name}: {least}: {:?}", rendered.err());
    }
}

#[test]
fn caliper_events_are_the_recorded_ones_byte_for_byte() {
    let all = recorded("caliper");
    let names: BTreeSet<_> = all.iter().map(|r| r.event.as_str()).collect();
    assert_eq!((all.len(), names.len()), (69, 30));
    for recorded in &all {
        let body = sent(Format::Caliper, recorded);
        assert_eq!(as_recorded(&body, recorded.sent.get()), recorded.sent.get(), "{}", recorded.event);
    }
}

#[test]
fn thirty_one_types_have_a_form_and_the_others_say_so() {
    let platform = catalog::by_name("canvas").unwrap();
    let with: Vec<_> = platform.event_types().iter().filter(|t| has_form(&t.name)).collect();
    assert_eq!(with.len(), 31);
    for entry in platform.event_types() {
        let payload = Bytes::from(entry.examples[0].to_string());
        let meta = meta(entry.name.as_str());
        let rendered = render_any(&input("canvas", Format::Caliper), &meta, &payload);
        match (has_form(&entry.name), rendered) {
            (true, Ok(rendered)) => fits_the_standard(&serde_json::from_slice(&rendered.body).unwrap()),
            (false, Err(RenderError::NoSuchForm { format: Format::Caliper, event_type })) => {
                assert_eq!(event_type, entry.name);
            }
            (_, other) => panic!("{}: {other:?}", entry.name),
        }
    }
}

/// What the standard asks of every envelope: its version, ids that are IRIs, times to the millisecond in UTC, known classes,
/// nothing null.
#[track_caller]
fn fits_the_standard(envelope: &Value) {
    fn walk(value: &Value, key: &str) {
        match value {
            Value::Null => panic!("{key} is null"),
            Value::Array(all) => all.iter().for_each(|v| walk(v, key)),
            // What is in extensions is Canvas's own.
            Value::Object(_) if key == "extensions" => {}
            Value::Object(members) => {
                if members.contains_key("type") {
                    let id = members["id"].as_str().unwrap();
                    assert!(id.starts_with("urn:") || id.starts_with("http://"), "{id}");
                }
                members.iter().for_each(|(k, v)| walk(v, k));
            }
            Value::String(text) if key.ends_with("Time") || key.starts_with("date") && key != "dataVersion" => {
                let pattern = regex::Regex::new(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$").unwrap();
                assert!(pattern.is_match(text), "{key}: {text}");
            }
            _ => {}
        }
    }
    walk(envelope, "");
    assert_eq!(envelope["dataVersion"], CONTEXT);
    let event = &envelope["data"][0];
    assert_eq!((&event["@context"], envelope["data"].as_array().unwrap().len()), (&json!(CONTEXT), 1));
    assert!(event["id"].as_str().unwrap().starts_with("urn:uuid:"));
    for needed in ["type", "action", "eventTime"] {
        assert!(event[needed].is_string(), "{needed}");
    }
    for needed in ["actor", "object", "edApp"] {
        assert!(event[needed]["id"].is_string() && event[needed]["type"].is_string(), "{needed}");
    }
}

fn made(event: &str, payload: Value) -> Value {
    let payload = Bytes::from(payload.to_string());
    let rendered = render_any(&input("canvas", Format::Caliper), &meta(event), &payload).unwrap();
    let envelope: Value = serde_json::from_slice(&rendered.body).unwrap();
    fits_the_standard(&envelope);
    envelope
}

#[test]
fn a_grade_that_nobody_gave_by_hand_is_the_softwares() {
    let envelope = made(
        "grade_change",
        json!({
            "metadata": {"hostname": "canvas.example.edu", "user_id": "48", "context_type": "Course", "context_id": "45"},
            "body": {"submission_id": "7", "assignment_id": "3", "student_id": "48", "grader_id": null, "grade": null, "score": 4.5},
        }),
    );
    let event = &envelope["data"][0];
    assert_eq!(event["actor"], json!({"id": "http://canvas.example.edu/", "type": "SoftwareApplication"}));
    assert!(event.get("membership").is_none() && event["group"]["type"] == "CourseOffering");
    assert_eq!(event["generated"]["scoreGiven"], 4.5);
    assert!(event["generated"]["attempt"].get("extensions").is_none());
}

#[test]
fn what_a_job_does_to_a_user_is_not_done_by_that_user() {
    let envelope = made(
        "enrollment_created",
        json!({
            "metadata": {"job_id": "1", "job_tag": "SIS"},
            "body": {"enrollment_id": 9, "user_id": "48", "course_id": "45", "course_section_id": null},
        }),
    );
    let event = &envelope["data"][0];
    assert_eq!(event["actor"]["id"], "http://www.canvaslms.com/");
    assert_eq!(event["object"]["id"], "urn:instructure:canvas:enrollment:9");
    assert_eq!(event["group"]["id"], "urn:instructure:canvas:course:45");
    assert_eq!(event["extensions"][OURS], json!({"version": "1.0.0", "job_id": "1", "job_tag": "SIS"}));
    assert_eq!(event["eventTime"], millis(meta("a").created_at));
}

#[test]
fn a_plagiarism_resubmission_is_an_update_that_says_what_it_is() {
    let payload = json!({
        "metadata": {"hostname": "canvas.example.edu", "user_id": "7", "context_type": "Course", "context_id": "45"},
        "body": {"submission_id": "9", "assignment_id": "3", "user_id": "48", "attempt": 2, "body": null,
            "submission_type": "online_upload", "updated_at": "2026-05-01T08:00:00Z", "submitted_at": "2026-04-30T08:00:00Z"},
    });
    let (again, updated) = (made("plagiarism_resubmit", payload.clone()), made("submission_updated", payload.clone()));
    let (mut again, updated) = (again["data"][0].clone(), updated["data"][0].clone());
    assert_eq!(again["object"]["extensions"][OURS]["event_name"], "plagiarism_resubmit");
    again["object"]["extensions"][OURS].as_object_mut().unwrap().remove("event_name");
    again["id"] = updated["id"].clone();
    assert_eq!(again, updated);
    // Whose work it is did not ask for it.
    let mut by_nobody = payload;
    by_nobody["metadata"].as_object_mut().unwrap().remove("user_id");
    assert_eq!(made("plagiarism_resubmit", by_nobody)["data"][0]["actor"]["type"], "SoftwareApplication");
}

#[test]
fn the_event_has_the_same_id_at_each_try_and_names_the_subscription() {
    let payload = Bytes::from_static(br#"{"metadata":{},"body":{}}"#);
    let input = RenderInput { subscription_id: Some("71d6dfba"), ..input("canvas", Format::Caliper) };
    let later = RenderInput { now: input.now.plus(std::time::Duration::from_secs(5)), ..input };
    let envelope = |input| {
        let body = render_any(input, &meta("logged_out"), &payload).unwrap().body;
        serde_json::from_slice::<Value>(&body).unwrap()
    };
    let (first, second) = (envelope(&input), envelope(&later));
    assert_eq!(first["data"][0]["id"], second["data"][0]["id"]);
    assert_ne!(first["sendTime"], second["sendTime"]);
    assert_eq!(first["subscription"], json!({"id": "71d6dfba"}));
}

#[test]
fn a_payload_that_lacks_what_ids_are_made_of_is_refused() {
    let refused = |event: &str, payload: &'static [u8]| {
        let rendered = render_any(&input("canvas", Format::Caliper), &meta(event), &Bytes::from_static(payload));
        rendered.unwrap_err().to_string()
    };
    let message = refused("quiz_submitted", br#"{"metadata":{},"body":{}}"#);
    assert!(message.contains("body.submission_id") && message.contains("caliper"), "{message}");
    assert!(refused("logged_in", b"[1]").contains("does not fit"));
    assert!(refused("logged_in", br#"{"metadata":7,"body":{}}"#).contains("is not an object"));
}

#[test]
fn times_are_read_in_every_form_that_canvas_writes() {
    for text in ["2019-10-05 05:38:00 -0800", "2019-10-05T13:38:00Z", "2019-10-05T15:38:00.000+02:00"] {
        assert_eq!(time(text).as_deref(), Some("2019-10-05T13:38:00.000Z"), "{text}");
    }
    assert_eq!((time("soon"), time("")), (None, None));
}
