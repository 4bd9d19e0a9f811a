//! Combining under the open rules of a filter that an application made up. What the catalogue's filters do stands beside
//! the catalogue, in `platforms`.

use super::*;
use crate::{Ksuid, Secret, json::Json};

fn webfilter(n: u8, change: impl FnOnce(&mut WebfilterSettings)) -> Webfilter {
    let mut settings = WebfilterSettings::default();
    change(&mut settings);
    Webfilter {
        key: WebfilterKey(n.into()),
        app: AppKey(1),
        id: WebfilterId(Ksuid([n; 20])),
        uid: None,
        filter: FilterName::new("room.join").unwrap(),
        url: "https://user:secret@checks.example.org/join?key=1".into(),
        secrets: Secrets::new(Secret::Hmac(vec![7; 24])),
        settings,
        created_at: Timestamp::default(),
        updated_at: Timestamp::default(),
        revision: 0,
    }
}

fn answered(status: u16, body: &str) -> Heard {
    Heard::Answered { status, body: body.to_owned().into() }
}

fn failed(reason: FailureReason) -> Heard {
    Heard::Failed { reason, status: None, detail: String::new() }
}

fn combined(heard: Vec<(Webfilter, Heard)>) -> Combined {
    let rules = FilterRules::own(FilterName::new("room.join").unwrap());
    let heard: Vec<_> = heard.into_iter().map(|(w, h)| (w, h, Duration::ZERO)).collect();
    combine(&rules, &heard, &Protection::default())
}

fn data(c: &Combined) -> String {
    Json::Object(c.report.data.clone()).to_text()
}

#[test]
fn later_data_wins_key_by_key_and_as_a_whole() {
    let c = combined(vec![
        (webfilter(1, |_| {}), answered(200, r#"{"data": {"user": {"a": 1, "b": 2}, "mode": "audit"}}"#)),
        (webfilter(2, |_| {}), answered(500, r#"{"data": {"user": {"c": 3}}}"#)),
    ]);
    assert_eq!((c.outcome, data(&c).as_str()), (Outcome::Change, r#"{"user":{"c":3},"mode":"audit"}"#));
}

#[test]
fn the_first_exception_named_is_raised_and_data_does_not_count() {
    let c = combined(vec![
        (webfilter(1, |_| {}), answered(200, r#"{"data": {"a": 1}, "exception": {"Full": {"seats": 0}}}"#)),
        (webfilter(2, |_| {}), answered(200, r#"{"exception": {"Late": "no", "Full": "no seat"}}"#)),
    ]);
    let raised = c.report.exception.as_ref().unwrap();
    assert_eq!((c.outcome, data(&c).as_str(), raised.name.as_str()), (Outcome::Raise, "{}", "Full"));
    assert_eq!(Json::Object(raised.arguments.clone()).to_text(), r#"{"message":"no seat"}"#);
}

#[test]
fn silence_halts_only_where_that_was_chosen() {
    let silent = || failed(FailureReason::ResponseTimeout);
    for (rule, heard, because) in [
        ("none", silent(), None),
        ("silence", silent(), Some(Because::Silence)),
        ("silence", Heard::Paused, Some(Because::Silence)),
        ("silence", failed(FailureReason::ConnectionRefused), None),
        ("exception", silent(), Some(Because::RequestException)),
        ("exception", Heard::Paused, Some(Because::RequestException)),
        ("exception", failed(FailureReason::ConnectionRefused), Some(Because::RequestException)),
        ("exception", answered(302, ""), Some(Because::RequestException)),
        ("exception", answered(500, ""), None),
        ("exception", Heard::Unneeded, None),
    ] {
        let w = webfilter(1, |s| match rule {
            "silence" => s.on_silence = OnSilence::Halt,
            "exception" => s.on_request_exception.halts = true,
            _ => {}
        });
        let c = combined(vec![(w, heard.clone())]);
        assert_eq!(c.report.halt.as_ref().map(|h| h.because), because, "{rule} {heard:?}");
        assert_eq!(c.outcome == Outcome::Halt, because.is_some());
    }
}

#[test]
fn after_a_halt_nothing_else_counts_and_no_secret_shows() {
    let halting = webfilter(2, |s| {
        s.on_4xx = HaltRule { halts: true, redirect: Some("https://campus.example.org/no".into()) };
        s.halt_exception = Some("NoEntry".into());
    });
    let c = combined(vec![
        (webfilter(1, |_| {}), answered(200, r#"{"data": {"a": 1}, "exception": {"Full": "x"}}"#)),
        (halting, answered(403, r#"{"data": {"b": 1}}"#)),
        (webfilter(3, |_| {}), answered(200, r#"{"data": {"c": 1}}"#)),
    ]);
    assert_eq!((c.outcome, data(&c).as_str()), (Outcome::Halt, "{}"));
    let results: Vec<_> = c.report.answers.iter().map(|a| a.result).collect();
    assert_eq!(results, [ReadingResult::Used, ReadingResult::Halted, ReadingResult::Unneeded]);
    let raised = Json::Object(c.report.exception.unwrap().arguments).to_text();
    assert!(raised.contains(r#""redirect_to":"https://campus.example.org/no","status_code":403"#), "{raised}");
    assert!(raised.contains("https://checks.example.org/join answered") && !raised.contains("secret"), "{raised}");
}

#[test]
fn a_hostile_answer_leaves_a_bounded_number_of_notes() {
    let many: Vec<String> = (0..5_000).map(|n| format!("\"{}{n}\": 1", "x".repeat(500))).collect();
    let c = combined(vec![(webfilter(1, |_| {}), answered(200, &format!("{{{}}}", many.join(","))))]);
    let notes = &c.report.answers[0].notes;
    assert_eq!(notes.len(), 21);
    assert!(notes.iter().all(|n| n.len() < 200));
}

#[test]
fn protected_data_does_not_count_unless_the_operator_says_so() {
    let body = r#"{"data": {"password": "x", "user": {"is_staff": true, "name": "J", "rows": [{"PASSWORD": 1}]}}}"#;
    let rules = FilterRules::own(FilterName::new("room.join").unwrap());
    let heard = [(webfilter(1, |_| {}), answered(200, body), Duration::ZERO)];
    let c = combine(&rules, &heard, &Protection::default());
    assert_eq!(data(&c), r#"{"user":{"name":"J","rows":[{}]}}"#);
    assert_eq!(c.report.answers[0].notes.len(), 3);
    let mut open = Protection::default();
    open.may_be_set = true;
    assert!(data(&combine(&rules, &heard, &open)).contains("is_staff"));
}

#[test]
fn changes_are_listed_leaf_by_leaf() {
    let members = |text: &str| Json::parse(text.as_bytes()).unwrap().as_object().unwrap().clone();
    let mut rules = FilterRules::own(FilterName::new("room.join").unwrap());
    rules.flat = Some("form_data".into());
    let payload = members(r#"{"name": "Jane", "context": {"a": 1, "b": {"c": 2}}, "user": {"name": "Jane", "x": 1}}"#);
    let data =
        members(r#"{"form_data": {"name": "J"}, "context": {"a": 1, "b": {"d": 3}}, "user": {"name": "J", "x": 1}}"#);
    let effects = [("form_data", Effect::Merge), ("context", Effect::Replace), ("user", Effect::Save)];
    let effects = effects.into_iter().map(|(k, e)| (k.to_owned(), e)).collect();
    let text = |j: Option<Json>| j.map_or("-".to_owned(), |j| j.to_text());
    let found: Vec<_> = changes(&rules, &payload, &data, &effects)
        .into_iter()
        .map(|c| format!("{} {} {}", c.path, text(c.before), text(c.after)))
        .collect();
    assert_eq!(found, ["name \"Jane\" \"J\"", "context.b.d - 3", "context.b.c 2 -", "user.name \"Jane\" \"J\""]);
}
