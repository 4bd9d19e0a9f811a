//! What goes over the wire, in every format.

use super::*;
use crate::{
    catalog,
    samples::{fixture, fixtures, input, meta, same_as_fixture},
};
use domain::Uid;

fn text(rendered: &Rendered) -> String {
    String::from_utf8(rendered.body.to_vec()).unwrap()
}

#[test]
fn standard_hands_on_the_very_bytes() {
    let payload = Bytes::from_static(b" {\"a\" : 1}\n");
    let rendered = render(&input("standard", Format::Standard), &meta("a"), &payload).unwrap();
    assert_eq!(rendered, Rendered::json(payload.clone()));
    assert_eq!(rendered.body.as_ptr(), payload.as_ptr());
}

#[test]
fn instruqt_payloads_go_out_as_they_came_in() {
    let platform = catalog::by_name("instruqt").unwrap();
    for name in fixtures("instruqt", ".json") {
        let payload = Bytes::from(fixture(&format!("{name}.json")));
        let value: serde_json::Value = serde_json::from_slice(&payload).unwrap();
        let event_type = value["type"].as_str().unwrap();
        let entry = platform.event_type(&domain::EventTypeName::new(event_type).unwrap()).unwrap();
        assert_eq!(entry.validator().validate(&value), Ok(()), "{name}");
        let rendered =
            render(&input("instruqt", platform.defaults().options.format), &meta(event_type), &payload).unwrap();
        assert_eq!(rendered.body, payload);
    }
}

#[test]
fn teachstack_bodies_are_the_fixtures_byte_for_byte() {
    let platform = catalog::by_name("teachstack").unwrap();
    let all = fixtures("teachstack", ".payload.json");
    assert_eq!(all.len(), platform.event_types().len());
    for name in all {
        let payload = Bytes::from(fixture(&format!("{name}.payload.json")));
        let event_type = name.strip_prefix("teachstack/").unwrap();
        let meta = meta(event_type);
        let entry = platform.event_type(&meta.event_type).unwrap();
        assert_eq!(entry.validator().validate(&serde_json::from_slice(&payload).unwrap()), Ok(()), "{name}");
        let want = String::from_utf8(fixture(&format!("{name}.body.json"))).unwrap();
        let want = want.replace("@ID@", &meta.id.to_string()).replace("@CREATED@", &millis(meta.created_at));
        assert_eq!(text(&render(&input("teachstack", Format::Teachstack), &meta, &payload).unwrap()), want);
    }
}

#[test]
fn teachstack_names_the_account_by_its_id_if_nobody_named_it() {
    let mut input = input("teachstack", Format::Teachstack);
    input.application.uid = None;
    let body = text(&render(&input, &meta("a.b"), &Bytes::from_static(b" [1] ")).unwrap());
    assert!(body.ends_with(r#","account_id":"app_2srOrx2ZWZBpBUvZwXKQmoEYga2","data":[1]}"#), "{body}");
}

#[test]
fn cloudevents_and_thin_bodies_are_the_fixtures_byte_for_byte() {
    for (platform, event_type, payload) in [
        ("replit", "student_submits_assignment", "replit/not_ascii.payload.json"),
        ("teachstack", "peer.left", "teachstack/peer.left.payload.json"),
        ("instruqt", "track.stopped", "instruqt/track.stopped.json"),
    ] {
        let payload = Bytes::from(fixture(payload));
        let meta = meta(event_type);
        let structured = render(&input(platform, Format::Cloudevents), &meta, &payload).unwrap();
        assert_eq!(structured.content_type, "application/cloudevents+json");
        assert!(structured.headers.is_empty());
        same_as_fixture(&format!("formats/{platform}.cloudevents.json"), &structured.body);
        let whole: serde_json::Value = serde_json::from_slice(&structured.body).unwrap();
        assert_eq!(whole["data"], serde_json::from_slice::<serde_json::Value>(&payload).unwrap());

        let binary = render(&input(platform, Format::CloudeventsBinary), &meta, &payload).unwrap();
        assert_eq!((binary.content_type, &binary.body), ("application/json", &payload));
        let headers: String = binary.headers.iter().map(|(n, v)| format!("{n}: {v}\n")).collect();
        same_as_fixture(&format!("formats/{platform}.cloudevents-binary.headers"), headers.as_bytes());

        let thin = render(&input(platform, Format::Thin), &meta, &payload).unwrap();
        same_as_fixture(&format!("formats/{platform}.thin.json"), &thin.body);
    }
}

#[test]
fn a_subject_that_headers_cannot_hold_is_encoded() {
    let payload = Bytes::from(r#"{"session_id":"a b\"é%","joined_at":"2022-08-14T09:31:12.4+02:00"}"#);
    let binary = render(&input("teachstack", Format::CloudeventsBinary), &meta("peer.joined"), &payload).unwrap();
    assert!(binary.headers.contains(&("ce-subject", "a%20b%22%C3%A9%25".to_owned())));
    assert!(binary.headers.contains(&("ce-time", "2022-08-14T07:31:12.4Z".to_owned())));
}

#[test]
fn an_event_that_no_catalogue_knows_happened_when_it_was_accepted() {
    let meta = meta("lesson.began");
    for platform in ["standard", "teachstack"] {
        let event = render(&input(platform, Format::Cloudevents), &meta, &Bytes::from_static(b"{}")).unwrap();
        let event: serde_json::Value = serde_json::from_slice(&event.body).unwrap();
        assert_eq!(event["time"], meta.created_at.to_string());
        assert!(event.get("subject").is_none());
    }
}

#[test]
fn a_thin_body_has_no_payload_in_it() {
    let mut meta = meta("a");
    meta.event_id = Some(Uid::new("hand-in_7").unwrap());
    let body = text(&render(&input("standard", Format::Thin), &meta, &Bytes::from_static(b"{\"secret\":1}")).unwrap());
    assert!(!body.contains("secret") && body.contains(r#""eventId":"hand-in_7""#), "{body}");
}

#[test]
fn a_transform_comes_before_the_format() {
    let payload = Bytes::from_static(br#"{"student":{"email":"ada@students.example.edu"},"n":1}"#);
    let hide = Expression::compile("del(.student.email)").unwrap();
    let body = |format| {
        let input = RenderInput { transform: Some(&hide), ..input("standard", format) };
        text(&render(&input, &meta("a"), &payload).unwrap())
    };
    assert_eq!(body(Format::Standard), r#"{"student":{},"n":1}"#);
    assert!(body(Format::Cloudevents).ends_with(r#""data":{"student":{},"n":1}}"#));
    assert!(body(Format::Teachstack).ends_with(r#""data":{"student":{},"n":1}}"#));

    let fails = Expression::compile(".n.m").unwrap();
    let broken = RenderInput { transform: Some(&fails), ..input("standard", Format::Standard) };
    let error = render(&broken, &meta("a"), &payload).unwrap_err();
    assert_eq!(
        error.to_string(),
        "transform: the expression failed: cannot index number with string (near character 2)"
    );
}

#[test]
fn a_transform_may_hide_who_it_is_and_leave_the_rest_to_the_format() {
    let payload = Bytes::from(fixture("replit/manual_submitted.payload.json"));
    let hide = Expression::compile(r#".student |= (.first_name = "" | .last_name = "" | .email = "")"#).unwrap();
    let input = RenderInput { transform: Some(&hide), ..input("replit", Format::Replit) };
    let body = text(&render(&input, &meta("student_submits_assignment"), &payload).unwrap());
    assert!(body.contains(r#""student":{"id":2031895,"first_name":"","last_name":"","email":""}"#), "{body}");
}

#[test]
fn a_filter_decides_and_no_filter_says_yes() {
    let late = Expression::compile(".n > 1").unwrap();
    assert_eq!(should_send(None, &meta("a"), b"not json"), Ok(true));
    assert_eq!(should_send(Some(&late), &meta("a"), br#"{"n":2}"#), Ok(true));
    assert_eq!(should_send(Some(&late), &meta("a"), br#"{"n":1}"#), Ok(false));
    assert!(should_send(Some(&late), &meta("a"), b"not json").is_err());
}

#[test]
fn formats_are_known_by_their_names() {
    for format in Format::ALL {
        assert_eq!(format.name().parse::<Format>(), Ok(format));
        assert_eq!(serde_json::to_value(format).unwrap(), format.name());
    }
    assert!("cloudevents_binary".parse::<Format>().is_err());
}

#[test]
fn times_have_three_digits_whatever_came_in() {
    let at = |text: &str| millis(Timestamp::parse(text).unwrap());
    assert_eq!(at("2022-08-14T09:30:05Z"), "2022-08-14T09:30:05.000Z");
    assert_eq!(at("2022-08-14T09:30:05.1299999Z"), "2022-08-14T09:30:05.129Z");
    assert_eq!(at("2022-08-14T11:30:05.12+02:00"), "2022-08-14T09:30:05.120Z");
    assert_eq!(at("1969-12-31T23:59:59.9999Z"), "1969-12-31T23:59:59.999Z");
}

/// What the example receivers are tested with: whole classes as they are delivered.
#[test]
fn recorded_classes_are_what_is_played() {
    let start = Timestamp::parse("2024-05-02T08:00:00Z").unwrap();
    for (platform, seed, steps) in [("replit", 5, 40), ("teachstack", 11, 90)] {
        let preset = catalog::by_name(platform).unwrap();
        let mut lines = Vec::new();
        for step in crate::simulate::simulate(preset, seed, start).unwrap().take(steps) {
            let meta = domain::MessageMeta { event_type: step.event_type, ..meta("x") };
            let rendered = render(&input(platform, preset.defaults().options.format), &meta, &step.payload).unwrap();
            // All of them have the sample's id: give each its own.
            let line = text(&rendered).replace(&meta.id.to_string(), &format!("msg_{:027}", lines.len() / 2));
            lines.push(line);
            lines.push("\n".to_owned());
        }
        same_as_fixture(&format!("{platform}/class.jsonl"), lines.concat().as_bytes());
    }
}
