//! The catalogue, and what its filters make of answers: the observed behaviour of the original plugin, case by case.

use super::*;
use domain::{
    AppKey, FailureReason, Json, Ksuid, Secret, Secrets, Timestamp, Webfilter, WebfilterId, WebfilterKey,
    WebfilterSettings,
    webfilter::{Combined, Encoding, HaltRule, Heard, Protection, ReadingResult, WireVersion, combine},
};
use std::time::Duration;

const PAGE: &str = "https://e.com/";

fn openedx() -> &'static Catalogue {
    catalogue(Some("openedx")).unwrap()
}

fn webfilter(n: u8, filter: &str, settings: WebfilterSettings) -> Webfilter {
    Webfilter {
        key: WebfilterKey(n.into()),
        app: AppKey(1),
        id: WebfilterId(Ksuid([n; 20])),
        uid: None,
        filter: FilterName::new(filter).unwrap(),
        url: "https://checks.example.org/".into(),
        secrets: Secrets::new(Secret::Hmac(vec![7; 24])),
        settings,
        created_at: Timestamp::default(),
        updated_at: Timestamp::default(),
        revision: 0,
    }
}

/// What an endpoint is set to, in a word, and what it says.
type Endpoint = (&'static str, Heard);

fn says(status: u16, body: &str) -> Heard {
    Heard::Answered { status, body: body.to_owned().into() }
}

fn refused() -> Heard {
    Heard::Failed { reason: FailureReason::ConnectionRefused, status: None, detail: String::new() }
}

fn settings(words: &str, version: WireVersion) -> WebfilterSettings {
    let mut s = WebfilterSettings { wire_version: version, ..WebfilterSettings::default() };
    let halting = |redirect: bool| HaltRule { halts: true, redirect: redirect.then(|| PAGE.to_owned()) };
    for word in words.split_whitespace() {
        match word {
            "no-data" => s.disable_filtering = true,
            "no-halt" => s.disable_halting = true,
            "4xx" => s.on_4xx = halting(false),
            "4xx+page" => s.on_4xx = halting(true),
            "5xx" => s.on_5xx = halting(false),
            "failed+page" => s.on_request_exception = halting(true),
            other => panic!("{other}"),
        }
    }
    s
}

fn run(filter: &str, version: WireVersion, endpoints: &[Endpoint]) -> Combined {
    let heard: Vec<_> = (1u8..)
        .zip(endpoints)
        .map(|(n, (words, heard))| (webfilter(n, filter, settings(words, version)), heard.clone(), Duration::ZERO))
        .collect();
    combine(openedx().find(filter).unwrap(), &heard, &Protection::default())
}

/// `data`, then the exception with its arguments, as one line.
fn line(c: &Combined) -> String {
    let data = Json::Object(c.report.data.clone()).to_text();
    match &c.report.exception {
        None => data,
        Some(raised) => format!("{data} {} {}", raised.name, Json::Object(raised.arguments.clone()).to_text()),
    }
}

#[test]
fn every_filter_of_the_catalogue_can_be_read_and_is_sound() {
    let filters = openedx().filters();
    assert_eq!((filters.len(), filters.iter().filter(|f| f.offered).count()), (43, 27));
    for f in filters {
        assert!(!f.description.is_empty() && f.exceptions.is_some(), "{}", f.name);
        assert_eq!(openedx().find(f.filter_type.as_deref().unwrap()).unwrap().name, f.name);
        if let Some(halt) = &f.halt_exception {
            assert!(f.exception(halt).is_some(), "{}", f.name);
        } else {
            assert!(!f.can_halt() && !f.can_redirect(None));
        }
        assert_eq!(f.example.is_some(), f.offered, "{}", f.name);
        assert!(!f.example.iter().any(|e| e.as_object().unwrap().contains_key("event_metadata")));
    }
    assert_eq!(openedx().find("IdvPageUrlRequested").unwrap().name.as_str(), "IDVPageURLRequested");
}

#[test]
fn other_names_are_filters_of_ones_own() {
    let name = |text: &str| FilterName::new(text).unwrap();
    assert!(rules(Some("openedx"), &name("StudentLoginRequest")).is_none());
    assert!(rules(Some("openedx"), &name("campus.room.booked")).unwrap().exceptions.is_none());
    assert!(rules(Some("teachstack"), &name("Anything")).unwrap().accepts_other_data);
    assert!(rules(None, &name("StudentLoginRequested")).unwrap().filter_type.is_none());
}

#[test]
fn logins_behave_as_observed() {
    use WireVersion::{V21, V22};
    let both = r#"{"data": {"user": {"first_name": "X"}}, "exception": {"PreventLogin": "no"}}"#;
    let saved = r#"{"user":{"first_name":"X"}}"#;
    let raised = r#"{"user":{"first_name":"X"}} PreventLogin {"message":"no"}"#;
    let only_raised = r#"{} PreventLogin {"message":"no"}"#;
    let halted = r#"{} PreventLogin {"message":"https://checks.example.org/ answered StudentLoginRequested with status 404","redirect_to":"https://e.com/"}"#;
    let cases: &[(&[Endpoint], &str, &str)] = &[
        (
            &[("", says(200, r#"{"data": {"user": {"first_name": "X"}, "profile": {"name": "Y"}}}"#))],
            r#"{"user":{"first_name":"X"},"profile":{"name":"Y"}}"#,
            r#"{"user":{"first_name":"X"},"profile":{"name":"Y"}}"#,
        ),
        // Ours: password and is_staff are protected in both versions.
        (
            &[(
                "",
                says(
                    200,
                    r#"{"data": {"user": {"id": 9, "is_staff": true, "password": "x", "first_name": "X", "is_active": false}}}"#,
                ),
            )],
            saved,
            r#"{"user":{"first_name":"X","is_active":false}}"#,
        ),
        (&[("", says(200, r#"{"exception": {"PreventLogin": "no"}}"#))], only_raised, only_raised),
        (
            &[(
                "",
                says(
                    200,
                    r#"{"exception": {"PreventLogin": {"message": "no", "redirect_to": "https://e.com", "error_code": "ec", "context": {"a": 1}}}}"#,
                ),
            )],
            r#"{} PreventLogin {"message":"no","redirect_to":"https://e.com","error_code":"ec","context":{"a":1}}"#,
            r#"{} PreventLogin {"message":"no","redirect_to":"https://e.com","error_code":"ec","context":{"a":1}}"#,
        ),
        (
            &[("", says(200, r#"{"exception": {"PreventLogin": {"redirect_to": "https://e.com"}}}"#))],
            r#"{} PreventLogin {"message":"","redirect_to":"https://e.com"}"#,
            r#"{} PreventLogin {"message":"","redirect_to":"https://e.com"}"#,
        ),
        // Ours: an argument that the exception does not take is left out; the original crashes.
        (
            &[("", says(200, r#"{"exception": {"PreventLogin": {"message": "no", "status_code": 403}}}"#))],
            only_raised,
            only_raised,
        ),
        (
            &[("", says(200, r#"{"exception": {"PreventLogin": null}}"#))],
            r#"{} PreventLogin {"message":"Reason not specified"}"#,
            r#"{} PreventLogin {"message":"Reason not specified"}"#,
        ),
        (&[("", says(200, both))], only_raised, raised),
        (&[("no-data", says(200, both))], only_raised, only_raised),
        (&[("no-halt", says(200, both))], saved, saved),
        (&[("", says(404, both))], only_raised, raised),
        (&[("", says(500, r#"{"data": {"user": {"first_name": "X"}}}"#))], saved, saved),
        (&[("4xx+page", says(404, both))], halted, halted),
        (&[("4xx+page no-halt", says(404, both))], halted, halted),
        (&[("5xx", says(404, ""))], "{}", "{}"),
        (
            &[("failed+page", refused())],
            r#"{} PreventLogin {"message":"https://checks.example.org/ could not be asked about StudentLoginRequested: The connection was refused: nothing listens at that address.","redirect_to":"https://e.com/"}"#,
            r#"{} PreventLogin {"message":null,"redirect_to":"https://e.com/"}"#,
        ),
        (&[("", refused()), ("", says(200, r#"{"data": {"user": {"first_name": "X"}}}"#))], saved, saved),
        (
            &[
                ("", says(200, r#"{"data": {"user": {"first_name": "A"}, "profile": {"name": "A"}}}"#)),
                ("", says(200, r#"{"data": {"user": {"email": "b@x"}}}"#)),
            ],
            r#"{"user":{"email":"b@x"},"profile":{"name":"A"}}"#,
            r#"{"user":{"email":"b@x"},"profile":{"name":"A"}}"#,
        ),
        (
            &[
                ("", says(200, r#"{"exception": {"PreventLogin": "one"}}"#)),
                ("", says(200, r#"{"exception": {"PreventLogin": "two"}}"#)),
            ],
            r#"{} PreventLogin {"message":"two"}"#,
            r#"{} PreventLogin {"message":"two"}"#,
        ),
        (
            &[
                ("", says(200, r#"{"data": {"user": {"first_name": "X"}}}"#)),
                ("4xx+page", says(404, "")),
                ("", says(200, both)),
            ],
            halted,
            halted,
        ),
        // A later object replaces an earlier one as a whole, even by nothing.
        (&[("", says(200, both)), ("no-halt", says(200, r#"{"data": {"user": {}}}"#))], only_raised, only_raised),
    ];
    for (endpoints, v22, v21) in cases {
        assert_eq!(line(&run("StudentLoginRequested", V22, endpoints)), *v22, "22: {endpoints:?}");
        assert_eq!(line(&run("StudentLoginRequested", V21, endpoints)), *v21, "21: {endpoints:?}");
    }
}

#[test]
fn other_filters_behave_as_observed() {
    let cases: &[(&str, &str, Heard, &str)] = &[
        (
            "CourseEnrollmentStarted",
            "4xx+page",
            says(403, ""),
            r#"{} PreventEnrollment {"message":"https://checks.example.org/ answered CourseEnrollmentStarted with status 403","redirect_to":"https://e.com/","status_code":403}"#,
        ),
        ("IDVPageURLRequested", "4xx", says(404, ""), "{}"),
        (
            "IDVPageURLRequested",
            "",
            says(200, r#"{"data": {"url": "https://idv", "next_step": 1}}"#),
            r#"{"url":"https://idv","next_step":1}"#,
        ),
        (
            "CourseAboutRenderStarted",
            "",
            says(200, r#"{"exception": {"RedirectToPage": "away"}}"#),
            r#"{} RedirectToPage {"message":"away"}"#,
        ),
        (
            "DashboardRenderStarted",
            "",
            says(
                200,
                r#"{"exception": {"RenderInvalidDashboard": "x", "RedirectToPage": {"redirect_to": "https://e.com"}}}"#,
            ),
            r#"{} RedirectToPage {"message":"","redirect_to":"https://e.com"}"#,
        ),
        (
            "StudentRegistrationRequested",
            "4xx",
            says(403, ""),
            r#"{} PreventRegistration {"message":"https://checks.example.org/ answered StudentRegistrationRequested with status 403","redirect_to":"","status_code":403}"#,
        ),
        // Data that is no refusal's business: registration applies data first.
        (
            "StudentRegistrationRequested",
            "",
            says(
                200,
                r#"{"data": {"form_data": {"name": "N", "password": "x"}, "name": "top"}, "exception": {"PreventRegistration": {"message": "no", "code": 7}}}"#,
            ),
            r#"{"form_data":{"name":"N"}} PreventRegistration {"message":"no","code":7}"#,
        ),
        (
            "DashboardRenderStarted",
            "",
            says(200, r#"{"exception": {"RenderCustomResponse": {"content": "hi", "status": 418, "evil": 1}}}"#),
            r#"{} RenderCustomResponse {"message":"Render Custom Response","response":{"content":"hi","status":418}}"#,
        ),
        (
            "AccountSettingsRenderStarted",
            "",
            says(200, r#"{"exception": {"RedirectToPage": "away"}}"#),
            r#"{} RedirectToPage {"message":"away","redirect_to":""}"#,
        ),
        (
            "InstructorDashboardRenderStarted",
            "4xx+page",
            says(404, ""),
            r#"{} RenderInvalidDashboard {"message":"https://checks.example.org/ answered InstructorDashboardRenderStarted with status 404"}"#,
        ),
        (
            "AccountSettingsReadOnlyFieldsRequested",
            "",
            says(200, r#"{"data": {"readonly_fields": ["name"], "user": {}}}"#),
            r#"{"readonly_fields":["name"]}"#,
        ),
        ("AccountSettingsReadOnlyFieldsRequested", "", says(200, r#"{"data": {"readonly_fields": [1]}}"#), "{}"),
    ];
    for (filter, words, heard, want) in cases {
        assert_eq!(line(&run(filter, WireVersion::V22, &[(words, heard.clone())])), *want, "{filter} {heard:?}");
    }
}

#[test]
fn answers_that_say_nothing_change_nothing() {
    for (body, result) in [
        ("", ReadingResult::Empty),
        (" \n", ReadingResult::Empty),
        ("{}", ReadingResult::Empty),
        ("<html>", ReadingResult::NotJson),
        ("not json", ReadingResult::NotJson),
        ("\u{feff}{}", ReadingResult::NotJson),
        ("[]", ReadingResult::NotObject),
        (r#"["data"]"#, ReadingResult::NotObject),
        ("null", ReadingResult::NotObject),
        ("1", ReadingResult::NotObject),
        ("true", ReadingResult::NotObject),
        (r#""data""#, ReadingResult::NotObject),
        (r#"{"data": [1]}"#, ReadingResult::Empty),
        (r#"{"data": {"user": "x"}}"#, ReadingResult::Empty),
        (r#"{"exception": "PreventLogin"}"#, ReadingResult::Empty),
        (r#"{"exceptions": {"PreventLogin": "x"}}"#, ReadingResult::Empty),
        (r#"{"exception": {"NoSuchThing": "x"}}"#, ReadingResult::Empty),
        (r#"{"data": {"other": 1}, "more": 2}"#, ReadingResult::Empty),
    ] {
        for version in [WireVersion::V22, WireVersion::V21] {
            let c = run("StudentLoginRequested", version, &[("", says(204, body))]);
            assert_eq!((line(&c).as_str(), c.report.answers[0].result), ("{}", result), "{body}");
        }
    }
    let deep = format!(r#"{{"data": {{"user": {}1{}}}}}"#, "[".repeat(5_000), "]".repeat(5_000));
    let c = run("StudentLoginRequested", WireVersion::V22, &[("", says(200, &deep))]);
    assert_eq!(c.report.answers[0].notes, ["the answer: it is nested deeper than 100 levels"]);
}

#[test]
fn a_request_is_the_payload_with_metadata_in_each_version() {
    let payload = Json::parse(
        r#"{"user": {"id": 4, "name": "Jané", "is_staff": false, "password": "x"}, "tags": ["a"]}"#.as_bytes(),
    );
    let payload = payload.unwrap().as_object().unwrap().clone();
    let at = Timestamp::parse("2026-01-31T20:24:32.598387Z").unwrap();
    let rules = openedx().find("IDVPageURLRequested").unwrap();
    let body = |version, encoding| {
        let s = WebfilterSettings { wire_version: version, encoding, ..WebfilterSettings::default() };
        let made = wire::request(&webfilter(1, "IDVPageURLRequested", s), rules, &payload, &Protection::default(), at);
        (String::from_utf8(made.bytes.to_vec()).unwrap(), made.content_type)
    };
    assert_eq!(
        body(WireVersion::V22, Encoding::Json),
        (
            concat!(
                r#"{"user": {"id": 4, "name": "Jan\u00e9"}, "tags": ["a"], "event_metadata": "#,
                r#"{"event_type": "IDVPageURLRequested", "time": "2026-01-31T20:24:32.598387+00:00"}}"#
            )
            .to_owned(),
            "application/json"
        )
    );
    assert_eq!(
        body(WireVersion::V21, Encoding::Form),
        (
            concat!(
                "user_id=4&user_name=Jan%C3%A9&tags=%5B%27a%27%5D&event_metadata_event_type=IdvPageUrlRequested",
                "&event_metadata_time=2026-01-31+20%3A24%3A32.598387"
            )
            .to_owned(),
            "application/x-www-form-urlencoded"
        )
    );
}
