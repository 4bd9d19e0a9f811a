//! Bodies to the byte: the fixtures are written by the original's own language.

use super::*;
use crate::{
    catalog::by_name,
    format::{Encoding, RenderInput, render},
    samples,
};
use bytes::Bytes;
use domain::{EventTypeName, Uid};
use serde_json::{Value, json};

fn cases() -> Vec<Value> {
    let text = samples::fixture("openedx/bodies.jsonl");
    text.split(|b| *b == b'\n').filter(|l| !l.is_empty()).map(|l| serde_json::from_slice(l).unwrap()).collect()
}

const WIRES: [Format; 3] = [Format::OpenedxV22, Format::OpenedxV21, Format::OpenedxV1];

fn body(format: Format, encoding: Encoding, event_type: &str, payload: &str) -> Result<Rendered, RenderError> {
    let input = RenderInput { encoding, ..samples::input("openedx", format) };
    render(&input, &samples::meta(event_type), &Bytes::copy_from_slice(payload.as_bytes()))
}

#[test]
fn every_event_goes_out_as_the_original_writes_it() {
    let cases = cases();
    assert!(cases.len() > PLATFORM.event_types().len());
    for case in &cases {
        let field = |name: &str| case[name].as_str().unwrap();
        for format in WIRES {
            for (encoding, key, kind) in [
                (Encoding::Json, format.name().to_owned(), "application/json"),
                (Encoding::Form, format!("{format} form"), "application/x-www-form-urlencoded"),
            ] {
                let sent = body(format, encoding, field("eventType"), field("payload")).unwrap();
                assert_eq!(String::from_utf8_lossy(&sent.body), field(&key), "{} {key}", case["name"]);
                assert_eq!(sent.content_type, kind);
                assert_eq!(sent.headers, [("accept", "text/plain".to_owned())]);
            }
        }
    }
}

#[test]
fn the_catalogue_has_the_events_that_the_plugin_offers_and_marks_the_others() {
    let offered = |version: u64| {
        let has = |t: &&crate::CatalogEntry| {
            t.schema["x-openedx"]["offeredByPlugin"].as_array().unwrap().contains(&version.into())
        };
        PLATFORM.event_types().iter().filter(has).count()
    };
    assert_eq!((offered(22), offered(21), PLATFORM.event_types().len()), (66, 64, 75));
    for entry in PLATFORM.event_types() {
        let is_offered = entry.schema["x-openedx"]["offeredByPlugin"] != json!([]);
        assert_eq!(entry.description.contains("Not offered"), !is_offered, "{}", entry.name);
        let names_a_person = entry.examples[0].to_string().contains("jane@example.com");
        assert!(!names_a_person || entry.personal_data.iter().any(|p| p.path.ends_with(".email")), "{}", entry.name);
    }
    assert_eq!(
        event_type_of_signal("SESSION_LOGIN_COMPLETED"),
        Some("org.openedx.learning.auth.session.login.completed.v1")
    );
    assert_eq!(event_type_of_signal("session_login_completed"), None);
}

#[test]
fn the_schema_tells_the_types_but_an_event_that_looks_a_little_different_is_taken() {
    let login = EventTypeName::new("org.openedx.learning.auth.session.login.completed.v1").unwrap();
    let entry = PLATFORM.event_type(&login).unwrap();
    let user = &entry.schema["properties"]["data"]["properties"]["user"]["properties"];
    assert_eq!(user["id"]["x-type"], "integer");
    assert_eq!(user["pii"]["properties"]["name"]["x-type"], json!(["string", "null"]));
    let problems = |payload: Value| entry.validator().validate(&payload).err().unwrap_or_default();
    for fits in
        [json!({"data": {"user": {"id": "4", "new": 1}}}), json!({"data": {"user": null}, "metadata": {"time": 1}})]
    {
        assert_eq!(problems(fits), []);
    }
    assert_eq!(problems(json!({"data": {"users": {}}}))[0].path, "/data/user");
    for misfit in [json!({"user": {}}), json!({"data": []}), json!({"data": {"user": {}}, "metadata": 1})] {
        assert!(!problems(misfit.clone()).is_empty(), "{misfit}");
    }
}

#[test]
fn what_the_producer_leaves_out_follows_from_the_message() {
    let login = "org.openedx.learning.auth.session.login.completed.v1";
    let payload = Bytes::from_static(br#"{"data":{"user":{"id":4}},"metadata":{"id":null}}"#);
    let mut meta = samples::meta(login);
    let input = samples::input("openedx", Format::OpenedxV22);
    let of = |meta: &MessageMeta| String::from_utf8(render(&input, meta, &payload).unwrap().body.to_vec()).unwrap();
    let time = time_text(meta.created_at);
    assert_eq!(
        of(&meta),
        format!(
            "{{\"openedx_events.learning.data.UserData\": {{\"id\": 4}}, \"event_metadata\": {{\"event_type\": \"{login}\", \
             \"id\": \"{}\", \"minorversion\": 0, \"source\": \"openedx/lms/web\", \"sourcehost\": \"\", \"time\": \
             \"{time}\", \"sourcelib\": [11, 2, 0]}}}}",
            meta.id
        )
    );
    meta.event_id = Uid::new("my-own").ok();
    assert!(of(&meta).contains(r#""id": "my-own""#));
}

#[test]
fn an_event_that_the_catalogue_does_not_know_needs_the_name_of_its_class() {
    let told = r#"{"data":{"thing":{"a":1}},"types":{"thing":"openedx_events.new.data.Thing"}}"#;
    let sent = body(Format::OpenedxV22, Encoding::Json, "org.openedx.new.v1", told).unwrap();
    assert!(sent.body.starts_with(br#"{"openedx_events.new.data.Thing": {"a": 1}, "event_metadata": {"#));
    let untold = r#"{"data":{"thing":{"a":1}}}"#;
    let error = body(Format::OpenedxV21, Encoding::Json, "org.openedx.new.v1", untold).unwrap_err();
    assert!(error.to_string().contains("types.thing"), "{error}");
    assert!(body(Format::OpenedxV1, Encoding::Form, "org.openedx.new.v1", untold).is_ok());
    for bad in ["{}", r#"{"data":[]}"#, "[]"] {
        assert!(matches!(body(Format::OpenedxV1, Encoding::Json, "a", bad), Err(RenderError::Payload { .. })));
    }
}

#[test]
fn every_format_of_every_platform_can_be_a_form() {
    let payload = Bytes::from_static(br#"{"a":{"b":[1,"x"]},"c":null}"#);
    let form = |format| {
        let input = RenderInput { encoding: Encoding::Form, ..samples::input("standard", format) };
        let rendered = render(&input, &samples::meta("lesson.began"), &payload).unwrap();
        assert_eq!(rendered.content_type, "application/x-www-form-urlencoded");
        (String::from_utf8(rendered.body.to_vec()).unwrap(), rendered.headers)
    };
    assert_eq!(form(Format::Standard).0, "a_b=%5B1%2C+%27x%27%5D&c=None");
    assert!(form(Format::Cloudevents).0.ends_with("&data_a_b=%5B1%2C+%27x%27%5D&data_c=None"));
    assert_eq!(form(Format::CloudeventsBinary).1.len(), 5);
    assert!(form(Format::Thin).0.starts_with("type=lesson.began&"));
    let input = RenderInput { encoding: Encoding::Form, ..samples::input("standard", Format::Standard) };
    for bad in [&b"[1]"[..], b"\xff", b"no"] {
        let refused = render(&input, &samples::meta("a"), &Bytes::copy_from_slice(bad));
        assert!(matches!(refused, Err(RenderError::NoForm(_))), "{refused:?}");
    }
}

#[test]
fn a_learner_of_the_play_is_the_same_person_in_all_of_an_event() {
    let start = Timestamp::parse("2026-05-02T08:00:00Z").unwrap();
    for step in crate::simulate::simulate(by_name("openedx").unwrap(), 3, start).unwrap().take(200) {
        let text = String::from_utf8(step.payload.to_vec()).unwrap();
        for left in ["jane", "Jane", "OrgX+", "2026-01-31", "457f0c26"] {
            assert!(!text.contains(left), "{left} in {text}");
        }
    }
}
